"""Two reports side by side: two models on the same films, or one model on two sets of films."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fracture.core.errors import BadValue
from fracture.core.types import CLASSIFIER, Estimate, OperatingPoint
from fracture.evaluation.cases import Cases
from fracture.metrics.comparison import Difference, delong_test, mcnemar, paired_bootstrap, unpaired_difference
from fracture.metrics.detection import HEADLINES, ap_estimates, headline_ap, match
from fracture.metrics.screening import auc, rates

_NAMES = dict(zip(HEADLINES, ("AP50", "AP50-95", "AP at IoU .1", "AP of clinical hits"), strict=True))
_RATES = ("sensitivity", "specificity")


def on_the_same_films(
    this: Cases,
    other: Cases,
    points: tuple[Sequence[OperatingPoint], Sequence[OperatingPoint]],
    seed: int,
    resamples: int,
) -> dict[str, Any]:
    """Compare two models on the films both have answered; every difference is this model's figure less the other's.

    Areas are compared by DeLong's test, rates at the points both have by McNemar's, each model at its own threshold,
    average precision by drawing the same groups for both. Raises BadValue where the two share no film.
    """
    shared = {record.image_id for record in this.records} & {record.image_id for record in other.records}
    if not shared:
        raise BadValue("compare: expected a report on at least one of these films, got one that shares none")
    ours, theirs = (_ordered(cases, shared) for cases in (this, other))
    rows = [*_areas(ours, theirs), *_boxes(ours, theirs, seed, resamples), *_points(ours, theirs, points)]
    return {"paired": True, "films": len(shared), "rows": rows}


def on_other_films(this: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Put a report beside that of the same model on other films; every difference is this report's less the other's."""
    films, boxes = (this["film"], other["film"]), (this["box"], other["box"])
    rows = [_apart("film AUC", *(_estimate(film["auc"]) for film in films))]
    rows += [_apart(_NAMES[key], *(_estimate(box[key]) for box in boxes)) for key in HEADLINES]
    for point in (name for name in films[0]["at"] if name in films[1]["at"]):
        rows += [
            _apart(f"{rate} at {point}", *(_estimate(film["at"][point][rate]) for film in films)) for rate in _RATES
        ]
    return {"paired": False, "films": None, "rows": rows}


def _ordered(cases: Cases, shared: set[str]) -> Cases:
    kept = cases.where(lambda record: record.image_id in shared)
    return kept.taken(sorted(range(len(kept.records)), key=lambda i: kept.records[i].image_id))


def _areas(ours: Cases, theirs: Cases) -> Iterator[dict[str, Any]]:
    both = [auc(cases.scores, cases.fractured, cases.groups) for cases in (ours, theirs)]
    yield _row("film AUC", both, delong_test(ours.scores, theirs.scores, ours.fractured, ours.groups))


def _boxes(ours: Cases, theirs: Cases, seed: int, resamples: int) -> Iterator[dict[str, Any]]:
    if CLASSIFIER in {ours.made_by, theirs.made_by}:
        return  # one of them gives no boxes
    boxed = [cases.boxed for cases in (ours, theirs)]
    matches = [match(cases.detections, cases.boxes) for cases in boxed]
    groups = boxed[0].groups

    def statistic(which: int) -> Callable[[NDArray[np.int64]], NDArray[np.float64]]:
        return lambda copies: headline_ap(matches[which], copies)

    each = [ap_estimates(found, groups, np.random.default_rng(seed), resamples) for found in matches]
    n_boxes = int(matches[0].n_truth.sum())
    gaps = paired_bootstrap(groups, statistic(0), statistic(1), np.random.default_rng(seed), resamples, n=n_boxes)
    for key, gap in zip(HEADLINES, gaps, strict=True):
        yield _row(_NAMES[key], [estimates[key] for estimates in each], gap)


def _points(
    ours: Cases, theirs: Cases, points: tuple[Sequence[OperatingPoint], Sequence[OperatingPoint]]
) -> Iterator[dict[str, Any]]:
    others = {point.name: point for point in points[1]}
    for point in points[0]:
        if point.name not in others:
            continue
        pairs = ((ours, point.threshold), (theirs, others[point.name].threshold))
        measured = [rates(cases.scores, cases.fractured, threshold, cases.groups) for cases, threshold in pairs]
        flagged = [cases.scores >= threshold for cases, threshold in pairs]
        for rate, kind, among, right in (
            ("sensitivity", "fractured", ours.fractured, flagged),
            ("specificity", "normal", ~ours.fractured, [~flags for flags in flagged]),
        ):
            both = [getattr(one, rate) for one in measured]
            groups = [group for group, inside in zip(ours.groups, among, strict=True) if inside]
            difference = mcnemar(right[0][among], right[1][among], groups, f"no {kind} films")
            yield _row(f"{rate} at {point.name}", both, difference)


def _row(name: str, both: Sequence[Estimate], difference: Difference) -> dict[str, Any]:
    return {
        "name": name,
        "this": asdict(both[0]),
        "other": asdict(both[1]),
        "difference": asdict(difference.estimate),
        "p": difference.p,
        "test": difference.test,
    }


def _apart(name: str, this: Estimate, other: Estimate) -> dict[str, Any]:
    return _row(name, (this, other), Difference(unpaired_difference(this, other), None, ""))


def _estimate(content: Mapping[str, Any]) -> Estimate:
    return Estimate(**content)
