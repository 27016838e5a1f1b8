"""Box-level figures: match once by every criterion, and every figure reads the same match."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy
from numpy.typing import NDArray

from fracture.core.boxes import iou
from fracture.core.errors import BadValue
from fracture.core.types import Detections, Estimate, freeze
from fracture.metrics.uncertainty import Z95, bootstrap, group_members, proportion

# Built as COCO builds them: 0.55 and its neighbours must be the same floating-point numbers.
IOU_THRESHOLDS = freeze(np.linspace(0.5, 0.95, 10))
RECALLS = freeze(np.linspace(0.0, 1.0, 101))
MAX_DETECTIONS = 100

CRITERIA = ("centre", "iou 0.10", *(f"iou {threshold:.2f}" for threshold in IOU_THRESHOLDS))
_COCO = slice(2, None)  # the rows of COCO's ten thresholds
# The IoU each row asks for; the first asks for none, its boxes qualify by their centre.
_LEAST_IOU = freeze(np.minimum([0.0, 0.1, *IOU_THRESHOLDS], 1 - 1e-10)[:, None])
HEADLINES = ("ap50", "ap50_95", "ap10", "ap_centre")
"""AP at IoU 0.50, its mean over COCO's ten thresholds, at IoU 0.10, and by centre-in-box."""


@dataclass(frozen=True)
class Matches:
    """Which detection found which truth box, over all films, by each criterion.

    The D detections of all films stand in one row, best score first; equal scores keep the order of the films.
    ``film`` (D,) is the index of each one's film, ``score`` (D,) its score, and ``taken`` (12, D) the index, within
    that film, of the truth box it found by each of ``CRITERIA``, -1 for none. ``n_truth`` (films,) counts truth
    boxes; a normal film has 0.
    """

    film: NDArray[np.int64]
    score: NDArray[np.float64]
    taken: NDArray[np.int32]
    n_truth: NDArray[np.int64]

    def __post_init__(self) -> None:
        expected = (len(CRITERIA), len(self.film))
        if self.taken.shape != expected or len(self.score) != len(self.film):
            shapes = self.taken.shape, self.score.shape
            raise BadValue(f"taken and score shapes: expected {expected} and {expected[1:]}, got {shapes}")
        for column in (self.film, self.score, self.taken, self.n_truth):
            freeze(column)

    @cached_property
    def hits(self) -> tuple[NDArray[np.int64], ...]:
        """Give, for each criterion, where in the row the detections stand that found a truth box."""
        return tuple(np.flatnonzero(row >= 0) for row in self.taken)

    @cached_property
    def tie_end(self) -> NDArray[np.int64]:
        """Give, for each place in the row, the last place with the same score, (D,)."""
        return np.searchsorted(-self.score, -self.score, side="right") - 1

    @cached_property
    def stops(self) -> NDArray[np.int64]:
        """Give the places in the row at which a figure can change: each hit, and the last place of its score, (K,)."""
        hits = np.unique(np.concatenate(self.hits))
        return np.union1d(hits, self.tie_end[hits])

    def seen(self, copies: NDArray[np.int64]) -> NDArray[np.int64]:
        """Count the detections down to each stop, (K,), each as often as ``copies`` (films,) says its film counts."""
        seen: NDArray[np.int64] = np.cumsum(self._between_stops @ copies)
        return seen

    @cached_property
    def _between_stops(self) -> "scipy.sparse.csr_matrix":
        """Count each film's detections after the stop before and up to each stop, (K, films). None below the last."""
        film = self.film[: self.stops[-1] + 1 if len(self.stops) else 0]
        part = np.searchsorted(self.stops, np.arange(len(film)))
        ones = np.ones(len(film), np.int64)
        return scipy.sparse.csr_matrix((ones, (part, film)), shape=(len(self.stops), len(self.n_truth)))

    @cached_property
    def highest(self) -> NDArray[np.float64]:
        """Give each film's highest score, (films,), 0 where nothing was detected."""
        highest = np.zeros(len(self.n_truth))
        films, first = np.unique(self.film, return_index=True)
        highest[films] = self.score[first]
        return highest

    @cached_property
    def on_films(self) -> str:
        """Say how many truth boxes there are, for a note."""
        n_boxes, n_films = int(self.n_truth.sum()), int((self.n_truth > 0).sum())
        return f"{n_boxes} truth boxes on {n_films} films" if n_boxes else "no truth boxes"


def match(predictions: Sequence[Detections], truths: Sequence[NDArray[np.float64]], label: int = 0) -> Matches:
    """Match each film's detections of one class with its truth boxes, by IoU exactly as COCOeval does.

    ``truths`` holds one (M, 4) xyxy array per film, (0, 4) for a normal one; a film on which nobody drew has no place
    here. The first 100 detections of a film count (area "all", maxDets 100). Best score first, each takes, of the
    truth boxes still free that it qualifies for, the one it overlaps most by IoU; of equal overlaps the last box wins.
    It qualifies where the IoU reaches the threshold, or, for ``centre``, where its centre lies in the truth box or on
    its edge: the clinical hit, for a mark that points at the fracture has done its work however wide it is. A truth box
    is found once: a second detection on it is a false positive.

    Source: pycocotools 2.0, cocoeval.COCOeval.evaluateImg.
    """
    if len(predictions) != len(truths):
        raise BadValue(f"truths: expected one array for each of {len(predictions)} films, got {len(truths)}")
    films, scores, taken = [np.zeros(0, np.int64)], [np.zeros(0)], [np.zeros((len(CRITERIA), 0), np.int32)]
    for film, (found, truth) in enumerate(zip(predictions, truths, strict=True)):
        if truth.ndim != 2 or truth.shape[1] != 4:
            raise BadValue(f"truth of film {film}: expected shape (M, 4), got {truth.shape}")
        ours = np.flatnonzero(found.label == label)[:MAX_DETECTIONS]
        films.append(np.full(len(ours), film, np.int64))
        scores.append(found.score[ours])
        taken.append(_assign(found.xyxy[ours], truth))
    score = np.concatenate(scores)
    order = np.argsort(-score, kind="stable")
    n_truth = np.array([len(truth) for truth in truths], np.int64)
    return Matches(np.concatenate(films)[order], score[order], np.concatenate(taken, axis=1)[:, order], n_truth)


def _assign(found: NDArray[np.float64], truth: NDArray[np.float64]) -> NDArray[np.int32]:
    """Give the truth box each detection takes, (12, D), -1 for none; ``found`` is (D, 4), best first."""
    n_truth = len(truth)
    taken = np.full((len(CRITERIA), len(found)), -1, np.int32)
    if not n_truth:
        return taken
    overlap = iou(found, truth)
    centre = (found[:, None, :2] + found[:, None, 2:]) / 2
    pointed_at = np.all((truth[:, :2] <= centre) & (centre <= truth[:, 2:]), axis=2)
    free = np.ones((len(CRITERIA), n_truth), bool)
    for detection in np.flatnonzero(np.any(pointed_at | (overlap >= _LEAST_IOU[1]), axis=1)):
        fit = free & (overlap[detection] >= _LEAST_IOU)
        fit[0] &= pointed_at[detection]
        reach = np.where(fit, overlap[detection], -1.0)
        best = n_truth - 1 - reach[:, ::-1].argmax(axis=1)  # from the back: of equal overlaps the last one
        level = np.flatnonzero(fit.any(axis=1))
        taken[level, detection] = best[level]
        free[level, best[level]] = False
    return taken


def row_of(criterion: str) -> int:
    """Give the row of ``Matches.taken`` and ``Matches.hits`` that a criterion has."""
    if criterion not in CRITERIA:
        raise BadValue(f"criterion: expected one of {', '.join(CRITERIA)}, got {criterion!r}")
    return CRITERIA.index(criterion)


def average_precision(matches: Matches, copies: NDArray[np.int64] | None = None) -> NDArray[np.float64]:
    """Give AP by each of ``CRITERIA``, (12,), all NaN where no truth box is drawn.

    ``copies`` (films,) says how often each film counts, once by default. The copies of a detection stand side by side,
    so the row need not be sorted again.

    Source: pycocotools 2.0, cocoeval.COCOeval.accumulate.
    """
    ap: NDArray[np.float64] = _precision(matches, range(len(CRITERIA)), copies).mean(axis=1)
    return ap


def precision_recall_curve(matches: Matches, criterion: str) -> NDArray[np.float64]:
    """Give the best precision at or beyond each of ``RECALLS``, (101,), whose mean is AP; NaN without truth boxes."""
    curve: NDArray[np.float64] = _precision(matches, [row_of(criterion)])[0]
    return curve


def _precision(matches: Matches, rows: Sequence[int], copies: NDArray[np.int64] | None = None) -> NDArray[np.float64]:
    """Give interpolated precision, (rows, 101). It is read at the hits alone: between two hits it only falls."""
    if copies is None:
        copies = np.ones(len(matches.n_truth), np.int64)
    n_truth = int(copies @ matches.n_truth)
    if not n_truth:
        return np.full((len(rows), len(RECALLS)), np.nan)
    seen = matches.seen(copies)
    precision = np.zeros((len(rows), len(RECALLS)))
    for at_recall, row in zip(precision, rows, strict=True):
        hits = matches.hits[row]
        found = np.cumsum(copies[matches.film[hits]])
        shown = seen[np.searchsorted(matches.stops, hits)]
        best_beyond = np.maximum.accumulate((found / (shown + np.spacing(1)))[::-1])[::-1]
        reached = np.searchsorted(found / n_truth, RECALLS, side="left")
        at_recall[:] = np.append(best_beyond, 0.0)[reached]
    return precision


def headline_ap(matches: Matches, copies: NDArray[np.int64] | None = None) -> NDArray[np.float64]:
    """Give AP by each of ``HEADLINES``, (4,), in the films that ``copies`` counts, all once by default."""
    ap = average_precision(matches, copies)
    return np.array([ap[row_of("iou 0.50")], ap[_COCO].mean(), ap[row_of("iou 0.10")], ap[row_of("centre")]])


def ap_estimates(
    matches: Matches, groups: Sequence[str], rng: np.random.Generator, resamples: int = 2000
) -> dict[str, Estimate]:
    """Give each of ``HEADLINES`` with its bootstrap interval over groups.

    Groups are drawn with all their films; ``n`` counts truth boxes, for on few of them AP says little.
    """
    check_groups(matches, groups)
    notes = [matches.on_films] * len(HEADLINES)
    n_boxes = int(matches.n_truth.sum())
    estimates = bootstrap(groups, lambda copies: headline_ap(matches, copies), rng, resamples, notes, n_boxes)
    return dict(zip(HEADLINES, estimates, strict=True))


def at_threshold(matches: Matches, threshold: float, groups: Sequence[str]) -> dict[str, Estimate]:
    """Give what a reader meets who is shown the boxes scored at or above the threshold.

    ``precision`` and ``recall`` at IoU 0.5 and ``precision_centre`` and ``recall_centre`` have the interval of
    `proportion`; their ``n`` counts boxes, shown ones for precision and drawn ones for recall, ``n_groups`` the groups
    these come from. The boxes of a film go together as those of a group do.
    ``false_positives_per_film`` counts, over all films, the boxes that hit nothing by their centre.
    """
    check_groups(matches, groups)
    shown = matches.score >= threshold
    n_drawn = int(matches.n_truth.sum())
    # Where nobody drew a box none can be right, and a precision of 0 would say nothing about the model.
    shown_on = _per_film(matches, shown) if n_drawn else np.zeros_like(matches.n_truth)
    none_shown, none_drawn = "no boxes at or above the threshold", "no truth boxes"
    figures = {}
    for criterion, suffix in (("iou 0.50", ""), ("centre", "_centre")):
        found = _per_film(matches, shown & (matches.taken[row_of(criterion)] >= 0))
        figures[f"precision{suffix}"] = proportion(found, shown_on, groups, none_shown if n_drawn else none_drawn)
        figures[f"recall{suffix}"] = proportion(found, matches.n_truth, groups, none_drawn)
    alarms = _per_film(matches, shown & (matches.taken[row_of("centre")] < 0))
    return figures | {"false_positives_per_film": _mean_count(alarms, groups)}


def _per_film(matches: Matches, among: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Count those of the detections that lie on each film, (films,)."""
    return np.bincount(matches.film[among], minlength=len(matches.n_truth)).astype(np.int64)


def _mean_count(counts: NDArray[np.int64], groups: Sequence[str]) -> Estimate:
    """Give the mean count per film with a normal interval whose variance lets the films of a group go together.

    There is none where the films are one group or all counts are the same, as they are where all are 0.

    Source: Liang and Zeger, Biometrika 73 (1986) 13-22, for a mean; with the factor G / (G - 1) for G groups.
    """
    members = group_members(groups)
    n, n_groups, method = len(counts), len(members), "normal, clustered by group"
    if not n:
        return Estimate(None, None, None, 0, 0, method, "no films")
    value = float(counts.mean())
    if n_groups < 2:
        return Estimate(value, None, None, n, n_groups, method, "one group: no interval")
    pull = np.array([(counts[films] - value).sum() for films in members]) / n
    half = Z95 * math.sqrt(float(pull @ pull) * n_groups / (n_groups - 1))
    if half < 1e-9:
        return Estimate(value, None, None, n, n_groups, method, "variance is zero: no interval")
    return Estimate(value, max(0.0, value - half), value + half, n, n_groups, method)


def check_groups(matches: Matches, groups: Sequence[str]) -> None:
    """Raise BadValue unless every film has a group."""
    if len(groups) != len(matches.n_truth):
        raise BadValue(f"groups: expected one for each of {len(matches.n_truth)} films, got {len(groups)}")
