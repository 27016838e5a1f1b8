"""Intervals: how far a figure measured on these films may be from the truth. All are 95 %."""

import math
from collections.abc import Callable, Sequence

import numpy as np
import scipy
from numpy.typing import NDArray

from fracture.errors import BadValue
from fracture.types import Estimate

Z95 = 1.959963984540054  # the normal quantile that leaves 2.5 % on each side


def wilson(successes: int, n: int, n_groups: int | None = None, note: str = "") -> Estimate:
    """Give a proportion with its Wilson score interval.

    The interval counts every case as independent; where ``n_groups`` is well below ``n`` it is too narrow, which is
    why both are reported. Without ``n_groups`` every case is its own group. No cases: no value, and ``note`` says why.

    Source: Wilson, J Am Stat Assoc 22 (1927) 209-212.
    """
    if not 0 <= successes <= n:
        raise BadValue(f"successes: expected 0 to n={n}, got {successes}")
    groups, method = n if n_groups is None else n_groups, "Wilson"
    if n == 0:
        return Estimate(None, None, None, 0, groups, method, note or "no cases")
    share, shrink = successes / n, 1 + Z95**2 / n
    centre = (share + Z95**2 / (2 * n)) / shrink
    half = Z95 / shrink * math.sqrt(share * (1 - share) / n + Z95**2 / (4 * n**2))
    # At 0 and n of n the ends are exactly 0 and 1; rounding must not leave them a hair inside.
    low, high = max(0.0, min(centre - half, share)), min(1.0, max(centre + half, share))
    return Estimate(share, low, high, n, groups, method, note)


def clopper_pearson_lower(successes: int, n: int, confidence: float) -> float:
    """Give the one-sided exact lower bound of a proportion: the largest that ``successes`` of ``n`` can guarantee.

    Source: Clopper and Pearson, Biometrika 26 (1934) 404-413.
    """
    if not 0 <= successes <= n:
        raise BadValue(f"successes: expected 0 to n={n}, got {successes}")
    if not 0 < confidence < 1:
        raise BadValue(f"confidence: expected above 0 and below 1, got {confidence}")
    return float(scipy.stats.beta.ppf(1 - confidence, successes, n - successes + 1)) if successes else 0.0


def bootstrap(
    groups: Sequence[str],
    statistic: Callable[[NDArray[np.int64]], NDArray[np.float64]],
    rng: np.random.Generator,
    resamples: int = 2000,
    notes: Sequence[str] = (),
    n: int | None = None,
) -> list[Estimate]:
    """Give statistics with their percentile bootstrap intervals, drawing whole groups with replacement.

    ``groups`` names the group of each film. ``statistic`` takes how often each film was drawn, (films,), and gives the
    k figures of those films as an array, NaN where they cannot give one; such resamples are left out of that
    figure's interval and counted in its note. All k figures come from the same draws, so a difference of two figures is
    paired. ``notes`` holds k texts, or none; ``n`` is the number of cases behind the figures where they are not the
    films. The interval is widened to hold the value on all films where a skewed
    statistic pushes it outside.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 13; resampling the unit that is
    independent rather than the film: Field and Welsh, J R Stat Soc B 69 (2007) 369-390.
    """
    if resamples < 1:
        raise BadValue(f"resamples: expected at least 1, got {resamples}")
    names, group_of = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    films, n_groups = len(group_of), len(names)
    values = np.asarray(statistic(np.ones(films, np.int64)), dtype=np.float64)
    answers = np.full((resamples, len(values)), np.nan)
    if films:
        for answer in answers:
            drawn = np.bincount(rng.integers(n_groups, size=n_groups), minlength=n_groups)
            answer[:] = statistic(drawn[group_of])
    notes = notes or [""] * len(values)
    method = f"bootstrap over groups, {resamples} resamples"
    return [
        _percentiles(float(value), column, films if n is None else n, n_groups, method, note)
        for value, column, note in zip(values, answers.T, notes, strict=True)
    ]


def _percentiles(value: float, answers: NDArray[np.float64], n: int, n_groups: int, method: str, note: str) -> Estimate:
    """Turn a statistic's value and its resampled answers into an Estimate."""
    if math.isnan(value):
        return Estimate(None, None, None, n, n_groups, method, note or "not defined on these films")
    defined = answers[~np.isnan(answers)]
    said = [note] if note else []
    if len(defined) < len(answers):
        said.append(f"not defined on {len(answers) - len(defined)} of {len(answers)} resamples, left out")
    if n_groups == 1:
        said.append("one group: its interval has no meaning")
    note = "; ".join(said)
    if not len(defined):
        return Estimate(value, None, None, n, n_groups, method, note)
    low, high = (float(end) for end in np.quantile(defined, [0.025, 0.975]))
    return Estimate(value, min(low, value), max(high, value), n, n_groups, method, note)


def group_members(groups: Sequence[str]) -> list[NDArray[np.int64]]:
    """Give the film indices of each group, groups in alphabetical order."""
    if not len(groups):
        return []
    _, group_of, sizes = np.unique(np.asarray(groups, dtype=str), return_inverse=True, return_counts=True)
    return np.split(np.argsort(group_of, kind="stable").astype(np.int64), np.cumsum(sizes)[:-1])


def count_groups(groups: Sequence[str], films: NDArray[np.int64]) -> int:
    """Count the groups that these films, given by index, belong to."""
    return len({groups[int(film)] for film in films})
