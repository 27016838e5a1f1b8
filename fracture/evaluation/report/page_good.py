"""The page's first question, how good: in words, then by film, by study and patient, by box."""

from collections.abc import Mapping
from html import escape
from typing import Any

from fracture.core.page import plural
from fracture.core.types import FEW
from fracture.evaluation.report.page_text import Found, cell, count, estimate, look_up, plot, table, words

_COUNTS = {
    "true_positive": "fractured, flagged",
    "false_negative": "fractured, missed",
    "true_negative": "normal, left alone",
    "false_positive": "normal, flagged",
}
_RATES = {
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "ppv": "PPV, as mixed here",
    "npv": "NPV, as mixed here",
    "accuracy": "accuracy",
    "f1": "F1",
}
_AREAS = {"auc": "AUC", "auc_bootstrap": "AUC, by bootstrap", "average_precision": "average precision"}
_AP = {
    "ap50": "AP at IoU 0.5",
    "ap50_95": "AP at IoU 0.5 to 0.95",
    "ap10": "AP at IoU 0.1",
    "ap_centre": "AP, centre in a drawn box",
}
_BOXES = {
    "precision": "precision at IoU 0.5",
    "recall": "recall at IoU 0.5",
    "precision_centre": "precision, centre in a drawn box",
    "recall_centre": "recall, centre in a drawn box",
}
_STATUS = {"definite": "fracture (definite)", "suspicious": "fracture or doubt (suspicious)"}

Report = Mapping[str, Any]
Figures = Mapping[str, str]


def good(report: Report, figures: Figures) -> str:
    """Give the section."""
    parts = (_headline(report), _films(report, figures), _case(report, "study"), _case(report, "patient"))
    return f'<h2 id="good">How good?</h2>{"".join(parts)}{_boxes(report, figures)}'


def point_names(report: Report) -> list[str]:
    """Name the operating points, in the report's order."""
    return [point["name"] for point in look_up(report, "points") or ()]


def _headline(report: Report) -> str:
    """Say in films of a hundred what happens at the first operating point."""
    names = point_names(report)
    if not names:
        return "<p>There is no operating point, so no film is flagged: only the order of scores is judged.</p>"
    at = look_up(report, "film", "at", names[0])
    fractured = _of_hundred(look_up(at, "sensitivity"), "films with a fracture", "flagged")
    normal = _of_hundred(look_up(at, "specificity"), "without", "flagged wrongly", turned=True)
    return (
        f'<p class="headline">{fractured[0].upper()}{fractured[1:]}; {normal}.</p>'
        f"<p>This is at the threshold <b>{escape(names[0])}</b>. Brackets hold 95 % intervals, here and below; n is "
        "the number of cases behind a figure.</p>"
    )


def _of_hundred(found: Found, who: str, what: str, *, turned: bool = False) -> str:
    here = estimate(found)
    if here is None or here.value is None:
        return f"of those {who.removeprefix('films ')}, how many are {what} is {escape(words(found))}"
    value, low, high = here.value, here.low, here.high
    if turned:
        value, low, high = 1 - value, None if high is None else 1 - high, None if low is None else 1 - low
    interval = "" if low is None or high is None else f" ({100 * low:.0f} to {100 * high:.0f})"
    few = f", measured on fewer than {FEW} films" if here.n < FEW else ""
    return f"of 100 {who}, about {100 * value:.0f} are {what}{interval}{few}"


def _films(report: Report, figures: Figures) -> str:
    film, names = look_up(report, "film") or {}, point_names(report)
    at = {name: look_up(film, "at", name) or {} for name in names}
    points = {point["name"]: point for point in look_up(report, "points") or ()}
    rows = [_thresholds(at)]
    for rate, title in _RATES.items():
        rows.append((title, [cell(here.get(rate)) for here in at.values()]))
        if rate in ("sensitivity", "specificity"):
            if look_up(film, "flagged"):
                rows.append((f"{rate} as served", [cell(look_up(film, "flagged", name, rate)) for name in names]))
            rows.append((f"{rate} on validation", [cell(points[name].get(rate)) for name in names]))
    rows += [(title, [count(look_up(here, "counts", key)) for here in at.values()]) for key, title in _COUNTS.items()]
    as_served = (
        " As served, the film's flags count too: one outside the intended use is never flagged."
        if look_up(film, "flagged")
        else ""
    )
    areas = table(["", "value"], [(title, [cell(film.get(name), False)]) for name, title in _AREAS.items()], "flat")
    return (
        f"<h3>By film</h3><p>A film is flagged when its best box scores at or above the threshold.{as_served}"
        f"</p>{table(['', *names], rows) if names else ''}{_statuses(film, 'film')}{_prevalence(at)}{areas}"
        f'<div class="plots">{plot(figures, "roc", "ROC. Each cross is an operating point with its intervals.")}'
        f"{plot(figures, 'film_pr', 'PPV against sensitivity, with as many fractured films as there are here.')}"
        f"{plot(figures, 'scores', 'Scores of the films; lines are the thresholds.')}</div>"
    )


def _thresholds(at: Mapping[str, Mapping[str, Any]]) -> tuple[str, list[str]]:
    values = [here.get("threshold") for here in at.values()]
    return "threshold", [f"<td>{'' if value is None else f'{value:.4f}'}</td>" for value in values]


def _prevalence(at: Mapping[str, Mapping[str, Any]]) -> str:
    shares = list(dict.fromkeys(share for here in at.values() for share in here.get("at_prevalence") or ()))
    rows = [
        (
            f"{100 * float(share):g} % fractured: {title}",
            [cell(look_up(here, "at_prevalence", share, value)) for here in at.values()],
        )
        for share in shares
        for value, title in (("ppv", "PPV"), ("npv", "NPV"))
    ]
    if not rows:
        return ""
    return (
        "<h4>Where fractures are rarer or commoner than here</h4><p>PPV: of the films flagged, how many are fractured. "
        "NPV: of the films left alone, how many are normal.</p>" + table(["", *at], rows)
    )


def _case(report: Report, unit: str) -> str:
    """Give the figures by study or patient, or a sentence why there are none."""
    case = look_up(report, unit)
    many = {"study": "studies", "patient": "patients"}[unit]
    head = f"<h3>By {unit}</h3>"
    if case is None:
        known = look_up(report, "data", many)
        why = f"{known:,} {many} are named" if known else f"the manifest does not say which films belong to one {unit}"
        return f"{head}<p>Not reported: {why}.</p>"
    rows = [
        (rate, [cell(look_up(case, rate, status)) for status in _STATUS]) for rate in ("sensitivity", "specificity")
    ]
    areas = [("AUC", [cell(case.get("auc"), False)]), ("AUC, noisy or", [cell(case.get("auc_noisy_or"), False)])]
    rule = escape(str(case.get("rule") or "not stated"))
    size = f"{case.get('cases') or 0:,} {many}, {case.get('fractured') or 0:,} of them with a fracture."
    return (
        f"{head}<p>{size} Films of one {unit} are put together by the rule <b>{rule}</b>.</p>"
        f"{table(['counted as a fracture', *_STATUS.values()], rows)}"
        f"{_statuses(case, unit)}{table(['', 'value'], areas, 'flat')}"
    )


def _statuses(part: Any, unit: str) -> str:
    """Give how many of each kind got each status, and what share of the kind that is."""
    kinds = ("fractured", "normal")
    rows = []
    for name, held in (look_up(part, "status") or {}).items():
        shares = [cell(look_up(held, f"share_of_{kind}")) for kind in kinds]
        rows.append((name, [count(look_up(held, kind)) for kind in kinds] + shares))
    return table([f"status of the {unit}", *kinds, *(f"share of {kind}" for kind in kinds)], rows)


def _boxes(report: Report, figures: Figures) -> str:
    box, names = look_up(report, "box"), point_names(report)
    if box is None or look_up(report, "data", "boxes") == 0:
        return "<h3>By box</h3><p>Not reported: nobody drew boxes on these films.</p>"
    at = {name: look_up(box, "at", name) or {} for name in names}
    areas = [(title, [cell(box.get(name), False)]) for name, title in _AP.items()]
    areas.append(("AFROC area", [cell(look_up(box, "afroc", "area"), False)]))
    rows = [_thresholds(at)]
    rows += [(title, [cell(here.get(key)) for here in at.values()]) for key, title in _BOXES.items()]
    rows.append(("false boxes per film", [cell(here.get("false_positives_per_film"), False) for here in at.values()]))
    rates = look_up(box, "froc", "at") or {}
    found = [(f"{rate} false boxes per film", [cell(share)]) for rate, share in rates.items()]
    froc = table(["FROC: drawn boxes found at", "sensitivity"], found, "flat")
    return (
        f"<h3>By box</h3>{_drawn(report)}{table(['', 'value'], areas, 'flat')}"
        f"{table(['', *names], rows) if names else ''}{froc}"
        f'<div class="plots">{plot(figures, "froc", "FROC. Points with bars are the rates of the table.")}'
        f"{plot(figures, 'box_pr', 'Precision against recall of boxes, interpolated as COCO does.')}</div>"
    )


def _drawn(report: Report) -> str:
    boxes, films, share = (look_up(report, "data", key) for key in ("boxes", "boxed_films", "median_box_share"))
    if boxes is None or films is None:
        return ""
    size = "" if share is None else f" The median box covers {100 * share:.2g} % of its film."
    strict = (
        "Fractures are small and drawn by eye, so IoU 0.5 is strict; a centre inside a drawn box shows the right place."
    )
    undrawn = (look_up(report, "data", "fractured") or films) - films
    without = f" {plural(undrawn, 'fractured film')} without drawn boxes are in no figure of boxes." if undrawn else ""
    return f"<p>{boxes:,} boxes were drawn on {films:,} films.{without}{size} {strict}</p>"
