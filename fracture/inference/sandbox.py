"""Untrusted films, decoded where they can do no harm: in child processes of bounded memory and time.

A child (`fracture.inference.decode_child`) decodes, harmonises and hands over pixels; the parent, which holds the
network, the keys and everybody else's films, never parses a byte. Children are fresh interpreters, not forks: they
hold no secret and no other library's threads, and reach no file, no network and no other process. Their answers are
not trusted either: they are JSON and raw pixels, checked, never a pickle. POSIX only.
"""

import json
import logging
import math
import os
import queue
import signal
import socket
import subprocess
import sys
import time
import weakref
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from fracture.core.errors import DecodeFailed, FractureError, NotOpen, TooCostly
from fracture.core.machine import Opened
from fracture.core.types import FrameMap, HarmoniseConfig, ModelInput, freeze
from fracture.imaging.decode import MAX_PIXELS
from fracture.imaging.harmonise import PAD_VALUE
from fracture.inference.confine import MECHANISMS
from fracture.inference.decode_child import LENGTH, Task, send

logger = logging.getLogger(__name__)

_START_S = 60.0
"""How long a child may take to start; it takes half a second on an idle machine."""

_CLOSED = "this model is closed: load it again to read films"
_MESSAGE_MAX_BYTES = 1 << 16
_SOCKET_BYTES = 1 << 21
_REFUSALS = {kind.code: kind for kind in FractureError.__subclasses__()}
# What the interpreter and its libraries are found by. Any other variable may hold a key.
_ENVIRONMENT = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "PYTHONHOME", "PYTHONPATH", "LANG", "LC_ALL", "TMPDIR")
# One thread each, since there are several children. glibc keeps some of a film's memory for the next one: to give it
# back and take it again costs a small film 0.7 ms and a large one a quarter of its time.
_TUNING = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(64 << 20),
}


@dataclass(frozen=True)
class Prepared:
    """One film as the network gets it, and what its answer needs. ``grey`` is the decoded film, (H, W), on request.

    ``spacing_mm`` is the (row, column) spacing of the decoded film's pixels, where its file states one.
    """

    model_input: ModelInput
    flags: frozenset[str]
    grey: NDArray[np.uint8] | None = None
    spacing_mm: tuple[float, float] | None = None

    def greys(self) -> NDArray[np.uint8]:
        """Give the decoded film, (H, W). Raises ValueError where it was prepared without."""
        if self.grey is None:
            raise ValueError("expected a film prepared with its greys")
        return self.grey


class ChildKilled(OSError):
    """Raise where something outside, such as a system short of memory, ended two processes in turn over a film."""


class Sandbox:
    """Prepares films in at most ``workers`` child processes at once. Safe to share between threads, not with a fork.

    Its children end when it is closed, when nobody holds it any more, and at the end of the program.

    A film may take ``memory_mb`` beyond what an idle child has (on Linux; other systems have no such limit), ``cpu_s``
    of processor time and ``wall_s`` from being handed over to its last pixel, waiting for a free child not counted.

    ``confined`` tells, once a child is ready, which of `fracture.inference.confine.MECHANISMS` hold it.
    """

    def __init__(
        self,
        config: HarmoniseConfig,
        long_side_px: int,
        stride: int,
        workers: int,
        *,
        pad_value: int = PAD_VALUE,
        memory_mb: int = 1024,
        cpu_s: float = 10.0,
        wall_s: float = 10.0,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        self._task = Task(config, long_side_px, stride, pad_value, memory_mb, cpu_s, wall_s, max_pixels)
        self._home = Opened()
        self._children: set[_Child] = set()
        self._end = weakref.finalize(self, _end_children, self._children, self._home)
        # These threads live as long as the sandbox: a child is killed when the thread that started it ends.
        self._starters = ThreadPoolExecutor(workers, "sandbox")
        self.confined: Mapping[str, bool] = dict.fromkeys(MECHANISMS, False)
        self._logged = False
        self._first = [self._start() for _ in range(workers)]
        # The child used last comes first: its caches are warm. None once closed.
        self._idle: queue.LifoQueue[Future[_Child] | None] = queue.LifoQueue()
        for slot in self._first:
            self._idle.put(slot)

    def wait(self) -> None:
        """Wait until the first children are ready. Raises OSError where one cannot start, NotOpen in a fork."""
        self._home.check()
        for slot in self._first:
            slot.result()

    def check(self) -> None:
        """Start a child if need be. Raises OSError where none can be started, NotOpen once closed and in a fork."""
        self._home.check()
        try:
            slot = self._idle.get_nowait()
        except queue.Empty:
            return  # all of them are at work
        try:
            if slot is None:
                raise NotOpen(_CLOSED)
            if not _usable(slot):
                slot = self._start()
            slot.result()
        finally:
            self._idle.put(slot)

    def prepare(
        self,
        data: bytes,
        *,
        most: int = 1,
        frame: int | None = None,
        grey: bool = False,
        window: int = 0,
        marked: bool = False,
    ) -> list[Prepared]:
        """Prepare every frame of a file as a film of its own, or only one ``frame``, once a child is free.

        A file that says it is harmonised is believed only where it is ``marked``: where the caller knows that it is.

        Raises SeveralFrames for more than ``most`` frames, BadValue for a frame that does not exist, the refusals of
        `fracture.imaging.decode.frames`, TooCostly for a film beyond the limits, DecodeFailed for one that broke two
        children; the next film gets a new one. Raises NotOpen once closed and in a fork, OSError where no child can be
        started, ChildKilled where the second one was ended from outside.
        """
        request = {"most": most, "frame": frame, "grey": grey, "window": window, "marked": marked}
        self._home.check()
        slot = self._idle.get()
        if slot is None:
            self._idle.put(None)
            raise NotOpen(_CLOSED)
        try:
            if not _usable(slot):  # it died while idle
                slot = self._start()
            try:
                return slot.result().prepare(data, request)
            except _Died:
                # Once may not be the film's fault, so a fresh child, which has seen no other film, tries again.
                slot = self._start()
            try:
                return slot.result().prepare(data, request)
            except _Died as death:
                if death.from_outside:
                    raise ChildKilled("processes that decode films are ended from outside") from None
                raise DecodeFailed("the process that decoded the film broke down over it") from None
        finally:
            self._idle.put(slot if _usable(slot) else self._start())

    def close(self) -> None:
        """End the children once they have finished their films. A fork has none to end."""
        if not self._home.here:
            return
        slots = [self._idle.get() for _ in self._first]
        for slot in slots:
            if slot is not None:
                slot.exception()  # a child that is starting is waited for
        self._end()
        self._starters.shutdown()
        for _ in slots:
            self._idle.put(None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _start(self) -> "Future[_Child]":
        return self._starters.submit(self._child)

    def _child(self) -> "_Child":
        child = _Child(self._task)
        self._children.difference_update([other for other in list(self._children) if not other.alive])
        self._children.add(child)
        self.confined = child.confined
        if not self._logged:
            self._logged = True
            without = [name for name, held in child.confined.items() if not held]
            if without:
                logger.warning("films are decoded without %s: this system does not have it", " and ".join(without))
            else:
                logger.info("films are decoded under %s", " and ".join(child.confined))
        return child


def _spacing(stated: list[float] | None) -> tuple[float, float] | None:
    if stated is None:
        return None
    row, column = map(float, stated)
    if not (0 < row < math.inf and 0 < column < math.inf):
        raise ValueError("a spacing that no film has")
    return row, column


class _Died(Exception):
    """Raise for a child that died over a film. ``from_outside``: by SIGKILL, which no fault of its own causes."""

    def __init__(self, from_outside: bool) -> None:
        super().__init__()
        self.from_outside = from_outside


class _Child:
    """The parent's end of one child: ready once constructed, useless once ended."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._worn = False  # by a film that took all the memory: what is left is fragmented
        self._line, far = socket.socketpair()
        for end in (self._line, far):
            for buffer in (socket.SO_SNDBUF, socket.SO_RCVBUF):
                end.setsockopt(socket.SOL_SOCKET, buffer, _SOCKET_BYTES)
        code = "import sys; from fracture.inference.decode_child import serve; serve(int(sys.argv[1]), sys.argv[2])"
        with far:
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and our own code
                [sys.executable, "-P", "-c", code, str(far.fileno()), task.dump()],
                env=_TUNING | {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
                pass_fds=[far.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,  # decoders write there, and may quote what they read
            )
        try:
            ready = self._message(time.monotonic() + _START_S)
        except (OSError, EOFError) as error:
            self.end()
            raise OSError("a process for decoding does not start") from error
        self.confined = {name: bool(ready.get("confined", {}).get(name)) for name in MECHANISMS}

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def end(self) -> None:
        self._line.close()
        self._process.kill()
        self._process.wait()

    def prepare(self, data: bytes, request: dict[str, Any]) -> list[Prepared]:
        deadline = time.monotonic() + self._task.wall_s
        try:
            answer = self._ask(data, request, deadline)
        except TimeoutError:
            self.end()
            raise TooCostly(f"expected a film that is decoded within {self._task.wall_s:g} s") from None
        except (OSError, EOFError):
            raise self._cause_of_death(deadline) from None
        except BaseException as error:
            self.end()  # an answer may still be on its way and would be taken for the next film's
            if isinstance(error, Exception):
                raise DecodeFailed("the process that decoded the film answered with nonsense") from None
            raise
        if self._worn:
            self.end()
        if isinstance(answer, FractureError):
            raise answer
        return answer

    def _cause_of_death(self, deadline: float) -> Exception:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(max(0.0, deadline - time.monotonic()))
        how = self._process.poll()  # before it is ended here, in case it only hung up
        self.end()
        if how == -signal.SIGPROF:
            return TooCostly(f"expected a film that takes at most {self._task.cpu_s:g} s of processor time to decode")
        return _Died(how == -signal.SIGKILL)

    def _ask(self, data: bytes, request: dict[str, Any], deadline: float) -> list[Prepared] | FractureError:
        self._patience(deadline)
        send(self._line, {**request, "bytes": len(data)}, data)
        films: list[Prepared] = []
        while True:
            message = self._message(deadline)
            if "refused" in message:
                self._worn = bool(message["worn"])
                return _REFUSALS[message["refused"]](str(message["why"]))
            if "films" in message:
                if not films:
                    raise ValueError("no film and no refusal")
                return films
            if len(films) == (request["most"] if request["frame"] is None else 1):
                raise ValueError("more films than asked for")
            films.append(self._film(message, request["grey"], deadline))

    def _film(self, message: dict[str, Any], grey: bool, deadline: float) -> Prepared:
        task = self._task
        width, height = map(int, message["film_px"])
        if not (0 < width * height <= task.max_pixels and max(message["net_px"]) < task.long_side_px + task.stride):
            raise ValueError("a film of a size that was not asked for")
        model_input = ModelInput(
            self._pixels((*message["net_px"], 3), deadline),
            (width, height),
            FrameMap(*map(float, message["map"])),
            task.config.harmonise_id,
        )
        seen = freeze(self._pixels((height, width), deadline)) if grey else None
        return Prepared(model_input, frozenset(map(str, message["flags"])), seen, _spacing(message["spacing_mm"]))

    def _message(self, deadline: float) -> dict[str, Any]:
        (length,) = LENGTH.unpack(self._fill(bytearray(LENGTH.size), deadline))
        if length > _MESSAGE_MAX_BYTES:
            raise ValueError("a message longer than any")
        return dict(json.loads(bytes(self._fill(bytearray(length), deadline))))

    def _pixels(self, shape: tuple[int, ...], deadline: float) -> NDArray[np.uint8]:
        pixels = np.empty(shape, np.uint8)
        self._fill(pixels.data.cast("B"), deadline)
        return pixels

    def _fill(self, buffer: bytearray | memoryview, deadline: float) -> bytearray | memoryview:
        view = memoryview(buffer)
        while view:
            self._patience(deadline)
            got = self._line.recv_into(view)
            if not got:
                raise EOFError
            view = view[got:]
        return buffer

    def _patience(self, deadline: float) -> None:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._line.settimeout(left)


def _end_children(children: set[_Child], opened: Opened) -> None:
    for child in children if opened.here else ():
        child.end()


def _usable(slot: Future[_Child]) -> bool:
    return slot.exception() is None and slot.result().alive
