"""Film-level figures: a film is positive when its score is at or above a threshold."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from fracture.errors import BadValue
from fracture.metrics.uncertainty import Z95, count_groups, group_members, wilson
from fracture.types import Estimate, OperatingPoint

Scores = NDArray[np.float64]
Truth = NDArray[np.bool_]


class Rates(NamedTuple):
    """What a threshold does: the share of fractured films flagged, and of normal films left alone."""

    sensitivity: Estimate
    specificity: Estimate


def rates(scores: Scores, fractured: Truth, threshold: float, groups: Sequence[str]) -> Rates:
    """Give sensitivity and specificity at a threshold, each with its Wilson interval; arrays are (films,)."""
    _check(scores, fractured, groups)
    flagged = scores >= threshold

    def rate(right: Truth, among: Truth, note: str) -> Estimate:
        n = int(among.sum())
        return wilson(int((right & among).sum()), n, count_groups(groups, np.flatnonzero(among)), "" if n else note)

    return Rates(rate(flagged, fractured, "no fractured films"), rate(~flagged, ~fractured, "no normal films"))


def auc(scores: Scores, fractured: Truth, groups: Sequence[str]) -> Estimate:
    """Give the area under the ROC curve with DeLong's interval, widened for films of one group going together.

    Where every film is its own group this is DeLong's interval exactly. There is none where fractured or normal films
    come from a single group, or where the variance is zero, as it is when the scores separate all films.

    Source: DeLong, DeLong and Clarke-Pearson, Biometrics 44 (1988) 837-845; by midranks: Sun and Xu, IEEE Signal
    Process Lett 21 (2014) 1389-1393; groups: Obuchowski, Biometrics 53 (1997) 567-578.
    """
    _check(scores, fractured, groups)
    members = group_members(groups)
    n, n_fractured, n_normal = len(scores), int(fractured.sum()), int((~fractured).sum())
    note, method = f"{n_fractured} fractured, {n_normal} normal films", "DeLong"
    if not n_fractured or not n_normal:
        missing = "no fractured films" if n_normal else "no normal films"
        return Estimate(None, None, None, n, len(members), method, missing if n else "no films")
    ranks, placement = rankdata(scores), np.zeros(n)
    for side, opposite in ((fractured, n_normal), (~fractured, n_fractured)):
        placement[side] = (ranks[side] - rankdata(scores[side])) / opposite
    placement[~fractured] = 1 - placement[~fractured]
    value = float(placement[fractured].mean())

    # Each film's pull away from the mean, as what it adds to the area. Pulls within a group add up before squaring.
    pull = (placement - value) / np.where(fractured, n_fractured, n_normal)
    of_fractured, of_normal = (
        np.array([pull[films[side[films]]].sum() for films in members]) for side in (fractured, ~fractured)
    )
    with_fractured = count_groups(groups, np.flatnonzero(fractured))
    with_normal = count_groups(groups, np.flatnonzero(~fractured))
    if min(with_fractured, with_normal) < 2:
        return Estimate(value, None, None, n, len(members), method, note + "; one group of a kind: no interval")
    variance = (
        (of_fractured**2).sum() * with_fractured / (with_fractured - 1)
        + (of_normal**2).sum() * with_normal / (with_normal - 1)
        + 2 * (of_fractured * of_normal).sum() * len(members) / (len(members) - 1)
    )
    if variance <= 1e-15:
        return Estimate(value, None, None, n, len(members), method, note + "; variance is zero: no interval")
    half = Z95 * math.sqrt(variance)
    return Estimate(value, max(0.0, value - half), min(1.0, value + half), n, len(members), method, note)


def choose_operating_points(
    scores: Scores,
    fractured: Truth,
    groups: Sequence[str],
    measured_on: str,
    *,
    target_sensitivity: float = 0.90,
    target_specificity: float = 0.95,
    floor: float = 0.001,
) -> tuple[OperatingPoint, ...]:
    """Choose the screening, balanced and specific thresholds on these films, with their measured rates.

    - ``screening``: the highest cut whose sensitivity reaches its target.
    - ``balanced``: the cut with the largest Youden index (Youden, Cancer 3 (1950) 32-35); of equal ones the highest.
    - ``specific``: the lowest cut whose specificity reaches its target.

    A cut separates two neighbouring distinct scores. Every threshold in that gap gives the same rates; the middle is
    taken, so that no film sits on it and neither rounding nor another runtime's last digits move a film across. Cuts
    below ``floor``, the score under which a network's boxes are not exported, would flag every film, and a cut above
    all scores none: neither is offered. A target no cut reaches gives the nearest one, with ``reached`` False. A point
    whose own rate these films cannot measure (``specific`` without normal films) is left out.

    The three answer three questions and need not come in order: a good network can reach 90 % sensitivity at a
    threshold above the one where it reaches 95 % specificity.
    """
    _check(scores, fractured, groups)
    for name, given in (("sensitivity", target_sensitivity), ("specificity", target_specificity), ("floor", floor)):
        if not 0 < given <= 1:
            raise BadValue(f"{name}: expected above 0 and at most 1, got {given}")
    cuts = _cuts(scores, floor)
    n_fractured, n_normal = int(fractured.sum()), int((~fractured).sum())
    true_positive = n_fractured - np.searchsorted(np.sort(scores[fractured]), cuts, side="left")
    true_negative = np.searchsorted(np.sort(scores[~fractured]), cuts, side="left")
    points: list[OperatingPoint] = []

    def offer(name: str, cut: int, rule: str, reached: bool, shortfall: str) -> None:
        rule = rule if reached else f"{rule}: {shortfall}"
        measured = rates(scores, fractured, float(cuts[cut]), groups)
        points.append(OperatingPoint(name, float(cuts[cut]), rule, *measured, measured_on, reached))

    if n_fractured:
        sensitivity = true_positive / n_fractured
        best = float(sensitivity.max())
        cut = int(np.flatnonzero(sensitivity >= min(target_sensitivity, best))[-1])
        rule = f"highest threshold with sensitivity of at least {100 * target_sensitivity:g} %"
        shortfall = f"not reached, nearest is {100 * best:.1f} %"
        offer("screening", cut, rule, best >= target_sensitivity, shortfall)
    if n_fractured and n_normal:
        youden = (
            true_positive * n_normal + true_negative * n_fractured - n_fractured * n_normal
        )  # whole: ties are exact
        cut = int(np.flatnonzero(youden == youden.max())[-1])
        offer("balanced", cut, "largest Youden index", int(youden[cut]) > 0, "not reached, no better than chance")
    if n_normal:
        specificity = true_negative / n_normal
        best = float(specificity.max())
        cut = int(np.flatnonzero(specificity >= min(target_specificity, best))[0])
        rule = f"lowest threshold with specificity of at least {100 * target_specificity:g} %"
        shortfall = f"not reached, nearest is {100 * best:.1f} %"
        offer("specific", cut, rule, best >= target_specificity, shortfall)
    return tuple(points)


def _cuts(scores: Scores, floor: float) -> Scores:
    """Give one threshold per distinct score at or above the floor, ascending: that score and all above are flagged."""
    distinct = np.unique(np.append(scores, 0.0))
    below, above = distinct[:-1], distinct[1:]
    middle = (below + above) / 2
    middle = np.where(middle > below, middle, above)  # two scores one floating-point step apart have no middle
    cuts: Scores = np.maximum(middle, floor)[above >= floor]
    return cuts if len(cuts) else np.array([floor])


def _check(scores: Scores, fractured: Truth, groups: Sequence[str]) -> None:
    n = len(groups)
    if scores.shape != (n,) or fractured.shape != (n,):
        raise BadValue(f"scores and fractured: expected shape ({n},) as groups, got {scores.shape}, {fractured.shape}")
    if fractured.dtype != np.bool_:
        raise BadValue(f"fractured: expected bool, got {fractured.dtype}")
    if n and not bool(((scores >= 0) & (scores <= 1)).all()):
        raise BadValue(f"scores: expected numbers within 0..1, got {scores.min()} to {scores.max()}")
