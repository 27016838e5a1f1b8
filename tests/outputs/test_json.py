"""predictions.jsonl: what is written is what is read back, and a broken line is named."""

import json

import numpy as np
import pytest

from fracture.errors import BadValue
from fracture.outputs.json import detections_json, line, read_lines, warnings_for
from fracture.types import Detections, Prediction, Refusal

FOUND = Detections(np.array([[1.0, 2.0, 30.5, 40.25], [5.0, 5.0, 9.0, 9.0]]), np.array([0.9, 0.1]), np.array([0, 1]))
CLASSES = ("fracture", "metal")
ANSWER = Prediction((100, 200), FOUND, "model", "h1-x", frozenset({"truncated"}))


def test_a_prediction_survives_the_file(tmp_path):
    file = tmp_path / "predictions.jsonl"
    refusal = Refusal("no_pixels", "a report")
    file.write_text(line("a.png", ANSWER, CLASSES) + "\n" + line("b.dcm", refusal, CLASSES) + "\n")
    (path, back), (other, reason) = read_lines(file, CLASSES)
    assert (path, other, reason) == ("a.png", "b.dcm", refusal)
    np.testing.assert_array_equal(back.detections.xyxy, FOUND.xyxy)
    np.testing.assert_array_equal(back.detections.label, FOUND.label)
    assert (back.film_px, back.flags, back.harmonise_id) == (ANSWER.film_px, ANSWER.flags, ANSWER.harmonise_id)


def test_every_box_names_its_class_and_its_guess():
    first, second = detections_json(FOUND, (100, 200), CLASSES)
    assert (first["class"], second["class"]) == CLASSES
    assert first["bbox_xyxy"] == [1.0, 2.0, 30.5, 40.25]
    assert "best guess" in first["notes"]


def test_a_broken_line_is_named(tmp_path):
    file = tmp_path / "predictions.jsonl"
    file.write_text(line("a.png", ANSWER, CLASSES) + "\n" + json.dumps({"path": "b"}) + "\n")
    with pytest.raises(BadValue, match="line 2"):
        list(read_lines(file, CLASSES))


def test_a_truncated_film_is_put_into_words_and_colour_is_no_news():
    assert "ends early" in warnings_for(frozenset({"truncated", "colour"}))[0]
    assert warnings_for(frozenset({"colour", "inverted"})) == []
