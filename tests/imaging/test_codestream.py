"""What a compressed stream says of itself, against what the file says of it."""

import io
import struct
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydicom import uid

from fracture.core.errors import BrokenFilm, FractureError, UnsupportedFormat
from fracture.imaging.codestream import Announced, checked
from tests.hostile.streams import lossless_jpeg
from tests.imaging.dicom.test_dicom import decode, encapsulated, film

H, W = 48, 64
GREY = Announced(H, W, 1, 8)
COLOUR = Announced(H, W, 3, 8)


def pixels() -> NDArray[np.uint8]:
    rows, columns = np.mgrid[:H, :W]
    return ((rows * 3 + columns * 2) % 256).astype(np.uint8)


def coded(kind: str = "JPEG2000", *, colour: bool = False, **options: Any) -> bytes:
    out = io.BytesIO()
    plain = np.stack([pixels()] * 3, axis=-1) if colour else pixels()
    Image.fromarray(plain).save(out, kind, **({"no_jp2": True} | options if kind == "JPEG2000" else options))
    return out.getvalue()


def changed(stream: bytes, at: int, form: str, value: int) -> bytes:
    new = bytearray(stream)
    struct.pack_into(form, new, at, value)
    return bytes(new)


def segment(stream: bytes, kind: int) -> int:
    return stream.index(bytes((0xFF, kind)))


def without(stream: bytes, kind: int) -> bytes:
    at = segment(stream, kind)
    return stream[:at] + stream[at + 2 + int.from_bytes(stream[at + 2 : at + 4]) :]


def inserted(stream: bytes, at: int, kind: int, body: bytes = b"") -> bytes:
    return stream[:at] + struct.pack(">BBH", 0xFF, kind, 2 + len(body)) + body + stream[at:]


def jpeg_ls(*, samples: int = 1, lse: bytes = b"", near: int = 0, interleave: int = 0, bits: int = 8) -> bytes:
    parts = b"".join(bytes((name, 0x11, 0)) for name in range(1, samples + 1))
    frame = struct.pack(">BBHBHHB", 0xFF, 0xF7, 8 + 3 * samples, bits, H, W, samples) + parts
    names = b"".join(bytes((name, 0)) for name in range(1, samples + 1))
    scan = struct.pack(">BBHB", 0xFF, 0xDA, 6 + 2 * samples, samples) + names + bytes((near, interleave, 0))
    presets = struct.pack(">BBH", 0xFF, 0xF8, 2 + len(lse)) + lse if lse else b""
    return b"\xff\xd8" + frame + presets + scan + bytes(50) + b"\xff\xd9"


class TestJpeg2000:
    @pytest.mark.parametrize(
        "options",
        [
            {},
            {"tile_size": (16, 16)},
            {"quality_layers": [20, 10, 5]},
            {"precinct_size": (32, 32)},
            {"progression": "CPRL", "num_resolutions": 3},
        ],
    )
    @pytest.mark.parametrize("colour", [False, True])
    def test_what_encoders_write_goes_through(self, options: dict[str, Any], colour: bool) -> None:
        stream = checked(coded(colour=colour, **options), COLOUR if colour else GREY, rle=False)
        assert (stream.kind, stream.bits, stream.signed) == ("JPEG 2000", 8, False)

    @pytest.mark.parametrize(
        ("at", "form", "value", "said"),
        [
            (8, ">I", 65, "rows, columns"),  # the right edge
            (40, ">H", 2, "components: 1, it announces 2"),
            (40, ">H", 16384, "components"),
            (42, ">B", 15, "bits a sample, it announces 16"),
            (42, ">B", 0x7F, "bits a sample"),
            (24, ">I", 0, "first tile"),
            (24, ">I", 1, None),
            (32, ">I", 70, "first tile"),  # it begins beyond the image
            (43, ">B", 2, "subsampling"),
            (43, ">B", 0, "subsampling"),
            (6, ">H", 0x8000, "T.801"),
        ],
    )
    def test_its_size_is_the_files(self, at: int, form: str, value: int, said: str | None) -> None:
        stream = changed(coded(), at, form, value)
        if said is None:
            checked(stream, GREY, rle=False)
            return
        with pytest.raises((BrokenFilm, UnsupportedFormat), match=said):
            checked(stream, GREY, rle=False)

    def test_components_are_alike(self) -> None:
        with pytest.raises(BrokenFilm, match="not alike"):
            checked(changed(coded(colour=True), 45, ">B", 3), COLOUR, rle=False)

    def test_tiles_are_not_more_than_a_film_has(self) -> None:
        stream = changed(changed(coded(), 24, ">I", 2), 28, ">I", 2)
        assert checked(stream, GREY, rle=False)
        wide = changed(changed(stream, 8, ">I", 6000), 12, ">I", 6000)
        with pytest.raises(BrokenFilm, match="9000000 tiles"):
            checked(wide, Announced(6000, 6000, 1, 8), rle=False)

    @pytest.mark.parametrize(
        ("offset", "form", "value"),
        [
            (4, ">B", 8),  # a style of no standard
            (5, ">B", 5),  # an order of no standard
            (6, ">H", 0),  # no layer
            (6, ">H", 65535),  # more than its packets may be
            (8, ">B", 1),  # components mixed, and there is one
            (9, ">B", 33),  # levels
            (10, ">B", 9),  # blocks of 2,048
            (13, ">B", 2),  # a wavelet of no standard
            (4, ">B", 1),  # precincts that are not there
        ],
    )
    def test_its_coding_style_is_the_standards(self, offset: int, form: str, value: int) -> None:
        stream = coded(precinct_size=(8, 8)) if value == 65535 else coded()
        with pytest.raises(BrokenFilm, match="contradicts itself"):
            checked(changed(stream, segment(stream, 0x52) + offset, form, value), GREY, rle=False)

    @pytest.mark.parametrize("kind", [0x74, 0x75, 0x77, 0x78, 0x79])
    def test_extensions_are_named(self, kind: int) -> None:
        """A component's depth in another place (CBD, 0xFF78) and transforms of many components are of T.801."""
        stream = coded()
        for marker in (0x90, 0x93):  # in the main header, in that of a tile
            with pytest.raises(UnsupportedFormat, match=f"0xFF{kind:02X}"):
                checked(inserted(stream, segment(stream, marker), kind, b"\0\1\7"), GREY, rle=False)

    @pytest.mark.parametrize("kind", [0x52, 0x5C])
    def test_nothing_is_said_twice_or_not_at_all(self, kind: int) -> None:
        stream = coded()
        at = segment(stream, kind)
        body = stream[at + 4 : at + 2 + int.from_bytes(stream[at + 2 : at + 4])]
        for wrong in (inserted(stream, at, kind, body), without(stream, kind)):
            with pytest.raises(BrokenFilm):
                checked(wrong, GREY, rle=False)

    def test_a_second_size_is_none(self) -> None:
        stream = coded()
        with pytest.raises(UnsupportedFormat):
            checked(inserted(stream, segment(stream, 0x52), 0x51, stream[6:45]), GREY, rle=False)

    def test_tiles_follow_one_another(self) -> None:
        stream = coded()
        at = segment(stream, 0x90)
        for wrong in (changed(stream, at + 4, ">H", 1), changed(stream, at + 6, ">I", 13), stream[:-20]):
            with pytest.raises(BrokenFilm):
                checked(wrong, GREY, rle=False)
        open_ended = changed(stream, at + 6, ">I", 0)
        assert segment(checked(open_ended, GREY, rle=False).data, 0x90)

    def test_what_no_pixel_depends_on_is_left_out(self) -> None:
        stream = coded(comment="PLANTED")
        for behind in (b"", b"\0", stream, b"PLANTED"):
            kept = checked(stream + behind, GREY, rle=False).data
            assert b"PLANTED" not in kept
            assert len(kept) < len(stream)
        assert checked(stream[:-2], GREY, rle=False).data == kept  # an end that is missing is put there

    def test_a_wrapper_is_taken_off_and_one_that_maps_colours_refused(self) -> None:
        boxed = coded(no_jp2=False)
        assert checked(boxed, GREY, rle=False).data.startswith(b"\xff\x4f\xff\x51")
        at = boxed.index(b"jp2h")
        for kind in (b"pclr", b"cmap"):
            box = struct.pack(">I4s", 20, kind) + bytes(12)
            size = int.from_bytes(boxed[at - 4 : at]) + len(box)
            wrong = changed(boxed[: at + 4] + box + boxed[at + 4 :], at - 4, ">I", size)
            with pytest.raises(UnsupportedFormat, match="palette"):
                checked(wrong, GREY, rle=False)


class TestJpeg:
    def test_the_frame_is_the_files(self) -> None:
        stream = coded("JPEG")
        at = segment(stream, 0xC0)
        for offset, form, value in ((4, ">B", 12), (5, ">H", 49), (7, ">H", 65), (9, ">B", 3), (12, ">B", 4)):
            with pytest.raises(BrokenFilm):
                checked(changed(stream, at + offset, form, value), GREY, rle=False)
        with pytest.raises(BrokenFilm, match="two frames"):
            checked(stream[: at + 13] + stream[at:], GREY, rle=False)

    def test_subsampling_of_one_component_means_nothing(self) -> None:
        stream = coded("JPEG")
        at = segment(stream, 0xC0) + 11
        assert checked(changed(stream, at, ">B", 0x44), GREY, rle=False).data == checked(stream, GREY, rle=False).data

    @pytest.mark.parametrize("sampling", [0x00, 0x31, 0x15, 0xF1])
    def test_subsampling_of_no_use(self, sampling: int) -> None:
        stream = coded("JPEG", colour=True)
        with pytest.raises(UnsupportedFormat, match="subsampled"):
            checked(changed(stream, segment(stream, 0xC0) + 11, ">B", sampling), COLOUR, rle=False)

    @pytest.mark.parametrize(
        ("kind", "said"),
        [(0xC5, "hierarchical"), (0xDE, "hierarchical"), (0xC9, "arithmetic"), (0xCC, "arithmetic"), (0xDC, "DNL")],
    )
    def test_processes_that_no_film_is_coded_by_are_named(self, kind: int, said: str) -> None:
        stream = coded("JPEG")
        with pytest.raises(UnsupportedFormat, match=said):
            checked(inserted(stream, segment(stream, 0xC0), kind, b"\0\1"), GREY, rle=False)

    def test_a_sequential_scan_whose_last_band_is_0(self) -> None:
        """JPEG Extended with Se = 0, as some encoders write it."""
        stream = coded("JPEG")
        at = segment(stream, 0xDA) + 8
        assert stream[at] == 63
        assert checked(changed(stream, at, ">B", 0), GREY, rle=False).data == checked(stream, GREY, rle=False).data

    def test_what_stands_behind_the_end_or_beside_the_pixels_is_left_out(self) -> None:
        stream = coded("JPEG")
        plain = checked(stream, GREY, rle=False).data
        assert b"JFIF" not in plain
        for more in (stream + stream, stream + b"PLANTED", inserted(stream, 2, 0xEB, b"JP PLANTED")):
            assert checked(more, GREY, rle=False).data == plain

    @pytest.mark.parametrize("counts", [[3], [0, 5], [255, 255]])
    def test_huffman_codes_are_no_more_than_there_can_be(self, counts: list[int]) -> None:
        table = bytes(1) + bytes([*counts, *[0] * (16 - len(counts))]) + bytes(sum(counts))
        stream = coded("JPEG")
        with pytest.raises(BrokenFilm, match="Huffman"):
            checked(inserted(stream, segment(stream, 0xDA), 0xC4, table), GREY, rle=False)

    def test_lossless(self) -> None:
        stream = lossless_jpeg(pixels(), 8)
        dataset = encapsulated(film(pixels(), WindowCenter="128", WindowWidth="256"), uid.JPEGLosslessSV1, stream)
        np.testing.assert_allclose(decode(dataset).pixels, pixels() / 255, atol=1e-6)
        at = segment(stream, 0xDA)
        with pytest.raises(BrokenFilm, match="predictor"):
            checked(changed(stream, at + 7, ">B", 8), GREY, rle=False)
        with pytest.raises(UnsupportedFormat, match="point transform"):
            checked(changed(stream, at + 9, ">B", 1), GREY, rle=False)
        with pytest.raises(UnsupportedFormat, match="subsampling"):
            checked(changed(lossless_jpeg(np.stack([pixels()] * 3, -1), 8), 13, ">B", 0x21), COLOUR, rle=False)

    @pytest.mark.parametrize("markers", ["JFIF", "none", "Adobe 0", "Adobe 1"])
    @pytest.mark.parametrize("label", ["RGB", "YBR_FULL_422"])
    def test_colours_are_read_as_libjpeg_reads_them(self, markers: str, label: str) -> None:
        """A file that calls a subsampled JPEG without a marker RGB holds Y, Cb, Cr: it came out washed out."""
        rgb = np.stack([pixels(), np.full((H, W), 40, np.uint8), 255 - pixels()], axis=-1)
        out = io.BytesIO()
        Image.fromarray(rgb).save(out, "JPEG", quality=95)
        stream = out.getvalue()
        if markers != "JFIF":
            stream = without(stream, 0xE0)
        if markers.startswith("Adobe"):
            stream = inserted(stream, 2, 0xEE, b"Adobe\0\x64\0\0\0\0" + bytes([int(markers[-1])]))
        shown = decode(encapsulated(film(rgb, PhotometricInterpretation=label), uid.JPEGBaseline8Bit, stream)).pixels
        theirs = np.asarray(Image.open(io.BytesIO(stream)).convert("L")) / 255
        assert np.abs(shown - theirs).mean() < 0.01


class TestJpegLs:
    @pytest.mark.parametrize("options", [{}, {"near": 3}, {"samples": 3, "interleave": 1}, {"lse": b"\1" + bytes(10)}])
    def test_what_encoders_write_goes_through(self, options: dict[str, Any]) -> None:
        assert checked(jpeg_ls(**options), COLOUR if "samples" in options else GREY, rle=False).kind == "JPEG-LS"

    @pytest.mark.parametrize(
        "options",
        [
            {"near": 200},
            {"interleave": 3},
            {"interleave": 1},
            {"samples": 3},
            {"bits": 12},
            {"bits": 17},
            {"lse": b"\4\2" + bytes(4)},  # another size
            {"lse": b"\2\1\1" + bytes(256)},  # a table
            {"lse": b"\1" + struct.pack(">5H", 256, 0, 0, 0, 0)},
            {"lse": b"\1" + struct.pack(">5H", 255, 9, 8, 7, 0)},
            {"lse": b"\1" + struct.pack(">5H", 255, 3, 7, 21, 1)},
            {"lse": b"\1"},
        ],
    )
    def test_what_no_encoder_writes_does_not(self, options: dict[str, Any]) -> None:
        with pytest.raises(FractureError):
            checked(jpeg_ls(**options), COLOUR if options.get("samples") else GREY, rle=False)


class TestRle:
    @pytest.mark.parametrize(
        ("count", "offsets"),
        [(2, (64, 70)), (0, ()), (16, (64,)), (1, (0,)), (1, (63,)), (1, (99,)), (0xFFFFFFFF, (64,))],
    )
    def test_segments_are_the_bytes_of_the_samples(self, count: int, offsets: tuple[int, ...]) -> None:
        table = struct.pack("<16I", count, *(offsets + (0,) * 15)[:15])
        with pytest.raises(BrokenFilm):
            checked(table + bytes(20), GREY, rle=True)

    def test_segments_come_in_order(self) -> None:
        deep = Announced(H, W, 1, 16)
        good, bad = (struct.pack("<16I", 2, *at, *[0] * 13) + bytes(20) for at in ((64, 70), (70, 64)))
        assert checked(good, deep, rle=True)
        with pytest.raises(BrokenFilm, match="follow"):
            checked(bad, deep, rle=True)


def test_garbage_is_none() -> None:
    for start in (b"", b"\xff\xd8", b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  \r\n\x87\n", b"PLANTED"):
        for size in (0, 3, 40, 400):
            with pytest.raises(FractureError):
                checked(start + bytes(size), GREY, rle=False)
