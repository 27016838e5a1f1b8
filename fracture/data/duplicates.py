"""Which films are the same film: exact copies, near ones, turned and mirrored ones, and whole films cut short.

Every film is looked at once, as a thumbnail of 64 x 64 px; two films are alike when their thumbnails correlate. A film
that was turned has its thumbnail turned, so all are compared in eight orientations. Nothing is missed and yet few are
compared with few: cosine terms bound the correlation from above, and the angles of that bound obey the triangle
inequality, so whole shells of films are passed over at once.

Sources: perceptual hashing by the lowest cosine terms: Zauner, Implementation and Benchmarking of Perceptual Image Hash
Functions (2010); here the terms stay real numbers. Search by pivots: Chavez, Navarro, Baeza-Yates and Marroquin,
Searching in metric spaces, ACM Computing Surveys 33 (2001) 273-321.
"""

import hashlib
import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.fft import dctn
from tqdm import tqdm

from fracture.core.errors import BadValue, BrokenFilm, FractureError
from fracture.core.machine import cores
from fracture.core.types import HarmoniseConfig, ImageRecord, Radiograph
from fracture.data.workers import film_map, read_film
from fracture.imaging.harmonise import harmonise

NEAR = 0.95
"""Thumbnails that correlate at least this well show the same anatomy in the same pose: one group (docs/DATA.md)."""

TURNED = 0.97
"""The same for a film turned or mirrored. Left and right limbs of different people reach 0.95 (docs/DATA.md)."""

SAME = 0.995
"""Thumbnails that correlate at least this well are the same exposure, saved twice."""

COPY = 0.975
"""The same for the lowest cosine terms alone, which travel with a model: films saved again, smaller, in a worse JPEG or
turned reach 0.984, two films of which neither is a copy 0.971 (FracAtlas, 600 beside 2,900)."""

_THUMBNAIL_PX = 64
_INTACT_ROWS = _THUMBNAIL_PX // 2
_LOW, _TERMS = 16, 32
_SHELL = 48
_BLOCK = 4096
_NOTHING, _TELLING = 1e-2, 0.1
"""There is no picture where deviation is below this, in grey levels; nor in a half, as a share of the whole's."""
_WHITE, _REPEATED, _JPEG_PX = 254 / 255, 0.9, 16
_SLACK = 1e-3
"""Rounding in single precision must not cost a pair; what it lets through besides is compared pixel by pixel."""

DEFAULT = HarmoniseConfig(range_tail=None)
"""How films that are not harmonised yet are made comparable: as the thresholds above were measured."""

Images = NDArray[np.float16]
Terms = NDArray[np.float32]


@dataclass(frozen=True)
class Orientation:
    """One of the eight ways to lay a film down: rows and columns swapped or not, then each turned round or not."""

    name: str
    swap: bool
    rows: bool
    columns: bool

    def of_pixels(self, images: Images) -> Images:
        """Turn images (N, H, W)."""
        turned = images.swapaxes(1, 2) if self.swap else images
        return turned[:, :: -1 if self.rows else 1, :: -1 if self.columns else 1]

    def of_terms(self, low: Terms) -> Terms:
        """Turn images given by their cosine terms (N, k, k): turning an axis round changes the sign of odd terms."""
        turned = low.swapaxes(1, 2) if self.swap else low
        odd = np.where(np.arange(low.shape[1]) % 2, -1, 1).astype(np.float32)
        return turned * (odd[:, None] if self.rows else 1) * (odd if self.columns else 1)


AS_IS = Orientation("as is", swap=False, rows=False, columns=False)
ORIENTATIONS = (
    AS_IS,
    Orientation("rotated 90", swap=True, rows=False, columns=True),
    Orientation("rotated 180", swap=False, rows=True, columns=True),
    Orientation("rotated 270", swap=True, rows=True, columns=False),
    Orientation("mirrored", swap=False, rows=False, columns=True),
    Orientation("mirrored and rotated 90", swap=True, rows=True, columns=True),
    Orientation("mirrored and rotated 180", swap=False, rows=True, columns=False),
    Orientation("mirrored and rotated 270", swap=True, rows=False, columns=False),
)
"""Turns are clockwise, after mirroring left to right."""

_BACK = {"rotated 90": "rotated 270", "rotated 270": "rotated 90"}
"""What undoes an orientation, where that is another one."""


@dataclass(frozen=True)
class Pair:
    """Two films, by index, and how well their pixels correlate (over the upper half alone, if they do so better there).

    ``orientation`` says how the first must be laid to look like the second.
    """

    first: int
    second: int
    correlation: float
    orientation: str = AS_IS.name


@dataclass(frozen=True)
class Look:
    """What one look at a film tells beside its thumbnail. ``problem`` says why it cannot be seen.

    ``deviation`` of the decoded pixels, the ``white`` share of those at the top of the range and the share of rows in
    which one block is ``repeated`` from side to side are in [0, 1].
    """

    size_px: tuple[int, int] = (0, 0)
    flags: frozenset[str] = frozenset()
    deviation: float = 0.0
    white: float = 0.0
    repeated: float = 0.0
    problem: str | None = None


@dataclass(frozen=True)
class Trace:
    """By what a film is known again, whatever file it comes in: a hash of its greys, and how it looks, coarsely.

    ``looks`` are `terms_of` its thumbnail: as harmonised, and as it is where that is something else, since films that
    were harmonised already lose their mark when they are saved again.
    """

    pixel_sha256: str = ""
    looks: tuple[bytes, ...] = ()


def fingerprint(film: Radiograph) -> dict[str, str]:
    """Give the attribute by which copies of the film are known, whatever file they are in: ``pixel_sha256``."""
    pixels = np.rint(film.pixels * 65535).astype("<u2")
    digest = hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest()
    return {"pixel_sha256": digest[:32]}


def look(file: Path, config: HarmoniseConfig) -> tuple[Images, Look]:
    """Look at one film and give its thumbnail (64, 64): mean 0, deviation 1, all 0 where nothing is on the film.

    A harmonised film is taken as it is; any other is harmonised first, which the thresholds take for granted.
    """
    try:
        film = read_film(file)
        grey = film.pixels * 255 if film.harmonise_id else harmonise(film, config).pixels.astype(np.float32)
    except FractureError as error:
        return _unseen(file, str(error))
    deviation, white = float(film.pixels.std()), float((film.pixels >= _WHITE).mean())
    return _thumbnail(grey), Look(film.size_px, film.flags, deviation, white, _repeated(film.pixels))


def _thumbnail(grey: NDArray[np.float32]) -> Images:
    small = cv2.resize(grey, (_THUMBNAIL_PX, _THUMBNAIL_PX), interpolation=cv2.INTER_AREA)
    thumbnail: Images = _standardise(small[None])[0]
    return thumbnail


def _unseen(_: Path, reason: str) -> tuple[Images, Look]:
    return np.zeros((_THUMBNAIL_PX, _THUMBNAIL_PX), np.float16), Look(problem=reason)


def look_at(files: Sequence[Path], config: HarmoniseConfig = DEFAULT) -> tuple[Images, list[Look]]:
    """Look at films in parallel: their thumbnails (N, 64, 64) and what else was seen, in the films' order."""
    thumbnails = np.zeros((len(files), _THUMBNAIL_PX, _THUMBNAIL_PX), np.float16)
    looks: list[Look] = []
    seen = film_map(partial(look, config=config), files, _unseen)
    for index, (thumbnail, what) in enumerate(tqdm(seen, total=len(files), desc="look", unit="film")):
        thumbnails[index] = thumbnail
        looks.append(what)
    return thumbnails, looks


def trace(file: Path, config: HarmoniseConfig) -> Trace:
    """Give a film's trace, an empty one where it cannot be read."""
    try:
        film = read_film(file)
        greys = [film.pixels * 255]
        if not film.harmonise_id:
            greys.insert(0, harmonise(film, config).pixels.astype(np.float32))
    except FractureError:
        return Trace()
    looks = (terms_of(_thumbnail(grey)) for grey in greys)
    return Trace(fingerprint(film)["pixel_sha256"], tuple(filter(None, looks)))


def traces(files: Sequence[Path], config: HarmoniseConfig) -> list[Trace]:
    """Give the traces of films that were read before: what takes time works without the interpreter's lock."""
    with ThreadPoolExecutor(cores()) as pool:
        return list(pool.map(partial(trace, config=config), files))


def terms_of(thumbnail: Images) -> bytes:
    """Give the lowest cosine terms of a thumbnail, a signed byte each, to a scale of their own; none of an even one."""
    low = _low_terms(thumbnail[None])[0]
    largest = float(np.abs(low).max())
    return np.rint(low * (127 / largest)).astype(np.int8).tobytes() if largest > 0 else b""


def copies(known: Sequence[bytes], looks: Sequence[bytes]) -> Iterator[tuple[int, int]]:
    """Yield (index of known, index of looks) where one is a copy of the other, laid down in any of eight ways.

    A copy whose greys are turned round is one as well. Each of ``looks`` comes at most once, with its best match.
    """
    if not known or not looks:
        return
    theirs = _unit(known).reshape(len(known), -1)
    for part in _parts(len(looks)):
        mine = _unit(looks[part])
        best, at = np.zeros(len(mine), np.float32), np.zeros(len(mine), np.int64)
        for orientation in ORIENTATIONS:
            alike = np.abs(orientation.of_terms(mine).reshape(len(mine), -1) @ theirs.T)
            nearest = alike.argmax(axis=1)
            value = alike[np.arange(len(mine)), nearest]
            at[value > best] = nearest[value > best]
            best = np.maximum(best, value)
        for index in np.flatnonzero(best >= COPY):
            yield int(at[index]), part.start + int(index)


def _unit(looks: Sequence[bytes]) -> Terms:
    """Give terms (N, k, k) as `terms_of` wrote them, each of length 1. Raises BadValue for what it did not write."""
    if {len(one) for one in looks} != {_LOW * _LOW}:
        raise BadValue(f"how films look: expected {_LOW * _LOW} bytes of each, got {sorted({*map(len, looks)})}")
    terms = np.frombuffer(b"".join(looks), np.int8).astype(np.float32)
    terms = terms.reshape(len(looks), _LOW * _LOW)
    length = np.linalg.norm(terms, axis=1, keepdims=True)
    return np.asarray((terms / np.maximum(length, 1)).reshape(-1, _LOW, _LOW), np.float32)


def find_pairs(
    records: Sequence[ImageRecord], files: Sequence[Path], *, config: HarmoniseConfig = DEFAULT
) -> list[Pair]:
    """Find films that show the same thing: identical, near, turned and mirrored ones, and whole ones cut short.

    ``files`` are the films in the records' order. Raises BrokenFilm where one cannot be seen: what it repeats would
    stay unknown.
    """
    thumbnails, looks = look_at(files, config)
    for number, seen in enumerate(looks, start=1):
        if seen.problem:
            raise BrokenFilm(f"film {number} of {len(looks)} cannot be read ({seen.problem}); run preprocess again")
    return pairs_among(records, thumbnails)


def pairs_among(records: Sequence[ImageRecord], thumbnails: Images) -> list[Pair]:
    """Find the pairs among films that were looked at, each once, in its best orientation. See `find_pairs`."""
    best: dict[tuple[int, int], Pair] = {}

    def keep(first: int, second: int, correlation: float, orientation: str = AS_IS.name) -> None:
        if first > second:
            first, second, orientation = second, first, _BACK.get(orientation, orientation)
        if (first, second) not in best or correlation > best[first, second].correlation:
            best[first, second] = Pair(first, second, correlation, orientation)

    for first, second in _identical(records):
        keep(first, second, 1.0)
    for first, second, correlation, orientation in alike(thumbnails):
        keep(first, second, correlation, orientation)
    return [best[key] for key in sorted(best)]


def alike(thumbnails: Images) -> Iterator[tuple[int, int, float, str]]:
    """Yield (first, second, correlation, orientation) of thumbnails that correlate: `NEAR` as is, `TURNED` otherwise.

    Also those whose upper halves correlate at `SAME`: a copy that ends early looks unlike the whole film, and not every
    such copy is known to be one. ``thumbnails`` are (N, 64, 64), each of mean 0 and deviation 1, or all 0 for a film
    with nothing on it. A pair may come more than once.
    """
    if not len(thumbnails):
        return
    shells = _Shells(thumbnails)
    for orientation in ORIENTATIONS:
        if orientation.name == "rotated 270":
            continue  # the same pairs as rotated 90, told from the other film
        for first, second, correlation in shells.near(NEAR if orientation is AS_IS else TURNED, orientation):
            yield first, second, correlation, orientation.name
    del shells  # of a hundred thousand films, either of the two is a large part of a gigabyte
    tops = np.empty((len(thumbnails), _INTACT_ROWS, _THUMBNAIL_PX), np.float16)
    for part in _parts(len(thumbnails)):
        tops[part] = _standardise(thumbnails[part, :_INTACT_ROWS], _TELLING)
    for first, second, correlation in _Shells(tops).near(SAME):
        yield first, second, correlation, AS_IS.name


def contradictions(records: Sequence[ImageRecord], pairs: Sequence[Pair]) -> dict[int, int]:
    """Give films that are the same exposure as one of the opposite label: index -> index of the other."""
    wrong: dict[int, int] = {}
    for pair in pairs:
        labels = {records[pair.first].fractured, records[pair.second].fractured}
        if pair.correlation >= SAME and labels == {True, False}:
            wrong.setdefault(pair.first, pair.second)
            wrong.setdefault(pair.second, pair.first)
    return wrong


class _Shells:
    """Images arranged for exact search: in cells around some of them, each cell in shells by the angle to its centre.

    An image is a point on the unit sphere: its strongest low cosine terms, and the length of all the others as one more
    coordinate. By Cauchy and Schwarz no two images correlate better than their points do.
    """

    def __init__(self, images: Images) -> None:
        self.images = images
        self.low = np.empty((len(images), _LOW, _LOW), np.float32)
        for part in _parts(len(images)):
            self.low[part] = _low_terms(images[part])
        self.rest = _rest(self.low.reshape(len(images), _LOW * _LOW))
        self.chosen = np.argsort(-np.square(self.low).sum(axis=0).ravel(), kind="stable")[:_TERMS]
        self.seen = np.flatnonzero(np.concatenate([images[part].any(axis=(1, 2)) for part in _parts(len(images))]))
        points = self._points(self.low[self.seen])
        centres = np.random.default_rng(0).permutation(len(points))[: math.isqrt(len(points))]
        self.centres = points[centres]
        cell, angle = np.zeros(len(points), np.int64), np.zeros(len(points), np.float32)
        for part in _parts(len(points)):
            cosine = points[part] @ self.centres.T
            cell[part], angle[part] = cosine.argmax(axis=1), _angle(cosine.max(axis=1))
        order = np.lexsort((angle, cell))
        self.seen, self.points, self.angle = self.seen[order], points[order], angle[order]
        self.ends = np.searchsorted(cell[order], np.arange(len(self.centres) + 1))

    def near(self, threshold: float, orientation: Orientation = AS_IS) -> Iterator[tuple[int, int, float]]:
        """Yield (first, second, correlation) where first, so turned, correlates with second.

        Every pair comes at least once, either way round where the orientation undoes itself.
        """
        queries = self._points(orientation.of_terms(self.low[self.seen]))
        reach = math.acos(threshold - _SLACK)
        for centre, begin, end in zip(self.centres, self.ends, self.ends[1:], strict=False):
            if begin == end:
                continue
            # An orientation that undoes itself finds each pair from both sides: one will do.
            skip = 0 if orientation.name in _BACK else int(begin)
            angle = _angle(queries[skip:] @ centre)
            rows = np.flatnonzero((angle >= self.angle[begin] - reach) & (angle <= self.angle[end - 1] + reach))
            rows = rows[np.argsort(angle[rows])]
            angle, rows = angle[rows], rows + skip
            close = queries[rows]
            for start in range(begin, end, _SHELL):
                stop = min(start + _SHELL, end)
                low, high = np.searchsorted(angle, [self.angle[start] - reach, self.angle[stop - 1] + reach])
                row, column = np.nonzero(close[low:high] @ self.points[start:stop].T >= threshold - _SLACK)
                a, b = self.seen[rows[low + row]], self.seen[start + column]
                yield from self._checked(a[a != b], b[a != b], threshold, orientation)

    def _checked(
        self, first: NDArray[np.int64], second: NDArray[np.int64], threshold: float, orientation: Orientation
    ) -> Iterator[tuple[int, int, float]]:
        """Yield the candidates that do correlate: bounded once more, by all low terms, then compared pixel by pixel."""
        for part in _parts(len(first)):
            a, b = first[part], second[part]
            bound = (
                np.einsum("nij,nij->n", orientation.of_terms(self.low[a]), self.low[b]) + self.rest[a] * self.rest[b]
            )
            a, b = a[bound >= threshold - _SLACK], b[bound >= threshold - _SLACK]
            turned = orientation.of_pixels(self.images[a]).astype(np.float32)
            correlation = (turned * self.images[b]).mean(axis=(1, 2), dtype=np.float32)
            for hit in np.flatnonzero(correlation >= threshold):
                yield int(a[hit]), int(b[hit]), float(correlation[hit])

    def _points(self, low: Terms) -> Terms:
        chosen = low.reshape(len(low), _LOW * _LOW)[:, self.chosen]
        return np.hstack([chosen, _rest(chosen)[:, None]])


def _low_terms(images: Images) -> Terms:
    """Give the lowest terms (N, 16, 16) of each image's orthonormal cosine transform, the image's length being 1."""
    terms = dctn(images.astype(np.float32), axes=(1, 2), norm="ortho")[:, :_LOW, :_LOW]
    return np.asarray(terms / math.sqrt(images[0].size), dtype=np.float32)


def _rest(terms: Terms) -> NDArray[np.float32]:
    """Give the length (N,) of what these terms (N, k) leave out of an image of length 1."""
    known = np.einsum("nk,nk->n", terms, terms, dtype=np.float64)
    return np.asarray(np.sqrt(np.clip(1 - known, 0, None)), np.float32)


def _angle(cosine: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(np.arccos(np.clip(cosine, -1, 1)))


def _repeated(pixels: NDArray[np.float32]) -> float:
    """Give the share of rows that are one JPEG block over and over, not even: a file that lost its end unnoticed."""
    rows, columns = (length // _JPEG_PX for length in pixels.shape)
    if rows < 1 or columns < _JPEG_PX // 4:
        return 0.0
    blocks = pixels[: rows * _JPEG_PX, : columns * _JPEG_PX].reshape(rows, _JPEG_PX, columns, _JPEG_PX)
    same = (blocks[:, :, 1:] == blocks[:, :, :-1]).all(axis=(1, 3)) & (np.ptp(blocks[:, :, 1:], axis=(1, 3)) > 0)
    return float((same.mean(axis=1) > _REPEATED).mean())


def _identical(records: Sequence[ImageRecord]) -> Iterator[tuple[int, int]]:
    same: defaultdict[str, list[int]] = defaultdict(list)
    for index, record in enumerate(records):
        if digest := record.attributes.get("pixel_sha256"):
            same[digest].append(index)
    for cluster in same.values():
        yield from combinations(cluster, 2)


def _parts(length: int) -> Iterator[slice]:
    """Cut a long row into parts that are small in memory."""
    return (slice(start, start + _BLOCK) for start in range(0, length, _BLOCK))


def _standardise(images: NDArray[Any], least: float = _NOTHING) -> Images:
    """Bring each of (N, H, W) to mean 0 and deviation 1, so that a mean of products is a correlation; all 0 if even."""
    centred = images.astype(np.float32) - images.mean(axis=(1, 2), keepdims=True, dtype=np.float32)
    deviation = centred.std(axis=(1, 2), keepdims=True)
    return np.where(deviation > least, centred / np.maximum(deviation, least), 0).astype(np.float16)
