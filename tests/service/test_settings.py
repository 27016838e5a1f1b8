"""The environment, and what a start without a model says."""

import re
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from pydantic import ValidationError
from starlette.testclient import TestClient

from fracture.commands.serve import main as serve
from fracture.core.errors import BadValue, MissingData
from fracture.core.files import file_hash
from fracture.models import card as cards
from fracture.service.http.main import create_app, open_reader
from fracture.service.http.settings import Settings
from tests.service.running import write_bundle

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


def started(weights, *command, **settings):
    environment = {"FRACTURE_WEIGHTS": str(weights), "PATH": ""} | settings
    how = {"capture_output": True, "text": True, "timeout": 120}
    return subprocess.run([sys.executable, "-m", *command], env=environment, check=False, **how)


def test_a_server_of_another_program_says_why_it_does_not_start(tmp_path):
    done = started(tmp_path, "uvicorn", "fracture.service.http.main:app", "--port", "0")
    assert done.returncode != 0
    assert "MissingData: no card.json beside" in done.stderr


@pytest.mark.parametrize("command", [("app",), ("fracture", "serve")])
@pytest.mark.parametrize(
    ("changes", "why"), [(None, "no card.json beside"), ({"classes": ("fracture", "other")}, "expected 7 rows")]
)
def test_a_model_that_cannot_be_served_is_one_line(tmp_path, command, changes, why):
    if changes:
        write_bundle(tmp_path / "bundle", **changes)
    done = started(tmp_path / "bundle", *command)
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert line.startswith("fracture: ")
    assert why in line


def test_corrections_that_cannot_be_kept_are_one_line(tmp_path):
    bundle = write_bundle(tmp_path / "bundle")
    done = started(bundle, "fracture", "serve", FRACTURE_FEEDBACK=str(tmp_path / "none/c.db"))
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "expected a folder for corrections" in done.stderr


@pytest.mark.parametrize("ready", [(), ("--ready",)])
def test_keys_that_cannot_be_read_are_one_line(tmp_path, ready):
    """As a file that its user may not read, which root, who may run this, always may."""
    (tmp_path / "fracture_api_keys").write_bytes(b"viewer:\xff\xfe")
    done = started(tmp_path, "fracture", "serve", *ready, CREDENTIALS_DIRECTORY=str(tmp_path))
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith('fracture: error getting value for field "fracture_api_keys"')
    assert "codec" in done.stderr


class Ready(BaseHTTPRequestHandler):
    """Answers as a service does that is ready or is not."""

    def do_GET(self):
        body = self.path.encode()
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def there():
    with ThreadingHTTPServer(("127.0.0.1", 0), Ready) as server:
        server.status = 200
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def asked(monkeypatch, port, host="0.0.0.0"):
    """Ask whether a service is ready, where a proxy that is not there is named for everything else."""
    monkeypatch.setattr(sys, "argv", ["fracture", "--ready"])
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.setenv("FRACTURE_PORT", str(port))
    monkeypatch.setenv("FRACTURE_HOST", host)
    return serve()


def test_no_proxy_is_asked_whether_the_service_is_ready(there, monkeypatch, capsys):
    for host in ("0.0.0.0", "127.0.0.1", "localhost"):
        assert asked(monkeypatch, there.server_port, host) == 0
        assert capsys.readouterr().out == "/readyz\n"
    there.status = 503
    assert asked(monkeypatch, there.server_port) == 1
    assert "not ready: answered 503" in capsys.readouterr().err


def test_the_address_that_is_listened_at_is_asked(there, monkeypatch):
    """Whoever listens at the loopback is not the service that listens elsewhere."""
    assert asked(monkeypatch, there.server_port, "127.0.0.2") == 1
    assert asked(monkeypatch, there.server_port, "::") == 1
