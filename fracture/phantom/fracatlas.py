"""A phantom FracAtlas, laid out as published, with every known trap of the real set."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fracture.core.errors import BadValue
from fracture.core.types import Box
from fracture.phantom.anatomy import Build, draw_build
from fracture.phantom.case import FilmSpec
from fracture.phantom.draw import Phantom, draw_phantom
from fracture.phantom.files import coco_note, jpeg, write, write_csv, write_json

_TURN_CLOCKWISE = 6
# As published. It is stated here independently, since the reader that is tested on it has its own statement.
_REGIONS = ("hand", "leg", "hip", "shoulder")
_VIEWS = ("frontal", "lateral", "oblique")
_COLUMNS = ("image_id", *_REGIONS, *("mixed", "hardware", "multiscan", "fractured", "fracture_count"), *_VIEWS)
_COCO = "Annotations/COCO JSON/COCO_fracture_masks.json"
_LISTS = {"train": "train.csv", "val": "valid.csv", "test": "test.csv"}
_TRAP_FILMS = 15
_DRAWN_AS = {"hand": ("hand", "hand", "wrist"), "leg": ("leg",), "hip": ("hip",), "shoulder": ("shoulder", "humerus")}


@dataclass(frozen=True)
class Traps:
    """Which films of a phantom FracAtlas are which trap: image ids as the manifest has them."""

    truncated: str
    """Its file ends early; ``whole`` is the whole film."""
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
    view: str
    hardware: bool
    jpeg: bytes
    listed: str = "train"
    row_says: bool | None = None


def write_fracatlas(
    root: Path,
    rng: np.random.Generator,
    *,
    films: int = 24,
    size_px: tuple[int, int] = (373, 454),
    borrowed: Sequence[tuple[str, Phantom]] = (),
) -> Traps:
    """Write a tree laid out as FracAtlas is published and name the traps.

    ``borrowed`` films, each with its region, are in other sets too and come on top of ``films``. Raises BadValue for
    too few films to set every trap and for films that do not stand upright.
    """
    if films < _TRAP_FILMS:
        raise BadValue(f"expected at least {_TRAP_FILMS} films, as many as sit in traps, got {films}")
    width, height = size_px
    if not width < height:
        raise BadValue(f"expected films that are higher than wide, so that turning shows, got {size_px} px")
    shelf: list[_Film] = []

    def draw(
        fractured: bool, region: str | None = None, *, shape: tuple[int, int] = size_px, build: Build | None = None
    ) -> _Film:
        region = region or str(rng.choice(_REGIONS))
        spec = FilmSpec(region=str(rng.choice(_DRAWN_AS[region])))
        return _shelved(region, draw_phantom(rng, shape, fractured=fractured, spec=spec, build=build))

    def add(film: _Film, after: int = 7) -> str:
        """Number a film; a number right after another's would claim one examination."""
        number = int(shelf[-1].name[3:10]) + after if shelf else 19
        shelf.append(replace(film, name=f"IMG{number:07d}.jpg"))
        return f"fracatlas/IMG{number:07d}"

    whole, (both, near, turned, sideways, off_film) = draw(False), (draw(True) for _ in range(5))
    patient = draw_build(rng)
    x0, y0, _, y1 = off_film.boxes[0]
    leaving: tuple[Box, ...] = ((x0, y0, width + 9.5, y1), (width - 1.5, 20.0, width + 22.0, 60.0))
    brighter = np.clip(near.pixels * 1.15 + 6, 0, 255).astype(np.uint8)
    traps = Traps(
        whole=add(whole),
        truncated=add(replace(whole, jpeg=whole.jpeg[: int(len(whole.jpeg) * 0.8)])),
        opposite=(add(both), add(replace(both, boxes=()))),
        off_film=add(replace(off_film, boxes=leaving)),
        turned=add(replace(turned, jpeg=jpeg(np.rot90(turned.pixels), orientation=_TURN_CLOCKWISE))),
        wrong_size=add(replace(sideways, jpeg=jpeg(np.rot90(sideways.pixels)))),
        examination=(
            add(draw(False, "leg", build=patient)),
            add(draw(True, "leg", build=patient), 1),
            add(draw(False, "leg", build=patient), 1),
        ),
        several_regions=add(replace(draw(False), regions=("hand", "leg")), 1),
        wrong_row=add(replace(draw(True), row_says=False)),
        near=(
            add(near),
            add(replace(near, jpeg=jpeg(near.pixels, quality=50))),
            add(replace(near, jpeg=jpeg(brighter), listed="test")),
        ),
    )
    for index in range(films - _TRAP_FILMS):
        region = _REGIONS[index // 2 % len(_REGIONS)]
        plain = draw(index % 2 == 0, region, shape=size_px if rng.random() < 0.7 else (height, width))
        add(replace(plain, listed=("train", "train", "val", "train", "test")[index % 5]))
    for region, film in borrowed:
        add(_shelved(region, film))
    _write_tree(root, shelf)
    return traps


def _shelved(region: str, film: Phantom) -> _Film:
    return _Film("", film.grey, film.boxes, (region,), film.view, film.hardware_kind != "none", jpeg(film.grey))


def _write_tree(root: Path, films: Sequence[_Film]) -> None:
    for film in films:
        write(root / "images" / ("Fractured" if film.boxes else "Non_fractured") / film.name, film.jpeg)
    write_csv(root / "dataset.csv", [_COLUMNS, *([film.name, *_flags(film)] for film in films)])
    broken = [film for film in films if film.boxes]
    for split, name in _LISTS.items():
        listed = ([film.name] for film in broken if film.listed == split)
        write_csv(root / "Utilities" / "Fracture Split" / name, [["image_id"], *listed])
    images = [
        {"id": number, "width": film.pixels.shape[1], "height": film.pixels.shape[0], "file_name": film.name}
        for number, film in enumerate(broken)
    ]
    boxes = [(number, box) for number, film in enumerate(broken) for box in film.boxes]
    notes = [coco_note(index, number, 0, box) for index, (number, box) in enumerate(boxes)]
    categories = [{"id": 0, "name": "fractured"}]
    write_json(root / _COCO, {"info": {}, "images": images, "annotations": notes, "categories": categories})


def _flags(film: _Film) -> list[int]:
    """Give a row of dataset.csv after its image_id: regions, mixed, hardware, multiscan, fractures, views."""
    fractured = bool(film.boxes) if film.row_says is None else film.row_says
    regions = [int(region in film.regions) for region in _REGIONS]
    views = [int(film.view == view) for view in _VIEWS]
    mixed = int(len(film.regions) > 1)
    return [*regions, mixed, int(film.hardware), 0, int(fractured), len(film.boxes) * fractured, *views]
