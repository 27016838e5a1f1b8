"""DICOM bytes to films: every frame as a viewer would show it, bone bright.

`file` and `elements` read the data set, `header` checks it before any pixel is touched, `pixels` gives stored values,
`greys` turns them into what a viewer shows. No message and no log quotes an element that may hold a patient's name.
"""

import re
from collections.abc import Iterator

import numpy as np
from pydicom.dataset import Dataset

from fracture.core.errors import BrokenFilm
from fracture.core.types import Radiograph
from fracture.imaging.dicom.elements import code, numbers
from fracture.imaging.dicom.file import is_dicom, read_file
from fracture.imaging.dicom.greys import Pixels, check_no_window, greys, luma, macro
from fracture.imaging.dicom.header import GREY, check_header
from fracture.imaging.dicom.pixels import stored_frames
from fracture.imaging.dicom.quiet import refusing
from fracture.imaging.dicom.scope import NO_LIMB, check_modality, is_for_processing, shows_no_limb
from fracture.imaging.dicom.shutter import covered

__all__ = ["NO_LIMB", "dicom_frames", "is_dicom"]

_HEADER_BYTES = 1 << 20
_SPACING_MM = (0.001, 10.0)


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
    flags: set[str] = set()
    with refusing("the DICOM header"):
        dataset = read_file(data, 2 * max_pixels + _HEADER_BYTES, flags)
        count = check_header(dataset, max_pixels, flags)
        if not any_modality:
            check_modality(dataset)
        if not code(dataset, "Modality"):
            flags.add("no_modality")
    stored = stored_frames(dataset, count)
    for index in range(count):
        what = f"frame {index + 1} of {count}"
        with refusing(what):
            pixels, held, bits = next(stored, (None, 0, 0))
            if pixels is None:
                raise BrokenFilm(f"{what} is missing")
            if held < pixels.shape[1]:
                raise BrokenFilm(f"{what} ends before its first row does")
            film = _film(dataset, index, pixels, held, bits, window, set(flags))
        yield film


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
    if dataset.PhotometricInterpretation in GREY:
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


def _uid(dataset: Dataset, keyword: str) -> str | None:
    """Read an identifier of digits and dots (PS3.5 9.1): it can hide no name and no path. Any other is left out."""
    value = code(dataset, keyword)
    return value if re.fullmatch(r"[0-9.]{1,64}", value) else None


def _spacing_mm(dataset: Dataset, index: int, flags: set[str]) -> tuple[float, float] | None:
    """Give (row, column) spacing: at the patient (10.7.1) if known, else at the detector or scanner; the frame's first.

    Of several values the first plausible pair counts.
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
