"""A training run's folder: its configuration, its members, their checkpoints, and how far each has come."""

import json
from pathlib import Path
from typing import Any

from fracture.core.errors import BadValue, MissingData
from fracture.models.detectors.config import Config
from fracture.models.runs import CONFIG, FINISHED, count_epochs, ended_on

AVERAGED = "averaged.json"
"""Where a run is the mean of two: which, and the share of the second."""


def run_config(run: Path) -> Config:
    """Give the configuration a run was started with.

    Raises MissingData where the folder is no run, BadValue where it is no detector's.
    """
    if not (run / CONFIG).is_file():
        raise MissingData(f"{run} is no run: it has no {CONFIG}")
    content = json.loads((run / CONFIG).read_text(encoding="utf-8"))
    if "task" in content:
        raise BadValue(f"{run}: expected a detector's run, got one to {content['task']}")
    return Config(**content)


def members(run: Path) -> list[Path]:
    """Give the folders that hold a run's weights: its own, or one for each of its members."""
    return member_folders(run, run_config(run).members if (run / CONFIG).is_file() else 1)


def member_folders(run: Path, count: int) -> list[Path]:
    return [run] if count == 1 else [run / f"member{number + 1}" for number in range(count)]


def round_folders(member: Path, count: int) -> list[Path]:
    """Give the folders of a network's rounds, itself where there is but one."""
    return [member] if count == 1 else [member / f"round{number + 1}" for number in range(count)]


def checkpoints(run: Path) -> list[Path]:
    """Give the best checkpoint of every member. Raises MissingData where one has none."""
    found = [member / "weights" / "best.pt" for member in members(run)]
    for file in found:
        if not file.is_file():
            raise MissingData(f"no {file}: expected a run whose members all have finished an epoch")
    return found


def is_finished(run: Path) -> bool:
    """Tell whether a run's training came to its end; bundling it may still be to do."""
    return all((member / FINISHED).is_file() for member in members(run))


def finished_on(run: Path) -> str | None:
    """Give the day a run's training came to its end, as YYYY-MM-DD; None where it has not, or did not note it."""
    if not is_finished(run):
        return None
    return max(filter(None, map(ended_on, members(run))), default=None)


def can_resume(run: Path) -> bool:
    """Tell whether a run has finished an epoch that it can go on from."""
    return any(
        list(folder.glob("weights/last.pt")) or list(folder.glob("round*/weights/last.pt")) for folder in members(run)
    )


def averaged_from(run: Path) -> dict[str, Any]:
    """Give of which runs a run is the mean, as scripts/average.py noted it; nothing where it is none."""
    if not (run / AVERAGED).is_file():
        return {}
    return {"averaged": json.loads((run / AVERAGED).read_text(encoding="utf-8"))}


def epochs_run(run: Path) -> int:
    """Give how many epochs a run has finished, those of all its members together."""
    return sum(count_epochs(member) for member in members(run))
