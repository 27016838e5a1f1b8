"""A benchmark as tables: in Markdown for a file, and in columns for a terminal."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fracture.core.words import counted
from fracture.evaluation.benchmark.model import Began, Benchmark, Entry
from fracture.evaluation.report.model import Estimate

_MEGA = 1_000_000


@dataclass(frozen=True)
class Table:
    """A table with its title; the first row is the head."""

    title: str
    rows: Sequence[Sequence[str]]


def markdown(found: Benchmark) -> str:
    """Give a benchmark as Markdown."""
    parts = [f"# {_title(found)}", _about(found)]
    for table in _tables(found):
        head, *rows = [[cell.replace("|", "\\|") for cell in row] for row in table.rows]
        lines = [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)]
        parts += [f"## {table.title}", "\n".join(lines)]
    parts.append("\n".join(f"- {note}" for note in _notes(found)))
    return "\n\n".join(parts).rstrip() + "\n"


def columns(found: Benchmark) -> str:
    """Give a benchmark as text for a terminal."""
    parts = [f"{_title(found)}\n{_about(found)}"]
    for table in _tables(found):
        wide = [max(map(len, column)) for column in zip(*table.rows, strict=True)]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, wide, strict=True)) for row in table.rows]
        parts.append("\n".join([table.title, *(f"  {line.rstrip()}" for line in lines)]))
    parts.append("\n".join(f"! {note}" for note in _notes(found)))
    return "\n\n".join(parts).rstrip()


def _title(found: Benchmark) -> str:
    return f"{counted(len(found.models), 'model')} on {found.data.name}, {found.data.split}"


def _about(found: Benchmark) -> str:
    made = found.made
    return (
        f"{counted(found.data.films, 'labelled film')} of manifest {found.data.dataset_id}; {made.date}, version "
        f"{made.version}. In brackets are 95 % intervals over groups of films, and of how many films or boxes "
        f"and groups a figure is. Times are of {counted(made.machine.cores, 'core')} ({made.machine.processor}), all "
        "models in turns on the same films: trust the ratios."
    )


def _tables(found: Benchmark) -> Iterator[Table]:
    models = found.models
    head = ["model", "AP50", "AP50-95", "AP at IoU .1", "AP of clinical hits", "film AUC"]
    skills = [(one.name, one.skill) for one in models]
    rows = [[name, *map(_long, (had.ap50, had.ap50_95, had.ap10, had.ap_centre, had.film_auc))] for name, had in skills]
    yield Table("How good", [head, *rows])
    rows = [
        [
            name,
            point + ("" if at.reached else " (target not reached)"),
            f"{at.threshold:.3f}",
            _long(at.sensitivity),
            _long(at.specificity),
        ]
        for name, had in skills
        for point, at in had.at.items()
    ]
    if rows:
        yield Table("Films flagged, each at its own threshold", [["model", "at", "threshold", *_RATES], *rows])
    rows = [
        [one.name, row.name, _long(row.difference, signed=True), "" if row.p is None else f"{row.p:.3f}", row.test]
        for one in models
        if one.against_first
        for row in one.against_first.rows
    ]
    if rows:
        yield Table(f"Less {models[0].name}", [["model", "figure", "difference", "p", "test"], *rows])
    yield Table("What it costs", [_COSTS, *map(_cost, models)])
    yield Table("Who began where", [_BEGAN, *([one.name, *_began(one.began)] for one in models)])


_RATES = ("sensitivity", "specificity")
_COSTS = [
    *("model", "p50, ms", "p90, ms", "films/s", "p50 : first", "films/s : first"),
    *("memory, MB", "file, MB", "parameters, M", "run by"),
]
_BEGAN = [
    *("model", "architecture", "network", "began with", "long side, px", "epochs", "hours at most"),
    *("films a step", "train films"),
]


def _cost(one: Entry) -> list[str]:
    timed, cost = one.speed, one.cost
    times = [
        *(f"{value:.0f}" for value in (timed.p50_ms, timed.p90_ms)),
        *(f"{value:.2f}" for value in (timed.films_per_s, timed.p50_over_first, timed.films_per_s_over_first)),
    ] if timed else [""] * 5  # fmt: skip
    taken = ["" if cost.peak_mb is None else f"{cost.peak_mb:.0f}", f"{cost.file_bytes / _MEGA:.1f}"]
    counted_numbers = "" if cost.parameters is None else f"{cost.parameters / _MEGA:.1f}"
    return [one.name, *times, *taken, counted_numbers, one.backend]


def _began(began: Began) -> list[str]:
    start = began.start or "not told"
    if began.averaged:
        start += f"; mean of {' and '.join(began.averaged)}"
    run, asked = began.epochs_run, began.epochs
    epochs = "" if run is None and asked is None else _number(asked if run is None else run)
    if run is not None and asked is not None and run != asked:
        epochs += f" of {asked}"
    network = began.network or ""
    if began.members > 1:
        network += f", {began.members} members"
    rest = (began.hours, began.films_per_step, began.train_films)
    return [began.arch, network, start, str(began.long_side_px), epochs, *map(_number, rest)]


def _notes(found: Benchmark) -> Iterator[str]:
    for one in found.models:
        if one.made_with:
            yield f"{one.name}: NOT A TEST: it was trained or its thresholds chosen on {one.made_with} of these films"
        if one.refused:
            yield f"{one.name}: {counted(len(one.refused), 'film was', 'films were')} refused and in no figure of it"
        if one.against_first and one.against_first.films < found.data.films:
            yield (
                f"{one.name}: beside {found.models[0].name} on {one.against_first.films} of {found.data.films} films, "
                "those that are a test of both and that both read"
            )
        yield from (f"{one.name}: {warning}" for warning in one.warnings)


def _long(found: Estimate, *, signed: bool = False) -> str:
    """Write a figure with its interval and what it rests on."""
    if found.value is None:
        return found.note or "not measured"
    form = "+.3f" if signed else ".3f"
    value = f"{0.0 if found.value == 0 else found.value:{form}}"
    interval = "" if found.low is None else f" ({found.low:{form}} to {found.high:{form}})"
    return f"{value}{interval} [{found.n}; {found.n_groups}]"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:g}"
