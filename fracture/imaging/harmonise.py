"""Radiograph to the pixels a network sees. The only preprocessing: training and serving both use it.

Two steps, each with an exact map between pixel frames:

1. `harmonise`: stretch the film's own range of greys to black and white, even out local contrast (CLAHE), shrink with
   the sides in proportion. Datasets store this.
2. `network_pixels`: resize to the network's scale, grey to three channels, pad. A network gets this.
"""

import math
import struct

import cv2
import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

from fracture.core.errors import BadValue
from fracture.core.types import FrameMap, HarmoniseConfig, ModelInput, Radiograph
from fracture.imaging.greys import film_range
from fracture.imaging.raster import HARMONISE_KEY

PAD_VALUE = 114
"""The grey that YOLO pads with. A network's card names the one that it was trained with."""

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_FILTER_UP = 2


def harmonise(film: Radiograph, config: HarmoniseConfig) -> ModelInput:
    """Prepare a film: its range, CLAHE at its own resolution, then shrink its long side to the cap. Never enlarges.

    The range is stretched before the greys are rounded to 8 bits. So a film that uses a sixteenth of its bits keeps its
    levels, and films of hospitals that expose or window differently look more alike.

    A film that the same configuration has already prepared passes through unchanged, so a harmonised dataset and the
    files it came from give the same pixels. Raises BadValue for a film that another configuration has prepared, since
    contrast cannot be undone.
    """
    if film.harmonise_id is not None:
        if film.harmonise_id != config.harmonise_id:
            raise BadValue(
                f"the film was harmonised as {film.harmonise_id}, expected {config.harmonise_id} or an original film"
            )
        return ModelInput(to_grey(film), film.size_px, FrameMap(), config.harmonise_id)
    grey = to_grey(film) if config.range_tail is None else _stretched(film, config.range_tail)
    if config.clahe_clip > 0:
        grid = (config.clahe_grid, config.clahe_grid)
        grey = cv2.createCLAHE(clipLimit=config.clahe_clip, tileGridSize=grid).apply(grey)
    width, height = film.size_px
    scale = min(1.0, config.long_side_px / max(width, height))
    pixels = _resize(grey, scale)
    return ModelInput(pixels, film.size_px, _map_between(grey, pixels), config.harmonise_id)


def to_grey(film: Radiograph) -> NDArray[np.uint8]:
    """Give a film in 8 bits, (H, W), as it is shown and harmonised."""
    return np.asarray(cv2.convertScaleAbs(film.pixels, alpha=255), dtype=np.uint8)  # rounds half to even, as np.rint


def _stretched(film: Radiograph, tail: float) -> NDArray[np.uint8]:
    """Give a film in 8 bits, its range from black to white; a film that shows nothing stays as it is."""
    low, high = film_range(film.pixels, tail)
    if not high > low:
        return to_grey(film)
    gain = 255 / (high - low)
    # This function of OpenCV alone scales, shifts, rounds and clips to 0..255 in a single pass.
    stretched = cv2.addWeighted(film.pixels, gain, film.pixels, 0, -low * gain, dtype=cv2.CV_8U)
    return np.asarray(stretched, dtype=np.uint8)


def network_pixels(
    film: ModelInput, long_side_px: int, *, stride: int | None = 32, pad_value: int = PAD_VALUE
) -> ModelInput:
    """Make the (H, W, 3) uint8 pixels that a network gets, the long side scaled to ``long_side_px``.

    With a ``stride`` the film is centred on padding of ``pad_value`` so that both sides are multiples of it; with None
    it is not padded, as training wants it (there the batch decides the padding).
    """
    height, width = film.pixels.shape[:2]
    resized = _resize(film.pixels, long_side_px / max(width, height))
    grow = _map_between(film.pixels, resized)
    left = top = 0
    if stride is not None:
        new_height, new_width = resized.shape
        extra_x, extra_y = -new_width % stride, -new_height % stride
        left, top = extra_x // 2, extra_y // 2
        resized = cv2.copyMakeBorder(
            resized, top, extra_y - top, left, extra_x - left, cv2.BORDER_CONSTANT, value=(pad_value,)
        )
    pixels = np.asarray(cv2.cvtColor(resized, cv2.COLOR_GRAY2RGB), dtype=np.uint8)
    shift = FrameMap(shift_x=float(left), shift_y=float(top))
    return ModelInput(pixels, film.film_px, film.from_film.then(grow).then(shift), film.harmonise_id)


def encode_png(film: ModelInput) -> bytes:
    """Write a harmonised film as a lossless grey PNG that names its configuration (PNG 1.2, sections 3 and 4).

    Thousands of films are written at a time, and libpng would spend a quarter of the whole work on it. ISA-L deflates
    three times as fast, 10 % larger; each row is stored as its difference from the one above.
    """
    pixels = film.pixels
    height, width = pixels.shape
    rows = np.empty((height, width + 1), np.uint8)
    rows[:, 0] = _FILTER_UP
    rows[0, 1:] = pixels[0]
    np.subtract(pixels[1:], pixels[:-1], out=rows[1:, 1:])
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)  # 8 bits, grey, not interlaced
    text = f"{HARMONISE_KEY}\0{film.harmonise_id}".encode("latin-1")
    chunks = ((b"IHDR", header), (b"tEXt", text), (b"IDAT", isal_zlib.compress(rows, 1)), (b"IEND", b""))
    return _PNG_SIGNATURE + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", isal_zlib.crc32(data, isal_zlib.crc32(kind)))
        for kind, data in chunks
    )


def _resize(grey: NDArray[np.uint8], scale: float) -> NDArray[np.uint8]:
    height, width = grey.shape
    size = (max(1, math.floor(width * scale + 0.5)), max(1, math.floor(height * scale + 0.5)))
    if size == (width, height):
        return grey
    # Shrink by area averages: a bilinear shrink skips rows, and a hairline fracture is a row wide.
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(grey, size, interpolation=way), dtype=np.uint8)


def _map_between(before: NDArray[np.uint8], after: NDArray[np.uint8]) -> FrameMap:
    return FrameMap(after.shape[1] / before.shape[1], after.shape[0] / before.shape[0])
