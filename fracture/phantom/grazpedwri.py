"""A phantom GRAZPEDWRI-DX: wrists of children, by patient and study, laid out as published on figshare."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from fracture.core.errors import BadValue
from fracture.core.types import Box
from fracture.phantom.anatomy import Build, draw_build
from fracture.phantom.case import SIDES, FilmSpec
from fracture.phantom.draw import VIEWS, Phantom, draw_examination
from fracture.phantom.files import png, voc, write, write_csv, write_json, yolo_box

CLASSES = (
    *("boneanomaly", "bonelesion", "foreignbody", "fracture", "metal", "periostealreaction", "pronatorsign"),
    *("softtissue", "text"),
)
LABELS = ("yolo", "voc", "supervisely")
_COLUMNS = (
    *("filestem", "patient_id", "study_number", "timehash", "gender", "age", "laterality", "projection"),
    *("initial_exam", "ao_classification", "cast", "diagnosis_uncertain", "osteopenia", "fracture_visible", "metal"),
    *("pixel_spacing", "device_manufacturer"),
)
_PARTS = 4
_LEAST = 8
_AO = {("radius", "distal"): "23r-M/3.1", ("ulna", "distal"): "23u-M/3.1", ("scaphoid", "waist"): "72B.b"}


@dataclass(frozen=True)
class GrazpedwriTraps:
    """Which films of a phantom GRAZPEDWRI-DX are which trap: image ids as the manifest has them."""

    undrawn: str
    """``dataset.csv`` says that a fracture is visible; nobody drew it."""
    rowless: str
    """A film that ``dataset.csv`` does not have."""
    filmless: str
    """A row whose film is not there; its labels are not either."""
    duplicate: tuple[str, str]
    """One film under the names of two patients."""


@dataclass(frozen=True)
class _Film:
    stem: str
    film: Phantom
    study: int
    time: int
    age: float
    ao: str
    drawn: tuple[tuple[str, Box], ...]
    row: bool = True
    there: bool = True
    visible: bool = False


def write_grazpedwri(
    root: Path,
    rng: np.random.Generator,
    *,
    films: int = 24,
    size_px: tuple[int, int] = (224, 300),
    labels: Sequence[str] = LABELS,
) -> GrazpedwriTraps:
    """Write a tree of wrists, 8 and 16 bits deep, with labels of the formats asked for, and name the traps.

    Raises BadValue for too few films to set every trap and for an unknown format.
    """
    if films < _LEAST:
        raise BadValue(f"expected at least {_LEAST} films, so that every trap can be set, got {films}")
    if not set(labels) <= set(LABELS):
        raise BadValue(f"expected labels out of {', '.join(LABELS)}, got {', '.join(labels)}")
    shelf: list[_Film] = []
    patient = 0
    while len(shelf) < films - 1:
        patient += 1
        shelf += _patient(rng, patient, size_px)
    del shelf[films - 1 :]
    broken = next(index for index, film in enumerate(shelf) if film.visible)
    rest = [index for index in range(len(shelf)) if index != broken]
    shelf[broken] = replace(shelf[broken], drawn=tuple(one for one in shelf[broken].drawn if one[0] != "fracture"))
    shelf[rest[1]] = replace(shelf[rest[1]], row=False)
    shelf[rest[4]] = replace(shelf[rest[4]], there=False, drawn=())
    first = shelf[rest[3]]
    twin = replace(first, stem=f"{patient + 1:04d}{first.stem[4:]}")
    _write_tree(root, [*shelf, twin], labels)
    return GrazpedwriTraps(
        undrawn=_id(shelf[broken]),
        rowless=_id(shelf[rest[1]]),
        filmless=_id(shelf[rest[4]]),
        duplicate=(_id(first), _id(twin)),
    )


def _id(film: _Film) -> str:
    return f"grazpedwri/{film.stem}"


def _patient(rng: np.random.Generator, number: int, size_px: tuple[int, int]) -> Iterator[_Film]:
    """Draw a child's films: one or two studies, the second some weeks after a fracture."""
    build = draw_build(rng, age=int(rng.integers(4, 18)))
    age, time = build.age + int(rng.integers(10)) / 10, int(rng.integers(10**8, 2 * 10**9))
    fractured, side = bool(number % 2), SIDES[int(rng.integers(2))]
    fix = "plate" if number % 9 == 5 else "pin" if number % 9 == 7 else "none"
    shape = size_px if number % 3 else (size_px[0] + 16, size_px[1] - 20)
    for study in range(1, 3 if fractured and rng.random() < 0.5 else 2):
        spec = FilmSpec(
            region="wrist",
            side=side,
            site=None,
            hardware=fix if study == 2 else "none",
            cast=study == 2 and fix == "none",
            marker=bool(rng.random() < 0.9),
        )
        views = VIEWS[: 2 if rng.random() < 0.8 else 3] if rng.random() < 0.9 else VIEWS[:1]
        taken = draw_examination(
            rng, shape, fractured=fractured, spec=spec, build=build, views=views, bits=8 if number % 3 == 0 else 12
        )
        for film in taken:
            yield _named(film, number, study, time, age, build)
            time += 47
        time += 10**6


def _named(film: Phantom, patient: int, study: int, time: int, age: float, build: Build) -> _Film:
    view = {"frontal": 1, "lateral": 2, "oblique": 3}[film.view]
    drawn = [("fracture", box) for box in film.boxes] + [("metal", box) for box in film.hardware]
    codes = [_AO.get((one.bone, one.site), "22r-D/4.1") for one in film.fractures]
    return _Film(
        stem=f"{patient:04d}_{time:010d}_{study:02d}_WRI-{film.side}{view}_{build.sex}{build.age:03d}",
        film=film,
        study=study,
        time=time,
        age=age,
        ao="; ".join(sorted(set(codes))),
        drawn=tuple(drawn + [("text", box) for box in film.markers]),
        visible=bool(film.boxes),
    )


def _write_tree(root: Path, films: Sequence[_Film], labels: Sequence[str]) -> None:
    write_csv(root / "dataset.csv", [_COLUMNS, *(_row(film) for film in films if film.row)])
    folder = root / "folder_structure"
    for index, film in enumerate(film for film in films if film.there):
        write(root / f"images_part{index % _PARTS + 1}" / f"{film.stem}.png", png(film.film.pixels))
        height, width = film.film.pixels.shape
        if "yolo" in labels:
            lines = [yolo_box(CLASSES.index(name), box, (width, height)) for name, box in film.drawn]
            write(folder / "yolov5" / "labels" / f"{film.stem}.txt", "".join(f"{line}\n" for line in lines))
        if "voc" in labels:
            write(folder / "pascalvoc" / f"{film.stem}.xml", voc(f"{film.stem}.png", (width, height), film.drawn))
        if "supervisely" in labels:
            write_json(folder / "supervisely" / "wrist" / "ann" / f"{film.stem}.png.json", _supervisely(film))
    if "yolo" in labels:
        names = "".join(f"- {name}\n" for name in CLASSES)
        write(
            folder / "yolov5" / "meta.yaml", f"path: .\ntrain: images\nval: images\nnc: {len(CLASSES)}\nnames:\n{names}"
        )
    if "supervisely" in labels:
        classes = [{"title": name, "shape": "rectangle", "color": "#888888"} for name in CLASSES]
        write_json(folder / "supervisely" / "meta.json", {"classes": classes, "tags": []})


def _row(film: _Film) -> list[object]:
    """Give a row of dataset.csv; an empty cell of its flags means no."""
    about = film.film
    flags = [about.cast, False, about.build.cortex < 0.88, film.visible, about.hardware_kind != "none"]
    cast, uncertain, osteopenia, visible, metal = ("1" if flag else "" for flag in flags)
    patient, _, _, view, _ = film.stem.split("_")
    return [
        *(film.stem, int(patient), film.study, film.time, about.build.sex, film.age, about.side, view[-1]),
        *("1" if film.study == 1 else "", film.ao, cast, uncertain, osteopenia, visible, metal),
        *(about.spacing_mm, "Phantom A" if about.pixels.dtype == np.uint8 else "Phantom B"),
    ]


def _supervisely(film: _Film) -> dict[str, object]:
    height, width = film.film.pixels.shape
    objects = [
        {
            "id": index,
            "geometryType": "rectangle",
            "classTitle": name,
            "points": {"exterior": [[box[0], box[1]], [box[2], box[3]]], "interior": []},
        }
        for index, (name, box) in enumerate(film.drawn)
    ]
    return {"description": "", "tags": [], "size": {"height": height, "width": width}, "objects": objects}
