"""Parts of a film hidden, so that a model can be asked what it makes of the rest: the border, and given boxes."""

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from fracture.core.errors import BadValue
from fracture.core.types import Box, ImageRecord, ModelInput, Radiograph

RING = 0.08
"""How much of a film's short side is masked along every edge: where letters, collimator edges and lost rows lie."""

_HALO_PX = 3


def masked_border(film: Radiograph, share: float = RING) -> Radiograph:
    """Hide the outer ring of a film, ``share`` of its short side wide, behind the blurred grey of its inner edge.

    A flat fill would be a collimator's edge, a mirror would break bones, and the bare edge drawn outwards makes
    hairlines out of noise: each is a cue of its own. A harmonised film stays one, so harmonising passes it through.
    """
    if not 0 < share < 0.5:
        raise BadValue(f"share: expected above 0 and below 0.5, got {share}")
    ring = ring_px(film.size_px, share)
    width, height = film.size_px
    inside = film.pixels[ring : height - ring, ring : width - ring]
    pixels = cv2.copyMakeBorder(inside, ring, ring, ring, ring, cv2.BORDER_REPLICATE)
    pixels = cv2.GaussianBlur(pixels, (0, 0), max(ring, 1) / 4)
    pixels[ring : height - ring, ring : width - ring] = inside
    return replace(film, pixels=np.asarray(np.clip(pixels, 0, 1), np.float32))


def masked_boxes(film: Radiograph, boxes: Sequence[Box]) -> Radiograph:
    """Hide what lies in boxes (px of the film) by painting in what stands around them.

    Source: Telea, J Graph Tools 9 (2004) 23-34.
    """
    hidden = np.zeros(film.pixels.shape, np.uint8)
    for x0, y0, x1, y1 in boxes:
        top, left = max(int(y0) - _HALO_PX, 0), max(int(x0) - _HALO_PX, 0)
        hidden[top : int(np.ceil(y1)) + _HALO_PX, left : int(np.ceil(x1)) + _HALO_PX] = 1
    grey = np.rint(film.pixels * np.float32(255)).astype(np.uint8)
    painted = cv2.inpaint(grey, hidden, _HALO_PX, cv2.INPAINT_TELEA)
    return replace(film, pixels=np.where(hidden == 1, painted.astype(np.float32) / np.float32(255), film.pixels))


def why_not_masked(record: ImageRecord, prepared: ModelInput) -> str | None:
    """Say why masking the border could hide a film's fracture, None where it cannot."""
    if record.fractured and (not record.boxes or record.weak):
        return "where the fracture lies is not known"
    height, width = prepared.pixels.shape
    ring = ring_px((width, height), RING)
    x0, y0, x1, y1 = boxes_in(record.boxes or (), prepared).T
    touches = (x0 < ring) | (y0 < ring) | (x1 > width - ring) | (y1 > height - ring)
    return "a fracture reaches into the border" if touches.any() else None


def ring_px(size_px: tuple[int, int], share: float) -> int:
    """Give how wide a ring of a share of the short side is."""
    return int(share * min(size_px))


def boxes_in(boxes: Sequence[Box], prepared: ModelInput) -> NDArray[np.float64]:
    """Give boxes of a film in the pixels of what was prepared from it, (N, 4)."""
    return prepared.from_film.forward(np.array(boxes, dtype=np.float64).reshape(-1, 4))
