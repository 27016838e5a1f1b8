"""What an audit can find, how bad each is, and what it means to a person who never saw the project."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fracture.core.types import ImageRecord
from fracture.data.duplicates import SAME, Look
from fracture.data.ingest import MIN_BOX_PX
from fracture.data.split import LARGE_GROUP

DOUBLED_IOU = 0.9
"""Two boxes of one film that overlap more than this are one."""

BLANK, WHITE, SLENDER, SMALL_PX = 0.02, 0.3, 2.5, 128
"""A film is worth a look when its grey levels deviate by less than BLANK of the range, when more than WHITE of it is at
the top of the range, when its sides differ more than SLENDER times, or when its short side is below SMALL_PX."""


@dataclass(frozen=True)
class Kind:
    """A kind of finding: how bad it is (leak, defect, note), what it means in a sentence, what to do about it."""

    severity: str
    title: str
    meaning: str
    advice: str = ""


@dataclass(frozen=True)
class NamedPair:
    """Two films by id, how well they correlate, and how the first must be laid to look like the second."""

    first: str
    second: str
    correlation: float
    orientation: str


@dataclass(frozen=True)
class Finding:
    """One thing that was found: a kind of `KINDS`, the films it is about, what is to be said of them."""

    kind: str
    image_ids: tuple[str, ...]
    text: str
    pairs: tuple[NamedPair, ...] = ()


@dataclass(frozen=True)
class Film:
    """One film that should be there: what the manifest says, where it lies, what was seen of it."""

    record: ImageRecord
    folder: Path
    look: Look

    @property
    def file(self) -> Path:
        """Give the film's file."""
        return self.folder / self.record.path

    @property
    def flags(self) -> frozenset[str]:
        """Give what the manifest and the decoder say of the film."""
        return self.record.flags | self.look.flags


_TIED = "Films that belong together stand in two splits, so a model is tested on what it has seen in training."
_DEAL = "Deal the films out again with fracture split, which never cuts a group."
KINDS: Mapping[str, Kind] = {
    "patient_in_two_splits": Kind("leak", "Patients in two splits", _TIED, _DEAL),
    "study_in_two_splits": Kind("leak", "Studies in two splits", _TIED, _DEAL),
    "family_in_two_splits": Kind(
        "leak", "Augmented copies in two splits", "Copies that an export made of one film stand in two splits.", _DEAL
    ),
    "group_in_two_splits": Kind("leak", "Groups in two splits", _TIED, _DEAL),
    "duplicates_in_two_splits": Kind(
        "leak", "Copies in two splits", "Films that show the same thing stand in two splits.", _DEAL
    ),
    "contradictory_duplicates": Kind(
        "defect",
        "Copies with opposite labels",
        "One exposure is called fractured in one file and normal in another; at least one of the labels is wrong.",
        "Look at each pair and correct a label, or leave both films out; fracture split sets them aside.",
    ),
    "boxes_contradict": Kind(
        "defect",
        "Copies boxed in different places",
        "One exposure has a box in one file where there is none in the other.",
        "Look at each pair and draw the boxes alike.",
    ),
    "film_unreadable": Kind(
        "defect", "Films that cannot be read", "The file is there, but it is no film.", "Replace or remove the files."
    ),
    "film_missing": Kind(
        "defect", "Films without a file", "The manifest names a film that is not there.", "Run the stage again."
    ),
    "film_unlisted": Kind(
        "defect",
        "Files in no manifest",
        "A file lies among the films and the manifest does not know it; a training that reads folders would use it.",
        "Remove the files, or ingest them.",
    ),
    "size_differs": Kind(
        "defect",
        "Films of another size than stated",
        "The manifest states another size than the film has, so its boxes lie elsewhere.",
        "Ingest the films again.",
    ),
    "label_missing": Kind(
        "defect", "Label files that are missing", "A film that was looked at has no label file.", "Run the stage again."
    ),
    "label_unexpected": Kind(
        "defect",
        "Label files without a film",
        "A label file belongs to no film, or to one that nobody labelled.",
        "Remove the files: an empty one calls its film normal.",
    ),
    "label_differs": Kind(
        "defect",
        "Label files that differ from the manifest",
        "The boxes a training reads are not those of the manifest.",
        "Find out which is right; a stage that is run again writes the manifest's.",
    ),
    "box_outside": Kind(
        "defect", "Boxes that leave the film", "A box lies partly or wholly beyond the film.", "Ingest the films again."
    ),
    "box_tiny": Kind(
        "defect",
        "Tiny boxes",
        f"A box is thinner than {MIN_BOX_PX:g} px: nothing can be seen in it.",
        "Look at the films.",
    ),
    "boxes_doubled": Kind(
        "defect",
        "Boxes drawn twice",
        f"Two boxes of one film overlap by more than {DOUBLED_IOU:g} (IoU): one fracture counts twice.",
        "Look at the films and remove one box of each pair.",
    ),
    "truncated": Kind(
        "defect",
        "Films whose file ends early",
        "The rest of the picture is flat grey or black; what was there is lost, and a label may speak of it.",
        "Get the whole films. If there are none, check that the loss does not go with the label (see confounders).",
    ),
    "repeated": Kind(
        "defect",
        "Films that lost their end unnoticed",
        "One block of the picture is repeated over whole rows: the file was cut and mended, and no decoder complains.",
        "Treat them like films whose file ends early.",
    ),
    "blank": Kind("defect", "Blank films", "There is next to nothing on the film.", "Leave the films out."),
    "shortcut": Kind(
        "defect",
        "Confounders",
        "A property of the film all but decides its label; a model may learn the property instead of the fracture.",
        "Report results with and without these films, or balance them.",
    ),
    "published_lists": Kind(
        "defect",
        "Published split lists that share films",
        "The published train, valid and test lists tear apart what belongs together.",
        "Compare with published figures on these lists only with that said.",
    ),
    "exact_duplicates": Kind(
        "note", "Identical films", "The pixels are equal, whatever the files are.", "Keep them in one split."
    ),
    "near_duplicates": Kind(
        "note",
        "One exposure saved twice",
        f"Thumbnails, or their upper halves where one file lost its end, correlate at {SAME:g} or more.",
        "Keep them in one split.",
    ),
    "turned_duplicates": Kind(
        "note",
        "Turned and mirrored copies",
        "One film looks like another one turned or mirrored.",
        "Keep them in one split, and turn them the same way.",
    ),
    "similar_films": Kind(
        "note",
        "Films that are all but alike",
        "The same anatomy in the same pose, mostly repeats of one examination, at times two people.",
        "Keep them in one split: a group too large costs little, a leak costs the result.",
    ),
    "unlabelled_duplicates": Kind(
        "note", "Copies with and without a label", "One of two copies is labelled and the other is not."
    ),
    "large_group": Kind(
        "note",
        "Large groups",
        f"More than {LARGE_GROUP} films were joined into one group; a rule that joins so much may be wrong.",
        "Look at the films: do they belong together?",
    ),
    "repaired": Kind("note", "Repaired while reading", "Labels and film disagreed, and ingest decided."),
    "saturated": Kind("note", "Saturated films", f"More than {WHITE:.0%} of the film is at the top of the range."),
    "odd_shape": Kind(
        "note", "Odd shapes", f"Sides differ more than {SLENDER:g} times, or one is shorter than {SMALL_PX} px."
    ),
    "flagged": Kind("note", "Marks of the decoder", "What had to be assumed or turned while the films were read."),
    "set_aside": Kind("note", "Set aside", "Films that no split holds, and why."),
}
"""Every kind of finding, the gravest first. The order is that of the report."""
