"""How a page's samples lie in a TIFF (TIFF 6.0 sections 3 to 6, 14 to 18): all of it checked before any is decoded."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from fracture.core.errors import BrokenFilm, FilmTooLarge, UnsupportedFormat
from fracture.imaging.limits import check_size
from fracture.imaging.tiff import codecs
from fracture.imaging.tiff.directory import Directory, Tag

_MAX_SAMPLES = 8

WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, MASK, INKS, YCC = range(7)
_CHANNELS = {WHITE_IS_ZERO: 1, BLACK_IS_ZERO: 1, RGB: 3, PALETTE: 1, INKS: 4, YCC: 3}
_KNOWN_PHOTOMETRICS = {8: "CIELab", 9: "ICCLab", 10: "ITULab", 32803: "a colour filter array", 34892: "LinearRaw"}
ASSOCIATED, UNASSOCIATED = 1, 2

_UNSIGNED, _SIGNED, _FLOAT, _UNDEFINED = 1, 2, 3, 4
_KINDS = {
    **{(_UNSIGNED, bits): f"u{bits // 8}" for bits in (8, 16, 32, 64)},
    **{(_SIGNED, bits): f"i{bits // 8}" for bits in (8, 16, 32, 64)},
    **{(_FLOAT, bits): f"f{bits // 8}" for bits in (16, 32, 64)},
}


@dataclass(frozen=True)
class Layout:
    """How a page's samples lie in the file. ``rows`` and ``columns`` are those of a strip or tile.

    ``kind`` is the type of a sample in this machine's order of bytes. ``planes`` is 1 where the samples of a pixel lie
    side by side, else the number of samples. ``transparency`` says how the sample behind the colours is meant
    (ExtraSamples), 0 where it is no transparency.
    """

    width: int
    height: int
    samples: int
    bits: int
    kind: np.dtype[Any]
    photometric: int
    transparency: int
    compression: int
    predictor: int
    planes: int
    tiled: bool
    rows: int
    columns: int

    @property
    def colours(self) -> int:
        """Count the samples of a pixel that are colours."""
        return _CHANNELS[self.photometric]

    @property
    def interleaved(self) -> int:
        """Count the samples of a pixel that lie side by side."""
        return self.samples // self.planes

    @property
    def grey(self) -> bool:
        """Tell whether a sample is a grey, and no colour."""
        return self.photometric in {WHITE_IS_ZERO, BLACK_IS_ZERO}

    @property
    def stays_ycc(self) -> bool:
        """Tell whether decoding leaves Y, Cb and Cr; JPEG of all three gives RGB."""
        return self.photometric == YCC and not (self.compression == codecs.JPEG and self.planes == 1)


def read_layout(page: Directory, max_pixels: int) -> Layout:
    """Check all that a page says of itself. Raises BrokenFilm, FilmTooLarge or UnsupportedFormat."""
    width, height = page.need(Tag.ImageWidth), page.need(Tag.ImageLength)
    if not (width and height):
        raise BrokenFilm(f"expected a film of at least 1 x 1, {page.name} announces {width} x {height}")
    check_size(width, height, max_pixels)
    compression = page.get(Tag.Compression, codecs.NONE)
    photometric = page.need(Tag.PhotometricInterpretation)
    if compression not in {*codecs.DECOMPRESS, *codecs.DECODE_FAX, codecs.JPEG}:
        named = codecs.KNOWN.get(compression, f"number {compression}")
        raise UnsupportedFormat(f"expected a TIFF compression that is read here, {page.name} has {named}")
    if photometric not in _CHANNELS:
        named = _KNOWN_PHOTOMETRICS.get(photometric, f"number {photometric}")
        raise UnsupportedFormat(f"expected grey, RGB, palette, CMYK or YCbCr pixels, those of {page.name} are {named}")
    samples, planar = page.get(Tag.SamplesPerPixel, 1), page.get(Tag.PlanarConfiguration, 1)
    least = _CHANNELS[photometric]
    if not least <= samples <= _MAX_SAMPLES:
        raise BrokenFilm(f"expected {least} to {_MAX_SAMPLES} samples a pixel in {page.name}, got {samples}")
    if planar not in {1, 2}:
        raise BrokenFilm(f"PlanarConfiguration of {page.name}: expected 1 or 2, got {planar}")
    tiled = Tag.TileOffsets in page.tags
    rows = page.need(Tag.TileLength) if tiled else min(page.get(Tag.RowsPerStrip, height) or height, height)
    columns = page.need(Tag.TileWidth) if tiled else width
    if not (rows and columns):
        raise BrokenFilm(f"expected strips or tiles of at least 1 x 1, those of {page.name} are {columns} x {rows}")
    if tiled and rows * columns > max_pixels:
        raise FilmTooLarge(f"expected tiles of at most {max_pixels} pixels, {page.name} has {columns} x {rows}")
    bits = page.common(Tag.BitsPerSample, 1)
    layout = Layout(
        width=width,
        height=height,
        samples=samples,
        bits=bits,
        kind=_kind(page, bits),
        photometric=photometric,
        transparency=_transparency(page, photometric, samples),
        compression=compression,
        predictor=page.get(Tag.Predictor, 1),
        planes=samples if planar == 2 else 1,
        tiled=tiled,
        rows=rows,
        columns=columns,
    )
    for reason, holds in _unread(page, layout).items():
        if holds:
            raise UnsupportedFormat(f"expected a TIFF without {reason}, which {page.name} has")
    return layout


def _kind(page: Directory, bits: int) -> np.dtype[Any]:
    form = page.common(Tag.SampleFormat, _UNSIGNED)
    form = _UNSIGNED if form == _UNDEFINED else form
    if form == _UNSIGNED and 0 < bits < 16:
        return np.dtype(np.uint8 if bits <= 8 else np.uint16)
    if (form, bits) not in _KINDS:
        named = {_UNSIGNED: "unsigned", _SIGNED: "signed", _FLOAT: "floating-point"}.get(form, "complex or unknown")
        raise UnsupportedFormat(f"expected samples of a type that is read here, {page.name} has {bits}-bit {named}")
    return np.dtype(_KINDS[form, bits])


def _transparency(page: Directory, photometric: int, samples: int) -> int:
    if samples == _CHANNELS[photometric]:
        return 0
    # All readers take RGB of four samples for RGBA where the file does not say what the fourth is.
    found = page.get(Tag.ExtraSamples, UNASSOCIATED if (photometric, samples) == (RGB, 4) else 0)
    return found if found in {ASSOCIATED, UNASSOCIATED} else 0


def _unread(page: Directory, layout: Layout) -> dict[str, bool]:
    """Name the combinations that are not read, each of whose parts alone would be, and tell which of them hold."""
    predictor, jpeg, ycc = layout.predictor, layout.compression == codecs.JPEG, layout.photometric == YCC
    floats, unsigned, coloured = layout.kind.kind == "f", layout.kind.kind == "u", not layout.grey
    in_jpeg = {3} if ycc and layout.planes == 1 else {1, 2, 3, 4}
    subsampling = set(page.tags.get(Tag.YCbCrSubSampling, (2, 2)))
    return {
        f"predictor {predictor}": predictor not in ({1, 2, 3} if floats else {1, 2}),
        "a predictor beside its compression": predictor > 1 and layout.compression not in codecs.PREDICTING,
        f"a predictor of {layout.bits} bits": predictor > 1 and layout.bits % 8 > 0,
        "fax coding of more than 1 bit": layout.compression in codecs.DECODE_FAX and layout.bits * layout.samples > 1,
        f"JPEG of {layout.bits} bits": jpeg and (layout.bits != 8 or not unsigned),
        f"JPEG of {layout.interleaved} samples": jpeg and layout.interleaved not in in_jpeg,
        "subsampled YCbCr outside JPEG": ycc and not jpeg and subsampling != {1},
        "inks other than CMYK": layout.photometric == INKS and page.get(Tag.InkSet, 1) != 1,
        "signed colours": coloured and layout.kind.kind == "i",
        "colours in floats other than RGB": coloured and floats and layout.photometric != RGB,
        "colours of 64 bits": coloured and unsigned and layout.bits > 32,
        "transparency in other than 1 to 32 unsigned bits": layout.transparency > 0
        and (not unsigned or layout.bits > 32),
    }
