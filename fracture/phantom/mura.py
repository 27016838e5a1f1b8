"""A phantom MURA: studies called normal or abnormal, laid out as MURA-v1.1."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fracture.core.errors import BadValue
from fracture.phantom.anatomy import draw_build
from fracture.phantom.case import FilmSpec
from fracture.phantom.draw import VIEWS, draw_examination
from fracture.phantom.files import png, write, write_csv

ROOT = "MURA-v1.1"
_DRAWN_AS = {"XR_WRIST": "wrist", "XR_HAND": "hand", "XR_HUMERUS": "humerus", "XR_SHOULDER": "shoulder"}
_LEAST = 4


@dataclass(frozen=True)
class MuraTraps:
    """Which films and studies of a phantom MURA are which trap: paths from the root."""

    namesakes: tuple[str, ...]
    """Films of one file name in several folders: all differ."""
    misnamed: str
    """A study that its folder calls negative and the list abnormal."""
    resource_fork: str
    """A leaving of macOS beside a film, no film itself."""


def write_mura(
    root: Path,
    rng: np.random.Generator,
    *,
    patients: int = 8,
    size_px: tuple[int, int] = (224, 288),
    areas: Sequence[str] = ("XR_WRIST",),
) -> MuraTraps:
    """Write ``root/MURA-v1.1``, every fourth patient in valid, and name the traps.

    Raises BadValue for too few patients and for an area that is not drawn here.
    """
    if patients < _LEAST:
        raise BadValue(f"expected at least {_LEAST} patients, so that every trap can be set, got {patients}")
    if not areas or not set(areas) <= _DRAWN_AS.keys():
        raise BadValue(f"expected areas out of {', '.join(_DRAWN_AS)}, got {', '.join(areas)}")
    studies: dict[str, list[tuple[str, int]]] = {"train": [], "valid": []}
    films: dict[str, list[str]] = {"train": [], "valid": []}
    for patient in range(1, patients + 1):
        part = "train" if patient % 4 else "valid"
        build, area = draw_build(rng), areas[patient % len(areas)]
        for number in range(1, 2 + int(rng.integers(2))):
            abnormal = (patient + number) % 2 == 1
            called = "positive" if abnormal and (patient, number) != (2, 1) else "negative"
            study = f"{part}/{area}/patient{patient:05d}/study{number}_{called}"
            views = VIEWS[: 1 + int(rng.integers(3))]
            spec = FilmSpec(region=_DRAWN_AS[area])
            taken = draw_examination(rng, size_px, fractured=abnormal, spec=spec, build=build, views=views)
            for index, film in enumerate(taken, start=1):
                write(root / ROOT / study / f"image{index}.png", png(film.grey))
                films[part].append(f"{study}/image{index}.png")
            studies[part].append((study, int(abnormal)))
    for part, said in studies.items():
        write_csv(root / ROOT / f"{part}_labeled_studies.csv", [(f"{ROOT}/{study}/", label) for study, label in said])
        write_csv(root / ROOT / f"{part}_image_paths.csv", [(f"{ROOT}/{film}",) for film in films[part]])
    first = films["train"][0]
    fork = first.replace("image1", "._image1")
    write(root / ROOT / fork, b"\0\5\x16\7\0\2\0\0Mac OS X        ")
    misnamed = next(study for study, label in studies["train"] if label and study.endswith("negative"))
    namesakes = tuple(film for part in films.values() for film in part if film.endswith("/image1.png"))
    return MuraTraps(namesakes=namesakes, misnamed=misnamed, resource_fork=fork)
