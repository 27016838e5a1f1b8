"""Whole runs: from a dataset to a bundle that can be served, with its operating points measured on validation."""

from collections.abc import Iterable
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from fracture import __version__, boxes
from fracture.data import manifest
from fracture.data.yolo import Dataset, load_dataset
from fracture.errors import BadValue, MissingData
from fracture.models import card as cards
from fracture.models import yolo
from fracture.models.card import ModelCard
from fracture.models.runtime import OnnxNetwork
from fracture.reader import Reader
from fracture.report.evaluation import choose_points, dataset_id, evaluate, read_split, worst_films
from fracture.types import OperatingPoint

NMS_IOU = 0.5
STRIDE = 32
BUILD = """  python scripts/fracatlas_to_yolo.py --src FracAtlas --out stage/fracatlas
  python scripts/preprocess.py --src stage/fracatlas --out stage/fracatlas_proc
  python scripts/make_splits.py --src stage/fracatlas_proc --out dataset_v5"""
PARITY_FILMS = 48
PARITY_SCORE = 0.05
"""Boxes below this score are left out of the parity check: which of many near-ties survives is no difference."""


def bundle(run: Path, *, version: str = __version__, long_side_px: int | None = None) -> ModelCard:
    """Make a run servable: export its best checkpoint, prove parity, measure operating points on val, write the card.

    ``long_side_px`` is the scale films are read at, the training scale if not named. Raises BadValue where the exported
    network does not answer as the checkpoint does.
    """
    config = yolo.run_config(run)
    checkpoint = run / "weights" / "best.pt"
    dataset = load_dataset(Path(config.data))
    scale = long_side_px or config.imgsz
    model = yolo.export_onnx(checkpoint, run / "model.onnx", scale)
    cards.save_films(manifest.load(dataset.root), run)
    card = ModelCard(
        model_id=config.name,
        version=version,
        classes=dataset.names,
        long_side_px=scale,
        stride=STRIDE,
        nms_iou=NMS_IOU,
        harmonise=yolo.harmonise_config_of(dataset),
        files={name: cards.file_hash(run / name) for name in ("model.onnx", "weights/best.pt", cards.FILMS)},
        training={
            "config": asdict(config),
            "dataset_id": dataset_id(dataset),
            "finished": datetime.now(UTC).date().isoformat(),
            "epochs_run": yolo.epochs_run(run),
        },
    )
    cards.save(card, run)
    val = read_split(Reader(card, OnnxNetwork(model)), dataset, "val", progress)
    parity = compare(
        Reader(card, yolo.TorchNetwork(checkpoint)), Reader(card, OnnxNetwork(model)), parity_films(dataset)
    )
    points = choose_points(val, dataset_id(dataset))
    card = replace(card, operating_points=points, measured={"parity": parity})
    cards.save(card, run)
    return card


def parity_films(dataset: Dataset) -> list[Path]:
    """Choose val films to compare networks on, fractured ones first."""
    films = [record for record in manifest.load(dataset.root) if record.split == "val"]
    films.sort(key=lambda record: (record.fractured is not True, record.image_id))
    return [dataset.root / record.path for record in films[:PARITY_FILMS]]


def compare(
    reference: Reader, other: Reader, films: Iterable[Path], limit: tuple[float, float] = (0.99, 0.01)
) -> dict[str, Any]:
    """Compare two readers box by box; ``limit`` is the least IoU and the largest score difference allowed.

    Raises BadValue where a box has no counterpart or differs by more.
    """
    worst_iou, worst_score, count, read = 1.0, 0.0, 0, 0
    for film in films:
        data = film.read_bytes()
        expected, got = (reader.read(data).detections for reader in (reference, other))
        read += 1
        for one, two in ((expected, got), (got, expected)):
            sure = one.above(PARITY_SCORE)
            for box, score in zip(sure.xyxy, sure.score, strict=True):
                overlap = boxes.iou(box[None], two.xyxy)[0] if len(two) else np.zeros(1)
                best = int(overlap.argmax())
                count += 1
                worst_iou = min(worst_iou, float(overlap[best]))
                worst_score = max(worst_score, abs(float(score - two.score[best])) if len(two) else 1.0)
    if worst_iou < limit[0] or worst_score > limit[1]:
        raise BadValue(
            f"{other.network.name} does not answer as {reference.network.name} does: expected IoU of at least "
            f"{limit[0]} and scores within {limit[1]}, got {worst_iou:.4f} and {worst_score:.4f} over {count} boxes"
        )
    return {
        "reference": reference.network.name,
        "compared": other.network.name,
        "films": read,
        "boxes": count,
        "least_iou": round(worst_iou, 5),
        "largest_score_difference": round(worst_score, 6),
    }


def progress(items: Iterable[Any], total: int) -> Iterable[Any]:
    """Show a progress bar over films on standard error."""
    bar: Iterable[Any] = tqdm(items, total=total, unit="film")
    return bar


def evaluate_split(
    reader: Reader, dataset: Dataset, split: str, target_recall: float | None
) -> tuple[dict[str, Any], tuple[OperatingPoint, ...]]:
    """Evaluate a split at the card's operating points, and at one chosen on val for ``target_recall`` if given.

    Raises MissingData that names the commands which build the dataset where it is not there.
    """
    if not (dataset.root / manifest.NAME).is_file():
        raise MissingData(f"no dataset at {dataset.root}. Build it from FracAtlas with:\n{BUILD}")
    points = reader.card.operating_points
    if target_recall is not None:
        if not 0 < target_recall <= 1:
            raise BadValue(f"target recall: expected above 0 and at most 1, got {target_recall}")
        val = read_split(reader, dataset, "val", progress)
        screening = choose_points(val, dataset_id(dataset), target_recall)[0]
        points = (replace(screening, name=f"target recall {target_recall:g}"), *points)
    balanced = next((point for point in points if point.name == "balanced"), None)
    read = read_split(reader, dataset, split, progress)
    report = evaluate(read, points, balanced.threshold if balanced else 0.25)
    seen = cards.films(reader.folder) if reader.folder else {}
    used = [r.image_id for r in read.records if seen.get(r.image_id) in {"train", "val"} and seen[r.image_id] != split]
    described = {
        "model": reader.card.model_id,
        "version": reader.card.version,
        "backend": reader.network.name,
        "dataset_id": dataset_id(dataset),
        "points": [asdict(point) for point in points],
        "model_was_made_with": used,
    }
    return described | report | {"worst": worst_films(read, points[0].threshold) if points else {}}, points
