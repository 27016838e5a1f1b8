"""Intervals: how far a figure measured on these films may be from the truth. All are 95 %."""

import math
from collections.abc import Callable, Sequence

import numpy as np
import scipy
from numpy.typing import NDArray

from fracture.core.errors import BadValue
from fracture.core.types import Estimate

Counts = NDArray[np.int64] | NDArray[np.bool_]

Z95 = 1.959963984540054  # the normal quantile that leaves 2.5 % on each side


def proportion(successes: Counts, cases: Counts, groups: Sequence[str], note: str = "") -> Estimate:
    """Give a proportion with Wilson's score interval, of as many cases as the groups are worth.

    ``cases`` says how many cases each film gives and ``successes`` how many of them succeeded, (films,) counts or bool;
    ``groups`` names each film's group. Films that give no case play no part. Where every case is its own group this is
    Wilson's interval exactly, else that of `effective_n` cases. No cases: no value, and ``note`` says why.

    Source: Wilson, J Am Stat Assoc 22 (1927) 209-212.
    """
    found, size = _by_group(successes, cases, groups)
    n, worth = int(size.sum()), _worth(found, size)
    if not n:
        return Estimate(None, None, None, 0, 0, "Wilson", note or "no cases")
    share = int(found.sum()) / n
    method = "Wilson" if worth == n else f"Wilson, effective n {worth:.3g}"
    return Estimate(share, *_score_interval(share, worth), n, len(size), method)


def effective_n(successes: Counts, cases: Counts, groups: Sequence[str]) -> float:
    """Say how many independent cases would leave a proportion as unsure as these do; arguments as in `proportion`.

    It is n where every case is its own group. Else n is divided by the design effect: the variance of the share,
    groups going together, over that of n independent cases, and at least 1. Three things are more careful than the
    source, for groups are few and successes often nearly all (docs/EVALUATION.md has the coverage):

    - How alike a group's cases are shows only in the rarer outcome, and not at all where all cases succeed. So the
      design effect is averaged with that of groups which agree in full, as if z^2 / 2 cases of the rarer outcome had
      come in such groups: the number by which Wilson's interval itself moves.
    - The variance rests on few groups: n is lowered by the squared ratio of Student's quantiles, as Korn and Graubard
      do. Where one group holds most cases it is the number of groups of equal size, n^2 / sum of squares, that counts.
    - Both variances have the factor that makes them unbiased, G / (G - 1) and n / (n - 1).

    Source: Rao and Scott, Biometrics 48 (1992) 577-585; Korn and Graubard, Surv Methodol 24 (1998) 193-201; the number
    of equal groups: Kish, Survey Sampling (1965), section 8.2.
    """
    return _worth(*_by_group(successes, cases, groups))


def _worth(found: NDArray[np.int64], size: NDArray[np.int64]) -> float:
    """Give `effective_n` of groups of this ``size`` in which so many were ``found``, both (groups,)."""
    n, n_groups = int(size.sum()), len(size)
    if n == n_groups:
        return float(n)
    share, agreeing = float(found.sum()) / n, float(size @ size) / n
    rarer, doubt = min(float(found.sum()), n - float(found.sum())), Z95**2 / 2
    effect = agreeing  # of what cannot be seen: one group, or one outcome
    if rarer and n_groups > 1:
        variance = float(((found - share * size) ** 2).sum()) * n_groups / (n_groups - 1) / n**2
        effect = variance * (n - 1) / (share * (1 - share))
    effect = max(1.0, (rarer * effect + doubt * agreeing) / (rarer + doubt))
    freedom = max(1.0, n / agreeing - 1)
    careful = scipy.special.stdtrit(n - 1, 0.975) / scipy.special.stdtrit(freedom, 0.975)
    return float(n / effect * careful**2)


def _score_interval(share: float, n: float) -> tuple[float, float]:
    """Give Wilson's ends for a share of n cases, which need not be a whole number."""
    shrink = 1 + Z95**2 / n
    centre = (share + Z95**2 / (2 * n)) / shrink
    half = Z95 / shrink * math.sqrt(share * (1 - share) / n + Z95**2 / (4 * n**2))
    # At 0 and n of n the ends are exactly 0 and 1; rounding must not leave them a hair inside.
    return max(0.0, min(centre - half, share)), min(1.0, max(centre + half, share))


def _by_group(successes: Counts, cases: Counts, groups: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Count successes and cases of each group that has cases."""
    expected = (len(groups),)
    if successes.shape != expected or cases.shape != expected:
        shapes = f"{successes.shape}, {cases.shape}"
        raise BadValue(f"successes, cases and groups: expected one per film, shape {expected}, got {shapes}")
    found, size = successes.astype(np.int64), cases.astype(np.int64)
    if wrong := np.flatnonzero((found < 0) | (found > size)).tolist():
        at = wrong[0]
        raise BadValue(f"successes: expected 0 to the {size[at]} cases of the film, got {found[at]}")
    there = np.flatnonzero(size)
    names, group_of = np.unique([groups[film] for film in there.tolist()], return_inverse=True)
    found, size = (np.bincount(group_of, of[there], len(names)).astype(np.int64) for of in (found, size))
    return found, size


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
