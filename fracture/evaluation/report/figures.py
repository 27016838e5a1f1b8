"""The plots of a report, each as SVG text: the same report gives the same bytes.

Colours are those of Okabe and Ito, which colour-blind readers tell apart; what a colour says, a line style or a marker
says too, so that a grey print loses nothing.
"""

import warnings
from collections.abc import Callable, Mapping
from io import StringIO
from typing import TYPE_CHECKING, Any

import numpy as np

from fracture.core.types import Estimate

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_ROWS = 24
"""A slice of more parts than this (patients, say) stands in the page's table and not in the forest plot."""

_BLUE, _RED, _GREEN, _INK, _SOFT, _GREY = "#0072B2", "#D55E00", "#009E73", "#1b2127", "#5b6670", "#b4bcc4"
_COLOURS = (_RED, _GREEN, "#CC79A7", "#E69F00", _INK)
_MARKERS, _DASHES = "os^Dv", ("--", "-.", ":", "-", (0, (9, 3)))
_LOOK = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
    "text.color": _INK,
    "text.parse_math": False,
    "axes.edgecolor": _SOFT,
    "axes.labelcolor": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "xtick.color": _SOFT,
    "ytick.color": _SOFT,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "svg.fonttype": "none",
}
_SIZE_IN, _ROW_IN = (4.4, 4.0), 0.2
_FROC_RANGE, _FROC_TICKS = (0.05, 10.0), (0.1, 0.25, 0.5, 1, 2, 5, 10)

Report = Mapping[str, Any]
Plot = Callable[[Report], "Figure | None"]


def figures(report: Report) -> dict[str, str]:
    """Draw what the report has figures for: name -> SVG text; a plot with nothing to show is not there."""
    import matplotlib as mpl

    drawn = {}
    for name, plot in PLOTS.items():
        # A salt for each plot: their ids must differ, because one page holds them all.
        with mpl.rc_context({**_LOOK, "svg.hashsalt": name}), warnings.catch_warnings():
            # Text stays text, so it does not matter that the font that measures it lacks a letter.
            warnings.filterwarnings("ignore", message="Glyph", category=UserWarning)
            figure = plot(report)
            if figure is not None:
                file = StringIO()
                figure.savefig(file, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
                drawn[name] = file.getvalue()[file.getvalue().index("<svg") :]
    return drawn


def _figure(width: float = _SIZE_IN[0], height: float = _SIZE_IN[1]) -> "Figure":
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _axes(title: str, x: str, y: str) -> tuple["Figure", "Axes"]:
    figure = _figure()
    axes = figure.add_subplot()
    _unit(axes, title, x, y)
    return figure, axes


def _unit(axes: "Axes", title: str, x: str, y: str) -> None:
    axes.set(title=title, xlabel=x, ylabel=y, xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    axes.grid(color="#e6eaee", linewidth=0.6)
    axes.set_axisbelow(True)


def _curve(report: Report, *keys: str, x: str, y: str) -> tuple[list[float], list[float]] | None:
    """Give a curve of the report where it has one of at least two points."""
    curve = _look_up(report, *keys) or {}
    xs, ys = curve.get(x) or [], curve.get(y) or []
    return (xs, ys) if len(xs) == len(ys) > 1 else None


def _spread(found: Estimate) -> list[list[float]] | None:
    """Give the two lengths of an error bar."""
    if found.value is None or found.low is None or found.high is None:
        return None
    return [[max(0.0, found.value - found.low)], [max(0.0, found.high - found.value)]]


def _points(report: Report) -> list[str]:
    return [point["name"] for point in _look_up(report, "points") or () if "name" in point]


def _roc(report: Report) -> "Figure | None":
    curve = _curve(report, "film", "roc", x="false_positive_rate", y="sensitivity")
    if curve is None:
        return None
    area = _words(_look_up(report, "film", "auc"))
    figure, axes = _axes(
        f"AUC {area}", "normal films flagged (1 - specificity)", "fractured films flagged (sensitivity)"
    )
    axes.plot([0, 1], [0, 1], color=_GREY, linewidth=1, linestyle=":")
    axes.plot(*curve, color=_BLUE, linewidth=1.8)
    for number, name in enumerate(_points(report)):
        at = _look_up(report, "film", "at", name) or {}
        hits, quiet = _estimate(at.get("sensitivity")), _estimate(at.get("specificity"))
        if hits is None or hits.value is None or quiet is None or quiet.value is None:
            continue
        spread = _spread(quiet)
        axes.errorbar(
            1 - quiet.value,
            hits.value,
            xerr=spread and spread[::-1],
            yerr=_spread(hits),
            fmt=_MARKERS[number % len(_MARKERS)],
            color=_COLOURS[number % len(_COLOURS)],
            markersize=6,
            markeredgecolor="white",
            elinewidth=1.3,
            label=_short(name),
        )
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="lower right")
    return figure


def _film_pr(report: Report) -> "Figure | None":
    area = _words(_look_up(report, "film", "average_precision"))
    curve = _curve(report, "film", "pr", x="recall", y="precision")
    return _precision(f"Films: average precision {area}", curve, "fractured films flagged (sensitivity)", "PPV")


def _box_pr(report: Report) -> "Figure | None":
    area = _words(_look_up(report, "box", "ap50"))
    curve = _curve(report, "box", "pr", x="recall", y="precision")
    return _precision(
        f"Boxes at IoU 0.5: AP {area}", curve, "drawn boxes found (recall)", "right boxes among all (precision)"
    )


def _precision(title: str, curve: tuple[list[float], list[float]] | None, x: str, y: str) -> "Figure | None":
    if curve is None:
        return None
    figure, axes = _axes(title, x, y)
    axes.plot(*curve, color=_BLUE, linewidth=1.8)
    return figure


def _froc(report: Report) -> "Figure | None":
    from matplotlib.ticker import NullLocator

    curve = _curve(report, "box", "froc", "curve", x="false_positives_per_film", y="sensitivity")
    asked = [(float(rate), _estimate(found)) for rate, found in (_look_up(report, "box", "froc", "at") or {}).items()]
    known = [(rate, found) for rate, found in asked if found is not None and found.value is not None]
    if curve is None and not known:
        return None
    figure, axes = _axes("Boxes whose centre lies in a drawn box", "false boxes per film", "drawn boxes found")
    axes.set(xscale="log", xlim=_FROC_RANGE)
    axes.set_xticks(_FROC_TICKS, [f"{rate:g}" for rate in _FROC_TICKS])
    axes.xaxis.set_minor_locator(NullLocator())
    if curve is not None:
        axes.step(*curve, where="post", color=_BLUE, linewidth=1.8)
    for rate, found in known:
        height, spread = found.value or 0.0, _spread(found)
        axes.errorbar(rate, height, yerr=spread, fmt="o", color=_RED, markeredgecolor="white", elinewidth=1.3)
    return figure


def _reliability(report: Report) -> "Figure | None":
    looks = (("raw", "as the model says", _BLUE, "o", "-"), ("calibrated", "calibrated", _RED, "s", "--"))
    found = {name: _reliable(_look_up(report, "calibration", name, "curve")) for name, *_ in looks}
    shown = {name: curve for name, curve in found.items() if curve}
    if not shown:
        return None
    figure = _figure(height=4.6)
    top, bottom = figure.subplots(2, sharex=True, height_ratios=(4, 1))
    _unit(top, "Of the films with such a score, how many are fractured", "", "share fractured")
    top.plot([0, 1], [0, 1], color=_GREY, linewidth=1, linestyle=":")
    for name, label, colour, marker, line in looks:
        if curve := shown.get(name, []):
            scores, shares = [score for score, _ in curve], [share for _, share in curve]
            low, high = np.array([[share.low, share.high] for share in shares], dtype=np.float64).T
            top.vlines(scores, low, high, color=colour, linewidth=1.1)
            values, counts = [share.value for share in shares], [share.n for share in shares]
            top.plot(scores, values, color=colour, marker=marker, linestyle=line, markersize=5, label=label)
            bottom.vlines(scores, 0, counts, color=colour, linestyle=line, linewidth=1.6)
            bottom.plot(scores, counts, color=colour, marker=marker, linestyle="", markersize=4)
    top.legend(loc="upper left")
    bottom.set(xlabel="mean score", ylabel="films", ylim=(0, None))
    return figure


def _reliable(curve: Mapping[str, Any] | None) -> list[tuple[float, Estimate]]:
    """Give (mean score, share) of the bins that hold films."""
    scores, shares = (curve or {}).get("mean_score") or (), (curve or {}).get("share") or ()
    pairs = [(score, _estimate(share)) for score, share in zip(scores, shares, strict=False)]
    return [(s, share) for s, share in pairs if s is not None and share is not None and share.value is not None]


def _scores(report: Report) -> "Figure | None":
    held = _look_up(report, "film", "scores") or {}
    edges = held.get("edges") or []
    sides = {name: held.get(name) or [] for name in ("fractured", "normal")}
    if len(edges) < 2 or not any(len(counts) == len(edges) - 1 and sum(counts) for counts in sides.values()):
        return None
    figure = _figure(height=4.4)
    panels = figure.subplots(2, sharex=True)
    for axes, (name, counts), colour in zip(panels, sides.items(), (_RED, _BLUE), strict=True):
        axes.set(title=f"{sum(counts):,} {name} films" if sum(counts) else f"no {name} films", ylabel="films")
        if len(counts) == len(edges) - 1:
            axes.stairs(counts, edges, fill=True, color=colour, alpha=0.75)
        for number, point in enumerate(_look_up(report, "points") or ()):
            if point.get("threshold") is not None:
                line = _DASHES[number % len(_DASHES)]
                axes.axvline(point["threshold"], color=_INK, linewidth=1.2, linestyle=line, label=_label(point))
    panels[1].set_xlabel("score of the film")
    handles, labels = panels[0].get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside lower left", ncols=2, handlelength=3)
    return figure


def _label(point: Mapping[str, Any]) -> str:
    return f"{_short(point.get('name', ''))} {point['threshold']:.3f}"


def _slices(report: Report) -> "Figure | None":
    """Draw a forest plot at the first operating point: a row for every part of every slice."""
    points, held = _points(report), _look_up(report, "slices") or {}
    if not points or not held:
        return None
    rows: list[tuple[str, Mapping[str, Any] | None]] = [("all films", _look_up(report, "film", "at", points[0]) or {})]
    for kind, parts in held.items():
        if len(parts or {}) > MOST_ROWS:
            rows.append((f"{kind}: {len(parts)}, see the table", None))
        elif parts:
            rows.append((kind, None))
            rows += [(name, _look_up(part, "at", points[0]) or {}) for name, part in parts.items()]
    figure = _figure(7.4, 1.1 + _ROW_IN * len(rows))
    panels = figure.subplots(1, 2, sharey=True)
    for axes, name in zip(panels, ("sensitivity", "specificity"), strict=True):
        axes.set(title=f"{name} at {_short(points[0])}", xlim=(0, 1), ylim=(len(rows) - 0.4, -0.6))
        axes.spines["left"].set_visible(False)
        axes.grid(axis="x", color="#e6eaee", linewidth=0.6)
        axes.set_axisbelow(True)
        whole = _estimate((rows[0][1] or {}).get(name))
        if whole is not None and whole.value is not None:
            axes.axvline(whole.value, color=_GREY, linewidth=1, linestyle=":")
        for row, (_, at) in enumerate(rows):
            if at is not None:
                _forest_row(axes, row, _estimate(at.get(name)))
    panels[0].set_yticks(range(len(rows)), [_short(name) if at is not None else "" for name, at in rows])
    for axes in panels:
        axes.tick_params(axis="y", length=0, labelcolor=_INK)
    for row, (name, at) in enumerate(rows):
        if at is None:
            place = panels[0].get_yaxis_transform()
            panels[0].text(-0.02, row, _short(name), transform=place, ha="right", va="center", weight="bold")
    return figure


def _forest_row(axes: "Axes", row: int, found: Estimate | None) -> None:
    if found is None or found.value is None:
        why = f"not estimable{f' ({_short(found.note)})' if found is not None and found.note else ''}"
        axes.text(0.02, row, why, color=_SOFT, va="center", fontsize=8, style="italic")
        return
    colour = _GREY if found.few else _BLUE
    axes.errorbar(found.value, row, xerr=_spread(found), fmt="s", color=colour, markersize=5, elinewidth=1.6)
    text = f"n={found.n}{f', {found.few}' if found.few else ''}"
    axes.text(1.05, row, text, color=_SOFT, va="center", fontsize=8)


def _short(text: str) -> str:
    """Keep a name from a manifest to one line that fits and that XML can hold."""
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in str(text)).split())
    return line if len(line) <= 30 else f"{line[:29]}…"


def _look_up(tree: Any, *keys: str) -> Any:
    """Give what stands at the end of the keys, None where any of them is missing or null."""
    for key in keys:
        tree = tree.get(key) if isinstance(tree, Mapping) else None
    return tree


def _estimate(found: Mapping[str, Any] | None) -> Estimate | None:
    """Turn an estimate of a report back into one."""
    return Estimate(**found) if found else None


def _words(found: Mapping[str, Any] | None) -> str:
    """Give value and interval as text."""
    here = _estimate(found)
    if here is None:
        return "not reported"
    if here.value is None:
        return f"not estimable{f': {here.note}' if here.note else ''}"
    interval = "(no interval)" if here.low is None else f"({here.low:.3f} to {here.high:.3f})"
    return f"{here.value:.3f} {interval}"


PLOTS: Mapping[str, Plot] = {
    "roc": _roc,
    "film_pr": _film_pr,
    "scores": _scores,
    "box_pr": _box_pr,
    "froc": _froc,
    "reliability": _reliability,
    "slices": _slices,
}
