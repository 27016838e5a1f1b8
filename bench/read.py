"""How fast one film is read, step by step and as a whole, with the default runtime and a plain one."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from fracture.imaging.decode import decode
from fracture.imaging.harmonise import harmonise, network_pixels
from fracture.inference.reader import Reader
from fracture.phantom import draw_film

PLAIN = "onnxruntime"
_WARM_UP = 3


@dataclass(frozen=True)
class Timing:
    """Median milliseconds of one step over the films."""

    step: str
    median_ms: float


def bench(settings: Mapping[str, Any]) -> str:
    """Run with the settings of ``python -m bench``; say what was found."""
    return table(measure(settings["weights"], settings["count"]))


def measure(weights: Path | None, films: int) -> list[Timing]:
    """Time decode, harmonise, network pixels, and the whole reading with the default and the plain runtime."""
    rng = np.random.default_rng(0)
    size = {"small 373x454": (373, 454), "large 2304x2880": (2304, 2880)}
    timings: list[Timing] = []
    fast, plain = Reader.load(weights), Reader.load(weights, backend=PLAIN)
    for name, size_px in size.items():
        count = films if max(size_px) < 1000 else max(3, films // 10)
        drawn = [draw_film(rng, size_px, fractured=True)[0] for _ in range(min(count, 4))]
        files = [bytes(cv2.imencode(".jpg", drawn[i % len(drawn)])[1]) for i in range(count)]
        decoded = [decode(file) for file in files]
        prepared = [harmonise(film, fast.card.harmonise) for film in decoded]
        rows: list[tuple[str, Callable[[Any], object], Sequence[object]]] = [
            ("decode", decode, files),
            ("harmonise", partial(harmonise, config=fast.card.harmonise), decoded),
            ("network pixels", partial(network_pixels, long_side_px=fast.card.long_side_px), prepared),
            (f"whole, {fast.network.name}", fast.read, files),
            (f"whole, {PLAIN}", plain.read, files),
        ]
        timings += [Timing(f"{name}: {step}", _median_ms(work, inputs)) for step, work, inputs in rows]
    return timings


def table(timings: list[Timing]) -> str:
    """Give the timings as text, ending with the ratio of the runtimes."""
    rows = [f"{timing.step:<42} {timing.median_ms:8.1f} ms" for timing in timings]
    fast, plain = timings[3].median_ms, timings[4].median_ms
    return "\n".join([*rows, f"small films: {plain / fast:.2f} x as fast as {PLAIN} in the same run"])


def _median_ms(work: Callable[[Any], object], inputs: Sequence[object]) -> float:
    for one in inputs[:_WARM_UP]:
        work(one)
    taken = []
    for one in inputs:
        start = time.perf_counter()
        work(one)
        taken.append((time.perf_counter() - start) * 1000)
    return statistics.median(taken)
