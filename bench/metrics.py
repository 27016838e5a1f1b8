"""How fast a whole evaluation is, and its boxes beside pycocotools."""

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import redirect_stdout
from io import StringIO
from multiprocessing import get_context
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.processes import peak_mb
from fracture.core.types import REGIONS, Detections, ImageRecord
from fracture.evaluation.cases import Cases
from fracture.evaluation.measure import choose_points, evaluate
from fracture.metrics.calibration import fit
from fracture.metrics.detection import IOU_THRESHOLDS, MAX_DETECTIONS, average_precision, match

MAX_ANSWERS = 300


def bench(settings: Mapping[str, Any]) -> str:
    """Run with the settings of ``python -m bench``; say what was found."""
    return time_figures(settings["metric_films"], settings["resamples"])


def time_figures(films: int, resamples: int) -> str:
    """Compute every figure of so many drawn films, in a process of its own; give times, AP's beside pycocotools."""
    predictions, truths = draw_answers(np.random.default_rng(0), films)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        seconds, before_mb, most_mb = pool.submit(_judge_everything, films, resamples).result()
    return (
        f"a whole evaluation of {films} films, {MAX_ANSWERS} boxes each, {resamples} resamples: {seconds:.1f} s, "
        f"peak {most_mb:.0f} MB, {before_mb:.0f} MB of it before\n{_judge_boxes(predictions, truths)}"
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
    before = peak_mb()
    began = time.perf_counter()
    points = choose_points(cases, "bench")
    calibration = fit(cases.scores, cases.fractured, "bench")
    evaluate(cases, points, calibration=calibration, resamples=resamples)
    return time.perf_counter() - began, before, peak_mb()


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
