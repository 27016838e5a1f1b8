"""Two models on the same films, one model on other films: which figure is whose, and what lies between them."""

from dataclasses import replace

import numpy as np
import pytest

from fracture.core.errors import BadValue
from fracture.core.types import Detections, ImageRecord, OperatingPoint
from fracture.evaluation import comparison
from fracture.evaluation.cases import Cases
from fracture.evaluation.comparison import on_other_films, on_the_same_films
from fracture.evaluation.measure import evaluate
from tests.wilson import wilson

BOX, FAR = (10.0, 10.0, 20.0, 20.0), (60.0, 60.0, 70.0, 70.0)
POINT = OperatingPoint("balanced", 0.5, "by hand", wilson(9, 10), wilson(9, 10), "val")


def cases(rows):
    """Build films from (name, fractured, score, whether the box lies where the fracture is)."""
    records = tuple(
        ImageRecord(f"s/{name}", f"{name}.png", "s", (100, 100), fractured=truth, boxes=(BOX,) if truth else ())
        for name, truth, _, _ in rows
    )
    found = tuple(
        Detections(np.array([BOX if right else FAR]), np.array([score]), np.zeros(1, np.int64))
        for _, _, score, right in rows
    )
    return Cases("test", records, found, {}, records)


# Right about every film, and the better box each time.
GOOD = cases([(f"f{i}", True, 0.9, True) for i in range(8)] + [(f"n{i}", False, 0.1, False) for i in range(8)])
# Misses f0 to f5, and points beside the fracture of f6.
POOR = cases(
    [(f"n{i}", False, 0.1, False) for i in range(8)]
    + [(f"f{i}", True, 0.05 if i < 6 else 0.9, i != 6) for i in range(8)]
)


def test_each_figure_is_this_model_less_the_other():
    found = on_the_same_films(GOOD, POOR, ((POINT,), (POINT,)), seed=0, resamples=50)
    assert (found["paired"], found["films"]) == (True, 16)
    rows = {row["name"]: row for row in found["rows"]}
    area = rows["film AUC"]
    # Two of eight fractures above all normal films, six below: 2 / 8.
    assert (area["this"]["value"], area["other"]["value"], area["difference"]["value"]) == (1.0, 0.25, 0.75)
    assert area["test"] == "DeLong"
    missed = rows["sensitivity at balanced"]
    assert (missed["this"]["value"], missed["other"]["value"], missed["difference"]["value"]) == (1.0, 0.25, 0.75)
    assert missed["p"] == pytest.approx(2 / 2**6)  # six films, all in favour of the first
    assert rows["specificity at balanced"]["p"] == 1
    assert rows["AP50"]["difference"]["value"] == rows["AP50"]["this"]["value"] - rows["AP50"]["other"]["value"] > 0
    assert rows["AP50"]["test"] == "bootstrap"


def test_films_are_brought_into_one_order_and_only_shared_ones_count():
    fewer = POOR.where(lambda record: record.image_id not in {"s/f7", "s/n3"})
    found = on_the_same_films(fewer, GOOD, ((POINT,), (POINT,)), seed=0, resamples=20)
    assert found["films"] == 14
    [area] = [row for row in found["rows"] if row["name"] == "film AUC"]
    assert (area["this"]["value"], area["other"]["value"]) == (pytest.approx(1 / 7), 1.0)
    alike = on_the_same_films(replace(GOOD), GOOD, ((POINT,), ()), seed=0, resamples=20)
    assert [row["difference"]["value"] for row in alike["rows"]] == [0] * 5


def test_what_was_noted_of_a_film_goes_with_it_into_the_order_of_the_comparison(monkeypatch):
    seen = []
    monkeypatch.setattr(comparison, "_areas", lambda ours, theirs: seen.extend((ours, theirs)) or ())
    noted = replace(POOR, flags=tuple(frozenset({record.image_id}) for record in POOR.records))
    on_the_same_films(GOOD, noted, ((), ()), seed=0, resamples=2)
    for cases_seen, known in zip(seen, (False, True), strict=True):
        assert [r.image_id for r in cases_seen.records] == sorted(r.image_id for r in GOOD.records)
        assert cases_seen.flags == (tuple(frozenset({r.image_id}) for r in cases_seen.records) if known else ())


def test_models_that_share_no_film_cannot_be_compared():
    none = GOOD.where(lambda record: record.image_id == "s/f1"), POOR.where(lambda record: record.image_id == "s/f2")
    with pytest.raises(BadValue, match="shares none"):
        on_the_same_films(*none, ((), ()), seed=0, resamples=5)


def test_other_films_give_differences_of_independent_figures():
    here, known = (evaluate(one, (POINT,), resamples=20) for one in (POOR, GOOD))
    found = on_other_films(here, known)
    assert (found["paired"], found["films"]) == (False, None)
    rows = {row["name"]: row for row in found["rows"]}
    assert rows["sensitivity at balanced"]["difference"]["value"] == -0.75
    assert (
        rows["sensitivity at balanced"]["difference"]["low"]
        < -0.75
        < rows["sensitivity at balanced"]["difference"]["high"]
    )
    assert all(row["p"] is None for row in rows.values())
    # The area that separates all films has no interval, so the difference has none either.
    assert rows["film AUC"]["difference"]["low"] is None
