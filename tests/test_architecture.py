"""The import law of docs/ARCHITECTURE.md, run: who may import whom, and what must never be imported where."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# A package imports only those that stand before it.
LAW = (
    "core",
    "clinical",
    "imaging",
    "metrics",
    "phantom",
    "data",
    "predictions",
    "models",
    "inference",
    "api",
    "evaluation",
    "training",
    "service",
    "commands",
)
RANK = {package: rank for rank, package in enumerate(LAW)}

_ULTRALYTICS = "fracture/models/detectors/yolov8"
# Heavy or special libraries, and the only places that may name them.
HOMES = {
    "torch": {"fracture/models", "bench/plain_service.py", "bench/untrained.py"},
    "torchvision": {"fracture/models"},
    "ultralytics": {_ULTRALYTICS, "bench/plain_service.py", "bench/untrained.py"},
    "nncf": {"fracture/models/quantise.py"},
    "timm": {"fracture/models"},
    "lightning": {"fracture/models"},
    "optuna": {"fracture/training/tuning.py"},
    "matplotlib": {"fracture/evaluation/report/figures.py", _ULTRALYTICS},
    "fastapi": {"fracture/service", "bench/plain_service.py"},
    "uvicorn": {"fracture/service", "fracture/commands/serve.py", "bench/plain_service.py"},
    "pydicom": {"fracture/imaging/dicom", "fracture/phantom/dicom_files.py"},
    "googlemaps": {"fracture/service/http/clinic_providers.py"},
}


def _sources() -> list[Path]:
    return sorted(
        file for folder in ("fracture/**", "app/**", "scripts", "bench", ".") for file in ROOT.glob(f"{folder}/*.py")
    )


def _imports(file: Path, *, top_level_only: bool = False) -> Iterator[str]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for node in tree.body if top_level_only else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            yield node.module or ""
            if node.module and node.module.split(".")[0] == "fracture":
                yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _package(module: str) -> str | None:
    parts = module.split(".")
    return parts[1] if parts[0] == "fracture" and len(parts) > 1 and parts[1] in RANK else None


@pytest.mark.parametrize("file", sorted(ROOT.glob("fracture/**/*.py")), ids=lambda file: str(file.relative_to(ROOT)))
def test_a_package_imports_only_those_before_it(file: Path) -> None:
    inside = file.relative_to(ROOT / "fracture")
    if len(inside.parts) == 1:
        assert inside.name in {"__init__.py", "__main__.py"}, f"{inside} belongs in a package: see docs/ARCHITECTURE.md"
        return
    own = inside.parts[0]
    assert own in RANK, f"{own} has no place in the import law: give it one here and in docs/ARCHITECTURE.md"
    for module in _imports(file):
        package = _package(module)
        if package and package != own:
            assert RANK[package] < RANK[own], f"{inside} imports {module}: {package} does not stand before {own}"


@pytest.mark.parametrize("file", _sources(), ids=lambda file: str(file.relative_to(ROOT)))
def test_heavy_libraries_stay_at_home(file: Path) -> None:
    inside = file.relative_to(ROOT).as_posix()
    for module in _imports(file):
        homes = HOMES.get(module.split(".")[0])
        if homes is not None:
            assert any(inside == home or inside.startswith(home + "/") for home in homes), f"{inside} imports {module}"


@pytest.mark.parametrize("file", sorted(ROOT.glob("fracture/**/*.py")), ids=lambda file: str(file.relative_to(ROOT)))
def test_heavy_libraries_are_imported_only_when_used(file: Path) -> None:
    heavy = {
        "torch",
        "torchvision",
        "ultralytics",
        "safetensors",
        "onnx",
        "matplotlib",
        "nncf",
        "lightning",
        "timm",
        "optuna",
    }
    assert not heavy & {module.split(".")[0] for module in _imports(file, top_level_only=True)}


DECODE_HERE = {
    "fracture/inference/decode_child.py": "the process for it",
    "fracture/data/workers.py": "what the processes for it call",
    "fracture/inference/reader.py": "for whoever reads a film of their own",
    "fracture/models/detectors/yolov8/dataset.py": "films that preprocess wrote",
    "fracture/models/films.py": "likewise",
    "fracture/evaluation/confounders.py": "films that a sandbox decoded for their scores",
}
"""Who may call the decoder, and why: over a stranger's film it may end the process it runs in."""


def test_films_of_strangers_are_decoded_in_processes_that_may_die() -> None:
    names = {f"fracture.imaging.decode.{name}" for name in ("decode", "frames")}
    files = {str(file.relative_to(ROOT)): set(_imports(file)) & names for file in _sources()}
    callers = {file for file, found in files.items() if found and not file.startswith("bench/")}
    assert callers == DECODE_HERE.keys()


def test_nobody_imports_a_command() -> None:
    commands = {path.stem for path in ROOT.glob("*.py")} | {"scripts"}
    for file in _sources():
        if file.parent != ROOT:
            assert not commands & {module.split(".")[0] for module in _imports(file)}, f"{file} imports a command"


def test_commands_are_thin() -> None:
    for command in [*ROOT.glob("*.py"), *ROOT.glob("scripts/*.py")]:
        functions = [
            node.name
            for node in ast.parse(command.read_text(encoding="utf-8")).body
            if isinstance(node, ast.FunctionDef)
        ]
        assert functions in ([], ["main"]), (
            f"{command.name} defines {functions}: a command parses flags, makes one call, prints"
        )


def test_the_path_is_never_bent() -> None:
    for file in _sources():
        assert "sys.path" not in file.read_text(encoding="utf-8"), f"{file} touches sys.path"


def test_the_service_starts_without_torch_or_figures() -> None:
    heavy = {"torch", "ultralytics", "matplotlib"}
    code = f"import sys, fracture.service.http.main, fracture.training.bundle; assert not {heavy} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


MOST_LINES = 400


def test_no_file_of_code_is_long() -> None:
    files = [*_sources(), *ROOT.glob("fracture/**/*.js"), *ROOT.glob("docs/site/*.js")]
    long = {str(file.relative_to(ROOT)): lines for file in files if (lines := _lines(file)) > MOST_LINES}
    assert not long, f"expected at most {MOST_LINES} lines a file, one job each"


def _lines(file: Path) -> int:
    return len(file.read_text(encoding="utf-8").splitlines())
