"""Train a detector of any kind: member after member, round after round, resumable from the last finished epoch."""

import shutil
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from fracture.core.errors import BadValue, MissingData
from fracture.core.files import write_bytes, write_json
from fracture.core.types import HarmoniseConfig
from fracture.data.yolo import Dataset, load_dataset
from fracture.models.detectors.config import Config
from fracture.models.detectors.detector import Detector
from fracture.models.detectors.runs import (
    can_resume,
    checkpoints,
    is_finished,
    member_folders,
    round_folders,
    run_config,
)
from fracture.models.detectors.table import detector
from fracture.models.films import harmonise_config_of, refuse_weak
from fracture.models.runs import CONFIG, CURVES, FINISHED


def train(config: Config, *, resume: bool = False) -> list[Path]:
    """Train, writing weights and curves into the run's folder; give the best checkpoint of every member.

    ``resume`` goes on from the last finished epoch of a run that was stopped, in the hours that it was given unless
    others are named. Raises MissingData without a dataset or a
    checkpoint to resume from, BadValue where the films are not harmonised.
    """
    kind = detector(config.arch)
    folder = config.folder
    if resume:
        if not can_resume(folder):
            raise MissingData(f"nothing to resume in {folder}")
        told = run_config(folder)
        config = replace(told, hours=config.hours or told.hours, runs=config.runs, device=config.device)
        kind = detector(config.arch)
    elif can_resume(folder):
        raise BadValue(f"{folder} holds a run already; name another one or resume it")
    elif config.state and config.start not in kind.starts and not config.state.is_file():
        raise MissingData(f"no weights at {config.state}")
    dataset = load_dataset(Path(config.data))
    harmonise_config = harmonise_config_of(dataset)
    kind.require()  # before anything is written: its library may not be installed
    if not config.allow_weak:
        refuse_weak(dataset)
    if config.members > 1:
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / CONFIG, asdict(config))
    for number, member in enumerate(member_folders(folder, config.members)):
        if is_finished(member):
            continue
        its = replace(
            config,
            name=str(member.relative_to(config.runs)),
            seed=config.seed + number,
            hours=config.hours and config.hours / config.members,
            members=1,
        )
        _train_one(kind, its, dataset, harmonise_config)
    return checkpoints(folder)


def _train_one(kind: Detector, config: Config, dataset: Dataset, harmonise_config: HarmoniseConfig) -> None:
    """Train one network in its rounds; each after the first begins with the mean of those before."""
    folder = config.folder
    rounds = round_folders(folder, config.rounds)
    if len(rounds) == 1:
        kind.train(config, dataset, harmonise_config, resume=can_resume(folder))
        return
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / CONFIG, asdict(config))
    ends: list[Path] = []
    mean = folder / "weights" / "best.pt"
    for number, its in enumerate(rounds):
        if not is_finished(its):
            begun = replace(config, model=str(mean), start="", restate=0) if number else config
            one = replace(
                begun,
                name=str(its.relative_to(config.runs)),
                rounds=1,
                hours=config.hours and config.hours / len(rounds),
            )
            kind.train(one, dataset, harmonise_config, resume=can_resume(its))
        ends.append(its / "weights" / "best.pt")
        kind.average(ends, mean)
    write_bytes(folder / CURVES, _one_after_the_other([its / CURVES for its in rounds]))
    shutil.copy2(rounds[-1] / FINISHED, folder / FINISHED)


def _one_after_the_other(curves: Sequence[Path]) -> bytes:
    """Join the curves of rounds, their epochs counted on."""
    head, *lines = [line for file in curves for line in file.read_text(encoding="utf-8").splitlines()]
    lines = [line for line in lines if line != head]
    counted = [f"{number},{line.partition(',')[2]}" for number, line in enumerate(lines, start=1)]
    return "\n".join([head, *counted, ""]).encode()
