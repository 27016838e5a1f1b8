"""What each variant of a training recipe buys: short runs that differ in one thing, judged on the same films.

A recipe is chosen on val, and val of a deal has too few fractured films to tell recipes apart. So the films that are
not of its test are dealt anew, half to learn from, half to judge on; the test films are never read. A run is short (see
`BASE`), the same number of films long in every row unless its name says otherwise, and judged after its last epoch,
whatever came before. Three runs that differ in the seed alone say how much of a difference is luck.

A model that is good on its own source alone is worth little: every row is judged on films of other sources too. Of a
further source to learn from these are the films that its published split holds back, of a source to look at alone all
its films.
"""

import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from fracture.core import boxes as box_math
from fracture.core.errors import BadValue, MissingData
from fracture.core.files import write_bytes, write_json
from fracture.core.types import Detections, HarmoniseConfig, ImageRecord, Prediction, Radiograph
from fracture.data import manifest
from fracture.data.assemble import assemble
from fracture.data.preprocess import preprocess
from fracture.data.yolo import DATASET
from fracture.evaluation import comparison
from fracture.evaluation.cases import EVERY_FILM, Cases, films_of, join
from fracture.evaluation.predict import load_records, predict
from fracture.inference.reader import Reader
from fracture.models.detectors.config import Config
from fracture.models.detectors.runs import can_resume, is_finished
from fracture.models.detectors.train import train
from fracture.models.runtime import OpenVinoNetwork
from fracture.training.bundle import export, trained
from fracture.training.plan import DEFAULT

RESAMPLES = 500
TABLE = "ablation.json"
HOME, SECOND, AWAY = "home", "second source", "away"
FIGURES = (
    (HOME, "AP50", "ap50"),
    (HOME, "film AUC", "film_auc"),
    (SECOND, "AP50", "second_ap50"),
    (AWAY, "film AUC", "away_auc"),
)
"""What a row says: the films, the figure, and its key in the table."""

_JUDGED = 0.42
_TEST = 0.165
"""Shares of all films: to judge on half of what is left beside a test of a sixth."""

BASE = replace(DEFAULT.training, model="yolov8n.yaml", epochs=10, rounds=1, imgsz=448, val_every=0, other_looks=0.0)
"""A short run: the default recipe with a narrower network, fewer epochs at a smaller scale, and films as they are."""


@dataclass(frozen=True)
class Variant:
    """One thing done otherwise: fields of the run's configuration, its settings, how films are prepared, or which.

    With ``sources`` it learns from the further sources too. With ``together`` nothing is trained: the boxes of those
    variants are fused.
    """

    name: str
    run: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, float] = field(default_factory=dict)
    harmonise: HarmoniseConfig = field(default_factory=HarmoniseConfig)
    sources: bool = False
    together: tuple[str, ...] = ()


VARIANTS = (
    Variant("YOLOv8n"),
    Variant("seed 1", {"seed": 1}),
    Variant("seed 2", {"seed": 2}),
    Variant("greys as in the file", harmonise=HarmoniseConfig(range_tail=None)),
    Variant("weights as published", {"restate": 0}),
    Variant("rate .0001", {"learning_rate": 0.0001}),
    Variant("rate .001", {"learning_rate": 0.001}),
    Variant("other looks, half", {"other_looks": 0.5}),
    Variant("other looks, all", {"other_looks": 1.0}),
    Variant("further sources", sources=True),
    Variant("further sources, other looks", {"other_looks": 0.5}, sources=True),
    Variant("further sources, other looks, seed 1", {"other_looks": 0.5, "seed": 1}, sources=True),
    Variant("further sources, other looks, seed 2", {"other_looks": 0.5, "seed": 2}, sources=True),
    Variant("turned by 30 degrees", settings={"degrees": 30}),
    Variant("scaled by half", settings={"scale": 0.5}),
    Variant("no mosaic", settings={"mosaic": 0}),
    Variant("two normals", {"normals": 2.0}),
    Variant("640 px", {"imgsz": 640, "batch": 8}),
    Variant("twice as long", {"epochs": 2 * BASE.epochs}),
    Variant("two rounds", {"rounds": 2}),
    Variant("YOLOv8s", {"model": "yolov8s.yaml"}),
    Variant("three seeds", together=("YOLOv8n", "seed 1", "seed 2")),
)


@dataclass(frozen=True)
class Films:
    """What variants are compared on, all stages ingested and not harmonised.

    ``home`` is learnt from and judged on; ``deal`` is the manifest.csv or films.csv that names its test films, which
    are never read. ``further`` sources are learnt from where a variant says so. ``away`` is judged on alone.
    """

    home: Path
    deal: Path
    further: tuple[Path, ...] = ()
    away: Path | None = None


def compare(films: Films, start: Path, out: Path, wanted: Sequence[str] = ()) -> Iterator[dict[str, Any]]:
    """Run the variants (all, or those named), beginning at the state dict ``start``.

    Where ``start`` is a folder, each begins at the file named as its architecture there, such as yolov8s.safetensors.
    Yields a row of the table when it is measured, the first being what the others are compared with; a variant that
    fuses others brings them along. What is in ``out`` already is not done again, and a killed run goes on. Raises
    BadValue for an unknown variant, and for one that learns from further sources where there are none; MissingData
    without the weights.
    """
    unknown = set(wanted) - {variant.name for variant in VARIANTS}
    if unknown:
        known = ", ".join(variant.name for variant in VARIANTS)
        raise BadValue(f"variants: expected some of {known}; got {', '.join(sorted(unknown))}")
    if not start.exists():
        raise MissingData(f"no weights at {start}")
    named = {*wanted, VARIANTS[0].name} if wanted else {variant.name for variant in VARIANTS}
    named |= {part for variant in VARIANTS if variant.name in named for part in variant.together}
    chosen = [variant for variant in VARIANTS if variant.name in named]
    if (lacking := [variant.name for variant in chosen if variant.sources]) and not films.further:
        raise BadValue(f"variants: expected further sources to learn from for {', '.join(lacking)}, got none")
    rows: list[dict[str, Any]] = []
    judged: dict[str, dict[str, Cases]] = {}
    for variant in chosen:
        if variant.together:
            parts = [judged[name] for name in variant.together]
            cases = {where: _fused([part[where] for part in parts]) for where in parts[0]}
        else:
            cases = _run(variant, films, start, out)
        judged[variant.name] = cases
        first = judged[VARIANTS[0].name]
        rows.append({"name": variant.name, "epochs": _config(variant, start, out).epochs} | figures(cases, first))
        counted = {where: _counts(found) for where, found in first.items()}
        write_json(out / TABLE, {"base": asdict(BASE), "judged_on": counted, "rows": rows})
        yield rows[-1]


def readings(weights: Path, root: Path, out: Path, split: str = "val") -> Iterator[dict[str, Any]]:
    """Compare ways to read films with one trained model, on a split of the dataset at ``root``; rows as `compare`."""
    plain = Reader.load(weights)
    first: Cases | None = None
    for name, kind in READINGS.items():
        reader = kind(plain.card, plain.network, plain.folder)
        cases = judge(reader, root, films_of(load_records(root), split), out / f"{_slug(name)}.jsonl")
        first = first or cases
        yield {"name": name} | figures({HOME: cases}, {HOME: first})


class Mirrored(Reader):
    """Reads a film and its mirror image, and takes the mean of both."""

    def read_film(self, film: Radiograph) -> Prediction:
        """Read a decoded film both ways round."""
        plain = super().read_film(film)
        mirrored = super().read_film(replace(film, pixels=np.ascontiguousarray(film.pixels[:, ::-1])))
        width = film.size_px[0]
        flipped = np.array([width, 0, width, 0]) + mirrored.detections.xyxy * [-1, 1, -1, 1]
        back = replace(mirrored.detections, xyxy=flipped[:, [2, 1, 0, 3]])
        return replace(plain, detections=box_math.fuse([plain.detections, back]))


class Tiled(Reader):
    """Reads a film that is larger than the network's scale as a whole and in four overlapping quarters."""

    def read_film(self, film: Radiograph) -> Prediction:
        """Read a decoded film whole, and its quarters where they have more to show."""
        plain = super().read_film(film)
        width, height = film.size_px
        if max(film.size_px) < 1.5 * self.card.long_side_px:
            return plain
        found = [plain.detections]
        wide, high = (round(0.6 * side) for side in (width, height))
        for left, top in ((0, 0), (width - wide, 0), (0, height - high), (width - wide, height - high)):
            tile = np.ascontiguousarray(film.pixels[top : top + high, left : left + wide])
            inside = super().read_film(replace(film, pixels=tile)).detections
            found.append(replace(inside, xyxy=inside.xyxy + np.array([left, top, left, top])))
        every = [np.concatenate([getattr(one, column) for one in found]) for column in ("xyxy", "score", "label")]
        kept = box_math.nms(every[0], every[1], self.card.nms_iou)
        return replace(plain, detections=Detections(*(column[kept] for column in every)))


READINGS: Mapping[str, Callable[..., Reader]] = {
    "as it is": Reader,
    "mean with the mirror image": Mirrored,
    "large films in tiles too": Tiled,
}


def markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """Give the table as it stands in JOURNAL.md."""

    def number(value: float | None, sign: str = "") -> str:
        return "-" if value is None else f"{value:{sign}.3f}"

    def gap(figure: Mapping[str, Any]) -> str:
        value, low, high = (number(figure[end], "+") for end in ("value", "low", "high"))
        return f"{value} ({low} to {high})"

    shown = [(f"{where}: {name}", key) for where, name, key in FIGURES if rows and key in rows[0]]
    head = "".join(f" {name} | beside the first |" for name, _ in shown)
    lines = [f"| variant |{head}", "| --- |" + " --- | --- |" * len(shown)]
    for row in rows:
        cells = [
            f"{number(row[key]['value'])} | {gap(row[key]['difference']) if row['compared'] else ''}"
            for _, key in shown
        ]
        lines.append(f"| {row['name']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _run(variant: Variant, films: Films, start: Path, out: Path) -> dict[str, Cases]:
    config = _config(variant, start, out)
    root = Path(config.data).parent
    first = Path(_config(VARIANTS[0], start, out).data).parent
    if not (root / manifest.NAME).is_file():
        # Films prepared otherwise look alike otherwise, and would be grouped and dealt otherwise: all are dealt as the
        # first variant's are.
        keep = first / manifest.NAME if first != root else _test_of(films.deal, out)
        _deal(variant, films, keep, root)
    if not is_finished(config.folder):
        train(config, resume=can_resume(config.folder))
    reader, _ = trained(config.folder)
    network = config.folder / "model.onnx"
    if not network.is_file():
        export(config.folder, network, config.imgsz)
    reader = Reader(reader.card, OpenVinoNetwork(network, divisor=reader.card.divisor), config.folder)
    judged = {record.image_id for record in films_of(load_records(first), "val")}
    at_home = [record for record in load_records(root) if record.image_id in judged]
    cases = {HOME: judge(reader, root, at_home, config.folder / "val.jsonl")}
    return cases | elsewhere(reader, films.further, films.away, config.folder)


def elsewhere(reader: Reader, further: Sequence[Path], away: Path | None, out: Path) -> dict[str, Cases]:
    """Read the films of other sources: what published splits hold back of ``further`` stages, all of ``away``."""
    cases = {}
    held_back = [
        judge(reader, stage, found, out / f"second{number}.jsonl")
        for number, stage in enumerate(further)
        if (found := [r for r in load_records(stage) if r.attributes.get("official_split") in {"val", "test"}])
    ]
    if held_back:
        cases[SECOND] = _together(held_back)
    if away:
        cases[AWAY] = judge(reader, away, films_of(load_records(away), EVERY_FILM), out / "away.jsonl")
    return cases


def _together(several: Sequence[Cases]) -> Cases:
    """Give the films of several sources as one set."""
    return Cases(
        EVERY_FILM,
        records=tuple(record for cases in several for record in cases.records),
        detections=tuple(found for cases in several for found in cases.detections),
        left_out={name: why for cases in several for name, why in cases.left_out.items()},
        everything=tuple(record for cases in several for record in cases.everything),
        flags=tuple(noted for cases in several for noted in cases.flags),
        refused=tuple(record for cases in several for record in cases.refused),
        films=tuple(film for cases in several for film in cases.films),
    )


def _fused(several: Sequence[Cases]) -> Cases:
    """Read the films with several models at once."""
    each = zip(*(cases.detections for cases in several), strict=True)
    return replace(several[0], detections=tuple(box_math.fuse(found) for found in each))


def _config(variant: Variant, start: Path, out: Path) -> Config:
    dealt = variant.harmonise.harmonise_id + ("_and_further" if variant.sources else "")
    model = Path(str(variant.run.get("model", BASE.model)))
    begun = start / model.with_suffix(".safetensors") if start.is_dir() else start
    differs: dict[str, Any] = {"start": str(begun)} | dict(variant.run)
    where: dict[str, Any] = {
        "data": str(out / dealt / DATASET),
        "runs": str(out / "runs"),
        "name": _slug(variant.name),
    }
    asked = replace(BASE, **differs, **where)
    # As large a share of the epochs without mosaic as in the whole recipe.
    return replace(asked, settings={"close_mosaic": round(asked.epochs / 6)} | dict(variant.settings))


def _test_of(deal: Path, out: Path) -> Path:
    """Write down which films are of a deal's test, and nothing of its train and val."""
    test = [image_id for image_id, part in manifest.load_splits(deal).items() if part == "test"]
    text = io.StringIO()
    csv.writer(text).writerows([("image_id", "split"), *((image_id, "test") for image_id in test)])
    file = out / "test.csv"
    write_bytes(file, text.getvalue().encode())
    return file


def _deal(variant: Variant, films: Films, keep: Path, root: Path) -> None:
    """Prepare the films and deal those that ``keep`` leaves, half to learn from, half to judge on.

    Of further sources all is learnt from that their published split does not hold back.
    """
    stages = (films.home, *films.further) if variant.sources else (films.home,)
    harmonised = [root.with_suffix(f".stage{number}") for number in range(len(stages))]
    for stage, prepared in zip(stages, harmonised, strict=True):
        preprocess(stage, prepared, variant.harmonise)
    shares = (0.0, 0.0) if variant.sources else (_JUDGED, _TEST)
    assemble(harmonised, root, val=shares[0], test=shares[1], seed=0, keep=keep)


def judge(reader: Reader, root: Path, films: Sequence[ImageRecord], file: Path) -> Cases:
    """Read films, going on from what is in ``file``."""
    return join(films, predict(reader, root, films, file).answers, EVERY_FILM)


def _counts(cases: Cases) -> dict[str, int]:
    return {"films": len(cases.records), "fractured": int(cases.fractured.sum()), "groups": len(set(cases.groups))}


def figures(cases: Mapping[str, Cases], first: Mapping[str, Cases]) -> dict[str, Any]:
    """Give the figures of a row, and their differences from the first with intervals; see `comparison`."""
    found = {
        where: {
            row["name"]: row
            for row in comparison.on_the_same_films(these, first[where], ((), ()), 0, RESAMPLES)["rows"]
        }
        for where, these in cases.items()
    }
    told: dict[str, Any] = {"compared": cases is not first}
    for where, name, key in FIGURES:
        if where in found:
            row = found[where][name]
            told[key] = {end: row["this"][end] for end in ("value", "low", "high")}
            told[key]["difference"] = {end: row["difference"][end] for end in ("value", "low", "high")}
    return told


def _slug(name: str) -> str:
    return "".join(letter if letter.isalnum() else "_" for letter in name.lower())
