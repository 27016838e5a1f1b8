"""Pure functions on boxes: (N, 4) xyxy arrays in pixels, and YOLO's normalised form at the edges."""

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fracture.core.errors import BadValue
from fracture.core.types import Box, Detections

Array = NDArray[np.float64]

FAR_PX = 1e9
"""No film reaches as far: what is beyond, infinite or no number at all is a mistake."""

_NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d{1,3})?", re.ASCII)
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2},\d{3}", re.ASCII)


def number(value: object, where: str) -> float:
    """Read a finite number, be it written as text or with a decimal comma. Raises BadValue that begins with ``where``.

    ``1,234`` is refused, for nobody knows whether its comma is a decimal one.
    """
    text = str(value).strip() if isinstance(value, int | float | str) and not isinstance(value, bool) else ""
    if _NUMBER.fullmatch(text) and not _THOUSANDS.fullmatch(text):
        found = float(text.replace(",", "."))
        if abs(found) < FAR_PX:
            return found
    raise BadValue(f"{where}: expected a number, got {value!r}" if len(text) < 100 else f"{where}: expected a number")


def from_corners(x0: float, y0: float, x1: float, y1: float) -> tuple[Box, str]:
    """Give the box between two opposite corners, whichever they are, and a note where they were not the usual two."""
    box = (min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1))
    if box == (x0, y0, x1, y1):
        return box, ""
    return box, f"box {[round(edge, 4) for edge in box]} was drawn from another corner, or with a side below 0"


def check_fractions(values: Sequence[float], where: str, beyond: float) -> None:
    """Refuse numbers that are no fractions of a film, by the first; they may leave it by ``beyond``."""
    for value in values:
        if not -beyond <= value <= 1 + beyond:
            raise BadValue(f"{where}: expected fractions, got {value:g}; pixels and percent are other units")


def check_pixels(values: Sequence[float], where: str) -> None:
    """Refuse a box in fractions where pixels are expected: all of it would lie on the film's first pixel."""
    if any(values) and all(0 <= value <= 1 for value in values) and any(value % 1 for value in values):
        raise BadValue(f"{where}: expected pixels, got fractions: {', '.join(f'{value:g}' for value in values)}")


def area(xyxy: Array) -> Array:
    """Give the area of each box, (N,)."""
    return np.clip(xyxy[:, 2] - xyxy[:, 0], 0, None) * np.clip(xyxy[:, 3] - xyxy[:, 1], 0, None)


def iou(a: Array, b: Array) -> Array:
    """Give intersection over union of every pair, (len(a), len(b)); 0 where the union is empty."""
    top_left = np.maximum(a[:, None, :2], b[None, :, :2])
    bottom_right = np.minimum(a[:, None, 2:], b[None, :, 2:])
    intersection = np.clip(bottom_right - top_left, 0, None).prod(axis=2)
    union = area(a)[:, None] + area(b)[None, :] - intersection
    result: Array = np.divide(intersection, union, out=np.zeros_like(intersection), where=union > 0)
    return result


def clip(xyxy: Array, size_px: tuple[int, int]) -> Array:
    """Cut boxes at the edges of a film of (width, height)."""
    width, height = size_px
    return np.clip(xyxy, 0, [width, height, width, height])


def nms(xyxy: Array, score: Array, iou_threshold: float, most: int | None = None) -> NDArray[np.int64]:
    """Give the indices that greedy non-maximum suppression keeps, best score first (ties: lower index first).

    With ``most`` it ends with so many.
    """
    order = np.argsort(-score, kind="stable")
    # By columns, and of those behind only: five times as fast as `iou` for the few hundred boxes of a film.
    x0, y0, x1, y1 = np.ascontiguousarray(xyxy[order].T)
    size = area(xyxy[order])
    alive = np.ones(len(order), dtype=bool)
    kept: list[int] = []
    for best in range(len(order)):
        if not alive[best]:
            continue
        kept.append(best)
        if len(kept) == most:
            break
        rest = slice(best + 1, None)
        wide = np.clip(np.minimum(x1[best], x1[rest]) - np.maximum(x0[best], x0[rest]), 0, None)
        high = np.clip(np.minimum(y1[best], y1[rest]) - np.maximum(y0[best], y0[rest]), 0, None)
        shared = wide * high
        union = size[best] + size[rest] - shared
        overlap = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
        alive[rest] &= overlap <= iou_threshold
    return order[kept].astype(np.int64)


def fuse(found: Sequence[Detections], iou_threshold: float = 0.55) -> Detections:
    """Merge several readings of one film: boxes that overlap become their mean, weighted by score, and share the score.

    Each reading speaks once for a place, by its best box there; one that sees nothing there counts as 0. Source: R.
    Solovyev et al., "Weighted boxes fusion", Image and Vision Computing 2021.
    """
    xyxy, score, label = (np.concatenate([getattr(one, name) for one in found]) for name in ("xyxy", "score", "label"))
    reading = np.repeat(np.arange(len(found)), [len(one) for one in found])
    left = np.ones(len(score), dtype=bool)
    boxes, scores, labels = np.zeros_like(xyxy), np.zeros_like(score), np.zeros_like(label)
    count = 0
    for best in np.argsort(-score, kind="stable"):
        if not left[best]:
            continue
        near = np.flatnonzero(left & (label == label[best]))
        near = near[(iou(xyxy[best][None], xyxy[near])[0] > iou_threshold) | (near == best)]
        left[near] = False
        # Of one reading's boxes the first is the best: a reading's boxes come best first.
        members = near[np.unique(reading[near], return_index=True)[1]]
        boxes[count] = score[members] @ xyxy[members] / max(score[members].sum(), np.finfo(float).tiny)
        scores[count], labels[count] = score[members].sum() / len(found), label[best]
        count += 1
    order = np.argsort(-scores[:count], kind="stable")
    return Detections(boxes[order], scores[order], labels[order])


def to_yolo(box: Box, size_px: tuple[int, int]) -> Box:
    """Turn xyxy pixels into YOLO's (centre x, centre y, width, height), each as a fraction of the film."""
    width, height = size_px
    x0, y0, x1, y1 = box
    return (x0 + x1) / 2 / width, (y0 + y1) / 2 / height, (x1 - x0) / width, (y1 - y0) / height


def from_yolo(box: Box, size_px: tuple[int, int]) -> Box:
    """Turn YOLO's (centre x, centre y, width, height) fractions into xyxy pixels, unclipped."""
    width, height = size_px
    cx, cy, w, h = box
    return (cx - w / 2) * width, (cy - h / 2) * height, (cx + w / 2) * width, (cy + h / 2) * height
