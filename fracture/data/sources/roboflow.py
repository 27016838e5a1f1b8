"""Roboflow Universe exports in YOLO format, and the three that this package knows by name.

``humerus``: universe.roboflow.com/new-workspace-ozkjr/humerus-ghx7b, about 548 films of the upper arm, 1,420 with their
augmented copies. Boxes of four classes, oblique, segmental, spiral and transverse, all of them fractures. There are no
normal films.

``hip``: universe.roboflow.com/thesisyolo-v8/proximal-femur-fracture, about 640 films, 1,214 with their augmented
copies. Polygons and boxes of fourteen classes, seven a side: fractures (intertrochanteric, neck, subtrochanteric),
landmarks, dislocations, normals. Normals are drawn, so an empty label says nothing.

``rf100``: universe.roboflow.com/science-research/science-research-2022:-bone-fracture-detection, in RF100 as
bone-fracture: 1,089 files of about 750 films from the web, hands and forearms mostly, CC BY 4.0. Boxes of four classes,
angle, fracture, line and messed_up_angle, all of them signs of a fracture. Others report on its own valid and test
parts (F. Ciaglia et al., Roboflow 100, arXiv 2211.13523), which stay out of training.

Licence: what an export states, ``roboflow: license:`` in data.yaml, else README.dataset.txt or README.roboflow.txt.
Layout: data.yaml and ``train``, ``valid``, ``test``, each with ``images`` and ``labels``. There are no patient ids.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from fracture.data.ingest import Claim, Provenance
from fracture.data.labels import FractureClasses, read_yaml
from fracture.data.sources import yolo_folders

UNIVERSE = "https://universe.roboflow.com"
HUMERUS = Provenance(
    source="humerus",
    regions=frozenset({"humerus"}),
    attribution=f"Roboflow Universe, {UNIVERSE}/new-workspace-ozkjr/humerus-ghx7b",
    classes=FractureClasses(("oblique", "segmental", "spiral", "transverse")),
    empty_is_normal=False,
)
HIP = Provenance(
    source="hip",
    regions=frozenset({"hip"}),
    attribution=f"Roboflow Universe, {UNIVERSE}/thesisyolo-v8/proximal-femur-fracture",
    classes=FractureClasses(
        tuple(
            f"{side}-{site}" for side in ("left", "right") for site in ("intertrochanteric", "neck", "subtrochanteric")
        )
    ),
    empty_is_normal=False,
)
RF100 = Provenance(
    source="rf100",
    attribution=f"Roboflow Universe, {UNIVERSE}/science-research/science-research-2022:-bone-fracture-detection",
    classes=FractureClasses(("angle", "fracture", "line", "messed_up_angle")),
    parts_published=True,
)
PRESETS: Mapping[str, Provenance] = MappingProxyType({"humerus": HUMERUS, "hip": HIP, "rf100": RF100})


def humerus(root: Path) -> Iterator[Claim]:
    """Give one claim per film and per label without one. Raises MissingData, BadValue before the first."""
    return export(root, HUMERUS)


def hip(root: Path) -> Iterator[Claim]:
    """Give one claim per film and per label without one. Raises MissingData, BadValue before the first."""
    return export(root, HIP)


def rf100(root: Path) -> Iterator[Claim]:
    """Give one claim per film and per label without one. Raises MissingData, BadValue before the first."""
    return export(root, RF100)


def export(root: Path, about: Provenance, data_yaml: Path | None = None) -> Iterator[Claim]:
    """Give the claims of an export; licence and attribution are taken from it where ``about`` does not state them.

    A film that shows a fracture or a dislocation is abnormal. Raises MissingData, BadValue before the first claim.
    """
    data_yaml = data_yaml or root / "data.yaml"
    licence, page = _stated(root, data_yaml)
    about = replace(
        about,
        licence=about.licence if about.licence != Provenance.licence else licence or Provenance.licence,
        attribution=about.attribution or (f"Roboflow Universe, {page}" if page else ""),
    )
    found = yolo_folders.claims(root, root, about, data_yaml)
    return (
        replace(claim, abnormal=True)
        if claim.fractured or any("dislocation" in name.casefold() for name in claim.dropped)
        else claim
        for claim in found
    )


def _stated(root: Path, data_yaml: Path) -> tuple[str | None, str | None]:
    """Find an export's licence and page, None where it states none."""
    stated = read_yaml(data_yaml).get("roboflow")
    stated = stated if isinstance(stated, dict) else {}
    readmes = (root / "README.dataset.txt", root / "README.roboflow.txt")
    text = "\n".join(path.read_text(encoding="utf-8", errors="replace") for path in readmes if path.is_file())
    licence = stated.get("license") or _first(r"^License:[ \t]*(\S.*?)\s*$", text)
    page = _first(rf"({UNIVERSE}/[\w-]+/[\w-]+)", f"{stated.get('url', '')}\n{text}")
    return licence and str(licence), page


def _first(pattern: str, text: str) -> str | None:
    match = re.search(pattern, text, re.IGNORECASE | re.MULTILINE)
    return match[1] if match else None
