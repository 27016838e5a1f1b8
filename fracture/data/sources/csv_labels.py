"""Films that a table labels as a whole: nobody drew on them, so no detector learns from them, but a classifier does.

The table has a row per film: ``file`` (its path from the folder), and ``fractured`` or ``abnormal`` (1 or 0, true or
false, yes or no; empty where nobody can say), or ``label``, a class: the flags say which are fractures, ``unknown`` and
none are what they say, and any other is a film without a fracture. It may have what films.csv may have, which may stand
beside it, see `fracture.data.sources.annotated`, such as ``patient_id`` and ``region``; a column ``fracture_type`` is
what a classifier's head of types learns from.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from fracture.core.errors import BadValue
from fracture.data.ingest import Claim, Provenance
from fracture.data.labels import Sorted
from fracture.data.sources.annotated import SIDECAR, Facts, Films, native_ids, read_facts, read_rows, read_sidecar
from fracture.data.sources.yolo_folders import export_split, original

FRACTURED, ABNORMAL, LABEL = LABELS = ("fractured", "abnormal", "label")
_UNKNOWN = "unknown"
_SAID = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False, "": None}


def claims(images: Path, table: Path, about: Provenance) -> Iterator[Claim]:
    """Give one claim per film below ``images`` and per row of the table that names none.

    Raises, before the first claim, MissingData without films, and BadValue for a table that labels nothing, a cell that
    is none of the words above, and classes by number.
    """
    if about.classes.index is not None:
        raise BadValue(f"expected fracture classes by name, for a table has no indices, got {about.classes.index}")
    films = Films.below(images)
    rows = read_rows(films, table, LABELS)
    named = sorted({row[LABEL] for _, row in rows.values() if row.get(LABEL)})
    fractures = about.classes.of(named) if named else frozenset()
    said = {film: _said(row, where, fractures) for film, (where, row) in rows.items()}
    facts = _facts(films, rows, table)
    ids = native_ids(sorted(films.files.keys() | films.unread.keys() | rows.keys() | facts.keys()))
    labels = {film: row.get(LABEL, "") for film, (_, row) in rows.items()}
    return (
        _claim(films, film, native, facts.get(film, Facts()), labels.get(film), said.get(film), about, table)
        for film, native in ids.items()
    )


def _facts(films: Films, rows: Mapping[str, tuple[str, dict[str, str]]], table: Path) -> dict[str, Facts]:
    """Give what the table and films.csv say of films besides their labels. Raises BadValue where they differ."""
    beside = {} if table.resolve() == (films.folder / SIDECAR).resolve() else read_sidecar(films)
    found = dict(beside)
    for film, (where, row) in rows.items():
        said = read_facts({column: cell for column, cell in row.items() if column not in LABELS}, where)
        other = beside.get(film, Facts())
        both = [one.known() | dict(one.attributes) for one in (said, other)]
        if differ := sorted(name for name in both[0].keys() & both[1].keys() if both[0][name] != both[1][name]):
            told = ", ".join(f"{name} {both[0][name]!r} and {both[1][name]!r}" for name in differ)
            raise BadValue(f"{where}: expected what {SIDECAR} says of {film!r} too, got {told}")
        known = other.known() | said.known()
        found[film] = Facts(**known, attributes={**other.attributes, **said.attributes})
    return found


def _said(row: Mapping[str, str], where: str, fractures: frozenset[str]) -> tuple[bool | None, bool | None, str | None]:
    """Give whether a film is fractured, whether it is abnormal, and what contradicts itself."""
    told = {}
    for column in (FRACTURED, ABNORMAL):
        cell = row.get(column, "").lower()
        if cell not in _SAID:
            raise BadValue(f"{where}, column {column}: expected 1 or 0, true or false, yes or no, got {row[column]!r}")
        told[column] = _SAID[cell]
    label, abnormal = row.get(LABEL), told[ABNORMAL]
    by_label = label in fractures if label and label.lower() != _UNKNOWN else None
    both = {one for one in (told[FRACTURED], by_label) if one is not None}
    if len(both) > 1:
        return None, abnormal, f"labelled {label!r}, and fractured={row[FRACTURED]}"
    fractured = both.pop() if both else None
    if fractured and abnormal is False:
        return None, None, "fractured, and not abnormal"
    # A fracture is abnormal, and a normal film has none; an abnormal one may have something else.
    return (False if abnormal is False else fractured), (True if fractured else abnormal), None


def _claim(
    films: Films,
    film: str,
    native: str,
    facts: Facts,
    label: str | None,
    said: tuple[bool | None, bool | None, str | None] | None,
    about: Provenance,
    table: Path,
) -> Claim:
    fractured, abnormal, problem = said or (None, None, None)
    if film in films.unread:
        problem = f"cannot be looked at: {films.unread[film]}"
    elif film not in films.files:
        problem = f"named in {table.name if said else SIDECAR}, no film on disk"
    file = films.files.get(film, films.folder / film)
    counted = {label: 1} if label else {}
    return about.claim(
        native,
        file,
        Sorted((), counted if fractured else {}, {} if fractured else counted),
        looked=fractured is not None,
        fractured=fractured,
        boxes=() if fractured is False else None,
        abnormal=abnormal,
        family=original(file),
        attributes=export_split(file, films.folder) | dict(facts.attributes),
        notes=() if said else (f"not in {table.name}",),
        problem=problem,
        **facts.known(),
    )
