"""Two networks of one line of training as one: the mean of their weights, which is often better than either.

Source: Wortsman et al., Robust fine-tuning of zero-shot models, CVPR 2022, 7959-7971: a network that learned on, mixed
with what it began as, keeps more of its skill on other sources.
"""

import os
from pathlib import Path

from fracture.core.errors import BadValue, MissingData
from fracture.models.detectors.yolov8.quiet import ultralytics


def average(first: Path, second: Path, out: Path, share: float = 0.5) -> Path:
    """Write a checkpoint whose weights are ``share`` of the second's and the rest of the first's; give its path.

    Statistics of BatchNorm are weights like any other here. All else is the second's. Raises MissingData for a file
    that is not there, BadValue for a share outside 0..1 and for networks that are not alike.
    """
    import torch

    if not 0 <= share <= 1:
        raise BadValue(f"share: expected 0 to 1, got {share}")
    for file in (first, second):
        if not file.is_file():
            raise MissingData(f"no checkpoint at {file}")
    ultralytics()  # whose classes are in the checkpoints
    before, after = (torch.load(file, map_location="cpu", weights_only=False) for file in (first, second))
    old, new = (content["model"].float().state_dict() for content in (before, after))
    if {name: value.shape for name, value in old.items()} != {name: value.shape for name, value in new.items()}:
        raise BadValue(f"expected two networks of one architecture, got {first} and {second}")
    mixed = {
        name: ((1 - share) * old[name].double() + share * value.double()).to(value.dtype)
        if value.is_floating_point()
        else value
        for name, value in new.items()
    }
    after["model"].load_state_dict(mixed)
    after["model"].half()
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name("partial_" + out.name)
    torch.save(after, partial)
    os.replace(partial, out)
    return out
