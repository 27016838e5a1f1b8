"""Whole answers: a film through the real decoder, preparation and reader, with only the network scripted."""

import logging
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from starlette.testclient import TestClient

from fracture.inference.reader import Reader
from fracture.metrics.calibration import Calibration
from fracture.service.http.main import create_app
from fracture.service.http.settings import Settings

SPOT = (10, 20, 30, 40, 255)
THREE = (SPOT, (40, 5, 50, 15, 200), (40, 40, 60, 60, 165))  # scores 1, .56, .28


def test_one_film_whole_answer(detect, paint, picture):
    response = detect(picture(paint(SPOT)))
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    answer = response.json()
    notes = answer["detections"][0].pop("notes")
    assert "best guess" in notes
    recommendation, disclaimer = answer.pop("recommendation"), answer.pop("disclaimer")
    assert "A fracture is suspected." in recommendation
    assert disclaimer.startswith("Not a medical device")
    assert "no diagnosis" in disclaimer
    assert answer == {
        "image_size": {"width": 64, "height": 64},
        "pixel_spacing_mm": None,
        "status": "fracture",
        "study": {
            "study_id": None,
            "status": "fracture",
            "note": "a box reaches the high-specificity threshold",
            "films": 1,
            "refused": 0,
        },
        "operating_mode": {
            "mode": "balanced",
            "conf_threshold": 0.47,
            "shown_from": 0.47,
            "note": "threshold chosen on made-up val: rule of balanced",
            "measured": {
                "measured_on": "made-up val",
                "rule": "rule of balanced",
                "reached": True,
                "sensitivity": {"value": 0.83, "low": pytest.approx(0.78), "high": pytest.approx(0.88), "n": 70},
                "specificity": {"value": 0.84, "low": pytest.approx(0.79), "high": pytest.approx(0.89), "n": 300},
            },
        },
        "fracture_detected": True,
        "num_detections": 1,
        "detections": [
            {
                "bbox_xyxy": [10.0, 20.0, 30.0, 40.0],
                "confidence": 1.0,
                "certainty": "definite",
                "chance": None,
                "class": "fracture",
                "fracture_type": "comminuted or displaced (best guess)",
                "severity": "severe (best guess)",
            }
        ],
        "deciding_box": 0,
        "film_score": {"value": 1.0, "made_by": "best box", "chance": None},
        "warnings": [],
        "model": {"id": "scripted-model", "version": "7", "date": "2031-05-06"},
    }


def test_a_score_has_its_chance_where_the_card_was_calibrated(serve, card, paint, picture):
    calibration = Calibration(temperature=0.9, shift=-1.6, fitted_on="made-up val", prevalence=0.2)
    client = serve(card=card(calibration=calibration))
    answer = client.post("/detect", params={"mode": "screening"}, files={"file": picture(paint(*THREE))}).json()
    scores = np.array([box["confidence"] for box in answer["detections"]])
    chances = [box["chance"] for box in answer["detections"]]
    assert chances == [round(chance, 3) for chance in calibration.probability(scores).tolist()]
    assert answer["film_score"]["chance"] == chances[0] > chances[-1] > 0


def test_the_spacing_of_a_films_pixels_is_told(detect, paint, dicom):
    film = paint(SPOT)
    assert detect(dicom(film, PixelSpacing=[0.2, 0.1])).json()["pixel_spacing_mm"] == [0.2, 0.1]
    assert detect(dicom(film, ImagerPixelSpacing=[0.15, 0.15])).json()["pixel_spacing_mm"] == [0.15, 0.15]
    assert detect(dicom(film)).json()["pixel_spacing_mm"] is None


def test_modes_are_the_cards(detect, paint, picture):
    film = picture(paint(*THREE))
    found = {mode: detect(film, mode=mode).json() for mode in ("screening", "balanced", "specific")}
    assert [answer["num_detections"] for answer in found.values()] == [3, 2, 1]
    assert [answer["operating_mode"]["conf_threshold"] for answer in found.values()] == [0.21, 0.47, 0.83]
    assert [answer["operating_mode"]["mode"] for answer in found.values()] == list(found)
    said = {answer["recommendation"] for answer in found.values()}
    assert len(said) == 1, "what is said holds whichever boxes are shown"


def test_a_mode_says_first_what_it_does_on_test(serve, detect, card, paint, picture):
    def rate(value, n):
        return {"value": value, "low": 0.0, "high": 1.0, "n": n, "n_groups": n, "method": "wilson", "note": ""}

    told = {"threshold": 0.47, "sensitivity": rate(0.63, 171), "specificity": rate(0.89, 503)}
    test = {"films": "made-up test, 171 with and 503 without a fracture", "modes": {"balanced": told}}
    client = serve(card=card(measured={"test": test}))
    said = {mode: detect(picture(paint()), client=client, mode=mode).json() for mode in ("balanced", "screening")}
    assert said["balanced"]["operating_mode"]["note"] == (
        "of 100 films with a fracture it flagged 63, of 100 films without a fracture it flagged 11 "
        "(made-up test, 171 with and 503 without a fracture); threshold chosen on made-up val: rule of balanced"
    )
    assert said["screening"]["operating_mode"]["note"].startswith("threshold chosen on")


def test_a_missed_target_and_a_rate_that_cannot_be_estimated_are_said(detect, paint, picture):
    mode = detect(picture(paint()), mode="specific").json()["operating_mode"]
    assert "NOT reached" in mode["note"]
    assert mode["measured"]["reached"] is False
    unknown = {"value": None, "low": None, "high": None, "n": 0, "note": "no normal films"}
    assert mode["measured"]["specificity"] == unknown


def test_another_card_has_other_modes(serve, card, detect, paint, picture):
    points = tuple(point for point in card().operating_points if point.name == "screening")
    client = serve(card=card(operating_points=points))
    assert detect(picture(paint()), client=client, mode="screening").status_code == 200
    refused = detect(picture(paint()), client=client)
    assert refused.status_code == 422
    assert "expected one of screening; got 'balanced'" in refused.json()["detail"]


@pytest.mark.parametrize(("conf", "count"), [(0, 3), (0.5, 2), (0.9, 1), (1, 1)])
def test_conf_says_which_boxes_are_shown_and_claims_no_measurement(detect, paint, picture, conf, count):
    answer = detect(picture(paint(*THREE)), conf=conf).json()
    assert answer["num_detections"] == len(answer["detections"]) == count
    mode = answer["operating_mode"]
    assert (mode["mode"], mode["conf_threshold"], mode["shown_from"], mode["measured"]) == ("custom", conf, conf, None)
    assert "not measured" in mode["note"]
    answer = detect(picture(paint(*THREE)), conf=conf, mode="specific").json()
    assert answer["num_detections"] == count
    mode = answer["operating_mode"]
    assert (mode["mode"], mode["conf_threshold"], mode["shown_from"]) == ("specific", 0.83, conf)
    assert mode["measured"]["sensitivity"]["n"] == 70


@pytest.mark.parametrize(
    ("query", "spots", "told"),
    [
        # One film was in doubt without a box; one had no fracture, detected; one a fracture that was not.
        ({"mode": "balanced"}, [(40, 40, 60, 60, 165)], ("doubt", False, ["suspicious"], "In doubt: the film")),
        ({"conf": 0.001}, [(40, 40, 60, 60, 140)], ("no fracture", False, [None], "No box reached a threshold.")),
        ({"conf": 1}, [(10, 20, 30, 40, 250)], ("fracture", True, ["definite"], "A fracture is suspected.")),
    ],
)
def test_status_flag_and_boxes_agree(detect, paint, picture, query, spots, told):
    answer = detect(picture(paint(*spots)), **query).json()
    certainty = [box["certainty"] for box in answer["detections"]]
    assert (answer["status"], answer["fracture_detected"], certainty) == told[:3]
    assert answer["recommendation"].startswith(told[3])
    assert answer["study"]["status"] == answer["status"]


@pytest.mark.parametrize("conf", [0, 0.5])
def test_nothing_found_does_not_rule_out(detect, paint, picture, conf):
    answer = detect(picture(paint()), conf=conf).json()
    assert (answer["fracture_detected"], answer["num_detections"], answer["detections"]) == (False, 0, [])
    assert "does not rule out" in answer["recommendation"]


def test_boxes_are_in_pixels_of_the_decoded_film(detect, paint, picture):
    # The network sees this film four times smaller, padded at its top and bottom.
    answer = detect(picture(paint((40, 20, 120, 60, 255), size=(256, 100)))).json()
    assert answer["image_size"] == {"width": 256, "height": 100}
    assert answer["detections"][0]["bbox_xyxy"] == pytest.approx([40, 20, 120, 60], abs=4)


def test_every_format_gives_the_same_answer(detect, dicom, paint, picture):
    film = paint(*THREE)
    expected = detect(picture(film)).json()
    assert detect(picture(film, "TIFF"), "x.dcm").json() == expected
    assert detect(dicom(film), "x.png").json() == expected
    assert detect(picture(np.stack([film] * 3, axis=2)), "no extension").json() == expected


def test_monochrome1_equals_monochrome2(detect, dicom, paint):
    film = paint(*THREE)
    expected = detect(dicom(film)).json()
    assert expected["num_detections"] == 2
    assert detect(dicom(255 - film, PhotometricInterpretation="MONOCHROME1")).json() == expected


def test_a_truncated_film_is_never_a_plain_no(detect, paint, picture):
    noise = np.random.default_rng(1).integers(0, 100, (64, 64), dtype=np.uint8)
    whole = picture(noise, "JPEG", quality=95)
    assert detect(whole).json()["warnings"] == []
    answer = detect(whole[: len(whole) // 2]).json()
    assert answer["num_detections"] == 0
    assert any("part of the film is missing" in warning for warning in answer["warnings"])
    assert "Part of the film is missing" in answer["recommendation"]
    assert "absence of a fracture cannot be concluded" in answer["recommendation"]
    assert "does not rule out" in answer["recommendation"]

    noise[4:14, 4:24] = 255
    whole = picture(noise, "JPEG", quality=95)
    answer = detect(whole[: len(whole) * 3 // 4]).json()
    assert answer["fracture_detected"] is True
    assert "absence of a fracture cannot be concluded" in answer["recommendation"]


@pytest.mark.parametrize(
    "name",
    ["jane_doe.png", "../../jane_doe.png", "C:\\jane_doe.dcm", "/etc/jane_doe", "jane_doe\r\nX: 1", "jane_doe" * 400],
)
def test_the_uploads_name_matters_to_nothing_and_reaches_nothing(detect, dicom, paint, picture, caplog, name):
    caplog.set_level(logging.DEBUG)
    expected = detect(picture(paint(SPOT)), "x").json()
    answered = detect(picture(paint(SPOT)), name)
    assert answered.json() == expected
    refused = detect(b"no film", name)
    assert refused.status_code == 415
    tagged = detect(dicom(paint(SPOT)), name)
    said = answered.text + refused.text + tagged.text + str([*answered.headers.items(), *refused.headers.items()])
    assert "jane_doe" not in said + caplog.text
    assert "Secret" not in said + caplog.text


def test_concurrent_answers_equal_lone_answers(detect, paint, picture):
    films = [picture(paint((n, 2 * n, n + 15, 2 * n + 10, 200 + n), (50, 50, 60, 60, 255))) for n in range(16)]
    alone = [detect(film).json() for film in films]
    assert len({str(answer) for answer in alone}) == 16
    with ThreadPoolExecutor(32) as pool:
        together = list(pool.map(lambda film: detect(film).json(), films * 2))
    assert together == alone * 2


def test_a_slow_network_does_not_block_the_service(serve, detect, paint, picture):
    entered, go_on = threading.Event(), threading.Event()

    def wait():
        entered.set()
        assert go_on.wait(20)

    client = serve(before=wait)
    with ThreadPoolExecutor(1) as pool:
        film = pool.submit(detect, picture(paint(SPOT)), client=client)
        try:
            assert entered.wait(20)
            with ThreadPoolExecutor(1) as other:
                health = other.submit(client.get, "/health").result(timeout=10)
        finally:
            go_on.set()
        assert health.json()["status"] == "ok"
        assert film.result().status_code == 200


def test_no_more_films_at_once_than_streams(serve, detect, paint, picture):
    lock, running, most, full = threading.Lock(), 0, 0, threading.Event()

    def count():
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
            if running >= 3:
                full.set()
        full.wait(20)  # hold the first ones until all places are taken
        threading.Event().wait(0.02)
        with lock:
            running -= 1

    client = serve(before=count, fracture_streams=3)
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda _: detect(picture(paint(SPOT)), client=client), range(12)))
    assert {answer.status_code for answer in answers} == {200}
    assert most == 3


def test_health(client):
    assert client.get("/health").json() == {
        "status": "ok",
        "model": {"id": "scripted-model", "version": "7", "date": "2031-05-06"},
        "backend": "scripted",
        "operating_modes": ["screening", "balanced", "specific"],
        "feedback": False,
        "clinics": False,
    }


def test_the_interface_is_described(client):
    described = client.get("/openapi.json").json()["paths"]["/detect"]["post"]
    assert {"200", "400", "401", "408", "413", "415", "422", "429", "503"} == set(described["responses"])
    assert list(described["responses"]["422"]["content"]) == ["application/problem+json"]
    examples = described["responses"]["200"]["content"]["application/json"]["examples"]
    assert examples["film"]["value"]["detections"][1]["certainty"] == "suspicious"
    assert [film.get("code") for film in examples["study"]["value"]["films"]] == [None, "unsupported_format", None]
    fields = described["requestBody"]["content"]["multipart/form-data"]["schema"]["properties"]
    assert set(fields) == {"file", "study_id", "mode", "conf", "lat", "lng", "format"}


def test_headers(client, detect, paint, picture):
    responses = [client.get("/health"), client.get("/nowhere"), detect(picture(paint())), detect(b"")]
    for response in responses:
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["cache-control"] == "no-store"
    assert len({response.headers["x-request-id"] for response in responses}) == 4
    foreign = client.get("/health", headers={"Origin": "https://elsewhere.example", "X-Request-ID": "theirs"})
    assert not [name for name in foreign.headers if name.startswith("access-control")]
    assert foreign.headers["x-request-id"] != "theirs"


def test_torch_is_never_imported():
    code = f"""
import runpy, sys
made = runpy.run_path({str(Path(__file__).with_name("conftest.py"))!r})
from starlette.testclient import TestClient
from app.main import create_app
from fracture.service.http.settings import Settings
from fracture.inference.reader import Reader
film = made["encode"](made["paint_film"]((5, 5, 20, 20, 255)))
app = create_app(Settings(fracture_auth="off"), Reader(made["make_card"](), made["Spots"]()))
with TestClient(app) as client:
    assert client.get("/health").status_code == 200
    assert client.post("/detect", files={{"file": film}}).json()["num_detections"] == 1
print(sorted({{"torch", "torchvision", "ultralytics"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_network_whose_answer_is_no_number_has_read_nothing(sandbox, card, paint, picture):
    """Not "no fracture", and not the film's fault."""

    class Broken:
        name = "broken"

        def __call__(self, pixels):
            return np.full((5, 3), np.nan, np.float32)

    app = create_app(Settings(), Reader(card(), Broken()), sandbox)
    with TestClient(app, base_url="http://127.0.0.1:8000", client=("127.0.0.1", 1)) as client:
        answer = client.post("/detect", files={"file": ("film.png", picture(paint(SPOT)))})
    assert answer.status_code == 500
    assert answer.json()["code"] == "broken_answer"


@pytest.mark.parametrize("field", ["mode=specific", "conf=0.99", "lat=91", "format=gif", "lng=1"])
def test_a_field_of_the_form_asks_as_the_query_does(client, paint, picture, field):
    name, value = field.split("=")
    film = {"file": picture(paint(*THREE))}
    in_form = client.post("/detect", files=film, data={name: value})
    in_query = client.post("/detect", files=film, params={name: value})
    assert in_form.status_code == in_query.status_code
    if in_form.status_code == 200:
        assert in_form.json() == in_query.json() != client.post("/detect", files=film).json()
    else:
        assert name in in_form.json()["detail"]
    both = client.post("/detect", files=film, data={name: value}, params={name: value})
    assert both.status_code == in_form.status_code


@pytest.mark.parametrize(
    ("form", "query", "field"),
    [
        ({}, {"threshold": 0.99}, "threshold"),
        ({"threshold": 0.99}, {}, "threshold"),
        ({"Mode": "specific"}, {}, "Mode"),
        ({"conf": 0.5}, {"conf": 0.6}, "conf"),
        ({"mode": ["specific", "screening"]}, {}, "mode"),
        ({}, {"mode": ["specific", "screening"]}, "mode"),
        ({"frame": 1}, {}, "frame"),
        ({"threshold": ""}, {}, "threshold"),
        ({"study_id": ["17", "18"]}, {}, "study_id"),
        ({}, {"study_id": "17"}, "study_id"),
        ({"file": "the name of a film"}, {}, "file"),
    ],
)
def test_what_is_not_known_or_contradicts_itself_is_refused_by_name(client, paint, picture, form, query, field):
    refused = client.post("/detect", files={"file": picture(paint())}, data=form, params=query)
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_request")
    assert field in [error["loc"][-1] for error in refused.json()["errors"]]


def test_render_knows_its_own_fields(client, paint, picture):
    film = {"file": picture(paint())}
    assert client.post("/render", files=film, data={"frame": "0"}).status_code == 200
    assert client.post("/render", files=film, data={"frame": ""}).status_code == 200
    for wrong in (
        *({"data": one} for one in ({"frame": "1"}, {"mode": "balanced"}, {"study_id": "17"})),
        {"params": {"conf": 1}},
    ):
        assert client.post("/render", files=film, **wrong).status_code == 422


@pytest.mark.parametrize("path", ["/detect/", "/render/", "/health/", "/docs/", "/viewer.js/"])
def test_no_answer_leads_to_the_host_that_a_caller_named(client, paint, picture, path):
    for send in (client.get, client.post):
        answer = send(path, headers={"Host": "evil.example"}, follow_redirects=False)
        assert answer.status_code in {401, 404, 405}
        assert "evil.example" not in answer.text + str(answer.headers)
