"""The steps of a rebuild: what each depends on, what it writes, and its work."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from fracture.core.errors import BadValue
from fracture.core.files import stamp, write_json
from fracture.data import manifest
from fracture.data.acquire.origins import ORIGINS
from fracture.data.assemble import REPORT, assemble
from fracture.data.audit.run import audit, save
from fracture.data.ingest import Claim, ingest
from fracture.data.labels import FractureClasses
from fracture.data.preprocess import preprocess
from fracture.data.sources import account
from fracture.evaluation import folder as evaluation_folder
from fracture.evaluation.measure import Ask
from fracture.evaluation.report.text import text
from fracture.evaluation.run import Settings, evaluate_model
from fracture.inference.reader import Reader
from fracture.models.detectors.runs import can_resume, epochs_run, is_finished
from fracture.models.detectors.train import train
from fracture.training.bundle import bundle
from fracture.training.plan import Plan
from fracture.training.state import Step, content_id, manifest_ids, tree_id


def steps_of(
    plan: Plan, sources: Sequence[str], trees: Mapping[str, Path], said: Mapping[str, Sequence[Claim]]
) -> Iterator[Step]:
    stages = [plan.work / f"{name}_proc" for name in sources]
    for name in sources:
        yield _ingest(plan, name, trees.get(name, plan.data / ORIGINS[name].folder), said.get(name, ()))
    for name in sources:
        yield _preprocess(plan, name)
    yield _audit(plan, stages)
    yield _split(plan, stages)
    yield _train(plan)
    yield _evaluate(plan)


def _ingest(plan: Plan, name: str, tree: Path, found: Sequence[Claim]) -> Step:
    out = plan.work / name

    def work() -> Iterator[str]:
        yield account(found, ingest(found, out))

    return Step("ingest", name, lambda: (tree_id(tree), classes_of(plan, name)), (out / manifest.NAME,), work)


def _preprocess(plan: Plan, name: str) -> Step:
    src, out = plan.work / name, plan.work / f"{name}_proc"

    def work() -> Iterator[str]:
        records = preprocess(src, out, plan.harmonise)
        aside = sum(record.split == "set_aside" for record in records)
        yield f"{len(records)} films in = {len(records) - aside} harmonised + {aside} set aside"

    return Step(
        "preprocess", name, lambda: (content_id(src / manifest.NAME), plan.harmonise), (out / manifest.NAME,), work
    )


def _audit(plan: Plan, stages: Sequence[Path]) -> Step:
    out = plan.work / "audit"

    def work() -> Iterator[str]:
        found = audit(stages)
        save(found, out)
        yield found.text()

    return Step("audit", "", lambda: manifest_ids(stages), (out / "audit.json", out / "audit.html"), work)


def _split(plan: Plan, stages: Sequence[Path]) -> Step:
    out = plan.dataset

    def work() -> Iterator[str]:
        report = assemble(stages, out, val=plan.val, test=plan.test, seed=plan.seed, keep=plan.keep)
        yield report.text()
        if report.leaks:
            raise BadValue(f"expected no leak between the splits, got {report.leaks}; see {report.path}")

    def depends_on() -> object:
        return manifest_ids(stages), plan.val, plan.test, plan.seed, plan.keep and content_id(plan.keep)

    return Step("split", "", depends_on, (out / manifest.NAME, out / REPORT), work)


def _train(plan: Plan) -> Step:
    run = plan.run.folder

    def depends_on() -> object:
        return content_id(plan.dataset / manifest.NAME), asdict(plan.run)

    def work() -> Iterator[str]:
        mark, asked = run / "asked.json", {"for": stamp(depends_on())}
        if run.exists() and (not mark.is_file() or json.loads(mark.read_text(encoding="utf-8")) != asked):
            raise BadValue(f"{run} holds a run of other films or settings; name another run, or move it away")
        write_json(mark, asked)
        if not is_finished(run):
            train(plan.run, resume=can_resume(run))
        card = bundle(run)
        yield f"{card.model_id}: {epochs_run(run)} epochs; bundle: {run}"

    return Step("train", "", depends_on, (run / "model.onnx", run / "card.json"), work)


def _evaluate(plan: Plan) -> Step:
    run, page = plan.run.folder, plan.report / evaluation_folder.PAGE

    def work() -> Iterator[str]:
        report = evaluate_model(Reader.load(run), Settings(plan.dataset, plan.report, ask=Ask(plan.target_recall)))
        yield text(report)
        yield f"written: {page} and {evaluation_folder.REPORT}"

    def depends_on() -> object:
        return content_id(plan.dataset / manifest.NAME), content_id(run / "card.json"), plan.target_recall

    return Step("evaluate", "", depends_on, (plan.report / evaluation_folder.REPORT, page), work)


def classes_of(plan: Plan, source: str) -> FractureClasses | None:
    return FractureClasses(plan.fracture_names) if plan.fracture_names and source == "hip" else None
