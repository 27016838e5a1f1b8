"""The way that docs/TRAINING.md tells, from films of one's own to a model that is served, command by command."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import httpx2
import numpy as np
import pytest
from PIL import Image

from bench.processes import free_port, started
from fracture.data.samples import samples
from fracture.phantom import draw_film

pytest.importorskip("ultralytics", reason="training needs the full set of packages")

ROOT = Path(__file__).parents[2]
SMALL = "--epochs 1 --imgsz 96 --batch 4 --films-per-step 4 --restate 4 --device cpu"
FILMS = 60


def told():
    """Give the commands of the section, in their order."""
    text = (ROOT / "docs/TRAINING.md").read_text(encoding="utf-8")
    section = text.partition("## Films of your own")[2].partition("\n## ")[0]
    return re.search(r"```\n(.*?)```", section, re.S)[1].strip().splitlines()


@pytest.fixture
def own_films(tmp_path):
    """Draw films, two of three with a fracture, and their boxes as COCO has them."""
    (tmp_path / "films").mkdir()
    images, annotations = [], []
    for number in range(FILMS):
        grey, boxes = draw_film(np.random.default_rng(number), (96, 128), fractured=number % 3 > 0)
        name = f"film{number:03}.png"
        Image.fromarray(grey).save(tmp_path / "films" / name)
        images.append({"id": number, "file_name": name, "width": 96, "height": 128})
        for x0, y0, x1, y1 in boxes:
            box = {"image_id": number, "category_id": 1, "bbox": [x0, y0, x1 - x0, y1 - y0]}
            annotations.append(box | {"id": len(annotations) + 1, "area": (x1 - x0) * (y1 - y0), "iscrowd": 0})
    content = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "fracture"}]}
    (tmp_path / "boxes.json").write_text(json.dumps(content))
    return tmp_path


@pytest.mark.long
@pytest.mark.timeout(600)
def test_own_films_become_a_model_that_is_served(own_films):
    *steps, serve = told()
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    for step in steps:
        program, *args = shlex.split(step.replace("--epochs 10", SMALL))
        assert program == "fracture"
        done = subprocess.run(
            [sys.executable, "-m", "fracture", *args],
            cwd=own_films,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, (step, done.stdout[-2000:], done.stderr[-2000:])
    card = json.loads((own_films / "runs/mine/card.json").read_text())
    assert card["training"]["config"]["model"] == "yolov8s.yaml"
    report = json.loads((own_films / "report/report.json").read_text())
    assert report["data"]["films"] > 0
    assert serve == "FRACTURE_WEIGHTS=runs/mine fracture serve"
    port = free_port()
    settings = {"FRACTURE_PORT": str(port), "FRACTURE_AUTH": "off", "FRACTURE_WEIGHTS": str(own_films / "runs/mine")}
    with started([sys.executable, "-m", "fracture", "serve"], port, "/readyz", settings):
        film = samples()[1].path.read_bytes()
        answer = httpx2.post(f"http://127.0.0.1:{port}/detect", files={"file": film}, timeout=60).json()
    assert answer["model"]["id"] == "mine"
