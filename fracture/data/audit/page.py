"""The audit as a page for a person: one file, no network, phone or paper, light or dark."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING

from fracture.core.errors import FractureError
from fracture.core.page import document, film_svg, plural, verdict
from fracture.core.types import Estimate
from fracture.data import duplicates
from fracture.data.audit.kinds import KINDS, Film, Finding
from fracture.data.audit.style import STYLE
from fracture.data.audit.tables import ALL_BUT, APART, MIN_FILMS, Confounder, Row
from fracture.data.workers import film_map, read_film

if TYPE_CHECKING:
    from fracture.data.audit.run import Audit

SHOWN, STRIP, ROWS = 24, 12, 40
"""How many findings of a kind, films of a finding and confounders are shown; audit.json has them all."""

LISTED = frozenset(
    {"film_missing", "film_unreadable", "film_unlisted", "label_missing", "label_unexpected", "set_aside"}
)
"""Kinds of finding that no picture helps to judge."""

_LONG_SIDE_PX, _QUALITY = 240, 72


def page(audit: "Audit") -> str:
    """Give the page. Everything that comes from files is escaped."""
    by_kind = {kind: [f for f in audit.findings if f.kind == kind] for kind in KINDS}
    present = {kind: findings for kind, findings in by_kind.items() if findings}
    pictures = _pictures(audit.films, present)
    name = escape(" + ".join(audit.folders))
    sections = [_section(kind, findings, audit.films, pictures) for kind, findings in present.items()]
    return document(
        f"Data audit: {' + '.join(audit.folders)}",
        STYLE,
        [
            f'<header><p class="over">Data audit</p><h1>{name}</h1>{_verdict(audit)}</header>',
            _todo(present, audit.is_dealt),
            _numbers(audit),
            _confounders(audit.confounders),
            "<h2>Findings</h2>" if sections else "",
            *sections,
            _footer(),
        ],
    )


def _verdict(audit: "Audit") -> str:
    totals = audit.totals
    rest = f"{plural(totals['defect'], 'defect')} and {plural(totals['note'], 'note')} to look at."
    if audit.leaks:
        text = f"Until they are gone, results on this split look better than they are. {rest}"
        return verdict("bad", plural(audit.leaks, "leak"), text)
    if not audit.is_dealt:
        return verdict("plain", "No split yet", f"Leaks can only be judged once films are dealt out. {rest}")
    return verdict("good", "No leaks", f"Nothing that belongs together stands in two splits. {rest}")


def _todo(present: Mapping[str, Sequence[Finding]], is_dealt: bool) -> str:
    """List what to do; what only matters while films are dealt out is left out once they are."""
    items = [
        f'<li><a href="#{kind}">{KINDS[kind].title}</a> <b class="n">{len(findings):,}</b><br>{KINDS[kind].advice}</li>'
        for kind, findings in present.items()
        if KINDS[kind].advice and not (is_dealt and KINDS[kind].severity == "note")
    ]
    return f"<h2>What to do next</h2><ol class=todo>{''.join(items)}</ol>" if items else ""


def _numbers(audit: "Audit") -> str:
    cards = "".join(
        f"<div><b>{number:,}</b>{escape(name.replace('_', ' '))}</div>" for name, number in audit.counts.items()
    )
    columns = ("films", "fractured", "normal", "unlabelled", "share fractured", "boxes", "groups")
    head = "".join(f"<th>{title}</th>" for title in ("", *columns))
    tables = "".join(_balance(name, rows) for name, rows in audit.balance.items() if len(rows) > 1)
    sizes = audit.group_sizes
    size, groups = ("".join(f"<td>{value:,}</td>" for value in values) for values in (sizes.keys(), sizes.values()))
    return (
        f'<h2>What is there</h2><div class="cards">{cards}</div>'
        f'<div class="scroll"><table class="balance"><tr>{head}</tr>{tables}</table></div>'
        '<div class="scroll"><table>'
        f"<tr><th>films in group</th>{size}</tr><tr><th>groups</th>{groups}</tr></table></div>"
    )


def _balance(name: str, rows: Iterable[Row]) -> str:
    lines = [
        f"<tr><th>{escape(row.name)}</th><td>{row.films:,}</td><td>{row.fractured:,}</td><td>{row.normal:,}</td>"
        f"<td>{row.unlabelled:,}</td><td>{_share(row)}</td><td>{row.boxes:,}</td><td>{row.groups:,}</td></tr>"
        for row in rows
    ]
    return f'<tr><th class="part" colspan="8">{name}</th></tr>{"".join(lines)}'


def _share(row: Row) -> str:
    known = row.fractured + row.normal
    return f"{row.fractured / known:.1%}" if known else "not known"


def _confounders(links: Sequence[Confounder]) -> str:
    ordered = sorted(links, key=lambda link: (not link.decides, -link.gap, link.column, link.value))
    lines = [
        f"<tr{' class=decides' if link.decides else ''}><th>{escape(link.column)} = {escape(link.value)}</th>"
        f"<td>{link.here.n:,}</td><td>{_bar(link.here, link.rest)}</td><td>{_percent(link.here)}</td>"
        f"<td>{_percent(link.rest)}</td><td>{'decides the label' if link.decides else ''}</td></tr>"
        for link in ordered[:ROWS]
    ]
    if not lines:
        return ""
    return (
        "<h2 id=confounders>What goes with the label</h2><p>How often films with a property are fractured (dot, with "
        "its 95 % interval) and how often all others are (line). A model learns whatever is easiest, and a property "
        f"that decides the label is easy. It decides when at least {MIN_FILMS} films have it, all but {ALL_BUT:.0%} of "
        f"them share a label, and the others differ by {APART:.0%} or more.</p>"
        '<div class="scroll"><table class="links"><tr><th>property</th><th>films</th><th>0 to 100 % fractured</th>'
        f"<th>these films</th><th>all others</th><th></th></tr>{''.join(lines)}</table></div>"
        f"{_more(len(lines), len(links))}"
    )


def _bar(here: Estimate, rest: Estimate) -> str:
    marks = ""
    if here.value is not None and here.low is not None and here.high is not None:
        marks = (
            f'<rect class="span" x="{100 * here.low:.1f}" y="4" width="{100 * (here.high - here.low):.1f}" height="8"/>'
            f'<circle class="dot" cx="{100 * here.value:.1f}" cy="8" r="3"/>'
        )
    if rest.value is not None:
        marks += f'<path class="rest" d="M{100 * rest.value:.1f} 0v16"/>'
    return f'<svg class="bar" viewBox="-4 0 108 16"><path class="rail" d="M0 8h100"/>{marks}</svg>'


def _percent(share: Estimate) -> str:
    if share.value is None or share.low is None or share.high is None:
        return "no films"
    return f"{share.value:.1%} <small>({share.low:.1%} to {share.high:.1%})</small>"


def _section(kind: str, findings: Sequence[Finding], films: Mapping[str, Film], pictures: Mapping[str, str]) -> str:
    what = KINDS[kind]
    shown = findings[:SHOWN]
    if kind in LISTED:
        body = "<ul>" + "".join(f"<li>{_names(finding)}{escape(finding.text)}</li>" for finding in shown) + "</ul>"
    else:
        body = '<div class="sheet">' + "".join(_figure(finding, films, pictures) for finding in shown) + "</div>"
    return (
        f'<section id="{kind}"><h3><span class="tag {what.severity}">{what.severity}</span> {what.title} '
        f'<b class="n">{len(findings):,}</b></h3><p>{what.meaning}</p>{body}'
        f"{_more(len(shown), len(findings))}</section>"
    )


def _names(finding: Finding) -> str:
    few = ", ".join(escape(name) for name in finding.image_ids[:STRIP])
    return f"<code>{few}{' ...' if len(finding.image_ids) > STRIP else ''}</code> " if few else ""


def _figure(finding: Finding, films: Mapping[str, Film], pictures: Mapping[str, str]) -> str:
    """Show the films of a finding side by side, as far as they can be shown."""
    shown = "".join(_film(name, films.get(name), pictures.get(name)) for name in _strip(finding))
    pair = "".join(f'<b class="r">{pair.correlation:.3f}</b> {escape(pair.orientation)}. ' for pair in finding.pairs)
    return (
        f'<figure class="of{min(len(_strip(finding)), 3)}"><div>{shown}</div><figcaption>{pair}{escape(finding.text)}'
        f"{_more(len(_strip(finding)), len(finding.image_ids))}</figcaption></figure>"
    )


def _film(name: str, film: Film | None, picture: str | None) -> str:
    caption = escape(name).replace("/", "/<wbr>", 1)
    if film is not None and film.record.split:
        caption += f" <i>{escape(film.record.split)}</i>"
    gap = "<p>set aside</p>" if film is None else "<p>cannot be read</p>"
    return f'<div class="film">{picture or gap}<span>{caption}</span></div>'


def _strip(finding: Finding) -> tuple[str, ...]:
    return finding.image_ids[: SHOWN if finding.kind == "large_group" else STRIP]


def _pictures(films: Mapping[str, Film], present: Mapping[str, Sequence[Finding]]) -> dict[str, str]:
    """Draw every film that is shown somewhere, in parallel."""
    shown = [finding for kind, findings in present.items() if kind not in LISTED for finding in findings[:SHOWN]]
    names = sorted({name for finding in shown for name in _strip(finding) if name in films})
    drawn = film_map(_picture, [films[name] for name in names], lambda *_: "")
    return dict(zip(names, drawn, strict=True))


def _picture(film: Film) -> str:
    """Draw a small film with its boxes, as inline SVG; nothing where the film cannot be read."""
    try:
        pixels = read_film(film.file).pixels
    except FractureError:
        return ""
    boxes = "".join(_rectangle(box) for box in film.record.boxes or ())
    return film_svg(pixels, _LONG_SIDE_PX, _QUALITY, film.record.image_id, boxes)


def _rectangle(box: Sequence[float]) -> str:
    x0, y0, x1, y1 = box
    return f'<rect x="{x0:.1f}" y="{y0:.1f}" width="{x1 - x0:.1f}" height="{y1 - y0:.1f}"/>'


def _more(shown: int, there: int) -> str:
    return f'<p class="more">Showing {shown:,} of {there:,}; audit.json has them all.</p>' if shown < there else ""


def _footer() -> str:
    near, turned, same = duplicates.NEAR, duplicates.TURNED, duplicates.SAME
    return (
        "<footer><p>Thumbnails of 64 x 64 px are compared in all eight orientations. Two films are listed when they "
        f"correlate at {near:g} or more as they are, at {turned:g} or more turned or mirrored; at {same:g} or more "
        "they are one exposure. An orientation says how the first film must be laid to look like the second. Thin "
        "frames are the boxes of the manifest. Intervals are 95 % (Wilson), films of a group going together.</p>"
        "</footer>"
    )
