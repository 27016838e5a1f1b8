"""COCO: any set of films whose boxes are in COCO's json, a person's own or an export of an annotation tool.

Format: cocodataset.org, "Data format", object detection. The licence is that of the films and is said with the set.

``annotations`` is one json or a folder with several at any depth (Roboflow writes ``train/_annotations.coco.json``
beside its films). A ``file_name`` is relative to the folder of films, else to the json's own. Boxes are
[x, y, width, height] px; where there is none, polygons give it. Categories count by name: an id means something else in
every export.

An image entry may also state ``patient_id``, ``study_id``, ``view`` and ``region`` (or ``regions``, a list), which is
how an owner says which films belong to one person; so may films.csv, see `fracture.data.sources.annotated`. Two more
fields are those of a service's corrections (`GET /feedback/coco`): ``sha256`` of the film's file, by which the film is
found under any name, and ``fractured``: true, false, or null where nobody could tell.
"""

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fracture.core import boxes as box_math
from fracture.core.errors import BadValue, MissingData
from fracture.core.folders import Tree, walk
from fracture.core.types import Box
from fracture.data.ingest import Claim, Provenance
from fracture.data.labels import Drawn, FractureClasses
from fracture.data.sources.annotated import Facts, Films, Meant, read_facts
from fracture.data.sources.joined import Annotation, Truth, claim_films, settle, unread

_FACTS = ("patient_id", "study_id", "view", "region", "regions")
_AGREE = 0.5
"""A box and its outline overlap by more than this, however they were rounded and clipped."""

Entry = Mapping[str, Any]


@dataclass(frozen=True)
class _File:
    """One json: its category names by id, its image entries by id, the annotations of each image."""

    path: Path
    names: Mapping[object, str]
    images: Mapping[object, Entry]
    drawn: Mapping[object, Sequence[Entry]]


def claims(images: Path, annotations: Path, about: Provenance) -> Iterator[Claim]:
    """Give one claim per film below ``images`` and per film that is listed.

    Raises, before the first claim, MissingData without films or json, and BadValue for a json that is not COCO, an
    annotation of an unknown image or category, and fracture classes that are not among the categories. An index of
    ``about.classes`` is a category id.
    """
    films = Films.below(images)
    tree = walk(annotations)
    files = [_read(path) for path in _jsons(tree)]
    fractures = _fractures(about.classes, files)
    last = _last(files)
    listed = [
        (image["file_name"], meant, _annotation(file, image_id))
        for file in files
        for image_id, image in file.images.items()
        if last.get(_corrected(image), image) is image
        for meant in _films(films, image, file.path)
    ]
    return claim_films(films, settle(films, listed) + unread(tree), fractures, about)


def _jsons(tree: Tree) -> list[Path]:
    found = [tree.root] if tree.root.is_file() else [path for path in tree.files if path.suffix.lower() == ".json"]
    if not found:
        raise MissingData(f"expected a COCO json, or a folder with some, at {tree.root}{tree.why}")
    return found


def _read(path: Path) -> _File:
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise BadValue(f"{path}: expected COCO's json, got {error}") from error
    lists = ("images", "annotations", "categories")
    if not isinstance(content, dict) or not all(isinstance(content.get(name), list) for name in lists):
        raise BadValue(f"{path}: expected COCO's json, an object with the lists {', '.join(lists)}")
    names: dict[object, str] = {}
    for number, category in enumerate(content["categories"]):
        where = f"{path}: categories[{number}]"
        key, name = _id(category, "id", where), _text(category, "name", where)
        if names.setdefault(key, name) != name:
            raise BadValue(f"{where}: expected every id once, got {key!r} for {names[key]!r} and {name!r}")
    images: dict[object, Entry] = {}
    for number, image in enumerate(content["images"]):
        where = f"{path}: images[{number}]"
        key = _id(image, "id", where)
        _text(image, "file_name", where)
        known_by = image.get("sha256")
        if known_by is not None and not re.fullmatch("[0-9A-Fa-f]{64}", str(known_by)):
            raise BadValue(f"{where}: expected a sha256 of 64 hexadecimal digits, got {known_by!r}")
        if key in images:
            raise BadValue(f"{where}: expected every id once, got {key!r} again")
        images[key] = image
    drawn: defaultdict[object, list[Entry]] = defaultdict(list)
    for number, annotation in enumerate(content["annotations"]):
        where = f"{path}: annotations[{number}]"
        image_id, category_id = _id(annotation, "image_id", where), _id(annotation, "category_id", where)
        if image_id not in images:
            raise BadValue(f"{where}: expected an image_id out of images, got {image_id!r}")
        if category_id not in names:
            raise BadValue(f"{where}: expected a category_id out of {_list(names)}, got {category_id!r}")
        drawn[image_id].append(annotation)
    return _File(path, names, images, drawn)


def _corrected(image: Entry) -> tuple[str, object] | None:
    """Give the film and frame that an entry corrects; None for one that is no correction."""
    if not isinstance(image.get("kept_at"), str) or image.get("sha256") is None:
        return None
    return image["sha256"].lower(), image.get("frame")


def _last(files: Sequence[_File]) -> dict[tuple[str, object] | None, Entry]:
    """Give the last correction of each film: exports of several days may lie in one folder."""
    found = [(key, image) for file in files for image in file.images.values() if (key := _corrected(image))]
    return dict(sorted(found, key=lambda one: str(one[1]["kept_at"])))


def _films(films: Films, image: Entry, path: Path) -> Sequence[Meant]:
    """Give the film that an image entry means; each copy of it where the entry knows it by its content."""
    sha256 = image.get("sha256")
    if sha256 is None:
        return [films.find(image["file_name"], path.parent)]
    return [Meant((film,), sure=True) for film in films.of_content(sha256)] or [Meant(())]


def _fractures(classes: FractureClasses, files: Sequence[_File]) -> frozenset[str]:
    """Give the category names that are fractures. An index given on purpose is the category id that a person reads."""
    if classes.index is not None:
        meant = {file.names.get(classes.index, "") for file in files}
        if len(meant) > 1 or "" in meant:
            known = "; ".join(sorted({_list(file.names) for file in files}))
            raise BadValue(f"expected a category id that is one name in every json, got {classes.index} of {known}")
        classes = FractureClasses(names=tuple(meant))
    return classes.of(sorted({name for file in files for name in file.names.values()}))


def _annotation(file: _File, image_id: object) -> Annotation:
    """Give what a json says about a film that is not matched yet."""
    image, drawn, problem = file.images[image_id], [], None
    for one in file.drawn.get(image_id, ()):
        try:
            drawn.append(Drawn(file.names[one["category_id"]], *_box(one, f"annotation {one.get('id')!r}")))
        except BadValue as error:
            problem = str(error)
    if image.get("frame"):
        problem = f"corrects frame {image['frame']} of a file with several: expected a film in a file of its own"
    return Annotation(
        film="",
        size_px=_size(image),
        drawn=tuple(drawn),
        facts=_facts(image, f"{file.path}: image {image_id!r}"),
        truth=_truth(image, f"{file.path}: image {image_id!r}"),
        problem=problem,
    )


def _box(annotation: Entry, where: str) -> tuple[Box, str]:
    """Give the box in px, and a note where it was repaired: the outline's where there is no bbox or it has no extent.

    Raises BadValue where there is neither, where values are no numbers or are fractions, and where the two disagree.
    """
    bbox = annotation.get("bbox") or []
    if not isinstance(bbox, list) or len(bbox) not in {0, 4}:
        raise BadValue(f"{where}: expected a bbox [x, y, width, height] or polygons, got {bbox!r}")
    x, y, width, height = [box_math.number(value, f"{where} bbox") for value in bbox] or [0.0] * 4
    try:
        outline = _outline(annotation.get("segmentation"), f"{where} without a bbox")
    except BadValue:
        if not width or not height:
            raise
        outline = None
    if not width or not height:
        if not outline and not bbox:
            raise BadValue(f"{where}: expected a bbox [x, y, width, height] or polygons, got neither")
        if outline:
            return outline, f"box {[round(edge, 1) for edge in outline]} is its outline's: the bbox has no extent"
    box, note = box_math.from_corners(x, y, x + width, y + height)
    box_math.check_pixels((x, y, width, height), f"{where} bbox")
    if outline and width and height and box_math.iou(np.array([box]), np.array([outline]))[0, 0] < _AGREE:
        raise BadValue(f"{where}: expected bbox and outline to agree, got {box} and {outline}")
    return box, note


def _outline(shape: object, where: str) -> Box | None:
    """Give the box around polygons or a run-length mask; None where there is nothing in them."""
    if isinstance(shape, dict):
        return _around_mask(shape, where)
    if not isinstance(shape, list) or not any(shape):
        return None
    polygons = shape if all(isinstance(polygon, list) for polygon in shape) else [shape]
    points = [[box_math.number(value, f"{where}, polygon") for value in polygon] for polygon in polygons if polygon]
    if any(len(polygon) % 2 for polygon in points):
        raise BadValue(f"{where}: expected a polygon as x and y in turn, got {len(points[0])} numbers")
    xs = [value for polygon in points for value in polygon[0::2]]
    ys = [value for polygon in points for value in polygon[1::2]]
    box_math.check_pixels([*xs, *ys], f"{where} polygon")
    box = min(xs), min(ys), max(xs), max(ys)
    return box if box[0] < box[2] and box[1] < box[3] else None


def _around_mask(mask: Entry, where: str) -> Box | None:
    """Give the box around a mask of run lengths, column by column, zeros first: cocoapi, common/maskApi.c.

    Runs are numbers, or text of 5 bits a character, low bits first, each from the fourth on as the difference to the
    one before the last.
    """
    size, counts = mask.get("size"), mask.get("counts")
    if not isinstance(size, list) or len(size) != 2 or not all(type(side) is int and side > 0 for side in size):
        raise BadValue(f"{where}: expected a mask's size as [height, width], got {size!r}")
    runs = _runs(counts) if isinstance(counts, str) else counts
    if not isinstance(runs, list) or not all(type(run) is int and run >= 0 for run in runs):
        raise BadValue(f"{where}: expected a mask's counts as run lengths, got something else")
    height, width = size
    if sum(runs) > height * width:
        raise BadValue(f"{where}: expected a mask of {height * width} pixels, got {sum(runs)}")
    boxes = []
    end = 0
    for number, run in enumerate(runs):
        start, end = end, end + run
        if number % 2 and run:
            (left, top), (right, bottom) = divmod(start, height), divmod(end - 1, height)
            boxes.append((left, top if left == right else 0, right + 1, bottom + 1 if left == right else height))
    if not boxes:
        return None
    lefts, tops, rights, bottoms = zip(*boxes, strict=True)
    return float(min(lefts)), float(min(tops)), float(max(rights)), float(max(bottoms))


def _runs(text: str) -> list[int]:
    runs: list[int] = []
    value, shift = 0, 0
    for char in text:
        bits = ord(char) - 48
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            value -= (1 << shift) if bits & 16 else 0
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value, shift = 0, 0
    return runs


def _size(image: Entry) -> tuple[int, int] | None:
    try:
        width, height = (box_math.number(image.get(side), side) for side in ("width", "height"))
    except BadValue:
        return None
    return (int(width), int(height)) if min(width, height) >= 1 else None


def _facts(image: Entry, where: str) -> Facts:
    said = {name: image[name] for name in _FACTS if image.get(name) is not None}
    cells = {name: "|".join(map(str, cell)) if isinstance(cell, list) else str(cell) for name, cell in said.items()}
    return read_facts(cells, where)


def _truth(image: Entry, where: str) -> Truth | None:
    if "fractured" not in image:
        return None
    said = image["fractured"]
    if said is not None and not isinstance(said, bool):
        raise BadValue(f"{where}: expected fractured to be true, false or null, got {said!r}")
    return {True: Truth.FRACTURED, False: Truth.NORMAL, None: Truth.UNKNOWN}[said]


def _id(entry: object, name: str, where: str) -> object:
    value = entry.get(name) if isinstance(entry, dict) else None
    if not isinstance(value, int | str):
        raise BadValue(f"{where}: expected a number or text as {name}, got {value!r}")
    return value


def _text(entry: object, name: str, where: str) -> str:
    value = entry.get(name) if isinstance(entry, dict) else None
    if not isinstance(value, str) or not value.strip("./\\ "):
        raise BadValue(f"{where}: expected a {name}, got {value!r}")
    return value


def _list(names: Mapping[object, str]) -> str:
    return ", ".join(f"{key} {name!r}" for key, name in names.items()) or "no categories"
