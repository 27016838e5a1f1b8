"""The commands as a person uses them: real commands, real files, a small real network where one is needed."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fracture.__main__ import COMMANDS
from fracture.inference.reader import Reader
from fracture.phantom import draw_film

ROOT = Path(__file__).parents[1]


def run(*args, cwd):
    return subprocess.run([sys.executable, *map(str, args)], cwd=cwd, capture_output=True, text=True, check=False)


@pytest.fixture
def films(tmp_path):
    folder = tmp_path / "films"
    folder.mkdir()
    for number in range(2):
        pixels, _ = draw_film(np.random.default_rng(number), fractured=True)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    (folder / "broken.png").write_bytes(b"this is no film")
    (folder / "labels.txt").write_text("0 .5 .5 .1 .1")
    return folder


def test_inference_writes_a_line_for_every_film_and_counts_refusals(films, tmp_path):
    done = run(ROOT / "inference.py", films, "--out", tmp_path / "predictions.jsonl", cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    lines = [json.loads(line) for line in (tmp_path / "predictions.jsonl").read_text().splitlines()]
    assert [Path(line["path"]).name for line in lines] == ["0.png", "1.png", "broken.png"]
    assert lines[2]["error"]["code"] == "unsupported_format"
    assert "3 films, 1 refused" in done.stderr
    card = Reader.load().card
    for line in lines[:2]:
        scores = [box["confidence"] for box in line["detections"]]
        assert scores == sorted(scores, reverse=True)
        threshold = card.operating_point("balanced").threshold
        assert (line["mode"], line["shown_from"]) == ("balanced", threshold)
        # The box that a status rests on is there, however low.
        assert all(score >= min(threshold, card.thresholds.screening) for score in scores)
        assert line["fracture_detected"] == (line["status"] == "fracture" or bool(scores and scores[0] >= threshold))
        assert all(set(box) == {"bbox_xyxy", "confidence", "class"} for box in line["detections"])
        assert line["status"] in {"fracture", "doubt", "no fracture", "outside"}


def test_inference_writes_the_boxes_of_a_mode_or_all(films, tmp_path):
    every = run(ROOT / "inference.py", films / "0.png", "--all", cwd=tmp_path)
    strict = run(ROOT / "inference.py", films / "0.png", "--mode", "specific", cwd=tmp_path)
    found = Reader.load().read((films / "0.png").read_bytes()).detections
    said = json.loads(every.stdout)
    assert [box["confidence"] for box in said["detections"]] == found.score.tolist()
    assert not {"mode", "shown_from"} & set(said)
    assert json.loads(strict.stdout)["mode"] == "specific"
    wrong = run(ROOT / "inference.py", films / "0.png", "--mode", "loose", cwd=tmp_path)
    assert wrong.returncode == 2
    assert "screening, balanced, specific" in wrong.stderr


def test_an_empty_folder_is_no_success(tmp_path):
    (tmp_path / "empty").mkdir()
    done = run(ROOT / "inference.py", tmp_path / "empty", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("inference: expected films (PNG, JPEG, TIFF, DICOM), got none in ")


def test_help_says_what_a_flag_is_where_it_is_not_given_and_how_a_command_ends():
    said = " ".join(run("-m", "fracture", "read", "--help", cwd=ROOT).stdout.split())
    assert "(default: balanced)" in said
    assert "130 when it is" in said
    assert "(default: None)" not in said


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_command_explains_itself(name):
    done = run("-m", "fracture", name, "--help", cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"usage: fracture {name}")
    assert "It ends with 0" in done.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_a_shell_learns_the_commands(shell, tmp_path):
    done = run("-m", "fracture", "completion", shell, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert all(f" {name}" in done.stdout.replace("'", " ").replace('"', " ") for name in COMMANDS)
    assert "--mode" in done.stdout
    (tmp_path / "script").write_text(done.stdout)
    if shutil.which(shell):
        assert subprocess.run([shell, "-n", tmp_path / "script"], check=False).returncode == 0


def test_inference_prints_to_standard_output(films, tmp_path):
    done = run(ROOT / "inference.py", films / "0.png", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["image_size"] == [373, 454]


def test_visualize_writes_a_picture(films, tmp_path):
    done = run(ROOT / "visualize.py", "--image", films / "0.png", "--out", "prediction.png", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert Image.open(tmp_path / "prediction.png").size[0] > 700


def test_visualize_draws_from_the_score_that_was_asked_for_even_0(films, tmp_path):
    args = (ROOT / "visualize.py", "--image", films / "0.png", "--out", "prediction.png")
    read = Reader.load().read((films / "0.png").read_bytes())
    every = run(*args, "--conf", "0", cwd=tmp_path)
    assert every.stdout.startswith(f"{len(read.detections)} boxes drawn on prediction.png; status: "), every.stderr
    wrong = run(*args, "--conf", "nan", cwd=tmp_path)
    assert (wrong.returncode, "expected a score within 0..1, got nan" in wrong.stderr) == (2, True)


def test_visualize_refuses_what_is_no_film(films, tmp_path):
    done = run(ROOT / "visualize.py", "--image", films / "broken.png", cwd=tmp_path)
    assert done.returncode == 2
    assert "expected a film" in done.stderr
    assert "Traceback" not in done.stderr


def test_evaluate_without_a_dataset_says_how_to_build_it(tmp_path):
    for name in ("evaluate.py", "dataset.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    done = run("evaluate.py", "--target-recall", "0.90", cwd=tmp_path)
    assert done.returncode == 2
    for script in ("fracatlas_to_yolo.py", "preprocess.py", "make_splits.py"):
        assert script in done.stderr
    assert "Traceback" not in done.stderr


def test_weights_that_are_not_there_are_named(films, tmp_path):
    done = run(ROOT / "inference.py", films, "--weights", tmp_path / "no.onnx", cwd=tmp_path)
    assert done.returncode == 2
    assert "card.json" in done.stderr


@pytest.mark.parametrize(
    "script",
    [
        "train.py",
        "evaluate.py",
        "inference.py",
        "visualize.py",
        *sorted(p.name for p in (ROOT / "scripts").glob("*.py")),
    ],
)
def test_every_script_explains_itself(script):
    path = ROOT / script if (ROOT / script).is_file() else ROOT / "scripts" / script
    done = run(path, "--help", cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert "usage:" in done.stdout


@pytest.mark.parametrize(
    "command",
    [
        ("inference.py", "{films}", "--out", "{films}/predictions.jsonl"),
        ("inference.py", "{films}/0.png", "--out", "{films}/0.png"),
        ("inference.py", "{films}", "--out", "{films}/../link/deep/predictions.jsonl"),
        ("visualize.py", "--image", "{films}/0.png", "--out", "{films}/0.png"),
        ("visualize.py", "--image", "{films}/0.png", "--out", "{films}/../link/0.png"),
    ],
)
def test_no_output_takes_the_place_of_a_film_or_stands_among_them(command, films, tmp_path):
    link = films.parent / "link"
    link.symlink_to(films)
    try:
        before = {path: path.read_bytes() for path in films.iterdir() if path.is_file()}
        done = run(ROOT / command[0], *(part.format(films=films) for part in command[1:]), cwd=tmp_path)
        assert done.returncode == 2, done.stderr
        assert "expected an output beside what is read" in done.stderr
        assert {path: path.read_bytes() for path in films.iterdir() if path.is_file()} == before
    finally:
        link.unlink()


def test_an_ingest_that_keeps_no_film_says_why_and_ends_with_two(tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    (images / "a.png").write_bytes(b"no film")
    listed = {"images": [{"id": 1, "file_name": "a.png"}], "categories": [{"id": 1, "name": "fracture"}]}
    (tmp_path / "a.json").write_text(json.dumps(listed | {"annotations": []}))
    args = ("--format", "coco", "--images", images, "--annotations", tmp_path / "a.json", "--out", tmp_path / "stage")
    done = run(ROOT / "scripts/ingest_folder.py", *args, "--name", "own", "--region", "hand", cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert "1 films in = 0 kept + 1 set aside" in done.stdout
    assert "all 1 were set aside: " in done.stderr
    assert "Traceback" not in done.stderr
    assert (tmp_path / "stage/report.json").is_file()


@pytest.fixture
def file(tmp_path):
    """Give a file where a folder would have to be: nobody can write below it, root neither."""
    (tmp_path / "file").write_text("")
    return tmp_path / "file"


@pytest.mark.parametrize(
    "command",
    [
        ("inference.py", "{films}/0.png", "--out", "{file}/predictions.jsonl"),
        ("visualize.py", "--image", "{films}/0.png", "--out", "{file}/prediction.png"),
        ("scripts/build_site.py", "--out", "{file}/site"),
        ("scripts/run_v5.py", "--phantom", "--until", "acquire", "--data", "{file}/raw", "--work", "{file}/stage"),
    ],
    ids=lambda command: command[0],
)  # fmt: skip
def test_what_cannot_be_written_is_said_in_a_line(command, films, file, tmp_path):
    done = run(ROOT / command[0], *(part.format(films=films, file=file) for part in command[1:]), cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith(Path(command[0]).stem + ": ")
    assert "Not a directory" in done.stderr or "File exists" in done.stderr


def test_a_command_called_from_a_program_leaves_standard_output_open(films, tmp_path):
    code = f"import sys, inference; sys.argv[1:] = [{str(films / '0.png')!r}]; inference.main(); print('still open')"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False, env=os.environ
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "still open"


def test_a_reader_that_goes_away_ends_a_command_quietly(films, tmp_path):
    shell = f"{sys.executable} {ROOT / 'inference.py'} {films / '0.png'} {films / '1.png'} | true"
    done = subprocess.run(["bash", "-c", shell], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    assert "BrokenPipeError" not in done.stderr


@pytest.mark.parametrize("missing", ["torch", "ultralytics"])
def test_training_without_its_packages_says_what_to_install(missing, tiny_dataset, tmp_path):
    code = (
        # Set to None only behind the imports: scipy takes a module of that name for torch itself.
        f"import sys, train; sys.modules[{missing!r}] = None; sys.argv = ['train.py', '--data', {str(tiny_dataset)!r}, "
        f"'--runs', {str(tmp_path / 'runs')!r}]; sys.exit(train.main())"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert f"train: needs {missing}, which is not installed" in done.stderr
    assert not (tmp_path / "runs").exists()


def test_training_from_an_exported_network_is_refused(tmp_path):
    done = run(ROOT / "train.py", "--model", "model.onnx", cwd=tmp_path)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "got model.onnx" in done.stderr


@pytest.mark.parametrize(
    "file",
    # The service says what is wrong with its settings in its own words.
    [
        one
        for folder in ("fracture/commands", "scripts")
        for one in ROOT.glob(f"{folder}/[a-z]*.py")
        if one.stem != "serve"
    ],
    ids=lambda file: file.name,
)
def test_what_a_person_calls_ends_in_one_line_where_it_fails(file):
    text = file.read_text(encoding="utf-8")
    assert "@command\ndef main() -> int:" in text or "\nfrom fracture.commands." in text


@pytest.mark.parametrize(
    "name",
    [
        *("inference.py", "visualize.py", "evaluate.py", "train.py", "app/__main__.py"),
        *(f"scripts/{step}.py" for step in ("ingest_folder", "preprocess", "make_splits", "audit", "bundle")),
    ],
)
def test_a_script_at_the_root_runs_a_command_and_nothing_else(name):
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    assert any(line.startswith("from fracture.commands.") for line in lines)
    assert lines[-2:] == ['if __name__ == "__main__":', "    raise SystemExit(main())"]


def test_the_command_runs_what_is_named(films, tmp_path):
    done = run("-m", "fracture", "read", films / "0.png", cwd=tmp_path)
    assert (done.returncode, json.loads(done.stdout)["image_size"]) == (0, [373, 454]), done.stderr
    wrong = run("-m", "fracture", "reed", cwd=tmp_path)
    assert wrong.returncode == 2
    assert "expected a command out of read, draw, serve, ingest, " in wrong.stderr
    assert "got 'reed'" in wrong.stderr
    refused = run("-m", "fracture", "draw", "--image", films / "broken.png", cwd=tmp_path)
    assert refused.stderr.startswith("fracture draw: expected a film")
