"""Groups of films to train, val and test, so that nothing a model saw in training can help it in a test.

A group is joined transitively from everything that may tie films together: patient, study, the group the ingest stage
found (an augmentation family, an examination by running numbers), identical films, near duplicates. Groups are never
cut. They are dealt out so that every stratum (source, region and label, the rarest region of a film deciding) comes
close to the wanted shares. The result depends on the seed and the films' ids alone, so it is the same on every machine.

An earlier result can be kept: films that its manifest assigned stay where they were, whatever is added.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import fields, replace
from operator import attrgetter
from typing import Any

from fracture.core.errors import BadValue
from fracture.core.types import ImageRecord
from fracture.data.duplicates import Pair, contradictions
from fracture.data.manifest import no_cycles

PARTS = ("train", "val", "test")
LARGE_GROUP = 30
"""Groups of more films are listed for review by a person: a rule that joins so many may be wrong."""

FRACTURED_GROUPS = 3
"""A region with at least this many fractured groups has fractured films in every part."""

COUNTED_WITH: Mapping[str, str] = {"humerus": "shoulder"}
"""Regions that are counted as another one: films of the humerus mostly show the shoulder too."""

TIES = ("patient_id", "study_id", "group_id")
_LABEL = {True: "fractured", False: "normal", None: "unlabelled"}

Stratum = tuple[str, str, str]


@no_cycles()
def deal(
    records: Sequence[ImageRecord],
    pairs: Sequence[Pair],
    *,
    val: float,
    test: float,
    seed: int,
    stratify: bool = True,
    keep: Mapping[str, str] | None = None,
    eval_copies: bool = False,
) -> list[ImageRecord]:
    """Give every record its final group_id and its split. Films set aside stay so, and more may join them.

    ``val`` and ``test`` are shares of all films. Groups that touch a published valid or test list go to test. ``keep``
    is an earlier deal, image_id -> part: its films stay where they were, new films of their groups join them, and a new
    film that would join two parts is set aside. So are films that are one exposure under opposite labels and, unless
    ``eval_copies``, all but one of an augmentation family in val and test.

    Raises BadValue for shares that leave nothing to train on, and for films of an external set: what a model was chosen
    on cannot validate it from outside.
    """
    if not (0 <= val < 1 and 0 <= test < 1 and val + test < 1):
        raise BadValue(f"expected val and test shares in [0, 1) with a sum below 1, got val={val}, test={test}")
    external = sorted({record.source for record in records if record.external})
    if external:
        raise BadValue(f"expected sources to train on, got films marked external=true, of {', '.join(external)}")
    keep = keep or {}
    names, reasons = group(records, pairs, keep)
    for index, other in contradictions(records, pairs).items():
        # A film that an earlier deal assigned stays, and only its new counterpart is set aside.
        if records[index].image_id not in keep:
            reasons[index] = f"same film as {records[other].image_id}, opposite label"
    usable = [index for index, record in enumerate(records) if record.split != "set_aside" and index not in reasons]
    table = _Table(records, names, usable, stratify=stratify)
    # A published film that was set aside still keeps its group out of training: the published lists stay unseen.
    for record, name in zip(records, names, strict=True):
        if _published_holdout(record):
            table.put(name, "test")
    for index in usable:
        if records[index].image_id in keep:
            table.put(names[index], keep[records[index].image_id])
    part = table.fill(val, test, seed)
    splits = {index: keep.get(records[index].image_id) or part[names[index]] for index in usable}
    if not eval_copies:
        reasons |= _copies(records, splits, keep)
    return [_assigned(record, names[i], splits.get(i), reasons.get(i)) for i, record in enumerate(records)]


def deal_as_published(records: Sequence[ImageRecord], pairs: Sequence[Pair]) -> list[ImageRecord]:
    """Follow the published lists exactly, even where they cut groups; films on none of them are set aside."""
    names, _ = group(records, pairs)
    reason = "on none of the published split lists"
    return [
        _assigned(record, name, part := record.attributes.get("official_split"), None if part else reason)
        for record, name in zip(records, names, strict=True)
    ]


def group(
    records: Sequence[ImageRecord], pairs: Sequence[Pair], keep: Mapping[str, str] | None = None
) -> tuple[list[str], dict[int, str]]:
    """Name every film's group by the smallest image_id in it, and tell which new films cannot join any, and why.

    ``keep`` is an earlier deal. `report` tells where that deal itself separates films of one group.
    """
    keep = keep or {}
    parent = list(range(len(records)))  # films first; every patient, study and group found below adds a node

    def root(node: int) -> int:
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    partners = _partners(pairs)
    # By source: the node of each patient, study and group.
    ties: defaultdict[str, tuple[dict[str, int], ...]] = defaultdict(lambda: ({}, {}, {}))
    parts: dict[int, set[str]] = {}  # root -> the parts of its kept films
    bridges: dict[int, str] = {}
    placed = bytearray(len(records))
    order: Iterable[int] = range(len(records))
    for index in sorted(order, key=lambda index: records[index].image_id not in keep) if keep else order:
        record = records[index]
        near = [other for other in partners[index] if placed[other]] if index in partners else []
        named = (record.patient_id, record.study_id, record.group_id)
        for nodes, value in zip(ties[record.source], named, strict=True):
            if value:
                node = nodes.setdefault(value, len(parent))
                if node == len(parent):
                    parent.append(node)
                near.append(node)
        roots = set(map(root, near))
        held = set().union(*(parts[other] for other in roots if other in parts)) if keep else set()
        if record.image_id in keep:
            held.add(keep[record.image_id])
        elif keep and _published_holdout(record):
            held.add("test")
        if record.image_id not in keep and len(held) > 1:
            joined = " and ".join(sorted(held))
            bridges[index] = f"would join films of {joined}, which the deal that is kept holds apart"
            continue
        placed[index] = 1
        roots.add(index)
        low = min(roots)
        for other in roots:
            parent[other] = low
        if held:
            parts[low] = held
    return _smallest(records, [root(index) for index in range(len(records))]), bridges


def _partners(pairs: Sequence[Pair]) -> dict[int, list[int]]:
    partners: defaultdict[int, list[int]] = defaultdict(list)
    for pair in pairs:
        partners[pair.first].append(pair.second)
        partners[pair.second].append(pair.first)
    return dict(partners)


def _smallest(records: Sequence[ImageRecord], roots: Sequence[int]) -> list[str]:
    """Give every film the smallest image_id among the films of its root."""
    names: dict[int, str] = {}
    for top, record in zip(roots, records, strict=True):
        if top not in names or record.image_id < names[top]:
            names[top] = record.image_id
    return [names[top] for top in roots]


class _Table:
    """A deal in progress: what every group holds, which part it is in, and how far the parts are from their shares."""

    def __init__(
        self, records: Sequence[ImageRecord], names: Sequence[str], usable: Sequence[int], *, stratify: bool
    ) -> None:
        count = Counter([_region(region) for index in usable for region in records[index].regions])
        stratum_of: dict[object, Stratum] = {}
        self.films: Counter[str] = Counter()
        self.strata: defaultdict[str, dict[Stratum, int]] = defaultdict(dict)
        self.broken: defaultdict[str, set[str]] = defaultdict(set)  # region -> groups that show a fracture of it
        for index in usable:
            record, name = records[index], names[index]
            kind = (record.source, record.regions, record.fractured)
            stratum = stratum_of.get(kind)
            if stratum is None:
                stratum = stratum_of[kind] = _stratum(record, count) if stratify else ("", "", "")
            holds = self.strata[name]
            holds[stratum] = holds.get(stratum, 0) + 1
            self.films[name] += 1
            if record.fractured:
                for region in record.regions:
                    self.broken[_region(region)].add(name)
        self.totals: Counter[Stratum] = Counter()
        for holds in self.strata.values():
            for stratum, films in holds.items():
                self.totals[stratum] += films
        self.part: dict[str, str] = {}
        self.held = {name: Counter[Stratum]() for name in PARTS}
        self.shares: dict[str, float] = {}

    def put(self, name: str, into: str) -> None:
        """Put a group into a part. One that is in a part already stays there; one without usable films gets none."""
        if name in self.strata and name not in self.part:
            self.part[name] = into
            for stratum, films in self.strata[name].items():
                self.held[into][stratum] += films

    def fill(self, val: float, test: float, seed: int) -> dict[str, str]:
        """Deal out all groups that have no part yet, and give every group's part."""
        self.shares = dict(zip(PARTS, (1 - val - test, val, test), strict=True))
        parts = [name for name, share in self.shares.items() if share > 0]
        fixed = set(self.part)
        for name in sorted(self.strata.keys() - fixed, key=lambda name: self._turn(name, seed)):
            self.put(name, min(parts, key=lambda into: self._cost(name, into)))
        self._show_every_region(parts, fixed)
        return self.part

    def _cost(self, name: str, into: str) -> float:
        """Tell by how much the part's squared distance from its wanted counts, relative to these, would grow.

        Where one part holds too much from the start, this divides the rest among the others in proportion.
        """
        held, share = self.held[into], self.shares[into]
        grown = 0.0
        for stratum, films in self.strata[name].items():
            wanted = share * self.totals[stratum]
            grown += films * (films + 2 * (held[stratum] - wanted)) / wanted
        return grown

    def _turn(self, name: str, seed: int) -> tuple[int, int, bytes]:
        """Give the group's turn: the rarest stratum first, then the largest group, then by a hash of seed and name."""
        rarest = min([self.totals[stratum] for stratum in self.strata[name]])
        return rarest, -self.films[name], hashlib.sha256(f"{seed}:{name}".encode()).digest()

    def _show_every_region(self, parts: Sequence[str], fixed: Set[str]) -> None:
        """Move groups until every region with enough fractured groups shows a fracture in every part, if possible."""
        for region in sorted(self.broken, key=lambda region: (len(self.broken[region]), region)):
            here = self.broken[region]
            for into in parts if len(here) >= FRACTURED_GROUPS else ():
                if any(self.part[name] == into for name in here):
                    continue
                spare = [name for name in here if name not in fixed and self._is_spare(name)]
                if spare:
                    name = min(spare, key=lambda name: (self.films[name], self._cost(name, into), name))
                    self.held[self.part.pop(name)].subtract(self.strata[name])
                    self.put(name, into)

    def _is_spare(self, name: str) -> bool:
        """Tell whether every region that the group shows a fracture of has another such group in the same part."""
        return all(
            any(other != name and self.part[other] == self.part[name] for other in groups)
            for groups in self.broken.values()
            if name in groups
        )


def _copies(records: Sequence[ImageRecord], splits: Mapping[int, str], keep: Mapping[str, str]) -> dict[int, str]:
    """Tell which films of val and test are augmented copies of one that stays, so that a film counts once.

    The film that stays is the one an earlier deal used, else one that its export did not augment (exports augment their
    training part only), else the first by id.
    """
    families: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    for index, part in splits.items():
        if part in {"val", "test"} and (family := records[index].attributes.get("family")):
            families[records[index].source, family].append(index)

    def rank(index: int) -> tuple[bool, bool, str]:
        record = records[index]
        return record.image_id not in keep, record.attributes.get("export_split") == "train", record.image_id

    reasons: dict[int, str] = {}
    for copies in families.values():
        original, *others = sorted(copies, key=rank)
        reason = f"augmented copy of {records[original].image_id}, which stands for the film in {splits[original]}"
        reasons |= {index: reason for index in others if records[index].image_id not in keep}
    return reasons


@no_cycles()
def report(records: Sequence[ImageRecord], pairs: Sequence[tuple[str, str, float]]) -> dict[str, Any]:
    """Give what a reviewer asks of a split: counts by part, region and label, group sizes, and leaks (none).

    ``pairs`` are duplicates by image id with their correlation.
    """
    part: dict[str, str] = {}
    aside: dict[str, str] = {}
    counts = {name: Counter[str](films=0, fractured=0, boxes=0) for name in PARTS}
    regions = {name: Counter[str]() for name in PARTS}
    sizes: Counter[str] = Counter()
    seen: defaultdict[tuple[str, str], dict[str, str]] = defaultdict(dict)  # (kind, source) -> value -> part
    apart: dict[str, set[str]] = {kind: set() for kind in TIES}
    cut: set[tuple[str, str]] = set()  # groups in a further part than the one they were first seen in
    for record in records:
        if record.split == "set_aside":
            aside[record.image_id] = record.attributes.get("reason", "")
        if record.split not in PARTS:
            continue
        part[record.image_id] = record.split
        name = record.group_id or record.image_id
        sizes[name] += 1
        here = counts[record.split]
        here["films"] += 1
        here["fractured"] += record.fractured is True
        here["boxes"] += len(record.boxes or ())
        for region in record.regions:
            regions[record.split][f"{region}_{_LABEL[record.fractured]}"] += 1
        if seen["group_id", ""].setdefault(name, record.split) != record.split:
            apart["group_id"].add(name)
            cut.add((name, record.split))
        for kind, value in (("patient_id", record.patient_id), ("study_id", record.study_id)):
            if value and seen[kind, record.source].setdefault(value, record.split) != record.split:
                apart[kind].add(f"{record.source}/{value}")
    groups = Counter(seen["group_id", ""].values()) + Counter(split for _, split in cut)
    return {
        "films_in": len(records),
        "films_in_splits": len(part),
        "films_set_aside": len(aside),
        "films_unaccounted_for": len(records) - len(part) - len(aside),
        "splits": {
            name: dict(counts[name]) | {"groups": groups[name]} | dict(sorted(regions[name].items())) for name in PARTS
        },
        "leaks": {
            "groups_in_two_splits": sorted(apart["group_id"]),
            "patients_in_two_splits": sorted(apart["patient_id"]),
            "studies_in_two_splits": sorted(apart["study_id"]),
            "duplicates_in_two_splits": [
                list(pair) for pair in pairs if {pair[0], pair[1]} <= part.keys() and part[pair[0]] != part[pair[1]]
            ],
        },
        "regions_without_fracture": _regions_without_fracture(regions),
        "group_sizes": dict(sorted(Counter(sizes.values()).items())),
        "groups_to_review": {name: size for name, size in sorted(sizes.items()) if size > LARGE_GROUP},
        "duplicates": [list(pair) for pair in pairs],
        "set_aside": aside,
    }


def _regions_without_fracture(counts: Mapping[str, Mapping[str, int]]) -> dict[str, list[str]]:
    """Name, per part, the regions that show a fracture only in other parts: this part cannot measure them."""
    shown = {name: {key for key in part if key.endswith("_fractured")} for name, part in counts.items()}
    everywhere = set().union(*shown.values())
    return {name: sorted(key.removesuffix("_fractured") for key in everywhere - here) for name, here in shown.items()}


def _published_holdout(film: ImageRecord) -> bool:
    return film.attributes.get("official_split") in {"val", "test"}


def _region(region: str) -> str:
    return COUNTED_WITH.get(region, region)


def _stratum(film: ImageRecord, count: Counter[str]) -> Stratum:
    rarest = min(map(_region, film.regions), key=lambda region: (count[region], region))
    return film.source, rarest, str(film.fractured)


_FIELDS = tuple(field.name for field in fields(ImageRecord))
_GROUP, _SPLIT = _FIELDS.index("group_id"), _FIELDS.index("split")
_values = attrgetter(*_FIELDS)


def _assigned(record: ImageRecord, name: str, part: str | None, reason: str | None) -> ImageRecord:
    if reason and record.split != "set_aside":
        attributes = {**record.attributes, "reason": reason}
        return replace(record, group_id=name, split="set_aside", attributes=attributes)
    # What dataclasses.replace does, in a third of the time: it is done for each of up to a million records.
    known = list(_values(record))
    known[_GROUP] = name
    if record.split != "set_aside":
        known[_SPLIT] = part
    return ImageRecord(*known)
