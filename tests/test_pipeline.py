"""From a run to a bundle: what compared nothing proves nothing, and what is no number is no answer."""

import io

import numpy as np
import pytest
from PIL import Image

from fracture import pipeline
from fracture.data.phantom import draw_film
from fracture.errors import BadValue, BrokenAnswer
from fracture.models.card import ModelCard
from fracture.reader import Reader
from fracture.types import HarmoniseConfig

CARD = ModelCard("scripted", "1", ("fracture",), 448, 32, 0.5, HarmoniseConfig(), {"model.onnx": ""})


class Scripted:
    """Answers with two candidates of these scores."""

    name = "scripted"

    def __init__(self, *scores, shift=0.0):
        self.answer = np.array([[100.0 + shift] * 2, [100.0] * 2, [50.0] * 2, [50.0] * 2, scores], np.float32)

    def __call__(self, pixels):
        return self.answer


def compare(one, two, films):
    return pipeline.compare(Reader(CARD, one), Reader(CARD, two), films)


@pytest.fixture
def films(tmp_path):
    out = io.BytesIO()
    Image.fromarray(draw_film(np.random.default_rng(0), fractured=True)[0]).save(out, "PNG")
    (tmp_path / "film.png").write_bytes(out.getvalue())
    return [tmp_path / "film.png"]


def test_parity_needs_something_to_compare(films):
    with pytest.raises(BadValue, match="parity: expected films with candidates"):
        compare(Scripted(0.9, 0.1), Scripted(0.9, 0.1), [])


def test_where_nothing_is_sure_the_best_of_a_film_is_compared(films):
    assert compare(Scripted(0.03, 0.02), Scripted(0.03, 0.02), films)["candidates"] == 1
    with pytest.raises(BadValue, match="does not answer"):
        compare(Scripted(0.03, 0.02), Scripted(0.03, 0.02, shift=30), films)
    with pytest.raises(BadValue, match="does not answer"):
        compare(Scripted(0.03, 0.02), Scripted(0.001, 0.001), films)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_parity_of_what_is_no_number_is_refused(films, value):
    for one, two in ((Scripted(0.9, 0.1), Scripted(0.9, value)), (Scripted(value, value), Scripted(value, value))):
        with pytest.raises(BrokenAnswer):
            compare(one, two, films)
