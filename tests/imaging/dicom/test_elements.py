"""Files that are odd somewhere: one odd element costs no film, and a refusal says where it ends."""

import io
import struct
from typing import Any

import numpy as np
import pytest
from pydicom import uid

from fracture.core.errors import BrokenFilm, NoPixels, UnsupportedFormat
from tests.imaging.dicom.test_dicom import H, W, decode, encapsulated, film, item, ramp, rle_frame, save

WINDOW = {"WindowCenter": "500", "WindowWidth": "1000"}


def plain() -> bytes:
    return save(film(ramp(), **WINDOW))


def at(data: bytes, tag: int) -> int:
    """Find an element of an explicit little endian file."""
    return data.index(struct.pack("<HH", tag >> 16, tag & 0xFFFF))


def inserted(data: bytes, before: int, element: bytes) -> bytes:
    start = at(data, before)
    return data[:start] + element + data[start:]


def same_film(data: bytes, *flags: str) -> None:
    shown = decode(data, any_modality=False)
    np.testing.assert_array_equal(shown.pixels, decode(plain()).pixels)
    assert shown.flags == set(flags)


class TestOddities:
    @pytest.mark.parametrize(
        "element",
        [
            b"\x10\0\xb0\x21QQ\x0a\0" + b"0" * 10,  # a VR of nobody, a length of two bytes
            b"\x10\0\xb0\x21QQ\0\0\x0a\0\0\0" + b"0" * 10,  # of four
            b"\x10\0\xb0\x21??\x0a\0" + b"0" * 10,
            b"\x10\0\xb0\x21\x0a\0\0\0" + b"0" * 10,  # an implicit element among explicit ones
            b"\x11\0\x10\x10LO\x07\0PLANTED",  # an odd length
            b"\x11\0\x10\x10SQ\0\0\x08\0\0\0PLANTED ",  # a sequence that is none
            b"\x11\0\x10\x10UN\0\0\xff\xff\xff\xff\xfe\xff\0\xe0\x04\0\0\0abcd\xfe\xff\xdd\xe0\0\0\0\0",
            b"\x11\0\x10\x10SQ\0\0\xff\xff\xff\xff\xfe\xff\xdd\xe0\0\0\0\0",
            b"\x11\0\x10\x10FD\x03\0abc",
            b"\x11\0\x10\x10PN\x06\0\xff\xfe\x1b$B\0",
            b"\xfe\xff\x0d\xe0\0\0\0\0",  # an end of nothing
        ],
    )
    def test_an_element_nobody_needs(self, element: bytes) -> None:
        same_film(inserted(plain(), 0x0020000D, element))

    def test_lengths_of_the_meta_information_are_not_needed(self) -> None:
        data = plain()
        start = at(data, 0x00020000)
        for wrong in (b"\0\0\0\0", b"\xff\xff\0\0", b"\x10\0\0\0"):
            same_film(data[: start + 8] + wrong + data[start + 12 :])
        same_film(data[:start] + data[start + 12 :])

    def test_no_meta_information(self) -> None:
        data = plain()
        same_film(data[:132] + data[at(data, 0x00080016) :])

    @pytest.mark.parametrize(
        "garbage", [b"\0" * 1000, b"\xff" * 7, b"PLANTED" * 9, b"\xfc\xff\xfc\xffOB\0\0\xff\0\0\0"]
    )
    def test_what_is_appended(self, garbage: bytes) -> None:
        same_film(plain() + garbage)

    def test_an_identifier_of_odd_length(self) -> None:
        data = plain()
        start = at(data, 0x00080018)
        same_film(data[: start + 6] + b"\x07\0" + data[start + 8 : start + 15] + data[start + 16 :])

    @pytest.mark.parametrize(
        ("tag", "element"),
        [
            (0x00280010, b"\x28\0\x10\0IS\x02\x0012"),
            (0x00280010, b"\x28\0\x10\0UL\x04\0\x0c\0\0\0"),
            (0x00280010, b"\x28\0\x10\0UN\0\0\x02\0\0\0\x0c\0"),
            (0x00280100, b"\x28\0\0\x01SS\x02\0\x10\0"),
            (0x00280004, b"\x28\0\x04\0LO\x0c\0MONOCHROME2 "),
            (0x00280004, b"\x28\0\x04\0CS\x0c\0monochrome2 "),
            (0x00280004, b"\x28\0\x04\0CS\x0e\0 Monochrome2\0\0"),
            (0x00080060, b"\x08\0\x60\0CS\x04\0 dx "),
            (0x00281051, b"\x28\0\x51\x10LO\x04\x001000"),
            (0x00281051, b"\x28\0\x51\x10DS\x08\x001000,00\0"),
            (0x00281051, b"\x28\0\x51\x10FD\x08\0" + struct.pack("<d", 1000)),
        ],
    )
    def test_another_vr_or_another_case(self, tag: int, element: bytes) -> None:
        data = plain()
        start = at(data, tag)
        end = start + 8 + int.from_bytes(data[start + 6 : start + 8], "little")
        same_film(data[:start] + element + data[end:])

    @pytest.mark.parametrize(
        "elements",
        [
            {"BitsStored": 0},
            {"BitsStored": None},
            {"HighBit": None},
            {"BitsStored": 99},
            {"PixelRepresentation": None},
            {"SamplesPerPixel": None},
            {"Modality": "RG"},
            {"Modality": "HC"},
            {"VOILUTSequence": []},
            {"VOILUTSequence": [item()]},
            {"VOILUTSequence": [item(LUTExplanation="none")]},
            {"ModalityLUTSequence": [item(LUTExplanation="none")]},
            {"ModalityLUTSequence": []},
            {"ModalityLUTSequence": [item()]},
        ],
    )
    def test_what_can_only_be_one_thing(self, elements: dict[str, Any]) -> None:
        same_film(save(film(ramp(), **WINDOW, **elements)))

    def test_planes_that_nobody_speaks_of(self) -> None:
        rgb = np.random.default_rng(3).integers(0, 256, (H, W, 3), dtype=np.uint8)
        shown = decode(film(rgb, PlanarConfiguration=None))
        np.testing.assert_array_equal(shown.pixels, decode(film(rgb)).pixels)

    def test_a_number_of_frames_that_is_none(self) -> None:
        data = save(film(ramp(), **WINDOW, NumberOfFrames="1"))
        same_film(data.replace(b"IS\x02\x001 ", b"IS\x02\x001A"), "bad_value")

    def test_compressed_pixels_in_odd_wraps(self) -> None:
        grey = ramp(0, 250, "u1")
        native = decode(film(grey, WindowCenter="128", WindowWidth="256")).pixels
        packed = encapsulated(film(grey, WindowCenter="128", WindowWidth="256"), uid.RLELossless, rle_frame(grey[:6]))
        data = save(encapsulated(packed, uid.RLELossless, _rle(grey)))
        np.testing.assert_array_equal(decode(data).pixels, native)
        np.testing.assert_array_equal(decode(data[:-8]).pixels, native)  # no end
        raw = save(film(grey, WindowCenter="128", WindowWidth="256"))
        lie = raw.replace(b"UI\x14\x001.2.840.10008.1.2.1\0", b"UI\x14\x001.2.840.10008.1.2.5\0")
        assert lie != raw
        np.testing.assert_array_equal(decode(lie).pixels, native)  # called RLE, and is not


def _rle(grey: np.ndarray) -> bytes:
    rows = b"".join(bytes([W - 1]) + row.tobytes() for row in grey)
    return struct.pack("<16L", 1, 64, *[0] * 14) + rows + b"\x80" * (len(rows) % 2)


class TestDamage:
    def test_a_length_that_swallows_what_follows_is_passed_over(self) -> None:
        data = plain()
        start = at(data, 0x00100010)
        for length in (b"\xff\xff", b"\x2a\0"):
            same_film(data[: start + 6] + length + data[start + 8 :], "header_damaged")

    def test_the_element_is_named_in_which_a_file_ends(self) -> None:
        data = plain()
        for tag in (0x00281051, 0x00280100, 0x00080060):
            for further in (5, 9):
                with pytest.raises(BrokenFilm, match=f"ends within element \\({tag >> 16:04x},{tag & 65535:04x}\\)"):
                    decode(data[: at(data, tag) + further])

    def test_the_element_is_named_that_is_not_there(self) -> None:
        for keyword, tag in {"Rows": "0028,0010", "Columns": "0028,0011"}.items():
            with pytest.raises(NoPixels, match=tag):
                decode(film(ramp(), **{keyword: None}))
        for keyword, tag in {"PhotometricInterpretation": "0028,0004", "BitsAllocated": "0028,0100"}.items():
            with pytest.raises(BrokenFilm, match=tag):
                decode(save(film(ramp(), **{keyword: None})))

    @pytest.mark.parametrize("number", [1, 2, 3])
    def test_the_table_of_a_palette_is_named_that_is_not_there(self, number: int) -> None:
        dataset = film(ramp(0, 250, "u1"), PhotometricInterpretation="PALETTE COLOR")
        for colour in {1: "Red", 2: "Green", 3: "Blue"}.values():
            dataset.add_new(f"{colour}PaletteColorLookupTableDescriptor", "US", [256, 0, 16])
            dataset.add_new(f"{colour}PaletteColorLookupTableData", "OW", np.arange(256, dtype="<u2").tobytes())
        del dataset[0x00281200 + number]
        with pytest.raises(BrokenFilm, match=f"0028,120{number}"):
            decode(dataset)

    @pytest.mark.parametrize("colours", ["CMYK", "HSV", "YBR_PARTIAL_420"])
    def test_colours_that_are_not_read_are_named(self, colours: str) -> None:
        rgb = np.zeros((H, W, 3), np.uint8)
        with pytest.raises(UnsupportedFormat, match=f"got {colours}"):
            decode(film(rgb, PhotometricInterpretation=colours))
        with pytest.raises(UnsupportedFormat, match="got another"):
            decode(film(rgb, PhotometricInterpretation="PLANTED"))

    def test_cells_that_are_not_read_are_named(self) -> None:
        with pytest.raises(UnsupportedFormat, match="cells of 12"):
            decode(film(ramp(), BitsAllocated=12, BitsStored=12, HighBit=11))

    def test_many_elements_and_deep_ones_end(self) -> None:
        opened = b"\x08\0\x10\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\0\xe0\xff\xff\xff\xff"
        with pytest.raises(BrokenFilm, match="nested at most"):
            decode(inserted(plain(), 0x00100010, opened * 2000))
        out = io.BytesIO(b"\x11\0\x10\x10LO\0\0" * 100_000)
        same_film(inserted(plain(), 0x0020000D, out.getvalue()))


@pytest.mark.parametrize("stated", [b"UN", b"OB", b"SQ", b"UT"])
@pytest.mark.parametrize("tag", [0x00280010, 0x00280100, 0x00280004, 0x00280103, 0x00080060])
def test_a_length_of_two_bytes_where_the_vr_has_four(tag: int, stated: bytes) -> None:
    data = plain()
    place = at(data, tag) + 4
    same_film(data[:place] + stated + data[place + 2 :])


@pytest.mark.parametrize(
    ("real", "said"),
    [
        (uid.ExplicitVRLittleEndian, uid.ExplicitVRBigEndian),
        (uid.ExplicitVRLittleEndian, uid.DeflatedExplicitVRLittleEndian),
        (uid.ExplicitVRBigEndian, uid.ExplicitVRLittleEndian),
        (uid.ExplicitVRBigEndian, uid.ImplicitVRLittleEndian),
        (uid.ImplicitVRLittleEndian, uid.DeflatedExplicitVRLittleEndian),
    ],
)
def test_bytes_in_another_order_than_stated(real: uid.UID, said: uid.UID) -> None:
    right = film(ramp(), **WINDOW)
    right.file_meta.TransferSyntaxUID = real
    if real == uid.ExplicitVRBigEndian:
        right.PixelData = ramp().astype(">u2").tobytes()
    data = save(right)
    old, new = (name.encode() + b"\0" * (len(name) % 2) for name in (real, said))
    element = b"\x02\0\x10\0UI" + struct.pack("<H", len(old)) + old
    assert element in data
    same_film(data.replace(element, b"\x02\0\x10\0UI" + struct.pack("<H", len(new)) + new))
