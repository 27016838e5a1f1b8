"""A threshold whose sensitivity is guaranteed: with a stated confidence, on films like these, not only on these."""

import math
from collections.abc import Sequence

import numpy as np
import scipy

from fracture.core.errors import BadValue
from fracture.core.types import OperatingPoint
from fracture.metrics.operating_points import cuts_between, highest_sensitivity
from fracture.metrics.screening import Scores, Truth, check_films, rates
from fracture.metrics.uncertainty import clopper_pearson_lower, group_members


def guaranteed_point(
    scores: Scores,
    fractured: Truth,
    groups: Sequence[str],
    measured_on: str,
    recall: float,
    confidence: float,
    rng: np.random.Generator,
    floor: float = 0.001,
) -> OperatingPoint:
    """Choose the highest threshold whose true sensitivity is at least ``recall``, with this confidence.

    Over many sets of films drawn as these were, the chosen threshold falls short of ``recall`` in a share of at most
    1 - ``confidence``. A threshold that merely reaches ``recall`` on these films does so about every second time. "As
    these were" is an assumption: films on which a model's checkpoint was chosen too flatter it a little.

    Thresholds are tested from ``floor`` upward, each by the exact binomial p-value of "the sensitivity here is below
    ``recall``", and the last one before the first failure is taken: a fixed sequence pays no price for testing many.
    One fractured film is drawn per group, since films of one patient are no independent evidence; so the sensitivity
    guaranteed is that of a film drawn from a group drawn at random. The point's own rates are those of all films.

    Where no threshold passes, ``reached`` is False, the threshold is ``floor``, and the rule says why and what could be
    guaranteed there.

    Source: Angelopoulos, Bates, Candès, Jordan and Lei, Learn then Test, Ann Appl Stat 19 (2025), arXiv 2110.01052,
    fixed-sequence testing; Clopper and Pearson, Biometrika 26 (1934) 404-413.
    """
    check_films(scores, fractured, groups)
    for name, given in (("guaranteed recall", recall), ("confidence", confidence), ("floor", floor)):
        if not 0 < given < 1:
            raise BadValue(f"{name}: expected above 0 and below 1, got {given}")
    films = np.flatnonzero(fractured)
    members = group_members([groups[int(film)] for film in films])
    drawn = np.sort([scores[films[rng.choice(of_group)]] for of_group in members])
    n, needed = len(drawn), _needed(len(members), recall, confidence)
    # The cuts come from the films, which a fixed sequence may not. But what is found only falls as a threshold rises,
    # so testing every number from the floor upward stops where the last passing gap between two scores ends.
    cuts = cuts_between(scores, floor)
    found = n - np.searchsorted(drawn, cuts, side="left")
    passed = int((found >= needed).sum())
    threshold = float(cuts[passed - 1]) if passed else floor
    measured = rates(scores, fractured, threshold, groups)
    wanted = f"sensitivity of at least {100 * recall:g} % with {100 * confidence:g} % confidence"
    if passed:
        rule = f"{wanted}, by {found[passed - 1]} of {n} independent fractured films (fixed-sequence testing)"
    else:
        most = int(found[0])
        rule = f"{wanted}: not reached; {_why_not(most, n, needed, recall, confidence)}"
        if n:
            bound = math.floor(1000 * clopper_pearson_lower(most, n, confidence)) / 10  # a guarantee is not rounded up
            rule += f"; {highest_sensitivity(measured)}; at least {bound:.1f} % could be guaranteed there"
    name = f"guaranteed recall {recall:g} ({100 * confidence:g} %)"
    return OperatingPoint(name, threshold, rule, measured.sensitivity, measured.specificity, measured_on, passed > 0)


def _needed(n: int, recall: float, confidence: float) -> int:
    """Count how many of n films must be found for P(Bin(n, recall) >= that many) to be small enough; n + 1: never."""
    p_values = scipy.stats.binom.sf(np.arange(-1, n), n, recall)
    return int((p_values > 1 - confidence).sum())


def _why_not(most: int, n: int, needed: int, recall: float, confidence: float) -> str:
    if needed <= n:
        return f"needs {needed} of {n} independent fractured films flagged, at most {most} are"
    least = max(needed, math.ceil(math.log(1 - confidence) / math.log(recall)))
    return (
        f"needs at least {least} independent fractured groups for {100 * recall:g} % at {100 * confidence:g} % "
        f"confidence, there are {n}"
    )
