"""The ways that docs/TRAINING.md tells, command by command.

From films of one's own to a model that is served; from what readers correct to the next model.
"""

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
from fracture.core.files import file_hash
from fracture.data.samples import samples
from fracture.phantom import draw_film
from fracture.service.feedback import Corrected, Feedback

pytest.importorskip("ultralytics", reason="training needs the full set of packages")

ROOT = Path(__file__).parents[2]
SMALL = "--epochs 1 --imgsz 96 --batch 4 --films-per-step 4 --restate 4 --device cpu"
FILMS = 60


def told(title):
    """Give the commands of a section, in their order."""
    text = (ROOT / "docs/TRAINING.md").read_text(encoding="utf-8")
    section = text.partition(f"## {title}")[2].partition("\n## ")[0]
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


def do(steps, folder):
    for step in steps:
        program, *args = shlex.split(step.replace("--epochs 10", SMALL))
        assert program == "fracture"
        done = subprocess.run(
            [sys.executable, "-m", "fracture", *args],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, (step, done.stdout[-2000:], done.stderr[-2000:])


@pytest.mark.long
@pytest.mark.timeout(600)
def test_own_films_become_a_model_that_is_served(own_films):
    *steps, serve = told("Films of your own")
    do(steps, own_films)
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


@pytest.mark.long
@pytest.mark.timeout(900)
def test_what_readers_correct_becomes_the_next_model(own_films):
    said = json.loads((own_films / "boxes.json").read_text())
    kept = Feedback(own_films / "feedback.sqlite")
    for image in said["images"]:
        film = own_films / "films" / image["file_name"]
        drawn = [one["bbox"] for one in said["annotations"] if one["image_id"] == image["id"]]
        boxes = [(x, y, x + width, y + height) for x, y, width, height in drawn]
        truth = "fracture" if boxes else "no fracture"
        kept.keep(Corrected(file_hash(film), 0, (96, 128), truth, boxes, [], "m 1"))
        film.rename(film.with_name(f"renamed {film.name}"))  # the service keeps no names
    (own_films / "corrections.json").write_text(json.dumps(kept.coco()))
    fetch, *steps = told("From corrections to a better model")
    assert fetch.startswith("curl ")
    do([step.replace("fracture/models", f"{ROOT}/fracture/models") for step in steps], own_films)
    report = json.loads((own_films / "report_after/report.json").read_text())
    assert report["model"]["id"] == "corrected"
    assert report["data"]["fractured"] > 0
    assert {row["name"] for row in report["comparison"]["rows"]} >= {"film AUC", "AP50"}
