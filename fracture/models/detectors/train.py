"""Train a detector of any kind: member after member, each resumable from its last finished epoch."""

from dataclasses import asdict, replace
from pathlib import Path

from fracture.core.errors import BadValue, MissingData
from fracture.core.files import write_json
from fracture.data.yolo import load_dataset
from fracture.models.detectors.config import Config
from fracture.models.detectors.films import harmonise_config_of, refuse_weak
from fracture.models.detectors.runs import CONFIG, can_resume, checkpoints, is_finished, member_folders, run_config
from fracture.models.detectors.table import detector


def train(config: Config, *, resume: bool = False) -> list[Path]:
    """Train, writing weights and curves into the run's folder; give the best checkpoint of every member.

    ``resume`` goes on from the last finished epoch of a run that was stopped. Raises MissingData without a dataset or a
    checkpoint to resume from, BadValue where the films are not harmonised.
    """
    folder = config.folder
    if resume:
        if not can_resume(folder):
            raise MissingData(f"nothing to resume in {folder}")
        config = replace(run_config(folder), hours=config.hours, runs=config.runs, device=config.device)
    elif can_resume(folder):
        raise BadValue(f"{folder} holds a run already; name another one or resume it")
    elif config.state and not config.state.is_file():
        raise MissingData(f"no weights at {config.state}")
    dataset = load_dataset(Path(config.data))
    harmonise_config = harmonise_config_of(dataset)
    kind = detector(config.arch)
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
        kind.train(its, dataset, harmonise_config, resume=can_resume(member))
    return checkpoints(folder)
