"""Another program's predictions, read from its own format, get the AP that pycocotools gives them."""

import contextlib
import io
import json

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from fracture.core.boxes import to_yolo
from fracture.core.types import Detections, ImageRecord, Prediction
from fracture.evaluation.cases import join
from fracture.metrics.detection import average_precision, match, row_of
from fracture.predictions import coco, load_predictions


def boxes(rng, count, size_px):
    corner = rng.uniform(0, 0.7, (count, 2)) * size_px
    return np.hstack([corner, corner + rng.uniform(0.02, 0.3, (count, 2)) * size_px])


@pytest.fixture
def films():
    """Draw 60 films of several sizes and what a program found on them: some near, some far, on some nothing."""
    rng = np.random.default_rng(4)
    records, answers = [], {}
    for number in range(60):
        size_px = ((373, 454), (1024, 819), (640, 640))[number % 3]
        truth = boxes(rng, number % 4, size_px)
        found = np.vstack([truth + rng.normal(0, 8, truth.shape), boxes(rng, rng.integers(0, 6), size_px)])
        if number % 7 == 0:
            found = found[:0]
        found = np.hstack([np.minimum(found[:, :2], found[:, 2:]), np.maximum(found[:, :2], found[:, 2:])])
        score = np.sort(rng.random(len(found)).round(3))[::-1]
        record = ImageRecord(
            f"s/{number:03d}",
            f"images/test/s__{number:03d}.png",
            "s",
            size_px,
            fractured=bool(len(truth)),
            boxes=tuple(map(tuple, truth.tolist())),
            split="test",
        )
        records.append(record)
        answers[record.image_id] = Prediction(
            size_px, Detections(found, score, np.zeros(len(found), np.int64)), "theirs", ""
        )
    return records, answers


def theirs(truth, results):
    """Give pycocotools' AP at IoU .50 and over .50 to .95."""
    with contextlib.redirect_stdout(io.StringIO()):
        drawn = COCO()
        drawn.dataset = truth
        drawn.createIndex()
        judge = COCOeval(drawn, drawn.loadRes(results), "bbox")
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    return judge.stats[1], judge.stats[0]


def ours(path, records, **more):
    cases = join(records, load_predictions(path, records, **more).answers, "test")
    assert len(cases.records) == 60
    ap = average_precision(match(cases.detections, cases.boxes))
    return ap[row_of("iou 0.50")], ap[row_of("iou 0.50") :].mean()


def test_coco_results(films, tmp_path):
    records, answers = films
    truth, ids = coco.truth(records), {record.image_id: number for number, record in enumerate(records, start=1)}
    results = coco.results(answers, ids)
    (tmp_path / "results.json").write_text(json.dumps(results))
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    expected = theirs(truth, results)
    assert 0.1 < expected[1] < expected[0] < 0.9
    found = ours(tmp_path / "results.json", records, coco_images=tmp_path / "truth.json")
    assert found == pytest.approx(expected, abs=1e-6)


def test_yolo_text_with_scores(films, tmp_path):
    records, answers = films
    for record in records:
        found = answers[record.image_id].detections
        rows = [
            f"0 {' '.join(f'{value:.9f}' for value in to_yolo(tuple(box), record.size_px))} {score}\n"
            for box, score in zip(found.xyxy.tolist(), found.score.tolist(), strict=True)
        ]
        if rows:  # as Ultralytics does, nothing is written where nothing was found
            (tmp_path / f"s__{record.image_id[2:]}.txt").write_text("".join(rows))
    ids = {record.image_id: number for number, record in enumerate(records, start=1)}
    expected = theirs(coco.truth(records), coco.results(answers, ids))
    assert ours(tmp_path, records) == pytest.approx(expected, abs=1e-6)
