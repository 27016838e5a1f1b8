"""MURA v1.1: 40,561 films of seven areas of the arm, 14,863 studies called normal or abnormal by radiologists.

Page: stanfordmlgroup.github.io/competitions/mura. Stanford University School of Medicine MURA Dataset Research Use
Agreement: research only, no redistribution. Rajpurkar et al., "MURA: Large Dataset for Abnormality Detection in
Musculoskeletal Radiographs", MIDL 2018.

A label belongs to a study, all its films share it, and **abnormal is not fracture**: hardware, arthritis and lesions
are abnormal too. Nothing was drawn. So an abnormal film says nothing about fractures, a normal one that there is none.

Layout: ``{train,valid}/XR_WRIST/patient00001/study1_positive/image1.png``. ``{train,valid}_labeled_studies.csv`` have
rows such as ``MURA-v1.1/train/XR_SHOULDER/patient00001/study1_positive/,1`` and no header.
``{train,valid}_image_paths.csv`` list the films likewise and are read where they are. Patients are numbered across all
areas and both parts.
"""

import csv
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from types import MappingProxyType

from fracture.core.errors import BadValue, MissingData
from fracture.core.files import place
from fracture.core.folders import walk
from fracture.core.types import ImageRecord
from fracture.data.ingest import Claim, ingest
from fracture.data.stage import film_name

LICENCE = "Stanford MURA research use agreement, no redistribution"
ATTRIBUTION = "Rajpurkar et al., MURA: Large Dataset for Abnormality Detection in Musculoskeletal Radiographs, 2018"
MODES = ("classify", "weakbox")
PARTS = MappingProxyType({"train": "train", "valid": "val"})
REGIONS = MappingProxyType(
    {
        "XR_ELBOW": "elbow",
        "XR_FINGER": "hand",
        "XR_FOREARM": "forearm",
        "XR_HAND": "hand",
        "XR_HUMERUS": "humerus",
        "XR_SHOULDER": "shoulder",
        "XR_WRIST": "wrist",
    }
)
TREE = "classify"
_WHOLE_FILM = ((0.0, 0.0, 1.0, 1.0),)


def claims(root: Path, mode: str = "classify") -> Iterator[Claim]:
    """Give one claim per film on disk and per film or study that only a list has.

    Mode ``classify`` claims no boxes. Mode ``weakbox`` claims one weak box over the whole of every abnormal film and
    none on a normal one. Raises, before the first claim, MissingData without films or lists and BadValue for a list or
    a folder that is not MURA's.
    """
    if mode not in MODES:
        raise BadValue(f"expected a mode out of {', '.join(MODES)}, got {mode!r}")
    labels = {study: label for part in PARTS for study, label in _labels(root, part).items()}
    trees = [walk(root / part, hidden=True) for part in PARTS]
    inside = [path.relative_to(root) for tree in trees for path in tree.places]
    found = {path.as_posix() for path in inside if path.suffix == ".png" and len(path.parts) == 5}
    if not found:
        raise MissingData(f"expected films like {root}/train/XR_WRIST/patient00001/study1_positive/image1.png")
    listed = {film for part in PARTS for film, _ in _rows(root / f"{part}_image_paths.csv", 5)}
    filled = {film.rpartition("/")[0] for film in found | listed}
    films = sorted(found | listed | (labels.keys() - filled))
    unknown = sorted({film.split("/")[1] for film in films} - REGIONS.keys())
    if unknown:
        raise BadValue(f"expected areas out of {', '.join(REGIONS)}, got {', '.join(unknown)}")
    return (_claim(root, film, film in found, labels, mode) for film in films)


def build(
    found: Sequence[Claim],
    out: Path,
    mode: str,
    *,
    copy: bool = False,
    workers: int | None = None,
    inputs: Sequence[Path] = (),
) -> list[ImageRecord]:
    """Ingest MURA's claims into the stage ``out``; in mode ``classify`` write the tree a classifier learns from too."""
    records = ingest(found, out, copy=copy, workers=workers, inputs=inputs)
    if mode == "classify":
        write_classes(records, out, copy=copy)
    return records


def write_classes(records: Sequence[ImageRecord], stage: Path, *, copy: bool = False) -> None:
    """Write ``stage/classify/{train,val}/{abnormal,normal}/`` anew from the films of a stage.

    Val is the published valid part. Films that nobody called normal or abnormal stay out.
    """
    partial, tree = stage / (TREE + ".partial"), stage / TREE
    shutil.rmtree(partial, ignore_errors=True)
    for record in records:
        if record.split != "set_aside" and record.abnormal is not None:
            folder = partial / record.attributes["official_split"] / ("abnormal" if record.abnormal else "normal")
            film = stage / record.path
            place(film, folder / (film_name(record) + film.suffix), copy=copy)
    shutil.rmtree(tree, ignore_errors=True)
    if partial.exists():
        os.replace(partial, tree)


def _claim(root: Path, film: str, there: bool, labels: dict[str, bool], mode: str) -> Claim:
    part, area, patient, study, *image = film.split("/")
    listed = labels.get(f"{part}/{area}/{patient}/{study}")
    named = {"positive": True, "negative": False}.get(study.rpartition("_")[2])
    notes = []
    if listed is None:
        notes.append(f"not in {part}_labeled_studies.csv")
    elif named is not None and listed != named:
        notes.append(f"{part}_labeled_studies.csv says abnormal={int(listed)}, the folder {study} says otherwise")
    said = {label for label in (listed, named) if label is not None}
    abnormal = said.pop() if len(said) == 1 else None
    problem = None
    if not there:
        problem = "listed, no film on disk" if image else f"a study in {part}_labeled_studies.csv, no film on disk"
    elif image[0].startswith("._"):
        problem = "a macOS resource fork, not a film"
    return Claim(
        image_id="/".join(["mura", area, patient, study, *(PurePosixPath(name).stem for name in image)]),
        file=root / film,
        source="mura",
        licence=LICENCE,
        attribution=ATTRIBUTION,
        regions=frozenset({REGIONS[area]}),
        patient_id=patient,
        study_id=f"{area}/{patient}/{study}",
        abnormal=abnormal,
        fractured=False if abnormal is False else None,
        boxes=None if mode == "classify" or abnormal is None else _WHOLE_FILM if abnormal else (),
        relative=True,
        weak=mode == "weakbox" and abnormal is True,
        attributes={"area": area.removeprefix("XR_").lower(), "official_split": PARTS[part]},
        notes=tuple(notes),
        problem=problem,
    )


def _labels(root: Path, part: str) -> dict[str, bool]:
    path = root / f"{part}_labeled_studies.csv"
    if not path.is_file():
        raise MissingData(f"expected MURA's {path.name} at {path}")
    labels: dict[str, bool] = {}
    for number, (study, cells) in enumerate(_rows(path, 4), start=1):
        if cells not in (["1"], ["0"]):
            raise BadValue(
                f"{path} row {number}: expected 1 or 0 behind the study, got {', '.join(cells) or 'nothing'}"
            )
        label = cells == ["1"]
        if labels.setdefault(study, label) != label:
            raise BadValue(f"{path} row {number}: expected every study once, got {study} as 0 and as 1")
    return labels


def _rows(path: Path, depth: int) -> Iterator[tuple[str, list[str]]]:
    """Give the rows of one of MURA's lists: a path from the root, of so many parts, and the cells behind it."""
    if not path.is_file():
        return
    part = path.name.partition("_")[0]
    with path.open(newline="", encoding="utf-8-sig") as file:
        for number, row in enumerate(csv.reader(file), start=1):
            if not row:
                continue
            parts = PurePosixPath(row[0]).parts[-depth:]
            if len(parts) != depth or parts[0] != part or ".." in parts:
                raise BadValue(f"{path} row {number}: expected a path like MURA-v1.1/{part}/XR_WRIST/..., got {row}")
            yield "/".join(parts), [cell.strip() for cell in row[1:]]
