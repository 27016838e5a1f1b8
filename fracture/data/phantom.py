"""Synthetic radiographs with known boxes, and trees of them in a source's native layout, every known trap included.

Films are drawn as a film is exposed: rays through cylinders of soft tissue, cortex and marrow, bright where much is in
the way. They are for tests and demonstrations; nothing measured on them says anything about patients.
"""

import csv
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fracture.data.sources import fracatlas
from fracture.errors import BadValue
from fracture.types import Box

Plane = NDArray[np.float32]

_EXIF_ORIENTATION, _TURN_CLOCKWISE = 0x0112, 6
_LABELS = (*fracatlas.REGION_FLAGS, "mixed", "hardware", "multiscan", "fractured", "fracture_count")
_TRAP_FILMS = 15
_COLUMNS = ("image_id", *_LABELS, *fracatlas.VIEW_FLAGS)


def draw_film(
    rng: np.random.Generator, size_px: tuple[int, int] = (373, 454), *, fractured: bool
) -> tuple[NDArray[np.uint8], tuple[Box, ...]]:
    """Draw a joint with one long bone on one side and two on the other, the limb along the film's long side.

    Gives (H, W) pixels, bone bright, and a box around every fracture: one or two on a fractured film, else none.
    """
    width, height = size_px
    # Drawn in hundredths of the short side and in the limb's own frame: u runs along it, v across it from its axis.
    unit, length = min(size_px) / 100, 100 * max(size_px) / min(size_px)
    y, x = (np.mgrid[:height, :width].astype(np.float32) + 0.5) / unit
    along, across = (y, x) if height >= width else (x, y)
    u = (along - length / 2) * rng.choice((-1, 1))
    v = across - rng.uniform(38, 62) - rng.uniform(-20, 20) * u / length - rng.uniform(-5, 5) * np.cos(3 * u / length)

    joint = rng.uniform(-0.22, 0.22) * length
    thick, thin, spread = rng.uniform(5.2, 7), rng.uniform(2.9, 3.9), rng.uniform(4.5, 6.5)
    far = joint + rng.uniform(1.6, 2.4)
    bones = (  # depth from the joint's surface, place across the axis, radius
        (joint - u, v, thick),
        (u - far, v + spread * (0.75 + 0.25 * np.cos(3 * u / length)), thin * rng.uniform(1.2, 1.4)),
        (u - far - rng.uniform(1, 6), v - spread * (0.8 + 0.3 * np.cos(2 * u / length)), thin),
    )
    broken = rng.choice(len(bones), size=rng.integers(1, 3), replace=False) if fractured else ()
    spongy = cv2.GaussianBlur(rng.standard_normal((height, width), np.float32), (0, 0), 0.4 + 0.2 * unit)
    skin = rng.uniform(15, 19) * (1 - 0.28 * np.tanh((u - joint) / 40) + 0.05 * np.cos(u / 9))
    shadow = 0.0125 * _chord(v, skin)
    boxes: list[Box] = []
    for index, (depth, place, radius) in enumerate(bones):
        if index not in broken:
            shadow += _bone(depth, place, radius, spongy)
            continue
        line = (
            depth - rng.uniform(0.3, 0.7) * depth.max() - rng.uniform(-0.5, 0.5) * place - _jagged(rng, place, radius)
        )
        step = rng.uniform(0.12, 0.35) * radius * rng.choice((-1, 1))
        gap = 1 - 0.75 * np.exp(-((line / rng.uniform(0.35, 0.7)) ** 2))
        shadow += gap * _bone(depth, place + step * (line > 0), radius, spongy)
        boxes.append(_bounds((np.abs(line) < 1.6) & (np.abs(place) < 1.4 * radius)))
    film = 0.055 + 0.02 * y / y.max() + 0.86 * (1 - np.exp(-shadow))
    film = cv2.GaussianBlur(film.astype(np.float32), (0, 0), 0.16 * unit)
    film += 0.06 * cv2.GaussianBlur(film, (0, 0), 6 * unit) + 0.008 * rng.standard_normal(film.shape, np.float32)
    pixels = np.rint(np.clip(film, 0, 1) * 255).astype(np.uint8)
    corner = (int(width * rng.uniform(0.03, 0.08)), int(height * rng.uniform(0.1, 0.95)))
    cv2.putText(pixels, "LR"[rng.integers(2)], corner, cv2.FONT_HERSHEY_DUPLEX, 0.15 * unit, 190, 1, cv2.LINE_AA)
    return pixels, tuple(boxes)


@dataclass(frozen=True)
class Traps:
    """Which films of a phantom FracAtlas are which trap: image ids as the manifest has them."""

    truncated: str
    """Its file ends early; ``whole`` is the whole of it."""
    whole: str
    opposite: tuple[str, str]
    """One film under two names, fractured and normal."""
    off_film: str
    """One box leaves the film, another lies beyond it."""
    turned: str
    """Stored on its side with an EXIF tag that says so; its boxes fit the turned film."""
    wrong_size: str
    """Stored on its side and nothing says so."""
    examination: tuple[str, ...]
    """Consecutive numbers, equal flags, equal size; ``several_regions`` has the next number and is none of them."""
    several_regions: str
    wrong_row: str
    """Fractured with boxes, and ``dataset.csv`` calls it normal."""
    near: tuple[str, str, str]
    """A film, the film saved once more, the film brightened; the published lists put the last into test."""


@dataclass(frozen=True)
class _Film:
    name: str
    pixels: NDArray[np.uint8]
    boxes: tuple[Box, ...]
    regions: tuple[str, ...]
    jpeg: bytes
    listed: str = "train"
    row_says: bool | None = None


def write_fracatlas(root: Path, rng: np.random.Generator, *, films: int = 24) -> Traps:
    """Write a tree laid out as FracAtlas is published, with every known trap of the real set, and name the traps.

    Raises BadValue for too few films to set every trap.
    """
    if films < _TRAP_FILMS:
        raise BadValue(f"expected at least {_TRAP_FILMS} films, as many as sit in traps, got {films}")
    shelf: list[_Film] = []

    def draw(fractured: bool, region: str | None = None, *, size_px: tuple[int, int] = (373, 454)) -> _Film:
        pixels, boxes = draw_film(rng, size_px, fractured=fractured)
        regions = (region or str(rng.choice(fracatlas.REGION_FLAGS)),)
        return _Film("", pixels, boxes, regions, _jpeg(pixels))

    def add(film: _Film, after: int = 7) -> str:
        """Number a film; a number right after another's would claim one examination."""
        number = int(shelf[-1].name[3:10]) + after if shelf else 19
        shelf.append(replace(film, name=f"IMG{number:07d}.jpg"))
        return f"fracatlas/IMG{number:07d}"

    whole, (both, near, turned, sideways, off_film) = draw(False), (draw(True) for _ in range(5))
    x0, y0, _, y1 = off_film.boxes[0]
    leaving: tuple[Box, ...] = ((x0, y0, 373 + 9.5, y1), (371.5, 20.0, 395.0, 60.0))
    brighter = np.clip(near.pixels * 1.15 + 6, 0, 255).astype(np.uint8)
    traps = Traps(
        whole=add(whole),
        truncated=add(replace(whole, jpeg=whole.jpeg[: int(len(whole.jpeg) * 0.8)])),
        opposite=(add(both), add(replace(both, boxes=()))),
        off_film=add(replace(off_film, boxes=leaving)),
        turned=add(replace(turned, jpeg=_jpeg(np.rot90(turned.pixels), orientation=_TURN_CLOCKWISE))),
        wrong_size=add(replace(sideways, jpeg=_jpeg(np.rot90(sideways.pixels)))),
        examination=(add(draw(False, "leg")), add(draw(True, "leg"), 1), add(draw(False, "leg"), 1)),
        several_regions=add(replace(draw(False), regions=("hand", "leg")), 1),
        wrong_row=add(replace(draw(True), row_says=False)),
        near=(
            add(near),
            add(replace(near, jpeg=_jpeg(near.pixels, quality=50))),
            add(replace(near, jpeg=_jpeg(brighter), listed="test")),
        ),
    )
    for index in range(films - _TRAP_FILMS):
        size_px = (373, 454) if rng.random() < 0.7 else (454, 373)
        plain = draw(index % 2 == 0, size_px=size_px)
        add(replace(plain, listed=("train", "train", "val", "train", "test")[index % 5]))
    _write_tree(root, shelf)
    return traps


def _write_tree(root: Path, films: Sequence[_Film]) -> None:
    for film in films:
        folder = root / "images" / ("Fractured" if film.boxes else "Non_fractured")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / film.name).write_bytes(film.jpeg)
    _write_csv(root / "dataset.csv", _COLUMNS, ([film.name, *_flags(film)] for film in films))
    broken = [film for film in films if film.boxes]
    for split, name in fracatlas.OFFICIAL.items():
        listed = ([film.name] for film in broken if film.listed == split)
        _write_csv(root / "Utilities" / "Fracture Split" / name, ["image_id"], listed)
    images = [
        {"id": number, "width": film.pixels.shape[1], "height": film.pixels.shape[0], "file_name": film.name}
        for number, film in enumerate(broken)
    ]
    boxes = [(number, box) for number, film in enumerate(broken) for box in film.boxes]
    notes = [
        {"id": index, "iscrowd": 0, "image_id": number, "category_id": 0, "area": (x1 - x0) * (y1 - y0)}
        | {"segmentation": [[x0, y0, x1, y0, x1, y1, x0, y1]], "bbox": [x0, y0, x1 - x0, y1 - y0]}
        for index, (number, (x0, y0, x1, y1)) in enumerate(boxes)
    ]
    coco = {"info": {}, "images": images, "annotations": notes, "categories": [{"id": 0, "name": "fractured"}]}
    (root / fracatlas.COCO).parent.mkdir(parents=True, exist_ok=True)
    (root / fracatlas.COCO).write_text(json.dumps(coco), encoding="utf-8")


def _flags(film: _Film) -> list[int]:
    """Give a row of dataset.csv after its image_id: regions, mixed, hardware, multiscan, fractures, views."""
    fractured = bool(film.boxes) if film.row_says is None else film.row_says
    regions = [int(region in film.regions) for region in fracatlas.REGION_FLAGS]
    return [*regions, int(len(film.regions) > 1), 0, 0, int(fractured), len(film.boxes) * fractured, 1, 0, 0]


def _write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([columns, *rows])


def _jpeg(pixels: NDArray[np.uint8], *, quality: int = 90, orientation: int = 1) -> bytes:
    exif = Image.Exif()
    exif[_EXIF_ORIENTATION] = orientation
    out = io.BytesIO()
    # FracAtlas' films are grey saved as colour.
    Image.fromarray(pixels).convert("RGB").save(out, "JPEG", quality=quality, exif=exif)
    return out.getvalue()


def _chord(distance: Plane, radius: Plane) -> Plane:
    """Give the length of a ray's way through a cylinder that it passes at a distance from the axis."""
    return np.asarray(2 * np.sqrt(np.clip(radius**2 - distance**2, 0, None)), np.float32)


def _bone(depth: Plane, place: Plane, radius: float, spongy: Plane) -> Plane:
    """Give the shadow of a long bone: a tube of cortex around marrow that flares and thins towards its joint."""
    depth = depth - 0.12 * radius * np.cos(3 * place / radius)
    flare = np.exp(-((np.clip(depth, 0, None) / (2.1 * radius)) ** 2))
    rounded = np.sqrt(np.clip(1 - np.clip(1 - depth / (0.7 * radius), 0, None) ** 2, 0, None))
    outer = radius * (1 + 0.75 * flare) * rounded
    inner = np.clip(outer - radius * (0.36 - 0.27 * flare), 0, None)
    cortex, marrow = 0.13 * (1 - 0.4 * flare), 0.018 * (1 + flare * (1.2 + 1.5 * spongy))
    return np.asarray(cortex * (_chord(place, outer) - _chord(place, inner)) + marrow * _chord(place, inner))


def _jagged(rng: np.random.Generator, place: Plane, radius: float) -> Plane:
    """Give the irregular line of a fracture: how far it strays along the bone, by the place across it."""
    knots = np.linspace(-1.5, 1.5, 13) * radius
    return np.asarray(np.interp(place, knots, rng.normal(0, 0.18 * radius, knots.size)), np.float32)


def _bounds(seen: NDArray[np.bool_]) -> Box:
    """Give the box around what is seen."""
    rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)
