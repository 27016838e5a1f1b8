"""How a film is recognised in another file, and which films of two lists are copies of one another."""

import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from fracture.core.errors import BadValue, FractureError
from fracture.core.machine import cores
from fracture.core.types import HarmoniseConfig, Radiograph
from fracture.data.duplicates.terms import LOW, ORIENTATIONS, Images, Terms, low_terms, parts
from fracture.data.duplicates.thumbnails import thumbnail
from fracture.data.workers import read_film
from fracture.imaging.harmonise import harmonise

COPY = 0.975
"""Films whose lowest cosine terms alone correlate at least this well are copies. Films saved again, smaller, in a worse
JPEG or turned reach 0.984; two films of which neither is a copy reach 0.971 (FracAtlas, 600 beside 2,900)."""


@dataclass(frozen=True)
class Trace:
    """What recognises a film in any file: a hash of its greys, and how it looks, coarsely.

    ``looks`` are `terms_of` its thumbnail: harmonised, and as it is where the film is not marked as harmonised. A film
    that was harmonised loses its mark when somebody saves it again.
    """

    pixel_sha256: str = ""
    looks: tuple[bytes, ...] = ()


def fingerprint(film: Radiograph) -> dict[str, str]:
    """Give the attribute that is the same for copies of a film in any file: ``pixel_sha256``."""
    pixels = np.rint(film.pixels * 65535).astype("<u2")
    digest = hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest()
    return {"pixel_sha256": digest[:32]}


def trace(file: Path, config: HarmoniseConfig) -> Trace:
    """Give a film's trace, an empty one where it cannot be read."""
    try:
        film = read_film(file)
        greys = [film.pixels * 255]
        if not film.harmonise_id:
            greys.insert(0, harmonise(film, config).pixels.astype(np.float32))
    except FractureError:
        return Trace()
    looks = (terms_of(thumbnail(grey)) for grey in greys)
    return Trace(fingerprint(film)["pixel_sha256"], tuple(filter(None, looks)))


def traces(files: Sequence[Path], config: HarmoniseConfig) -> list[Trace]:
    """Give the traces of films that were read before. Threads suffice: the slow parts release the lock."""
    with ThreadPoolExecutor(cores()) as pool:
        return list(pool.map(partial(trace, config=config), files))


def terms_of(thumbnail: Images) -> bytes:
    """Give a thumbnail's lowest cosine terms, scaled to a signed byte each; no bytes for a flat thumbnail."""
    low = low_terms(thumbnail[None])[0]
    largest = float(np.abs(low).max())
    return np.rint(low * (127 / largest)).astype(np.int8).tobytes() if largest > 0 else b""


def copies(known: Sequence[bytes], looks: Sequence[bytes]) -> Iterator[tuple[int, int]]:
    """Yield (index of known, index of looks) where one is a copy of the other, in any orientation.

    A negative is a copy too. Each of ``looks`` comes at most once, with its best match.
    """
    if not known or not looks:
        return
    theirs = _unit(known).reshape(len(known), -1)
    for part in parts(len(looks)):
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
    """Read what `terms_of` wrote as terms (N, k, k), each of length 1. Raises BadValue for anything else."""
    if {len(one) for one in looks} != {LOW * LOW}:
        raise BadValue(f"how films look: expected {LOW * LOW} bytes of each, got {sorted({*map(len, looks)})}")
    terms = np.frombuffer(b"".join(looks), np.int8).astype(np.float32)
    terms = terms.reshape(len(looks), LOW * LOW)
    length = np.linalg.norm(terms, axis=1, keepdims=True)
    return np.asarray((terms / np.maximum(length, 1)).reshape(-1, LOW, LOW), np.float32)
