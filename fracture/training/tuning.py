"""What settings a film classifier learns best with: a study by Optuna whose trials are ordinary runs, judged on val.

A study can be killed at any moment. The trial that it was at goes on from its last epoch, under its number; none is
done twice. What learns worse than half of the trials before did at the same epoch is ended there.

Source: T. Akiba et al., Optuna: A Next-generation Hyperparameter Optimization Framework, KDD 2019.
"""

import csv
import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from fracture.core.errors import BadValue
from fracture.models.classifiers.config import BALANCES, LOSSES, ClassifierConfig
from fracture.models.classifiers.train import train
from fracture.models.runs import CURVES, FINISHED

STUDY = "study.journal"
"""The study's own record, in the folder that holds its trials' runs."""

_SETTLED_TRIALS = 3
"""Trials before any is ended early: there must be some to be worse than."""


@dataclass(frozen=True)
class Range:
    """Numbers to try, both ends included; ``log`` tries as many between 1 and 10 as between 10 and 100."""

    low: float
    high: float
    log: bool = False
    whole: bool = False


Space = Mapping[str, Range | tuple[Any, ...]]
SPACE: Space = MappingProxyType(
    {
        "learning_rate": Range(3e-5, 3e-3, log=True),
        "frozen_epochs": Range(0, 3, whole=True),
        "turn": Range(0, 30),
        "zoom": Range(0, 0.4),
        "other_looks": Range(0, 0.8),
        "loss": LOSSES,
        "balance": BALANCES[:2],
    }
)


def tune(base: ClassifierConfig, trials: int, space: Space = SPACE) -> Any:
    """Search until a study has so many trials; give it. It is begun, or gone on with, in the folder that runs go to.

    Each trial is a run of ``base`` with other settings, named after it and its number. Raises BadValue for a setting
    that a run does not have and for a run without validation, of which nothing could be told.
    """
    import optuna

    unknown = sorted(space.keys() - vars(base).keys())
    if unknown:
        raise BadValue(f"space: expected settings of a run, got {', '.join(unknown)}")
    if not base.val_every:
        raise BadValue("--val-every: expected 1 or more, for trials are judged on val, got 0")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    base.folder.mkdir(parents=True, exist_ok=True)
    journal = optuna.storages.journal.JournalFileBackend(str(base.folder / STUDY))
    study = optuna.create_study(
        storage=optuna.storages.JournalStorage(journal),
        study_name=base.name,
        direction="maximize",
        load_if_exists=True,
        pruner=optuna.pruners.MedianPruner(n_startup_trials=_SETTLED_TRIALS, n_warmup_steps=1),
    )
    for left in study.get_trials(deepcopy=False, states=[optuna.trial.TrialState.RUNNING]):
        _run(study, optuna.trial.Trial(study, left._trial_id), base, space)
    while (done := len(study.trials)) < trials:
        # Anew for each: one that begins again with the same seed would ask for the same trials again.
        study.sampler = optuna.samplers.TPESampler(seed=base.seed + done)
        _run(study, study.ask(), base, space)
    return study


def _run(study: Any, trial: Any, base: ClassifierConfig, space: Space) -> None:
    """Do a trial, or go on with it, and tell the study what it came to."""
    import optuna

    settings = {name: _suggested(trial, name, choice) for name, choice in space.items()}
    config = replace(base, **settings, runs=str(base.folder), name=f"trial{trial.number}")
    pruned = config.folder / "pruned"

    def ends(epoch: int, figures: Mapping[str, float]) -> bool:
        value = _first(figures)
        trial.report(value, epoch)
        if trial.should_prune():
            pruned.touch()
        return pruned.is_file()

    if not (config.folder / FINISHED).is_file():
        try:
            train(config, resume=(config.folder / "weights" / "last.pt").is_file(), ends=ends)
        except BadValue as error:  # such as losses that are no numbers
            logging.getLogger(__name__).warning("%s failed: %s", config.name, error)
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
            return
    if pruned.is_file():
        study.tell(trial, state=optuna.trial.TrialState.PRUNED)
    else:
        study.tell(trial, best_of(config))


def _suggested(trial: Any, name: str, choice: Range | tuple[Any, ...]) -> Any:
    if not isinstance(choice, Range):
        return trial.suggest_categorical(name, choice)
    suggest: Callable[..., Any] = trial.suggest_int if choice.whole else trial.suggest_float
    ends = (int(choice.low), int(choice.high)) if choice.whole else (choice.low, choice.high)
    return suggest(name, *ends, log=choice.log)


def best_of(config: ClassifierConfig) -> float:
    """Give the best that a run's first head came to on val; 0 where that could never be told."""
    key = f"val/{config.heads[0]}_AUC"
    with (config.folder / CURVES).open(encoding="utf-8") as file:
        told = [float(row[key]) for row in csv.DictReader(file) if row[key]]
    return max((value for value in told if not math.isnan(value)), default=0.0)


def _first(figures: Mapping[str, float]) -> float:
    value = next(iter(figures.values()))
    return 0.0 if math.isnan(value) else value


def in_words(trial: Any) -> str:
    """Give a trial as a line: its value, its run, how it ended, its settings."""
    settings = [
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in trial.params.items()
    ]
    return f"{trial.value or 0:.4f}  trial{trial.number}  {trial.state.name.lower()}  {', '.join(settings)}"
