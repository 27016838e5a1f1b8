"""What a dataset holds, counted, and which properties of its films go with the label."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from fracture.core.types import SPLITS, Estimate, ImageRecord
from fracture.metrics.uncertainty import proportion

BOOKKEEPING = frozenset(
    {
        "export_split",
        "family",
        "harmonise_config",
        "harmonise_id",
        "notes",
        "official_split",
        "original_px",
        "pixel_sha256",
        "reason",
        "sequence",
    }
)
"""Attributes that say where a film came from or what was done with it, not what it shows."""

SIZES_PX = (512, 1024, 2048)
MAX_VALUES = 24
"""A column with more values than these is cut into four ranges if they are numbers, and left out if not."""

MIN_FILMS, ALL_BUT, APART = 20, 0.05, 0.10
"""A value decides the label when at least MIN_FILMS films have it, all but ALL_BUT of them share one label, and others
are fractured at least APART more or less often, with intervals that do not meet."""

NOT_STATED = "not stated"


@dataclass(frozen=True)
class Row:
    """A line of a balance table. Unlabelled films are neither fractured nor normal."""

    name: str
    films: int
    fractured: int
    normal: int
    unlabelled: int
    boxes: int
    groups: int


@dataclass(frozen=True)
class Confounder:
    """How often films with a value are fractured, and how often the others are. Unlabelled films are not counted."""

    column: str
    value: str
    here: Estimate
    rest: Estimate
    image_ids: tuple[str, ...]

    @property
    def gap(self) -> float:
        """Give how far the two intervals are from meeting; 0 where they meet or one side has no labelled film."""
        ends = self.here.low, self.here.high, self.rest.low, self.rest.high
        low, high, other_low, other_high = (np.nan if end is None else end for end in ends)
        return float(np.nan_to_num(max(low - other_high, other_low - high, 0.0)))

    @property
    def decides(self) -> bool:
        """Tell whether the value all but decides the label."""
        here, rest = self.here.value, self.rest.value
        if here is None or rest is None or self.here.n < MIN_FILMS:
            return False
        return min(here, 1 - here) <= ALL_BUT and abs(here - rest) >= APART and self.gap > 0

    def __str__(self) -> str:
        return f"{self.column} = {self.value}: fractured {self.here}; all other films {self.rest}"


def counts(records: Sequence[ImageRecord], aside: Sequence[ImageRecord]) -> dict[str, int]:
    """Count the films of a dataset and what is known of them; those set aside are counted as such and nowhere else."""

    def having(what: Callable[[ImageRecord], object]) -> int:
        return sum(bool(what(record)) for record in records)

    return {
        "films": len(records) + len(aside),
        "films_usable": len(records),
        "films_set_aside": len(aside),
        "fractured": having(lambda record: record.fractured is True),
        "normal": having(lambda record: record.fractured is False),
        "unlabelled": having(lambda record: record.fractured is None),
        "fractured_without_boxes": having(lambda record: record.fractured and not record.boxes),
        "weak": having(lambda record: record.weak),
        "external": having(lambda record: record.external),
        "boxes": sum(len(record.boxes or ()) for record in records),
        "groups": len({_group(record) for record in records}),
        "patients_known": len({(record.source, record.patient_id) for record in records if record.patient_id}),
        "studies_known": len({(record.source, record.study_id) for record in records if record.study_id}),
    }


def balance(records: Sequence[ImageRecord], aside: Sequence[ImageRecord]) -> dict[str, tuple[Row, ...]]:
    """Count films by split, label, source, region and view; a film of two regions counts in both."""
    label = {True: "fractured", False: "normal", None: "unlabelled"}
    keys: Mapping[str, Callable[[ImageRecord], Iterable[str]]] = {
        "split": lambda record: [record.split or "in no split"],
        "label": lambda record: [label[record.fractured]],
        "source": lambda record: [record.source],
        "region": lambda record: record.regions,
        "view": lambda record: [record.view or NOT_STATED],
    }
    return {
        name: tuple(
            _row(value, members) for value, members in _gather([*records, *(aside if name == "split" else ())], key)
        )
        for name, key in keys.items()
    }


def group_sizes(records: Iterable[ImageRecord]) -> dict[int, int]:
    """Give how many groups there are of each size."""
    sizes: defaultdict[str, int] = defaultdict(int)
    for record in records:
        sizes[_group(record)] += 1
    histogram: defaultdict[int, int] = defaultdict(int)
    for size in sizes.values():
        histogram[size] += 1
    return dict(sorted(histogram.items()))


def confounders(records: Sequence[ImageRecord]) -> tuple[Confounder, ...]:
    """Compare films with a property to those without: every flag, attribute, view, size, source and region."""
    known = [record for record in records if record.fractured is not None]
    groups, fractured = [_group(record) for record in known], np.array([record.fractured is True for record in known])
    everyone = frozenset(range(len(known)))

    def share(films: Set[int]) -> Estimate:
        order = np.array(sorted(films), np.int64)
        return proportion(fractured[order], np.ones(len(order), np.bool_), [groups[i] for i in order.tolist()])

    return tuple(
        Confounder(
            column, value, share(films), share(everyone - films), tuple(sorted(known[i].image_id for i in films))
        )
        for column, values in sorted(_columns(known).items())
        for value, films in sorted(values.items())
        if films != everyone
    )


def _columns(records: Sequence[ImageRecord]) -> dict[str, dict[str, frozenset[int]]]:
    """Give column -> value -> the films, by index, that have it."""
    table: defaultdict[str, defaultdict[str, set[int]]] = defaultdict(lambda: defaultdict(set))
    attributes = sorted({name for record in records for name in record.attributes} - BOOKKEEPING)
    for index, record in enumerate(records):
        for column, value in _properties(record):
            table[column][value].add(index)
        for name in attributes:
            table[name][record.attributes.get(name) or NOT_STATED].add(index)
    columns: dict[str, dict[str, frozenset[int]]] = {}
    for column, values in table.items():
        named = {value: frozenset(films) for value, films in values.items()}
        columns[column] = named if len(named) <= MAX_VALUES else _ranges(named)
    return columns


def _properties(record: ImageRecord) -> Iterator[tuple[str, str]]:
    """Yield what may tell on a film beside its attributes, as (column, value)."""
    width, height = record.original_px
    larger = [limit for limit in SIZES_PX if limit >= max(width, height)]
    yield "long side", f"up to {larger[0]:4d} px" if larger else f"above {SIZES_PX[-1]} px"
    yield "shape", "upright" if height > width else "lying" if height < width else "square"
    yield "view", record.view or NOT_STATED
    yield "source", record.source
    for region in record.regions:
        yield "region", region
    for flag in record.flags:
        yield "flag", flag


def _ranges(values: Mapping[str, frozenset[int]]) -> dict[str, frozenset[int]]:
    """Cut a column of numbers into four ranges of about as many films each; nothing for other columns."""
    stated = {value: films for value, films in values.items() if value != NOT_STATED}
    try:
        number = np.array([float(value) for value, films in stated.items() for _ in films])
    except ValueError:
        return {}
    index = np.array([film for films in stated.values() for film in films])
    edges = np.unique(np.quantile(number, [0, 0.25, 0.5, 0.75, 1]))
    ranges = {
        f"{low:g} to {high:g}": frozenset(map(int, index[(number >= low) & ((number < high) | (high == edges[-1]))]))
        for low, high in pairwise(edges)
    }
    return ranges | ({NOT_STATED: values[NOT_STATED]} if NOT_STATED in values else {})


def _gather(
    records: Sequence[ImageRecord], key: Callable[[ImageRecord], Iterable[str]]
) -> list[tuple[str, list[ImageRecord]]]:
    together: defaultdict[str, list[ImageRecord]] = defaultdict(list)
    for record in records:
        for value in key(record):
            together[value].append(record)
    return sorted(together.items(), key=lambda item: (SPLITS.index(item[0]) if item[0] in SPLITS else -1, item[0]))


def _row(name: str, records: Sequence[ImageRecord]) -> Row:
    labels = [record.fractured for record in records]
    return Row(
        name=name,
        films=len(records),
        fractured=labels.count(True),
        normal=labels.count(False),
        unlabelled=labels.count(None),
        boxes=sum(len(record.boxes or ()) for record in records),
        groups=len({_group(record) for record in records}),
    )


def _group(record: ImageRecord) -> str:
    return record.group_id or record.image_id
