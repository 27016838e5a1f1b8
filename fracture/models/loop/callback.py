"""What happens around a run's epochs: dealt, judged on val, kept, written down, and ended where val gains no more."""

import csv
import math
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from fracture.core.files import write_bytes, write_json
from fracture.models.config import RunConfig
from fracture.models.loop import checkpoint
from fracture.models.loop.checkpoint import Checkpoint
from fracture.models.loop.problem import Problem
from fracture.models.loop.seeds import seed
from fracture.models.runs import CURVES, FINISHED, count_epochs


@cache
def callback_class() -> Any:
    from lightning.pytorch import Callback

    class RunCallback(Callback):  # type: ignore[misc, unused-ignore]  # Lightning's classes are untyped here
        """Deals each epoch, judges it on val, keeps last.pt and best.pt, writes a line of curves, ends the run."""

        def __init__(self, config: RunConfig, problem: Problem) -> None:
            self.config = config
            self.problem = problem
            self.best: tuple[float, int] = (-1.0, 0)
            self.spent_s = 0.0
            self.began = time.monotonic()
            self.losses: list[Mapping[str, float]] = []
            self.plain = False

        def state_dict(self) -> dict[str, Any]:
            return {"best": self.best, "spent_s": self.elapsed_s(), "plain": self.plain}

        def load_state_dict(self, state_dict: dict[str, Any]) -> None:
            self.best, self.spent_s = tuple(state_dict["best"]), state_dict["spent_s"]
            self.plain = state_dict.get("plain", state_dict.get("whole_films", False))  # its name before

        def elapsed_s(self) -> float:
            """Give the seconds that the run has learned, those before it was stopped and resumed included."""
            return self.spent_s + time.monotonic() - self.began

        def share_of_hours(self) -> float:
            return self.elapsed_s() / (3600 * self.config.hours) if self.config.hours else 0.0

        def on_train_epoch_start(self, trainer: Any, task: Any) -> None:
            loader = trainer.train_dataloader
            loader.sampler.epoch = trainer.current_epoch
            seed(self.config.seed * 100_003 + trainer.current_epoch)
            left = self._epochs(trainer.current_epoch) - trainer.current_epoch
            self.plain |= left <= self.problem.plain_epochs
            self.problem.begin_epoch(loader, self.plain)
            self.losses = []

        def _epochs(self, done: int) -> float:
            """Estimate how many epochs the run will have: as asked for, or as many as its hours allow at this pace."""
            share = self.share_of_hours()
            return min(self.config.epochs, done / share) if done and share else self.config.epochs

        def on_train_batch_end(self, trainer: Any, task: Any, outputs: Any, batch: Any, index: int) -> None:
            self.losses.append({name: float(value) for name, value in outputs["parts"].items()})
            if self.share_of_hours() >= 1:
                trainer.should_stop = True

        def on_train_epoch_end(self, trainer: Any, task: Any) -> None:
            epoch, every = trainer.current_epoch + 1, self.config.val_every
            last = epoch >= self.config.epochs or self.share_of_hours() >= 1
            judged = self.problem.judge is not None and bool(every) and (last or epoch % every == 0)
            figures = self._judged(task) if judged else {}
            # An epoch between two judgements can never be the best; where none is judged the latest is.
            reached = figures.get(self.problem.figures[0], math.nan) if every else float(epoch)
            better = reached > self.best[0]
            gains_no_more = judged and not better and epoch - self.best[1] >= (self.config.patience or math.inf)
            if gains_no_more or (judged and self.problem.ends and self.problem.ends(epoch, figures)):
                last = trainer.should_stop = True
            if better or (last and self.best[1] == 0):
                self.best = (reached, epoch)
                made = Checkpoint(self.problem.arch, self.problem.labels, _on_cpu(task.net.state_dict()))
                checkpoint.save(made, self.config.folder / "weights" / "best.pt")
            self._note(epoch, task.rate(), figures)
            if last:  # before last.pt: a kill between them would have a run that has ended learn on
                told = {"epochs": count_epochs(self.config.folder), "date": datetime.now(UTC).date().isoformat()}
                write_json(self.config.folder / FINISHED, told)
            _save_whole(trainer, self.config.folder / "weights" / "last.pt")

        def _judged(self, task: Any) -> Mapping[str, float]:
            assert self.problem.judge is not None
            task.net.eval()
            try:
                return self.problem.judge(task.net)
            finally:
                task.net.train()

        def _note(self, epoch: int, rate: float, figures: Mapping[str, float]) -> None:
            """Write the line of an epoch; one that was begun before a kill and is done again stands there once."""
            means = {
                f"train/{name}": sum(one[name] for one in self.losses) / len(self.losses) for name in self.losses[0]
            }
            line: dict[str, Any] = {"epoch": epoch, "time": round(self.elapsed_s(), 1), **means}
            line |= {**dict.fromkeys(self.problem.figures, ""), **figures, "lr": rate}
            file = self.config.folder / CURVES
            known = list(csv.DictReader(file.open(encoding="utf-8"))) if file.is_file() else []
            rows = [row for row in known if int(row["epoch"]) < epoch]
            write_bytes(file, "".join(_lines([*rows, line])).encode())

    return RunCallback


def _on_cpu(state: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value.detach().cpu().clone() for name, value in state.items()}


def _save_whole(trainer: Any, file: Path) -> None:
    """Write the whole state of the run beside its name and rename it: a kill never leaves half a checkpoint."""
    partial = file.with_name("partial_" + file.name)
    file.parent.mkdir(parents=True, exist_ok=True)
    trainer.save_checkpoint(partial)
    os.replace(partial, file)


def _lines(rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    rows = list(rows)
    yield ",".join(rows[0]) + "\n"
    for row in rows:
        yield ",".join(f"{value:.6g}" if isinstance(value, float) else str(value) for value in row.values()) + "\n"
