"""TIFF directories (TIFF 6.0 section 2, BigTIFF): of each page only the tags that pixels need, all of whole numbers.

No text of the file is looked at.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Literal

from fracture.core.errors import BrokenFilm, TooCostly, UnsupportedFormat

MAX_SEGMENTS = 1 << 16
_MAX_VALUES = 3 * MAX_SEGMENTS
"""Of one tag: the places of all strips, or a palette of 16 bits."""
_MAX_ENTRIES = 1 << 12

_TYPES = {1: "B", 3: "H", 4: "I", 7: "B", 13: "I", 16: "Q", 18: "Q"}
"""The field types that are whole numbers: BYTE, SHORT, LONG, UNDEFINED, IFD, LONG8, IFD8."""


class Tag(IntEnum):
    """The tags that are read, by the names that the standard gives them."""

    NewSubfileType = 254
    SubfileType = 255
    ImageWidth = 256
    ImageLength = 257
    BitsPerSample = 258
    Compression = 259
    PhotometricInterpretation = 262
    FillOrder = 266
    StripOffsets = 273
    Orientation = 274
    SamplesPerPixel = 277
    RowsPerStrip = 278
    StripByteCounts = 279
    PlanarConfiguration = 284
    T4Options = 292
    Predictor = 317
    ColorMap = 320
    TileWidth = 322
    TileLength = 323
    TileOffsets = 324
    TileByteCounts = 325
    SubIFDs = 330
    InkSet = 332
    ExtraSamples = 338
    SampleFormat = 339
    JPEGTables = 347
    YCbCrSubSampling = 530


_READ = frozenset(Tag)

Order = Literal["<", ">"]
"""The file's order of bytes, as `struct` writes it."""


@dataclass(frozen=True)
class Directory:
    """One page's tags. ``name`` is how messages call it; ``following`` is where the next directory lies, 0 for none."""

    name: str
    tags: Mapping[int, tuple[int, ...]]
    order: Order
    following: int

    def get(self, tag: Tag, default: int) -> int:
        """Give the first value of a tag, the default where the page has none."""
        values = self.tags.get(tag)
        return values[0] if values else default

    def need(self, tag: Tag) -> int:
        """Give the first value of a tag. Raises BrokenFilm where the page has none."""
        if not self.tags.get(tag):
            raise BrokenFilm(f"{self.name} has no {tag.name} (tag {tag})")
        return self.tags[tag][0]

    def common(self, tag: Tag, default: int) -> int:
        """Give the one value that all samples share. Raises UnsupportedFormat where they differ."""
        values = self.tags.get(tag) or (default,)
        if len(set(values)) > 1:
            raise UnsupportedFormat(f"expected one {tag.name} for all samples of {self.name}, got several")
        return values[0]


def unpack(form: str, data: bytes, at: int, otherwise: str) -> tuple[Any, ...]:
    """Unpack values at a place in the file. Raises BrokenFilm with the words ``otherwise`` beyond its end."""
    try:
        return struct.unpack_from(form, data, at)
    except (struct.error, OverflowError):  # an offset may even be too large for a C number
        raise BrokenFilm(otherwise) from None


def read_directory(data: bytes, at: int, order: Order, big: bool, name: str) -> Directory:
    """Read the directory at a place in the file; ``big`` for a BigTIFF.

    Raises BrokenFilm, or TooCostly for a tag of more values than any film needs.
    """
    beyond = f"the directory of {name} lies beyond the end of the file"
    (count,) = unpack(f"{order}{'Q' if big else 'H'}", data, at, beyond)
    if not 0 < count <= _MAX_ENTRIES:
        raise BrokenFilm(f"expected a directory of 1 to {_MAX_ENTRIES} tags, that of {name} has {count}")
    at += 8 if big else 2
    entry, size, held = (f"{order}HHQ", 20, 8) if big else (f"{order}HHI", 12, 4)
    tags: dict[int, tuple[int, ...]] = {}
    for start in range(at, at + count * size, size):
        tag, kind, number = unpack(entry, data, start, beyond)
        if tag in _READ and tag not in tags:
            place = start + size - held
            what = f"{Tag(tag).name} (tag {tag}) of {name}"
            if kind not in _TYPES:
                raise BrokenFilm(f"{what}: expected whole numbers, got field type {kind}")
            form = _TYPES[kind]
            if number > _MAX_VALUES:
                raise TooCostly(f"{what}: expected at most {_MAX_VALUES} values, got {number}")
            if number * struct.calcsize(order + form) > held:
                (place,) = unpack(f"{order}{'Q' if big else 'I'}", data, place, beyond)
            tags[tag] = unpack(f"{order}{number}{form}", data, place, f"{what} lies beyond the end of the file")
    (following,) = unpack(f"{order}{'Q' if big else 'I'}", data, at + count * size, beyond)
    return Directory(name, tags, order, following)
