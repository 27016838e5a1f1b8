"""Compressed streams inside DICOM with a few things wrong: JPEG 2000, JPEG-LS, RLE and lossless JPEG, from a seed."""

import io
import struct
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pydicom
from PIL import Image
from pydicom.encaps import generate_frames

from tests.hostile.case import grey
from tests.hostile.dicom import JPEG_2000, JPEG_LS, RLE, dicom, fragments, rle, text, us

LOSSLESS = "1.2.840.10008.1.2.4.70"
_SHIPPED = Path(pydicom.__file__).parent / "data" / "test_files"
_NUMBERS = (0, 1, 2, 3, 4, 7, 8, 15, 16, 31, 32, 33, 63, 64, 127, 128, 255, 256, 511, 1024, 4095, 32767, 32768, 65535)
_NUMBERS += (1 << 16, 1 << 24, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)
_BYTES = (0, 1, 2, 3, 4, 5, 8, 0x10, 0x11, 0x14, 0x22, 0x41, 0x7F, 0x80, 0xFF)
_HEAD = 700
_BITS = 12


def mutation(seed: int) -> tuple[str, bytes]:
    """Give the kind of stream that was taken, and the film that holds what became of it: the header stays as it was."""
    rng = np.random.default_rng([20_261_129, seed])
    kind = KINDS[seed % len(KINDS)]
    films = FILMS[kind]()
    head, stream = films[rng.integers(len(films))]
    data = bytearray(stream)
    for _ in range(rng.integers(1, 5)):
        _WAYS[rng.integers(len(_WAYS))](rng, data, films[rng.integers(len(films))][1])
    return kind, dicom(pixels=fragments(bytes(data)), **head)


def _place(rng: np.random.Generator, data: bytearray) -> int:
    """Choose a place, mostly in the header, where a stream says what it is."""
    return int(rng.integers(max(1, min(len(data), int(rng.choice((64, 128, 200, 400, 1 << 30)))))))


def _segments(data: bytearray) -> list[int]:
    """Give where something lies in the header that may be a marker."""
    return [at for at in range(2, min(len(data) - 6, _HEAD)) if data[at] == 0xFF and 0x40 <= data[at + 1] < 0xFF]


def _flip(rng: np.random.Generator, data: bytearray, other: bytes) -> None:
    if data:
        data[_place(rng, data)] ^= 1 << int(rng.integers(8))


def _put(rng: np.random.Generator, data: bytearray, other: bytes) -> None:
    size, at = int(rng.choice((1, 2, 4))), _place(rng, data)
    data[at : at + size] = (int(rng.choice(_NUMBERS)) % (1 << 8 * size)).to_bytes(size, "big")


def _cut_out(rng: np.random.Generator, data: bytearray, other: bytes) -> None:
    at = _place(rng, data)
    del data[at : at + int(rng.integers(1, 40))]


def _repeat(rng: np.random.Generator, data: bytearray, other: bytes) -> None:
    at = _place(rng, data)
    data[at:at] = data[at : at + int(rng.integers(1, 60))] * int(rng.integers(1, 4))


def _splice(rng: np.random.Generator, data: bytearray, other: bytes) -> None:
    data[_place(rng, data) :] = other[int(rng.integers(len(other))) :]


def _lie(rng: np.random.Generator, data: bytearray, other: bytes) -> None:
    """Change up to three bytes of one segment."""
    if found := _segments(data):
        start = int(rng.choice(found))
        size = max(4, min(60, int.from_bytes(data[start + 2 : start + 4]) + 2))
        for at in start + rng.integers(0, size, rng.integers(1, 4)):
            if at < len(data):
                data[at] = int(rng.choice(_BYTES))


def _move_segment(rng: np.random.Generator, data: bytearray, other: bytes) -> None:
    """Drop a segment, or put it where there is another already."""
    if found := _segments(data):
        start = int(rng.choice(found))
        segment = data[start : start + 2 + int.from_bytes(data[start + 2 : start + 4])]
        if rng.random() < 0.4:
            del data[start : start + len(segment)]
        else:
            at = int(rng.choice(found))
            data[at:at] = segment


_WAYS: tuple[Callable[[np.random.Generator, bytearray, bytes], None], ...] = (
    *(_flip, _flip, _put, _put, _cut_out, _repeat, _splice, _lie, _lie, _lie, _move_segment),
)

Film = tuple[dict[str, object], bytes]


def _head(syntax: str, pixels: np.ndarray, bits: int) -> dict[str, object]:
    """Give what the file says of such pixels."""
    allocated = pixels.dtype.itemsize * 8
    colour = {"Samples": us(3), "Photometric": b"RGB ", "Planar": us(0)} if pixels.ndim == 3 else {}
    return {
        **{"named": syntax, "Rows": us(pixels.shape[0]), "Columns": us(pixels.shape[1]), "Allocated": us(allocated)},
        **{"Stored": us(bits), "High": us(bits - 1), "Centre": text(str(1 << bits - 1)), "Width": text(str(1 << bits))},
        **colour,
    }


_DEEP = grey().astype(np.uint16) * 16
_COLOUR = np.stack([grey(), grey() // 2, 255 - grey()], axis=-1)
_LAYOUTS: tuple[dict[str, object], ...] = (
    *({}, {"tile_size": (16, 16)}, {"quality_layers": [20, 10, 5]}, {"precinct_size": (32, 32)}),
    *({"progression": "RPCL", "num_resolutions": 4}, {"codeblock_size": (8, 8)}, {"irreversible": True}),
)


@cache
def _jpeg_2000() -> list[Film]:
    films: list[Film] = []
    for pixels, bits in ((grey(), 8), (_DEEP, _BITS), (_COLOUR, 8)):
        for layout in _LAYOUTS:
            out = io.BytesIO()
            Image.fromarray(pixels).save(out, "JPEG2000", no_jp2=True, **layout)
            films.append((_head(JPEG_2000, pixels, bits), out.getvalue()))
    out = io.BytesIO()
    Image.fromarray(grey()).save(out, "JPEG2000")  # in its wrapper
    return [*films, *((_head(JPEG_2000, grey(), 8), boxed) for boxed in (out.getvalue(), with_palette(out.getvalue())))]


def with_palette(file: bytes, columns: int = 3) -> bytes:
    """Put a palette of so many columns among the boxes of a JP2 file (T.800 I.5.3.4, I.5.3.5)."""
    entries = b"".join(bytes([value] * columns) for value in range(256))
    palette = struct.pack(">HB", 256, columns) + bytes([7] * columns) + entries
    mapping = b"".join(struct.pack(">HBB", 0, 1, column) for column in range(columns))
    boxes = b"".join(
        struct.pack(">I4s", 8 + len(body), kind) + body for kind, body in ((b"pclr", palette), (b"cmap", mapping))
    )
    at = file.index(b"jp2h") - 4
    size = int.from_bytes(file[at : at + 4])
    return file[:at] + struct.pack(">I", size + len(boxes)) + file[at + 4 : at + size] + boxes + file[at + size :]


@cache
def _jpeg_ls() -> list[Film]:
    """Take those that come with pydicom: nothing here writes JPEG-LS."""
    films: list[Film] = []
    for name in ("JPEGLSNearLossless_08", "JPEGLSNearLossless_16", "MR_small_jpeg_ls_lossless"):
        film = pydicom.dcmread(_SHIPPED / f"{name}.dcm")
        head = _head(JPEG_LS, np.empty((film.Rows, film.Columns), f"u{film.BitsAllocated // 8}"), film.BitsStored)
        films.append(({**head, "Signed": us(film.PixelRepresentation)}, next(generate_frames(film.PixelData))))
    for name in ("SC_rgb_jls_lossy_line", "SC_rgb_jls_lossy_sample"):
        film = pydicom.dcmread(_SHIPPED / f"{name}.dcm")
        films.append(
            (_head(JPEG_LS, np.empty((film.Rows, film.Columns, 3), "u1"), 8), next(generate_frames(film.PixelData)))
        )
    return films


@cache
def _rle() -> list[Film]:
    films: list[Film] = []
    for pixels, bits in ((grey(), 8), (_DEEP, _BITS), (_COLOUR, 8)):
        planes = np.moveaxis(np.atleast_3d(pixels), -1, 0)
        segments = [_runs(plane) for each in planes for plane in _bytes_of(each)]
        films.append((_head(RLE, pixels, bits), rle(*segments)))
    return films


def _bytes_of(plane: np.ndarray) -> list[np.ndarray]:
    """Give a plane's bytes, the highest first."""
    if plane.dtype.itemsize == 1:
        return [plane]
    return [(plane >> 8).astype(np.uint8), (plane & 255).astype(np.uint8)]


def _runs(plane: np.ndarray) -> bytes:
    """Encode every row as one literal run (PS3.5 G.3)."""
    coded = b"".join(bytes([len(row) - 1]) + row.tobytes() for row in np.ascontiguousarray(plane))
    return coded + b"\x80" * (len(coded) % 2)


@cache
def _lossless_jpeg() -> list[Film]:
    return [
        (_head(LOSSLESS, pixels, bits), lossless_jpeg(pixels, bits))
        for pixels, bits in ((grey(), 8), (_DEEP, _BITS), (_COLOUR, 8))
    ]


def lossless_jpeg(pixels: np.ndarray, bits: int) -> bytes:
    """Encode as T.81 Annex H by the first predictor: the sample on the left, of the first in a row the one above."""
    planes = np.atleast_3d(pixels).astype(np.int64)
    before = np.empty_like(planes)
    before[:, 1:], before[1:, 0], before[0, 0] = planes[:, :-1], planes[:-1, 0], 1 << bits - 1
    rest = (planes - before + (1 << 15)) % (1 << 16) - (1 << 15)
    # Seventeen categories of difference, each with a code of five bits.
    code = []
    for difference in rest.reshape(-1).tolist():
        size = abs(difference).bit_length()
        code.append(f"{size:05b}")
        if 0 < size < 16:
            code.append(f"{difference if difference > 0 else difference + (1 << size) - 1:0{size}b}")
    packed = "".join(code)
    packed += "1" * (-len(packed) % 8)
    scan = int(packed, 2).to_bytes(len(packed) // 8).replace(b"\xff", b"\xff\0")
    count = planes.shape[2]
    names = range(1, count + 1)
    huffman = b"\0" + bytes([0, 0, 0, 0, 17, *[0] * 11]) + bytes(range(17))
    frame = struct.pack(">BHHB", bits, *planes.shape[:2], count) + b"".join(bytes([name, 0x11, 0]) for name in names)
    header = bytes([count]) + b"".join(bytes([name, 0]) for name in names) + b"\1\0\0"
    parts = ((0xC3, frame), (0xC4, huffman), (0xDA, header))
    marked = b"".join(struct.pack(">BBH", 0xFF, kind, 2 + len(body)) + body for kind, body in parts)
    return b"\xff\xd8" + marked + scan + b"\xff\xd9"


FILMS: dict[str, Callable[[], list[Film]]] = {
    "jpeg2000": _jpeg_2000,
    "jpegls": _jpeg_ls,
    "rle": _rle,
    "lossless": _lossless_jpeg,
}
KINDS = tuple(FILMS)


def good(kind: str) -> list[bytes]:
    """Give the films of a kind before anything is wrong with them, other than a palette."""
    plain = [(head, stream) for head, stream in FILMS[kind]() if b"pclr" not in stream]
    return [dicom(pixels=fragments(stream), **head) for head, stream in plain]
