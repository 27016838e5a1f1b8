"""Rays through solids of revolution: how much cortex, marrow and flesh lies between tube and detector.

Solids stand in a patient's frame in mm: x to the side, y down the film, z towards the detector. A pose turns them about
y, as a limb is turned between two views, and lays them on the film.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float32]
Point = tuple[float, float, float]

_SLENDER = 0.9
_PLATE_MM = 1.6
_END_ON = 1.6
_SPARSE = 0.2
_CARTILAGE = 0.3


class Area(NamedTuple):
    """A rectangle of whole pixels: columns x0 to x1, rows y0 to y1, the last ones excluded."""

    x0: int
    y0: int
    x1: int
    y1: int

    @property
    def cut(self) -> tuple[slice, slice]:
        """Give the index that cuts the area out of an (H, W) plane."""
        return slice(self.y0, self.y1), slice(self.x0, self.x1)

    @property
    def empty(self) -> bool:
        """Tell whether nothing is left."""
        return self.x1 <= self.x0 or self.y1 <= self.y0

    def axes(self) -> tuple[Plane, Plane]:
        """Give the pixel centres as a row of x and a column of y, which broadcast to the area."""
        x = np.arange(self.x0, self.x1, dtype=np.float32) + np.float32(0.5)
        y = np.arange(self.y0, self.y1, dtype=np.float32) + np.float32(0.5)
        return x[None, :], y[:, None]


@dataclass(frozen=True)
class Part:
    """A solid of revolution from start to end (mm), flattened in z, with a shell around a core.

    ``radii`` are half-widths in x at equal steps; the ends round off over ``caps``. The shell is ``thick`` in the
    middle and ``thin`` towards both ends; ``depth`` is half-depth over half-width; ``bow`` bends the axis. A growing
    bone has a plate of cartilage at ``plate`` mm from its start. ``marrow`` is how much spongy bone is in the core.
    A part that is not ``closed`` is a tube: its shell does not run over its ends.
    """

    start: Point
    end: Point
    radii: tuple[float, ...]
    caps: tuple[float, float] = (1.0, 1.0)
    thick: float = 1.0
    thin: float = 0.7
    depth: float = 1.0
    bow: float = 0.0
    plate: float | None = None
    marrow: float = 1.0
    closed: bool = True


@dataclass(frozen=True)
class Pose:
    """How a patient's frame lies on the film: turned about y by ``turn``, tilted by ``tilt`` in the film's plane."""

    turn: float
    tilt: float
    px_per_mm: float
    centre_mm: tuple[float, float]
    centre_px: tuple[float, float]
    flipped: bool = False

    def place(self, point: Point) -> tuple[float, float]:
        """Give where a point casts its shadow, in px."""
        across = point[0] * math.cos(self.turn) + point[2] * math.sin(self.turn) - self.centre_mm[0]
        along = point[1] - self.centre_mm[1]
        across, along = across * self.px_per_mm * (-1 if self.flipped else 1), along * self.px_per_mm
        cos, sin = math.cos(self.tilt), math.sin(self.tilt)
        return cos * across - sin * along + self.centre_px[0], sin * across + cos * along + self.centre_px[1]


@dataclass(frozen=True)
class Shadow:
    """A part as a pose shows it: where its axis starts on the film, px, which way it runs, how long it is, px."""

    part: Part
    pose: Pose
    origin: tuple[float, float]
    along: tuple[float, float]
    length: int
    end_on: bool

    @cached_property
    def _wide(self) -> float:
        """Give how many px a mm of half-width has on the film: what is flat is narrower from the side."""
        return math.hypot(math.cos(self.pose.turn), self.part.depth * math.sin(self.pose.turn)) * self.pose.px_per_mm

    @cached_property
    def _bow_px(self) -> float:
        return self.part.bow * self.pose.px_per_mm * math.cos(self.pose.turn) * (-1 if self.pose.flipped else 1)

    @cached_property
    def half_width(self) -> int:
        """Give the reach to either side of the axis, px."""
        return math.ceil(max(self.part.radii) * self._wide + abs(self._bow_px)) + 1

    @cached_property
    def profile(self) -> NDArray[np.float64]:
        """Give half-widths of the whole and of the core, mm, and the core's density, (3, length)."""
        part = self.part
        whole = math.dist(part.start, part.end)
        at = (np.arange(self.length) + 0.5) / self.length * whole
        if self.end_on or len(part.radii) == 1:
            radii, caps = np.full(self.length, max(part.radii)), (whole / 2,) * 2 if self.end_on else part.caps
        else:
            knots = np.interp(at, np.linspace(0, whole, len(part.radii)), part.radii)
            radii, caps = _smooth(knots, max(1, self.length // (2 * len(part.radii)))), part.caps
        for end in (np.minimum(at / caps[0], 1), np.minimum((whole - at) / caps[1], 1)):
            radii = radii * np.sqrt(1 - (1 - end) ** 2)
        near_end = np.exp(-((np.minimum(at, whole - at) / (2.4 * float(np.median(radii)))) ** 2))
        core = np.clip(radii - part.thin - (part.thick - part.thin) * (1 - near_end), 0, None)
        if part.closed:
            core[(at < part.thin) | (at > whole - part.thin)] = 0
        dense = part.marrow * (_SPARSE + near_end)
        if part.plate is not None:
            cartilage = np.abs(at - part.plate) < _PLATE_MM / 2
            core[cartilage], dense[cartilage] = radii[cartilage], _CARTILAGE
        return np.stack((radii, core, dense))

    @cached_property
    def tile(self) -> Plane:
        """Give the rays with the axis running down the middle, (length, width, 3).

        The channels are the ways through the whole and through the core, mm, and the spongy bone in the core, in mm
        of the densest.
        """
        radii, core, dense = self.profile
        share = (np.arange(self.length) + 0.5) / self.length
        across = np.arange(-self.half_width, self.half_width, dtype=np.float32) + np.float32(0.5)
        bow = (4 * self._bow_px * share * (1 - share)).astype(np.float32)
        square = (across[None, :] - bow[:, None]) ** 2
        # The cut across a part is an ellipse: its chords are those of a circle, stretched. Seen end on it is longer.
        drawn_out = min(math.dist(self.part.start, self.part.end) * self.pose.px_per_mm / self.length, _END_ON)
        stretch = np.float32(2 * self.part.depth * self.pose.px_per_mm / self._wide**2 * drawn_out)
        outer, inner = (
            np.sqrt(np.maximum(np.square(wide * self._wide).astype(np.float32)[:, None] - square, 0)) * stretch
            for wide in (radii, core)
        )
        return np.asarray(cv2.merge([outer, inner, inner * dense.astype(np.float32)[:, None]]))

    def half_px(self, share: float) -> float:
        """Give the half-width at a share of the length, px."""
        return float(self.profile[0, min(int(share * self.length), self.length - 1)] * self._wide)

    def area(self, size_px: tuple[int, int]) -> Area:
        """Give the part of the film that the shadow falls on."""
        wide = self.half_width
        (x, y), (ex, ey) = self.origin, self.along
        xs, ys = (x, x + ex * self.length), (y, y + ey * self.length)
        across, down = abs(ey) * wide + 1, abs(ex) * wide + 1
        width, height = size_px
        return Area(
            max(0, math.floor(min(xs) - across)),
            max(0, math.floor(min(ys) - down)),
            min(width, math.ceil(max(xs) + across)),
            min(height, math.ceil(max(ys) + down)),
        )

    def frame(self, x: Plane, y: Plane) -> tuple[Plane, Plane]:
        """Give places in the part's own frame, px: how far along the axis from its start, how far across it."""
        (ox, oy), (ex, ey) = self.origin, self.along
        return (x - ox) * ex + (y - oy) * ey, (y - oy) * ex - (x - ox) * ey

    def on(self, area: Area) -> Plane:
        """Give the tile as it lies on an area of the film: (H, W, 3)."""
        (ox, oy), (ex, ey) = self.origin, self.along
        x, y = area.x0 + 0.5 - ox, area.y0 + 0.5 - oy
        middle = self.half_width - 0.5
        to_tile = np.array([[-ey, ex, y * ex - x * ey + middle], [ex, ey, x * ex + y * ey - 0.5]])
        size = (area.x1 - area.x0, area.y1 - area.y0)
        return np.asarray(cv2.warpAffine(self.tile, to_tile, size, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP))

    def at(self, x: Plane, y: Plane) -> Plane:
        """Give the tile as rays see it that meet it at places of the film, px."""
        u, v = self.frame(x, y)
        columns = (v + (self.half_width - 0.5)).astype(np.float32)
        return np.asarray(cv2.remap(self.tile, columns, (u - 0.5).astype(np.float32), cv2.INTER_LINEAR))


def shine(part: Part, pose: Pose) -> Shadow:
    """Project a part."""
    (x0, y0), (x1, y1) = pose.place(part.start), pose.place(part.end)
    seen = math.hypot(x1 - x0, y1 - y0)
    # Along the ray a part shows its width, not a point: its axis is drawn out to that.
    least = min(math.dist(part.start, part.end), 2 * _SLENDER * max(part.radii)) * pose.px_per_mm
    ex, ey = ((x1 - x0) / seen, (y1 - y0) / seen) if seen > 1e-6 else (0.0, 1.0)
    length = max(seen, least)
    x0, y0 = x0 - ex * (length - seen) / 2, y0 - ey * (length - seen) / 2
    return Shadow(part, pose, (x0, y0), (ex, ey), max(4, math.ceil(length)), seen < 0.8 * least)


def area_of(shadows: Sequence[Shadow], size_px: tuple[int, int]) -> Area:
    """Give the part of the film that shadows fall on."""
    areas = [area for area in (shadow.area(size_px) for shadow in shadows) if not area.empty]
    if not areas:
        return Area(0, 0, 0, 0)
    x0, y0 = min(area.x0 for area in areas), min(area.y0 for area in areas)
    return Area(x0, y0, max(area.x1 for area in areas), max(area.y1 for area in areas))


def union(shadows: Sequence[Shadow], area: Area, size_px: tuple[int, int]) -> Plane:
    """Give the rays through parts that have grown together, (H, W, 3) of an area: no shell runs inside a part."""
    whole = np.zeros((area.y1 - area.y0, area.x1 - area.x0, 3), np.float32)
    for shadow in shadows:
        mine = shadow.area(size_px)
        here = Area(max(mine.x0, area.x0), max(mine.y0, area.y0), min(mine.x1, area.x1), min(mine.y1, area.y1))
        if not here.empty:
            cut = whole[here.y0 - area.y0 : here.y1 - area.y0, here.x0 - area.x0 : here.x1 - area.x0]
            np.maximum(cut, shadow.on(here), out=cut)
    return whole


def soften(plane: Plane, sigma_px: float) -> Plane:
    """Blur with a Gaussian."""
    return np.asarray(cv2.GaussianBlur(plane, (0, 0), sigma_px), np.float32)


def _smooth(values: NDArray[np.float64], half: int) -> NDArray[np.float64]:
    """Round the corners between the knots of a profile: a moving mean, twice, its ends held."""
    kernel = np.ones(2 * half + 1) / (2 * half + 1)
    for _ in range(2):
        values = np.convolve(np.pad(values, half, mode="edge"), kernel, mode="valid")
    return values
