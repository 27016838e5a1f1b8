"""How good a model is on a split: boxes, films, studies, calibration, slices; every figure with its interval."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fracture.clinical.status import Said, Status, Thresholds, of_study
from fracture.core.errors import BadValue
from fracture.core.types import Estimate, ImageRecord, OperatingPoint
from fracture.evaluation.cases import Cases
from fracture.evaluation.slices import slices
from fracture.metrics.calibration import Calibration, calibration_estimates, reliability
from fracture.metrics.detection import RECALLS, Matches, ap_estimates, at_threshold, match, precision_recall_curve
from fracture.metrics.froc import afroc, froc
from fracture.metrics.guarantee import guaranteed_point
from fracture.metrics.operating_points import choose_operating_points, target_recall_point
from fracture.metrics.screening import (
    Rates,
    at_prevalence,
    auc,
    histogram,
    pr_curve,
    ranking_estimates,
    rates,
    roc_curve,
)
from fracture.metrics.study import StatusTable, aggregate, case_truth, status_table

RESAMPLES = 2000
PREVALENCES = (0.05, 0.1, 0.3)
WORST = 24
RATES = ("sensitivity", "specificity", "ppv", "npv", "accuracy", "f1")
NewRng = Callable[[], np.random.Generator]
COUNTS = ("true_positive", "false_positive", "true_negative", "false_negative")


@dataclass(frozen=True)
class Ask:
    """What else to choose on validation: a recall to reach, and the confidence with which it must be guaranteed."""

    target_recall: float | None = None
    guarantee: float | None = None

    def __post_init__(self) -> None:
        if self.guarantee is not None and self.target_recall is None:
            raise BadValue(f"guarantee: expected a target recall to guarantee, got none for {self.guarantee:g}")


def choose_points(val: Cases, dataset_id: str) -> tuple[OperatingPoint, ...]:
    """Choose screening, balanced and specific on these cases, naming them as what they were measured on."""
    return choose_operating_points(val.scores, val.fractured, val.groups, measured_on(val, dataset_id))


def asked_points(val: Cases, dataset_id: str, ask: Ask) -> tuple[OperatingPoint, ...]:
    """Choose the points that were asked for: for the target recall, and beside it the guaranteed one.

    The guarantee draws a film per group, always the same ones: a seed to choose would be a threshold to choose.
    """
    if ask.target_recall is None:
        return ()
    arguments = (val.scores, val.fractured, val.groups, measured_on(val, dataset_id), ask.target_recall)
    points = [target_recall_point(*arguments)]
    if ask.guarantee is not None:
        points.append(guaranteed_point(*arguments, ask.guarantee, np.random.default_rng(0)))
    return tuple(points)


def measured_on(cases: Cases, dataset_id: str) -> str:
    """Say in words on which films something was measured."""
    films, fractured, groups = len(cases.records), int(cases.fractured.sum()), len(set(cases.groups))
    return f"{cases.split} split of manifest {dataset_id}: {films} films, {fractured} fractured, {groups} groups"


def evaluate(
    cases: Cases,
    points: Sequence[OperatingPoint],
    *,
    calibration: Calibration | None = None,
    columns: Sequence[str] = (),
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> dict[str, Any]:
    """Give every figure of the cases, as report.json has them, at operating points that were chosen elsewhere."""
    boxed = cases.boxed
    matches = match(boxed.detections, boxed.boxes)

    def rng() -> np.random.Generator:
        """Start every section anew, so that a further slice changes no other figure."""
        return np.random.default_rng(seed)

    return {
        "points": [asdict(point) for point in points],
        "box": _boxes(matches, boxed.groups, points, rng, resamples),
        "film": _films(cases, points, rng(), resamples),
        "study": _case_figures(cases, "study", study_of, points, calibration),
        "patient": _case_figures(cases, "patient", patient_of, points, calibration),
        "calibration": _calibration(cases, calibration, rng, resamples),
        "slices": {
            name: {value: _slice(part, points, rng(), resamples) for value, part in parts.items()}
            for name, parts in slices(cases, columns).items()
        },
        "worst": worst_films(cases, points[0]) if points else None,
    }


def study_of(record: ImageRecord) -> str | None:
    """Name a film's study, None where nobody says; two sources may number theirs alike."""
    return f"{record.source}/{record.study_id}" if record.study_id else None


def patient_of(record: ImageRecord) -> str | None:
    """Name a film's patient, None where nobody says; two sources may number theirs alike."""
    return f"{record.source}/{record.patient_id}" if record.patient_id else None


def counts(cases: Cases) -> dict[str, Any]:
    """Count what the figures are made of, as the report's ``data`` has it."""
    boxes = [(record, box) for record in cases.drawn.records for box in record.boxes or ()]
    shares = [(x1 - x0) * (y1 - y0) / (r.size_px[0] * r.size_px[1]) for r, (x0, y0, x1, y1) in boxes]
    fractured = int(cases.fractured.sum())
    return {
        "films": len(cases.records),
        "fractured": fractured,
        "normal": len(cases.records) - fractured,
        "groups": len(set(cases.groups)),
        "patients": len({patient_of(record) for record in cases.records} - {None}) or None,
        "studies": len({study_of(record) for record in cases.records} - {None}) or None,
        "boxes": len(boxes),
        "boxed_films": len({record.image_id for record, _ in boxes}),
        "median_box_share": float(np.median(shares)) if shares else None,
    }


def worst_films(cases: Cases, point: OperatingPoint, count: int = WORST) -> dict[str, Any]:
    """Name the films to look at first: fractures with the lowest scores, normal films with the highest."""
    order = np.argsort(cases.scores, kind="stable")
    flagged = cases.scores >= point.threshold

    def named(films: Iterable[int]) -> list[dict[str, Any]]:
        return [
            {"image_id": cases.records[i].image_id, "score": float(cases.scores[i])}
            for i, _ in zip(films, range(count), strict=False)
        ]

    missed = (int(i) for i in order if cases.fractured[i] and not flagged[i])
    alarms = (int(i) for i in order[::-1] if flagged[i] and not cases.fractured[i])
    return {"point": point.name, "missed": named(missed), "false_alarms": named(alarms)}


def _boxes(
    matches: Matches, groups: Sequence[str], points: Sequence[OperatingPoint], rng: NewRng, resamples: int
) -> dict[str, Any]:
    found, against_normal = froc(matches, groups, rng(), resamples), afroc(matches, groups, rng(), resamples)
    precision = precision_recall_curve(matches, "iou 0.50")
    return {
        **_plain(ap_estimates(matches, groups, rng(), resamples)),
        "at": {
            point.name: {"threshold": point.threshold, **_plain(at_threshold(matches, point.threshold, groups))}
            for point in points
        },
        "froc": {
            "at": _plain({f"{rate:g}": estimate for rate, estimate in found.at.items()}),
            "curve": {
                "false_positives_per_film": _numbers(found.false_positives_per_film),
                "sensitivity": _numbers(found.sensitivity),
            },
        },
        "afroc": {
            "area": asdict(against_normal.area),
            "curve": {
                "false_positive_fraction": _numbers(against_normal.false_positive_fraction),
                "sensitivity": _numbers(against_normal.sensitivity),
            },
        },
        "pr": {"recall": _numbers(RECALLS), "precision": _numbers(precision)},
    }


def _films(cases: Cases, points: Sequence[OperatingPoint], rng: np.random.Generator, resamples: int) -> dict[str, Any]:
    scores, fractured, groups = cases.scores, cases.fractured, cases.groups
    false_positive_rate, sensitivity = roc_curve(scores, fractured)
    recall, precision = pr_curve(scores, fractured)
    edges, of_fractured, of_normal = histogram(scores, fractured)
    return {
        "auc": asdict(auc(scores, fractured, groups)),
        **_plain(ranking_estimates(scores, fractured, groups, rng, resamples)),
        "at": {point.name: _rates(rates(scores, fractured, point.threshold, groups), point) for point in points},
        "roc": {"false_positive_rate": _numbers(false_positive_rate), "sensitivity": _numbers(sensitivity)},
        "pr": {"recall": _numbers(recall), "precision": _numbers(precision)},
        "scores": {"edges": _numbers(edges), "fractured": of_fractured.tolist(), "normal": of_normal.tolist()},
        **_served(cases, points),
    }


def _served(cases: Cases, points: Sequence[OperatingPoint]) -> dict[str, Any]:
    """Count films as the service answers for them: by status, refused ones too, and by flag at every point."""
    thresholds = Thresholds.of(points)
    if thresholds is None:
        return {"status": None, "flagged": None}
    films = (*cases.records, *cases.refused)
    statuses = [said.status for said in cases.said(thresholds, thresholds.screening)] + [None] * len(cases.refused)
    truth = np.array([record.fractured is True for record in films], np.bool_)
    table = status_table(statuses, truth, [record.group_id or record.image_id for record in films])
    flagged = {}
    for point in points:
        said = cases.said(thresholds, point.threshold)
        alarms = np.array([film.fracture_detected for film in said], np.float64)
        measured = rates(alarms, cases.fractured, 1.0, cases.groups)
        flagged[point.name] = {rate: asdict(getattr(measured, rate)) for rate in ("sensitivity", "specificity")}
    return {"status": _rows(table), "flagged": flagged}


def _rows(table: StatusTable) -> dict[str, Any]:
    return {
        name: {what: asdict(found) if isinstance(found, Estimate) else found for what, found in row.items()}
        for name, row in table.rows.items()
    }


def _rates(measured: Rates, point: OperatingPoint) -> dict[str, Any]:
    at = {prevalence: at_prevalence(measured, prevalence) for prevalence in PREVALENCES}
    return {
        "threshold": point.threshold,
        "counts": {name: getattr(measured, name) for name in COUNTS},
        **{name: asdict(getattr(measured, name)) for name in RATES},
        "at_prevalence": {
            f"{prevalence:g}": {"ppv": asdict(ppv), "npv": asdict(npv)} for prevalence, (ppv, npv) in at.items()
        },
    }


def _slice(cases: Cases, points: Sequence[OperatingPoint], rng: np.random.Generator, resamples: int) -> dict[str, Any]:
    boxed = cases.boxed
    matches = match(boxed.detections, boxed.boxes)
    at = {point.name: rates(cases.scores, cases.fractured, point.threshold, cases.groups) for point in points}
    fractured = int(cases.fractured.sum())
    return {
        "films": len(cases.records),
        "fractured": fractured,
        "normal": len(cases.records) - fractured,
        "auc": asdict(auc(cases.scores, cases.fractured, cases.groups)),
        "ap50": asdict(ap_estimates(matches, boxed.groups, rng, resamples)["ap50"]),
        "at": {
            name: {"sensitivity": asdict(measured.sensitivity), "specificity": asdict(measured.specificity)}
            for name, measured in at.items()
        },
    }


def _case_figures(
    cases: Cases,
    unit: str,
    case_of: Callable[[ImageRecord], str | None],
    points: Sequence[OperatingPoint],
    calibration: Calibration | None,
) -> dict[str, Any] | None:
    """Judge whole studies or patients, None where the manifest names none of them.

    Areas are of the cases with a film that could be judged, by the film that shows most; statuses are what the service
    says of all films of a case that were sent to it, refused ones too. What a case shows is told by all its films of
    the split.
    """
    named = [(record, case) for record in cases.everything if (case := case_of(record)) is not None]
    truth = case_truth([record.fractured for record, _ in named], [case for _, case in named])

    def known(record: ImageRecord) -> bool:
        return truth.get(case_of(record) or "") is not None

    films = [i for i, record in enumerate(cases.records) if known(record)]
    if not films:
        return None
    case_names = [case_of(cases.records[i]) or "" for i in films]
    scores = cases.scores[films]
    names, best = aggregate(scores, case_names, "max")
    fractured = np.array([truth[name] is True for name in names], np.bool_)
    group_of = {case_of(record) or "": record.group_id or record.image_id for record in cases.refused if known(record)}
    group_of |= {name: cases.groups[i] for name, i in zip(case_names, films, strict=True)}
    groups = [group_of[name] for name in names]
    thresholds = Thresholds.of(points)
    table = None
    if thresholds is not None:
        said = cases.said(thresholds, thresholds.screening)
        statuses = _case_statuses([(case_of(cases.records[i]) or "", said[i]) for i in films], cases, case_of)
        served = sorted(group_of)
        of_case = np.array([truth[name] is True for name in served], np.bool_)
        table = status_table([statuses.get(name) for name in served], of_case, [group_of[name] for name in served])
    together = aggregate(calibration.probability(scores), case_names, "noisy_or")[1] if calibration else None
    return {
        "unit": unit,
        "rule": "max",
        "cases": len(names),
        "fractured": int(fractured.sum()),
        "left_out": len(truth) - len(names),
        "auc": asdict(auc(best, fractured, groups)),
        "auc_noisy_or": None if together is None else asdict(auc(together, fractured, groups)),
        "status": _rows(table) if table else {},
        **{
            rate: {way: asdict(getattr(getattr(table, way), rate)) for way in ("definite", "suspicious")}
            if table
            else None
            for rate in ("sensitivity", "specificity")
        },
    }


def _case_statuses(
    films: Sequence[tuple[str, Said]], cases: Cases, case_of: Callable[[ImageRecord], str | None]
) -> dict[str, Status | None]:
    """Give the status of every case of which a film could be read."""
    said: dict[str, list[Said]] = {}
    for name, film in films:
        said.setdefault(name, []).append(film)
    refused = Counter(case_of(record) for record in cases.refused)
    return {name: of_study(of_case, refused[name]).status for name, of_case in said.items()}


def _calibration(cases: Cases, calibration: Calibration | None, rng: NewRng, resamples: int) -> dict[str, Any]:
    def judged(scores: NDArray[np.float64]) -> dict[str, Any]:
        curve = reliability(scores, cases.fractured, cases.groups)
        return {
            **_plain(calibration_estimates(scores, cases.fractured, cases.groups, rng(), resamples)),
            "curve": {"mean_score": _numbers(curve.mean_score), "share": [asdict(share) for share in curve.share]},
        }

    return {
        "temperature": calibration.temperature if calibration else None,
        "shift": calibration.shift if calibration else None,
        "fitted_on": calibration.fitted_on if calibration else None,
        "raw": judged(cases.scores),
        "calibrated": judged(calibration.probability(cases.scores)) if calibration else None,
    }


def _plain(estimates: Mapping[str, Estimate]) -> dict[str, Any]:
    return {name: asdict(estimate) for name, estimate in estimates.items()}


def _numbers(values: NDArray[Any]) -> list[float]:
    """Give the numbers of a curve; five digits draw any picture. A curve that is nowhere defined has none."""
    return [] if np.isnan(values).any() else [round(float(value), 5) for value in values]
