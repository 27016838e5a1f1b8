"""Boxes onto a film, so that a person sees at a glance what the machine saw and how sure it was.

A solid box is definite, a dashed one suspicious, a grey dotted one neither: below both thresholds, or on a film outside
the intended use. The picture has the boxes of the answer, and its headline. Where several models are put on one film, a
line's colour and dashes say which model drew it, and nothing else. Every picture says that it is not a diagnosis.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle

import cv2
import numpy as np
from numpy.typing import NDArray

from fracture.clinical.status import Certainty, Said, Status, Thresholds
from fracture.core.errors import BadValue
from fracture.core.types import Detections, HeatMap, Prediction
from fracture.core.words import counted

Pixels = NDArray[np.uint8]

_SURE = (64, 184, 255)  # RGB; light blue stands out from grey and is seen by colour-blind readers
_UNSURE = (255, 196, 61)
_UNRATED = (195, 204, 212)
_BAR = (18, 22, 28)
_TEXT = (235, 238, 242)
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_MIN_SIDE_PX = 900
_FAINT_LOGITS = 4.0
"""What a place must add to be drawn at its brightest, where no other adds more."""

_COVER = 0.6
"""How much of the film the brightest place of a heat map hides."""


@dataclass(frozen=True)
class Look:
    """How a box is drawn: its colour in RGB, and its dashes and gaps in turn, in pixels; none for a solid line."""

    colour: tuple[int, int, int]
    dashes: tuple[int, ...] = ()


_LOOKS: dict[Certainty | None, Look] = {
    "definite": Look(_SURE),
    "suspicious": Look(_UNSURE, (10, 10)),
    None: Look(_UNRATED, (2, 10)),
}
"""By certainty."""

_PALETTE = ((86, 180, 233), (230, 159, 0), (204, 121, 167), (240, 228, 66), (213, 94, 0), (0, 158, 115))
"""Those of Okabe and Ito, which colour-blind readers tell apart, that stand out from a black film."""

_STYLES = ((), (10, 8), (3, 7), (12, 7, 3, 7))
MODEL_LOOKS = tuple(Look(_PALETTE[i % len(_PALETTE)], _STYLES[i % len(_STYLES)]) for i in range(12))
"""By a model's place among those on one film; the page has the same (service/viewer/looks.js)."""

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
    canvas, scale = _enlarged(film)
    shown = detections.first(said.shown)
    line = _line_px(canvas)
    # The best box goes on last, so that nothing covers it.
    for box, score, certainty in reversed(list(zip(shown.xyxy * scale, shown.score, said.certainty, strict=True))):
        x0, y0, x1, y1 = (round(edge) for edge in box.tolist())
        look = _LOOKS[certainty]
        _rectangle(canvas, (x0, y0, x1, y1), look, line)
        _tag(canvas, f"{score:.0%}", (x0, y0, y1), look.colour)
    bar = _legend(canvas.shape[1], _words(said, shown, shown_from, thresholds, title))
    return np.asarray(np.vstack([canvas, bar]), dtype=np.uint8)


@dataclass(frozen=True)
class Drawn:
    """What one of several models found on a film: its boxes, its own answer, and from which score boxes are shown."""

    name: str
    prediction: Prediction
    said: Said
    shown_from: float


def together(film: NDArray[np.uint8], models: Sequence[Drawn]) -> Pixels:
    """Draw the boxes of several models onto one film, each in its own look, as `overlay` draws those of one.

    Beside no box stands a word, so that all of the film is seen: the legend below names each model, and what it says
    of the film. Raises BadValue for more models than there are looks.
    """
    if len(models) > len(MODEL_LOOKS):
        raise BadValue(f"models: expected at most {len(MODEL_LOOKS)} on one film, got {len(models)}")
    canvas, scale = _enlarged(film)
    line = _line_px(canvas)
    both = list(zip(models, MODEL_LOOKS, strict=False))
    boxes = [
        ((x0, y0, x1, y1), look)
        for one, look in both
        for x0, y0, x1, y1 in np.rint(one.prediction.detections.first(one.said.shown).xyxy * scale).astype(int).tolist()
    ]
    for box, _ in boxes:
        _rectangle(canvas, box, Look(_BAR), line + 2)
    # The first model's line is solid: through the gaps of a later one it is seen where two boxes are the same.
    for box, look in boxes:
        _rectangle(canvas, box, look, line)
    lines = [_in_words(one) for one in models]
    bar = _legend(canvas.shape[1], [*lines, NOT_A_DEVICE], [look for _, look in both])
    return np.asarray(np.vstack([canvas, bar]), dtype=np.uint8)


def heated(film: NDArray[np.uint8], heat: HeatMap, lines: Sequence[str]) -> Pixels:
    """Lay a heat map onto ``film``, (H, W) uint8: the brighter, the more a place adds to the film's score.

    What takes away from it is not drawn. The brightest place is the strongest, but on a film where none is strong it
    stays faint. ``lines`` go into the legend below.
    """
    canvas, scale = _enlarged(film)
    share = np.clip(heat_on_film(heat, (canvas.shape[1], canvas.shape[0]), scale), 0, None)
    share /= max(_FAINT_LOGITS, float(share.max()))
    bright = cv2.applyColorMap((255 * share).astype(np.uint8), cv2.COLORMAP_INFERNO)[:, :, ::-1]
    cover = (_COVER * share)[:, :, None]
    mixed = (canvas * (1 - cover) + bright * cover).astype(np.uint8)
    bar = _legend(canvas.shape[1], [*lines, NOT_A_DEVICE])
    return np.asarray(np.vstack([mixed, bar]), dtype=np.uint8)


def heat_on_film(heat: HeatMap, size_px: tuple[int, int], scale: float = 1.0) -> NDArray[np.float32]:
    """Give a heat map's logits at every pixel of a film of (width, height) that was scaled by ``scale``, (H, W)."""
    across, down = heat.from_film.scale_x / scale, heat.from_film.scale_y / scale
    # A pixel and a place are both known by their middle.
    shift_x, shift_y = (across - 1) / 2 + heat.from_film.shift_x, (down - 1) / 2 + heat.from_film.shift_y
    matrix = np.array([[across, 0, shift_x], [0, down, shift_y]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(heat.values, matrix, size_px, flags=flags, borderMode=cv2.BORDER_REPLICATE))


def _in_words(one: Drawn) -> str:
    """Say what a model says of the film: how many boxes, the status, the score."""
    headline = HEADLINES[one.said.status] if one.said.status else "No status"
    shown = counted(one.said.shown, "box", "boxes")
    score = one.prediction.film_score.value
    return f"{one.name}: {shown} from {one.shown_from:.3f} on; {headline}; film score {score:.3f}"


def _enlarged(film: NDArray[np.uint8]) -> tuple[Pixels, float]:
    height, width = film.shape
    scale = max(1.0, _MIN_SIDE_PX / max(height, width))
    size = (round(width * scale), round(height * scale))
    return cv2.cvtColor(cv2.resize(film, size, interpolation=cv2.INTER_CUBIC), cv2.COLOR_GRAY2RGB), scale


def _line_px(canvas: Pixels) -> int:
    return max(2, round(float(max(canvas.shape[:2])) / 450))


PICTURES = (".png", ".jpg", ".jpeg")
"""Endings of a picture's name; each says its format."""


def encode_png(pixels: Pixels) -> bytes:
    """Give (h, w, 3) RGB pixels as PNG."""
    return encode(pixels, ".png")


def encode(pixels: Pixels, ending: str) -> bytes:
    """Give (h, w, 3) RGB pixels as a file of the format that one of `PICTURES` says."""
    return bytes(cv2.imencode(ending, cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))[1])


def _rectangle(canvas: Pixels, box: tuple[int, int, int, int], look: Look, line: int) -> None:
    x0, y0, x1, y1 = box
    if not look.dashes:
        cv2.rectangle(canvas, (x0, y0), (x1, y1), look.colour, line, cv2.LINE_AA)
        return
    for start, end in _dashes(x0, x1, look.dashes):
        for y in (y0, y1):
            cv2.line(canvas, (start, y), (end, y), look.colour, line, cv2.LINE_AA)
    for start, end in _dashes(y0, y1, look.dashes):
        for x in (x0, x1):
            cv2.line(canvas, (x, start), (x, end), look.colour, line, cv2.LINE_AA)


def _dashes(start: int, end: int, lengths: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Give the dashes of a line from ``start`` to ``end``; ``lengths`` are of a dash and the gap behind it, in turn."""
    for number, length in enumerate(cycle(lengths)):
        if start >= end:
            return
        if number % 2 == 0:
            yield start, min(start + length, end)
        start += length


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


def _legend(width: int, lines: Sequence[str], looks: Sequence[Look] = ()) -> Pixels:
    """Write lines below a film; before the first ones, a box of each of the ``looks``."""
    bar = np.full((24 * len(lines) + 16, width, 3), _BAR, np.uint8)
    for row, text in enumerate(lines):
        scale, left = 0.55, 10
        if row < len(looks):
            _rectangle(bar, (left, 24 * row + 12, left + 44, 24 * row + 27), looks[row], 2)
            left += 56
        while scale > 0.3 and cv2.getTextSize(text, _FONT, scale, 1)[0][0] > width - left - 10:
            scale -= 0.05
        cv2.putText(bar, text, (left, 24 * row + 26), _FONT, scale, _TEXT, 1, cv2.LINE_AA)
    return bar
