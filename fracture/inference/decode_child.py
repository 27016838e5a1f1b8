"""The process that decodes one film after another for a sandbox: its whole life, from start to end.

It imports what decoding needs, gives up everything else (`fracture.inference.confine`), and only then reads a film's
first byte. Its answers travel as JSON and raw pixels over the one connection that it was given.
"""

import encodings
import json
import pkgutil
import resource
import signal
import socket
import struct
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
from PIL import Image

from fracture.core.errors import BadValue, DecodeFailed, FractureError, SeveralFrames, TooCostly
from fracture.core.types import HarmoniseConfig
from fracture.imaging.decode import frames
from fracture.imaging.harmonise import harmonise, network_pixels, to_grey
from fracture.inference.confine import confine, end_with_parent, hide

LENGTH = struct.Struct("!I")
"""The head of every message: its length."""

_BYTES_PER_MB = 1 << 20


@dataclass(frozen=True)
class Task:
    """How films are prepared, and what one may take; see `fracture.inference.sandbox.Sandbox`."""

    config: HarmoniseConfig
    long_side_px: int
    stride: int
    pad_value: int
    memory_mb: int
    cpu_s: float
    wall_s: float
    max_pixels: int

    def dump(self) -> str:
        """Write it as text."""
        return json.dumps(asdict(self))

    @classmethod
    def load(cls, text: str) -> "Task":
        """Read what `dump` wrote."""
        fields = json.loads(text)
        return cls(**{**fields, "config": HarmoniseConfig.stored(fields["config"])})


def serve(fd: int, task: str) -> None:
    """Prepare films for the `Sandbox` at the other end of a socket until it hangs up."""
    todo = Task.load(task)
    with socket.socket(fileno=fd) as line, line.makefile("rb") as requests:
        _import_all()
        _limit(todo.memory_mb)
        confined = confine()
        if not any(confined.values()):
            hide()  # or another child could look at this one's film
        send(line, {"ready": True, "confined": confined})
        while head := requests.read(LENGTH.size):
            request = json.loads(requests.read(*LENGTH.unpack(head)))
            # A limit on processor time. Its signal keeps its default, which ends the process even inside native code.
            signal.setitimer(signal.ITIMER_PROF, todo.cpu_s)
            _answer(line, requests.read(request["bytes"]), request, todo)


def send(line: socket.socket, message: dict[str, Any], *blobs: bytes | memoryview) -> None:
    """Send a message and the bytes that follow it."""
    text = json.dumps(message).encode()
    line.sendall(LENGTH.pack(len(text)) + text)
    for blob in blobs:
        line.sendall(blob)


def _import_all() -> None:
    """Import what decoders would import while they decode, when no file can be opened any more.

    A DICOM file names its character set, which may be any that Python knows. pydicom makes Pillow try all its formats
    on a codestream, and some functions of numpy import its masked arrays.
    """
    import_module("numpy.ma")
    for module in pkgutil.iter_modules(encodings.__path__):
        with suppress(ImportError):  # some exist on other systems only
            import_module(f"encodings.{module.name}")
    Image.init()


def _limit(memory_mb: int) -> None:
    # Whoever stops the service stops the parent. It lets films finish and then hangs up.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    end_with_parent(signal.SIGKILL)
    cv2.setNumThreads(1)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core dump would hold the film
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    if sys.platform == "linux":
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        most = pages * resource.getpagesize() + memory_mb * _BYTES_PER_MB
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


def _answer(line: socket.socket, data: bytes, request: dict[str, Any], task: Task) -> None:
    try:
        films = frames(data, window=request["window"], max_pixels=task.max_pixels)
        wanted, count = request["frame"], 0
        for index, film in enumerate(islice(films, request["most"] + 1)):
            count += 1
            if index == request["most"]:
                raise SeveralFrames(f"expected at most {index} film(s), got a file with more frames")
            if wanted not in {None, index}:
                continue
            known = film if request["marked"] or film.harmonise_id is None else replace(film, harmonise_id=None)
            harmonised = harmonise(known, task.config)
            fed = network_pixels(harmonised, task.long_side_px, stride=task.stride, pad_value=task.pad_value)
            message = {
                "film_px": fed.film_px,
                "net_px": fed.pixels.shape[:2],
                "map": [fed.from_film.scale_x, fed.from_film.scale_y, fed.from_film.shift_x, fed.from_film.shift_y],
                "flags": sorted(film.flags),
                "spacing_mm": film.spacing_mm,
            }
            grey = to_grey(film).data if request["grey"] else b""
            send(line, message, fed.pixels.data, grey)
        if wanted is not None and wanted >= count:
            raise BadValue(f"frame: expected 0 to {count - 1}, got {wanted}")
    except Exception as error:  # noqa: BLE001 - whatever a film causes becomes a refusal
        send(line, _refusal(error, task))
    else:
        send(line, {"films": True})


def _refusal(error: Exception, task: Task) -> dict[str, Any]:
    worn = _out_of_memory(error)
    if worn:
        refused: FractureError = TooCostly(f"expected a film that takes at most {task.memory_mb} MB to decode")
    elif isinstance(error, FractureError):
        refused = error
    else:
        refused = DecodeFailed("decoding the film failed in a way nobody foresaw")
    return {"refused": refused.code, "why": str(refused), "worn": worn}


def _out_of_memory(error: BaseException | None) -> bool:
    """Tell whether a lack of memory is the cause: decoders call a film broken whatever kept them from reading it."""
    while error is not None:
        if isinstance(error, MemoryError) or getattr(error, "code", None) == cv2.Error.StsNoMem:
            return True
        error = error.__context__
    return False
