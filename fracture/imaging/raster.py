"""PNG, JPEG and TIFF bytes to films, read by Pillow.

Grey is ITU-R 601 luma for colour files, which is the identity where R = G = B. A file that states the range of its
values keeps it: the full code range maps to [0, 1]. What is assumed of one that does not is decided in `_to_greys`.
"""

import io
import logging
import re
import threading
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, JpegImagePlugin, PngImagePlugin, TiffImagePlugin

from fracture.errors import BrokenFilm, FilmTooLarge, UnsupportedFormat
from fracture.imaging.greys import ASSUMED_RANGE, unstated
from fracture.imaging.jpeg import check_scans
from fracture.types import Radiograph

HARMONISE_KEY = "fracture:harmonise_id"
"""The PNG text chunk in which a harmonised film says so, which makes harmonising idempotent."""

# Not Image.open: Ultralytics replaces it by one that installs a package when it meets bytes it does not know. And not
# Pillow's limit on pixels: ours is checked on the header, before any pixel is touched.
_READERS: dict[bytes, type[ImageFile.ImageFile]] = {
    b"\x89PNG\r\n\x1a\n": PngImagePlugin.PngImageFile,
    b"\xff\xd8\xff": JpegImagePlugin.JpegImageFile,
    b"II*\0": TiffImagePlugin.TiffImageFile,
    b"MM\0*": TiffImagePlugin.TiffImageFile,
    b"II+\0": TiffImagePlugin.TiffImageFile,
    b"MM\0+": TiffImagePlugin.TiffImageFile,
}
_EXIF_ORIENTATION = 0x0112

_TIFF_PHOTOMETRIC, _WHITE_IS_ZERO = 262, 0
_PILLOW_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    EOFError,
    OverflowError,
    MemoryError,
)
_BLOCK_ROWS = 16
"""A JPEG is coded in rows of blocks, 16 px high at most by common encoders; a file cut in the first holds no film."""

# Pillow logs TIFF tags, which may hold a patient's name.
logging.getLogger("PIL").setLevel(logging.CRITICAL)

# Pillow's switch for reading what is left of a truncated file is global to the process. While one thread has it on, no
# other may read: a truncated film would pass for a whole one.
_truncation_switch = threading.Lock()


def raster_frames(data: bytes, max_pixels: int) -> Iterator[Radiograph]:
    """Yield every page of a PNG, JPEG or TIFF as a film. Raises the refusals of `fracture.imaging.decode.frames`."""
    with _truncation_switch:
        image = _open(data)
    try:
        for index in count() if image.format == "TIFF" else (0,):
            try:
                image.seek(index)  # as far as the next page: Pillow takes its time over counting thousands
            except EOFError:
                return
            width, height = image.size
            if width * height > max_pixels:
                raise FilmTooLarge(f"expected at most {max_pixels} pixels, the header announces {width} x {height}")
            if image.format == "JPEG":
                check_scans(data)
            yield _raster_film(image, data)
    except _PILLOW_ERRORS as error:
        raise BrokenFilm(f"the {image.format} pixels cannot be decoded") from error


def _open(data: bytes) -> ImageFile.ImageFile:
    for signature, reader in _READERS.items():
        if data.startswith(signature):
            try:
                return reader(io.BytesIO(data))
            except _PILLOW_ERRORS as error:
                raise BrokenFilm("the file starts like an image but its header cannot be read") from error
    raise UnsupportedFormat("expected a film as PNG, JPEG, TIFF or DICOM, the bytes are none of these")


def _raster_film(image: Image.Image, data: bytes) -> Radiograph:
    flags: set[str] = set()
    mark = image.info.get(HARMONISE_KEY) if isinstance(image, PngImagePlugin.PngImageFile) else None
    try:
        with _truncation_switch:
            orientation = _orientation(image)
            image.load()
    except _PILLOW_ERRORS:
        if image.format not in {"JPEG", "PNG"}:
            raise
        image = _recover(data)
        orientation = _orientation(image)
        flags.add("truncated")
    if image.mode not in {"1", "L", "LA", "I", "F"} and not image.mode.startswith("I;16"):
        flags.add("colour")
    pixels = _grey(image, flags)
    if "truncated" in flags and np.count_nonzero(np.ptp(pixels, axis=1)) <= _BLOCK_ROWS:
        raise BrokenFilm(f"the {image.format} file ends before its first rows")
    if orientation in _TURN:
        # FracAtlas' annotators saw the films turned, so its boxes only fit turned films. Pillow turns TIFFs by itself.
        if image.format != "TIFF":
            pixels = np.ascontiguousarray(_TURN[orientation](pixels))
        flags.add("exif_rotated")
    return Radiograph(pixels, flags=frozenset(flags), harmonise_id=_harmonise_id(mark))


def _harmonise_id(mark: object) -> str | None:
    """Accept nothing but an id as HarmoniseConfig makes them: anybody can write anything into a PNG."""
    return mark if isinstance(mark, str) and re.fullmatch(r"h1-[0-9a-f]{12}", mark) else None


# EXIF 2.32, tag 274: what must be done to the stored pixels to see the film upright.
_TURN: dict[int, Callable[[NDArray[np.float32]], NDArray[np.float32]]] = {
    2: np.fliplr,
    3: lambda film: np.rot90(film, 2),
    4: np.flipud,
    5: np.transpose,
    6: lambda film: np.rot90(film, -1),
    7: lambda film: np.rot90(film, 2).T,
    8: np.rot90,
}


def _orientation(image: Image.Image) -> int:
    """Give the EXIF orientation. To be asked before a TIFF is loaded, which drops it; asking loads a PNG."""
    orientation: int = image.getexif().get(_EXIF_ORIENTATION, 1)
    return orientation


def _recover(data: bytes) -> Image.Image:
    """Read a file that ends early as far as it goes. What is missing is flat: grey in a JPEG, black in a PNG."""
    with _truncation_switch:
        ImageFile.LOAD_TRUNCATED_IMAGES = True
        try:
            image = _open(data)
            image.load()
        finally:
            ImageFile.LOAD_TRUNCATED_IMAGES = False
    return image


def _grey(image: Image.Image, flags: set[str]) -> NDArray[np.float32]:
    """Turn any Pillow mode into (H, W) float32 in [0, 1]. Transparency is laid over black, the film's air."""
    if image.mode.startswith("I;16") or image.mode in {"I", "F"}:
        return _wide_grey(image, flags)
    if image.mode in {"LA", "PA", "RGBA", "RGBa", "La"} or "transparency" in image.info:
        over = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", over.size, (0, 0, 0, 255)), over).convert("RGB")
    return np.asarray(image.convert("L"), dtype=np.float32) / np.float32(255)


def _wide_grey(image: Image.Image, flags: set[str]) -> NDArray[np.float32]:
    greys = _to_greys(np.asarray(image), flags)
    if _white_is_zero(image):
        greys = 1 - greys
        flags.add("inverted")
    return greys


def _to_greys(values: NDArray[Any], flags: set[str]) -> NDArray[np.float32]:
    """Turn the values of a film that states no range, at their full depth, into greys in [0, 1]."""
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise BrokenFilm("expected finite pixel values, got NaN or infinity")
    flags.add(ASSUMED_RANGE)
    return unstated(values)


def _white_is_zero(image: Image.Image) -> bool:
    """Tell whether a wide TIFF stores white as zero; Pillow turns the 8-bit ones over itself but not these."""
    tags = getattr(image, "tag_v2", {})
    return image.format == "TIFF" and tags.get(_TIFF_PHOTOMETRIC) == _WHITE_IS_ZERO
