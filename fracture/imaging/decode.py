"""Bytes to Radiograph, by content and never by file name. The only decoder: training and serving both use it.

PNG, JPEG and TIFF are read by `fracture.imaging.raster`, DICOM by `fracture.imaging.dicom`.
"""

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

from fracture.errors import EmptyFile, NoPixels, SeveralFrames
from fracture.imaging.dicom import dicom_frames, is_dicom
from fracture.imaging.greys import LOW_CONTRAST, too_flat
from fracture.imaging.raster import raster_frames
from fracture.types import Radiograph

MAX_PIXELS = 64_000_000
"""More than any radiographic detector has (a 43 x 43 cm plate at 100 um is 18 million)."""

_PDF = b"%PDF-"


def decode(data: bytes, *, window: int = 0, max_pixels: int = MAX_PIXELS, any_modality: bool = False) -> Radiograph:
    """Decode the one film in the file.

    ``window`` picks one of several DICOM VOI windows. ``any_modality`` takes DICOM images that are no radiographs as
    well. Raises SeveralFrames where the file holds more than one film, and the refusals of `frames`.
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
    yield from raster_frames(data, max_pixels)
