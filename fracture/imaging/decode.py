"""Bytes to Radiograph, by content and never by file name. The only decoder: training and serving both use it.

PNG, JPEG and TIFF are read by `fracture.imaging.raster`, DICOM by `fracture.imaging.dicom`.
"""

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

from fracture.core.errors import EmptyFile, NoPixels, SeveralFrames, UnsupportedFormat
from fracture.core.types import Radiograph
from fracture.imaging.dicom import dicom_frames, is_dicom
from fracture.imaging.greys import LOW_CONTRAST, too_flat
from fracture.imaging.raster import is_raster, raster_frames

MAX_PIXELS = 64_000_000
"""More than any radiographic detector has (a 43 x 43 cm plate at 100 um is 18 million)."""

_PDF = b"%PDF-"

# What the bytes of other formats hold at an offset. People have films or pictures in each of these formats.
_OTHER_FORMATS: dict[tuple[int, bytes], str] = {
    (0, b"BM"): "BMP",
    (0, b"GIF8"): "GIF",
    (0, b"8BPS"): "a Photoshop document",
    (0, b"\0\0\1\0"): "an icon (ICO)",
    (0, b"\0\0\0\x0cjP  "): "JPEG 2000",
    (0, b"\xff\x4f\xff\x51"): "JPEG 2000",
    (0, b"\0\0\0\x0cJXL "): "JPEG XL",
    (0, b"\xff\x0a"): "JPEG XL",
    (0, b"II\xbc\1"): "JPEG XR",
    (8, b"WEBP"): "WebP",
    **{(4, b"ftyp" + brand): "HEIC" for brand in (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1")},
    **{(4, b"ftyp" + brand): "AVIF" for brand in (b"avif", b"avis")},
    (4, b"ftyp"): "an ISO media file (MP4, QuickTime or HEIF)",
    **{(0, b"P%d" % kind + space): "PNM" for kind in range(1, 8) for space in (b"\n", b" ", b"\r", b"\t")},
    (344, b"n+1\0"): "NIfTI",
    (344, b"ni1\0"): "NIfTI",
    (0, b"\x5c\1\0\0"): "Analyze or NIfTI",
    (0, b"\0\0\1\x5c"): "Analyze or NIfTI",
    (4, b"n+2\0\r\n\x1a\n"): "NIfTI",
    (0, b"NRRD"): "NRRD",
    (0, b"ObjectType"): "MetaImage",
    (0, b"NDims"): "MetaImage",
    (0, b"\x89HDF\r\n\x1a\n"): "HDF5",
    (0, b"\x93NUMPY"): "a NumPy array",
    (0, b"SIMPLE  ="): "FITS",
    (0, b"\x76\x2f\x31\1"): "OpenEXR",
    (0, b"DDS "): "DDS",
    (0, b"%!PS"): "PostScript",
    (0, b"PK\3\4"): "a zip archive",
    (0, b"\x1f\x8b"): "a gzip archive",
    (0, b"BZh"): "a bzip2 archive",
    (0, b"\xfd7zXZ\0"): "an xz archive",
    (0, b"\x28\xb5\x2f\xfd"): "a zstd archive",
    (0, b"7z\xbc\xaf\x27\x1c"): "a 7z archive",
    (0, b"Rar!\x1a\7"): "a RAR archive",
    (257, b"ustar"): "a tar archive",
}


def decode(data: bytes, *, window: int = 0, max_pixels: int = MAX_PIXELS, any_modality: bool = False) -> Radiograph:
    """Decode the one film in the file.

    ``window`` picks one of several DICOM VOI windows. ``any_modality`` also takes DICOM images that are no
    radiographs. Raises SeveralFrames where the file holds more than one film, and the refusals of `frames`.
    """
    films = list(islice(frames(data, window=window, max_pixels=max_pixels, any_modality=any_modality), 2))
    if len(films) > 1:
        raise SeveralFrames("expected one film, got a file with several frames; send each frame as a film of its own")
    return films[0]


def frames(
    data: bytes, *, window: int = 0, max_pixels: int = MAX_PIXELS, any_modality: bool = False
) -> Iterator[Radiograph]:
    """Yield every frame of the file as a film.

    Raises EmptyFile, UnsupportedFormat, FilmTooLarge (from the header, before any pixel is decoded), NoPixels,
    WrongModality or BrokenFilm. A truncated raster file is read as far as it goes and flagged ``truncated``, a film
    with too few greys to be read ``low_contrast``.
    """
    for film in _frames(data, window, max_pixels, any_modality=any_modality):
        yield replace(film, flags=film.flags | {LOW_CONTRAST}) if too_flat(film.pixels) else film


def _frames(data: bytes, window: int, max_pixels: int, *, any_modality: bool) -> Iterator[Radiograph]:
    if not data:
        raise EmptyFile("expected a film, got an empty file (0 bytes)")
    if is_dicom(data):
        yield from dicom_frames(data, window=window, max_pixels=max_pixels, any_modality=any_modality)
        return
    if data.startswith(_PDF):
        raise NoPixels("expected a film (PNG, JPEG, TIFF or DICOM), got a PDF document")
    if not is_raster(data):
        found = next(
            (name for (at, mark), name in _OTHER_FORMATS.items() if data.startswith(mark, at)), "none of these"
        )
        raise UnsupportedFormat(f"expected a film as PNG, JPEG, TIFF or DICOM, the bytes are {found}")
    yield from raster_frames(data, max_pixels)
