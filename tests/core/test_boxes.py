"""Box arithmetic against figures worked out by hand."""

import numpy as np
import pytest

from fracture.core.boxes import area, clip, from_yolo, fuse, iou, nms, to_yolo
from fracture.core.types import Detections


def boxes(*rows):
    return np.array(rows, float).reshape(-1, 4)


def test_yolo_by_hand():
    # 100 x 50 film; the box spans x 10..30 and y 20..25.
    assert to_yolo((10, 20, 30, 25), (100, 50)) == pytest.approx((0.2, 0.45, 0.2, 0.1))


def test_yolo_there_and_back():
    rng = np.random.default_rng(0)
    for _ in range(50):
        width, height = map(int, rng.integers(50, 3000, 2))
        x0, x1 = sorted(rng.uniform(0, width, 2))
        y0, y1 = sorted(rng.uniform(0, height, 2))
        there = to_yolo((x0, y0, x1, y1), (width, height))
        assert from_yolo(there, (width, height)) == pytest.approx((x0, y0, x1, y1), abs=1e-9)


def test_the_whole_film_in_yolo():
    assert to_yolo((0, 0, 373, 454), (373, 454)) == (0.5, 0.5, 1, 1)


def test_area_of_a_box_turned_inside_out_is_0():
    assert area(boxes([0, 0, 4, 5], [4, 0, 0, 5])).tolist() == [20, 0]


def test_iou_by_hand():
    a = boxes([0, 0, 10, 10])
    b = boxes([0, 0, 10, 10], [5, 0, 15, 10], [2, 2, 4, 4], [10, 0, 20, 10], [50, 50, 60, 60])
    # Shared 50 of 150; 4 of 100; an edge only; nothing.
    assert iou(a, b)[0] == pytest.approx([1, 1 / 3, 0.04, 0, 0])


def test_iou_is_symmetric_and_has_a_row_per_box():
    rng = np.random.default_rng(1)
    corner = rng.uniform(0, 50, (7, 2))
    some = np.hstack([corner, corner + rng.uniform(1, 30, (7, 2))])
    assert iou(some[:3], some).shape == (3, 7)
    np.testing.assert_allclose(iou(some, some), iou(some, some).T)
    np.testing.assert_allclose(np.diag(iou(some, some)), 1)


def test_iou_of_nothing_is_0_and_not_nan():
    assert iou(boxes([5, 5, 5, 5]), boxes([5, 5, 5, 5])).tolist() == [[0]]
    assert iou(boxes(), boxes([0, 0, 1, 1])).shape == (0, 1)


def test_clip_cuts_at_every_edge():
    cut = clip(boxes([-5, -6, 120, 60], [10, 10, 20, 20], [101, 0, 130, 20]), (100, 50))
    assert cut.tolist() == [[0, 0, 100, 50], [10, 10, 20, 20], [100, 0, 100, 20]]


def test_nms_keeps_the_best_of_those_that_overlap():
    found = boxes([0, 0, 10, 10], [1, 0, 11, 10], [50, 50, 60, 60])
    assert nms(found, np.array([0.5, 0.9, 0.1]), 0.5).tolist() == [1, 2]


def test_nms_breaks_ties_by_order():
    same = boxes(*[[0, 0, 10, 10]] * 100)
    assert nms(same, np.full(100, 0.7), 0.5).tolist() == [0]
    apart, score = same + 20.0 * np.arange(100)[:, None], np.tile([0.6, 0.7], 50)
    assert nms(apart, score, 0.5).tolist() == [*range(1, 100, 2), *range(0, 100, 2)]


def test_nms_drops_only_above_the_threshold():
    # The two share exactly half of the first.
    found = boxes([0, 0, 10, 10], [0, 0, 5, 10])
    assert nms(found, np.array([0.9, 0.8]), 0.5).tolist() == [0, 1]
    assert nms(found, np.array([0.9, 0.8]), 0.49).tolist() == [0]


def test_a_box_that_was_dropped_drops_no_other():
    # 0 beats 1, 1 would beat 2, 0 and 2 do not touch.
    chain = boxes([0, 0, 10, 10], [4, 0, 14, 10], [10, 0, 20, 10])
    assert nms(chain, np.array([0.9, 0.8, 0.7]), 0.2).tolist() == [0, 2]


def test_nms_of_nothing():
    assert nms(boxes(), np.zeros(0), 0.5).tolist() == []


def test_suppression_ends_with_as_many_as_are_asked_for():
    rng = np.random.default_rng(0)
    corner = rng.random((300, 2)) * 200
    xyxy, score = np.hstack([corner, corner + 5 + rng.random((300, 2)) * 60]), rng.random(300)
    kept = nms(xyxy, score, 0.3)
    assert len(kept) > 20
    assert nms(xyxy, score, 0.3, 20).tolist() == kept[:20].tolist()
    assert (np.diff(score[kept]) < 0).all()
    apart = iou(xyxy[kept], xyxy[kept]) - np.eye(len(kept))
    assert apart.max() <= 0.3
    gone = np.setdiff1d(np.arange(300), kept)
    assert all(iou(xyxy[[box]], xyxy[kept[score[kept] > score[box]]]).max() > 0.3 for box in gone)


def found(*rows):
    """Make detections of (x0, y0, x1, y1, score) rows."""
    table = np.array(rows, np.float64).reshape(-1, 5)
    return Detections(table[:, :4], table[:, 4], np.zeros(len(table), np.int64))


def test_boxes_that_agree_become_their_mean_and_share_the_score():
    one = found((10, 10, 20, 20, 0.8), (50, 50, 60, 60, 0.6))
    two = found((11, 10, 21, 20, 0.4))
    merged = fuse([one, two])
    np.testing.assert_allclose(merged.xyxy, [[10 + 1 / 3, 10, 20 + 1 / 3, 20], [50, 50, 60, 60]])
    np.testing.assert_allclose(merged.score, [0.6, 0.3])
    assert len(fuse([found(), found()])) == 0


def test_boxes_that_share_just_the_threshold_stay_apart():
    # The two share exactly half of the first.
    one, two = found((0, 0, 10, 10, 0.9)), found((0, 0, 5, 10, 0.7))
    assert len(fuse([one, two], 0.5)) == 2
    assert len(fuse([one, two], 0.49)) == 1


def test_a_box_without_area_keeps_its_place_and_its_share_of_the_score():
    merged = fuse([found((7, 8, 7, 20, 0.8)), found()])
    np.testing.assert_allclose(merged.xyxy, [[7, 8, 7, 20]])
    np.testing.assert_allclose(merged.score, [0.4])


def test_a_reading_speaks_once_for_a_place():
    """Two boxes of one reading on one place do not outvote the other."""
    merged = fuse([found((10, 10, 20, 20, 0.8), (10, 10, 20, 21, 0.7)), found()])
    np.testing.assert_allclose(merged.score, [0.4])
    np.testing.assert_allclose(merged.xyxy, [[10, 10, 20, 20]])


def test_readings_of_other_classes_are_not_merged():
    box = np.array([[10.0, 10, 20, 20]])
    one, two = (Detections(box, np.array([0.5]), np.array([label])) for label in (0, 1))
    assert sorted(fuse([one, two]).label) == [0, 1]


def test_one_reading_alone_stays_as_it_is():
    alone = found((10, 10, 20, 20, 0.8), (50, 50, 60, 60, 0.6), (30, 10, 40, 20, 0.1))
    same = fuse([alone])
    np.testing.assert_allclose(same.xyxy, alone.xyxy)
    np.testing.assert_allclose(same.score, alone.score)


def test_boxes_without_area_suppress_nothing():
    assert nms(boxes([5, 5, 5, 5], [5, 5, 5, 5]), np.array([0.9, 0.8]), 0.5).tolist() == [0, 1]


def test_fused_boxes_of_one_score_keep_their_order():
    apart = found(*((20.0 * place, 0, 20.0 * place + 10, 10, 0.5) for place in range(60)))
    np.testing.assert_array_equal(fuse([apart]).xyxy, apart.xyxy)
