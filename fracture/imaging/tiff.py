"""TIFF bytes to native values, page by page (TIFF 6.0 and BigTIFF): decoded exactly, or refused by what is not read.

The directories are parsed here, and of them only the tags that pixels need, so that no text of the file is looked at
and a page costs no more than its pixels. The codecs are those of zlib, lzma and imagecodecs.
"""

import lzma
import math
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from fracture.core.errors import BrokenFilm, FilmTooLarge, FractureError, NoPixels, TooCostly, UnsupportedFormat
from fracture.imaging.jpeg import check_process, check_scans, is_ycc, read_frame
from fracture.imaging.limits import check_size
from fracture.imaging.native import Channel, Native, from_ink, luma, over_black

SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

_MAX_SEGMENTS = 1 << 16
_MAX_VALUES = 3 * _MAX_SEGMENTS
"""Of one tag: places of strips, or a palette of 16 bits."""
_MAX_ENTRIES = 1 << 12
_MAX_SAMPLES = 8
_MAX_LEFT_OUT = 1000
"""Of pages that are no films of their own; a pyramid has ten, and no page is free."""
_MAX_COMPARED = 32
"""A pyramid's pages are among the first; those behind are not looked at for copies."""
_SMALL_PX, _ALIKE = 16, 0.98
"""Smaller copies are told by so many pixels a side, which correlate by more than that with those of the larger page.

Of 2,056,581 pairs of FracAtlas' films that belong to different groups none does.
"""

_SUBFILE, _OLD_SUBFILE, _WIDTH, _LENGTH, _BITS, _COMPRESSION, _PHOTOMETRIC, _FILL_ORDER = (
    *(254, 255, 256, 257, 258, 259, 262, 266),
)
_STRIPS, _ORIENTATION, _SAMPLES, _ROWS, _STRIP_SIZES, _PLANAR, _PREDICTOR, _COLOUR_MAP = (
    *(273, 274, 277, 278, 279, 284, 317, 320),
)
_TILE_WIDTH, _TILE_LENGTH, _TILES, _TILE_SIZES, _SUB, _INK_SET, _EXTRA, _FORMAT, _TABLES, _FAX, _SUBSAMPLING = (
    *(322, 323, 324, 325, 330, 332, 338, 339, 347, 292, 530),
)
_NAMES = {
    **{_SUBFILE: "NewSubfileType", _OLD_SUBFILE: "SubfileType", _WIDTH: "ImageWidth", _LENGTH: "ImageLength"},
    **{_BITS: "BitsPerSample", _COMPRESSION: "Compression", _PHOTOMETRIC: "PhotometricInterpretation"},
    **{_FILL_ORDER: "FillOrder", _STRIPS: "StripOffsets", _ORIENTATION: "Orientation", _SAMPLES: "SamplesPerPixel"},
    **{_ROWS: "RowsPerStrip", _STRIP_SIZES: "StripByteCounts", _PLANAR: "PlanarConfiguration"},
    **{_PREDICTOR: "Predictor", _COLOUR_MAP: "ColorMap", _TILE_WIDTH: "TileWidth", _TILE_LENGTH: "TileLength"},
    **{_TILES: "TileOffsets", _TILE_SIZES: "TileByteCounts", _SUB: "SubIFDs", _INK_SET: "InkSet"},
    **{_EXTRA: "ExtraSamples", _FORMAT: "SampleFormat", _TABLES: "JPEGTables", _FAX: "T4Options"},
    _SUBSAMPLING: "YCbCrSubSampling",
}
_TYPES = {1: "B", 3: "H", 4: "I", 7: "B", 13: "I", 16: "Q", 18: "Q"}
"""Of whole numbers, among the field types: BYTE, SHORT, LONG, UNDEFINED, IFD, LONG8, IFD8."""

_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _MASK, _INKS, _YCC = range(7)
_CHANNELS = {_WHITE_IS_ZERO: 1, _BLACK_IS_ZERO: 1, _RGB: 3, _PALETTE: 1, _INKS: 4, _YCC: 3}
_KNOWN_PHOTOMETRICS = {8: "CIELab", 9: "ICCLab", 10: "ITULab", 32803: "a colour filter array", 34892: "LinearRaw"}
_REDUCED_BIT, _MASK_BIT = 1, 4
_ASSOCIATED, _UNASSOCIATED = 1, 2
_UNSIGNED, _SIGNED, _FLOAT, _UNDEFINED = 1, 2, 3, 4
_KINDS = {
    **{(_UNSIGNED, bits): f"u{bits // 8}" for bits in (8, 16, 32, 64)},
    **{(_SIGNED, bits): f"i{bits // 8}" for bits in (8, 16, 32, 64)},
    **{(_FLOAT, bits): f"f{bits // 8}" for bits in (16, 32, 64)},
}
_UNSTATED_BITS = 16
"""A file of fewer bits a sample says where its range ends; one of so many or more may hold a detector's 12."""

_NONE, _JPEG = 1, 7
_FAX_CODINGS: dict[int, Callable[..., NDArray[Any]]] = {
    2: imagecodecs.ccittrle_decode,
    3: imagecodecs.ccittfax3_decode,
    4: imagecodecs.ccittfax4_decode,
}
_MAX_LZMA_BYTES = 1 << 28


def _inflate(packed: bytes, size: int) -> bytes:
    return zlib.decompressobj().decompress(packed, size)


def _unpack_lzma(packed: bytes, size: int) -> bytes:
    return lzma.LZMADecompressor(memlimit=_MAX_LZMA_BYTES).decompress(packed, size)


# Named here, since imagecodecs loads a codec when it is first named: where films of strangers are decoded, no file can
# be opened any more.
_lzw, _packbits, _zstd = imagecodecs.lzw_decode, imagecodecs.packbits_decode, imagecodecs.zstd_decode
_decode_jpeg, _reverse_bits, _unpack_bits = (
    *(imagecodecs.jpeg8_decode, imagecodecs.bitorder_decode, imagecodecs.packints_decode),
)
# None gives more than the size asked for, but PackBits, whose last run may end behind it.
_CODECS: dict[int, Callable[[bytes, int], bytes | bytearray]] = {
    _NONE: lambda packed, size: packed[:size],
    5: lambda packed, size: _lzw(packed, out=size),
    8: _inflate,
    32773: lambda packed, size: _packbits(packed, out=size + 128),
    32946: _inflate,
    34925: _unpack_lzma,
    50000: lambda packed, size: _zstd(packed, out=size),
}
_RAISED_BY_CODECS = (RuntimeError, ValueError, OverflowError)
"""imagecodecs' own are RuntimeErrors; the others are raised for a tag's value that is no byte or no C number."""
_PREDICTING = (5, 8, 32946, 34925, 50000)
_KNOWN_COMPRESSIONS = {
    **{6: "JPEG of TIFF 6.0's first kind", 9: "JBIG", 10: "JBIG", 32766: "NeXT", 32809: "ThunderScan"},
    **{33003: "JPEG 2000", 33004: "JPEG 2000", 33005: "JPEG 2000", 34712: "JPEG 2000", 34661: "JBIG"},
    **{34676: "LogLuv", 34677: "LogLuv", 34887: "LERC", 34892: "lossy DNG", 34934: "JPEG XR", 50001: "WebP"},
    **{50002: "JPEG XL", 52546: "JPEG XL"},
}


@dataclass(frozen=True)
class _Directory:
    """One page's tags. ``name`` is how messages call it."""

    name: str
    tags: Mapping[int, tuple[int, ...]]
    order: Literal["<", ">"]
    following: int

    def get(self, tag: int, default: int) -> int:
        values = self.tags.get(tag)
        return values[0] if values else default

    def need(self, tag: int) -> int:
        if not self.tags.get(tag):
            raise BrokenFilm(f"{self.name} has no {_NAMES[tag]} (tag {tag})")
        return self.tags[tag][0]

    def common(self, tag: int, default: int) -> int:
        """Give the one value that all samples share."""
        values = self.tags.get(tag) or (default,)
        if len(set(values)) > 1:
            raise UnsupportedFormat(f"expected one {_NAMES[tag]} for all samples of {self.name}, got several")
        return values[0]


@dataclass(frozen=True)
class _Layout:
    """How a page's samples lie in the file; all of it checked."""

    width: int
    height: int
    samples: int
    bits: int
    kind: np.dtype[Any]
    photometric: int
    compression: int
    predictor: int
    planes: int
    tiled: bool
    rows: int
    columns: int

    @property
    def interleaved(self) -> int:
        """Give how many samples of a pixel lie side by side."""
        return self.samples // self.planes

    @property
    def stays_ycc(self) -> bool:
        """Tell whether decoding leaves Y, Cb and Cr; JPEG of all three gives RGB."""
        return self.photometric == _YCC and not (self.compression == _JPEG and self.planes == 1)


def tiff_pages(data: bytes, max_pixels: int) -> Iterator[Native]:
    """Yield every page that is a film of its own: no smaller copy (thumbnail, level of a pyramid) and no mask.

    Such a page says so, or shows what a larger one of the same shape does. A lone page is a film whatever it calls
    itself. Raises the refusals of `fracture.imaging.decode.frames`.
    """
    every = _films(data)
    pages: list[_Directory] = []
    trouble: FractureError | None = None
    try:
        for page in islice(every, _MAX_COMPARED):
            pages.append(page)  # noqa: PERF402 (those before a broken one are films)
    except FractureError as error:
        trouble = error
    seen: dict[int, NDArray[Any]] = {}

    def small(number: int) -> NDArray[Any]:
        if number not in seen:
            seen[number] = _small(_native(data, pages[number], max_pixels))
        return seen[number]

    for number, page in enumerate(pages):
        larger = [other for other, one in enumerate(pages) if _same_shape(page, one)]
        if not any(_alike(small(number), small(other)) for other in larger):
            yield _native(data, page, max_pixels)
    if trouble:
        raise trouble
    for page in every:
        yield _native(data, page, max_pixels)


def _films(data: bytes) -> Iterator[_Directory]:
    """Yield the directories of all pages but those that say of themselves that they are copies or masks."""
    order: Literal["<", ">"] = ">" if data.startswith(b"M") else "<"
    big = data[2:4] in {b"+\0", b"\0+"}
    if big and data[4:8] != struct.pack(f"{order}HH", 8, 0):
        raise BrokenFilm("expected a BigTIFF with offsets of 8 bytes")
    (at,) = _unpack(f"{order}{'Q' if big else 'I'}", data, 8 if big else 4, "the file ends within its header")
    visited: set[int] = set()
    found = 0
    reduced = None
    while at:
        if at in visited:
            raise BrokenFilm(f"page {len(visited)} leads back to a page before it")
        visited.add(at)
        page = _directory(data, at, order, big, f"page {len(visited)}")
        at = page.following
        kind = page.get(_SUBFILE, 0) | (_REDUCED_BIT if page.get(_OLD_SUBFILE, 1) == 2 else 0)
        if not kind & _MASK_BIT and page.get(_PHOTOMETRIC, _BLACK_IS_ZERO) != _MASK:
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
    if _SUB in reduced.tags:
        raise UnsupportedFormat("expected a film, the TIFF holds a thumbnail and a camera's raw picture (SubIFDs)")
    yield reduced


def _same_shape(page: _Directory, other: _Directory) -> bool:
    """Tell whether the other page is larger and as high for its width, but for the rounding of a pixel."""
    (width, height), (wide, high) = ((one.get(_WIDTH, 0), one.get(_LENGTH, 0)) for one in (page, other))
    return 0 < width < wide and 0 < height < high and abs(wide * height - width * high) <= wide + high


def _small(native: Native) -> NDArray[Any]:
    """Shrink a page to few pixels, each the mean of its part; where it is smaller than that they repeat."""
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


def _unpack(form: str, data: bytes, at: int, otherwise: str) -> tuple[Any, ...]:
    try:
        return struct.unpack_from(form, data, at)
    except (struct.error, OverflowError):  # behind the end, or so far behind that it is no place at all
        raise BrokenFilm(otherwise) from None


def _directory(data: bytes, at: int, order: Literal["<", ">"], big: bool, name: str) -> _Directory:
    """Read the tags that pixels need (TIFF 6.0 section 2)."""
    beyond = f"the directory of {name} lies beyond the end of the file"
    (count,) = _unpack(f"{order}{'Q' if big else 'H'}", data, at, beyond)
    if not 0 < count <= _MAX_ENTRIES:
        raise BrokenFilm(f"expected a directory of 1 to {_MAX_ENTRIES} tags, that of {name} has {count}")
    at += 8 if big else 2
    entry, size, held = (f"{order}HHQ", 20, 8) if big else (f"{order}HHI", 12, 4)
    tags: dict[int, tuple[int, ...]] = {}
    for start in range(at, at + count * size, size):
        tag, kind, number = _unpack(entry, data, start, beyond)
        if tag in _NAMES and tag not in tags:
            place = start + size - held
            what = f"{_NAMES[tag]} (tag {tag}) of {name}"
            if kind not in _TYPES:
                raise BrokenFilm(f"{what}: expected whole numbers, got field type {kind}")
            form = _TYPES[kind]
            if number > _MAX_VALUES:
                raise TooCostly(f"{what}: expected at most {_MAX_VALUES} values, got {number}")
            if number * struct.calcsize(order + form) > held:
                (place,) = _unpack(f"{order}{'Q' if big else 'I'}", data, place, beyond)
            tags[tag] = _unpack(f"{order}{number}{form}", data, place, f"{what} lies beyond the end of the file")
    (following,) = _unpack(f"{order}{'Q' if big else 'I'}", data, at + count * size, beyond)
    return _Directory(name, tags, order, following)


def _native(data: bytes, page: _Directory, max_pixels: int) -> Native:
    layout = _layout(page, max_pixels)
    try:
        with np.errstate(all="ignore"):
            return _meant(page, layout, _channels(data, page, layout))
    except MemoryError:
        raise TooCostly(f"{page.name} takes more memory than one film may") from None


def _layout(page: _Directory, max_pixels: int) -> _Layout:
    """Check all that a page says of itself before any of its pixels is touched."""
    width, height = page.need(_WIDTH), page.need(_LENGTH)
    if not (width and height):
        raise BrokenFilm(f"expected a film of at least 1 x 1, {page.name} announces {width} x {height}")
    check_size(width, height, max_pixels)
    compression, photometric = page.get(_COMPRESSION, _NONE), page.need(_PHOTOMETRIC)
    if compression not in {*_CODECS, *_FAX_CODINGS, _JPEG}:
        named = _KNOWN_COMPRESSIONS.get(compression, f"number {compression}")
        raise UnsupportedFormat(f"expected a TIFF compression that is read here, {page.name} has {named}")
    if photometric not in _CHANNELS:
        named = _KNOWN_PHOTOMETRICS.get(photometric, f"number {photometric}")
        raise UnsupportedFormat(f"expected grey, RGB, palette, CMYK or YCbCr pixels, those of {page.name} are {named}")
    samples, planar, least = page.get(_SAMPLES, 1), page.get(_PLANAR, 1), _CHANNELS[photometric]
    if not least <= samples <= _MAX_SAMPLES:
        raise BrokenFilm(f"expected {least} to {_MAX_SAMPLES} samples a pixel in {page.name}, got {samples}")
    if planar not in {1, 2}:
        raise BrokenFilm(f"PlanarConfiguration of {page.name}: expected 1 or 2, got {planar}")
    tiled = _TILES in page.tags
    rows = page.need(_TILE_LENGTH) if tiled else min(page.get(_ROWS, height) or height, height)
    columns = page.need(_TILE_WIDTH) if tiled else width
    if not (rows and columns):
        raise BrokenFilm(f"expected strips or tiles of at least 1 x 1, those of {page.name} are {columns} x {rows}")
    if tiled and rows * columns > max_pixels:
        raise FilmTooLarge(f"expected tiles of at most {max_pixels} pixels, {page.name} has {columns} x {rows}")
    bits = page.common(_BITS, 1)
    layout = _Layout(
        *(width, height, samples, bits, _kind(page, bits), photometric, compression, page.get(_PREDICTOR, 1)),
        *(samples if planar == 2 else 1, tiled, rows, columns),
    )
    for reason, holds in _unread(page, layout).items():
        if holds:
            raise UnsupportedFormat(f"expected a TIFF without {reason}, which {page.name} has")
    return layout


def _unread(page: _Directory, layout: _Layout) -> dict[str, bool]:
    """Name what each part of the layout can do alone and the whole cannot."""
    predictor, jpeg, ycc = layout.predictor, layout.compression == _JPEG, layout.photometric == _YCC
    floats, unsigned = layout.kind.kind == "f", layout.kind.kind == "u"
    grey, transparent = layout.photometric in {_WHITE_IS_ZERO, _BLACK_IS_ZERO}, _transparency(page, layout) > 0
    in_jpeg = {3} if ycc and layout.planes == 1 else {1, 2, 3, 4}
    return {
        f"predictor {predictor}": predictor not in ({1, 2, 3} if floats else {1, 2}),
        "a predictor beside its compression": predictor > 1 and layout.compression not in _PREDICTING,
        f"a predictor of {layout.bits} bits": predictor > 1 and layout.bits % 8 > 0,
        "fax coding of more than 1 bit": layout.compression in _FAX_CODINGS and layout.bits * layout.samples > 1,
        f"JPEG of {layout.bits} bits": jpeg and (layout.bits != 8 or not unsigned),
        f"JPEG of {layout.interleaved} samples": jpeg and layout.interleaved not in in_jpeg,
        "subsampled YCbCr outside JPEG": ycc and not jpeg and set(page.tags.get(_SUBSAMPLING, (2, 2))) != {1},
        "inks other than CMYK": layout.photometric == _INKS and page.get(_INK_SET, 1) != 1,
        "signed colours": not grey and layout.kind.kind == "i",
        "colours in floats other than RGB": not grey and floats and layout.photometric != _RGB,
        "colours of 64 bits": not grey and unsigned and layout.bits > 32,
        "transparency in other than 1 to 32 unsigned bits": transparent and (not unsigned or layout.bits > 32),
    }


def _transparency(page: _Directory, layout: _Layout) -> int:
    """Give how the sample behind the colours is transparency (ExtraSamples), 0 where it is none."""
    if layout.samples == _CHANNELS[layout.photometric]:
        return 0
    # Four samples of RGB without a word about the fourth are taken for RGBA by all readers.
    found = page.get(_EXTRA, _UNASSOCIATED if (layout.photometric, layout.samples) == (_RGB, 4) else 0)
    return found if found in {_ASSOCIATED, _UNASSOCIATED} else 0


def _kind(page: _Directory, bits: int) -> np.dtype[Any]:
    """Give the type of a page's samples in this machine's order of bytes."""
    form = page.common(_FORMAT, _UNSIGNED)
    form = _UNSIGNED if form == _UNDEFINED else form
    if form == _UNSIGNED and 0 < bits < 16:
        return np.dtype(np.uint8 if bits <= 8 else np.uint16)
    if (form, bits) not in _KINDS:
        named = {_UNSIGNED: "unsigned", _SIGNED: "signed", _FLOAT: "floating-point"}.get(form, "complex or unknown")
        raise UnsupportedFormat(f"expected samples of a type that is read here, {page.name} has {bits}-bit {named}")
    return np.dtype(_KINDS[form, bits])


def _channels(data: bytes, page: _Directory, layout: _Layout) -> NDArray[Any]:
    """Decode a page to (samples, H, W)."""
    across, down = math.ceil(layout.width / layout.columns), math.ceil(layout.height / layout.rows)
    count = across * down * layout.planes
    if count > _MAX_SEGMENTS:
        raise TooCostly(f"expected at most {_MAX_SEGMENTS} strips or tiles, {page.name} has {count}")
    what, places, sizes = ("tile", _TILES, _TILE_SIZES) if layout.tiled else ("strip", _STRIPS, _STRIP_SIZES)
    starts, lengths = page.tags.get(places, ()), page.tags.get(sizes, ())
    if count == 1 and starts and not lengths and layout.compression == _NONE:
        lengths = (max(0, len(data) - starts[0]),)  # early writers left it out
    for tag, values in ((places, starts), (sizes, lengths)):
        if len(values) < count:
            raise BrokenFilm(f"expected {_NAMES[tag]} of {count} {what}s in {page.name}, got {len(values)}")
    if layout.compression != _NONE and sum(lengths[:count]) > len(data):
        raise BrokenFilm(f"the {what}s of {page.name} hold more bytes than the file")
    decoded = np.empty((layout.samples, layout.height, layout.width), layout.kind)
    for number in range(count):
        plane, cell = divmod(number, across * down)
        top, left = cell // across * layout.rows, cell % across * layout.columns
        name = f"{what} {number + 1} of {count} of {page.name}"
        rows = layout.rows if layout.tiled else min(layout.rows, layout.height - top)
        length = lengths[number]
        if layout.compression == _NONE and not 0 < length <= len(data) - starts[number]:
            length = max(0, len(data) - starts[number])  # what it takes is known, whatever the count says
        packed = data[starts[number] : starts[number] + length]
        if len(packed) < length:
            raise BrokenFilm(f"{name} ends beyond the end of the file")
        read = _jpeg if layout.compression == _JPEG else _cells
        cells = read(packed, page, layout, rows, name)
        height, width = min(rows, layout.height - top), min(layout.columns, layout.width - left)
        into = decoded[plane : plane + layout.interleaved, top : top + height, left : left + width]
        into[...] = np.moveaxis(cells[:height, :width], -1, 0)
    return decoded


def _cells(packed: bytes, page: _Directory, layout: _Layout, rows: int, name: str) -> NDArray[Any]:
    """Decode a strip or tile to (rows, columns, samples side by side)."""
    shape = (rows, layout.columns, layout.interleaved)
    if page.get(_FILL_ORDER, 1) == 2:
        packed = bytes(_reverse_bits(packed))
    values_a_row = layout.columns * layout.interleaved
    row_bytes = (values_a_row * layout.bits + 7) // 8
    try:
        if layout.compression in _FAX_CODINGS:
            options = {"t4options": page.get(_FAX, 0)} if layout.compression == 3 else {}
            return _FAX_CODINGS[layout.compression](packed, rows, layout.columns, **options).reshape(shape)
        plain = _CODECS[layout.compression](packed, rows * row_bytes)
    except (*_RAISED_BY_CODECS, zlib.error, lzma.LZMAError, EOFError):
        raise BrokenFilm(f"{name} cannot be decompressed") from None
    if len(plain) < rows * row_bytes:
        raise BrokenFilm(f"{name} ends before its last row")
    plain = plain[: rows * row_bytes]
    if layout.bits % 8:
        return _unpack_bits(plain, layout.kind, layout.bits, runlen=values_a_row).reshape(shape)
    if layout.predictor == 3:
        return _undo_float_predictor(np.frombuffer(plain, np.uint8), layout.kind, shape)
    cells = np.frombuffer(plain, layout.kind.newbyteorder(page.order)).astype(layout.kind, copy=False).reshape(shape)
    if layout.predictor == 2:
        whole = np.dtype(f"u{layout.kind.itemsize}")  # the differences are those of whole numbers, whatever they mean
        cells = np.cumsum(cells.view(whole), axis=1, dtype=whole).view(layout.kind)
    return cells


def _undo_float_predictor(plain: NDArray[np.uint8], kind: np.dtype[Any], shape: tuple[int, int, int]) -> NDArray[Any]:
    """Undo the floating-point predictor: per row, all first bytes, then all second ones, as differences (TIFF TN 3)."""
    rows, columns, samples = shape
    steps = plain.reshape(rows, columns * kind.itemsize, samples)
    split = np.cumsum(steps, axis=1, dtype=np.uint8).reshape(rows, kind.itemsize, columns * samples)
    joined = np.ascontiguousarray(split.transpose(0, 2, 1)).view(kind.newbyteorder(">"))
    return joined.astype(kind).reshape(shape)


def _jpeg(packed: bytes, page: _Directory, layout: _Layout, rows: int, name: str) -> NDArray[Any]:
    """Decode a strip or tile of JPEG (TIFF TN 2), colours as RGB or inks, once its header agrees with the page."""
    check_process(packed)
    check_scans(packed)
    frame = read_frame(packed)
    expected = (layout.columns, layout.interleaved)
    if frame is None or (frame.columns, len(frame.components)) != expected or not rows <= frame.rows <= layout.rows:
        raise BrokenFilm(f"{name} is no JPEG of {layout.columns} x {rows} and {layout.interleaved} samples a pixel")
    if b"\xff\xd9" not in packed[-64:]:
        raise BrokenFilm(f"{name} ends before its last row")
    stored = {1: "GRAYSCALE", 3: "RGB", 4: "CMYK"}.get(layout.interleaved, "UNKNOWN")
    wanted = stored
    if layout.interleaved == 3 and (layout.photometric == _YCC or is_ycc(packed, stated_rgb=True)):
        stored = "YCBCR"
    try:
        tables = bytes(page.tags.get(_TABLES, ())) or None
        pixels = _decode_jpeg(packed, tables=tables, colorspace=stored, outcolorspace=wanted)
    except _RAISED_BY_CODECS:
        raise BrokenFilm(f"{name} cannot be decompressed") from None
    cells: NDArray[Any] = pixels.reshape(frame.rows, *expected)
    return cells[:rows]


def _meant(page: _Directory, layout: _Layout, channels: NDArray[Any]) -> Native:
    """Turn samples into what they mean: one value a pixel (TIFF 6.0 sections 3 to 6, 16, 18 and 21)."""
    if channels.dtype == np.float16:
        channels = channels.astype(np.float32)
    top, count = (1 << layout.bits) - 1, _CHANNELS[layout.photometric]
    colours, absent = list(channels[:count]), None
    stated = top if layout.bits < _UNSTATED_BITS and layout.kind.kind == "u" else None
    if transparency := _transparency(page, layout):
        absent = channels[count] == 0
        if transparency == _UNASSOCIATED:
            colours = [over_black(channel, channels[count], top) for channel in colours]
    grey = layout.photometric in {_WHITE_IS_ZERO, _BLACK_IS_ZERO}
    if layout.photometric == _PALETTE:
        values, stated = _painted(page, layout, colours[0]), 255
    elif layout.photometric == _INKS:
        values = luma(*(from_ink(ink, colours[3], top) for ink in colours[:3]))
    else:
        values = colours[0] if grey or layout.stays_ycc else luma(*colours)
    return Native(
        *(values, stated, absent),
        white_is_zero=layout.photometric == _WHITE_IS_ZERO,
        colour=not grey,
        orientation=page.get(_ORIENTATION, 1),
    )


def _painted(page: _Directory, layout: _Layout, indices: Channel) -> Channel:
    """Look a palette up (section 5) and give its luma in 8 bits. Some write 8-bit colours where 16 are due."""
    table = np.array(page.tags.get(_COLOUR_MAP, ()), np.uint64)
    if table.max(initial=0) > 0xFFFF:
        raise BrokenFilm(f"expected a ColorMap of values up to 65535 in {page.name}, got {table.max()}")
    if layout.bits > 16 or table.size != 3 << layout.bits:
        raise BrokenFilm(f"expected a ColorMap of {3 << min(layout.bits, 16)} values in {page.name}, got {table.size}")
    colours = (table if table.max() < 256 else table >> 8).astype(np.uint8).reshape(3, -1)
    found: Channel = luma(*(channel[None] for channel in colours))[0][indices]
    return found
