"""How the search for duplicates grows with the films."""

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.fft import idctn

from fracture.data.duplicates import alike


def bench(settings: Mapping[str, Any]) -> str:
    """Run with the settings of ``python -m bench``; say what was found."""
    return search([settings["thumbnails"] // 10, settings["thumbnails"]])


def search(counts: Sequence[int]) -> str:
    """Search for duplicates among so many synthetic thumbnails; give times, and how they grow with the count.

    The thumbnails are those of `draw_thumbnails`, in all eight orientations; nearly none is a pair, as in a real set.
    """
    taken = []
    for count in counts:
        thumbnails = draw_thumbnails(np.random.default_rng(0), count)
        began = time.perf_counter()
        pairs = sum(1 for _ in alike(thumbnails))
        taken.append((count, time.perf_counter() - began, pairs))
    lines = [f"duplicates among {count} thumbnails: {seconds:.1f} s, {pairs} pairs" for count, seconds, pairs in taken]
    (few, short, _), (many, long, _) = taken[0], taken[-1]
    growth = math.log(long / short) / math.log(many / few) if many > few else 0.0
    return "\n".join([*lines, f"  time grows with the count to the power of {growth:.2f}; comparing all pairs, 2"])


def draw_thumbnails(rng: np.random.Generator, count: int) -> NDArray[np.float16]:
    """Draw thumbnails (count, 64, 64) of limbs in thirty poses, left and right, as `fracture.data.duplicates` has them.

    The spectrum and the spread of likeness within a pose were fitted to FracAtlas: of 100,000 pairs 540 correlate at
    0.7 or more as against 940 there, 16 at 0.9 as against 10, and as many are candidates for the search.
    """
    away = np.hypot(*np.mgrid[:64, :64]).astype(np.float32)

    def unit(terms: NDArray[Any]) -> NDArray[np.float32]:
        return np.asarray(terms / np.sqrt(np.square(terms).sum(axis=(1, 2), keepdims=True)), np.float32)

    def fields(number: int, knee: float, power: float) -> NDArray[np.float32]:
        terms = rng.standard_normal((number, 64, 64), np.float32) / np.sqrt(1 + (away / knee) ** power)
        terms[:, 0, 0] = 0
        return np.asarray(terms, np.float32)

    poses = fields(30, 2.5, 3.5)
    poses[:, :, 1::2] *= 0.3  # a limb lies along the film and is much the same on both sides
    poses = unit(poses)
    common = np.arange(1, 31) ** -0.6
    thumbnails = np.empty((count, 64, 64), np.float16)
    for start in range(0, count, 4096):
        part = thumbnails[start : start + 4096]
        like = rng.uniform(0.5, 0.975, (len(part), 1, 1)).astype(np.float32)
        pose = poses[rng.choice(30, len(part), p=common / common.sum())]
        terms = unit(like * pose + np.sqrt(1 - like**2) * unit(fields(len(part), 7, 3)))
        terms[rng.random(len(part)) < 0.5, :, 1::2] *= -1
        part[:] = idctn(terms, axes=(1, 2), norm="ortho") * 64
    return thumbnails
