"""JPEG files whose segments say what is not so (T.81)."""

import io
import struct
from collections.abc import Iterator

import numpy as np
from PIL import Image

from tests.hostile.case import ANY, OK, Case, bomb, grey, named

START, END = b"\xff\xd8", b"\xff\xd9"
SOF, DHT, RST0, EOI, SOS, DQT, DNL, DRI, APP1, APP2, COM = (
    0xC0,
    0xC4,
    0xD0,
    0xD9,
    0xDA,
    0xDB,
    0xDC,
    0xDD,
    0xE1,
    0xE2,
    0xFE,
)
FRAMES = sorted(set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC})
TIFF = b"Exif\0\0II*\0\x08\0\0\0"
REFUSED = ("broken_film", "film_too_large")


def encode(pixels: np.ndarray, mode: str | None = None, **options: object) -> bytes:
    out = io.BytesIO()
    image = Image.fromarray(pixels)
    (image.convert(mode) if mode else image).save(out, "JPEG", quality=85, **options)
    return out.getvalue()


def segment(marker: int, body: bytes = b"", *, length: int | None = None) -> bytes:
    """Write a segment; a length of one's own is a lie."""
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2 if length is None else length) + body


def segments(jpeg: bytes) -> list[tuple[int, bytes]]:
    """Give each segment's marker and its bytes, those of a scan with the coded data behind it."""
    found, at = [], 2
    while at < len(jpeg) and jpeg[at + 1] != EOI:
        end = at + 2 + int.from_bytes(jpeg[at + 2 : at + 4])
        if jpeg[at + 1] == SOS:
            while jpeg[end] != 0xFF or jpeg[end + 1] == 0 or RST0 <= jpeg[end + 1] < RST0 + 8:
                end += 1
        found.append((jpeg[at + 1], jpeg[at:end]))
        at = end
    return found


def joined(parts: list[tuple[int, bytes]], end: bytes = END) -> bytes:
    return START + b"".join(data for _, data in parts) + end


def without(marker: int, jpeg: bytes) -> bytes:
    return joined([part for part in segments(jpeg) if part[0] != marker])


def before_scan(jpeg: bytes, extra: bytes) -> bytes:
    at = jpeg.index(b"\xff\xda")
    return jpeg[:at] + extra + jpeg[at:]


def framed(jpeg: bytes, *, marker: int | None = None, **fields: int) -> bytes:
    """Rewrite the frame header: precision, rows, columns, components, and of its first one sampling and table."""
    at = next(i for i in range(len(jpeg)) if jpeg[i] == 0xFF and jpeg[i + 1] in FRAMES)
    places = {"precision": (4, "B"), "rows": (5, ">H"), "columns": (7, ">H"), "components": (9, "B")}
    places |= {"sampling": (11, "B"), "table": (12, "B")}
    changed = bytearray(jpeg)
    for name, value in fields.items():
        offset, kind = places[name]
        struct.pack_into(kind, changed, at + offset, value)
    if marker is not None:
        changed[at + 1] = marker
    return bytes(changed)


def exif(*entries: bytes, following: int = 0) -> bytes:
    return TIFF + struct.pack("<H", len(entries)) + b"".join(entries) + struct.pack("<I", following)


def entry(tag: int, kind: int, count: int, value: int) -> bytes:
    return struct.pack("<HHII", tag, kind, count, value)


def many_scans(size: int, scans: int) -> bytes:
    """Give a progressive film of (size, size) that is gone through so many times, and holds next to nothing."""
    head = segment(DQT, b"\0" + b"\1" * 64) + segment(0xC2, struct.pack(">BHHB3B", 8, size, size, 1, 1, 0x11, 0))
    # One code each: for a DC difference of 0, and in the AC table for a run of 32,767 blocks that have ended.
    tables = segment(DHT, b"\0" + b"\1" + bytes(15) + b"\0") + segment(DHT, b"\x10" + b"\1" + bytes(15) + b"\xe0")
    blocks = (size // 8) ** 2
    first = segment(SOS, bytes([1, 1, 0, 0, 0, 0])) + bytes(-(-blocks // 8))
    runs = ("0" + "1" * 14) * -(-blocks // 32767)
    packed = int(runs.ljust(-(-len(runs) // 8) * 8, "1"), 2).to_bytes(-(-len(runs) // 8)).replace(b"\xff", b"\xff\0")
    again = segment(SOS, bytes([1, 1, 0, 1, 63, 0])) + packed
    return START + head + tables + first + again * scans + END


GREY = encode(grey())
COLOUR = encode(np.dstack([grey()] * 3), comment=b"PLANTED^Jane")
PROGRESSIVE = encode(grey(), progressive=True)
RESTARTING = encode(grey(96, 128), restart_marker_rows=1)
GOOD = COLOUR


def _films() -> Iterator[tuple[str, Case]]:
    for name, data in {
        "grey": GREY,
        "colour": COLOUR,
        "CMYK": encode(np.dstack([grey()] * 3), "CMYK"),
        "progressive": PROGRESSIVE,
        "progressive in colour": encode(np.dstack([grey()] * 3), progressive=True),
        "full chroma": encode(np.dstack([grey()] * 3), subsampling=0),
        "quarter chroma": encode(np.dstack([grey()] * 3), subsampling=2),
        "restarting": RESTARTING,
        "of one pixel": encode(grey(1, 1)),
        "of one column": encode(grey(2000, 1)),
        "of one row": encode(grey(1, 2000)),
        "without its JFIF header": without(0xE0, GREY),
        "with two JFIF headers": joined([segments(GREY)[0], *segments(GREY)]),
        "with PHP behind it": GREY + b"<?php system($_GET['PLANTED']); ?>",
        "with PHP in its comment": before_scan(GREY, segment(COM, b"<?php echo 'PLANTED'; ?>")),
        "with a hundred comments of 64 kB": before_scan(GREY, segment(COM, b"PLANTED" * 9361) * 100),
        "with 20,000 empty comments": before_scan(GREY, segment(COM) * 20_000),
        "without an end": GREY[:-2],
        "with bytes of 0xFF between its segments": GREY.replace(b"\xff\xda", b"\xff" * 999 + b"\xff\xda"),
        "with a start within": before_scan(GREY, START),
    }.items():
        yield name, Case(data, *((OK,) if name != "with a start within" else (ANY,)))
    yield (
        "YCCK",
        Case(framed(encode(np.dstack([grey()] * 3), "CMYK").replace(b"Adobe\0d\0\0\0\0\0", b"Adobe\0d\0\0\0\0\2")), OK),
    )
    for marker in FRAMES[1:]:
        yield f"frame header {marker:#x} over a baseline scan", Case(framed(GREY, marker=marker), ANY)
        yield f"frame header {marker:#x} over a progressive scan", Case(framed(PROGRESSIVE, marker=marker), ANY)
    for bits in (0, 1, 16, 255):
        yield f"{bits} bits", Case(framed(GREY, precision=bits), "broken_film")
    yield "12 bits", Case(framed(GREY, precision=12), "unsupported_format")
    yield "12 bits, extended", Case(framed(GREY, precision=12, marker=0xC1), "unsupported_format")
    yield "16 bits, lossless", Case(framed(GREY, precision=16, marker=0xC3), "unsupported_format")
    yield "JPEG-LS", Case(framed(GREY, marker=0xF7), "unsupported_format")


def _sizes() -> Iterator[tuple[str, Case]]:
    for rows, columns in ((0, 64), (48, 0), (0, 0)):
        yield f"{rows} rows, {columns} columns", Case(framed(GREY, rows=rows, columns=columns), "broken_film")
    for rows, columns in ((65500, 65500), (65535, 65535), (8001, 8000)):
        for kind, jpeg in (("", GREY), (" progressive", PROGRESSIVE)):
            yield f"{rows} x {columns}{kind}", bomb(framed(jpeg, rows=rows, columns=columns), "film_too_large")
    for rows, columns in ((48, 640), (480, 64), (2400, 3200), (65535, 1), (1, 65535)):
        for kind, jpeg in (("", GREY), (" progressive", PROGRESSIVE)):
            yield (
                f"{rows} x {columns}{kind} of which little is there",
                Case(framed(jpeg, rows=rows, columns=columns), ANY),
            )
    for rows, columns in ((8, 8), (47, 63)):
        yield f"{rows} x {columns} of which too much is there", Case(framed(GREY, rows=rows, columns=columns), OK)
    lines = segment(DNL, struct.pack(">H", 48))
    yield "lines that DNL announces", Case(framed(GREY, rows=0)[:-2] + lines + END, "broken_film")
    yield "DNL that contradicts", Case(GREY[:-2] + segment(DNL, b"\xff\xff") + END, OK)


def _segments() -> Iterator[tuple[str, Case]]:
    for count in (0, 2, 4, 5, 255):
        yield f"{count} components announced", Case(framed(GREY, components=count), "broken_film")
    for sampling in (0x00, 0x10, 0x01, 0x44, 0x55, 0xFF):
        yield f"sampling {sampling:#04x}", Case(framed(COLOUR, sampling=sampling), ANY)
    for table in (1, 3, 4, 255):
        yield f"quantisation table {table}", Case(framed(GREY, table=table), ANY)
    for marker, name in ((DQT, "quantisation table"), (SOF, "frame header"), (SOS, "scan")):
        yield f"no {name}", Case(without(marker, GREY), ANY if marker == DQT else "broken_film")
    yield "no Huffman tables", Case(without(DHT, GREY), ANY)
    parts = segments(GREY)
    for number, (marker, _) in enumerate(parts):
        doubled = [*parts[: number + 1], *parts[number:]]
        yield f"segment {number} ({marker:#x}) twice", Case(joined(doubled), ANY)
        swapped = [*parts[:number], *reversed(parts[number : number + 2]), *parts[number + 2 :]]
        yield f"segments {number} and {number + 1} swapped", Case(joined(swapped), ANY)
        start = len(joined(parts[:number], b""))
        yield f"cut before segment {number} ({marker:#x})", Case(GREY[:start], ANY)
        for length in (0, 1, 2, 0xFFFF):
            lie = bytearray(GREY)
            struct.pack_into(">H", lie, start + 2, length)
            yield f"segment {number} ({marker:#x}) of {length} bytes", Case(bytes(lie), ANY)
    yield "cut in its scan", Case(GREY[: len(GREY) - 200], ANY)
    yield "cut after its signature", Case(GREY[:3], "broken_film")
    yield "a signature and zeros", Case(GREY[:3] + bytes(1 << 20), "broken_film")
    yield "a signature and half a megabyte of 0xFF", Case(b"\xff\xd8" + b"\xff" * (1 << 19), "broken_film")
    yield "two films in one", Case(GREY + GREY, OK)
    yield "Huffman codes beyond 16 bits", Case(before_scan(GREY, segment(DHT, b"\0" + b"\xff" * 16 + bytes(255))), ANY)
    yield "Huffman tables of no code", Case(before_scan(GREY, segment(DHT, bytes(17))), ANY)
    yield "quantised by 0", Case(before_scan(GREY, segment(DQT, bytes(65))), ANY)
    yield "quantised by 16 bits", Case(before_scan(GREY, segment(DQT, b"\x10" + b"\xff" * 128)), ANY)


def _marginalia() -> Iterator[tuple[str, Case]]:
    scan = RESTARTING.index(b"\xff\xda")
    for name, data in {
        "out of order": RESTARTING[:scan] + RESTARTING[scan:].replace(b"\xff\xd0", b"\xff\xd5"),
        "missing": RESTARTING[:scan] + RESTARTING[scan:].replace(b"\xff\xd1", b""),
        "one after the other": RESTARTING[:scan] + RESTARTING[scan:].replace(b"\xff\xd1", b"\xff\xd1" * 5000),
        "that nobody announced": without(DRI, RESTARTING),
        "announced after every block": before_scan(GREY, segment(DRI, b"\0\1")),
    }.items():
        yield f"restart markers {name}", Case(data, ANY)
    for name, body in {
        "orientation 6": exif(entry(0x112, 3, 1, 6)),
        "orientation 0": exif(entry(0x112, 3, 1, 0)),
        "orientation 9": exif(entry(0x112, 3, 1, 9)),
        "orientation 65,535": exif(entry(0x112, 3, 1, 65535)),
        "orientation as text": exif(entry(0x112, 2, 4, 0x36363636)),
        "orientation of 2^32 - 1 values": exif(entry(0x112, 3, 0xFFFFFFFF, 8)),
        "orientation of type 99": exif(entry(0x112, 99, 1, 6)),
        "a directory that is its own": exif(entry(0x8769, 4, 1, 8), following=8),
        "a directory of 65,535 entries": TIFF + b"\xff\xff",
        "a directory of 4,000 entries": exif(*(entry(tag, 4, 1, 1) for tag in range(4000))),
        "a directory beyond its end": b"Exif\0\0II*\0\xff\xff\xff\xff",
        "a text of 4 GB": exif(entry(0x10E, 2, 0xFFFFFFFF, 8)),
        "texts of 65 kB, a thousand times the same": exif(*(entry(0x10E + n, 2, 60_000, 8) for n in range(1000)))
        + bytes(50_000),
        "text where numbers should be": b"Exif\0\0PLANTED" * 9,
        "nothing": b"Exif\0\0",
        "big TIFF": b"Exif\0\0II+\0\x08\0\0\0" + b"\xff" * 8,
        "a maker's note": exif(entry(0x8769, 4, 1, 8), entry(0x927C, 7, 0xFFFF, 8)),
        "a position": exif(entry(0x8825, 4, 1, 8)),
    }.items():
        yield f"EXIF: {name}", Case(before_scan(GREY, segment(APP1, body)), ANY)
    icc = b"ICC_PROFILE\0"
    for name, extra in {
        "colour profile in 255 parts": b"".join(
            segment(APP2, icc + bytes([n, 255]) + bytes(9999)) for n in range(1, 256)
        ),
        "colour profile of lies": segment(APP2, icc + b"\0\0") * 9,
        "several pictures announced": segment(
            APP2, b"MPF\0II*\0\x08\0\0\0\1\0\1\xb0\4\0\1\0\0\0\xff\xff\xff\xff\0\0\0\0"
        ),
        "Photoshop resources of lies": segment(0xED, b"Photoshop 3.0\0" + b"8BIM\4\4\0\0\xff\xff\xff\xff" * 99),
        "XMP": segment(APP1, b"http://ns.adobe.com/xap/1.0/\0<!DOCTYPE x [<!ENTITY a 'PLANTED'>]><x>&a;</x>"),
        "Adobe's marker cut short": segment(0xEE, b"Adobe"),
        "JFIF density 0": segment(0xE0, b"JFIF\0\1\1\1\0\0\0\0\0\0"),
        "JFIF cut short": segment(0xE0, b"JFIF\0"),
        "an unknown marker": segment(0xF0, b"PLANTED"),
    }.items():
        yield name, Case(before_scan(GREY, extra), ANY)
    yield "gone through 20 times", Case(many_scans(64, 20), OK)
    yield "gone through 3,000 times", bomb(many_scans(5472, 3000), "too_costly")
    yield "gone through 200,000 times", bomb(many_scans(64, 200_000), "too_costly")


CASES = named(_films(), _sizes(), _segments(), _marginalia())
