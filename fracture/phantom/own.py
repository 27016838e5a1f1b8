"""A person's own phantom films: several formats and DICOM in several syntaxes, annotated as COCO or Pascal VOC.

What goes wrong in such folders is set on purpose: every kind of duplicate, films that cannot be used, boxes that do not
fit, names that clash or are odd.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fracture.core.types import Box
from fracture.phantom.anatomy import draw_build
from fracture.phantom.case import FilmSpec
from fracture.phantom.dicom_files import Style, dicom
from fracture.phantom.draw import VIEWS, Phantom, draw_examination
from fracture.phantom.files import coco_note, jpeg, png, tiff, voc, write, write_csv, write_json
from fracture.phantom.regions import REGIONS

CATEGORIES = ("fracture", "hardware", "marker")
STYLES: Mapping[str, Style] = {
    "explicit": Style("explicit"),
    "implicit": Style("implicit", white_is_zero=True),
    "deflated": Style("deflated", slope=0.5, intercept=-1000),
    "rle": Style("rle", slope=2, intercept=100),
    "jpeg2000": Style("jpeg2000", white_is_zero=True, slope=0.25, intercept=-12),
}


@dataclass(frozen=True)
class OwnTraps:
    """Which films of a person's own folder are which trap: paths from that folder. Pairs are original and copy."""

    exact: tuple[str, str]
    resaved: tuple[str, str]
    brightened: tuple[str, str]
    reflected: tuple[str, str]
    turned: tuple[str, str]
    """The copy is turned by 90 degrees."""
    rescaled: tuple[str, str]
    opposite: tuple[str, str]
    """One film under two names, fractured and normal."""
    constant: str
    truncated: tuple[str, str]
    """A whole film and its file that ends early."""
    empty: str
    """A file of no bytes."""
    off_film: str
    """One box leaves the film, another lies beyond it."""
    degenerate: str
    """A box without width besides a good one."""
    doubled: str
    """A box drawn twice."""
    namesakes: tuple[str, str]
    """Films of two patients with one file name, in different folders."""
    odd_names: tuple[str, ...]
    """Names with spaces and letters beyond ASCII."""
    encodings: Mapping[str, str]
    """One film as PNG of 16 bits and as DICOM in every style: name of the style -> film."""
    unlisted: str
    """A film that no annotation names."""
    filmless: str
    """Annotations of a film that is not there."""


@dataclass(frozen=True)
class _Film:
    """A file of the folder and what is said about it; ``drawn`` is None where no annotation names it."""

    name: str
    content: bytes
    size_px: tuple[int, int]
    drawn: tuple[tuple[str, Box], ...] | None
    patient: str
    study: str
    view: str
    region: str
    there: bool = True


def write_own_coco(root: Path, rng: np.random.Generator, *, size_px: tuple[int, int] = (224, 272)) -> OwnTraps:
    """Write films, ``annotations.json`` (COCO) and ``films.csv``, and name the traps."""
    shelf, traps = _shelf(rng, size_px)
    _write_films(root, shelf)
    listed = [film for film in shelf if film.drawn is not None]
    images = [
        {"id": number, "width": film.size_px[0], "height": film.size_px[1], "file_name": film.name}
        for number, film in enumerate(listed, start=1)
    ]
    drawn = [(number, name, box) for number, film in enumerate(listed, start=1) for name, box in film.drawn or ()]
    notes = [
        coco_note(index, number, CATEGORIES.index(name) + 1, box)
        for index, (number, name, box) in enumerate(drawn, start=1)
    ]
    categories = [{"id": index, "name": name} for index, name in enumerate(CATEGORIES, start=1)]
    write_json(root / "annotations.json", {"images": images, "annotations": notes, "categories": categories})
    return traps


def write_own_voc(root: Path, rng: np.random.Generator, *, size_px: tuple[int, int] = (224, 272)) -> OwnTraps:
    """Write films and ``films.csv`` to ``films``, Pascal VOC files to ``annotations``, and name the traps."""
    shelf, traps = _shelf(rng, size_px)
    _write_films(root / "films", shelf)
    for film in shelf:
        if film.drawn is not None:
            inside = PurePosixPath(film.name)
            path = root / "annotations" / inside.with_suffix(".xml")
            write(path, voc(inside.name, film.size_px, film.drawn))
    return traps


def _write_films(folder: Path, shelf: Sequence[_Film]) -> None:
    for film in shelf:
        if film.there:
            write(folder / film.name, film.content)
    rows = [(film.name, film.patient, film.study, film.view, film.region) for film in shelf if film.there]
    write_csv(folder / "films.csv", [("file", "patient_id", "study_id", "view", "region"), *rows])


class _Shelf:
    """Films as they come together: eleven patients' films, and the files made of them."""

    def __init__(self, rng: np.random.Generator, size_px: tuple[int, int]) -> None:
        self.films: list[_Film] = []
        self._patients = [_patient(rng, number, size_px) for number in range(11)]

    def film(self, number: int, folder: str, view: int = 0) -> tuple[_Film, Phantom]:
        """Give one of a patient's two films, and what is said about it."""
        film = self._patients[number][view]
        height, width = film.pixels.shape
        drawn = [("fracture", box) for box in film.boxes] + [("hardware", box) for box in film.hardware]
        drawn += [("marker", box) for box in film.markers]
        return _Film("", b"", (width, height), tuple(drawn), folder, f"{folder}-1", film.view, film.region), film

    def add(self, name: str, content: bytes, like: _Film, **changes: Any) -> str:
        """Lay a file down under a name, its patient named like its folder unless said otherwise."""
        self.films.append(replace(like, name=name, content=content, **changes))
        return name

    def under_another(self, name: str, content: bytes, like: _Film, **changes: Any) -> str:
        """Lay a file down as another patient's: the one its folder names."""
        patient = name.partition("/")[0]
        return self.add(name, content, like, patient=patient, study=f"{patient}-1", **changes)


def _shelf(rng: np.random.Generator, size_px: tuple[int, int]) -> tuple[list[_Film], OwnTraps]:
    shelf = _Shelf(rng, size_px)
    names = _duplicates(shelf) | _unusable(shelf) | _wrong_boxes(shelf) | _odd_names(shelf)
    said, film = shelf.film(9, "p18")
    encodings = {"png": shelf.add("p18/png.png", png(film.pixels), said)}
    for name, style in STYLES.items():
        encodings[name] = shelf.add(f"p18/{name}.dcm", _dicom(film, style, f"p18/{name}"), said)
    said, film = shelf.film(10, "p19")
    unlisted = shelf.add("p19/nobody looked.png", png(film.grey), said, drawn=None)
    filmless = shelf.add("p19/lost.png", b"", said, there=False)
    return shelf.films, OwnTraps(**names, encodings=encodings, unlisted=unlisted, filmless=filmless)


def _duplicates(shelf: _Shelf) -> dict[str, Any]:
    said, film = shelf.film(0, "p01")
    first = shelf.add("p01/frontal.png", png(film.grey), said)
    lateral, other = shelf.film(0, "p01", 1)
    shelf.add("p01/lateral.tif", tiff(other.pixels), lateral)
    bright = np.clip(film.grey * 1.18 + 8, 0, 255).astype(np.uint8)
    names: dict[str, Any] = {
        "exact": (first, shelf.under_another("p02/same film.png", png(film.grey), said)),
        "resaved": (first, shelf.under_another("p03/a.jpg", jpeg(film.grey, quality=60), said)),
        "brightened": (first, shelf.under_another("p04/b.png", png(bright), said)),
    }
    for kind, name, change in (
        ("reflected", "p05/c.png", _mirror),
        ("turned", "p06/d.png", _turn),
        ("rescaled", "p07/e.png", _rescale),
    ):
        pixels, drawn = change(film.grey, said.drawn or ())
        height, width = pixels.shape
        names[kind] = (first, shelf.under_another(name, png(pixels), said, size_px=(width, height), drawn=drawn))
    said, film = shelf.film(1, "p08")
    both = shelf.add("p08/broken.jpg", jpeg(film.grey), said)
    names["opposite"] = (both, shelf.under_another("p09/whole.jpg", jpeg(film.grey), said, drawn=()))
    return names


def _unusable(shelf: _Shelf) -> dict[str, Any]:
    said, film = shelf.film(2, "p10")
    whole = jpeg(film.grey)
    first = shelf.add("p10/whole.jpg", whole, said)
    cut = shelf.under_another("p11/cut.jpg", whole[: int(len(whole) * 0.75)], said)
    said, film = shelf.film(3, "p12")
    return {
        "truncated": (first, cut),
        "constant": shelf.add("p12/constant.png", png(np.full_like(film.grey, 40)), said, drawn=()),
        "empty": shelf.add("p12/empty.jpg", b"", said, drawn=()),
    }


def _wrong_boxes(shelf: _Shelf) -> dict[str, Any]:
    said, film = shelf.film(3, "p12")
    width = said.size_px[0]
    leaving = [(width - 30.0, 20.0, width + 14.0, 60.0), (width + 5.0, 5.0, width + 25.0, 30.0)]
    off_film = shelf.add("p12/off.png", png(film.grey), said, drawn=tuple(("fracture", box) for box in leaving))
    said, film = shelf.film(4, "p13")
    drawn = (("fracture", film.boxes[0]), ("fracture", (50.0, 40.0, 50.0, 70.0)))
    degenerate = shelf.add("p13/thin.png", png(film.grey), said, drawn=drawn)
    said, film = shelf.film(5, "p14")
    doubled = shelf.add("p14/twice.png", png(film.grey), said, drawn=(("fracture", film.boxes[0]),) * 2)
    return {"off_film": off_film, "degenerate": degenerate, "doubled": doubled}


def _odd_names(shelf: _Shelf) -> dict[str, Any]:
    namesakes = []
    for number, folder in ((6, "p15"), (7, "p16")):
        said, film = shelf.film(number, folder)
        namesakes.append(shelf.add(f"{folder}/film.png", png(film.grey), said))
    (said, film), (other, lateral) = shelf.film(8, "p17"), shelf.film(8, "p17", 1)
    odd = (
        shelf.add("p17 Köln/Röntgen 1 (Kopie).png", png(film.grey), said),
        shelf.add("p17 Köln/骨折 側面.png", png(lateral.pixels), other),
    )
    return {"namesakes": tuple(namesakes), "odd_names": odd}


def _patient(rng: np.random.Generator, number: int, size_px: tuple[int, int]) -> tuple[Phantom, ...]:
    spec = FilmSpec(region=REGIONS[number % len(REGIONS)], fractures=1)
    fractured = number not in {3, 7, 10}
    return draw_examination(
        rng, size_px, fractured=fractured, spec=spec, build=draw_build(rng), views=VIEWS[:2], bits=12
    )


def _dicom(film: Phantom, style: Style, name: str) -> bytes:
    return dicom(
        film.pixels, style, patient="p18", study="p18-1", name=name, spacing_mm=film.spacing_mm, region=film.region
    )


_Drawn = tuple[tuple[str, Box], ...]


def _mirror(grey: NDArray[np.uint8], drawn: _Drawn) -> tuple[NDArray[np.uint8], _Drawn]:
    width = grey.shape[1]
    moved = tuple((name, (width - x1, y0, width - x0, y1)) for name, (x0, y0, x1, y1) in drawn)
    return np.ascontiguousarray(grey[:, ::-1]), moved


def _turn(grey: NDArray[np.uint8], drawn: _Drawn) -> tuple[NDArray[np.uint8], _Drawn]:
    """Turn by 90 degrees, counterclockwise."""
    width = grey.shape[1]
    moved = tuple((name, (y0, width - x1, y1, width - x0)) for name, (x0, y0, x1, y1) in drawn)
    return np.ascontiguousarray(np.rot90(grey)), moved


def _rescale(grey: NDArray[np.uint8], drawn: _Drawn) -> tuple[NDArray[np.uint8], _Drawn]:
    height, width = grey.shape
    size_px = round(width * 1.4), round(height * 1.4)
    sx, sy = size_px[0] / width, size_px[1] / height
    moved = tuple((name, (x0 * sx, y0 * sy, x1 * sx, y1 * sy)) for name, (x0, y0, x1, y1) in drawn)
    return np.asarray(cv2.resize(grey, size_px, interpolation=cv2.INTER_CUBIC), np.uint8), moved
