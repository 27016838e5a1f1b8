"""The names that a Python program uses: answers are the service's, from a path, bytes or pixels."""

import subprocess
import sys

import cv2
import numpy as np
import pytest

import fracture
from fracture.core.errors import BadValue, FractureError
from fracture.data.samples import samples
from fracture.inference.reader import Reader

FOUND = samples()[1]


@pytest.fixture(scope="module")
def model():
    with fracture.load() as opened:
        yield opened


def test_there_are_five_names_and_a_plain_import_takes_none_of_them():
    assert sorted(fracture.__all__) == ["Answer", "Box", "Model", "load", "to_pandas"]
    assert all(getattr(fracture, name).__doc__ for name in fracture.__all__)
    code = "import sys, fracture; print('numpy' in sys.modules, hasattr(fracture, 'nothing'))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.split() == ["False", "False"]


def test_path_bytes_and_pixels_give_one_answer_which_is_the_readers(model):
    grey = cv2.imread(str(FOUND.path), cv2.IMREAD_GRAYSCALE)
    ways = [FOUND.path, str(FOUND.path), FOUND.path.read_bytes(), grey]
    answers = [model.read(film) for film in ways]
    assert [answer.film for answer in answers] == [str(FOUND.path), str(FOUND.path), "bytes", "array"]
    first = answers[0]
    for other in answers[1:]:
        assert (other.boxes, other.status, other.chance) == (first.boxes, first.status, first.chance)
    prediction = Reader.load().read(FOUND.path.read_bytes())
    threshold = model.modes["balanced"]
    assert [box.score for box in first.boxes] == prediction.detections.above(threshold).score.tolist()
    assert first.boxes[0].xyxy == tuple(prediction.detections.xyxy[0])
    assert (first.status, first.flagged, first.size_px, first.mode) == ("fracture", True, FOUND.size_px, "balanced")
    assert first.score == first.boxes[0].score
    assert 0 < first.boxes[-1].chance < first.chance == first.boxes[0].chance < 1
    assert len(model.read(grey, every_box=True).boxes) == len(prediction.detections)


def test_pixels_of_sixteen_bits_are_read(model):
    grey = cv2.imread(str(FOUND.path), cv2.IMREAD_GRAYSCALE).astype(np.uint16) * 257
    assert model.read(grey).status == "fracture"


@pytest.mark.parametrize(
    "wrong", [np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4)), np.zeros((0, 4), np.uint8), 7, None], ids=repr
)
def test_what_is_no_film_is_refused_by_name(model, wrong):
    with pytest.raises(BadValue, match=r"film: expected a path, bytes, or grey pixels .* got "):
        model.read(wrong)


def test_of_many_films_a_refused_one_keeps_no_other_back(model, tmp_path):
    (tmp_path / "notes.txt").write_text("no film")
    films = [tmp_path / "notes.txt", FOUND.path, tmp_path / "absent.png"]
    refused, read, absent = model.read_all(films)
    assert (refused.status, refused.error.partition(":")[0]) == (None, "unsupported_format")
    assert (read.status, read.error) == ("fracture", "")
    assert absent.error.startswith("unreadable_file: No such file")
    with pytest.raises(FractureError):
        model.read(films[0])


def test_a_mode_is_one_of_the_cards():
    with fracture.load(mode="specific") as strict:
        assert strict.read(FOUND.path).boxes[-1].score >= strict.modes["specific"]
    with pytest.raises(BadValue, match="screening, balanced, specific"):
        fracture.load(mode="loose")


def test_a_drawing_has_the_film_and_the_legend(model):
    height, width, colours = model.draw(FOUND.path).shape
    assert height > width > 0
    assert colours == 3


def test_tables(model):
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    answers = list(model.read_all([sample.path for sample in samples()[:3]] + [b"no film"]))
    films = fracture.to_pandas(answers)
    assert isinstance(films, pandas.DataFrame)
    assert films["boxes"].tolist() == [len(answer.boxes) for answer in answers]
    assert films["error"].str.len().gt(0).tolist() == [False, False, False, True]
    boxes = fracture.to_pandas(answers, boxes=True)
    assert len(boxes) == sum(films["boxes"])
    assert boxes["x0"][0] == answers[1].boxes[0].xyxy[0]


def test_supervision(model):
    pytest.importorskip("supervision", reason="supervision is not installed")
    answer = model.read(FOUND.path)
    found = answer.to_supervision()
    assert found.xyxy == pytest.approx(np.array([box.xyxy for box in answer.boxes]), abs=1e-3)
    assert found.confidence == pytest.approx([box.score for box in answer.boxes])
    assert found.data["class_name"].tolist() == ["fracture"] * len(answer.boxes)
    assert len(fracture.Answer("x").to_supervision()) == 0
