"""Which thumbnails correlate, exactly and without comparing all with all.

Cosine terms bound the correlation from above, and the angles of that bound obey the triangle inequality. So whole
shells of films are passed over at once.

Source of the search by pivots: Chavez, Navarro, Baeza-Yates and Marroquin, Searching in metric spaces, ACM Computing
Surveys 33 (2001) 273-321.
"""

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from fracture.data.duplicates.terms import AS_IS, BACK, LOW, ORIENTATIONS, Images, Orientation, Terms, low_terms, parts
from fracture.data.duplicates.thumbnails import THUMBNAIL_PX, standardise

NEAR = 0.95
"""Thumbnails that correlate at least this well show the same anatomy in the same pose: one group (docs/DATA.md)."""

TURNED = 0.97
"""The same for a film turned or mirrored. Left and right limbs of different people reach 0.95 (docs/DATA.md)."""

SAME = 0.995
"""Thumbnails that correlate at least this well are the same exposure, saved twice."""

_INTACT_ROWS = THUMBNAIL_PX // 2
_TERMS = 32
_SHELL = 48
_HALF_DEVIATION = 0.1
"""As a share of the whole film's. The upper half of a film that deviates less shows nothing."""
_SLACK = 1e-3
"""Rounding in single precision must not cost a pair. What the slack lets in besides is compared pixel by pixel."""


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
            continue  # the same pairs as rotated 90, seen from the other film
        for first, second, correlation in shells.near(NEAR if orientation is AS_IS else TURNED, orientation):
            yield first, second, correlation, orientation.name
    del shells  # of a hundred thousand films, either of the two is a large part of a gigabyte
    tops = np.empty((len(thumbnails), _INTACT_ROWS, THUMBNAIL_PX), np.float16)
    for part in parts(len(thumbnails)):
        tops[part] = standardise(thumbnails[part, :_INTACT_ROWS], _HALF_DEVIATION)
    for first, second, correlation in _Shells(tops).near(SAME):
        yield first, second, correlation, AS_IS.name


class _Shells:
    """Images arranged for exact search: in cells around some of them, each in shells by the angle to its centre.

    An image is a point on the unit sphere: its strongest low cosine terms, and the length of all the others as one more
    coordinate. By Cauchy and Schwarz no two images correlate better than their points do.
    """

    def __init__(self, images: Images) -> None:
        self.images = images
        self.low = np.empty((len(images), LOW, LOW), np.float32)
        for part in parts(len(images)):
            self.low[part] = low_terms(images[part])
        self.rest = _rest(self.low.reshape(len(images), LOW * LOW))
        self.chosen = np.argsort(-np.square(self.low).sum(axis=0).ravel(), kind="stable")[:_TERMS]
        self.seen = np.flatnonzero(np.concatenate([images[part].any(axis=(1, 2)) for part in parts(len(images))]))
        points = self._points(self.low[self.seen])
        centres = np.random.default_rng(0).permutation(len(points))[: math.isqrt(len(points))]
        self.centres = points[centres]
        cell, angle = np.zeros(len(points), np.int64), np.zeros(len(points), np.float32)
        for part in parts(len(points)):
            cosine = points[part] @ self.centres.T
            cell[part], angle[part] = cosine.argmax(axis=1), _angle(cosine.max(axis=1))
        order = np.lexsort((angle, cell))
        self.seen, self.points, self.angle = self.seen[order], points[order], angle[order]
        self.ends = np.searchsorted(cell[order], np.arange(len(self.centres) + 1))

    def near(self, threshold: float, orientation: Orientation = AS_IS) -> Iterator[tuple[int, int, float]]:
        """Yield (first, second, correlation) where the first, turned so, correlates with the second.

        Every pair comes at least once, in either order where the orientation undoes itself.
        """
        queries = self._points(orientation.of_terms(self.low[self.seen]))
        reach = math.acos(threshold - _SLACK)
        for centre, begin, end in zip(self.centres, self.ends, self.ends[1:], strict=False):
            if begin == end:
                continue
            # An orientation that undoes itself finds each pair from both sides: one will do.
            skip = 0 if orientation.name in BACK else int(begin)
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
        """Yield the candidates that do correlate: bounded once more by all low terms, then compared pixel by pixel."""
        for part in parts(len(first)):
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
        chosen = low.reshape(len(low), LOW * LOW)[:, self.chosen]
        return np.hstack([chosen, _rest(chosen)[:, None]])


def _rest(terms: Terms) -> NDArray[np.float32]:
    """Give the length (N,) of what these terms (N, k) leave out of an image of length 1."""
    known = np.einsum("nk,nk->n", terms, terms, dtype=np.float64)
    return np.asarray(np.sqrt(np.clip(1 - known, 0, None)), np.float32)


def _angle(cosine: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(np.arccos(np.clip(cosine, -1, 1)))
