"""A PNG's chunks (PNG 1.2, sections 3 and 4): those that pixels depend on, and what a broken file lacks."""

import struct
from collections.abc import Iterator

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_LEGAL_BITS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_PALETTE = 3
_CLEAR_BYTES = {b"\0": 2, b"\2": 6}
"""The length of tRNS by colour type: a sample of grey, or of three colours."""
_MAX_SIDE = (1 << 31) - 1


def _chunks(png: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield each chunk's kind, where it begins and where it ends, which may be beyond the end of the file."""
    at = len(SIGNATURE)
    while at + 8 <= len(png):
        length, kind = struct.unpack_from(">I4s", png, at)
        yield kind, at, at + 12 + length
        if kind == b"IEND":
            break
        at += 12 + length


def pixels_only(png: bytes, key: str) -> bytes:
    """Give a PNG without the chunks that its pixels do not depend on, for a reader that such a chunk has stopped.

    Kept are critical chunks, whose names begin with a capital (3.3), transparency that fits its colours (4.2.1.1), EXIF
    and the text under ``key``.
    """
    kept: list[bytes | memoryview] = [png[: len(SIGNATURE)]]
    colour = png[25:26]
    for kind, at, end in _chunks(png):
        length = end - at - 12
        stays = kind[:1].isupper() or kind == b"eXIf"
        stays |= kind == b"tRNS" and (0 < length <= 256 if colour == b"\3" else length == _CLEAR_BYTES.get(colour))
        stays |= kind == b"tEXt" and png.startswith(key.encode() + b"\0", at + 8)
        if stays:
            kept.append(memoryview(png)[at:end])
    return b"".join(kept)


def what_is_missing(png: bytes) -> str:
    """Name what a PNG that cannot be read lacks, for its refusal."""
    ends = {kind: end for kind, _, end in _chunks(png)}
    seen, whole = set(ends), max(ends.values(), default=0) <= len(png)
    start = png.find(b"IHDR") + 4
    if b"IHDR" not in seen:
        return "it has no header (IHDR)"
    if len(png) < start + 10 or (seen == {b"IHDR"} and not whole):
        return "it ends within its header (IHDR)"
    width, height, bits, colour = struct.unpack_from(">IIBB", png, start)
    tests = {
        f"its header (IHDR) announces {width} x {height} pixels": not (width and height)
        or max(width, height) > _MAX_SIDE,
        f"its header (IHDR) announces {bits} bits of colour type {colour}": bits not in _LEGAL_BITS.get(colour, ()),
        "it has no pixels (IDAT)": b"IDAT" not in seen,
        "it has no palette (PLTE)": colour == _PALETTE and b"PLTE" not in seen,
    }
    last = "its pixels (IDAT) are damaged or end before its first rows"
    return next((text for text, holds in tests.items() if holds), last)
