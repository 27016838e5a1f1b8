"""Harmonising is repeatable, named by its configuration, and its map between pixel frames is exact."""

import io
from dataclasses import asdict, replace

import numpy as np
import pytest
from PIL import Image

from fracture.core.errors import BadValue
from fracture.core.types import HarmoniseConfig, Radiograph
from fracture.imaging.decode import decode
from fracture.imaging.harmonise import PAD_VALUE, _stretched, encode_png, harmonise, network_pixels
from fracture.imaging.raster import HARMONISE_KEY
from fracture.phantom import draw_film

CONFIG = HarmoniseConfig(long_side_px=256)
PLAIN = HarmoniseConfig(long_side_px=8192, clahe_clip=0, range_tail=None)


def film(width=373, height=454, seed=0):
    pixels, _ = draw_film(np.random.default_rng(seed), (width, height), fractured=True)
    return Radiograph(pixels.astype(np.float32) / 255)


def dark(width, height):
    return Radiograph(np.zeros((height, width), np.float32))


def test_the_default_configuration_has_a_name_that_never_changes():
    assert HarmoniseConfig().harmonise_id == "h1-3e1703b208b1"


def test_films_prepared_before_there_was_a_range_keep_their_name_and_their_greys():
    before = HarmoniseConfig.stored({"long_side_px": 1024, "clahe_clip": 2.0, "clahe_grid": 8})
    assert before.range_tail is None
    assert before.harmonise_id == "h1-76c67a93bba2"
    assert HarmoniseConfig.stored(asdict(CONFIG)) == CONFIG


@pytest.mark.parametrize(
    "change", [{"long_side_px": 1023}, {"clahe_clip": 2.5}, {"clahe_grid": 9}, {"range_tail": 0.002}]
)
def test_every_field_changes_the_name(change):
    assert replace(HarmoniseConfig(), **change).harmonise_id != HarmoniseConfig().harmonise_id


def test_a_small_film_is_never_enlarged():
    prepared = harmonise(film(60, 90), HarmoniseConfig())
    assert prepared.pixels.shape == (90, 60)
    assert (prepared.from_film.scale_x, prepared.from_film.scale_y) == (1, 1)


@pytest.mark.parametrize(
    ("size", "expected"),
    [((600, 300), (256, 128)), ((300, 600), (128, 256)), ((257, 257), (256, 256)), ((256, 100), (256, 100))],
)
def test_the_long_side_is_capped_and_the_aspect_kept(size, expected):
    prepared = harmonise(dark(*size), CONFIG)
    assert prepared.pixels.shape == expected[::-1]
    assert prepared.film_px == size


def test_the_map_is_exact_even_where_a_side_was_rounded():
    prepared = harmonise(dark(600, 301), CONFIG)
    height, width = prepared.pixels.shape
    corner = prepared.from_film.forward(np.array([[0.0, 0.0, 600.0, 301.0]]))
    np.testing.assert_allclose(corner, [[0, 0, width, height]])


@pytest.mark.parametrize(("gain", "shift"), [(1 / 16, 0.0), (0.2, 0.1), (0.5, 0.5)])
def test_a_film_that_uses_a_part_of_its_greys_is_prepared_as_one_that_uses_all(gain, shift):
    part = Radiograph(film().pixels * np.float32(gain) + np.float32(shift))
    assert np.abs(harmonise(part, CONFIG).pixels.astype(int) - harmonise(film(), CONFIG).pixels).max() <= 2


def test_a_bright_marker_leaves_the_greys_of_the_film_alone():
    pixels = film().pixels / np.float32(16)
    marked = pixels.copy()
    marked[5:25, 5:25] = 1
    plain, seen = (_stretched(Radiograph(one), 0.001) for one in (pixels, marked))
    assert np.abs(plain[40:].astype(int) - seen[40:]).max() <= 3
    assert (seen[5:25, 5:25] == 255).all()


def test_what_lies_below_the_range_is_black():
    pixels = film().pixels * np.float32(0.5) + np.float32(0.4)
    pixels[:3] = 0
    assert not _stretched(Radiograph(pixels), 0.001)[:3].any()


def test_a_film_without_a_picture_stays_as_it_is():
    grey = Radiograph(np.full((50, 40), 0.25, np.float32))
    assert (_stretched(grey, 0.001) == 64).all()


def test_contrast_is_raised_where_it_was_low():
    low = Radiograph(film().pixels * np.float32(0.2))
    as_it_is = replace(CONFIG, range_tail=None)
    assert harmonise(low, as_it_is).pixels.std() > harmonise(low, replace(as_it_is, clahe_clip=0)).pixels.std()


def test_without_clahe_and_cap_the_pixels_are_the_films():
    np.testing.assert_array_equal(harmonise(film(), PLAIN).pixels, np.rint(film().pixels * 255))


def test_a_line_one_row_wide_survives_the_shrink():
    pixels = np.zeros((2000, 400), np.float32)
    pixels[1003] = 1
    prepared = harmonise(Radiograph(pixels), HarmoniseConfig(long_side_px=500, clahe_clip=0))
    assert prepared.pixels[250].min() > 40


def test_harmonising_again_changes_not_one_byte():
    once = encode_png(harmonise(film(), CONFIG))
    again = harmonise(decode(once), CONFIG)
    assert encode_png(again) == once
    assert (again.from_film.scale_x, again.from_film.shift_x) == (1, 0)


def test_a_film_harmonised_otherwise_is_refused():
    once = decode(encode_png(harmonise(film(), CONFIG)))
    assert once.harmonise_id == CONFIG.harmonise_id
    with pytest.raises(BadValue, match=CONFIG.harmonise_id):
        harmonise(once, HarmoniseConfig())


def test_the_same_film_gives_the_same_pixels():
    first, second = harmonise(film(), CONFIG), harmonise(film(), CONFIG)
    np.testing.assert_array_equal(first.pixels, second.pixels)


@pytest.mark.parametrize("size", [(373, 454), (454, 373), (100, 37), (33, 97), (448, 448)])
@pytest.mark.parametrize("stride", [32, 64])
def test_network_pixels_are_multiples_of_the_stride_with_the_film_in_the_middle(size, stride):
    fed = network_pixels(harmonise(Radiograph(np.ones(size[::-1], np.float32)), PLAIN), 448, stride=stride)
    height, width, channels = fed.pixels.shape
    assert (height % stride, width % stride, channels) == (0, 0, 3)
    assert max(height, width) < 448 + stride
    shown = np.flatnonzero((fed.pixels[:, :, 0] == 255).any(axis=0))
    left, right = shown[0], width - 1 - shown[-1]
    assert abs(left - right) <= 1
    assert left == fed.from_film.shift_x
    edge = fed.pixels[:, : int(left)]
    assert (edge == PAD_VALUE).all()


def test_an_odd_line_of_padding_lies_right_of_the_film_and_below_it():
    # As letterboxing has it in training: 63 wide is one short of 64, 33 high are 31 short.
    fed = network_pixels(harmonise(Radiograph(np.ones((33, 63), np.float32)), PLAIN), 63)
    rows, columns = np.nonzero(fed.pixels[:, :, 0] == 255)
    assert fed.pixels.shape == (64, 64, 3)
    assert (columns.min(), columns.max(), rows.min(), rows.max()) == (0, 62, 15, 47)
    assert (fed.from_film.shift_x, fed.from_film.shift_y) == (0, 15)
    turned = network_pixels(harmonise(Radiograph(np.ones((63, 33), np.float32)), PLAIN), 63)
    assert (turned.from_film.shift_x, turned.from_film.shift_y) == (15, 0)


def test_padding_is_the_grey_the_network_was_trained_with():
    fed = network_pixels(harmonise(dark(100, 200), PLAIN), 224)
    assert PAD_VALUE == 114
    assert set(np.unique(fed.pixels)) == {0, 114}


def test_training_takes_the_film_unpadded():
    fed = network_pixels(harmonise(dark(373, 454), PLAIN), 448, stride=None)
    assert fed.pixels.shape == (448, 368, 3)


def test_a_network_may_be_fed_an_enlarged_film():
    assert network_pixels(harmonise(dark(50, 100), PLAIN), 448).pixels.shape == (448, 224, 3)


def test_three_channels_are_one_film():
    fed = network_pixels(harmonise(film(), CONFIG), 448).pixels
    np.testing.assert_array_equal(fed[:, :, 0], fed[:, :, 1])
    np.testing.assert_array_equal(fed[:, :, 0], fed[:, :, 2])


@pytest.mark.parametrize("size", [(373, 454), (454, 373), (1200, 700), (301, 599)])
@pytest.mark.parametrize("config", [HarmoniseConfig(long_side_px=512, clahe_clip=0), PLAIN])
def test_a_blob_lies_where_the_map_says(size, config):
    width, height = size
    rng = np.random.default_rng(width)
    for _ in range(5):
        x, y = int(rng.integers(5, width - 8)), int(rng.integers(5, height - 8))
        pixels = np.zeros((height, width), np.float32)
        pixels[y : y + 3, x : x + 3] = 1
        fed = network_pixels(harmonise(Radiograph(pixels), config), 448)
        box = np.array([[x, y, x + 3, y + 3]], float)
        x0, y0, x1, y1 = fed.from_film.forward(box)[0]
        light = fed.pixels[:, :, 0].astype(float)
        light[light == PAD_VALUE] = 0
        rows, columns = np.nonzero(light > light.max() / 2)
        found = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
        np.testing.assert_allclose(found, [x0, y0, x1, y1], atol=1)
        np.testing.assert_allclose(fed.from_film.back(fed.from_film.forward(box)), box, atol=1e-9)


@pytest.mark.parametrize("size", [(1, 1), (1, 57), (57, 1), (2, 3000), (3000, 2)])
def test_odd_sizes(size):
    prepared = harmonise(Radiograph(np.linspace(0, 1, size[0] * size[1], dtype=np.float32).reshape(size[::-1])), CONFIG)
    assert min(prepared.pixels.shape) >= 1
    assert network_pixels(prepared, 64).pixels.shape[2] == 3
    assert decode(encode_png(prepared)).size_px == prepared.pixels.shape[::-1]


def test_the_png_is_grey_whole_and_says_how_it_was_made():
    made = harmonise(film(), HarmoniseConfig())
    with Image.open(io.BytesIO(encode_png(made))) as image:
        image.load()  # checks every chunk's sum
        assert image.mode == "L"
        assert image.text == {HARMONISE_KEY: made.harmonise_id}
        assert np.array_equal(np.asarray(image), made.pixels)
