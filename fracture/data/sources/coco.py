"""COCO: any set of films whose boxes are in COCO's json, a person's own or an export of an annotation tool.

Format: cocodataset.org, "Data format", object detection. The licence is that of the films and is said with the set.

``annotations`` is one json or a folder with several at any depth (Roboflow writes ``train/_annotations.coco.json``
beside its films). A ``file_name`` is relative to the folder of films, else to the json's own. Boxes are
[x, y, width, height] px; where there is none, polygons give it. Categories count by name: an id means something else in
every export.

An image entry may also state ``patient_id``, ``study_id``, ``view`` and ``region`` (or ``regions``, a list), which is
how an owner says which films belong to one person; so may films.csv, see `fracture.data.sources.annotated`.
"""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fracture.data.ingest import Claim, Provenance
from fracture.data.labels import Drawn, FractureClasses
from fracture.data.sources.annotated import Facts, Films, read_facts
from fracture.data.sources.joined import Annotation, claim_films, settle, unread
from fracture.errors import BadValue, MissingData
from fracture.files import Tree, walk
from fracture.types import Box

_FACTS = ("patient_id", "study_id", "view", "region", "regions")
_FAR_PX = 1e9
"""No film reaches as far: what is beyond, infinite or no number at all is a mistake."""

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
    listed = [
        (image["file_name"], films.find(image["file_name"], file.path.parent), _annotation(file, image_id))
        for file in files
        for image_id, image in file.images.items()
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
    """Give what a json says about a film yet to be found."""
    image, drawn, problem = file.images[image_id], [], None
    for one in file.drawn.get(image_id, ()):
        box = _box(one)
        if box is None:
            problem = f"annotation {one.get('id')!r}: expected a bbox [x, y, width, height] or polygons, got neither"
        else:
            drawn.append(Drawn(file.names[one["category_id"]], box))
    return Annotation(
        film="",
        size_px=_size(image),
        drawn=tuple(drawn),
        facts=_facts(image, f"{file.path}: image {image_id!r}"),
        problem=problem,
    )


def _box(annotation: Entry) -> Box | None:
    """Give the box in px, by the polygons where there is no bbox; None where there is neither."""
    bbox, polygons = annotation.get("bbox"), annotation.get("segmentation")
    if bbox:
        if not _numbers(bbox) or len(bbox) != 4:
            return None
        x, y, width, height = (float(value) for value in bbox)
        return x, y, x + width, y + height
    if not isinstance(polygons, list) or not polygons or not all(_numbers(polygon) for polygon in polygons):
        return None
    xs = [float(value) for polygon in polygons for value in polygon[0::2]]
    ys = [float(value) for polygon in polygons for value in polygon[1::2]]
    return (min(xs), min(ys), max(xs), max(ys)) if len(xs) == len(ys) > 0 else None


def _numbers(values: object) -> bool:
    return isinstance(values, list) and all(isinstance(one, int | float) and abs(one) < _FAR_PX for one in values)


def _size(image: Entry) -> tuple[int, int] | None:
    width, height = image.get("width", 0), image.get("height", 0)
    return (int(width), int(height)) if _numbers([width, height]) and min(width, height) >= 1 else None


def _facts(image: Entry, where: str) -> Facts:
    said = {name: image[name] for name in _FACTS if image.get(name) is not None}
    cells = {name: "|".join(map(str, cell)) if isinstance(cell, list) else str(cell) for name, cell in said.items()}
    return read_facts(cells, where)


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
