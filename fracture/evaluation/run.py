"""Evaluation from end to end: films are read once, scored as often as wanted, and one folder answers for every figure.

The folder holds ``predictions/``, ``report.json``, ``report.html`` and ``figures/``. Metrics never see a model: they
see the predictions that were written and the manifest, whoever made the predictions.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from fracture import __version__
from fracture.clinical.status import Thresholds, of_film
from fracture.core.code import code_id
from fracture.core.errors import BadValue, MissingData
from fracture.core.files import file_hash, file_state, stamp, write_bytes, write_json
from fracture.core.folders import check_apart
from fracture.core.types import FEW, HarmoniseConfig, ImageRecord, OperatingPoint
from fracture.data import assemble, duplicates, manifest
from fracture.data.duplicates import Trace, traces
from fracture.data.workers import film_map
from fracture.data.yolo import CLASSES
from fracture.evaluation import comparison
from fracture.evaluation import confounders as shortcuts
from fracture.evaluation.cases import EVERY_FILM, Cases, films_of, join
from fracture.evaluation.measure import RESAMPLES, Ask, asked_points, choose_points, counts, evaluate
from fracture.evaluation.report import schema
from fracture.evaluation.report.figures import figures
from fracture.evaluation.report.gallery import Shown, picture_of
from fracture.evaluation.report.page import page
from fracture.inference.batch import read_files
from fracture.inference.reader import Reader
from fracture.metrics.uncertainty import proportion
from fracture.models import card as cards
from fracture.models.scope import FLAG
from fracture.predictions import Loaded, load_predictions, merge
from fracture.predictions.jsonl import PredictionLog, line

PREDICTIONS, REPORT, PAGE, FIGURES = "predictions", "report.json", "report.html", "figures"
CROPS = 0.1
"""Boxes that cover more of the film than this, in the median, were drawn on crops; on whole films they cover 0.5 %."""

MOST_COPIES = 0.5
"""Films of which more than this share had a part in making the model are no test of it, whatever is left out."""

MANY_OUTSIDE = 0.05
"""Films of a model's own kind are taken for strange ones a fifth as often as this."""

BUILD = """  python scripts/fracatlas_to_yolo.py --src FracAtlas --out stage/fracatlas
  python scripts/preprocess.py --src stage/fracatlas --out stage/fracatlas_proc
  python scripts/make_splits.py --src stage/fracatlas_proc --out dataset_v5"""


_TAUGHT = frozenset({"train", "val"})
"""The splits of a model's films that are no test of it."""


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


def judge_model(reader: Reader, order: Order) -> dict[str, Any]:
    """Read the films of a split with a model, and those of val where a threshold is asked for; judge and save.

    Raises MissingData that names the commands which build the dataset where it is not there.
    """
    records = load_records(order.root)
    points = reader.card.operating_points
    if order.ask.target_recall is not None:
        heard = predict(reader, order.root, films_of(records, "val"), order.predictions("val"))
        val = _apart(join(records, heard.answers, "val"), order.root, _Made.of(reader))[0]
        points = (*asked_points(val, dataset_id(order.root), order.ask), *points)
    loaded = predict(reader, order.root, films_of(records, order.split), order.predictions(order.split))
    return _judge(order, records, loaded, points, reader, _Made.of(reader))


def judge_predictions(source: Source, order: Order) -> dict[str, Any]:
    """Judge what another program predicted. Thresholds are chosen on val, where the predictions cover it.

    Raises BadValue for a target recall without predictions for val, and where most films had a part in making the
    program. That is known of the model that comes with the package, and where the source says so.
    """
    check_apart(order.out, *(path for path in source.paths if path.is_dir()))
    records = load_records(order.root)
    loaded = merge(
        [
            load_predictions(path, records, source.format, coco_images=source.coco_images, category=source.category)
            for path in source.paths
        ]
    )
    films = films_of(records, order.split)
    if not _heard(loaded, films) and not _found_nothing(loaded, films):
        raise BadValue(f"predictions: expected some for films of the split {order.split!r}, got none")
    made = _Made.named(source.made_with, loaded.model_id)
    val = [record for record in records if record.split == "val"]
    points: tuple[OperatingPoint, ...] = ()
    if _heard(loaded, val):
        cases = _apart(join(val, loaded.answers, "val"), order.root, made)[0]
        points = asked_points(cases, dataset_id(order.root), order.ask)
        points += choose_points(cases, dataset_id(order.root))
    elif order.ask.target_recall is not None:
        raise BadValue("target recall: expected predictions for the val films too, to choose a threshold on")
    kept = order.predictions(order.split)
    if not any(path.exists() and kept.exists() and path.samefile(kept) for path in source.paths):
        answered = [(record, loaded.answers[record.image_id]) for record in films if record.image_id in loaded.answers]
        lines = [line(record.path, answer, CLASSES, image_id=record.image_id) for record, answer in answered]
        write_bytes(kept, "".join(text + "\n" for text in lines).encode())
    return _judge(order, records, loaded, points, None, made)


def judge_external(reader: Reader, order: Order, known: Mapping[str, Any] | None) -> dict[str, Any]:
    """Judge a model, at the thresholds of its card, on films of a source that had no part in making it.

    ``known`` is its report on films like those it was made with; the two are put side by side. Raises BadValue for
    films of a source that the model was made with, where most are such films under other names, and for a report of
    another model, of other thresholds or of these very films.
    """
    records = load_records(order.root)
    films = films_of(records, order.split)
    made = _Made.of(reader, frozenset({"train", "val", "test"}))
    used = {image_id.partition("/")[0] for image_id in made.films}
    shared = sorted({record.source for record in films} & used)
    if shared:
        raise BadValue(f"external source: expected one the model was not made with, got {', '.join(shared)}")
    if known is not None:
        _check_known(known, reader, dataset_id(order.root))
    loaded = predict(reader, order.root, films, order.predictions(order.split))
    return _judge(order, records, loaded, reader.card.operating_points, reader, made, known)


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
    card, code = reader.card, code_id("fracture.inference.batch", "fracture.predictions.jsonl")
    fed = (
        card.harmonise.harmonise_id,
        card.long_side_px,
        card.stride,
        card.pad_value,
        card.divisor,
        card.nms_iou,
        card.members,
    )
    made_by = (card.files, reader.weights, reader.network.name, type(reader).__qualname__, fed, code)
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
    made: "_Made",
    known: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Score the answers, say what stands against them, and save the folder."""
    other = schema.load(order.compare) if order.compare else None
    if other is not None and other["data"]["split"] != order.split:
        raise BadValue(f"compare: expected a report on {order.split}, got one on {other['data']['split']}")
    cases, copies = _apart(join(records, loaded.answers, order.split), order.root, made)
    calibration = reader.card.calibration if reader else None
    chosen_here = order.ask.target_recall is not None or (reader is None and bool(points))
    figures_of_it = evaluate(
        cases, points, calibration=calibration, columns=order.columns, seed=order.seed, resamples=order.resamples
    )
    report: dict[str, Any] = {
        "schema": 1,
        "made": {
            "date": datetime.now(UTC).date().isoformat(),
            "version": __version__,
            "code_id": code_id(__name__),
            "seed": order.seed,
            "resamples": order.resamples,
        },
        "model": _model(reader, loaded, order) | {"outside_scope": _outside(reader, cases)},
        "data": {"name": order.root.resolve().name, "dataset_id": dataset_id(order.root), "split": order.split}
        | counts(cases),
        "left_out": dict(cases.left_out),
        "model_was_made_with": _used(made, cases, chosen_here),
        "copies": {"known_films": made.taught, "known_by_pixels": len(made.known_by), "left_out": copies}
        if made.taught
        else None,
        **figures_of_it,
        "shortcuts": _shortcuts(reader, records, cases, order)
        if order.with_shortcuts and reader and cases.records
        else None,
        "comparison": None,
    }
    if known is not None:
        report["comparison"] = comparison.on_other_films(report, known) | _named(known)
    elif other is not None and order.compare is not None:
        report["comparison"] = _compared(other, order.compare.parent, order, records, cases, points)
    about_answers = _about_answers(report, cases, loaded, records, reader, made)
    report["warnings"] = [*_about_data(order, report, known), *about_answers]
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
            "source_sha256": None if reader else loaded.sha256,
        },
    }


def _outside(reader: Reader | None, cases: Cases) -> dict[str, Any] | None:
    """Give the share of films that the model's scope does not cover, None where it cannot tell."""
    if reader is None or "scope" not in reader.card.measured or reader.network.name == "torch":
        return None
    return asdict(proportion(cases.flagged(FLAG), np.ones(len(cases.records), np.bool_), cases.groups))


@dataclass(frozen=True)
class _Made:
    """Which films a model was made with, image_id -> split, and by what those are known that are no test of it.

    ``taught`` is the number of those that are no test, however they are known.
    """

    films: Mapping[str, str] = field(default_factory=dict)
    taught: int = 0
    known_by: Mapping[str, Trace] = field(default_factory=dict)
    harmonise: HarmoniseConfig = field(default_factory=HarmoniseConfig)

    @classmethod
    def of(cls, reader: Reader, parts: frozenset[str] = _TAUGHT) -> "_Made":
        """Tell of a model. ``parts`` are the splits of its films that are no test of it."""
        return cls.read(reader.folder, reader.card.harmonise, parts) if reader.folder else cls()

    @classmethod
    def named(cls, bundle: Path | None, model_id: str) -> "_Made":
        """Tell of a program by a bundle, or by the name it gives itself if that is the shipped model's."""
        if bundle is not None and not (bundle / cards.FILMS).is_file():
            raise MissingData(f"no {cards.FILMS} in {bundle}: expected a bundle that says which films it was made with")
        folder = bundle or (cards.SHIPPED if (cards.SHIPPED / cards.NAME).is_file() else None)
        card = cards.load(folder) if folder and (folder / cards.NAME).is_file() else None
        if folder is None or (bundle is None and card is not None and card.model_id != model_id):
            return cls()
        return cls.read(folder, card.harmonise if card else HarmoniseConfig(), _TAUGHT)

    @classmethod
    def read(cls, folder: Path, harmonise: HarmoniseConfig, parts: frozenset[str]) -> "_Made":
        """Read a bundle's table of films."""
        films, known_by = cards.films(folder), cards.film_traces(folder)
        taught = {image_id for image_id, part in films.items() if part in parts}
        return cls(films, len(taught), {one: known_by[one] for one in known_by if one in taught}, harmonise)


def _apart(cases: Cases, root: Path, made: _Made) -> tuple[Cases, dict[str, str]]:
    """Leave out the films that are copies, under other names, of films the model was made with; say of which each is.

    Raises BadValue where most are.
    """
    unknown = [record for record in cases.records if made.films.get(record.image_id) not in _TAUGHT]
    if not made.known_by or not unknown:
        return cases, {}
    seen = traces([root / record.path for record in unknown], made.harmonise)
    by_pixels = {known.pixel_sha256: name for name, known in made.known_by.items() if known.pixel_sha256}
    copied: dict[str, str] = {}
    looks: list[tuple[str, bytes]] = []
    for record, one in zip(unknown, seen, strict=True):
        exact = by_pixels.get(record.attributes.get("pixel_sha256", "")) or by_pixels.get(one.pixel_sha256)
        if exact:
            copied[record.image_id] = exact
        else:
            looks += [(record.image_id, look) for look in one.looks]
    known = [(name, look) for name, one in made.known_by.items() for look in one.looks]
    for theirs, ours in duplicates.copies([look for _, look in known], [look for _, look in looks]):
        copied.setdefault(looks[ours][0], known[theirs][0])
    if len(copied) > MOST_COPIES * len(cases.records):
        raise BadValue(
            f"films: expected others than the model was made with, got {len(copied)} of {len(cases.records)} that are "
            f"copies of such films, such as {next(iter(copied))} of {next(iter(copied.values()))}"
        )
    kept = cases.where(lambda record: record.image_id not in copied)
    why = {name: f"a copy of {theirs}, which the model was made with" for name, theirs in copied.items()}
    return replace(kept, left_out={**cases.left_out, **why}), copied


def _used(made: _Made, cases: Cases, chosen_here: bool) -> list[str]:
    """Name the films of these cases that the model was trained with, or thresholds were chosen on: then or just now."""
    return [
        record.image_id
        for record in cases.records
        if made.films.get(record.image_id) in _TAUGHT or (chosen_here and record.split == "val")
    ]


def _heard(loaded: Loaded, films: Sequence[ImageRecord]) -> bool:
    """Tell whether the predictions have a row for any of these films."""
    silent = set(loaded.without_a_line)
    return any(record.image_id not in silent for record in films)


def _found_nothing(loaded: Loaded, films: Sequence[ImageRecord]) -> bool:
    """Tell whether the predictions answer these films and hold no row at all: nothing was found, and AP is 0."""
    silent = set(loaded.without_a_line)
    return loaded.answers.keys() <= silent and any(record.image_id in loaded.answers for record in films)


def _shortcuts(reader: Reader, records: Sequence[ImageRecord], cases: Cases, order: Order) -> dict[str, Any]:
    judged = {record.image_id for record in cases.records} | set(cases.left_out)
    films = [(record, order.root / record.path) for record in cases.records]
    others = [r for r in films_of(records, EVERY_FILM) if r.fractured is not None and r.image_id not in judged]
    around = [(record, order.root / record.path) for record in others]
    rng = np.random.default_rng(order.seed)
    return shortcuts.check(reader, films, cases.scores, rng, order.resamples, progress, around=around)


def _compared(
    other: Mapping[str, Any],
    folder: Path,
    order: Order,
    records: Sequence[ImageRecord],
    cases: Cases,
    points: Sequence[OperatingPoint],
) -> dict[str, Any]:
    told = other["model"]["predictions"]
    file = folder / told["file"]
    if not file.is_file() or file_hash(file) != told["sha256"]:
        raise BadValue(f"compare: expected the predictions {told['file']} in {folder}, as its report names them")
    theirs = join(records, load_predictions(file, records).answers, order.split)
    others = [cards.operating_point(point) for point in other["points"]]
    return comparison.on_the_same_films(cases, theirs, (points, others), order.seed, order.resamples) | _named(other)


def _named(other: Mapping[str, Any]) -> dict[str, Any]:
    return {"other": {"model": other["model"], "data": other["data"]}}


def _about_data(order: Order, report: Mapping[str, Any], known: Mapping[str, Any] | None) -> Iterator[str]:
    """Say what a reader must know about the films before any figure."""
    data = report["data"]
    leaks = _leaks(order.root)
    if leaks:
        yield f"the dataset's own report counts {leaks} leaks between its splits: figures look better than they are"
    for kind, rate in (("fractured", "sensitivity"), ("normal", "specificity")):
        if data[kind] == 0:
            yield f"there are no {kind} films: {rate} cannot be estimated"
        elif data[kind] < FEW:
            yield f"there are {data[kind]} {kind} films, fewer than {FEW}: {rate} says little"
    if report["left_out"]:
        yield f"{len(report['left_out'])} films of the split were left out, by name and reason in {REPORT}"
    undrawn = data["fractured"] - data["boxed_films"]
    if data["boxes"] and undrawn:
        yield f"{undrawn} fractured films have no drawn boxes and are in no figure of boxes"
    share = data["median_box_share"]
    if share is not None and share > CROPS:
        usual = known["data"]["median_box_share"] if known else None
        beside = f", against {usual:.1%} on the films beside it" if usual is not None else ""
        yield f"drawn boxes cover {share:.0%} of a film in the median{beside}: these are crops, not whole films"


def _about_answers(
    report: Mapping[str, Any],
    cases: Cases,
    loaded: Loaded,
    records: Sequence[ImageRecord],
    reader: Reader | None,
    made: _Made,
) -> Iterator[str]:
    """Say what a reader must know about the predictions and the thresholds before any figure."""
    silent = set(loaded.without_a_line)
    unheard = sum(record.image_id in silent for record in cases.records)
    if unheard:
        yield f"the predictions have no row for {unheard} films: taken as nothing found there"
    val = [record.image_id in silent for record in records if record.split == "val"]
    if reader is None and report["points"] and any(val):
        yield f"thresholds were chosen on {len(val)} val films; the predictions have no row for {sum(val)} of them"
    if loaded.other_rows:
        yield f"{loaded.other_rows} boxes of other categories were dropped"
    if reader is not None and not made.films:
        yield "the model's bundle does not say which films it was made with: this may be no test"
    if len(made.known_by) < made.taught:
        yield (
            f"the model's bundle knows {len(made.known_by)} of its {made.taught} films by their pixels, the others by "
            "name only: one of those under another name would not be noticed (scripts/bundle.py --hashes)"
        )
    if report["copies"] and report["copies"]["left_out"]:
        copied = len(report["copies"]["left_out"])
        yield (
            f"{copied} films are copies of films the model was made with, under other names: they are in no figure, "
            f"and named in {REPORT}"
        )
    outside = report["model"]["outside_scope"]
    if outside is not None and outside["low"] is not None and outside["low"] > MANY_OUTSIDE:
        yield (
            f"{outside['value']:.0%} of the films are unlike those the model was made with: what was measured on films "
            "that it knows does not speak of them"
        )
    if not report["points"]:
        yield "no thresholds: name predictions for the val films too, and they are chosen there"
    for point in report["points"]:
        if not point["reached"]:
            yield f"{point['name']}: {point['rule']}"


def _leaks(root: Path) -> int:
    path = root / assemble.REPORT
    leaks = json.loads(path.read_text(encoding="utf-8")).get("leaks") if path.is_file() else None
    return sum(map(len, leaks.values())) if isinstance(leaks, dict) else 0


def _save(order: Order, report: Mapping[str, Any], cases: Cases) -> None:
    drawn = figures(report)
    shown = page(report, drawn, _pictures(order, report, cases))
    for stale in (order.out / FIGURES).glob("*.svg"):
        stale.unlink()
    for name, svg in drawn.items():
        write_bytes(order.out / FIGURES / f"{name}.svg", svg.encode())
    write_bytes(order.out / PAGE, shown.encode())
    write_json(order.out / REPORT, report)


def _pictures(order: Order, report: Mapping[str, Any], cases: Cases) -> dict[str, str]:
    """Draw the films that the report names as its worst, none where no film may be shown."""
    if not order.with_films or not report["worst"]:
        return {}
    names = {film["image_id"] for kind in ("missed", "false_alarms") for film in report["worst"][kind]}
    at = {point["name"]: point["threshold"] for point in report["points"]}
    worst = at[report["worst"]["point"]]
    thresholds = Thresholds(at.get("screening", worst), at.get("specific", worst))
    wanted = []
    flags = cases.flags or (frozenset[str](),) * len(cases.records)
    for record, found, noted in zip(cases.records, cases.detections, flags, strict=True):
        if record.image_id in names:
            said = of_film(found.score.tolist(), noted, thresholds, thresholds.least("suspicious"))
            wanted.append((record.image_id, Shown(order.root / record.path, record.boxes or (), found, said)))
    # Predictions can be scored where the films are not, and no model has read these then; the page says what it lacks.
    pictures = film_map(picture_of, [shown for _, shown in wanted], lambda *_: "")
    return {name: drawn for (name, _), drawn in zip(wanted, pictures, strict=True) if drawn}
