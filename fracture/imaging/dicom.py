"""DICOM bytes to films: every frame as a viewer would show it, bone bright.

The door to DICOM. `dicom_elements` finds the elements, the header is checked here before any pixel is touched,
`codestream` checks what compressed pixels say of themselves, `dicom_greys` turns stored values into greys. Nothing said
here, in a message or a log, quotes an element that a patient's name could be in.
"""

import logging
import re
import struct
import threading
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import libjpeg
import numpy as np
import openjpeg
import rle
from pydicom import uid
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import generate_fragments, generate_frames
from pydicom.errors import BytesLengthException
from pydicom.pixels import get_decoder
from pydicom.pixels.utils import get_expected_length

from fracture.core.errors import BrokenFilm, FilmTooLarge, NoPixels, UnsupportedFormat
from fracture.core.types import Radiograph
from fracture.imaging import codestream
from fracture.imaging.dicom_elements import code, named, number, numbers, raw, read_elements
from fracture.imaging.dicom_greys import Pixels, check_no_window, greys, luma, macro
from fracture.imaging.dicom_scope import NO_LIMB, check_modality, is_for_processing, shows_no_limb
from fracture.imaging.dicom_shutter import covered
from fracture.imaging.limits import check_size

__all__ = ["NO_LIMB", "dicom_frames", "is_dicom"]

_MAGIC = slice(128, 132)
_EXECUTABLES = (b"MZ", b"\x7fELF", b"#!", b"\xca\xfe\xba\xbe", b"\xcf\xfa\xed\xfe")
_HEADER_BYTES = 1 << 20
_FIRST_ELEMENT = 1 << 10
_PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
_GREY = ("MONOCHROME1", "MONOCHROME2")
_COLOUR = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT", "PALETTE COLOR")
_OTHER_COLOUR = ("HSV", "ARGB", "CMYK", "YBR_PARTIAL_422", "YBR_PARTIAL_420", "XYB")
_CELL_BITS = (1, 8, 16, 32, 64)
_SPACING_MM = (0.001, 10.0)
_RAISED_BY_CODECS = (
    *(ArithmeticError, AssertionError, AttributeError, BufferError, EOFError, LookupError, MemoryError, OSError),
    *(RuntimeError, TypeError, ValueError, BytesLengthException, struct.error, zlib.error),
)


def is_dicom(data: bytes) -> bool:
    """Tell by content: the magic of PS3.10 7.1, or a first data element as files without a preamble begin with."""
    return data[_MAGIC] == b"DICM" or _plain_syntax(data) is not None


def dicom_frames(data: bytes, *, window: int = 0, max_pixels: int, any_modality: bool = False) -> Iterator[Radiograph]:
    """Yield every frame of the file as a film, decoded one at a time.

    ``window`` picks among the alternative views of PS3.3 C.11.2: the VOI LUTs first, then the windows, as each film
    lists them. A film that lists none is stretched over its own range and flagged ``no_window``.
    Other flags: ``bad_window`` (unusable, or it shows next to nothing; stretched likewise), ``bad_value`` (one of
    several values is unusable, the first good one was taken), ``bad_rescale`` (unusable, ignored), ``inverted``,
    ``polarity_conflict`` (photometric interpretation and presentation LUT shape disagree), ``lut_bits_overstated``,
    ``for_processing`` (declared to be a detector's values), ``shutter`` and ``bad_shutter``, ``header_damaged`` (some
    of it was passed over), ``colour``, ``truncated``, ``no_modality``, ``no_limb`` (the file names a part of the trunk
    or the head as the part examined).

    Raises UnsupportedFormat, FilmTooLarge (from the header: rows x columns x frames), NoPixels, WrongModality,
    BrokenFilm, or BadValue for a window the film does not have.
    """
    if data[_MAGIC] == b"DICM" and data.startswith(_EXECUTABLES):
        raise UnsupportedFormat("the preamble is that of an executable file (CVE-2019-11687)")
    flags: set[str] = set()
    with _refusing("the DICOM header"):
        dataset = _read(data, 2 * max_pixels + _HEADER_BYTES, flags)
        count = _check_header(dataset, max_pixels, flags)
        if not any_modality:
            check_modality(dataset)
        if not code(dataset, "Modality"):
            flags.add("no_modality")
    stored = _stored_frames(dataset, count)
    for index in range(count):
        what = f"frame {index + 1} of {count}"
        with _refusing(what):
            pixels, held, bits = next(stored, (None, 0, 0))
            if pixels is None:
                raise BrokenFilm(f"{what} is missing")
            if held < pixels.shape[1]:
                raise BrokenFilm(f"{what} ends before its first row does")
            film = _film(dataset, index, pixels, held, bits, window, set(flags))
        yield film


# --- what pydicom says ------------------------------------------------------------------------------------------------

# pydicom's warnings and errors quote element values, which a patient's name may be among. They are kept quiet while a
# film is decoded here, and only then: what others do with pydicom is theirs to hear.
_here: ContextVar[bool] = ContextVar("decoding a film", default=False)
_LOGGERS = ("pydicom", "pydicom.pixels.decoders.base", "pydicom.pixels.utils", "openjpeg", "openjpeg.utils")
_OURS = r"pydicom(\.|$)|openjpeg(\.|$)|libjpeg(\.|$)|rle(\.|$)"
for _name_of_logger in _LOGGERS:
    logging.getLogger(_name_of_logger).addFilter(lambda _: not _here.get())


class _Quiet:
    """Python's switch for warnings is one for all threads: the first to come sets it, the last to go sets it back."""

    def __init__(self) -> None:
        self._lock, self._inside = threading.Lock(), 0
        self._switch = warnings.catch_warnings()

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                self._switch = warnings.catch_warnings()
                self._switch.__enter__()
                warnings.filterwarnings("ignore", module=_OURS)

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self._switch.__exit__(None, None, None)


_quiet = _Quiet()


@contextmanager
def _refusing(what: str) -> Iterator[None]:
    """Turn whatever pydicom and the codecs raise into BrokenFilm, and keep what they say of it to ourselves.

    The cause is dropped on purpose: its text quotes element values.
    """
    token = _here.set(True)
    try:
        with _quiet, np.errstate(all="ignore"):
            yield
    except _RAISED_BY_CODECS:
        raise BrokenFilm(f"{what} cannot be decoded") from None
    except BaseException as error:
        # The RLE codec panics on hostile input, and a Rust panic is no Exception and has no name to import.
        if type(error).__name__ != "PanicException":
            raise
        raise BrokenFilm(f"{what} cannot be decoded") from None
    finally:
        _here.reset(token)


# --- the header -------------------------------------------------------------------------------------------------------


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


def _read(data: bytes, max_bytes: int, flags: set[str]) -> Dataset:
    """Parse the file (PS3.10 7). Raises UnsupportedFormat where no codec here knows the transfer syntax."""
    start = 132 if data[_MAGIC] == b"DICM" else 0
    meta, start = _meta(data, start)
    syntax = (
        uid.UID(code(meta, "TransferSyntaxUID")) or _plain_syntax(data[start : start + 8]) or uid.ImplicitVRLittleEndian
    )
    try:
        known = get_decoder(syntax).is_available
    except NotImplementedError:
        known = False
    if not known:
        raise UnsupportedFormat(f"expected a transfer syntax with a codec here, this one is {_name(syntax)}")
    if syntax == uid.DeflatedExplicitVRLittleEndian and _plain_syntax(data[start : start + _FIRST_ELEMENT]) is None:
        data, start, syntax = _inflate(data[start:], max_bytes), 0, uid.ExplicitVRLittleEndian
    syntax = _told(syntax, data[start : start + _FIRST_ELEMENT])
    found = read_elements(data, start, implicit=syntax.is_implicit_VR, little=syntax.is_little_endian)
    dataset = found.dataset
    if "SOPClassUID" not in dataset:
        dataset.SOPClassUID = code(meta, "MediaStorageSOPClassUID")
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    if found.cut is not None and not any(keyword in dataset for keyword in _PIXELS):
        raise BrokenFilm(f"the file ends within element {named(found.cut)}")
    if found.damaged:
        flags.add("header_damaged")
    return dataset


def _told(stated: uid.UID, head: bytes) -> uid.UID:
    """Give the syntax of a data set: as its first element tells where it contradicts what is stated of its bytes."""
    found = _plain_syntax(head)
    contradicts = stated.is_deflated or (found is not None and found.is_little_endian != stated.is_little_endian)
    return found if found is not None and contradicts else stated


def _meta(data: bytes, start: int) -> tuple[Dataset, int]:
    """Read the file meta information, whatever it says of its own length, and give where the data set begins."""
    found = read_elements(data, start, implicit=False, little=True, group=0x0002)
    return found.dataset, found.end


def _inflate(packed: bytes, max_bytes: int) -> bytes:
    """Inflate a deflated data set (PS3.5 A.5), never beyond the bound: half a megabyte can hold a gigabyte."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    plain = inflater.decompress(packed, max_bytes)
    if len(plain) >= max_bytes and not inflater.eof:
        raise FilmTooLarge(f"expected a data set of at most {max_bytes} bytes, it inflates to more")
    return plain


def _check_header(dataset: Dataset, max_pixels: int, flags: set[str]) -> int:
    """Give the number of frames, and write what was understood back into the header, for pydicom to read (C.7.6.3).

    Raises NoPixels, FilmTooLarge and the like before any pixel is touched.
    """
    rows, columns = number(dataset, "Rows") or 0, number(dataset, "Columns") or 0
    pixels = next((keyword for keyword in _PIXELS if keyword in dataset), None)
    if rows <= 0 or columns <= 0 or pixels is None:
        lacking = "pixels" if pixels is None else "Rows (0028,0010)" if rows <= 0 else "Columns (0028,0011)"
        kind = _name(code(dataset, "SOPClassUID"))
        raise NoPixels(f"expected an image, got a DICOM object without {lacking} ({kind})")
    count = number(dataset, "NumberOfFrames")
    if count is None:
        count = 1
        flags |= {"bad_value"} if numbers(dataset, "NumberOfFrames") else set()
    if count < 1:
        raise BrokenFilm(f"expected at least 1 frame, the header announces {count}")
    check_size(columns, rows, max_pixels, count)
    _write(dataset, Rows=rows, Columns=columns, NumberOfFrames=count)
    _check_cells(dataset, pixels)
    return count


def _write(dataset: Dataset, **elements: str | int) -> None:
    """Put elements in place of those that were read, whose VR may be another."""
    for keyword, value in elements.items():
        if keyword in dataset:
            del dataset[keyword]
        setattr(dataset, keyword, value)


def _check_cells(dataset: Dataset, pixels: str) -> None:
    """Check how a pixel is stored (C.7.6.3.1), and fill in what can only be one thing."""
    colours = code(dataset, "PhotometricInterpretation")
    if not colours:
        raise BrokenFilm("expected an image, the header lacks Photometric Interpretation (0028,0004)")
    if colours not in (*_GREY, *_COLOUR):
        # Only a word of the standard is quoted: the element may hold anything.
        known = colours if colours in _OTHER_COLOUR else "another"
        expected = ", ".join((*_GREY, *_COLOUR))
        raise UnsupportedFormat(f"expected a photometric interpretation among {expected}, got {known}")
    wanted = 1 if colours in (*_GREY, "PALETTE COLOR") else 3
    samples, allocated = number(dataset, "SamplesPerPixel"), number(dataset, "BitsAllocated")
    if samples is None:
        samples = wanted
    if allocated is None:
        if pixels == "PixelData":
            raise BrokenFilm("expected an image, the header lacks Bits Allocated (0028,0100)")
        allocated = 32 if pixels == "FloatPixelData" else 64
    if samples != wanted or not 1 <= allocated <= max(_CELL_BITS):
        cells = "1, 8, 16, 32 or 64 bits"
        raise BrokenFilm(f"expected {wanted} sample(s) a pixel, of {cells}, got {samples} of {allocated}")
    if allocated not in _CELL_BITS:
        raise UnsupportedFormat(f"expected cells of 1, 8, 16, 32 or 64 bits, this film has cells of {allocated}")
    stored, high = number(dataset, "BitsStored"), number(dataset, "HighBit")
    if stored is None or not 1 <= stored <= allocated:
        stored = high + 1 if high is not None and 0 < high < allocated else allocated
    if high is None or not stored <= high + 1 <= allocated:
        high = stored - 1
    _write(dataset, PhotometricInterpretation=colours, SamplesPerPixel=samples, BitsAllocated=allocated)
    _write(dataset, BitsStored=stored, HighBit=high)
    _write(dataset, PixelRepresentation=int(number(dataset, "PixelRepresentation") == 1))
    if samples > 1:
        _write(dataset, PlanarConfiguration=int(number(dataset, "PlanarConfiguration") == 1))


def _uid(dataset: Dataset, keyword: str) -> str | None:
    """Read an identifier that consists of digits and dots (PS3.5 9.1), so that it can hide no name and no path."""
    value = code(dataset, keyword)
    return value if re.fullmatch(r"[0-9.]{1,64}", value) else None


def _name(identifier: str) -> str:
    """Name a UID in words if the standard registers it (PS3.6 A); another may hold anything."""
    name = str(uid.UID(identifier).name)
    return name if name and name != identifier else "unknown to the standard"


# --- the pixels -------------------------------------------------------------------------------------------------------


def _stored_frames(dataset: Dataset, count: int) -> Iterator[tuple[Pixels, int, int]]:
    """Yield each frame's stored values, (H, W) or (H, W, 3), how many of its pixels the file holds, and their bits.

    Y comes alone where the colours are Y, Cb, Cr: it is the luma already (C.7.6.3.1.2).
    """
    syntax = dataset.file_meta.TransferSyntaxUID
    keyword = next(keyword for keyword in _PIXELS if keyword in dataset)
    element = dataset[keyword]
    packed = element.is_undefined_length or (syntax.is_encapsulated and (element.value or b"")[:4] == b"\xfe\xff\0\xe0")
    if packed:
        yield from _coded_frames(dataset, count)
        return
    if syntax.is_encapsulated:
        size = dataset.Rows * dataset.Columns * dataset.SamplesPerPixel * dataset.BitsAllocated // 8 * count
        if len(element.value or b"") < size:
            raise BrokenFilm("expected compressed pixels in fragments, they are in none")
        dataset.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian  # not compressed, whatever the file says
    yield from _native_frames(dataset, count)


def _native_frames(dataset: Dataset, count: int) -> Iterator[tuple[Pixels, int, int]]:
    """Yield frames that are not compressed (C.7.6.3.1.3), by pydicom."""
    decoder = get_decoder(dataset.file_meta.TransferSyntaxUID)
    # pydicom takes HighBit for BitsStored - 1; where the header says otherwise the bits are cut out here.
    shifted = dataset.HighBit >= dataset.BitsStored
    options: dict[str, Any] = {"correct_unused_bits": False} if shifted else {}
    held = _held_pixels(dataset, count)
    for here, (cells, properties) in zip(held, decoder.iter_array(dataset, raw=True, **options), strict=False):
        values = _cut_out(cells, dataset.HighBit, dataset.BitsStored) if shifted else cells
        ybr = properties["photometric_interpretation"].startswith("YBR")
        yield values[..., 0] if ybr else values, here, dataset.BitsStored


def _cut_out(cells: Pixels, high: int, bits: int) -> Pixels:
    """Keep the bits from ``high`` down to ``high - bits + 1`` alone (PS3.5 8.1.1), in place."""
    width = cells.dtype.itemsize * 8
    if bits < width:
        np.left_shift(cells, width - 1 - high, out=cells)
        np.right_shift(cells, width - bits, out=cells)
    return cells


def _coded_frames(dataset: Dataset, count: int) -> Iterator[tuple[Pixels, int, int]]:
    """Yield frames that are compressed (PS3.5 A.4), each once what its stream says of itself was checked."""
    announced = codestream.Announced(dataset.Rows, dataset.Columns, dataset.SamplesPerPixel, dataset.BitsAllocated)
    is_rle = dataset.file_meta.TransferSyntaxUID == uid.RLELossless
    ybr = dataset.PhotometricInterpretation in {"YBR_FULL", "YBR_FULL_422"}
    for frame in _fragments(dataset, count, is_rle):
        stream = codestream.checked(frame, announced, rle=is_rle)
        values, bits = _decoded(stream, dataset)
        is_ybr = ybr if stream.ybr is None else stream.ybr
        yield values[..., 0] if is_ybr and values.ndim == 3 else values, announced.rows * announced.columns, bits


def _fragments(dataset: Dataset, count: int, is_rle: bool) -> Iterator[bytes]:
    """Yield each frame's stream. The fragments of a frame that is alone are all its own, whatever the table says."""
    value = dataset.PixelData
    if count == 1:
        fragments = [fragment for fragment in list(generate_fragments(value))[1:] if fragment]
        yield fragments[0] if is_rle and fragments else b"".join(fragments)
        return
    extended = (raw(dataset, "ExtendedOffsetTable"), raw(dataset, "ExtendedOffsetTableLengths"))
    yield from generate_frames(value, number_of_frames=count, extended_offsets=extended if all(extended) else None)


def _decoded(stream: codestream.Stream, dataset: Dataset) -> tuple[Pixels, int]:
    """Decode a checked stream: the values, and their bits."""
    rows, columns, samples = dataset.Rows, dataset.Columns, dataset.SamplesPerPixel
    sign = "ui"[dataset.PixelRepresentation]
    if stream.kind == codestream.RLE:
        size = {"rows": rows, "columns": columns, "bits_allocated": dataset.BitsAllocated}
        plain = rle.utils.decode_pixel_data(stream.data, version=2, **size)
        cells = np.frombuffer(plain, f"<{sign}{dataset.BitsAllocated // 8}").reshape(samples, rows, columns)
        values = np.moveaxis(cells, 0, -1) if samples > 1 else cells[0]
        return _cut_out(values, dataset.HighBit, dataset.BitsStored), dataset.BitsStored
    codec = openjpeg if stream.kind == codestream.JPEG_2000 else libjpeg
    plain = codec.utils.decode_pixel_data(stream.data, version=2)
    width = next(width for width in (8, 16, 32) if stream.bits <= width)
    cells = np.frombuffer(plain, f"<{sign}{width // 8}").reshape((rows, columns, samples)[: 2 + (samples > 1)])
    # JPEG 2000 and JPEG-LS know how many bits a sample has; other encoders fill up what the file calls unused.
    bits = min(stream.bits, dataset.BitsStored) if stream.kind == codestream.JPEG else stream.bits
    if bits < stream.bits or stream.signed != (sign == "i"):
        _cut_out(cells, bits - 1, bits)
    return cells, bits


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


def _film(
    dataset: Dataset, index: int, stored: Pixels, held: int, bits: int, window: int, flags: set[str]
) -> Radiograph:
    absent = np.zeros(stored.shape[:2], dtype=bool)
    absent.reshape(-1)[held:] = True
    if held < absent.size:
        flags.add("truncated")
    if shows_no_limb(dataset, index):
        flags.add(NO_LIMB)
    if is_for_processing(dataset, index):
        flags.add("for_processing")
    shutter = covered(dataset, index, stored.shape[:2], flags)
    if shutter is not None:
        absent |= shutter
    if dataset.PhotometricInterpretation in _GREY:
        grey = greys(dataset, index, stored, absent, window, flags)
    else:
        check_no_window(window)
        flags.add("colour")
        grey = luma(dataset, stored, absent, bits, flags)
    grey[absent] = 0
    return Radiograph(
        np.clip(np.nan_to_num(grey, nan=0.0), 0, 1).astype(np.float32, copy=False),
        spacing_mm=_spacing_mm(dataset, index, flags),
        study_uid=_uid(dataset, "StudyInstanceUID"),
        series_uid=_uid(dataset, "SeriesInstanceUID"),
        instance_uid=_uid(dataset, "SOPInstanceUID"),
        flags=frozenset(flags),
    )


def _spacing_mm(dataset: Dataset, index: int, flags: set[str]) -> tuple[float, float] | None:
    """Give (row, column) spacing: at the patient (10.7.1) if known, of the frame first, else at detector or scanner.

    Of several values the first pair that can be one counts.
    """
    for source in (macro(dataset, index, "PixelMeasuresSequence"), dataset):
        for keyword in ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing"):
            found = numbers(source, keyword)
            pairs = list(zip(found[::2], found[1::2], strict=False))
            good = [pair for pair in pairs if all(_SPACING_MM[0] <= mm <= _SPACING_MM[1] for mm in pair)]
            if good:
                if len(found) != 2:
                    flags.add("bad_value")
                return good[0]
    return None
