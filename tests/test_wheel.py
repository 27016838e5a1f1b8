"""The wheel: one top-level package, all that a film needs, and a command, built and installed as a user would."""

import json
import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest

from fracture.phantom import draw_film

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    out = tmp_path_factory.mktemp("wheel")
    command = (sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out))
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    [file] = out.glob("*.whl")
    return file


def test_the_wheel_has_one_top_level_package_and_no_source_of_tests(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"fracture"}
    assert not [name for name in names if "/tests/" in name or name.endswith((".pyc", ".partial"))]


def test_the_wheel_has_the_model_the_page_and_every_data_file(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    tracked = subprocess.run(("git", "ls-files", "fracture"), cwd=ROOT, capture_output=True, text=True, check=False)
    assert names >= {name for name in tracked.stdout.split() if (ROOT / name).is_file()}
    assert {"fracture/models/shipped/model.onnx", "fracture/service/viewer/index.html"} <= names


TYPED = """
import fracture

with fracture.load(mode="balanced") as model:
    for answer in model.read_all("films"):
        reveal_type(answer.status)
        reveal_type(answer.boxes[0].chance)
try:
    fracture.load(mode=7)
except fracture.FractureError:
    fracture.lod
"""


def test_a_checker_of_types_knows_what_an_installed_wheel_gives(wheel, tmp_path):
    if find_spec("mypy") is None:
        pytest.skip("mypy is not installed")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    [packages] = (tmp_path / "venv").glob("lib/python*/site-packages")
    zipfile.ZipFile(wheel).extractall(packages)
    (tmp_path / "program.py").write_text(TYPED)
    flags = ("--strict", "--python-executable", tmp_path / "venv/bin/python", "--cache-dir", tmp_path / "cache")
    command = [sys.executable, "-m", "mypy", *flags, "program.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    said = [line.partition(": ")[2] for line in done.stdout.splitlines()[:-1]]
    assert said[:2] == [
        'note: Revealed type is "fracture.clinical.status.Status | None"',
        'note: Revealed type is "float | None"',
    ], done.stdout
    assert 'Argument "mode" to "load" has incompatible type "int"' in said[2]
    assert 'Module has no attribute "lod"' in said[3]
    assert len(said) == 4


def test_an_installed_wheel_reads_a_film_without_a_network(wheel, tmp_path):
    """The package alone is installed, beside this environment's libraries; sockets are refused while it reads."""
    target, film = tmp_path / "installed", tmp_path / "film.png"
    zipfile.ZipFile(wheel).extractall(target)
    grey, _ = draw_film(np.random.default_rng(3), fractured=True)
    film.write_bytes(cv2.imencode(".png", grey)[1].tobytes())
    code = (
        "import socket, sys\n"
        "real = socket.socket.connect\n"
        "def connect(self, address):\n"
        "    assert self.family == socket.AF_UNIX, address\n"
        "    return real(self, address)\n"
        "socket.socket.connect = connect\n"
        "import fracture.__main__ as command\n"
        f"assert command.__file__.startswith({str(target)!r})\n"
        f"sys.argv = ['fracture', 'read', {str(film)!r}]; raise SystemExit(command.main())"
    )
    env = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "PYTHONPATH": str(target)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["image_size"] == [373, 454]
