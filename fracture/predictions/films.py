"""What every format of predictions shares: which film of a manifest a name means, and which numbers a row may hold."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from reprlib import repr as quoted
from typing import NamedTuple

import numpy as np

from fracture.core.boxes import FAR_PX
from fracture.core.errors import BadValue
from fracture.core.types import Box, Detections, ImageRecord, Prediction, Refusal
from fracture.data.names import Names, ends, stem
from fracture.data.stage import film_name


@dataclass(frozen=True)
class Content:
    """What predictions say before a category is chosen: ``label`` is an index into ``classes``.

    ``named`` are the films with a row of their own. ``model_id`` and ``harmonise_id`` are "" where the format has none.
    """

    answers: dict[str, Prediction | Refusal]
    named: frozenset[str]
    classes: tuple[str, ...]
    model_id: str = ""
    harmonise_id: str = ""


class Row(NamedTuple):
    """One box: xyxy px, score, index of its class."""

    xyxy: Box
    score: float
    label: int


class Films:
    """The films of a manifest, by every name that other programs may have for them."""

    def __init__(self, records: Iterable[ImageRecord]) -> None:
        self.records = {record.image_id: record for record in records}
        # From the surest kind of name to the least sure: id, path, path without suffix, id within the source.
        self._names = Names(
            {
                image_id: (
                    (image_id,),
                    ends(record.path),
                    (*map(stem, ends(record.path)), film_name(record)),
                    (image_id.partition("/")[2],),
                )
                for image_id, record in self.records.items()
            }
        )

    def find(self, name: str) -> ImageRecord | None:
        """Give the film that a name or path means, by the longest end of a path that any film has.

        Raises BadValue for a name that several films share.
        """
        ids = self._names.find(name)
        if len(ids) > 1:
            raise BadValue(f"{quoted(name)} could be any of {len(ids)} films: {_few(sorted(ids))}")
        return self.records[ids[0]] if ids else None

    def match(self, names: Sequence[str], ids: Collection[str] = ()) -> dict[str, ImageRecord]:
        """Give the film of every row's name; those in ``ids`` are image ids and nothing else.

        Raises BadValue for names that are no film's, that several films share, or that are one film's twice.
        """
        found = {name: self.records.get(name) if name in ids else self.find(name) for name in dict.fromkeys(names)}
        known = {name: record for name, record in found.items() if record is not None}
        if unknown := [name for name in names if name not in known]:
            raise BadValue(
                f"{len(unknown)} of {len(names)} rows name films that are not in the manifest: "
                f"{_few(list(dict.fromkeys(unknown)))}"
            )
        seen: dict[str, str] = {}
        for name, record in known.items():
            if seen.setdefault(record.image_id, name) != name:
                raise BadValue(f"{quoted(seen[record.image_id])} and {quoted(name)} are one film, {record.image_id}")
        return known


def check_size(where: str, size_px: tuple[float, float], record: ImageRecord) -> None:
    """Refuse predictions made on a film of another size: their boxes lie in another frame."""
    if size_px != record.size_px and min(record.size_px) > 0:
        (width, height), (expected_width, expected_height) = size_px, record.size_px
        raise BadValue(
            f"{where}: predicted on films of {width:g} x {height:g}, the manifest says "
            f"{expected_width} x {expected_height} of {record.image_id}"
        )


def numbers(where: str, values: object, count: int, expected: str) -> tuple[float, ...]:
    """Give so many numbers out of a row. Raises BadValue for anything else, NaN and infinity included."""
    plain = isinstance(values, list) and len(values) == count and all(type(one) in {int, float} for one in values)
    if isinstance(values, list) and plain and all(abs(one) < FAR_PX for one in values):
        return tuple(map(float, values))
    raise BadValue(f"{where}: expected {expected}, got {quoted(values)}")


def row(where: str, xyxy: Sequence[float], score: object, label: int) -> Row:
    """Make a row of checked numbers. A box may leave its film: whoever scores it decides what that means."""
    x0, y0, x1, y1 = xyxy
    if x1 < x0 or y1 < y0:
        raise BadValue(f"{where}: expected a box with no side below 0, got {x1 - x0:g} x {y1 - y0:g} px")
    (value,) = numbers(where, [score], 1, "a score from 0 to 1")
    if not 0 <= value <= 1:
        raise BadValue(f"{where}: expected a score from 0 to 1, got {value:g}")
    return Row((x0, y0, x1, y1), value, label)


def detections(rows: Sequence[Row]) -> Detections:
    """Give a film's rows as columns, best first, equal scores in the order of the rows."""
    ordered = sorted(rows, key=lambda one: -one.score)
    return Detections(
        np.array([one.xyxy for one in ordered], dtype=np.float64).reshape(-1, 4),
        np.array([one.score for one in ordered], dtype=np.float64),
        np.array([one.label for one in ordered], dtype=np.int64),
    )


def _few(names: Sequence[str]) -> str:
    return ", ".join(map(quoted, names[:5])) + (" ..." if len(names) > 5 else "")
