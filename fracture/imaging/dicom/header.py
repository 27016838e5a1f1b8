"""How a DICOM image is stored (PS3.3 C.7.6.3): checked before any pixel is touched, and completed for pydicom."""

from pydicom.dataset import Dataset

from fracture.core.errors import BrokenFilm, NoPixels, UnsupportedFormat
from fracture.imaging.dicom.elements import code, number, numbers
from fracture.imaging.dicom.file import PIXELS, uid_name
from fracture.imaging.limits import check_size

GREY = ("MONOCHROME1", "MONOCHROME2")
_COLOUR = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT", "PALETTE COLOR")
_OTHER_COLOUR = ("HSV", "ARGB", "CMYK", "YBR_PARTIAL_422", "YBR_PARTIAL_420", "XYB")
_CELL_BITS = (1, 8, 16, 32, 64)


def check_header(dataset: Dataset, max_pixels: int, flags: set[str]) -> int:
    """Give the number of frames, and write the checked values back into the header for pydicom (C.7.6.3).

    Raises NoPixels, FilmTooLarge and the like before any pixel is touched.
    """
    rows, columns = number(dataset, "Rows") or 0, number(dataset, "Columns") or 0
    pixels = next((keyword for keyword in PIXELS if keyword in dataset), None)
    if rows <= 0 or columns <= 0 or pixels is None:
        lacking = "pixels" if pixels is None else "Rows (0028,0010)" if rows <= 0 else "Columns (0028,0011)"
        kind = uid_name(code(dataset, "SOPClassUID"))
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
    """Replace elements. Those that were read may have another VR."""
    for keyword, value in elements.items():
        if keyword in dataset:
            del dataset[keyword]
        setattr(dataset, keyword, value)


def _check_cells(dataset: Dataset, pixels: str) -> None:
    """Check how a pixel is stored (C.7.6.3.1), and fill in what can only have one value."""
    colours = code(dataset, "PhotometricInterpretation")
    if not colours:
        raise BrokenFilm("expected an image, the header lacks Photometric Interpretation (0028,0004)")
    if colours not in (*GREY, *_COLOUR):
        # Only a word of the standard is quoted: the element may hold anything.
        known = colours if colours in _OTHER_COLOUR else "another"
        expected = ", ".join((*GREY, *_COLOUR))
        raise UnsupportedFormat(f"expected a photometric interpretation among {expected}, got {known}")
    wanted = 1 if colours in (*GREY, "PALETTE COLOR") else 3
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
