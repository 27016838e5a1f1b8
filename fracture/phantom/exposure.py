"""From rays to a film: collimation, scatter, quanta, blur, and the curve that makes thick bright."""

import math
from dataclasses import dataclass

import cv2
import numpy as np

from fracture.core.types import Box
from fracture.phantom.anatomy import Beam
from fracture.phantom.rays import Area, Plane, soften

BORDERS = ("none", "dark", "bright")
_QUANTA = 1800.0
"""Quanta that a pixel behind flesh counts: a noise of 2 %, as automatic exposure aims at."""

_COARSE = 8
_DIM = 0.004
_EVEN = 0.6


@dataclass(frozen=True)
class Field:
    """The collimated field: a rectangle, in px, slightly askew, and what stands outside it."""

    border: str
    inside: Area
    askew: float

    @property
    def box(self) -> Box:
        """Give the field as a box."""
        x0, y0, x1, y1 = self.inside
        return float(x0), float(y0), float(x1), float(y1)

    def mask(self, size_px: tuple[int, int]) -> Plane:
        """Give the share of each ray that passes the collimator, with a penumbra."""
        x, y = Area(0, 0, *size_px).axes()
        x0, y0, x1, y1 = self.inside
        lean_x, lean_y = self.askew * (y - size_px[1] / 2), -self.askew * (x - size_px[0] / 2)
        across = np.minimum(x + lean_x - x0, x1 - x - lean_x)
        down = np.minimum(y + lean_y - y0, y1 - y - lean_y)
        return np.asarray(np.clip(np.minimum(across, down) + 0.5, 0, 1))


@dataclass(frozen=True)
class Tone:
    """How a film is shown: the attenuation that comes out mid-grey, the width of the curve, the blur in px."""

    middle: float
    width: float
    sigma_px: float

    @property
    def visible(self) -> float:
        """Give the change of attenuation that changes a mid-grey by 3 % of the grey scale."""
        return 0.03 * 4 * self.width

    def blur(self, plane: Plane) -> Plane:
        """Blur as focus and detector do."""
        return soften(plane, self.sigma_px)


def draw_field(rng: np.random.Generator, size_px: tuple[int, int], border: str | None) -> Field:
    """Draw how a film is collimated."""
    drawn = str(rng.choice(BORDERS, p=(0.66, 0.2, 0.14)))
    cuts = rng.uniform(0.0, 0.08, 4) * min(size_px)
    askew = rng.uniform(-0.02, 0.02)
    border = border or drawn
    width, height = size_px
    if border == "none":
        return Field(border, Area(0, 0, width, height), 0.0)
    x0, y0, right, down = (int(cut) for cut in cuts)
    return Field(border, Area(x0, y0, width - right, height - down), askew)


def background(rng: np.random.Generator, size_px: tuple[int, int]) -> Plane:
    """Give how uneven flesh is: a plane around 1."""
    width, height = size_px
    coarse = rng.standard_normal((7, 7), np.float32)
    cloud = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.asarray(1 + 0.02 * cloud, np.float32)


def tone_for(flesh: Plane, bone: Plane, field: Field) -> Tone:
    """Choose the curve by what is in the field, as automatic exposure does; metal and plaster do not count."""
    rows, columns = field.inside.cut
    flesh, bone = flesh[rows, columns][::3, ::3], bone[rows, columns][::3, ::3]
    thick = flesh[flesh > 0.25 * flesh.max()]
    there = (flesh + bone)[bone > 0.05 * bone.max()]
    low, high = float(np.percentile(thick, 30)), float(np.percentile(there, 88)) if there.size else float(thick.max())
    span = max(high - low, 0.25)
    return Tone(middle=low + 0.52 * span, width=span / 3.1, sigma_px=0.35 + 0.0006 * min(field.inside[2:]))


def develop(rng: np.random.Generator, total: Plane, mark: Plane | None, beam: Beam, tone: Tone, field: Field) -> Plane:
    """Expose and develop: turn attenuation into (H, W) greys in [0, 1]."""
    height, width = total.shape
    passed = np.exp(-total)
    passed *= 1 + rng.uniform(-0.12, 0.12) * np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    if field.border == "none":
        mask = None
    else:
        mask = field.mask((width, height))
        passed *= mask
    passed = tone.blur(passed)
    at = math.exp(-tone.middle)
    coarse = cv2.resize(passed, (max(width // _COARSE, 1), max(height // _COARSE, 1)), interpolation=cv2.INTER_AREA)
    haze = cv2.GaussianBlur(np.minimum(coarse, 6 * at), (0, 0), 0.09 * min(width, height) / _COARSE + 1)
    light = (1 - beam.scatter) * passed + beam.scatter * 0.5 * cv2.resize(haze, (width, height)) + _DIM * at
    if mark is not None:
        light = (light - _DIM * at) * np.exp(-mark) + _DIM * at
    light += rng.standard_normal(light.shape, np.float32) * np.sqrt(np.maximum(light, 0) * np.float32(at / _QUANTA))
    thick = -np.log(np.maximum(light, np.float32(_DIM / 4 * at)))
    # Film stations even out what is large, so that thin fingers and a thick wrist fit on one film.
    coarse = cv2.resize(thick, (max(width // _COARSE, 1), max(height // _COARSE, 1)), interpolation=cv2.INTER_AREA)
    coarse = np.clip(coarse, tone.middle - 2 * tone.width, tone.middle + 2 * tone.width)
    smooth = cv2.GaussianBlur(coarse, (0, 0), 0.1 * min(width, height) / _COARSE + 1)
    thick -= _EVEN * (cv2.resize(smooth, (width, height)) - np.float32(tone.middle))
    grey = 0.02 + 0.96 / (1 + np.exp((tone.middle - thick) * np.float32(1 / tone.width)))
    if mask is not None and field.border == "dark":
        grey = grey * mask
    return np.asarray(np.clip(soften(grey, 0.4), 0, 1), np.float32)
