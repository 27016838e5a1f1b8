"""For whom the figures hold: the parts of a split that are judged on their own."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType

from fracture.core.errors import BadValue
from fracture.core.types import SMALL_FILM_PX, ImageRecord
from fracture.evaluation.cases import Cases

NOT_STATED = "not stated"
_STATED = MappingProxyType({"1": "yes", "0": "no"})


def film_size(record: ImageRecord) -> str:
    """Name the class of a film's original size."""
    return f"long side {'up to' if record.is_small else 'above'} {SMALL_FILM_PX} px"


def _stated(record: ImageRecord, attribute: str) -> str:
    value = record.attributes.get(attribute, "")
    return _STATED.get(value, value) or NOT_STATED


SLICES: Mapping[str, Callable[[ImageRecord], Iterable[str]]] = MappingProxyType(
    {
        "region": lambda record: record.regions,
        "source": lambda record: (record.source,),
        "view": lambda record: (record.view or NOT_STATED,),
        "hardware": lambda record: (_stated(record, "hardware"),),
        "film size": lambda record: (film_size(record),),
        "official split": lambda record: (_stated(record, "official_split"),),
    }
)
"""What every evaluation is sliced by: name -> the values of a film. A film may show two regions and count in both."""

MOST_VALUES = 50
"""A column of more values than this is no slice: it would name single films, or needs ranges somebody must choose."""

_COLUMNS: Mapping[str, Callable[[ImageRecord], str]] = MappingProxyType(
    {
        "licence": lambda record: record.licence or NOT_STATED,
        "flags": lambda record: ", ".join(sorted(record.flags)) or "none",
    }
)


def slices(cases: Cases, columns: Sequence[str] = ()) -> dict[str, dict[str, Cases]]:
    """Give the parts of the cases by every slice and by further manifest columns: slice -> value -> cases.

    A column is an ``x_`` column, with or without its prefix, licence or flags. A slice that says nothing of any film is
    left out. Raises BadValue for a column that no film has, and for one of more than ``MOST_VALUES`` values.
    """
    known: dict[str, Callable[[ImageRecord], Iterable[str]]] = dict(SLICES)
    for column in columns:
        known[column] = SLICES.get(column) or _by_column(cases, column)
    parts = {name: _parts(cases, values) for name, values in known.items()}
    return {name: part for name, part in parts.items() if set(part) - {NOT_STATED}}


def _by_column(cases: Cases, column: str) -> Callable[[ImageRecord], Iterable[str]]:
    name = column.removeprefix("x_")
    attributes = {key for record in cases.records for key in record.attributes}
    if name in attributes:
        return lambda record: (_stated(record, name),)
    if column in _COLUMNS:
        return lambda record: (_COLUMNS[column](record),)
    allowed = ", ".join(sorted({*SLICES, *_COLUMNS, *attributes}))
    raise BadValue(f"slice: expected a column out of {allowed}; got {column!r}")


def _parts(cases: Cases, values: Callable[[ImageRecord], Iterable[str]]) -> dict[str, Cases]:
    films: dict[str, set[str]] = defaultdict(set)
    for record in cases.records:
        for value in values(record):
            films[value].add(record.image_id)

    if len(films) > MOST_VALUES:
        raise BadValue(f"slice: expected a column of at most {MOST_VALUES} values, got {len(films)}")

    def part(value: str) -> Cases:
        return cases.where(lambda record: record.image_id in films[value])

    return {value: part(value) for value in sorted(films)}
