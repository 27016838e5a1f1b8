"""YOLO text: a folder of ``<film>.txt``, a row ``class cx cy width height score`` per box, in fractions of the film.

Format: docs.ultralytics.com, predict mode with ``save_txt`` and ``save_conf``.
"""

from pathlib import Path
from reprlib import repr as quoted

from fracture.core import boxes as box_math
from fracture.core.errors import BadValue
from fracture.core.folders import walk
from fracture.core.types import ImageRecord, Prediction, Refusal
from fracture.predictions.films import Content, Films, Row, detections, numbers, row

_BEYOND = 1.0
"""How far a predicted box may leave its film, in fractions of it: not every program clips."""


def files_in(folder: Path) -> list[Path]:
    """List the text files below a folder; two films may share one by links."""
    return [file for file in walk(folder).names if file.suffix.lower() == ".txt"]


def load(folder: Path, films: Films, _coco_images: Path | None = None) -> Content:
    """Read a folder. An absent or empty file says that nothing was found, and so does a folder without any file.

    Raises BadValue that names the row, and for a folder that holds something else or cannot be read whole.
    """
    tree = walk(folder)
    files = files_in(folder)
    if tree.unread or (tree.files and not files):
        raise BadValue(f"{folder}: expected <film>.txt files, found none{tree.why}; Ultralytics puts them into labels/")
    matched = films.match([file.stem for file in files])
    classes: dict[str, int] = {}
    found: dict[str, list[Row]] = {}
    for file in files:
        film = matched[file.stem]
        if film.image_id in found:
            raise BadValue(f"{file}: expected one file per film, got a second of {film.image_id}")
        found[film.image_id] = _rows(file, film, classes)
    answers: dict[str, Prediction | Refusal] = {
        image_id: Prediction(film.size_px, detections(found.get(image_id, [])), "", "")
        for image_id, film in films.records.items()
    }
    return Content(answers, frozenset(found), tuple(classes))


def _rows(file: Path, film: ImageRecord, classes: dict[str, int]) -> list[Row]:
    try:
        lines = file.read_bytes().decode("utf-8-sig").split("\n")
    except ValueError as error:
        raise BadValue(f"{file}: expected text, got {error}") from error
    rows = []
    for number, text in enumerate(lines, start=1):
        where, cells = f"{file} row {number}", text.split()
        if not cells:
            continue
        if len(cells) == 5:
            raise BadValue(f"{where}: expected six numbers, got five: no score; predict with save_txt and save_conf")
        try:
            label, values = str(int(cells[0])), [box_math.number(cell, where) for cell in cells[1:]]
        except (BadValue, ValueError) as error:
            raise BadValue(
                f"{where}: expected a class index, four fractions and a score, got {quoted(text.strip())}"
            ) from error
        cx, cy, width, height, score = numbers(where, values, 5, "a class index, four fractions and a score")
        box_math.check_fractions((cx, cy, width, height), where, _BEYOND)
        xyxy = box_math.from_yolo((cx, cy, width, height), film.size_px)
        rows.append(row(where, xyxy, score, classes.setdefault(label, len(classes))))
    return rows
