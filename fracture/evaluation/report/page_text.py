"""How the page says a figure: with its interval and its n, or why there is none."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from fracture.core.types import Estimate

Found = Mapping[str, Any] | None


def look_up(tree: Any, *keys: str) -> Any:
    """Give what stands at the end of the keys, None where any of them is missing or null."""
    for key in keys:
        tree = tree.get(key) if isinstance(tree, Mapping) else None
    return tree


def estimate(found: Found) -> Estimate | None:
    """Turn an estimate of a report back into one."""
    return Estimate(**found) if found else None


def words(found: Found, percent: bool = False) -> str:
    """Give value and interval as text."""
    here = estimate(found)
    if here is None:
        return "not reported"
    if here.value is None:
        return f"not estimable{f': {here.note}' if here.note else ''}"
    return f"{_number(here.value, percent)}{' %' if percent else ''} {_interval(here, percent)}".rstrip()


def cell(found: Found, percent: bool = True) -> str:
    """Give an estimate as a table's cell: value, interval and n; method, groups and note where a mouse points.

    A note that says why there is no value or no interval is there to be read.
    """
    here = estimate(found)
    if here is None:
        return '<td class="few">not reported</td>'
    few = f", {here.few}" if here.value is not None and here.few else ""
    count = f" <small>n={here.n:,}{few}</small>"
    note = f' <small class="note">{escape(here.note)}</small>' if here.note and here.low is None else ""
    if here.value is None:
        return f'<td class="few">not estimable{note}{count}</td>'
    value = f"<b>{_number(here.value, percent)}{' %' if percent else ''}</b>"
    interval = f" <small>{_interval(here, percent)}</small>"
    how = escape(f"{here.method}, {here.n_groups:,} groups{f'; {here.note}' if here.note else ''}")
    return f'<td{" class=few" if few else ""} title="{how}">{value}{interval}{count}{note}</td>'


def table(head: Sequence[str], rows: Iterable[tuple[str, Sequence[str]]], look: str = "") -> str:
    """Give a table; ``head`` and the name of each row are text, the cells html. Empty where there are no rows.

    ``look`` is "flat" where a figure goes on one line, "texts" for columns of texts.
    """
    lines = "".join(f"<tr><th>{escape(name)}</th>{''.join(cells)}</tr>" for name, cells in rows)
    top = "".join(f"<th>{escape(title)}</th>" for title in head)
    return f'<div class="scroll"><table class="{look}"><tr>{top}</tr>{lines}</table></div>' if lines else ""


def count(number: int | None) -> str:
    """Give a number of things as a table's cell."""
    return f"<td>{'' if number is None else f'{number:,}'}</td>"


def text(value: object) -> str:
    """Give a text as a table's cell."""
    return f'<td class="text">{escape(str(value))}</td>'


def plot(figures: Mapping[str, str], name: str, caption: str) -> str:
    """Give a figure with its caption, nothing where it was not drawn."""
    if name not in figures:
        return ""
    return f'<figure class="plot {name}"><div>{figures[name]}</div><figcaption>{caption}</figcaption></figure>'


def _number(value: float, percent: bool) -> str:
    return f"{100 * value:.1f}" if percent else f"{value:.3f}"


def _interval(here: Estimate, percent: bool) -> str:
    if here.low is None or here.high is None:
        return "(no interval)"
    return f"({_number(here.low, percent)} to {_number(here.high, percent)})"
