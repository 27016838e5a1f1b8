"""Predictions as JSON: the detections of an answer, and the lines of predictions.jsonl."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fracture.best_guess import guess
from fracture.errors import BadValue
from fracture.types import Detections, Prediction, Refusal

_WARNINGS = {
    "truncated": "The file ends early: part of the film is missing, and a fracture there cannot be seen.",
    "no_window": "The file states no display window: the film's whole range was used.",
    "bad_window": "The file's display window is not valid: the film's whole range was used.",
    "bad_rescale": "The file's rescale slope or intercept is not valid: stored values were used as they are.",
    "polarity_conflict": "The file contradicts itself on whether bone is bright: it was read as bone bright.",
    "assumed_range": "The file does not state its range of values: the film's own range was used.",
}


def warnings_for(flags: frozenset[str]) -> list[str]:
    """Put what decoding had to repair or assume into words a person can act on."""
    known = [text for flag, text in _WARNINGS.items() if flag in flags]
    bits = sorted(flag.split("_")[1] for flag in flags if flag.startswith("assumed_") and flag.endswith("_bit"))
    return known + [f"The file holds 16-bit values that only use {n} bits: they were read as {n}-bit." for n in bits]


def detections_json(detections: Detections, film_px: tuple[int, int], classes: Sequence[str]) -> list[dict[str, Any]]:
    """Give one object per box: bbox_xyxy in pixels of the decoded film, confidence, and the best guesses."""
    found = []
    for (x0, y0, x1, y1), score, label in zip(
        detections.xyxy.tolist(), detections.score.tolist(), detections.label.tolist(), strict=True
    ):
        words = guess((x0, y0, x1, y1), score, film_px)
        found.append(
            {
                "bbox_xyxy": [round(edge, 2) for edge in (x0, y0, x1, y1)],
                "confidence": round(score, 6),
                "class": classes[label],
                "fracture_type": words.fracture_type,
                "severity": words.severity,
                "notes": words.notes,
            }
        )
    return found


def line(path: str, answer: Prediction | Refusal, classes: Sequence[str]) -> str:
    """Give the predictions.jsonl line of one film, without its line break."""
    if isinstance(answer, Refusal):
        return json.dumps({"path": path, "error": {"code": answer.code, "reason": answer.reason}})
    return json.dumps(
        {
            "path": path,
            "image_size": list(answer.film_px),
            "model": answer.model_id,
            "harmonise_id": answer.harmonise_id,
            "flags": sorted(answer.flags),
            "warnings": warnings_for(answer.flags),
            "detections": detections_json(answer.detections, answer.film_px, classes),
        }
    )


def read_lines(file: Path, classes: Sequence[str]) -> Iterator[tuple[str, Prediction | Refusal]]:
    """Read predictions.jsonl back. Raises BadValue that names the line."""
    with file.open(encoding="utf-8") as lines:
        for number, text in enumerate(lines, start=1):
            try:
                content = json.loads(text)
                yield content["path"], _answer(content, classes)
            except (ValueError, KeyError, TypeError) as error:
                raise BadValue(f"{file} line {number} is no prediction: {error}") from error


def _answer(content: dict[str, Any], classes: Sequence[str]) -> Prediction | Refusal:
    if "error" in content:
        return Refusal(content["error"]["code"], content["error"]["reason"])
    found = content["detections"]
    width, height = content["image_size"]
    return Prediction(
        (width, height),
        Detections(
            np.array([box["bbox_xyxy"] for box in found], dtype=np.float64).reshape(-1, 4),
            np.array([box["confidence"] for box in found], dtype=np.float64),
            np.array([classes.index(box.get("class", classes[0])) for box in found], dtype=np.int64),
        ),
        content["model"],
        content["harmonise_id"],
        frozenset(content["flags"]),
    )
