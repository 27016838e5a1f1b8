"""Trees of synthetic films, one a source: everything the v5 dataset is built from."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np

from fracture.core.errors import BadValue
from fracture.phantom.case import FilmSpec
from fracture.phantom.draw import draw_phantom
from fracture.phantom.files import jpeg
from fracture.phantom.fracatlas import Traps, write_fracatlas
from fracture.phantom.grazpedwri import GrazpedwriTraps, write_grazpedwri
from fracture.phantom.roboflow import HipTraps, HumerusTraps, write_hip, write_humerus

FOLDERS: Mapping[str, str] = MappingProxyType(
    {"fracatlas": "FracAtlas", "grazpedwri": "GRAZPEDWRI-DX", "humerus": "HUMERUS", "hip": "HIP"}
)
"""Where `write_all` puts the tree of a source."""

SIZES: Mapping[str, tuple[int, int, int, int]] = MappingProxyType({"tiny": (39, 24, 24, 24), "small": (59, 60, 40, 39)})
"""Films of FracAtlas, GRAZPEDWRI-DX, HUMERUS and HIP, without the one that two of them share."""

_SHARED_PX = (262, 320)


@dataclass(frozen=True)
class AllTraps:
    """The traps of four trees, and of all of them together."""

    fracatlas: Traps
    grazpedwri: GrazpedwriTraps
    humerus: HumerusTraps
    hip: HipTraps
    shared: tuple[str, str]
    """One film, one file in two sources: image ids as the manifests have them."""


def write_all(root: Path, rng: np.random.Generator, *, size: str = "small") -> AllTraps:
    """Write the trees of the four v5 sources to the folders of FOLDERS and name their traps.

    Every region has broken films of at least three patients, so that each split can get one. Raises BadValue for a size
    that is not in SIZES.
    """
    if size not in SIZES:
        raise BadValue(f"expected a size out of {', '.join(SIZES)}, got {size!r}")
    fracatlas, grazpedwri, humerus, hip = SIZES[size]
    folders = {source: root / folder for source, folder in FOLDERS.items()}
    spec = FilmSpec(region="hip", site="neck", hardware="none")
    shared = draw_phantom(rng, _SHARED_PX, fractured=True, spec=spec, view="frontal")
    traps = (
        write_fracatlas(folders["fracatlas"], rng, films=fracatlas, size_px=(230, 280), borrowed=[("hip", shared)]),
        write_grazpedwri(folders["grazpedwri"], rng, films=grazpedwri),
        write_humerus(folders["humerus"], rng, films=humerus),
        write_hip(folders["hip"], rng, films=hip, borrowed=[shared]),
    )
    content = jpeg(shared.grey)
    (here,) = (path for path in folders["fracatlas"].rglob("*.jpg") if path.read_bytes() == content)
    (there,) = (path for path in folders["hip"].rglob("*.jpg") if path.read_bytes() == content)
    return AllTraps(*traps, shared=(f"fracatlas/{here.stem}", f"hip/{there.parts[-3]}/{there.stem}"))
