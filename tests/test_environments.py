"""The two environments that make builds: each has a working cv2, and the one that serves has no torch."""

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SERVE, FULL = ROOT / ".venv-serve/bin/python", ROOT / ".venv/bin/python"
BLUR = "import cv2, numpy; assert cv2.GaussianBlur(numpy.ones((9, 9), 'u1'), (3, 3), 0).sum() == 81; print('works')"
VERSIONS = "from importlib.metadata import distributions; print({d.name.lower(): d.version for d in distributions()})"


def run(python, code):
    if not python.exists():
        pytest.skip(f"{python.parent.parent.name} is not built; `make test` builds both environments")
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("python", [SERVE, FULL], ids=["serve", "full"])
def test_cv2_works(python):
    assert run(python, BLUR)


def test_the_serving_environment_has_no_torch_and_one_cv2():
    installed = run(SERVE, VERSIONS)
    assert "'torch'" not in installed
    assert "'ultralytics'" not in installed
    assert "'opencv-python-headless'" in installed
    assert "'opencv-python'" not in installed


def test_both_opencv_packages_of_the_full_environment_have_one_version():
    versions = eval(run(FULL, VERSIONS))
    assert versions["opencv-python"] == versions["opencv-python-headless"]


def test_constraints_hold_names_and_versions_only():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert len(pins) > 80
    for pin in pins:
        name, _, version = pin.partition("==")
        assert name, pin
        assert version, pin
        assert not {"/", "@", " "} & set(pin), pin


def test_requirements_name_what_was_asked_for():
    text = (ROOT / "requirements.txt").read_text().split()
    asked = {"ultralytics", "fastapi", "uvicorn", "opencv-python", "pydicom", "roboflow", "googlemaps"}
    assert asked | {"python-multipart"} <= set(text)
    assert text[-2:] == ["-e", ".[train,dev]"]
