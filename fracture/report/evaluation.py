"""How good a model is on one split: boxes, films, regions, sources, each figure with its interval and its n."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fracture.batch import read_files
from fracture.data import manifest
from fracture.data.yolo import Dataset
from fracture.errors import BadValue, MissingData
from fracture.metrics.detection import detection_estimates, match
from fracture.metrics.screening import auc, choose_operating_points, rates
from fracture.models.card import file_hash
from fracture.reader import Reader
from fracture.types import Detections, Estimate, ImageRecord, OperatingPoint, Prediction, Refusal

RESAMPLES = 1000


@dataclass(frozen=True)
class ReadSplit:
    """One split with its answers: film i of ``records`` has ``detections[i]``. ``left_out`` names films and reasons."""

    name: str
    records: tuple[ImageRecord, ...]
    detections: tuple[Detections, ...]
    left_out: dict[str, str]

    @property
    def scores(self) -> NDArray[np.float64]:
        """Give the film-level scores, (films,)."""
        return np.array([found.film_score for found in self.detections], dtype=np.float64)

    @property
    def fractured(self) -> NDArray[np.bool_]:
        """Give the film-level truth, (films,)."""
        return np.array([record.fractured is True for record in self.records], dtype=np.bool_)

    @property
    def groups(self) -> list[str]:
        """Give the group of every film."""
        return [record.group_id or record.image_id for record in self.records]

    def where(self, keep: Callable[[ImageRecord], bool]) -> "ReadSplit":
        """Keep the films that fit."""
        kept = [i for i, record in enumerate(self.records) if keep(record)]
        return replace(
            self,
            records=tuple(self.records[i] for i in kept),
            detections=tuple(self.detections[i] for i in kept),
        )


def read_split(
    reader: Reader, dataset: Dataset, split: str, progress: Callable[[Iterable[Any], int], Iterable[Any]]
) -> ReadSplit:
    """Read every labelled film of a split. An unlabelled film never counts as normal, a refusal never as a miss.

    Raises MissingData where the dataset is not there, BadValue where it has no such split.
    """
    if not (dataset.root / manifest.NAME).is_file():
        raise MissingData(f"no dataset at {dataset.root}")
    everything = [record for record in manifest.load(dataset.root) if record.split == split]
    if not everything:
        raise BadValue(f"{dataset.root} has no films in split {split!r}")
    left_out = {record.image_id: "not labelled" for record in everything if record.fractured is None}
    labelled = [record for record in everything if record.fractured is not None]
    answers = read_files(reader, [dataset.root / record.path for record in labelled])
    records: list[ImageRecord] = []
    detections: list[Detections] = []
    for record, (_, answer) in zip(labelled, progress(answers, len(labelled)), strict=True):
        if isinstance(answer, Refusal):
            left_out[record.image_id] = answer.reason
        else:
            records.append(record)
            detections.append(_checked(answer, record).detections)
    return ReadSplit(split, tuple(records), tuple(detections), left_out)


def choose_points(split: ReadSplit, dataset_id: str, target_sensitivity: float = 0.90) -> tuple[OperatingPoint, ...]:
    """Choose the operating points on a split, naming it as what they were measured on."""
    fractured = int(split.fractured.sum())
    measured_on = (
        f"{split.name} split of manifest {dataset_id}: {len(split.records)} films, {fractured} fractured, "
        f"{len(set(split.groups))} groups"
    )
    return choose_operating_points(
        split.scores, split.fractured, split.groups, measured_on, target_sensitivity=target_sensitivity
    )


def evaluate(split: ReadSplit, points: Sequence[OperatingPoint], box_threshold: float, seed: int = 0) -> dict[str, Any]:
    """Give every figure of a split at operating points that were chosen elsewhere."""
    rng = np.random.default_rng(seed)
    drawn = split.where(lambda record: record.boxes is not None and not record.weak)
    truths = [np.array(record.boxes, dtype=np.float64).reshape(-1, 4) for record in drawn.records]
    matches = match(drawn.detections, truths)
    slices = _slices(split)
    return {
        "split": split.name,
        "films": len(split.records),
        "fractured": int(split.fractured.sum()),
        "groups": len(set(split.groups)),
        "left_out": split.left_out,
        "box": {
            name: asdict(estimate)
            for name, estimate in detection_estimates(matches, drawn.groups, box_threshold, rng, RESAMPLES).items()
        },
        "box_threshold": box_threshold,
        "film": film_figures(split, points),
        "slices": {name: film_figures(part, points) for name, part in slices.items()},
    }


def film_figures(split: ReadSplit, points: Sequence[OperatingPoint]) -> dict[str, Any]:
    """Give AUC, and sensitivity and specificity at every point."""
    figures: dict[str, Any] = {
        "films": len(split.records),
        "fractured": int(split.fractured.sum()),
        "auc": asdict(auc(split.scores, split.fractured, split.groups)),
    }
    for point in points:
        measured = rates(split.scores, split.fractured, point.threshold, split.groups)
        figures[point.name] = {
            "threshold": point.threshold,
            "sensitivity": asdict(measured.sensitivity),
            "specificity": asdict(measured.specificity),
        }
    return figures


def dataset_id(dataset: Dataset) -> str:
    """Name the dataset by its manifest's content: films, labels and splits, wherever it lies."""
    return file_hash(dataset.root / manifest.NAME)[:12]


def worst_films(split: ReadSplit, threshold: float, count: int = 20) -> dict[str, list[str]]:
    """Name the films to look at first: fractures with the lowest scores, normal films with the highest."""
    order = np.argsort(split.scores, kind="stable")
    missed = [int(i) for i in order if split.fractured[i] and split.scores[i] < threshold]
    alarms = [int(i) for i in order[::-1] if not split.fractured[i] and split.scores[i] >= threshold]
    return {
        "missed": [split.records[i].image_id for i in missed[:count]],
        "false_alarms": [split.records[i].image_id for i in alarms[:count]],
    }


def table(report: dict[str, Any], points: Sequence[OperatingPoint]) -> str:
    """Give the report as text for a terminal."""
    counts = f"{report['films']} films, {report['fractured']} fractured, {report['groups']} groups"
    rows = [f"{report['split']}: {counts}, {len(report['left_out'])} left out"]
    if report.get("model_was_made_with"):
        count = len(report["model_was_made_with"])
        rows.append(f"  NOT A TEST: the model was trained or its thresholds chosen on {count} of these films")
    rows += [f"  {name:<10} {_text(report['box'][name])}" for name in ("map50", "map50_95")]
    rows += [
        f"  box {name:<10} {_text(report['box'][name])} at {report['box_threshold']:.3f}"
        for name in ("precision", "recall")
    ]
    rows.append(f"  film AUC   {_text(report['film']['auc'])}")
    for point in points:
        at = report["film"][point.name]
        rows.append(
            f"  {point.name} (threshold {point.threshold:.3f}{'' if point.reached else ', target not reached'})"
        )
        rows.append(f"    sensitivity {_text(at['sensitivity'])}")
        rows.append(f"    specificity {_text(at['specificity'])}")
    shown = points[0].name if points else ""
    if shown:
        rows.append(f"  by slice, at {shown}:")
    for name, part in report["slices"].items():
        if shown:
            at = part[shown]
            rows.append(
                f"    {name:<18} sensitivity {_text(at['sensitivity'])}; specificity {_text(at['specificity'])}"
            )
    return "\n".join(rows)


def _text(estimate: dict[str, Any]) -> str:
    return str(Estimate(**estimate))


def _slices(split: ReadSplit) -> dict[str, ReadSplit]:
    regions = sorted({region for record in split.records for region in record.regions})
    sources = sorted({record.source for record in split.records})
    by_region = {f"region {region}": split.where(partial(_shows, region)) for region in regions}
    return by_region | {f"source {source}": split.where(partial(_comes_from, source)) for source in sources}


def _shows(region: str, record: ImageRecord) -> bool:
    return region in record.regions


def _comes_from(source: str, record: ImageRecord) -> bool:
    return record.source == source


def _checked(answer: Prediction, record: ImageRecord) -> Prediction:
    """Refuse to compare boxes across frames: the film read must have the size its boxes were drawn on."""
    if answer.film_px != record.size_px:
        raise BadValue(f"{record.image_id}: the manifest says {record.size_px} px, the film has {answer.film_px} px")
    return answer
