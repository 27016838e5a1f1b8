"""What a film classifier is asked: heads, each with its classes, and what a film's record says to each of them.

A film counts for a head where its label is known, and only there: nobody's silence is a normal film.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fracture.core.errors import BadValue
from fracture.core.types import REGIONS, ImageRecord

FRACTURE, ABNORMAL, REGION, TYPE = "fracture", "abnormal", "region", "type"
OF_FILMS = (FRACTURE, ABNORMAL)
"""The heads that may give a film its score, the first of them that a network has."""

UNKNOWN = "unknown"
"""The region of a film whose region nobody noted."""

TYPE_OF = "fracture_type"
"""The attribute of a record that names the one type of all its fractures."""


@dataclass(frozen=True)
class Head:
    """One question. Its classes exclude each other (``exclusive``), or each is a yes or no of its own."""

    name: str
    classes: tuple[str, ...]
    exclusive: bool = False

    def __post_init__(self) -> None:
        if self.name not in NAMES:
            raise BadValue(f"head: expected one of {', '.join(NAMES)}, got {self.name!r}")
        if not self.classes or len(set(self.classes)) != len(self.classes):
            raise BadValue(f"head {self.name}: expected classes, each once, got {self.classes}")
        if self.exclusive and len(self.classes) < 2:
            raise BadValue(
                f"head {self.name}: expected two classes or more that exclude each other, got {self.classes[0]}"
            )

    @classmethod
    def stored(cls, content: Mapping[str, Any]) -> "Head":
        """Read a head as `dataclasses.asdict` gave it."""
        return cls(content["name"], tuple(content["classes"]), content["exclusive"])

    def target(self, film: ImageRecord) -> NDArray[np.float32]:
        """Give what is known of a film, (classes,): 0 or 1 each, or all of them no number where it is not known."""
        said = _SAID[self.name](film)
        if said is None or not said <= set(self.classes) or (self.exclusive and len(said) != 1):
            return np.full(len(self.classes), np.nan, np.float32)
        return np.array([name in said for name in self.classes], np.float32)

    def probabilities(self, logits: NDArray[np.floating]) -> NDArray[np.float64]:
        """Give (..., classes) probabilities of logits of that shape."""
        wide = np.asarray(logits, np.float64)
        if not self.exclusive:
            return 1 / (1 + np.exp(-wide))
        shares = np.exp(wide - wide.max(axis=-1, keepdims=True))
        return np.asarray(shares / shares.sum(axis=-1, keepdims=True))


def columns(heads: Sequence[Head]) -> Iterator[tuple[Head, slice]]:
    """Give each head with its place among the classes of all heads, which stand one after the other."""
    first = 0
    for head in heads:
        yield head, slice(first, first + len(head.classes))
        first += len(head.classes)


def score_head(heads: Sequence[Head]) -> tuple[str, int]:
    """Name the head that gives a film its score, and say which row of an answer is its. Raises BadValue without one."""
    rows = {head.name: place.start for head, place in columns(heads)}
    for name in OF_FILMS:
        if name in rows:
            return name, rows[name]
    raise BadValue(f"heads: expected {' or '.join(OF_FILMS)}, got {', '.join(head.name for head in heads)}")


def _one_of(name: str, told: bool | None) -> frozenset[str] | None:
    return None if told is None else frozenset([name] if told else [])


def _regions(film: ImageRecord) -> frozenset[str] | None:
    return None if UNKNOWN in film.regions else frozenset(film.regions)


def _type(film: ImageRecord) -> frozenset[str] | None:
    named = film.attributes.get(TYPE_OF, "")
    return frozenset([named]) if named else None


_SAID = MappingProxyType(
    {
        FRACTURE: lambda film: _one_of(FRACTURE, film.fractured),
        ABNORMAL: lambda film: _one_of(ABNORMAL, film.abnormal),
        REGION: _regions,
        TYPE: _type,
    }
)
NAMES = tuple(_SAID)
"""The heads that there are."""


def heads_for(names: Sequence[str], train: Sequence[ImageRecord]) -> tuple[Head, ...]:
    """Give the named heads with the classes that train films have.

    Raises BadValue for a name that is none, one that is there twice, and a head of which train films teach nothing:
    where all of them that are labelled say the same.
    """
    if not names or len(set(names)) != len(names):
        raise BadValue(f"heads: expected some of {', '.join(NAMES)}, each once, got {', '.join(names) or 'none'}")
    return tuple(_head(name, train) for name in names)


def _head(name: str, train: Sequence[ImageRecord]) -> Head:
    if name not in NAMES:
        raise BadValue(f"heads: expected some of {', '.join(NAMES)}, got {name!r}")
    said = [one for film in train if (one := _SAID[name](film)) is not None]
    kinds = {tuple(sorted(one)) for one in said}
    if len(kinds) < 2:
        told = f"{len(said)} labelled films that all say {' and '.join(sorted(*kinds)) or 'no'}" if said else "none"
        raise BadValue(f"head {name}: expected train films that are labelled otherwise than each other, got {told}")
    if name in {FRACTURE, ABNORMAL}:
        return Head(name, (name,))
    present = {one for classes in said for one in classes}
    order = REGIONS if name == REGION else tuple(sorted(present))
    exclusive = name == TYPE or all(len(one) == 1 for one in said)
    return Head(name, tuple(one for one in order if one in present), exclusive)
