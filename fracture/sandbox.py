"""Films of strangers, decoded where they can do no harm: in child processes of bounded memory and time.

A child decodes, harmonises and hands over pixels; the parent, which holds the network, the keys and everybody else's
films, never parses a byte. Children are fresh interpreters, not forks: they hold no secret and no other library's
threads. What comes back from one is not trusted either: JSON and raw pixels, checked, never a pickle. POSIX only.
"""

import json
import os
import queue
import signal
import socket
import struct
import subprocess
import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from fracture.errors import BadValue, DecodeFailed, FractureError, SeveralFrames, TooCostly
from fracture.imaging.decode import MAX_PIXELS, frames
from fracture.imaging.harmonise import harmonise, network_pixels, to_grey
from fracture.types import FrameMap, HarmoniseConfig, ModelInput, freeze

_START_S = 30.0
"""How long a child may take to start; it takes half a second on an idle machine."""

_BYTES_PER_MB = 1 << 20
_MESSAGE_MAX_BYTES = 1 << 16
_SOCKET_BYTES = 1 << 21
_OPEN_FILES = 32
_LENGTH = struct.Struct("!I")
_REFUSALS = {kind.code: kind for kind in FractureError.__subclasses__()}
# What finds the interpreter and its libraries. Anything else in the environment may be a key.
_ENVIRONMENT = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "PYTHONHOME", "PYTHONPATH", "LANG", "LC_ALL", "TMPDIR")
# One thread each, there being several children. And glibc keeps some of what a film leaves for the next one: given back
# to the system and faulted in again, it costs a small film 0.7 ms and a large one a quarter of its time.
_TUNING = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(64 << 20),
}
_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38


@dataclass(frozen=True)
class Prepared:
    """One film as a network is fed it, and what its answer needs. ``grey`` is the decoded film, (H, W), where asked."""

    model_input: ModelInput
    flags: frozenset[str]
    grey: NDArray[np.uint8] | None = None


class Sandbox:
    """Prepares films in at most ``workers`` child processes at once. Safe to share between threads.

    A film may take ``memory_mb`` beyond what an idle child has (on Linux; other systems have no such limit), ``cpu_s``
    of processor time and ``wall_s`` from being handed over to its last pixel, waiting for a free child not counted.
    """

    def __init__(
        self,
        config: HarmoniseConfig,
        long_side_px: int,
        stride: int,
        workers: int,
        *,
        memory_mb: int = 1024,
        cpu_s: float = 10.0,
        wall_s: float = 10.0,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        self._task = _Task(config, long_side_px, stride, memory_mb, cpu_s, wall_s, max_pixels)
        # Threads that live as long as the sandbox: a child is told when the thread that started it ends (prctl(2)).
        self._starters = ThreadPoolExecutor(workers, "sandbox")
        self._first = [self._start() for _ in range(workers)]
        # The one used last goes first: its caches are warm. None, once closed.
        self._idle: queue.LifoQueue[Future[_Child] | None] = queue.LifoQueue()
        for slot in self._first:
            self._idle.put(slot)

    def wait(self) -> None:
        """Wait until the first children are ready. Raises OSError where one cannot start."""
        for slot in self._first:
            slot.result()

    def check(self) -> None:
        """Raise OSError where no child is to be had, trying to start one if need be; RuntimeError once closed."""
        try:
            slot = self._idle.get_nowait()
        except queue.Empty:
            return  # all of them are at work
        try:
            if slot is None:
                raise RuntimeError("the sandbox is closed")
            if not _usable(slot):
                slot = self._start()
            slot.result()
        finally:
            self._idle.put(slot)

    def prepare(
        self, data: bytes, *, most: int = 1, frame: int | None = None, grey: bool = False, window: int = 0
    ) -> list[Prepared]:
        """Prepare every frame of a file as a film of its own, or one ``frame`` alone, waiting for a free child.

        Raises SeveralFrames for more than ``most`` frames, BadValue for a frame there is not, the refusals of
        `fracture.imaging.decode.frames`, TooCostly for a film beyond the limits, DecodeFailed for one that broke its
        child; the next film finds a new one. Raises RuntimeError once closed, OSError where no child can be started.
        """
        slot = self._idle.get()
        if slot is None:
            self._idle.put(None)
            raise RuntimeError("the sandbox is closed")
        try:
            if not _usable(slot):  # it died while idle
                slot = self._start()
            return slot.result().prepare(data, {"most": most, "frame": frame, "grey": grey, "window": window})
        finally:
            self._idle.put(slot if _usable(slot) else self._start())

    def close(self) -> None:
        """End the children, once they are through with what they are at."""
        slots = [self._idle.get() for _ in self._first]
        for slot in slots:
            if slot is not None and slot.exception() is None:
                slot.result().end()
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
        return self._starters.submit(_Child, self._task)


def serve(fd: int, task: str) -> None:
    """Prepare films for the `Sandbox` at the other end of a socket until it hangs up: the whole life of a child."""
    todo = _Task.load(task)
    _confine(todo.memory_mb)
    with socket.socket(fileno=fd) as line, line.makefile("rb") as requests:
        _send(line, {"ready": True})
        while head := requests.read(_LENGTH.size):
            request = json.loads(requests.read(*_LENGTH.unpack(head)))
            # Processor time, to the default of its signal: it ends the process, whatever the interpreter is caught in.
            signal.setitimer(signal.ITIMER_PROF, todo.cpu_s)
            _answer(line, requests.read(request["bytes"]), request, todo)


@dataclass(frozen=True)
class _Task:
    config: HarmoniseConfig
    long_side_px: int
    stride: int
    memory_mb: int
    cpu_s: float
    wall_s: float
    max_pixels: int

    def dump(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def load(cls, text: str) -> "_Task":
        fields = json.loads(text)
        return cls(**{**fields, "config": HarmoniseConfig(**fields["config"])})


class _Child:
    """The parent's end of one child: ready once constructed, of no use once ended."""

    def __init__(self, task: _Task) -> None:
        self._task = task
        self._worn = False  # by a film that took all the memory: what is left of it is in shreds
        self._line, far = socket.socketpair()
        for end in (self._line, far):
            for buffer in (socket.SO_SNDBUF, socket.SO_RCVBUF):
                end.setsockopt(socket.SOL_SOCKET, buffer, _SOCKET_BYTES)
        code = "import sys; from fracture.sandbox import serve; serve(int(sys.argv[1]), sys.argv[2])"
        with far:
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and our own words
                [sys.executable, "-P", "-c", code, str(far.fileno()), task.dump()],
                env=_TUNING | {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
                pass_fds=[far.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,  # decoders complain there, and may quote what they read
            )
        try:
            self._message(time.monotonic() + _START_S)
        except (OSError, EOFError) as error:
            self.end()
            raise OSError("a process for decoding does not start") from error

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
            self.end()  # an answer is still on its way, and would be taken for the next film's
            if isinstance(error, Exception):
                raise DecodeFailed("the process that decoded the film answered with nonsense") from None
            raise
        if self._worn:
            self.end()
        if isinstance(answer, FractureError):
            raise answer
        return answer

    def _cause_of_death(self, deadline: float) -> FractureError:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(max(0.0, deadline - time.monotonic()))
        self.end()
        if self._process.returncode == -signal.SIGPROF:
            return TooCostly(f"expected a film that takes at most {self._task.cpu_s:g} s of processor time to decode")
        return DecodeFailed("the process that decoded the film broke down over it")

    def _ask(self, data: bytes, request: dict[str, Any], deadline: float) -> list[Prepared] | FractureError:
        self._patience(deadline)
        _send(self._line, {**request, "bytes": len(data)}, data)
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
        return Prepared(model_input, frozenset(map(str, message["flags"])), seen)

    def _message(self, deadline: float) -> dict[str, Any]:
        (length,) = _LENGTH.unpack(self._fill(bytearray(_LENGTH.size), deadline))
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


def _usable(slot: Future[_Child]) -> bool:
    return slot.exception() is None and slot.result().alive


def _confine(memory_mb: int) -> None:
    """Give up, in this process and for good, whatever decoding does not need."""
    import ctypes
    import resource

    # Whoever stops the service stops the parent, which lets films finish and then hangs up.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    cv2.setNumThreads(1)
    for limit, most in (
        (resource.RLIMIT_CORE, 0),  # a core is full of the film
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, _OPEN_FILES),
    ):
        resource.setrlimit(limit, (most, most))
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        most = pages * resource.getpagesize() + memory_mb * _BYTES_PER_MB
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


def _answer(line: socket.socket, data: bytes, request: dict[str, Any], task: _Task) -> None:
    try:
        films = frames(data, window=request["window"], max_pixels=task.max_pixels)
        wanted, count = request["frame"], 0
        for index, film in enumerate(islice(films, request["most"] + 1)):
            count += 1
            if index == request["most"]:
                raise SeveralFrames(f"expected at most {index} film(s), got a file with more frames")
            if wanted not in {None, index}:
                continue
            fed = network_pixels(harmonise(film, task.config), task.long_side_px, stride=task.stride)
            message = {
                "film_px": fed.film_px,
                "net_px": fed.pixels.shape[:2],
                "map": [fed.from_film.scale_x, fed.from_film.scale_y, fed.from_film.shift_x, fed.from_film.shift_y],
                "flags": sorted(film.flags),
            }
            grey = to_grey(film).data if request["grey"] else b""
            _send(line, message, fed.pixels.data, grey)
        if wanted is not None and wanted >= count:
            raise BadValue(f"frame: expected 0 to {count - 1}, got {wanted}")
    except Exception as error:  # noqa: BLE001 - the wall: whatever a film causes becomes a refusal
        _send(line, _refusal(error, task))
    else:
        _send(line, {"films": True})


def _refusal(error: Exception, task: _Task) -> dict[str, Any]:
    worn = _out_of_memory(error)
    if worn:
        refused: FractureError = TooCostly(f"expected a film that takes at most {task.memory_mb} MB to decode")
    elif isinstance(error, FractureError):
        refused = error
    else:
        refused = DecodeFailed("decoding the film failed in a way nobody foresaw")
    return {"refused": refused.code, "why": str(refused), "worn": worn}


def _out_of_memory(error: BaseException | None) -> bool:
    """Tell whether it began with that: decoders call a film broken, whatever kept them from reading it."""
    while error is not None:
        if isinstance(error, MemoryError) or getattr(error, "code", None) == cv2.Error.StsNoMem:
            return True
        error = error.__context__
    return False


def _send(line: socket.socket, message: dict[str, Any], *blobs: bytes | memoryview) -> None:
    text = json.dumps(message).encode()
    line.sendall(_LENGTH.pack(len(text)) + text)
    for blob in blobs:
        line.sendall(blob)
