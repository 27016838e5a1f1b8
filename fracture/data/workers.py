"""Work on thousands of films in processes. One may die over a film: that film is named, and the others are done."""

import queue
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from multiprocessing.resource_tracker import ensure_running
from pathlib import Path
from typing import Any, Generic, TypeVar

import cv2

from fracture.core.errors import BrokenFilm, DecodeFailed, FractureError
from fracture.core.machine import cores
from fracture.core.types import Radiograph
from fracture.imaging.decode import decode

DIED = "the process that worked on the film broke down over it"
FILM_CPU_S = 120.0
"""Processor time one film may take; the largest takes a twentieth of it."""

_CHUNK = 4

Job = TypeVar("Job")
Result = TypeVar("Result")


def read_film(file: Path, **how: Any) -> Radiograph:
    """Decode the film in a file; ``how`` goes to `fracture.imaging.decode.decode`.

    Raises a FractureError with the reason, whatever goes wrong.
    """
    try:
        return decode(file.read_bytes(), **how)
    except FractureError:
        raise
    except OSError as error:
        raise BrokenFilm(f"the film cannot be opened: {error.strerror}") from error
    except Exception as error:
        raise DecodeFailed("decoding the film failed in a way nobody foresaw") from error


def film_pool(workers: int) -> ProcessPoolExecutor:
    """Give a pool of processes, each of them keeping to one core.

    They are started new, not forked. A fork would inherit locks that threads of torch, OpenVINO or OpenCV hold, but not
    the threads that release them, and would wait for ever.
    """
    return ProcessPoolExecutor(workers, get_context("spawn"), initializer=cv2.setNumThreads, initargs=(1,))


def film_map(
    work: Callable[[Job], Result],
    jobs: Sequence[Job],
    lost: Callable[[Job, str], Result],
    workers: int | None = None,
) -> Iterator[Result]:
    """Give ``work`` of every job, in order, with one process per core unless ``workers`` says otherwise.

    A process that dies, over a film or from outside, is replaced, and each of its films is tried once more alone. One
    that ends a process again gives ``lost`` of its job and a reason. What ``work`` raises is raised.
    """
    chunks = [jobs[start : start + _CHUNK] for start in range(0, len(jobs), _CHUNK)]
    many = min(workers or cores(), len(chunks))
    idle: queue.SimpleQueue[_Worker[Job, Result]] = queue.SimpleQueue()
    crew: list[_Worker[Job, Result]] = [_Worker(work, lost) for _ in range(many)]
    for one in crew:
        idle.put(one)

    def run(chunk: Sequence[Job]) -> list[Result]:
        one = idle.get()
        try:
            return one.run(chunk)
        finally:
            idle.put(one)

    with ThreadPoolExecutor(max(many, 1), initializer=_deaf) as threads:
        futures = [threads.submit(run, chunk) for chunk in chunks]
        try:
            for future in futures:
                yield from future.result()
        finally:
            threads.shutdown(cancel_futures=True)
            for one in crew:
                one.end()


def _deaf() -> None:
    """Keep Ctrl-C from this thread and the processes that it starts, which would each say where it met them.

    The main thread hears it, and ends them.
    """
    ensure_running()  # the first start of a process runs this, which lets the signal through again
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})


class _Worker(Generic[Job, Result]):
    """One process at a time: where it dies, the next one."""

    def __init__(self, work: Callable[[Job], Result], lost: Callable[[Job, str], Result]) -> None:
        self._work = work
        self._lost = lost
        self._pool: ProcessPoolExecutor | None = None

    def run(self, jobs: Sequence[Job]) -> list[Result]:
        try:
            return self._do(jobs)
        except BrokenProcessPool:
            return [self._alone(job) for job in jobs]

    def _alone(self, job: Job) -> Result:
        try:
            return self._do([job])[0]
        except BrokenProcessPool:
            return self._lost(job, DIED)

    def _do(self, jobs: Sequence[Job]) -> list[Result]:
        if self._pool is None:
            self._pool = film_pool(1)
        try:
            return self._pool.submit(_each, self._work, jobs).result()
        except BrokenProcessPool:
            self.end()
            raise

    def end(self) -> None:
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None


def _each(work: Callable[[Job], Result], jobs: Sequence[Job]) -> list[Result]:
    results = []
    for job in jobs:
        # The signal keeps its default, which ends the process even inside native code.
        signal.setitimer(signal.ITIMER_PROF, FILM_CPU_S)
        results.append(work(job))
    signal.setitimer(signal.ITIMER_PROF, 0)
    return results
