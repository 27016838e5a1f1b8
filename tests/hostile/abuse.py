"""Thousands of films with a few things wrong, against a running service: what it answered, and what it cost."""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tests.hostile.mutate import mutation
from tests.hostile.service import AT_ONCE, Answer, Service, leaks

BATCH = 200
"""After so many inputs a good film is sent, and the memory is looked at."""

GROWTH_MB = 50
_SLOWEST = 5


@dataclass
class Outcome:
    """What became of a run. ``faults`` are what must not be; ``crashes`` are children that broke down over a film."""

    answers: Counter[tuple[int, str]] = field(default_factory=Counter)
    slowest: list[tuple[float, int]] = field(default_factory=list)
    growth_mb: float = 0.0
    crashes: int = 0
    faults: list[str] = field(default_factory=list)

    def summary(self) -> Iterator[str]:
        """Give it line by line."""
        for (status, code), count in sorted(self.answers.items()):
            yield f"{count:8}  {status} {code}"
        slowest = ", ".join(f"{seconds:.2f} s (seed {seed})" for seconds, seed in self.slowest)
        yield f"slowest: {slowest}"
        yield f"memory: the service grew by {self.growth_mb:.0f} MB; children that broke down: {self.crashes}"
        yield from self.faults
        yield f"{len(self.faults)} faults"


def abuse(count: int, seed: int, folder: Path, outcome: Outcome) -> Iterator[str]:
    """Attack a service of its own with the mutations of ``count`` seeds from ``seed`` on; see `attack`."""
    folder.mkdir(parents=True, exist_ok=True)
    with Service(folder / "service.log") as service:
        yield from attack(service, range(seed, seed + count), folder, outcome)
    outcome.faults += faults_in(service.log.read_bytes())


def attack(service: Service, seeds: range, folder: Path, outcome: Outcome) -> Iterator[str]:
    """Send the mutations of all seeds, several at a time, and yield how far it is; ``outcome`` is filled in.

    An input whose answer is a fault, or over which a child broke down, is written into ``folder``.
    """
    before_mb = service.memory_mb
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for start in range(0, len(seeds), BATCH):
            batch = seeds[start : start + BATCH]
            answers = pool.map(lambda seed: service.detect(mutation(seed)[1]), batch)
            for seed, answer in zip(batch, answers, strict=True):
                _note(seed, answer, folder, outcome)
            if not (service.alive and service.reads_rightly()):
                outcome.faults.append(f"seeds {batch[0]} to {batch[-1]}: afterwards a good film is not read as before")
                return
            outcome.growth_mb = service.memory_mb - before_mb
            yield f"{start + len(batch)} of {len(seeds)}, {len(outcome.faults)} faults; next is --seed {batch[-1] + 1}"
    if outcome.growth_mb >= GROWTH_MB:
        outcome.faults.append(f"memory: grew by {outcome.growth_mb:.0f} MB, expected less than {GROWTH_MB} MB")


def faults_in(log: bytes) -> list[str]:
    """Say what no log may hold, whatever the input."""
    errors = b"Traceback" in log or b" ERROR " in log
    return ["the log tells what was planted"] * leaks(log) + ["the log tells of an error"] * errors


def _note(seed: int, answer: Answer, folder: Path, outcome: Outcome) -> None:
    outcome.answers[answer.status, answer.code] += 1
    outcome.slowest = sorted([*outcome.slowest, (answer.seconds, seed)], reverse=True)[:_SLOWEST]
    outcome.crashes += answer.code == "decode_failed"
    fault = answer.fault() or ("not answered" if answer.status == 0 else None)
    if fault:
        outcome.faults.append(f"seed {seed}: {fault}")
    if fault or answer.code == "decode_failed":
        kind, data = mutation(seed)
        (folder / f"{seed}.{kind}").write_bytes(data)
