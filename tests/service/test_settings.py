"""The environment, and what a start without a model says."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError
from starlette.testclient import TestClient

from fracture.core.errors import BadValue, MissingData
from fracture.core.files import file_hash
from fracture.models import card as cards
from fracture.service.http.main import create_app, open_reader
from fracture.service.http.settings import Settings

ROOT = Path(__file__).parents[2]


def test_defaults():
    settings = Settings()
    assert (settings.fracture_weights, settings.google_maps_api_key) == (None, None)
    assert settings.max_upload_bytes == 64 * 1024 * 1024


def test_the_docs_list_every_setting():
    text = (ROOT / "docs/SERVICE.md").read_text(encoding="utf-8")
    found = re.findall(r"^\| `([A-Z_]+)` \| (?:`(.*)`)? ?\| (.+) \|$", text, re.MULTILINE)
    fields = Settings.model_fields
    assert found == [
        (name.upper(), "" if field.default in {None, ()} else str(field.default), field.description)
        for name, field in fields.items()
    ]


def test_secrets_may_come_as_files(monkeypatch, tmp_path):
    (tmp_path / "fracture_api_keys").write_text("viewer:a-key-from-a-file\nadmin:another-key-of-it\n")
    code = "from fracture.service.http.settings import Settings; print(Settings().fracture_api_keys.get_secret_value())"
    environment = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.split() == ["viewer:a-key-from-a-file", "admin:another-key-of-it"]


def test_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("FRACTURE_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("GOOGLE_MAPS_API_KEY", "AIza-made-up")
    monkeypatch.setenv("FRACTURE_MAX_UPLOAD_MB", "2")
    settings = Settings()
    assert settings.fracture_weights == tmp_path
    assert settings.google_maps_api_key.get_secret_value() == "AIza-made-up"
    assert settings.max_upload_bytes == 2 << 20
    assert "AIza" not in repr(settings) + str(settings) + settings.model_dump_json()


def test_an_empty_variable_counts_as_none(monkeypatch):
    for name in ("FRACTURE_WEIGHTS", "GOOGLE_MAPS_API_KEY", "FRACTURE_MAX_UPLOAD_MB"):
        monkeypatch.setenv(name, "")
    assert Settings() == Settings(fracture_weights=None, google_maps_api_key=None, fracture_max_upload_mb=64)


@pytest.mark.parametrize("value", ["0", "-1", "1025", "lots"])
def test_a_wrong_limit_is_refused_without_quoting_anything(monkeypatch, value):
    monkeypatch.setenv("GOOGLE_MAPS_API_KEY", "AIza-made-up")
    monkeypatch.setenv("FRACTURE_MAX_UPLOAD_MB", value)
    with pytest.raises(ValidationError, match="fracture_max_upload_mb") as refused:
        Settings()
    assert "AIza" not in str(refused.value)


def test_a_start_without_a_model_fails_with_the_reason(tmp_path):
    with (
        pytest.raises(MissingData, match=r"no card\.json beside"),
        TestClient(create_app(Settings(fracture_weights=tmp_path))),
    ):
        pass


def test_a_start_with_a_changed_model_fails_with_the_reason(tmp_path, card):
    cards.save(card(), tmp_path)
    (tmp_path / "model.onnx").write_bytes(b"another model")
    with (
        pytest.raises(BadValue, match="the file was changed"),
        TestClient(create_app(Settings(fracture_weights=tmp_path / "model.onnx"))),
    ):
        pass


def test_a_pickle_is_never_opened(tmp_path, card):
    """A run's .pt stands for its ONNX export; where there is none, the start fails and nothing is unpickled."""
    weights = tmp_path / "weights" / "best.pt"
    weights.parent.mkdir()
    weights.write_bytes(b"a pickle")
    cards.save(card(files={"weights/best.pt": file_hash(weights)}), tmp_path)
    with pytest.raises(MissingData, match=r"no \.onnx"):
        open_reader(Settings(fracture_weights=weights))


@pytest.mark.parametrize("command", [("app",), ("uvicorn", "fracture.service.http.main:app", "--port", "0")])
def test_a_server_says_why_it_does_not_start(tmp_path, command):
    done = subprocess.run(
        [sys.executable, "-m", *command],
        capture_output=True,
        text=True,
        timeout=60,
        env={"FRACTURE_WEIGHTS": str(tmp_path), "PATH": ""},
        check=False,
    )
    assert done.returncode != 0
    assert "MissingData: no card.json beside" in done.stderr
