"""Evaluation from end to end: films are read once, scored as often as wanted, and one folder answers for every figure.

The folder holds ``predictions/``, ``report.json``, ``report.html`` and ``figures/``. Metrics never see a model: they
see the predictions that were written and the manifest, whoever made the predictions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from fracture import __version__
from fracture.core.code import code_id
from fracture.core.errors import BadValue
from fracture.core.files import file_hash, write_bytes
from fracture.core.folders import check_apart
from fracture.core.types import ImageRecord, OperatingPoint
from fracture.data.yolo import CLASSES
from fracture.evaluation import comparison, confounders
from fracture.evaluation.cases import EVERY_FILM, Cases, films_of, join
from fracture.evaluation.caveats import about_data, about_predictions
from fracture.evaluation.folder import PREDICTIONS, save, worst_pictures
from fracture.evaluation.leakage import MadeWith, leave_out_copies, seen_before
from fracture.evaluation.measure import RESAMPLES, Ask, asked_points, choose_points, counts, evaluate
from fracture.evaluation.predict import dataset_id, load_records, predict, progress
from fracture.evaluation.report import schema
from fracture.inference.reader import Reader
from fracture.metrics.uncertainty import proportion
from fracture.models import card as cards
from fracture.models.scope import FLAG
from fracture.predictions import Loaded, load_predictions, merge
from fracture.predictions.jsonl import line


@dataclass(frozen=True)
class Settings:
    """What to evaluate and how: the films of one split of the dataset at ``root``, into the folder ``out``.

    ``columns`` are manifest columns to slice by besides the usual ones. Without ``with_films`` the page shows no film,
    so that it may be published. ``compare`` is another model's report.json, with its predictions beside it.
    """

    root: Path
    out: Path
    split: str = "test"
    ask: Ask = field(default_factory=Ask)
    columns: tuple[str, ...] = ()
    with_films: bool = True
    with_confounders: bool = False
    compare: Path | None = None
    seed: int = 0
    resamples: int = RESAMPLES

    def __post_init__(self) -> None:
        # Before any film is read: a mistake should not cost an hour.
        check_apart(self.out, self.root)
        if self.seed < 0:
            raise BadValue(f"seed: expected 0 or more, got {self.seed}")
        if self.resamples < 1:
            raise BadValue(f"resamples: expected at least 1, got {self.resamples}")

    def predictions(self, split: str) -> Path:
        """Say where the predictions for a split are kept, in our own format whoever made them."""
        return self.out / PREDICTIONS / f"{split}.jsonl"


@dataclass(frozen=True)
class Source:
    """Predictions of another program: files or folders, and what tells which box is a fracture on which film."""

    paths: tuple[Path, ...]
    format: str | None = None
    coco_images: Path | None = None
    category: str | None = None
    made_with: Path | None = None
    """A bundle, or a folder with a films.csv, that says which films this program was made with."""


def evaluate_model(reader: Reader, settings: Settings) -> dict[str, Any]:
    """Read the films of a split with a model, and those of val where a threshold is asked for; score and save.

    Raises MissingData that names the commands which build the dataset where it is not there.
    """
    records = load_records(settings.root)
    points = reader.card.operating_points
    if settings.ask.target_recall is not None:
        answered = predict(reader, settings.root, films_of(records, "val"), settings.predictions("val"))
        val = leave_out_copies(join(records, answered.answers, "val"), settings.root, MadeWith.of(reader))[0]
        points = (*asked_points(val, dataset_id(settings.root), settings.ask), *points)
    loaded = predict(reader, settings.root, films_of(records, settings.split), settings.predictions(settings.split))
    return _report(settings, records, loaded, points, reader, MadeWith.of(reader))


def evaluate_predictions(source: Source, settings: Settings) -> dict[str, Any]:
    """Score what another program predicted, and save. Thresholds are chosen on val, where the predictions cover it.

    Raises BadValue for a target recall without predictions for val, and where most films had a part in making the
    program. That is known of the model that comes with the package, and where the source says so.
    """
    check_apart(settings.out, *(path for path in source.paths if path.is_dir()))
    records = load_records(settings.root)
    loaded = merge(
        [
            load_predictions(path, records, source.format, coco_images=source.coco_images, category=source.category)
            for path in source.paths
        ]
    )
    films = films_of(records, settings.split)
    if not _has_a_row(loaded, films) and not _found_nothing(loaded, films):
        raise BadValue(f"predictions: expected some for films of the split {settings.split!r}, got none")
    made_with = MadeWith.named(source.made_with, loaded.model_id)
    val = [record for record in records if record.split == "val"]
    points: tuple[OperatingPoint, ...] = ()
    if _has_a_row(loaded, val):
        cases = leave_out_copies(join(val, loaded.answers, "val"), settings.root, made_with)[0]
        points = asked_points(cases, dataset_id(settings.root), settings.ask)
        points += choose_points(cases, dataset_id(settings.root))
    elif settings.ask.target_recall is not None:
        raise BadValue("target recall: expected predictions for the val films too, to choose a threshold on")
    kept = settings.predictions(settings.split)
    if not any(path.exists() and kept.exists() and path.samefile(kept) for path in source.paths):
        answered = [(record, loaded.answers[record.image_id]) for record in films if record.image_id in loaded.answers]
        lines = [line(record.path, answer, CLASSES, image_id=record.image_id) for record, answer in answered]
        write_bytes(kept, "".join(text + "\n" for text in lines).encode())
    return _report(settings, records, loaded, points, None, made_with)


def evaluate_external(reader: Reader, settings: Settings, known: Mapping[str, Any] | None) -> dict[str, Any]:
    """Evaluate a model, at the thresholds of its card, on films of a source that had no part in making it.

    ``known`` is its report on films like those it was made with; the two are put side by side. Raises BadValue for
    films of a source that the model was made with, where most are such films under other names, and for a report of
    another model, of other thresholds or of these very films.
    """
    records = load_records(settings.root)
    films = films_of(records, settings.split)
    made_with = MadeWith.of(reader, frozenset({"train", "val", "test"}))
    used = {image_id.partition("/")[0] for image_id in made_with.films}
    shared = sorted({record.source for record in films} & used)
    if shared:
        raise BadValue(f"external source: expected one the model was not made with, got {', '.join(shared)}")
    if known is not None:
        _check_known(known, reader, dataset_id(settings.root))
    loaded = predict(reader, settings.root, films, settings.predictions(settings.split))
    return _report(settings, records, loaded, reader.card.operating_points, reader, made_with, known)


def _check_known(known: Mapping[str, Any], reader: Reader, here: str) -> None:
    theirs, ours = (dict(files) for files in (known["model"]["files"], reader.card.files))
    for files in (theirs, ours):
        files.pop(cards.FILMS, None)  # what is told of its films makes it no other model
    if theirs != ours:
        raise BadValue(f"known report: expected one of this model's files, got {known['model']['id']}'s")
    told = {point["name"]: point["threshold"] for point in known["points"]}
    for point in reader.card.operating_points:
        if told.get(point.name, point.threshold) != point.threshold:
            raise BadValue(
                f"known report: expected {point.name} at {point.threshold:g} as the card has it, got "
                f"{told[point.name]:g}; evaluate again"
            )
    if known["data"]["dataset_id"] == here:
        raise BadValue("known report: expected one on other films, got one on this very dataset")


def _report(
    settings: Settings,
    records: Sequence[ImageRecord],
    loaded: Loaded,
    points: Sequence[OperatingPoint],
    reader: Reader | None,
    made_with: MadeWith,
    known: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Score the predictions, say what limits the figures, and save the folder."""
    other = schema.load(settings.compare) if settings.compare else None
    if other is not None and other["data"]["split"] != settings.split:
        raise BadValue(f"compare: expected a report on {settings.split}, got one on {other['data']['split']}")
    cases, copies = leave_out_copies(join(records, loaded.answers, settings.split), settings.root, made_with)
    calibration = reader.card.calibration if reader else None
    chosen_here = settings.ask.target_recall is not None or (reader is None and bool(points))
    measured = evaluate(
        cases,
        points,
        calibration=calibration,
        columns=settings.columns,
        seed=settings.seed,
        resamples=settings.resamples,
    )
    report: dict[str, Any] = {
        "schema": 1,
        "made": {
            "date": datetime.now(UTC).date().isoformat(),
            "version": __version__,
            "code_id": code_id(__name__),
            "seed": settings.seed,
            "resamples": settings.resamples,
        },
        "model": _model(reader, loaded, settings)
        | {"outside_scope": _outside(reader, cases), "film_score": cases.made_by},
        "data": {
            "name": settings.root.resolve().name,
            "dataset_id": dataset_id(settings.root),
            "split": settings.split,
            **counts(cases),
        },
        "left_out": dict(cases.left_out),
        "model_was_made_with": seen_before(cases, made_with, chosen_here=chosen_here),
        "copies": {"known_films": made_with.no_test, "known_by_pixels": len(made_with.known_by), "left_out": copies}
        if made_with.no_test
        else None,
        **measured,
        "shortcuts": _confounders(reader, records, cases, settings)
        if settings.with_confounders and reader and cases.records
        else None,
        "comparison": None,
    }
    if known is not None:
        report["comparison"] = comparison.on_other_films(report, known) | _named(known)
    elif other is not None and settings.compare is not None:
        report["comparison"] = _compared(other, settings.compare.parent, settings, records, cases, points)
    warnings = about_predictions(report, cases, loaded, records, reader, made_with)
    report["warnings"] = [*about_data(settings.root, report, known), *warnings]
    save(settings.out, report, worst_pictures(settings.root, report, cases) if settings.with_films else {})
    return report


def _model(reader: Reader | None, loaded: Loaded, settings: Settings) -> dict[str, Any]:
    file = settings.predictions(settings.split)
    return {
        "id": reader.card.model_id if reader else loaded.model_id,
        "version": reader.card.version if reader else None,
        "files": dict(reader.card.files) if reader else {},
        "harmonise_id": loaded.harmonise_id,
        "backend": reader.network.name if reader else None,
        "predictions": {
            "file": file.relative_to(settings.out).as_posix(),
            "sha256": file_hash(file),
            "format": loaded.format,
            "source_sha256": None if reader else loaded.sha256,
        },
    }


def _outside(reader: Reader | None, cases: Cases) -> dict[str, Any] | None:
    """Give the share of films that the model's scope does not cover, None where it cannot tell."""
    if reader is None or not reader.scoped:
        return None
    return asdict(proportion(cases.flagged(FLAG), np.ones(len(cases.records), np.bool_), cases.groups))


def _has_a_row(loaded: Loaded, films: Sequence[ImageRecord]) -> bool:
    """Tell whether the predictions have a row for any of these films."""
    without_a_row = set(loaded.without_a_line)
    return any(record.image_id not in without_a_row for record in films)


def _found_nothing(loaded: Loaded, films: Sequence[ImageRecord]) -> bool:
    """Tell whether the predictions answer these films and hold no row at all: nothing was found, and AP is 0."""
    without_a_row = set(loaded.without_a_line)
    return loaded.answers.keys() <= without_a_row and any(record.image_id in loaded.answers for record in films)


def _confounders(reader: Reader, records: Sequence[ImageRecord], cases: Cases, settings: Settings) -> dict[str, Any]:
    seen = {record.image_id for record in cases.records} | set(cases.left_out)
    films = [(record, settings.root / record.path) for record in cases.records]
    others = [r for r in films_of(records, EVERY_FILM) if r.fractured is not None and r.image_id not in seen]
    around = [(record, settings.root / record.path) for record in others]
    rng = np.random.default_rng(settings.seed)
    return confounders.check(reader, films, cases.scores, rng, settings.resamples, progress, around=around)


def _compared(
    other: Mapping[str, Any],
    folder: Path,
    settings: Settings,
    records: Sequence[ImageRecord],
    cases: Cases,
    points: Sequence[OperatingPoint],
) -> dict[str, Any]:
    told = other["model"]["predictions"]
    file = folder / told["file"]
    if not file.is_file() or file_hash(file) != told["sha256"]:
        raise BadValue(f"compare: expected the predictions {told['file']} in {folder}, as its report names them")
    theirs = join(records, load_predictions(file, records).answers, settings.split)
    # Films that are no test of the other model, copies of what it was made with, are none of the two side by side.
    theirs = theirs.where(lambda record: record.image_id not in other["left_out"])
    others = [cards.operating_point(point) for point in other["points"]]
    return comparison.on_the_same_films(cases, theirs, (points, others), settings.seed, settings.resamples) | _named(
        other
    )


def _named(other: Mapping[str, Any]) -> dict[str, Any]:
    return {"other": {"model": other["model"], "data": other["data"]}}
