"""A person's own films, however they are annotated: found, named, and what their films.csv says about them.

Films are all files below one folder that are not plainly something else; what they are is decided by their content. An
id is the file's path from that folder without its suffix, or with it where two files would share an id.

``films.csv`` in that folder, comma or semicolon separated, may say more about a film than the annotations do, a row per
film: ``file`` (its path from the folder), ``patient_id``, ``study_id`` (one that no other patient has), ``view``,
``region`` (one or more of `fracture.core.types.REGIONS`, separated by ``|``), ``sequence`` (its number in the order of
examination). Every other column becomes an attribute.
"""

import csv
import io
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from fracture.core.errors import BadValue, MissingData
from fracture.core.files import file_hash
from fracture.core.folders import may_be_film, walk
from fracture.core.types import REGIONS, SPLITS
from fracture.data.manifest import COLUMNS
from fracture.data.names import Names, ends, stem

SIDECAR = "films.csv"

_WRITTEN_BY_INGEST = {"family", "harmonise_id", "notes", "pixel_sha256", "reason"}


@dataclass(frozen=True)
class Facts:
    """What is said about a film besides what is drawn on it; None where nothing is said."""

    patient_id: str | None = None
    study_id: str | None = None
    view: str | None = None
    regions: frozenset[str] | None = None
    sequence: int | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)

    def known(self) -> dict[str, Any]:
        """Give what is said, without the attributes, by a claim's names for it."""
        said = {entry.name: getattr(self, entry.name) for entry in fields(self) if entry.name != "attributes"}
        return {name: value for name, value in said.items() if value is not None}


@dataclass(frozen=True)
class Meant:
    """The films that a name in a file may mean. It is ``sure`` where the name is a path from the folder or the file."""

    films: tuple[str, ...]
    sure: bool = False


@dataclass(frozen=True)
class Films:
    """The films below a folder, by their path from there: ``/`` between folders, Unicode composed (NFC).

    ``unread`` says of what else may be a film, or a folder of films, why it could not be looked at.
    """

    folder: Path
    files: Mapping[str, Path]
    unread: Mapping[str, str] = field(default_factory=dict)
    again: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def below(cls, folder: Path) -> "Films":
        """Find the films of a folder. Raises MissingData where there are none."""
        tree = walk(folder)
        found = {path.relative_to(folder).as_posix(): path for path in tree.films}
        if not found:
            raise MissingData(f"expected films in {folder}, found none{tree.why}")
        files = {raw if (name := _composed(raw)) in found else name: path for raw, path in found.items()}
        keys = {path: key for key, path in files.items()}
        return cls(
            folder,
            files,
            {inside(one.path, folder): one.reason for one in tree.unread if may_be_film(one.path)},
            {inside(link, folder): keys[path] for link, path in tree.again.items() if path in keys},
        )

    def find(self, name: str, *others: Path) -> Meant:
        """Give the films that a name in a file may mean, relative to the folder or else to one of ``others``."""
        folder = Path(os.path.normpath(self.folder.absolute()))
        for start in (folder, *others):
            path = Path(os.path.normpath(start.absolute() / name.replace("\\", "/")))
            key = _composed(path.relative_to(folder).as_posix()) if path.is_relative_to(folder) else ""
            if key in self.files or key in self.again:
                return Meant((self.again.get(key, key),), sure=True)
        return Meant(self.names.find(name))

    def of_content(self, sha256: str) -> Sequence[str]:
        """Give the films whose file has this SHA-256."""
        return self._contents.get(sha256.lower(), ())

    @cached_property
    def _contents(self) -> Mapping[str, Sequence[str]]:
        found: dict[str, list[str]] = {}
        for key, path in self.files.items():
            with suppress(OSError):  # a film that cannot be read is told of when it is decoded
                found.setdefault(file_hash(path), []).append(key)
        return found

    def key(self, name: str) -> str:
        """Give the key of the film that a name means. A name that means no film gets the key of an `absent` one.

        Raises BadValue, naming them, where several films share the name.
        """
        found = self.find(name).films
        if len(found) > 1:
            raise BadValue(f"{name!r} could be any of {len(found)} films: {few(found)}")
        return found[0] if found else absent(name)

    @cached_property
    def names(self) -> Names:
        """Give the films by the names that they may have elsewhere."""
        paths = {key: [key] for key in self.files}
        for link, key in self.again.items():
            paths[key].append(link)
        every = {key: [end for path in known for end in ends(path)] for key, known in paths.items()}
        return Names({key: (paths[key], every[key], map(stem, every[key])) for key in paths})


def inside(path: Path, folder: Path) -> str:
    """Give a path from a folder as `Films` spells it."""
    return _composed(path.relative_to(folder).as_posix())


def absent(name: str) -> str:
    """Give the key of a film that is missing or not certain: its name, as a path that stays in the folder."""
    return _composed(_inside(name))


def few(names: Sequence[str]) -> str:
    """Give the first few of some names, quoted."""
    return ", ".join(map(repr, names[:5])) + (" ..." if len(names) > 5 else "")


def native_ids(films: Sequence[str]) -> dict[str, str]:
    """Name films by their paths without suffix; those that would share a name keep it.

    In a folder without folders ``/`` becomes ``__``. Ingest tells names apart that are the same even so.
    """
    whole = {film: _inside(film) for film in films}
    names = {film: str(PurePosixPath(name).with_suffix("")) if name else "" for film, name in whole.items()}
    while clash := {film for film, count in _sharing(names).items() if count > 1 and names[film] != whole[film]}:
        names |= {film: whole[film] for film in clash}
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
    return {film: read_facts(row, where) for film, (where, row) in read_rows(films, path).items()}


def read_rows(films: Films, path: Path, labels: Sequence[str] = ()) -> dict[str, tuple[str, dict[str, str]]]:
    """Read a table of films: by film, where its row stands and its cells by column, in small letters.

    ``labels`` are columns that it may have although they mean something in a manifest, one of them at least. Raises
    BadValue with row and column where a row is not of its columns, or names no film, several, or one again.
    """
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
    _check_columns(columns, path, labels)
    found: dict[str, tuple[str, dict[str, str]]] = {}
    for number, cells in enumerate(rows, start=2):
        if not any(cell.strip() for cell in cells):
            continue
        where = f"{path} row {number}"
        if len(cells) != len(columns):
            raise BadValue(f"{where}: expected {len(columns)} cells, got {len(cells)}")
        row = {column: cell.strip() for column, cell in zip(columns, cells, strict=True)}
        if not _inside(row["file"]):
            raise BadValue(f"{where}, column file: expected a film's path from {films.folder}, got {row['file']!r}")
        try:
            film = films.key(row.pop("file"))
        except BadValue as error:
            raise BadValue(f"{where}, column file: {error}") from error
        if film in found:
            raise BadValue(f"{where}, column file: expected every film once, got {film!r} again")
        found[film] = where, row
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


def _check_columns(columns: Sequence[str], path: Path, labels: Sequence[str]) -> None:
    known = {field.name for field in fields(Facts)} - {"attributes"} | {"region", *labels}
    taken = sorted(set(columns) & ((set(COLUMNS) - known) | _WRITTEN_BY_INGEST))
    if taken:
        raise BadValue(f"{path}: the names {', '.join(taken)} mean something else in a manifest; rename these columns")
    if labels and not set(columns) & set(labels):
        raise BadValue(f"{path}: expected a column out of {', '.join(labels)}, got {', '.join(columns)}")
    if "file" not in columns or "" in columns or len(set(columns)) < len(columns):
        raise BadValue(f"{path}: expected a column file and a name of its own for every column, got {columns}")


def _sharing(names: Mapping[str, str]) -> dict[str, int]:
    """Count, for every film, the films with its name once ``/`` is ``__``, as in the label folder of a stage."""
    flat = {film: name.replace("/", "__") for film, name in names.items()}
    counts = Counter(flat.values())
    return {film: counts[name] for film, name in flat.items()}


def _inside(name: str) -> str:
    """Give a name as a path that stays inside its folder."""
    return "/".join(part for part in name.replace("\\", "/").split("/") if part not in {"", ".", ".."})


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)
