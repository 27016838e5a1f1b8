"""Groups of films to train, val and test, so that nothing a model saw in training can help it in a test.

A group is joined transitively from everything that may tie films together: patient, study, the group the ingest stage
found, identical films, near duplicates. Groups are never cut. They are dealt out so that every stratum (source, region
and label, the rarest region of a film deciding) comes close to the wanted shares. The deal depends on the seed and the
films' ids alone, so it is the same on every machine.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from fracture.data import audit
from fracture.data.audit import Pair
from fracture.errors import BadValue
from fracture.types import ImageRecord

PARTS = ("train", "val", "test")
LARGE_GROUP = 30
"""Groups above this many films are listed for a person to look at: a rule that joins so much may be wrong."""

Stratum = tuple[str, str, str]


def group(records: Sequence[ImageRecord], pairs: Sequence[Pair]) -> list[ImageRecord]:
    """Join films that must stay together and give every record its final group_id: the smallest id in its group."""
    parent = list(range(len(records)))

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    def join(a: int, b: int) -> None:
        low, high = sorted((root(a), root(b)))
        parent[high] = low

    first: dict[tuple[str, str, str], int] = {}
    for index, record in enumerate(records):
        for kind, value in (("patient", record.patient_id), ("study", record.study_id), ("group", record.group_id)):
            if value:
                join(first.setdefault((record.source, kind, value), index), index)
    for pair in pairs:
        join(pair.first, pair.second)
    names: dict[int, str] = {}
    for index, record in enumerate(records):
        names[root(index)] = min(names.get(root(index), record.image_id), record.image_id)
    return [replace(record, group_id=names[root(index)]) for index, record in enumerate(records)]


def set_contradictions_aside(records: Sequence[ImageRecord], pairs: Sequence[Pair]) -> list[ImageRecord]:
    """Set films aside that are one exposure under two opposite labels: no split may hold them, all stay on record."""
    other = audit.contradictions(records, pairs)
    return [
        replace(
            record,
            split="set_aside",
            attributes={
                **record.attributes,
                "reason": f"same film as {records[other[index]].image_id}, opposite label",
            },
        )
        if index in other
        else record
        for index, record in enumerate(records)
    ]


def split(
    records: Sequence[ImageRecord], *, val: float, test: float, seed: int, stratify: bool = True
) -> list[ImageRecord]:
    """Deal the groups out. Groups that touch a published valid or test list go to test; films set aside stay so.

    ``val`` and ``test`` are shares of all films. Raises BadValue for shares that leave nothing to train on.
    """
    if not (0 <= val < 1 and 0 <= test < 1 and val + test < 1):
        raise BadValue(f"expected val and test shares in [0, 1) with a sum below 1, got val={val}, test={test}")
    members: defaultdict[str, list[ImageRecord]] = defaultdict(list)
    for record in records:
        if record.split != "set_aside":
            members[record.group_id or record.image_id].append(record)
    region_count = Counter(region for films in members.values() for film in films for region in film.regions)
    strata = {
        name: Counter(_stratum(film, region_count) if stratify else ("", "", "") for film in films)
        for name, films in members.items()
    }
    totals: Counter[Stratum] = Counter()
    for counts in strata.values():
        totals += counts
    # A published film that was set aside still keeps its group out of training: the published lists stay unseen.
    published = {record.group_id or record.image_id for record in records if _published_holdout(record)}
    part = {name: "test" for name in members if name in published}
    held = {name: Counter[Stratum]() for name in PARTS}
    for name in part:
        held["test"] += strata[name]
    wanted = _wanted(totals, held["test"], val, test)

    def order(name: str) -> tuple[int, int, str]:
        rarest = min(totals[stratum] for stratum in strata[name])
        return rarest, -len(members[name]), hashlib.sha256(f"{seed}:{name}".encode()).hexdigest()

    def cost(name: str, into: str) -> float:
        """Tell by how much the squared distance to the wanted counts grows if the group goes there."""
        grown = 0.0
        for stratum, count in strata[name].items():
            before = held[into][stratum] - wanted[into][stratum]
            grown += ((before + count) ** 2 - before**2) / totals[stratum]
        return grown

    open_parts = [name for name, share in zip(PARTS, (1 - val - test, val, test), strict=True) if share > 0]
    for name in sorted(members.keys() - part.keys(), key=order):
        part[name] = min(open_parts, key=lambda into: (cost(name, into), PARTS.index(into)))
        held[part[name]] += strata[name]
    return [
        record if record.split == "set_aside" else replace(record, split=part[record.group_id or record.image_id])
        for record in records
    ]


def split_as_published(records: Sequence[ImageRecord]) -> list[ImageRecord]:
    """Follow the published lists exactly; films on none of them are set aside."""
    reason = "on none of the published split lists"
    return [
        record
        if record.split == "set_aside"
        else replace(record, split=record.attributes["official_split"])
        if "official_split" in record.attributes
        else replace(record, split="set_aside", attributes={**record.attributes, "reason": reason})
        for record in records
    ]


def report(records: Sequence[ImageRecord], pairs: Sequence[tuple[str, str, float]]) -> dict[str, Any]:
    """Give what a reviewer asks of a split: counts by part, region and label, group sizes, and leaks (none).

    ``pairs`` are the (near) duplicates found: two image ids and their correlation.
    """
    groups: defaultdict[str, list[ImageRecord]] = defaultdict(list)
    for record in records:
        if record.split != "set_aside":
            groups[record.group_id or record.image_id].append(record)
    cut = sorted(name for name, films in groups.items() if len({film.split for film in films}) > 1)
    part = {record.image_id: record.split for record in records if record.split in PARTS}
    apart = [pair for pair in pairs if pair[0] in part and pair[1] in part and part[pair[0]] != part[pair[1]]]
    counts: dict[str, dict[str, int]] = {}
    for name in PARTS:
        films_here = [record for record in records if record.split == name]
        counts[name] = {
            "films": len(films_here),
            "fractured": sum(film.fractured is True for film in films_here),
            "boxes": sum(len(film.boxes or ()) for film in films_here),
            "groups": len({film.group_id for film in films_here}),
        } | _by_region(films_here)
    aside = {record.image_id: record.attributes.get("reason", "") for record in records if record.split == "set_aside"}
    return {
        "films_in": len(records),
        "films_in_splits": sum(part["films"] for part in counts.values()),
        "films_set_aside": len(aside),
        "films_unaccounted_for": len(records) - sum(part["films"] for part in counts.values()) - len(aside),
        "splits": counts,
        "leaks": {
            "groups_in_two_splits": cut,
            "duplicates_in_two_splits": apart,
        },
        "group_sizes": dict(sorted(Counter(len(films) for films in groups.values()).items())),
        "groups_to_review": {name: len(films) for name, films in groups.items() if len(films) > LARGE_GROUP},
        "duplicates": [list(pair) for pair in pairs],
        "set_aside": aside,
    }


def _by_region(films: Iterable[ImageRecord]) -> dict[str, int]:
    regions: Counter[str] = Counter()
    for film in films:
        for region in film.regions:
            regions[f"{region}_{'fractured' if film.fractured else 'normal'}"] += 1
    return dict(sorted(regions.items()))


def _stratum(film: ImageRecord, region_count: Counter[str]) -> Stratum:
    rarest = min(film.regions, key=lambda region: (region_count[region], region))
    return film.source, rarest, str(film.fractured)


def _published_holdout(film: ImageRecord) -> bool:
    return film.attributes.get("official_split") in {"val", "test"}


def _wanted(
    totals: Counter[Stratum], forced: Counter[Stratum], val: float, test: float
) -> dict[str, dict[Stratum, float]]:
    """Give the wanted count of every stratum in every part; a test forced above its share leaves the rest less."""
    wanted: dict[str, dict[Stratum, float]] = {name: {} for name in PARTS}
    for stratum, total in totals.items():
        wanted["test"][stratum] = max(forced[stratum], test * total)
        rest = total - wanted["test"][stratum]
        wanted["val"][stratum] = rest * val / (1 - test)
        wanted["train"][stratum] = rest - wanted["val"][stratum]
    return wanted
