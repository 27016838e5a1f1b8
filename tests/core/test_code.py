"""What a result depends on: every file that is imported, however far and wherever, data files, and libraries."""

import ast
import subprocess
import sys

import pytest

from fracture.core import code
from fracture.core.code import PACKAGE, closure, code_id


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Give a package of four modules and a data file, in the place of ours."""
    folder = tmp_path / "fracture"
    for name, text in {
        "__init__.py": "",
        "top.py": "from fracture.room import middle\n",
        "room/__init__.py": "import numpy\n",
        "room/middle.py": 'def late():\n    import fracture.room.deep\nTABLE = "table.csv"\n',
        "room/deep.py": "import json\n",
        "room/other.py": "import cv2\n",
        "room/table.csv": "a,b\n",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    monkeypatch.setattr(code, "PACKAGE", folder)
    return folder


def forget():
    for cached in (code.code_id, code.closure, code._mentions):
        cached.cache_clear()


@pytest.fixture(autouse=True)
def _afresh():
    forget()
    yield
    forget()


def test_everything_that_a_module_imports_counts_however_far(package):
    files, libraries = closure("fracture.top")
    told = {file.relative_to(package).as_posix() for file in files}
    assert told == {"__init__.py", "top.py", "room/__init__.py", "room/middle.py", "room/deep.py", "room/table.csv"}
    assert libraries == {"numpy"}


@pytest.mark.parametrize("changed", ["top.py", "room/__init__.py", "room/deep.py", "room/table.csv", "__init__.py"])
def test_a_change_anywhere_below_is_noticed(package, changed):
    before = code_id("fracture.top")
    (package / changed).write_text((package / changed).read_text() + "\n")
    forget()
    assert code_id("fracture.top") != before


def test_a_change_elsewhere_is_not(package):
    before = code_id("fracture.top")
    (package / "room/other.py").write_text("import torch\n")
    forget()
    assert code_id("fracture.top") == before


def test_what_only_the_type_checker_imports_does_not_count():
    """Every module imports the package itself, which names what its programs' names are of."""
    files, libraries = closure("fracture.core.boxes")
    assert PACKAGE / "core/boxes.py" in files
    assert PACKAGE / "api/model.py" not in files
    assert not {"pandas", "openvino"} & libraries


def test_another_version_of_a_library_is_noticed(package, monkeypatch):
    before = code_id("fracture.top")
    version = code._version
    monkeypatch.setattr(code, "_version", lambda name: "0" if name == "pylibjpeg-openjpeg" else version(name))
    forget()
    assert code_id("fracture.top") != before, "a codec that pydicom finds by itself"


def test_what_a_process_imports_is_what_the_source_tells():
    """Import modules for real: no file of ours that was loaded may be missing from what was read from the source."""
    for module in ("fracture.data.preprocess", "fracture.inference.batch", "fracture.evaluation.run"):
        told = f"import sys, {module}; print([m for m in sys.modules if m.split('.')[0] == 'fracture'])"
        done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
        loaded = {file for name in ast.literal_eval(done.stdout) for file in code._files_of(name)}
        assert loaded <= closure(module)[0]
        assert PACKAGE / "imaging/decode.py" in loaded
