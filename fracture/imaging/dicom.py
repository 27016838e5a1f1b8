"""DICOM bytes to films: every frame as a viewer would show it, bone bright.

Stored values become greys in the order of PS3.4 N.2: modality LUT, VOI LUT, presentation LUT. Decoding is pydicom's.
Its look-up and window functions are not used: they index 8-bit tables modulo 256, reject tables of 9 or 12 bits and
know no padding. Nothing said here, in a message or a log, quotes an element that a patient's name could be in.
"""

import io
import logging
import math
import re
import struct
import warnings
import zlib
from collections.abc import Iterator, MutableSequence
from contextlib import contextmanager
from itertools import repeat
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import uid
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import generate_frames
from pydicom.errors import BytesLengthException
from pydicom.filereader import read_dataset
from pydicom.pixels import apply_color_lut, get_decoder
from pydicom.pixels.utils import get_expected_length

from fracture.errors import BadValue, BrokenFilm, FilmTooLarge, NoPixels, UnsupportedFormat, WrongModality
from fracture.imaging.jpeg import check_scans
from fracture.types import Radiograph

_Pixels = NDArray[Any]  # integers or floats of any width, as the header has them

_MAGIC = slice(128, 132)
_EXECUTABLES = (b"MZ", b"\x7fELF", b"#!", b"\xca\xfe\xba\xbe", b"\xcf\xfa\xed\xfe")
_HEADER_BYTES = 1 << 20
_PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
_GREY = ("MONOCHROME1", "MONOCHROME2")
_COLOUR = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT", "PALETTE COLOR")
_MODALITIES = ("CR", "DX", "DR", "RF", "SC", "OT")
_OTHER_MODALITIES = ("CT", "MR", "US", "MG", "XA", "NM", "PT", "IO", "PX", "BMD", "ES", "XC", "OP", "SM", "ECG", "SEG")
_SPACING_MM = (0.001, 10.0)
_START_OF_JPEG = b"\xff\xd8"
_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC} | {0xF7}
_RAISED_BY_CODECS = (
    *(ArithmeticError, AssertionError, AttributeError, BufferError, EOFError, LookupError, MemoryError, OSError),
    *(RuntimeError, TypeError, ValueError, BytesLengthException, struct.error, zlib.error),
)

# pydicom's warnings and errors quote element values, which a patient's name may be among.
logging.getLogger("pydicom").disabled = True

NO_LIMB = "no_limb"
_NO_LIMBS = (
    *("SKULL", "HEAD", "JAW", "ZYGOMA", "NECK", "CHEST", "RIB", "STERNUM", "HEART", "BREAST", "ABDOMEN", "UTERUS"),
    *("SPINE", "CSPINE", "CTSPINE", "TSPINE", "TLSPINE", "LSPINE", "LSSPINE", "SSPINE"),
)
"""Of the defined terms of PS3.16 Annex L for Body Part Examined (0018,0015), those without a limb, hip or shoulder."""


def is_dicom(data: bytes) -> bool:
    """Tell by content: the magic of PS3.10 7.1, or a first data element as files without a preamble begin with."""
    return data[_MAGIC] == b"DICM" or _plain_syntax(data) is not None


def dicom_frames(data: bytes, *, window: int = 0, max_pixels: int, any_modality: bool = False) -> Iterator[Radiograph]:
    """Yield every frame of the file as a film, decoded one at a time.

    ``window`` picks among the alternative views of PS3.3 C.11.2: the VOI LUTs first, then the windows, as each film
    lists them. A film that lists none is stretched from its least to its greatest value and flagged ``no_window``.
    Other flags: ``bad_window`` (unusable, stretched likewise), ``bad_rescale`` (unusable, ignored), ``inverted``,
    ``polarity_conflict`` (photometric interpretation and presentation LUT shape disagree), ``colour``, ``truncated``,
    ``no_modality``, ``no_limb`` (the file names a part of the trunk or the head as the part examined).

    Raises UnsupportedFormat, FilmTooLarge (from the header: rows x columns x frames), NoPixels, WrongModality,
    BrokenFilm, or BadValue for a window the film does not have.
    """
    if data[_MAGIC] == b"DICM" and data.startswith(_EXECUTABLES):
        raise UnsupportedFormat("the preamble is that of an executable file (CVE-2019-11687)")
    with _refusing("the DICOM header"):
        dataset = _read(data, 2 * max_pixels + _HEADER_BYTES)
        count = _check_header(dataset, max_pixels)
        if not any_modality:
            _check_modality(str(dataset.get("Modality") or "").strip())
    stored = _stored_frames(dataset, count)
    for index in range(count):
        what = f"frame {index + 1} of {count}"
        with _refusing(what):
            pixels, held = next(stored, (None, 0))
            if pixels is None:
                raise BrokenFilm(f"{what} is missing")
            if held < pixels.shape[1]:
                raise BrokenFilm(f"{what} ends before its first row does")
            film = _film(dataset, index, pixels, held, window)
        yield film


@contextmanager
def _refusing(what: str) -> Iterator[None]:
    """Turn whatever pydicom and its codecs raise into BrokenFilm, and keep their warnings quiet.

    The cause is dropped on purpose: its text quotes element values.
    """
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            yield
        except _RAISED_BY_CODECS:
            raise BrokenFilm(f"{what} cannot be decoded") from None
        except BaseException as error:
            # The RLE codec panics on hostile input, and a Rust panic is no Exception and has no name to import.
            if type(error).__name__ != "PanicException":
                raise
            raise BrokenFilm(f"{what} cannot be decoded") from None


def _plain_syntax(head: bytes) -> uid.UID | None:
    """Judge by its first element how a data set without file meta information is encoded (PS3.5 7.1, A.1 to A.3)."""
    if len(head) < 8:
        return None
    for order, syntax in (("<", uid.ExplicitVRLittleEndian), (">", uid.ExplicitVRBigEndian)):
        group, vr = struct.unpack_from(f"{order}H2x2s", head)
        if group in {0x0002, 0x0008} and vr.isalpha() and vr.isupper():
            return syntax
    group, length = struct.unpack_from("<H2xI", head)
    fits = length % 2 == 0 and 0 < length <= len(head) - 8
    return uid.ImplicitVRLittleEndian if group in {0x0002, 0x0008} and fits else None


def _read(data: bytes, max_bytes: int) -> Dataset:
    """Parse the file (PS3.10 7). Raises UnsupportedFormat where no codec here knows the transfer syntax."""
    source = io.BytesIO(data)
    source.seek(132 if data[_MAGIC] == b"DICM" else 0)
    meta = read_dataset(source, False, True, stop_when=lambda tag, *_: tag >> 16 != 2)
    syntax = meta.get("TransferSyntaxUID") or _plain_syntax(data[source.tell() :]) or uid.ImplicitVRLittleEndian
    try:
        known = get_decoder(syntax).is_available
    except NotImplementedError:
        known = False
    if not known:
        named = _name(str(meta.get("TransferSyntaxUID") or ""))
        raise UnsupportedFormat(f"expected a transfer syntax with a codec here, this one is {named}")
    if syntax == uid.DeflatedExplicitVRLittleEndian:
        source, syntax = io.BytesIO(_inflate(source.read(), max_bytes)), uid.ExplicitVRLittleEndian
    start = source.tell()
    dataset = read_dataset(source, syntax.is_implicit_VR, syntax.is_little_endian)
    if not dataset and source.seek(0, io.SEEK_END) > start:
        raise BrokenFilm("the file ends within an element, as encapsulated pixels cut short do")
    dataset.file_meta = FileMetaDataset(meta)
    dataset.file_meta.TransferSyntaxUID = syntax
    return dataset


def _inflate(packed: bytes, max_bytes: int) -> bytes:
    """Inflate a deflated data set (PS3.5 A.5), never beyond the bound: half a megabyte can hold a gigabyte."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    plain = inflater.decompress(packed, max_bytes)
    if len(plain) >= max_bytes and not inflater.eof:
        raise FilmTooLarge(f"expected a data set of at most {max_bytes} bytes, it inflates to more")
    return plain


def _check_header(dataset: Dataset, max_pixels: int) -> int:
    """Give the number of frames. Raises NoPixels, FilmTooLarge and the like before any pixel is touched (C.7.6.3)."""
    rows, columns = int(dataset.get("Rows") or 0), int(dataset.get("Columns") or 0)
    has_pixels = any(keyword in dataset for keyword in _PIXELS)
    if rows <= 0 or columns <= 0 or not has_pixels:
        kind = _name(str(dataset.get("SOPClassUID") or dataset.file_meta.get("MediaStorageSOPClassUID") or ""))
        raise NoPixels(f"expected an image, got a DICOM object without pixels ({kind})")
    count = int(dataset.get("NumberOfFrames") or 1)
    if count < 1:
        raise BrokenFilm(f"expected at least 1 frame, the header announces {count}")
    if rows * columns * count > max_pixels:
        size = f"{columns} x {rows}" + (f" in {count} frames" if count > 1 else "")
        raise FilmTooLarge(f"expected at most {max_pixels} pixels, the header announces {size}")
    if dataset.PhotometricInterpretation not in (*_GREY, *_COLOUR):
        raise UnsupportedFormat(f"expected a photometric interpretation among {', '.join((*_GREY, *_COLOUR))}")
    samples = 1 if dataset.PhotometricInterpretation in (*_GREY, "PALETTE COLOR") else 3
    if dataset.SamplesPerPixel != samples or dataset.BitsAllocated not in {1, 8, 16, 32, 64}:
        raise BrokenFilm(f"expected {samples} sample(s) a pixel, of 1, 8, 16, 32 or 64 bits")
    return count


def _check_modality(found: str) -> None:
    """Refuse what is no projection radiograph (PS3.3 C.7.3.1.1.1). SC and OT are what scanned films come as."""
    if found and found not in _MODALITIES:
        # Only a word of the standard is quoted: the element may hold anything.
        known = found if found in _OTHER_MODALITIES else "another"
        raise WrongModality(f"expected a radiograph (Modality {', '.join(_MODALITIES)}), got {known}")


def _uid(dataset: Dataset, keyword: str) -> str | None:
    """Read an identifier that consists of digits and dots (PS3.5 9.1), so that it can hide no name and no path."""
    value = str(dataset.get(keyword) or "")
    return value if re.fullmatch(r"[0-9.]{1,64}", value) else None


def _name(identifier: str) -> str:
    """Name a UID in words if the standard registers it (PS3.6 A); another may hold anything."""
    name = str(uid.UID(identifier).name)
    return name if name and name != identifier else "unknown to the standard"


def _stored_frames(dataset: Dataset, count: int) -> Iterator[tuple[_Pixels, int]]:
    """Yield each frame's stored values, (H, W) or (H, W, 3), and how many of its pixels the file holds (C.7.6.3.1).

    Of the values only the bits from HighBit down to HighBit - BitsStored + 1 count (PS3.5 8.1.1). Y comes alone where
    the colours are Y, Cb, Cr: it is the luma already (C.7.6.3.1.2).
    """
    syntax = dataset.file_meta.TransferSyntaxUID
    raw = not syntax.is_encapsulated or syntax == uid.RLELossless
    high, bits = dataset.get("HighBit"), dataset.get("BitsStored")
    # pydicom takes HighBit for BitsStored - 1; where the header says otherwise the bits are cut out here.
    shifted = raw and bits is not None and high is not None and bits <= high < dataset.BitsAllocated
    options: dict[str, Any] = {"correct_unused_bits": False} if shifted else {}
    if syntax == uid.RLELossless:
        options["decoding_plugin"] = "pylibjpeg"  # the one that stops where the frame should
    coded = _coded_frames(dataset, count) if syntax.is_encapsulated else repeat(b"")
    held = repeat(dataset.Rows * dataset.Columns) if syntax.is_encapsulated else _held_pixels(dataset, count)
    decoded = get_decoder(syntax).iter_array(dataset, raw=True, **options)
    for _, here, (cells, properties) in zip(coded, held, decoded, strict=False):
        width = cells.dtype.itemsize * 8
        values = cells << (width - 1 - high) >> (width - bits) if shifted else cells
        yield values[..., 0] if properties["photometric_interpretation"].startswith("YBR") else values, here


def _coded_frames(dataset: Dataset, count: int) -> Iterator[bytes]:
    """Yield each frame's codestream (PS3.5 A.4) once its own header agrees with rows x columns.

    700 bytes of JPEG 2000 under a header of 100 x 100 may announce a billion pixels, and codecs believe them.
    """
    offsets = None
    if "ExtendedOffsetTable" in dataset:
        offsets = (dataset.ExtendedOffsetTable, dataset.ExtendedOffsetTableLengths)
    for frame in generate_frames(dataset.PixelData, number_of_frames=count, extended_offsets=offsets):
        expected = (dataset.Rows, dataset.Columns)
        if dataset.file_meta.TransferSyntaxUID != uid.RLELossless and (size := _coded_size(frame)) != expected:
            raise BrokenFilm(f"expected a codestream of (rows, columns) {expected}, it announces {size}")
        if frame.startswith(_START_OF_JPEG):
            check_scans(frame)
        yield frame


def _coded_size(frame: bytes) -> tuple[int, int] | None:
    """Read (rows, columns) off a JPEG 2000 (T.800 A.5.1), JPEG (T.81 B.2.2) or JPEG-LS (T.87 C.2.2) codestream."""
    at = 0
    if frame.startswith(b"\0\0\0\x0cjP  "):  # a whole JP2 file, as some write against PS3.5 A.4.4
        while frame[at + 4 : at + 8] != b"jp2c":
            length = int.from_bytes(frame[at : at + 4])
            if length < 8:
                return None  # pydicom would walk such boxes for ever
            at += length
        at += 8
    if frame.startswith(b"\xff\x4f\xff\x51", at):
        right, bottom, left, top = struct.unpack_from(">4I", frame, at + 8)
        return bottom - top, right - left
    at = 2
    while at + 9 <= len(frame) and frame[at] == 0xFF:
        if frame[at + 1] in _START_OF_FRAME:
            rows, columns = struct.unpack_from(">HH", frame, at + 5)
            return rows, columns
        at += 1 if frame[at + 1] == 0xFF else 2 + int.from_bytes(frame[at + 2 : at + 4])
    return None


def _held_pixels(dataset: Dataset, count: int) -> Iterator[int]:
    """Count the pixels the file holds of each native frame, and fill a short file up to the length announced."""
    element = next(dataset[keyword] for keyword in _PIXELS if keyword in dataset)
    expected, present = get_expected_length(dataset), len(element.value or b"")
    if present < expected:
        element.value = (element.value or b"") + bytes(expected - present)
    size = dataset.Rows * dataset.Columns
    # By plane a pixel is there when its blue is, the last of the three planes.
    planes = 3 if dataset.SamplesPerPixel == 3 and dataset.get("PlanarConfiguration") == 1 else 1
    for index in range(count):
        held = (present * count - index * expected) * size * planes // expected - (planes - 1) * size
        yield min(max(held, 0), size)


def _film(dataset: Dataset, index: int, stored: _Pixels, held: int, window: int) -> Radiograph:
    absent = np.zeros(stored.shape[:2], dtype=bool)
    absent.reshape(-1)[held:] = True
    flags = {"truncated"} if held < absent.size else set()
    if not dataset.get("Modality"):
        flags.add("no_modality")
    if str(dataset.get("BodyPartExamined") or "").strip().upper() in _NO_LIMBS:
        flags.add(NO_LIMB)
    if dataset.PhotometricInterpretation in _GREY:
        grey = _grey(dataset, index, stored, absent, window, flags)
    else:
        _check_window(window, 0)
        flags.add("colour")
        grey = _luma(dataset, stored)
    grey[absent] = 0
    return Radiograph(
        np.clip(np.nan_to_num(grey, nan=0.0), 0, 1).astype(np.float32, copy=False),
        spacing_mm=_spacing_mm(dataset, index),
        study_uid=_uid(dataset, "StudyInstanceUID"),
        series_uid=_uid(dataset, "SeriesInstanceUID"),
        instance_uid=_uid(dataset, "SOPInstanceUID"),
        flags=frozenset(flags),
    )


def _grey(
    dataset: Dataset, index: int, stored: _Pixels, absent: NDArray[np.bool_], window: int, flags: set[str]
) -> _Pixels:
    """Take one frame through PS3.4 N.2. Adds padding (C.7.5.1.1.2) to ``absent``, and what was assumed to ``flags``.

    Presentation LUT (C.11.6): on an image its shape only restates the photometric interpretation, INVERSE for
    MONOCHROME1 and IDENTITY for MONOCHROME2 (C.7.6.1, C.8.11.3), so the two together mean one inversion, not two.
    """
    absent |= _padding(dataset, stored)
    values = _rescaled(dataset, index, stored, flags)
    absent |= ~np.isfinite(values)
    grey = _windowed(dataset, index, values, window, flags)
    if grey is None:
        seen = values[~absent]
        low, high = (float(seen.min()), float(seen.max())) if seen.size else (0.0, 0.0)
        grey = (values - low) / (high - low) if high > low else np.zeros_like(values)
    shape = str(dataset.get("PresentationLUTShape") or "")
    inverse = dataset.PhotometricInterpretation == "MONOCHROME1"
    if shape in {"IDENTITY", "INVERSE"} and inverse != (shape == "INVERSE"):
        flags.add("polarity_conflict")
    if inverse or shape == "INVERSE":
        flags.add("inverted")
        grey = 1 - np.clip(grey, 0, 1)
    return grey


def _padding(dataset: Dataset, stored: _Pixels) -> NDArray[np.bool_]:
    """Mark the pixels that fill the frame up to a rectangle, from PixelPaddingValue to PixelPaddingRangeLimit."""
    ends = (_numbers(dataset, "PixelPaddingValue") + _numbers(dataset, "PixelPaddingRangeLimit"))[:2]
    if not ends or stored.dtype.kind == "f" or not all(map(math.isfinite, ends)):
        return np.zeros(stored.shape, dtype=bool)
    # Written as US where SS was meant, and the other way round, the value is off by a full turn.
    span, least = 1 << stored.dtype.itemsize * 8, int(np.iinfo(stored.dtype).min)
    low, high = sorted((int(end) - least) % span + least for end in (ends * 2)[:2])
    return (stored >= low) & (stored <= high)


def _rescaled(dataset: Dataset, index: int, stored: _Pixels, flags: set[str]) -> _Pixels:
    """Apply the modality LUT: a table or slope and intercept (C.11.1), of the frame (C.7.6.16.2.9) or the image."""
    values: _Pixels = stored.astype(np.float32 if stored.dtype.itemsize <= 2 else np.float64)
    source = _macro(dataset, index, "PixelValueTransformationSequence")
    for item in source.get("ModalityLUTSequence") or ():
        return _look_up(values, *_table(dataset, item.LUTDescriptor, item.LUTData)[:2])
    slope = next(iter(_numbers(source, "RescaleSlope")), 1.0)
    intercept = next(iter(_numbers(source, "RescaleIntercept")), 0.0)
    if not (slope and math.isfinite(slope) and math.isfinite(intercept)):
        flags.add("bad_rescale")
        return values
    return values if (slope, intercept) == (1, 0) else values * slope + intercept


def _windowed(dataset: Dataset, index: int, values: _Pixels, window: int, flags: set[str]) -> _Pixels | None:
    """Apply one VOI LUT or window (C.11.2), of the frame (C.7.6.16.2.10) or the image; None where there is none usable.

    Where both are present either may be applied but not both: they are alternative views (C.11.2.1). The tables come
    first, because a maker who adds one means more by it than a straight line can say.
    """
    source = _macro(dataset, index, "FrameVOILUTSequence")
    tables = [item for item in source.get("VOILUTSequence") or () if "LUTDescriptor" in item and "LUTData" in item]
    windows = list(zip(_numbers(source, "WindowCenter"), _numbers(source, "WindowWidth"), strict=False))
    _check_window(window, len(tables) + len(windows))
    if window < len(tables):
        first, table, bits = _table(dataset, tables[window].LUTDescriptor, tables[window].LUTData)
        return _look_up(values, first, table / (2**bits - 1))
    if not windows:
        flags.add("no_window")
        return None
    centre, width = windows[window - len(tables)]
    grey = _apply_window(values, centre, width, str(source.get("VOILUTFunction") or "LINEAR").strip().upper())
    if grey is None:
        flags.add("bad_window")
    return grey


def _apply_window(values: _Pixels, centre: float, width: float, function: str) -> _Pixels | None:
    """Map values to greys, those of the window to 0..1; None where the standard does not allow the window.

    LINEAR is C.11.2.1.2.1 (width at least 1), SIGMOID C.11.2.1.3.1 and LINEAR_EXACT C.11.2.1.3.2 (width above 0).
    """
    if not (math.isfinite(centre) and math.isfinite(width)):
        return None
    if function == "LINEAR" and width >= 1:
        middle = centre - 0.5
        return (values - middle) / (width - 1) + 0.5 if width > 1 else (values > middle).astype(values.dtype)
    if function == "LINEAR_EXACT" and width > 0:
        return (values - centre) / width + 0.5
    if function == "SIGMOID" and width > 0:
        return 1 / (1 + np.exp(-4 * (values - centre) / width))
    return None


def _check_window(window: int, count: int) -> None:
    if not 0 <= window < max(count, 1):
        raise BadValue(f"window: expected 0 to {max(count, 1) - 1}, got {window}; the film has {count} windows")


def _table(dataset: Dataset, descriptor: Any, data: Any) -> tuple[int, _Pixels, int]:
    """Give a table's first mapped value, its entries, and their bits (C.11.1.1, C.11.2.1.1, C.7.6.3.1.5)."""
    entries, first, bits = (int(number) for number in descriptor)
    entries = entries or 1 << 16
    if first + entries > 1 << 16:
        first -= 1 << 16  # a negative number written as US
    if isinstance(data, bytes):
        order = "<" if dataset.file_meta.TransferSyntaxUID.is_little_endian else ">"
        words = np.frombuffer(data, f"{order}u2", len(data) // 2).astype("<u2")
        data = words if words.size >= entries else words.view("u1")  # 8-bit entries lie two to a word
    table = (np.atleast_1d(data)[:entries].astype(np.int64) & 0xFFFF).astype(np.float32)
    return first, table, max(bits, int(table.max()).bit_length(), 1)


def _look_up(values: _Pixels, first: int, table: _Pixels) -> _Pixels:
    index = np.clip(np.rint(np.nan_to_num(values)) - first, 0, len(table) - 1)
    found: _Pixels = table[index.astype(np.intp)]
    return found


def _luma(dataset: Dataset, stored: _Pixels) -> _Pixels:
    """Turn colour, which has no VOI, into grey by ITU-R 601 luma in fixed point, to the bit as Pillow does."""
    bits = dataset.BitsStored
    if dataset.PhotometricInterpretation == "PALETTE COLOR":
        stored, bits = _painted(dataset, stored)
    if stored.ndim == 3:
        red, green, blue = np.moveaxis(stored.astype(np.uint32 if bits <= 16 else np.uint64), -1, 0)
        stored = (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16
    return stored.astype(np.float32) / np.float32(2**bits - 1)


def _painted(dataset: Dataset, stored: _Pixels) -> tuple[_Pixels, int]:
    """Look palette indices up: (H, W, 3) and its bits (C.7.6.3.1.5, C.7.6.3.1.6; segmented: C.7.9.2)."""
    if "SegmentedRedPaletteColorLookupTableData" in dataset:
        painted = apply_color_lut(stored, dataset)[..., :3]
        return painted, painted.dtype.itemsize * 8
    names = [f"{colour}PaletteColorLookupTable" for colour in ("Red", "Green", "Blue")]
    tables = [_table(dataset, dataset[f"{name}Descriptor"].value, dataset[f"{name}Data"].value) for name in names]
    return np.stack([_look_up(stored, *table[:2]) for table in tables], axis=-1), max(table[2] for table in tables)


def _macro(dataset: Dataset, index: int, keyword: str) -> Dataset:
    """Find a functional group macro: the frame's, else the shared one, else the image's own elements (C.7.6.16)."""
    per_frame = dataset.get("PerFrameFunctionalGroupsSequence") or ()
    shared = dataset.get("SharedFunctionalGroupsSequence") or ()
    for group in (*per_frame[index : index + 1], *shared[:1]):
        for item in group.get(keyword) or ():
            return item
    return dataset


def _numbers(source: Dataset, keyword: str) -> list[float]:
    """Read an element of any multiplicity as numbers; what cannot be read as one is NaN."""
    try:
        value = source.get(keyword)
        values = value if isinstance(value, MutableSequence) else [] if value in {None, ""} else [value]
        return [float(number) for number in values]
    except (ArithmeticError, TypeError, ValueError, BytesLengthException):
        return [math.nan]


def _spacing_mm(dataset: Dataset, index: int) -> tuple[float, float] | None:
    """Give (row, column) spacing: at the patient (10.7.1) if known, of the frame first, else at the detector."""
    for source in (_macro(dataset, index, "PixelMeasuresSequence"), dataset):
        for keyword in ("PixelSpacing", "ImagerPixelSpacing"):
            spacing = _numbers(source, keyword)
            if len(spacing) == 2 and all(_SPACING_MM[0] <= mm <= _SPACING_MM[1] for mm in spacing):
                return spacing[0], spacing[1]
    return None
