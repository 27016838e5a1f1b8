"""Which films a film head is fitted on, and when a bundle gets one."""

from dataclasses import dataclass, replace
from types import SimpleNamespace

import numpy as np
import pytest

from fracture.core.types import ImageRecord
from fracture.models import film_head as heads
from fracture.training import film_head
from fracture.training.film_head import FEWEST, embed_film_head

STAGE = "/a/stage"


@dataclass
class Told:
    """What the network says of each film: whether its description shows a fracture, and whether its best box does."""

    film_knows: bool = True
    box_knows: bool = False


@pytest.fixture
def bundling(monkeypatch, tmp_path):
    """Give what embeds a head for these films, and where the heads that were embedded are noted."""
    told, seen = Told(), SimpleNamespace(fitted=[], embedded=[])
    rng = np.random.default_rng(0)

    def describe(model, films, stage, divisor):
        assert (stage, divisor) == (STAGE, 255.0)
        for film in films:
            says = film.fractured if told.film_knows else rng.random() < 0.5
            yield np.array([rng.normal() + 2 * says, 1.0])

    def boxes(film):
        """Answer with two boxes, one of them sure of nothing."""
        return np.array([[1, 1]] * 4 + [[0, film.fractured if told.box_knows else rng.random()]])

    def fit(described, fractured, families):
        seen.fitted.append((len(described), int(fractured.sum()), families))
        return plain(described, fractured, families)

    plain = heads.fit
    monkeypatch.setattr(heads, "describe", describe)
    monkeypatch.setattr(heads, "fit", fit)
    monkeypatch.setattr(heads, "embed", lambda *what: seen.embedded.append(what))
    monkeypatch.setattr(film_head, "OnnxNetwork", lambda model, divisor: boxes)
    monkeypatch.setattr(film_head, "detector", lambda arch: SimpleNamespace(film_stage=STAGE))
    reader = SimpleNamespace(card=SimpleNamespace(arch="x", classes=("fracture",), divisor=255.0, members=1))

    def go(records):
        by_path = {tmp_path / record.path: record for record in records}
        monkeypatch.setattr(film_head, "network_inputs", lambda _, paths: [by_path[path] for path in paths])
        return embed_film_head(tmp_path / "model.onnx", reader, tmp_path, records)

    return go, told, seen


def films(source, split, fractured, normal, **more):
    kinds = [True] * fractured + [False] * normal
    return [
        ImageRecord(
            f"{source}/{split}{n}", f"{source}/{split}{n}.png", source, (9, 9), fractured=kind, split=split, **more
        )
        for n, kind in enumerate(kinds)
    ]


def test_a_head_that_tells_val_films_apart_better_is_embedded_and_reported(bundling):
    go, _, seen = bundling
    about = go(films("a", "train", FEWEST, FEWEST) + films("a", "val", 30, 30))["film_head"]
    assert about["embedded"] is True
    assert len(seen.embedded) == 1
    assert about["val_film_auc"]["with_film"] > about["val_film_auc"]["boxes"]
    assert (about["sources"], about["train_films"], about["val_films"]) == (["a"], 2 * FEWEST, 60)


def test_a_head_that_does_not_help_on_val_is_reported_and_left_out(bundling):
    go, told, seen = bundling
    told.box_knows = True
    about = go(films("a", "train", FEWEST, FEWEST) + films("a", "val", 30, 30))["film_head"]
    assert about["embedded"] is False
    assert not seen.embedded
    assert about["val_film_auc"]["boxes"] == 1.0


def test_sources_of_one_kind_of_films_and_films_that_nobody_judged_teach_nothing(bundling):
    go, _, seen = bundling
    unknown = [replace(film, fractured=None) for film in films("a", "train", 3, 0)]
    named = [replace(film, image_id=f"a/unknown{n}", path=f"a/unknown{n}.png") for n, film in enumerate(unknown)]
    others = films("b", "train", 300, FEWEST - 1)
    about = go(films("a", "train", FEWEST, FEWEST) + named + others + films("a", "val", 9, 9))["film_head"]
    assert about["sources"] == ["a"]
    assert seen.fitted[0][:2] == (2 * FEWEST, FEWEST)


def test_copies_are_known_by_their_family(bundling):
    go, _, seen = bundling
    copies = films("a", "train", FEWEST, FEWEST, attributes={"family": "one"})
    go(copies + films("a", "val", 9, 9))
    assert set(seen.fitted[0][2]) == {"one"}


@pytest.mark.parametrize("train", [(FEWEST - 1, 300), (300, 0), (0, 0)])
def test_with_too_few_films_of_a_kind_nothing_is_said(bundling, train):
    go, _, seen = bundling
    records = films("a", "train", *train) or films("a", "train", 1, 0)
    assert go(records + films("a", "val", 9, 9)) == {}
    assert not seen.fitted
