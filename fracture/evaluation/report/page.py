"""The report as a page for a clinician and a reviewer: one file, no network, no script, screen, phone or paper."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from fracture.core.page import render
from fracture.core.types import FEW
from fracture.evaluation.report.model import Check, Estimate, Report
from fracture.imaging.render import NOT_A_DEVICE

_FILES = (
    "report.html.j2",
    "report_macros.html.j2",
    "report_good.html.j2",
    "report_whom.html.j2",
    "report_trust.html.j2",
    "report_compared.html.j2",
    "report_worst.html.j2",
    "report.css",
)
_COUNTED = ("films", "fractured", "normal", "groups", "patients", "studies", "boxes")
_CHECKS = {
    "masking": "With a part of the film hidden",
    "synthetic": "On drawn films, with one thing changed",
    "probes": "What a linear probe can tell from the film",
}
_SERVED = ("screening", "specific")
"""The thresholds from which the service speaks of doubt and of a fracture."""


def page(report: Report, figures: Mapping[str, str], pictures: Mapping[str, str]) -> str:
    """Give the page. ``figures`` are those of this report by name, ``pictures`` films by image_id, both SVG.

    The templates escape every text of the report; a part that is null is skipped or said to be.
    """
    names = [point.name for point in report.points]
    # A box is dashed from the first of the service's thresholds and solid from the second, where the report has them.
    dashed, solid = (name if name in names or report.worst is None else report.worst.point for name in _SERVED)
    return render(
        Path(__file__).parent,
        _FILES,
        report=report,
        figures=figures,
        pictures=pictures,
        not_a_device=NOT_A_DEVICE,
        few=FEW,
        counted={name: getattr(report.data, name) for name in _COUNTED},
        headline=_headline(report),
        prevalences=list(dict.fromkeys(share for at in report.film.at.values() for share in at.at_prevalence)),
        median_box=f"{100 * (report.data.median_box_share or 0):.2g}",
        rates_at=[
            {"point": name, "rate": rate, "title": f"{rate} at {name}"}
            for name in names
            for rate in ("sensitivity", "specificity")
        ],
        reasons=_reasons(report.left_out),
        checks=list(_checks(report)),
        provenance=_provenance(report),
        dashed=dashed,
        solid=solid,
    )


def _headline(report: Report) -> str:
    """Say in films of a hundred what happens at the first operating point."""
    if not report.points:
        return ""
    at = report.film.at[report.points[0].name]
    fractured = _of_hundred(at.sensitivity, "films with a fracture", "flagged")
    normal = _of_hundred(at.specificity, "without", "flagged wrongly", turned=True)
    return f"{fractured[0].upper()}{fractured[1:]}; {normal}."


def _of_hundred(found: Estimate, who: str, what: str, *, turned: bool = False) -> str:
    value, low, high = found.value, found.low, found.high
    if value is None:
        why = f": {found.note}" if found.note else ""
        return f"of those {who.removeprefix('films ')}, how many are {what} is not estimable{why}"
    if turned:
        value, low, high = 1 - value, None if high is None else 1 - high, None if low is None else 1 - low
    interval = "" if low is None or high is None else f" ({100 * low:.0f} to {100 * high:.0f})"
    few = f", measured on fewer than {FEW} films" if found.n < FEW else ""
    return f"of 100 {who}, about {100 * value:.0f} are {what}{interval}{few}"


def _reasons(left_out: Mapping[str, str]) -> dict[str, list[str]]:
    """Give the films that were left out by reason, the commonest reason first."""
    reasons: dict[str, list[str]] = {}
    for name, reason in left_out.items():
        reasons.setdefault(reason, []).append(name)
    return dict(sorted(reasons.items(), key=lambda item: -len(item[1])))


def _checks(report: Report) -> Iterator[dict[str, Any]]:
    """Give the tables of the checks for confounders, with the columns that their rows have."""
    for name, title in _CHECKS.items():
        checks: list[Check] = getattr(report.shortcuts, name) if report.shortcuts else []
        rows = [check.model_dump(exclude={"name"}, exclude_unset=True) for check in checks]
        columns = list(dict.fromkeys(column for row in rows for column in row))
        if rows:
            yield {
                "title": title,
                "columns": columns,
                "rows": [(check.name, [dict(check).get(column) for column in columns]) for check in checks],
            }


def _provenance(report: Report) -> dict[str, str]:
    """Say what made what: the model and its files, the predictions, the films, the code."""
    model, data, made = report.model, report.data, report.made
    predictions = model.predictions
    rows = {
        "model": f"{model.id} {model.version or ''}".strip(),
        **{f"model file {name}": digest for name, digest in model.files.items()},
        "film preparation": model.harmonise_id or "not stated",
        "run by": model.backend or "not stated",
        "predictions": _joined((predictions.file, predictions.sha256)),
        "made of": _joined((predictions.format, predictions.source_sha256)),
        "films: name, manifest, split": _joined((data.name, data.dataset_id, data.split)),
        "code": _joined((made.version, made.code_id)),
        "made on": made.date,
        "seed, resamples": _joined((made.seed, made.resamples)),
    }
    return {name: value for name, value in rows.items() if value}


def _joined(values: Iterable[object]) -> str:
    return ", ".join(str(value) for value in values if value is not None)
