"""The manifest: one CSV beside every stage of a dataset, one row per film, nothing about a film kept anywhere else."""

import csv
import json
import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from fracture.errors import BadValue, MissingData
from fracture.types import Box, ImageRecord

NAME = "manifest.csv"
COLUMNS = (
    "image_id",
    "path",
    "source",
    "width_px",
    "height_px",
    "regions",
    "patient_id",
    "study_id",
    "group_id",
    "view",
    "fractured",
    "abnormal",
    "boxes",
    "weak",
    "external",
    "split",
    "licence",
    "attribution",
    "flags",
)
_ATTRIBUTE = "x_"
_TRUTH: Mapping[str, bool | None] = MappingProxyType({"1": True, "0": False, "": None})


def save(records: Sequence[ImageRecord], folder: Path) -> Path:
    """Write ``folder/manifest.csv`` in one step: a reader sees the old table or the new one, never half of one."""
    extra = sorted({_ATTRIBUTE + key for record in records for key in record.attributes})
    path = folder / NAME
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=folder, delete=False, newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, [*COLUMNS, *extra], restval="", lineterminator="\n")
        table.writeheader()
        table.writerows(to_cells(record) for record in records)
    Path(file.name).chmod(0o644)
    os.replace(file.name, path)
    return path


def load(folder: Path) -> list[ImageRecord]:
    """Read ``folder/manifest.csv``. Raises MissingData without one, BadValue with row and column for a bad cell."""
    path = folder / NAME
    if not path.is_file():
        raise MissingData(f"no {NAME} in {folder}")
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file, strict=True)
        missing = [column for column in COLUMNS if column not in (reader.fieldnames or ())]
        if missing:
            raise BadValue(f"{path}: expected the columns {', '.join(COLUMNS)}; missing: {', '.join(missing)}")
        try:
            rows = list(reader)
        except csv.Error as error:
            raise BadValue(f"{path} line {reader.line_num}: expected a row of cells, got {error}") from error
    records: list[ImageRecord] = []
    for number, row in enumerate(rows, start=2):
        if None in row or None in row.values():
            raise BadValue(f"{path} row {number}: expected a cell for every column, got fewer or more")
        records.append(from_cells(row, f"{path} row {number}"))
    check_unique(records)
    return records


def merge(stages: Iterable[Sequence[ImageRecord]]) -> list[ImageRecord]:
    """Put several manifests into one. Raises BadValue where two films claim one id."""
    merged = [record for stage in stages for record in stage]
    check_unique(merged)
    return merged


def check_unique(records: Iterable[ImageRecord]) -> None:
    """Raise BadValue where two records share an image_id."""
    seen: set[str] = set()
    for record in records:
        if record.image_id in seen:
            raise BadValue(f"expected every image_id once, got {record.image_id!r} twice")
        seen.add(record.image_id)


def to_cells(record: ImageRecord) -> dict[str, str]:
    """Give the record as a row of text, column -> cell."""
    return {
        "image_id": record.image_id,
        "path": record.path,
        "source": record.source,
        "width_px": str(record.size_px[0]),
        "height_px": str(record.size_px[1]),
        "regions": "|".join(sorted(record.regions)),
        "patient_id": record.patient_id or "",
        "study_id": record.study_id or "",
        "group_id": record.group_id or "",
        "view": record.view or "",
        "fractured": _truth_text(record.fractured),
        "abnormal": _truth_text(record.abnormal),
        "boxes": "" if record.boxes is None else json.dumps(record.boxes),
        "weak": _truth_text(record.weak),
        "external": _truth_text(record.external),
        "split": record.split or "",
        "licence": record.licence,
        "attribution": record.attribution,
        "flags": "|".join(sorted(record.flags)),
    } | {_ATTRIBUTE + key: value for key, value in record.attributes.items()}


def _truth_text(value: bool | None) -> str:
    return "" if value is None else str(int(value))


def from_cells(row: Mapping[str, str], where: str) -> ImageRecord:
    """Read a row of text back. Raises BadValue that names ``where`` and the column."""
    return ImageRecord(
        image_id=row["image_id"],
        path=row["path"],
        source=row["source"],
        size_px=(_whole(row, "width_px", where), _whole(row, "height_px", where)),
        regions=frozenset(row["regions"].split("|")),
        patient_id=row["patient_id"] or None,
        study_id=row["study_id"] or None,
        group_id=row["group_id"] or None,
        view=row["view"] or None,
        fractured=_truth(row, "fractured", where),
        abnormal=_truth(row, "abnormal", where),
        boxes=_boxes(row, where),
        weak=bool(_truth(row, "weak", where)),
        external=bool(_truth(row, "external", where)),
        split=row["split"] or None,
        licence=row["licence"],
        attribution=row["attribution"],
        flags=frozenset(filter(None, row["flags"].split("|"))),
        attributes={key.removeprefix(_ATTRIBUTE): row[key] for key in row if key.startswith(_ATTRIBUTE) and row[key]},
    )


def _whole(row: Mapping[str, str], column: str, where: str) -> int:
    if not row[column].isdecimal():
        raise BadValue(f"{where}, column {column}: expected a whole number, got {row[column]!r}")
    return int(row[column])


def _truth(row: Mapping[str, str], column: str, where: str) -> bool | None:
    if row[column] not in _TRUTH:
        raise BadValue(f"{where}, column {column}: expected 1, 0 or nothing, got {row[column]!r}")
    return _TRUTH[row[column]]


def _boxes(row: Mapping[str, str], where: str) -> tuple[Box, ...] | None:
    if not row["boxes"]:
        return None
    try:
        boxes = [[float(edge) for edge in box] for box in json.loads(row["boxes"])]
        return tuple((x0, y0, x1, y1) for x0, y0, x1, y1 in boxes)
    except (ValueError, TypeError) as error:
        raise BadValue(
            f"{where}, column boxes: expected a JSON list of [x0, y0, x1, y1], got {row['boxes']!r}"
        ) from error
