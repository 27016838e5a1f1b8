"""Weights that a classifier begins with, of networks for other questions and of pictures in colour."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from fracture.models.detectors.yolov8.backbone import of_backbone

_CLASSES = ("classifier", "fc", "head", "head.fc")
_MEAN, _SPREAD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet: what timm and torchvision take away from colours of 0 to 1, and divide them by."""

_NORM_BEHIND = MappingProxyType({"conv1": "bn1", "features.conv0": "features.norm0", "conv_stem": "bn1"})
"""The normalisation behind the stem of a network, by the stem's name."""


def fitting(arch: str, state: Mapping[str, Any]) -> dict[str, Any]:
    """Give the classifier's names for the features in a state dict; a stem of three channels is summed to one.

    On a grey film, whose three channels are one, the sum answers as the stem did. A network of timm or torchvision
    learned from colours less their mean, divided by their spread; films come as 0 to 1, so that is in its stem and in
    the normalisation behind from here on (but for the film's rim, where it pads with nothing). Takes a state dict of
    ours, of a YOLOv8 detector, and of timm, by whose names torchvision's DenseNets and ResNets go too.
    """
    if any(name.startswith("features.") for name in state) and "heads.weight" in state:
        return dict(state)
    inner = "features.0." if arch == "hybrid" else "features."
    yolo = arch.startswith("yolov8")
    own = of_backbone(state) if yolo else _without_imagenet(state)
    given = {inner + name: value for name, value in own.items() if name.rpartition(".")[0] not in _CLASSES}
    # Nothing but a stem has three channels.
    return {name: value.sum(dim=1, keepdim=True) if _in_colour(value) else value for name, value in given.items()}


def _without_imagenet(state: Mapping[str, Any]) -> dict[str, Any]:
    """Have a network take colours of 0 to 1 where it took them less ImageNet's mean, divided by its spread."""
    import torch

    given = dict(state)
    for stem, norm in _NORM_BEHIND.items():
        weight, mean = f"{stem}.weight", f"{norm}.running_mean"
        if _in_colour(given.get(weight)) and mean in given:
            scaled = given[weight] / torch.tensor(_SPREAD).reshape(1, 3, 1, 1)
            less = scaled.sum(dim=(2, 3)) @ torch.tensor(_MEAN)
            given |= {weight: scaled, mean: given[mean] + less}
    return given


def _in_colour(value: Any) -> bool:
    return getattr(value, "ndim", 0) == 4 and value.shape[1] == 3
