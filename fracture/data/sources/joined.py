"""A person's own films joined with what was drawn on them, whatever the format of the annotations: one set of rules.

A film that is annotated and shows nothing but other objects is normal. One that is annotated with nothing at all is
normal too, unless the set is said to hold fractured films only. One that no annotation names is unknown.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from fracture.core.errors import MissingData
from fracture.core.folders import Tree
from fracture.data.ingest import Claim, Provenance
from fracture.data.labels import Drawn, Sorted, sort_out
from fracture.data.names import fold
from fracture.data.sources.annotated import SIDECAR, Facts, Films, Meant, absent, few, inside, native_ids, read_sidecar
from fracture.data.sources.yolo_folders import export_split, original

UNSAID = "no annotation names it: nobody looked"


class Truth(Enum):
    """What somebody says of a whole film, besides what is drawn on it."""

    FRACTURED = "fractured"
    NORMAL = "normal"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Annotation:
    """What one entry of an annotation file says about one film; ``film`` is what `Films.key` calls it.

    ``truth`` counts more than what an empty label means; it is None where nothing is said of the film as a whole.
    """

    film: str
    size_px: tuple[int, int] | None = None
    drawn: tuple[Drawn, ...] = ()
    facts: Facts | None = None
    problem: str | None = None
    truth: Truth | None = None


def settle(films: Films, listed: Sequence[tuple[str, Meant, Annotation]]) -> list[Annotation]:
    """Match annotations to films. ``listed`` has names, the films that each may mean, and its annotation.

    A path that leads to a film means that film. Any other name must mean one film only and be the only name that means
    it; else every film it may mean is a problem. Raises MissingData where no name means any film.
    """
    if listed and not any(meant.films for _, meant, _ in listed):
        names = few(sorted({name for name, _, _ in listed}))
        raise MissingData(
            f"expected the films that the annotations name in {films.folder}, found none of them: {names}"
        )
    sure = {film for _, meant, _ in listed for film in meant.films if meant.sure}
    rivals: defaultdict[str, set[str]] = defaultdict(set)
    for name, meant, _ in listed:
        for film in meant.films:
            rivals[film].add(fold(absent(name)))
    settled: list[Annotation] = []
    for name, meant, annotation in listed:
        free = [film for film in meant.films if meant.sure or film not in sure]
        if len(free) == len(meant.films) == 1 and (meant.sure or len(rivals[free[0]]) == 1):
            settled.append(replace(annotation, film=free[0]))
        elif free:
            others = "" if len(meant.films) == 1 else f": it could be any of {few(sorted(meant.films))}"
            problem = f"not certain that {name!r} means this film, for another shares the name{others}"
            settled += [Annotation(film, problem=problem) for film in free]
        else:
            settled.append(replace(annotation, film=absent(name)))
    return settled


def claim_films(
    films: Films, annotations: Iterable[Annotation], fractures: frozenset[str], about: Provenance
) -> Iterator[Claim]:
    """Give one claim per film that is on disk, annotated or named in films.csv, whichever it is.

    Raises BadValue, before the first claim, for a bad films.csv and for two films that would share a file in a stage.
    """
    entries: defaultdict[str, list[Annotation]] = defaultdict(list)
    entries |= {film: [Annotation(film, problem=f"cannot be looked at: {why}")] for film, why in films.unread.items()}
    for annotation in annotations:
        entries[annotation.film].append(annotation)
    rows = read_sidecar(films)
    ids = native_ids(sorted(films.files.keys() | entries.keys() | rows.keys()))
    return (_claim(films, film, name, entries[film], rows.get(film), fractures, about) for film, name in ids.items())


def unread(labels: Tree) -> list[Annotation]:
    """Give the annotations that could not be opened. Nobody knows which films they are for."""
    return [
        Annotation(inside(one.path, labels.root), problem=f"annotations that cannot be looked at: {one.reason}")
        for one in labels.unread
        if one.path != labels.root
    ]


def _claim(
    films: Films,
    film: str,
    native: str,
    annotations: Sequence[Annotation],
    row: Facts | None,
    fractures: frozenset[str],
    about: Provenance,
) -> Claim:
    objects = sort_out((drawn for annotation in annotations for drawn in annotation.drawn), fractures)
    facts, notes = _agree([facts for facts in (*(annotation.facts for annotation in annotations), row) if facts])
    sizes = sorted({annotation.size_px for annotation in annotations if annotation.size_px})
    problems = [annotation.problem for annotation in annotations if annotation.problem]
    truth = _truth(annotations, objects, problems)
    empty_is_normal = about.empty_is_normal if truth is None else truth is Truth.NORMAL
    looked = bool(annotations) and not problems and (empty_is_normal or (truth is None and bool(objects.dropped)))
    told: dict[str, Any] = facts.known()
    if truth is Truth.FRACTURED and not objects.boxes and not problems:
        told |= {"fractured": True, "boxes": None}  # fractured, and nobody drew where
    if not annotations:
        notes.append(UNSAID)
    if len(sizes) > 1:
        problems.append(f"annotated several times, on {' and '.join(f'{w} x {h} px' for w, h in sizes)}")
    if film not in films.files and film not in films.unread:
        problems.append(f"{'annotated' if annotations else f'named in {SIDECAR}'}, no film on disk")
    file = films.files.get(film, films.folder / film)
    return about.claim(
        native,
        file,
        objects,
        looked=looked or bool(objects.boxes),
        claimed_px=sizes[0] if sizes else None,
        family=original(file),
        attributes=export_split(file, films.folder) | dict(facts.attributes),
        notes=tuple(notes),
        problem="; ".join(problems) or None,
        **told,
    )


def _truth(annotations: Sequence[Annotation], objects: Sorted, problems: list[str]) -> Truth | None:
    """Give what is said of a film as a whole; statements that contradict each other or the boxes are a problem."""
    said = {annotation.truth for annotation in annotations if annotation.truth}
    if len(said) > 1:
        problems.append(f"called {' and '.join(sorted(truth.value for truth in said))}")
        return None
    truth = next(iter(said), None)
    if objects.boxes and truth not in {None, Truth.FRACTURED}:
        problems.append(f"called {truth.value}, and {len(objects.boxes)} fractures are drawn on it")
    return truth


def _agree(statements: Sequence[Facts]) -> tuple[Facts, list[str]]:
    """Merge what is said about one film. Where statements differ the last one counts, and a note says so."""
    said: dict[str, Any] = {}
    attributes: dict[str, str] = {}
    notes: list[str] = []
    for facts in statements:
        known = facts.known()
        differing = [name for name, value in known.items() if said.get(name, value) != value]
        notes += [f"{name} is stated twice and differs: the later counts, {SIDECAR} last" for name in differing]
        said |= known
        attributes |= facts.attributes
    return Facts(**said, attributes=attributes), notes
