"""The stored values of every frame of a DICOM image (PS3.5 8 and Annex A): native by pydicom, compressed by a codec."""

from collections.abc import Iterator
from typing import Any

import libjpeg
import numpy as np
import openjpeg
import rle
from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.encaps import generate_fragments, generate_frames
from pydicom.pixels import get_decoder
from pydicom.pixels.utils import get_expected_length

from fracture.core.errors import BrokenFilm
from fracture.imaging import codestream
from fracture.imaging.dicom.elements import raw
from fracture.imaging.dicom.file import PIXELS
from fracture.imaging.dicom.greys import Pixels


def stored_frames(dataset: Dataset, count: int) -> Iterator[tuple[Pixels, int, int]]:
    """Yield each frame's stored values, (H, W) or (H, W, 3), how many of its pixels the file holds, and their bits.

    Y comes alone where the colours are Y, Cb, Cr: it is the luma already (C.7.6.3.1.2).
    """
    syntax = dataset.file_meta.TransferSyntaxUID
    keyword = next(keyword for keyword in PIXELS if keyword in dataset)
    element = dataset[keyword]
    packed = element.is_undefined_length or (syntax.is_encapsulated and (element.value or b"")[:4] == b"\xfe\xff\0\xe0")
    if packed:
        yield from _coded_frames(dataset, count)
        return
    if syntax.is_encapsulated:
        size = dataset.Rows * dataset.Columns * dataset.SamplesPerPixel * dataset.BitsAllocated // 8 * count
        if len(element.value or b"") < size:
            raise BrokenFilm("expected compressed pixels in fragments, they are in none")
        dataset.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian  # not compressed, whatever the file calls it
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
    """Yield frames that are compressed (PS3.5 A.4). Each stream is checked before a codec gets it."""
    announced = codestream.Announced(dataset.Rows, dataset.Columns, dataset.SamplesPerPixel, dataset.BitsAllocated)
    is_rle = dataset.file_meta.TransferSyntaxUID == uid.RLELossless
    ybr = dataset.PhotometricInterpretation in {"YBR_FULL", "YBR_FULL_422"}
    for frame in _fragments(dataset, count, is_rle):
        stream = codestream.checked(frame, announced, rle=is_rle)
        values, bits = _decoded(stream, dataset)
        is_ybr = ybr if stream.ybr is None else stream.ybr
        yield values[..., 0] if is_ybr and values.ndim == 3 else values, announced.rows * announced.columns, bits


def _fragments(dataset: Dataset, count: int, is_rle: bool) -> Iterator[bytes]:
    """Yield each frame's stream. All fragments belong to a frame that is alone, whatever the offset table says."""
    value = dataset.PixelData
    if count == 1:
        fragments = [fragment for fragment in list(generate_fragments(value))[1:] if fragment]
        yield fragments[0] if is_rle and fragments else b"".join(fragments)
        return
    extended = (raw(dataset, "ExtendedOffsetTable"), raw(dataset, "ExtendedOffsetTableLengths"))
    yield from generate_frames(value, number_of_frames=count, extended_offsets=extended if all(extended) else None)


def _decoded(stream: codestream.Stream, dataset: Dataset) -> tuple[Pixels, int]:
    """Decode a checked stream. Give the values, and how many bits each has."""
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
    # A stream of JPEG 2000 or JPEG-LS says how many bits a sample has. Other encoders fill unused bits.
    bits = min(stream.bits, dataset.BitsStored) if stream.kind == codestream.JPEG else stream.bits
    if bits < stream.bits or stream.signed != (sign == "i"):
        _cut_out(cells, bits - 1, bits)
    return cells, bits


def _held_pixels(dataset: Dataset, count: int) -> Iterator[int]:
    """Count the pixels the file holds of each native frame, and fill a short file up to the length announced."""
    element = next(dataset[keyword] for keyword in PIXELS if keyword in dataset)
    expected, present = get_expected_length(dataset), len(element.value or b"")
    if present < expected:
        element.value = (element.value or b"") + bytes(expected - present)
    size = dataset.Rows * dataset.Columns
    # Where colours are stored plane by plane, a pixel is there once its blue is, in the last of the three planes.
    planes = 3 if dataset.SamplesPerPixel == 3 and dataset.get("PlanarConfiguration") == 1 else 1
    for index in range(count):
        held = (present * count - index * expected) * size * planes // expected - (planes - 1) * size
        yield min(max(held, 0), size)
