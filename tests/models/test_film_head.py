"""The film's own say in the scores of its boxes: fitted by its definition, embedded exactly, bounded."""

import shutil
from dataclasses import replace

import numpy as np
import pytest

from fracture.core.errors import BadValue
from fracture.core.files import file_hash
from fracture.data import samples
from fracture.inference.reader import Reader
from fracture.models import card as cards
from fracture.models import film_head
from fracture.models.card import SHIPPED
from fracture.models.detectors.yolov8.export import FILM_STAGE, SCOPE_STAGE
from fracture.models.film_head import MOST, PENALTY, WEIGHT, FilmHead
from fracture.models.runtime import OnnxNetwork, OpenVinoNetwork
from fracture.training import film_heads

pytest.importorskip("onnx", reason="a network is taken apart with the full set of packages")


@pytest.fixture(scope="module")
def films():
    """Give descriptions of 400 films, a quarter fractured, of which the first of five channels tells something."""
    rng = np.random.default_rng(0)
    fractured = np.arange(400) % 4 == 0
    described = rng.normal(size=(400, 5)) * [1, 2, 3, 4, 5] + 10
    described[:, 0] += fractured
    return described, fractured


@pytest.fixture(scope="module")
def pixels():
    return np.random.default_rng(1).integers(0, 255, (96, 64, 3), dtype=np.uint8)


def test_what_is_learned_is_the_minimum_of_the_penalised_loss(films):
    """Any small step away from the weights, back in the units they were fitted in, costs more."""
    described, fractured = films
    head = film_head.fit(described, fractured, [str(film) for film in range(400)])
    spread = described.std(axis=0) + 1e-3
    standard = (described - described.mean(axis=0)) / spread
    share = np.where(fractured, 0.5 / fractured.sum(), 0.5 / (~fractured).sum())
    sign = np.where(fractured, 1, -1)

    def loss(weights):
        def with_bias(bias):
            return share @ np.logaddexp(0, -sign * (standard @ weights + bias)) + PENALTY * weights @ weights

        return min(with_bias(bias) for bias in np.linspace(-0.5, 0.5, 2001))

    direction = head.weights * spread
    sizes = np.linspace(0.1, 4, 400) / np.linalg.norm(direction)
    found = direction * min(sizes, key=lambda size: loss(direction * size))
    for step in np.vstack([np.eye(5), -np.eye(5)]) * 0.02:
        assert loss(found + step) > loss(found)


def test_its_logits_have_the_stated_spread_over_the_films_it_was_fitted_on(films):
    described, fractured = films
    told = film_head.fit(described, fractured, [str(film) for film in range(400)]).logits(described)
    assert told.std() == pytest.approx(WEIGHT, rel=1e-3)
    assert told.mean() == pytest.approx(0, abs=1e-6)
    assert told[fractured].mean() > told[~fractured].mean() + 0.3


def test_copies_of_a_film_weigh_as_one(films):
    described, fractured = films
    names = [str(film) for film in range(400)]
    alone = film_head.fit(described, fractured, names)
    times = np.where(np.arange(400) < 30, 5, 1)
    copied = film_head.fit(*(np.repeat(one, times, axis=0) for one in films), np.repeat(names, times).tolist())
    direction = [head.weights / np.linalg.norm(head.weights) for head in (alone, copied)]
    # Centre and spread are those of the files, so the penalty falls a little otherwise.
    assert direction[0] @ direction[1] > 0.995


def test_films_of_one_kind_are_refused(films):
    described, _ = films
    with pytest.raises(BadValue, match="film head: expected fractured and normal films, got 400 of 400"):
        film_head.fit(described, np.ones(400, bool), ["x"] * 400)


@pytest.mark.parametrize("engine", [OnnxNetwork, OpenVinoNetwork])
def test_scores_are_moved_by_the_films_logits_and_places_stay(engine, unscoped, pixels, tmp_path):
    [described] = film_head.describe(unscoped, [pixels], FILM_STAGE)
    weights = np.random.default_rng(2).normal(size=len(described)) / len(described)
    head = FilmHead(weights, float(described @ weights - 0.7))
    network = tmp_path / "model.onnx"
    network.write_bytes(unscoped.read_bytes())
    film_head.embed(network, head, FILM_STAGE, 1)
    plain, moved = (engine(file)(pixels) for file in (unscoped, network))
    assert head.logits(described[None])[0] == pytest.approx(0.7)
    np.testing.assert_allclose(moved[:4], plain[:4], rtol=1e-4, atol=1e-2)
    scores = np.clip(plain[4], 1e-6, 1 - 1e-6).astype(np.float64)
    expected = 1 / (1 + np.exp(-(np.log(scores / (1 - scores)) + 0.7)))
    np.testing.assert_allclose(moved[4], expected, atol=1e-4)


def test_a_film_like_none_moves_scores_by_no_more_than_the_most(unscoped, pixels, tmp_path):
    [described] = film_head.describe(unscoped, [pixels], FILM_STAGE)
    network = tmp_path / "model.onnx"
    network.write_bytes(unscoped.read_bytes())
    film_head.embed(network, FilmHead(np.full(len(described), 1e3), -1e6), FILM_STAGE, 1)
    plain, moved = (OnnxNetwork(file)(pixels)[4].astype(np.float64) for file in (unscoped, network))
    sure = plain > 1e-5
    gap = np.log(moved[sure] / (1 - moved[sure])) - np.log(plain[sure] / (1 - plain[sure]))
    np.testing.assert_allclose(gap, MOST, atol=1e-2)


def test_a_scope_may_follow_and_a_second_head_is_refused(unscoped, pixels, tmp_path):
    from fracture.models import scope as scopes

    network = tmp_path / "model.onnx"
    network.write_bytes(unscoped.read_bytes())
    [described] = film_head.describe(network, [pixels], FILM_STAGE)
    film_head.embed(network, FilmHead(np.zeros(len(described)), 0.0), FILM_STAGE, 1)
    with pytest.raises(BadValue, match="expected a network without a film head"):
        film_head.embed(network, FilmHead(np.zeros(len(described)), 0.0), FILM_STAGE, 1)
    [film] = scopes.describe(network, [pixels], SCOPE_STAGE)
    known = scopes.Scope(film, np.eye(len(film)), 1.0)
    scopes.embed(network, known, SCOPE_STAGE)
    answer = OnnxNetwork(network)(pixels)
    assert answer.shape[0] == 6
    assert float(answer[-1, 0]) == pytest.approx(0, abs=1e-2)
    np.testing.assert_allclose(answer[4], OnnxNetwork(unscoped)(pixels)[4], atol=1e-5)


def test_a_stage_that_is_not_there_is_named(unscoped, pixels):
    with pytest.raises(BadValue, match=r"expected the stage that its detector names, got none of /model\.99"):
        list(film_head.describe(unscoped, [pixels], "/model.99"))


def test_a_checkpoint_whose_bundle_has_a_head_is_read_through_its_export(tmp_path):
    """The card's thresholds are of scores that the head has moved: the checkpoint alone would be held against them."""
    shutil.copytree(SHIPPED, tmp_path / "run")
    checkpoint = tmp_path / "run/weights/best.pt"
    checkpoint.parent.mkdir()
    checkpoint.write_bytes(b"never opened")
    card = cards.load(SHIPPED)
    assert card.measured["film_head"]["embedded"]
    files = {**card.files, "weights/best.pt": file_hash(checkpoint)}
    cards.save(replace(card, files=files), tmp_path / "run")
    film = samples.FOLDER / samples.FILES[0]
    by_checkpoint, by_bundle = (
        Reader.load(weights, "onnxruntime").read(film.read_bytes()).detections
        for weights in (checkpoint, tmp_path / "run")
    )
    assert Reader.load(checkpoint, "onnxruntime").network.name == "onnxruntime"
    np.testing.assert_array_equal(by_checkpoint.score, by_bundle.score)


@pytest.mark.long
def test_heads_are_compared_beside_none(tiny_run, tmp_path, monkeypatch):
    monkeypatch.setattr("fracture.training.film_head.FEWEST", 1)
    first, *others = film_heads.compare(tiny_run, (), None, tmp_path)
    assert (first["name"], first["compared"]) == ("no head", False)
    assert [row["name"] for row in others] == [variant.name for variant in film_heads.VARIANTS[1:]]
    assert all(row["compared"] for row in others)
    again = list(film_heads.compare(tiny_run, (), None, tmp_path))  # from what was read
    assert again == [first, *others]
