"""A load that answers nothing for the service: so many clients, each sending its next film when it has its answer."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

PATIENCE_S = 120.0
BACK_OFF_S = 0.25
"""How long a client waits that was refused: at once, it would only be refused again."""

_BOUNDARY = b"film-of-the-bench"


@dataclass(frozen=True)
class Load:
    """What clients saw in ``seconds``. ``errors`` counts answers that were none, by status or as ``broken``.

    ``latencies_ms`` leaves out each client's first film: it finds a queue that is still short. ``differ`` counts the
    answers whose boxes are not those the film had when it was alone. ``client_cpu_s`` is what asking cost.
    """

    latencies_ms: tuple[float, ...]
    answers: int
    errors: dict[str, int]
    differ: int
    seconds: float
    client_cpu_s: float


def alone(port: int, path: str, films: Sequence[bytes]) -> tuple[list[bytes], list[float]]:
    """Send the films one after the other; give the bodies of the answers and the milliseconds each took.

    Raises ConnectionError where one is not answered with 200, OSError or EOFError where it is not answered.
    """

    async def send() -> tuple[list[bytes], list[float]]:
        line = Line(port)
        bodies, taken_ms = [], []
        for film in films:
            began = time.perf_counter()
            async with asyncio.timeout(PATIENCE_S):
                status, body = await line.post(request(path, film))
            taken_ms.append((time.perf_counter() - began) * 1000)
            if status != 200:
                raise ConnectionError(f"expected an answer for a lone film, got status {status}")
            bodies.append(body)
        line.close()
        return bodies, taken_ms

    return asyncio.run(send())


def press(
    port: int, path: str, films: Sequence[bytes], expected: Sequence[bytes], *, clients: int, seconds: float
) -> Load:
    """Let clients send films for so long, each at least two; ``expected`` are the answers when alone."""
    return asyncio.run(_press(port, [request(path, film) for film in films], expected, clients, seconds))


async def _press(port: int, requests: Sequence[bytes], expected: Sequence[bytes], clients: int, seconds: float) -> Load:
    latencies_ms: list[float] = []
    errors: Counter[str] = Counter()
    others: Counter[tuple[int, bytes]] = Counter()  # compared afterwards: taking JSON apart costs time
    right = 0
    began, cpu = time.perf_counter(), time.process_time()

    async def client(number: int) -> None:
        nonlocal right
        line = Line(port)
        sent = 0
        while sent < 2 or time.perf_counter() - began < seconds:
            which = (number + sent) % len(requests)
            start = time.perf_counter()
            sent += 1
            try:
                async with asyncio.timeout(PATIENCE_S):
                    status, body = await line.post(requests[which])
            except (OSError, EOFError, LookupError, ValueError):
                status, body = 0, b""
                line.close()
            if status != 200:
                errors[str(status or "broken")] += 1
                await asyncio.sleep(BACK_OFF_S)
                continue
            if sent > 1:
                latencies_ms.append((time.perf_counter() - start) * 1000)
            if body == expected[which]:
                right += 1
            else:
                others[which, body] += 1
        line.close()

    await asyncio.gather(*map(client, range(clients)))
    over, cpu = time.perf_counter(), time.process_time() - cpu
    differ = sum(count for (which, body), count in others.items() if boxes(body) != boxes(expected[which]))
    return Load(tuple(latencies_ms), right + others.total(), dict(errors), differ, over - began, cpu)


def boxes(body: bytes) -> list[tuple[list[float], float]]:
    """Give the boxes and scores of an answer."""
    answer: dict[str, Any] = json.loads(body)
    return [(box["bbox_xyxy"], box["confidence"]) for box in answer["detections"]]


def request(path: str, *films: bytes) -> bytes:
    """Write a request that uploads films as one form."""
    parts = (
        b"--" + _BOUNDARY + b'\r\nContent-Disposition: form-data; name="file"; filename="film.jpg"\r\n'
        b"Content-Type: image/jpeg\r\n\r\n" + film + b"\r\n"
        for film in films
    )
    body = b"".join(parts) + b"--" + _BOUNDARY + b"--\r\n"
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: application/json\r\nContent-Length: {len(body)}\r\n"
        f"Content-Type: multipart/form-data; boundary={_BOUNDARY.decode()}\r\n\r\n"
    )
    return head.encode() + body


class Line:
    """A connection that stays open, and is opened again where the service closed it.

    Written by hand because a client library would take a visible share of the cores that the service works on.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._ends: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def post(self, request: bytes) -> tuple[int, bytes]:
        """Give status and body. Raises one of several errors where there is no whole answer."""
        if self._ends is None:
            self._ends = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._ends
        writer.write(request)
        await writer.drain()
        first, *rest = (await reader.readuntil(b"\r\n\r\n")).lower().decode("latin-1").split("\r\n")
        headers = dict(line.split(": ", 1) for line in rest if line)
        body = await reader.readexactly(int(headers["content-length"]))
        if headers.get("connection") == "close":
            self.close()
        return int(first.split(" ")[1]), body

    def close(self) -> None:
        if self._ends is not None:
            self._ends[1].close()
            self._ends = None
