"""A page of a TIFF to one value a pixel: its strips or tiles decoded, its colours weighed."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fracture.core.errors import BrokenFilm, TooCostly
from fracture.imaging.jpeg import check_process, check_scans, is_ycc, read_frame
from fracture.imaging.native import Channel, Native, from_ink, luma, over_black
from fracture.imaging.tiff import codecs
from fracture.imaging.tiff.directory import MAX_SEGMENTS, Directory, Tag
from fracture.imaging.tiff.layout import INKS, PALETTE, UNASSOCIATED, WHITE_IS_ZERO, YCC, Layout, read_layout

_UNSTATED_BITS = 16
"""With fewer bits a sample the file states where its range ends; with so many or more it may hold a detector's 12."""


_STRIPS = ("strip", Tag.StripOffsets, Tag.StripByteCounts)
_TILES = ("tile", Tag.TileOffsets, Tag.TileByteCounts)


def read_page(data: bytes, page: Directory, max_pixels: int) -> Native:
    """Decode a page. Raises the refusals of `read_layout`, BrokenFilm, or TooCostly."""
    layout = read_layout(page, max_pixels)
    try:
        with np.errstate(all="ignore"):
            return _meant(page, layout, _channels(data, page, layout))
    except MemoryError:
        raise TooCostly(f"{page.name} takes more memory than one film may") from None


def _channels(data: bytes, page: Directory, layout: Layout) -> NDArray[Any]:
    """Decode a page to (samples, H, W)."""
    across, down = math.ceil(layout.width / layout.columns), math.ceil(layout.height / layout.rows)
    count = across * down * layout.planes
    if count > MAX_SEGMENTS:
        raise TooCostly(f"expected at most {MAX_SEGMENTS} strips or tiles, {page.name} has {count}")
    what, places, sizes = _TILES if layout.tiled else _STRIPS
    starts, lengths = page.tags.get(places, ()), page.tags.get(sizes, ())
    if count == 1 and starts and not lengths and layout.compression == codecs.NONE:
        lengths = (max(0, len(data) - starts[0]),)  # early writers left the length out
    for tag, values in ((places, starts), (sizes, lengths)):
        if len(values) < count:
            raise BrokenFilm(f"expected {tag.name} of {count} {what}s in {page.name}, got {len(values)}")
    if layout.compression != codecs.NONE and sum(lengths[:count]) > len(data):
        raise BrokenFilm(f"the {what}s of {page.name} hold more bytes than the file")
    decoded = np.empty((layout.samples, layout.height, layout.width), layout.kind)
    for number in range(count):
        plane, cell = divmod(number, across * down)
        top, left = cell // across * layout.rows, cell % across * layout.columns
        name = f"{what} {number + 1} of {count} of {page.name}"
        rows = layout.rows if layout.tiled else min(layout.rows, layout.height - top)
        length = lengths[number]
        if layout.compression == codecs.NONE and not 0 < length <= len(data) - starts[number]:
            length = max(0, len(data) - starts[number])  # the rows say what is needed, whatever the length says
        packed = data[starts[number] : starts[number] + length]
        if len(packed) < length:
            raise BrokenFilm(f"{name} ends beyond the end of the file")
        read = _jpeg if layout.compression == codecs.JPEG else _cells
        cells = read(packed, page, layout, rows, name)
        height, width = min(rows, layout.height - top), min(layout.columns, layout.width - left)
        into = decoded[plane : plane + layout.interleaved, top : top + height, left : left + width]
        into[...] = np.moveaxis(cells[:height, :width], -1, 0)
    return decoded


def _cells(packed: bytes, page: Directory, layout: Layout, rows: int, name: str) -> NDArray[Any]:
    """Decode a strip or tile to (rows, columns, samples side by side)."""
    shape = (rows, layout.columns, layout.interleaved)
    if page.get(Tag.FillOrder, 1) == 2:
        packed = bytes(codecs.reverse_bits(packed))
    values_a_row = layout.columns * layout.interleaved
    row_bytes = (values_a_row * layout.bits + 7) // 8
    try:
        if layout.compression in codecs.DECODE_FAX:
            options = {"t4options": page.get(Tag.T4Options, 0)} if layout.compression == codecs.FAX_3 else {}
            return codecs.DECODE_FAX[layout.compression](packed, rows, layout.columns, **options).reshape(shape)
        plain = codecs.DECOMPRESS[layout.compression](packed, rows * row_bytes)
    except codecs.RAISED:
        raise BrokenFilm(f"{name} cannot be decompressed") from None
    if len(plain) < rows * row_bytes:
        raise BrokenFilm(f"{name} ends before its last row")
    plain = plain[: rows * row_bytes]
    if layout.bits % 8:
        return codecs.unpack_bits(plain, layout.kind, layout.bits, runlen=values_a_row).reshape(shape)
    if layout.predictor == 3:
        return _undo_float_predictor(np.frombuffer(plain, np.uint8), layout.kind, shape)
    cells = np.frombuffer(plain, layout.kind.newbyteorder(page.order)).astype(layout.kind, copy=False).reshape(shape)
    if layout.predictor == 2:
        whole = np.dtype(f"u{layout.kind.itemsize}")  # differences are taken of the bits as whole numbers
        cells = np.cumsum(cells.view(whole), axis=1, dtype=whole).view(layout.kind)
    return cells


def _undo_float_predictor(plain: NDArray[np.uint8], kind: np.dtype[Any], shape: tuple[int, int, int]) -> NDArray[Any]:
    """Undo the floating-point predictor: a row holds all first bytes, then all second ones, as differences (TN 3)."""
    rows, columns, samples = shape
    steps = plain.reshape(rows, columns * kind.itemsize, samples)
    split = np.cumsum(steps, axis=1, dtype=np.uint8).reshape(rows, kind.itemsize, columns * samples)
    joined = np.ascontiguousarray(split.transpose(0, 2, 1)).view(kind.newbyteorder(">"))
    return joined.astype(kind).reshape(shape)


def _jpeg(packed: bytes, page: Directory, layout: Layout, rows: int, name: str) -> NDArray[Any]:
    """Decode a strip or tile of JPEG (TIFF TN 2), once its header agrees with the page. Colours become RGB or inks."""
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
    if layout.interleaved == 3 and (layout.photometric == YCC or is_ycc(packed, stated_rgb=True)):
        stored = "YCBCR"
    try:
        tables = bytes(page.tags.get(Tag.JPEGTables, ())) or None
        pixels = codecs.decode_jpeg(packed, tables=tables, colorspace=stored, outcolorspace=wanted)
    except codecs.RAISED:
        raise BrokenFilm(f"{name} cannot be decompressed") from None
    cells: NDArray[Any] = pixels.reshape(frame.rows, *expected)
    return cells[:rows]


def _meant(page: Directory, layout: Layout, channels: NDArray[Any]) -> Native:
    """Turn samples into what they mean: one value a pixel (TIFF 6.0 sections 3 to 6, 16, 18 and 21)."""
    if channels.dtype == np.float16:
        channels = channels.astype(np.float32)
    top = (1 << layout.bits) - 1
    colours, absent = list(channels[: layout.colours]), None
    stated = top if layout.bits < _UNSTATED_BITS and layout.kind.kind == "u" else None
    if layout.transparency:
        alpha = channels[layout.colours]
        absent = alpha == 0
        if layout.transparency == UNASSOCIATED:
            colours = [over_black(channel, alpha, top) for channel in colours]
    if layout.photometric == PALETTE:
        values, stated = _painted(page, layout, colours[0]), 255
    elif layout.photometric == INKS:
        values = luma(*(from_ink(ink, colours[3], top) for ink in colours[:3]))
    else:
        values = colours[0] if layout.grey or layout.stays_ycc else luma(*colours)
    return Native(
        *(values, stated, absent),
        white_is_zero=layout.photometric == WHITE_IS_ZERO,
        colour=not layout.grey,
        orientation=page.get(Tag.Orientation, 1),
    )


def _painted(page: Directory, layout: Layout, indices: Channel) -> Channel:
    """Look up a palette (section 5) and give its luma in 8 bits. Some writers store 8-bit colours where 16 are due."""
    table = np.array(page.tags.get(Tag.ColorMap, ()), np.uint64)
    if table.max(initial=0) > 0xFFFF:
        raise BrokenFilm(f"expected a ColorMap of values up to 65535 in {page.name}, got {table.max()}")
    if layout.bits > 16 or table.size != 3 << layout.bits:
        raise BrokenFilm(f"expected a ColorMap of {3 << min(layout.bits, 16)} values in {page.name}, got {table.size}")
    colours = (table if table.max() < 256 else table >> 8).astype(np.uint8).reshape(3, -1)
    found: Channel = luma(*(channel[None] for channel in colours))[0][indices]
    return found
