"""What a PNG's chunks tell of a file that cannot be read (PNG 1.2, sections 3 and 4)."""

import struct

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_LEGAL_BITS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_PALETTE = 3
_MAX_SIDE = (1 << 31) - 1


def what_is_missing(png: bytes) -> str:
    """Name what a PNG that cannot be read lacks, for its refusal."""
    at, seen, whole = len(SIGNATURE), set[bytes](), False
    while at + 8 <= len(png):
        length, kind = struct.unpack_from(">I4s", png, at)
        whole = at + 12 + length <= len(png)
        seen.add(kind)
        if kind == b"IEND" or not whole:
            break
        at += 12 + length
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
