"""A benchmark from end to end: every model is evaluated as `fracture.evaluation.run` does it, then timed in turns.

The folder holds ``benchmark.json``, ``benchmark.md`` and, in ``models/<name>``, each model's own evaluation with its
predictions: a run that was killed goes on from them.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path, PureWindowsPath
from typing import Any

from fracture import __version__
from fracture.core.code import code_id
from fracture.core.errors import BadValue
from fracture.core.files import write_bytes, write_json
from fracture.core.machine import cores
from fracture.core.types import ImageRecord, Prediction, Refusal
from fracture.evaluation.benchmark import model, text
from fracture.evaluation.benchmark.cost import costs, processor, speeds
from fracture.evaluation.cases import films_of
from fracture.evaluation.folder import REPORT
from fracture.evaluation.predict import load_records
from fracture.evaluation.run import Settings, evaluate_model
from fracture.inference.named import Named, opened
from fracture.inference.reader import Reader
from fracture.models import card as cards
from fracture.predictions import load_predictions

BENCHMARK, TABLE, MODELS = "benchmark.json", "benchmark.md", "models"
TIMED = 40
"""Films that are timed, unless said otherwise."""

_BOXES = ("ap50", "ap50_95", "ap10", "ap_centre")


@dataclass(frozen=True)
class Timing:
    """How many films are timed."""

    films: int = TIMED

    def __post_init__(self) -> None:
        if self.films < 1:
            raise BadValue(f"timed films: expected 1 or more, got {self.films}")


def benchmark(models: Sequence[Named], classes: Sequence[str], settings: Settings, timing: Timing) -> model.Benchmark:
    """Evaluate and time models on the films of one split, and save; the first is what the others are compared with.

    Each model is used at the thresholds of its own card, or at those that its own answers to val give. ``classes`` are
    the dataset's. Raises, before any film is read, what `opened` raises for models that cannot be put side by side.
    """
    readers = opened(models, classes)
    records = load_records(settings.root)
    films = [record for record in films_of(records, settings.split) if record.fractured is not None]
    entries: list[dict[str, Any]] = []
    read = {record.image_id for record in films}
    for one, reader in zip(models, readers, strict=True):
        entry, answered = _judged(one, reader, settings, records, compare=models[0] if entries else None)
        entries.append(entry)
        read &= answered
    timed = _spread([settings.root / record.path for record in films if record.image_id in read], timing.films)
    timings = speeds(readers, timed) if timed else [None] * len(readers)
    for entry, one, reader, found in zip(entries, models, readers, timings, strict=True):
        entry |= {"speed": found, "cost": costs(reader, one.weights, timed)}
    first = json.loads((_folder(settings, models[0]) / REPORT).read_text(encoding="utf-8"))
    whole = {
        "schema": 1,
        "made": {
            "date": datetime.now(UTC).date().isoformat(),
            "version": __version__,
            "code_id": code_id(__name__),
            "seed": settings.seed,
            "resamples": settings.resamples,
            "machine": {"processor": processor(), "cores": cores()},
        },
        "data": {key: first["data"][key] for key in ("name", "dataset_id", "split")} | {"films": len(films)},
        "models": entries,
    }
    checked = model.check(whole)
    write_json(settings.out / BENCHMARK, whole)
    write_bytes(settings.out / TABLE, text.markdown(checked).encode())
    return checked


def _folder(settings: Settings, one: Named) -> Path:
    return settings.out / MODELS / one.name


def _judged(
    one: Named, reader: Reader, settings: Settings, records: Sequence[ImageRecord], compare: Named | None
) -> tuple[dict[str, Any], set[str]]:
    """Evaluate a model; give what the benchmark says of it, and which films it read."""
    own = replace(
        settings,
        out=_folder(settings, one),
        with_films=False,
        compare=_folder(settings, compare) / REPORT if compare else None,
    )
    report = evaluate_model(reader, own)
    answers = load_predictions(own.predictions(own.split), records).answers
    labelled = {record.image_id for record in records if record.fractured is not None}
    box, film, compared = report["box"], report["film"], report["comparison"]
    about = {
        "name": one.name,
        "model_id": reader.card.model_id,
        "version": reader.card.version,
        "files": dict(reader.card.files),
        "backend": reader.network.name,
        "began": _began(reader),
        "skill": {key: report["data"][key] for key in ("films", "fractured", "groups")}
        | {key: box[key] for key in _BOXES}
        | {"film_auc": film["auc"], "at": {point["name"]: _at(point, film) for point in report["points"]}},
        "refused": {name: answer.reason for name, answer in answers.items() if isinstance(answer, Refusal)},
        "left_out": len(labelled & report["left_out"].keys()),
        "made_with": len(report["model_was_made_with"]),
        "warnings": report["warnings"],
        "against_first": {key: compared[key] for key in ("films", "rows")} if compared else None,
    }
    return about, {name for name, answer in answers.items() if isinstance(answer, Prediction)}


def _at(point: Mapping[str, Any], film: Mapping[str, Any]) -> dict[str, Any]:
    at = film["at"][point["name"]]
    return {"reached": point["reached"]} | {key: at[key] for key in ("threshold", "sensitivity", "specificity")}


def _began(reader: Reader) -> dict[str, Any]:
    """Say where a model began, as its card tells: a card need tell none of it, and a path of a machine is left out."""
    card = reader.card
    told, config = card.training, card.training.get("config") or {}
    network = _file(config.get("model"))
    start = _file(config.get("start")) or (network if network and network.endswith((".pt", ".safetensors")) else None)
    averaged = told.get("averaged") or {}
    learned = list(cards.films(reader.folder).values()).count("train") if reader.folder else 0
    return {
        "arch": card.arch,
        "network": network,
        "start": start,
        "averaged": [_file(averaged[key]) for key in ("first", "second") if key in averaged],
        "long_side_px": card.long_side_px,
        "members": card.members,
        "epochs": config.get("epochs"),
        "epochs_run": told.get("epochs_run"),
        "hours": config.get("hours"),
        "films_per_step": config.get("films_per_step"),
        "train_films": learned or None,
        "dataset_id": told.get("dataset_id"),
        "finished": told.get("finished"),
    }


def _file(path: object) -> str | None:
    """Give the last part of a path of any system."""
    return PureWindowsPath(str(path)).name if path else None


def _spread(films: Sequence[Path], count: int) -> list[Path]:
    """Take so many films from all over the list."""
    return [films[place * len(films) // count] for place in range(count)] if len(films) > count else list(films)
