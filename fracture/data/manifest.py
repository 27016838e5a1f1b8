"""The manifest: one CSV in every stage of a dataset, a row per film. Nothing about a film is kept anywhere else."""

import csv
import gc
import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from operator import itemgetter
from pathlib import Path
from sys import intern
from types import MappingProxyType

from fracture.core.errors import BadValue, MissingData
from fracture.core.types import SPLITS, Box, ImageRecord

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
_SHARED = 4096
_TRUTH: Mapping[str, bool | None] = MappingProxyType({"1": True, "0": False, "": None})
_TRUTH_CELL = {truth: cell for cell, truth in _TRUTH.items()}


@contextmanager
def no_cycles() -> Iterator[None]:
    """Pause the cycle collector, which would walk through a million records again and again and find nothing."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


@no_cycles()
def save(records: Sequence[ImageRecord], folder: Path) -> Path:
    """Write ``folder/manifest.csv`` in one step: a reader sees the old table or the new one, never half of one."""
    extra = sorted({_ATTRIBUTE + key for record in records for key in record.attributes})
    path = folder / NAME
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(
        "w", dir=folder, delete=False, newline="", encoding="utf-8", errors="backslashreplace"
    ) as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow([*COLUMNS, *extra])
        keys = [column.removeprefix(_ATTRIBUTE) for column in extra]
        for record in records:
            # The writer does not quote a lone carriage return, which ends the row for a reader.
            cells = _row(record) + [record.attributes.get(key, "") for key in keys]
            table.writerow([cell.replace("\r", "\\r") if "\r" in cell else cell for cell in cells])
    Path(file.name).chmod(0o644)
    os.replace(file.name, path)
    return path


@no_cycles()
def load(folder: Path) -> list[ImageRecord]:
    """Read ``folder/manifest.csv``. Raises MissingData without one, BadValue with row and column for a bad cell."""
    path = folder / NAME
    if not path.is_file():
        raise MissingData(f"no {NAME} in {folder}")
    records: list[ImageRecord] = []
    number = 1
    with path.open(newline="", encoding="utf-8") as file:
        table = csv.reader(file, strict=True)
        try:
            header = next(table, [])
            missing = [column for column in COLUMNS if column not in header]
            if missing:
                raise BadValue(f"expected the columns {', '.join(COLUMNS)}; missing: {', '.join(missing)}")
            pick = itemgetter(*map(header.index, COLUMNS))
            extra = [(i, name.removeprefix(_ATTRIBUTE)) for i, name in enumerate(header) if name.startswith(_ATTRIBUTE)]
            share: list[dict[str, str]] = [{} for _ in extra]
            for number, row in enumerate(table, start=2):  # noqa: B007 the row is named where it is refused
                if len(row) != len(header):
                    raise BadValue(f"expected {len(header)} cells, got {len(row)}")
                attributes = {key: _shared(seen, row[i]) for (i, key), seen in zip(extra, share, strict=True) if row[i]}
                records.append(_record(pick(row), attributes))
        except csv.Error as error:
            raise BadValue(f"{path} line {table.line_num}: expected a row of cells, got {error}") from error
        except UnicodeDecodeError as error:
            raise BadValue(f"{path} row {number + 1}: expected UTF-8 text, got {error.reason}") from error
        except BadValue as error:
            raise BadValue(f"{path} row {number}, {error}") from error
    check_unique(records)
    return records


def load_splits(path: Path) -> dict[str, str]:
    """Read which film stands in which part from any table with the columns image_id and split; image_id -> part.

    Films that are set aside or in no split are left out. Raises MissingData without the table, BadValue for a bad cell.
    """
    if not path.is_file():
        raise MissingData(f"no table of splits at {path}")
    parts: dict[str, str] = {}
    with path.open(newline="", encoding="utf-8-sig") as file:
        table = csv.DictReader(file)
        if not {"image_id", "split"} <= set(table.fieldnames or ()):
            raise BadValue(f"{path}: expected the columns image_id and split, got {table.fieldnames}")
        for number, row in enumerate(table, start=2):
            if row["split"] not in {*SPLITS, ""}:
                raise BadValue(
                    f"{path} row {number}, column split: expected one of {', '.join(SPLITS)}, got {row['split']!r}"
                )
            if row["split"] not in {"set_aside", ""}:
                parts[row["image_id"]] = row["split"]
    return parts


def merge(stages: Iterable[Sequence[ImageRecord]]) -> list[ImageRecord]:
    """Put several manifests into one. Raises BadValue where two films claim one id."""
    merged = [record for stage in stages for record in stage]
    check_unique(merged)
    return merged


def check_unique(records: Iterable[ImageRecord]) -> None:
    """Raise BadValue where two records share an image_id, or the file names made of their ids."""
    seen: dict[str, str] = {}
    for record in records:
        name = record.image_id.replace("/", "__")
        if name in seen:
            again = "twice" if seen[name] == record.image_id else f"beside {seen[name]!r}"
            raise BadValue(f"expected every image_id once, got {record.image_id!r} {again}")
        seen[name] = record.image_id


def to_cells(record: ImageRecord) -> dict[str, str]:
    """Give the record as a row of text, column -> cell."""
    cells = dict(zip(COLUMNS, _row(record), strict=True))
    return cells | {_ATTRIBUTE + key: value for key, value in record.attributes.items()}


def from_cells(row: Mapping[str, str]) -> ImageRecord:
    """Read a row of text back. Raises BadValue that names the column, KeyError for a missing one."""
    attributes = {key.removeprefix(_ATTRIBUTE): row[key] for key in row if row[key] and key.startswith(_ATTRIBUTE)}
    return _record([row[column] for column in COLUMNS], attributes)


def _shared(seen: dict[str, str], cell: str) -> str:
    """Keep one copy of a cell that repeats in many rows, such as a setting: a manifest may have a million rows."""
    known = seen.get(cell)
    if known is None:
        known = cell
        if len(seen) < _SHARED:
            seen[cell] = cell
    return known


def _row(record: ImageRecord) -> list[str]:
    """Give the record's cells in the order of COLUMNS."""
    width, height = record.size_px
    return [
        record.image_id,
        record.path,
        record.source,
        str(width),
        str(height),
        _joined(record.regions),
        record.patient_id or "",
        record.study_id or "",
        record.group_id or "",
        record.view or "",
        _TRUTH_CELL[record.fractured],
        _TRUTH_CELL[record.abnormal],
        "" if record.boxes is None else json.dumps(record.boxes) if record.boxes else "[]",
        _TRUTH_CELL[record.weak],
        _TRUTH_CELL[record.external],
        record.split or "",
        record.licence,
        record.attribution,
        _joined(record.flags),
    ]


def _record(cells: Sequence[str], attributes: Mapping[str, str]) -> ImageRecord:
    """Read cells in the order of COLUMNS back."""
    (image_id, path, source, width, height, regions, patient, study, group, view) = cells[:10]
    (fractured, abnormal, boxes, weak, external, split, licence, attribution, flags) = cells[10:]
    return ImageRecord(
        image_id=image_id,
        path=path,
        source=intern(source),
        size_px=(_whole("width_px", width), _whole("height_px", height)),
        regions=_set(regions),
        patient_id=patient or None,
        study_id=study or None,
        group_id=group or None,
        view=intern(view) or None,
        fractured=_truth("fractured", fractured),
        abnormal=_truth("abnormal", abnormal),
        boxes=_boxes(boxes),
        weak=bool(_truth("weak", weak)),
        external=bool(_truth("external", external)),
        split=intern(split) or None,
        licence=intern(licence),
        attribution=intern(attribution),
        flags=_set(flags),
        attributes=attributes,
    )


@lru_cache(_SHARED)
def _set(cell: str) -> frozenset[str]:
    return frozenset(filter(None, cell.split("|")))


@lru_cache(_SHARED)
def _joined(names: frozenset[str]) -> str:
    return "|".join(sorted(names))


def _whole(column: str, cell: str) -> int:
    if not cell.isdecimal():
        raise BadValue(f"column {column}: expected a whole number, got {cell!r}")
    return int(cell)


def _truth(column: str, cell: str) -> bool | None:
    if cell not in _TRUTH:
        raise BadValue(f"column {column}: expected 1, 0 or nothing, got {cell!r}")
    return _TRUTH[cell]


def _boxes(cell: str) -> tuple[Box, ...] | None:
    if not cell:
        return None
    if cell == "[]":
        return ()
    try:
        boxes = [[float(edge) for edge in box] for box in json.loads(cell)]
        return tuple((x0, y0, x1, y1) for x0, y0, x1, y1 in boxes)
    except (ValueError, TypeError) as error:
        raise BadValue(f"column boxes: expected a JSON list of [x0, y0, x1, y1], got {cell!r}") from error
