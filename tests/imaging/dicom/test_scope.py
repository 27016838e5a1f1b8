"""What a file says of its kind: the part of the body in words or codes, and values that are no picture yet."""

from typing import Any

import pytest
from pydicom.dataset import Dataset

from fracture.imaging.dicom import NO_LIMB
from tests.imaging.dicom.test_dicom import decode, film, item, ramp

WINDOW = {"WindowCenter": "500", "WindowWidth": "1000"}


def region(code: str, meaning: str, scheme: str = "SCT") -> Dataset:
    return item(CodeValue=code, CodingSchemeDesignator=scheme, CodeMeaning=meaning)


@pytest.mark.parametrize(
    ("code", "meaning", "elsewhere"),
    [
        ("51185008", "Chest", True),
        ("T-D3000", "Anything", True),
        ("12345", "Lumbar spine", True),
        ("12345", "thoracic structure (body structure)", True),
        ("12345", "Skull", True),
        ("85562004", "Hand", False),
        ("12345", "Head of femur", False),
        ("12345", "Neck of humerus", False),
        ("12345", "", False),
    ],
)
@pytest.mark.parametrize("keyword", ["AnatomicRegionSequence", "PrimaryAnatomicStructureSequence"])
def test_a_region_is_read_off_its_code(keyword: str, code: str, meaning: str, elsewhere: bool) -> None:
    assert (NO_LIMB in decode(film(ramp(), **{keyword: [region(code, meaning)]})).flags) == elsewhere


def test_a_limb_among_the_regions_is_enough() -> None:
    both = [region("51185008", "Chest"), region("16982005", "Shoulder region")]
    assert NO_LIMB not in decode(film(ramp(), AnatomicRegionSequence=both)).flags


def test_the_region_of_a_frame() -> None:
    group = item(FrameAnatomySequence=[item(AnatomicRegionSequence=[region("89546000", "Skull")])])
    assert NO_LIMB in decode(film(ramp(), SharedFunctionalGroupsSequence=[group])).flags


@pytest.mark.parametrize("part", ["chest", " Chest ", "C-SPINE", "Cervical spine", "THORAX"])
def test_the_part_in_words(part: str) -> None:
    data = film(ramp(), BodyPartExamined="CHEST")
    data["BodyPartExamined"]._value = part
    assert NO_LIMB in decode(data).flags


@pytest.mark.parametrize(
    ("elements", "raw"),
    [
        ({"PresentationIntentType": "FOR PROCESSING"}, True),
        ({"PresentationIntentType": "FOR PROCESSING", **WINDOW}, True),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.1.1.1"}, True),
        ({"PixelIntensityRelationship": "LIN", "PixelIntensityRelationshipSign": 1}, True),
        ({"PixelIntensityRelationship": "LOG", "PixelIntensityRelationshipSign": -1}, True),
        ({"PixelIntensityRelationship": "DISP"}, False),
        ({"PixelIntensityRelationship": "LOG", "PresentationIntentType": "FOR PRESENTATION"}, False),
        ({"PixelIntensityRelationship": "LOG", **WINDOW}, False),
        ({"PresentationIntentType": "FOR PRESENTATION"}, False),
        ({}, False),
    ],
)
def test_values_that_are_no_picture_yet_are_read_and_flagged(elements: dict[str, Any], raw: bool) -> None:
    shown = decode(film(ramp(), **elements))
    assert ("for_processing" in shown.flags) == raw
    assert shown.pixels.max() == 1
