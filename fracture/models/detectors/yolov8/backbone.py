"""The backbone of a YOLOv8 by itself, for networks that are no detectors."""

from collections.abc import Mapping
from typing import Any

from fracture.models.detectors.yolov8.quiet import ultralytics

_LAYERS = 10
"""Up to where the neck begins."""


def backbone(size: str, channels: int) -> tuple[Any, int]:
    """Give the backbone of YOLOv8 ``size`` (n, s, m, l or x) for films of so many channels, and its last layer's."""
    ultralytics()
    import torch
    from ultralytics.nn.tasks import DetectionModel

    layers = list(DetectionModel(f"yolov8{size}.yaml", ch=channels, nc=1, verbose=False).model[:_LAYERS])
    return torch.nn.Sequential(*layers), layers[-1].cv2.conv.out_channels


def of_backbone(state: Mapping[str, Any]) -> dict[str, Any]:
    """Give the tensors of a detector's state dict that are its backbone's, by the backbone's names."""
    parts = {name: name.removeprefix("model.").partition(".")[0] for name in state if name.startswith("model.")}
    return {
        name.removeprefix("model."): state[name]
        for name, layer in parts.items()
        if layer.isdigit() and int(layer) < _LAYERS
    }
