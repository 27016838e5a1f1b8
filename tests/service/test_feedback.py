"""Corrections: what readers say is kept by the film's SHA-256, given out as COCO, and nothing else is kept."""

import hashlib
import json
import sqlite3
import stat
from concurrent.futures import ThreadPoolExecutor

import pytest

from fracture.core.errors import BadValue, MissingData
from fracture.service import feedback
from fracture.service.feedback import Corrected, Feedback, FeedbackUnavailable

SPOT = (10, 12, 30, 40, 230)
RIGHT, MINE = [10, 12, 30, 40], [40.5, 4, 60, 20]


@pytest.fixture
def kept(tmp_path):
    return tmp_path / "feedback.sqlite"


@pytest.fixture
def client(serve, kept):
    return serve(fracture_feedback=kept)


@pytest.fixture
def correct(client):
    """Give the way to correct a film."""

    def send(data, client=client, **correction):
        fields = {"correction": json.dumps(correction)}
        return client.post("/feedback", files={"file": ("Secret^Patient.png", data)}, data=fields)

    return send


def one(**changes):
    said = {"sha256": "0" * 64, "frame": 0, "film_px": (64, 48), "truth": "fracture", "boxes": [RIGHT], "wrong": []}
    return Corrected(**(said | {"model": "m 1"} | changes))


def test_a_correction_comes_back_as_coco_by_the_films_hash(client, correct, picture, paint):
    film = picture(paint(SPOT))
    answer = correct(film, truth="fracture", boxes=[RIGHT, MINE], wrong=[[1, 2, 5, 9]])
    assert answer.status_code == 200
    sha256 = hashlib.sha256(film).hexdigest()
    assert answer.json()["sha256"] == sha256
    coco = client.get("/feedback/coco").json()
    [image] = coco["images"]
    assert image["sha256"] == image["file_name"] == sha256
    assert (image["width"], image["height"], image["fractured"]) == (64, 64, True)
    assert image["model"] == "scripted-model 7"
    names = {category["id"]: category["name"] for category in coco["categories"]}
    drawn = [(names[a["category_id"]], a["bbox"], a["image_id"]) for a in coco["annotations"]]
    assert drawn == [
        ("fracture", [10, 12, 20, 28], image["id"]),
        ("fracture", [40.5, 4, 19.5, 16], image["id"]),
        ("not a fracture", [1, 2, 4, 7], image["id"]),
    ]
    assert [a["id"] for a in coco["annotations"]] == [1, 2, 3]


def test_of_a_film_the_last_correction_counts(client, correct, picture, paint):
    first, second = picture(paint(SPOT)), picture(paint(SPOT, (*SPOT[:4], 180)))
    for film, said in (
        (first, {"truth": "fracture", "boxes": [RIGHT]}),
        (second, {"truth": "cannot tell"}),
        (first, {"truth": "no fracture", "wrong": [RIGHT]}),
    ):
        assert correct(film, **said).status_code == 200
    images = {image["sha256"]: image for image in client.get("/feedback/coco").json()["images"]}
    by_film = [images[hashlib.sha256(film).hexdigest()] for film in (first, second)]
    assert [(image["fractured"], image["corrections"]) for image in by_film] == [(False, 2), (None, 1)]


def test_frames_of_a_file_are_corrected_apart(client, correct, dicom, paint):
    import numpy as np

    film = dicom(np.stack([paint(SPOT), paint(SPOT)]))
    assert correct(film, truth="no fracture", frame=1).json()["frame"] == 1
    assert correct(film, truth="fracture", boxes=[RIGHT]).status_code == 200
    assert correct(film, truth="fracture", frame=2).status_code == 422
    assert [(i["frame"], i["fractured"]) for i in client.get("/feedback/coco").json()["images"]] == [
        (1, False),
        (0, True),
    ]


def test_nothing_of_film_name_or_person_is_kept(correct, kept, dicom, paint):
    film = dicom(paint(SPOT))
    assert correct(film, truth="fracture", boxes=[RIGHT]).status_code == 200
    written = kept.read_bytes()
    assert b"Secret" not in written
    assert film[200:260] not in written
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("said", "where"),
    [
        ({"truth": "maybe"}, "correction.truth"),
        ({}, "correction.truth"),
        ({"truth": "no fracture", "boxes": [RIGHT]}, "expected no boxes of fractures"),
        ({"truth": "fracture", "boxes": [[30, 12, 10, 40]]}, "correction.boxes.0: "),
        ({"truth": "fracture", "boxes": [[0, 0, 9]]}, "correction.boxes.0"),
        ({"truth": "fracture", "wrong": [[0, 0, 9, float("nan")]]}, "correction"),
        ({"truth": "fracture", "boxes": [[0, 0, 90, 9]]}, "64 x 64 px, got 0, 0, 90, 9"),
        ({"truth": "fracture", "boxes": [RIGHT] * 101}, "correction.boxes"),
        ({"truth": "fracture", "frame": -1}, "correction.frame"),
        ({"truth": "fracture", "reader": "Dr. Who"}, "correction.reader"),
        ({"truth": "fracture", "boxes": [RIGHT], "wrong": [RIGHT]}, "to be right or wrong"),
        ({"truth": "cannot tell", "wrong": [RIGHT]}, "no wrong boxes where nobody can tell"),
        ({"truth": "fracture", "boxes": [[5, 5, 5.5, 30]]}, "a pixel or more each way"),
        ({"truth": "fracture", "boxes": [["0", "0", "9", "9"]]}, "correction.boxes.0.0"),
        ({"truth": "fracture", "frame": "0"}, "correction.frame"),
    ],
)
def test_what_is_no_correction_is_refused_by_name(client, correct, picture, paint, said, where):
    refused = correct(picture(paint(SPOT)), **said)
    assert refused.status_code == 422
    assert where in refused.json()["detail"]
    assert client.get("/feedback/coco").json()["images"] == []


def test_what_is_no_film_and_no_form_is_refused(client, correct):
    assert correct(b"no film", truth="fracture").status_code == 415
    for data in ({}, {"correction": "{"}, {"correction": "{}", "name": "Miller"}):
        refused = client.post("/feedback", files={"file": ("a.png", b"x")}, data=data)
        assert (refused.status_code, refused.json()["code"]) == (422, "invalid_request")
        assert "Miller" not in refused.text


def test_a_film_is_forgotten(client, correct, picture, paint, kept):
    film = picture(paint(SPOT))
    for truth in ("fracture", "cannot tell"):
        correct(film, truth=truth)
    sha256 = hashlib.sha256(film).hexdigest()
    assert client.delete(f"/feedback/films/{sha256}").json() == {"corrections": 2}
    assert client.get("/feedback/coco").json()["images"] == []
    assert sha256.encode() not in kept.read_bytes(), "what was deleted is overwritten"
    assert client.delete(f"/feedback/films/{sha256}").json() == {"corrections": 0}
    assert client.delete("/feedback/films/nothing").status_code == 422


def test_it_is_off_unless_a_file_is_named(serve, picture, paint):
    client = serve()
    assert client.get("/health").json()["feedback"] is False
    answers = [
        client.post("/feedback", files={"file": ("a.png", picture(paint(SPOT)))}, data={"correction": "{}"}),
        client.get("/feedback/coco"),
        client.delete(f"/feedback/films/{'0' * 64}"),
    ]
    assert {(answer.status_code, answer.json()["code"]) for answer in answers} == {(404, "feedback_off")}


def test_operators_alone_correct(serve, kept):
    keys = {role: f"{role}-{'k' * 20}" for role in ("viewer", "operator")}
    listed = ",".join(f"{role}:{key}" for role, key in keys.items())
    client = serve(elsewhere=True, fracture_feedback=kept, fracture_api_keys=listed)
    asked = {role: client.get("/feedback/coco", headers={"X-API-Key": key}) for role, key in keys.items()}
    assert [asked[role].status_code for role in keys] == [403, 200]
    assert client.get("/feedback/coco").status_code == 401
    assert client.get("/health", headers={"X-API-Key": keys["viewer"]}).json()["feedback"] is True


def test_many_write_at_once_and_nothing_is_lost(kept):
    base = Feedback(kept)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: base.keep(one(sha256=f"{n:064x}")), range(64)))
    assert len(Feedback(kept).coco()["images"]) == 64


def test_what_is_no_file_of_corrections_is_refused_at_the_start(tmp_path):
    other, text = tmp_path / "other.sqlite", tmp_path / "text"
    with sqlite3.connect(other) as base:
        base.execute("CREATE TABLE patients (name TEXT)")
    text.write_text("not a database, and long enough to be read as one's head " * 4)
    for path in (other, text, tmp_path):
        with pytest.raises(BadValue, match="corrections"):
            Feedback(path)
    assert text.read_text().startswith("not a database"), "nothing is overwritten"
    with pytest.raises(MissingData, match="folder"):
        Feedback(tmp_path / "none" / "f.sqlite")


def test_a_full_or_missing_file_is_a_refusal_that_says_so(kept, monkeypatch):
    monkeypatch.setattr(feedback, "MOST_BYTES", 10 * feedback.PAGE_BYTES)
    base = Feedback(kept)

    def fill():
        for number in range(1000):
            base.keep(one(sha256=f"{number:064x}"))

    with pytest.raises(FeedbackUnavailable, match="full"):
        fill()
    assert base.coco()["images"], "what was kept can still be read"
    kept.unlink()
    with pytest.raises(FeedbackUnavailable):
        base.keep(one())
    assert not kept.exists(), "a file that was moved away is not begun anew"


def test_a_set_up_that_was_cut_short_is_done_again(kept, monkeypatch):
    real = sqlite3.connect

    class Cut(sqlite3.Connection):
        def execute(self, statement, *values):
            if statement.startswith("CREATE INDEX"):
                raise sqlite3.OperationalError("disk I/O error")
            return super().execute(statement, *values)

    monkeypatch.setattr(sqlite3, "connect", lambda *args, **more: real(*args, **more, factory=Cut))
    with pytest.raises(BadValue, match="disk I/O error"):
        Feedback(kept)
    monkeypatch.undo()
    Feedback(kept).keep(one())
    assert len(Feedback(kept).coco()["images"]) == 1


def test_services_that_start_together_share_a_new_file(kept):
    with ThreadPoolExecutor(8) as pool:
        bases = list(pool.map(lambda _: Feedback(kept), range(8)))
    assert bases[0].keep(one())


def test_a_file_that_was_replaced_is_noticed(kept):
    base = Feedback(kept)
    kept.unlink()
    with sqlite3.connect(kept) as other:
        other.execute("CREATE TABLE corrections (name TEXT)")
    for call in (base.coco, lambda: base.keep(one())):
        with pytest.raises(FeedbackUnavailable, match="another SQLite file"):
            call()
    kept.unlink()
    kept.touch()
    base.keep(one())
    assert len(base.coco()["images"]) == 1, "an empty file is begun"


@pytest.mark.parametrize("boxes", ["[[1,2,3", "[[1, 2]]", "3"])
def test_a_row_that_cannot_be_read_is_named(kept, boxes):
    base = Feedback(kept)
    base.keep(one())
    with sqlite3.connect(kept) as other:
        other.execute("UPDATE corrections SET boxes = ?", (boxes,))
    with pytest.raises(FeedbackUnavailable, match="0000000000 cannot be read"):
        base.coco()


def test_the_address_says_nothing_of_a_correction(client, picture, paint):
    form = {"files": {"file": ("a.png", picture(paint(SPOT)))}, "data": {"correction": '{"truth": "fracture"}'}}
    assert client.post("/feedback?truth=fracture", **form).status_code == 422
    assert client.post("/feedback", **form).status_code == 200
