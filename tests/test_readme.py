"""Every command that README gives, run in its order in a clone, on the mini set where a set is needed."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest

from bench.processes import free_port, started

ROOT = Path(__file__).parents[1]

ELSEWHERE = {
    "pip install .": "tests/test_wheel.py installs the wheel and reads a film with it",
    "make demo": "tests/training/test_rebuild.py runs what it runs, to the end",
    "make train-default": "the same, as far as the split; the rest takes hours",
}
"""Commands that another test runs."""


def given():
    """Give README's commands, without what they are for."""
    blocks = re.findall(r"```\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.S)
    return [line.partition("  #")[0].strip() for block in blocks for line in block.strip().splitlines()]


def test_readme_gives_these_commands_in_this_order():
    assert given() == [
        "make serve",
        "curl -F file=@samples/leg-2.png http://localhost:8000/detect",
        "pip install .",
        "fracture read samples --out predictions.jsonl",
        "fracture draw samples/leg-2.png --out prediction.png",
        "make demo",
        "python evaluate.py --target-recall 0.90",
        "python scripts/run_v5.py",
        "make train-default",
    ]


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """Give a copy of the files that git knows, as a clone has them."""
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        pytest.skip("this is no git checkout")
    folder = tmp_path_factory.mktemp("clone")
    known = subprocess.run([git, "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.decode()
    for name in filter(None, known.split("\0")):
        if name.startswith(("docs/runs", "tests/")) or not (ROOT / name).exists():
            continue
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name, follow_symlinks=False)
    return folder


def run(command, clone, ends=0):
    program, *args = shlex.split(command)
    python = {"python": [sys.executable], "fracture": [sys.executable, "-m", "fracture"]}.get(program, [program])
    environment = os.environ | {"PYTHONPATH": str(clone)}
    done = subprocess.run([*python, *args], cwd=clone, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == ends, (command, done.stdout[-1500:], done.stderr[-1500:])
    return done.stdout + done.stderr


def test_the_service_answers_as_told(clone):
    make, curl, *_ = given()
    assert make == "make serve"
    assert "$(SERVE)/bin/python -m app" in (ROOT / "Makefile").read_text(encoding="utf-8")
    port = free_port()
    settings = {"FRACTURE_PORT": str(port), "FRACTURE_AUTH": "off", "PYTHONPATH": str(clone)}
    with started([sys.executable, "-m", "app"], port, "/readyz", settings):
        address = f"http://127.0.0.1:{port}"
        if shutil.which("curl"):
            said = run(curl.replace("http://localhost:8000", address), clone)
        else:
            film = (clone / "samples/leg-2.png").read_bytes()
            said = httpx2.post(f"{address}/detect", files={"file": film}, timeout=60).text
    assert '"status":"fracture"' in said
    assert '"bbox_xyxy"' in said


def test_films_are_read_and_drawn_as_told(clone):
    read, draw = given()[3:5]
    run(read, clone)
    assert len((clone / "predictions.jsonl").read_text().splitlines()) == 8
    assert "status: fracture" in run(draw, clone)
    assert (clone / "prediction.png").is_file()


def test_a_dataset_is_evaluated_and_the_whole_line_planned_as_told(clone, mini_fracatlas):
    stage = clone / "stage"
    run(f"python scripts/fracatlas_to_yolo.py --src {mini_fracatlas} --out {stage}/raw", clone)
    run(f"python scripts/preprocess.py --src {stage}/raw --out {stage}/fracatlas", clone)
    run(f"python scripts/make_splits.py --src {stage}/fracatlas --val 0.3 --test 0.3", clone)
    evaluate, line = given()[6:8]
    assert "report/report.html" in run(evaluate, clone)
    assert (clone / "report/report.html").is_file()
    # Without the raw sets, which nobody can fetch here, it says where each is to be had.
    assert "figshare.com" in run(f"{line} --dry-run", clone, ends=2)


def test_every_other_command_is_run_by_a_test_that_is_there():
    assert {given()[2], given()[5], *given()[8:]} == ELSEWHERE.keys()
    for why in ELSEWHERE.values():
        for file in re.findall(r"tests/[\w/]+\.py", why):
            assert (ROOT / file).is_file(), file
