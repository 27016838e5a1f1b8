"""What a place of the body is made of, and what differs between patients.

Lengths are mm of a grown man; y runs down the film, x away from the body, z towards the detector.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from fracture.phantom.rays import Part, Point

GROWN_UP = 16


@dataclass(frozen=True)
class Build:
    """What stays the same on all films of one patient."""

    age: int
    female: bool
    size: float
    """Lengths, against the man of this page."""
    stout: float
    """Thickness of bones relative to their length."""
    girth: float
    cortex: float
    """Thickness of cortex relative to the usual; low in old age."""
    quirks: int
    """The seed of everything else about these bones."""

    @property
    def sex(self) -> str:
        """Give M or F."""
        return "F" if self.female else "M"


@dataclass(frozen=True)
class Site:
    """A stretch of one part of a bone, in shares of its length, where bones usually break."""

    name: str
    part: int
    low: float
    high: float
    weight: float = 1.0


@dataclass(frozen=True)
class Bone:
    """Parts grown together, and where they break."""

    name: str
    parts: tuple[Part, ...]
    sites: tuple[Site, ...] = ()


@dataclass(frozen=True)
class Beam:
    """How much a mm attenuates a ray, as exp(-sum), at the tube's voltage. Bone adds to the flesh."""

    flesh: float
    cortex: float
    spongy: float
    scatter: float
    """Scattered light at the detector, as a share of all."""


LIMB_BEAM = Beam(flesh=0.030, cortex=0.115, spongy=0.022, scatter=0.10)
TRUNK_BEAM = Beam(flesh=0.021, cortex=0.062, spongy=0.013, scatter=0.32)


@dataclass(frozen=True)
class Anatomy:
    """A place of the body: bones, flesh, which flesh a cast is laid around, what a film of it shows.

    ``field_mm`` is the length of a film's short side. A limb is ``long``: it lies along the film's long side.
    ``turns`` are the angles of the views, in degrees. ``landmarks`` name parts that are boxed on some films.
    """

    bones: tuple[Bone, ...]
    flesh: tuple[Part, ...]
    cast: tuple[int, ...]
    centre_mm: tuple[float, float]
    field_mm: float
    beam: Beam = LIMB_BEAM
    long: bool = True
    turns: Mapping[str, float] = field(default_factory=lambda: {"frontal": 0.0, "oblique": 42.0, "lateral": 84.0})
    landmarks: Mapping[str, tuple[str, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Dice:
    """The random generators of an anatomy: ``own`` for what a patient keeps, ``now`` for an examination."""

    own: np.random.Generator
    now: np.random.Generator
    age: int

    @property
    def growing(self) -> bool:
        """Tell whether bones still have plates of cartilage."""
        return self.age < GROWN_UP


def draw_build(rng: np.random.Generator, *, age: int | None = None) -> Build:
    """Draw a patient."""
    years = int(rng.integers(4, 90)) if age is None else age
    female = bool(rng.random() < 0.5)
    growth = 0.45 + 0.55 * min(years, GROWN_UP) / GROWN_UP
    return Build(
        age=years,
        female=female,
        size=growth * (0.93 if female else 1.0) * rng.uniform(0.94, 1.06),
        stout=rng.uniform(0.9, 1.12) * (0.95 if female else 1.0),
        girth=rng.uniform(0.85, 1.2),
        cortex=rng.uniform(0.85, 1.15) * (1 - 0.006 * max(0, years - 45)),
        quirks=int(rng.integers(2**62)),
    )


def grown(anatomy: Anatomy, build: Build) -> Anatomy:
    """Give the man of these pages the build of a patient."""

    def scaled(part: Part, wide: float, cortex: float) -> Part:
        size = build.size
        return replace(
            part,
            start=_times(part.start, size),
            end=_times(part.end, size),
            radii=tuple(radius * size * wide for radius in part.radii),
            caps=(part.caps[0] * size, part.caps[1] * size),
            thick=part.thick * size * cortex,
            thin=part.thin * cortex,
            bow=part.bow * size,
            plate=None if part.plate is None else part.plate * size,
        )

    return replace(
        anatomy,
        bones=tuple(
            replace(bone, parts=tuple(scaled(part, build.stout, build.cortex) for part in bone.parts))
            for bone in anatomy.bones
        ),
        flesh=tuple(scaled(part, build.girth, 1.0) for part in anatomy.flesh),
        centre_mm=(anatomy.centre_mm[0] * build.size, anatomy.centre_mm[1] * build.size),
        field_mm=anatomy.field_mm * build.size,
    )


def _times(point: Point, factor: float) -> Point:
    return point[0] * factor, point[1] * factor, point[2] * factor


def egg(centre: Point, half: float, radius: float, *, lean: float = 0.0, depth: float = 1.0) -> Part:
    """Give an egg of one half-length along its axis and one half-width; it leans by degrees out of the upright."""
    dx, dy = math.sin(math.radians(lean)) * half, math.cos(math.radians(lean)) * half
    x, y, z = centre
    return Part((x - dx, y - dy, z), (x + dx, y + dy, z), (radius,), (half, half), 0.7, 0.7, depth)


def shaft(
    start: Point,
    end: Point,
    radii: Iterable[float],
    thick: float,
    caps: tuple[float, float] = (4, 4),
    *,
    depth: float = 1.0,
    bow: float = 0.0,
    plate: float | None = None,
) -> Part:
    """Give a tube of cortex that thins towards both ends, or a limb's flesh within its fat."""
    return Part(start, end, tuple(radii), caps, thick, 0.8, depth=depth, bow=bow, plate=plate)
