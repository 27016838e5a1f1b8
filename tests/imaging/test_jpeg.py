"""What a JPEG's markers tell."""

import struct

import pytest

from fracture.core.errors import TooCostly, UnsupportedFormat
from fracture.imaging.jpeg import check_process, check_scans, is_ycc, read_frame, what_is_missing

SCAN = b"\xff\xda\0\x08\1\1\0\0\x3f\0" + b"\xff\0\x12\xff\xd0\x34\xff\xff"


def test_as_many_scans_as_a_film_may_have():
    check_scans(b"\xff\xd8" + SCAN * 64 + b"\xff\xd9")
    with pytest.raises(TooCostly, match="at most 64 scans"):
        check_scans(b"\xff\xd8" + SCAN * 65 + b"\xff\xd9")
    with pytest.raises(TooCostly):
        check_scans(b"\xff\xd8" + SCAN * 65)


@pytest.mark.parametrize(
    "harmless",
    [
        b"\xff\xfe" + struct.pack(">H", 2 + 4 * 99) + b"\xff\xda\0\2" * 99,  # a comment
        b"\xff\xc4\0\x06\xff\xd9\xff\xda",
        b"\xff\xd8" * 99,
        b"\xff\xd9" + SCAN * 9999,  # behind the end
    ],
)
def test_what_only_looks_like_a_scan(harmless):
    check_scans(b"\xff\xd8" + SCAN * 64 + harmless)


def test_an_end_within_a_segment_hides_nothing():
    with pytest.raises(TooCostly):
        check_scans(b"\xff\xd8\xff\xfe\0\x04\xff\xd9" + SCAN * 65)


@pytest.mark.parametrize("data", [b"", b"\xff\xd8", b"\xff\xda", b"\xff\xd8\xff\xe0\xff", b"no JPEG at all"])
def test_what_is_cut_short(data):
    check_scans(data)


# --- frame headers ----------------------------------------------------------------------------------------------------


def frame(*components, process=0xC0, bits=8, rows=2, columns=3):
    parts = b"".join(bytes([identifier, sampling, 0]) for identifier, sampling in components)
    body = struct.pack(">BHHB", bits, rows, columns, len(components)) + parts
    return bytes([0xFF, process]) + struct.pack(">H", len(body) + 2) + body


def segment(kind, body):
    return bytes([0xFF, kind]) + struct.pack(">H", len(body) + 2) + body


GREY = ((1, 0x11),)


def test_the_frame_header_is_found_behind_what_looks_like_one():
    comment = segment(0xFE, frame((9, 0x44)))
    found = read_frame(b"\xff\xd8" + comment + frame(*GREY, rows=7) + SCAN)
    assert (found.process, found.precision, found.rows, found.columns, found.components) == (0xC0, 8, 7, 3, GREY)
    for broken in (b"", b"\xff\xd8", b"\xff\xd8" + frame(*GREY)[:-2], b"\xff\xd8" + SCAN + frame(*GREY)):
        assert read_frame(broken) is None


@pytest.mark.parametrize(
    ("process", "bits", "words"),
    [
        (0xC0, 12, "8 bits, got one of 12"),
        (0xC1, 12, "8 bits, got one of 12"),
        (0xC2, 12, "8 bits, got one of 12"),
        (0xC3, 16, "8 bits, got one of 16"),
        (0xC3, 10, "8 bits, got one of 10"),
        (0xC5, 8, "hierarchical"),
        (0xCB, 8, "lossless JPEG with arithmetic coding"),
        (0xCF, 8, "hierarchical"),
        (0xF7, 8, "JPEG-LS"),
    ],
)
def test_kinds_that_libjpeg_does_not_decode_are_named(process, bits, words):
    with pytest.raises(UnsupportedFormat, match=words):
        check_process(b"\xff\xd8" + frame(*GREY, process=process, bits=bits) + SCAN)


@pytest.mark.parametrize("process", [0xC0, 0xC1, 0xC2, 0xC3, 0xC9, 0xCA])
def test_kinds_that_libjpeg_decodes(process):
    check_process(b"\xff\xd8" + frame(*GREY, process=process) + SCAN)


ADOBE = b"Adobe\0d\0\0\0\0"
NUMBERS, LETTERS = ((1, 0x11), (2, 0x11), (3, 0x11)), ((82, 0x11), (71, 0x11), (66, 0x11))
SUBSAMPLED = ((82, 0x22), (71, 0x11), (66, 0x11))


@pytest.mark.parametrize(
    ("before", "components", "ycc", "ycc_where_called_rgb"),
    [
        (b"", NUMBERS, True, False),
        (b"", LETTERS, False, False),
        (b"", SUBSAMPLED, False, False),
        (b"", ((1, 0x22), *NUMBERS[1:]), True, True),
        (segment(0xE0, b"JFIF\0\1\1"), LETTERS, True, True),
        (segment(0xEE, ADOBE + b"\0"), NUMBERS, False, False),
        (segment(0xEE, ADOBE + b"\1"), LETTERS, True, True),
        (segment(0xEE, b"Adobe"), LETTERS, False, False),
        (b"", GREY, False, False),
    ],
)
def test_what_three_components_are(before, components, ycc, ycc_where_called_rgb):
    jpeg = b"\xff\xd8" + before + frame(*components) + SCAN
    assert (is_ycc(jpeg), is_ycc(jpeg, stated_rgb=True)) == (ycc, ycc_where_called_rgb)


@pytest.mark.parametrize(
    ("jpeg", "words"),
    [
        (b"\xff\xd8\xff", "no frame header"),
        (b"\xff\xd8" + frame(*GREY)[:-2], "ends within its frame header"),
        (b"\xff\xd8" + frame(*GREY, bits=255), "255 bits"),
        (b"\xff\xd8" + frame(*GREY, rows=0), "no rows"),
        (b"\xff\xd8" + frame(*GREY, columns=0), "no columns"),
        (b"\xff\xd8" + frame(*GREY), "no scan"),
        (b"\xff\xd8" + frame(*GREY) + SCAN, "no quantisation table"),
        (b"\xff\xd8" + segment(0xDB, b"") + frame(*GREY) + SCAN, "no Huffman table"),
        (b"\xff\xd8" + segment(0xDB, b"") + segment(0xC4, b"") + frame(*GREY) + SCAN, "damaged"),
    ],
)
def test_what_a_broken_one_lacks_is_named(jpeg, words):
    assert words in what_is_missing(jpeg)
