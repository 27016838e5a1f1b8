"""Thousands of mutated streams inside DICOM in one run of inference.py: what it made of each, and whether it lived."""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.hostile.case import OK, PLANTED, PLANTED_UID
from tests.hostile.streams import mutation

ROOT = Path(__file__).parents[2]
_LIMIT_S_PER_FILM = 5.0
_START_S = 300.0


@dataclass
class BatchOutcome:
    """What became of a run: how often each answer was given, and what must not be."""

    answers: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    def summary(self) -> Iterator[str]:
        """Give it line by line."""
        yield from (f"{count:8}  {code}" for code, count in sorted(self.answers.items()))
        yield from self.faults
        yield f"{len(self.faults)} faults in one run of inference.py"


def abuse_batch(seeds: range, folder: Path, command: tuple[str, ...] = (str(ROOT / "inference.py"),)) -> BatchOutcome:
    """Write the mutations of all seeds into ``folder``, let one command read them, and check what it says of them."""
    films = folder / "films"
    films.mkdir(parents=True, exist_ok=True)
    names = []
    for seed in seeds:
        kind, data = mutation(seed)
        names.append(f"{seed:06d}.{kind}")
        (films / names[-1]).write_bytes(data)
    out = folder / "predictions.jsonl"
    limit_s = _START_S + _LIMIT_S_PER_FILM * len(seeds)
    done = subprocess.run(
        [sys.executable, *command, str(films), "--out", str(out)],
        cwd=folder,
        capture_output=True,
        timeout=limit_s,
        check=False,
    )
    return checked(names, done.returncode, out.read_bytes() if out.is_file() else b"", done.stderr)


def checked(names: list[str], code: int, lines: bytes, said: bytes) -> BatchOutcome:
    """Check a run: one line a film, in order; rc 0 where all were read, 1 where some were refused; nothing planted."""
    outcome = BatchOutcome()
    read = [json.loads(line) for line in lines.splitlines()]
    found = [Path(line["path"]).name for line in read]
    outcome.answers.update(line.get("error", {}).get("code", OK) for line in read)
    if found != names:
        outcome.faults.append(f"{len(found)} lines for {len(names)} films, or in another order")
    expected = int(any("error" in line for line in read))
    if code != expected:
        outcome.faults.append(f"the command ended with {code}, expected {expected}")
    if b"Traceback" in said:
        outcome.faults.append("the command tells of an error")
    if any(planted in text for planted in (PLANTED, PLANTED_UID.encode()) for text in (lines, said)):
        outcome.faults.append("the command tells what was planted")
    return outcome
