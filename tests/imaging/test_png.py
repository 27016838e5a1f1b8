"""What a PNG that cannot be read lacks."""

import struct
import zlib

import pytest

from fracture.imaging.png import SIGNATURE, what_is_missing


def chunk(kind, body=b""):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def header(bits=8, colour=0, width=3):
    return chunk(b"IHDR", struct.pack(">IIBB", width, 2, bits, colour) + bytes(3))


@pytest.mark.parametrize(
    ("chunks", "words"),
    [
        (b"", "no header"),
        (chunk(b"IDAT"), "no header"),
        (header()[:15], "ends within its header"),
        (header()[:-1], "ends within its header"),
        (header(width=0), "0 x 2 pixels"),
        (header(bits=3), "3 bits of colour type 0"),
        (header(colour=9), "8 bits of colour type 9"),
        (header(), "no pixels"),
        (header() + chunk(b"IEND") + chunk(b"IDAT"), "no pixels"),
        (header(colour=3) + chunk(b"IDAT"), "no palette"),
        (header() + chunk(b"IDAT"), "damaged or end"),
    ],
)
def test_it_is_named(chunks, words):
    assert words in what_is_missing(SIGNATURE + chunks)
