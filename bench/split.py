"""How fast a large archive is split."""

import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from bench.processes import peak_mb
from fracture.core.types import REGIONS
from fracture.data import manifest, split


def bench(settings: Mapping[str, Any]) -> str:
    """Run with the settings of ``python -m bench``; say what was found."""
    return deal_out(settings["rows"])


def deal_out(rows: int) -> str:
    """Load, split and save a manifest of so many rows, in a process of its own; give times and peak memory."""
    with TemporaryDirectory() as place, ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        _write_rows(Path(place), rows)
        taken = pool.submit(_deal_rows, Path(place)).result()
    steps = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in taken["seconds"].items())
    return (
        f"split of {rows} manifest rows: {sum(taken['seconds'].values()):.1f} s ({steps}), "
        f"peak {taken['peak_mb']:.0f} MB, {taken['leaks']} leaks"
    )


def _write_rows(folder: Path, rows: int) -> None:
    """Write a manifest as a large archive might have it: patients of a few films and studies, four sources."""
    rng = np.random.default_rng(0)
    patient = rng.integers(0, max(1, rows // 3), rows)
    study, fractured = rng.integers(0, 2, rows), rng.random(rows) < 0.3
    regions = np.array(REGIONS[:-1])[rng.integers(0, len(REGIONS) - 1, patient.max() + 1)]
    with (folder / manifest.NAME).open("w", encoding="utf-8") as file:
        file.write(",".join([*manifest.COLUMNS, "x_age", "x_harmonise_id", "x_pixel_sha256"]) + "\n")
        for i, (who, when, broken) in enumerate(zip(patient, study, fractured, strict=True)):
            boxes = '"[[10.0, 10.0, 50.5, 60.25]]"' if broken else "[]"
            file.write(
                f"s{who % 4}/film{i:08d},images/film{i:08d}.png,s{who % 4},800,1024,{regions[who]},p{who},p{who}_{when}"
                f",,frontal,{int(broken)},,{boxes},0,0,,CC BY 4.0,Somebody et al. (2022),,12,h1-76c67a93bba2,{i:032x}\n"
            )


def _deal_rows(folder: Path) -> dict[str, Any]:
    seconds: dict[str, float] = {}
    started = time.perf_counter()

    def lap(step: str) -> None:
        seconds[step] = time.perf_counter() - started - sum(seconds.values())

    records = manifest.load(folder)
    lap("load")
    dealt = split.deal(records, [], val=0.1, test=0.15, seed=0)
    del records
    lap("deal")
    leaks = split.report(dealt, [])["leaks"]
    lap("report")
    manifest.save(dealt, folder / "out")
    lap("save")
    return {"seconds": seconds, "peak_mb": peak_mb(), "leaks": sum(map(len, leaks.values()))}
