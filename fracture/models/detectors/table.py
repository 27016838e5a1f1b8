"""The detectors that can be trained and exported, by the name that ``--arch`` takes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from fracture.core.errors import BadValue
from fracture.imaging.harmonise import PAD_VALUE
from fracture.models.detectors.yolov8 import average as yolov8_average
from fracture.models.detectors.yolov8 import export as yolov8_export
from fracture.models.detectors.yolov8 import quiet as yolov8_quiet
from fracture.models.detectors.yolov8 import trainer as yolov8_trainer
from fracture.models.network import DIVISOR, Network


@dataclass(frozen=True)
class Detector:
    """What an architecture must provide; its library is imported when one of these is called, not before.

    ``require`` imports the library, or raises ModuleNotFoundError. ``train`` trains one network into the run's folder
    (weights/last.pt after every epoch, weights/best.pt, results.csv) and goes on from last.pt where ``resume`` is set.
    ``export`` writes a checkpoint as an ONNX file whose answers are as `fracture.models.network` says, for a long side
    in px. ``average`` writes the mean of several checkpoints of one architecture. ``network`` runs the checkpoint by
    its own library: the reference that the exported network is compared with.

    ``stride``, ``nms_iou``, ``pad_value`` and ``divisor`` go into the card, see `fracture.models.card`. ``scope_stage``
    is the output in the exported network that describes a film (`fracture.models.scope`); None: it knows no scope.
    """

    require: Callable[[], object]
    train: Callable[..., None]
    export: Callable[..., Path]
    average: Callable[[Sequence[Path], Path], Path]
    network: Callable[[Path], Network]
    stride: int
    nms_iou: float = 0.5
    pad_value: int = PAD_VALUE
    divisor: float = DIVISOR
    scope_stage: str | None = None


DETECTORS: Mapping[str, Detector] = MappingProxyType(
    {
        "yolov8": Detector(
            yolov8_quiet.ultralytics,
            yolov8_trainer.train,
            yolov8_export.export_onnx,
            yolov8_average.average,
            yolov8_export.TorchNetwork,
            stride=32,
            scope_stage=yolov8_export.SCOPE_STAGE,
        ),
    }
)


def detector(arch: str) -> Detector:
    """Give the named row. Raises BadValue that lists the names there are."""
    if arch not in DETECTORS:
        raise BadValue(f"arch: expected one of {', '.join(DETECTORS)}, got {arch!r}")
    return DETECTORS[arch]
