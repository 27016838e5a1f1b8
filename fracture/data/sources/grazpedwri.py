"""GRAZPEDWRI-DX: 20,327 wrist films of 6,091 children; radiologists drew boxes of nine classes, fracture among them.

Source: figshare 14825193, CC BY 4.0. Nagy et al., "A pediatric wrist trauma X-ray dataset (GRAZPEDWRI-DX) for machine
learning", Scientific Data 9, 222 (2022).

Layout: ``dataset.csv``, films in ``images_part1`` to ``images_part4``, and the same boxes three times below
``folder_structure``: ``yolov5`` (labels, meta.yaml), ``pascalvoc`` and ``supervisely/wrist/ann``. Copies of it vary, so
films, table and labels are found wherever they lie, by name and content. Of the labels YOLO's are read where a class
list comes with them, else Pascal VOC's, else Supervisely's, which know a tenth class, axis. An export by Roboflow is
read likewise. It numbers the classes otherwise, which is why names decide: fracture is 3 of the published classes, 2
where foreignbody is left out.

Films are named patient_time_study_WRI-side-view_sex-age, ``0001_1297860395_01_WRI-L1_M014``; where dataset.csv lacks a
column or is not there, the name tells. An empty cell of its flags means no. Nobody called a film normal, so a film is
so only where nothing but its letters is drawn and the table mentions no fracture, cast, metal, osteopenia or doubt.
"""

import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from math import isfinite
from pathlib import Path, PurePath
from types import MappingProxyType

from fracture.core.errors import BadValue, MissingData
from fracture.data.ingest import Claim, Provenance
from fracture.data.labels import BY_NAME, Drawn, FractureClasses, read_supervisely, read_voc, read_yolo, sort_out
from fracture.data.sources import yolo_folders
from fracture.data.sources.yolo_folders import NO_LABEL

ABOUT = Provenance(
    source="grazpedwri",
    regions=frozenset({"wrist"}),
    licence="CC BY 4.0",
    attribution="Nagy et al., GRAZPEDWRI-DX, Scientific Data 9, 222 (2022), figshare 14825193",
)
FILM_NAME = re.compile(r"(\d+)_(\d+)_(\d+)_WRI-([LR])(\d)_([MFO])(\d+)")
VIEWS = MappingProxyType({"1": "frontal", "2": "lateral", "3": "oblique"})
FINDINGS = frozenset({"boneanomaly", "bonelesion", "foreignbody", "periostealreaction", "pronatorsign", "softtissue"})
TABLE = "dataset.csv"

_NAME_COLUMNS = ("patient_id", "timehash", "study_number", "laterality", "projection", "gender", "age")
_ATTRIBUTES = MappingProxyType(
    {
        "age": "age",
        "gender": "sex",
        "laterality": "laterality",
        "ao_classification": "ao_classification",
        "cast": "cast",
        "metal": "metal",
        "osteopenia": "osteopenia",
        "initial_exam": "initial_exam",
        "diagnosis_uncertain": "diagnosis_uncertain",
        "fracture_visible": "fracture_visible",
        "pixel_spacing": "pixel_spacing",
        "device_manufacturer": "device",
    }
)
_NOT_NORMAL = ("ao_classification", "cast", "metal", "osteopenia", "diagnosis_uncertain")

Row = Mapping[str, str]


@dataclass(frozen=True)
class _Label:
    size_px: tuple[int, int] | None = None
    drawn: tuple[Drawn, ...] = ()
    problem: str | None = None


@dataclass(frozen=True)
class _Labels:
    """The labels of one format by film name, and which of the class names in them are fractures (None: all)."""

    by_stem: Mapping[str, _Label]
    fractures: frozenset[str] | None
    relative: bool


def claims(root: Path, classes: FractureClasses = BY_NAME) -> Iterator[Claim]:
    """Give one claim per film on disk and per label and row of dataset.csv that has no film.

    Raises, before the first claim, MissingData without films or labels and BadValue for a bad table and for fracture
    classes that are not among the labels' classes.
    """
    return read(root, replace(ABOUT, classes=classes))


def read(root: Path, about: Provenance, data_yaml: Path | None = None) -> Iterator[Claim]:
    """Give the claims of a tree under another name, licence or class list than the published ones."""
    tree, films = yolo_folders.films_below(root)
    files = tree.places
    by_stem: dict[str, list[Path]] = {}
    for film in films:
        by_stem.setdefault(film.stem, []).append(film)
    labels = _labels(root, files, by_stem.keys(), about.classes, data_yaml)
    return _claims(root, about, by_stem, labels, _table(files))


def folders(images: Path, labels: Path, about: Provenance, data_yaml: Path | None = None) -> Iterator[Claim]:
    """Give the claims of any YOLO export; films named like this set's get patient, study, view and this set's terms.

    Raises what `yolo_folders.claims` raises.
    """
    found = yolo_folders.claims(images, labels, about, data_yaml)
    return (
        _with_terms(_identify(claim, None)) if FILM_NAME.fullmatch(_film_name(claim.file)) else claim for claim in found
    )


def _with_terms(claim: Claim) -> Claim:
    licence = ABOUT.licence if claim.licence == Provenance.licence else claim.licence
    return replace(claim, licence=licence, attribution=claim.attribution or ABOUT.attribution)


def _claims(
    root: Path,
    about: Provenance,
    films: Mapping[str, Sequence[Path]],
    labels: _Labels,
    rows: Mapping[str, Row],
) -> Iterator[Claim]:
    named = {_film_name(film) for namesakes in films.values() for film in namesakes}
    for stem, namesakes in films.items():
        for film in namesakes:
            notes = [] if stem in labels.by_stem else [NO_LABEL]
            native = stem
            if len(namesakes) > 1:
                notes.append(f"{len(namesakes)} films of this name")
                native = film.relative_to(root).as_posix()
            claim = _claim(native, film, labels, stem, about)
            claim = replace(claim, attributes=yolo_folders.export_split(film, root), notes=tuple(notes))
            yield _identify(claim, rows.get(_film_name(film)), tabled=bool(rows))
    for stem in sorted((labels.by_stem.keys() - films.keys()) | (rows.keys() - named)):
        claim = _claim(stem, root / "images" / f"{stem}.png", labels, stem, about)
        problem = f"listed in {TABLE}, no film on disk" if stem in rows else "label without a film"
        yield replace(_identify(claim, rows.get(stem)), problem=problem)


def _claim(native: str, film: Path, labels: _Labels, stem: str, about: Provenance) -> Claim:
    label = labels.by_stem.get(stem)
    objects = sort_out(label.drawn if label else (), labels.fractures)
    looked = label is not None and label.problem is None and (bool(label.drawn) or about.empty_is_normal)
    return about.claim(
        native,
        film,
        objects,
        looked=looked,
        relative=labels.relative,
        claimed_px=label.size_px if label else None,
        family=yolo_folders.original(film),
        problem=label.problem if label else None,
    )


def _identify(claim: Claim, row: Row | None, *, tabled: bool = False) -> Claim:
    """Add what the film's name and its row say: patient, study, view, attributes, and whether they fit the boxes."""
    match = FILM_NAME.fullmatch(_film_name(claim.file))
    said = dict(zip(_NAME_COLUMNS, map(_cell, match.groups()), strict=True)) if match else {}
    said |= row or {}
    patient = said["patient_id"].zfill(4) if "patient_id" in said else None
    study = f"{patient}_{said['study_number'].zfill(2)}" if patient and "study_number" in said else None
    attributes = {name: said[column] for column, name in _ATTRIBUTES.items() if said.get(column)}
    notes, fractured, boxes = [], claim.fractured, claim.boxes
    if patient is None:
        notes.append(f"named like no film of this set and not in {TABLE}: patient unknown")
    elif tabled and row is None:
        notes.append(f"not in {TABLE}")
    visible = said.get("fracture_visible")
    if visible == "1" and not claim.boxes:
        notes.append(f"{TABLE} says a fracture is visible, nobody drew it")
        fractured, boxes = True, None
    elif visible is not None and visible != "1" and claim.boxes:
        notes.append(f"{TABLE} says no fracture is visible, boxes are drawn")
    return replace(
        claim,
        patient_id=patient,
        study_id=study,
        view=VIEWS.get(said.get("projection", "")),
        fractured=fractured,
        boxes=boxes,
        abnormal=_abnormal(fractured, {*claim.kept, *claim.dropped}, attributes),
        attributes={**claim.attributes, **attributes},
        notes=(*claim.notes, *notes),
    )


def _abnormal(fractured: bool | None, drawn: set[str], attributes: Mapping[str, str]) -> bool | None:
    """Call a film normal only where somebody looked, drew at most its letters, and dataset.csv mentions nothing."""
    if fractured or drawn & FINDINGS:
        return True
    unclear = fractured is None or drawn - {"text"} or any(attributes.get(name, "0") != "0" for name in _NOT_NORMAL)
    return None if unclear else False


def _film_name(film: PurePath) -> str:
    return yolo_folders.original(film) or film.stem


def _labels(
    root: Path, files: Sequence[Path], films: Set[str], classes: FractureClasses, data_yaml: Path | None
) -> _Labels:
    """Read the labels of the best format that fits the films."""
    yolo = [
        path
        for path in files
        if path.suffix == ".txt" and (path.stem in films or "labels" in path.relative_to(root).parts)
    ]
    voc = [path for path in files if path.suffix == ".xml"]
    supervisely = [path for path in files if path.suffix == ".json" and path.parent.name == "ann"]
    if _fit(yolo, films):
        folders = {folder for path in yolo for folder in path.parents if folder.is_relative_to(root)}
        names = yolo_folders.class_names(sorted(folders), data_yaml)
        if (
            names
            or classes.everything
            or classes.index is not None
            or not (_fit(voc, films) or _fit(supervisely, films))
        ):
            fractures = yolo_folders.fracture_names(classes, names)
            return _Labels(_read(yolo, lambda path: (None, read_yolo(path, names))), fractures, relative=True)
    for paths, reader in ((voc, read_voc), (supervisely, read_supervisely)):
        if _fit(paths, films):
            if classes.index is not None:
                raise BadValue(f"expected fracture classes by name, these labels have no numbers: got {classes.index}")
            by_stem = _read(paths, reader)
            known = sorted({one.name for label in by_stem.values() for one in label.drawn})
            return _Labels(by_stem, classes.of(known), relative=False)
    raise MissingData(
        f"expected labels of the films in {root}: yolov5/labels/*.txt with yolov5/meta.yaml, pascalvoc/*.xml or "
        "supervisely/wrist/ann/*.json, found none"
    )


def _fit(paths: Iterable[Path], films: Set[str]) -> bool:
    return any(_label_name(path) in films for path in paths)


def _label_name(path: Path) -> str:
    return path.stem.removesuffix(".png")  # Supervisely writes x.png.json or x.json


def _read(
    paths: Sequence[Path], reader: Callable[[Path], tuple[tuple[int, int] | None, tuple[Drawn, ...]]]
) -> dict[str, _Label]:
    found: dict[str, _Label] = {}
    for path in paths:
        try:
            label = _Label(*reader(path))
        except BadValue as error:
            label = _Label(problem=str(error))
        if found.setdefault(_label_name(path), label) != label:
            found[_label_name(path)] = _Label(problem=f"several labels {path.name}, and they differ")
    return found


def _table(files: Sequence[Path]) -> dict[str, Row]:
    """Read dataset.csv by film, without its empty cells but for those of fracture_visible, where none means no."""
    path = min((path for path in files if path.name == TABLE), key=lambda path: len(path.parts), default=None)
    if path is None:
        return {}
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadValue(f"{path}: expected a table in UTF-8, got {error}") from error
    head = text.partition("\n")[0]
    table = csv.reader(io.StringIO(text, newline=""), delimiter=max(",;", key=head.count))
    columns = [column.strip() for column in next(table, [])]
    if "filestem" not in columns:
        raise BadValue(f"{path}: expected a column filestem, got {', '.join(columns)}")
    rows: dict[str, Row] = {}
    for number, cells in enumerate(filter(None, table), start=2):
        if len(cells) != len(columns):
            raise BadValue(f"{path} row {number}: expected {len(columns)} cells, got {len(cells)}")
        row = {column: _cell(cell) for column, cell in zip(columns, cells, strict=True)}
        stem = row.pop("filestem").removesuffix(".png")
        if stem in rows:
            raise BadValue(f"{path} row {number}: expected every film once, got {stem} again")
        rows[stem] = {column: cell for column, cell in row.items() if cell or column == "fracture_visible"}
    return rows


def _cell(text: str) -> str:
    """Give a cell as its shortest text: copies saved by other programs say 1.0 for 1 and 0,144 for 0.144."""
    text = text.strip()
    try:
        number = float(text.replace(",", "."))
    except ValueError:
        return text
    if not isfinite(number):
        return ""
    return str(int(number)) if number.is_integer() else str(number)
