"""Several networks of one line of training as one: the mean of their weights, which is often better than any of them.

Source: Wortsman et al., Robust fine-tuning of zero-shot models, CVPR 2022, 7959-7971: a network that learned on, mixed
with what it began as, keeps more of its skill on other sources.
"""

import os
from collections.abc import Sequence
from math import isclose
from pathlib import Path

from fracture.core.errors import BadValue, MissingData
from fracture.models.detectors.yolov8.quiet import ultralytics


def average(files: Sequence[Path], out: Path, shares: Sequence[float] | None = None) -> Path:
    """Write a checkpoint whose weights are the mean of those of ``files``, by ``shares`` that sum to 1; give its path.

    Without ``shares`` each counts alike. Statistics of BatchNorm are weights like any other here. All else is the last
    one's. Raises MissingData for a file that is not there, BadValue for shares that are none and for networks that are
    not alike.
    """
    import torch

    shares = [1 / len(files)] * len(files) if shares is None else shares
    if len(shares) != len(files) or min(shares) < 0 or not isclose(sum(shares), 1):
        raise BadValue(f"expected a share of 0 to 1 for each of {len(files)} checkpoints, 1 in all, got {shares}")
    for file in files:
        if not file.is_file():
            raise MissingData(f"no checkpoint at {file}")
    ultralytics()  # whose classes are in the checkpoints
    contents = [torch.load(file, map_location="cpu", weights_only=False) for file in files]
    states = [content["model"].float().state_dict() for content in contents]
    last = states[-1]
    for file, state in zip(files, states, strict=True):
        if {name: value.shape for name, value in state.items()} != {name: value.shape for name, value in last.items()}:
            raise BadValue(f"expected networks of one architecture, got {file} and {files[-1]}")
    mixed = {
        name: sum(share * state[name].double() for share, state in zip(shares, states, strict=True)).to(value.dtype)
        if value.is_floating_point()
        else value
        for name, value in last.items()
    }
    made = contents[-1]
    made["model"].load_state_dict(mixed)
    made["model"].half()
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name("partial_" + out.name)
    torch.save(made, partial)
    os.replace(partial, out)
    return out
