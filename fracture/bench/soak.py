"""The service under mixed films for a long time: every answer as it is alone, and memory that does not grow."""

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from fracture.bench.load import BACK_OFF_S, PATIENCE_S, Line, request
from fracture.bench.processes import free_port, memory_mb, started
from fracture.data.phantom import draw_film
from fracture.data.phantom.dicom_files import Style, dicom
from fracture.models import card as cards

PATH = "/detect?conf=0.01"
"""A threshold so low that every answer holds boxes that can differ."""

SAMPLE_EVERY_S = 5.0
LARGE_PX = 2304, 2880


@dataclass
class Soak:
    """What came of it. ``answers`` counts the right ones by what was sent, ``wrong`` the others by that and status.

    ``memory`` has the second, and the RSS and PSS in MB of the service and its children then.
    """

    answers: Counter[str] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)
    latencies_ms: list[float] = field(default_factory=list)
    memory: list[tuple[float, float, float]] = field(default_factory=list)
    seconds: float = 0.0

    def slope_mb_per_min(self) -> float:
        """Give how fast RSS grew over the second half, by least squares. Raises LinAlgError for too few samples."""
        half = [(at_s / 60, rss_mb) for at_s, rss_mb, _ in self.memory if at_s >= self.seconds / 2]
        minutes, rss_mb = np.array(half).T
        return float(np.polyfit(minutes, rss_mb, 1)[0])

    def faults(self, most_mb_per_min: float) -> list[str]:
        """Give what must not be."""
        slope = self.slope_mb_per_min()
        grew = [f"memory grew by {slope:.2f} MB a minute"] if slope >= most_mb_per_min else []
        return [*(f"{count} x {what}" for what, count in self.wrong.items()), *grew]

    def table(self) -> str:
        """Give the figures as text."""
        p50_ms, p95_ms, most_ms = np.percentile(self.latencies_ms, (50, 95, 100))
        (_, first_mb, _), (_, last_mb, pss_mb) = self.memory[0], self.memory[-1]
        most_mb = max(rss_mb for _, rss_mb, _ in self.memory)
        sent = ", ".join(f"{count} {name}" for name, count in sorted(self.answers.items()))
        lines = [
            f"{self.answers.total()} right answers in {self.seconds:.0f} s ({sent}), {self.wrong.total()} wrong",
            f"latency: p50 {p50_ms:.0f} ms, p95 {p95_ms:.0f} ms, longest {most_ms:.0f} ms",
            f"memory of all processes (RSS): {first_mb:.0f} MB at first, {most_mb:.0f} at most, {last_mb:.0f} at last",
            f"  as PSS {pss_mb:.0f} MB; grew by {self.slope_mb_per_min():+.2f} MB a minute over the second half",
        ]
        return "\n".join(lines)


def soak(weights: Path | None, *, seconds: float, clients: int, every_s: float = SAMPLE_EVERY_S) -> Soak:
    """Start the service and let clients send films for so long, refused ones among them.

    Raises DidNotStart, or ConnectionError where a film alone is not answered as it should be.
    """
    port = free_port()
    settings = {"FRACTURE_HOST": "127.0.0.1", "FRACTURE_PORT": str(port)}
    settings["FRACTURE_WEIGHTS"] = str(weights or cards.SHIPPED)
    requests = {name: (request(PATH, *films), code) for name, (films, code) in mixture().items()}
    with started([sys.executable, "-m", "app"], port, "/readyz", settings) as running:
        return asyncio.run(_soak(running.pid, port, requests, seconds, clients, every_s))


def mixture() -> dict[str, tuple[list[bytes], str | None]]:
    """Give what is sent, by name: the films of one request, and the code of its refusal where it is to be refused."""
    rng = np.random.default_rng(0)

    def draw() -> NDArray[np.uint8]:
        return draw_film(rng, fractured=True)[0]

    wide = np.rot90(draw())
    deep = _encode(".png", draw().astype(np.uint16) * 257)
    return {
        "JPEG": ([_encode(".jpg", draw())], None),
        "PNG": ([_encode(".png", wide)], None),
        "PNG of 16 bits": ([deep], None),
        "DICOM": ([_dicom(draw(), "explicit")], None),
        "RLE DICOM": ([_dicom(draw(), "rle")], None),
        "large JPEG": ([_encode(".jpg", cv2.resize(draw(), LARGE_PX))], None),
        "study": ([_encode(".jpg", wide), b"no film", _dicom(draw(), "implicit")], None),
        "text": ([b"no film"], "unsupported_format"),
        "cut PNG": ([deep[: len(deep) // 2]], None),
        "PNG of a head alone": ([deep[:45]], "broken_film"),
        "nothing": ([b""], "empty_file"),
        "bomb": ([_encode(".png", np.zeros((6000, 6000), np.uint8))], "film_too_large"),
    }


async def _soak(
    pid: int, port: int, requests: Mapping[str, tuple[bytes, str | None]], seconds: float, clients: int, every_s: float
) -> Soak:
    expected = await _alone(port, requests)
    names = list(requests)
    found = Soak()
    began = time.perf_counter()

    async def watch() -> None:
        while True:
            at_s = time.perf_counter() - began
            found.memory.append((at_s, *await asyncio.to_thread(memory_mb, pid)))
            await asyncio.sleep(every_s)

    async def client(number: int) -> None:
        rng = np.random.default_rng(number)
        line = Line(port)
        while time.perf_counter() - began < seconds:
            name = names[rng.integers(len(names))]
            start = time.perf_counter()
            answer = await _ask(line, requests[name][0])
            if answer == expected[name]:
                found.answers[name] += 1
                found.latencies_ms.append((time.perf_counter() - start) * 1000)
            else:
                same = "another answer than alone" if answer[0] == expected[name][0] else f"status {answer[0]}"
                found.wrong[f"{name}: {same}"] += 1
                await asyncio.sleep(BACK_OFF_S)
        line.close()

    watching = asyncio.create_task(watch())
    await asyncio.gather(*map(client, range(clients)))
    found.seconds = time.perf_counter() - began
    watching.cancel()
    with suppress(asyncio.CancelledError):
        await watching
    return found


async def _alone(port: int, requests: Mapping[str, tuple[bytes, str | None]]) -> dict[str, tuple[int, bytes]]:
    line = Line(port)
    expected = {}
    for name, (sent, code) in requests.items():
        status, body = expected[name] = await _ask(line, sent)
        found = json.loads(body).get("code") if status else "no answer"
        if found != code:
            raise ConnectionError(f"{name}, alone: expected {code or 'an answer'}, got status {status}, {found}")
    line.close()
    return expected


async def _ask(line: Line, sent: bytes) -> tuple[int, bytes]:
    """Give status and body, 0 and nothing where there is no whole answer in time."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            return await line.post(sent)
    except (OSError, EOFError, LookupError, ValueError):
        line.close()
        return 0, b""


def _encode(kind: str, film: NDArray[np.uint8] | NDArray[np.uint16]) -> bytes:
    return bytes(cv2.imencode(kind, film)[1])


def _dicom(film: NDArray[np.uint8], syntax: str) -> bytes:
    names = {"patient": "soak", "study": "soak", "name": syntax, "region": "hand"}
    return dicom(film.astype(np.uint16) * 16, Style(syntax), spacing_mm=0.2, **names)
