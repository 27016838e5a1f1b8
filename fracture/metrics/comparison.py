"""How two models differ: on the same films, where both answers to a film belong together, or on different ones."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import NDArray

from fracture.errors import BadValue
from fracture.metrics.delong import area, placements
from fracture.metrics.screening import Scores, Truth, check_films, lacking_kind
from fracture.metrics.uncertainty import bootstrap, wilson
from fracture.types import Estimate

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


def mcnemar(right_a: Truth, right_b: Truth, n_groups: int | None = None, missing: str = "no films") -> Difference:
    """Compare how often two models are right on the same films; both arrays are (films,).

    Given fractured films alone this is the difference of the sensitivities, given normal films that of the
    specificities; ``missing`` is the note where there are none. The test is the exact binomial one on the films where
    the models disagree, without chi-squared approximation or continuity correction. The interval is Newcombe's method
    10, which has a width even where they never disagree. Both count every film as independent; without ``n_groups``
    every film is its own group.

    Source: McNemar, Psychometrika 12 (1947) 153-157; Newcombe, Stat Med 17 (1998) 2635-2650.
    """
    n, method, test = len(right_a), "Newcombe, paired", "McNemar"
    for name, right in (("right_a", right_a), ("right_b", right_b)):
        if right.shape != (n,) or right.dtype != np.bool_:
            raise BadValue(f"{name}: expected bool of shape ({n},), got {right.dtype} of {right.shape}")
    groups = n if n_groups is None else n_groups
    if not n:
        return Difference(Estimate(None, None, None, 0, groups, method, missing), None, test)
    both, neither = int((right_a & right_b).sum()), int((~right_a & ~right_b).sum())
    only_a, only_b = int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())
    a, b = both + only_a, both + only_b
    # Correlation of the two answers, with Newcombe's continuity correction where it is positive.
    together, spread = both * neither - only_a * only_b, math.sqrt(a * (n - a) * b * (n - b))
    correlation = (max(0.0, together - n / 2) if together > 0 else together) / (spread or 1.0)
    low, high = _ends(wilson(a, n), wilson(b, n), correlation)
    note = f"only the first right: {only_a}, only the second: {only_b}"
    p = min(1.0, 2 * float(scipy.stats.binom.cdf(min(only_a, only_b), only_a + only_b, 0.5)))
    return Difference(Estimate((only_a - only_b) / n, low, high, n, groups, method, note), p, test)


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
