"""Several films in one request: each its own answer, and one status for all of them."""

import asyncio
import threading
from contextlib import nullcontext
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from starlette.requests import Request

from fracture.core.types import Detections, Prediction
from fracture.models.scope import FLAG
from fracture.service.http import answers
from fracture.service.http.problems import RequestRefused
from fracture.service.http.routes import _Reading
from fracture.service.http.scheduler import overloaded
from fracture.service.http.settings import Settings

SURE, UNSURE, FAINT = (10, 20, 30, 40, 255), (10, 20, 30, 40, 200), (10, 20, 30, 40, 150)  # scores 1, .56, .16
NO_FILM = b"no film at all"


@pytest.fixture
def study(client, picture, paint):
    """Give the way to send files as one study: spots to paint a film of, or bytes."""

    def send(*files, client=client, data=None, headers=None, **query):
        films = [file if isinstance(file, bytes) else picture(paint(*file)) for file in files]
        return client.post(
            "/detect", files=[("file", ("f", film)) for film in films], data=data, params=query, headers=headers
        )

    return send


def pages(*films):
    return cv2.imencodemulti(".tiff", films)[1].tobytes()


def cut(paint, picture, brightness=None):
    noise = np.random.default_rng(1).integers(0, 100, (64, 64), dtype=np.uint8)
    if brightness:
        noise[4:14, 4:24] = brightness
    whole = picture(noise, "JPEG", quality=95)
    return whole[: len(whole) * 3 // 4]


def test_films_come_back_in_order_with_where_they_came_from(study, paint, picture):
    answer = study([SURE], pages(paint(), paint(UNSURE), paint(SURE)), NO_FILM, [FAINT], data={"study_id": "A-1_2.b"})
    assert answer.status_code == 200
    answer = answer.json()
    assert [(film["source"], film.get("frame")) for film in answer["films"]] == [
        *((0, 0), (1, 0), (1, 1), (1, 2)),
        *((2, None), (3, 0)),
    ]
    assert [film["status"] for film in answer["films"]] == [
        *("fracture", "no fracture", "doubt", "fracture"),
        *(415, "no fracture"),
    ]
    assert answer["study"] == {
        "study_id": "A-1_2.b",
        "status": "fracture",
        "note": "a box on at least one of 5 films reaches the high-specificity threshold",
        "films": 5,
        "refused": 1,
    }
    assert set(answer) == {"films", "study", "operating_mode", "model", "disclaimer"}
    assert answer["operating_mode"]["mode"] == "balanced"


def test_the_order_is_that_of_the_files_however_long_each_takes(serve, study, paint):
    turn, overtaken, calls = threading.Lock(), threading.Event(), []

    def overtake():
        with turn:
            calls.append(1)
            first = len(calls) == 1
        if first:
            assert overtaken.wait(20)
        else:
            overtaken.set()

    client = serve(before=overtake, fracture_streams=2, fracture_max_files=4)
    films = study([SURE], [UNSURE], [], [FAINT], client=client, conf=0.1).json()["films"]
    assert [film["source"] for film in films] == [0, 1, 2, 3]
    assert [film["detections"][0]["confidence"] if film["detections"] else 0 for film in films] == pytest.approx(
        [1, 0.56, 0, 0.16], abs=0.005
    )
    slow = pages(*[paint(size=(1500, 1500))] * 5)
    assert study(slow, b"", client=client).json()["code"] == "several_frames"


def test_a_film_of_a_study_is_answered_as_it_is_alone(study):
    together = study([SURE], [UNSURE], [], conf=0.1).json()["films"]
    for source, spots in enumerate(([SURE], [UNSURE], [])):
        alone = study(spots, conf=0.1).json()
        of_the_study = {name: alone.pop(name) for name in ("study", "operating_mode", "model", "disclaimer")}
        assert of_the_study["study"]["films"] == 1
        assert together[source] == alone | {"source": source, "frame": 0}


def test_a_refused_file_is_a_problem_in_its_place(study):
    refused = study(NO_FILM, []).json()["films"][0]
    assert refused.pop("detail").startswith("expected")
    assert refused == {
        "source": 0,
        "type": "about:blank",
        "title": "Unsupported Media Type",
        "status": 415,
        "code": "unsupported_format",
    }


def test_all_refused_is_the_first_ones_problem(study):
    answer = study(b"", NO_FILM)
    assert (answer.status_code, answer.json()["code"]) == (400, "empty_file")
    assert answer.headers["content-type"] == "application/problem+json"
    assert study(NO_FILM, b"").json()["code"] == "unsupported_format"


def test_all_refused_says_of_each_why(study):
    said = study(b"", NO_FILM, NO_FILM).json()
    assert [error["loc"] for error in said["errors"]] == [["body", "file", source] for source in range(3)]
    kinds = ["empty_file", "unsupported_format", "unsupported_format"]
    assert [error["type"] for error in said["errors"]] == kinds
    assert said["errors"][0]["msg"] == said["detail"] != said["errors"][1]["msg"]


@pytest.mark.parametrize(
    ("films", "status", "note"),
    [
        (([SURE], [UNSURE]), "fracture", "a box on at least one of 2 films reaches the high-specificity"),
        (([UNSURE], []), "doubt", "reaches the high-sensitivity threshold, none the high-specificity one"),
        (([FAINT], []), "no fracture", "no box on any of 2 films reaches a threshold; this does not rule out"),
        (([UNSURE],), "doubt", "a box reaches the high-sensitivity threshold"),
        (([FAINT],), "no fracture", "no box reaches a threshold"),
    ],
)
@pytest.mark.parametrize("query", [{}, {"mode": "screening"}, {"mode": "specific"}, {"conf": 0.99}])
def test_a_study_is_what_its_worst_film_is_whatever_the_mode(study, films, status, note, query):
    said = study(*films, **query).json()["study"]
    assert said["status"] == status
    assert note in said["note"]


def test_a_study_that_lacks_a_film_is_in_doubt(study, paint, picture):
    said = study([], [], NO_FILM, cut(paint, picture)).json()
    assert said["study"]["status"] == "doubt"
    assert said["study"]["note"].endswith(
        "The study stays in doubt, as 1 film is cut short and not every file could be read."
    )
    assert said["study"]["refused"] == 1
    assert study([], NO_FILM).json()["study"]["status"] == "doubt"
    assert study([], cut(paint, picture)).json()["study"]["status"] == "doubt"
    assert study([SURE], NO_FILM).json()["study"]["status"] == "fracture"


def test_a_film_that_is_cut_short_is_in_doubt_itself(study, paint, picture):
    alone = study(cut(paint, picture)).json()
    assert (alone["status"], alone["study"]["status"]) == ("doubt", "doubt")
    assert "The study stays in doubt, as the film is cut short." in alone["study"]["note"]
    assert "reaches the" not in alone["study"]["note"]
    assert study(cut(paint, picture, 255)).json()["status"] == "fracture"


@pytest.mark.parametrize("score", [0.01, 0.5, 0.9])
def test_of_a_film_of_another_kind_nothing_else_is_said(card, score):
    box = Detections(np.array([[2.0, 2.0, 9.0, 9.0]]), np.array([score]), np.zeros(1, np.int64))
    strange = Prediction((40, 30), box, "m", "h", frozenset({FLAG}))
    usual = Prediction((40, 30), Detections.empty(), "m", "h")
    mode = answers.measured_mode(card().operating_point("balanced"))
    alone = answers.answer([answers.Seen(0, 0, strange)], [], mode, card(), None)
    assert alone.status == alone.study.status == "outside"
    assert alone.study.note.startswith("the film is outside the intended use")
    assert not alone.fracture_detected
    assert [(found.certainty, found.chance) for found in alone.detections] == [(None, None)] * (score > 0.1)
    assert alone.film_score.chance is None
    assert alone.warnings[0].startswith("Outside the intended use")
    assert alone.recommendation.startswith("This film is outside what the model is meant for")
    assert "suspected" not in alone.recommendation
    both = answers.answer([answers.Seen(n, 0, film) for n, film in enumerate((usual, strange))], [], mode, card(), None)
    assert [film.status for film in both.films] == ["no fracture", "outside"]
    assert both.study.status == "doubt"
    assert both.study.note.endswith(". The study stays in doubt, as 1 film is outside the intended use.")
    assert "outside" not in answers.answer([answers.Seen(0, 0, usual)], [], mode, card(), None).study.note


def test_a_box_is_definite_suspicious_or_neither(study):
    boxes = study([(2, 2, 12, 12, 255), (20, 20, 30, 30, 200), (40, 40, 50, 50, 150)], conf=0).json()["detections"]
    assert [box["certainty"] for box in boxes] == ["definite", "suspicious", None]


@pytest.mark.parametrize("missing", ["screening", "specific"])
def test_a_card_without_both_thresholds_says_nothing_of_status(serve, card, study, missing):
    points = tuple(point for point in card().operating_points if point.name != missing)
    client = serve(card=card(operating_points=points))
    alone, together = study([SURE], client=client).json(), study([SURE], NO_FILM, client=client).json()
    assert (alone["status"], alone["study"]["status"], alone["detections"][0]["certainty"]) == (None, None, None)
    assert (together["films"][0]["status"], together["study"]["status"]) == (None, None)
    assert "not measured at both thresholds" in together["study"]["note"]
    assert study([SURE], client=client, format="png").headers["content-type"] == "image/png"


def test_a_study_has_so_many_films_frames_included(serve, study, paint):
    client = serve(fracture_max_files=4)
    two = pages(paint(), paint())
    assert study(two, two, client=client).json()["study"]["films"] == 4
    for files in ((two, two, []), (two, two, two), ([], two, two, NO_FILM)):
        refused = study(*files, client=client)
        assert (refused.status_code, refused.json()["code"]) == (413, "too_many_files")
        assert "at most 4 files in one study, each frame counted as one" in refused.json()["detail"]
    assert study(pages(*[paint()] * 5), client=client).json()["code"] == "several_frames"
    assert "fracture_requests_inside 0.0" in client.get("/metrics").text


def test_frames_of_a_dicom_are_films(study, dicom, paint):
    answer = study(dicom(np.stack([paint(), paint(SURE)]))).json()
    assert [(film["source"], film["frame"], film["status"]) for film in answer["films"]] == [
        (0, 0, "no fracture"),
        (0, 1, "fracture"),
    ]


def test_a_name_for_the_study_comes_back(study):
    assert study([], data={"study_id": "x" * 64}).json()["study"]["study_id"] == "x" * 64
    assert study([], [], data={"study_id": ""}).json()["study"]["study_id"] is None


def test_what_nobody_foresaw_in_one_film_is_no_plain_refusal_of_all(serve, study):
    """One film of the study breaks the network. The others are given up, and the log is told of what broke."""
    turn = threading.Lock()
    turns = []

    def fail_once():
        with turn:
            turns.append(1)
            if len(turns) == 2:
                raise ValueError("something of the network's")

    client = serve(before=fail_once, fracture_streams=1)
    answer = study(*[[SURE]] * 6, client=client)
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    assert len(turns) < 6
    assert study([SURE], [SURE], client=client).status_code == 200
    assert "fracture_requests_inside 0.0" in client.get("/metrics").text


def test_what_nobody_foresaw_goes_before_what_was(serve):
    """Of two films of a study one is refused for the service's reasons while the other breaks something."""

    class Scheduler:
        def turn(self, gone, *_):
            return nullcontext()

        async def prepare(self, data, gone, **_):
            raise {b"refused": overloaded("no room", 1), b"broken": ValueError("broken")}[data]

    service = SimpleNamespace(scheduler=Scheduler(), settings=Settings())
    reading = _Reading(Request({"type": "http"}), service)
    for files in ((b"refused", b"broken"), (b"broken", b"refused")):
        with pytest.raises(ValueError, match="broken"):
            asyncio.run(reading.read(files))
    with pytest.raises(RequestRefused, match="no room"):
        asyncio.run(reading.read([b"refused"] * 2))


@pytest.mark.parametrize(
    ("accept", "query", "png"),
    [
        ("image/png", {}, True),
        ("IMAGE/PNG;q=0.9", {}, True),
        ("image/png, application/json", {}, False),
        ("image/*, */*", {}, False),
        ("image/png,*/*;q=0.8", {}, True),
        ("image/png;q=0", {}, False),
        ("image/png;q=0, image/*", {}, False),
        ("image/*", {}, True),
        ("image/*;q=0.5, application/json;q=0.6", {}, False),
        ("image/png;q=0.4, application/*;q=0.3", {}, True),
        ("*/*, application/json;q=0.1", {}, True),
        ("image/png;q=nonsense", {}, False),
        ("image/png;q=1e9", {}, False),
        ("image/png ; Q=0.0", {}, False),
        ("text/html", {}, False),
        ("", {}, False),
        (",;q,/", {}, False),
        ("application/json", {"format": "png"}, True),
        ("image/png", {"format": "json"}, False),
        ("*/*", {}, False),
    ],
)
def test_a_picture_is_given_to_who_asks_for_one(study, accept, query, png):
    answer = study([SURE], headers={"Accept": accept}, **query)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == ("image/png" if png else "application/json")


def decoded(answer):
    assert answer.headers["content-type"] == "image/png"
    return cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_COLOR)


def test_the_picture_shows_the_boxes_of_the_mode(study):
    nothing = decoded(study([], format="png"))
    assert nothing.shape[1] == 900
    film = nothing[:900]
    assert (film[..., 0] == film[..., 2]).all()  # grey
    spots = [SURE, (40, 40, 60, 60, 165)]
    drawn = {mode: decoded(study(spots, format="png", mode=mode))[:900] for mode in ("screening", "specific")}
    coloured = {mode: (film.max(axis=2) - film.min(axis=2) > 40).sum() for mode, film in drawn.items()}
    assert coloured["screening"] > coloured["specific"] > 0


@pytest.mark.parametrize("size", [(1, 40), (3000, 2), (64, 64), (999, 1)])
def test_films_of_any_shape_are_drawn(study, paint, picture, size):
    assert decoded(study(picture(paint(size=size)), format="png")).size


def test_a_picture_is_of_one_film(study, paint):
    for files in (([], []), ([], NO_FILM), (pages(paint(), paint()),)):
        refused = study(*files, format="png")
        assert (refused.status_code, refused.json()["code"]) == (422, "several_frames")
    assert study(NO_FILM, format="png").json()["code"] == "unsupported_format"
    assert study([], format="gif").json()["code"] == "invalid_request"


def test_render_gives_the_films_own_pixels(client, dicom, paint, picture):
    film = paint(SURE, size=(50, 70))
    for data in (
        picture(film),
        picture(film, "TIFF"),
        dicom(film),
        dicom(255 - film, PhotometricInterpretation="MONOCHROME1"),
    ):
        answer = client.post("/render", files={"file": data})
        assert answer.headers["content-type"] == "image/png"
        seen = cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_UNCHANGED)
        assert seen.shape == film.shape
        assert np.abs(seen.astype(int) - film).max() <= 1


def test_render_gives_a_frame(client, paint):
    films = [paint(), paint(UNSURE), paint(SURE)]

    def render(**query):
        return client.post("/render", files={"file": pages(*films)}, params=query)

    for frame, film in enumerate(films):
        answer = render(frame=frame)
        assert (cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_UNCHANGED) == film).all()
    assert render().content == render(frame=0).content
    missing = render(frame=3)
    assert (missing.status_code, missing.json()["detail"]) == (422, "frame: expected 0 to 2, got 3")
    for nonsense in (-1, "one", 10_001):
        assert render(frame=nonsense).json()["code"] == "invalid_request"


def test_render_refuses_as_detect_does(client, picture, paint):
    for data, status, code in ((b"", 400, "empty_file"), (NO_FILM, 415, "unsupported_format")):
        refused = client.post("/render", files={"file": data})
        assert (refused.status_code, refused.json()["code"]) == (status, code)
    two = client.post("/render", files=[("file", picture(paint()))] * 2)
    assert (two.status_code, two.json()["code"]) == (413, "too_many_files")


@pytest.mark.parametrize("charset", ["undefined", "idna", "hex", "no-such-thing", "utf-16"])
def test_a_charset_of_nonsense_breaks_nothing(client, paint, picture, charset):
    body = (
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="f\xff"\r\n\r\n'
        + picture(paint())
        + b"\r\n--x--\r\n"
    )
    kind = f"multipart/form-data; boundary=x; charset={charset}"
    answer = client.post("/detect", content=body, headers={"content-type": kind})
    assert answer.status_code < 500, answer.text


def test_the_card_is_given_whole(client, card):
    told = client.get("/model").json()
    assert told["model_id"] == "scripted-model"
    assert [point["threshold"] for point in told["operating_points"]] == [0.21, 0.47, 0.83]
    assert told["harmonise"]["clahe_clip"] == 0
    assert set(told) == set(vars(card())) | {"default_mode"}
    assert told["default_mode"] == "balanced"
