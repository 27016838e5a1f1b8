"""Films with a few things wrong, drawn from a seed: the same seed gives the same bytes for ever."""

import io
import struct
import zlib
from collections.abc import Callable

import numpy as np
from PIL import Image

from tests.hostile import dicom, jpeg, png, tiff
from tests.hostile.case import grey

KINDS = ("png", "jpeg", "tiff", "dicom")
_NUMBERS = (0, 1, 2, 3, 7, 8, 16, 32, 64, 100, 127, 128, 255, 256, 4096, 32767, 32768, 65535, 1 << 16)
_NUMBERS += (1 << 24, 0x7FFFFFFF, 0x80000000, 0xFFFFFFF0, 0xFFFFFFFE, 0xFFFFFFFF)
_HEAD = 512
_MOST_BYTES = 1 << 20

Parts = list[tuple[int, int]]


def mutation(seed: int) -> tuple[str, bytes]:
    """Give the kind of film that was taken, and what became of it."""
    rng = np.random.default_rng([20_240_229, seed])
    kind = KINDS[seed % len(KINDS)]
    data = bytearray(_pick(rng, _FILMS[kind]))
    for _ in range(rng.integers(1, 5)):
        _pick(rng, _WAYS)(rng, kind, data)
        del data[_MOST_BYTES:]
    if kind == "png" and rng.random() < 0.8:
        _mend(data)
    return kind, bytes(data)


def _pick(rng: np.random.Generator, choices):
    return choices[rng.integers(len(choices))]


def _place(rng: np.random.Generator, data: bytearray) -> int:
    """Choose a place, one of two in the header, where a film says what it is."""
    most = min(len(data), _HEAD) if rng.random() < 0.5 else len(data)
    return int(rng.integers(max(most, 1)))


def _span(rng: np.random.Generator, data: bytearray) -> slice:
    start = _place(rng, data)
    return slice(start, start + int(rng.integers(1, 1 << rng.integers(1, 12))))


# --- that know nothing of the format ----------------------------------------------------------------------------------


def _flip(rng: np.random.Generator, kind: str, data: bytearray) -> None:
    for _ in range(rng.integers(1, 9)):
        if data:
            data[_place(rng, data)] ^= 1 << int(rng.integers(8))


def _put(rng: np.random.Generator, kind: str, data: bytearray) -> None:
    _write(rng, data, _place(rng, data))


def _write(rng: np.random.Generator, data: bytearray, at: int) -> None:
    size = _pick(rng, (1, 2, 4))
    number = _pick(rng, _NUMBERS) % (1 << 8 * size)
    data[at : at + size] = number.to_bytes(size, _pick(rng, ("little", "big")))


def _cut(rng: np.random.Generator, kind: str, data: bytearray) -> None:
    del data[_place(rng, data) :]


def _remove(rng: np.random.Generator, kind: str, data: bytearray) -> None:
    del data[_span(rng, data)]


def _repeat(rng: np.random.Generator, kind: str, data: bytearray) -> None:
    span = _span(rng, data)
    data[span] = data[span] * int(rng.integers(2, 50))


def _insert(rng: np.random.Generator, kind: str, data: bytearray) -> None:
    at = _place(rng, data)
    data[at:at] = rng.bytes(int(rng.integers(1, 64)))


def _splice(rng: np.random.Generator, kind: str, data: bytearray) -> None:
    other = _pick(rng, _FILMS[kind if rng.random() < 0.7 else _pick(rng, KINDS)])
    data[_place(rng, data) :] = other[int(rng.integers(len(other))) :]


# --- that take a film's chunks, segments, entries and elements apart --------------------------------------------------


def _drop_part(rng: np.random.Generator, kind: str, data: bytearray) -> None:
    if found := parts(kind, data):
        start, stop = _pick(rng, found)
        del data[start:stop]


def _repeat_part(rng: np.random.Generator, kind: str, data: bytearray) -> None:
    if found := parts(kind, data):
        start, stop = _pick(rng, found)
        data[stop:stop] = data[start:stop] * int(rng.integers(1, 5))


def _swap_parts(rng: np.random.Generator, kind: str, data: bytearray) -> None:
    if found := parts(kind, data):
        (a, b), (c, d) = sorted((_pick(rng, found), _pick(rng, found)))
        if b <= c:
            data[a:d] = data[c:d] + data[b:c] + data[a:b]


def _foreign_part(rng: np.random.Generator, kind: str, data: bytearray) -> None:
    other = bytearray(_pick(rng, _FILMS[kind]))
    if (found := parts(kind, data)) and (theirs := parts(kind, other)):
        (start, stop), (first, last) = _pick(rng, found), _pick(rng, theirs)
        data[start:stop] = other[first:last]


def _lie_in_part(rng: np.random.Generator, kind: str, data: bytearray) -> None:
    if found := parts(kind, data):
        start, stop = _pick(rng, found)
        _write(rng, data, start + int(rng.integers(min(stop - start, 24))))


_WAYS: tuple[Callable[[np.random.Generator, str, bytearray], None], ...] = (
    *(_flip, _put, _cut, _remove, _repeat, _insert, _splice),
    *(_drop_part, _repeat_part, _swap_parts, _foreign_part, _lie_in_part, _lie_in_part, _lie_in_part),
)


def parts(kind: str, data: bytearray) -> Parts:
    """Give where each part of a film starts and ends, as far as it can still be taken apart."""
    found: Parts = []
    at = {"png": 8, "jpeg": 2, "tiff": 0, "dicom": 132}[kind]
    try:
        if kind == "tiff":
            order = "<" if data[:1] == b"I" else ">"
            (at,) = struct.unpack_from(order + "I", data, 4)
            (count,) = struct.unpack_from(order + "H", data, at)
            return [
                (at + 2 + 12 * n, at + 14 + 12 * n) for n in range(min(count, 999)) if at + 14 + 12 * n <= len(data)
            ]
        while at < len(data) and len(found) < 999:
            end = at + _LENGTHS[kind](data, at)
            if not at < end <= len(data):
                break
            found.append((at, end))
            at = end
    except struct.error:
        pass
    return found


def _element(data: bytearray, at: int) -> int:
    vr = bytes(data[at + 4 : at + 6]).decode("latin-1")
    if vr in dicom.LONG_VRS:
        return 12 + int(struct.unpack_from("<I", data, at + 8)[0])
    if vr.isupper():
        return 8 + int(struct.unpack_from("<H", data, at + 6)[0])
    return 8 + int(struct.unpack_from("<I", data, at + 4)[0])


_LENGTHS: dict[str, Callable[[bytearray, int], int]] = {
    "png": lambda data, at: 12 + int(struct.unpack_from(">I", data, at)[0]),
    "jpeg": lambda data, at: 2 + int(struct.unpack_from(">H", data, at + 2)[0]),
    "dicom": _element,
}


def _mend(data: bytearray) -> None:
    """Give every chunk of a PNG its checksum again, without which a reader looks no further."""
    for start, stop in parts("png", data):
        struct.pack_into(">I", data, stop - 4, zlib.crc32(data[start + 4 : stop - 4]))


def _written(image: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


_GREY = Image.fromarray(grey())
_COLOUR = _GREY.convert("RGB")
_DEEP = Image.fromarray(grey().astype(np.uint16) * 16)
_FILMS: dict[str, tuple[bytes, ...]] = {
    "png": (
        png.GOOD,
        _written(_DEEP, "PNG"),
        _written(_COLOUR, "PNG"),
        _written(_GREY.convert("P"), "PNG", transparency=3),
        _written(_GREY.convert("1"), "PNG"),
        _written(_GREY.convert("LA"), "PNG"),
        png.CASES["colour type 0, 8 bits, interlaced"].data,
        png.CASES["animated"].data,
    ),
    "jpeg": (
        jpeg.GOOD,
        jpeg.GREY,
        jpeg.PROGRESSIVE,
        jpeg.RESTARTING,
        jpeg.CASES["CMYK"].data,
        jpeg.CASES["progressive in colour"].data,
        jpeg.CASES["EXIF: orientation 6"].data,
    ),
    "tiff": (
        tiff.GOOD,
        tiff.tiff(),
        tiff.tiff(order=">"),
        tiff.CASES["one tile"].data,
        tiff.CASES["16 bits"].data,
        tiff.CASES["two pages"].data,
        *(_written(_GREY, "TIFF", compression=name) for name in ("tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg")),
        _written(_COLOUR, "TIFF", compression="jpeg"),
        _written(_GREY.convert("1"), "TIFF", compression="group4"),
        _written(_GREY.convert("F"), "TIFF"),
    ),
    "dicom": (
        *dicom.GOOD.values(),
        dicom.dicom(),
        dicom.CASES["plain, implicit"].data,
        dicom.CASES["plain, big endian"].data,
        dicom.CASES["palette"].data,
        dicom.CASES["JPEG"].data,
        dicom.CASES["VOILUTs with a table of 256 entries"].data,
        dicom.CASES["sequences 10 deep, lengths stated"].data,
        dicom.CASES["JPEG-LS: two fragments of a frame"].data,
    ),
}
