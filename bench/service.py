"""The service beside a plain one, under load: same machine, same run, same networks, same films.

A round starts each service alone, so that start-up and memory are its own, and presses it at several numbers of
clients. Rounds follow each other plain, ours, plain, ours, and every ratio is taken within a round: machines are noisy.
"""

import platform
import statistics
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np

from bench.contenders import PORT, Contender, bundled, in_child, untrained
from bench.load import alone, press
from bench.processes import DidNotStart, Watch, can_account, free_port, started
from fracture import __version__
from fracture.core.files import write_json
from fracture.core.machine import cores
from fracture.evaluation.benchmark.cost import processor
from fracture.imaging.decode import decode
from fracture.inference.reader import Reader
from fracture.phantom import draw_film

SMALL, LARGE = "373x454", "2304x2880"
FILMS = {SMALL: ((373, 454), 8), LARGE: ((2304, 2880), 2)}
"""Sizes in px, and how many different films of each."""

LOADS = ((SMALL, 1), (SMALL, 4), (SMALL, 16), (SMALL, 64), (LARGE, 1))
"""Films and clients."""

PATH = "/detect?conf=0.01"
"""A threshold so low that every answer holds boxes that can differ."""

_WARM_UP = 5
_PACKAGES = ("torch", "ultralytics", "openvino", "nncf", "fastapi", "uvicorn")
_ONCE = {"start_s": 2, "first_film_ms": 1, "rss_mb": 0, "pss_mb": 0}
_FIGURES = {"p50_ms": 1, "p95_ms": 1, "films_per_s": 2, "cpu_s_per_film": 4, "client_cores": 3, "bare_ms": 1}
# name: figure, the one it is divided by, and whether that is the plain service's
_RATIOS = {
    "films_per_s_over_plain": ("films_per_s", "films_per_s", True),
    "p50_over_plain": ("p50_ms", "p50_ms", True),
    "p50_over_bare": ("p50_ms", "bare_ms", False),
}
_ONCE_COLUMNS = {
    "start_s": ("ready, s", 2),
    "first_film_ms": ("first film, ms", 0),
    "rss_mb": ("RSS, MB", 0),
    "pss_mb": ("PSS, MB", 0),
}
_LOAD_COLUMNS = {
    "p50_ms": ("p50, ms", 0),
    "p95_ms": ("p95, ms", 0),
    "films_per_s": ("films/s", 1),
    "cpu_s_per_film": ("CPU s/film", 3),
    "p50_over_plain": ("p50 / plain", 2),
    "films_per_s_over_plain": ("films/s / plain", 2),
    "bare_ms": ("bare network, ms", 0),
    "p50_over_bare": ("p50 / bare", 2),
    "answers": ("answers", 0),
    "errors": ("errors", 0),
    "differ": ("differ", 0),
    "client_cores": ("clients' cores", 2),
}


def bench(settings: Mapping[str, Any]) -> str:
    """Run with the settings of ``python -m bench``; say what was found."""
    if not can_account():
        return "service: skipped, what a process costs is read from Linux's /proc"
    if find_spec("ultralytics") is None:
        return "service: skipped, the plain one needs the full set of packages, torch included"
    films = draw_films()
    with TemporaryDirectory() as place:
        groups = [
            untrained("yolov8s", 640, Path(place) / "untrained", films[SMALL]),
            bundled(settings["weights"], Path(place) / "bundled", films[SMALL]),
        ]
        found = compare(groups, films, LOADS, rounds=settings["rounds"], seconds=settings["seconds"])
    if settings["json"]:
        write_json(settings["json"], found)
    return table(found)


def draw_films() -> dict[str, list[bytes]]:
    """Draw synthetic films of each size, as JPEG."""
    rng = np.random.default_rng(0)
    return {
        name: [bytes(cv2.imencode(".jpg", draw_film(rng, size_px, fractured=bool(i % 2))[0])[1]) for i in range(count)]
        for name, (size_px, count) in FILMS.items()
    }


def compare(
    groups: Iterable[Sequence[Contender]],
    films: Mapping[str, Sequence[bytes]],
    loads: Sequence[tuple[str, int]],
    *,
    rounds: int,
    seconds: float,
) -> dict[str, Any]:
    """Press the services of each group in turns; give what docs/data/bench.schema.json describes.

    ``loads`` are films and clients, each pressed for so many seconds a round. The first service of a group is the one
    that its others are compared with.
    """
    services, rows = [], []
    for group in groups:
        missing = {one.name: one.missing for one in group}
        turns: dict[str, list[dict[str, Any]]] = {one.name: [] for one in group}
        for _ in range(rounds):
            for one in group:
                if missing[one.name] is None:
                    try:
                        turns[one.name].append(_turn(one, films, loads, seconds))
                    except (DidNotStart, OSError, EOFError) as error:
                        missing[one.name] = f"{type(error).__name__}: {error}"
        for one in group:
            about = {"network": one.network, "service": one.name}
            own, first = turns[one.name], turns[group[0].name]
            medians = {name: _median((turn[name] for turn in own), digits) for name, digits in _ONCE.items()}
            services.append({**about, "missing": missing[one.name], **medians})
            if own:
                for which, (film, clients) in enumerate(loads):
                    ran, reference = ([turn["loads"][which] for turn in some] for some in (own, first))
                    rows.append({**about, "film": film, "clients": clients, **_row(ran, reference)})
    return {"schema": 1, "made": _made(rounds, seconds), "services": services, "loads": rows}


def table(found: Mapping[str, Any]) -> str:
    """Give what was found as Markdown: a table of services, and one of loads."""
    made = found["made"]
    said = (
        f"{made['cores']} cores ({made['processor']}), medians over {made['rounds']} round(s) of {made['seconds']:g} s"
    )
    lines = [f"service: {said} a load; ratios within a round", ""]
    lines += _markdown(("network", "service"), _ONCE_COLUMNS, found["services"], "missing")
    loads = [row | {"errors": sum(row["errors"].values())} for row in found["loads"]]
    return "\n".join([*lines, "", *_markdown(("network", "service", "film", "clients"), _LOAD_COLUMNS, loads)])


def _turn(
    contender: Contender, films: Mapping[str, Sequence[bytes]], loads: Sequence[tuple[str, int]], seconds: float
) -> dict[str, Any]:
    """Start one service, press it with each load, and stop it."""
    port = free_port()
    command = [word.replace(PORT, str(port)) for word in contender.command]
    environment = {name: word.replace(PORT, str(port)) for name, word in contender.environment.items()}
    with started(command, port, contender.ready, environment) as running:
        # Also its warm-up: what is compiled for a size of film is compiled now.
        lone = {film: alone(port, PATH, films[film]) for film in dict.fromkeys(film for film, _ in loads)}
        ran, rss_mb, pss_mb = [], 0.0, 0.0
        for film, clients in loads:
            with Watch(running.pid) as cost:
                load = press(port, PATH, films[film], lone[film][0], clients=clients, seconds=seconds)
            rss_mb, pss_mb = max(rss_mb, cost.rss_mb), max(pss_mb, cost.pss_mb)
            bare_ms = None
            if contender.bundle and clients == 1:
                bare_ms = in_child(_bare_ms, contender.bundle, contender.precision, films[film][0], seconds)
            p50_ms, p95_ms = np.percentile(load.latencies_ms, (50, 95)) if load.latencies_ms else (None, None)
            ran.append(
                {
                    "p50_ms": p50_ms,
                    "p95_ms": p95_ms,
                    "films_per_s": load.answers / load.seconds,
                    "cpu_s_per_film": cost.cpu_s / load.answers if load.answers else None,
                    "client_cores": load.client_cpu_s / load.seconds,
                    "bare_ms": bare_ms,
                    "answers": load.answers,
                    "errors": load.errors,
                    "differ": load.differ,
                }
            )
    first_film_ms = lone[loads[0][0]][1][0]
    once = {"start_s": running.start_s, "first_film_ms": first_film_ms, "rss_mb": rss_mb, "pss_mb": pss_mb}
    return once | {"loads": ran}


def _bare_ms(bundle: Path, precision: str, film: bytes, seconds: float) -> float:
    """Give the milliseconds a bundle's network alone takes for a film, opened as the service opens it."""
    reader = Reader.load(bundle, precision=precision)
    pixels = reader.prepare(decode(film)).pixels
    taken: list[float] = []
    over = time.perf_counter() + seconds
    while len(taken) < 2 * _WARM_UP or time.perf_counter() < over:
        began = time.perf_counter()
        reader.network(pixels)
        taken.append((time.perf_counter() - began) * 1000)
    return statistics.median(taken[_WARM_UP:])


def _row(ran: Sequence[Mapping[str, Any]], reference: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Give the medians of a load over its rounds, the ratios, what was counted, and each round's own."""
    medians = {name: _median((turn[name] for turn in ran), digits) for name, digits in _FIGURES.items()}
    ratios = {}
    for name, (over, under, plain) in _RATIOS.items():
        pairs = zip(ran, reference if plain else ran, strict=False)  # one of them may have failed in a later round
        ratios[name] = _median((_ratio(turn[over], other[under]) for turn, other in pairs), 3)
    counted: dict[str, Any] = {name: sum(turn[name] for turn in ran) for name in ("answers", "differ")}
    counted["errors"] = dict(sum((Counter(turn["errors"]) for turn in ran), Counter()))
    rounds = [{name: _rounded(turn[name], digits) for name, digits in _FIGURES.items()} for turn in ran]
    return medians | ratios | counted | {"rounds": rounds}


def _ratio(over: float | None, under: float | None) -> float | None:
    return None if over is None or not under else over / under


def _median(values: Iterable[float | None], digits: int) -> float | None:
    known = [value for value in values if value is not None]
    return _rounded(statistics.median(known), digits) if known else None


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(float(value), digits)


def _made(rounds: int, seconds: float) -> dict[str, Any]:
    """Say on what machine, with what, when, and how long."""
    versions = {}
    for package in _PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            versions[package] = metadata.version(package)
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "version": __version__,
        "processor": processor(),
        "cores": cores(),
        "packages": {"python": platform.python_version(), **versions},
        "rounds": rounds,
        "seconds": seconds,
    }


def _markdown(
    names: Sequence[str], columns: Mapping[str, tuple[str, int]], rows: Sequence[Mapping[str, Any]], excuse: str = ""
) -> list[str]:
    """Write a table: ``names`` as they are, then a figure per column; the excuse comes last, where there is one."""
    head = [*names, *(title for title, _ in columns.values()), *([excuse] if excuse else [])]
    lines = [head, ["---"] * len(names) + ["---:"] * len(columns) + ["---"] * bool(excuse)]
    for row in rows:
        figures = ["" if row[name] is None else f"{row[name]:.{digits}f}" for name, (_, digits) in columns.items()]
        said = [str(row[excuse] or "").replace("|", "/")] if excuse else []
        lines.append([*(str(row[name]) for name in names), *figures, *said])
    return [f"| {' | '.join(cells)} |" for cells in lines]
