"""From a classifier's training run to a bundle that can be served: exported, proven, measured, with its card."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from fracture import __version__
from fracture.core.errors import BadValue
from fracture.core.files import file_hash
from fracture.core.types import CLASSIFIER
from fracture.data.yolo import load_dataset
from fracture.evaluation.cases import films_of
from fracture.evaluation.predict import dataset_id, load_records
from fracture.inference.batch import network_inputs
from fracture.inference.reader import Reader
from fracture.models import card as cards
from fracture.models.card import ModelCard
from fracture.models.classifiers.export import export_onnx, torch_network
from fracture.models.classifiers.runs import run_config
from fracture.models.films import harmonise_config_of
from fracture.models.runs import count_epochs, ended_on
from fracture.models.runtime import OnnxNetwork
from fracture.training.bundle import intended, known_by, splits_of
from fracture.training.measure import measured
from fracture.training.parity import parity_films

_MOST_APART = 0.02
"""How far a logit, or a place of a map, of the exported network may lie from the checkpoint's."""


def bundle(run: Path, *, version: str = __version__) -> ModelCard:
    """Make a run servable: export it, prove parity, measure operating points on val, write the card.

    Raises BadValue where the exported network does not answer as the checkpoint does.
    """
    config = run_config(run)
    dataset = load_dataset(Path(config.data))
    records = load_records(dataset.root)
    best = run / "weights" / "best.pt"
    network, heads = torch_network(config.arch, best)
    card = ModelCard(
        model_id=config.name,
        version=version,
        classes=(),
        long_side_px=config.imgsz,
        stride=config.imgsz,  # a square, as films were learned from
        nms_iou=0.0,
        harmonise=harmonise_config_of(dataset),
        files={best.relative_to(run).as_posix(): file_hash(best)},
        arch=config.arch,
        film_score=CLASSIFIER,
        heads=heads,
        intended=intended(films_of(records, "train")),
        training={
            # Names, not places: a card goes to other machines.
            "config": asdict(config) | {key: Path(getattr(config, key)).name for key in ("start", "runs")},
            "dataset_id": dataset_id(dataset.root),
            "finished": ended_on(run),
            "epochs_run": count_epochs(run),
        },
    )
    reference = Reader(card, network, run)
    with cards.renewed(run) as made:
        model = export_onnx(config.arch, best, made / "model.onnx", config.imgsz)
        exported = Reader(card, OnnxNetwork(model, card.divisor), run)
        parity = compare(reference, exported, parity_films(dataset))
        films = cards.save_films(splits_of(records), known_by(records, dataset.root, card), made)
        files = card.files | {file.name: file_hash(file) for file in (films, model)}
        card = replace(card, files=files, measured={"parity": parity})
        reader = Reader(card, exported.network, run)
        reader.warm_up()  # a film that it cannot answer would be taken for one that cannot be read
        card = measured(card, reader, dataset.root, run)
        cards.save(card, made)
    return card


def compare(reference: Reader, other: Reader, films: list[Path]) -> dict[str, Any]:
    """Compare two readers' networks by logits and maps. Raises BadValue where one is further off than allowed."""
    worst = 0.0
    for pixels in network_inputs(reference, films):
        expected, got = (reader.network(pixels).astype(np.float64) for reader in (reference, other))
        worst = max(worst, float(np.abs(expected - got).max()))
    if not films or worst > _MOST_APART:
        raise BadValue(
            f"{other.network.name} does not answer as {reference.network.name} does: expected logits and maps within "
            f"{_MOST_APART}, got {worst:.4f} over {len(films)} films"
        )
    return {
        "reference": reference.network.name,
        "compared": other.network.name,
        "films": len(films),
        "largest_logit_difference": round(worst, 6),
    }
