"""PNG and JPEG by Pillow, TIFF by `fracture.imaging.tiff`: bytes to films.

Grey is ITU-R 601 luma for colour files, which is the identity where R = G = B. A file that states the range of its
values keeps it: the full code range maps to [0, 1]. What is assumed of one that does not is decided in `_to_greys`.
"""

import io
import logging
import re
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, JpegImagePlugin, PngImagePlugin, TiffImagePlugin

from fracture.core.errors import BrokenFilm
from fracture.core.types import Radiograph
from fracture.imaging import jpeg, png, tiff
from fracture.imaging.greys import ASSUMED_RANGE, unstated
from fracture.imaging.limits import check_size
from fracture.imaging.native import Native, luma, over_black

HARMONISE_KEY = "fracture:harmonise_id"
"""The PNG text chunk in which a harmonised film says so, which makes harmonising idempotent."""

# Not Image.open: Ultralytics replaces it by one that installs a package when it meets unknown bytes. Pillow's limit on
# pixels is not used either: ours is checked on the header, before any pixel is touched.
_READERS: dict[bytes, tuple[type[ImageFile.ImageFile], Callable[[bytes], str]]] = {
    png.SIGNATURE: (PngImagePlugin.PngImageFile, png.what_is_missing),
    jpeg.SIGNATURE: (JpegImagePlugin.JpegImageFile, jpeg.what_is_missing),
}
_EXIF_ORIENTATION = 0x0112

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
"""A JPEG is coded in rows of blocks, at most 16 px high. A file that ends in the first row of blocks holds no film."""

# Pillow's switch for reading truncated files is global to the process. While one thread has it on, no other may read: a
# truncated film would pass for a whole one.
_truncation_switch = threading.RLock()


class _Quiet(threading.local, logging.Filter):
    """Keeps Pillow's messages about films decoded here out of every log: they quote tags, such as a patient's name.

    It acts only in a thread that decodes a film; other messages of Pillow pass.
    """

    on = False

    def filter(self, record: logging.LogRecord) -> bool:
        return not self.on

    def __enter__(self) -> None:
        self.on = True

    def __exit__(self, *error: object) -> None:
        self.on = False


_quiet = _Quiet()
for _module in (Image, ImageFile, JpegImagePlugin, PngImagePlugin, TiffImagePlugin):
    logging.getLogger(_module.__name__).addFilter(_quiet)


def is_raster(data: bytes) -> bool:
    """Tell by content."""
    return data.startswith((*_READERS, *tiff.SIGNATURES))


def raster_frames(data: bytes, max_pixels: int) -> Iterator[Radiograph]:
    """Yield every page of a PNG, JPEG or TIFF as a film. Raises the refusals of `fracture.imaging.decode.frames`."""
    if data.startswith(tiff.SIGNATURES):
        for page in tiff.tiff_pages(data, max_pixels):
            flags: set[str] = set()
            yield Radiograph(_upright(_greys(page, flags), page.orientation, flags), flags=frozenset(flags))
        return
    with _quiet:
        film = _film(data, max_pixels)
    yield film


def _film(data: bytes, max_pixels: int) -> Radiograph:
    if data.startswith(png.SIGNATURE):
        try:
            return _read(data, max_pixels, recover=False)
        except BrokenFilm:
            data = png.pixels_only(data, HARMONISE_KEY)
    return _read(data, max_pixels, recover=True)


def _read(data: bytes, max_pixels: int, *, recover: bool) -> Radiograph:
    """Read a PNG or JPEG; with ``recover`` as far as it goes."""
    if data.startswith(jpeg.SIGNATURE):
        jpeg.check_process(data)
    with _truncation_switch:
        image = _open(data)
    check_size(*image.size, max_pixels)
    if image.format == "JPEG":
        jpeg.check_scans(data)
    mark = image.info.get(HARMONISE_KEY) if isinstance(image, PngImagePlugin.PngImageFile) else None
    flags: set[str] = set()
    try:
        try:
            native = _native(image, data)
        except _PILLOW_ERRORS:
            if not recover:
                raise
            native = _recovered(data)
            flags.add("truncated")
    except _PILLOW_ERRORS as error:
        raise _broken(data) from error
    greys = _greys(native, flags)
    if "truncated" in flags and np.count_nonzero(np.ptp(greys, axis=1)) <= _BLOCK_ROWS:
        raise _broken(data)
    pixels = _upright(greys, native.orientation, flags)
    return Radiograph(pixels, flags=frozenset(flags), harmonise_id=_harmonise_id(mark))


def _open(data: bytes) -> ImageFile.ImageFile:
    try:
        return _reader(data)[0](io.BytesIO(data))
    except _PILLOW_ERRORS as error:
        raise _broken(data) from error


def _reader(data: bytes) -> tuple[type[ImageFile.ImageFile], Callable[[bytes], str]]:
    return next(reader for signature, reader in _READERS.items() if data.startswith(signature))


def _broken(data: bytes) -> BrokenFilm:
    reader, missing = _reader(data)
    return BrokenFilm(f"the {reader.format} cannot be decoded: {missing(data)}")


def _harmonise_id(mark: object) -> str | None:
    """Accept only an id as HarmoniseConfig makes it: anybody can write anything into a PNG."""
    return mark if isinstance(mark, str) and re.fullmatch(r"h1-[0-9a-f]{12}", mark) else None


# EXIF 2.32, tag 274: how to turn the stored pixels to see the film upright.
_TURN: dict[int, Callable[[NDArray[np.float32]], NDArray[np.float32]]] = {
    2: np.fliplr,
    3: lambda film: np.rot90(film, 2),
    4: np.flipud,
    5: np.transpose,
    6: lambda film: np.rot90(film, -1),
    7: lambda film: np.rot90(film, 2).T,
    8: np.rot90,
}


def _upright(greys: NDArray[np.float32], orientation: int, flags: set[str]) -> NDArray[np.float32]:
    """Turn a film as its EXIF tag says. FracAtlas' annotators saw the films so, and its boxes fit only turned films."""
    if orientation not in _TURN:
        return greys
    flags.add("exif_rotated")
    return np.ascontiguousarray(_TURN[orientation](greys))


def _recovered(data: bytes) -> Native:
    """Read a file that ends early as far as it goes. What is missing is flat: grey in a JPEG, black in a PNG."""
    with _truncation_switch:
        ImageFile.LOAD_TRUNCATED_IMAGES = True
        try:
            return _native(_open(data), data)
        finally:
            ImageFile.LOAD_TRUNCATED_IMAGES = False


def _native(image: ImageFile.ImageFile, data: bytes) -> Native:
    """Load a file and give its values. Transparency is laid over black, the film's air."""
    raw = image.tile[0].args if image.format == "PNG" and image.tile else None
    if raw in _WIDE_COLOUR:
        return _wide_colour(image, data, str(raw))
    orientation = _load(image)
    clear = image.info.get("transparency")
    if image.mode.startswith("I"):
        values = np.asarray(image)
        return Native(values, None, values == clear if isinstance(clear, int) else None, orientation=orientation)
    colour = image.mode not in {"1", "L", "LA"}
    flat: Image.Image = image
    if image.mode in {"LA", "RGBA"} or clear is not None:
        over = image.convert("RGBA")
        flat = Image.alpha_composite(Image.new("RGBA", over.size, (0, 0, 0, 255)), over).convert("RGB")
    return Native(np.asarray(flat.convert("L")), 255, colour=colour, orientation=orientation)


_WIDE_COLOUR = {
    "RGB;16B": ("RGB;16B", "RGB;16L"),
    "RGBA;16B": ("RGBA;16B", "RGBA;16L"),
    "LA;16B": ("RGBA",),
}
"""The modes to read a PNG of 16-bit colour in, since Pillow keeps only each sample's first byte: read as big-endian it
keeps the high byte, as little-endian the low one. Grey and alpha of 16 bits are read as four colours of 8."""


def _load(image: ImageFile.ImageFile) -> int:
    """Load a file's pixels and give its EXIF orientation, upright where EXIF cannot be read."""
    with _truncation_switch:
        image.load()
        try:
            return int(image.getexif().get(_EXIF_ORIENTATION, 1))
        except _PILLOW_ERRORS:
            return 1


def _wide_colour(image: ImageFile.ImageFile, data: bytes, raw: str) -> Native:
    """Load a PNG of 16-bit colour or grey with alpha at its full depth."""
    halves = []
    for way in _WIDE_COLOUR[raw]:
        with _truncation_switch:
            image = _open(data)
        image.tile = [image.tile[0]._replace(args=way)]
        orientation = _load(image)
        halves.append(np.asarray(image))
    high, low = halves if len(halves) == 2 else (halves[0][..., ::2], halves[0][..., 1::2])
    channels = [high[..., at].astype(np.uint16) << 8 | low[..., at] for at in range(high.shape[-1])]
    absent = None
    if len(channels) in {2, 4}:
        *channels, alpha = channels
        absent = alpha == 0
        channels = [over_black(channel, alpha, 0xFFFF) for channel in channels]
    elif isinstance(clear := image.info.get("transparency"), tuple):
        absent = np.logical_and.reduce([channel == value for channel, value in zip(channels, clear, strict=True)])
    values = luma(*channels) if len(channels) == 3 else channels[0]
    return Native(values, None, absent, colour=len(channels) == 3, orientation=orientation)


def _greys(native: Native, flags: set[str]) -> NDArray[np.float32]:
    """Turn values into greys in [0, 1], and what is transparent into air."""
    if native.colour:
        flags.add("colour")
    if native.top is None:
        greys = _to_greys(native.values, native.absent, flags)
    else:
        greys = native.values.astype(np.float32) / np.float32(native.top)
    if native.white_is_zero:
        greys = 1 - greys
        flags.add("inverted")
    if native.absent is not None:
        greys[native.absent] = 0
    return greys


def _to_greys(values: NDArray[Any], absent: NDArray[np.bool_] | None, flags: set[str]) -> NDArray[np.float32]:
    """Turn the values of a film that states no range, at their full depth, into greys in [0, 1]."""
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise BrokenFilm("expected finite pixel values, got NaN or infinity")
    flags.add(ASSUMED_RANGE)
    return unstated(values, absent)
