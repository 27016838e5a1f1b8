"""The report as a page for a clinician and a reviewer: one file, no network, no script, screen, phone or paper."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from fracture.core.page import document, plural, verdict
from fracture.core.types import FEW
from fracture.evaluation.report.page_good import good, point_names
from fracture.evaluation.report.page_style import STYLE
from fracture.evaluation.report.page_text import cell, count, look_up, plot, table
from fracture.evaluation.report.page_trust import names, trust
from fracture.imaging.render import NOT_A_DEVICE

Report = Mapping[str, Any]


def page(report: Report, figures: Mapping[str, str], pictures: Mapping[str, str]) -> str:
    """Give the page. ``figures`` are those of this report by name, ``pictures`` films by image_id, both SVG.

    Every text of the report is escaped; a part that is null or missing is skipped or said to be.
    """
    comparison = _comparison(report)
    parts = [("good", "How good?"), ("whom", "For whom?"), ("trust", "Can I trust the number?")]
    parts += [("compared", "Compared")] if comparison else []
    links = "".join(f'<a href="#{anchor}">{title}</a>' for anchor, title in [*parts, ("worst", "Worst films")])
    return document(
        f"Evaluation of {look_up(report, 'model', 'id') or 'a model'}",
        STYLE,
        [
            _header(report),
            f"<nav>{links}</nav>",
            good(report, figures),
            _whom(report, figures),
            trust(report, figures),
            comparison,
            _worst(report, pictures),
            f'<footer><p class="device">{NOT_A_DEVICE}</p></footer>',
        ],
    )


def _header(report: Report) -> str:
    model, data, made = (look_up(report, key) or {} for key in ("model", "data", "made"))
    title = escape(f"{model.get('id', 'model not named')} {model.get('version') or ''}".strip())
    films = escape(f"{data.get('split', '?')} split of {data.get('name', 'data not named')}")
    date = escape(str(made.get("date") or "a day not stated"))
    known = report.get("model_was_made_with") or ()
    banner = (
        f"The model was trained, or its thresholds chosen, on {plural(len(known), 'film')} of these: {names(known)}"
    )
    warnings = "".join(verdict("warning", "Note", escape(warning)) for warning in report.get("warnings") or ())
    counts = {
        name: data.get(name) for name in ("films", "fractured", "normal", "groups", "patients", "studies", "boxes")
    }
    cards = "".join(
        f"<div><b>{'not known' if number is None else f'{number:,}'}</b>{name}</div>" for name, number in counts.items()
    )
    return (
        f'<header><p class="over">Evaluation</p><h1>{title}</h1><p>on the {films}, made on {date}</p>'
        f'<p class="device">{NOT_A_DEVICE}</p>{verdict("bad", "NOT A TEST", banner) if known else ""}{warnings}'
        f'<div class="cards">{cards}</div></header>'
    )


def _whom(report: Report, figures: Mapping[str, str]) -> str:
    slices, points = look_up(report, "slices") or {}, point_names(report)
    head = '<h2 id="whom">For whom?</h2>'
    if not slices:
        return f"{head}<p>Not reported: nothing tells these films apart.</p>"
    tables = "".join(_slice(kind, parts or {}, points) for kind, parts in slices.items())
    forest = plot(
        figures, "slices", f"At the first threshold. The dotted line is all films; fewer than {FEW} are grey."
    )
    return (
        f"{head}<p>A model can be good on average and poor for some. A part with fewer than {FEW} cases says little, "
        f"whatever its figure.</p>{forest}{tables}"
    )


def _slice(kind: str, parts: Mapping[str, Any], points: Sequence[str]) -> str:
    sizes = ("films", "fractured", "normal")
    columns = [(point, rate) for point in points for rate in ("sensitivity", "specificity")]

    def rates(part: Any, shown: Sequence[tuple[str, str]]) -> list[str]:
        return [cell(look_up(part, "at", point, rate)) for point, rate in shown]

    rows = [
        (
            name,
            [
                *rates(part, columns[:2]),
                *(cell(look_up(part, key), False) for key in ("auc", "ap50")),
                *(count(look_up(part, key)) for key in sizes),
            ],
        )
        for name, part in parts.items()
    ]
    others = [(name, rates(part, columns[2:])) for name, part in parts.items()]
    head = ["", *(f"{rate} at {point}" for point, rate in columns[:2]), "AUC", "box AP50", *sizes]
    more = table(["", *(f"{rate} at {point}" for point, rate in columns[2:])], others) if columns[2:] else ""
    more = f"<details><summary>At the other thresholds</summary>{more}</details>" if more else ""
    return f"<h3>By {escape(kind)}</h3>{table(head, rows)}{more}"


def _comparison(report: Report) -> str:
    here = look_up(report, "comparison")
    if here is None:
        return ""
    other, data = (look_up(here, "other", key) or {} for key in ("model", "data"))
    model = f"{other.get('id', 'another model')} {other.get('version') or ''}".strip()
    films = plural(here.get("films") or data.get("films") or 0, "film")
    if here.get("paired"):
        name, how = model, f"Both models read the same {films}, so differences are paired."
    else:
        name = f"{model} on {data.get('name', 'other films')}"
        how = f"There it read {films}, none of them here: differences are of independent figures."
    rows = [
        (
            row.get("name", ""),
            [
                *(cell(row.get(key), False) for key in ("this", "other", "difference")),
                f"<td>{_p_value(row.get('p'))}</td><td>{escape(row.get('test') or '')}</td>",
            ],
        )
        for row in here.get("rows") or ()
    ]
    head = ["", "this", "other", "difference (this - other)", "p", "test"]
    return (
        f'<h2 id="compared">Compared with {escape(name)}</h2><p>{escape(how)} '
        f"Shares are from 0 to 1. p is not corrected for the number of rows.</p>{table(head, rows)}"
    )


def _p_value(p: float | None) -> str:
    if p is None:
        return ""
    return "&lt; 0.001" if p < 0.001 else f"{p:.3f}"


def _worst(report: Report, pictures: Mapping[str, str]) -> str:
    here, head = look_up(report, "worst"), '<h2 id="worst">Worst films</h2>'
    if here is None:
        return f"{head}<p>Not reported.</p>"
    sides = (
        ("missed", "Fractures missed, lowest score first"),
        ("false_alarms", "Normal films flagged, highest score first"),
    )
    galleries = "".join(_gallery(title, here.get(key) or (), pictures) for key, title in sides)
    point = escape(str(here.get("point", "")))
    known = {"screening", "specific"} & set(point_names(report))
    dashed, solid = (name if name in known else point for name in ("screening", "specific"))
    said = (
        '<p class="key"><span>green, "drawn": by a person</span>'
        f"<span>blue, solid: at the {solid} threshold or above</span>"
        f"<span>yellow, dashed: at the {dashed} threshold or above</span>"
        "<span>yellow, dotted, faint: the best box below</span></p>"
        if pictures
        else "<p>The pictures of films are left out of this page; their names and scores are here.</p>"
    )
    return f"{head}<p>At the threshold <b>{point}</b>.</p>{said}{galleries}"


def _gallery(title: str, films: Sequence[Mapping[str, Any]], pictures: Mapping[str, str]) -> str:
    captions = [(film.get("image_id", ""), f"score {film.get('score') or 0:.3f}") for film in films]
    if not films:
        return f"<h3>{title}</h3><p>None.</p>"
    if not pictures:
        rows = "".join(f"<li><code>{escape(name)}</code> {score}</li>" for name, score in captions)
        return f"<h3>{title}</h3><ul>{rows}</ul>"
    shown = "".join(
        f'<figure><div class="film">{pictures.get(name) or "<p>not shown</p>"}</div>'
        f"<figcaption><code>{escape(name)}</code> {score}</figcaption></figure>"
        for name, score in captions
    )
    return f'<h3>{title}</h3><div class="sheet">{shown}</div>'
