"""Films sorted into folders that are named by class: a person's own, or a set made for classifiers.

Layout: any tree of folders; a film's class is the name of the folder it lies in, such as ``test/fractured/7.png``.
Nobody drew on these films: one of a fracture class is fractured and has no boxes, any other is normal. What is said
about patients and regions stands in films.csv, see `fracture.data.sources.annotated`.
"""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from fracture.core.errors import BadValue
from fracture.data.ingest import Claim, Provenance
from fracture.data.labels import Sorted
from fracture.data.sources.annotated import SIDECAR, Facts, Films, native_ids, read_sidecar
from fracture.data.sources.yolo_folders import export_split, original


def claims(images: Path, about: Provenance) -> Iterator[Claim]:
    """Give one claim per film below ``images``.

    Raises, before the first claim, MissingData without films, and BadValue where a fracture class is the name of no
    folder, where every folder is one, where films lie beside the folders, and for a bad films.csv.
    """
    if about.classes.index is not None:
        raise BadValue(f"expected fracture classes by name, for folders have no indices, got {about.classes.index}")
    films = Films.below(images)
    every = sorted(films.files.keys() | films.unread.keys())
    classes = {film: PurePosixPath(film).parent.name for film in every}
    if loose := [film for film, name in classes.items() if not name]:
        raise BadValue(f"expected every film in a folder that is named by its class, got {loose[0]!r} in {images}")
    fractures = about.classes.of(sorted(set(classes.values())))
    if fractures == set(classes.values()) and not about.classes.everything:
        raise BadValue(f"expected a folder of films without a fracture too, got {', '.join(sorted(fractures))} alone")
    rows = read_sidecar(films)
    ids = native_ids(sorted(classes.keys() | rows.keys()))
    return (
        _claim(films, film, name, classes.get(film), rows.get(film), fractures, about) for film, name in ids.items()
    )


def _claim(
    films: Films,
    film: str,
    native: str,
    kind: str | None,
    row: Facts | None,
    fractures: frozenset[str],
    about: Provenance,
) -> Claim:
    facts = row or Facts()
    fractured = kind in fractures
    counted = {kind: 1} if kind else {}
    problem = f"cannot be looked at: {films.unread[film]}" if film in films.unread else None
    if kind is None:
        problem = f"named in {SIDECAR}, no film on disk"
    file = films.files.get(film, films.folder / film)
    return about.claim(
        native,
        file,
        Sorted((), counted if fractured else {}, {} if fractured else counted),
        looked=kind is not None,
        fractured=fractured if kind else None,
        boxes=() if kind and not fractured else None,
        family=original(file),
        attributes=export_split(file, films.folder) | dict(facts.attributes),
        problem=problem,
        **facts.known(),
    )
