"""The service as strangers meet it: a process of its own, spoken to over a socket, watched from outside."""

import http.client
import json
import os
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from fracture.models.card import SHIPPED
from fracture.phantom import draw_film
from tests.hostile.case import PLANTED, PLANTED_UID, SILENCE, grey
from tests.hostile.forms import BODILESS, MOVED, NO_HTTP, form, part, request
from tests.hostile.jpeg import encode

HANG_S = 10.0
AT_ONCE = 4
START_S = 60.0
_TRICKLE_BYTES = 64
_FILM = encode(draw_film(np.random.default_rng(5), fractured=True)[0])
_SECRETS = (PLANTED.lower(), PLANTED_UID.encode())


@dataclass(frozen=True)
class Answer:
    """What came back, if anything did (``status`` 0 where nothing), and after how long."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    seconds: float

    @property
    def code(self) -> str:
        """Give the refusal's code, "ok" for none, or what stands for an answer that is no problem document."""
        if self.status == 0:
            return SILENCE
        if 200 <= self.status < 300:
            return "ok"
        if self.status < 400:
            return MOVED
        if dict(self.headers).get("content-type") != "application/problem+json":
            return NO_HTTP
        if not self.body:
            return BODILESS
        return str(json.loads(self.body)["code"])

    def json(self) -> dict[str, object]:
        return dict(json.loads(self.body))

    @property
    def told(self) -> bytes:
        """Give every byte of it that says something."""
        return repr(self.headers).encode() + self.body

    def fault(self) -> str | None:
        """Say what no answer may be, whatever the input."""
        if self.status >= 500:
            return f"answered {self.status}"
        if self.seconds > HANG_S:
            return f"took {self.seconds:.1f} s"
        if leaks(self.told):
            return "tells what was planted"
        return None


def leaks(text: bytes) -> bool:
    """Tell whether a name or identifier that was planted is in it."""
    return any(secret in text.lower() for secret in _SECRETS)


class Service:
    """A running service with a model's ``weights``, the shipped one if not named. Its output goes to ``log``."""

    def __init__(self, log: Path, weights: Path = SHIPPED) -> None:
        self.log = log
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        settings = {"FRACTURE_PORT": str(self.port), "FRACTURE_LOG_LEVEL": "debug"}
        settings["FRACTURE_WEIGHTS"] = str(weights)
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("FRACTURE_")}
        with log.open("wb") as out:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "app"], env=inherited | settings, stdout=out, stderr=subprocess.STDOUT
            )
        self._expected: list[object] = []

    def __enter__(self) -> Self:
        until = time.monotonic() + START_S
        while self.get("/readyz").status != 200:
            if time.monotonic() > until or self._process.poll() is not None:
                self._process.kill()
                raise RuntimeError(f"the service does not start:\n{self.log.read_text()}")
            time.sleep(0.05)
        self._warm_up()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(HANG_S)
        self._process.kill()
        self._process.wait()

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    @property
    def memory_mb(self) -> float:
        """Give the resident memory of the service itself, its children not counted (Linux)."""
        for line in Path(f"/proc/{self._process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS"):
                return int(line.split()[1]) / 1024
        raise RuntimeError("the service is gone")

    def get(self, path: str) -> Answer:
        return self.send(request(b"", None, method=b"GET", target=path.encode(), length=None))

    def detect(self, film: bytes, query: bytes = b"") -> Answer:
        return self.send(request(form(part(film)), target=b"/detect" + query))

    def send(self, data: bytes, *, hang_up: bool = False, pause_s: float = 0.0) -> Answer:
        """Send a whole request on a connection of its own; with ``hang_up`` no more is to follow.

        With a pause it is sent in trickles.
        """
        began = time.perf_counter()
        status, headers, body = 0, (), b""
        with (
            suppress(OSError, http.client.HTTPException),
            socket.create_connection(("127.0.0.1", self.port), 3 * HANG_S) as line,
        ):
            # An answer may come before the last byte is sent, and the rest then be unwanted.
            sender = threading.Thread(target=_push, args=(line, data, hang_up, pause_s))
            sender.start()
            try:
                answer = http.client.HTTPResponse(line, method=data.partition(b" ")[0].decode("latin-1"))
                answer.begin()
                body = answer.read()
                status, headers = answer.status, tuple((k.lower(), v) for k, v in answer.getheaders())
            finally:
                with suppress(OSError):
                    line.shutdown(socket.SHUT_RDWR)
                sender.join()
        return Answer(status, headers, body, time.perf_counter() - began)

    def reads_rightly(self) -> bool:
        """Tell whether a good film still gets the answer it got before anything hostile came."""
        return self._told() == self._expected

    def _told(self) -> list[object]:
        answer = self.detect(_FILM, b"?conf=0.0001")
        if answer.status != 200:
            raise RuntimeError(f"the service does not read a good film: {answer.code}")
        return [answer.json()[name] for name in ("image_size", "detections", "warnings")]

    def _warm_up(self) -> None:
        """Have every network compiled that films of any shape can ask for, and every buffer grown."""
        sides = range(32, 449, 32)
        films = [encode(grey(*size)) for short in sides for size in ((short, 448), (448, short))]
        for film in films:
            self.detect(film)
        for _ in range(2):  # what is for several at once is compiled behind their backs
            with ThreadPoolExecutor(AT_ONCE) as pool:
                list(pool.map(self.detect, [film for film in films for _ in range(AT_ONCE)]))
                list(pool.map(self.detect, [bytes(8 << 20)] * 2 * AT_ONCE))
                list(pool.map(lambda film: self.detect(film, b"?format=png"), films))
        self._expected = self._told()


def _push(line: socket.socket, data: bytes, hang_up: bool, pause_s: float) -> None:
    step = _TRICKLE_BYTES if pause_s else max(len(data), 1)
    with suppress(OSError):
        for at in range(0, len(data), step):
            line.sendall(data[at : at + step])
            time.sleep(pause_s)
        if hang_up:
            line.shutdown(socket.SHUT_WR)
