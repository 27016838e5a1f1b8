"""Tuning: trials are runs, a killed study goes on with the trial that it was at, and none is done twice."""

import json
import subprocess
import sys
from dataclasses import asdict

import pytest

from fracture.core.errors import BadValue
from fracture.models.classifiers.config import ClassifierConfig
from fracture.training import tuning
from fracture.training.tuning import Range, best_of, tune

pytest.importorskip("optuna", reason="tuning needs the full set of packages")
SPACE = {"learning_rate": Range(1e-4, 1e-2, log=True), "frozen_epochs": Range(0, 1, whole=True), "loss": ("focal",)}


@pytest.fixture
def base(tiny_dataset, tmp_path):
    small = {"arch": "cnn", "imgsz": 64, "batch": 4, "films_per_step": 4, "epochs": 2, "device": "cpu", "patience": 0}
    return ClassifierConfig(data=str(tiny_dataset), runs=str(tmp_path), name="study", heads=("fracture",), **small)


def test_trials_are_runs_within_the_space_and_the_best_is_the_best_of_them(base):
    study = tune(base, 2, SPACE)
    assert [trial.state.name for trial in study.trials] == ["COMPLETE"] * 2
    for trial in study.trials:
        run = base.folder / f"trial{trial.number}"
        told = json.loads((run / "config.json").read_text())
        assert told["loss"] == "focal"
        assert 1e-4 <= told["learning_rate"] == trial.params["learning_rate"] <= 1e-2
        assert told["frozen_epochs"] in {0, 1}
        its = ClassifierConfig(**told)
        assert trial.value == best_of(its)
    assert study.trials[0].params != study.trials[1].params
    assert study.best_value == max(trial.value for trial in study.trials)
    assert len(tune(base, 2, SPACE).trials) == 2  # there is nothing left to do


def test_a_killed_study_goes_on_with_the_trial_that_it_was_at(base):
    code = (
        "import json, os, sys; from fracture.models.classifiers.config import ClassifierConfig; "
        "from fracture.models.loop import callback; from fracture.training.tuning import Range, tune; "
        "saved = callback._save_whole; "
        "callback._save_whole = lambda *what: (saved(*what), os._exit(9)); "
        "tune(ClassifierConfig(**json.loads(sys.argv[1])), 2, {'learning_rate': Range(1e-4, 1e-2, log=True)})"
    )
    given = [sys.executable, "-c", code, json.dumps(asdict(base))]
    ended = subprocess.run(given, check=False, capture_output=True)
    assert ended.returncode == 9, ended.stderr[-2000:]
    space = {"learning_rate": SPACE["learning_rate"]}
    before = json.loads((base.folder / "trial0/config.json").read_text())["learning_rate"]
    study = tune(base, 2, space)
    assert [(trial.number, trial.state.name) for trial in study.trials] == [(0, "COMPLETE"), (1, "COMPLETE")]
    assert study.trials[0].params["learning_rate"] == before
    assert (base.folder / "trial0/results.csv").read_text().count("\n") == 3  # the head, and each epoch once
    assert study.trials[0].params != study.trials[1].params


def test_what_learns_worse_than_most_did_is_ended_early(base, monkeypatch):
    told = iter([0.9, 0.95, 0.8, 0.9, 0.85, 0.9, 0.3, 0.99])
    epochs = []

    def train(config, *, resume, ends):
        config.folder.mkdir(parents=True, exist_ok=True)
        rows, epoch = ["epoch,val/fracture_AUC"], 0
        for epoch in (1, 2):
            value = next(told)
            rows.append(f"{epoch},{value}")
            if ends(epoch, {"val/fracture_AUC": value}):
                break
        epochs.append(epoch)
        (config.folder / "results.csv").write_text("\n".join(rows))

    monkeypatch.setattr(tuning, "train", train)
    monkeypatch.setattr("optuna.pruners.MedianPruner", lambda **how: median(**how | {"n_warmup_steps": 0}))
    study = tune(base, 4, SPACE)
    assert epochs == [2, 2, 2, 1]
    assert study.trials[3].state.name == "PRUNED"
    assert study.best_value == 0.95


def median(**how):
    from optuna.pruners._median import MedianPruner

    return MedianPruner(**how)


def test_what_cannot_be_searched_is_refused(base):
    from dataclasses import replace

    with pytest.raises(BadValue, match="expected settings of a run, got colour"):
        tune(base, 1, {"colour": ("red",)})
    with pytest.raises(BadValue, match="--val-every: expected 1 or more"):
        tune(replace(base, val_every=0), 1, SPACE)
