"""What annotators drew, in the words of their own class list, and which of it is a fracture.

Class indices mean something else in every export of one dataset, so a fracture is found by its class name. An index is
taken only from a person who gave it on purpose.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite, nan
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import yaml

from fracture.errors import BadValue, MissingData
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
        missing = [name for name in self.names if _plain(name) not in map(_plain, known)]
        if missing or not self.names:
            raise BadValue(f"expected fracture classes out of {_list(known)}; not among them: {_list(missing)}")
        # A list may spell one class in several ways; each of them is a fracture.
        wanted = {_plain(name) for name in self.names}
        return frozenset(name for name in known if _plain(name) in wanted)


BY_NAME = FractureClasses()
"""What is meant where nobody says otherwise: the class that is called fracture."""


@dataclass(frozen=True)
class Sorted:
    """The objects of one film, sorted: fracture boxes, and how many were drawn of every class, kept and dropped."""

    boxes: tuple[Box, ...]
    kept: Mapping[str, int]
    dropped: Mapping[str, int]


def sort_out(drawn: Iterable[Drawn], fractures: frozenset[str] | None) -> Sorted:
    """Keep the fractures among the objects of a film, None: all of them, and count what is dropped."""
    drawn = tuple(drawn)
    if fractures is None:
        fractures = frozenset(one.name for one in drawn)
    return Sorted(
        boxes=tuple(one.box for one in drawn if one.name in fractures),
        kept=dict(sorted(Counter(one.name for one in drawn if one.name in fractures).items())),
        dropped=dict(sorted(Counter(one.name for one in drawn if one.name not in fractures).items())),
    )


def class_list(path: Path) -> tuple[str, ...]:
    """Read the class names by index from a data.yaml or meta.yaml: a list, a mapping from 0 on, or only their number.

    Where only ``nc`` is given the classes are called by their number, "0", "1" and so on. Raises MissingData without
    the file, BadValue for anything else, ``nc`` and names that disagree among it.
    """
    content = read_yaml(path)
    names, count = content.get("names"), content.get("nc")
    if names is None and isinstance(count, int) and count > 0:
        return tuple(map(str, range(count)))
    if isinstance(names, dict):
        by_index = {str(index): name for index, name in names.items()}
        gaps = [index for index in map(str, range(len(by_index))) if index not in by_index]
        if gaps:
            raise BadValue(f"{path}: expected names for 0..{len(by_index) - 1}, got {', '.join(by_index)}")
        names = [by_index[str(index)] for index in range(len(by_index))]
    if not isinstance(names, list) or not names:
        raise BadValue(f"{path}: expected names, a list or a mapping from 0 on, or their number nc; got {names!r}")
    if count is not None and count != len(names):
        raise BadValue(f"{path}: expected nc and names to agree, got nc {count} and {len(names)} names: {_list(names)}")
    return tuple(map(str, names))


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML mapping. Raises MissingData without the file, BadValue for anything else than a mapping."""
    if not path.is_file():
        raise MissingData(f"expected a class list (data.yaml or meta.yaml) at {path}")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BadValue(f"{path}: expected YAML, got {error}") from error
    if not isinstance(content, dict):
        raise BadValue(f"{path}: expected a YAML mapping, got {type(content).__name__}")
    return content


def read_yolo(path: Path, names: Sequence[str] | None) -> tuple[Drawn, ...]:
    """Read a YOLO label: ``class cx cy w h``, or polygons ``class x1 y1 x2 y2 ...`` as their bounding boxes.

    Boxes are fractions of the film, xyxy. Without names classes are called by their number. Raises BadValue with file
    name and line number.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise BadValue(f"{path.name}: expected text, got {error}") from error
    return tuple(
        _yolo_object(words, names, f"{path.name} line {number}")
        for number, line in enumerate(lines, start=1)
        if (words := line.split())
    )


def _yolo_object(words: Sequence[str], names: Sequence[str] | None, where: str) -> Drawn:
    index, *values = (_number(word, where) for word in words)
    if index < 0 or index % 1 or (names is not None and index >= len(names)):
        known = "0 or above" if names is None else f"0..{len(names) - 1}"
        raise BadValue(f"{where}: expected the number of a class, {known}, got {words[0]}")
    name = str(int(index)) if names is None else names[int(index)]
    if len(values) == 4:
        cx, cy, w, h = values
        return Drawn(name, (cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2))
    if len(values) < 6 or len(values) % 2:
        raise BadValue(
            f"{where}: expected 'class cx cy w h' or 'class x1 y1 x2 y2 x3 y3 ...', got {len(words)} numbers"
        )
    return Drawn(name, _around(values[0::2], values[1::2]))


def read_voc(path: Path) -> tuple[tuple[int, int] | None, tuple[Drawn, ...]]:
    """Read a Pascal VOC file: the film's size in px, None where it is not stated or 0, and boxes in px.

    Raises BadValue, naming the file, for anything else. A document type is refused too: its entities can grow without
    end.
    """
    data = path.read_bytes()
    if b"\0" in data or b"<!DOCTYPE" in data or b"<!ENTITY" in data:
        raise BadValue(f"{path.name}: expected plain XML, got a document type, entities or NUL bytes")
    try:
        root = ElementTree.fromstring(data)  # noqa: S314 - without a document type there is no entity to expand
    except ElementTree.ParseError as error:
        raise BadValue(f"{path.name}: expected XML, got {error}") from error
    if root.tag != "annotation":
        raise BadValue(f"{path.name}: expected Pascal VOC's <annotation>, got <{root.tag}>")
    width, height = (
        _number(root.findtext(f"size/{side}", "0"), f"{path.name} <{side}>") for side in ("width", "height")
    )
    drawn = []
    for one in root.findall("object"):
        name = one.findtext("name", "").strip()
        if not name:
            raise BadValue(f"{path.name}: expected a <name> in every <object>")
        x0, y0, x1, y1 = (
            _number(one.findtext(f"bndbox/{edge}"), f"{path.name} {name!r} <{edge}>")
            for edge in ("xmin", "ymin", "xmax", "ymax")
        )
        drawn.append(Drawn(name, (x0, y0, x1, y1)))
    return (int(width), int(height)) if width > 0 and height > 0 else None, tuple(drawn)


def read_supervisely(path: Path) -> tuple[tuple[int, int] | None, tuple[Drawn, ...]]:
    """Read a Supervisely annotation: the film's size in px, None where it is not stated, and boxes in px.

    Rectangles, polygons and lines are given as the box around their points. Raises BadValue, naming the file, for
    anything else.
    """
    try:
        content = json.loads(path.read_bytes())
        sides = [(content.get("size") or {}).get(side, 0) for side in ("width", "height")]
        objects = [
            (one["classTitle"], list(zip(*one["points"]["exterior"], strict=True))) for one in content["objects"]
        ]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BadValue(
            f"{path.name}: expected Supervisely's json of objects with classTitle and points, got {error!r}"
        ) from error
    drawn = []
    for name, points in objects:
        if len(points) != 2:
            raise BadValue(f"{path.name}: expected {name!r} to have points of x and y, got {len(points)} coordinates")
        xs, ys = ([_number(value, f"{path.name} {name!r}") for value in values] for values in points)
        drawn.append(Drawn(str(name), _around(xs, ys)))
    width, height = (_number(side, f"{path.name} size") for side in sides)
    return (int(width), int(height)) if width > 0 and height > 0 else None, tuple(drawn)


def _around(xs: Sequence[float], ys: Sequence[float]) -> Box:
    return min(xs), min(ys), max(xs), max(ys)


def _number(text: object, where: str) -> float:
    """Give a finite number. Raises BadValue that begins with ``where``."""
    try:
        number = float(str(text))
    except ValueError:
        number = nan
    if not isfinite(number):
        raise BadValue(f"{where}: expected a number, got {text!r}")
    return number


def _plain(name: str) -> str:
    return " ".join(name.casefold().replace("-", " ").replace("_", " ").split())


def _list(names: Sequence[str]) -> str:
    return ", ".join(repr(name) for name in names) or "no names"
