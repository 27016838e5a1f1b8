"""The page's third question, can I trust the number: what was left out, calibration, confounders, what made what."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from fracture.core.page import plural
from fracture.evaluation.report.page_text import cell, count, look_up, plot, table, text

_FIRST = 5
_CHECKS = {
    "masking": "With a part of the film hidden",
    "synthetic": "On drawn films, with one thing changed",
    "probes": "What a linear probe can tell from the film",
}
_METHODS = (
    "Rates carry Wilson intervals (J Am Stat Assoc 22, 1927) of as many films as their groups are worth (Rao and "
    "Scott, Biometrics 48, 1992), AUC that of DeLong (Biometrics 44, 1988), widened for films of one group "
    "(Obuchowski, Biometrics 53, 1997). AP, FROC and all else that says so is drawn again by bootstrap over whole "
    "groups (Efron and Tibshirani, 1993; Field and Welsh, J R Stat Soc B 69, 2007). A group is the patient or the "
    "best known unit. AP is COCO's (Lin and others, ECCV 2014); FROC is that of Bunch and others (J Appl Photogr Eng "
    "4, 1978), AFROC of Chakraborty and Winter (Radiology 174, 1990). Calibration error is that of Naeini and others "
    "(AAAI 2015) in bins of equal count. Paired AUCs are compared by DeLong's test, paired rates by McNemar's "
    "(Psychometrika 12, 1947) with whole groups exchanged. A mouse on a figure shows how it was found and how many "
    "groups are behind it."
)

Report = Mapping[str, Any]


def trust(report: Report, figures: Mapping[str, str]) -> str:
    """Give the section."""
    parts = (
        _left_out(report),
        _scope(report),
        _thresholds(report),
        _calibration(report, figures),
        _confounders(report),
        _made(report),
    )
    return f'<h2 id="trust">Can I trust the number?</h2>{"".join(parts)}<h3>Methods</h3><p>{_METHODS}</p>'


def names(image_ids: Sequence[str], shown: int = _FIRST) -> str:
    """Give the first films by name, the others behind a line to open."""
    first = ", ".join(f"<code>{escape(name)}</code>" for name in image_ids[:shown])
    rest = ", ".join(f"<code>{escape(name)}</code>" for name in image_ids[shown:])
    return f"{first}<details><summary>{len(image_ids) - shown:,} more</summary>{rest}</details>" if rest else first


def _left_out(report: Report) -> str:
    left_out = look_up(report, "left_out") or {}
    reasons: dict[str, list[str]] = {}
    for name, reason in left_out.items():
        reasons.setdefault(reason, []).append(name)
    head = "<h3>What was left out</h3>"
    if not reasons:
        return f"{head}<p>Nothing: every film of the split is counted.</p>"
    items = "".join(
        f"<li><b>{plural(len(films), 'film')}</b>: {escape(reason)}<br>{names(films)}</li>"
        for reason, films in sorted(reasons.items(), key=lambda item: -len(item[1]))
    )
    return f"{head}<p>{plural(len(left_out), 'film')} of the split are in no figure.</p><ul>{items}</ul>"


def _scope(report: Report) -> str:
    outside = look_up(report, "model", "outside_scope")
    if outside is None:
        return ""
    said = "Films whose texture and tones are unlike those of the train films; the limit is one in a hundred val films."
    return f"<h3>Films of another kind</h3><p>{said}</p>{table(['', 'share'], [('unlike', [cell(outside)])])}"


def _thresholds(report: Report) -> str:
    rows = [
        (
            point["name"],
            [
                text(f"{point.get('threshold') or 0:.6g}"),
                text(point.get("rule", "")),
                text(point.get("measured_on", "")),
                text("yes" if point.get("reached", True) else "target not reached"),
            ],
        )
        for point in look_up(report, "points") or ()
    ]
    head = ["", "threshold", "rule", "chosen on", "target reached"]
    return f"<h3>How the thresholds were chosen</h3>{table(head, rows, 'texts') or '<p>There are none.</p>'}"


def _calibration(report: Report, figures: Mapping[str, str]) -> str:
    here = look_up(report, "calibration")
    if here is None:
        return "<h3>Calibration</h3><p>Not reported.</p>"
    looks = {name: here[name] for name in ("raw", "calibrated") if here.get(name)}
    rows = [
        (title, [cell(held.get(key), False) for held in looks.values()])
        for key, title in (("ece", "expected calibration error"), ("brier", "Brier score"))
    ]
    if "calibrated" in looks:
        fit = ", ".join(f"{name} {here[name]:.3g}" for name in ("temperature", "shift") if here.get(name) is not None)
        note = f"Calibrated with {fit or 'a fitted curve'}, fitted on {escape(str(here.get('fitted_on')))}."
    else:
        note = "Scores are as the model gives them: no calibration was fitted."
    return (
        f"<h3>Calibration</h3><p>Does a score of 0.3 mean that three films of ten are fractured? {note}</p>"
        f"{table(['', *looks], rows, 'flat')}"
        f'<div class="plots">{plot(figures, "reliability", "Below: the films of each bin.")}</div>'
    )


def _confounders(report: Report) -> str:
    here = look_up(report, "shortcuts")
    head = "<h3>Confounders</h3>"
    if here is None:
        return (
            f"{head}<p>Not checked: whether the model uses borders, hardware or the look of a source is not known.</p>"
        )
    findings = here.get("findings") or ()
    said = "".join(f"<li>{escape(finding)}</li>" for finding in findings)
    tables = "".join(
        f"<h4>{_CHECKS.get(name, escape(name))}</h4>{_any_table(rows)}"
        for name, rows in here.items()
        if name != "findings" and rows
    )
    return f"{head}{f'<ul>{said}</ul>' if said else '<p>No confounder was found by these checks.</p>'}{tables}"


def _any_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Give rows of any columns: counts, texts and estimates."""
    columns = list(dict.fromkeys(key for row in rows for key in row if key != "name"))
    head = ["", *(column.replace("_", " ").replace("auc", "AUC") for column in columns)]
    return table(head, [(row.get("name", ""), [_any_cell(row.get(column)) for column in columns]) for row in rows])


def _any_cell(value: Any) -> str:
    if isinstance(value, Mapping):
        return cell(value, False) if "value" in value else text(_joined(f"{key}: {n}" for key, n in value.items()))
    return count(value) if isinstance(value, int) else text("" if value is None else value)


def _made(report: Report) -> str:
    model, data, made = (look_up(report, key) or {} for key in ("model", "data", "made"))
    predictions = model.get("predictions") or {}
    films = [data.get(key) for key in ("name", "dataset_id", "split")]
    rows: list[tuple[str, object]] = [
        ("model", f"{model.get('id', '')} {model.get('version') or ''}".strip()),
        *((f"model file {name}", digest) for name, digest in (model.get("files") or {}).items()),
        ("film preparation", model.get("harmonise_id") or "not stated"),
        ("run by", model.get("backend") or "not stated"),
        ("predictions", _joined(predictions.get(key) for key in ("file", "sha256"))),
        ("made of", _joined((predictions.get("format"), predictions.get("source_sha256")))),
        ("films: name, manifest, split", _joined(films)),
        ("code", _joined((made.get("version"), made.get("code_id")))),
        ("made on", made.get("date")),
        ("seed, resamples", _joined((made.get("seed"), made.get("resamples")))),
    ]
    lines = [(name, [text(value)]) for name, value in rows if value not in (None, "")]
    return f"<h3>What made what</h3>{table(['', 'name, version or SHA-256'], lines, 'texts')}"


def _joined(values: Iterable[object]) -> str:
    return ", ".join(str(value) for value in values if value is not None)
