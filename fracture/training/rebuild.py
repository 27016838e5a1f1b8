"""From raw films to an evaluated detector in one go: acquire, ingest, preprocess, audit, split, train, evaluate.

A killed rebuild goes on where it was, a changed label is noticed, and nothing half-done is ever trusted.
docs/ARCHITECTURE.md tells what each stage writes; each can be run alone.
"""

import os
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import chain, islice
from pathlib import Path

import numpy as np

from fracture.core.errors import BadValue, FractureError, MissingData
from fracture.core.machine import cores
from fracture.core.types import HarmoniseConfig
from fracture.data import manifest
from fracture.data.acquire.by_hand import instructions
from fracture.data.acquire.fetch import acquire
from fracture.data.acquire.origins import ORIGINS
from fracture.data.ingest import Claim, count_classes
from fracture.data.sources import claims
from fracture.data.workers import film_map, read_film
from fracture.imaging.harmonise import encode_png, harmonise
from fracture.phantom import write_all
from fracture.training.plan import SOURCES, STAGES, Plan, is_there
from fracture.training.state import State
from fracture.training.steps import classes_of, steps_of

STATE = "run_v5.json"
_SAMPLE = 6


def rebuild(plan: Plan, first: str = STAGES[0], last: str = STAGES[-1], *, dry_run: bool = False) -> Iterator[str]:
    """Run the stages from ``first`` to ``last``, yielding lines for a terminal. With ``dry_run`` nothing is written.

    Stages before ``first`` are taken as they stand, and what only they need may be gone. Before any heavy work every
    source's labels are read, so a wrong class name ends the run at once. Raises the refusals of the stages, MissingData
    where no source is there.
    """
    wanted = _between(first, last)
    state = State(plan.work / STATE)
    trees: dict[str, Path] = {}
    said: dict[str, list[Claim]] = {}
    undrawn = plan.phantom and dry_run and not plan.data.exists()
    if undrawn and "acquire" in wanted:
        yield f"acquire: to do: synthetic films are drawn into {plan.data}"
        sources: Sequence[str] = plan.sources or SOURCES
    elif {"acquire", "ingest"} & set(wanted):
        trees, left_out = _trees(plan, download="acquire" in wanted and not dry_run)
        yield from left_out
        said = {name: list(claims(name, tree, classes_of(plan, name))) for name, tree in trees.items()}
        yield from survey(said)
        sources = list(trees)
    else:
        sources = _staged(plan, wanted)
    stale, estimated = False, not said
    for step in steps_of(plan, sources, trees, said):
        if step.stage not in wanted:
            continue
        if state.is_done(step):
            # A dry run cannot know what an earlier step will leave.
            yield f"{step.title}: unchanged{' so far' if stale else ''}"
            continue
        if not estimated:
            yield from _estimate(said, plan)
            estimated = True
        if dry_run:
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
            if not is_there(tree):
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


def _draw_phantom(plan: Plan) -> None:
    """Draw the synthetic sets, all or none: a killed drawing leaves nothing that looks like a set."""
    if plan.data.exists():
        return
    partial = plan.data.with_name(plan.data.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    write_all(partial, np.random.default_rng(plan.seed))
    os.replace(partial, plan.data)


def _estimate(said: Mapping[str, Sequence[Claim]], plan: Plan) -> Iterator[str]:
    """Tell how long the films will take and what they will weigh, measured on a few of each source."""
    seconds = size = 0.0
    there = [[claim.file for claim in found if not claim.problem and claim.file.is_file()] for found in said.values()]
    samples = [files[:: max(1, len(files) // _SAMPLE)][:_SAMPLE] for files in there]
    # One process for all sources: to start one takes longer than the films do.
    tried = film_map(partial(_try, config=plan.harmonise), [*chain(*samples)], lambda *_: None, 1)
    for files, sample in zip(there, samples, strict=True):
        if read := [cost for cost in islice(tried, len(sample)) if cost]:
            # Every film is read three times: to be ingested, to be harmonised, and, smaller, to be compared.
            seconds += 2.5 * sum(cost[0] for cost in read) / len(read) * len(files) / cores()
            size += sum(cost[1] for cost in read) / len(read) * len(files)
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
