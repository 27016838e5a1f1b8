"""Many films: found, read side by side, answered in order; failures are answers of their own."""

import os
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from fracture.errors import FractureError, MissingData
from fracture.files import may_be_film, walk
from fracture.reader import Reader
from fracture.types import Prediction, Refusal

_AHEAD = 3
"""Films per worker that may wait for a slow one, or for a consumer that takes its time."""


@dataclass(frozen=True)
class Read:
    """One film of many: its file, its answer, and the time from opening the file to the answer.

    Other films were read meanwhile: only with one worker is ``time_ms`` what the film takes alone.
    """

    path: Path
    answer: Prediction | Refusal
    time_ms: float


def find_films(paths: Iterable[Path]) -> list[Path]:
    """List files as given, and below folders every file that is not plainly something else (labels, tables, hidden).

    Content decides later what a film is: DICOM files often have no extension. What cannot be looked at, such as a
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


def read_files(reader: Reader, files: Iterable[Path], workers: int | None = None) -> Iterator[Read]:
    """Read every file, as many at a time as there are cores unless said; give the answers in the order of the files.

    A file that cannot be read gives its Refusal, and the rest goes on. An answer is that of the film read alone.
    """
    # Threads, not processes: they share one network, and everything slow (decoding, OpenCV, inference) works without
    # the interpreter's lock.
    workers = workers or os.cpu_count() or 1
    pool = ThreadPoolExecutor(workers)
    waiting: deque[Future[Read]] = deque()
    try:
        for file in files:
            waiting.append(pool.submit(_read, reader, file))
            if len(waiting) >= _AHEAD * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def read_file(reader: Reader, file: Path) -> Prediction | Refusal:
    """Read one file, or say why not."""
    try:
        if file.exists() and not file.is_file():  # a pipe would be waited for without end
            return Refusal("unreadable_file", "the file cannot be opened: it is a folder, a pipe or a device")
        return reader.read(file.read_bytes())
    except FractureError as error:
        return Refusal(error.code, str(error))
    except OSError as error:
        return Refusal("unreadable_file", f"the file cannot be opened: {error.strerror}")


def _read(reader: Reader, file: Path) -> Read:
    began = time.perf_counter()
    answer = read_file(reader, file)
    return Read(file, answer, (time.perf_counter() - began) * 1000)
