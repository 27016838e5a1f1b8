"""What a raster file stores, at its full depth: channels, and the one value a pixel that is made of them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Channel = NDArray[Any]
"""(H, W), integers or floats of any width, as the file has them."""

_BLOCK_ROWS = 256
_WEIGHTS = (19595, 38470, 7471)
"""Of red, green and blue, in 65,536ths."""


@dataclass(frozen=True)
class Native:
    """One film as its file stores it.

    ``values`` is (H, W), for colour its luma. ``top`` is the value of white where the file states it. ``absent`` marks
    what the file says is transparent. ``orientation`` is the EXIF tag's.
    """

    values: Channel
    top: int | None
    absent: NDArray[np.bool_] | None = None
    white_is_zero: bool = False
    colour: bool = False
    orientation: int = 1


def luma(red: Channel, green: Channel, blue: Channel) -> Channel:
    """Weigh the colours by ITU-R 601 in fixed point, to the bit as Pillow does for 8 bits; the identity on greys."""
    if red.dtype.kind == "f":
        return _in_blocks(lambda r, g, b: 0.299 * r + 0.587 * g + 0.114 * b, red, green, blue)
    wide = np.uint32 if red.dtype.itemsize <= 2 else np.uint64

    def weigh(*colours: Channel) -> Channel:
        parts = [np.multiply(one, weight, dtype=wide) for one, weight in zip(colours, _WEIGHTS, strict=True)]
        return np.asarray(np.right_shift(parts[0] + parts[1] + parts[2] + wide(0x8000), 16))

    return _in_blocks(weigh, red, green, blue)


def over_black(channel: Channel, alpha: Channel, top: int) -> Channel:
    """Lay a channel over black, the film's air. Both are unsigned integers up to ``top``."""
    return _in_blocks(lambda value, share: _product(value, share, top), channel, alpha)


def from_ink(ink: Channel, black: Channel, top: int) -> Channel:
    """Turn cyan, magenta or yellow into red, green or blue: what the ink and the black leave of white."""
    return _in_blocks(lambda ink, black: (top - black) - _product(ink, top - black, top), ink, black)


def _product(one: Channel, other: Channel, top: int) -> Channel:
    wide = np.uint32 if top < 1 << 16 else np.uint64
    return np.asarray((one.astype(wide) * other.astype(wide) + wide(top // 2)) // wide(top))


def _in_blocks(formula: Callable[..., Channel], *channels: Channel) -> Channel:
    """Work through a few rows at a time: all at once, the wider numbers would take four times the film's memory."""
    result = np.empty(channels[0].shape, channels[0].dtype)
    for start in range(0, len(result), _BLOCK_ROWS):
        rows = slice(start, start + _BLOCK_ROWS)
        result[rows] = formula(*(channel[rows] for channel in channels))
    return result
