"""What annotators drew, by the names of their own class list, and which of it is a fracture.

A class index means something else in every export of a dataset, so a fracture is found by its class name. An index
counts only where a person gave it on purpose.
"""

import codecs
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import yaml

from fracture.core import boxes as box_math
from fracture.core.errors import BadValue, MissingData
from fracture.core.types import Box

_BEYOND, _CENTRE_BEYOND = 0.1, 0.01
"""How far a drawing, and the centre of a box, may lie beyond the film, in fractions of it."""

_MARKS = (
    *((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32")),
    *((codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16")),
    *((b"<\0", "utf-16-le"), (b"\0<", "utf-16-be")),
)
_ENCODING = re.compile(rb"\s*<\?xml[^>]*?encoding\s*=\s*([\"'])([A-Za-z0-9._-]{1,40})\1")
_DECLARATION = re.compile(r"^\s*<\?xml[^>]*\?>")
_WIDER = {"gb2312": "gb18030", "gbk": "gb18030", "cp936": "gb18030", "shift-jis": "cp932", "euc-kr": "cp949"}
"""Encodings that programs declare although they write a wider one, by which each of them is read."""

_NO_TEXT = {"unicode_escape", "raw_unicode_escape", "idna", "punycode", "utf_7", "undefined"}


@dataclass(frozen=True)
class Drawn:
    """One drawn object: the name of its class and its box, xyxy in px or, where the reader says so, in fractions.

    ``note`` says what was repaired.
    """

    name: str
    box: Box
    note: str = ""


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
"""The default: the class that is called fracture."""


@dataclass(frozen=True)
class Sorted:
    """The objects of one film, sorted: fracture boxes, and how many were drawn of every class, kept and dropped.

    ``notes`` say what was repaired in the boxes that are kept.
    """

    boxes: tuple[Box, ...]
    kept: Mapping[str, int]
    dropped: Mapping[str, int]
    notes: tuple[str, ...] = ()


def sort_out(drawn: Iterable[Drawn], fractures: frozenset[str] | None) -> Sorted:
    """Keep the fractures among the objects of a film, all of them where ``fractures`` is None, and count the rest."""
    drawn = tuple(drawn)
    if fractures is None:
        fractures = frozenset(one.name for one in drawn)
    return Sorted(
        boxes=tuple(one.box for one in drawn if one.name in fractures),
        kept=dict(sorted(Counter(one.name for one in drawn if one.name in fractures).items())),
        dropped=dict(sorted(Counter(one.name for one in drawn if one.name not in fractures).items())),
        notes=tuple(one.note for one in drawn if one.note and one.name in fractures),
    )


def class_list(path: Path) -> tuple[str, ...]:
    """Read the class names by index from a data.yaml or meta.yaml: a list, a mapping from 0 on, or only their number.

    Where only ``nc`` is given the classes are called by their number, "0", "1" and so on. Raises MissingData without
    the file, BadValue for anything else, also where ``nc`` and names disagree.
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


def keypoint_shape(path: Path) -> tuple[int, int] | None:
    """Read how many keypoints follow a box, and of how many numbers each is, from a data.yaml; None where none do."""
    stated = read_yaml(path).get("kpt_shape")
    if stated is None:
        return None
    if not isinstance(stated, list) or len(stated) != 2 or not all(type(one) is int and one > 0 for one in stated):
        raise BadValue(f"{path}: expected kpt_shape as the number of keypoints and of numbers each, got {stated!r}")
    return stated[0], stated[1]


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML mapping. Raises MissingData without the file, BadValue for anything else than a mapping."""
    if not path.is_file():
        raise MissingData(f"expected a class list (data.yaml or meta.yaml) at {path}")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except (yaml.YAMLError, UnicodeDecodeError, OSError, RecursionError, ValueError) as error:
        raise BadValue(f"{path}: expected YAML, got {error}") from error
    if not isinstance(content, dict):
        raise BadValue(f"{path}: expected a YAML mapping, got {type(content).__name__}")
    return content


def read_yolo(path: Path, names: Sequence[str] | None, keypoints: tuple[int, int] | None = None) -> tuple[Drawn, ...]:
    """Read a YOLO label: ``class cx cy w h``, or polygons ``class x1 y1 x2 y2 ...`` as their bounding boxes.

    Boxes are fractions of the film, xyxy. Without names classes are called by their number. With ``keypoints`` the
    points behind each box are passed over. Raises BadValue with file name and line number, also for rows of another
    task: classification, pose without its kpt_shape, predictions.
    """
    try:
        lines = _read(path).decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise BadValue(f"{path.name}: expected text, got {error}") from error
    return tuple(
        _yolo_object(words, names, keypoints, f"{path.name} line {number}")
        for number, line in enumerate(lines, start=1)
        if (words := line.split())
    )


def _yolo_object(
    words: Sequence[str], names: Sequence[str] | None, keypoints: tuple[int, int] | None, where: str
) -> Drawn:
    index, *values = (box_math.number(word, where) for word in words)
    if index < 0 or index % 1 or (names is not None and index >= len(names)):
        known = "0 or above" if names is None else f"0..{len(names) - 1}"
        raise BadValue(f"{where}: expected the number of a class, {known}, got {words[0]}")
    name = str(int(index)) if names is None else names[int(index)]
    if len(values) == 4 or (keypoints and len(values) == 4 + keypoints[0] * keypoints[1]):
        cx, cy, w, h = values[:4]
        box_math.check_fractions((cx, cy), where, _CENTRE_BEYOND)
        box_math.check_fractions((abs(w), abs(h)), where, _BEYOND)
        return Drawn(name, *box_math.from_corners(cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2))
    if task := _other_task(words, values, keypoints):
        raise BadValue(f"{where}: {task}, got {len(words)} numbers")
    box_math.check_fractions(values, where, _BEYOND)
    return Drawn(name, _around(values[0::2], values[1::2]))


def _other_task(words: Sequence[str], values: Sequence[float], keypoints: tuple[int, int] | None) -> str:
    """Say what is expected in place of a row whose box is not certain; "" for a polygon."""
    expected = "expected 'class cx cy w h' or 'class x1 y1 x2 y2 x3 y3 ...'"
    count = len(values)
    if keypoints:
        return f"expected a box and {keypoints[0]} keypoints of {keypoints[1]} numbers each, as kpt_shape says"
    if count == 0:
        return f"{expected}, not the class alone, as classification has it"
    if count == 5 or (count == 6 and words[-1].isdigit() and values[-1] >= 1 and 0 <= values[-2] <= 1):
        return f"{expected}, not a box with a confidence or a track, as predictions have it"
    if count >= 7 and count % 3 == 1 and all(value in {0, 1, 2} for value in values[6::3]):
        return f"{expected}; for a box with keypoints data.yaml must state kpt_shape"
    return expected if count < 6 or count % 2 else ""


def read_voc(path: Path) -> tuple[tuple[int, int] | None, tuple[Drawn, ...]]:
    """Read a Pascal VOC file: the film's size in px, None where it is not stated or 0, and boxes in px.

    Where an object has no box but a polygon, its corners give the box. Raises BadValue, naming the file, for anything
    else.
    """
    return voc_objects(read_xml(path), path.name)


def read_xml(path: Path) -> ElementTree.Element:
    """Read Pascal VOC's ``<annotation>`` by the encoding that its first bytes or its declaration state, else UTF-8.

    Raises BadValue, naming the file, for anything else. A document type is refused too: its entities can grow without
    end. A declared encoding that does not fit is ignored where UTF-8 does.
    """
    data = _read(path)
    text = _xml_text(data, path.name)
    if "\0" in text or "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise BadValue(f"{path.name}: expected plain XML, got a document type, entities or NUL bytes")
    try:
        # Without a document type there is no entity to expand. The declaration was obeyed already and is left out.
        root = ElementTree.fromstring(_DECLARATION.sub("", text.lstrip("\ufeff"), count=1))  # noqa: S314
    except (ElementTree.ParseError, ValueError) as error:
        raise BadValue(f"{path.name}: expected XML, got {error}") from error
    if root.tag == "annotations":
        raise BadValue(
            f"{path.name}: expected Pascal VOC's <annotation>, got <annotations>, as CVAT writes for many "
            "films; export them as Pascal VOC or COCO"
        )
    if root.tag != "annotation":
        raise BadValue(f"{path.name}: expected Pascal VOC's <annotation>, got <{root.tag}>")
    return root


def _xml_text(data: bytes, where: str) -> str:
    bom = next((name for mark, name in _MARKS if data.startswith(mark)), None)
    declared = _ENCODING.match(data)
    stated = bom or (declared[2].decode("ascii") if declared else "utf-8")
    encoding = _WIDER.get(stated.lower().replace("_", "-"), stated)
    if b"<" not in data:
        raise BadValue(f"{where}: expected XML, got something else")
    for name in (encoding, "utf-8"):
        try:
            if name.lower().replace("-", "_") in _NO_TEXT:
                raise LookupError(name)
            text = data.decode(name)
            if "<" in text:  # ASCII decodes as UTF-16 too, into text without any tag
                return text
        except (LookupError, ValueError):
            continue
    why = (
        "as it declares, got bytes that are none, nor UTF-8" if bom or declared else "for it declares no other encoding"
    )
    raise BadValue(f"{where}: expected text in {stated}, {why}")


def voc_objects(root: ElementTree.Element, where: str) -> tuple[tuple[int, int] | None, tuple[Drawn, ...]]:
    """Give the film's size and what is drawn, as `read_voc` does. Raises BadValue that begins with ``where``."""
    width, height = (
        box_math.number(root.findtext(f"size/{side}", "0"), f"{where} <{side}>") for side in ("width", "height")
    )
    drawn = []
    for one in root.findall("object"):
        name = one.findtext("name", "").strip()
        if not name:
            raise BadValue(f"{where}: expected a <name> in every <object>")
        corners = [
            box_math.number(text, f"{where} {name!r} <{edge}>") for edge, text in _corners(one, f"{where} {name!r}")
        ]
        box_math.check_pixels(corners, f"{where} {name!r}")
        xs, ys = corners[0::2], corners[1::2]
        box = box_math.from_corners(*corners) if len(corners) == 4 else (_around(xs, ys), "")
        drawn.append(Drawn(name, *box))
    return (int(width), int(height)) if width > 0 and height > 0 else None, tuple(drawn)


def _corners(one: ElementTree.Element, where: str) -> list[tuple[str, str | None]]:
    """Give the corners of an object, x and y in turn, as the file has them: its box's, else its polygon's."""
    boxes, polygon = one.findall("bndbox"), one.find("polygon")
    if len(boxes) > 1:
        raise BadValue(f"{where}: expected one <bndbox>, got {len(boxes)}")
    if not boxes and polygon is not None:
        found = {child.tag: child.text for child in polygon}
        count = len(found) // 2
        if count > 2 and found.keys() == {f"{axis}{n}" for axis in "xy" for n in range(1, count + 1)}:
            return [(f"{axis}{n}", found[f"{axis}{n}"]) for n in range(1, count + 1) for axis in "xy"]
    others = [child.tag for child in one if not boxes and "box" in child.tag]
    if others:
        raise BadValue(f"{where}: expected a <bndbox>, got <{others[0]}>")
    return [(edge, one.findtext(f"bndbox/{edge}")) for edge in ("xmin", "ymin", "xmax", "ymax")]


def read_supervisely(path: Path) -> tuple[tuple[int, int] | None, tuple[Drawn, ...]]:
    """Read a Supervisely annotation: the film's size in px, None where it is not stated, and boxes in px.

    Rectangles, polygons and lines are given as the box around their points. Raises BadValue, naming the file, for
    anything else.
    """
    try:
        content = json.loads(_read(path))
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
        xs, ys = ([box_math.number(value, f"{path.name} {name!r}") for value in values] for values in points)
        drawn.append(Drawn(str(name), _around(xs, ys)))
    width, height = (box_math.number(side, f"{path.name} size") for side in sides)
    return (int(width), int(height)) if width > 0 and height > 0 else None, tuple(drawn)


def _around(xs: Sequence[float], ys: Sequence[float]) -> Box:
    return min(xs), min(ys), max(xs), max(ys)


def _read(path: Path) -> bytes:
    """Read a file. Raises BadValue, naming it, where the disk refuses."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadValue(f"{path.name}: cannot be opened: {error.strerror}") from error


def _plain(name: str) -> str:
    return " ".join(name.casefold().replace("-", " ").replace("_", " ").split())


def _list(names: Sequence[str]) -> str:
    return ", ".join(repr(name) for name in names) or "no names"
