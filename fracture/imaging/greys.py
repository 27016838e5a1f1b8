"""Which greys of a film are the film's own: lead markers, burned-in text, padding and hot pixels are left out.

Many files do not say where a film's greys begin and end, and one bright marker or one padded border would decide it
for the whole film. So the range is measured on the pixels that can be anatomy.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

TAIL = 0.001
"""The share of a film's pixels that may lie below its range, and above it."""

FEW_LEVELS = 64
"""A film with fewer levels of grey is too flat to be read. Of 1,000 films of three sources none has fewer than 89."""

LOW_CONTRAST, ASSUMED_RANGE = "low_contrast", "assumed_range"
"""Flags: a film of few levels, and one whose range no header states."""

_DECODED_TAIL = TAIL / 10
"""The share that decoding may cut off: too small to change a range that is measured afterwards."""

_SAMPLE = 1 << 16
_GLANCE = 1 << 12
"""For nearly every film so many pixels suffice to see that it has enough levels."""
_PICTURE = 64 * 64
"""Of a film of fewer pixels every pixel counts, or too few would be left."""

_BODY = (0.02, 0.98)
_REACH = 4.0
"""How far beyond its body, the span of the middle 96 % of its pixels, a film may go, in such spans.

Of 1,000 films of three sources the furthest goes to 3.1. What lies further out is a marker of another scale.
"""


def film_range(
    pixels: NDArray[Any], tail: float = TAIL, absent: NDArray[np.bool_] | None = None
) -> tuple[float, float]:
    """Give the lowest and the highest grey of the film in (H, W) values; they are equal where there is no picture.

    Left out are pixels that ``absent`` marks, that are not finite, or that equal their neighbours to the right and
    below or to the left and above (padding, collimation, solid markers, air burnt to black); then what is far out; then
    a share ``tail`` on either side.
    """
    film = _film(pixels, absent)
    return (float(film[0]), float(film[-1])) if tail == 0 else (_at(film, tail), _at(film, 1 - tail))


def too_flat(pixels: NDArray[Any]) -> bool:
    """Tell whether (H, W) values have too few different greys within their range to be read, a blank film among them.

    A film of a few hundred pixels cannot have ``FEW_LEVELS``; there a sixteenth as many levels as pixels suffice.
    """
    glance = _film(pixels, None, _GLANCE)
    if _levels(glance, 10 * TAIL) >= FEW_LEVELS:
        return False
    film = _film(pixels, None)
    return _levels(film, TAIL) < min(FEW_LEVELS, len(film) // 16)


def unstated(values: NDArray[Any], absent: NDArray[np.bool_] | None = None) -> NDArray[np.float32]:
    """Give (H, W) greys in [0, 1] of values whose range no header states; black where there is no picture.

    The caller flags the film ``assumed_range``, or says more exactly what was not stated.
    """
    low, high = film_range(values, _DECODED_TAIL, absent)
    if not high > low:
        return np.zeros(values.shape, np.float32)
    # Subtract in double precision: single cannot tell all values of 32 bits apart.
    greys = (
        (values - low) / (high - low)
        if values.dtype == np.float32
        else (values.astype(np.float64) - low) / (high - low)
    )
    return np.clip(np.nan_to_num(greys, nan=0.0), 0, 1).astype(np.float32, copy=False)


def _at(film: NDArray[Any], share: float) -> float:
    return float(film[min(len(film) - 1, math.floor(share * len(film)))])


def _levels(film: NDArray[Any], tail: float) -> int:
    """Count the different values among sorted ones, a share ``tail`` on either side left out."""
    inside = film[np.searchsorted(film, _at(film, tail)) : np.searchsorted(film, _at(film, 1 - tail), side="right")]
    return 1 + int(np.count_nonzero(np.diff(inside)))


def _film(pixels: NDArray[Any], absent: NDArray[np.bool_] | None, most: int = _SAMPLE) -> NDArray[Any]:
    """Give the values of the film's pixels, sorted: all of a small film, about ``most`` on a grid of a large one."""
    height, width = pixels.shape
    step = max(1, math.ceil(math.sqrt(height * width / most)))
    inner = min(height, width) > 2 and height * width >= _PICTURE
    edge = 1 if inner else 0

    def moved(by_rows: int, by_columns: int, of: NDArray[Any] = pixels) -> NDArray[Any]:
        rows = slice(edge + by_rows, height - edge + by_rows, step)
        return of[rows, edge + by_columns : width - edge + by_columns : step]

    here = moved(0, 0)
    present = np.ones(here.shape, bool) if absent is None else ~moved(0, 0, absent)
    if here.dtype.kind == "f":
        present &= np.isfinite(here)
    if inner:
        ends = (here != moved(0, 1)) | (here != moved(1, 0))
        begins = (here != moved(0, -1)) | (here != moved(-1, 0))
        if (ends & begins & present).any():
            present &= ends & begins
    film = np.sort(here[present])
    if not film.size:
        return np.zeros(1, pixels.dtype)
    low, high = _at(film, _BODY[0]), _at(film, _BODY[1])
    reach = _REACH * (high - low)
    if reach <= 0:
        return film
    return film[np.searchsorted(film, high - reach) : np.searchsorted(film, low + reach, side="right")]
