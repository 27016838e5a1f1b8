"""What a source claims about its films, checked against the films themselves.

A source file only parses labels. Here every film is decoded once, by the one decoder, and its claim becomes an
`ImageRecord`: boxes are brought inside the film, disagreements are written down, films that cannot be used are set
aside with a reason. One claim in, one record out; nothing is dropped.
"""

import errno
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from fracture.core import boxes as box_math
from fracture.core.code import code_id
from fracture.core.errors import BadValue, FractureError
from fracture.core.files import file_state, place, stamp, write_json
from fracture.core.folders import check_apart
from fracture.core.types import Box, ImageRecord
from fracture.data import manifest
from fracture.data.duplicates import fingerprint
from fracture.data.labels import BY_NAME, FractureClasses, Sorted
from fracture.data.names import safe_ids, safe_suffix
from fracture.data.stage import JOURNAL, Journal, film_name, run_films, set_aside
from fracture.data.workers import read_film
from fracture.data.yolo import write_label

MIN_BOX_PX = 2.0
"""A box that is thinner than this after clipping marks nothing that can be seen."""

_OF_THE_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO}
"""Errors of the disk that a stage is written to. Any other error is the film's own."""

EDGE_PX = 0.5
"""A box of fractions that leaves the film by less was drawn to its edge: fractions are written with few digits."""


@dataclass(frozen=True)
class Claim:
    """What a source says about one film, unchecked. Boxes are xyxy px of the film as its annotators saw it.

    ``relative`` boxes are fractions of that film's width and height instead. ``boxes`` is None where nobody drew,
    ``()`` where somebody looked and found none; ``fractured`` and ``abnormal`` are None where nobody said.
    ``family`` names the film that this one is an augmented copy of. ``sequence`` is the film's running number where the
    source numbers its films in the order of examination. ``kept`` and ``dropped`` count the drawn objects by class
    name. ``notes`` are disagreements that the source resolved; ``problem`` is one that it could not.
    """

    image_id: str
    file: Path
    source: str
    licence: str
    regions: frozenset[str]
    fractured: bool | None
    boxes: tuple[Box, ...] | None
    attribution: str = ""
    view: str | None = None
    patient_id: str | None = None
    study_id: str | None = None
    family: str | None = None
    abnormal: bool | None = None
    weak: bool = False
    external: bool = False
    relative: bool = False
    claimed_px: tuple[int, int] | None = None
    sequence: int | None = None
    kept: Mapping[str, int] = field(default_factory=dict)
    dropped: Mapping[str, int] = field(default_factory=dict)
    attributes: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    problem: str | None = None


@dataclass(frozen=True)
class Provenance:
    """What a person says about a set of films because its files do not: name, anatomy, licence, what its classes mean.

    ``empty_is_normal`` says what an empty label means: somebody looked and found no fracture (the usual case), or, in a
    set that holds fractured films only, that nobody drew. ``parts_published`` says that the folders train, valid and
    test of the set are its published split: what others report stands on its valid and test films, so their groups stay
    out of training.
    """

    source: str
    regions: frozenset[str] = frozenset({"unknown"})
    licence: str = "not stated"
    attribution: str = ""
    classes: FractureClasses = BY_NAME
    external: bool = False
    empty_is_normal: bool = True
    parts_published: bool = False

    def claim(self, native: str, file: Path, objects: Sorted, *, looked: bool, **known: Any) -> Claim:
        """Claim what was drawn on a film of this set. A film at which nobody looked is unknown, not normal."""
        said: dict[str, Any] = {
            "regions": self.regions,
            "fractured": bool(objects.boxes) if looked else None,
            "boxes": objects.boxes if looked else None,
        }
        known["notes"] = (*known.get("notes", ()), *objects.notes)
        part = known.get("attributes", {}).get("export_split")
        if part and self.parts_published:
            known["attributes"] = {"official_split": part} | known["attributes"]
        return Claim(
            image_id=f"{self.source}/{native}",
            file=file,
            source=self.source,
            licence=self.licence,
            attribution=self.attribution,
            external=self.external,
            kept=objects.kept,
            dropped=objects.dropped,
            **said | known,
        )


def ingest(
    claims: Iterable[Claim],
    out: Path,
    *,
    copy: bool = False,
    workers: int | None = None,
    inputs: Sequence[Path | None] = (),
) -> list[ImageRecord]:
    """Verify every claim and write the stage: ``images/``, ``labels/``, ``manifest.csv`` and ``report.json``.

    Films are hard-linked where the file system allows it, copied otherwise or with ``copy``. A second run reads only
    films that changed. A film whose name a file system, a table or JSON cannot hold gets another, which the report
    lists. Raises BadValue where ``out`` lies in one of the ``inputs`` that the claims come from, or around it.
    """
    check_apart(out, *inputs)
    claims = list(claims)
    _check_ids(claims)
    names = safe_ids({claim.image_id: claim.problem is None for claim in claims})
    renamed = {names[claim.image_id]: str(claim.file) for claim in claims if names[claim.image_id] != claim.image_id}
    claims = [replace(claim, image_id=names[claim.image_id]) for claim in claims]
    journal = Journal(out / JOURNAL)
    jobs = [(claim.image_id, _stamp(claim), (claim, out, copy)) for claim in claims]
    records = join_neighbours(run_films(jobs, _ingest_one, _lost, journal, "ingest", workers))
    write_json(out / "report.json", report(records) | {"classes": count_classes(claims), "renamed": renamed})
    manifest.save(records, out)
    return records


def check_kept(records: Sequence[ImageRecord]) -> None:
    """Raise BadValue, with the most frequent reasons, where no film is left to work with."""
    reasons = Counter(record.attributes["reason"] for record in records if record.split == "set_aside")
    if reasons.total() == len(records):
        few = "; ".join(f"{reason} ({count})" for reason, count in reasons.most_common(3))
        raise BadValue(f"expected films that can be used, all {len(records)} were set aside: {few}")


def count_classes(claims: Iterable[Claim]) -> dict[str, dict[str, int]]:
    """Count the drawn objects of a source by class name: ``kept`` as fractures, ``dropped`` as something else."""
    kept, dropped = Counter[str](), Counter[str]()
    for claim in claims:
        kept.update(claim.kept)
        dropped.update(claim.dropped)
    return {"kept": dict(sorted(kept.items())), "dropped": dict(sorted(dropped.items()))}


def _check_ids(claims: Sequence[Claim]) -> None:
    """Raise BadValue where two films claim one id: one of them would silently replace the other."""
    first: dict[str, Claim] = {}
    for claim in claims:
        other = first.setdefault(claim.image_id, claim)
        if other is not claim:
            raise BadValue(f"expected every image_id once, got {claim.image_id!r} for {other.file} and {claim.file}")


def join_neighbours(records: Sequence[ImageRecord]) -> list[ImageRecord]:
    """Give films of one examination one group_id, as far as running numbers can tell.

    The rule, for sources without patient ids: consecutive running numbers, equal regions (and equal "mixed" flag) and
    equal film size belong together.
    """
    groups: dict[str, str] = {}
    previous: tuple[object, ...] | None = None
    start = ""
    numbered = [record for record in records if "sequence" in record.attributes]
    for record in sorted(numbered, key=lambda record: (record.source, int(record.attributes["sequence"]))):
        number = int(record.attributes["sequence"])
        key = (record.source, record.regions, record.attributes.get("mixed"), record.size_px)
        if previous != (*key, number - 1):
            start = record.image_id
        groups[record.image_id] = start
        previous = (*key, number)
    return [replace(record, group_id=groups.get(record.image_id, record.group_id)) for record in records]


def report(records: Sequence[ImageRecord]) -> dict[str, object]:
    """Account for every film: how many there are, are kept, or are set aside and why, and every repair by film."""
    aside = {record.image_id: record.attributes["reason"] for record in records if record.split == "set_aside"}
    repairs = {record.image_id: record.attributes["notes"] for record in records if "notes" in record.attributes}
    return {
        "films": len(records),
        "kept": len(records) - len(aside),
        "set_aside": len(aside),
        "set_aside_reasons": aside,
        "flags": dict(sorted(Counter(flag for record in records for flag in record.flags).items())),
        "fractured": sum(record.fractured is True for record in records),
        "boxes": sum(len(record.boxes or ()) for record in records),
        "repairs": repairs,
    }


def _stamp(claim: Claim) -> str:
    """Name the state of a film and of its claim. Where the stamp changes, the film is read again."""
    return stamp(code_id(__name__), file_state(claim.file), replace(claim, regions=frozenset()), sorted(claim.regions))


def _lost(job: tuple[Claim, Path, bool], reason: str) -> ImageRecord:
    return set_aside(_claimed(job[0]), reason)


def _ingest_one(job: tuple[Claim, Path, bool]) -> ImageRecord:
    claim, out, copy = job
    record = _verify(claim)
    if record.split != "set_aside":
        try:
            place(claim.file, out / record.path, copy=copy)
            write_label(record, out / "labels" / f"{film_name(record)}.txt")
        except OSError as error:
            if error.errno in _OF_THE_DISK:
                raise
            return set_aside(record, f"the film cannot be placed in the stage: {error.strerror}")
    return record


def _claimed(claim: Claim) -> ImageRecord:
    """Give the record of a film that was not read yet: what its source says, and set aside."""
    path = f"images/{claim.image_id.split('/', 1)[1]}{safe_suffix(claim.file.suffix)}"
    attributes = dict(claim.attributes)
    if claim.sequence is not None:
        attributes["sequence"] = str(claim.sequence)
    if claim.family is not None:
        attributes["family"] = claim.family
    return ImageRecord(
        image_id=claim.image_id,
        path=path,
        source=claim.source,
        size_px=claim.claimed_px or (0, 0),
        regions=claim.regions,
        patient_id=claim.patient_id,
        study_id=claim.study_id,
        group_id=claim.family and f"{claim.source}/{claim.family}",
        view=claim.view,
        fractured=claim.fractured,
        abnormal=claim.abnormal,
        weak=claim.weak,
        external=claim.external,
        licence=claim.licence,
        attribution=claim.attribution,
        split="set_aside",
        attributes=attributes,
    )


def _verify(claim: Claim) -> ImageRecord:
    record = _claimed(claim)
    attributes = dict(record.attributes)
    problem = claim.problem or ("called normal, with boxes" if claim.fractured is False and claim.boxes else None)
    if problem:
        return set_aside(record, problem)
    try:
        film = read_film(claim.file)
    except FractureError as error:
        return set_aside(record, str(error))
    notes, flags = list(claim.notes), set(film.flags)
    if notes:
        flags.add("label_disagrees")
    if claim.claimed_px and claim.claimed_px != film.size_px:
        flags.add("size_differs")
        notes.append(f"labels were drawn on {claim.claimed_px} px, the film has {film.size_px} px")
        return replace(record, attributes={**attributes, "reason": notes[-1]}, flags=frozenset(flags))
    kept, box_notes = _inside(_in_px(claim, film.size_px), film.size_px, EDGE_PX if claim.relative else 0.0)
    if claim.boxes and not kept:
        kept = None
        box_notes.append("no box is left: the fracture counts for the film, nowhere on it")
    if box_notes:
        flags.add("boxes_repaired")
        notes += box_notes
    for flag, note in (("truncated", "the file ends early"), ("exif_rotated", "turned as its EXIF tag says")):
        if flag in film.flags:
            notes.append(note)
    attributes |= fingerprint(film)
    if notes:
        attributes["notes"] = "; ".join(notes)
    return replace(record, size_px=film.size_px, boxes=kept, flags=frozenset(flags), split=None, attributes=attributes)


def _in_px(claim: Claim, size_px: tuple[int, int]) -> tuple[Box, ...] | None:
    if claim.boxes is None or not claim.relative:
        return claim.boxes
    width, height = size_px
    return tuple((x0 * width, y0 * height, x1 * width, y1 * height) for x0, y0, x1, y1 in claim.boxes)


def _inside(
    boxes: tuple[Box, ...] | None, size_px: tuple[int, int], tolerance_px: float
) -> tuple[tuple[Box, ...] | None, list[str]]:
    """Bring boxes inside the film, drop doubles and slivers, and say what was done."""
    if boxes is None:
        return None, []
    notes: list[str] = []
    kept: list[Box] = []
    for box in boxes:
        x0, y0, x1, y1 = (float(edge) for edge in box_math.clip(np.array([box]), size_px)[0])
        inside: Box = (x0, y0, x1, y1)
        shown = [round(edge, 1) for edge in box]
        if min(x1 - x0, y1 - y0) < MIN_BOX_PX:
            notes.append(f"box {shown} dropped: less than {MIN_BOX_PX} px of it lies on the film")
        elif inside in kept:
            notes.append(f"box {shown} dropped: drawn twice")
        else:
            if np.abs(np.subtract(inside, box)).max() > tolerance_px:
                notes.append(f"box {shown} clipped at the film's edge")
            kept.append(inside)
    return tuple(kept), notes
