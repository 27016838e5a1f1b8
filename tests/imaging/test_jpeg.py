"""How often a JPEG is gone through, told from its markers."""

import struct

import pytest

from fracture.errors import TooCostly
from fracture.imaging.jpeg import check_scans

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
