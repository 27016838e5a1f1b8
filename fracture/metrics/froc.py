"""What finding fractures costs in false marks: FROC over all films, AFROC against the normal ones."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fracture.core.types import Estimate, freeze
from fracture.metrics.detection import Matches, check_groups, row_of
from fracture.metrics.screening import thinned
from fracture.metrics.uncertainty import bootstrap

RATES: tuple[float, ...] = (0.1, 0.25, 0.5, 1, 2)  # false positives per film at which sensitivity is read

Figures = NDArray[np.float64]


@dataclass(frozen=True)
class Froc:
    """Sensitivity against false positives per film, and its estimates ``at`` each of ``RATES``.

    The curve is a step function: between two points the sensitivity is that of the left one, of points above each other
    the last one. Empty without truth boxes.
    """

    false_positives_per_film: Figures
    sensitivity: Figures
    at: dict[float, Estimate]

    def __post_init__(self) -> None:
        freeze(self.false_positives_per_film)
        freeze(self.sensitivity)


@dataclass(frozen=True)
class Afroc:
    """Sensitivity against the share of normal films with at least one mark, and the area below.

    Points are joined by straight lines. The last one is (1, 1), where boxes without a mark and films without a mark
    count as well. Empty without truth boxes or without normal films.
    """

    false_positive_fraction: Figures
    sensitivity: Figures
    area: Estimate

    def __post_init__(self) -> None:
        freeze(self.false_positive_fraction)
        freeze(self.sensitivity)


def froc(
    matches: Matches, groups: Sequence[str], rng: np.random.Generator, resamples: int = 2000, criterion: str = "centre"
) -> Froc:
    """Give the share of truth boxes found against the false positives per film, fractured and normal films alike.

    Intervals at ``RATES`` are bootstrapped over groups; ``n`` counts truth boxes. The curve keeps at most about 400
    points, among them those that give the values at ``RATES``.

    Source: Bunch, Hamilton, Sanderson and Simmons, J Appl Photogr Eng 4 (1978) 166-171.
    """
    check_groups(matches, groups)
    n_truth = int(matches.n_truth.sum())
    n_misses = len(matches.film) - len(matches.hits[row_of(criterion)])
    most = n_misses / len(groups) if n_truth else np.inf
    fewer = f"; read at the lowest score, {most:.3g} false positives per film"
    notes = [matches.on_films + (fewer if most < rate else "") for rate in RATES]
    estimates = bootstrap(
        groups, lambda copies: sensitivities(matches, copies, criterion), rng, resamples, notes, n_truth
    )
    at = dict(zip(RATES, estimates, strict=True))
    if not n_truth:
        return Froc(np.zeros(0), np.zeros(0), at)
    false_positives, found = _steps(matches, np.ones(len(groups), np.int64), criterion)
    per_film = np.append(false_positives, n_misses) / len(groups)
    sensitivity = np.append(found, found[-1]) / n_truth
    kept = np.union1d(thinned(len(per_film)), np.searchsorted(per_film, RATES, side="right") - 1)
    return Froc(per_film[kept], sensitivity[kept], at)


def sensitivities(matches: Matches, copies: NDArray[np.int64], criterion: str = "centre") -> Figures:
    """Give the share of truth boxes found at each of ``RATES``, (5,), NaN without truth boxes.

    Each is read at the lowest threshold with at most that many false positives per film, and at the lowest score where
    there are fewer. Equal scores are one threshold. ``copies`` (films,) says how often each film counts.
    """
    n_truth = int(copies @ matches.n_truth)
    if not n_truth:
        return np.full(len(RATES), np.nan)
    false_positives, found = _steps(matches, copies, criterion)
    # Divided, rather than the rate multiplied: 29 / 100 is the number that is written 0.29, 0.29 * 100 is below 29.
    reached = np.searchsorted(false_positives / copies.sum(), RATES, side="right") - 1
    shares: Figures = found[reached] / n_truth
    return shares


def _steps(matches: Matches, copies: NDArray[np.int64], criterion: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Give (0, 0) and, for each hit, the false positives down to its score and the truth boxes found up to it.

    Only a hit raises the curve, so nothing between two hits is needed. Of hits with one score, all have the same false
    positives, and the last has the truth boxes found at that score.
    """
    hits = matches.hits[row_of(criterion)]
    ends = matches.tie_end[hits]
    found = np.append(0, np.cumsum(copies[matches.film[hits]]))
    seen = matches.seen(copies)[np.searchsorted(matches.stops, ends)]
    return np.append(0, seen - found[np.searchsorted(ends, ends, side="right")]), found


def afroc(
    matches: Matches, groups: Sequence[str], rng: np.random.Generator, resamples: int = 2000, criterion: str = "centre"
) -> Afroc:
    """Give the probability that a truth box is rated above the highest mark on a normal film, ties half.

    A truth box is rated with the score of the mark that found it. A box no mark found and a film without a mark are
    rated 0. False marks on fractured films play no part. The interval is bootstrapped over groups; ``n`` counts truth
    boxes. The curve keeps at most about 400 points.

    Source: Chakraborty and Winter, Radiology 174 (1990) 873-881.
    """
    check_groups(matches, groups)
    hits = matches.hits[row_of(criterion)]
    unfound = matches.n_truth - np.bincount(matches.film[hits], minlength=len(groups))
    box_film = np.append(matches.film[hits], np.repeat(np.arange(len(groups)), unfound))
    rating = np.append(matches.score[hits], np.zeros(unfound.sum()))
    normal = np.flatnonzero(matches.n_truth == 0)
    normal = normal[np.argsort(matches.highest[normal])]
    highest = matches.highest[normal]
    below, up_to = (np.searchsorted(highest, rating, side=side) for side in ("left", "right"))

    def area(copies: NDArray[np.int64]) -> Figures:
        boxes, films = copies[box_film], copies[normal]
        if not boxes.sum() or not films.sum():
            return np.array([np.nan])
        passed = np.append(0, np.cumsum(films))
        return np.array([boxes @ (passed[below] + passed[up_to]) / 2 / (boxes.sum() * films.sum())])

    note = f"{matches.on_films}, {len(normal)} normal films" if len(normal) else "no normal films"
    [estimate] = bootstrap(groups, area, rng, resamples, [note if len(rating) else "no truth boxes"], len(rating))
    if estimate.value is None:
        return Afroc(np.zeros(0), np.zeros(0), estimate)
    thresholds = np.append(np.inf, np.unique(np.append(rating, highest))[::-1])
    thresholds = thresholds[thinned(len(thresholds))]
    marked, found = (
        1 - np.searchsorted(np.sort(values), thresholds, side="left") / len(values) for values in (highest, rating)
    )
    return Afroc(marked, found, estimate)
