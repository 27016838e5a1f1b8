"""The display shutter (PS3.3 C.7.6.11, C.7.6.15): what a viewer covers, which is no part of the film."""

import math

import cv2
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from fracture.imaging.dicom.elements import codes, number, numbers, raw
from fracture.imaging.dicom.greys import macro

_FAR_PX = 1 << 17
_MOST_CORNERS = 10_000
_LEAST_OPEN = 0.01


def covered(dataset: Dataset, index: int, shape: tuple[int, int], flags: set[str]) -> NDArray[np.bool_] | None:
    """Mark the pixels that any of the film's shutters covers; None without a shutter.

    A shutter that cannot be read, or that leaves next to nothing visible, is ignored and flagged ``bad_shutter``.
    """
    source = macro(dataset, index, "FrameDisplayShutterSequence")
    shapes = codes(source, "ShutterShape")
    if not shapes:
        return None
    found = np.zeros(shape, dtype=bool)
    for name in shapes:
        one = _SHAPES[name](source, dataset, shape) if name in _SHAPES else None
        if one is None:
            flags.add("bad_shutter")
        else:
            found |= one
    if np.count_nonzero(~found) < _LEAST_OPEN * found.size:
        flags.add("bad_shutter")
        return None
    if found.any():
        flags.add("shutter")
    return found


def _rectangular(source: Dataset, _: Dataset, shape: tuple[int, int]) -> NDArray[np.bool_] | None:
    """Keep what lies between the edges, which belong to the film; rows and columns count from 1."""
    left, right = number(source, "ShutterLeftVerticalEdge"), number(source, "ShutterRightVerticalEdge")
    upper, lower = number(source, "ShutterUpperHorizontalEdge"), number(source, "ShutterLowerHorizontalEdge")
    if left is None or right is None or upper is None or lower is None or left >= right or upper >= lower:
        return None
    covered = np.ones(shape, dtype=bool)
    covered[max(upper - 1, 0) : max(lower, 0), max(left - 1, 0) : max(right, 0)] = False
    return covered


def _circular(source: Dataset, _: Dataset, shape: tuple[int, int]) -> NDArray[np.bool_] | None:
    centre, radius = numbers(source, "CenterOfCircularShutter"), number(source, "RadiusOfCircularShutter")
    if len(centre) != 2 or not all(map(math.isfinite, centre)) or radius is None or radius <= 0:
        return None
    down = (np.arange(1, shape[0] + 1) - centre[0])[:, None]
    across = np.arange(1, shape[1] + 1) - centre[1]
    outside: NDArray[np.bool_] = down**2 + across**2 > float(radius) ** 2
    return outside


def _polygonal(source: Dataset, _: Dataset, shape: tuple[int, int]) -> NDArray[np.bool_] | None:
    corners = numbers(source, "VerticesOfThePolygonalShutter")
    if not 6 <= len(corners) <= 2 * _MOST_CORNERS or len(corners) % 2 or not all(map(math.isfinite, corners)):
        return None
    rows_columns = np.clip(np.array(corners), -_FAR_PX, _FAR_PX).reshape(-1, 2)
    inside = np.zeros(shape, np.uint8)
    cv2.fillPoly(inside, [(rows_columns[:, ::-1] - 1).astype(np.int32)], 1)
    outside: NDArray[np.bool_] = inside == 0
    return outside


def _bitmap(source: Dataset, dataset: Dataset, shape: tuple[int, int]) -> NDArray[np.bool_] | None:
    """Cover where the overlay plane that the shutter names has a 1 (C.9.2): bits, the lowest of a byte first."""
    group = number(source, "ShutterOverlayGroup")
    if group is None or group % 2 or not 0x6000 <= group <= 0x60FF:
        return None
    tags = {name: group << 16 | number for name, number in _OVERLAY.items()}
    rows, columns = (number(dataset, tags[name]) or 0 for name in ("rows", "columns"))
    bits = raw(dataset, tags["bits"])
    if rows <= 0 or columns <= 0 or not isinstance(bits, bytes) or len(bits) * 8 < rows * columns:
        return None
    plane = np.unpackbits(np.frombuffer(bits, np.uint8), count=rows * columns, bitorder="little").reshape(rows, columns)
    origin = [int(place) - 1 for place in numbers(dataset, tags["origin"]) if math.isfinite(place)][:2]
    top, left = origin if len(origin) == 2 else (0, 0)
    covered = np.zeros(shape, dtype=bool)
    here = plane[max(-top, 0) :, max(-left, 0) :]
    there = covered[max(top, 0) :, max(left, 0) :]
    height, width = min(here.shape[0], there.shape[0]), min(here.shape[1], there.shape[1])
    there[:height, :width] = here[:height, :width] > 0
    return covered


_OVERLAY = {"rows": 0x0010, "columns": 0x0011, "origin": 0x0050, "bits": 0x3000}
_SHAPES = {"RECTANGULAR": _rectangular, "CIRCULAR": _circular, "POLYGONAL": _polygonal, "BITMAP": _bitmap}
