"""Programs in processes of their own: how long they take to start, and what they and all their children cost."""

import http.client
import os
import resource
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from types import TracebackType
from typing import Self

START_LIMIT_S = 60.0
STOP_LIMIT_S = 20.0
SAMPLE_EVERY_S = 1.0

_POLL_EVERY_S = 0.02
_PROC = Path("/proc")


class DidNotStart(Exception):
    """Raise for a program that ended, or took too long, before it was ready."""


@dataclass(frozen=True)
class Running:
    """A service that is ready. ``start_s`` is the time from starting it until it said so."""

    pid: int
    port: int
    start_s: float


def peak_mb() -> float:
    """Give the most memory this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def can_account() -> bool:
    """Tell whether this system says what a process costs: Linux does."""
    return (_PROC / "self/smaps_rollup").is_file()


def free_port() -> int:
    """Give a port of this machine that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextmanager
def started(command: Sequence[str], port: int, ready: str, environment: Mapping[str, str]) -> Iterator[Running]:
    """Run a service for the length of a ``with`` block, which begins once the path ``ready`` answers 200.

    ``environment`` adds to this process's own. Raises DidNotStart with what the program said last.
    """
    with TemporaryFile() as log:
        began = time.perf_counter()
        program = subprocess.Popen(  # noqa: S603 - our own words
            command, env=os.environ | environment, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
        )
        try:
            while (refusal := _refusal(port, ready)) is not None:
                if program.poll() is not None:
                    log.seek(0)
                    said = [line for line in log.read().decode(errors="replace").splitlines() if line.strip()]
                    raise DidNotStart(f"it ended: {' / '.join(said[-2:])}")
                if time.perf_counter() - began > START_LIMIT_S:
                    raise DidNotStart(f"not ready after {START_LIMIT_S:g} s: {refusal}")
                time.sleep(_POLL_EVERY_S)
            yield Running(program.pid, port, time.perf_counter() - began)
        finally:
            program.terminate()
            try:
                program.wait(STOP_LIMIT_S)
            except subprocess.TimeoutExpired:
                program.kill()
                program.wait()


class Watch:
    """What a process and its children cost during a ``with`` block.

    ``cpu_s`` is the processor time they took. ``rss_mb`` and ``pss_mb`` are the most they held at once: summed, with
    shared pages counted in every process, and with each such page shared out among all processes that map it.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._over = threading.Event()
        self._sampler = threading.Thread(target=self._sample)
        self.cpu_s = self.rss_mb = self.pss_mb = 0.0

    def __enter__(self) -> Self:
        self.cpu_s = -cpu_s(self._pid)
        self._sampler.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cpu_s += cpu_s(self._pid)
        self._over.set()
        self._sampler.join()

    def _sample(self) -> None:
        while True:
            rss_mb, pss_mb = memory_mb(self._pid)
            self.rss_mb, self.pss_mb = max(self.rss_mb, rss_mb), max(self.pss_mb, pss_mb)
            if self._over.wait(SAMPLE_EVERY_S):
                return


def tree(pid: int) -> list[int]:
    """Give the process and all that descend from it."""
    parents = {}
    for folder in _PROC.iterdir():
        if folder.name.isdecimal():
            with suppress(OSError):  # it ended meanwhile
                parents[int(folder.name)] = int(_stat(int(folder.name))[1])
    found = [pid]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found


def cpu_s(pid: int) -> float:
    """Give the processor time a process and its children have taken, those that ended included."""
    ticks = 0
    for one in tree(pid):
        with suppress(OSError):
            ticks += sum(map(int, _stat(one)[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def memory_mb(pid: int) -> tuple[float, float]:
    """Give the memory a process and its children hold now, as RSS and as PSS.

    The service hides its memory from its own user: there the RSS, which all may read, stands for both.
    """
    kb = {"Rss:": 0, "Pss:": 0}
    for one in tree(pid):
        with suppress(OSError):
            try:
                told = (_PROC / str(one) / "smaps_rollup").read_text(encoding="ascii")
            except PermissionError:
                resident = int(own_mb(one) * 1024)
                told = f"Rss: {resident} kB\nPss: {resident} kB"
            for line in told.splitlines():
                name, *rest = line.split()
                if name in kb:
                    kb[name] += int(rest[0])
    return kb["Rss:"] / 1024, kb["Pss:"] / 1024


def own_mb(pid: int) -> float:
    """Give the memory a process holds without its children, as RSS. Raises OSError where it is gone."""
    pages = int((_PROC / str(pid) / "statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def _stat(pid: int) -> list[str]:
    # proc(5): the name, in brackets, may hold anything; state and parent follow it.
    return (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()


def _refusal(port: int, path: str) -> str | None:
    """Give what a service says where it is not ready, None where it answers 200."""
    line = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        line.request("GET", path)
        answer = line.getresponse()
        said = answer.read().decode(errors="replace")
        return None if answer.status == http.client.OK else f"status {answer.status}, {said[:300]}"
    except (OSError, http.client.HTTPException) as error:
        return type(error).__name__
    finally:
        line.close()
