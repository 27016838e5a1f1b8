"""The report in a few lines for a terminal."""

from collections.abc import Iterator, Mapping
from typing import Any

from fracture.core.types import Estimate

_BOXES = (("AP50", "ap50"), ("AP50-95", "ap50_95"), ("AP at IoU .1", "ap10"), ("clinical hit", "ap_centre"))
_SHOWN_SLICES = ("region", "source")


def text(report: Mapping[str, Any]) -> str:
    """Give the report as text: warnings first, then boxes, films, the operating points, regions and sources."""
    return "\n".join(_lines(report))


def _lines(report: Mapping[str, Any]) -> Iterator[str]:
    model, data, box, film = (report[key] for key in ("model", "data", "box", "film"))
    name = f"{model['id']} {model['version'] or ''}".strip()
    films = f"{data['films']}, {data['fractured']} fractured, {data['groups']} groups"
    yield f"{name} on {data['name']}, {data['split']} films: {films}; {len(report['left_out'])} left out"
    if report["model_was_made_with"]:
        used = len(report["model_was_made_with"])
        yield f"  ! NOT A TEST: the model was trained or its thresholds chosen on {used} of these films"
    for warning in report["warnings"]:
        yield f"  ! {warning}"
    yield "boxes"
    for title, key in _BOXES:
        yield f"  {title:<14} {_with_interval(box[key])}"
    froc = "   ".join(f"{rate}: {_value(at)}" for rate, at in box["froc"]["at"].items())
    yield f"  {'FROC':<14} sensitivity at false positives per film  {froc}"
    yield "films"
    yield f"  {'AUC':<14} {_with_interval(film['auc'])}"
    calibration = report["calibration"]
    if calibration["calibrated"]:
        ece, brier = (_value(calibration["calibrated"][key]) for key in ("ece", "brier"))
        yield f"  {'calibrated':<14} ECE {ece}, Brier {brier}   (as it comes: ECE {_value(calibration['raw']['ece'])})"
    wide = max((len(point["name"]) for point in report["points"]), default=0)
    if report["points"]:
        yield f"  {'at':<{wide}} {'threshold':<10} {'sensitivity':<24} {'specificity':<24} false positives per film"
    for point in report["points"]:
        at, boxes_at = film["at"][point["name"]], box["at"][point["name"]]
        yield (
            f"  {point['name']:<{wide}} {point['threshold']:<10.3f} {_with_interval(at['sensitivity']):<24} "
            f"{_with_interval(at['specificity']):<24} {_value(boxes_at['false_positives_per_film'])}"
            f"{'' if point['reached'] else '  target not reached'}"
        )
    if film.get("status"):
        yield _statuses(film["status"])
    for unit in ("study", "patient"):
        if report[unit]:
            yield from _cases(report[unit])
    if report["points"]:
        yield from _slices(report)
    for finding in (report["shortcuts"] or {}).get("findings", ()):
        yield f"  ! {finding}"
    if report["comparison"]:
        yield from _comparison(report["comparison"])


def _cases(cases: Mapping[str, Any]) -> Iterator[str]:
    yield f"by {cases['unit']}: {cases['cases']}, {cases['fractured']} fractured; AUC {_with_interval(cases['auc'])}"
    yield _statuses(cases["status"])


def _statuses(held: Mapping[str, Any]) -> str:
    statuses = ", ".join(f"{name} {count['fractured']} / {count['normal']}" for name, count in held.items())
    return f"  fractured / normal called {statuses}"


def _slices(report: Mapping[str, Any]) -> Iterator[str]:
    point = report["points"][0]["name"]
    yield f"at {point}, by"
    for slice_name in _SHOWN_SLICES:
        for value, part in report["slices"].get(slice_name, {}).items():
            at = part["at"][point]
            sensitivity, specificity = (_long(at[rate]) for rate in ("sensitivity", "specificity"))
            yield f"  {slice_name + ' ' + value:<22} sensitivity {sensitivity}; specificity {specificity}"


def _comparison(comparison: Mapping[str, Any]) -> Iterator[str]:
    other = comparison["other"]
    how = f"the same {comparison['films']} films" if comparison["paired"] else f"{other['data']['films']} other films"
    yield f"beside {other['model']['id']} on {other['data']['name']}, {how}"
    for row in comparison["rows"]:
        p = "" if row["p"] is None else f"  p = {row['p']:.3g} ({row['test']})"
        yield (
            f"  {row['name']:<32} {_value(row['this'])} against {_value(row['other'])}, "
            f"difference {_with_interval(row['difference'])}{p}"
        )


def _value(estimate: Mapping[str, Any]) -> str:
    return "not estimable" if estimate["value"] is None else f"{estimate['value']:.3f}"


def _with_interval(estimate: Mapping[str, Any]) -> str:
    if estimate["value"] is None:
        return f"not estimable ({estimate['note']})"
    interval = "" if estimate["low"] is None else f" ({estimate['low']:.3f} to {estimate['high']:.3f})"
    return f"{estimate['value']:.3f}{interval}"


def _long(estimate: Mapping[str, Any]) -> str:
    return str(Estimate(**estimate))
