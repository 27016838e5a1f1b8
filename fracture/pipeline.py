"""From a training run to a bundle that can be served, with its thresholds and calibration measured on validation."""

from collections.abc import Iterable
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from fracture import __version__, boxes
from fracture.data import manifest
from fracture.data.yolo import Dataset, load_dataset
from fracture.errors import BadValue
from fracture.judge import dataset_id, load_records, predict
from fracture.metrics.calibration import fit
from fracture.models import card as cards
from fracture.models import yolo
from fracture.models.card import ModelCard
from fracture.models.runtime import OnnxNetwork
from fracture.reader import Reader
from fracture.report.cases import films_of, join
from fracture.report.evaluation import choose_points, measured_on

NMS_IOU = 0.5
STRIDE = 32
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
            "dataset_id": dataset_id(dataset.root),
            "finished": datetime.now(UTC).date().isoformat(),
            "epochs_run": yolo.epochs_run(run),
        },
    )
    cards.save(card, run)
    exported = Reader(card, OnnxNetwork(model))
    parity = compare(Reader(card, yolo.TorchNetwork(checkpoint)), exported, parity_films(dataset))
    card = measured(replace(exported.card, measured={"parity": parity}), exported, dataset.root, run)
    cards.save(card, run)
    return card


def measure(folder: Path, root: Path) -> ModelCard:
    """Measure a bundle's operating points and calibration on the val films of a dataset, and write them into its card.

    Raises BadValue where the bundle names the films it was made with and these val films are not the same.
    """
    reader = Reader.load(folder)
    made_with = {image_id for image_id, part in cards.films(folder).items() if part == "val"}
    val = {record.image_id for record in films_of(load_records(root), "val")}
    if made_with and val != made_with:
        raise BadValue(
            f"val films: expected the {len(made_with)} the model was chosen on, got {len(val)}, "
            f"{len(val - made_with)} of them others"
        )
    with TemporaryDirectory() as place:
        card = measured(reader.card, reader, root, Path(place))
    cards.save(card, folder)
    return card


def measured(card: ModelCard, reader: Reader, root: Path, out: Path) -> ModelCard:
    """Give the card with operating points and calibration as ``reader`` reaches them on val."""
    films = films_of(load_records(root), "val")
    val = join(films, predict(reader, root, films, out / "predictions" / "val.jsonl").answers, "val")
    named = dataset_id(root)
    return replace(
        card,
        operating_points=choose_points(val, named),
        calibration=fit(val.scores, val.fractured, measured_on(val, named)),
    )


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
