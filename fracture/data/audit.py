"""Which films are the same film: exact and near duplicates. What must never stand on both sides of a split."""

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from fracture.errors import BrokenFilm
from fracture.types import ImageRecord, Radiograph

HASH_DISTANCE = 16
"""Perceptual hashes (64 bits) that differ in at most this many bits are worth comparing pixel by pixel."""

NEAR = 0.95
"""Thumbnails that correlate at least this well show the same anatomy in the same pose: one group (docs/DATA.md)."""

SAME = 0.995
"""Thumbnails that correlate at least this well are the same exposure, saved twice."""

_THUMBNAIL_PX = 64
_INTACT_ROWS = _THUMBNAIL_PX // 2
_BLOCK = 1024


@dataclass(frozen=True)
class Pair:
    """Two films, by index, and how well their pixels correlate (over the upper half where one file ends early)."""

    first: int
    second: int
    correlation: float


def fingerprint(film: Radiograph) -> dict[str, str]:
    """Give the attributes by which duplicates of the film are found: ``pixel_sha256`` and ``phash``, as text."""
    pixels = np.rint(film.pixels * 65535).astype("<u2")
    digest = hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest()
    return {"pixel_sha256": digest[:32], "phash": f"{perceptual_hash(film.pixels):016x}"}


def perceptual_hash(grey: NDArray[np.float32]) -> int:
    """Hash what a film looks like: signs of its 8 x 8 lowest cosine terms against their median (Zauner 2010)."""
    small = cv2.resize(grey, (32, 32), interpolation=cv2.INTER_AREA)
    low = cv2.dct(small)[:8, :8].ravel()
    return int("".join("1" if term > np.median(low[1:]) else "0" for term in low), 2)


def find_pairs(records: Sequence[ImageRecord], files: Sequence[Path]) -> list[Pair]:
    """Find films that show the same thing: identical ones, near duplicates, and whole films behind truncated copies.

    ``files`` are the harmonised films in the records' order. Candidates come from equal pixel hashes and close
    perceptual hashes. A truncated film hashes unlike its original, so its upper half is compared with every film's.
    """
    if not files:
        return []
    thumbnails = np.stack([_thumbnail(file) for file in files])
    best: dict[tuple[int, int], float] = {}
    for i, j in _hash_candidates(records):
        correlation = float((thumbnails[i] * thumbnails[j]).mean())
        if correlation >= NEAR:
            best[i, j] = correlation
    tops = _standardise(thumbnails[:, :_INTACT_ROWS])
    for i, record in enumerate(records):
        if "truncated" in record.flags:
            correlations = (tops * tops[i]).mean(axis=(1, 2))
            for other in map(int, np.flatnonzero(correlations >= SAME)):
                if i != other:
                    best[min(i, other), max(i, other)] = float(correlations[other])
    for i, j in _identical(records):
        best[i, j] = 1.0
    return [Pair(i, j, correlation) for (i, j), correlation in sorted(best.items())]


def contradictions(records: Sequence[ImageRecord], pairs: Sequence[Pair]) -> dict[int, int]:
    """Give films that are the same exposure as one of the opposite label: index -> index of the other."""
    wrong: dict[int, int] = {}
    for pair in pairs:
        labels = {records[pair.first].fractured, records[pair.second].fractured}
        if pair.correlation >= SAME and labels == {True, False}:
            wrong.setdefault(pair.first, pair.second)
            wrong.setdefault(pair.second, pair.first)
    return wrong


def _identical(records: Sequence[ImageRecord]) -> Iterator[tuple[int, int]]:
    same: defaultdict[str, list[int]] = defaultdict(list)
    for index, record in enumerate(records):
        if digest := record.attributes.get("pixel_sha256"):
            same[digest].append(index)
    for cluster in same.values():
        yield from combinations(cluster, 2)


def _hash_candidates(records: Sequence[ImageRecord]) -> Iterator[tuple[int, int]]:
    hashed = [index for index, record in enumerate(records) if "phash" in record.attributes]
    hashes = np.array([int(records[index].attributes["phash"], 16) for index in hashed], dtype=np.uint64)
    for start in range(0, len(hashes), _BLOCK):
        distance = np.bitwise_count(hashes[start : start + _BLOCK, None] ^ hashes[None, :])
        for row, column in np.argwhere(distance <= HASH_DISTANCE):
            if start + row < column:
                yield hashed[start + int(row)], hashed[int(column)]


def _thumbnail(file: Path) -> NDArray[np.float32]:
    grey: NDArray[np.uint8] | None = cv2.imread(str(file), cv2.IMREAD_GRAYSCALE)
    if grey is None:
        raise BrokenFilm(f"{file} cannot be read; run preprocess again")
    small = cv2.resize(grey.astype(np.float32), (_THUMBNAIL_PX, _THUMBNAIL_PX), interpolation=cv2.INTER_AREA)
    return np.asarray(_standardise(small[None])[0])


def _standardise(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Bring each of (N, H, W) to mean 0 and deviation 1, so that a mean of products is a correlation."""
    centred = images - images.mean(axis=(1, 2), keepdims=True)
    deviation = centred.std(axis=(1, 2), keepdims=True)
    return np.asarray(centred / np.where(deviation > 0, deviation, 1), dtype=np.float32)
