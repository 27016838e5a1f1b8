"""One look at every film: its thumbnail, and what else is seen at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from fracture.core.errors import FractureError
from fracture.core.types import HarmoniseConfig
from fracture.data.duplicates.terms import Images
from fracture.data.workers import film_map, read_film
from fracture.imaging.harmonise import harmonise

THUMBNAIL_PX = 64
_LEAST_DEVIATION = 1e-2
"""In grey levels. A film that deviates less shows nothing."""
_WHITE, _REPEATED, _JPEG_PX = 254 / 255, 0.9, 16

DEFAULT = HarmoniseConfig(range_tail=None)
"""How a film that is not harmonised yet is made comparable. The thresholds of `search` were measured with it."""


@dataclass(frozen=True)
class Look:
    """What one look at a film tells besides its thumbnail. ``problem`` says why a film cannot be read.

    ``deviation`` of the decoded pixels, the ``white`` share of those at the top of the range and the share of rows in
    which one block is ``repeated`` from side to side are in [0, 1].
    """

    size_px: tuple[int, int] = (0, 0)
    flags: frozenset[str] = frozenset()
    deviation: float = 0.0
    white: float = 0.0
    repeated: float = 0.0
    problem: str | None = None


def look(file: Path, config: HarmoniseConfig) -> tuple[Images, Look]:
    """Look at one film and give its `thumbnail`, all 0 where the film cannot be read.

    A harmonised film is taken as it is; any other is harmonised first.
    """
    try:
        film = read_film(file)
        grey = film.pixels * 255 if film.harmonise_id else harmonise(film, config).pixels.astype(np.float32)
    except FractureError as error:
        return _unseen(file, str(error))
    deviation, white = float(film.pixels.std()), float((film.pixels >= _WHITE).mean())
    return thumbnail(grey), Look(film.size_px, film.flags, deviation, white, _repeated(film.pixels))


def thumbnail(grey: NDArray[np.float32]) -> Images:
    """Shrink greys (H, W) in [0, 255] to a thumbnail (64, 64): mean 0, deviation 1, all 0 where they show nothing."""
    small = cv2.resize(grey, (THUMBNAIL_PX, THUMBNAIL_PX), interpolation=cv2.INTER_AREA)
    found: Images = standardise(small[None])[0]
    return found


def _unseen(_: Path, reason: str) -> tuple[Images, Look]:
    return np.zeros((THUMBNAIL_PX, THUMBNAIL_PX), np.float16), Look(problem=reason)


def look_at(files: Sequence[Path], config: HarmoniseConfig = DEFAULT) -> tuple[Images, list[Look]]:
    """Look at films in parallel: their thumbnails (N, 64, 64) and what else was seen, in the films' order."""
    thumbnails = np.zeros((len(files), THUMBNAIL_PX, THUMBNAIL_PX), np.float16)
    looks: list[Look] = []
    seen = film_map(partial(look, config=config), files, _unseen)
    for index, (small, what) in enumerate(tqdm(seen, total=len(files), desc="look", unit="film")):
        thumbnails[index] = small
        looks.append(what)
    return thumbnails, looks


def _repeated(pixels: NDArray[np.float32]) -> float:
    """Give the share of rows in which one JPEG block, not even, repeats: a file that lost its end unnoticed."""
    rows, columns = (length // _JPEG_PX for length in pixels.shape)
    if rows < 1 or columns < _JPEG_PX // 4:
        return 0.0
    blocks = pixels[: rows * _JPEG_PX, : columns * _JPEG_PX].reshape(rows, _JPEG_PX, columns, _JPEG_PX)
    same = (blocks[:, :, 1:] == blocks[:, :, :-1]).all(axis=(1, 3)) & (np.ptp(blocks[:, :, 1:], axis=(1, 3)) > 0)
    return float((same.mean(axis=1) > _REPEATED).mean())


def standardise(images: NDArray[Any], least: float = _LEAST_DEVIATION) -> Images:
    """Bring each of (N, H, W) to mean 0 and deviation 1, so that a mean of products is a correlation; all 0 if flat."""
    centred = images.astype(np.float32) - images.mean(axis=(1, 2), keepdims=True, dtype=np.float32)
    deviation = centred.std(axis=(1, 2), keepdims=True)
    return np.where(deviation > least, centred / np.maximum(deviation, least), 0).astype(np.float16)
