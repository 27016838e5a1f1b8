"""Films and labels as files: encoded without a clock, so that one seed gives the same bytes whenever it is run."""

import csv
import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fracture.core.types import Box

Outline = Sequence[tuple[float, float]]
_EXIF_ORIENTATION = 0x0112


def jpeg(pixels: NDArray[np.uint8], *, quality: int = 90, orientation: int = 1) -> bytes:
    """Encode a film as most sets hold them: grey saved as colour, with an EXIF tag that says how it is turned."""
    exif = Image.Exif()
    exif[_EXIF_ORIENTATION] = orientation
    return _encode(Image.fromarray(pixels).convert("RGB"), "JPEG", quality=quality, exif=exif)


def png(pixels: NDArray[Any]) -> bytes:
    """Encode a film of 8 or 16 bits as PNG."""
    return _encode(Image.fromarray(pixels), "PNG", compress_level=1)


def tiff(pixels: NDArray[Any]) -> bytes:
    """Encode a film of 8 or 16 bits as TIFF."""
    return _encode(Image.fromarray(pixels), "TIFF", compression="raw")


def _encode(image: Image.Image, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def write(path: Path, content: bytes | str) -> None:
    """Write a file and the folders it needs; text as UTF-8, its lines ended as they are."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)


def write_csv(path: Path, rows: Iterable[Sequence[object]]) -> None:
    """Write a table, its head among the rows."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    write(path, text.getvalue())


def write_json(path: Path, content: object) -> None:
    """Write JSON."""
    write(path, json.dumps(content, ensure_ascii=False, indent=1) + "\n")


def yolo_box(number: int, box: Box, size_px: tuple[int, int]) -> str:
    """Give a line of a YOLO label: class, centre and size as fractions of the film."""
    (x0, y0, x1, y1), (width, height) = box, size_px
    values = ((x0 + x1) / 2 / width, (y0 + y1) / 2 / height, (x1 - x0) / width, (y1 - y0) / height)
    return f"{number} {' '.join(f'{value:.6f}' for value in values)}"


def yolo_polygon(number: int, outline: Outline, size_px: tuple[int, int]) -> str:
    """Give a line of a YOLO label: class and the corners of a polygon as fractions of the film."""
    width, height = size_px
    return f"{number} {' '.join(f'{x / width:.6f} {y / height:.6f}' for x, y in outline)}"


def voc(filename: str, size_px: tuple[int, int], objects: Iterable[tuple[str, Box]]) -> str:
    """Give a Pascal VOC file."""
    width, height = size_px
    lines = [
        "<annotation>",
        f"  <filename>{escape(filename)}</filename>",
        f"  <size><width>{width}</width><height>{height}</height><depth>1</depth></size>",
    ]
    for name, box in objects:
        edges = zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)
        inside = "".join(f"<{edge}>{value:g}</{edge}>" for edge, value in edges)
        lines.append(f"  <object><name>{escape(name)}</name><bndbox>{inside}</bndbox></object>")
    return "\n".join([*lines, "</annotation>", ""])


def around(outline: Outline) -> Box:
    """Give the box around an outline."""
    xs, ys = zip(*outline, strict=True)
    return min(xs), min(ys), max(xs), max(ys)


def coco_note(number: int, image: int, category: int, box: Box, outline: Outline | None = None) -> dict[str, object]:
    """Give one of COCO's annotations; without an outline its polygon is the box."""
    x0, y0, x1, y1 = box
    corners = outline or ((x0, y0), (x1, y0), (x1, y1), (x0, y1))
    return {
        "id": number,
        "image_id": image,
        "category_id": category,
        "iscrowd": 0,
        "bbox": [x0, y0, x1 - x0, y1 - y0],
        "area": (x1 - x0) * (y1 - y0),
        "segmentation": [[value for corner in corners for value in corner]],
    }
