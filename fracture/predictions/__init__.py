"""One file per output format; each turns a prediction into what somebody else reads, or reads what somebody made."""

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from reprlib import repr as quoted
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

import numpy as np

from fracture.core.errors import BadValue, MissingData
from fracture.core.files import file_hash
from fracture.core.types import Detections, ImageRecord, Prediction, Refusal
from fracture.predictions import coco
from fracture.predictions import jsonl as json
from fracture.predictions import yolo as yolo_txt
from fracture.predictions.films import Content, Films

FORMATS: Mapping[str, Callable[[Path, Films, Path | None], Content]] = MappingProxyType(
    {"jsonl": json.load, "coco": coco.load, "yolo": yolo_txt.load}
)
if TYPE_CHECKING:
    Format = str
else:  # names that come from a table are no type to a checker
    Format = Literal[tuple(FORMATS)]


@dataclass(frozen=True)
class Loaded:
    """Predictions of any origin, by image id.

    ``answers`` holds every film that the predictions answer. Where a format says nothing of a film on which nothing was
    found (COCO, YOLO), an empty answer stands for its silence; ``without_a_line`` names all films of the manifest that
    have no row, so that a silence that is too large can be told. ``other_rows`` counts the boxes of other categories
    that were dropped. ``sha256`` is the file's, or that of what ``sha256sum *.txt`` prints in a folder.
    """

    answers: dict[str, Prediction | Refusal]
    without_a_line: tuple[str, ...]
    other_rows: int
    model_id: str
    harmonise_id: str | None
    format: str
    sha256: str


def load_predictions(
    path: Path,
    records: Iterable[ImageRecord],
    format: str | None = None,  # noqa: A002 (what a person calls it)
    *,
    coco_images: Path | None = None,
    category: int | str | None = None,
) -> Loaded:
    """Read predictions in any of `FORMATS` for the films of a whole manifest.

    The format is told from the path if not named. ``coco_images`` says which film a number means in COCO results;
    ``category`` which category is the fracture where there are several. Boxes are in pixels of the manifest's films,
    unclipped, and however many there are. Raises MissingData for a path that is not there, BadValue for anything that
    is no prediction for a film of the manifest.
    """
    if not path.exists():
        raise MissingData(f"no such file or folder: {path}")
    name = format or _told(path)
    if name not in FORMATS:
        raise BadValue(f"format: expected {', '.join(FORMATS)}, got {name!r}")
    if (name == "yolo") != path.is_dir():
        raise BadValue(f"{path}: expected a folder for yolo, a file for any other format, got {name}")
    films = Films(records)
    content = FORMATS[name](path, films, coco_images)
    answers, other_rows = _of_category(content, category)
    return Loaded(
        answers,
        tuple(image_id for image_id in films.records if image_id not in content.named),
        other_rows,
        content.model_id or path.stem,
        content.harmonise_id or None,
        name,
        _sha256(path),
    )


def merge(every: Sequence[Loaded]) -> Loaded:
    """Put predictions of one model into one, as where each split has a file of its own.

    Raises BadValue for a film that two of them answer, and for files of different models or formats.
    """
    answers: dict[str, Prediction | Refusal] = {}
    named: dict[str, Prediction | Refusal] = {}
    for loaded in every:
        told = [
            (one.format, one.harmonise_id, one.model_id if one.format == "jsonl" else "") for one in (every[0], loaded)
        ]
        if told[0] != told[1]:
            raise BadValue(f"predictions: expected files of one model and one format, got {told[0]} and {told[1]}")
        answers |= loaded.answers
        silent = set(loaded.without_a_line)
        for image_id in (one for one in loaded.answers if one not in silent):
            if image_id in named:
                raise BadValue(f"predictions: expected every film in one of the files, got {image_id} in two")
            named[image_id] = loaded.answers[image_id]
    return replace(
        every[0],
        answers=answers | named,
        without_a_line=tuple(image_id for image_id in every[0].without_a_line if image_id not in named),
        other_rows=sum(loaded.other_rows for loaded in every),
        model_id=" + ".join(dict.fromkeys(loaded.model_id for loaded in every)),
        sha256=every[0].sha256
        if len(every) == 1
        else hashlib.sha256("".join(x.sha256 for x in every).encode()).hexdigest(),
    )


def _told(path: Path) -> str:
    if path.is_dir():
        return "yolo"
    suffixes = {".jsonl": "jsonl", ".json": "coco"}
    if path.suffix.lower() not in suffixes:
        raise BadValue(f"format: expected a folder, .jsonl or .json, or one of {', '.join(FORMATS)}, got {path}")
    return suffixes[path.suffix.lower()]


def _of_category(content: Content, category: int | str | None) -> tuple[dict[str, Prediction | Refusal], int]:
    """Keep the boxes of the category that is a fracture; give the answers and how many boxes were dropped."""
    labels = [answer.detections.label for answer in content.answers.values() if isinstance(answer, Prediction)]
    counts = np.bincount(np.concatenate([np.zeros(0, np.int64), *labels]), minlength=len(content.classes))
    known = ", ".join(f"{quoted(key)} ({n} boxes)" for key, n in zip(content.classes, counts, strict=True))
    if category is None and len(content.classes) > 1:
        raise BadValue(f"expected one category, or the name of the one that is a fracture, got {known}")
    if category is not None and content.classes and str(category) not in content.classes:
        raise BadValue(f"category: expected one out of {known}, got {category!r}")
    if len(content.classes) < 2:
        return content.answers, 0
    chosen = content.classes.index(str(category))
    answers = {
        image_id: replace(answer, detections=_only(answer.detections, chosen))
        if isinstance(answer, Prediction)
        else answer
        for image_id, answer in content.answers.items()
    }
    return answers, int(counts.sum() - counts[chosen])


def _only(found: Detections, label: int) -> Detections:
    keep = found.label == label
    return Detections(found.xyxy[keep], found.score[keep], np.zeros(int(keep.sum()), np.int64))


def _sha256(path: Path) -> str:
    if path.is_file():
        return file_hash(path)
    digest = hashlib.sha256()
    for file in yolo_txt.files_in(path):
        digest.update(file_hash(file).encode() + b"  " + os.fsencode(file.name) + b"\n")
    return digest.hexdigest()
