"""Box figures against tables checked by hand and against pycocotools."""

import contextlib
import io

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from fracture.errors import BadValue
from fracture.metrics.detection import (
    IOU_THRESHOLDS,
    Matches,
    average_precision,
    detection_estimates,
    match,
    precision_recall_at,
)
from fracture.types import Detections

NONE = np.zeros((0, 4))
UNIT = [0.0, 0.0, 10.0, 10.0]


def detections(rows, label=None):
    """Build detections from (x0, y0, x1, y1, score) rows in any order."""
    table = np.array(rows, float).reshape(-1, 5)
    table = table[np.argsort(-table[:, 4], kind="stable")]
    labels = np.zeros(len(table), np.int64) if label is None else np.array(label, np.int64)
    return Detections(table[:, :4].copy(), table[:, 4].copy(), labels)


def boxes(*rows):
    return np.array(rows, float).reshape(-1, 4)


def coco_ap(predictions, truths):
    """Give (AP50, AP50-95) as pycocotools does, None where it has no truth box."""

    def index(columns):
        rows = [(film, *row) for film, column in enumerate(columns) for row in zip(*column, strict=True)]
        coco = COCO()
        coco.dataset = {"images": [{"id": i} for i in range(len(truths))], "categories": [{"id": 1}], "annotations": []}
        for number, (film, (x0, y0, x1, y1), score) in enumerate(rows, start=1):
            bbox = [x0, y0, x1 - x0, y1 - y0]
            row = {"id": number, "image_id": film, "category_id": 1, "bbox": bbox, "score": score, "iscrowd": 0}
            coco.dataset["annotations"].append(row | {"area": bbox[2] * bbox[3]})
        coco.createIndex()
        return coco

    with contextlib.redirect_stdout(io.StringIO()):
        truth = index([(t.tolist(), [1.0] * len(t)) for t in truths])
        found = index([(p.xyxy.tolist(), p.score.tolist()) for p in predictions])
        judge = COCOeval(truth, found, "bbox")
        judge.params.imgIds = list(range(len(truths)))
        judge.params.areaRng, judge.params.areaRngLbl = judge.params.areaRng[:1], ["all"]
        judge.evaluate()
        judge.accumulate()
    precision = judge.eval["precision"][:, :, 0, 0, -1]
    return None if (precision == -1).all() else (precision[0].mean(), precision.mean())


def test_perfect_boxes_score_1():
    matches = match([detections([[*UNIT, 0.9]]), Detections.empty()], [boxes(UNIT), NONE])
    assert average_precision(matches) == pytest.approx((1.0, 1.0))


def test_a_table_checked_by_hand():
    # Two truth boxes on film 0, none on film 1. Best first: hit (precision 1, recall 1/2), false alarm on the normal
    # film, hit (2/3, recall 1). Recalls 0 to 0.50 are 51 of the 101 and read 1, the other 50 read 2/3.
    far = [50.0, 0.0, 60.0, 10.0]
    found = [detections([[*UNIT, 0.9], [*far, 0.5]]), detections([[*UNIT, 0.7]])]
    matches = match(found, [boxes(UNIT, far), NONE])
    assert average_precision(matches)[0] == pytest.approx((51 + 50 * 2 / 3) / 101, abs=1e-12)
    assert matches.film.tolist() == [0, 1, 0]
    assert matches.taken[0].tolist() == [0, -1, 1]


def test_iou_decides_the_levels():
    # 10 x 10 against 10 x 7.5 inside it: IoU 0.75, a hit at 0.50, 0.55, 0.60, 0.65, 0.70, 0.75 and at no level above.
    matches = match([detections([[0, 0, 10, 7.5, 0.9]])], [boxes(UNIT)])
    assert matches.taken[:, 0].tolist() == [0] * 6 + [-1] * 4
    assert average_precision(matches) == pytest.approx((1.0, 0.6))


def test_a_truth_box_is_found_once():
    # The second box on the same fracture is a false alarm. Recall 1 is reached at precision 1, so AP does not see it.
    matches = match([detections([[*UNIT, 0.9], [*UNIT, 0.8]])], [boxes(UNIT)])
    assert matches.taken[0].tolist() == [0, -1]
    precision, recall = precision_recall_at(matches, 0.5, ["a"])
    assert (precision.value, recall.value) == (0.5, 1.0)


def test_a_better_free_box_is_preferred_and_equal_ones_go_to_the_last():
    truths = boxes([0, 0, 10, 8], UNIT, UNIT)
    matches = match([detections([[*UNIT, 0.9], [*UNIT, 0.8], [*UNIT, 0.7]])], [truths])
    assert matches.taken[0].tolist() == [2, 1, 0]


def test_only_the_first_100_detections_of_a_film_count():
    away = [[1000.0, 1000.0, 1010.0, 1010.0, 0.9]]
    for before, expected in ((99, 0.01), (100, 0.0)):
        matches = match([detections(away * before + [[*UNIT, 0.1]])], [boxes(UNIT)])
        assert average_precision(matches)[0] == pytest.approx(expected)


def test_other_labels_are_left_out():
    both = detections([[*UNIT, 0.9], [*UNIT, 0.8]], label=[3, 0])
    assert match([both], [boxes(UNIT)]).score.tolist() == [0.8]
    assert match([both], [boxes(UNIT)], label=3).score.tolist() == [0.9]


def test_no_truth_box_gives_no_figure_and_no_detection_gives_0():
    assert average_precision(match([detections([[*UNIT, 0.9]])], [NONE])) is None
    assert average_precision(match([], [])) is None
    assert average_precision(match([Detections.empty()], [boxes(UNIT)])) == (0.0, 0.0)


def random_films(rng, style):
    """Draw films of every awkward kind: none or many boxes, tied scores, doubled, flat or touching boxes."""
    predictions, truths = [], []
    for _ in range(rng.integers(1, 12)):
        grid = 4.0 if style == "ties" else 1.0
        corner, size = rng.integers(0, 30, (rng.integers(0, 5), 2)), rng.integers(0, 12, (1, 2))
        truth = np.hstack([corner, corner + size]) * grid
        if len(truth) and rng.random() < 0.3:
            truth = np.vstack([truth, truth[:1]])
        count = rng.integers(95, 180) if style == "many" and rng.random() < 0.4 else rng.integers(0, 9)
        start = rng.integers(0, 30, (count, 2))
        other = np.hstack([start, start + rng.integers(0, 12, (count, 2))]) * grid
        near = truth[rng.integers(0, len(truth), count)] if len(truth) else other
        near = near + rng.integers(-2, 3, (count, 1)) * [1, 0, 1, 0] + rng.integers(0, 3, (count, 1)) * [0, 0, 1, 1]
        if style == "real":
            near = near + np.sort(rng.uniform(0, 2, (count, 2)), axis=1)[:, [0, 0, 1, 1]]
        xyxy = np.where(rng.random((count, 1)) < 0.6, near, other)
        score = rng.integers(0, 6, count) / 5 if style in ("ties", "many") else rng.random(count)
        predictions.append(detections(np.column_stack([xyxy, score])))
        truths.append(truth.astype(float))
    return predictions, truths


@pytest.mark.parametrize("style", ["plain", "ties", "many", "real"])
def test_average_precision_equals_pycocotools(style):
    rng = np.random.default_rng(["plain", "ties", "many", "real"].index(style))
    values = []
    for _ in range(15 if style == "many" else 60):
        predictions, truths = random_films(rng, style)
        ours, theirs = average_precision(match(predictions, truths)), coco_ap(predictions, truths)
        assert (ours is None) == (theirs is None)
        if ours is not None:
            assert ours == pytest.approx(theirs, abs=1e-9)
            values.append(ours[0])
    assert np.std(values) > 0.05  # the cases are not all alike


def test_touching_and_flat_boxes_match_nothing():
    beside, flat = [10.0, 0.0, 20.0, 10.0], [5.0, 5.0, 5.0, 9.0]
    predictions, truths = [detections([[*beside, 0.9], [*flat, 0.8]])], [boxes(UNIT, flat)]
    assert (match(predictions, truths).taken == -1).all()
    assert average_precision(match(predictions, truths)) == coco_ap(predictions, truths) == (0.0, 0.0)


def test_iou_levels_are_cocos():
    assert (COCOeval(iouType="bbox").params.iouThrs == IOU_THRESHOLDS).all()


def test_films_drawn_twice_count_twice():
    rng = np.random.default_rng(5)
    for _ in range(40):
        predictions, truths = random_films(rng, "real")
        drawn = np.sort(rng.integers(0, len(truths), len(truths)))
        copies = match([predictions[i] for i in drawn], [truths[i] for i in drawn])
        ours = average_precision(match(predictions, truths), drawn)
        assert ours == pytest.approx(average_precision(copies), abs=1e-12)
        assert ours == pytest.approx(coco_ap([predictions[i] for i in drawn], [truths[i] for i in drawn]), abs=1e-9)


def test_precision_and_recall_at_a_threshold_by_hand():
    # At 0.5: three boxes shown, two of them right; four drawn, on two films of one patient.
    far, other = [50.0, 0.0, 60.0, 10.0], [80.0, 0.0, 90.0, 10.0]
    found = [detections([[*UNIT, 0.9], [*far, 0.5], [*other, 0.4]]), Detections.empty(), detections([[*UNIT, 0.6]])]
    matches = match(found, [boxes(UNIT, far, other), boxes(UNIT), NONE])
    precision, recall = precision_recall_at(matches, 0.5, ["p1", "p1", "p2"])
    assert (precision.value, precision.n, precision.n_groups) == (2 / 3, 3, 2)
    assert (recall.value, recall.n, recall.n_groups) == (2 / 4, 4, 1)
    precision, recall = precision_recall_at(matches, 0.95, ["p1", "p1", "p2"])
    assert (str(precision), recall.value) == ("not estimable (no boxes at or above the threshold)", 0.0)


def test_precision_and_recall_are_read_at_iou_one_half():
    half, less = [0, 0, 10, 5, 0.9], [0, 0, 10, 4.9, 0.9]
    for found, expected in ((half, 1.0), (less, 0.0)):
        precision, recall = precision_recall_at(match([detections([found])], [boxes(UNIT)]), 0.5, ["a"])
        assert (precision.value, recall.value) == (expected, expected)


def test_detection_estimates():
    rng = np.random.default_rng(7)
    films = [random_films(rng, "real") for _ in range(10)]
    predictions, truths = [p for ps, _ in films for p in ps], [t for _, ts in films for t in ts]
    matches = match(predictions, truths)
    groups = [f"patient {i // 2}" for i in range(len(truths))]
    runs = [detection_estimates(matches, groups, 0.5, np.random.default_rng(s), resamples=100) for s in (0, 0)]
    assert runs[0] == runs[1]
    assert set(runs[0]) == {"map50", "map50_95", "precision", "recall"}
    estimate = runs[0]["map50_95"]
    assert estimate.value == pytest.approx(coco_ap(predictions, truths)[1], abs=1e-9)
    assert estimate.low < estimate.value < estimate.high
    assert (estimate.n, estimate.n_groups) == (len(truths), len(set(groups)))
    assert f"{sum(map(len, truths))} truth boxes" in estimate.note


def test_detection_estimates_without_truth_boxes():
    found = detection_estimates(match([detections([[*UNIT, 0.9]])], [NONE]), ["a"], 0.5, np.random.default_rng(0))
    assert [str(found[key]) for key in ("map50", "recall")] == ["not estimable (no truth boxes)"] * 2
    assert found["precision"].value == 0.0


def test_what_does_not_fit_together_is_refused():
    with pytest.raises(BadValue, match="each of 1 films, got 2"):
        match([Detections.empty()], [NONE, NONE])
    with pytest.raises(BadValue, match=r"\(M, 4\), got \(4,\)"):
        match([Detections.empty()], [np.array(UNIT)])
    matches = match([Detections.empty()], [NONE])
    for refused in (
        lambda: detection_estimates(matches, [], 0.5, np.random.default_rng(0)),
        lambda: precision_recall_at(matches, 0.5, ["a", "b"]),
    ):
        with pytest.raises(BadValue, match="each of 1 films"):
            refused()
    with pytest.raises(BadValue, match=r"expected \(10, 2\)"):
        Matches(np.zeros(2, np.int64), np.zeros(2), np.zeros((10, 3), np.int64), np.zeros(1, np.int64))
