"""Many films: found, read in parallel, answered in order. A film that fails gives a refusal as its answer."""

import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fracture.core.errors import FractureError, MissingData
from fracture.core.files import file_state
from fracture.core.folders import may_be_film, walk
from fracture.core.machine import cores
from fracture.core.types import Prediction, Refusal
from fracture.data import manifest
from fracture.imaging.raster import HARMONISE_KEY
from fracture.inference.reader import Reader
from fracture.inference.sandbox import Sandbox
from fracture.models.card import ModelCard

_AHEAD = 3
"""Films per worker that may wait for a slow film or a slow consumer."""


_MEMORY_MB, _CPU_S, _WALL_S = 6144, 120.0, 600.0
_HEAD_BYTES = 512
"""A PNG that `fracture.imaging.harmonise` wrote names its configuration within so many bytes."""

_DEPTH = 4
"""How many folders above a film its manifest may lie. In a dataset there are two between them."""


@dataclass(frozen=True)
class Read:
    """One film of many: its file, its answer, and the time from opening the file to the answer.

    The start of the processes that decode is no film's time. Other films are read at the same time, so ``time_ms`` is
    what the film takes alone only with one worker.
    """

    path: Path
    answer: Prediction | Refusal
    time_ms: float


def find_films(paths: Iterable[Path]) -> list[Path]:
    """List files as given, and below folders every file that is not plainly something else (labels, tables, hidden).

    Content decides later what a film is: DICOM files often have no extension. What cannot be opened, such as a
    folder that may not be listed, is in the list too: reading it says why. Raises MissingData for a path that is not
    there.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_file():
            found.append(path)
        elif path.is_dir():
            tree = walk(path)
            found += sorted([*tree.films, *(one.path for one in tree.unread if may_be_film(one.path))])
        else:
            raise MissingData(f"no such file or folder: {path}")
    return found


def read_files(
    reader: Reader, files: Iterable[Path], workers: int | None = None, sandbox: Sandbox | None = None
) -> Iterator[Read]:
    """Read every file, with a worker per core unless ``workers`` differs; answers come in the order of the files.

    A file that cannot be read, or that ends every process that decodes it, gives a Refusal, and the rest goes on. Each
    answer is the same as for the film alone. ``sandbox`` is used instead of a new one.
    """
    # Threads, since they share one network. A child and the network do their work without the interpreter's lock.
    workers = workers or cores()
    pool = ThreadPoolExecutor(workers)
    waiting: deque[Future[Read]] = deque()
    with ExitStack() as stack:
        decoding = sandbox or stack.enter_context(open_sandbox(reader.card, workers))
        if sandbox is None:
            with suppress(OSError):  # where one cannot start, every film says so
                decoding.wait()
        try:
            for file in files:
                waiting.append(pool.submit(_read, reader, file, decoding))
                if len(waiting) >= _AHEAD * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


def read_file(reader: Reader, file: Path, sandbox: Sandbox | None = None) -> Prediction | Refusal:
    """Read one file, or say why not. ``sandbox`` is as in `read_files`."""
    with ExitStack() as stack:
        decoding = sandbox or stack.enter_context(open_sandbox(reader.card, 1))
        try:
            if file.exists() and not file.is_file():  # reading a pipe may never end
                return Refusal("unreadable_file", "the file cannot be opened: it is a folder, a pipe or a device")
            data = file.read_bytes()
        except OSError as error:
            return Refusal("unreadable_file", f"the file cannot be opened: {error.strerror}")
        try:
            (film,) = decoding.prepare(data, marked=is_ours(file, data))
            return reader.read_prepared(film.model_input, film.flags)
        except FractureError as error:
            return Refusal(error.code, str(error))
        except OSError as error:  # the processes that decode are killed from outside, or none starts
            return Refusal("not_decoded", str(error))


def network_inputs(reader: Reader, files: Iterable[Path]) -> Iterator[NDArray[np.uint8]]:
    """Give films one by one as the network gets them, decoded in a `Sandbox` as in `read_files`.

    Raises what `Sandbox.prepare` raises.
    """
    with open_sandbox(reader.card, 1) as sandbox:
        for file in files:
            data = file.read_bytes()
            (film,) = sandbox.prepare(data, marked=is_ours(file, data))
            yield film.model_input.pixels


def open_sandbox(card: ModelCard, workers: int) -> Sandbox:
    """Start processes that decode films for a model. Their limits are wide: nobody waits for one film of many."""
    return Sandbox(
        card.harmonise,
        card.long_side_px,
        card.stride,
        workers,
        pad_value=card.pad_value,
        memory_mb=_MEMORY_MB,
        cpu_s=_CPU_S,
        wall_s=_WALL_S,
    )


def is_ours(file: Path, data: bytes) -> bool:
    """Tell whether a manifest above a file confirms that it is harmonised.

    Anybody can write such a mark into a film, which would then miss the contrast that every network expects.
    """
    if HARMONISE_KEY.encode() not in data[:_HEAD_BYTES]:
        return False
    place = file.resolve()
    for root in list(place.parents)[:_DEPTH]:
        if (root / manifest.NAME).is_file():
            return place in _harmonised(root, file_state(root / manifest.NAME))
    return False


@lru_cache(maxsize=8)
def _harmonised(root: Path, _: object) -> frozenset[Path]:
    try:
        records = manifest.load(root)
    except FractureError:
        return frozenset()
    return frozenset((root / record.path).resolve() for record in records if "harmonise_id" in record.attributes)


def _read(reader: Reader, file: Path, sandbox: Sandbox) -> Read:
    began = time.perf_counter()
    answer = read_file(reader, file, sandbox)
    return Read(file, answer, (time.perf_counter() - began) * 1000)
