"""The contract between a network and whoever runs it: pixels in, candidates out. Every architecture keeps it.

In: one film as `fracture.imaging.harmonise.network_pixels` makes it, (H, W, 3) uint8, its long side scaled to the
card's ``long_side_px`` and padded with the card's ``pad_value`` to a multiple of its ``stride``. The exported file
takes (1, 3, H, W) float32, those pixels divided by the card's ``divisor``; what else a network needs, such as a mean
taken away, is part of its file.

Out: (4 + classes, candidates) float32. Rows 0 to 3 are centre x, centre y, width and height in the pixels that went
in, padding included; each row behind them holds one class's scores, 0 to 1. The number of candidates is bounded
and may differ between shapes. They are not suppressed: `detections_from` does that, with the card's ``nms_iou``.
A network that knows its scope answers with one more row, the last, which is the same in every column: see
`fracture.models.scope`. Nothing in an answer is infinite or not a number.
"""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fracture.core import boxes as box_math
from fracture.core.errors import BrokenAnswer
from fracture.core.types import Detections, ModelInput

SCORE_FLOOR = 0.001
"""Boxes below this are noise to every metric; keeping it this low keeps whole precision-recall curves."""

MAX_DETECTIONS = 100
DIVISOR = 255.0
"""What pixels are divided by where a card does not say otherwise."""


class Network(Protocol):
    """A network as a Reader calls it: (H, W, 3) uint8 pixels to (4 + classes, candidates), or one row more."""

    name: str

    def __call__(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]: ...


def network_tensor(pixels: NDArray[np.uint8], divisor: float = DIVISOR) -> NDArray[np.float32]:
    """Give the (1, 3, H, W) float32 that a network takes: the pixels, divided."""
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)[None], dtype=np.float32) / np.float32(divisor)


def detections_from(raw: NDArray[np.float32], prepared: ModelInput, nms_iou: float, members: int = 1) -> Detections:
    """Turn a network's raw (4 + classes, candidates) output into boxes on the decoded film, best first.

    Of several ``members`` the candidates stand side by side; each member's are suppressed alone, then all are fused.
    Raises BrokenAnswer for numbers that are none: what compares with nothing would be dropped, and the film be normal.
    """
    check_numbers(raw)
    if members == 1:
        return _of_one(raw, prepared, nms_iou)
    each = [_of_one(part, prepared, nms_iou) for part in np.split(raw, members, axis=1)]
    fused = box_math.fuse(each)
    return Detections(fused.xyxy[:MAX_DETECTIONS], fused.score[:MAX_DETECTIONS], fused.label[:MAX_DETECTIONS])


def check_numbers(raw: NDArray[np.floating]) -> None:
    """Raise BrokenAnswer where a network's raw output holds infinity or what is no number."""
    broken = int(np.count_nonzero(~np.isfinite(raw)))
    if broken:
        raise BrokenAnswer(f"the network's answer: expected {raw.size} finite numbers, got {broken} that are not")


def _of_one(raw: NDArray[np.float32], prepared: ModelInput, nms_iou: float) -> Detections:
    score = raw[4:].max(axis=0).astype(np.float64)
    label = raw[4:].argmax(axis=0)
    keep = score >= SCORE_FLOOR
    centre, size = raw[:2, keep].T.astype(np.float64), raw[2:4, keep].T.astype(np.float64)
    score, label = np.clip(score[keep], 0.0, 1.0), label[keep].astype(np.int64)
    film = prepared.from_film.back(np.hstack([centre - size / 2, centre + size / 2]))
    film = box_math.clip(film, prepared.film_px)
    # Boxes of different classes do not compete: shifting each class apart keeps one suppression for all.
    apart = film + (label * 2.0 * max(prepared.film_px))[:, None]
    kept = box_math.nms(apart, score, nms_iou, MAX_DETECTIONS)
    return Detections(film[kept], score[kept], label[kept])
