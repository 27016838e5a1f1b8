"""The worst films as pictures: what a person drew, what the model marked, and what it almost marked."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fracture.clinical.status import Said
from fracture.core.errors import FractureError
from fracture.core.page import film_svg
from fracture.core.types import Box, Detections
from fracture.data.workers import read_film

_LONG_SIDE_PX, _QUALITY = 480, 80
_TRUTH, _SURE, _UNSURE, _UNRATED = "#00d69a", "#40b8ff", "#ffc43d", "#c3ccd4"
_LOOKS = {
    "definite": (_SURE, 'stroke-width="2"'),
    "suspicious": (_UNSURE, 'stroke-width="2" stroke-dasharray="7 5"'),
    None: (_UNRATED, 'stroke-width="2" stroke-dasharray="2 5"'),
}
_BELOW = (_UNSURE, 'stroke-width="2" stroke-dasharray="1.5 4" opacity="0.7"')


@dataclass(frozen=True)
class Shown:
    """A film's file, and what is drawn over it as `picture` takes it."""

    file: Path
    truth: Sequence[Box]
    detections: Detections
    said: Said


def picture_of(film: Shown) -> str:
    """Give the picture of a film in a file, nothing where it cannot be read: work for `film_map`."""
    try:
        pixels = read_film(film.file).pixels
    except FractureError:
        return ""
    return picture(pixels, film.truth, film.detections, film.said)


def picture(pixels: NDArray[np.float32], truth: Sequence[Box], detections: Detections, said: Said) -> str:
    """Draw a film, (H, W) in [0, 1], with a person's and the model's boxes as inline SVG.

    Solid, dashed and grey mean what they mean in ``render``: the boxes are those of the answer. Of the others the
    best one alone is there, dotted and faint.
    """
    film_px = (pixels.shape[1], pixels.shape[0])
    over = [_drawn(box, "drawn", _TRUTH, 'stroke-width="1.5"', film_px, under=True) for box in truth]
    # The best box goes on last, so that nothing covers it.
    looks = [*(_LOOKS[certainty] for certainty in said.certainty), _BELOW][: len(detections)]
    for index, (colour, line) in reversed(list(enumerate(looks))):
        x0, y0, x1, y1 = detections.xyxy[index].tolist()
        score = float(detections.score[index])
        over.append(_drawn((x0, y0, x1, y1), f"{score:.3f}", colour, line, film_px))
    return film_svg(pixels, _LONG_SIDE_PX, _QUALITY, f"film with {len(truth)} drawn boxes", "".join(over))


def _drawn(box: Box, label: str, colour: str, line: str, film_px: tuple[int, int], *, under: bool = False) -> str:
    """Draw a box and its label, above it or under it, on the film wherever the box is."""
    x0, y0, x1, y1 = box
    width, height = film_px
    letter = width / 20
    above, below = y0 - letter / 3, y1 + letter
    y = (below if below < height else above) if under else (above if above > letter else below)
    y = min(max(y, letter), height - letter / 3)
    x = max(0.0, min(x0, width - 0.62 * letter * len(label)))
    return (
        f'<rect x="{x0:.1f}" y="{y0:.1f}" width="{x1 - x0:.1f}" height="{y1 - y0:.1f}" fill="none" stroke="{colour}" '
        f'{line} vector-effect="non-scaling-stroke"/><text x="{x:.1f}" y="{y:.1f}" fill="{colour}" '
        f'font-size="{letter:.1f}" stroke="#000" stroke-width="{letter / 7:.1f}" paint-order="stroke">{label}</text>'
    )
