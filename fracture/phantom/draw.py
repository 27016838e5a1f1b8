"""Draw films as they are exposed: rays through flesh, cortex and marrow, scatter, quanta, the detector's curve.

Attenuation follows Beer and Lambert, quanta arrive with the noise of a Poisson process, bone comes out bright. Films
are for tests and demonstrations; nothing measured on them says anything about patients.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fracture.core.errors import BadValue
from fracture.core.types import Box, freeze
from fracture.phantom import extras
from fracture.phantom.anatomy import Anatomy, Beam, Build
from fracture.phantom.case import ANY, Case, FilmSpec, draw_case
from fracture.phantom.exposure import Field, Tone, background, develop, tone_for
from fracture.phantom.fractures import Break, Fracture, crack, fracture_from
from fracture.phantom.rays import Plane, Pose, Shadow, area_of, shine, soften, union

VIEWS = ("frontal", "lateral", "oblique")
_BITS = (8, 12)
_Skeleton = dict[str, tuple[Shadow, ...]]


@dataclass(frozen=True)
class Phantom:
    """A film and the whole truth about it. Boxes are xyxy px.

    ``pixels`` is (H, W): uint8, or uint16 that hold 12 bits as detectors record them. ``hardware`` and ``markers`` are
    boxes, ``border`` says what lies outside the ``collimated`` field: none, dark or bright. ``landmarks`` are boxes of
    named parts of bones, whether broken or not.
    """

    pixels: NDArray[Any]
    region: str
    view: str
    side: str
    build: Build
    fractures: tuple[Fracture, ...]
    hardware: tuple[Box, ...]
    hardware_kind: str
    markers: tuple[Box, ...]
    cast: bool
    border: str
    collimated: Box
    spacing_mm: float
    landmarks: Mapping[str, Box] = field(default_factory=dict)

    def __post_init__(self) -> None:
        freeze(self.pixels)

    @property
    def boxes(self) -> tuple[Box, ...]:
        """Give the boxes of the fractures."""
        return tuple(fracture.box for fracture in self.fractures)

    @property
    def grey(self) -> NDArray[np.uint8]:
        """Give the film in 8 bits."""
        if self.pixels.dtype == np.uint8:
            return self.pixels
        return np.rint(self.pixels * np.float32(255 / 4095)).astype(np.uint8)


def draw_film(
    rng: np.random.Generator, size_px: tuple[int, int] = (373, 454), *, fractured: bool, spec: FilmSpec = ANY
) -> tuple[NDArray[np.uint8], tuple[Box, ...]]:
    """Draw one film: (H, W) pixels, bone bright, and a box around every fracture.

    There are one or two on a fractured film, else none.
    """
    film = draw_phantom(rng, size_px, fractured=fractured, spec=spec)
    return film.grey.copy(), film.boxes


def draw_phantom(
    rng: np.random.Generator,
    size_px: tuple[int, int] = (373, 454),
    *,
    fractured: bool,
    spec: FilmSpec = ANY,
    build: Build | None = None,
    view: str | None = None,
    bits: int = 8,
) -> Phantom:
    """Draw one film and give it with everything that is true of it."""
    drawn = str(rng.choice(VIEWS, p=(0.5, 0.25, 0.25)))
    return draw_examination(
        rng, size_px, fractured=fractured, spec=spec, build=build, views=(view or drawn,), bits=bits
    )[0]


def draw_examination(
    rng: np.random.Generator,
    size_px: tuple[int, int] = (373, 454),
    *,
    fractured: bool,
    spec: FilmSpec = ANY,
    build: Build | None = None,
    views: Sequence[str] = VIEWS,
    bits: int = 8,
) -> tuple[Phantom, ...]:
    """Draw one set of bones from several sides; a fracture has a box on the first film, and where else it is seen.

    From one state of ``rng``, sets whose specs differ in fractures, cast or marker differ in these alone, as long as
    the specs leave nothing else to the generator. ``bits`` is 8 or 12. Raises BadValue for a view that is not in VIEWS.
    """
    unknown = sorted(set(views) - set(VIEWS))
    if unknown or not views or bits not in _BITS:
        raise BadValue(f"expected views out of {VIEWS} in 8 or 12 bits, got {tuple(views)} in {bits} bits")
    about, shape, breaks, *films = (np.random.default_rng(seed) for seed in rng.integers(2**62, size=3 + len(views)))
    case = draw_case(about, shape, breaks, size_px, fractured, spec, build, views)
    return tuple(
        _expose(one, case, pose, frame, view, size_px, bits)
        for one, pose, frame, view in zip(films, case.poses, case.frames, views, strict=True)
    )


def _expose(
    rng: np.random.Generator, case: Case, pose: Pose, frame: Field, view: str, size_px: tuple[int, int], bits: int
) -> Phantom:
    anatomy, beam = case.anatomy, case.anatomy.beam
    # Each has its own random generator, so that a film with a cast and one without differ in the cast alone.
    tissue, wrapping, lettering, noise = (np.random.default_rng(seed) for seed in rng.integers(2**62, size=4))
    grain = _grain(tissue, size_px, pose.px_per_mm)
    flesh = _flesh(tissue, anatomy, pose, size_px)
    bone = np.zeros_like(flesh)
    skeleton = {one.name: tuple(shine(part, pose) for part in one.parts) for one in anatomy.bones}
    for shadows in skeleton.values():
        area = area_of(shadows, size_px)
        if not area.empty:
            bone[area.cut] += bone_shadow(union(shadows, area, size_px), grain[area.cut], beam)
    tone = tone_for(flesh, bone, frame)
    total = flesh + bone
    fractures = _break(case.breaks, skeleton, pose, grain, beam, tone, total)
    implants: tuple[Box, ...] = ()
    if case.implant:
        owner, part, implant = case.implant
        plane, box = extras.metal(implant, skeleton[owner][part], pose, size_px)
        total += plane
        implants = (box,) if box else ()
    if case.cast:
        plane, area = extras.plaster(wrapping, tuple(anatomy.flesh[index] for index in anatomy.cast), pose, size_px)
        total[area.cut] += plane
    mark = None
    markers: tuple[Box, ...] = ()
    if case.marker:
        mask, box = extras.letter(lettering, case.side, flesh + 2 * bone, frame.inside, min(size_px))
        mark, markers = extras.lead(mask), (box,) if box else ()
    grey = develop(noise, total, mark, beam, tone, frame)
    top = 2**bits - 1
    pixels = np.rint(grey * top).astype(np.uint8 if bits == 8 else np.uint16)
    return Phantom(
        pixels=pixels,
        region=case.region,
        view=view,
        side=case.side,
        build=case.build,
        fractures=fractures,
        hardware=implants,
        hardware_kind=case.implant[2].kind if case.implant else "none",
        markers=markers,
        cast=case.cast,
        border=frame.border,
        collimated=frame.box,
        spacing_mm=round(1 / pose.px_per_mm, 4),
        landmarks=MappingProxyType(_landmarks(anatomy, skeleton, size_px)),
    )


def _grain(rng: np.random.Generator, size_px: tuple[int, int], px_per_mm: float) -> Plane:
    """Give the pattern of spongy bone: a plane of mean 0 and deviation 1, grains of about a mm."""
    sigma = 0.45 + 0.28 * px_per_mm
    return soften(rng.standard_normal(size_px[::-1], np.float32), sigma) * np.float32(2 * math.sqrt(math.pi) * sigma)


def _flesh(rng: np.random.Generator, anatomy: Anatomy, pose: Pose, size_px: tuple[int, int]) -> Plane:
    """Give what flesh takes off each ray, muscle within a layer of fat, uneven as flesh is.

    Flesh has no edge finer than a few px: it is cast on every other one.
    """
    half = size_px[0] // 2 + 1, size_px[1] // 2 + 1
    sx, sy = half[0] / size_px[0], half[1] / size_px[1]
    small = replace(pose, px_per_mm=pose.px_per_mm / 2, centre_px=(pose.centre_px[0] * sx, pose.centre_px[1] * sy))
    shadows = tuple(shine(part, small) for part in anatomy.flesh)
    plane = np.zeros(half[::-1], np.float32)
    area = area_of(shadows, half)
    outer, inner = np.moveaxis(union(shadows, area, half)[..., :2], -1, 0)
    plane[area.cut] = anatomy.beam.flesh * (inner + 0.86 * (outer - inner))
    plane = soften(plane, 0.5 + 0.9 * small.px_per_mm)
    return np.asarray(cv2.resize(plane, size_px, interpolation=cv2.INTER_LINEAR)) * background(rng, size_px)


def bone_shadow(rays: Plane, grain: Plane, beam: Beam) -> Plane:
    """Give what a bone takes off each ray. Spongy bone is grained, the less the longer the way through it."""
    outer, inner, spongy = rays[..., 0], rays[..., 1], rays[..., 2]
    return np.asarray(beam.cortex * (outer - inner) + beam.spongy * (spongy + 0.9 * np.sqrt(spongy) * grain))


def _break(
    breaks: Sequence[Break], skeleton: _Skeleton, pose: Pose, grain: Plane, beam: Beam, tone: Tone, total: Plane
) -> tuple[Fracture, ...]:
    """Break bones on the film and box what can be seen of it: what changes the film by more than noise does."""
    found = []
    height, width = total.shape
    for plan in breaks:
        shadows = skeleton[plan.bone.name]
        here = crack(plan, shadows[plan.site.part], pose)
        area = here.area((width, height))
        if area.empty:
            continue
        x, y, left = here.bend(*np.broadcast_arrays(*area.axes()))
        whole = bone_shadow(union(shadows, area, (width, height)), grain[area.cut], beam)
        bent = np.maximum.reduce([shadow.at(x, y) for shadow in shadows])
        change = left * bone_shadow(bent, grain[area.cut], beam) - whole
        total[area.cut] += change
        fracture = fracture_from(plan, np.abs(tone.blur(change)) > tone.visible, area)
        if fracture:
            found.append(fracture)
    return tuple(found)


def _landmarks(anatomy: Anatomy, skeleton: _Skeleton, size_px: tuple[int, int]) -> dict[str, Box]:
    found: dict[str, Box] = {}
    for name, (bone, part) in anatomy.landmarks.items():
        area = skeleton[bone][part].area(size_px)
        if not area.empty:
            found[name] = (float(area.x0), float(area.y0), float(area.x1), float(area.y1))
    return found
