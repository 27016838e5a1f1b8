"""YOLO text: a folder of ``<film>.txt``, a row ``class cx cy width height score`` per box, in fractions of the film.

Format: docs.ultralytics.com, predict mode with ``save_txt`` and ``save_conf``.
"""

from pathlib import Path
from reprlib import repr as quoted

from fracture import boxes as box_math
from fracture.errors import BadValue
from fracture.outputs.films import Content, Films, Row, detections, numbers, row
from fracture.types import ImageRecord, Prediction, Refusal


def files_in(folder: Path) -> list[Path]:
    """List the text files of a folder; links that lead out of it are none of them."""
    inside = folder.resolve()
    found = (file for file in sorted(folder.iterdir()) if file.suffix.lower() == ".txt")
    return [file for file in found if file.is_file() and file.resolve().parent == inside]


def load(folder: Path, films: Films, _coco_images: Path | None = None) -> Content:
    """Read a folder. An absent or empty file says that nothing was found. Raises BadValue that names the row."""
    files = files_in(folder)
    if not files:
        raise BadValue(f"{folder}: expected <film>.txt files, found none; Ultralytics puts them into labels/")
    matched = films.match([file.stem for file in files])
    classes: dict[str, int] = {}
    found = {matched[file.stem].image_id: _rows(file, matched[file.stem], classes) for file in files}
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
            label, values = str(int(cells[0])), [float(cell) for cell in cells[1:]]
        except ValueError as error:
            raise BadValue(f"{where}: expected a class index and numbers, got {quoted(text.strip())}") from error
        cx, cy, width, height, score = numbers(where, values, 5, "a class index, four fractions and a score")
        if not all(-1 <= part <= 2 for part in (cx, cy, width, height)):
            raise BadValue(f"{where}: expected fractions of the film, got {quoted(text.strip())}")
        xyxy = box_math.from_yolo((cx, cy, width, height), film.size_px)
        rows.append(row(where, xyxy, score, classes.setdefault(label, len(classes))))
    return rows
