"""TIFF files, directory by directory (TIFF 6.0 and BigTIFF)."""

import io
import struct
import zlib
from collections.abc import Iterator, Mapping

from PIL import Image

from tests.hostile.case import ANY, OK, Case, bomb, grey, named
from tests.hostile.png import zeros

SHORT, LONG, LONG8 = 3, 4, 16
SUBFILE, OLD_SUBFILE = 254, 255
WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, TEXT, STRIPS, ORIENTATION = 256, 257, 258, 259, 262, 270, 273, 274
SAMPLES, ROWS, SIZES, PLANAR, PREDICTOR, COLOURS, TILE_WIDTH, TILE_HEIGHT = 277, 278, 279, 284, 317, 320, 322, 323
TILES, TILE_SIZES, SUB, EXTRA, FORMAT, TABLES = 324, 325, 330, 338, 339, 347
DEFLATE, JPEG = 8, 7
COMPRESSIONS = (0, 2, 3, 4, 5, 6, 7, 8, 9, 10, 99, 32766, 32771, 32773, 32809, 32895, 32896, 32908, 32909, 32946, 32947)
COMPRESSIONS += (34661, 34676, 34677, 34712, 34887, 34892, 34925, 34926, 34927, 50000, 50001, 50002, 65535)
REFUSED = ("broken_film", "film_too_large")
PIXELS = grey().tobytes()


def entry(tag: int, value: int, kind: int = LONG, count: int = 1, *, order: str = "<", big: bool = False) -> bytes:
    return struct.pack(f"{order}HH{'QQ' if big else 'II'}", tag, kind, count, value)


def tiff(
    changes: Mapping[int, int | bytes | None] | None = None,
    data: bytes = PIXELS,
    *,
    order: str = "<",
    big: bool = False,
    following: int = 0,
    tail: bytes = b"",
) -> bytes:
    """Write a film of (48, 64) in one strip, with tags changed: to a value, to an entry of one's own, None for none."""
    start = (16 if big else 8) + len(data)
    tags: dict[int, int | bytes | None] = {WIDTH: 64, HEIGHT: 48, BITS: 8, COMPRESSION: 1, PHOTOMETRIC: 1}
    tags |= {STRIPS: 16 if big else 8, SAMPLES: 1, ROWS: 48, SIZES: len(data), **(changes or {})}
    entries = [
        value if isinstance(value, bytes) else entry(tag, value, order=order, big=big)
        for tag, value in sorted(tags.items())
        if value is not None
    ]
    mark = b"II" if order == "<" else b"MM"
    if big:
        head = mark + struct.pack(order + "HHHQ", 43, 8, 0, start)
        return head + data + struct.pack(order + "Q", len(entries)) + b"".join(entries) + bytes(8)
    head = mark + struct.pack(order + "HI", 42, start)
    return (
        head
        + data
        + struct.pack(order + "H", len(entries))
        + b"".join(entries)
        + struct.pack(order + "I", following)
        + tail
    )


def written(image: Image.Image, pages: int = 1, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, "TIFF", save_all=True, append_images=[image] * (pages - 1), **options)
    return out.getvalue()


GOOD = written(Image.fromarray(grey()), description="PLANTED^Jane")
_DIRECTORY = 8 + len(PIXELS)


def _films() -> Iterator[tuple[str, Case]]:
    yield "plain", Case(tiff(), OK)
    yield "big endian", Case(tiff(order=">"), OK)
    yield "with a name in its text", Case(GOOD, OK)
    yield "BigTIFF", Case(tiff(big=True), OK)
    yield "16 bits", Case(tiff({BITS: 16, FORMAT: 1}, PIXELS * 2), OK)
    yield "white is zero", Case(tiff({PHOTOMETRIC: 0}), OK)
    yield "two pages", Case(written(Image.fromarray(grey()), 2), OK, "several_frames")
    size, directory = len(tiff()), tiff()[_DIRECTORY:-4]
    for count in (3000, 30_000):
        pages = [directory + struct.pack("<I", size + n * (len(directory) + 4)) for n in range(1, count)]
        film = tiff(following=size) + b"".join(pages) + directory + bytes(4)
        yield f"{count} pages", bomb(film, "several_frames")
    for compression in (1, 5, DEFLATE, JPEG, 32773, 32946, 34925, 50000):
        names = {1: "raw", 5: "tiff_lzw", DEFLATE: "tiff_adobe_deflate", JPEG: "jpeg", 32773: "packbits"}
        names |= {32946: "tiff_deflate", 34925: "lzma", 50000: "zstd"}
        film = written(Image.fromarray(grey()), compression=names[compression])
        yield f"compressed by {names[compression]}", Case(film, OK, "broken_film")
        yield f"compressed by {names[compression]}, cut", Case(film[: len(film) // 2], "broken_film")
    for name, kinds in {"thumbnail": {SUBFILE: 1}, "mask": {SUBFILE: 4}, "old thumbnail": {OLD_SUBFILE: 2}}.items():
        page = tiff(kinds)[_DIRECTORY:]
        yield f"with a {name}", Case(tiff(following=len(tiff())) + page, OK)
    thumbnail = tiff({SUBFILE: 1})
    size, directory = len(thumbnail), thumbnail[_DIRECTORY:-4]
    pages = [directory + struct.pack("<I", size + n * (len(directory) + 4)) for n in range(1, 9000)]
    film = tiff({SUBFILE: 1}, following=size) + b"".join(pages) + directory + bytes(4)
    yield "9,000 thumbnails", bomb(film, "too_costly")
    for name, kinds in {
        "planar colour of 16 bits": {BITS: 16, PHOTOMETRIC: 2, SAMPLES: 3, PLANAR: 2},
        "inks of 16 bits": {BITS: 16, PHOTOMETRIC: 5, SAMPLES: 4},
        "floats of 64 bits": {BITS: 64, FORMAT: 3},
        "floats of 16 bits": {BITS: 16, FORMAT: 3},
        "a predictor without compression": {PREDICTOR: 2},
        "samples without number": {SAMPLES: 65535},
        "every strip the same": {ROWS: 1},
    }.items():
        yield name, Case(tiff(kinds, PIXELS * 8), ANY)
    for compression in (2, 3, 4, 32771):
        yield f"1 bit, compression {compression}", Case(tiff({BITS: 1, COMPRESSION: compression}), ANY)
    for compression in COMPRESSIONS:
        yield f"compression {compression} over raw pixels", Case(tiff({COMPRESSION: compression}), ANY)
    for orientation in range(10):
        yield f"orientation {orientation}", Case(tiff({ORIENTATION: orientation}), OK)
    for bits in (0, 1, 2, 3, 4, 7, 12, 24, 32, 64, 128, 65535):
        yield f"{bits} bits", Case(tiff({BITS: bits}), ANY)
        yield f"{bits} bits, enough of them", Case(tiff({BITS: bits}, PIXELS * 16), ANY)
    for kind in (0, 2, 3, 4, 5, 6, 7):
        for bits in (8, 16, 32, 64):
            yield f"sample format {kind}, {bits} bits", Case(tiff({BITS: bits, FORMAT: kind}, PIXELS * 8), ANY)
    for name, number in {"NaN": b"\0\0\xc0\x7f", "infinity": b"\0\0\x80\x7f", "-1e38": b"\x99\x76\x96\xfe"}.items():
        yield f"floats of {name}", Case(tiff({BITS: 32, FORMAT: 3}, number * 3072), OK, "broken_film")
        yield f"a float of {name}", Case(tiff({BITS: 32, FORMAT: 3}, number + bytes(3071 * 4)), OK, "broken_film")


def _lies() -> Iterator[tuple[str, Case]]:
    for tag, values in {
        PHOTOMETRIC: (2, 3, 4, 5, 6, 8, 9, 10, 32803, 65535),
        SAMPLES: (0, 2, 3, 4, 5, 255, 65535),
        PLANAR: (0, 2, 3),
        PREDICTOR: (2, 3, 99),
        ROWS: (0, 1, 7, 1 << 31, 0xFFFFFFFF),
        SIZES: (0, 1, 3071, 3073, 0xFFFFFFFF),
        STRIPS: (0, 1, 3, _DIRECTORY, 0x7FFFFFFF, 0xFFFFFFFF),
        EXTRA: (0, 1, 2, 99),
        COLOURS: (0, 1),
        SUB: (8, _DIRECTORY, 0xFFFFFFFF),
        34665: (8, _DIRECTORY, 0xFFFFFFFF),
        34853: (8, _DIRECTORY, 0xFFFFFFFF),
        TABLES: (8, 0xFFFFFFFF),
        37724: (8, 0xFFFFFFFF),
        266: (2, 99),
        259: (2,),
    }.items():
        for value in values:
            yield f"tag {tag} is {value}", Case(tiff({tag: value}), ANY)
    for tag in (WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, STRIPS, SAMPLES, ROWS, SIZES):
        yield f"no tag {tag}", Case(tiff({tag: None}), ANY)
        for kind in (0, 2, 5, 12, 99):
            yield f"tag {tag} of type {kind}", Case(tiff({tag: entry(tag, 48, kind)}), ANY)
        for count in (0, 2, 0xFFFFFFFF):
            yield f"tag {tag} of {count} values", Case(tiff({tag: entry(tag, 8, LONG, count)}), ANY)
    yield "a text of 4 GB", Case(tiff({TEXT: entry(TEXT, 8, 2, 0xFFFFFFFF)}), ANY)
    long = {TEXT + n: entry(TEXT + n, 8, 2, 1 << 20) for n in range(1 << 11, 3 << 10)}
    yield "1,024 times the same text of a megabyte", Case(tiff(long, PIXELS + bytes(1 << 20)), ANY)
    for name, size in {"0 x 48": (0, 48), "64 x 0": (64, 0), "0 x 0": (0, 0)}.items():
        yield name, Case(tiff({WIDTH: size[0], HEIGHT: size[1]}), "broken_film")
    for width, height in ((1 << 31, 1 << 31), (0xFFFFFFFF, 1), (32_000, 32_000), (8001, 8000)):
        yield f"{width} x {height}", bomb(tiff({WIDTH: width, HEIGHT: height, ROWS: height}), *REFUSED)
    giant = {WIDTH: 32_000, HEIGHT: 32_000, ROWS: 32_000, COMPRESSION: DEFLATE}
    yield "32,000 x 32,000 with every pixel", bomb(tiff(giant, zeros(1 << 30)), "film_too_large")
    yield "a gigabyte behind 64 x 48", Case(tiff({COMPRESSION: DEFLATE}, zeros(1 << 30)), ANY)
    yield "4,000 x 6,000 of which little is there", Case(tiff({WIDTH: 6000, HEIGHT: 4000, ROWS: 4000}), "broken_film")
    tiles = {STRIPS: None, SIZES: None, ROWS: None, TILES: 8, TILE_SIZES: 3072, TILE_WIDTH: 64, TILE_HEIGHT: 48}
    yield "one tile", Case(tiff(tiles), OK)
    for width, height in ((0, 48), (64, 0), (1, 1), (16, 16), (65535, 65535), (1 << 31, 1 << 31), (0xFFFFFFFF, 1)):
        lie = tiles | {TILE_WIDTH: width, TILE_HEIGHT: height}
        yield f"tiles of {width} x {height}", Case(tiff(lie), ANY)
        deflated = zlib.compress(PIXELS)
        packed = tiff(lie | {COMPRESSION: DEFLATE, TILE_SIZES: len(deflated)}, deflated)
        yield f"deflated tiles of {width} x {height}", Case(packed, ANY)


def _structures() -> Iterator[tuple[str, Case]]:
    film = tiff()
    for name, following in {
        "comes after itself": _DIRECTORY,
        "is followed by pixels": 8,
        "is followed by the file's end": len(film),
        "is followed by nothing": 0xFFFFFFFF,
        "is followed by the header": 0,
        "is followed by an odd place": 11,
    }.items():
        yield f"a directory that {name}", Case(tiff(following=following), ANY)
    first = tiff(following=len(film))
    yield "two directories in a ring", Case(first + film[_DIRECTORY:-4] + struct.pack("<I", _DIRECTORY), ANY)
    second = tiff({WIDTH: 32_000, HEIGHT: 32_000})[_DIRECTORY:]
    yield "a second page of 32,000 x 32,000", bomb(first + second, "film_too_large", "several_frames")
    yield "a second page that is cut", Case(first + film[_DIRECTORY:-40], ANY)
    empty = b"".join(struct.pack("<HI", 0, len(film) + 6 * (n + 1)) for n in range(50_000))
    yield "50,000 empty directories", Case(first + empty, ANY)
    for name, data in {
        "no directory": film[:8],
        "a directory at 0": film[:4] + bytes(4) + film[8:],
        "a directory beyond the end": film[:4] + b"\xff" * 4 + film[8:],
        "a directory of no entry": film[:_DIRECTORY] + bytes(6),
        "a directory that is cut": film[: _DIRECTORY + 40],
        "a header that is cut": film[:6],
        "a signature": film[:4],
        "a header of big TIFF with offsets of 5 bytes": b"II+\0\5\0\0\0" + film[8:],
        "a directory of big TIFF at 2^63": b"II+\0\x08\0\0\0" + b"\xff" * 8 + film,
    }.items():
        yield name, Case(data, "broken_film", "unsupported_format")
    yield "a directory of 65,535 entries", Case(film[:_DIRECTORY] + b"\xff\xff" + film[_DIRECTORY + 2 :], ANY)
    big = tiff(big=True)
    at = 16 + len(PIXELS)
    yield "a directory of 2^64 - 1 entries", Case(big[:at] + b"\xff" * 8 + big[at + 8 :], ANY)
    for count in (1 << 31, 1 << 63):
        lie = tiff({STRIPS: entry(STRIPS, 16, LONG8, count, big=True)}, big=True)
        yield f"{count} strips", Case(lie, ANY)
    jpeg = io.BytesIO()
    Image.fromarray(grey(480, 640)).save(jpeg, "JPEG")
    inside = {COMPRESSION: JPEG, SIZES: len(jpeg.getvalue())}
    yield "a JPEG of another size", Case(tiff(inside, jpeg.getvalue()), ANY)
    for size in (65500, 8000):
        lie = bytearray(jpeg.getvalue())
        struct.pack_into(">HH", lie, lie.index(b"\xff\xc0") + 5, size, size)
        yield f"a JPEG of {size} x {size}", Case(tiff(inside, bytes(lie)), ANY)
        old = {COMPRESSION: 6, 513: 8, 514: len(lie), PHOTOMETRIC: 6}
        yield f"an old JPEG of {size} x {size}", Case(tiff(old, bytes(lie)), ANY)
    yield "a zip behind it", Case(GOOD + b"PK\3\4PLANTED" + b"PK\5\6" + bytes(18), OK)


CASES = named(_films(), _lies(), _structures())
