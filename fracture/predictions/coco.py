"""COCO: detection results of other programs, and ours for other scorers.

Format: cocodataset.org, "Data format" and "Results format": a list of {image_id, category_id, bbox [x, y, width,
height] px, score}, or an object whose ``annotations`` are such a list beside its ``images``.
"""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from reprlib import repr as quoted
from typing import Any

from fracture.core.errors import BadValue, MissingData
from fracture.core.types import ImageRecord, Prediction, Refusal
from fracture.data.names import stem
from fracture.data.yolo import CLASSES
from fracture.predictions.films import Content, Films, Row, check_size, detections, numbers, row


def load(file: Path, films: Films, coco_images: Path | None = None) -> Content:
    """Read a results file. ``coco_images`` is any json whose ``images`` say which film an ``image_id`` is.

    Where images are listed, a listed film without a row is one on which nothing was found; else every film without a
    row is. A row that names its film by ``file_name`` means that film. Raises BadValue that names the row, also where
    the number in a row and the name in it mean two films.
    """
    content = _read(file)
    listing = content if coco_images is None else _read(coco_images)
    results = content.get("annotations") if isinstance(content, dict) else content
    images = listing.get("images") if isinstance(listing, dict) else None
    if not isinstance(results, list):
        raise BadValue(f"{file}: expected COCO results, a list or an object with the lists images and annotations")
    if not isinstance(images, list) and (coco_images is not None or (isinstance(content, dict) and results)):
        raise BadValue(f"{coco_images or file}: expected an object with the list images")
    entries = _entries(coco_images or file, images or [])
    classes: dict[str, int] = {}
    names: list[str] = []
    rows: list[Row] = []
    for number, result in enumerate(results, start=1):
        where = f"{file} row {number}"
        names.append(_name(where, result, entries, films, listed=images is not None))
        x, y, width, height = numbers(where, result.get("bbox"), 4, "a bbox [x, y, width, height]")
        label = classes.setdefault(str(_key(where, result, "category_id")), len(classes))
        rows.append(row(where, (x, y, x + width, y + height), result.get("score"), label))
    matched = films.match(names)
    found: defaultdict[str, list[Row]] = defaultdict(list)
    for name, one in zip(names, rows, strict=True):
        found[matched[name].image_id].append(one)
    read = films.records
    if images is not None:
        read = _listed(coco_images or file, entries, films) | {film.image_id: film for film in matched.values()}
    answers: dict[str, Prediction | Refusal] = {
        image_id: Prediction(film.size_px, detections(found[image_id]), "", "") for image_id, film in read.items()
    }
    return Content(answers, frozenset(film.image_id for film in matched.values()), tuple(classes))


def truth(records: Sequence[ImageRecord]) -> dict[str, Any]:
    """Give COCO's ground truth of films whose boxes are known: ids from 1, images in the records' order."""
    drawn = [(image, box) for image, record in enumerate(records, start=1) for box in record.boxes or ()]
    return {
        "images": [
            {"id": image, "file_name": record.path, "width": record.size_px[0], "height": record.size_px[1]}
            for image, record in enumerate(records, start=1)
        ],
        "annotations": [
            {
                "id": number,
                "image_id": image,
                "category_id": 1,
                "bbox": [x0, y0, x1 - x0, y1 - y0],
                "area": (x1 - x0) * (y1 - y0),
                "iscrowd": 0,
            }
            for number, (image, (x0, y0, x1, y1)) in enumerate(drawn, start=1)
        ],
        "categories": [{"id": number, "name": name} for number, name in enumerate(CLASSES, start=1)],
    }


def results(answers: Mapping[str, Prediction], ids: Mapping[str, int]) -> list[dict[str, Any]]:
    """Give COCO's results of the films in ``ids``, image id to the number that `truth` gave the film."""
    return [
        {"image_id": image, "category_id": label + 1, "bbox": [x0, y0, x1 - x0, y1 - y0], "score": score}
        for image_id, image in ids.items()
        for (x0, y0, x1, y1), score, label in zip(
            answers[image_id].detections.xyxy.tolist(),
            answers[image_id].detections.score.tolist(),
            answers[image_id].detections.label.tolist(),
            strict=True,
        )
    ]


def _read(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        raise MissingData(f"no such file: {file}") from error
    except (ValueError, RecursionError) as error:
        raise BadValue(f"{file}: expected COCO's json, got {error}") from error


def _key(where: str, entry: object, name: str) -> int | str:
    value = entry.get(name) if isinstance(entry, dict) else None
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise BadValue(f"{where}: expected a number or text as {name}, got {quoted(value)}")
    return value


def _entries(file: Path, images: Sequence[object]) -> dict[int | str, dict[str, Any]]:
    """Give the image entries by id."""
    entries: dict[int | str, dict[str, Any]] = {}
    for number, image in enumerate(images, start=1):
        where = f"{file} image {number}"
        key = _key(where, image, "id")
        if not isinstance(image, dict) or not isinstance(image.get("file_name"), str):
            raise BadValue(f"{where}: expected a file_name, got {quoted(image)}")
        if key in entries:
            raise BadValue(f"{where}: expected every id once, got {quoted(key)} again")
        entries[key] = image
    return entries


def _name(
    where: str, result: object, entries: Mapping[int | str, dict[str, Any]], films: Films, *, listed: bool
) -> str:
    """Give the name of the film that a row means: the one it states, else the one listed under its number."""
    key = _key(where, result, "image_id")
    entry = entries.get(key) or next((entries[other] for other in entries if str(other) == str(key)), None)
    stated = result.get("file_name") if isinstance(result, dict) else None
    own = stated if isinstance(stated, str) and stated else key if isinstance(key, str) else None
    if entry is None and own is None:
        if listed:
            raise BadValue(f"{where}: expected an image_id out of the listed images, got {quoted(key)}")
        raise BadValue(
            f"{where}: image_id {quoted(key)} is a number: name the annotations file it comes from (coco_images), "
            "or any json whose images give id and file_name"
        )
    if entry is None or own is None:
        return str(own if entry is None or own is not None else entry["file_name"])
    told, meant = films.find(entry["file_name"]), films.find(own)
    # Ultralytics numbers a film by its name where that is a number: the listing's numbers are others.
    from_name = own is stated and stem(str(own).replace("\\", "/").rpartition("/")[2]).lstrip("0") == str(key).lstrip(
        "0"
    )
    if told is not None and meant is not None and told is not meant and not from_name:
        raise BadValue(
            f"{where}: expected image_id and name to mean one film, got {quoted(key)}, listed as {told.image_id}, and "
            f"{quoted(own)}, which is {meant.image_id}"
        )
    return own if meant is not None else str(entry["file_name"])


def _listed(file: Path, entries: Mapping[int | str, dict[str, Any]], films: Films) -> dict[str, ImageRecord]:
    """Give the listed films that the manifest knows, checking that they are of its size."""
    listed: dict[str, ImageRecord] = {}
    for key, image in entries.items():
        where = f"{file} image {quoted(key)}"
        film = films.find(image["file_name"])
        if film is None:
            continue
        if film.image_id in listed:
            raise BadValue(f"{where}: expected every film once, got {film.image_id} again")
        if image.get("width") is not None and image.get("height") is not None:
            width, height = numbers(where, [image["width"], image["height"]], 2, "a width and height")
            check_size(where, (width, height), film)
        listed[film.image_id] = film
    return listed
