"""The audit as a page for a person: one file, no network, phone or paper, light or dark."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from fracture.core.errors import FractureError
from fracture.core.page import film_svg, render
from fracture.data import duplicates
from fracture.data.audit.kinds import KINDS, Film, Finding
from fracture.data.audit.result import Audit
from fracture.data.audit.tables import ALL_BUT, APART, MIN_FILMS
from fracture.data.workers import film_map, read_film

SHOWN, STRIP, ROWS = 24, 12, 40
"""How many findings of a kind, films of a finding and confounders are shown; audit.json has them all."""

LISTED = frozenset(
    {"film_missing", "film_unreadable", "film_unlisted", "label_missing", "label_unexpected", "set_aside"}
)
"""Kinds of finding that no picture helps to judge."""

_FILES = ("audit.html.j2", "audit.css")
_LONG_SIDE_PX, _QUALITY = 240, 72


def page(audit: Audit) -> str:
    """Give the page."""
    by_kind = {kind: [finding for finding in audit.findings if finding.kind == kind] for kind in KINDS}
    found = {kind: findings for kind, findings in by_kind.items() if findings}
    return render(
        Path(__file__).parent,
        _FILES,
        audit=audit,
        kinds=KINDS,
        found=found,
        todo=[kind for kind in found if KINDS[kind].advice and not (audit.is_dealt and KINDS[kind].severity == "note")],
        counts={name.replace("_", " "): number for name, number in audit.counts.items()},
        confounders=sorted(audit.confounders, key=lambda link: (not link.decides, -link.gap, link.column, link.value))[
            :ROWS
        ],
        rule={"films": MIN_FILMS, "all_but": ALL_BUT, "apart": APART},
        alike={"near": duplicates.NEAR, "turned": duplicates.TURNED, "same": duplicates.SAME},
        listed=LISTED,
        most=SHOWN,
        strips={kind: _strip(kind) for kind in found},
        pictures=_pictures(audit.films, found),
    )


def _strip(kind: str) -> int:
    """Say how many films of a finding are shown."""
    return SHOWN if kind == "large_group" else STRIP


def _pictures(films: Mapping[str, Film], found: Mapping[str, Sequence[Finding]]) -> dict[str, str]:
    """Draw every film that is shown somewhere, in parallel."""
    shown = [finding for kind, findings in found.items() if kind not in LISTED for finding in findings[:SHOWN]]
    names = sorted({name for one in shown for name in one.image_ids[: _strip(one.kind)] if name in films})
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
