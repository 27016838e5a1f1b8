"""From raw films to a judged detector in one go: acquire, ingest, preprocess, audit, split, train, evaluate.

A stage is done when the state file says that it came to its end with these inputs, this code and these settings, and
what it wrote is still there as it was. So a killed rebuild goes on where it was, a changed label is noticed, and
nothing half-done is ever trusted. docs/ARCHITECTURE.md tells what each stage writes; each can be run alone.
"""

import hashlib
import json
import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from fracture.core.code import code_id
from fracture.core.errors import BadValue, FractureError, MissingData
from fracture.core.files import file_hash, file_state, stamp, write_json
from fracture.core.folders import walk
from fracture.core.machine import cores
from fracture.core.types import HarmoniseConfig
from fracture.data import manifest
from fracture.data.acquire.fetch import ORIGINS, acquire, instructions
from fracture.data.assemble import REPORT, assemble
from fracture.data.audit.run import audit
from fracture.data.ingest import Claim, count_classes, ingest
from fracture.data.labels import FractureClasses
from fracture.data.preprocess import preprocess
from fracture.data.sources import account, claims
from fracture.data.workers import film_map, read_film
from fracture.data.yolo import DATASET
from fracture.evaluation import folder as evaluation_folder
from fracture.evaluation.measure import Ask
from fracture.evaluation.report.text import text
from fracture.evaluation.run import Settings, evaluate_model
from fracture.imaging.harmonise import encode_png, harmonise
from fracture.inference.reader import Reader
from fracture.models.detectors.config import Config
from fracture.models.detectors.runs import can_resume, epochs_run, is_finished
from fracture.models.detectors.train import train
from fracture.phantom import write_all
from fracture.training.bundle import bundle

STAGES = ("acquire", "ingest", "preprocess", "audit", "split", "train", "evaluate")
SOURCES = ("fracatlas", "grazpedwri", "humerus", "hip")
STATE = "run_v5.json"

# What makes the outcome of a stage; all that this code calls, however far, counts with it.
_CODE: Mapping[str, tuple[str, ...]] = {
    "ingest": ("fracture.data.ingest", "fracture.data.sources"),
    "preprocess": ("fracture.data.preprocess",),
    "audit": ("fracture.data.audit.run",),
    "split": ("fracture.data.assemble",),
    # A run that ended is only bundled anew: exported, its thresholds, calibration and scope measured.
    "train": ("fracture.models.detectors.train", "fracture.training.bundle"),
    "evaluate": ("fracture.evaluation.run", "fracture.inference.reader"),
}
_LABELS = {".csv", ".json", ".xml", ".txt", ".yaml", ".yml"}
_SAMPLE = 6


@dataclass(frozen=True)
class Plan:
    """What to rebuild and where. ``sources`` None means: those of v5 that are there or can be had.

    ``data`` holds the raw sets, ``work`` the stages and the state, ``dataset`` the YOLO tree. ``fracture_names`` are
    the hip set's fracture classes where its export spells them differently. With ``phantom`` the raw sets are
    synthetic, drawn into ``data`` instead of downloaded.
    """

    data: Path = Path("data")
    work: Path = Path("stage")
    dataset: Path = Path("dataset_v5")
    report: Path = Path("report")
    sources: tuple[str, ...] | None = None
    skip_download: bool = False
    roboflow_key: str | None = field(default=None, repr=False)
    fracture_names: tuple[str, ...] = ()
    harmonise: HarmoniseConfig = field(default_factory=HarmoniseConfig)
    val: float = 0.10
    test: float = 0.15
    seed: int = 0
    keep: Path | None = None
    training: Config = field(default_factory=Config)
    target_recall: float = 0.90
    phantom: bool = False

    @property
    def run(self) -> Config:
        """Give the training run: what was asked for, on the dataset of this plan."""
        return replace(self.training, data=str(self.dataset / DATASET))

    def __post_init__(self) -> None:
        unknown = sorted(set(self.sources or ()) - set(SOURCES))
        if unknown:
            raise BadValue(f"expected sources out of {', '.join(SOURCES)}, got {', '.join(unknown)}")


DEFAULT = Plan(
    sources=("fracatlas",),
    training=Config(
        model="yolov8n.pt",
        epochs=40,
        imgsz=640,
        batch=16,
        films_per_step=16,
        learning_rate=0.001,
        name="fracture_yolov8n_640",
        patience=1000,
        val_every=5,
    ),
)
"""A detector from FracAtlas alone, in ninety minutes on two cores with bfloat16: the model that ships."""

PHANTOM = Plan(
    data=Path("phantom/raw"),
    work=Path("phantom/stage"),
    dataset=Path("phantom/dataset_v5"),
    report=Path("phantom/report"),
    # Few films: larger shares, so that every region has a fractured film or two in each part.
    val=0.2,
    test=0.25,
    training=Config(
        model="yolov8n.yaml",
        epochs=12,
        imgsz=224,
        batch=16,
        name="fracture_phantom",
        patience=1000,
        val_every=4,
        runs="phantom/runs",
        device="cpu",
    ),
    phantom=True,
)
"""The whole line on synthetic films in a few minutes of CPU. It shows that the line works; its figures mean nothing."""


def default_plan(data: Path = Plan.data) -> Plan:
    """Give `DEFAULT` where FracAtlas is all there is in ``data``, or nothing; else the plan of v5."""
    others = [name for name in SOURCES if name != "fracatlas" and _is_there(data / ORIGINS[name].folder)]
    return replace(Plan() if others else DEFAULT, data=data)


def rebuild(plan: Plan, first: str = STAGES[0], last: str = STAGES[-1], *, dry_run: bool = False) -> Iterator[str]:
    """Run the stages from ``first`` to ``last``, yielding lines for a terminal. With ``dry_run`` nothing is written.

    Stages before ``first`` are taken as they stand, and what only they need may be gone. Before any heavy work every
    source's labels are read, so a wrong class name ends the run at once. Raises the refusals of the stages, MissingData
    where no source is there.
    """
    wanted = _between(first, last)
    state = _State(plan.work / STATE)
    trees: dict[str, Path] = {}
    said: dict[str, list[Claim]] = {}
    undrawn = plan.phantom and dry_run and not plan.data.exists()
    if undrawn and "acquire" in wanted:
        yield f"acquire: to do: synthetic films are drawn into {plan.data}"
        sources: Sequence[str] = plan.sources or SOURCES
    elif {"acquire", "ingest"} & set(wanted):
        trees, left_out = _trees(plan, download="acquire" in wanted and not dry_run)
        yield from left_out
        said = {name: list(claims(name, tree, _classes(plan, name))) for name, tree in trees.items()}
        yield from survey(said)
        yield from _estimate(said, plan)
        sources = list(trees)
    else:
        sources = _staged(plan, wanted)
    stale = False
    for step in _steps(plan, sources, trees, said):
        if step.stage not in wanted:
            continue
        if state.is_done(step):
            # A dry run cannot know what an earlier step will leave.
            yield f"{step.title}: unchanged{' so far' if stale else ''}"
        elif dry_run:
            stale = True
            yield f"{step.title}: to do"
        else:
            started = time.monotonic()
            yield f"{step.title} ..."
            yield from step.work()
            state.finish(step)
            yield f"{step.title}: done in {time.monotonic() - started:.0f} s"


def survey(said: Mapping[str, Sequence[Claim]]) -> Iterator[str]:
    """Tell what the sources hold, from their labels alone: films by label and region, classes kept and dropped."""
    yield f"{'source':<12}{'films':>8}{'fractured':>11}{'normal':>8}{'unlabelled':>12}{'boxes':>8}  fractured films"
    for name, found in said.items():
        truth = Counter(claim.fractured for claim in found if not claim.problem)
        boxes = sum(len(claim.boxes or ()) for claim in found)
        films = Counter(region for claim in found for region in claim.regions)
        broken = Counter(region for claim in found if claim.fractured for region in claim.regions)
        regions = ", ".join(f"{region} {broken[region]} of {count}" for region, count in sorted(films.items()))
        yield f"{name:<12}{len(found):>8}{truth[True]:>11}{truth[False]:>8}{truth[None]:>12}{boxes:>8}  {regions}"
    for name, found in said.items():
        classes = count_classes(found)
        if any(classes.values()):
            kept, dropped = (", ".join(f"{c} {n}" for c, n in classes[kind].items()) for kind in ("kept", "dropped"))
            yield f"{name}: kept as fractures: {kept or 'none'}; dropped: {dropped or 'none'}"
        problems = Counter(claim.problem for claim in found if claim.problem)
        if problems:
            yield f"{name}: {problems.total()} films will be set aside, e.g. {problems.most_common(1)[0][0]}"


def _between(first: str, last: str) -> tuple[str, ...]:
    for stage in (first, last):
        if stage not in STAGES:
            raise BadValue(f"expected a stage out of {', '.join(STAGES)}, got {stage!r}")
    if STAGES.index(first) > STAGES.index(last):
        raise BadValue(f"expected the first stage not to come after the last, got {first} and {last}")
    return STAGES[STAGES.index(first) : STAGES.index(last) + 1]


def _trees(plan: Plan, *, download: bool) -> tuple[dict[str, Path], list[str]]:
    """Find the raw tree of every source, fetched where wanted and possible; and say which are left out, and why."""
    if plan.phantom and download:
        _draw_phantom(plan)
    trees: dict[str, Path] = {}
    left_out: list[str] = []
    for name in plan.sources or SOURCES:
        tree = plan.data / ORIGINS[name].folder
        try:
            if not _is_there(tree):
                if plan.phantom:
                    raise MissingData(f"{tree} is not there; remove {plan.data} to have all sets drawn again")
                if plan.skip_download or not download:
                    raise MissingData(f"{tree} is not there\n{instructions(name, plan.data)}")
                acquire(name, plan.data, roboflow_key=plan.roboflow_key)
            trees[name] = tree
        except MissingData as error:
            if plan.sources:
                raise
            left_out.append(f"left out: {name}: {error}")
    if not trees:
        raise MissingData("no source is there:\n" + "\n".join(left_out))
    return trees, left_out


def _staged(plan: Plan, wanted: Sequence[str]) -> Sequence[str]:
    """Find the sources that earlier stages left, where a stage that is wanted goes on from them."""
    if plan.sources or not {"preprocess", "audit", "split"} & set(wanted):
        return plan.sources or ()
    left = "" if "preprocess" in wanted else "_proc"
    found = [name for name in SOURCES if (plan.work / f"{name}{left}" / manifest.NAME).is_file()]
    if not found:
        raise MissingData(f"expected a stage that an earlier run left in {plan.work}, got none; begin at acquire")
    return found


def _is_there(tree: Path) -> bool:
    return tree.is_dir() and any(tree.iterdir())


def _draw_phantom(plan: Plan) -> None:
    """Draw the synthetic sets, all or none: a killed drawing leaves nothing that looks like a set."""
    if plan.data.exists():
        return
    partial = plan.data.with_name(plan.data.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    write_all(partial, np.random.default_rng(plan.seed))
    os.replace(partial, plan.data)


def _classes(plan: Plan, source: str) -> FractureClasses | None:
    return FractureClasses(plan.fracture_names) if plan.fracture_names and source == "hip" else None


def _estimate(said: Mapping[str, Sequence[Claim]], plan: Plan) -> Iterator[str]:
    """Tell how long the films will take and what they will weigh, measured on a few of each source."""
    seconds = size = 0.0
    for found in said.values():
        there = [claim.file for claim in found if not claim.problem and claim.file.is_file()]
        sample = there[:: max(1, len(there) // _SAMPLE)][:_SAMPLE]
        tried = film_map(partial(_try, config=plan.harmonise), sample, lambda *_: None, 1)
        if read := [cost for cost in tried if cost]:
            # Every film is read three times: to be ingested, to be harmonised, and, smaller, to be compared.
            seconds += 2.5 * sum(cost[0] for cost in read) / len(read) * len(there) / cores()
            size += sum(cost[1] for cost in read) / len(read) * len(there)
    batches = sum(len(found) for found in said.values()) * (1 - plan.val - plan.test) / plan.training.batch
    yield (
        f"estimated: {seconds / 60:.1f} min and {size / 1e9:.2f} GB up to the split; then up to {plan.training.epochs} "
        f"epochs of at most {batches:.0f} steps at {plan.training.imgsz} px, the first of which tells how long"
    )


def _try(file: Path, config: HarmoniseConfig) -> tuple[float, int] | None:
    """Give the seconds that preparing a film takes and its bytes then, None for one that ingest will set aside."""
    began = time.perf_counter()
    try:
        size = len(encode_png(harmonise(read_film(file), config)))
    except FractureError:
        return None
    return time.perf_counter() - began, size


@dataclass(frozen=True)
class _Step:
    """One stage, of one source where it works on each alone: what its outcome depends on, what it writes, its work."""

    stage: str
    source: str
    depends_on: Callable[[], object]
    writes: tuple[Path, ...]
    work: Callable[[], Iterator[str]]

    @property
    def title(self) -> str:
        return f"{self.stage} {self.source}".strip()

    @property
    def key(self) -> str:
        """Name the state of everything the outcome depends on, as it is now."""
        return stamp(code_id(*_CODE[self.stage]), self.depends_on())


class _State:
    """Which steps came to their end, with what, and what they left: one small JSON file, written after every step."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.done: dict[str, dict[str, Any]] = {}
        if path.is_file():
            try:
                self.done = json.loads(path.read_text(encoding="utf-8"))
            except ValueError as error:
                raise BadValue(f"{path} is no state of a rebuild ({error}); delete it to start again") from error

    def is_done(self, step: _Step) -> bool:
        """Tell whether the step was finished with what is there now, and its files are as it left them."""
        known = self.done.get(step.title)
        return (
            known is not None
            and all(_content(path) == known["writes"].get(str(path), "") for path in step.writes)
            and known["key"] == step.key
        )

    def finish(self, step: _Step) -> None:
        """Note that the step came to its end."""
        self.done[step.title] = {"key": step.key, "writes": {str(path): _content(path) for path in step.writes}}
        write_json(self.path, self.done)


def _steps(
    plan: Plan, sources: Sequence[str], trees: Mapping[str, Path], said: Mapping[str, Sequence[Claim]]
) -> Iterator[_Step]:
    stages = [plan.work / f"{name}_proc" for name in sources]
    for name in sources:
        yield _ingest(plan, name, trees.get(name, plan.data / ORIGINS[name].folder), said.get(name, ()))
    for name in sources:
        yield _preprocess(plan, name)
    yield _audit(plan, stages)
    yield _split(plan, stages)
    yield _train(plan)
    yield _evaluate(plan)


def _ingest(plan: Plan, name: str, tree: Path, found: Sequence[Claim]) -> _Step:
    out = plan.work / name

    def work() -> Iterator[str]:
        yield account(found, ingest(found, out))

    return _Step("ingest", name, lambda: (tree_id(tree), _classes(plan, name)), (out / manifest.NAME,), work)


def _preprocess(plan: Plan, name: str) -> _Step:
    src, out = plan.work / name, plan.work / f"{name}_proc"

    def work() -> Iterator[str]:
        records = preprocess(src, out, plan.harmonise)
        aside = sum(record.split == "set_aside" for record in records)
        yield f"{len(records)} films in = {len(records) - aside} harmonised + {aside} set aside"

    return _Step(
        "preprocess", name, lambda: (_content(src / manifest.NAME), plan.harmonise), (out / manifest.NAME,), work
    )


def _audit(plan: Plan, stages: Sequence[Path]) -> _Step:
    out = plan.work / "audit"

    def work() -> Iterator[str]:
        found = audit(stages)
        found.save(out)
        yield found.text()

    return _Step("audit", "", lambda: _manifests(stages), (out / "audit.json", out / "audit.html"), work)


def _split(plan: Plan, stages: Sequence[Path]) -> _Step:
    out = plan.dataset

    def work() -> Iterator[str]:
        report = assemble(stages, out, val=plan.val, test=plan.test, seed=plan.seed, keep=plan.keep)
        yield report.text()
        if report.leaks:
            raise BadValue(f"expected no leak between the splits, got {report.leaks}; see {report.path}")

    def depends_on() -> object:
        return _manifests(stages), plan.val, plan.test, plan.seed, plan.keep and _content(plan.keep)

    return _Step("split", "", depends_on, (out / manifest.NAME, out / REPORT), work)


def _train(plan: Plan) -> _Step:
    run = plan.run.folder

    def depends_on() -> object:
        return _content(plan.dataset / manifest.NAME), asdict(plan.run)

    def work() -> Iterator[str]:
        mark, asked = run / "asked.json", {"for": stamp(depends_on())}
        if run.exists() and (not mark.is_file() or json.loads(mark.read_text(encoding="utf-8")) != asked):
            raise BadValue(f"{run} holds a run of other films or settings; name another run, or move it away")
        write_json(mark, asked)
        if not is_finished(run):
            train(plan.run, resume=can_resume(run))
        card = bundle(run)
        yield f"{card.model_id}: {epochs_run(run)} epochs; bundle: {run}"

    return _Step("train", "", depends_on, (run / "model.onnx", run / "card.json"), work)


def _evaluate(plan: Plan) -> _Step:
    run, page = plan.run.folder, plan.report / evaluation_folder.PAGE

    def work() -> Iterator[str]:
        report = evaluate_model(Reader.load(run), Settings(plan.dataset, plan.report, ask=Ask(plan.target_recall)))
        yield text(report)
        yield f"written: {page} and {evaluation_folder.REPORT}"

    def depends_on() -> object:
        return _content(plan.dataset / manifest.NAME), _content(run / "card.json"), plan.target_recall

    return _Step("evaluate", "", depends_on, (plan.report / evaluation_folder.REPORT, page), work)


def tree_id(tree: Path) -> str:
    """Name the state of a raw tree: its labels and tables by content, its films by size and time."""
    digest = hashlib.sha256()
    for path in walk(tree, hidden=True).files:
        state: object = _content(path) if path.suffix.lower() in _LABELS else file_state(path)
        digest.update(repr((path.relative_to(tree).as_posix(), state)).encode())
    return digest.hexdigest()[:24]


def _manifests(stages: Sequence[Path]) -> list[str]:
    return [_content(stage / manifest.NAME) for stage in stages]


def _content(path: Path) -> str:
    """Name a file's content; nothing where it is not there."""
    return file_hash(path) if path.is_file() else ""
