"""Box-level figures: match once, and every figure reads the same match."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fracture.boxes import iou
from fracture.errors import BadValue
from fracture.metrics.uncertainty import bootstrap, count_groups, wilson
from fracture.types import Detections, Estimate, freeze

# Built as COCO builds them: 0.55 and its neighbours must be the same floating-point numbers.
IOU_THRESHOLDS = freeze(np.linspace(0.5, 0.95, 10))
RECALLS = freeze(np.linspace(0.0, 1.0, 101))
MAX_DETECTIONS = 100


@dataclass(frozen=True)
class Matches:
    """Which detection found which truth box, over all films.

    The D detections of all films stand in one row, best score first; equal scores keep the order of the films.
    ``film`` (D,) is the index of each one's film, ``score`` (D,) its score, and ``taken`` (10, D) the index, within
    that film, of the truth box it found at each of ``IOU_THRESHOLDS``, -1 for none. ``n_truth`` (films,) counts truth
    boxes; a normal film has 0.
    """

    film: NDArray[np.int64]
    score: NDArray[np.float64]
    taken: NDArray[np.int64]
    n_truth: NDArray[np.int64]

    def __post_init__(self) -> None:
        expected = (len(IOU_THRESHOLDS), len(self.film))
        if self.taken.shape != expected or len(self.score) != len(self.film):
            shapes = self.taken.shape, self.score.shape
            raise BadValue(f"taken and score shapes: expected {expected} and {expected[1:]}, got {shapes}")
        for column in (self.film, self.score, self.taken, self.n_truth):
            freeze(column)

    @cached_property
    def hits(self) -> tuple[NDArray[np.int64], ...]:
        """Give, for each IoU threshold, where in the row the detections stand that found a truth box."""
        return tuple(np.flatnonzero(row >= 0) for row in self.taken)


def match(predictions: Sequence[Detections], truths: Sequence[NDArray[np.float64]], label: int = 0) -> Matches:
    """Match each film's detections of one class with its truth boxes, exactly as COCOeval does.

    ``truths`` holds one (M, 4) xyxy array per film, (0, 4) for a normal one; a film on which nobody drew has no place
    here. The first 100 detections of a film count (area "all", maxDets 100). Best score first, each takes the truth
    box still free that it overlaps most, provided the IoU reaches the threshold; of equal overlaps the last box wins.

    Source: pycocotools 2.0, cocoeval.COCOeval.evaluateImg.
    """
    if len(predictions) != len(truths):
        raise BadValue(f"truths: expected one array for each of {len(predictions)} films, got {len(truths)}")
    films, scores, taken = [np.zeros(0, np.int64)], [np.zeros(0)], [np.zeros((len(IOU_THRESHOLDS), 0), np.int64)]
    for film, (found, truth) in enumerate(zip(predictions, truths, strict=True)):
        if truth.ndim != 2 or truth.shape[1] != 4:
            raise BadValue(f"truth of film {film}: expected shape (M, 4), got {truth.shape}")
        ours = np.flatnonzero(found.label == label)[:MAX_DETECTIONS]
        films.append(np.full(len(ours), film, np.int64))
        scores.append(found.score[ours])
        taken.append(_assign(iou(found.xyxy[ours], truth)))
    score = np.concatenate(scores)
    order = np.argsort(-score, kind="stable")
    n_truth = np.array([len(truth) for truth in truths], np.int64)
    return Matches(np.concatenate(films)[order], score[order], np.concatenate(taken, axis=1)[:, order], n_truth)


def _assign(overlap: NDArray[np.float64]) -> NDArray[np.int64]:
    """Give the truth box each detection takes, (10, D), -1 for none; ``overlap`` is (D, M), best detection first."""
    needed = np.minimum(IOU_THRESHOLDS, 1 - 1e-10)[:, None]
    taken = np.full((len(needed), len(overlap)), -1, np.int64)
    n_truth = overlap.shape[1]
    free = np.ones((len(needed), n_truth), bool)
    for detection in np.flatnonzero((overlap >= needed.min()).any(axis=1)):
        reach = np.where(free & (overlap[detection] >= needed), overlap[detection], -1.0)
        best = n_truth - 1 - reach[:, ::-1].argmax(axis=1)  # from the back: of equal overlaps the last one
        level = np.flatnonzero(reach.max(axis=1) >= 0)
        taken[level, detection] = best[level]
        free[level, best[level]] = False
    return taken


def average_precision(matches: Matches, indices: NDArray[np.int64] | None = None) -> tuple[float, float] | None:
    """Give AP at IoU 0.50 and its mean over 0.50 to 0.95, or None where no truth box is drawn.

    Precision is interpolated at 101 recalls. ``indices`` picks films; one that comes twice counts twice, with the
    copies of a detection side by side, so the row need not be sorted again. Precision is read at the hits alone:
    between two hits it only falls, and the interpolation takes the best precision at or beyond each recall.

    Source: pycocotools 2.0, cocoeval.COCOeval.accumulate.
    """
    n_films = len(matches.n_truth)
    copies = np.ones(n_films, np.int64) if indices is None else np.bincount(indices, minlength=n_films)
    n_truth = int(copies @ matches.n_truth)
    if n_truth == 0:
        return None
    weight = copies[matches.film]
    seen = np.cumsum(weight)
    levels = []
    for hits in matches.hits:
        found = np.cumsum(weight[hits])
        precision = found / (seen[hits] + np.spacing(1))
        best_beyond = np.maximum.accumulate(precision[::-1])[::-1]
        reached = np.searchsorted(found / n_truth, RECALLS, side="left")
        levels.append(float(best_beyond[reached[reached < len(hits)]].sum()) / len(RECALLS))
    return levels[0], float(np.mean(levels))


def precision_recall_at(matches: Matches, threshold: float, groups: Sequence[str]) -> tuple[Estimate, Estimate]:
    """Give precision and recall of the boxes scored at or above the threshold, at IoU 0.5.

    ``n`` counts boxes, shown ones for precision and drawn ones for recall; ``n_groups`` the groups they come from.
    """
    _check_groups(matches, groups)
    shown = matches.score >= threshold
    found = int((matches.taken[0, shown] >= 0).sum())
    n_shown, n_drawn = int(shown.sum()), int(matches.n_truth.sum())
    shown_in = count_groups(groups, np.unique(matches.film[shown]))
    drawn_in = count_groups(groups, np.flatnonzero(matches.n_truth))
    precision = wilson(found, n_shown, shown_in, "" if n_shown else "no boxes at or above the threshold")
    recall = wilson(found, n_drawn, drawn_in, "" if n_drawn else "no truth boxes")
    return precision, recall


def detection_estimates(
    matches: Matches, groups: Sequence[str], threshold: float, rng: np.random.Generator, resamples: int = 1000
) -> dict[str, Estimate]:
    """Give map50 and map50_95 (bootstrap over groups), precision and recall at the threshold (Wilson).

    ``n`` of the first two counts films, the unit that is drawn, and their note the truth boxes on them.
    """
    _check_groups(matches, groups)
    n_boxes, n_films = int(matches.n_truth.sum()), int((matches.n_truth > 0).sum())
    note = f"{n_boxes} truth boxes on {n_films} films" if n_boxes else "no truth boxes"

    def ap(which: int) -> Estimate:
        def statistic(indices: NDArray[np.int64]) -> float | None:
            both = average_precision(matches, indices)
            return None if both is None else both[which]

        return bootstrap(groups, statistic, rng, resamples, note)

    precision, recall = precision_recall_at(matches, threshold, groups)
    return {"map50": ap(0), "map50_95": ap(1), "precision": precision, "recall": recall}


def _check_groups(matches: Matches, groups: Sequence[str]) -> None:
    if len(groups) != len(matches.n_truth):
        raise BadValue(f"groups: expected one for each of {len(matches.n_truth)} films, got {len(groups)}")
