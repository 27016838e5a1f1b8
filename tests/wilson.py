"""Wilson's interval of cases that are all their own groups, as cards and reports in tests are made of them."""

import numpy as np

from fracture.core.errors import BadValue
from fracture.core.types import Estimate
from fracture.metrics.uncertainty import proportion


def wilson(successes: int, n: int, note: str = "") -> Estimate:
    """Give a proportion of cases of which each is its own group; films of patients need `proportion`."""
    if not 0 <= successes <= n:
        raise BadValue(f"successes: expected 0 to n={n}, got {successes}")
    return proportion(np.arange(n) < successes, np.ones(n, np.bool_), [str(case) for case in range(n)], note)
