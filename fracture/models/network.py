"""The contract between a network and whoever runs it: pixels in, candidates out. Every architecture keeps it.

In: one film as `fracture.imaging.harmonise.network_pixels` makes it, (H, W, 3) uint8, its long side scaled to the
card's ``long_side_px`` and padded with the card's ``pad_value`` to a multiple of its ``stride``. The exported file
takes (1, 3, H, W) float32, those pixels divided by the card's ``divisor``; what else a network needs, such as a mean
taken away, is part of its file.

Out: (4 + classes, candidates) float32. Rows 0 to 3 are centre x, centre y, width and height in the pixels that went
in, padding included; each row behind them holds one class's scores, 0 to 1. The number of candidates is bounded
and may differ between shapes. They are not suppressed: `detections_from` does that, with the card's ``nms_iou``.
A network that knows its scope answers with one more row, the last, which is the same in every column: see
`fracture.models.scope`. A file of several networks that are fed alike has their candidates side by side, and says in
its metadata how many they are (``members``). Nothing in an answer is infinite or not a number. Whoever reads checks all
of it by the card: a row too many would be read as another's, and the film get an answer all the same.
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

MEMBERS = "members"
"""The name in a file's metadata under which it says how many networks it holds; one, where it does not say."""

_ROUNDING = 0.01
"""How far a score may lie outside 0 to 1: computing in 8 bits or in bfloat16 rounds."""


class Network(Protocol):
    """A network as a Reader calls it: (H, W, 3) uint8 pixels to (4 + classes, candidates), or one row more."""

    name: str

    def __call__(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]: ...


def network_tensor(pixels: NDArray[np.uint8], divisor: float = DIVISOR) -> NDArray[np.float32]:
    """Give the (1, 3, H, W) float32 that a network takes: the pixels, divided."""
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)[None], dtype=np.float32) / np.float32(divisor)


def check_answer(raw: NDArray[np.float32], classes: int, members: int, *, scoped: bool) -> None:
    """Raise BrokenAnswer where an answer is not the one that a card with these numbers announces.

    ``scoped`` tells that the last row is the film's distance from the network's scope. That may be no number: a film so
    far off is outside.
    """
    rows = 4 + classes + scoped
    if raw.ndim != 2 or raw.shape[0] != rows or not raw.shape[1] or raw.shape[1] % members:
        each = f" of {members} networks" if members > 1 else ""
        scope = " and one for the scope" if scoped else ""
        raise BrokenAnswer(
            f"the network's answer: expected {rows} rows, 4 and {classes} for classes{scope}, of candidates{each}, "
            f"got {' x '.join(map(str, raw.shape))}"
        )
    check_numbers(raw[: 4 + classes])
    scores = raw[4 : 4 + classes]
    low, high = float(scores.min()), float(scores.max())
    if low < -_ROUNDING or high > 1 + _ROUNDING:
        raise BrokenAnswer(f"the network's answer: expected scores of 0 to 1, got {low:g} to {high:g}")
    if scoped and not np.allclose(raw[-1], raw[-1, 0], rtol=1e-3, equal_nan=True):
        raise BrokenAnswer("the network's answer: expected one distance from its scope in the last row, got several")


def detections_from(raw: NDArray[np.float32], prepared: ModelInput, nms_iou: float, members: int = 1) -> Detections:
    """Turn a network's raw (4 + classes, candidates) output into boxes on the decoded film, best first.

    Of several ``members`` the candidates stand side by side; each member's are suppressed alone, then all are fused.
    The answer is one that `check_answer` lets pass.
    """
    if members == 1:
        return _of_one(raw, prepared, nms_iou)
    each = [_of_one(part, prepared, nms_iou) for part in np.split(raw, members, axis=1)]
    fused = box_math.fuse(each)
    return Detections(fused.xyxy[:MAX_DETECTIONS], fused.score[:MAX_DETECTIONS], fused.label[:MAX_DETECTIONS])


def check_numbers(raw: NDArray[np.floating]) -> None:
    """Raise BrokenAnswer where a network's raw output holds infinity or what is no number.

    What compares with nothing would be dropped, and the film be normal.
    """
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
