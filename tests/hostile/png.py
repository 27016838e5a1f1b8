"""PNG files, written byte by byte so that they can lie (PNG 1.2)."""

import io
import struct
import zlib
from collections.abc import Iterator
from functools import cache

import numpy as np
from PIL import Image

from fracture.imaging.raster import HARMONISE_KEY
from tests.hostile.case import ANY, OK, Case, bomb, grey, named

SIGNATURE = b"\x89PNG\r\n\x1a\n"
SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
LEGAL = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
GIGABYTE = 1 << 30
REFUSED = ("broken_film", "film_too_large")


def chunk(kind: bytes, body: bytes = b"", *, crc: int | None = None, length: int | None = None) -> bytes:
    """Write a chunk; a length or a checksum of one's own is a lie."""
    crc = zlib.crc32(kind + body) if crc is None else crc
    return struct.pack(">I", len(body) if length is None else length) + kind + body + struct.pack(">I", crc)


def header(width: int = 64, height: int = 48, depth: int = 8, colour: int = 0, ways: bytes = bytes(3)) -> bytes:
    """Write IHDR; ``ways`` are the compression, filter and interlace methods."""
    return chunk(b"IHDR", struct.pack(">IIBB", width, height, depth, colour) + ways)


def png(*chunks: bytes, end: bytes = chunk(b"IEND")) -> bytes:
    return SIGNATURE + b"".join(chunks) + end


def rows(width: int, height: int, depth: int, colour: int) -> bytes:
    """Give the filtered rows of a film, with noise for its pixels."""
    size = (width * depth * SAMPLES[colour] + 7) // 8
    noise = np.random.default_rng(3).integers(0, 256, (height, size + 1), dtype=np.uint8)
    noise[:, 0] = 0
    return noise.tobytes() if width and height else b""


def interlaced(width: int, height: int, depth: int, colour: int) -> bytes:
    """Give the rows of Adam7's seven passes (PNG 1.2, 2.6)."""
    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    return b"".join(rows(-((x - width) // dx), -((y - height) // dy), depth, colour) for x, y, dx, dy in passes)


def palette(colour: int, entries: int = 256) -> bytes:
    return chunk(b"PLTE", bytes(range(256))[:entries] * 3) if colour == 3 else b""


@cache
def zeros(size: int) -> bytes:
    """Deflate that many zeros, a multiple of 16 MB beyond the first, without ever holding them."""
    press = zlib.compressobj(9)
    start = press.compress(b"") + press.flush(zlib.Z_FULL_FLUSH)
    block = bytes(min(size, 1 << 24))
    middle = press.compress(block) + press.flush(zlib.Z_FULL_FLUSH)
    # After a full flush nothing depends on what came before, so that one block can stand for all of them.
    following = press.compress(block) + press.flush(zlib.Z_FULL_FLUSH) if size > len(block) else b""
    checksum = struct.pack(">I", size % 65521 << 16 | 1)
    return start + middle + following * (size // len(block) - 1) + b"\x03\0" + checksum


FILM = chunk(b"IDAT", zlib.compress(rows(64, 48, 8, 0)))
TEXT = chunk(b"tEXt", b"Comment\0PLANTED^Jane")
GOOD = png(header(), TEXT, FILM)
_IDAT = FILM[8:-4]


def _kinds() -> Iterator[tuple[str, Case]]:
    for colour, depths in LEGAL.items():
        for depth in depths:
            for way, data in enumerate((rows(64, 48, depth, colour), interlaced(64, 48, depth, colour))):
                head = header(64, 48, depth, colour, bytes([0, 0, way])) + palette(colour, min(256, 1 << depth))
                name = f"colour type {colour}, {depth} bits{', interlaced' if way else ''}"
                yield name, Case(png(head, chunk(b"IDAT", zlib.compress(data))), OK)
    for colour in range(8):
        for depth in (0, 1, 2, 3, 4, 8, 16, 32, 255):
            if depth not in LEGAL.get(colour, ()) and (colour < 2 or depth in {1, 8, 16}):
                # Pillow reads what needs no guessing, as grey of 3 bits declared as nothing at all.
                yield f"illegal colour type {colour}, {depth} bits", Case(png(header(64, 48, depth, colour), FILM), ANY)


def _damages() -> Iterator[tuple[str, Case]]:
    for kind, at in (("IHDR", 0), ("tEXt", 1), ("IDAT", 2)):
        parts = [header(), TEXT, FILM]
        parts[at] = parts[at][:-4] + b"\0\0\0\0"
        yield f"bad checksum of {kind}", Case(png(*parts), OK, "broken_film")
    yield "bad checksum of IEND", Case(png(header(), FILM, end=chunk(b"IEND", crc=0)), OK)
    yield "bad checksum of PLTE", Case(png(header(colour=3), palette(3)[:-4] + b"\0\0\0\0", FILM), OK, "broken_film")
    yield "bad Adler-32", Case(png(header(), chunk(b"IDAT", _IDAT[:-4] + b"\0\0\0\0")), OK, "broken_film")
    whole, first = png(header(), FILM), len(SIGNATURE)
    data = first + len(header())
    for name, end in {
        "in the signature": 5,
        "after the signature": first,
        "in the length of IHDR": first + 2,
        "after the name of IHDR": first + 8,
        "in the body of IHDR": first + 15,
        "before the checksum of IHDR": data - 4,
        "after IHDR": data,
        "in the length of IDAT": data + 3,
        "after the name of IDAT": data + 8,
        "after a byte of IDAT": data + 9,
        "after 40 bytes of IDAT": data + 48,
    }.items():
        yield f"cut {name}", Case(whole[:end], "broken_film" if end > 7 else "unsupported_format")
    for name, end in {
        "in the middle of IDAT": data + len(FILM) // 2,
        "before the checksum of IDAT": data + len(FILM) - 4,
        "after IDAT": data + len(FILM),
        "in IEND": len(whole) - 6,
    }.items():
        yield f"cut {name}", Case(whole[:end], OK)
    yield "no IDAT", Case(png(header()), "broken_film")
    yield "no IHDR", Case(png(FILM), "broken_film")
    yield "nothing but IEND", Case(png(), "broken_film")
    yield "IEND before the pixels", Case(png(header(), end=chunk(b"IEND") + FILM), "broken_film")
    yield "IHDR after the pixels", Case(png(FILM, header()), "broken_film")
    yield "two IHDR of two sizes", Case(png(header(), header(6400, 48), FILM), ANY)
    yield "IHDR of 12 bytes", Case(png(chunk(b"IHDR", bytes(12)), FILM), "broken_film")
    yield "IHDR of 100 bytes", Case(png(chunk(b"IHDR", header()[8:-4] + bytes(87)), FILM), ANY)


def _sizes() -> Iterator[tuple[str, Case]]:
    for width, height in ((0, 48), (64, 0), (0, 0)):
        yield f"{width} x {height}", Case(png(header(width, height), FILM), "broken_film")
    for width, height in ((1 << 31, 1), (0xFFFFFFFF, 0xFFFFFFFF), (32_000, 32_000), (64_000_001, 1), (8001, 8000)):
        yield f"{width} x {height}", bomb(png(header(width, height), FILM), *REFUSED)
    for size in ((1, 30_000_000), (30_000_000, 1)):
        strip = zeros(1 << 25) if size[0] == 1 else zeros((1 << 24) * 2)
        yield f"a strip of {size[0]} x {size[1]}", bomb(png(header(*size), chunk(b"IDAT", strip)), "film_too_large")
    yield (
        "32,000 x 32,000 with every pixel",
        bomb(png(header(32_000, 32_000), chunk(b"IDAT", zeros(GIGABYTE))), "film_too_large"),
    )
    yield (
        "32,000 x 32,000 of 1 bit",
        bomb(png(header(32_000, 32_000, 1), chunk(b"IDAT", zeros(1 << 27))), "film_too_large"),
    )
    yield "a gigabyte behind 64 x 48", Case(png(header(), chunk(b"IDAT", zeros(GIGABYTE))), ANY)
    for kind, body in {
        b"zTXt": b"Comment\0\0",
        b"iTXt": b"Comment\0\1\0\0\0",
        b"iCCP": b"profile\0\0",
    }.items():
        bombed = chunk(kind, body + zeros(GIGABYTE))
        yield f"{kind.decode()} that inflates to a gigabyte", Case(png(header(), bombed, FILM), ANY)
        yield f"{kind.decode()} after the pixels that inflates to a gigabyte", Case(png(header(), FILM, bombed), ANY)
        several = chunk(kind, body + zeros(1 << 20) + b"PLANTED") * 80
        yield f"80 {kind.decode()} of a megabyte", Case(png(header(), several, FILM), ANY)
        yield f"{kind.decode()} that is cut", Case(png(header(), chunk(kind, body[:5]), FILM), ANY)
        yield f"{kind.decode()} without a keyword", Case(png(header(), chunk(kind), FILM), ANY)
        yield f"{kind.decode()} of an unknown method", Case(png(header(), chunk(kind, b"Comment\0\7x"), FILM), ANY)


def _chunks() -> Iterator[tuple[str, Case]]:
    yield "an unknown chunk of 2 MB", Case(png(header(), chunk(b"prVt", b"PLANTED" * 300_000), FILM), OK)
    yield "an unknown critical chunk", Case(png(header(), chunk(b"CRIT", b"PLANTED"), FILM), ANY)
    yield "a chunk of no letters", Case(png(header(), chunk(b"\0\1\2\3"), FILM), ANY)
    yield "40,000 empty chunks", Case(png(header(), chunk(b"prVt") * 40_000, FILM), OK)
    yield "an IDAT for every byte", Case(png(header(), *(chunk(b"IDAT", bytes([byte])) for byte in _IDAT)), OK)
    yield "20,000 empty IDAT", Case(png(header(), chunk(b"IDAT") * 20_000, FILM), ANY)
    for length in (0x7FFFFFFF, 0x80000000, 0xFFFFFFFF):
        for kind in (b"IHDR", b"tEXt", b"IDAT", b"prVt"):
            lie = chunk(kind, b"PLANTED", length=length)
            yield (
                f"{kind.decode()} of {length:#x} bytes",
                Case(png(b"" if kind == b"IHDR" else header(), lie, FILM), ANY),
            )
    for name, ways in {"compression": (1, 0, 0), "filter": (0, 1, 0), "interlace": (0, 0, 2)}.items():
        yield f"unknown {name} method", Case(png(header(ways=bytes(ways)), FILM), ANY)


def _pixels() -> Iterator[tuple[str, Case]]:
    for name, packed in {
        "too few rows": zlib.compress(rows(64, 30, 8, 0)),
        "too many rows": zlib.compress(rows(64, 480, 8, 0)),
        "row filter 1": zlib.compress((b"\1" + bytes(range(64))) * 48),
        "stored, not compressed": zlib.compress(rows(64, 48, 8, 0), 0),
    }.items():
        yield name, Case(png(header(), chunk(b"IDAT", packed)), OK)
    for name, packed in {
        "row filter 5": zlib.compress((b"\5" + bytes(64)) * 48),
        "row filter 255": zlib.compress((b"\xff" + bytes(64)) * 48),
        "no row": zlib.compress(b""),
        "an empty IDAT": b"",
        "pixels that are no zlib": b"PLANTED" * 99,
        "zlib with a dictionary": b"\x78\xbb" + _IDAT,
        "zlib of a window too large": b"\x88\x1c" + _IDAT[2:],
        "raw deflate": _IDAT[2:-4],
    }.items():
        yield name, Case(png(header(), chunk(b"IDAT", packed)), "broken_film")
    for name, plte in {
        "missing": b"",
        "empty": chunk(b"PLTE"),
        "of one colour": palette(3, 1),
        "of 257 colours": chunk(b"PLTE", bytes(771)),
        "of 7 bytes": chunk(b"PLTE", bytes(7)),
        "of a megabyte": chunk(b"PLTE", bytes(1 << 20)),
        "there twice": palette(3) * 2,
    }.items():
        yield f"palette {name}", Case(png(header(colour=3), plte, FILM), ANY)
    for name, trns in {"empty": b"", "of one byte": b"\0", "of 64 kB": bytes(1 << 16)}.items():
        for colour in (0, 2, 3, 4):
            pixels = chunk(b"IDAT", zlib.compress(rows(64, 48, 8, colour)))
            clear = chunk(b"tRNS", trns)
            yield (
                f"transparency {name}, colour type {colour}",
                Case(png(header(colour=colour), palette(colour), clear, pixels), ANY),
            )


def _marginalia() -> Iterator[tuple[str, Case]]:
    for name, kind, body in (
        ("acTL of 2^32 - 1 frames", b"acTL", b"\xff" * 8),
        ("acTL of no frame", b"acTL", bytes(8)),
        ("acTL that is cut", b"acTL", b"\0"),
        ("fcTL without acTL", b"fcTL", bytes(26)),
        ("fdAT without acTL", b"fdAT", bytes(9)),
        ("gAMA of nothing", b"gAMA", b""),
        ("gAMA of 0", b"gAMA", bytes(4)),
        ("cHRM that is cut", b"cHRM", b"\0"),
        ("pHYs of 0", b"pHYs", bytes(9)),
        ("sRGB 255", b"sRGB", b"\xff"),
        ("EXIF of nonsense", b"eXIf", b"PLANTED" * 9),
        ("EXIF that points to itself", b"eXIf", b"II*\0\x08\0\0\0\x01\0\x69\x87\x04\0\1\0\0\0\x08\0\0\0\x08\0\0\0"),
        ("EXIF of 2^32 - 1 values", b"eXIf", b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\xff\xff\xff\xff\x08\0\0\0\0\0\0\0"),
        ("EXIF orientation 9", b"eXIf", b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\1\0\0\0\x09\0\0\0\0\0\0\0"),
        ("EXIF orientation 6", b"eXIf", b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\1\0\0\0\x06\0\0\0\0\0\0\0"),
    ):
        yield name, Case(png(header(), chunk(kind, body), FILM), ANY)
    frames = [Image.fromarray(grey()), Image.fromarray(255 - grey())]
    out = io.BytesIO()
    frames[0].save(out, "PNG", save_all=True, append_images=frames[1:])
    yield "animated", Case(out.getvalue(), OK)
    mark = HARMONISE_KEY.encode() + b"\0"
    yield (
        "marked as harmonised by another configuration",
        Case(png(header(), chunk(b"tEXt", mark + b"h1-000000000000"), FILM), OK),
    )
    for name, text in {"nonsense": b"PLANTED" * 999, "nothing": b"", "a path": b"../../PLANTED"}.items():
        yield f"marked as harmonised by {name}", Case(png(header(), chunk(b"tEXt", mark + text), FILM), OK)
    yield "one pixel", Case(png(header(1, 1), chunk(b"IDAT", zlib.compress(rows(1, 1, 8, 0)))), OK)
    yield "one column", Case(png(header(1, 9999), chunk(b"IDAT", zlib.compress(rows(1, 9999, 8, 0)))), OK)
    yield "one row", Case(png(header(9999, 1), chunk(b"IDAT", zlib.compress(rows(9999, 1, 8, 0)))), OK)
    yield "a film at the limit", Case(png(header(6000, 5000), chunk(b"IDAT", zeros(1 << 25))), ANY)
    yield "a zip behind it", Case(GOOD + b"PK\3\4PLANTED" + b"PK\5\6" + bytes(18), OK)
    yield "4 MB of zeros behind it", Case(GOOD + bytes(4 << 20), OK)
    yield "a name in its text", Case(GOOD, OK)


CASES = named(_kinds(), _damages(), _sizes(), _chunks(), _pixels(), _marginalia())
