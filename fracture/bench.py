"""How fast films are read, prepared, dealt, searched, judged. Machines are noisy: trust the ratios, not the times."""

import math
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import partial
from io import StringIO
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
from fracture.metrics.calibration import fit
from fracture.metrics.detection import IOU_THRESHOLDS, MAX_DETECTIONS, average_precision, match
from fracture.reader import Reader
from fracture.report.cases import Cases
from fracture.report.evaluation import choose_points, evaluate
from fracture.types import REGIONS, Detections, HarmoniseConfig, ImageRecord

PLAIN = "onnxruntime"
MAX_ANSWERS = 300
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


def judge(films: int, resamples: int) -> str:
    """Compute every figure of so many drawn films, in a process of its own; give times, AP's beside pycocotools."""
    predictions, truths = draw_answers(np.random.default_rng(0), films)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        seconds, before_mb, peak_mb = pool.submit(_judge_everything, films, resamples).result()
    return (
        f"a whole evaluation of {films} films, {MAX_ANSWERS} boxes each, {resamples} resamples: {seconds:.1f} s, "
        f"peak {peak_mb:.0f} MB, {before_mb:.0f} MB of it before\n{_judge_boxes(predictions, truths)}"
    )


def _judge_everything(films: int, resamples: int) -> tuple[float, float, float]:
    """Give the seconds of a whole evaluation, slices included, and the process's peak memory before and after it."""
    rng = np.random.default_rng(0)
    predictions, truths = draw_answers(rng, films)
    records = tuple(
        ImageRecord(
            f"bench/{film}",
            f"{film}.png",
            f"source {film % 2}",
            (1024, 1024),
            frozenset({REGIONS[film % 4]}),
            group_id=f"group {film // 2}",
            study_id=f"study {film // 2}",
            view=("frontal", "lateral")[film % 2],
            fractured=bool(len(truth)),
            boxes=tuple(map(tuple, truth.tolist())),
            attributes={"hardware": str(int(rng.random() < 0.1)), "original_px": ("400x500", "2000x2500")[film % 2]},
        )
        for film, truth in enumerate(truths)
    )
    cases = Cases("test", records, tuple(predictions), {}, records)
    before = _peak_mb()
    began = time.perf_counter()
    points = choose_points(cases, "bench")
    calibration = fit(cases.scores, cases.fractured, "bench")
    evaluate(cases, points, calibration=calibration, resamples=resamples)
    return time.perf_counter() - began, before, _peak_mb()


def draw_answers(rng: np.random.Generator, films: int) -> tuple[list[Detections], list[NDArray[np.float64]]]:
    """Draw ``MAX_ANSWERS`` boxes for each film, and the true ones: 1.3 on average on every sixth film.

    Scores are random, so that hits lie all over the ranking, which is the dear case. A tenth of the boxes of a
    fractured film lies near a true one.
    """

    def boxes(count: int) -> NDArray[np.float64]:
        corner = rng.uniform(0, 900, (count, 2))
        return np.hstack([corner, corner + rng.uniform(20, 120, (count, 2))])

    predictions, truths = [], []
    for film in range(films):
        truth = boxes(1 + rng.poisson(0.3) if film % 6 == 0 else 0)
        found = boxes(MAX_ANSWERS)
        if len(truth):
            near = truth[rng.integers(len(truth), size=30)] + rng.normal(0, 15, (30, 4))
            found[rng.choice(MAX_ANSWERS, 30, replace=False)] = np.sort(near.reshape(30, 2, 2), axis=1).reshape(30, 4)
        predictions.append(Detections(found, np.sort(rng.random(MAX_ANSWERS))[::-1], np.zeros(MAX_ANSWERS, np.int64)))
        truths.append(truth)
    return predictions, truths


def _judge_boxes(predictions: Sequence[Detections], truths: Sequence[NDArray[np.float64]]) -> str:
    """Match and give AP, beside pycocotools."""
    began = time.perf_counter()
    ap = average_precision(match(predictions, truths))[-len(IOU_THRESHOLDS) :]
    matched = time.perf_counter() - began
    try:
        seconds, theirs = _pycocotools(predictions, truths)
    except ImportError:
        return f"  match and AP alone {matched:.2f} s; pycocotools is not installed"
    return (
        f"  match and AP alone {matched:.2f} s, {seconds / matched:.1f} x as fast as pycocotools in the same run, "
        f"largest AP difference {np.abs(ap - theirs).max():.1g}"
    )


def _pycocotools(
    predictions: Sequence[Detections], truths: Sequence[NDArray[np.float64]]
) -> tuple[float, NDArray[np.float64]]:
    """Give the seconds pycocotools evaluates and accumulates, its loading left out, and its AP at each IoU, (10,)."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    def index(boxes: Sequence[NDArray[np.float64]], scores: Sequence[NDArray[np.float64]]) -> Any:
        coco = COCO()
        rows: list[dict[str, Any]] = []
        for film, columns in enumerate(zip(boxes, scores, strict=True)):
            for (x0, y0, x1, y1), score in zip(*(column.tolist() for column in columns), strict=True):
                box = {"bbox": [x0, y0, x1 - x0, y1 - y0], "area": (x1 - x0) * (y1 - y0), "iscrowd": 0}
                rows.append(box | {"id": len(rows) + 1, "image_id": film, "category_id": 1, "score": score})
        films = [{"id": film} for film in range(len(boxes))]
        coco.dataset = {"images": films, "categories": [{"id": 1}], "annotations": rows}
        coco.createIndex()
        return coco

    with redirect_stdout(StringIO()):
        drawn = index(truths, [np.ones(len(truth)) for truth in truths])
        best = slice(MAX_DETECTIONS)
        found = index([p.xyxy[best] for p in predictions], [p.score[best] for p in predictions])
        coco_eval = COCOeval(drawn, found, "bbox")
        # Only what our match answers too: all sizes of boxes at once, the first 100 of a film.
        coco_eval.params.areaRng, coco_eval.params.areaRngLbl = coco_eval.params.areaRng[:1], ["all"]
        coco_eval.params.maxDets = [MAX_DETECTIONS]
        began = time.perf_counter()
        coco_eval.evaluate()
        coco_eval.accumulate()
        seconds = time.perf_counter() - began
    return seconds, coco_eval.eval["precision"][:, :, 0, 0, 0].mean(axis=1)


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
    return {"seconds": seconds, "peak_mb": _peak_mb(), "leaks": sum(map(len, leaks.values()))}


def _peak_mb() -> float:
    """Give the most memory this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


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


def _judge(settings: Mapping[str, Any]) -> str:
    return judge(settings["metric_films"], settings["resamples"])


BENCHES: Mapping[str, Callable[[Mapping[str, Any]], str]] = MappingProxyType(
    {"read": _read, "preprocess": _prepare, "duplicates": _search, "split": _deal_out, "metrics": _judge}
)
