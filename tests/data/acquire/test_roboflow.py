"""Roboflow's package in its process: whatever it says, does or wants, the key stays in and nothing is left behind."""

import base64
import json
import logging
import os
import re
import signal
import socket
import threading
import time
import traceback
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest

from fracture.core.errors import MissingData
from fracture.data.acquire.download import Patience
from fracture.data.acquire.roboflow import SAID_MAX, cleared, from_roboflow

KEY = "rf/KEY+made Up=0123"
PATIENCE = Patience(tries=2, backoff_s=0.001, longest_s=0.01, timeout_s=5, polls=3, poll_s=0.001)
FORMS = [
    KEY,
    KEY.upper(),
    quote(KEY),
    quote_plus(KEY),
    quote(KEY, safe="").lower(),
    base64.b64encode(KEY.encode()).decode(),
    *(base64.b64encode(b"user:"[:length] + KEY.encode() + b"!").decode() for length in range(6)),
    *(base64.urlsafe_b64encode(b"user:"[:length] + KEY.encode()).decode() for length in range(6)),
]


@pytest.mark.parametrize("form", FORMS)
def test_a_key_is_found_in_every_form(form):
    text = cleared(f"<<{form}>>", KEY)
    assert "***" in text
    assert len(text.replace("*", "")) <= len("<<>>") + 12  # what stood around the key, and bits of it that say nothing


def test_a_key_that_json_spells_differently_is_found_too():
    key = 'quo"te\\and-ü'
    assert cleared(json.dumps({"a": f"x{key}x"}), key) == '{"a": "x***x"}'


def test_other_texts_are_left_alone():
    assert cleared("https://api.example/a/b answered 401", KEY) == "https://api.example/a/b answered 401"


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Put a package in Roboflow's place that does as told when it is asked for a project."""
    folder = tmp_path / "packages" / "roboflow"
    for part in ("adapters", "util"):
        (folder / part).mkdir(parents=True)
        (folder / part / "__init__.py").write_text("")
    (folder / "__init__.py").write_text("")
    (folder / "util" / "http.py").write_text("def get(url): raise NotImplementedError\n")

    def do(body, *, export="return {'export': {'link': 'https://127.0.0.1:1/x'}}"):
        lines = [
            "import base64, json, os, sys, time, urllib.parse",
            "class RoboflowError(Exception): pass",
            "def get_project(key, *_):",
            *(f"    {line}" for line in body.splitlines()),
            "def get_version_export(key, *_):",
            f"    {export}",
        ]
        (folder / "adapters" / "rfapi.py").write_text("\n".join(lines))

    monkeypatch.setenv("PYTHONPATH", str(folder.parent))
    return do


@pytest.fixture
def closed(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


@pytest.fixture
def refused(tmp_path, caplog, capfd):
    """Ask, and give the refusal, once the key was looked for in all that is left."""
    caplog.set_level(logging.DEBUG)

    def ask(key=KEY, patience=PATIENCE, base="http://127.0.0.1:1"):
        with pytest.raises(MissingData) as refusal:
            from_roboflow("some/project", key, tmp_path / "store", base, patience)
        error = refusal.value
        printed = capfd.readouterr()
        shown = ["".join(traceback.format_exception(error)), repr(error.__context__), repr(error.args)]
        logged = [logging.Formatter().format(record) for record in caplog.records]
        forms = "|".join(map(re.escape, FORMS))
        left = [str(path) + (path.read_text() if path.is_file() else "") for path in (tmp_path / "store").rglob("*")]
        assert not re.search(forms, "\n".join([*shown, *logged, *left, printed.out, printed.err]), re.IGNORECASE)
        return str(error)

    return ask


ALL_FORMS = """plain = urllib.parse.unquote_plus(key)
forms = [plain, key, urllib.parse.quote(plain), json.dumps(plain)]
forms += [base64.b64encode(before + plain.encode()).decode() for before in (b"", b"a", b"ab", b"abc")]
said = " ".join(forms)
"""


def test_an_error_that_quotes_the_key(package, refused):
    package(ALL_FORMS + "raise RuntimeError(said)")
    assert "RuntimeError: *** ***" in refused()


def test_what_is_printed_goes_nowhere(package, refused):
    package(
        ALL_FORMS + "print(said)\nprint(said, file=sys.stderr)\nos.write(2, said.encode())\nraise RoboflowError(said)"
    )
    assert "expected a list of versions" in refused()


@pytest.mark.parametrize("end", ["", "os._exit(3)"])
def test_an_answer_that_cannot_be_read(package, refused, end):
    package(ALL_FORMS + "os.write(1, said.encode())\n" + end)
    assert "no answer that can be read" in refused()


def test_a_flood_is_cut_off(package, refused):
    package(f"while True: os.write(1, b'x' * {SAID_MAX})")
    began = time.monotonic()
    assert "no answer that can be read" in refused()
    assert time.monotonic() - began < 30


def test_one_that_hangs_is_ended(package, refused):
    package("time.sleep(600)")
    began = time.monotonic()
    assert "none in time" in refused(patience=Patience(polls=0, listing_s=0.5))
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("apart", [False, True])
def test_what_it_leaves_behind_holds_nobody_up(package, refused, tmp_path, apart):
    """A process that it started holds its pipe open; where that is of its session it is ended too."""
    number = tmp_path / "number"
    os.mkfifo(number)
    started = "['/bin/sh', '-c', 'echo $$ > " + str(number) + "; exec sleep 600']"
    package(f"import subprocess\nsubprocess.Popen({started}, start_new_session={apart})\ntime.sleep(600)")
    found = []
    reading = threading.Thread(target=lambda: found.append(int(number.read_text())), daemon=True)
    reading.start()
    began = time.monotonic()
    refused(patience=Patience(polls=0, listing_s=2))
    assert time.monotonic() - began < 20
    reading.join(5)
    if apart:
        os.kill(found[0], signal.SIGKILL)
    else:
        assert not Path(f"/proc/{found[0]}").exists() or "sleep" not in Path(f"/proc/{found[0]}/cmdline").read_text()


def test_an_answer_counts_though_something_is_left_behind(package, refused, closed):
    package(
        "import subprocess\nsubprocess.Popen(['/bin/sleep', '60'])\nreturn {'versions': [{'id': 'some/project/1'}]}",
        export=f"return {{'export': {{'link': {closed!r}}}}}",
    )
    began = time.monotonic()
    assert f"{closed} gave no answer" in refused()
    assert time.monotonic() - began < 20


def test_a_link_that_holds_the_key_leads_nowhere(package, refused, closed):
    package(
        "return {'versions': [{'id': 'some/project/1'}]}",
        export=f"return {{'export': {{'link': {closed!r} + '/' + key + '/' + urllib.parse.unquote_plus(key)}}}}",
    )
    assert f"{closed}/***/*** gave no answer" in refused()


def test_no_file_gets_a_byte(package, refused, tmp_path):
    package(f"with open({str(tmp_path / 'spoilt')!r}, 'w') as file:\n    file.write(key)")
    assert "OSError" in refused()
    assert (tmp_path / "spoilt").read_bytes() == b""


def test_its_home_is_a_folder_of_its_own_and_is_gone_afterwards(package, refused, tmp_path):
    package("raise RuntimeError(' '.join([os.path.expanduser('~'), os.getcwd(), os.environ['TMPDIR']]))")
    home, here, temporary = refused().rpartition(": ")[2].split()
    assert home == here == temporary
    assert "roboflow-" in home
    package(f"raise RuntimeError(os.path.exists({home!r}))")
    assert refused().endswith("False")


def test_no_other_secret_and_no_key_stand_in_its_environment(package, refused, monkeypatch):
    for name in ("GOOGLE_MAPS_API_KEY", "AWS_SECRET_ACCESS_KEY", "ROBOFLOW_API_KEY", "FRACTURE_API_KEYS", "NETRC"):
        monkeypatch.setenv(name, "planted")
    package("raise RuntimeError([name for name, value in os.environ.items() if 'planted' in value])")
    assert refused().endswith("[]")
    package("plain = urllib.parse.unquote_plus(key)\nraise RuntimeError(plain in str(os.environ) + str(sys.orig_argv))")
    assert refused().endswith("False")


def test_without_the_package(package, refused):
    package("import no_such_package")
    assert "needs no_such_package, which is not installed" in refused()


class Quoting(BaseHTTPRequestHandler):
    """Refuses, and says the address back in every place where it can."""

    def do_GET(self):
        self.server.agents.append(self.headers["User-Agent"])
        body = f"no access for {self.path}".encode()
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Echo", self.path)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def quoting(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    with ThreadingHTTPServer(("127.0.0.1", 0), Quoting) as server:
        server.status, server.agents = 200, []
        server.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("status", [200, 202, 401, 500])
def test_the_real_package_behind_our_client(quoting, refused, status, tmp_path, monkeypatch):
    """Also one that somebody logged in with before: its settings in the home folder are not read."""
    settings = tmp_path / ".config" / "roboflow"
    settings.mkdir(parents=True)
    (settings / "config.json").write_text('{"API_URL": "http://127.0.0.1:2", "RF_WORKSPACE": "x"')
    monkeypatch.setenv("HOME", str(tmp_path))
    quoting.status = status
    why = refused(base=quoting.url)
    assert quoting.url + "/some/project" in why
    assert all(agent.startswith("fracture/") for agent in quoting.agents)
    assert len(quoting.agents) == (2 if status == 500 else 1)


@pytest.mark.parametrize("status", [401, 500])
def test_the_package_alone_would_tell_the_key(quoting, monkeypatch, caplog, status):
    """The control of this file: asked in this process, it quotes the key in its error and the log holds it."""
    from roboflow.adapters import rfapi

    caplog.set_level(logging.DEBUG)
    quoting.status = status
    monkeypatch.setattr(rfapi, "API_URL", quoting.url)
    with pytest.raises(rfapi.RoboflowError, match="plainKEY"):
        rfapi.get_project("plainKEY", "some", "project")
    assert "plainKEY" in caplog.text
