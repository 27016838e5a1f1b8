"""Several networks of one line of training as one: the mean of their weights, which is often better than any of them.

Source: Wortsman et al., Robust fine-tuning of zero-shot models, CVPR 2022, 7959-7971: a network that learned on, mixed
with what it began as, keeps more of its skill on other sources.
"""

from collections.abc import Mapping, Sequence
from math import isclose
from pathlib import Path
from typing import Any

from fracture.core.errors import BadValue


def mean(states: Sequence[tuple[Path, Mapping[str, Any]]], shares: Sequence[float] | None = None) -> dict[str, Any]:
    """Give the mean of state dicts, each with its file, by ``shares`` that sum to 1; without, each counts alike.

    Statistics of BatchNorm are weights like any other here; what is no fraction is the last one's. Raises BadValue for
    shares that are none and for networks that are not alike.
    """
    shares = [1 / len(states)] * len(states) if shares is None else shares
    if len(shares) != len(states) or min(shares) < 0 or not isclose(sum(shares), 1):
        raise BadValue(f"expected a share of 0 to 1 for each of {len(states)} checkpoints, 1 in all, got {shares}")
    final, last = states[-1]
    for file, state in states:
        if {name: value.shape for name, value in state.items()} != {name: value.shape for name, value in last.items()}:
            raise BadValue(f"expected networks of one architecture, got {file} and {final}")
    return {
        name: sum(share * state[name].double() for share, (_, state) in zip(shares, states, strict=True)).to(
            value.dtype
        )
        if value.is_floating_point()
        else value
        for name, value in last.items()
    }
