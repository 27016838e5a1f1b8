"""The detectors that can be trained and exported, by the name that ``--arch`` takes."""

from collections.abc import Mapping
from types import MappingProxyType

from fracture.core.errors import BadValue
from fracture.models.detectors import fasterrcnn, fcos, retinanet
from fracture.models.detectors.detector import Detector
from fracture.models.detectors.yolov8 import average as yolov8_average
from fracture.models.detectors.yolov8 import export as yolov8_export
from fracture.models.detectors.yolov8 import quiet as yolov8_quiet
from fracture.models.detectors.yolov8 import trainer as yolov8_trainer

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
            film_stage=yolov8_export.FILM_STAGE,
        ),
        "fasterrcnn": fasterrcnn.ROW,
        "retinanet": retinanet.ROW,
        "fcos": fcos.ROW,
    }
)


def detector(arch: str) -> Detector:
    """Give the named row. Raises BadValue that lists the names there are."""
    if arch not in DETECTORS:
        raise BadValue(f"arch: expected one of {', '.join(DETECTORS)}, got {arch!r}")
    return DETECTORS[arch]
