"""How fast films are read, prepared, dealt out and searched. Machines are noisy: trust the ratios, not the times."""

import math
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, ImageOps
from scipy.fft import idctn

from fracture.data import manifest, split
from fracture.data.duplicates import alike
from fracture.data.phantom import draw_film
from fracture.data.preprocess import preprocess
from fracture.data.stage import place as link_or_copy
from fracture.errors import BadValue, MissingData
from fracture.imaging.decode import decode
from fracture.imaging.harmonise import harmonise, network_pixels
from fracture.reader import Reader
from fracture.types import REGIONS, HarmoniseConfig, ImageRecord

PLAIN = "onnxruntime"
_WARM_UP = 3
_TURN = 1000


@dataclass(frozen=True)
class Timing:
    """Median milliseconds of one step over the films."""

    step: str
    median_ms: float


def run(only: Sequence[str], **settings: Any) -> Iterator[str]:
    """Run the named benches and yield what each says. ``settings`` are those of scripts/bench.py.

    Raises BadValue for a name that is not in the table.
    """
    for name in only:
        if name not in BENCHES:
            raise BadValue(f"expected a bench out of {', '.join(BENCHES)}, got {name!r}")
    for name in only:
        yield BENCHES[name](settings)


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


def prepare(folder: Path, count: int) -> str:
    """Harmonise films of a folder beside the plainest loop that does the same: speed, bytes, and whether pixels differ.

    The plain loop is one process: Pillow decodes, OpenCV applies CLAHE, shrinks and writes three channels with its
    defaults; it turns films as their EXIF tag says. Raises MissingData where the folder holds no films.
    """
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in {".jpg", ".jpeg", ".png"})
    files = files[:: max(1, len(files) // count)]
    if not files:
        raise MissingData(f"expected JPEG or PNG films below {folder}, found none")
    config = HarmoniseConfig()
    taken, weight, differ = {"ours": 0.0, "plain": 0.0}, {"ours": 0, "plain": 0}, 0
    ImageFile.LOAD_TRUNCATED_IMAGES = True
    # In turns, so that both ways meet the same moods of the machine.
    for start in range(0, len(files), _TURN):
        with TemporaryDirectory() as place:
            stage, ours, plain = (Path(place) / name for name in ("stage", "ours", "plain"))
            records = _stage_of(files[start : start + _TURN], stage)
            plain.mkdir()
            pairs = [
                (ours / "images" / f"bench__{r.image_id[6:]}.png", plain / f"{r.image_id[6:]}.png") for r in records
            ]
            began = time.perf_counter()
            for record, (_, target) in zip(records, pairs, strict=True):
                _prepare_plainly(stage / record.path, target, config)
            between = time.perf_counter()
            preprocess(stage, ours, config)
            taken["plain"] += between - began
            taken["ours"] += time.perf_counter() - between
            differ += sum(not _same_pixels(one, three) for one, three in pairs)
            weight["ours"] += sum(one.stat().st_size for one, _ in pairs)
            weight["plain"] += sum(three.stat().st_size for _, three in pairs)
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    speed = {way: len(files) / seconds for way, seconds in taken.items()}
    faster, lighter = speed["ours"] / speed["plain"], 100 * weight["ours"] / weight["plain"]
    return (
        f"preprocess, {len(files)} films, {os.cpu_count()} cores: {speed['ours']:.1f} films/s, "
        f"{weight['ours'] / 1e6:.1f} MB; plain loop {speed['plain']:.1f} films/s, {weight['plain'] / 1e6:.1f} MB\n"
        f"  {faster:.2f} x its films/s, {lighter:.1f} % of its bytes, {differ} films whose pixels differ"
    )


def search(counts: Sequence[int]) -> str:
    """Search for duplicates among so many synthetic thumbnails; give times, and how they grow with the count.

    The thumbnails are those of `draw_thumbnails`, in all eight orientations; nearly none is a pair, as in a real set.
    """
    taken = []
    for count in counts:
        thumbnails = draw_thumbnails(np.random.default_rng(0), count)
        began = time.perf_counter()
        pairs = sum(1 for _ in alike(thumbnails))
        taken.append((count, time.perf_counter() - began, pairs))
    lines = [f"duplicates among {count} thumbnails: {seconds:.1f} s, {pairs} pairs" for count, seconds, pairs in taken]
    (few, short, _), (many, long, _) = taken[0], taken[-1]
    growth = math.log(long / short) / math.log(many / few) if many > few else 0.0
    return "\n".join([*lines, f"  time grows with the count to the power of {growth:.2f}; comparing all pairs, 2"])


def draw_thumbnails(rng: np.random.Generator, count: int) -> NDArray[np.float16]:
    """Draw thumbnails (count, 64, 64) of limbs in thirty poses, left and right, as `fracture.data.duplicates` has them.

    The spectrum and the spread of likeness within a pose were fitted to FracAtlas: of 100,000 pairs 540 correlate at
    0.7 or more as against 940 there, 16 at 0.9 as against 10, and as many are candidates for the search.
    """
    away = np.hypot(*np.mgrid[:64, :64]).astype(np.float32)

    def unit(terms: NDArray[Any]) -> NDArray[np.float32]:
        return np.asarray(terms / np.sqrt(np.square(terms).sum(axis=(1, 2), keepdims=True)), np.float32)

    def fields(number: int, knee: float, power: float) -> NDArray[np.float32]:
        terms = rng.standard_normal((number, 64, 64), np.float32) / np.sqrt(1 + (away / knee) ** power)
        terms[:, 0, 0] = 0
        return np.asarray(terms, np.float32)

    poses = fields(30, 2.5, 3.5)
    poses[:, :, 1::2] *= 0.3  # a limb lies along the film and is much the same on both sides
    poses = unit(poses)
    common = np.arange(1, 31) ** -0.6
    thumbnails = np.empty((count, 64, 64), np.float16)
    for start in range(0, count, 4096):
        part = thumbnails[start : start + 4096]
        like = rng.uniform(0.5, 0.975, (len(part), 1, 1)).astype(np.float32)
        pose = poses[rng.choice(30, len(part), p=common / common.sum())]
        terms = unit(like * pose + np.sqrt(1 - like**2) * unit(fields(len(part), 7, 3)))
        terms[rng.random(len(part)) < 0.5, :, 1::2] *= -1
        part[:] = idctn(terms, axes=(1, 2), norm="ortho") * 64
    return thumbnails


def _stage_of(files: Sequence[Path], stage: Path) -> list[ImageRecord]:
    """Make a stage of films about which nothing is known."""
    records = []
    for index, file in enumerate(files):
        size_px = decode(file.read_bytes()).size_px
        record = ImageRecord(f"bench/{index:06d}", f"images/{index:06d}{file.suffix}", "bench", size_px)
        link_or_copy(file, stage / record.path, copy=False)
        records.append(record)
    manifest.save(records, stage)
    return records


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


def _prepare_plainly(source: Path, target: Path, config: HarmoniseConfig) -> None:
    with Image.open(source) as image:
        grey = np.asarray(ImageOps.exif_transpose(image).convert("L"))
    grey = cv2.createCLAHE(config.clahe_clip, (config.clahe_grid, config.clahe_grid)).apply(grey)
    scale = config.long_side_px / max(grey.shape)
    if scale < 1:
        size = (math.floor(grey.shape[1] * scale + 0.5), math.floor(grey.shape[0] * scale + 0.5))
        grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
    cv2.imwrite(str(target), cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR))


def _same_pixels(ours: Path, plain: Path) -> bool:
    with Image.open(ours) as one, Image.open(plain) as three:
        grey, colour = np.asarray(one), np.asarray(three)
    return grey.ndim == 2 and grey.shape == colour.shape[:2] and bool((colour == grey[:, :, None]).all())


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
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    return {"seconds": seconds, "peak_mb": peak, "leaks": sum(map(len, leaks.values()))}


def _median_ms(work: Callable[[Any], object], inputs: Sequence[object]) -> float:
    for one in inputs[:_WARM_UP]:
        work(one)
    taken = []
    for one in inputs:
        start = time.perf_counter()
        work(one)
        taken.append((time.perf_counter() - start) * 1000)
    return statistics.median(taken)


def _read(settings: Mapping[str, Any]) -> str:
    return table(measure(settings["weights"], settings["count"]))


def _prepare(settings: Mapping[str, Any]) -> str:
    count = 100 * settings["count"]
    if settings["films"]:
        return prepare(settings["films"], count)
    with TemporaryDirectory() as place:
        rng = np.random.default_rng(0)
        for index in range(count := min(count, 200)):
            cv2.imwrite(f"{place}/{index}.jpg", draw_film(rng, fractured=index % 2 == 0)[0])
        return prepare(Path(place), count)


def _deal_out(settings: Mapping[str, Any]) -> str:
    return deal_out(settings["rows"])


def _search(settings: Mapping[str, Any]) -> str:
    return search([settings["thumbnails"] // 10, settings["thumbnails"]])


BENCHES: Mapping[str, Callable[[Mapping[str, Any]], str]] = MappingProxyType(
    {"read": _read, "preprocess": _prepare, "duplicates": _search, "split": _deal_out}
)
