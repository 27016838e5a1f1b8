"""The DICOM pixel pipeline, on files built in memory and on those that ship with pydicom."""

import copy
import io
import logging
import struct
import time
import traceback
import tracemalloc
import warnings
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydicom import config, uid
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels import apply_modality_lut, apply_voi_lut

from fracture.core.errors import (
    BadValue,
    BrokenFilm,
    FilmTooLarge,
    FractureError,
    NoPixels,
    TooCostly,
    UnsupportedFormat,
    WrongModality,
)
from fracture.core.types import Radiograph
from fracture.imaging.dicom import NO_LIMB, dicom_frames, is_dicom
from tests.hostile.streams import with_palette

H, W = 12, 16
LIMIT = 1_000_000
DX = "1.2.840.10008.5.1.4.1.1.1.1"
NAME = "Secret^Patient"


def ramp(low: int = 0, high: int = 1000, dtype: str = "u2") -> NDArray[Any]:
    """Draw a ramp from left to right with a bright square, the greatest value, at rows 3..5, columns 2..4."""
    pixels = np.tile(np.linspace(low, high * 0.8, W).astype(dtype), (H, 1))
    pixels[3:6, 2:5] = high
    return pixels


def film(pixels: NDArray[Any], *, syntax: str = uid.ExplicitVRLittleEndian, **elements: Any) -> Dataset:
    """Build a DX image of (H, W) or (H, W, 3) pixels; more elements by keyword, None leaves one out."""
    grey = pixels.ndim == 2
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = DX
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = "1.2.3.3"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "1.2.3.1", "1.2.3.2"
    dataset.PatientName = NAME
    dataset.Rows, dataset.Columns = pixels.shape[:2]
    dataset.SamplesPerPixel = 1 if grey else 3
    dataset.PhotometricInterpretation = "MONOCHROME2" if grey else "RGB"
    dataset.Modality = "DX"
    dataset.BitsAllocated = dataset.BitsStored = pixels.dtype.itemsize * 8
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
    if not grey:
        dataset.PlanarConfiguration = 0
    order = "<" if uid.UID(syntax).is_little_endian else ">"
    dataset.PixelData = pixels.astype(pixels.dtype.newbyteorder(order)).tobytes()
    dataset["PixelData"].VR = "OB" if pixels.dtype.itemsize == 1 else "OW"
    for keyword, value in elements.items():
        if value is None:
            del dataset[keyword]
        else:
            setattr(dataset, keyword, value)
    return dataset


def save(dataset: Dataset) -> bytes:
    """Write the data set as a DICOM file."""
    out = io.BytesIO()
    dataset.save_as(out, enforce_file_format=True)
    return out.getvalue()


def item(**elements: Any) -> Dataset:
    """Build a sequence item."""
    dataset = Dataset()
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    return dataset


def table(first: int, bits: int, entries: NDArray[Any], *, packed: bool = False) -> Dataset:
    """Build a LUT item, its entries as 16-bit words or, packed, two to a word."""
    lut = Dataset()
    lut.add_new("LUTDescriptor", "SS" if first < 0 else "US", [len(entries) % 65536, first, bits])
    lut.add_new("LUTData", "OW", entries.astype("u1" if packed else "<u2").tobytes())
    return lut


def encapsulated(dataset: Dataset, syntax: str, *codestreams: bytes) -> Dataset:
    """Replace the pixels by codestreams, one a frame."""
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.PixelData = encapsulate(list(codestreams))
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    return dataset


def rle_frame(*planes: NDArray[Any]) -> bytes:
    """Encode up to 128 bytes a plane as one literal run each (PS3.5 G.3)."""
    segments = [bytes([plane.size - 1]) + plane.astype("u1").tobytes() for plane in planes]
    segments = [segment + b"\x80" * (len(segment) % 2) for segment in segments]
    starts = [64 + sum(map(len, segments[:i])) for i in range(len(segments))]
    return struct.pack("<16L", len(segments), *starts, *[0] * (15 - len(segments))) + b"".join(segments)


def decode(source: Dataset | bytes, **options: Any) -> Radiograph:
    """Decode the only frame there is."""
    (only,) = decode_all(source, **options)
    return only


def decode_all(source: Dataset | bytes, **options: Any) -> list[Radiograph]:
    """Decode every frame."""
    data = source if isinstance(source, bytes) else save(source)
    return list(dicom_frames(data, **{"max_pixels": LIMIT, "any_modality": True, **options}))


@contextmanager
def frugal(*, mib: int) -> Iterator[None]:
    """Fail if what happens inside takes more memory than that, or a second."""
    tracemalloc.start()
    started = time.perf_counter()
    try:
        yield
        assert time.perf_counter() - started < 1
        assert tracemalloc.get_traced_memory()[1] < mib << 20
    finally:
        tracemalloc.stop()


def stretch(pixels: NDArray[Any]) -> NDArray[Any]:
    """Map the least value to 0 and the greatest to 1."""
    low, high = float(pixels.min()), float(pixels.max())
    return (pixels.astype(float) - low) / (high - low)


@pytest.fixture(autouse=True)
def strict_pydicom(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a test write nothing the standard forbids, save where it says so."""
    monkeypatch.setattr(config.settings, "writing_validation_mode", config.RAISE)


class TestIsDicom:
    def test_the_magic_is_enough(self) -> None:
        assert is_dicom(save(film(ramp())))

    @pytest.mark.parametrize(
        "syntax", [uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian, uid.ExplicitVRBigEndian]
    )
    def test_a_bare_data_set_is_recognised_and_read(self, syntax: uid.UID) -> None:
        dataset, out = film(ramp(), syntax=syntax), io.BytesIO()
        expected = decode(dataset)
        del dataset.file_meta
        dataset.save_as(out, implicit_vr=syntax.is_implicit_VR, little_endian=syntax.is_little_endian)
        assert out.getvalue()[0] in {0, 8}
        assert is_dicom(out.getvalue())
        np.testing.assert_array_equal(decode(out.getvalue()).pixels, expected.pixels)

    def test_file_meta_without_a_preamble_is_recognised_and_read(self) -> None:
        data = save(film(ramp()))
        assert is_dicom(data[132:])
        np.testing.assert_array_equal(decode(data[132:]).pixels, decode(data).pixels)

    @pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "BMP", "GIF", "PDF"])
    def test_other_formats_are_not(self, kind: str) -> None:
        out = io.BytesIO()
        Image.fromarray(ramp(0, 255, "u1")).save(out, kind)
        assert not is_dicom(out.getvalue())

    @pytest.mark.parametrize(
        "data",
        [b"", b"\x08", b"patient,age\n1,2\n" * 20, b"%PDF-1.7\n" * 30, bytes(200), b"\x08\0\5\0\xff\xff\xff\xff"],
    )
    def test_scraps_are_not(self, data: bytes) -> None:
        assert not is_dicom(data)


class TestRefusals:
    @pytest.mark.parametrize("magic", [b"MZ\x90\0", b"\x7fELF"])
    def test_an_executable_preamble(self, magic: bytes) -> None:
        data = magic.ljust(128, b"\0") + save(film(ramp()))[128:]
        with pytest.raises(UnsupportedFormat, match="executable"):
            decode(data)

    def test_a_tiff_preamble_is_lawful(self) -> None:
        assert decode(b"II*\0".ljust(128, b"\0") + save(film(ramp()))[128:]).size_px == (W, H)

    def test_a_header_of_3600_million_pixels_costs_nothing(self) -> None:
        data = save(film(ramp(), Rows=60000, Columns=60000))
        with frugal(mib=1), pytest.raises(FilmTooLarge, match="60000 x 60000"):
            decode(data, max_pixels=64_000_000)

    def test_frames_count_towards_the_limit(self) -> None:
        dataset = film(ramp(), NumberOfFrames="3", PixelData=ramp().tobytes() * 3)
        assert len(decode_all(dataset, max_pixels=3 * H * W)) == 3
        with pytest.raises(FilmTooLarge, match="3 frames"):
            decode_all(dataset, max_pixels=3 * H * W - 1)

    @pytest.mark.parametrize(
        ("sop_class", "words"),
        [
            ("1.2.840.10008.5.1.4.1.1.88.22", "Enhanced SR"),
            ("1.2.840.10008.5.1.4.1.1.104.1", "Encapsulated PDF"),
            ("1.2.840.10008.5.1.4.1.1.11.1", "Softcopy Presentation State"),
            ("1.2.3.4", "unknown to the standard"),
        ],
    )
    def test_objects_without_pixels_are_named(self, sop_class: str, words: str) -> None:
        absent = dict.fromkeys(("Rows", "Columns", "PixelData"))
        with pytest.raises(NoPixels, match=words):
            decode(film(ramp(), SOPClassUID=sop_class, **absent))

    @pytest.mark.parametrize("elements", [{"Rows": 0}, {"Columns": 0}, {"Rows": None}, {"PixelData": None}])
    def test_an_image_header_without_an_image(self, elements: dict[str, Any]) -> None:
        with pytest.raises(NoPixels):
            decode(film(ramp(), **elements))

    def test_an_empty_data_set(self) -> None:
        with pytest.raises(NoPixels):
            decode(bytes(128) + b"DICM")

    @pytest.mark.parametrize(
        ("syntax", "words"),
        [
            ("1.2.840.10008.1.2.4.100", "this one is MPEG2"),
            ("1.2.3.4.5", "this one is unknown to the standard$"),
        ],
    )
    def test_a_transfer_syntax_without_a_codec(self, syntax: str, words: str) -> None:
        data = save(encapsulated(film(ramp()), uid.HTJ2K, bytes(10)))
        data = data.replace(b"1.2.840.10008.1.2.4.203\0", syntax.encode().ljust(24, b"\0"))
        with pytest.raises(UnsupportedFormat, match=words):
            decode(data)

    def test_a_jpeg_may_not_be_gone_through_too_often(self) -> None:
        out = io.BytesIO()
        Image.fromarray(ramp(0, 255, "u1")).save(out, "JPEG", progressive=True)
        once = out.getvalue()
        often = once[:-2] + once[once.rindex(b"\xff\xda") : -2] * 64 + once[-2:]
        with pytest.raises(TooCostly, match="at most 64 scans"):
            decode(encapsulated(film(ramp(0, 255, "u1")), uid.JPEGBaseline8Bit, often))

    def test_a_photometric_interpretation_nobody_knows(self) -> None:
        with pytest.raises(UnsupportedFormat, match="photometric"):
            decode(film(ramp(), PhotometricInterpretation="HSV"))

    def test_sequences_250_deep(self) -> None:
        opened = b"\x08\0\x10\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\0\xe0\xff\xff\xff\xff"
        closed = b"\xfe\xff\x0d\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0"
        data = save(film(ramp()))
        at = data.index(b"\x10\0\x10\0PN")
        with pytest.raises(BrokenFilm):
            decode(data[:at] + opened * 250 + closed * 250 + data[at:])
        assert decode(data[:at] + opened * 3 + closed * 3 + data[at:]).size_px == (W, H)

    def test_a_number_of_frames_below_one(self) -> None:
        with pytest.raises(BrokenFilm):
            decode(film(ramp(), NumberOfFrames="-1"))

    @pytest.mark.parametrize(
        ("old", "new"),
        [
            (b"DS\2\x006 ", b"DS\x8e\0" + NAME.encode().ljust(142)),  # the window width
            (b"1.2.3.3\0", NAME[:8].encode()),  # the instance
            (b"1.2.840.10008.1.2.1\0", NAME.encode().ljust(20)),  # the transfer syntax
            (b"MONOCHROME2 ", NAME[:12].encode()),
            (b"(\0\x10\0US\2\0", b"(\0\x10\0US\xff\0"),  # Rows swallows what follows it
            (b"PN\x0e\0", b"PN\xff\xff"),
        ],
    )
    def test_nothing_that_is_said_names_the_patient(self, old: bytes, new: bytes) -> None:
        said = io.StringIO()
        listener = logging.StreamHandler(said)
        logging.getLogger().addHandler(listener)
        data = save(film(ramp(), WindowCenter="5", WindowWidth="6"))
        assert data.count(old)
        try:
            for shown in decode_all(data.replace(old, new)):
                said.write(repr(shown))
        except FractureError:
            said.write(traceback.format_exc())
        finally:
            logging.getLogger().removeHandler(listener)
        assert said.getvalue()
        assert NAME[:6] not in said.getvalue()


class TestTruncated:
    def test_native_rows_that_are_there_are_kept(self) -> None:
        whole = film(ramp(100, 900), WindowCenter="500.5", WindowWidth="1001")
        data = save(whole)
        lost = 3 * W + 5
        cut = decode(data[: -2 * lost])
        assert cut.flags == {"truncated"}
        kept = np.arange(H * W).reshape(H, W) < H * W - lost
        np.testing.assert_array_equal(cut.pixels[kept], decode(data).pixels[kept])
        assert decode(data).pixels[~kept].min() > 0
        assert not cut.pixels[~kept].any()

    def test_what_is_missing_is_black_after_inversion_and_not_in_the_stretch(self) -> None:
        data = save(film(ramp(100, 900), PhotometricInterpretation="MONOCHROME1"))
        cut = decode(data[: -2 * W])
        assert cut.flags == {"truncated", "inverted", "no_window"}
        np.testing.assert_allclose(cut.pixels[:-1], 1 - stretch(ramp(100, 900)[:-1]), atol=1e-6)
        assert not cut.pixels[-1].any()

    def test_less_than_a_row_is_no_film(self) -> None:
        data = save(film(ramp()))
        assert decode(data[: -2 * W * (H - 1)]).flags >= {"truncated"}
        with pytest.raises(BrokenFilm, match="first row"):
            decode(data[: -2 * W * (H - 1) - 1])

    def test_of_colour_planes_the_last_counts(self) -> None:
        rgb = np.stack([ramp(0, 255, "u1")] * 3, axis=-1)
        data = save(film(rgb, PlanarConfiguration=1, PixelData=rgb.transpose(2, 0, 1).tobytes()))
        cut = decode(data[: -2 * W])
        np.testing.assert_array_equal(cut.pixels[:-2], rgb[:-2, :, 0].astype(np.float32) / 255)
        assert not cut.pixels[-2:].any()
        with pytest.raises(BrokenFilm):
            decode(data[: -H * W])

    def test_later_frames_that_are_missing_are_refused_when_reached(self) -> None:
        data = save(film(ramp(), NumberOfFrames="2", PixelData=ramp().tobytes() * 2))
        films = dicom_frames(data[: -2 * H * W], max_pixels=LIMIT)
        assert next(films).flags == {"no_window"}
        with pytest.raises(BrokenFilm, match="frame 2 of 2"):
            next(films)

    def test_encapsulated_data_cut_short_is_refused(self) -> None:
        dataset = film(ramp())
        dataset.compress(uid.RLELossless)
        data = save(dataset)
        for lost in (9, 40, 100):
            with pytest.raises(BrokenFilm):
                decode(data[:-lost])


class TestPolarity:
    @pytest.mark.parametrize("window", [{}, {"WindowCenter": "300", "WindowWidth": "400"}])
    def test_monochrome1_is_monochrome2_inverted(self, window: dict[str, str]) -> None:
        upright = decode(film(ramp(), **window))
        inverted = decode(film(ramp(), PhotometricInterpretation="MONOCHROME1", **window))
        np.testing.assert_array_equal(inverted.pixels, 1 - upright.pixels)
        assert inverted.flags - upright.flags == {"inverted"}
        assert upright.pixels[4, 3] == 1

    def test_monochrome1_of_the_negative_shows_the_same_film(self) -> None:
        negative = film(1000 - ramp(), PhotometricInterpretation="MONOCHROME1")
        np.testing.assert_allclose(decode(negative).pixels, decode(film(ramp())).pixels, atol=1e-6)

    @pytest.mark.parametrize(
        ("photometric", "shape", "inverted", "conflict"),
        [
            ("MONOCHROME1", "INVERSE", True, False),  # one inversion, said twice
            ("MONOCHROME2", "IDENTITY", False, False),
            ("MONOCHROME2", "INVERSE", True, True),
            ("MONOCHROME1", "IDENTITY", True, True),
        ],
    )
    def test_presentation_lut_shape(self, photometric: str, shape: str, inverted: bool, conflict: bool) -> None:
        shown = decode(film(ramp(), PhotometricInterpretation=photometric, PresentationLUTShape=shape))
        expected = 1 - stretch(ramp()) if inverted else stretch(ramp())
        np.testing.assert_allclose(shown.pixels, expected, atol=1e-6)
        assert ("inverted" in shown.flags) == inverted
        assert ("polarity_conflict" in shown.flags) == conflict


class TestWindow:
    def test_linear_by_hand(self) -> None:
        # C.11.2.1.2.1 for c = 2048, w = 4096: y = ((x - 2047.5) / 4095 + 0.5) * 255, its example of the full 12 bits.
        values = np.array([[0, 1, 2047, 2048, 4095, 5000]], "u2")
        shown = decode(film(values, WindowCenter="2048", WindowWidth="4096"))
        np.testing.assert_allclose(shown.pixels[0], [0, 1 / 4095, 2047 / 4095, 2048 / 4095, 1, 1], atol=1e-6)
        assert not shown.flags

    def test_linear_at_its_edges(self) -> None:
        # c = 100, w = 101: x <= 49.5 is black, x > 149.5 white.
        shown = decode(film(np.array([[49, 50, 99, 100, 149, 150]], "u2"), WindowCenter="100", WindowWidth="101"))
        np.testing.assert_allclose(shown.pixels[0], [0, 0.005, 0.495, 0.505, 0.995, 1], atol=1e-6)

    def test_linear_of_width_one_is_a_threshold(self) -> None:
        shown = decode(film(np.array([[9, 10, 11]], "u2"), WindowCenter="10.5", WindowWidth="1"))
        assert shown.pixels.tolist() == [[0, 0, 1]]

    def test_linear_exact_by_hand(self) -> None:
        # C.11.2.1.3.2: y = (x - c) / w + 0.5.
        window = {"WindowCenter": "100", "WindowWidth": "100", "VOILUTFunction": "LINEAR_EXACT"}
        shown = decode(film(np.array([[50, 75, 100, 149, 150, 151]], "u2"), **window))
        np.testing.assert_allclose(shown.pixels[0], [0, 0.25, 0.5, 0.99, 1, 1], atol=1e-6)

    def test_linear_exact_may_be_narrower_than_one(self) -> None:
        window = {"WindowCenter": "2", "WindowWidth": "0.5", "VOILUTFunction": "LINEAR_EXACT"}
        shown = decode(film(np.array([[1, 2, 3]], "u2"), **window))
        assert shown.pixels.tolist() == [[0, 0.5, 1]]
        assert not shown.flags

    def test_sigmoid_by_hand(self) -> None:
        # C.11.2.1.3.1: y = 1 / (1 + exp(-4 (x - c) / w)).
        window = {"WindowCenter": "100", "WindowWidth": "200", "VOILUTFunction": "SIGMOID"}
        shown = decode(film(np.array([[0, 50, 100, 150, 200]], "u2"), **window))
        by_hand = [0.11920292, 0.26894142, 0.5, 0.73105858, 0.88079708]
        np.testing.assert_allclose(shown.pixels[0], by_hand, atol=1e-6)

    def test_windows_are_chosen_by_index(self) -> None:
        pixels = ramp()
        dataset = film(pixels, WindowCenter=["200", "700"], WindowWidth=["100", "300"])
        for index, (centre, width) in enumerate([(200, 100), (700, 300)]):
            by_hand = np.clip((pixels - (centre - 0.5)) / (width - 1) + 0.5, 0, 1)
            np.testing.assert_allclose(decode(dataset, window=index).pixels, by_hand, atol=1e-6)
        for index in (2, -1):
            with pytest.raises(BadValue, match="2 windows"):
                decode(dataset, window=index)

    def test_a_film_without_windows_has_only_the_first(self) -> None:
        shown = decode(film(ramp(50, 900)))
        np.testing.assert_allclose(shown.pixels, stretch(ramp(50, 900)), atol=1e-6)
        assert shown.flags == {"no_window"}
        with pytest.raises(BadValue, match="0 windows"):
            decode(film(ramp()), window=1)

    @pytest.mark.parametrize(
        ("width", "function"),
        [("0", "LINEAR"), ("0.5", "LINEAR"), ("-5", "SIGMOID"), ("0", "LINEAR_EXACT"), ("9", "LOG")],
    )
    def test_a_window_the_standard_forbids_falls_back(self, width: str, function: str) -> None:
        shown = decode(film(ramp(), WindowCenter="200", WindowWidth=width, VOILUTFunction=function))
        np.testing.assert_allclose(shown.pixels, stretch(ramp()), atol=1e-6)
        assert shown.flags == {"bad_window"}

    def test_a_window_that_is_no_number_falls_back(self) -> None:
        data = save(film(ramp(), WindowCenter="200", WindowWidth="8888")).replace(b"8888", b"wide")
        assert decode(data).flags == {"bad_window"}

    def test_a_constant_film_is_black(self) -> None:
        assert not decode(film(np.full((H, W), 7, "u2"))).pixels.any()


class TestTables:
    def test_modality_rescale_comes_before_the_window(self) -> None:
        values = np.array([[0, 100, 200, 300]], "u2")
        window = {"WindowCenter": "-799.5", "WindowWidth": "401"}
        shown = decode(film(values, RescaleSlope="2", RescaleIntercept="-1000", **window))
        np.testing.assert_allclose(shown.pixels[0], [0, 0.5, 1, 1], atol=1e-6)

    def test_a_negative_slope_turns_the_film(self) -> None:
        shown = decode(film(ramp(), RescaleSlope="-10", RescaleIntercept="3000"))
        np.testing.assert_allclose(shown.pixels, 1 - stretch(ramp()), atol=1e-6)

    def test_a_slope_of_zero_is_ignored_and_flagged(self) -> None:
        shown = decode(film(ramp(), RescaleSlope="0", RescaleIntercept="5"))
        np.testing.assert_allclose(shown.pixels, stretch(ramp()), atol=1e-6)
        assert "bad_rescale" in shown.flags

    def test_modality_table(self) -> None:
        # First value mapped 10: below it the first entry, beyond the table the last (C.11.1.1.1).
        values = np.array([[0, 10, 11, 12, 13, 999]], "u2")
        lut = table(10, 12, np.array([4000, 100, 2050, 0]))
        lut.ModalityLUTType = "US"
        window = {"WindowCenter": "2000.5", "WindowWidth": "4001"}
        shown = decode(film(values, ModalityLUTSequence=[lut], **window))
        np.testing.assert_allclose(shown.pixels[0], [1, 1, 0.025, 0.5125, 0, 0], atol=1e-6)

    def test_modality_table_from_a_negative_number(self) -> None:
        lut = table(-2, 16, np.array([7, 8, 9, 10, 11]))
        lut.ModalityLUTType = "US"
        shown = decode(film(np.array([[-2, -1, 0, 2]], "i2"), ModalityLUTSequence=[lut]))
        np.testing.assert_allclose(shown.pixels[0], [0, 0.25, 0.5, 1], atol=1e-6)

    @pytest.mark.parametrize("syntax", [uid.ExplicitVRLittleEndian, uid.ExplicitVRBigEndian])
    @pytest.mark.parametrize(("bits", "packed"), [(8, True), (8, False), (9, False), (12, False), (16, False)])
    def test_voi_table_of_any_depth(self, syntax: str, bits: int, packed: bool) -> None:
        # 1,000 entries: an 8-bit index into them would wrap.
        curve = np.rint(np.linspace(0, 1, 1000) ** 2 * (2**bits - 1)).astype("u2")
        lut = table(0, bits, curve, packed=packed)
        if syntax == uid.ExplicitVRBigEndian:
            lut["LUTData"].value = np.frombuffer(lut.LUTData, "<u2").astype(">u2").tobytes()
        shown = decode(film(np.minimum(ramp(), 999), syntax=syntax, VOILUTSequence=[lut]))
        np.testing.assert_allclose(shown.pixels, curve[np.minimum(ramp(), 999)] / (2**bits - 1), atol=1e-6)
        assert not shown.flags

    @pytest.mark.parametrize("descriptor", [("SS", [6, -5, 8]), ("US", [6, 65531, 8])])
    def test_voi_table_as_numbers_and_after_rescale(self, descriptor: tuple[str, list[int]]) -> None:
        lut = item()
        lut.add_new("LUTDescriptor", *descriptor)
        lut.add_new("LUTData", "US", [0, 51, 255, 255, 255, 255])
        shown = decode(
            film(np.array([[0, 1, 2, 3]], "u2"), RescaleSlope="1", RescaleIntercept="-5", VOILUTSequence=[lut])
        )
        np.testing.assert_allclose(shown.pixels[0], [0, 0.2, 1, 1], atol=1e-6)

    def test_tables_come_before_windows(self) -> None:
        luts = [table(0, 8, np.linspace(51, top, 10)) for top in (153, 204)]
        dataset = film(ramp(), VOILUTSequence=luts, WindowCenter="200", WindowWidth="100")
        levels = [np.unique(decode(dataset, window=index).pixels).tolist() for index in range(2)]
        np.testing.assert_allclose(levels, [[0.2, 0.6], [0.2, 0.8]], atol=1e-6)
        windowed = film(ramp(), WindowCenter="200", WindowWidth="100")
        np.testing.assert_array_equal(decode(dataset, window=2).pixels, decode(windowed).pixels)
        with pytest.raises(BadValue, match="3 windows"):
            decode(dataset, window=3)


class TestStoredValues:
    @pytest.mark.parametrize("syntax", [uid.ImplicitVRLittleEndian, uid.ExplicitVRBigEndian])
    @pytest.mark.parametrize("dtype", ["u1", "u2", "i2", "i4"])
    def test_every_plain_syntax_and_type_reads_alike(self, syntax: str, dtype: str) -> None:
        pixels = ramp(-100 if dtype[0] == "i" else 0, 250, dtype)
        shown = decode(film(pixels, syntax=syntax))
        np.testing.assert_allclose(shown.pixels, stretch(pixels), atol=1e-6)

    def test_signed_values_below_zero(self) -> None:
        window = {"WindowCenter": "0.5", "WindowWidth": "2001"}
        shown = decode(film(np.array([[-1000, -500, 0, 1000]], "i2"), **window))
        np.testing.assert_allclose(shown.pixels[0], [0, 0.25, 0.5, 1], atol=1e-6)

    @pytest.mark.parametrize("signed", [False, True])
    @pytest.mark.parametrize("high", [9, 12, 15])
    @pytest.mark.parametrize("compress", [False, True])
    def test_ten_bits_wherever_they_lie(self, signed: bool, high: int, compress: bool) -> None:
        # The six other bits are noise, as old scanners' overlays are.
        values = np.array([[-512, -1, 0, 511]] if signed else [[0, 511, 512, 1023]])
        low = high - 9
        noise = 0b1010101010101010 & ~(1023 << low)
        cells = ((values & 1023) << low | noise).astype("u2")
        dataset = film(cells.astype("i2" if signed else "u2"), BitsStored=10, HighBit=high)
        if compress:
            encapsulated(dataset, uid.RLELossless, rle_frame(cells >> 8, cells & 255))
        np.testing.assert_allclose(decode(dataset).pixels, stretch(values), atol=1e-6)

    def test_float_pixels(self) -> None:
        values = np.array([[-1.5, 0, np.nan, 4.5]], "f4")
        dataset = film(values.view("u4"), PixelData=None, BitsStored=None, HighBit=None, PixelRepresentation=None)
        dataset.FloatPixelData = values.tobytes()
        np.testing.assert_allclose(decode(dataset).pixels[0], [0, 0.25, 0, 1], atol=1e-6)

    @pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
    def test_padding_is_black_and_outside_the_stretch(self, photometric: str) -> None:
        pixels = ramp(100, 900)
        pixels[:, :3], pixels[:, -2:] = 5000, 5010
        padded = {"PixelPaddingValue": 5000, "PixelPaddingRangeLimit": 5010, "PhotometricInterpretation": photometric}
        shown = decode(film(pixels, **padded)).pixels
        image = stretch(pixels[:, 3:-2])
        np.testing.assert_allclose(shown[:, 3:-2], 1 - image if photometric == "MONOCHROME1" else image, atol=1e-6)
        assert not shown[:, :3].any()
        assert not shown[:, -2:].any()

    def test_padding_without_a_range_is_one_value(self) -> None:
        shown = decode(film(np.array([[7, 8, 9, 10]], "u2"), PixelPaddingValue=7)).pixels
        np.testing.assert_allclose(shown[0], [0, 0, 0.5, 1], atol=1e-6)

    @pytest.mark.parametrize(
        ("value", "absent"), [(b"7\\abc ", [True, False]), (b"abc\\7 ", [True, False]), (b"abc ", [False] * 2)]
    )
    def test_padding_among_other_things(self, value: bytes, absent: list[bool]) -> None:
        data = save(film(np.array([[7, 9, 8, 10]], "u2"), PixelPaddingValue=7))
        old = b"\x28\0\x20\x01US\x02\0\x07\0"
        assert data.count(old) == 1
        shown = decode(data.replace(old, b"\x28\0\x20\x01DS" + len(value).to_bytes(2, "little") + value))
        low = 8 if absent[0] else 7
        np.testing.assert_allclose(shown.pixels[0], [0, (9 - low) / (10 - low), (8 - low) / (10 - low), 1], atol=1e-6)

    def test_padding_is_judged_before_rescale_and_window(self) -> None:
        scaled = {"RescaleSlope": "1", "RescaleIntercept": "-2000", "WindowCenter": "-1500", "WindowWidth": "1000"}
        pixels = np.array([[0, 500, 1000]], "u2")
        assert decode(film(pixels, **scaled)).pixels[0, 2] == 1
        assert decode(film(pixels, PixelPaddingValue=1000, **scaled)).pixels[0, 2] == 0

    def test_negative_padding_written_as_unsigned(self) -> None:
        dataset = film(np.array([[-2000, 0, 100]], "i2"))
        dataset.add_new("PixelPaddingValue", "US", 63536)
        np.testing.assert_allclose(decode(dataset).pixels[0], [0, 0, 1], atol=1e-6)

    def test_a_film_of_padding_alone_is_black(self) -> None:
        assert not decode(film(np.full((H, W), 5, "u2"), PixelPaddingValue=5)).pixels.any()


class TestColour:
    @pytest.fixture
    def rgb(self) -> NDArray[np.uint8]:
        return np.random.default_rng(7).integers(0, 256, (H, W, 3), dtype=np.uint8)

    @pytest.fixture
    def luma(self, rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.asarray(Image.fromarray(rgb).convert("L")).astype(np.float32) / 255

    @pytest.mark.parametrize("planar", [0, 1])
    @pytest.mark.parametrize("syntax", [uid.ExplicitVRLittleEndian, uid.ExplicitVRBigEndian])
    def test_rgb_is_pillows_luma(self, rgb: Any, luma: Any, planar: int, syntax: str) -> None:
        dataset = film(rgb, syntax=syntax, PlanarConfiguration=planar)
        if planar:
            dataset.PixelData = rgb.transpose(2, 0, 1).tobytes()
        dataset["PixelData"].VR = "OB"
        shown = decode(dataset)
        np.testing.assert_array_equal(shown.pixels, luma)
        assert shown.flags == {"colour"}

    def test_rgb_of_16_bits(self, rgb: Any, luma: Any) -> None:
        shown = decode(film(rgb.astype("u2") * 257))
        own = (luma - luma.min()) / (luma.max() - luma.min())
        np.testing.assert_allclose(shown.pixels, own, atol=1.2 / 255)
        assert shown.flags == {"colour", "assumed_range"}

    def test_ybr_full(self, rgb: Any, luma: Any) -> None:
        ybr = np.asarray(Image.fromarray(rgb).convert("YCbCr"))
        shown = decode(film(ybr, PhotometricInterpretation="YBR_FULL"))
        np.testing.assert_allclose(shown.pixels, luma, atol=1.01 / 255)

    def test_ybr_full_422(self, rgb: Any) -> None:
        ybr = np.asarray(Image.fromarray(rgb).convert("YCbCr"))
        # Two lumas, then the chroma they share (C.7.6.3.1.2).
        pairs = np.stack([ybr[:, ::2, 0], ybr[:, 1::2, 0], ybr[:, ::2, 1], ybr[:, ::2, 2]], axis=-1)
        shown = decode(film(ybr, PhotometricInterpretation="YBR_FULL_422", PixelData=pairs.tobytes()))
        np.testing.assert_array_equal(shown.pixels, ybr[..., 0].astype(np.float32) / 255)

    @pytest.mark.parametrize(("bits", "packed"), [(8, True), (8, False), (16, False)])
    def test_palette(self, rgb: Any, bits: int, packed: bool) -> None:
        # 600 colours, first mapped 3, indexed by 16 bits.
        palette = np.random.default_rng(3).integers(0, 2**bits, (600, 3))
        indices = np.random.default_rng(4).integers(3, 603, (H, W)).astype("u2")
        dataset = film(indices, PhotometricInterpretation="PALETTE COLOR")
        for channel, colour in enumerate(("Red", "Green", "Blue")):
            entries = palette[:, channel].astype("u1" if packed else "<u2").tobytes()
            dataset.add_new(f"{colour}PaletteColorLookupTableDescriptor", "US", [600, 3, bits])
            dataset.add_new(f"{colour}PaletteColorLookupTableData", "OW", entries)
        red, green, blue = np.moveaxis(palette[indices - 3], -1, 0)
        luma = (red * 19595 + green * 38470 + blue * 7471 + 32768 >> 16) / (2**bits - 1)
        shown = decode(dataset)
        np.testing.assert_allclose(shown.pixels, luma, atol=1e-6)
        assert shown.flags == {"colour"}

    def test_a_window_is_for_grey_films(self, rgb: Any) -> None:
        with pytest.raises(BadValue, match="0 windows"):
            decode(film(rgb), window=1)

    def test_samples_must_suit_the_interpretation(self, rgb: Any) -> None:
        with pytest.raises(BrokenFilm, match="1 sample"):
            decode(film(rgb, PhotometricInterpretation="MONOCHROME2"))


class TestFrames:
    def test_frames_come_one_by_one_in_order(self) -> None:
        stack = np.stack([ramp(0, 100), ramp(0, 200), ramp(0, 300)])
        window = {"WindowCenter": "150.5", "WindowWidth": "301"}
        films = dicom_frames(
            save(film(stack[0], NumberOfFrames="3", PixelData=stack.tobytes(), **window)), max_pixels=LIMIT
        )
        for pixels in stack:
            np.testing.assert_allclose(next(films).pixels, np.clip(pixels / 300, 0, 1), atol=1e-6)
        assert next(films, None) is None

    def test_functional_groups_speak_for_their_frames(self) -> None:
        pixels = np.array([[0, 50, 100, 200]], "u2")

        def window(centre: str, width: str) -> Dataset:
            return item(FrameVOILUTSequence=[item(WindowCenter=centre, WindowWidth=width)])

        shared = window("10", "10")
        shared.PixelValueTransformationSequence = [item(RescaleSlope="2", RescaleIntercept="0", RescaleType="US")]
        shared.PixelMeasuresSequence = [item(PixelSpacing=["0.2", "0.3"])]
        last = window("200.5", "401")
        last.PixelValueTransformationSequence = [item(RescaleSlope="1", RescaleIntercept="0", RescaleType="US")]
        last.PixelMeasuresSequence = [item(PixelSpacing=["0.4", "0.5"])]
        dataset = film(
            pixels,
            NumberOfFrames="3",
            PixelData=pixels.tobytes() * 3,
            SharedFunctionalGroupsSequence=[shared],
            PerFrameFunctionalGroupsSequence=[window("200.5", "401"), item(), last],
        )
        films = decode_all(dataset)
        np.testing.assert_allclose(films[0].pixels[0], [0, 0.25, 0.5, 1], atol=1e-6)
        np.testing.assert_allclose(films[1].pixels[0], [0, 1, 1, 1], atol=1e-6)
        np.testing.assert_allclose(films[2].pixels[0], [0, 0.125, 0.25, 0.5], atol=1e-6)
        assert [f.spacing_mm for f in films] == [(0.2, 0.3), (0.2, 0.3), (0.4, 0.5)]

    def test_a_codestream_of_each_frame(self) -> None:
        stack = np.stack([ramp(0, 100), ramp(0, 1000)])
        dataset = film(stack[0], NumberOfFrames="2", PixelData=stack.tobytes())
        dataset.compress(uid.RLELossless)
        for shown, pixels in zip(decode_all(dataset), stack, strict=True):
            np.testing.assert_allclose(shown.pixels, stretch(pixels), atol=1e-6)


class TestIdentity:
    def test_identifiers_and_no_harmonise_id(self) -> None:
        shown = decode(film(ramp()))
        assert (shown.study_uid, shown.series_uid, shown.instance_uid) == ("1.2.3.1", "1.2.3.2", "1.2.3.3")
        assert shown.harmonise_id is None
        assert shown.pixels.dtype == np.float32

    @pytest.mark.parametrize(
        ("elements", "expected"),
        [
            ({"PixelSpacing": ["0.1", "0.2"], "ImagerPixelSpacing": ["0.3", "0.4"]}, (0.1, 0.2)),
            ({"ImagerPixelSpacing": ["0.3", "0.4"]}, (0.3, 0.4)),
            ({"PixelSpacing": ["0", "0"], "ImagerPixelSpacing": ["0.3", "0.4"]}, (0.3, 0.4)),
            ({"PixelSpacing": ["-0.1", "0.1"]}, None),
            ({"PixelSpacing": ["1000", "1000"]}, None),
            ({"PixelSpacing": "0.1"}, None),
            ({}, None),
        ],
    )
    def test_spacing(self, elements: dict[str, Any], expected: tuple[float, float] | None) -> None:
        assert decode(film(ramp(), **elements)).spacing_mm == expected


class TestCodecs:
    @pytest.mark.parametrize("syntax", [uid.RLELossless, uid.JPEG2000Lossless])
    @pytest.mark.parametrize("dtype", ["u1", "u2", "i2"])
    def test_lossless_syntaxes_change_nothing(self, syntax: str, dtype: str) -> None:
        # Five levels of wavelets want 32 pixels.
        pixels = np.kron(ramp(-50 if dtype == "i2" else 0, 250, dtype), np.ones((4, 4), dtype))
        native = film(pixels, WindowCenter="90", WindowWidth="150")
        packed = copy.deepcopy(native)
        packed.compress(syntax)
        np.testing.assert_array_equal(decode(packed).pixels, decode(native).pixels)

    def test_jpeg_baseline(self) -> None:
        smooth, out = ramp(0, 250, "u1"), io.BytesIO()
        smooth[:] = np.linspace(0, 250, W)
        Image.fromarray(smooth).save(out, "JPEG", quality=95)
        dataset = film(smooth, WindowCenter="128", WindowWidth="256")
        encapsulated(dataset, uid.JPEGBaseline8Bit, out.getvalue())
        np.testing.assert_allclose(decode(dataset).pixels, smooth / 255, atol=0.02)

    @pytest.mark.parametrize("photometric", ["YBR_FULL_422", "RGB"])
    def test_colour_jpeg(self, photometric: str) -> None:
        rgb, out = np.stack([ramp(0, 250, "u1")] * 3, axis=-1), io.BytesIO()
        rgb[..., 2] = 40
        Image.fromarray(rgb).save(out, "JPEG", quality=100, subsampling=0)
        dataset = film(rgb, PhotometricInterpretation=photometric)  # RGB is a lie that the JFIF marker gives away
        encapsulated(dataset, uid.JPEGBaseline8Bit, out.getvalue())
        luma = np.asarray(Image.fromarray(rgb).convert("L")) / 255
        np.testing.assert_allclose(decode(dataset).pixels, luma, atol=0.02)

    def test_deflated(self) -> None:
        native = film(ramp())
        packed = copy.deepcopy(native)
        packed.file_meta.TransferSyntaxUID = uid.DeflatedExplicitVRLittleEndian
        np.testing.assert_array_equal(decode(packed).pixels, decode(native).pixels)

    @pytest.mark.parametrize("nested", [False, True])
    def test_a_deflated_bomb(self, nested: bool) -> None:
        packed = film(ramp(), syntax=uid.DeflatedExplicitVRLittleEndian)
        data = save(packed)
        meta = data[: data.index(b"1.2.840.10008.1.2.1.99") + 22]
        bomb = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
        zeros = bytes(1 << 20)
        body = b"".join(bomb.compress(zeros) for _ in range(100)) + bomb.flush()
        if nested:  # a deflated file within a deflated file: only the outer one is deflated
            outer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
            body = outer.compress(meta + body) + outer.flush()
        with frugal(mib=10), pytest.raises((NoPixels, BrokenFilm) if nested else FilmTooLarge):
            decode(meta + body)

    @pytest.mark.parametrize("kind", ["JPEG2000", "JPEG"])
    def test_a_codestream_larger_than_the_header_says(self, kind: str) -> None:
        out = io.BytesIO()
        options: dict[str, Any] = {"no_jp2": True} if kind == "JPEG2000" else {}
        Image.new("L", (4000, 3000)).save(out, kind, **options)
        dataset = film(ramp(0, 255, "u1"))
        encapsulated(dataset, uid.JPEG2000 if kind == "JPEG2000" else uid.JPEGBaseline8Bit, out.getvalue())
        with frugal(mib=2), pytest.raises(BrokenFilm, match=r"announces \(3000, 4000\)"):
            decode(dataset)

    def test_jp2_boxes_that_never_end(self) -> None:
        out = io.BytesIO()
        Image.fromarray(ramp(0, 255, "u1")).save(out, "JPEG2000")
        boxed = out.getvalue()
        dataset = film(ramp(0, 255, "u1"))
        assert decode(encapsulated(dataset, uid.JPEG2000, boxed)).size_px == (W, H)
        with pytest.raises(BrokenFilm):
            decode(encapsulated(dataset, uid.JPEG2000, boxed[:12] + bytes(8) + boxed[12:]))

    def test_a_palette_in_the_wrapper_never_meets_the_codec(self) -> None:
        """Its codec writes three samples where it made room for one: the process dies, or nothing shows it."""
        out = io.BytesIO()
        pixels = np.kron(ramp(0, 250, "u1"), np.ones((4, 4), "u1"))
        Image.fromarray(pixels).save(out, "JPEG2000")
        with pytest.raises(UnsupportedFormat, match="palette"):
            decode(encapsulated(film(pixels), uid.JPEG2000, with_palette(out.getvalue())))

    @pytest.mark.parametrize("start", [64, 66])
    def test_an_rle_segment_that_runs_over(self, start: int) -> None:
        # 13 million zeros a plane for 192 pixels. At 64 the codec panics, which is no Exception; at 66 it declines.
        runs = b"\x81\x00" * 100_000
        frame = struct.pack("<16L", 2, start, start + len(runs), *[0] * 13) + bytes(start - 64) + runs * 2
        data = save(encapsulated(film(ramp()), uid.RLELossless, frame))
        with frugal(mib=5), pytest.raises(BrokenFilm):
            decode(data)

    def test_garbage_for_a_codestream(self) -> None:
        dataset = film(ramp(0, 255, "u1"))
        for syntax in (uid.RLELossless, uid.JPEGBaseline8Bit, uid.JPEGLossless, uid.JPEGLSLossless, uid.JPEG2000):
            with pytest.raises(BrokenFilm):
                decode(encapsulated(dataset, syntax, bytes(range(256)) * 4))


SHIPPED = Path(pydicom.__file__).parent / "data" / "test_files"


def shipped() -> list[str]:
    """List the files of the pydicom wheel that are DICOM by content."""
    return sorted(str(p.relative_to(SHIPPED)) for p in SHIPPED.rglob("*") if p.is_file() and is_dicom(p.read_bytes()))


class TestModality:
    @pytest.mark.parametrize("modality", ["CR", "DX", "DR", "RF", "SC", "OT", "DX ", ""])
    def test_radiographs_and_scanned_films_are_taken(self, modality: str) -> None:
        shown = decode(save(film(ramp(), Modality=modality)), any_modality=False)
        assert ("no_modality" in shown.flags) == (modality == "")

    @pytest.mark.parametrize(("modality", "said"), [("CT", "CT"), ("MR", "MR"), ("US", "US"), ("DOE", "another")])
    def test_anything_else_is_refused_and_only_words_of_the_standard_are_quoted(self, modality: str, said: str) -> None:
        with pytest.raises(WrongModality, match=f"got {said}$") as refused:
            decode(save(film(ramp(), Modality=modality)), any_modality=False)
        assert "DOE" not in str(refused.value)


class TestBodyPart:
    @pytest.mark.parametrize(
        ("part", "elsewhere"),
        [("CHEST", True), ("SKULL ", True), ("LSPINE", True), ("HAND", False), ("PELVIS", False), ("", False)],
    )
    def test_a_film_of_no_limb_is_flagged_where_the_file_says_so(self, part: str, elsewhere: bool) -> None:
        assert (NO_LIMB in decode(save(film(ramp(), BodyPartExamined=part))).flags) == elsewhere
        assert NO_LIMB not in decode(save(film(ramp()))).flags


class TestShippedFiles:
    @pytest.mark.parametrize("name", shipped())
    def test_a_film_or_a_refusal_and_nothing_else(self, name: str) -> None:
        try:
            films = decode_all((SHIPPED / name).read_bytes(), max_pixels=10_000_000)
        except FractureError:
            return
        assert films
        assert all(np.isfinite(f.pixels).all() for f in films)

    @pytest.mark.parametrize(
        ("name", "reference"),
        [
            ("MR_small_RLE.dcm", "MR_small.dcm"),
            ("MR_small_bigendian.dcm", "MR_small.dcm"),
            ("MR_small_expb.dcm", "MR_small.dcm"),
            ("MR_small_implicit.dcm", "MR_small.dcm"),
            ("MR_small_jp2klossless.dcm", "MR_small.dcm"),
            ("MR_small_jpeg_ls_lossless.dcm", "MR_small.dcm"),
            ("MR_small_padded.dcm", "MR_small.dcm"),
            ("SC_rgb_dcmtk_+eb+cr.dcm", "SC_rgb_rle.dcm"),
            ("SC_rgb_gdcm_KY.dcm", "SC_rgb_rle.dcm"),
            ("SC_rgb_jpeg_gdcm.dcm", "SC_rgb_rle.dcm"),
            ("SC_rgb_jpeg_dcmtk.dcm", "SC_rgb_rle.dcm"),
            ("SC_rgb_rle_2frame.dcm", "SC_rgb_rle.dcm"),
            ("SC_rgb_rle_16bit.dcm", "SC_rgb_rle.dcm"),
            ("SC_rgb_rle_32bit.dcm", "SC_rgb_rle.dcm"),
            ("SC_ybr_full_422_uncompressed.dcm", "SC_rgb_rle.dcm"),
            ("SC_rgb_small_odd_big_endian.dcm", "SC_rgb_small_odd.dcm"),
        ],
    )
    def test_one_image_in_many_syntaxes(self, name: str, reference: str) -> None:
        shown, expected = (decode_all((SHIPPED / file).read_bytes())[0].pixels for file in (name, reference))
        np.testing.assert_allclose(shown, expected, atol=0.006 if name.startswith("SC") else 0)

    @pytest.mark.parametrize(
        "name", ["693_J2KI.dcm", "J2K_pixelrep_mismatch.dcm", "MR_small.dcm", "examples_overlay.dcm"]
    )
    def test_windowed_greys_agree_with_pydicom(self, name: str) -> None:
        dataset = pydicom.dcmread(SHIPPED / name)
        theirs = apply_voi_lut(apply_modality_lut(dataset.pixel_array, dataset), dataset)
        slope, intercept = float(dataset.get("RescaleSlope", 1)), float(dataset.get("RescaleIntercept", 0))
        half = 2 ** (dataset.BitsStored - 1)
        low, high = (-half, half - 1) if dataset.PixelRepresentation else (0, 2 * half - 1)
        ours = decode((SHIPPED / name).read_bytes())
        expected = (theirs - (low * slope + intercept)) / ((high - low) * slope)
        padding = dataset.pixel_array == dataset.get("PixelPaddingValue", np.inf)
        np.testing.assert_allclose(ours.pixels[~padding], expected[~padding], atol=1e-5)

    def test_truncated_file(self) -> None:
        cut, whole = (decode((SHIPPED / f"MR_{kind}.dcm").read_bytes()) for kind in ("truncated", "small"))
        assert cut.flags == {"truncated"}
        assert (cut.pixels != whole.pixels).mean() < 0.05
        np.testing.assert_array_equal(cut.pixels[:60], whole.pixels[:60])

    def test_thirty_frames(self) -> None:
        assert len(decode_all((SHIPPED / "examples_ybr_color.dcm").read_bytes(), max_pixels=10_000_000)) == 30


class TestLoggers:
    """What pydicom says of a film may name its patient; what it says to others is theirs."""

    @pytest.mark.parametrize("name", ["pydicom", "pydicom.pixels.decoders.base", "openjpeg"])
    def test_nobody_elses_words_are_lost(self, name: str, caplog: pytest.LogCaptureFixture) -> None:
        logger = logging.getLogger(name)
        assert not logger.disabled
        decode(film(ramp()))
        logger.warning("to whom it concerns")
        assert "to whom it concerns" in caplog.text

    def test_nothing_is_said_of_a_film(self, caplog: pytest.LogCaptureFixture) -> None:
        dataset = film(ramp(0, 255, "u1"))
        for syntax in (uid.RLELossless, uid.JPEGBaseline8Bit, uid.JPEG2000):
            with pytest.raises(BrokenFilm):
                decode(encapsulated(dataset, syntax, NAME.encode() * 40))
        data = save(film(ramp(), WindowCenter="5", WindowWidth="8888")).replace(b"8888", NAME[:4].encode())
        decode(data.replace(b"1.2.3.3\0", NAME[:8].encode()))
        assert caplog.text == ""

    def test_many_threads_leave_warnings_as_they_were(self) -> None:
        before, data = list(warnings.filters), save(film(ramp()))
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: decode(data), range(64)))
        assert list(warnings.filters) == before


def test_nothing_warns(recwarn: pytest.WarningsRecorder) -> None:
    data = save(film(ramp())).replace(b"1.2.3.3\0", b"no.uid.\0")
    assert decode(data[:-20]).instance_uid is None
    assert not recwarn.list
