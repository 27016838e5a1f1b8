"""Boxes onto a film, so that a person sees at a glance what the machine saw and how sure it was.

A solid box is definite, a dashed one suspicious, a grey dotted one neither: below both thresholds, or on a film outside
the intended use. The picture has the boxes of the answer, and its headline. Every picture says that it is not a
diagnosis.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from fracture.clinical.status import Certainty, Said, Status, Thresholds
from fracture.core.types import Detections

Pixels = NDArray[np.uint8]

_SURE = (64, 184, 255)  # RGB; light blue stands out from grey and is seen by colour-blind readers
_UNSURE = (255, 196, 61)
_UNRATED = (195, 204, 212)
_BAR = (18, 22, 28)
_TEXT = (235, 238, 242)
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_MIN_SIDE_PX = 900
_DASH_PX = 10
_LOOKS: dict[Certainty | None, tuple[tuple[int, int, int], int | None]] = {
    "definite": (_SURE, None),
    "suspicious": (_UNSURE, _DASH_PX),
    None: (_UNRATED, 2),
}
"""Colour and length of a dash in pixels, None for a solid line, by certainty."""

_LOOKS_IN_WORDS: dict[Certainty | None, str] = {
    "definite": "solid: definite",
    "suspicious": "dashed: suspicious",
    None: "dotted: not rated",
}
HEADLINES = {
    Status.FRACTURE: "Fracture suspected",
    Status.DOUBT: "In doubt",
    Status.NO_FRACTURE: "No box reaches a threshold",  # and never that there is no fracture
    Status.OUTSIDE: "Outside the intended use",
}
NOT_A_DEVICE = "Not a medical device. Not a diagnosis. Research and education only."


def overlay(
    film: NDArray[np.uint8],
    detections: Detections,
    said: Said,
    shown_from: float,
    thresholds: Thresholds | None,
    title: str = "",
) -> Pixels:
    """Draw the boxes that an answer has, in pixels of ``film``, (H, W) uint8; give (h, w, 3) uint8 RGB.

    ``said`` is what `fracture.clinical.status` says of the film, by ``shown_from`` and ``thresholds``, which the legend
    names.
    Small films are enlarged.
    """
    height, width = film.shape
    scale = max(1.0, _MIN_SIDE_PX / max(height, width))
    size = (round(width * scale), round(height * scale))
    canvas = cv2.cvtColor(cv2.resize(film, size, interpolation=cv2.INTER_CUBIC), cv2.COLOR_GRAY2RGB)
    shown = detections.first(said.shown)
    line = max(2, round(max(size) / 450))
    # The best box goes on last, so that nothing covers it.
    for box, score, certainty in reversed(list(zip(shown.xyxy * scale, shown.score, said.certainty, strict=True))):
        x0, y0, x1, y1 = (round(edge) for edge in box.tolist())
        colour, dash_px = _LOOKS[certainty]
        if dash_px is None:
            cv2.rectangle(canvas, (x0, y0), (x1, y1), colour, line, cv2.LINE_AA)
        else:
            _dashed(canvas, (x0, y0, x1, y1), colour, line, dash_px)
        _tag(canvas, f"{score:.0%}", (x0, y0, y1), colour)
    bar = _legend(canvas.shape[1], _words(said, shown, shown_from, thresholds, title))
    return np.asarray(np.vstack([canvas, bar]), dtype=np.uint8)


PICTURES = (".png", ".jpg", ".jpeg")
"""Endings of a picture's name; each says its format."""


def encode_png(pixels: Pixels) -> bytes:
    """Give (h, w, 3) RGB pixels as PNG."""
    return encode(pixels, ".png")


def encode(pixels: Pixels, ending: str) -> bytes:
    """Give (h, w, 3) RGB pixels as a file of the format that one of `PICTURES` says."""
    return bytes(cv2.imencode(ending, cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))[1])


def _dashed(
    canvas: Pixels, box: tuple[int, int, int, int], colour: tuple[int, int, int], line: int, dash_px: int
) -> None:
    x0, y0, x1, y1 = box
    for start in range(x0, x1, dash_px + _DASH_PX):
        for y in (y0, y1):
            cv2.line(canvas, (start, y), (min(start + dash_px, x1), y), colour, line, cv2.LINE_AA)
    for start in range(y0, y1, dash_px + _DASH_PX):
        for x in (x0, x1):
            cv2.line(canvas, (x, start), (x, min(start + dash_px, y1)), colour, line, cv2.LINE_AA)


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


def _words(
    said: Said, shown: Detections, shown_from: float, thresholds: Thresholds | None, title: str
) -> tuple[str, str, str]:
    """Say what the film was found to be, what the lines mean, and what the picture is not."""
    count = f"{len(shown)} area{'' if len(shown) == 1 else 's'} marked" if len(shown) else "No area marked"
    found = f"{HEADLINES[said.status]}: {count[0].lower()}{count[1:]}" if said.status else count
    meaning = []
    for look, text in _LOOKS_IN_WORDS.items():
        if look in said.certainty:
            least = None if thresholds is None or look is None else thresholds.least(look)
            meaning.append(text if least is None else f"{text}, score {least:.0%} or more")
    if len(shown):
        besides = shown.score[0] < shown_from
        which = "best box" if said.deciding_box is None else "box that decided"
        meaning.append(f"shown from {shown_from:.0%} on" + (f", and the {which}" if besides else ""))
    elif said.status is not Status.OUTSIDE:
        meaning.append("This does not rule out a fracture.")
    return f"{found}{' - ' + title if title else ''}", "    ".join(meaning), NOT_A_DEVICE


def _legend(width: int, lines: Sequence[str]) -> Pixels:
    bar = np.full((24 * len(lines) + 16, width, 3), _BAR, np.uint8)
    for row, text in enumerate(lines):
        scale = 0.55
        while scale > 0.3 and cv2.getTextSize(text, _FONT, scale, 1)[0][0] > width - 20:
            scale -= 0.05
        cv2.putText(bar, text, (10, 24 * row + 26), _FONT, scale, _TEXT, 1, cv2.LINE_AA)
    return bar
