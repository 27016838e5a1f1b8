"""TIFF bytes to native values, page by page (TIFF 6.0 and BigTIFF): decoded exactly, or refused by what is not read.

This file says which pages are films; `directory` reads a page's tags, `layout` checks them, `pixels` decodes.
"""

import struct
from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fracture.core.errors import BrokenFilm, FractureError, NoPixels, TooCostly, UnsupportedFormat
from fracture.imaging.native import Native
from fracture.imaging.tiff.directory import Directory, Order, Tag, read_directory, unpack
from fracture.imaging.tiff.layout import BLACK_IS_ZERO, MASK
from fracture.imaging.tiff.pixels import read_page

SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

_MAX_LEFT_OUT = 1000
"""Of pages that are no films of their own. A pyramid has ten, and reading a page costs time."""
_MAX_COMPARED = 32
"""So many pages are compared with one another to find copies. A pyramid's pages are among the first."""
_SMALL_PX, _ALIKE = 16, 0.98
"""A page is a smaller copy where both pages, shrunk to so many pixels a side, correlate by more than that.

No two films of FracAtlas that belong to different groups do, in 2,056,581 pairs.
"""

_REDUCED_BIT, _MASK_BIT = 1, 4


def tiff_pages(data: bytes, max_pixels: int) -> Iterator[Native]:
    """Yield every page that is a film of its own: no smaller copy (thumbnail, level of a pyramid) and no mask.

    Such a page says so, or shows what a larger one of the same shape does. A lone page is a film whatever it calls
    itself. Raises the refusals of `fracture.imaging.decode.frames`.
    """
    every = _films(data)
    pages: list[Directory] = []
    trouble: FractureError | None = None
    try:
        for page in islice(every, _MAX_COMPARED):
            pages.append(page)  # noqa: PERF402 (those before a broken one are films)
    except FractureError as error:
        trouble = error
    seen: dict[int, NDArray[Any]] = {}

    def small(number: int) -> NDArray[Any]:
        if number not in seen:
            seen[number] = _small(read_page(data, pages[number], max_pixels))
        return seen[number]

    for number, page in enumerate(pages):
        larger = [other for other, one in enumerate(pages) if _same_shape(page, one)]
        if not any(_alike(small(number), small(other)) for other in larger):
            yield read_page(data, page, max_pixels)
    if trouble:
        raise trouble
    for page in every:
        yield read_page(data, page, max_pixels)


def _films(data: bytes) -> Iterator[Directory]:
    """Yield the directories of all pages that do not call themselves copies or masks."""
    order: Order = ">" if data.startswith(b"M") else "<"
    big = data[2:4] in {b"+\0", b"\0+"}
    if big and data[4:8] != struct.pack(f"{order}HH", 8, 0):
        raise BrokenFilm("expected a BigTIFF with offsets of 8 bytes")
    (at,) = unpack(f"{order}{'Q' if big else 'I'}", data, 8 if big else 4, "the file ends within its header")
    visited: set[int] = set()
    found = 0
    reduced = None
    while at:
        if at in visited:
            raise BrokenFilm(f"page {len(visited)} leads back to a page before it")
        visited.add(at)
        page = read_directory(data, at, order, big, f"page {len(visited)}")
        at = page.following
        kind = page.get(Tag.NewSubfileType, 0) | (_REDUCED_BIT if page.get(Tag.SubfileType, 1) == 2 else 0)
        if not kind & _MASK_BIT and page.get(Tag.PhotometricInterpretation, BLACK_IS_ZERO) != MASK:
            if kind & _REDUCED_BIT:
                reduced = page
            else:
                found += 1
                yield page
        if len(visited) - found > _MAX_LEFT_OUT:
            raise TooCostly(f"expected at most {_MAX_LEFT_OUT} reduced pages and masks, the TIFF holds more")
    if not visited:
        raise BrokenFilm("the TIFF has no page")
    if found:
        return
    if reduced is None or len(visited) > 1:
        raise NoPixels("expected a film, all pages of the TIFF are reduced copies or masks")
    if Tag.SubIFDs in reduced.tags:
        raise UnsupportedFormat("expected a film, the TIFF holds a thumbnail and a camera's raw picture (SubIFDs)")
    yield reduced


def _same_shape(page: Directory, other: Directory) -> bool:
    """Tell whether the other page is larger and has the same ratio of sides, within the rounding of a pixel."""
    (width, height), (wide, high) = ((one.get(Tag.ImageWidth, 0), one.get(Tag.ImageLength, 0)) for one in (page, other))
    return 0 < width < wide and 0 < height < high and abs(wide * height - width * high) <= wide + high


def _small(native: Native) -> NDArray[Any]:
    """Shrink a page to few pixels, each the mean of its part. Where the page has fewer pixels, they repeat."""
    means = native.values
    for axis in (0, 1):
        size = means.shape[axis]
        starts = np.arange(_SMALL_PX) * size // _SMALL_PX
        sums = np.add.reduceat(means, starts, axis=axis, dtype=np.float64)
        means = sums / np.expand_dims(np.maximum(np.diff(starts, append=size), 1), 1 - axis)
    return -means if native.white_is_zero else means


def _alike(small: NDArray[Any], other: NDArray[Any]) -> bool:
    """Tell whether two shrunk pages show the same; one that shows nothing is like no other."""
    small, other = small - small.mean(), other - other.mean()
    return bool((small * other).sum() > _ALIKE * np.sqrt((small**2).sum() * (other**2).sum()))
