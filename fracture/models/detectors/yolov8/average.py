"""The mean of several checkpoints, as one."""

import os
from collections.abc import Sequence
from pathlib import Path

from fracture.core.errors import MissingData
from fracture.models.detectors.yolov8.quiet import ultralytics
from fracture.models.mean import mean


def average(files: Sequence[Path], out: Path, shares: Sequence[float] | None = None) -> Path:
    """Write a checkpoint whose weights are the `mean` of those of ``files``; give its path. All else is the last one's.

    Raises MissingData for a file that is not there, BadValue as `mean` does.
    """
    import torch

    for file in files:
        if not file.is_file():
            raise MissingData(f"no checkpoint at {file}")
    ultralytics()  # whose classes are in the checkpoints
    contents = [torch.load(file, map_location="cpu", weights_only=False) for file in files]
    made = contents[-1]
    states = [content["model"].float().state_dict() for content in contents]
    mixed = mean(list(zip(files, states, strict=True)), shares)
    made["model"].load_state_dict(mixed)
    made["model"].half()
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name("partial_" + out.name)
    torch.save(made, partial)
    os.replace(partial, out)
    return out
