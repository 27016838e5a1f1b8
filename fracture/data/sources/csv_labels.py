"""Films that a table labels as a whole: nobody drew on them, so no detector learns from them, but a classifier does.

The table has a row per film: ``file`` (its path from the folder), and ``fractured`` or ``abnormal`` (1 or 0, true or
false, yes or no; empty where nobody can say), or ``label``, a class of which the flags say which are fractures. It may
have what films.csv may have, see `fracture.data.sources.annotated`, such as ``patient_id`` and ``region``; a column
``fracture_type`` is what a classifier's head of types learns from.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from fracture.core.errors import BadValue
from fracture.data.ingest import Claim, Provenance
from fracture.data.labels import Sorted
from fracture.data.sources.annotated import Films, native_ids, read_facts, read_rows
from fracture.data.sources.yolo_folders import export_split, original

FRACTURED, ABNORMAL, LABEL = LABELS = ("fractured", "abnormal", "label")
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
    columns = {column for _, row in rows.values() for column in row}
    if not columns & set(LABELS):
        raise BadValue(f"{table}: expected a column out of {', '.join(LABELS)}, got {', '.join(sorted(columns))}")
    named = sorted({row[LABEL] for _, row in rows.values() if row.get(LABEL)})
    fractures = about.classes.of(named) if LABEL in columns else frozenset()
    said = {film: _said(row, where, fractures) for film, (where, row) in rows.items()}
    ids = native_ids(sorted(films.files.keys() | films.unread.keys() | rows.keys()))
    return (_claim(films, film, native, rows.get(film), said.get(film), about, table) for film, native in ids.items())


def _said(row: Mapping[str, str], where: str, fractures: frozenset[str]) -> tuple[bool | None, bool | None, str | None]:
    """Give whether a film is fractured, whether it is abnormal, and what contradicts itself."""
    told = {}
    for column in (FRACTURED, ABNORMAL):
        cell = row.get(column, "").lower()
        if cell not in _SAID:
            raise BadValue(f"{where}, column {column}: expected 1 or 0, true or false, yes or no, got {row[column]!r}")
        told[column] = _SAID[cell]
    label, abnormal = row.get(LABEL), told[ABNORMAL]
    by_label = label in fractures if label else None
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
    found: tuple[str, dict[str, str]] | None,
    said: tuple[bool | None, bool | None, str | None] | None,
    about: Provenance,
    table: Path,
) -> Claim:
    where, row = found or ("", {})
    fractured, abnormal, problem = said or (None, None, None)
    facts = read_facts({column: cell for column, cell in row.items() if column not in LABELS}, where)
    if film in films.unread:
        problem = f"cannot be looked at: {films.unread[film]}"
    elif film not in films.files:
        problem = f"named in {table.name}, no film on disk"
    file = films.files.get(film, films.folder / film)
    label = row.get(LABEL)
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
        notes=() if found else (f"not in {table.name}",),
        problem=problem,
        **facts.known(),
    )
