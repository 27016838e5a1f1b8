"""Examples for the OpenAPI page, with made-up values. The code that answers makes them, so they cannot differ."""

from typing import Any

import numpy as np

from fracture.core.errors import UnsupportedFormat
from fracture.core.types import Detections, Estimate, HarmoniseConfig, OperatingPoint, Prediction
from fracture.models.card import ModelCard
from fracture.service.http import answers


def _point(name: str, threshold: float, sensitivity: float, specificity: float) -> OperatingPoint:
    found, spared = (
        Estimate(rate, rate - 0.06, rate + 0.05, n, n, "Wilson") for rate, n in ((sensitivity, 120), (specificity, 480))
    )
    return OperatingPoint(name, threshold, f"made-up rule of {name}", found, spared, "made-up val split")


_CARD = ModelCard(
    model_id="example",
    version="0.0.0",
    classes=("fracture",),
    long_side_px=448,
    stride=32,
    nms_iou=0.5,
    harmonise=HarmoniseConfig(),
    files={"model.onnx": "0" * 64},
    operating_points=(
        _point("screening", 0.05, 0.92, 0.71),
        _point("balanced", 0.12, 0.81, 0.88),
        _point("specific", 0.3, 0.62, 0.95),
    ),
)


def _seen(source: int, *scores: float) -> answers.Seen:
    boxes = [(201.5 - 90 * n, 88.1 + 60 * n, 240.9 - 90 * n, 121.0 + 60 * n) for n in range(len(scores))]
    found = Detections(np.array(boxes).reshape(-1, 4), np.array(scores), np.zeros(len(scores), np.int64))
    return answers.Seen(source, 0, Prediction((373, 454), found, _CARD.model_id, _CARD.harmonise.harmonise_id))


def _example(summary: str, seen: list[answers.Seen], refused: list[answers.RefusedFilm], study: str | None) -> Any:
    mode = answers.measured_mode(_CARD.operating_point("balanced"))
    said = answers.answer(seen, refused, mode, _CARD, study)
    return {"summary": summary, "value": said.model_dump(mode="json", by_alias=True, exclude_unset=True)}


ANSWERS: dict[str, Any] = {
    "film": _example("one film", [_seen(0, 0.71, 0.14)], [], None),
    "study": _example(
        "a study of three files, one of which is no film",
        [_seen(0, 0.71), _seen(2)],
        [answers.refused_film(UnsupportedFormat("expected a film as PNG, JPEG, TIFF or DICOM"), 1)],
        "study-17",
    ),
}
