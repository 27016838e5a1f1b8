"""Box figures against tables checked by hand and against pycocotools."""

import contextlib
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from fracture.core.errors import BadValue
from fracture.core.types import Detections
from fracture.metrics.detection import (
    CRITERIA,
    IOU_THRESHOLDS,
    RECALLS,
    Matches,
    ap_estimates,
    at_threshold,
    average_precision,
    match,
    precision_recall_curve,
    row_of,
)

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


def ap50_and_mean(ap):
    """Pick what COCO reports out of the twelve."""
    return ap[row_of("iou 0.50")], ap[2:].mean()


def coco_ap(predictions, truths):
    """Give AP at IoU 0.10 and COCO's ten as pycocotools does, (11,), NaN where it has no truth box."""

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
        judge.params.iouThrs = np.append(0.1, judge.params.iouThrs)
        judge.params.areaRng, judge.params.areaRngLbl = judge.params.areaRng[:1], ["all"]
        judge.evaluate()
        judge.accumulate()
    precision = judge.eval["precision"][:, :, 0, 0, -1]
    return np.where(precision == -1, np.nan, precision).mean(axis=1)


def test_perfect_boxes_score_1():
    matches = match([detections([[*UNIT, 0.9]]), Detections.empty()], [boxes(UNIT), NONE])
    assert average_precision(matches) == pytest.approx(np.ones(12))


def test_a_table_checked_by_hand():
    # Two truth boxes on film 0, none on film 1. Best first: hit (precision 1, recall 1/2), false alarm on the normal
    # film, hit (2/3, recall 1). Recalls 0 to 0.50 are 51 of the 101 and read 1, the other 50 read 2/3.
    far = [50.0, 0.0, 60.0, 10.0]
    found = [detections([[*UNIT, 0.9], [*far, 0.5]]), detections([[*UNIT, 0.7]])]
    matches = match(found, [boxes(UNIT, far), NONE])
    assert average_precision(matches) == pytest.approx(np.full(12, (51 + 50 * 2 / 3) / 101), abs=1e-12)
    assert matches.film.tolist() == [0, 1, 0]
    assert matches.taken[row_of("iou 0.50")].tolist() == [0, -1, 1]
    assert precision_recall_curve(matches, "centre") == pytest.approx([1.0] * 51 + [2 / 3] * 50, abs=1e-12)
    assert matches.highest.tolist() == [0.9, 0.7]


def test_iou_decides_the_levels():
    # 10 x 10 against 10 x 7.5 inside it: IoU 0.75, a hit at 0.50, 0.55, 0.60, 0.65, 0.70, 0.75 and at no level above.
    matches = match([detections([[0, 0, 10, 7.5, 0.9]])], [boxes(UNIT)])
    assert matches.taken[2:, 0].tolist() == [0] * 6 + [-1] * 4
    assert ap50_and_mean(average_precision(matches)) == pytest.approx((1.0, 0.6))


def test_criteria_are_named_in_the_order_of_the_rows():
    levels = ["0.50", "0.55", "0.60", "0.65", "0.70", "0.75", "0.80", "0.85", "0.90", "0.95"]
    assert list(CRITERIA) == ["centre", "iou 0.10", *(f"iou {level}" for level in levels)]
    # 10 x 10 against 10 x 1 in its corner: IoU exactly 0.1 and the centre (5, 0.5) inside. Against 10 x 0.9: only that.
    thin = match([detections([[0, 0, 10, 1, 0.9]])], [boxes(UNIT)])
    thinner = match([detections([[0, 0, 10, 0.9, 0.9]])], [boxes(UNIT)])
    assert average_precision(thin).tolist() == pytest.approx([1, 1] + [0] * 10)
    assert average_precision(thinner).tolist() == pytest.approx([1, 0] + [0] * 10)
    with pytest.raises(BadValue, match=r"expected one of centre, iou 0\.10.*got 'iou 0\.1'"):
        precision_recall_curve(thin, "iou 0.1")


@pytest.mark.parametrize(
    ("box", "hit"),
    [
        ([-100, -100, 110, 110], True),  # far larger, centre (5, 5)
        ([4, 4, 16, 16], True),  # centre (10, 10) on the corner
        ([4, 4, 16.1, 16], False),  # centre x 10.05, just outside
        ([4, 4, 16, 16.1], False),
        ([-6, -6, 6, 6], True),  # centre (0, 0) on the other corner
        ([-6.1, -6, 6, 6], False),
        ([3, 3, 3, 3], True),  # a point
        ([20, 4, 30, 6], False),  # right height, beside it
    ],
)
def test_a_clinical_hit_has_its_centre_in_the_truth_box(box, hit):
    matches = match([detections([[*box, 0.9]])], [boxes(UNIT)])
    assert (matches.taken[row_of("centre"), 0] == 0) == hit


def test_of_several_boxes_pointed_at_the_one_overlapped_most_is_found():
    # The centre (5, 5) lies in all three. IoU with 10 x 10 is 1, with 20 x 20 1/4, with 12 x 12 100/144. Each box is
    # found once, so three equal detections find them in that order and the fourth, none left, is a false positive.
    truths = boxes([0, 0, 20, 20], UNIT, [0, 0, 12, 12])
    matches = match([detections([[*UNIT, score] for score in (0.9, 0.8, 0.7, 0.6)])], [truths])
    assert matches.taken[row_of("centre")].tolist() == [1, 2, 0, -1]
    assert matches.taken[row_of("iou 0.10")].tolist() == [1, 2, 0, -1]
    assert matches.taken[row_of("iou 0.50")].tolist() == [1, 2, -1, -1]


def test_the_box_pointed_at_is_found_and_not_one_overlapped_more():
    # Centre (5, 5) lies in the small box, IoU 1/100, and not in the one beside it: IoU 40 / (100 + 80 - 40) = 0.286.
    small, beside = [4.5, 4.5, 5.5, 5.5], [6, 0, 14, 10]
    matches = match([detections([[*UNIT, 0.9]])], [boxes(small, beside)])
    assert matches.taken[row_of("centre"), 0] == 0
    assert matches.taken[row_of("iou 0.10"), 0] == 1


def test_a_truth_box_is_found_once():
    # The second box on the same fracture is a false alarm. Recall 1 is reached at precision 1, so AP does not see it.
    matches = match([detections([[*UNIT, 0.9], [*UNIT, 0.8]])], [boxes(UNIT)])
    assert (matches.taken == [0, -1]).all()
    figures = at_threshold(matches, 0.5, ["a"])
    assert (figures["precision"].value, figures["recall"].value) == (0.5, 1.0)
    assert (figures["precision_centre"].value, figures["recall_centre"].value) == (0.5, 1.0)
    assert figures["false_positives_per_film"].value == 1.0


def test_a_better_free_box_is_preferred_and_equal_ones_go_to_the_last():
    truths = boxes([0, 0, 10, 8], UNIT, UNIT)
    matches = match([detections([[*UNIT, 0.9], [*UNIT, 0.8], [*UNIT, 0.7]])], [truths])
    for criterion in ("centre", "iou 0.10", "iou 0.50"):
        assert matches.taken[row_of(criterion)].tolist() == [2, 1, 0]


def test_only_the_first_100_detections_of_a_film_count():
    away = [[1000.0, 1000.0, 1010.0, 1010.0, 0.9]]
    for before, expected in ((99, 0.01), (100, 0.0)):
        matches = match([detections(away * before + [[*UNIT, 0.1]])], [boxes(UNIT)])
        assert average_precision(matches) == pytest.approx(np.full(12, expected))


def test_other_labels_are_left_out():
    both = detections([[*UNIT, 0.9], [*UNIT, 0.8]], label=[3, 0])
    assert match([both], [boxes(UNIT)]).score.tolist() == [0.8]
    assert match([both], [boxes(UNIT)], label=3).score.tolist() == [0.9]


def test_no_truth_box_gives_no_figure_and_no_detection_gives_0():
    for nothing in (match([detections([[*UNIT, 0.9]])], [NONE]), match([], [])):
        assert np.isnan(average_precision(nothing)).all()
        assert average_precision(nothing).shape == (12,)
        assert np.isnan(precision_recall_curve(nothing, "centre")).all()
    assert average_precision(match([Detections.empty()], [boxes(UNIT)])).tolist() == [0.0] * 12


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
        assert ours[1:] == pytest.approx(theirs, abs=1e-9, nan_ok=True)
        values.append(ours[1:3])
    assert (np.nanstd(values, axis=0) > 0.05).all()  # the cases are not all alike


def test_touching_and_flat_boxes_overlap_nothing():
    # The flat box has its centre (5, 7) in both truth boxes and overlaps neither: a clinical hit and no other.
    beside, flat = [10.0, 0.0, 20.0, 10.0], [5.0, 5.0, 5.0, 9.0]
    predictions, truths = [detections([[*beside, 0.9], [*flat, 0.8]])], [boxes(UNIT, flat)]
    taken = match(predictions, truths).taken
    assert taken[row_of("centre")].tolist() == [-1, 1]
    assert (taken[1:] == -1).all()
    assert average_precision(match(predictions, truths))[1:].tolist() == coco_ap(predictions, truths).tolist()


def test_iou_levels_are_cocos():
    assert (COCOeval(iouType="bbox").params.iouThrs == IOU_THRESHOLDS).all()


def test_films_drawn_twice_count_twice():
    rng = np.random.default_rng(5)
    for _ in range(40):
        predictions, truths = random_films(rng, "real")
        drawn = np.sort(rng.integers(0, len(truths), len(truths)))
        twice = [predictions[i] for i in drawn], [truths[i] for i in drawn]
        ours = average_precision(match(predictions, truths), np.bincount(drawn, minlength=len(truths)))
        assert ours == pytest.approx(average_precision(match(*twice)), abs=1e-12, nan_ok=True)
        assert ours[1:] == pytest.approx(coco_ap(*twice), abs=1e-9, nan_ok=True)


def test_precision_and_recall_at_a_threshold_by_hand():
    # At 0.5: three boxes shown, two of them right; four drawn, on two films of one patient.
    far, other = [50.0, 0.0, 60.0, 10.0], [80.0, 0.0, 90.0, 10.0]
    found = [detections([[*UNIT, 0.9], [*far, 0.5], [*other, 0.4]]), Detections.empty(), detections([[*UNIT, 0.6]])]
    matches = match(found, [boxes(UNIT, far, other), boxes(UNIT), NONE])
    figures = at_threshold(matches, 0.5, ["p1", "p1", "p2"])
    for suffix in ("", "_centre"):
        precision, recall = figures[f"precision{suffix}"], figures[f"recall{suffix}"]
        assert (precision.value, precision.n, precision.n_groups) == (2 / 3, 3, 2)
        assert (recall.value, recall.n, recall.n_groups) == (2 / 4, 4, 1)
    figures = at_threshold(matches, 0.95, ["p1", "p1", "p2"])
    assert str(figures["precision"]) == "not estimable (no boxes at or above the threshold)"
    assert figures["precision"].n_groups == 0
    assert figures["recall"].value == figures["recall_centre"].value == 0.0
    assert set(figures) == {"precision", "recall", "precision_centre", "recall_centre", "false_positives_per_film"}


def test_precision_and_recall_are_read_at_iou_one_half_and_by_the_centre():
    half, less, corner = [0, 0, 10, 5, 0.9], [0, 0, 10, 4.9, 0.9], [6, 6, 20, 20, 0.9]
    for found, overlaps, points in ((half, 1.0, 1.0), (less, 0.0, 1.0), (corner, 0.0, 0.0)):
        figures = at_threshold(match([detections([found])], [boxes(UNIT)]), 0.5, ["a"])
        assert (figures["precision"].value, figures["recall"].value) == (overlaps, overlaps)
        assert figures["false_positives_per_film"].value == 1 - points
        assert (figures["precision_centre"].value, figures["recall_centre"].value) == (points, points)


def alarms(counts):
    """Build matches of normal films with so many boxes each, all scored 0.5."""
    found = [detections([[*UNIT, 0.5]] * count) for count in counts]
    return match(found, [NONE] * len(counts))


def test_false_positives_per_film_by_hand():
    # Counts 3, 1, 0, 0 over all four films: mean 1, pulls 2, 0, -1, -1. Each film its own group: the sum of squares is
    # 6, times 4/3 and over 16 gives 1/2. Groups (3, 1) and (0, 0): pulls 2 and -2, so 8 times 2/1 over 16 gives 1.
    # Groups (3, 0) and (1, 0): pulls 1 and -1, so 2 times 2/1 over 16 gives 1/4.
    matches = alarms([3, 1, 0, 0])
    alone = at_threshold(matches, 0.5, list("abcd"))["false_positives_per_film"]
    pairs = at_threshold(matches, 0.5, list("aabb"))["false_positives_per_film"]
    crossed = at_threshold(matches, 0.5, list("abab"))["false_positives_per_film"]
    assert (alone.value, alone.n, alone.n_groups, pairs.n_groups) == (1.0, 4, 4, 2)
    assert (alone.low, alone.high) == (0.0, pytest.approx(1 + 1.959964 * 0.5**0.5, abs=1e-6))  # 1 - 1.39 is clipped
    assert pairs.high == pytest.approx(1 + 1.959964, abs=1e-6)
    assert crossed.high == pytest.approx(1 + 1.959964 * 0.5, abs=1e-6)
    assert "clustered by group" in alone.method
    assert at_threshold(matches, 0.6, list("abcd"))["false_positives_per_film"].value == 0.0


def test_false_positives_per_film_has_an_honest_lower_end():
    # Counts 3 and 2, fifty times: mean 2.5, variance of the mean 100 * 0.25 * 100/99 / 100**2 = 0.0025253.
    counts = alarms([3, 2] * 50)
    estimate = at_threshold(counts, 0.5, [str(i) for i in range(100)])["false_positives_per_film"]
    assert estimate.low == pytest.approx(2.5 - 1.959964 * 0.0025253**0.5, abs=1e-5)


@pytest.mark.parametrize(
    ("counts", "groups", "value", "note"),
    [
        ([2, 2], "ab", 2.0, "variance is zero: no interval"),
        ([0, 0], "ab", 0.0, "variance is zero: no interval"),
        ([3, 1], "aa", 2.0, "one group: no interval"),
        ([], "", None, "no films"),
    ],
)
def test_false_positives_per_film_without_an_interval(counts, groups, value, note):
    estimate = at_threshold(alarms(counts), 0.5, list(groups))["false_positives_per_film"]
    assert (estimate.value, estimate.low, estimate.high, estimate.note) == (value, None, None, note)


def test_ap_estimates():
    rng = np.random.default_rng(7)
    films = [random_films(rng, "real") for _ in range(10)]
    predictions, truths = [p for ps, _ in films for p in ps], [t for _, ts in films for t in ts]
    matches = match(predictions, truths)
    groups = [f"patient {i // 2}" for i in range(len(truths))]
    runs = [ap_estimates(matches, groups, np.random.default_rng(seed), resamples=100) for seed in (0, 0)]
    assert runs[0] == runs[1]
    assert list(runs[0]) == ["ap50", "ap50_95", "ap10", "ap_centre"]
    theirs, ours = coco_ap(predictions, truths), average_precision(matches)
    values = [estimate.value for estimate in runs[0].values()]
    assert values == pytest.approx([theirs[1], theirs[1:].mean(), theirs[0], ours[0]], abs=1e-9)
    assert len(set(values)) == 4
    for estimate in runs[0].values():
        assert estimate.low < estimate.value < estimate.high
        assert (estimate.n, estimate.n_groups) == (sum(map(len, truths)), len(set(groups)))
        boxed = sum(1 for truth in truths if len(truth))
        assert estimate.note == f"{sum(map(len, truths))} truth boxes on {boxed} films"


def test_figures_without_truth_boxes():
    matches = match([detections([[*UNIT, 0.9]])], [NONE])
    found = ap_estimates(matches, ["a"], np.random.default_rng(0), 10) | at_threshold(matches, 0.5, ["a"])
    assert {str(found[name]) for name in found.keys() - {"false_positives_per_film"}} == {
        "not estimable (no truth boxes)"
    }
    assert found["false_positives_per_film"].value == 1


FILM = st.tuples(
    st.lists(st.tuples(*[st.integers(0, 12)] * 4), max_size=3),
    st.lists(st.tuples(*[st.integers(0, 12)] * 4, st.integers(0, 20)), max_size=5),
)


def built(films, jitter=0.0):
    """Build predictions and truths of drawn films; ``jitter`` makes every score another one."""
    predictions, truths, count = [], [], 0
    for drawn, found in films:
        rows = [[x, y, x + w, y + h, score / 25 + jitter * (count + i)] for i, (x, y, w, h, score) in enumerate(found)]
        count += len(rows)
        predictions.append(detections(rows))
        truths.append(boxes(*([x, y, x + w, y + h] for x, y, w, h in drawn)))
    return predictions, truths


@given(st.lists(FILM, min_size=1, max_size=6), st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_the_order_of_films_does_not_matter(films, random):
    predictions, truths = built(films, jitter=1e-6)
    order = list(range(len(films)))
    random.shuffle(order)
    ours = average_precision(match(predictions, truths))
    shuffled = average_precision(match([predictions[i] for i in order], [truths[i] for i in order]))
    assert shuffled == pytest.approx(ours, abs=1e-12, nan_ok=True)


@given(st.lists(FILM, min_size=1, max_size=6), st.integers(0, 25))
@settings(max_examples=60, deadline=None)
def test_films_doubled_within_their_group_leave_every_value_as_it_was(films, step):
    predictions, truths = built(films)
    once, twice = match(predictions, truths), match(predictions * 2, truths * 2)
    groups = [str(i // 2) for i in range(len(films))]
    ap = average_precision(once)
    assert average_precision(once, np.full(len(films), 2)) == pytest.approx(ap, abs=1e-12, nan_ok=True)
    one, two = at_threshold(once, step / 25, groups), at_threshold(twice, step / 25, groups * 2)
    for name, estimate in one.items():
        assert estimate.value == pytest.approx(two[name].value)
        assert (2 * estimate.n, estimate.n_groups) == (two[name].n, two[name].n_groups)
        if name == "false_positives_per_film" and estimate.low is not None:
            assert (two[name].low, two[name].high) == pytest.approx((estimate.low, estimate.high))


@given(st.lists(FILM, min_size=1, max_size=6))
@settings(max_examples=60, deadline=None)
def test_a_higher_threshold_finds_no_more(films):
    matches = match(*built(films))
    figures = [at_threshold(matches, step / 25, ["a"] * len(films)) for step in range(26)]
    for name in ("recall", "recall_centre", "false_positives_per_film"):
        values = [at[name].value for at in figures]
        assert values[0] is None or (np.diff(values) <= 0).all()
    curve = precision_recall_curve(matches, "iou 0.10")
    assert np.isnan(curve).all() or (np.diff(curve) <= 0).all()
    assert len(curve) == len(RECALLS)


def test_what_does_not_fit_together_is_refused():
    with pytest.raises(BadValue, match="each of 1 films, got 2"):
        match([Detections.empty()], [NONE, NONE])
    with pytest.raises(BadValue, match=r"\(M, 4\), got \(4,\)"):
        match([Detections.empty()], [np.array(UNIT)])
    matches = match([Detections.empty()], [NONE])
    for refused in (
        lambda: ap_estimates(matches, [], np.random.default_rng(0)),
        lambda: at_threshold(matches, 0.5, ["a", "b"]),
    ):
        with pytest.raises(BadValue, match="each of 1 films"):
            refused()
    with pytest.raises(BadValue, match=r"expected \(12, 2\)"):
        Matches(np.zeros(2, np.int64), np.zeros(2), np.zeros((12, 3), np.int32), np.zeros(1, np.int64))
    with pytest.raises(ValueError, match="read-only"):
        matches.n_truth[0] = 1
