"""Boxes onto a film, so that a person sees at a glance what the machine saw and how sure it was.

A solid box has a score at or above the high-specificity threshold, a dashed one at or above the high-sensitivity
threshold only; nothing is drawn below. Every picture says that it is not a diagnosis.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from fracture.types import Detections

Pixels = NDArray[np.uint8]

_SURE = (64, 184, 255)  # RGB; light blue stands out from grey and is seen by colour-blind readers
_UNSURE = (255, 196, 61)
_BAR = (18, 22, 28)
_TEXT = (235, 238, 242)
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_MIN_SIDE_PX = 900
_DASH_PX = 10
NOT_A_DEVICE = "Not a medical device. Not a diagnosis. Research and education only."


@dataclass(frozen=True)
class Marks:
    """From which score a box is drawn dashed, and from which solid."""

    dashed: float
    solid: float


def overlay(film: NDArray[np.uint8], detections: Detections, marks: Marks, title: str = "") -> Pixels:
    """Draw detections, in pixels of ``film``, (H, W) uint8, on it; give (h, w, 3) uint8 RGB, enlarged if small."""
    height, width = film.shape
    scale = max(1.0, _MIN_SIDE_PX / max(height, width))
    size = (round(width * scale), round(height * scale))
    canvas = cv2.cvtColor(cv2.resize(film, size, interpolation=cv2.INTER_CUBIC), cv2.COLOR_GRAY2RGB)
    lowest = min(marks.dashed, marks.solid)
    shown = detections.above(lowest)
    line = max(2, round(max(size) / 450))
    # The best box goes on last, so that nothing covers it.
    for box, score in reversed(list(zip(shown.xyxy * scale, shown.score, strict=True))):
        x0, y0, x1, y1 = (round(edge) for edge in box.tolist())
        sure = bool(score >= marks.solid)
        colour = _SURE if sure else _UNSURE
        if sure:
            cv2.rectangle(canvas, (x0, y0), (x1, y1), colour, line, cv2.LINE_AA)
        else:
            _dashed(canvas, (x0, y0, x1, y1), colour, line)
        _tag(canvas, f"{score:.0%}", (x0, y0, y1), colour)
    return np.asarray(np.vstack([canvas, _legend(canvas.shape[1], len(shown), marks, title)]), dtype=np.uint8)


def encode_png(pixels: Pixels) -> bytes:
    """Give (h, w, 3) RGB pixels as PNG."""
    return bytes(cv2.imencode(".png", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))[1])


def _dashed(canvas: Pixels, box: tuple[int, int, int, int], colour: tuple[int, int, int], line: int) -> None:
    x0, y0, x1, y1 = box
    for start in range(x0, x1, 2 * _DASH_PX):
        for y in (y0, y1):
            cv2.line(canvas, (start, y), (min(start + _DASH_PX, x1), y), colour, line, cv2.LINE_AA)
    for start in range(y0, y1, 2 * _DASH_PX):
        for x in (x0, x1):
            cv2.line(canvas, (x, start), (x, min(start + _DASH_PX, y1)), colour, line, cv2.LINE_AA)


def _tag(canvas: Pixels, text: str, place: tuple[int, int, int], colour: tuple[int, int, int]) -> None:
    """Write the score above the box, or below where the film's edge is near."""
    x0, y0, y1 = place
    (width, height), _ = cv2.getTextSize(text, _FONT, 0.6, 2)
    top = y0 - height - 10
    if top < 0:
        top = y1 + 4
    left = max(0, min(x0, canvas.shape[1] - width - 8))
    cv2.rectangle(canvas, (left, top), (left + width + 8, top + height + 8), colour, -1)
    cv2.putText(canvas, text, (left + 4, top + height + 3), _FONT, 0.6, _BAR, 2, cv2.LINE_AA)


def _legend(width: int, count: int, marks: Marks, title: str) -> Pixels:
    found = f"{count} suspicious area{'' if count == 1 else 's'} marked" if count else "No area marked"
    lines = [f"{found}{' - ' + title if title else ''}"]
    lines += [f"solid: score {marks.solid:.0%} or more    dashed: {marks.dashed:.0%} or more", NOT_A_DEVICE]
    if not count:
        lines[1] = "This does not rule out a fracture."
    bar = np.full((24 * len(lines) + 16, width, 3), _BAR, np.uint8)
    for row, text in enumerate(lines):
        scale = 0.55
        while scale > 0.3 and cv2.getTextSize(text, _FONT, scale, 1)[0][0] > width - 20:
            scale -= 0.05
        cv2.putText(bar, text, (10, 24 * row + 26), _FONT, scale, _TEXT, 1, cv2.LINE_AA)
    return bar
