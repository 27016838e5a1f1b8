"""Detectors that are trained by Lightning: fitted on a few phantom films, killed, resumed, exported, served."""

import csv
import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

from fracture.data.yolo import load_dataset
from fracture.models.detectors.config import Config
from fracture.models.detectors.loop import fpn
from fracture.models.detectors.loop.validation import AP50
from fracture.models.detectors.runs import FINISHED
from fracture.models.detectors.table import DETECTORS
from fracture.models.detectors.train import train
from fracture.training.bundle import bundle
from fracture.training.parity import parity_films

pytest.importorskip("lightning", reason="training needs the full set of packages")
NAMES = ("fasterrcnn", "retinanet", "fcos")


def architecture(name):
    return DETECTORS[name].train.args[0]


def config(arch, dataset, runs, **changes):
    small = {"imgsz": 64, "batch": 4, "films_per_step": 4, "device": "cpu", "epochs": 1, "name": arch}
    return Config(arch=arch, data=str(dataset), runs=str(runs), **small | changes)


@pytest.fixture(scope="module")
def runs(tiny_dataset, tmp_path_factory):
    """Give the folder of three runs, one of each architecture, of one epoch at 64 px."""
    folder = tmp_path_factory.mktemp("loop_runs")
    for name in NAMES:
        train(config(name, tiny_dataset, folder))
    return folder


@pytest.mark.parametrize("name", NAMES)
def test_a_run_leaves_weights_curves_and_its_configuration(runs, name):
    [line] = csv.DictReader((runs / name / "results.csv").open())
    assert line["epoch"] == "1"
    assert float(line[AP50]) >= 0
    assert all(math.isfinite(float(value)) for part, value in line.items() if part.startswith("train/"))
    assert (runs / name / "weights/best.pt").is_file()
    assert json.loads((runs / name / FINISHED).read_text())["epochs"] == 1


@pytest.mark.parametrize("name", NAMES)
def test_a_run_becomes_a_bundle_that_is_served_without_torch(runs, name, tmp_path):
    card = bundle(runs / name)
    assert card.arch == name
    assert card.measured["parity"]["least_iou"] >= 0.95
    assert card.measured["scope"]["stage"] == fpn.STAGE
    file = parity_films(load_dataset(Path(card.training["config"]["data"])))[0]
    for backend in ("openvino", "onnxruntime"):
        code = (
            "import sys; from pathlib import Path; from fracture.inference.reader import Reader; "
            f"found = Reader.load(Path(sys.argv[1]), {backend!r}).read(Path(sys.argv[2]).read_bytes()).detections; "
            "assert not {'torch', 'torchvision', 'lightning', 'ultralytics'} & sys.modules.keys(); print(len(found))"
        )
        done = subprocess.run([sys.executable, "-c", code, runs / name, file], check=True, capture_output=True)
        assert int(done.stdout) >= 0
