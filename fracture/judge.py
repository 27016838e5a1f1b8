"""Evaluation from end to end: films are read once, scored as often as wanted, and one folder answers for every figure.

The folder holds ``predictions/``, ``report.json``, ``report.html`` and ``figures/``. Metrics never see a model: they
see the predictions that were written and the manifest, whoever made the predictions.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from fracture import __version__, shortcuts
from fracture.batch import read_files
from fracture.data import assemble, manifest
from fracture.data.stage import code_id, file_state, stamp, write_bytes, write_json
from fracture.data.yolo import CLASSES
from fracture.errors import BadValue, MissingData
from fracture.imaging.decode import decode
from fracture.models import card as cards
from fracture.models.card import file_hash
from fracture.outputs import Loaded, load_predictions
from fracture.outputs.json import PredictionLog, line
from fracture.reader import Reader
from fracture.render import Marks
from fracture.report import comparison, schema
from fracture.report.cases import EVERY_FILM, Cases, films_of, join
from fracture.report.evaluation import RESAMPLES, Ask, asked_points, choose_points, counts, evaluate
from fracture.report.figures import figures
from fracture.report.gallery import picture
from fracture.report.page import page
from fracture.types import FEW, ImageRecord, OperatingPoint

PREDICTIONS, REPORT, PAGE, FIGURES = "predictions", "report.json", "report.html", "figures"
CROPS = 0.1
"""Boxes that cover more of the film than this, in the median, were drawn on crops; on whole films they cover 0.5 %."""

BUILD = """  python scripts/fracatlas_to_yolo.py --src FracAtlas --out stage/fracatlas
  python scripts/preprocess.py --src stage/fracatlas --out stage/fracatlas_proc
  python scripts/make_splits.py --src stage/fracatlas_proc --out dataset_v5"""


@dataclass(frozen=True)
class Order:
    """What to judge and how: the films of one split of the dataset at ``root``, into the folder ``out``.

    ``columns`` are manifest columns to slice by besides the usual ones. Without ``with_films`` the page shows no film,
    so that it may be published. ``compare`` is another model's report.json, with its predictions beside it.
    """

    root: Path
    out: Path
    split: str = "test"
    ask: Ask = field(default_factory=Ask)
    columns: tuple[str, ...] = ()
    with_films: bool = True
    with_shortcuts: bool = False
    compare: Path | None = None
    seed: int = 0
    resamples: int = RESAMPLES

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


def judge_model(reader: Reader, order: Order) -> dict[str, Any]:
    """Read the films of a split with a model, and those of val where a threshold is asked for; judge and save.

    Raises MissingData that names the commands which build the dataset where it is not there.
    """
    records = load_records(order.root)
    points = reader.card.operating_points
    if order.ask.target_recall is not None:
        val = join(
            records, predict(reader, order.root, films_of(records, "val"), order.predictions("val")).answers, "val"
        )
        points = (*asked_points(val, dataset_id(order.root), order.ask, order.seed), *points)
    loaded = predict(reader, order.root, films_of(records, order.split), order.predictions(order.split))
    return _judge(order, records, loaded, points, reader)


def judge_predictions(source: Source, order: Order) -> dict[str, Any]:
    """Judge what another program predicted. Thresholds are chosen on val, where the predictions cover it.

    Raises BadValue for a target recall without predictions for val.
    """
    records = load_records(order.root)
    every = [
        load_predictions(path, records, source.format, coco_images=source.coco_images, category=source.category)
        for path in source.paths
    ]
    val = next((loaded for loaded in every if _covers(loaded, records, "val")), None)
    loaded = next((loaded for loaded in every if _covers(loaded, records, order.split)), None)
    if loaded is None:
        raise BadValue(f"predictions: expected some for films of the split {order.split!r}, got none")
    points: tuple[OperatingPoint, ...] = ()
    if val is not None:
        cases = join(records, val.answers, "val")
        points = asked_points(cases, dataset_id(order.root), order.ask, order.seed)
        points += choose_points(cases, dataset_id(order.root))
    elif order.ask.target_recall is not None:
        raise BadValue("target recall: expected predictions for the val films too, to choose a threshold on")
    films = films_of(records, order.split)
    lines = [
        line(r.path, loaded.answers[r.image_id], CLASSES, image_id=r.image_id)
        for r in films
        if r.image_id in loaded.answers
    ]
    write_bytes(order.predictions(order.split), "".join(text + "\n" for text in lines).encode())
    return _judge(order, records, loaded, points, None)


def judge_external(reader: Reader, order: Order, known: Mapping[str, Any] | None) -> dict[str, Any]:
    """Judge a model, at the thresholds of its card, on films of a source that had no part in making it.

    ``known`` is its report on films like those it was made with; the two are put side by side. Raises BadValue for
    films of a source that the model was made with, and for a report of another model.
    """
    records = load_records(order.root)
    films = films_of(records, order.split)
    used = {image_id.partition("/")[0] for image_id in _made_with(reader)}
    shared = sorted({record.source for record in films} & used)
    if shared:
        raise BadValue(f"external source: expected one the model was not made with, got {', '.join(shared)}")
    if known is not None and known["model"]["files"] != dict(reader.card.files):
        raise BadValue(f"in-distribution report: expected one of this model's files, got {known['model']['id']}'s")
    loaded = predict(reader, order.root, films, order.predictions(order.split))
    return _judge(order, records, loaded, reader.card.operating_points, reader, known)


def load_records(root: Path) -> list[ImageRecord]:
    """Read the manifest at ``root``. Raises MissingData that says how to build the dataset where there is none."""
    if not (root / manifest.NAME).is_file():
        raise MissingData(f"no dataset at {root}. Build it from FracAtlas with:\n{BUILD}")
    return manifest.load(root)


def dataset_id(root: Path) -> str:
    """Name the dataset by its manifest's content: films, labels and splits, wherever it lies."""
    return file_hash(root / manifest.NAME)[:12]


def predict(reader: Reader, root: Path, films: Sequence[ImageRecord], file: Path) -> Loaded:
    """Read films into a predictions.jsonl, skipping those that are in it already, and give what was written.

    A film is read again when its file, the model, or the code between them has changed. Only labelled films are read.
    """
    labelled = [record for record in films if record.fractured is not None]
    card, code = reader.card, code_id("imaging", "boxes.py", "reader.py", "models/runtime.py")
    made_by = (card.files, card.harmonise.harmonise_id, card.long_side_px, card.nms_iou, reader.network.name, code)
    stamps = {r.image_id: stamp(made_by, file_state(root / r.path)) for r in labelled}
    log = PredictionLog(file, stamps, card.classes)
    todo = set(log.todo)
    missing = [record for record in labelled if record.image_id in todo]
    with log:
        answers = read_files(reader, [root / record.path for record in missing])
        for record, read in zip(missing, progress(answers, len(missing)), strict=True):
            log.add(record.path, read.answer, image_id=record.image_id, time_ms=read.time_ms)
    return load_predictions(file, films)


def progress(items: Iterable[Any], total: int) -> Iterable[Any]:
    """Show a progress bar over films on standard error."""
    bar: Iterable[Any] = tqdm(items, total=total, unit="film")
    return bar


def _judge(
    order: Order,
    records: Sequence[ImageRecord],
    loaded: Loaded,
    points: Sequence[OperatingPoint],
    reader: Reader | None,
    known: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Score the answers, say what stands against them, and save the folder."""
    cases = join(records, loaded.answers, order.split)
    calibration = reader.card.calibration if reader else None
    figures_of_it = evaluate(
        cases, points, calibration=calibration, columns=order.columns, seed=order.seed, resamples=order.resamples
    )
    report: dict[str, Any] = {
        "schema": 1,
        "made": {
            "date": datetime.now(UTC).date().isoformat(),
            "version": __version__,
            "code_id": code_id("."),
            "seed": order.seed,
            "resamples": order.resamples,
        },
        "model": _model(reader, loaded, order),
        "data": {"name": order.root.resolve().name, "dataset_id": dataset_id(order.root), "split": order.split}
        | counts(cases),
        "left_out": dict(cases.left_out),
        "model_was_made_with": _used(reader, cases),
        **figures_of_it,
        "shortcuts": _shortcuts(reader, records, cases, order) if order.with_shortcuts and reader else None,
        "comparison": None,
    }
    if known is not None:
        report["comparison"] = comparison.on_other_films(report, known) | _named(known)
    elif order.compare is not None:
        report["comparison"] = _compared(order, records, cases, points)
    report["warnings"] = list(_warnings(order, report, cases, loaded, known))
    schema.check(report)
    _save(order, report, cases)
    return report


def _model(reader: Reader | None, loaded: Loaded, order: Order) -> dict[str, Any]:
    file = order.predictions(order.split)
    return {
        "id": reader.card.model_id if reader else loaded.model_id,
        "version": reader.card.version if reader else None,
        "files": dict(reader.card.files) if reader else {},
        "harmonise_id": loaded.harmonise_id,
        "backend": reader.network.name if reader else None,
        "predictions": {
            "file": file.relative_to(order.out).as_posix(),
            "sha256": file_hash(file),
            "format": loaded.format,
        },
    }


def _made_with(reader: Reader) -> dict[str, str]:
    return cards.films(reader.folder) if reader.folder else {}


def _used(reader: Reader | None, cases: Cases) -> list[str]:
    """Name the films of these cases that the model was trained or chosen with, in another part than this one."""
    seen = _made_with(reader) if reader else {}
    parts = {"train", "val"} - {cases.split}
    return [record.image_id for record in cases.records if seen.get(record.image_id) in parts]


def _covers(loaded: Loaded, records: Sequence[ImageRecord], split: str) -> bool:
    silent = set(loaded.without_a_line)
    return any(r.image_id not in silent for r in records if split in {EVERY_FILM, r.split})


def _shortcuts(reader: Reader, records: Sequence[ImageRecord], cases: Cases, order: Order) -> dict[str, Any]:
    judged = {record.image_id for record in cases.records}
    films = [(record, order.root / record.path) for record in cases.records]
    others = [r for r in films_of(records, EVERY_FILM) if r.fractured is not None and r.image_id not in judged]
    around = [(record, order.root / record.path) for record in others]
    rng = np.random.default_rng(order.seed)
    return shortcuts.check(reader, films, cases.scores, rng, order.resamples, progress, around=around)


def _compared(
    order: Order, records: Sequence[ImageRecord], cases: Cases, points: Sequence[OperatingPoint]
) -> dict[str, Any]:
    assert order.compare is not None
    other = schema.load(order.compare)
    told = other["model"]["predictions"]
    file = order.compare.parent / told["file"]
    if not file.is_file() or file_hash(file) != told["sha256"]:
        raise BadValue(
            f"compare: expected the predictions {told['file']} beside {order.compare}, as the report names them"
        )
    theirs = join(records, load_predictions(file, records).answers, order.split)
    others = [cards.operating_point(point) for point in other["points"]]
    return comparison.on_the_same_films(cases, theirs, (points, others), order.seed, order.resamples) | _named(other)


def _named(other: Mapping[str, Any]) -> dict[str, Any]:
    return {"other": {"model": other["model"], "data": other["data"]}}


def _warnings(
    order: Order, report: Mapping[str, Any], cases: Cases, loaded: Loaded, known: Mapping[str, Any] | None
) -> Iterator[str]:
    """Say what a reader must know before any figure."""
    data, used = report["data"], report["model_was_made_with"]
    if used:
        yield f"NOT A TEST: the model was trained or its thresholds chosen on {len(used)} of these films"
    leaks = _leaks(order.root)
    if leaks:
        yield f"the dataset's own report counts {leaks} leaks between its splits: figures look better than they are"
    for kind in ("fractured", "normal"):
        missing = "sensitivity" if kind == "fractured" else "specificity"
        if data[kind] == 0:
            yield f"there are no {kind} films: {missing} cannot be estimated"
        elif data[kind] < FEW:
            yield f"there are {data[kind]} {kind} films, fewer than {FEW}: {missing} says little"
    if report["left_out"]:
        yield f"{len(report['left_out'])} films of the split were left out, by name and reason in {REPORT}"
    silent = set(loaded.without_a_line) & {record.image_id for record in cases.records}
    if silent:
        yield f"the predictions have no row for {len(silent)} films: taken as nothing found there"
    if loaded.other_rows:
        yield f"{loaded.other_rows} boxes of other categories were dropped"
    if not report["points"]:
        yield "no thresholds: name predictions for the val films too, and they are chosen there"
    for point in report["points"]:
        if not point["reached"]:
            yield f"{point['name']}: {point['rule']}"
    share = data["median_box_share"]
    usual = known["data"]["median_box_share"] if known else None
    if share is not None and share > CROPS:
        beside = f", against {usual:.1%} on the films beside it" if usual is not None else ""
        yield f"drawn boxes cover {share:.0%} of a film in the median{beside}: these are crops, not whole films"


def _leaks(root: Path) -> int:
    path = root / assemble.REPORT
    leaks = json.loads(path.read_text(encoding="utf-8")).get("leaks") if path.is_file() else None
    return sum(map(len, leaks.values())) if isinstance(leaks, dict) else 0


def _save(order: Order, report: Mapping[str, Any], cases: Cases) -> None:
    drawn = figures(report)
    write_json(order.out / REPORT, report)
    for name, svg in drawn.items():
        write_bytes(order.out / FIGURES / f"{name}.svg", svg.encode())
    write_bytes(order.out / PAGE, page(report, drawn, _pictures(order, report, cases)).encode())


def _pictures(order: Order, report: Mapping[str, Any], cases: Cases) -> dict[str, str]:
    """Draw the films that the report names as its worst, none where no film may be shown."""
    if not order.with_films or not report["worst"]:
        return {}
    names = {film["image_id"] for kind in ("missed", "false_alarms") for film in report["worst"][kind]}
    at = {point["name"]: point["threshold"] for point in report["points"]}
    worst = at[report["worst"]["point"]]
    marks = Marks(dashed=at.get("screening", worst), solid=at.get("specific", worst))
    shown = [i for i, record in enumerate(cases.records) if record.image_id in names]
    return {
        cases.records[i].image_id: picture(
            decode((order.root / cases.records[i].path).read_bytes()).pixels,
            cases.records[i].boxes or (),
            cases.detections[i],
            marks,
        )
        for i in shown
    }
