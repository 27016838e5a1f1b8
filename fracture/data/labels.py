"""What annotators drew, in the words of their own class list, and which of it is a fracture.

Class indices mean something else in every export of one dataset, so a fracture is found by its class name. An index is
taken only from a person who gave it on purpose.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from fracture.errors import BadValue
from fracture.types import Box


@dataclass(frozen=True)
class Drawn:
    """One drawn object: the name of its class and its box, xyxy in px or, where the reader says so, in fractions."""

    name: str
    box: Box


@dataclass(frozen=True)
class FractureClasses:
    """Which classes of a label set are fractures: those named, all of them, or one index given on purpose."""

    names: tuple[str, ...] = ("fracture",)
    everything: bool = False
    index: int | None = None

    def of(self, known: Sequence[str]) -> frozenset[str]:
        """Give the names out of a class list that are fractures, as the list spells them.

        Names compare without regard to case, and ``-``, ``_`` and spaces are one. Raises BadValue, quoting the list,
        where a wanted name or index is not in it.
        """
        if self.everything:
            return frozenset(known)
        if self.index is not None:
            if not 0 <= self.index < len(known):
                raise BadValue(
                    f"expected a class index of 0..{len(known) - 1}, got {self.index}; classes: {_list(known)}"
                )
            return frozenset({known[self.index]})
        spelled = {_plain(name): name for name in known}
        missing = [name for name in self.names if _plain(name) not in spelled]
        if missing or not self.names:
            raise BadValue(f"expected fracture classes out of {_list(known)}; not among them: {_list(missing)}")
        return frozenset(spelled[_plain(name)] for name in self.names)


BY_NAME = FractureClasses()
"""What is meant where nobody says otherwise: the class that is called fracture."""


@dataclass(frozen=True)
class Sorted:
    """The objects of one film, sorted: fracture boxes, and how many were drawn of every class, kept and dropped."""

    boxes: tuple[Box, ...]
    kept: Mapping[str, int]
    dropped: Mapping[str, int]


def sort_out(drawn: Iterable[Drawn], fractures: frozenset[str]) -> Sorted:
    """Keep the fractures among the objects of a film and count what is dropped."""
    drawn = tuple(drawn)
    return Sorted(
        boxes=tuple(one.box for one in drawn if one.name in fractures),
        kept=dict(sorted(Counter(one.name for one in drawn if one.name in fractures).items())),
        dropped=dict(sorted(Counter(one.name for one in drawn if one.name not in fractures).items())),
    )


def _plain(name: str) -> str:
    return " ".join(name.casefold().replace("-", " ").replace("_", " ").split())


def _list(names: Sequence[str]) -> str:
    return ", ".join(repr(name) for name in names) or "no names"
