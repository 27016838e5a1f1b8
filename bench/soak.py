"""The service under mixed films for a long time: every answer as it is alone, and memory that does not grow."""

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from bench.load import BACK_OFF_S, PATIENCE_S, Line, request
from bench.processes import free_port, memory_mb, own_mb, started
from fracture.models import card as cards
from fracture.phantom import draw_film
from fracture.phantom.dicom_files import Style, dicom

PATH = "/detect?conf=0.01"
"""A threshold so low that every answer holds boxes that can differ."""

SAMPLE_EVERY_S = 5.0
LARGE_PX = 2304, 2880

# Of films of mixed sizes: how many films there are, the fewest and the most pixels, and how often one is sent.
SIZES = {
    "small film": (16, 200, 50_000, 6),
    "film": (60, 100_000, 5_000_000, 20),
    "large film": (8, 6_000_000, 29_500_000, 5),
    "film too large": (2, 31_000_000, 64_000_000, 5),
}
MOST_PARENT_MB = 700.0
LEVEL_OVER = 1000
"""Answers; over the last ones the most memory may exceed that over as many before by `LEVEL_BY`."""
LEVEL_BY = 1.03


@dataclass
class Soak:
    """What came of it. ``answers`` counts the right ones by what was sent, ``wrong`` the others by that and status.

    ``memory`` has the second, and the RSS and PSS in MB of the service and its children then. ``parent_mb`` is the RSS
    of the service without its children, after every answer.
    """

    answers: Counter[str] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)
    latencies_ms: list[float] = field(default_factory=list)
    memory: list[tuple[float, float, float]] = field(default_factory=list)
    seconds: float = 0.0
    parent_mb: list[float] = field(default_factory=list)

    def slope_mb_per_min(self) -> float:
        """Give how fast RSS grew over the second half, by least squares. Raises LinAlgError for too few samples."""
        half = [(at_s / 60, rss_mb) for at_s, rss_mb, _ in self.memory if at_s >= self.seconds / 2]
        minutes, rss_mb = np.array(half).T
        return float(np.polyfit(minutes, rss_mb, 1)[0])

    def faults(self, most_mb_per_min: float) -> list[str]:
        """Give what must not be."""
        slope = self.slope_mb_per_min()
        grew = [f"memory grew by {slope:.2f} MB a minute"] if slope >= most_mb_per_min else []
        return [*self._wrong(), *grew]

    def parent_faults(self, most_mb: float = MOST_PARENT_MB) -> list[str]:
        """Give what must not be where films have many sizes: their memory is the children's, and the parent's level."""
        found = self._wrong()
        if (most := max(self.parent_mb, default=0.0)) > most_mb:
            found.append(f"the service without its children held {most:.0f} MB, expected at most {most_mb:.0f}")
        if len(self.parent_mb) < 2 * LEVEL_OVER:
            return [*found, f"expected {2 * LEVEL_OVER} answers or more, got {len(self.parent_mb)}"]
        before, last = (max(self.parent_mb[a:b]) for a, b in ((-2 * LEVEL_OVER, -LEVEL_OVER), (-LEVEL_OVER, None)))
        if last > before * LEVEL_BY:
            found.append(f"its memory went from {before:.0f} to {last:.0f} MB over the last {LEVEL_OVER} answers")
        return found

    def _wrong(self) -> list[str]:
        return [f"{count} x {what}" for what, count in self.wrong.items()]

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
        thousands = [max(self.parent_mb[i : i + LEVEL_OVER]) for i in range(0, len(self.parent_mb), LEVEL_OVER)]
        if thousands:
            each = ", ".join(f"{mb:.0f}" for mb in thousands)
            lines.append(f"memory of the service alone, the most in every {LEVEL_OVER} answers: {each} MB")
        return "\n".join(lines)


def soak(
    weights: Path | None,
    *,
    seconds: float,
    clients: int,
    every_s: float = SAMPLE_EVERY_S,
    most: int | None = None,
    sizes: bool = False,
) -> Soak:
    """Start the service and let clients send films for so long, refused ones among them, or until ``most`` answers.

    They are a `mixture` of kinds, or of ``sizes``.

    Raises DidNotStart, or ConnectionError where a film alone is not answered as it should be.
    """
    port = free_port()
    settings = {"FRACTURE_HOST": "127.0.0.1", "FRACTURE_PORT": str(port)}
    settings["FRACTURE_WEIGHTS"] = str(weights or cards.SHIPPED)
    sent = mixture_of_sizes() if sizes else mixture()
    requests = {name: (request(PATH, *films), code) for name, (films, code) in sent.items()}
    names = [name for name in requests for _ in range(SIZES[_kind(name)][-1] if sizes else 1)]
    with started([sys.executable, "-m", "app"], port, "/readyz", settings) as running:
        return asyncio.run(_soak(running.pid, port, requests, names, seconds, most, clients, every_s))


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


def mixture_of_sizes() -> dict[str, tuple[list[bytes], str | None]]:
    """Give films as `mixture` does, of sizes from a stamp to more than the service takes by its own settings."""
    rng = np.random.default_rng(0)
    drawn = draw_film(rng, fractured=True)[0]
    films: dict[str, tuple[list[bytes], str | None]] = {}
    for kind, (count, fewest_px, most_px, _) in SIZES.items():
        for pixels in np.geomspace(fewest_px, most_px, count):
            aspect = np.exp(rng.uniform(-0.9, 0.9))
            width, height = int((pixels * aspect) ** 0.5), int((pixels / aspect) ** 0.5)
            film = _encode(".png", cv2.resize(drawn, (width, height), interpolation=cv2.INTER_NEAREST))
            films[f"{kind}, {width} x {height}"] = [film], "film_too_large" if "too large" in kind else None
    return films


def _kind(name: str) -> str:
    return name.partition(",")[0]


async def _soak(
    pid: int,
    port: int,
    requests: Mapping[str, tuple[bytes, str | None]],
    names: Sequence[str],
    seconds: float,
    most: int | None,
    clients: int,
    every_s: float,
) -> Soak:
    expected = await _alone(port, requests)
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
        while time.perf_counter() - began < seconds and (most is None or len(found.parent_mb) < most):
            name = names[int(rng.integers(len(names)))]
            start = time.perf_counter()
            answer = await _ask(line, requests[name][0])
            with suppress(OSError):  # it is gone
                found.parent_mb.append(own_mb(pid))
            if answer == expected[name]:
                found.answers[_kind(name)] += 1
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
