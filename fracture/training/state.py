"""Which steps of a rebuild came to their end, with what, and whether that still holds.

A step is done when the state file says that it came to its end with these inputs, this code and these settings, and
what it wrote is still there as it was.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fracture.core.code import code_id
from fracture.core.errors import BadValue
from fracture.core.files import file_hash, file_state, stamp, write_json
from fracture.core.folders import walk
from fracture.data import manifest

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


@dataclass(frozen=True)
class Step:
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


class State:
    """Which steps came to their end, with what, and what they left: one small JSON file, written after every step."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.done: dict[str, dict[str, Any]] = {}
        if path.is_file():
            try:
                self.done = json.loads(path.read_text(encoding="utf-8"))
            except ValueError as error:
                raise BadValue(f"{path} is no state of a rebuild ({error}); delete it to start again") from error

    def is_done(self, step: Step) -> bool:
        """Tell whether the step was finished with what is there now, and its files are as it left them."""
        known = self.done.get(step.title)
        return (
            known is not None
            and all(content_id(path) == known["writes"].get(str(path), "") for path in step.writes)
            and known["key"] == step.key
        )

    def finish(self, step: Step) -> None:
        """Note that the step came to its end."""
        self.done[step.title] = {"key": step.key, "writes": {str(path): content_id(path) for path in step.writes}}
        write_json(self.path, self.done)


def tree_id(tree: Path) -> str:
    """Name the state of a raw tree: its labels and tables by content, its films by size and time."""
    digest = hashlib.sha256()
    for path in walk(tree, hidden=True).files:
        state: object = content_id(path) if path.suffix.lower() in _LABELS else file_state(path)
        digest.update(repr((path.relative_to(tree).as_posix(), state)).encode())
    return digest.hexdigest()[:24]


def manifest_ids(stages: Sequence[Path]) -> list[str]:
    return [content_id(stage / manifest.NAME) for stage in stages]


def content_id(path: Path) -> str:
    """Name a file's content; nothing where it is not there."""
    return file_hash(path) if path.is_file() else ""
