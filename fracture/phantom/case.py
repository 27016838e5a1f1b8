"""An examination before any film is exposed: whose bones, which views, what is broken, what was put in or around."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from fracture.core.errors import BadValue
from fracture.phantom.anatomy import Anatomy, Build, draw_build
from fracture.phantom.exposure import BORDERS, Field, draw_field
from fracture.phantom.extras import HARDWARE, Implant, draw_implant, slender
from fracture.phantom.fractures import KINDS, PATTERNS, Break, draw_break
from fracture.phantom.rays import Pose
from fracture.phantom.regions import REGIONS, anatomy_of

SIDES = ("L", "R")
_MARGIN = 0.14
_TRIES = 24
_APART = 0.2


@dataclass(frozen=True)
class FilmSpec:
    """What a film must show. What is None is drawn at random, with less hardware and fewer casts on unbroken bones."""

    region: str | None = None
    side: str | None = None
    kind: str | None = None
    pattern: str | None = None
    site: str | None = None
    fractures: int | None = None
    hardware: str | None = None
    cast: bool | None = None
    marker: bool | None = None
    border: str | None = None

    def __post_init__(self) -> None:
        known = {"side": SIDES, "kind": KINDS, "pattern": PATTERNS, "hardware": HARDWARE, "border": BORDERS}
        for name, choices in known.items():
            if getattr(self, name) not in {None, *choices}:
                raise BadValue(f"{name}: expected one of {choices}, got {getattr(self, name)!r}")


ANY = FilmSpec()


@dataclass(frozen=True)
class Case:
    """What the films of one examination have in common."""

    region: str
    side: str
    build: Build
    anatomy: Anatomy
    poses: tuple[Pose, ...]
    frames: tuple[Field, ...]
    breaks: tuple[Break, ...]
    implant: tuple[str, int, Implant] | None
    cast: bool
    marker: bool


def draw_case(
    about: np.random.Generator,
    shape: np.random.Generator,
    breaks: np.random.Generator,
    size_px: tuple[int, int],
    fractured: bool,
    spec: FilmSpec,
    build: Build | None,
    views: Sequence[str],
) -> Case:
    """Draw an examination: ``about`` decides the patient and how films are taken, ``breaks`` where bones break."""
    region = spec.region or str(about.choice(REGIONS))
    drawn_build, drawn_side = draw_build(about), str(about.choice(SIDES))
    build, side = build or drawn_build, spec.side or drawn_side
    anatomy = anatomy_of(region, build, shape)
    frames = tuple(draw_field(about, size_px, spec.border) for _ in views)
    poses = tuple(_draw_pose(about, anatomy, view, side, size_px, flip) for view in views for flip in (about.random(),))
    held, wrapped, marked = about.random(3)
    hardware = spec.hardware or str(about.choice(("plate", "pin")) if held < (0.16 if fractured else 0.02) else "none")
    cast = wrapped < (0.16 if fractured else 0.04) if spec.cast is None else spec.cast
    plans = _draw_breaks(breaks, anatomy, poses, size_px, spec, hardware)
    at = plans[0]
    poses = tuple(_centred(pose, at, size_px) for pose in poses)
    implant = (
        (at.bone.name, at.site.part, draw_implant(about, hardware, at.bone.parts[at.site.part], at.at))
        if hardware != "none"
        else None
    )
    return Case(
        region=region,
        side=side,
        build=build,
        anatomy=anatomy,
        poses=poses,
        frames=frames,
        breaks=plans if fractured else (),
        implant=implant,
        cast=bool(cast and anatomy.cast),
        marker=bool(marked < 0.6 if spec.marker is None else spec.marker),
    )


def _draw_pose(
    rng: np.random.Generator, anatomy: Anatomy, view: str, side: str, size_px: tuple[int, int], flip: float
) -> Pose:
    width, height = size_px
    short = min(size_px)
    tilt = rng.uniform(-0.2, 0.2)
    if anatomy.long:
        tilt += (math.pi if flip < 0.15 else 0.0) + (math.pi / 2 if width > height else 0.0)
    shift = rng.uniform(-0.09, 0.09, 2) * short
    return Pose(
        turn=math.radians(anatomy.turns[view] + rng.uniform(-9, 9)),
        tilt=tilt,
        px_per_mm=short / anatomy.field_mm * rng.uniform(0.9, 1.15),
        centre_mm=anatomy.centre_mm,
        centre_px=(width / 2 + shift[0], height / 2 + shift[1]),
        flipped=side == "L",
    )


def _draw_breaks(
    rng: np.random.Generator,
    anatomy: Anatomy,
    poses: Sequence[Pose],
    size_px: tuple[int, int],
    spec: FilmSpec,
    hardware: str,
) -> tuple[Break, ...]:
    """Draw one or two breaks that lie well on the film in every pose, as far as a few tries find them."""
    sites = [
        (bone, site) for bone in anatomy.bones for site in bone.sites if spec.site is None or site.name == spec.site
    ]
    if hardware == "plate":
        sites = [(bone, site) for bone, site in sites if slender(bone.parts[site.part])] or sites
    if not sites:
        raise BadValue(f"site: expected one that is on such a film, got {spec.site!r}")
    weights = np.array([site.weight for _, site in sites])
    count = spec.fractures or (2 if rng.random() < 0.22 else 1)
    width, height = size_px

    def inside(plan: Break) -> float:
        """Tell how far the break lies within the film, as a share of its sides; the worst pose counts."""
        places = [pose.place(plan.point) for pose in poses]
        return min(min(x / width, 1 - x / width, y / height, 1 - y / height) for x, y in places)

    def apart(plan: Break, other: Break) -> bool:
        gaps = (math.dist(pose.place(plan.point), pose.place(other.point)) for pose in poses)
        return all(gap > _APART * min(size_px) for gap in gaps)

    found: list[Break] = []
    for _ in range(count):
        best: Break | None = None
        for _ in range(_TRIES):
            bone, site = sites[int(rng.choice(len(sites), p=weights / weights.sum()))]
            plan = draw_break(rng, bone, site, kind=spec.kind, pattern=spec.pattern)
            if all(apart(plan, other) for other in found) and (best is None or inside(plan) > inside(best)):
                best = plan
                if inside(best) > _MARGIN:
                    break
        if best is not None and (not found or inside(best) > _MARGIN / 2):
            found.append(best)
    return tuple(found)


def _centred(pose: Pose, plan: Break, size_px: tuple[int, int]) -> Pose:
    """Shift a pose if need be so that the break lies on the film, as an examination of it would."""
    x, y = pose.place(plan.point)
    (width, height), (at_x, at_y) = size_px, pose.centre_px
    to_x, to_y = (min(max(at, _MARGIN * side), (1 - _MARGIN) * side) for at, side in ((x, width), (y, height)))
    return replace(pose, centre_px=(at_x + to_x - x, at_y + to_y - y))
