"""Phantom films as DICOM files, in the transfer syntaxes and greys that detectors and archives use.

The identifiers are made from the film's name, so that a name gives the same file for ever. Nobody has these names.
"""

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fracture.core.errors import BadValue

SYNTAXES: Mapping[str, str] = MappingProxyType(
    {
        "explicit": "1.2.840.10008.1.2.1",
        "implicit": "1.2.840.10008.1.2",
        "deflated": "1.2.840.10008.1.2.1.99",
        "rle": "1.2.840.10008.1.2.5",
        "jpeg2000": "1.2.840.10008.1.2.4.90",
    }
)
"""Transfer syntaxes by short name, all of them lossless."""

_ENCAPSULATED = {"rle": "pydicom", "jpeg2000": "pylibjpeg"}
_DX_STORAGE = "1.2.840.10008.5.1.4.1.1.1.1"


@dataclass(frozen=True)
class Style:
    """How a film is written: its transfer syntax, whether white is zero, and its modality LUT."""

    syntax: str = "explicit"
    white_is_zero: bool = False
    slope: float = 1.0
    intercept: float = 0.0
    window: bool = True


def dicom(
    pixels: NDArray[np.uint16], style: Style, *, patient: str, study: str, name: str, spacing_mm: float, region: str
) -> bytes:
    """Encode a film of 12 bits in 16, (H, W), as a DX image whose window shows it as it is.

    Raises BadValue for an unknown transfer syntax and for pixels of more than 12 bits.
    """
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import UID

    if style.syntax not in SYNTAXES:
        raise BadValue(f"expected a transfer syntax out of {', '.join(SYNTAXES)}, got {style.syntax!r}")
    if pixels.dtype != np.uint16 or int(pixels.max()) > 4095:
        raise BadValue(f"expected pixels of 12 bits in 16, got {pixels.dtype} up to {pixels.max()}")
    stored = (4095 - pixels if style.white_is_zero else pixels).astype("<u2")
    data: Any = Dataset()
    data.file_meta = FileMetaDataset()
    plain = "explicit" if style.syntax in _ENCAPSULATED else style.syntax
    data.file_meta.TransferSyntaxUID = UID(SYNTAXES[plain])
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = _DX_STORAGE
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = _uid("film", name)
    data.StudyInstanceUID, data.SeriesInstanceUID = _uid("study", study), _uid("series", study)
    data.SpecificCharacterSet, data.Modality = "ISO_IR 192", "DX"
    data.PatientName, data.PatientID, data.StudyID = "Phantom^Synthetic", patient, study[:16]
    data.PatientBirthDate, data.PatientSex, data.StudyDate, data.StudyTime = "", "", "", ""
    data.BodyPartExamined = region.upper()
    data.PixelSpacing = [f"{spacing_mm:.4f}"] * 2
    data.Rows, data.Columns = pixels.shape
    data.SamplesPerPixel, data.PixelRepresentation = 1, 0
    data.BitsAllocated, data.BitsStored, data.HighBit = 16, 12, 11
    data.PhotometricInterpretation = "MONOCHROME1" if style.white_is_zero else "MONOCHROME2"
    data.PresentationLUTShape = "INVERSE" if style.white_is_zero else "IDENTITY"
    data.RescaleSlope, data.RescaleIntercept, data.RescaleType = f"{style.slope:g}", f"{style.intercept:g}", "US"
    if style.window:
        # PS3.3 C.11.2.1.2: LINEAR maps centre - 0.5 to the middle and width - 1 to the whole of the grey scale.
        data.WindowCenter = f"{style.intercept + style.slope * 4095 / 2 + 0.5:g}"
        data.WindowWidth = f"{style.slope * 4095 + 1:g}"
    data.PixelData = stored.tobytes()
    data["PixelData"].VR = "OW"
    if style.syntax in _ENCAPSULATED:
        data.compress(SYNTAXES[style.syntax], encoding_plugin=_ENCAPSULATED[style.syntax], generate_instance_uid=False)
    out = io.BytesIO()
    data.save_as(out, enforce_file_format=True)
    return out.getvalue()


def _uid(kind: str, name: str) -> str:
    """Give a UID under 2.25 (PS3.5 B.2), the same for the same name."""
    return f"2.25.{int(hashlib.sha256(f'fracture phantom {kind} {name}'.encode()).hexdigest()[:31], 16)}"
