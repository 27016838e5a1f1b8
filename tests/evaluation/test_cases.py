"""Films and answers brought together: nothing unlabelled counts, nothing is lost without a reason."""

from dataclasses import replace

import numpy as np
import pytest

from fracture.clinical.status import Thresholds
from fracture.core.errors import BadValue
from fracture.core.types import Detections, FilmScore, ImageRecord, Prediction, Refusal
from fracture.evaluation.cases import films_of, join

BOX = (10.0, 10.0, 20.0, 20.0)


def film(name, fractured, split="test", **more):
    boxes = (BOX,) if fractured else None if fractured is None else ()
    return ImageRecord(
        f"s/{name}", f"{name}.png", "s", (100, 80), **{"fractured": fractured, "boxes": boxes, "split": split} | more
    )


def answer(score=0.5, size=(100, 80)):
    return Prediction(size, Detections(np.array([BOX]), np.array([score]), np.zeros(1, np.int64)), "m", "h")


def test_every_film_of_the_split_is_judged_or_left_out_with_a_reason():
    films = [
        film("a", True),
        film("b", False),
        film("c", None),
        film("d", True),
        film("e", False),
        film("f", True, "val"),
    ]
    cases = join(films, {"s/a": answer(0.9), "s/b": answer(0.2), "s/c": answer(), "s/d": Refusal("x", "torn")}, "test")
    assert [record.image_id for record in cases.records] == ["s/a", "s/b"]
    assert cases.scores.tolist() == [0.9, 0.2]
    assert cases.fractured.tolist() == [True, False]
    assert cases.left_out == {"s/c": "not labelled", "s/d": "torn", "s/e": "no prediction"}


def test_all_means_every_film_that_is_not_set_aside():
    films = [film("a", True, None), film("b", True, "val"), film("c", True, "set_aside")]
    assert [record.image_id for record in films_of(films, "all")] == ["s/a", "s/b"]
    with pytest.raises(BadValue, match="train, val, test or all"):
        films_of(films, "test")


def test_a_film_read_at_another_size_is_refused():
    with pytest.raises(BadValue, match=r"manifest says \(100, 80\) px, the film has \(80, 100\)"):
        join([film("a", True)], {"s/a": answer(size=(80, 100))}, "test")


def test_boxes_are_judged_where_a_person_looked():
    films = [
        film("drawn", True),
        film("normal", False),
        film("normal, nobody drew", False, boxes=None),
        film("weak", True, weak=True),
        film("fractured, nobody drew", True, boxes=None),
    ]
    cases = join(films, {record.image_id: answer() for record in films}, "test")
    assert len(cases.records) == 5
    assert [r.image_id for r in cases.boxed.records] == ["s/drawn", "s/normal", "s/normal, nobody drew"]
    assert [boxes.shape for boxes in cases.boxed.boxes] == [(1, 4), (0, 4), (0, 4)]


def test_a_film_without_a_group_is_its_own():
    films = [film("a", True, group_id="g"), film("b", True)]
    assert join(films, {"s/a": answer(), "s/b": answer()}, "test").groups == ["g", "s/b"]


def test_a_films_own_score_is_what_figures_and_status_are_computed_from():
    own = {"a": None, "b": FilmScore(0.2, "classifier"), "c": FilmScore(0.7, "fusion")}
    films = [film(name, name != "b") for name in own]
    cases = join(films, {f"s/{name}": replace(answer(0.9), film=score) for name, score in own.items()}, "test")
    assert cases.scores.tolist() == [0.9, 0.2, 0.7]
    assert cases.taken([2, 0]).scores.tolist() == [0.7, 0.9]
    assert cases.made_by == "best box and classifier and fusion"
    assert cases.taken([0]).made_by == "best box"
    assert [one.status for one in cases.said(Thresholds(0.3, 0.8), 0.5)] == ["fracture", "doubt", "doubt"]
