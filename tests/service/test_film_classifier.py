"""A film classifier behind the service: a score of the whole film, no boxes, and doubt where nothing shows where."""

import numpy as np
import pytest

from fracture.inference.reader import Reader
from fracture.models.heads import Head
from fracture.service.http.main import create_app
from fracture.service.http.settings import Settings
from tests.service.conftest import LOCAL, Caller, make_card

HEADS = (Head("fracture", ("fracture",)), Head("region", ("hand", "leg"), exclusive=True))


class Maps:
    """Say the same logit of every film, at every place of it."""

    name = "scripted"

    def __init__(self, logit):
        self.logit = logit

    def __call__(self, pixels):
        return np.repeat(np.array([[self.logit], [1], [-1]], np.float32), 5, axis=1)


@pytest.mark.parametrize(("logit", "status"), [(3.0, "doubt"), (0.0, "doubt"), (-3.0, "no fracture")])
def test_a_film_is_answered_with_a_score_and_no_box(logit, status, sandbox, paint, picture):
    card = make_card(classes=(), heads=HEADS, film_score="classifier", stride=64)
    film = {"file": ("film.png", picture(paint((10, 20, 30, 40, 255))))}
    with Caller(create_app(Settings(), Reader(card, Maps(logit)), sandbox), **LOCAL) as client:
        answer = client.post("/detect", files=film).json()
        drawn = client.post("/detect", files=film, headers={"Accept": "image/png"})
    assert answer["status"] == status
    assert answer["detections"] == []
    assert answer["film_score"]["made_by"] == "classifier"
    assert answer["film_score"]["value"] == pytest.approx(1 / (1 + np.exp(-logit)), abs=1e-5)
    assert drawn.headers["content-type"] == "image/png"
