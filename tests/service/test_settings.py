"""The environment, and what a start without a model says."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx2
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


def test_an_architecture_stands_for_its_run_and_is_held_against_the_weights(tmp_path, card, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = tmp_path / "runs/fracture_retinanet"
    run.mkdir(parents=True)
    with pytest.raises(MissingData, match=r"no card\.json beside runs/fracture_retinanet"):
        _ = Settings(fracture_backend="retinanet").weights
    (run / "model.onnx").write_bytes(b"a network")
    cards.save(card(arch="retinanet", files={"model.onnx": file_hash(run / "model.onnx")}), run)
    assert Settings(fracture_backend="retinanet").weights == Path("runs/fracture_retinanet")
    assert Settings(fracture_backend="yolov8").weights == Settings(fracture_backend="openvino").weights == cards.SHIPPED
    with pytest.raises(
        BadValue, match=r"FRACTURE_BACKEND: expected weights of fcos, got .*retinanet, which is retinanet"
    ):
        _ = Settings(fracture_backend="fcos", fracture_weights=run).weights
    with pytest.raises(
        ValidationError, match="'openvino', 'onnxruntime', 'yolov8', 'fasterrcnn', 'retinanet' or 'fcos'"
    ):
        Settings(fracture_backend="detr")


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
    assert line.startswith(f"{' '.join(command)}: ")
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
    assert done.stderr.startswith('fracture serve: error getting value for field "fracture_api_keys"')
    assert "codec" in done.stderr


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"FRACTURE_PORT": "lots"}, ["FRACTURE_PORT: expected a whole number, got 'lots'"]),
        (
            {
                "FRACTURE_MAX_UPLOAD_MB": "0",
                "FRACTURE_AUTH": "maybe",
                "FRACTURE_DECODE_S": "0",
                "FRACTURE_PORT": "70000",
            },
            [
                "FRACTURE_PORT: expected at most 65535, got '70000'",
                "FRACTURE_AUTH: expected 'auto', 'on' or 'off', got 'maybe'",
                "FRACTURE_MAX_UPLOAD_MB: expected at least 1, got '0'",
                "FRACTURE_DECODE_S: expected more than 0.0, got '0'",
            ],
        ),
        (
            {"FRACTURE_OVERPASS_URL": "secret"},
            ["FRACTURE_OVERPASS_URL: expected a valid URL, relative URL without a base"],
        ),
        ({"FRACTURE_API_KEYS": "viewer:short"}, None),
        ({"FRACTURE_TRUSTED_PROXIES": "nobody"}, None),
    ],
)
def test_every_wrong_setting_is_a_line_of_our_words_and_the_end_is_2(monkeypatch, capsys, settings, said):
    monkeypatch.setattr(sys, "argv", ["fracture serve"])
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    assert serve() == 2
    told = capsys.readouterr().err
    assert told.startswith("fracture serve: FRACTURE_")
    assert said is None or told.removeprefix("fracture serve: ").splitlines() == said
    assert not any(words in told for words in ("pydantic", "https://", "secret", "short"))


def test_a_setting_that_is_none_is_told_with_those_it_is_like():
    given = dict.fromkeys(("FRACTURE_HOSTT", "FRACTURE_APIKEYS", "FRACTURE_SERVICE_PORT_HTTP"), "x")
    given |= {"FRACTURE_EMPTY": "", "FRACTURE_LOG_LEVEL": "info"}
    # In a process of its own: what other tests run may have silenced this one's loggers.
    code = "from fracture.service.http.settings import read; print(read().fracture_host)"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=os.environ | given, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "127.0.0.1"
    first, second, third = done.stderr.splitlines()
    assert first == "FRACTURE_APIKEYS: no such setting; is FRACTURE_API_KEYS meant?"
    assert second == "FRACTURE_HOSTT: no such setting; is FRACTURE_HOST or FRACTURE_HOSTS meant?"
    assert third.startswith("FRACTURE_SERVICE_PORT_HTTP: no such setting")


@pytest.fixture
def taken():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


@pytest.mark.parametrize("command", [("app",), ("fracture", "serve")])
def test_an_address_that_cannot_be_had_is_one_line_before_the_model_is_opened(command, taken, tmp_path):
    for host, why in (("127.0.0.1", "in use"), ("192.0.2.1", "assign"), ("nowhere.invalid", "")):
        environment = {
            "FRACTURE_HOST": host,
            "FRACTURE_PORT": str(taken),
            "FRACTURE_WEIGHTS": str(tmp_path),
            "PATH": "",
        }
        environment |= {"FRACTURE_API_KEYS": "viewer:0123456789abcdef"}
        how = {"capture_output": True, "text": True, "timeout": 120}
        done = subprocess.run([sys.executable, "-m", *command], check=False, env=environment, **how)
        assert (done.returncode, done.stdout) == (2, "")
        [line] = done.stderr.splitlines()
        expected = (
            f"{' '.join(command)}: expected an address that is free here, got FRACTURE_HOST {host}, FRACTURE_PORT "
        )
        assert line.startswith(expected)
        assert why in line


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"FRACTURE_HOST": "0.0.0.0"}, "callers from other machines will be refused"),
        ({"FRACTURE_HOST": "::"}, "callers from other machines will be refused"),
        ({"FRACTURE_AUTH": "on"}, "every caller will be refused"),
        ({"FRACTURE_HOST": "0.0.0.0", "FRACTURE_API_KEYS": "viewer:0123456789abcdef"}, ""),
        ({"FRACTURE_HOST": "0.0.0.0", "FRACTURE_AUTH": "off"}, ""),
        ({"FRACTURE_HOST": "localhost"}, ""),
        ({}, ""),
    ],
)
def test_a_service_that_nobody_elsewhere_has_a_key_for_says_so_once(tmp_path, settings, told):
    given = {"FRACTURE_WEIGHTS": str(tmp_path), "FRACTURE_PORT": "0"} | settings
    command = [sys.executable, "-m", "fracture", "serve"]
    done = subprocess.run(command, env=os.environ | given, capture_output=True, text=True, check=False)
    assert done.returncode == 2, "there is no model"
    said = [line for line in done.stderr.splitlines() if "need a key" in line]
    assert len(said) == bool(told)
    if told:
        assert told in said[0]
        assert "FRACTURE_API_KEYS=viewer:KEY" in said[0]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_service_says_where_it_is_when_it_answers_and_ends_with_0_when_told_to_stop(number):
    environment = os.environ | {"FRACTURE_PORT": "0", "FRACTURE_DECODERS": "1"}
    command = [sys.executable, "-m", "fracture", "serve"]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        address = next(found[1] for line in process.stderr if (found := re.search(r"fracture on (http\S+)", line)))
        assert httpx2.get(f"{address}/readyz", timeout=60).status_code == 200
        process.send_signal(number)
        said = process.stderr.read()
    assert (process.returncode, "Traceback" in said) == (0, False)


def test_what_fails_while_the_server_starts_ends_with_2(tmp_path):
    environment = os.environ | {"FRACTURE_PORT": "0", "FRACTURE_FEEDBACK": str(tmp_path)}
    command = [sys.executable, "-m", "fracture", "serve"]
    assert subprocess.run(command, check=False, env=environment, capture_output=True, timeout=120).returncode == 2


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
