"""The pairs of films that show the same thing, each once, and the labels that contradict one another."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from fracture.core.errors import BrokenFilm
from fracture.core.types import HarmoniseConfig, ImageRecord
from fracture.data.duplicates.search import SAME, alike
from fracture.data.duplicates.terms import AS_IS, BACK, Images
from fracture.data.duplicates.thumbnails import DEFAULT, look_at


@dataclass(frozen=True)
class Pair:
    """Two films, by index, and how well their pixels correlate (over the upper half alone where that is better).

    ``orientation`` says how the first must be laid to look like the second.
    """

    first: int
    second: int
    correlation: float
    orientation: str = AS_IS.name


def find_pairs(
    records: Sequence[ImageRecord], files: Sequence[Path], *, config: HarmoniseConfig = DEFAULT
) -> list[Pair]:
    """Find films that show the same thing: identical, near, turned and mirrored ones, and whole ones cut short.

    ``files`` are the films in the records' order. Raises BrokenFilm where one cannot be read: its
    copies would stay unknown.
    """
    thumbnails, looks = look_at(files, config)
    for number, seen in enumerate(looks, start=1):
        if seen.problem:
            raise BrokenFilm(f"film {number} of {len(looks)} cannot be read ({seen.problem}); run preprocess again")
    return pairs_among(records, thumbnails)


def pairs_among(records: Sequence[ImageRecord], thumbnails: Images) -> list[Pair]:
    """Find the pairs among films by their thumbnails, each pair once, in its best orientation. See `find_pairs`."""
    best: dict[tuple[int, int], Pair] = {}

    def keep(first: int, second: int, correlation: float, orientation: str = AS_IS.name) -> None:
        if first > second:
            first, second, orientation = second, first, BACK.get(orientation, orientation)
        if (first, second) not in best or correlation > best[first, second].correlation:
            best[first, second] = Pair(first, second, correlation, orientation)

    for first, second in _identical(records):
        keep(first, second, 1.0)
    for first, second, correlation, orientation in alike(thumbnails):
        keep(first, second, correlation, orientation)
    return [best[key] for key in sorted(best)]


def contradictions(records: Sequence[ImageRecord], pairs: Sequence[Pair]) -> dict[int, int]:
    """Give films that are the same exposure as a film of the opposite label: index -> index of the other."""
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
