"""The domain types refuse what is not valid, and say what they expected and what they got."""

import dataclasses

import numpy as np
import pytest

from fracture.core.errors import BadValue
from fracture.core.types import (
    Detections,
    Estimate,
    FilmScore,
    FrameMap,
    HarmoniseConfig,
    ImageRecord,
    ModelInput,
    OperatingPoint,
    Prediction,
    Radiograph,
)


def record(**fields):
    return ImageRecord(**{"image_id": "s/1", "path": "images/1.jpg", "source": "s", "size_px": (40, 30)} | fields)


def test_a_record_states_nothing_that_nobody_said():
    film = record()
    assert (film.fractured, film.abnormal, film.boxes, film.split, film.patient_id) == (None,) * 5
    assert film.regions == {"unknown"}


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({"image_id": "1"}, ["source/native-id", "'1'"]),
        ({"path": "/etc/film.png"}, ["relative POSIX path", "/etc/film.png"]),
        ({"path": "images/../../film.png"}, ["relative POSIX path"]),
        ({"path": r"images\film.png"}, ["relative POSIX path"]),
        ({"path": ""}, ["relative POSIX path"]),
        ({"size_px": (0, 30)}, ["above 0", "(0, 30)"]),
        ({"regions": frozenset()}, ["one or more of", "[]"]),
        ({"regions": frozenset({"foot"})}, ["one or more of", "foot"]),
        ({"split": "valid"}, ["train", "'valid'"]),
        ({"boxes": ((0.0, 0.0, 40.5, 9.0),)}, ["0..40", "40.5"]),
        ({"boxes": ((-0.1, 0.0, 4.0, 9.0),)}, ["-0.1"]),
        ({"boxes": ((5.0, 0.0, 5.0, 9.0),)}, ["x0 < x1"]),
        ({"boxes": ((0.0, 0.0, float("nan"), 9.0),)}, ["nan"]),
        ({"fractured": False, "boxes": ((0.0, 0.0, 4.0, 9.0),)}, ["none on a film called normal"]),
    ],
)
def test_a_record_refuses(fields, names):
    with pytest.raises(BadValue) as refusal:
        record(**fields)
    assert all(name in str(refusal.value) for name in names)


def test_a_film_nobody_could_decode_stays_on_record_set_aside():
    assert record(size_px=(0, 0), split="set_aside").size_px == (0, 0)


def test_a_box_may_touch_every_edge():
    assert record(boxes=((0.0, 0.0, 40.0, 30.0),)).boxes


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((2, 3, 1), np.float32),
        np.zeros((0, 3), np.float32),
        np.zeros((2, 3)),
        np.full((2, 3), 1.01, np.float32),
        np.full((2, 3), -0.01, np.float32),
        np.full((2, 3), np.nan, np.float32),
    ],
)
def test_a_radiograph_is_two_dimensional_float32_from_0_to_1(pixels):
    with pytest.raises(BadValue, match="pixels"):
        Radiograph(pixels)


def test_size_is_width_before_height():
    assert Radiograph(np.zeros((2, 3), np.float32)).size_px == (3, 2)


def test_frozen_all_the_way_down():
    film = Radiograph(np.zeros((2, 3), np.float32))
    with pytest.raises(ValueError, match="read-only"):
        film.pixels[0, 0] = 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        film.harmonise_id = "h"


@pytest.mark.parametrize(
    "fields",
    [{"long_side_px": 31}, {"long_side_px": 8193}, {"clahe_clip": -1.0}, {"clahe_clip": 41.0}, {"clahe_grid": 0}],
)
def test_a_configuration_out_of_range_is_refused(fields):
    with pytest.raises(BadValue, match=next(iter(fields))):
        HarmoniseConfig(**fields)


@pytest.mark.parametrize("pixels", [np.zeros((2, 3, 4), np.uint8), np.zeros((2, 3), np.float32)])
def test_model_input_is_uint8_grey_or_three_channels(pixels):
    with pytest.raises(BadValue, match="pixels"):
        ModelInput(pixels, (3, 2), FrameMap(), "h")


def test_frame_map_scales_then_shifts():
    there = FrameMap(scale_x=2, scale_y=0.5, shift_x=10, shift_y=-1)
    assert there.forward(np.array([[1.0, 2.0, 3.0, 4.0]])).tolist() == [[12, 0, 16, 1]]


def test_frame_map_goes_there_and_back():
    rng = np.random.default_rng(0)
    boxes = rng.uniform(0, 3000, (50, 4))
    there = FrameMap(0.3555, 0.3556, 13, 7).then(FrameMap(1.7, 1.9, -3, 0.25))
    np.testing.assert_allclose(there.back(there.forward(boxes)), boxes, atol=1e-9)


def test_then_is_one_map_after_the_other():
    first, second = FrameMap(2, 3, 5, 7), FrameMap(0.5, 0.25, -1, 1)
    boxes = np.array([[1.0, 2.0, 30.0, 40.0]])
    np.testing.assert_allclose(first.then(second).forward(boxes), second.forward(first.forward(boxes)))


def test_frame_map_never_mirrors_or_collapses():
    with pytest.raises(BadValue, match="above 0"):
        FrameMap(scale_x=0)


def detections(scores, xyxy=None):
    n = len(scores)
    boxes = np.tile([0.0, 0.0, 4.0, 4.0], (n, 1)) if xyxy is None else np.array(xyxy, float)
    return Detections(boxes, np.array(scores, float), np.zeros(n, np.int64))


@pytest.mark.parametrize(
    ("scores", "xyxy", "names"),
    [
        ([0.2, 0.9], None, "non-increasing"),
        ([1.2], None, "within"),
        ([float("nan")], None, "within"),
        ([0.5], [[4, 0, 0, 4]], "x0 <= x1"),
        ([0.5], [[0, 0, float("inf"), 4]], "finite"),
        ([0.5], [[0, 0, 4]], "xyxy shape"),
    ],
)
def test_detections_refuse(scores, xyxy, names):
    with pytest.raises(BadValue, match=names):
        detections(scores, xyxy)


def test_detections_above_a_threshold_include_it():
    found = detections([0.9, 0.5, 0.4])
    assert len(found.above(0.5)) == 2
    assert found.best_score == 0.9


def test_no_detections_score_0():
    assert len(Detections.empty()) == 0
    assert Detections.empty().best_score == 0.0
    assert len(Detections.empty().above(0.0)) == 0


def test_an_estimate_never_hides_what_it_rests_on():
    assert str(Estimate(0.9, 0.8, 0.95, 40, 30, "wilson")) == "0.900 (0.800 to 0.950), n=40"
    assert str(Estimate(0.9, 0.5, 1.0, 12, 12, "wilson")).endswith("n=12, fewer than 20")
    assert str(Estimate(None, None, None, 0, 0, "wilson", "no normals")) == "not estimable (no normals)"


@pytest.mark.parametrize("interval", [(0.95, 0.99), (0.1, None)])
def test_an_interval_holds_its_value_and_has_two_ends(interval):
    with pytest.raises(BadValue, match="interval"):
        Estimate(0.9, *interval, 40, 30, "wilson")


def test_a_threshold_is_a_score():
    measured = Estimate(0.9, 0.8, 0.95, 40, 30, "wilson")
    with pytest.raises(BadValue, match="threshold"):
        OperatingPoint("high sensitivity", 1.1, "sensitivity >= 0.95", measured, measured, "val")


def test_a_best_box_that_is_not_there_makes_no_score():
    one = Detections(np.array([[0.0, 0.0, 5.0, 5.0]]), np.array([0.7]), np.zeros(1, np.int64))
    assert Prediction((9, 9), one, "m", "h", film=FilmScore(0.7)).film_score.value == 0.7
    for found, told in ((Detections.empty(), 0.9), (one, 0.9), (one, 0.0)):
        with pytest.raises(BadValue, match="film score made by the best box: expected its score"):
            Prediction((9, 9), found, "m", "h", film=FilmScore(told))
        assert Prediction((9, 9), found, "m", "h", film=FilmScore(told, "classifier")).film_score.value == told
