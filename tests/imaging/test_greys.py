"""The range of a film's greys is that of its anatomy, whatever else lies on the film."""

import numpy as np
import pytest

from fracture.imaging.greys import film_range, too_flat, unstated
from fracture.phantom import draw_film


@pytest.fixture(scope="module")
def film():
    pixels, _ = draw_film(np.random.default_rng(0), (373, 454), fractured=True)
    return pixels.astype(np.float64) * 16  # 12 bits


def marked(film, value, share):
    """Put a solid square marker of this share of the film's pixels onto it."""
    side = round((share * film.size) ** 0.5)
    film = film.copy()
    film[20 : 20 + side, 30 : 30 + side] = value
    return film


@pytest.mark.parametrize("share", [0.001, 0.01, 0.1])
@pytest.mark.parametrize("value", [65535, 1e6, -5000])
def test_a_solid_marker_or_a_patch_of_padding_moves_nothing(film, value, share):
    low, high = film_range(film)
    assert film_range(marked(film, value, share)) == pytest.approx((low, high), abs=0.02 * (high - low))


@pytest.mark.parametrize("share", [0.0005, 0.005, 0.015])
def test_a_marker_of_another_scale_moves_little_though_it_is_noisy(film, share):
    low, high = film_range(film)
    rng = np.random.default_rng(1)
    noisy = np.where(rng.random(film.shape) < share, rng.integers(40_000, 65_535, film.shape), film)
    assert film_range(noisy) == pytest.approx((low, high), abs=0.05 * (high - low))


@pytest.mark.parametrize("edge", [0, 65535, 777])
def test_borders_of_any_width_are_no_film(film, edge):
    low, high = film_range(film)
    assert film_range(np.pad(film, 150, constant_values=edge)) == pytest.approx((low, high), abs=0.05 * (high - low))


def test_a_hot_pixel_moves_nothing(film):
    hot = film.copy()
    hot[200, 200] = 4200
    assert film_range(hot) == film_range(film)
    np.testing.assert_allclose(unstated(hot)[100], unstated(film)[100], atol=1e-6)


def test_what_is_absent_or_no_number_does_not_count(film):
    absent = np.zeros(film.shape, bool)
    absent[:40] = True
    holes = film.copy()
    holes[:40] = np.random.default_rng(2).random((40, film.shape[1])) * 4095 * 3
    expected = film_range(film[40:])
    assert film_range(holes, absent=absent) == pytest.approx(expected, abs=0.02 * (expected[1] - expected[0]))
    holes[:40] = np.nan
    assert film_range(holes) == pytest.approx(expected, abs=0.02 * (expected[1] - expected[0]))


@pytest.mark.parametrize(("gain", "offset"), [(1, 0), (16, 0), (1, -1024), (1e6, 5e8), (1e-4, 0)])
def test_greys_do_not_depend_on_the_scale_of_the_values(film, gain, offset):
    np.testing.assert_allclose(unstated(film * gain + offset), unstated(film), atol=1e-6)


def test_the_range_measured_after_decoding_is_the_one_measured_before(film):
    low, high = film_range(film)
    wide_low, wide_high = film_range(film, 0.0001)
    after = film_range(unstated(film))
    expected = [(end - wide_low) / (wide_high - wide_low) for end in (low, high)]
    assert after == pytest.approx(expected, abs=0.005)


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (50, 1), (2, 2)])
def test_the_smallest_films_have_a_range(shape):
    values = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    low, high = film_range(values)
    assert low <= high
    assert unstated(values).shape == shape


def test_an_empty_film_has_no_range_and_is_black():
    empty = np.full((60, 50), 1234.0)
    assert film_range(empty) == (1234, 1234)
    assert not unstated(empty).any()
    assert film_range(np.full((4, 4), np.nan))[0] == film_range(np.full((4, 4), np.nan))[1]
    assert not unstated(np.full((4, 4), np.nan)).any()


@pytest.mark.parametrize(("top", "flat"), [(40, True), (60, True), (70, False), (255, False)])
def test_a_film_of_few_greys_is_too_flat_whatever_marker_lies_on_it(film, top, flat):
    few = np.rint((film - film.min()) / np.ptp(film) * top)
    assert too_flat(few) is flat
    assert too_flat(few.astype(np.float32) / 255) is flat
    assert too_flat(marked(few, 255, 0.01)) is flat


def test_a_blank_film_is_too_flat_and_a_tiny_one_is_asked_for_less():
    assert too_flat(np.zeros((30, 30)))
    assert not too_flat(np.arange(16.0).reshape(4, 4))
