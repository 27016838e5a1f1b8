"""Thresholds chosen on one set of films, to be used on others, each with what it does on the films it was chosen on."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from fracture.core.errors import BadValue
from fracture.core.types import Estimate, OperatingPoint
from fracture.metrics.screening import Rates, Scores, Truth, check_films, rates


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
    - ``specific``: the lowest cut whose specificity reaches its target.
    - ``balanced``: of the cuts from one of these two to the other, that with the largest Youden index (Youden, Cancer 3
      (1950) 32-35); of equal ones the highest. The index is flat near its top: with few films its largest value can lie
      far out on either side, where a point of that name would surprise.

    A cut separates two neighbouring distinct scores. Every threshold in that gap gives the same rates; the middle is
    taken, so that no film sits on it and neither rounding nor another runtime's last digits move a film across. Cuts
    below ``floor``, the score under which a network's boxes are not exported, would flag every film, and a cut above
    all scores none: neither is offered. A target no cut reaches gives the nearest one, with ``reached`` False. A point
    whose own rate these films cannot measure (``specific`` without normal films) is left out.

    ``screening`` need not lie below ``specific``: a good network can reach 90 % sensitivity at a threshold above the
    one where it reaches 95 % specificity.
    """
    check_films(scores, fractured, groups)
    for name, given in (("sensitivity", target_sensitivity), ("specificity", target_specificity), ("floor", floor)):
        if not 0 < given <= 1:
            raise BadValue(f"{name}: expected above 0 and at most 1, got {given}")
    cuts = cuts_between(scores, floor)
    n_fractured, n_normal = int(fractured.sum()), int((~fractured).sum())
    true_positive = n_fractured - np.searchsorted(np.sort(scores[fractured]), cuts, side="left")
    true_negative = np.searchsorted(np.sort(scores[~fractured]), cuts, side="left")
    points: list[OperatingPoint] = []

    def offer(name: str, cut: int, rule: str, reached: bool, shortfall: Callable[[Rates], str]) -> None:
        threshold = float(cuts[cut])
        measured = rates(scores, fractured, threshold, groups)
        rule = rule if reached else f"{rule}: not reached; {shortfall(measured)}"
        sensitivity, specificity = measured.sensitivity, measured.specificity
        points.append(OperatingPoint(name, threshold, rule, sensitivity, specificity, measured_on, reached))

    if n_fractured:
        sensitivity = true_positive / n_fractured
        sensitive = int(np.flatnonzero(sensitivity >= min(target_sensitivity, sensitivity.max()))[-1])
        rule = f"highest threshold with sensitivity of at least {100 * target_sensitivity:g} %"
        offer("screening", sensitive, rule, bool(sensitivity[sensitive] >= target_sensitivity), highest_sensitivity)
    if n_normal:
        specificity = true_negative / n_normal
        specific = int(np.flatnonzero(specificity >= min(target_specificity, specificity.max()))[0])
    if n_fractured and n_normal:
        youden = (
            true_positive * n_normal + true_negative * n_fractured - n_fractured * n_normal
        )  # whole: ties are exact
        between = np.arange(min(sensitive, specific), max(sensitive, specific) + 1)
        cut = int(between[youden[between] == youden[between].max()][-1])
        rule = "largest Youden index between screening and specific"
        offer("balanced", cut, rule, int(youden[cut]) > 0, lambda _: "no better than chance")
    if n_normal:
        rule = f"lowest threshold with specificity of at least {100 * target_specificity:g} %"
        offer("specific", specific, rule, bool(specificity[specific] >= target_specificity), _highest_specificity)
    return tuple(points)


def target_recall_point(
    scores: Scores, fractured: Truth, groups: Sequence[str], measured_on: str, recall: float
) -> OperatingPoint:
    """Choose the highest threshold whose sensitivity on these films reaches ``recall``, as ``screening`` does.

    Raises BadValue for a target outside 0 to 1, and where no film is fractured.
    """
    if not 0 < recall <= 1:
        raise BadValue(f"target recall: expected above 0 and at most 1, got {recall}")
    points = choose_operating_points(scores, fractured, groups, measured_on, target_sensitivity=recall)
    screening = next((point for point in points if point.name == "screening"), None)
    if screening is None:
        raise BadValue("target recall: expected fractured films to choose a threshold on, got none")
    return replace(screening, name=f"target recall {recall:g}")


def highest_sensitivity(measured: Rates) -> str:
    """Say the sensitivity that is the highest there is, and what it costs in normal films."""
    return _highest(measured.sensitivity, measured.specificity, "flagging {:.1f} % of normal films")


def _highest_specificity(measured: Rates) -> str:
    return _highest(measured.specificity, measured.sensitivity, "missing {:.1f} % of fractured films")


def _highest(reached: Estimate, other: Estimate, cost: str) -> str:
    told = f"at a cost not estimable: {other.note}" if other.value is None else cost.format(100 * (1 - other.value))
    return f"the highest is {100 * (reached.value or 0.0):.1f} %, {told}"


def cuts_between(scores: Scores, floor: float) -> Scores:
    """Give one threshold per distinct score at or above the floor, ascending: that score and all above are flagged."""
    distinct = np.unique(np.append(scores, 0.0))
    below, above = distinct[:-1], distinct[1:]
    middle = (below + above) / 2
    middle = np.where(middle > below, middle, above)  # two scores one floating-point step apart have no middle
    cuts: Scores = np.maximum(middle, floor)[above >= floor]
    return cuts if len(cuts) else np.array([floor])
