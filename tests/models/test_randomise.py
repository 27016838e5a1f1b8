"""Films in another look: wider than any hospital's, and yet nothing that is labelled moves or goes."""

import numpy as np
import pytest

from fracture.models.randomise import (
    _KINDS,
    _STEPS,
    _collimate,
    _Mark,
    _mark,
    _quantiles,
    _ranks,
    _Scene,
    randomise,
)
from fracture.phantom import draw_film

BOXES = [(150.0, 200.0, 190.0, 240.0), (20.0, 20.0, 60.0, 50.0)]


@pytest.fixture(scope="module")
def film():
    return np.asarray(draw_film(np.random.default_rng(0), (373, 454), fractured=True)[0])


@pytest.fixture(scope="module")
def other():
    return np.asarray(draw_film(np.random.default_rng(1), (300, 500), fractured=False)[0])


def test_the_same_chance_gives_the_same_look_and_another_gives_another(film, other):
    one, again, two = (randomise(film, BOXES, np.random.default_rng(seed), other) for seed in (3, 3, 4))
    np.testing.assert_array_equal(one, again)
    assert (one != two).any()


@pytest.mark.parametrize("change", [step for _, step in _STEPS], ids=lambda step: step.__name__)
@pytest.mark.parametrize("shape", [(454, 373), (40, 300), (9, 9)])
def test_every_change_keeps_shape_and_type_and_leaves_its_film_alone(film, other, change, shape):
    pixels = np.ascontiguousarray(film[: shape[0], : shape[1]])
    before = pixels.copy()
    for seed in range(8):
        changed = change(_Scene(pixels, BOXES, np.random.default_rng(seed), other))
        assert (changed.shape, changed.dtype) == (pixels.shape, np.uint8)
    np.testing.assert_array_equal(pixels, before)


@pytest.mark.parametrize("change", [_collimate, _mark])
def test_nothing_is_laid_over_a_box_or_cut_from_it(film, change):
    touched = False
    for seed in range(60):
        changed = change(_Scene(film, BOXES, np.random.default_rng(seed), None))
        touched |= bool((changed != film).any())
        for x0, y0, x1, y1 in np.array(BOXES, int).tolist():
            np.testing.assert_array_equal(changed[y0:y1, x0:x1], film[y0:y1, x0:x1])
    assert touched


@pytest.mark.parametrize("kind", _KINDS, ids=lambda kind: kind.__name__)
def test_what_is_laid_on_stays_within_its_reach(film, kind):
    place, span = np.array([180.0, 220.0]), 40.0
    rows, columns = np.indices(film.shape)
    for seed in range(30):
        changed = film.copy()
        kind(changed, _Mark(place, span, 240, 2), np.random.default_rng(seed))
        touched = np.hypot(columns - place[0], rows - place[1])[changed != film]
        assert len(touched) > 20
        if kind.__name__ != "_letters":  # these go on to the right of their place
            assert touched.max() <= 1.3 * span + 8


def test_a_film_can_take_over_another_ones_histogram(film, other):
    lent = _quantiles(other)[_ranks(film)]
    for share in (0.25, 0.5, 0.75, 0.95):
        assert np.quantile(lent, share) == pytest.approx(np.quantile(other, share), abs=6)


def test_films_are_changed_in_many_ways(film, other):
    looks = [randomise(film, BOXES, np.random.default_rng(seed), other) for seed in range(40)]
    assert np.std([look.mean() for look in looks]) > 15
    assert len({look.tobytes() for look in looks}) > 35
