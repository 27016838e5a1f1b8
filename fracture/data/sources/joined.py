"""A person's own films joined with what was drawn on them, whatever the format of the annotations: one set of rules.

A film that is annotated and shows nothing but other objects is normal. One that is annotated with nothing at all is
normal too, unless the set is said to hold fractured films only. One that no annotation names is unknown.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from fracture.data.ingest import Claim, Provenance
from fracture.data.labels import Drawn, sort_out
from fracture.data.sources.annotated import SIDECAR, Facts, Films, native_ids, read_sidecar
from fracture.data.sources.yolo_folders import export_split, original

UNSAID = "no annotation names it: nobody looked"


@dataclass(frozen=True)
class Annotation:
    """What one entry of an annotation file says about one film; ``film`` is what `Films.key` calls it."""

    film: str
    size_px: tuple[int, int] | None = None
    drawn: tuple[Drawn, ...] = ()
    facts: Facts | None = None
    problem: str | None = None


def claim_films(
    films: Films, annotations: Iterable[Annotation], fractures: frozenset[str], about: Provenance
) -> Iterator[Claim]:
    """Give one claim per film that is on disk, annotated or named in films.csv, whichever it is.

    Raises BadValue, before the first claim, for a bad films.csv and for two films that would share a file in a stage.
    """
    entries: defaultdict[str, list[Annotation]] = defaultdict(list)
    for annotation in annotations:
        entries[annotation.film].append(annotation)
    rows = read_sidecar(films)
    ids = native_ids(sorted(films.files.keys() | entries.keys() | rows.keys()))
    return (_claim(films, film, name, entries[film], rows.get(film), fractures, about) for film, name in ids.items())


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
    looked = bool(annotations) and not problems and (about.empty_is_normal or bool(objects.dropped))
    if not annotations:
        notes.append(UNSAID)
    if len(sizes) > 1:
        problems.append(f"annotated several times, on {' and '.join(f'{w} x {h} px' for w, h in sizes)}")
    if film not in films.files:
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
        **facts.known(),
    )


def _agree(statements: Sequence[Facts]) -> tuple[Facts, list[str]]:
    """Put what is said about one film together; where statements differ the last one counts, and it is said."""
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
