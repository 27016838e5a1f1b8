"""Weights that a classifier begins with, of networks for other questions and of pictures in colour."""

from collections.abc import Mapping
from typing import Any

from fracture.models.detectors.yolov8.backbone import of_backbone

_CLASSES = ("classifier", "fc", "head", "head.fc")


def fitting(arch: str, state: Mapping[str, Any]) -> dict[str, Any]:
    """Give the classifier's names for the features in a state dict; a stem of three channels is summed to one.

    On a grey film, whose three channels are one, the sum answers as the stem did. Takes a state dict of ours, of a
    YOLOv8 detector, and of timm or torchvision with or without its own classes.
    """
    if any(name.startswith("features.") for name in state) and "heads.weight" in state:
        given = dict(state)
    else:
        inner = "features.0." if arch == "hybrid" else "features."
        own = of_backbone(state) if arch.startswith("yolov8") else state
        given = {inner + name: value for name, value in own.items() if name.rpartition(".")[0] not in _CLASSES}
    stem = next((name for name, value in given.items() if getattr(value, "ndim", 0) == 4), None)
    if stem is not None and given[stem].shape[1] == 3:
        given[stem] = given[stem].sum(dim=1, keepdim=True)
    return given
