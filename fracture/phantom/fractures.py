"""Fractures, broken on purpose: a line, a gap or a step across a bone, of a known kind and at a place with a name.

A fragment beyond a step is bent back onto its axis within a few half-widths: what differs from the unbroken bone ends
there, and a box around it says all there is to see.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from fracture.core.types import Box
from fracture.phantom.anatomy import Bone, Site
from fracture.phantom.rays import Area, Plane, Point, Pose, Shadow

KINDS = ("line", "gap", "step")
PATTERNS = ("transverse", "oblique", "spiral", "segmental")

_BENT_BACK = 1.7
_BENT_BACK_MM = 22.0
"""Half-widths, but at most so far, within which a shifted fragment is back on its axis."""

_SHIFT_MM = 8.0


@dataclass(frozen=True)
class Fracture:
    """A fracture on a film: the box around what differs from the unbroken bone, and a hull, both in px."""

    box: Box
    outline: tuple[tuple[float, float], ...]
    kind: str
    pattern: str
    bone: str
    site: str


@dataclass(frozen=True)
class Break:
    """A fracture as planned, the same on every view: lengths are shares of the bone's half-width where it breaks."""

    bone: Bone
    site: Site
    at: float
    kind: str
    pattern: str
    slope: float
    facing: float
    """The angle about the bone's axis from which the slope is seen in full."""
    shift: float
    gap: float
    jag: tuple[float, ...]

    @property
    def point(self) -> Point:
        """Give where it is on the axis of its part, mm."""
        part = self.bone.parts[self.site.part]
        x, y, z = (a + (b - a) * self.at for a, b in zip(part.start, part.end, strict=True))
        return x, y, z


def draw_break(rng: np.random.Generator, bone: Bone, site: Site, *, kind: str | None, pattern: str | None) -> Break:
    """Draw how a bone breaks at a site; what is given is kept."""
    drawn_kind, drawn_pattern = str(rng.choice(KINDS)), str(rng.choice(PATTERNS, p=(0.5, 0.3, 0.14, 0.06)))
    if drawn_pattern == "segmental" and site.name != "shaft":
        drawn_pattern = "transverse"
    pattern = pattern or drawn_pattern
    steep = {"transverse": (0.0, 0.2), "oblique": (0.8, 1.3), "spiral": (1.2, 1.7), "segmental": (0.0, 0.3)}[pattern]
    return Break(
        bone=bone,
        site=site,
        at=rng.uniform(site.low, site.high),
        kind=kind or drawn_kind,
        pattern=pattern,
        slope=rng.uniform(*steep) * rng.choice((-1, 1)),
        facing=rng.uniform(-0.5, 0.5),
        shift=rng.uniform(0.28, 0.6) * rng.choice((-1, 1)),
        gap=rng.uniform(0.22, 0.42),
        jag=tuple(rng.normal(0, 0.09, 11).tolist()),
    )


@dataclass(frozen=True)
class Crack:
    """A break as a pose shows it: where on the film, and how wide in px."""

    plan: Break
    shadow: Shadow
    half_px: float
    slope: float

    @property
    def bent_px(self) -> float:
        """Give how far from the fracture a shifted fragment is back on its axis."""
        return min(_BENT_BACK * self.half_px, _BENT_BACK_MM * self.shadow.pose.px_per_mm)

    @property
    def centre(self) -> tuple[float, float]:
        """Give the middle of the break, px."""
        (x, y), (ex, ey) = self.shadow.origin, self.shadow.along
        at = self.plan.at * self.shadow.length
        return x + ex * at, y + ey * at

    def area(self, size_px: tuple[int, int]) -> Area:
        """Give what of the film can differ from the unbroken bone."""
        reach = self.bent_px + self.half_px * (2 + abs(self.slope) + (2 if self.plan.pattern == "segmental" else 0)) + 4
        x, y = self.centre
        width, height = size_px
        return Area(
            max(0, math.floor(x - reach)),
            max(0, math.floor(y - reach)),
            min(width, math.ceil(x + reach)),
            min(height, math.ceil(y + reach)),
        )

    def bend(self, x: Plane, y: Plane) -> tuple[Plane, Plane, Plane]:
        """Give where in the unbroken bone each pixel's ray goes, and what share of the bone is left in its way."""
        u, v = self.shadow.frame(x, y)
        beyond = self._beyond(u, v)
        plan, half = self.plan, self.half_px
        width = max(0.06 * half, 0.9)
        if plan.kind == "gap":
            edge = max(0.05 * half, 0.5)
            left = np.clip((np.abs(beyond) - max(plan.gap * half, 2.2) / 2) / edge + 0.5, 0, 1)
        else:
            depth = 0.8 if plan.kind == "line" else 0.55
            left = 1 - depth * np.exp(-((beyond / width) ** 2))
        # Beyond the broken bone's flanks the others that have grown together with it stay as they are.
        near = np.clip(4 - 2 * np.abs(v) / half, 0, 1)
        left = 1 - near * (1 - left)
        shift = math.copysign(self._shift_px(), plan.shift) if plan.kind == "step" else 0.0
        back = np.clip(1 - beyond / self.bent_px, 0, 1) ** 2 * (beyond > 0)
        if plan.pattern == "segmental":
            back = np.asarray(beyond > 0, np.float32)
        back = back * near
        ex, ey = self.shadow.along
        return x + shift * ey * back, y - shift * ex * back, np.asarray(left, np.float32)

    def _shift_px(self) -> float:
        return max(min(abs(self.plan.shift) * self.half_px, _SHIFT_MM * self.shadow.pose.px_per_mm), 2.0)

    def _beyond(self, u: Plane, v: Plane) -> Plane:
        """Give how far beyond the fracture's surface a place lies along the bone, px; below 0 on this side of it."""
        half, plan = self.half_px, self.plan
        across = np.clip(v / half, -1.4, 1.4)
        stray = np.interp(across, np.linspace(-1.4, 1.4, len(plan.jag)), plan.jag) * half
        u = u - plan.at * self.shadow.length - stray.astype(np.float32)
        if plan.pattern == "segmental":
            return np.asarray(1.1 * half - np.abs(u - self.slope * v), np.float32)
        if plan.pattern == "spiral":
            return np.asarray(u - self.slope * half * np.sin(1.3 * across), np.float32)
        return np.asarray(u - self.slope * v, np.float32)


def crack(plan: Break, shadow: Shadow, pose: Pose) -> Crack:
    """Show a break in a pose."""
    half = max(shadow.half_px(plan.at), 2.0)
    return Crack(plan, shadow, half, plan.slope * math.cos(pose.turn - plan.facing))


def fracture_from(plan: Break, differs: NDArray[np.bool_], area: Area) -> Fracture | None:
    """Box what differs, and a px around it that blur reaches; None where nothing does."""
    differs = cv2.dilate(differs.astype(np.uint8), np.ones((3, 3), np.uint8))
    rows, columns = np.nonzero(differs)
    if not rows.size:
        return None
    box = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    corners = np.concatenate([np.stack((columns + dx, rows + dy), axis=1) for dx in (0, 1) for dy in (0, 1)])
    hull = cv2.convexHull(corners.astype(np.int32))[:, 0]
    x0, y0, x1, y1 = (float(edge + start) for edge, start in zip(box, (area.x0, area.y0) * 2, strict=True))
    outline = tuple((float(x + area.x0), float(y + area.y0)) for x, y in hull)
    return Fracture((x0, y0, x1, y1), outline, plan.kind, plan.pattern, plan.bone.name, plan.site.name)
