"""DeLong's way to the area under a ROC curve and its variance, films of one group going together.

Source: DeLong, DeLong and Clarke-Pearson, Biometrics 44 (1988) 837-845; by midranks: Sun and Xu, IEEE Signal Process
Lett 21 (2014) 1389-1393; groups: Obuchowski, Biometrics 53 (1997) 567-578.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import NDArray

from fracture.core.types import Estimate
from fracture.metrics.uncertainty import Z95


@dataclass(frozen=True)
class Area:
    """An area, or the difference of two, with its standard error; None where there is none, and ``note`` says why."""

    value: float
    error: float | None
    n: int
    n_groups: int
    note: str

    def estimate(self, lowest: float) -> Estimate:
        """Give the area with its normal interval, which is cut off at ``lowest`` and at 1."""
        if self.error is None:
            return Estimate(self.value, None, None, self.n, self.n_groups, "DeLong", self.note)
        low, high = self.value - Z95 * self.error, self.value + Z95 * self.error
        return Estimate(self.value, max(lowest, low), min(1.0, high), self.n, self.n_groups, "DeLong", self.note)


def placements(scores: NDArray[np.float64], fractured: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Give, (films,), the share of the films of the other kind that each film stands on the right side of."""
    ranks, placement = scipy.stats.rankdata(scores), np.zeros(len(scores))
    for side in (fractured, ~fractured):
        placement[side] = (ranks[side] - scipy.stats.rankdata(scores[side])) / (~side).sum()
    placement[~fractured] = 1 - placement[~fractured]
    return placement


def area(placement: NDArray[np.float64], fractured: NDArray[np.bool_], groups: Sequence[str]) -> Area:
    """Average placements, or differences of placements, (films,); both kinds of film must be there.

    There is no error where fractured or normal films come from a single group, or where the variance is zero.
    """
    n_fractured, n_normal = int(fractured.sum()), int((~fractured).sum())
    note = f"{n_fractured} fractured, {n_normal} normal films"
    names, group_of = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    n, n_groups, value = len(fractured), len(names), float(placement[fractured].mean())
    # What each film adds to the area beyond the mean. Within a group that adds up before it is squared.
    pull = (placement - value) / np.where(fractured, n_fractured, n_normal)
    of_fractured, of_normal = (np.bincount(group_of, pull * side, n_groups) for side in (fractured, ~fractured))
    with_fractured, with_normal = (len(np.unique(group_of[side])) for side in (fractured, ~fractured))
    if min(with_fractured, with_normal) < 2:
        return Area(value, None, n, n_groups, note + "; one group of a kind: no interval")
    variance = float(
        (of_fractured**2).sum() * with_fractured / (with_fractured - 1)
        + (of_normal**2).sum() * with_normal / (with_normal - 1)
        + 2 * (of_fractured * of_normal).sum() * n_groups / (n_groups - 1)
    )
    if variance <= 1e-15:
        return Area(value, None, n, n_groups, note + "; variance is zero: no interval")
    return Area(value, math.sqrt(variance), n, n_groups, note)
