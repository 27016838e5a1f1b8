"""What a JPEG's markers say before any of it is decoded, alone or inside a DICOM or TIFF file.

The markers are found as decoders find them: whatever stands between two of them is passed over, and a file may end
early. `fracture.imaging.codestream` is strict instead, and refuses a film that is only damaged.
"""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from fracture.core.errors import TooCostly, UnsupportedFormat

SIGNATURE = b"\xff\xd8\xff"

_MAX_SCANS = 64
"""Encoders write about ten. Each goes through the whole film, and 40 bytes can make one of 64 million pixels."""

_MARKER = re.compile(rb"\xff[\xc0-\xcf\xd8-\xfe]")
SOI, EOI, SOS, DHT, DQT, APP0, APP14 = 0xD8, 0xD9, 0xDA, 0xC4, 0xDB, 0xE0, 0xEE
LOSSLESS, JPEG_LS_FRAME = 0xC3, 0xF7
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC} | {JPEG_LS_FRAME}
_LOSSLESS_BITS = frozenset(range(2, 17)) - {8}
# The processes of T.81 table B.1 that libjpeg does not decode.
_UNREAD = {
    **dict.fromkeys((0xC5, 0xC6, 0xC7, 0xCD, 0xCE, 0xCF), "a hierarchical JPEG"),
    **{0xCB: "a lossless JPEG with arithmetic coding", JPEG_LS_FRAME: "a JPEG-LS"},
}


@dataclass(frozen=True)
class Frame:
    """The frame header (T.81 B.2.2). ``components`` holds each one's identifier and its sampling, as one byte."""

    process: int
    precision: int
    rows: int
    columns: int
    components: tuple[tuple[int, int], ...]


def _segments(jpeg: bytes) -> Iterator[tuple[int, int]]:
    """Yield each marker and where what follows it begins, up to the end of the image (T.81 B.1.1)."""
    at = 0
    while marker := _MARKER.search(jpeg, at):
        kind, at = marker[0][1], marker.end()
        yield kind, at
        if kind == EOI:
            return
        if kind != SOI:
            at += int.from_bytes(jpeg[at : at + 2])


def check_scans(jpeg: bytes) -> None:
    """Raise TooCostly for a JPEG or JPEG-LS (T.81 B.2) with more scans than any film needs."""
    scans = 0
    for kind, _ in _segments(jpeg):
        scans += kind == SOS
        if scans > _MAX_SCANS:
            raise TooCostly(f"expected a JPEG of at most {_MAX_SCANS} scans, got more")


def read_frame(jpeg: bytes) -> Frame | None:
    """Read the frame header; None where there is none, or not all of it."""
    for kind, at in _segments(jpeg):
        if kind in _FRAMES:
            try:
                precision, rows, columns, count = struct.unpack_from(">BHHB", jpeg, at + 2)
                parts = [struct.unpack_from("BB", jpeg, at + 8 + 3 * number) for number in range(count)]
            except struct.error:
                return None
            return Frame(kind, precision, rows, columns, tuple((part[0], part[1]) for part in parts))
        if kind == SOS:
            return None
    return None


def check_process(jpeg: bytes) -> None:
    """Raise UnsupportedFormat for a JPEG of a kind that libjpeg does not decode, by the kind's name."""
    frame = read_frame(jpeg)
    if frame is None:
        return
    if frame.process in _UNREAD:
        raise UnsupportedFormat(f"expected a baseline or progressive JPEG, got {_UNREAD[frame.process]}")
    if frame.precision in (_LOSSLESS_BITS if frame.process == LOSSLESS else {12}):
        raise UnsupportedFormat(f"expected a JPEG of 8 bits, got one of {frame.precision}")


def is_ycc(jpeg: bytes, *, stated_rgb: bool = False) -> bool:
    """Tell whether three components are Y, Cb and Cr, as libjpeg does (jdapimin.c).

    A JFIF marker says so, and Adobe's marker says what they are. Without either it is the identifiers: R, G and B are
    colours, all else is Y, Cb and Cr. ``stated_rgb``: the file around the JPEG calls them RGB, which is believed
    unless they are subsampled or a JFIF marker contradicts: nobody subsamples green beside red and blue.
    """
    frame = read_frame(jpeg)
    if frame is None or len(frame.components) != 3:
        return False
    for kind, at in _segments(jpeg):
        if kind == APP0 and jpeg[at + 2 : at + 7] == b"JFIF\0":
            return True
        body = jpeg[at + 2 : at + int.from_bytes(jpeg[at : at + 2])]
        if kind == APP14 and body.startswith(b"Adobe") and len(body) >= 12:
            return body[11] != 0
        if kind == SOS:
            break
    if bytes(identifier for identifier, _ in frame.components) == b"RGB":
        return False
    return not stated_rgb or len({sampling for _, sampling in frame.components}) > 1


def what_is_missing(jpeg: bytes) -> str:
    """Name what a JPEG that cannot be read lacks, for its refusal."""
    found, frame = {kind for kind, _ in _segments(jpeg)}, read_frame(jpeg)
    tests = {
        "it has no frame header (SOF)": not found & _FRAMES,
        "it ends within its frame header (SOF)": frame is None,
        f"its frame header (SOF) announces {frame and frame.precision} bits": frame and frame.precision != 8,
        "its frame header (SOF) announces no rows": frame and not frame.rows,
        "its frame header (SOF) announces no columns": frame and not frame.columns,
        "it has no scan (SOS)": SOS not in found,
        "it has no quantisation table (DQT)": DQT not in found,
        "it has no Huffman table (DHT)": DHT not in found,
    }
    return next((text for text, holds in tests.items() if holds), "its scan is damaged or ends before its first rows")
