"""What lies on films besides the patient: plates, screws, pins, plaster, lead letters. Each with its box."""

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from fracture.core.types import Box
from fracture.phantom.rays import Area, Part, Plane, Pose, Shadow, area_of, shine, soften, union

HARDWARE = ("none", "plate", "pin")

_METAL, _LEAD = 5.0, 6.0
"""How much a plate and a lead letter attenuate a ray, as exponents: next to nothing comes through."""

_PLASTER = 0.055
_SUBPIXEL = 4
_SLENDER, _SHORT_MM = 5.0, 80.0


@dataclass(frozen=True)
class Implant:
    """A plate with screws or a pin on a stretch of a bone, in shares of the length of the part it is fixed to."""

    kind: str
    low: float
    high: float
    facing: float
    """The angle about the bone's axis at which the plate sits."""
    screws: int
    slant: float


def slender(part: Part) -> bool:
    """Tell whether a part is a shaft, which a plate can be fixed to."""
    return len(part.radii) > 1 and math.dist(part.start, part.end) > _SLENDER * max(part.radii)


def draw_implant(rng: np.random.Generator, kind: str, part: Part, at: float) -> Implant:
    """Draw how a bone is held together around a place on it; what is no shaft takes pins."""
    reach = 0.14 if math.dist(part.start, part.end) > _SHORT_MM else 0.26
    return Implant(
        kind=kind if slender(part) else "pin",
        low=max(0.02, at - reach - rng.uniform(0, 0.06)),
        high=min(0.98, at + reach + rng.uniform(0, 0.06)),
        facing=rng.uniform(0.35, 1.3) * rng.choice((-1, 1)),
        screws=int(rng.integers(4, 8)),
        slant=rng.uniform(0.4, 1.0) * rng.choice((-1, 1)),
    )


def metal(implant: Implant, shadow: Shadow, pose: Pose, size_px: tuple[int, int]) -> tuple[Plane, Box | None]:
    """Give what the implant takes off each ray, (H, W), and a box around what is on the film."""
    mask = np.zeros(size_px[::-1], np.uint8)
    mm = pose.px_per_mm
    (x, y), (ex, ey) = shadow.origin, shadow.along
    nx, ny = -ey, ex
    half = shadow.half_px((implant.low + implant.high) / 2)

    def point(share: float, across: float) -> tuple[float, float]:
        return x + ex * share * shadow.length + nx * across, y + ey * share * shadow.length + ny * across

    def stroke(start: tuple[float, float], end: tuple[float, float], width_mm: float, value: int = 255) -> None:
        ends = [tuple(round(edge * 2**_SUBPIXEL) for edge in place) for place in (start, end)]
        cv2.line(mask, ends[0], ends[1], value, max(1, round(width_mm * mm)), cv2.LINE_AA, _SUBPIXEL)

    if implant.kind == "pin":
        lean = implant.slant * half
        stroke(point(implant.low, -lean), point(implant.high, lean), max(1.8, 0.16 * half / mm))
        stroke(point(implant.low + 0.03, lean), point(implant.high + 0.04, -lean * 0.9), max(1.8, 0.16 * half / mm))
    else:
        angle = implant.facing - pose.turn
        aside = half * math.sin(angle)
        wide = max(0.75 * half / mm * abs(math.cos(angle)), 2.6)
        stroke(point(implant.low, aside), point(implant.high, aside), wide, 215)
        for share in np.linspace(implant.low + 0.015, implant.high - 0.015, implant.screws):
            stroke(point(share, aside * 1.12), point(share + 0.004, -aside * 1.1), 0.24 * half / mm)
            if abs(math.cos(angle)) > 0.55:
                head = tuple(round(edge * 2**_SUBPIXEL) for edge in point(share, aside))
                radius = round(0.22 * wide * mm * 2**_SUBPIXEL)
                cv2.circle(mask, head, radius, 255, -1, cv2.LINE_AA, _SUBPIXEL)
    return np.float32(_METAL / 255) * mask, bounds(mask > 40)


def plaster(
    rng: np.random.Generator, flesh: tuple[Part, ...], pose: Pose, size_px: tuple[int, int]
) -> tuple[Plane, Area]:
    """Give what a cast takes off each ray of an area: a shell around the limb, wound from a bandage."""
    gap, thick = rng.uniform(1.5, 3), rng.uniform(5, 8)
    tubes = tuple(
        replace(
            part,
            radii=tuple(r + gap + thick for r in part.radii),
            caps=(1.0, 1.0),
            thick=thick,
            thin=thick,
            depth=part.depth**0.7,
            closed=False,
        )
        for part in flesh
    )
    shell = tuple(shine(tube, pose) for tube in tubes)
    area = area_of(shell, size_px)
    turns, grain = rng.uniform(0.18, 0.3), rng.standard_normal(size_px[::-1], np.float32)
    if area.empty:
        return np.zeros((0, 0), np.float32), area
    x, y = area.axes()
    rays = soften(union(shell, area, size_px), 0.4 + 1.2 * pose.px_per_mm)
    ex, ey = shell[0].along
    down, across = (x * ex + y * ey) / pose.px_per_mm, (x * ey - y * ex) / pose.px_per_mm
    wound = np.sin(turns * (down + 0.35 * across) + np.sin(across / 11) + 0.7 * np.sin(down / 17))
    texture = 1 + 0.1 * wound + 0.3 * soften(grain[area.cut], 0.8 + 0.5 * pose.px_per_mm)
    return np.asarray(_PLASTER * (rays[..., 0] - rays[..., 1]) * texture, np.float32), area


def letter(
    rng: np.random.Generator, text: str, crowd: Plane, field: Area, short_px: int
) -> tuple[NDArray[np.uint8], Box | None]:
    """Lay a lead letter where least is in the way, and give its (H, W) mask and box. ``crowd`` is what is there."""
    height = short_px * rng.uniform(0.05, 0.075)
    scale = height / 21
    font = cv2.FONT_HERSHEY_DUPLEX if rng.random() < 0.5 else cv2.FONT_HERSHEY_SIMPLEX
    stroke = max(1, round(scale * 1.6))
    (wide, tall), _ = cv2.getTextSize(text, font, scale, stroke)
    ring = int(0.75 * math.hypot(wide, tall)) if rng.random() < 0.3 else 0
    reach = max(ring, tall) + rng.uniform(0.01, 0.05) * short_px
    x0, y0, x1, y1 = field.x0 + reach, field.y0 + reach, field.x1 - reach, field.y1 - reach
    shares = rng.permutation([(0, 0), (0, 1), (1, 0), (1, 1), (0, 0.5), (1, 0.5), (0, 0.25), (1, 0.75)])
    middles = [(int(x0 + a * (x1 - x0)), int(y0 + b * (y1 - y0))) for a, b in shares]

    def crowded(middle: tuple[int, int]) -> float:
        x, y = middle
        there = crowd[max(0, y - tall) : y + tall, max(0, x - wide) : x + wide]
        return float(there.mean()) if there.size else math.inf

    x, y = min(middles, key=crowded)
    mask = np.zeros(crowd.shape, np.uint8)
    cv2.putText(mask, text, (x - wide // 2, y + tall // 2), font, scale, 255, stroke, cv2.LINE_AA)
    if ring:
        cv2.circle(mask, (x, y), ring, 255, 1, cv2.LINE_AA)
    return mask, bounds(mask > 40)


def lead(mask: NDArray[np.uint8]) -> Plane:
    """Give what lead of that mask takes off each ray."""
    return np.asarray(np.float32(_LEAD / 255) * mask)


def bounds(seen: NDArray[np.bool_]) -> Box | None:
    """Give the box around what is seen, None around nothing."""
    rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
    if not rows.size:
        return None
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)
