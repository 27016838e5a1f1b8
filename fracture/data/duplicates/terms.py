"""Thumbnails as their lowest cosine terms, and the eight orientations of a film."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dctn

LOW = 16
"""So many cosine terms of a thumbnail are kept along each side."""

_BLOCK = 4096

Images = NDArray[np.float16]
Terms = NDArray[np.float32]


@dataclass(frozen=True)
class Orientation:
    """One of the eight ways to lay a film down: rows and columns swapped or not, then each reversed or not."""

    name: str
    swap: bool
    rows: bool
    columns: bool

    def of_pixels(self, images: Images) -> Images:
        """Turn images (N, H, W)."""
        turned = images.swapaxes(1, 2) if self.swap else images
        return turned[:, :: -1 if self.rows else 1, :: -1 if self.columns else 1]

    def of_terms(self, low: Terms) -> Terms:
        """Turn images given by their cosine terms (N, k, k): reversing an axis changes the sign of its odd terms."""
        turned = low.swapaxes(1, 2) if self.swap else low
        odd = np.where(np.arange(low.shape[1]) % 2, -1, 1).astype(np.float32)
        return turned * (odd[:, None] if self.rows else 1) * (odd if self.columns else 1)


AS_IS = Orientation("as is", swap=False, rows=False, columns=False)
ORIENTATIONS = (
    AS_IS,
    Orientation("rotated 90", swap=True, rows=False, columns=True),
    Orientation("rotated 180", swap=False, rows=True, columns=True),
    Orientation("rotated 270", swap=True, rows=True, columns=False),
    Orientation("mirrored", swap=False, rows=False, columns=True),
    Orientation("mirrored and rotated 90", swap=True, rows=True, columns=True),
    Orientation("mirrored and rotated 180", swap=False, rows=True, columns=False),
    Orientation("mirrored and rotated 270", swap=True, rows=False, columns=False),
)
"""Turns are clockwise, after mirroring left to right."""

BACK = {"rotated 90": "rotated 270", "rotated 270": "rotated 90"}
"""What undoes an orientation. Those that are not listed undo themselves."""


def low_terms(images: Images) -> Terms:
    """Give the lowest terms (N, 16, 16) of each image's orthonormal cosine transform, the image's length being 1."""
    terms = dctn(images.astype(np.float32), axes=(1, 2), norm="ortho")[:, :LOW, :LOW]
    return np.asarray(terms / math.sqrt(images[0].size), dtype=np.float32)


def parts(length: int) -> Iterator[slice]:
    """Cut many films into parts that are small in memory."""
    return (slice(start, start + _BLOCK) for start in range(0, length, _BLOCK))
