"""FracAtlas: 4,083 films of hand, leg, hip and shoulder, 717 with fractures, boxed by two radiologists.

Source: figshare 22363012, CC BY 4.0. Abedeen et al., "FracAtlas: A Dataset for Fracture Classification, Localization
and Segmentation of Musculoskeletal Radiographs", Scientific Data 10, 521 (2023).

Read here: the folders, ``dataset.csv``, the COCO boxes and the published split lists, which name fractured films only.
There are no patient ids; films of one examination mostly carry consecutive numbers, equal region flags and one film
size, so every claim carries its running number as ``sequence``.
"""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fracture.core.errors import BadValue, MissingData
from fracture.core.folders import walk
from fracture.core.types import Box
from fracture.data.ingest import Claim

LICENCE = "CC BY 4.0"
ATTRIBUTION = (
    "Abedeen et al., FracAtlas: A Dataset for Fracture Classification, Localization and Segmentation of "
    "Musculoskeletal Radiographs, Scientific Data 10, 521 (2023), https://figshare.com/articles/dataset/The_dataset/22363012"
)
COCO = "Annotations/COCO JSON/COCO_fracture_masks.json"
OFFICIAL = {"train": "train.csv", "val": "valid.csv", "test": "test.csv"}
FOLDERS = {"Fractured": True, "Non_fractured": False}
REGION_FLAGS = ("hand", "leg", "hip", "shoulder")
VIEW_FLAGS = ("frontal", "lateral", "oblique")
_ATTRIBUTE_FLAGS = ("hardware", "multiscan", "mixed")


def claims(root: Path) -> Iterator[Claim]:
    """Give one claim per film on disk and per row of dataset.csv, whichever has it. Raises MissingData, BadValue."""
    rows = {row["image_id"]: row for row in _table(root / "dataset.csv")}
    coco_sizes, coco_boxes = _coco(root / COCO)
    official = {
        row["image_id"]: split
        for split, name in OFFICIAL.items()
        for row in _table(root / "Utilities" / "Fracture Split" / name)
    }
    trees = {folder: walk(root / "images" / folder) for folder in FOLDERS}
    places = {path: folder for folder, tree in trees.items() for path in tree.places if path.suffix.lower() == ".jpg"}
    files = {path.name: path for path in places}
    if not files:
        why = "".join(tree.why for tree in trees.values())
        raise MissingData(f"no films in {root}/images/Fractured or {root}/images/Non_fractured{why}")
    for name in sorted(files.keys() | rows.keys()):
        row, file = rows.get(name), files.get(name)
        boxes = coco_boxes.get(name, ())
        notes = [] if row else ["not in dataset.csv"]
        folder_says = FOLDERS[places[file]] if file else None
        fractured = folder_says if folder_says is not None else bool(boxes)
        if row and (row["fractured"] == "1") != fractured:
            notes.append(f"dataset.csv says fractured={row['fractured']}, the folder and the boxes say otherwise")
        problem = None
        if file is not None and all((root / "images" / folder / name).is_file() for folder in FOLDERS):
            problem = "a film of this name lies in both folders"
        elif file is None:
            problem = "listed in dataset.csv, no film on disk"
        elif fractured != bool(boxes):
            problem = f"in folder {places[file]} with {len(boxes)} boxes"
        yield Claim(
            image_id=f"fracatlas/{name.removesuffix('.jpg')}",
            file=file or root / "images" / name,
            source="fracatlas",
            licence=LICENCE,
            attribution=ATTRIBUTION,
            regions=frozenset(flag for flag in REGION_FLAGS if row and row[flag] == "1") or frozenset({"unknown"}),
            view="+".join(flag for flag in VIEW_FLAGS if row and row[flag] == "1") or None,
            fractured=fractured,
            boxes=boxes,
            kept={"fractured": len(boxes)} if boxes else {},
            claimed_px=coco_sizes.get(name),
            sequence=_number(name),
            attributes={flag: row[flag] for flag in _ATTRIBUTE_FLAGS if row}
            | ({"official_split": official[name]} if name in official else {}),
            notes=tuple(notes),
            problem=problem,
        )


def _number(name: str) -> int:
    digits = "".join(filter(str.isdigit, name))
    if not digits:
        raise BadValue(f"expected a film named like IMG0000019.jpg, got {name!r}")
    return int(digits)


def _table(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        raise MissingData(f"expected FracAtlas' {path.name} at {path}")
    with path.open(newline="", encoding="utf-8-sig") as file:
        return list(csv.DictReader(file))


def _coco(path: Path) -> tuple[dict[str, tuple[int, int]], dict[str, tuple[Box, ...]]]:
    if not path.is_file():
        raise MissingData(f"expected FracAtlas' COCO boxes at {path}")
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    names = {image["id"]: image["file_name"] for image in content["images"]}
    sizes = {image["file_name"]: (int(image["width"]), int(image["height"])) for image in content["images"]}
    boxes: dict[str, tuple[Box, ...]] = {}
    for note in content["annotations"]:
        x, y, width, height = (float(value) for value in note["bbox"])
        name = names[note["image_id"]]
        boxes[name] = (*boxes.get(name, ()), (x, y, x + width, y + height))
    return sizes, boxes
