"""How two models differ: on the same films, where both answers to a film belong together, or on different ones."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fracture.core.errors import BadValue
from fracture.core.types import Estimate
from fracture.metrics.delong import area, placements
from fracture.metrics.screening import Scores, Truth, check_films, lacking_kind
from fracture.metrics.uncertainty import bootstrap, group_members, proportion

Statistic = Callable[[NDArray[np.int64]], NDArray[np.float64]]


@dataclass(frozen=True)
class Difference:
    """A figure of the first model less that of the second, with its interval.

    ``p`` is the two-sided p-value of no difference, by ``test``; None where it cannot be had.
    """

    estimate: Estimate
    p: float | None
    test: str

    def __post_init__(self) -> None:
        if self.p is not None and not 0 <= self.p <= 1:
            raise BadValue(f"p: expected within 0..1, got {self.p}")


def mcnemar(right_a: Truth, right_b: Truth, groups: Sequence[str], missing: str = "no films") -> Difference:
    """Compare how often two models are right on the same films; both arrays are (films,), films of a group together.

    Given fractured films alone this is the difference of the sensitivities, given normal films that of the
    specificities; ``missing`` is the note where there are none. Were the models equally good, each group could as well
    have had its two sets of answers the other way round: p is the share of all such exchanges that lead at least as
    far from 0. Where every film is its own group that is McNemar's exact test. The interval is Newcombe's method 10,
    made of the two intervals of `proportion` and the correlation of the models' errors by groups; it has a width even
    where they never disagree.

    Source: McNemar, Psychometrika 12 (1947) 153-157; exchange of whole groups: Fisher, The Design of Experiments
    (1935), section 21; Newcombe, Stat Med 17 (1998) 2635-2650.
    """
    n, method, test = len(groups), "Newcombe, paired", "McNemar"
    for name, right in (("right_a", right_a), ("right_b", right_b)):
        if right.shape != (n,) or right.dtype != np.bool_:
            raise BadValue(f"{name}: expected bool of shape ({n},), got {right.dtype} of {right.shape}")
    if not n:
        return Difference(Estimate(None, None, None, 0, 0, method, missing), None, test)
    only_a, only_b = int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())
    members = group_members(groups)
    if len(members) < n:
        method, test = f"{method}, by groups", f"{test}, by groups"
    ones = np.ones(n, np.bool_)
    a, b = (proportion(right, ones, groups) for right in (right_a, right_b))
    # How much more often each group is right than the mean of all films says, times n: whole numbers add up exactly.
    off_a, off_b = (
        np.array([n * float(right[films].sum()) - float(right.sum()) * len(films) for films in members])
        for right in (right_a, right_b)
    )
    # Correlation of the two models' errors, with Newcombe's continuity correction where it is positive.
    together, spread = float(off_a @ off_b) / n**2, math.sqrt(float(off_a @ off_a) * float(off_b @ off_b)) / n**2
    correlation = (max(0.0, together - 0.5) if together > 0 else together) / (spread or 1.0)
    low, high = _ends(a, b, correlation)
    note = f"only the first right: {only_a}, only the second: {only_b}"
    ahead = np.array([int(right_a[films].sum()) - int(right_b[films].sum()) for films in members])
    estimate = Estimate((only_a - only_b) / n, low, high, n, len(members), method, note)
    return Difference(estimate, _exchanged(np.abs(ahead), abs(only_a - only_b)), test)


def _exchanged(steps: NDArray[np.int64], reached: int) -> float:
    """Give the chance that steps of these lengths, each forward or back, end at least this far from the start."""
    chance, far = np.ones(1), int(steps.sum())  # chance of each place from -far to far, every second one of a walk
    for step in steps[steps > 0].tolist():
        chance = (np.append(chance, np.zeros(2 * step)) + np.append(np.zeros(2 * step), chance)) / 2
    return min(1.0, float(chance[np.abs(np.arange(-far, far + 1)) >= reached].sum()))


def delong_test(scores_a: Scores, scores_b: Scores, fractured: Truth, groups: Sequence[str]) -> Difference:
    """Compare the areas under two ROC curves on the same films, films of one group going together.

    Where every film is its own group this is DeLong's test exactly. There is neither interval nor p where fractured or
    normal films come from a single group, or where the variance is zero, as it is when both models put every pair of
    films in the same order.

    Source: DeLong, DeLong and Clarke-Pearson, Biometrics 44 (1988) 837-845; groups: Obuchowski, Biometrics 53 (1997)
    567-578.
    """
    check_films(scores_a, fractured, groups)
    check_films(scores_b, fractured, groups)
    if lacking := lacking_kind(int(fractured.sum()), int((~fractured).sum())):
        return Difference(Estimate(None, None, None, len(groups), len(set(groups)), "DeLong", lacking), None, "DeLong")
    gain = area(placements(scores_a, fractured) - placements(scores_b, fractured), fractured, groups)
    p = None if gain.error is None else math.erfc(abs(gain.value) / (gain.error * math.sqrt(2)))
    return Difference(gain.estimate(-1.0), p, "DeLong")


def paired_bootstrap(
    groups: Sequence[str],
    statistic_a: Statistic,
    statistic_b: Statistic,
    rng: np.random.Generator,
    resamples: int = 2000,
    notes: Sequence[str] = (),
    n: int | None = None,
) -> list[Difference]:
    """Compare k figures of two models on the same draws of groups; the rest as `bootstrap` has it.

    p is twice the smaller share of the draws on which the difference is at most, or at least, 0, with one draw added
    to both counts: it agrees with the percentile interval about whether 0 lies inside, and is never 0.

    Source: Davison and Hinkley, Bootstrap Methods and their Application (1997), chapters 4 and 5.
    """
    seen: list[NDArray[np.float64]] = []

    def difference(copies: NDArray[np.int64]) -> NDArray[np.float64]:
        seen.append(statistic_a(copies) - statistic_b(copies))
        return seen[-1]

    estimates = bootstrap(groups, difference, rng, resamples, notes, n)
    drawn = np.array(seen[1:]).reshape(-1, len(estimates))  # the first is that of the films themselves
    return [Difference(found, _p(found, column), "bootstrap") for found, column in zip(estimates, drawn.T, strict=True)]


def unpaired_difference(a: Estimate, b: Estimate) -> Estimate:
    """Give a less b, measured on independent films, with an interval made of the two intervals (MOVER).

    With two of Wilson's intervals it is Newcombe's method 10 for independent proportions. No value where either has
    none, no interval where either has none. Films of one set that also stand in the other, or share its patients, make
    it too wide or too narrow: use a paired comparison there.

    Source: Zou and Donner, Stat Med 27 (2008) 1693-1702; Newcombe, Stat Med 17 (1998) 873-890.
    """
    n, n_groups, method = a.n + b.n, a.n_groups + b.n_groups, "MOVER"
    if a.value is None or b.value is None:
        reasons = dict.fromkeys(one.note or "not estimable" for one in (a, b) if one.value is None)
        return Estimate(None, None, None, n, n_groups, method, "; ".join(reasons))
    low, high = _ends(a, b)
    note = "" if low is not None else "not both have an interval"
    return Estimate(a.value - b.value, low, high, n, n_groups, method, note)


def _ends(a: Estimate, b: Estimate, correlation: float = 0.0) -> tuple[float, float] | tuple[None, None]:
    """Give the ends of a less b: what each figure may be off on that side, squared and added."""
    if a.value is None or a.low is None or a.high is None or b.value is None or b.low is None or b.high is None:
        return None, None

    def added(one: float, other: float) -> float:
        return math.sqrt(max(0.0, one**2 + other**2 - 2 * correlation * one * other))

    difference = a.value - b.value
    return (
        difference - added(a.value - a.low, b.high - b.value),
        difference + added(a.high - a.value, b.value - b.low),
    )


def _p(estimate: Estimate, drawn: NDArray[np.float64]) -> float | None:
    defined = drawn[~np.isnan(drawn)]
    if estimate.value is None or estimate.n_groups < 2 or not len(defined):
        return None
    tail = min(int((defined <= 0).sum()), int((defined >= 0).sum()))
    return min(1.0, 2 * (tail + 1) / (len(defined) + 1))
