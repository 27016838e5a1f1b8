"""Intervals: how far a figure measured on these films may be from the truth. All are 95 %."""

import math
from collections.abc import Callable, Sequence

import numpy as np
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


def bootstrap(
    groups: Sequence[str],
    statistic: Callable[[NDArray[np.int64]], float | None],
    rng: np.random.Generator,
    resamples: int = 1000,
    note: str = "",
) -> Estimate:
    """Give a statistic with its percentile bootstrap interval, drawing whole groups with replacement.

    ``groups`` names the group of each film. ``statistic`` takes film indices (a film drawn twice appears twice, the
    order has no meaning) and answers None where those films cannot give it; such resamples are left out, and counted
    in the note. The interval is widened to hold the value on all films where a skewed statistic pushes it outside.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 13; resampling the unit that is
    independent rather than the film: Field and Welsh, J R Stat Soc B 69 (2007) 369-390.
    """
    if resamples < 1:
        raise BadValue(f"resamples: expected at least 1, got {resamples}")
    n, method = len(groups), f"bootstrap over groups, {resamples} resamples"
    members = group_members(groups)
    value = statistic(np.arange(n, dtype=np.int64)) if n else None
    if value is None:
        return Estimate(None, None, None, n, len(members), method, note or "not defined on these films")
    draws = (rng.integers(len(members), size=len(members)) for _ in range(resamples))
    answers = [statistic(np.concatenate([members[group] for group in draw])) for draw in draws]
    defined = [answer for answer in answers if answer is not None]
    notes = [note] if note else []
    if len(defined) < resamples:
        notes.append(f"not defined on {resamples - len(defined)} of {resamples} resamples, left out")
    if len(members) == 1:
        notes.append("one group: its interval has no meaning")
    note = "; ".join(notes)
    if not defined:
        return Estimate(value, None, None, n, len(members), method, note)
    low, high = (float(end) for end in np.quantile(defined, [0.025, 0.975]))
    return Estimate(value, min(low, value), max(high, value), n, len(members), method, note)


def group_members(groups: Sequence[str]) -> list[NDArray[np.int64]]:
    """Give the film indices of each group, groups in alphabetical order."""
    if not len(groups):
        return []
    _, group_of, sizes = np.unique(np.asarray(groups, dtype=str), return_inverse=True, return_counts=True)
    return np.split(np.argsort(group_of, kind="stable").astype(np.int64), np.cumsum(sizes)[:-1])


def count_groups(groups: Sequence[str], films: NDArray[np.int64]) -> int:
    """Count the groups that these films, given by index, belong to."""
    return len({groups[int(film)] for film in films})
