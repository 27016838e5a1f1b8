"""What each choice of a training recipe buys: short runs that differ in one thing, judged on the same films.

A recipe is chosen on val, and val of a deal has too few fractured films to tell recipes apart. So the films that are
not of its test are dealt anew, half to learn from, half to judge on; the test films are never read. A run is short (see
`BASE`), the same number of films long in every row unless its name says otherwise, and judged after its last epoch,
whatever came before. Three runs that differ in the seed alone say how much of a difference is luck.
"""

import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from fracture import boxes as box_math
from fracture.data import manifest
from fracture.data.assemble import assemble
from fracture.data.preprocess import preprocess
from fracture.data.stage import write_bytes, write_json
from fracture.data.yolo import DATASET
from fracture.errors import BadValue, MissingData
from fracture.judge import load_records, predict
from fracture.models import yolo
from fracture.models.runtime import OpenVinoNetwork
from fracture.pipeline import export, trained
from fracture.reader import Reader
from fracture.rebuild import DEFAULT
from fracture.report import comparison
from fracture.report.cases import Cases, films_of, join
from fracture.types import Detections, HarmoniseConfig, Prediction, Radiograph

RESAMPLES = 500
TABLE = "choices.json"
_JUDGED = 0.42
_TEST = 0.165
"""Shares of all films: to judge on half of what is left beside a test of a sixth."""

BASE = replace(
    DEFAULT.training, model="yolov8n.yaml", epochs=10, imgsz=448, learning_rate=0.0003, val_every=0, restate=128
)
"""A short run: a quarter of the default recipe's epochs, at two thirds of its scale, gently taught (JOURNAL.md)."""


@dataclass(frozen=True)
class Choice:
    """One thing done otherwise: fields of the run's configuration, its settings, or how films are prepared.

    With ``together`` nothing is trained: the boxes of those choices are fused.
    """

    name: str
    run: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, float] = field(default_factory=dict)
    harmonise: HarmoniseConfig = field(default_factory=HarmoniseConfig)
    together: tuple[str, ...] = ()


CHOICES = (
    Choice("YOLOv8n"),
    Choice("YOLOv8n, greys as in the file", harmonise=HarmoniseConfig(range_tail=None)),
    Choice("YOLOv8s", {"model": "yolov8s.yaml"}),
)


def compare(stage: Path, deal: Path, start: Path, out: Path, wanted: Sequence[str] = ()) -> Iterator[dict[str, Any]]:
    """Run the choices (all, or those named) on the films of an ingested stage, beginning at the state dict ``start``.

    Where ``start`` is a folder, each begins at the file named as its architecture there, such as yolov8s.safetensors.
    ``deal`` is the manifest.csv or films.csv that names the test films. Yields a row of the table when it is measured,
    the first being what the others are compared with; a choice that fuses others brings them along. What is in ``out``
    already is not done again, and a killed run goes on. Raises BadValue for an unknown choice, MissingData without the
    weights.
    """
    unknown = set(wanted) - {choice.name for choice in CHOICES}
    if unknown:
        known = ", ".join(choice.name for choice in CHOICES)
        raise BadValue(f"choices: expected some of {known}; got {', '.join(sorted(unknown))}")
    if not start.exists():
        raise MissingData(f"no weights at {start}")
    named = {*wanted, CHOICES[0].name} if wanted else {choice.name for choice in CHOICES}
    named |= {part for choice in CHOICES if choice.name in named for part in choice.together}
    rows: list[dict[str, Any]] = []
    judged: dict[str, Cases] = {}
    for choice in (choice for choice in CHOICES if choice.name in named):
        if choice.together:
            cases = _fused([judged[name] for name in choice.together])
        else:
            cases = _run(choice, stage, deal, start, out)
        judged[choice.name] = cases
        first = judged[CHOICES[0].name]
        rows.append({"name": choice.name, "epochs": _config(choice, start, out).epochs} | _figures(cases, first))
        write_json(out / TABLE, {"base": asdict(BASE), "judged_on": _counts(first), "rows": rows})
        yield rows[-1]


def readings(weights: Path, root: Path, out: Path, split: str = "val") -> Iterator[dict[str, Any]]:
    """Compare ways to read films with one trained model, on a split of the dataset at ``root``; rows as `compare`."""
    plain = Reader.load(weights)
    first: Cases | None = None
    for name, kind in READINGS.items():
        reader = kind(plain.card, plain.network, plain.folder)
        cases = _judge(reader, root, split, out / f"{_slug(name)}.jsonl")
        first = first or cases
        yield {"name": name} | _figures(cases, first)


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

    lines = ["| choice | AP50 | beside the first | film AUC | beside the first |", "| --- | --- | --- | --- | --- |"]
    for row in rows:
        cells = [
            f"{number(row[key]['value'])} | {gap(row[key]['difference']) if row['compared'] else ''}"
            for key in ("ap50", "film_auc")
        ]
        lines.append(f"| {row['name']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _run(choice: Choice, stage: Path, deal: Path, start: Path, out: Path) -> Cases:
    config = _config(choice, start, out)
    root = Path(config.data).parent
    if not (root / manifest.NAME).is_file():
        # Films prepared otherwise look alike otherwise, and would be grouped and dealt otherwise: all are dealt as the
        # first choice's are.
        dealt = Path(_config(CHOICES[0], start, out).data).parent
        _deal(choice.harmonise, stage, dealt / manifest.NAME if dealt != root else _test_of(deal, out), root)
    if not yolo.is_finished(config.folder):
        yolo.train(config, resume=yolo.can_resume(config.folder))
    reader, _ = trained(config.folder)
    network = config.folder / "model.onnx"
    if not network.is_file():
        export(config.folder, network, config.imgsz)
    reader = Reader(reader.card, OpenVinoNetwork(network), config.folder)
    return _judge(reader, root, "val", config.folder / "val.jsonl")


def _fused(several: Sequence[Cases]) -> Cases:
    """Read the films with several models at once."""
    each = zip(*(cases.detections for cases in several), strict=True)
    return replace(several[0], detections=tuple(box_math.fuse(found) for found in each))


def _config(choice: Choice, start: Path, out: Path) -> yolo.Config:
    model = Path(str(choice.run.get("model", BASE.model)))
    begun = start / model.with_suffix(".safetensors") if start.is_dir() else start
    differs: dict[str, Any] = {"start": str(begun)} | dict(choice.run)
    where: dict[str, Any] = {
        "data": str(out / choice.harmonise.harmonise_id / DATASET),
        "runs": str(out / "runs"),
        "name": _slug(choice.name),
    }
    asked = replace(BASE, **differs, **where)
    # As large a share of the epochs without mosaic as in the whole recipe.
    return replace(asked, settings={"close_mosaic": round(asked.epochs / 6)} | dict(choice.settings))


def _test_of(deal: Path, out: Path) -> Path:
    """Write down which films are of a deal's test, and nothing of its train and val."""
    test = [image_id for image_id, part in manifest.load_splits(deal).items() if part == "test"]
    text = io.StringIO()
    csv.writer(text).writerows([("image_id", "split"), *((image_id, "test") for image_id in test)])
    file = out / "test.csv"
    write_bytes(file, text.getvalue().encode())
    return file


def _deal(prepared: HarmoniseConfig, stage: Path, keep: Path, root: Path) -> None:
    """Prepare the films and deal those that ``keep`` leaves, half to learn from, half to judge on."""
    harmonised = root.with_suffix(".stage")
    preprocess(stage, harmonised, prepared)
    assemble([harmonised], root, val=_JUDGED, test=_TEST, seed=0, keep=keep)


def _judge(reader: Reader, root: Path, split: str, file: Path) -> Cases:
    films = films_of(load_records(root), split)
    return join(films, predict(reader, root, films, file).answers, split)


def _counts(cases: Cases) -> dict[str, int]:
    return {"films": len(cases.records), "fractured": int(cases.fractured.sum()), "groups": len(set(cases.groups))}


def _figures(cases: Cases, first: Cases) -> dict[str, Any]:
    """Give the figures of a row, and their differences from the first with intervals; see `comparison`."""
    rows = {r["name"]: r for r in comparison.on_the_same_films(cases, first, ((), ()), 0, RESAMPLES)["rows"]}
    named = {"ap50": rows["AP50"], "film_auc": rows["film AUC"]}
    figures: dict[str, Any] = {"compared": cases is not first}
    for key, row in named.items():
        figures[key] = {end: row["this"][end] for end in ("value", "low", "high")}
        figures[key]["difference"] = {end: row["difference"][end] for end in ("value", "low", "high")}
    return figures


def _slug(name: str) -> str:
    return "".join(letter if letter.isalnum() else "_" for letter in name.lower())
