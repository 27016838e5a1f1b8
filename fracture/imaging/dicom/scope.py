"""What a DICOM file says of its kind: whether it is a radiograph, of which part of the body, and meant for viewing."""

import re

from pydicom.dataset import Dataset

from fracture.core.errors import WrongModality
from fracture.imaging.dicom.elements import code, codes, items
from fracture.imaging.dicom.greys import macro, states_view

NO_LIMB = "no_limb"

_MODALITIES = ("CR", "DX", "DR", "RF", "RG", "SC", "HC", "OT")
_OTHER_MODALITIES = ("CT", "MR", "US", "MG", "XA", "NM", "PT", "IO", "PX", "BMD", "ES", "XC", "OP", "SM", "ECG", "SEG")
_NO_LIMBS = frozenset(
    (
        *("SKULL", "HEAD", "JAW", "ZYGOMA", "NECK", "CHEST", "RIB", "STERNUM", "HEART", "BREAST", "ABDOMEN", "UTERUS"),
        *("SPINE", "CSPINE", "CTSPINE", "TSPINE", "TLSPINE", "LSPINE", "LSSPINE", "SSPINE"),
        # As people write them in words.
        *("THORAX", "RIBS", "LUNG", "LUNGS", "MANDIBLE", "FACE", "CERVICALSPINE", "THORACICSPINE", "LUMBARSPINE"),
        *("VERTEBRALCOLUMN", "CERVICALVERTEBRALCOLUMN", "THORACIC", "ABDOMINAL", "JAWREGION", "ZYGOMATICBONE"),
    )
)
"""Of the defined terms of PS3.16 Annex L for Body Part Examined (0018,0015), those without a limb, hip or shoulder."""

_NO_LIMB_CODES = frozenset(
    (
        # SNOMED CT, then the same in SNOMED RT: head, neck, thoracic cavity, thorax, skull, jaw, zygoma, rib, sternum,
        # heart, breast, uterus, spine: whole, cervical, thoracic, lumbar and where they meet; sacrum, abdomen.
        *("69536005", "45048000", "43799004", "51185008", "816094009", "89546000", "661005", "13881006", "113197003"),
        *("56873002", "80891009", "76752008", "35039007", "421060004", "122494005", "122495006", "122496007"),
        *("297171002", "297173004", "297174005", "54735007", "818981001", "113345001"),
        *("T-D1100", "T-D1600", "T-D3200", "T-D3000", "T-11100", "T-D1213", "T-11166", "T-11300", "T-11210"),
        *("T-32000", "T-04000", "T-83000", "T-D04FF", "T-11501", "T-11502", "T-11503", "T-D00F7", "T-D00F9"),
        *("T-D00FA", "T-11AD0", "T-D4000", "T-11500"),
    )
)
"""The same parts as codes (PS3.16 Annex L, CID 4031)."""

_FOR_PROCESSING = re.compile(r"1\.2\.840\.10008\.5\.1\.4\.1\.1\.1\.[123]\.1")
"""SOP classes of digital radiographs, mammograms and intraoral films for processing (PS3.4 B.5)."""


def check_modality(dataset: Dataset) -> None:
    """Raise WrongModality for what is no projection radiograph (C.7.3.1.1.1).

    Scanned films come as SC, HC or OT.
    """
    found = code(dataset, "Modality")
    if found and not set(codes(dataset, "Modality")) & set(_MODALITIES):
        # Only a word of the standard is quoted: the element may hold anything.
        known = found if found in _OTHER_MODALITIES else "another"
        raise WrongModality(f"expected a radiograph (Modality {', '.join(_MODALITIES)}), got {known}")


def shows_no_limb(dataset: Dataset, index: int) -> bool:
    """Tell whether the file names a part of the trunk or the head as the one examined, by a word or by a code.

    It reads Body Part Examined (0018,0015), and Anatomic Region and Primary Anatomic Structure Sequence
    (0008,2218 and 2228; 10.5) of the image or of the frame (C.7.6.16.2.8).
    """
    if _is_no_limb(code(dataset, "BodyPartExamined")):
        return True
    for source in (dataset, macro(dataset, index, "FrameAnatomySequence")):
        for keyword in ("AnatomicRegionSequence", "PrimaryAnatomicStructureSequence"):
            regions = items(source, keyword)
            if regions:
                return all(
                    code(region, "CodeValue") in _NO_LIMB_CODES or _is_no_limb(code(region, "CodeMeaning"))
                    for region in regions
                )
    return False


def _is_no_limb(words: str) -> bool:
    words = re.sub(r"\(.*?\)|\bSTRUCTURE( OF)?\b|\bENTIRE\b|\bREGION\b", "", words)
    return re.sub(r"[^A-Z]", "", words) in _NO_LIMBS


def is_for_processing(dataset: Dataset, index: int) -> bool:
    """Tell whether the values are declared to be a detector's and not yet a picture (C.8.11.1, C.8.11.3.1.2).

    Values proportional to the dose or its logarithm are a picture only where the file says so or how to show them.
    """
    intent = code(dataset, "PresentationIntentType")
    if intent == "FOR PROCESSING" or _FOR_PROCESSING.fullmatch(code(dataset, "SOPClassUID")):
        return True
    declared = code(dataset, "PixelIntensityRelationship") in {"LIN", "LOG"}
    return declared and intent != "FOR PRESENTATION" and not states_view(dataset, index)
