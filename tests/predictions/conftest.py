"""A manifest of a few films, and answers for them."""

import numpy as np
import pytest

from fracture.core.types import Detections, ImageRecord, Prediction


@pytest.fixture
def records():
    """Give four films named as a dataset tree names them, in two parts, and one that was set aside."""
    tree = [("a/one", "test"), ("a/two", "test"), ("b/one", "val"), ("b/hand/film 3.é", "test")]
    films = [
        ImageRecord(
            name, f"images/{split}/{name.replace('/', '__')}.png", name[0], (200, 100), fractured=False, split=split
        )
        for name, split in tree
    ]
    return [*films, ImageRecord("b/lost", "x/lost.dcm", "b", (0, 0), split="set_aside")]


@pytest.fixture
def random_answers(records):
    """Give answers for all films but the last: 0 to 120 boxes, some leaving the film, some with equal scores."""
    rng = np.random.default_rng(3)
    answers = {}
    for record, count in zip(records, (120, 0, 3, 17), strict=False):
        corner = rng.uniform(-5, 150, (count, 2))
        xyxy = np.hstack([corner, corner + rng.uniform(0, 80, (count, 2))])
        score = np.sort(rng.random(count).astype(np.float32).astype(np.float64).round(2))[::-1].copy()
        found = Detections(xyxy, score, np.zeros(count, np.int64))
        answers[record.image_id] = Prediction(record.size_px, found, "model", "h1-x")
    return answers
