"""Phantom exports of Roboflow: upper arms and hips, with the augmented copies and the leaks that such exports have."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from fracture.core.errors import BadValue
from fracture.phantom.case import SIDES, FilmSpec
from fracture.phantom.draw import Phantom, draw_phantom
from fracture.phantom.files import Outline, around, jpeg, write, yolo_box, yolo_polygon
from fracture.phantom.fractures import PATTERNS

HUMERUS_CLASSES = ("oblique", "segmental", "spiral", "transverse")
_HIP_SIDE = ("dislocation", "greater-trochanter", "intertrochanteric", "lesser-trochanter", "neck", "normal")
HIP_CLASSES = tuple(f"{side}-{name}" for side in ("left", "right") for name in (*_HIP_SIDE, "subtrochanteric"))
_LEAST = 12
_LEAST_PX = 3


@dataclass(frozen=True)
class HumerusTraps:
    """Which films of a phantom export of upper arms are which trap: image ids as the manifest has them."""

    leaking: tuple[str, str]
    """Two copies of one film, one in train and one in valid."""
    family: tuple[str, ...]
    """All copies of another film, in train: augmented by turning, mirroring and brightening."""
    doubled: str
    """One of its boxes is drawn twice."""


@dataclass(frozen=True)
class HipTraps:
    """Which films of a phantom export of hips are which trap: image ids as the manifest has them."""

    filmless: str
    """A label without a film."""
    unlabelled: str
    """A film without a label."""
    landmarks_only: str
    """Not broken: trochanters are drawn, and a box that says normal."""


@dataclass(frozen=True)
class _Object:
    name: str
    outline: Outline
    polygon: bool = False


@dataclass(frozen=True)
class _Copy:
    """A film of an export under its name there, ``stem_jpg.rf.<hash>``; an orphan lacks its image or its label."""

    split: str
    stem: str
    pixels: NDArray[np.uint8]
    objects: tuple[_Object, ...]
    has_image: bool = True
    has_label: bool = True

    @property
    def image(self) -> str:
        """Give its name as the manifest has it, behind the source's."""
        return f"{self.split}/{self.stem}"


def write_humerus(
    root: Path, rng: np.random.Generator, *, films: int = 24, size_px: tuple[int, int] = (240, 304)
) -> HumerusTraps:
    """Write an export of broken upper arms: no film is normal, and in train every film stands two or three times.

    ``films`` counts the files. Raises BadValue for too few of them to set every trap.
    """
    _enough(films)
    copies: list[_Copy] = []
    held_out = max(2, films // 8)
    number = 0
    while left := films - 2 * held_out - len(copies):
        count = left if left <= 3 else 2 if left == 4 else 2 + number % 2
        copies += _family(rng, number, "train", count, size_px)
        number += 1
    for split in ("valid", "test"):
        for _ in range(held_out):
            copies += _family(rng, number, split, 1, size_px)
            number += 1
    leaking = next(index for index, copy in enumerate(copies) if copy.split == "valid")
    copies[leaking] = replace(_again(rng, copies[2]), split="valid")
    doubled = copies[-1]
    copies[-1] = replace(doubled, objects=(*doubled.objects, doubled.objects[0]))
    page = ("new-workspace-ozkjr", "humerus-ghx7b")
    _write_export(root, copies, HUMERUS_CLASSES, page)
    return HumerusTraps(
        leaking=(f"humerus/{copies[2].image}", f"humerus/{copies[leaking].image}"),
        family=tuple(f"humerus/{copy.image}" for copy in copies[:2]),
        doubled=f"humerus/{copies[-1].image}",
    )


def write_hip(
    root: Path,
    rng: np.random.Generator,
    *,
    films: int = 24,
    size_px: tuple[int, int] = (272, 320),
    borrowed: Sequence[Phantom] = (),
) -> HipTraps:
    """Write an export of hips of both sides: fractures, landmarks, normals; boxes and polygons.

    ``borrowed`` films are in other sets too and come on top of ``films``, which counts the files. Raises BadValue for
    too few of them to set every trap.
    """
    _enough(films)
    copies: list[_Copy] = []
    for number in range(films):
        fractured = number % 3 != 2
        site = ("neck", "intertrochanteric", "subtrochanteric")[number // 3 % 3]
        spec = FilmSpec(region="hip", side=SIDES[number % 2], site=site, fractures=1, pattern=PATTERNS[number % 2])
        film = draw_phantom(rng, size_px, fractured=fractured, spec=spec, view="frontal" if number % 4 else "oblique")
        split = ("train", "train", "train", "valid", "train", "test")[number % 6]
        copies.append(_copy(rng, split, f"hip-{number:03d}", film.grey, _hip_objects(film, number % 2 == 0)))
        if split == "train" and number % 4 == 1:
            copies.append(_again(rng, copies[-1]))
    del copies[films:]
    whole = [index for index, copy in enumerate(copies) if copy.split == "train"]
    normal = next(copy for copy in copies if any("normal" in one.name for one in copy.objects))
    filmless, unlabelled = (next(index for index in whole[skip:] if copies[index] != normal) for skip in (3, 6))
    copies[filmless] = replace(copies[filmless], has_image=False)
    copies[unlabelled] = replace(copies[unlabelled], has_label=False)
    for number, film in enumerate(borrowed):
        copies.append(_copy(rng, "train", f"shared-{number:03d}", film.grey, _hip_objects(film, False)))
    _write_export(root, copies, HIP_CLASSES, ("thesisyolo-v8", "proximal-femur-fracture"))
    return HipTraps(
        filmless=f"hip/{copies[filmless].image}",
        unlabelled=f"hip/{copies[unlabelled].image}",
        landmarks_only=f"hip/{normal.image}",
    )


def _enough(films: int) -> None:
    if films < _LEAST:
        raise BadValue(f"expected at least {_LEAST} films, so that every trap can be set, got {films}")


def _family(rng: np.random.Generator, number: int, split: str, count: int, size_px: tuple[int, int]) -> list[_Copy]:
    """Draw an upper arm and give so many augmented copies of it, one that is as it was outside of train."""
    spec = FilmSpec(region="humerus", pattern=PATTERNS[number % len(PATTERNS)], site="shaft", fractures=1)
    film = draw_phantom(rng, size_px, fractured=True, spec=spec)
    objects = tuple(_Object(one.pattern, one.outline) for one in film.fractures)
    plain = _copy(rng, split, f"arm-{number:03d}", film.grey, objects)
    return [_again(rng, plain) for _ in range(count)] if split == "train" else [plain]


def _hip_objects(film: Phantom, polygons: bool) -> tuple[_Object, ...]:
    """Give what is drawn on a hip: its fractures, its trochanters, and what is normal where nothing is broken."""
    side = {"L": "left", "R": "right"}[film.side]
    found = [_Object(f"{side}-{one.site}", one.outline, polygons) for one in film.fractures]
    marks = {name: box for name, box in film.landmarks.items() if name != "head"}
    found += [_Object(f"{side}-{name}", _ellipse(*box), polygons) for name, box in marks.items()]
    if not film.fractures:
        corners = [corner for box in film.landmarks.values() for corner in (box[:2], box[2:])]
        x0, y0, x1, y1 = around(corners)
        found.append(_Object(f"{side}-normal", ((x0, y0), (x1, y0), (x1, y1), (x0, y1))))
    return tuple(found)


def _ellipse(x0: float, y0: float, x1: float, y1: float) -> Outline:
    turns = (index * math.pi / 6 for index in range(12))
    return tuple(
        ((x0 + x1 + (x1 - x0) * math.cos(turn)) / 2, (y0 + y1 + (y1 - y0) * math.sin(turn)) / 2) for turn in turns
    )


def _copy(
    rng: np.random.Generator, split: str, name: str, pixels: NDArray[np.uint8], objects: tuple[_Object, ...]
) -> _Copy:
    return _Copy(split, f"{name}_jpg.rf.{rng.bytes(16).hex()}", pixels, objects)


def _again(rng: np.random.Generator, copy: _Copy) -> _Copy:
    """Augment: turn by some degrees, mirror now and then, brighten or darken. What is drawn moves along."""
    height, width = copy.pixels.shape
    turn = cv2.getRotationMatrix2D((width / 2 - 0.5, height / 2 - 0.5), rng.uniform(-8, 8), 1.0)
    mirrored, gain = bool(rng.random() < 0.4), rng.uniform(0.85, 1.15)
    pixels = np.clip(cv2.warpAffine(copy.pixels, turn, (width, height)) * gain, 0, 255).astype(np.uint8)
    moved = []
    for one in copy.objects:
        # OpenCV counts from the middle of the first pixel, boxes from its corner.
        points = (np.array(one.outline) - 0.5) @ turn[:, :2].T + turn[:, 2] + 0.5
        if mirrored:
            points[:, 0] = width - points[:, 0]
        inside = np.clip(points, 0, (width, height))
        if np.ptp(inside, axis=0).min() >= _LEAST_PX:
            moved.append(replace(one, outline=tuple((float(x), float(y)) for x, y in inside)))
    name = copy.stem.partition("_jpg.rf.")[0]
    return _copy(rng, copy.split, name, np.ascontiguousarray(pixels[:, ::-1]) if mirrored else pixels, tuple(moved))


def _write_export(root: Path, copies: Sequence[_Copy], classes: Sequence[str], page: tuple[str, str]) -> None:
    workspace, project = page
    url = f"https://universe.roboflow.com/{workspace}/{project}/dataset/1"
    names = ", ".join(f"'{name}'" for name in classes)
    stated = f"  workspace: {workspace}\n  project: {project}\n  version: 1\n  license: CC BY 4.0\n  url: {url}\n"
    paths = "train: ../train/images\nval: ../valid/images\ntest: ../test/images\n"
    write(root / "data.yaml", f"{paths}\nnc: {len(classes)}\nnames: [{names}]\n\nroboflow:\n{stated}")
    write(
        root / "README.roboflow.txt",
        f"{project} - phantom\n==============================\n\nSynthetic films, laid out as an export of\n{url}\n\n"
        "Every film of train stands two or three times: mirrored, turned by up to 8 degrees, brightened.\n",
    )
    write(
        root / "README.dataset.txt", f"# {project}\n{url}\n\nProvided by nobody: synthetic films\nLicense: CC BY 4.0\n"
    )
    for copy in copies:
        folder = root / copy.split
        if copy.has_image:
            write(folder / "images" / f"{copy.stem}.jpg", jpeg(copy.pixels))
        if copy.has_label:
            write(folder / "labels" / f"{copy.stem}.txt", "\n".join(_lines(copy, classes)))


def _lines(copy: _Copy, classes: Sequence[str]) -> list[str]:
    height, width = copy.pixels.shape
    return [
        yolo_polygon(classes.index(one.name), one.outline, (width, height))
        if one.polygon
        else yolo_box(classes.index(one.name), around(one.outline), (width, height))
        for one in copy.objects
    ]
