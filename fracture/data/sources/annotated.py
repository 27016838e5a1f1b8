"""A person's own films, however they are annotated: found, named, and what their films.csv says about them.

Films are all files below one folder that are not plainly something else; what they are is decided by their content. An
id is the file's path from that folder without its suffix, or with it where two files would share an id.

``films.csv`` in that folder, comma or semicolon separated, may say more about a film than the annotations do, a row per
film: ``file`` (its path from the folder), ``patient_id``, ``study_id`` (one that no other patient has), ``view``,
``region`` (one or more of `fracture.types.REGIONS`, separated by ``|``), ``sequence`` (its number in the order of
examination). Every other column becomes an attribute.
"""

import csv
import io
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path, PurePosixPath
from typing import Any

from fracture.data.manifest import COLUMNS
from fracture.errors import BadValue, MissingData
from fracture.types import REGIONS, SPLITS

SIDECAR = "films.csv"

_NOT_FILMS = {".txt", ".csv", ".json", ".jsonl", ".xml", ".yaml", ".yml", ".md", ".cache"}
_WRITTEN_BY_INGEST = {"family", "harmonise_id", "notes", "pixel_sha256", "reason"}


@dataclass(frozen=True)
class Facts:
    """What is said about a film besides what is drawn on it. None where nothing is."""

    patient_id: str | None = None
    study_id: str | None = None
    view: str | None = None
    regions: frozenset[str] | None = None
    sequence: int | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)

    def known(self) -> dict[str, Any]:
        """Give what is said, attributes aside, by the name that a claim has for it."""
        said = {entry.name: getattr(self, entry.name) for entry in fields(self) if entry.name != "attributes"}
        return {name: value for name, value in said.items() if value is not None}


@dataclass(frozen=True)
class Films:
    """The films below a folder, by their path from there: ``/`` between folders, Unicode composed (NFC)."""

    folder: Path
    files: Mapping[str, Path]

    @classmethod
    def below(cls, folder: Path) -> "Films":
        """Find the films of a folder. Raises MissingData where there are none."""
        found: dict[str, Path] = {}
        for path in sorted(folder.rglob("*")):
            inside = path.relative_to(folder)
            # Names that begin with a dot are leavings of systems and archives, "._x.png" among them.
            hidden = any(part[0] == "." for part in inside.parts)
            if not hidden and path.suffix.lower() not in _NOT_FILMS and path.is_file():
                found[inside.as_posix()] = path
        if not found:
            raise MissingData(f"expected films in {folder}, found none")
        return cls(folder, {raw if (name := _composed(raw)) in found else name: path for raw, path in found.items()})

    def key(self, name: str, *others: Path) -> str:
        """Give the film that a name in a file means, relative to the folder or else to one of ``others``.

        A name that means no film below the folder is a key too, of a film that is not there.
        """
        name = name.replace("\\", "/")
        folder = Path(os.path.normpath(self.folder.absolute()))
        for start in (folder, *others):
            path = Path(os.path.normpath(start.absolute() / name))
            if path.is_relative_to(folder) and (key := _composed(path.relative_to(folder).as_posix())) in self.files:
                return key
        return _composed(_inside(name))


def native_ids(films: Sequence[str]) -> dict[str, str]:
    """Name films by their paths without suffix; those that would share a name keep it.

    Raises BadValue where even so two names are one in a folder without folders, where ``/`` becomes ``__``.
    """
    whole = {film: _inside(film) for film in films}
    names = {film: str(PurePosixPath(name).with_suffix("")) for film, name in whole.items()}
    while clash := {film for film, count in _sharing(names).items() if count > 1 and names[film] != whole[film]}:
        names |= {film: whole[film] for film in clash}
    for film, count in _sharing(names).items():
        if count > 1:
            raise BadValue(f"expected names that differ by more than '/' and '__', got {names[film]!r}; rename a film")
    return names


def read_regions(text: str, where: str) -> frozenset[str]:
    """Read one or more regions, separated by ``|`` or a comma. Raises BadValue that begins with ``where``."""
    regions = frozenset(part.strip().lower() for part in re.split(r"[|,;]", text) if part.strip())
    if not regions or not regions <= set(REGIONS):
        raise BadValue(f"{where}: expected regions out of {', '.join(REGIONS)}, got {text!r}")
    return regions


def read_sidecar(films: Films) -> dict[str, Facts]:
    """Read films.csv, where there is one, by film. Raises BadValue with row and column for a cell that is wrong."""
    path = films.folder / SIDECAR
    if not path.is_file():
        return {}
    try:
        text = path.read_text(encoding="utf-8-sig")
        head = text.partition("\n")[0]
        table = csv.reader(
            io.StringIO(text, newline=""), delimiter=max(",;", key=head.count), strict=True, skipinitialspace=True
        )
        columns, *rows = list(table) or [[]]
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadValue(f"{path}: expected a table in UTF-8, its cells separated by ',' or ';', got {error}") from error
    columns = [column.strip().lower() for column in columns]
    _check_columns(columns, path)
    found: dict[str, Facts] = {}
    for number, cells in enumerate(rows, start=2):
        if not any(cell.strip() for cell in cells):
            continue
        where = f"{path} row {number}"
        if len(cells) != len(columns):
            raise BadValue(f"{where}: expected {len(columns)} cells, got {len(cells)}")
        row = {column: cell.strip() for column, cell in zip(columns, cells, strict=True)}
        if not _inside(row["file"]):
            raise BadValue(f"{where}, column file: expected a film's path from {films.folder}, got {row['file']!r}")
        film = films.key(row.pop("file"))
        if film in found:
            raise BadValue(f"{where}, column file: expected every film once, got {film!r} again")
        found[film] = read_facts(row, where)
    return found


def read_facts(row: Mapping[str, str], where: str) -> Facts:
    """Read what a row of text says, column -> cell; an empty cell says nothing. Raises BadValue with the column."""
    said = {column: cell for column, cell in row.items() if cell}
    regions = "|".join(said.pop(column) for column in ("region", "regions") if column in said)
    sequence = said.pop("sequence", None)
    if sequence is not None and not sequence.isdecimal():
        raise BadValue(f"{where}, column sequence: expected a whole number, got {sequence!r}")
    if said.get("official_split", "train") not in SPLITS[:3]:
        raise BadValue(
            f"{where}, column official_split: expected {', '.join(SPLITS[:3])}, got {said['official_split']!r}"
        )
    return Facts(
        patient_id=said.pop("patient_id", None),
        study_id=said.pop("study_id", None),
        view=said.pop("view", None),
        regions=read_regions(regions, f"{where}, column region") if regions else None,
        sequence=None if sequence is None else int(sequence),
        attributes=said,
    )


def _check_columns(columns: Sequence[str], path: Path) -> None:
    known = {field.name for field in fields(Facts)} - {"attributes"} | {"region"}
    taken = sorted(set(columns) & ((set(COLUMNS) - known) | _WRITTEN_BY_INGEST))
    if taken:
        raise BadValue(f"{path}: the names {', '.join(taken)} mean something else in a manifest; rename these columns")
    if "file" not in columns or "" in columns or len(set(columns)) < len(columns):
        raise BadValue(f"{path}: expected a column file and a name of its own for every column, got {columns}")


def _sharing(names: Mapping[str, str]) -> dict[str, int]:
    """Tell of every film how many films have its name once ``/`` is ``__``, as in the label folder of a stage."""
    flat = {film: name.replace("/", "__") for film, name in names.items()}
    counts = Counter(flat.values())
    return {film: counts[name] for film, name in flat.items()}


def _inside(name: str) -> str:
    """Give a name as a path that stays inside its folder."""
    return "/".join(part for part in name.replace("\\", "/").split("/") if part not in {"", ".", ".."})


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)
