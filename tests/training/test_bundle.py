"""From a run to a bundle: what compared nothing proves nothing, and what is no number is no answer."""

import io
import subprocess
import sys
from copy import deepcopy
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fracture.core.errors import BadValue, BrokenAnswer
from fracture.core.files import file_hash
from fracture.core.types import HarmoniseConfig, OperatingPoint
from fracture.inference.reader import Reader
from fracture.models import card as cards
from fracture.models.card import ModelCard
from fracture.phantom import draw_film
from fracture.training.measure import add_test
from fracture.training.parity import compare
from tests.wilson import wilson

CARD = ModelCard("scripted", "1", ("fracture",), 448, 32, 0.5, HarmoniseConfig(), {"model.onnx": ""})


class Scripted:
    """Answers with two candidates of these scores."""

    name = "scripted"

    def __init__(self, *scores, shift=0.0):
        self.answer = np.array([[100.0 + shift] * 2, [100.0] * 2, [50.0] * 2, [50.0] * 2, scores], np.float32)

    def __call__(self, pixels):
        return self.answer


def compared(one, two, films):
    return compare(Reader(CARD, one), Reader(CARD, two), films)


@pytest.fixture
def films(tmp_path):
    out = io.BytesIO()
    Image.fromarray(draw_film(np.random.default_rng(0), fractured=True)[0]).save(out, "PNG")
    (tmp_path / "film.png").write_bytes(out.getvalue())
    return [tmp_path / "film.png"]


def test_parity_needs_something_to_compare(films):
    with pytest.raises(BadValue, match="parity: expected films with candidates"):
        compared(Scripted(0.9, 0.1), Scripted(0.9, 0.1), [])


def test_where_nothing_is_sure_the_best_of_a_film_is_compared(films):
    assert compared(Scripted(0.03, 0.02), Scripted(0.03, 0.02), films)["candidates"] == 1
    with pytest.raises(BadValue, match="does not answer"):
        compared(Scripted(0.03, 0.02), Scripted(0.03, 0.02, shift=30), films)
    with pytest.raises(BadValue, match="does not answer"):
        compared(Scripted(0.03, 0.02), Scripted(0.001, 0.001), films)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_parity_of_what_is_no_number_is_refused(films, value):
    for one, two in ((Scripted(0.9, 0.1), Scripted(0.9, value)), (Scripted(value, value), Scripted(value, value))):
        with pytest.raises(BrokenAnswer):
            compared(one, two, films)


@pytest.fixture
def tested(tmp_path):
    """Give a bundle, and what a report on its test films has of what a card takes over."""
    (tmp_path / "model.onnx").write_bytes(b"weights")
    files = {"model.onnx": file_hash(tmp_path / "model.onnx")}
    point = OperatingPoint("balanced", 0.25, "largest Youden index", wilson(9, 10), wilson(8, 10), "val")
    cards.save(replace(CARD, files=files, operating_points=(point,)), tmp_path)
    by_score = {"sensitivity": asdict(wilson(6, 10)), "specificity": asdict(wilson(30, 40))}
    served = {"sensitivity": asdict(wilson(5, 10)), "specificity": asdict(wilson(36, 40))}
    report = {
        "model": {"id": "scripted", "files": files},
        "data": {"name": "d", "dataset_id": "1", "split": "test", "fractured": 10, "normal": 40},
        "model_was_made_with": [],
        "film": {"flagged": {"balanced": served}, "at": {"balanced": by_score}},
        "points": [{"name": "balanced", "threshold": 0.25}],
        "slices": {"source": {"made-up": {}}},
        "made": {"date": "2031-05-06"},
    }
    return tmp_path, report


def test_a_card_learns_what_its_modes_do_on_test_as_they_are_served(tested):
    folder, report = tested
    card = add_test(folder, report)
    assert cards.load(folder) == card
    films, sensitivity, specificity = card.on_test(card.operating_points[0])
    assert films == "made-up test, 10 with and 40 without a fracture"
    assert (sensitivity.value, specificity.value) == (0.5, 0.9)
    del report["film"]["flagged"]
    by_score = add_test(folder, report)
    assert by_score.on_test(by_score.operating_points[0])[1].value == 0.6, "an older report has scores alone"


@pytest.mark.parametrize(
    ("part", "change", "said"),
    [
        ("model", {"files": {"model.onnx": "0" * 64}}, "expected one of this bundle's files, got scripted's"),
        ("data", {"split": "val"}, "expected the split test, got 'val'"),
        (None, {"model_was_made_with": ["d/1", "d/2"]}, "the model was made with 2 of its films"),
        (None, {"points": [{"name": "balanced", "threshold": 0.3}]}, "expected balanced at 0.25, got 0.3"),
        (None, {"points": []}, "expected balanced at 0.25, got None"),
    ],
)
def test_a_report_that_is_no_test_of_this_bundle_is_refused(tested, part, change, said):
    folder, report = tested
    before = (folder / "card.json").read_bytes()
    wrong = deepcopy(report)
    (wrong[part] if part else wrong).update(change)
    with pytest.raises(BadValue, match=said):
        add_test(folder, wrong)
    assert (folder / "card.json").read_bytes() == before


def test_a_bundle_is_told_of_its_test_by_a_report_only(tested):
    command = Path(__file__).parents[2] / "scripts/bundle.py"
    done = subprocess.run([sys.executable, command, "--tested", tested[0]], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "--tested needs --test-report" in done.stderr
