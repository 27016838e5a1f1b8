"""Pure functions on boxes: (N, 4) xyxy arrays in pixels, and YOLO's normalised form at the edges."""

import numpy as np
from numpy.typing import NDArray

from fracture.types import Box

Array = NDArray[np.float64]


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


def nms(xyxy: Array, score: Array, iou_threshold: float) -> NDArray[np.int64]:
    """Give the indices that greedy non-maximum suppression keeps, best score first (ties: lower index first)."""
    order = np.argsort(-score, kind="stable")
    kept: list[int] = []
    while order.size:
        best, rest = order[0], order[1:]
        kept.append(int(best))
        order = rest[iou(xyxy[best : best + 1], xyxy[rest])[0] <= iou_threshold]
    return np.array(kept, dtype=np.int64)


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
