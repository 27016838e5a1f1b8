"""What a line of predictions.jsonl says of a film is what the service answers, whatever is asked for."""

import json
from dataclasses import replace

import numpy as np
import pytest

from fracture.core.errors import BadValue
from fracture.core.types import Detections, ImageRecord, Prediction
from fracture.inference.asked import Asked
from fracture.models import card as cards
from fracture.predictions import load_predictions
from fracture.predictions.jsonl import line
from fracture.service.http import answers

CARD = cards.load(cards.SHIPPED)
SPECIFIC, SCREENING = CARD.thresholds.specific, CARD.thresholds.screening


def predicted(*scores, flags=()):
    boxes = np.array([[10.0 * n, 5, 10 * n + 8, 20] for n in range(len(scores))]).reshape(-1, 4)
    found = Detections(boxes, np.array(scores, float), np.zeros(len(scores), np.int64))
    return Prediction((200, 100), found, CARD.model_id, CARD.harmonise.harmonise_id, frozenset(flags))


FILMS = [
    predicted(),
    predicted(SPECIFIC + 0.1, SPECIFIC, SCREENING, SCREENING / 2, 0.001),
    predicted(SCREENING, 0.001),
    predicted(0.002),
    predicted(SPECIFIC + 0.1, 0.002, flags=["outside_scope"]),
    predicted(SPECIFIC + 0.1, flags=["low_contrast"]),
    predicted(flags=["truncated"]),
]


@pytest.mark.parametrize("film", FILMS, ids=range(len(FILMS)))
@pytest.mark.parametrize(
    ("mode", "conf"),
    [(None, None), ("screening", None), ("specific", None), (None, 0.3), ("specific", 0.0), (None, 1.0)],
)
def test_a_line_says_what_the_service_answers(film, mode, conf):
    point = CARD.operating_point(mode or "balanced")
    custom = mode is None and conf is not None
    operating = answers.custom_mode(conf) if custom else answers.measured_mode(point, conf, CARD)
    served = answers.answer([answers.Seen(0, 0, film)], [], operating, CARD, None)
    expected = served.model_dump(mode="json", by_alias=True)
    said = json.loads(line("a.png", film, CARD.classes, told=Asked.of(CARD, mode, conf).told(film, CARD)))
    for name in ("status", "fracture_detected", "deciding_box", "warnings", "recommendation"):
        assert said[name] == expected[name], name
    for name in ("mode", "conf_threshold", "shown_from"):
        assert said[name] == expected["operating_mode"][name], name
    assert said["film_score"] == expected["film_score"] | {
        "value": pytest.approx(expected["film_score"]["value"], abs=1e-6)
    }
    assert len(said["detections"]) == expected["num_detections"]
    for box, shown in zip(said["detections"], expected["detections"], strict=True):
        assert box == {name: shown[name] for name in box} | {"confidence": pytest.approx(shown["confidence"], abs=1e-6)}
        assert {"certainty", "chance"} <= set(box)


@pytest.mark.parametrize("film", FILMS, ids=range(len(FILMS)))
@pytest.mark.parametrize("mode", [None, "specific"])
def test_a_line_of_every_box_is_read_back_whole(film, mode, tmp_path):
    wanted = Asked.of(CARD, mode, None, every_box=True)
    (tmp_path / "p.jsonl").write_text(line("one.png", film, CARD.classes, told=wanted.told(film, CARD)) + "\n")
    loaded = load_predictions(tmp_path / "p.jsonl", [ImageRecord("a/one", "one.png", "a", (200, 100))])
    assert loaded.answers["a/one"].detections.score.tolist() == film.detections.score.tolist()


def test_a_line_of_some_boxes_is_no_prediction_to_be_scored(tmp_path):
    wanted = Asked.of(CARD, None, 0.5)
    (tmp_path / "p.jsonl").write_text(line("one.png", FILMS[1], CARD.classes, told=wanted.told(FILMS[1], CARD)) + "\n")
    with pytest.raises(BadValue, match="fracture read --all"):
        load_predictions(tmp_path / "p.jsonl", [ImageRecord("a/one", "one.png", "a", (200, 100))])


def test_a_model_that_was_not_calibrated_gives_no_chance():
    card = replace(CARD, calibration=None)
    said = json.loads(line("a.png", FILMS[1], card.classes, told=Asked.of(card, None, None).told(FILMS[1], card)))
    assert said["film_score"]["chance"] is None
    assert {box["chance"] for box in said["detections"]} == {None}
