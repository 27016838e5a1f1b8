"""A run of several rounds: each begins with the mean of those before; the mean of all is the network."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from fracture.models.detectors import train as training
from fracture.models.detectors.config import Config
from fracture.models.detectors.runs import checkpoints, epochs_run, is_finished, run_config
from fracture.models.detectors.table import DETECTORS


class Killed(BaseException):
    pass


class Toy:
    """A detector whose checkpoint is a number: it learns to be twice what it began with, plus one."""

    def __init__(self):
        self.begun = []
        self.killed_in = None

    def train(self, config, dataset, harmonise_config, *, resume):
        folder = config.folder
        (folder / "weights").mkdir(parents=True, exist_ok=True)
        self.begun.append((config.name, config.model, config.start, config.restate, resume))
        start = float(Path(config.model).read_text()) if config.model.endswith("best.pt") else 0.0
        (folder / "weights/last.pt").write_text("half")
        if self.killed_in == config.name:
            self.killed_in = None
            raise Killed
        (folder / "weights/best.pt").write_text(str(2 * start + 1))
        (folder / "results.csv").write_text("epoch,loss\n1,0.5\n2,0.25\n")
        (folder / "finished.json").write_text(json.dumps({"date": "2031-05-06"}))

    def average(self, files, out):
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(str(sum(float(file.read_text()) for file in files) / len(files)))
        return out


@pytest.fixture
def toy(monkeypatch):
    toy = Toy()
    kind = replace(DETECTORS["yolov8"], require=lambda: None, train=toy.train, average=toy.average)
    monkeypatch.setattr(training, "detector", lambda _: kind)
    return toy


@pytest.fixture
def config(tiny_dataset, tmp_path):
    asked = {"model": "yolov8n.yaml", "start": "begin.onnx", "restate": 8, "name": "run", "epochs": 2, "rounds": 3}
    (tmp_path / "begin.onnx").touch()
    return Config(**asked | {"data": str(tiny_dataset), "runs": str(tmp_path), "start": str(tmp_path / "begin.onnx")})


def test_each_round_begins_with_the_mean_of_those_before(toy, config):
    [best] = training.train(config)
    mean = str(config.folder / "weights/best.pt")
    assert toy.begun == [
        ("run/round1", "yolov8n.yaml", config.start, 8, False),
        ("run/round2", mean, "", 0, False),
        ("run/round3", mean, "", 0, False),
    ]
    # 1; from it 3, their mean 2; from that 5, the mean of all three 3.
    assert float(best.read_text()) == 3.0
    assert is_finished(config.folder)
    assert epochs_run(config.folder) == 6
    lines = (config.folder / "results.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in lines] == ["epoch", *"123456"]
    assert run_config(config.folder) == config


@pytest.mark.parametrize("killed_in", ["run/round1", "run/round2", "run/round3"])
def test_a_killed_run_goes_on_in_its_round(toy, config, killed_in):
    toy.killed_in = killed_in
    with pytest.raises(Killed):
        training.train(config)
    assert not is_finished(config.folder)
    [best] = training.train(config, resume=True)
    assert float(best.read_text()) == 3.0
    assert [name for name, *_, resume in toy.begun if resume] == [killed_in]
    assert len(toy.begun) == 4


def test_members_have_rounds_of_their_own(toy, config):
    found = training.train(replace(config, members=2, rounds=2))
    assert [float(file.read_text()) for file in found] == [2.0, 2.0]
    assert [name for name, *_ in toy.begun] == [f"run/member{m}/round{r}" for m in (1, 2) for r in (1, 2)]
    assert checkpoints(config.folder) == found


def test_one_round_is_a_run_as_ever(toy, config):
    training.train(replace(config, rounds=1))
    assert [name for name, *_ in toy.begun] == ["run"]
