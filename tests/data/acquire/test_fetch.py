"""Downloads from a small HTTP server that breaks off, lies, redirects and asks to wait, as the real ones do."""

import contextlib
import functools
import hashlib
import io
import json
import logging
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import traceback
import zipfile
from collections import defaultdict, namedtuple
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from fracture.core.errors import BadValue, MissingData
from fracture.data.acquire import fetch as module
from fracture.data.acquire.by_hand import instructions
from fracture.data.acquire.download import Patience, _length, _rest, download
from fracture.data.acquire.fetch import Endpoints, acquire
from fracture.data.acquire.origins import ORIGINS

ROOT = Path(__file__).parents[3]
KEY = "rfKEYmadeUp0123"
LINK_SECRET = "linkSECRETmadeUp"
BODY = bytes(range(256)) * 400
QUICK = Patience(tries=3, backoff_s=0.001, longest_s=0.05, timeout_s=5, polls=4, poll_s=0.001)


class Remote(BaseHTTPRequestHandler):
    """Answers each path by the next step of its plan, the last one for ever, and remembers what was asked."""

    def do_GET(self):
        path = urlsplit(self.path).path
        self.server.asked.append(self)
        plan = self.server.plan[path]
        step = plan.pop(0) if len(plan) > 1 else plan[0] if plan else say(404)
        with contextlib.suppress(OSError):  # the client gave up
            step(self)

    def log_message(self, *_):
        pass


def say(status, body=b"", **headers):
    """Give a step that answers in full."""

    def step(request):
        request.send_response(status)
        for name, value in {"Content_Length": len(body), **headers}.items():
            request.send_header(name.replace("_", "-"), str(value))
        request.end_headers()
        request.wfile.write(body)

    return step


def tell(content, status=200):
    return say(status, json.dumps(content).encode())


def give(body=BODY, *, etag='"v1"', modified=None, ranges=True, conditional=True, cut=None, reset=False, span=None):
    """Give a step that serves a file as a web server does, or breaks off ``cut`` bytes into what is left of it."""

    def step(request):
        wanted, given = request.headers.get("Range"), request.headers.get("If-Range")
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and ranges else 0
        if conditional and given not in {etag, modified}:
            start = 0
        if start and start >= len(body):
            request.send_response(416)
            request.send_header("Content-Range", f"bytes */{len(body)}")
            request.end_headers()
            return
        request.send_response(206 if start else 200)
        if start:
            request.send_header("Content-Range", span or f"bytes {start}-{len(body) - 1}/{len(body)}")
        for name, value in (("ETag", etag), ("Last-Modified", modified)):
            if value:
                request.send_header(name, value)
        request.send_header("Content-Length", str(len(body) - start))
        request.end_headers()
        request.wfile.write(body[start:] if cut is None else body[start : start + cut])
        if reset:
            request.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            request.wfile.flush()
            time.sleep(0.05)
            request.connection.close()

    return step


def chunked(body, *, whole=True):
    """Give a step that says no length."""

    def step(request):
        request.protocol_version = "HTTP/1.1"
        request.send_response(200)
        request.send_header("Transfer-Encoding", "chunked")
        request.send_header("Connection", "close")
        request.end_headers()
        request.wfile.write(f"{len(body):x}\r\n".encode() + body + b"\r\n" + (b"0\r\n\r\n" if whole else b"1000\r\nx"))

    return step


@pytest.fixture
def remote(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    with ThreadingHTTPServer(("127.0.0.1", 0), Remote) as server:
        server.daemon_threads, server.asked, server.plan = True, [], defaultdict(list)
        server.url = f"http://127.0.0.1:{server.server_port}"
        server.alias = f"http://localhost:{server.server_port}"
        server.hold = threading.Event()
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.hold.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def fetch(remote, tmp_path):
    """Serve a plan as /set.zip and download it."""

    def go(*plan, query="", **options):
        if plan:
            remote.plan["/set.zip"] = list(plan)
        return download(f"{remote.url}/set.zip{query}", tmp_path / "set.zip", **({"patience": QUICK} | options))

    return go


def ranges(remote):
    return [request.headers.get("Range") for request in remote.asked]


def leftovers(folder):
    return sorted(path.name for path in folder.iterdir())


def md5(data):
    return hashlib.md5(data).hexdigest()


def zipped(files):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def closed(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


# Downloads


def test_a_download_and_its_record(fetch, remote, tmp_path):
    path = fetch(give(), query=f"?api_key={KEY}&x=1", md5=md5(BODY).upper(), sha256=hashlib.sha256(BODY).hexdigest())
    assert path == tmp_path / "set.zip"
    assert path.read_bytes() == BODY
    assert leftovers(tmp_path) == ["downloads.json", "set.zip"]
    record = json.loads((tmp_path / "downloads.json").read_text())["set.zip"]
    assert datetime.now(UTC) - datetime.fromisoformat(record.pop("date")) < timedelta(minutes=1)
    assert record == {
        "url": f"{remote.url}/set.zip",
        "size": len(BODY),
        "sha256": hashlib.sha256(BODY).hexdigest(),
        "md5": md5(BODY),
    }
    assert remote.asked[0].headers["User-Agent"].startswith("fracture/")
    fetch(md5=md5(BODY))
    assert len(remote.asked) == 1


def test_records_stand_side_by_side_and_a_spoilt_one_is_made_anew(fetch, remote, tmp_path):
    fetch(give())
    remote.plan["/other"] = [give(b"other")]
    download(f"{remote.url}/other", tmp_path / "other", patience=QUICK)
    assert set(json.loads((tmp_path / "downloads.json").read_text())) == {"set.zip", "other"}
    (tmp_path / "downloads.json").write_text("[")
    fetch(md5=md5(BODY))
    assert set(json.loads((tmp_path / "downloads.json").read_text())) == {"set.zip"}
    assert len(remote.asked) == 2


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("state", [{}, {"etag": None, "modified": "Mon, 01 Jan 2024 00:00:00 GMT"}])
def test_a_broken_off_download_goes_on(fetch, remote, reset, state):
    assert fetch(give(cut=70_000, reset=reset, **state), give(**state)).read_bytes() == BODY
    first, second = remote.asked
    assert first.headers["Range"] is None
    start = int(second.headers["Range"].removeprefix("bytes=").rstrip("-"))
    assert (0 < start <= 70_000) if reset else start == 70_000
    assert second.headers["If-Range"] == state.get("modified", '"v1"')


def test_every_try_that_brings_something_renews_the_patience(fetch, remote):
    assert fetch(give(cut=10_000)).read_bytes() == BODY
    assert len(remote.asked) == 11 > QUICK.tries


def test_a_run_that_was_killed_goes_on(remote, tmp_path):
    """A real process, killed with most of the file still to come; the next call asks for the rest only."""

    def drip(request):
        request.send_response(200)
        request.send_header("ETag", '"v1"')
        request.send_header("Content-Length", str(len(BODY)))
        request.end_headers()
        request.wfile.write(BODY[:30_000])
        request.wfile.flush()
        remote.hold.wait(10)

    remote.plan["/set.zip"] = [drip, give()]
    url, target = f"{remote.url}/set.zip", tmp_path / "set.zip"
    code = (
        "import sys; from pathlib import Path; from fracture.data.acquire.download import download;"
        "download(sys.argv[1], Path(sys.argv[2]))"
    )
    command = [sys.executable, "-c", code, url, str(target)]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL) as process:
        partial = tmp_path / "set.zip.partial"
        limit = time.monotonic() + 20
        while not (partial.is_file() and partial.stat().st_size >= 8192) and time.monotonic() < limit:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    kept = partial.stat().st_size
    assert 0 < kept <= 30_000
    assert partial.read_bytes() == BODY[:kept]
    assert leftovers(tmp_path) == ["set.zip.partial", "set.zip.partial.json"]
    assert download(url, target, patience=QUICK).read_bytes() == BODY
    assert ranges(remote) == [None, f"bytes={kept}-"]
    assert leftovers(tmp_path) == ["downloads.json", "set.zip"]


def test_all_of_it_was_there_when_the_run_was_killed(fetch, remote, tmp_path):
    (tmp_path / "set.zip.partial").write_bytes(BODY)
    (tmp_path / "set.zip.partial.json").write_text('{"validator": "\\"v1\\""}')
    assert fetch(give(), md5=md5(BODY)).read_bytes() == BODY
    assert ranges(remote) == [f"bytes={len(BODY)}-"]


def test_more_is_kept_than_there_is(fetch, remote, tmp_path):
    (tmp_path / "set.zip.partial").write_bytes(BODY + b"more")
    (tmp_path / "set.zip.partial.json").write_text('{"validator": "\\"v1\\""}')
    assert fetch(give()).read_bytes() == BODY
    assert ranges(remote) == [f"bytes={len(BODY) + 4}-", None]


NEW = BODY[::-1]


@pytest.mark.parametrize(
    "plan",
    [
        (give(cut=500), give(NEW, etag='"v2"')),  # If-Range does its work
        (give(cut=500), give(NEW, etag='"v2"', conditional=False), give(NEW, etag='"v2"')),  # it is ignored
        (give(cut=500), give(NEW, ranges=False)),  # Range is ignored
        (give(cut=500), give(NEW, span="bytes 0-9/10"), give(NEW, etag='"v2"')),  # not the part asked for
        (give(cut=500), give(NEW, span="nonsense"), give(NEW, etag='"v2"')),
        (give(cut=500, etag=None), give(NEW, etag=None)),  # nothing to tell the two apart by
        (give(cut=500, etag='W/"v1"'), give(NEW, etag='W/"v1"')),  # a weak tag promises no equal bytes
    ],
)
def test_two_remote_files_are_never_mixed(fetch, remote, plan):
    assert fetch(*plan).read_bytes() == NEW


def test_a_note_that_was_spoilt_starts_again(fetch, remote, tmp_path):
    (tmp_path / "set.zip.partial").write_bytes(NEW[:100])
    (tmp_path / "set.zip.partial.json").write_text("{")
    assert fetch(give()).read_bytes() == BODY
    assert ranges(remote) == [None]


def test_errors_that_pass(fetch, remote):
    assert fetch(say(500), say(503), give()).read_bytes() == BODY
    assert len(remote.asked) == 3


@pytest.mark.parametrize("how", ["seconds", "date", "nonsense"])
def test_a_server_that_asks_to_wait(fetch, remote, how):
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    value = {"seconds": "60", "date": later, "nonsense": "soon"}[how]
    began = time.monotonic()
    fetch(say(429, Retry_After=value), give(), patience=Patience(tries=2, backoff_s=0, longest_s=0.3))
    waited = time.monotonic() - began
    assert (waited < 0.25) if how == "nonsense" else (0.3 <= waited < 3)  # heeded, up to the cap


@pytest.mark.parametrize("status", [202, 204, 400, 401, 403, 404, 410])
def test_errors_that_stay(fetch, remote, tmp_path, status):
    """202 with nothing in it is what a wall against programs answers."""
    with pytest.raises(MissingData, match=f"/set.zip answered {status}"):
        fetch(say(status))
    assert len(remote.asked) == 1
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("plan", [[say(500)], [say(429, Retry_After=9)], [give(cut=0)]])
def test_patience_ends(fetch, remote, plan):
    with pytest.raises(MissingData, match="given up after 3 tries"):
        fetch(*plan)
    assert len(remote.asked) == 3


def test_a_server_that_starts_over_and_breaks_off_each_time_is_given_up(fetch, remote, tmp_path):
    with pytest.raises(MissingData, match="broke off after 70,000 of 102,400 bytes"):
        fetch(give(ranges=False, cut=70_000))
    assert len(remote.asked) == 3
    assert (tmp_path / "set.zip.partial").stat().st_size == 70_000


def test_what_came_is_kept_for_the_next_run(fetch, remote, tmp_path):
    with pytest.raises(MissingData):
        fetch(give(cut=70_000), say(500))
    assert leftovers(tmp_path) == ["set.zip.partial", "set.zip.partial.json"]
    assert fetch(give()).read_bytes() == BODY
    assert ranges(remote)[-1] == "bytes=70000-"


@pytest.mark.parametrize("wrong", [{"md5": "0" * 32}, {"sha256": "0" * 64}])
def test_a_wrong_sum_never_gets_the_name(fetch, tmp_path, wrong):
    with pytest.raises(BadValue, match="expected .*0000.* got .*" + md5(BODY)):
        fetch(give(), **wrong)
    assert leftovers(tmp_path) == []


def test_a_wrong_size_is_seen_before_the_body(fetch, tmp_path):
    with pytest.raises(BadValue, match="expected 7 bytes, the server announces 102,400"):
        fetch(give(), size=7)
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("announced", [len(BODY) + 5, 2 * len(BODY)])
def test_a_length_that_is_never_reached(fetch, tmp_path, announced):
    with pytest.raises(MissingData, match=f"broke off after {len(BODY):,} of {announced:,}"):
        fetch(say(200, BODY, Content_Length=announced))
    assert not (tmp_path / "set.zip").exists()


@pytest.mark.parametrize("total", ["9" * 5000, "9" * 19])
def test_a_size_of_thousands_of_digits_is_none(fetch, total):
    """Python refuses to read one by an error of its own."""
    assert _length({"Content-Length": total}) is None
    assert _rest({"Content-Range": f"bytes 0-1/{total}"}, 0) is None
    rest = give(span=f"bytes 500-{len(BODY) - 1}/{total}")
    assert fetch(give(cut=500), rest).read_bytes() == BODY  # begun anew


def test_a_body_without_a_length(fetch, tmp_path):
    assert fetch(chunked(BODY), size=len(BODY)).read_bytes() == BODY


def test_a_body_without_a_length_that_breaks_off(fetch):
    with pytest.raises(MissingData, match="broke off"):
        fetch(chunked(BODY, whole=False))
    with pytest.raises(MissingData, match="broke off after 102,400 of 102,401"):
        fetch(chunked(BODY), size=len(BODY) + 1)


@pytest.mark.parametrize("limit", [{"size": 1000}, {"cap_bytes": 1000}])
def test_a_body_without_a_length_that_does_not_end(fetch, tmp_path, limit):
    with pytest.raises(BadValue, match="expected at most 1,000 bytes, got more"):
        fetch(chunked(BODY), **limit)
    assert leftovers(tmp_path) == []


def test_a_cap_on_what_is_announced(fetch, tmp_path):
    with pytest.raises(BadValue, match="at most 102,399 bytes, got 102,400 announced"):
        fetch(give(), cap_bytes=len(BODY) - 1)
    assert leftovers(tmp_path) == []


def test_the_disk_is_asked_first_and_what_is_kept_stays(fetch, tmp_path, monkeypatch):
    with pytest.raises(MissingData):
        fetch(give(cut=70_000), say(500))
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(100, 90, 32_399))
    with pytest.raises(BadValue, match=r"expected 32,400 free bytes .* has 32,399"):
        fetch(give())
    assert (tmp_path / "set.zip.partial").stat().st_size == 70_000
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(100, 90, 32_400))
    assert fetch(give()).read_bytes() == BODY


def test_a_silent_server(fetch, remote):
    began = time.monotonic()
    with pytest.raises(MissingData, match="TimeoutError"):
        fetch(
            lambda _: remote.hold.wait(5), patience=Patience(tries=2, backoff_s=0.001, longest_s=0.01, timeout_s=0.15)
        )
    assert time.monotonic() - began < 3


def test_a_server_that_falls_silent_in_the_middle(fetch, remote, tmp_path):
    def stall(request):
        say(200, BODY[:9000], Content_Length=len(BODY), ETag='"v1"')(request)
        request.wfile.flush()
        remote.hold.wait(5)

    patience = Patience(tries=2, backoff_s=0.001, longest_s=0.01, timeout_s=0.15)
    assert fetch(stall, give(), patience=patience).read_bytes() == BODY
    assert ranges(remote)[1].startswith("bytes=")


def test_no_server_there(closed, tmp_path):
    with pytest.raises(MissingData, match=r"gave no answer \(ConnectionRefusedError\)"):
        download(f"{closed}/set.zip?api_key={KEY}", tmp_path / "set.zip", patience=QUICK)


def test_a_file_that_is_there_already(fetch, remote, tmp_path):
    (tmp_path / "set.zip").write_bytes(BODY)
    assert fetch(md5=md5(BODY), size=len(BODY)).read_bytes() == BODY
    assert json.loads((tmp_path / "downloads.json").read_text())["set.zip"]["md5"] == md5(BODY)
    with pytest.raises(BadValue, match=r"is there already.*move it away"):
        fetch(md5="0" * 32)
    (tmp_path / "set.zip").write_bytes(BODY[:-1])
    with pytest.raises(BadValue, match="move it away"):
        fetch(md5=md5(BODY))
    assert (tmp_path / "set.zip").read_bytes() == BODY[:-1]
    assert remote.asked == []


# Redirects and addresses


SECRET = {"Authorization": f"Bearer {KEY}"}


def test_a_redirect_on_one_host_takes_the_secret_along(fetch, remote):
    remote.plan["/there"] = [give()]
    fetch(say(302, Location="/there"), headers=SECRET)
    assert [request.headers.get("Authorization") for request in remote.asked] == [f"Bearer {KEY}"] * 2


def test_a_redirect_to_another_host_does_not(fetch, remote):
    remote.plan["/there"] = [give(cut=500), give()]
    remote.plan["/back"] = [say(302, Location="/there")]
    fetch(say(302, Location=f"{remote.alias}/back"), headers=SECRET)
    secrets = [request.headers.get("Authorization") for request in remote.asked]
    assert secrets == [f"Bearer {KEY}", None, None] * 2
    assert ranges(remote)[-1] == "bytes=500-"
    assert remote.asked[-1].headers["User-Agent"].startswith("fracture/")


@pytest.mark.parametrize("where", ["file:///etc/passwd", "ftp://127.0.0.1/x", "data:,x", "//", "http:///x", "/set.zip"])
def test_a_redirect_to_nowhere_good(fetch, remote, tmp_path, where):
    with pytest.raises(MissingData):
        fetch(say(302, Location=where))
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize(
    "url",
    [
        f"file:///etc/{KEY}",
        f"ftp://127.0.0.1/{KEY}",
        f"data:,{KEY}",
        f"http://user:{KEY}@127.0.0.1/x",
        f"http://[::1/{KEY}",
        f"http://127.0.0.1:{KEY}/x",
        f"http:///{KEY}",
        KEY,
        "",
    ],
)
def test_addresses_that_are_none(tmp_path, url):
    with pytest.raises(BadValue) as refusal:
        download(url, tmp_path / "x", patience=QUICK)
    assert KEY not in str(refusal.value)


# The key stays in


def texts(error):
    """Give everything an exception could show, those it was made from included."""
    return (
        "".join(traceback.format_exception(error)) + repr(error.__context__) + repr(error.__cause__) + str(error.args)
    )


@pytest.fixture
def secret(tmp_path, caplog, capfd):
    """Search every line logged or printed and every file, name and content, for what was planted."""
    caplog.set_level(logging.DEBUG)
    yield
    printed = capfd.readouterr()
    lines = [logging.Formatter().format(record) for record in caplog.get_records("call")]
    files = list(tmp_path.rglob("*"))
    everything = [printed.out, printed.err, *lines, *(str(path) for path in files)]
    everything += [path.read_bytes().decode("latin-1") for path in files if path.is_file()]
    assert not [text for text in everything if KEY in text or LINK_SECRET in text]


BAD_ANSWERS = [
    say(401, KEY.encode()),
    say(404),
    say(500, KEY.encode()),
    say(302, Location=f"file:///{KEY}"),
    say(200, f"<html>{KEY}</html>".encode()),
    say(200, b"[" * 100_000),
    tell(KEY),
    tell([]),
    tell({}),
    tell({"versions": []}),
    tell({"versions": [{"id": KEY}]}),
    tell({"versions": KEY}),
    give(json.dumps({"versions": KEY}).encode(), cut=5),
]


@pytest.mark.parametrize("step", BAD_ANSWERS)
def test_no_bad_answer_brings_the_key_out(remote, tmp_path, secret, step):
    remote.plan["/new-workspace-ozkjr/humerus-ghx7b"] = [step]
    with pytest.raises(MissingData) as refusal:
        acquire("humerus", tmp_path, roboflow_key=KEY, endpoints=Endpoints(roboflow=remote.url), patience=QUICK)
    assert remote.asked[0].path.endswith(f"?api_key={KEY}")  # it was there to be told
    assert KEY not in texts(refusal.value)
    assert ORIGINS["humerus"].page in str(refusal.value)


@pytest.mark.parametrize("host", ["closed", "http://127.0.0.1:1\x01", "http://name.invalid", "http://" + "a" * 70])
def test_no_network_brings_the_key_out(tmp_path, secret, closed, host):
    endpoints = Endpoints(roboflow=closed if host == "closed" else host)
    patience = Patience(tries=2, backoff_s=0.001, longest_s=0.01)
    with pytest.raises((MissingData, BadValue)) as refusal:
        acquire("hip", tmp_path, roboflow_key=KEY, endpoints=endpoints, patience=patience)
    assert KEY not in texts(refusal.value)


def test_a_download_that_fails_brings_no_secret_out(fetch, remote, secret):
    for step in (say(403), say(500), give(cut=0), say(302, Location=f"file:///x?k={KEY}")):
        with pytest.raises(MissingData) as refusal:
            fetch(step, query=f"?key={LINK_SECRET}", headers=SECRET)
        assert KEY not in texts(refusal.value)
        assert LINK_SECRET not in texts(refusal.value)


# Whole sets


FILMS = {
    "dataset.csv": b"image_id\n",
    "images/Fractured/1.jpg": b"film" * 99,
    "images/Non_fractured/2.jpg": b"film" * 77,
}
WRAPPED = {f"FracAtlas/{name}": content for name, content in FILMS.items()} | {"__MACOSX/FracAtlas/._x": b"junk"}


@pytest.fixture
def figshare(remote):
    """Serve articles as figshare does: a list of files, links that lead to another host."""

    def publish(article, files, **overrides):
        listed = []
        for number, (name, content) in enumerate(files.items(), 1):
            listed.append(
                {
                    "id": number,
                    "name": name,
                    "size": len(content),
                    "is_link_only": False,
                    "download_url": f"{remote.url}/files/{number}",
                    "supplied_md5": md5(content),
                    "computed_md5": md5(content),
                    "mimetype": "application/zip",
                }
                | overrides
            )
            remote.plan[f"/files/{number}"] = [
                say(302, Location=f"{remote.alias}/bucket/{number}?signed={LINK_SECRET}")
            ]
            remote.plan[f"/bucket/{number}"] = [give(content)]
            remote.plan[f"/v2/file/download/{number}"] = [say(404)]
        remote.plan[f"/v2/articles/{article}/files"] = [tell(listed)]
        return listed

    publish.take = functools.partial(acquire, endpoints=Endpoints(figshare=f"{remote.url}/v2"), patience=QUICK)
    return publish


def test_fracatlas_from_figshare(figshare, remote, tmp_path, secret):
    figshare(22363012, {"FracAtlas.zip": zipped(WRAPPED)})
    tree = figshare.take("fracatlas", tmp_path)
    assert tree == tmp_path / "FracAtlas"
    assert contents(tree) == FILMS
    assert leftovers(tmp_path) == ["FracAtlas", "FracAtlas.acquired.json", "downloads"]
    assert leftovers(tmp_path / "downloads" / "FracAtlas") == ["FracAtlas.zip", "downloads.json"]
    about = json.loads((tmp_path / "FracAtlas.acquired.json").read_text())
    assert about["licence"] == "CC BY 4.0"
    assert about["files"]["FracAtlas.zip"]["md5"] == md5(zipped(WRAPPED))
    assert about["files"]["FracAtlas.zip"]["url"] == f"{remote.url}/files/1"
    assert parse_qs(urlsplit(remote.asked[0].path).query) == {"page": ["1"], "page_size": ["500"]}
    asked = len(remote.asked)
    assert figshare.take("fracatlas", tmp_path) == tree
    assert len(remote.asked) == asked


GRAZ = {
    "dataset.csv": b"patient_id\n",
    "folder_structure.zip": zipped({"folder_structure/yolov5/labels/1.txt": b"3 .5 .5 .1 .1\n"}),
    "images_part1.zip": zipped({"1.png": b"film" * 50, "2.png": b"film" * 51}),
    "images_part2.zip": zipped({"images/3.png": b"film" * 52}),
}
GRAZ_TREE = {
    "dataset.csv": b"patient_id\n",
    "folder_structure/yolov5/labels/1.txt": b"3 .5 .5 .1 .1\n",
    "images_part1/1.png": b"film" * 50,
    "images_part1/2.png": b"film" * 51,
    "images_part2/3.png": b"film" * 52,
}


def test_grazpedwri_of_several_files(figshare, tmp_path):
    figshare(14825193, GRAZ)
    assert contents(figshare.take("grazpedwri", tmp_path)) == GRAZ_TREE


def test_a_run_that_was_cut_off_between_two_files_goes_on(figshare, remote, tmp_path):
    figshare(14825193, GRAZ)
    remote.plan["/bucket/4"] = [say(404)]
    with pytest.raises(MissingData):
        figshare.take("grazpedwri", tmp_path)
    assert not (tmp_path / "GRAZPEDWRI-DX").exists()
    asked = len(remote.asked)
    remote.plan["/bucket/4"] = [give(GRAZ["images_part2.zip"])]
    assert contents(figshare.take("grazpedwri", tmp_path)) == GRAZ_TREE
    assert [request.path.partition("?")[0] for request in remote.asked[asked:]] == [
        "/v2/articles/14825193/files",
        "/files/4",
        "/bucket/4",
    ]


def test_a_run_that_was_killed_while_putting_together_goes_on(figshare, tmp_path):
    """The third archive is hostile, so the first two are in place already when it stops; then it is mended."""
    hostile = GRAZ | {"images_part1.zip": zipped({"../evil": b""})}
    figshare(14825193, hostile)
    with pytest.raises(BadValue, match=r"\.\./evil"):
        figshare.take("grazpedwri", tmp_path)
    assert not (tmp_path / "GRAZPEDWRI-DX").exists()
    store = tmp_path / "downloads" / "GRAZPEDWRI-DX"
    assert leftovers(store / ".tree") == ["dataset.csv", "folder_structure"]
    assert not list(tmp_path.rglob("evil"))
    (store / "images_part1.zip").unlink()
    figshare(14825193, GRAZ)
    assert contents(figshare.take("grazpedwri", tmp_path)) == GRAZ_TREE
    assert leftovers(store) == sorted([*GRAZ, "downloads.json"])


@pytest.mark.parametrize("wall", [say(202), say(403), say(405)])
def test_a_wall_before_the_links_is_gone_around(figshare, remote, tmp_path, wall):
    figshare(22363012, {"FracAtlas.zip": zipped(WRAPPED)})
    remote.plan["/files/1"] = [wall]
    remote.plan["/v2/file/download/1"] = [say(302, Location=f"{remote.alias}/bucket/1")]
    assert contents(figshare.take("fracatlas", tmp_path)) == FILMS


def test_figshare_states_the_sums(figshare, tmp_path):
    figshare(22363012, {"FracAtlas.zip": zipped(WRAPPED)}, computed_md5="0" * 32)
    with pytest.raises(BadValue, match="0000"):
        figshare.take("fracatlas", tmp_path)
    figshare(22363012, {"FracAtlas.zip": zipped(WRAPPED)}, computed_md5="", supplied_md5="1" * 32)
    with pytest.raises(BadValue, match="1111"):
        figshare.take("fracatlas", tmp_path)
    figshare(22363012, {"FracAtlas.zip": zipped(WRAPPED)}, size=3)
    with pytest.raises(BadValue, match="expected 3 bytes"):
        figshare.take("fracatlas", tmp_path)
    figshare(22363012, {"FracAtlas.zip": zipped(WRAPPED)}, computed_md5=None, supplied_md5="")
    assert contents(figshare.take("fracatlas", tmp_path)) == FILMS


@pytest.mark.parametrize("name", ["../evil.zip", "/evil.zip", "a/b.zip", "C:evil.zip", "downloads.json", "..", ""])
def test_names_in_a_listing_lead_nowhere_else(figshare, tmp_path, name):
    figshare(22363012, {name: zipped(FILMS)})
    with pytest.raises(BadValue):
        figshare.take("fracatlas", tmp_path)
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("answer", [[], {}, {"files": []}, [1], ["x"], [{}], [{"name": "a"}], None, "x"])
def test_a_listing_of_another_shape(figshare, remote, tmp_path, answer):
    remote.plan["/v2/articles/22363012/files"] = [tell(answer)]
    with pytest.raises(MissingData, match="The_dataset/22363012"):
        figshare.take("fracatlas", tmp_path)


def test_two_archives_of_one_name(figshare, tmp_path):
    figshare(14825193, {"a.zip": zipped({"x": b"1"}), "a.ZIP2": zipped({"y": b"2"})})
    with pytest.raises(BadValue, match="different names"):
        figshare.take("grazpedwri", tmp_path)


def hostile():
    link = zipfile.ZipInfo("link")
    link.external_attr, link.create_system = 0o120777 << 16, 3
    raw = {
        "slip": zipped({"a": b"", "../../evil": b"x"}),
        "absolute": zipped({"/tmp/evil": b"x"}),
        "backslash": zipped({"..\\evil": b"x"}),
        "link": zipped({"a": b""}),
        "bomb": zipped({"bomb.png": bytes(3 << 20)}),
        "case": zipped({"a.png": b"1", "A.png": b"2"}),
        "many": zipped({}),
        "html": b"<html>sign in</html>",
    }
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(link, "/etc/passwd")
    return raw | {"link": out.getvalue()}


@pytest.mark.parametrize(("name", "data"), hostile().items())
def test_a_hostile_archive_makes_no_tree(figshare, tmp_path, name, data):
    figshare(22363012, {"FracAtlas.zip": data})
    with pytest.raises(BadValue):
        figshare.take("fracatlas", tmp_path)
    assert leftovers(tmp_path) == ["downloads"]
    assert "evil" not in " ".join(path.name for path in tmp_path.parent.rglob("*"))


EXPORT = {"data.yaml": b"names: [a]\n", "train/images/1.jpg": b"film" * 9, "train/labels/1.txt": b"", "valid/x": b"1"}
HUMERUS = "/new-workspace-ozkjr/humerus-ghx7b"


@pytest.fixture
def roboflow(remote, monkeypatch):
    """Serve a project as Roboflow does: versions, an export that takes a while, a link with a secret in it."""
    monkeypatch.delenv("ROBOFLOW_API_KEY", raising=False)
    versions = [{"id": f"new-workspace-ozkjr/humerus-ghx7b/{number}", "name": "x"} for number in (2, 11, 9)]
    versions.append({"id": "new-workspace-ozkjr/humerus-ghx7b/12", "generating": True})

    def keyed(step):
        def check(request):
            known = parse_qs(urlsplit(request.path).query).get("api_key") == [KEY]
            (step if known else say(401, f"no such key {KEY}".encode()))(request)

        return check

    link = {"export": {"format": "yolov8", "link": f"{remote.url}/ds/abc?key={LINK_SECRET}"}}
    remote.plan[HUMERUS] = [keyed(tell({"workspace": {}, "project": {}, "versions": versions}))]
    remote.plan[HUMERUS + "/11/yolov8"] = [
        keyed(tell({"progress": 0.1}, 202)),
        keyed(tell({"progress": 0.9})),
        keyed(tell(link)),
    ]
    remote.plan["/ds/abc"] = [say(302, Location=f"{remote.alias}/bucket/x.zip?signature={LINK_SECRET}")]
    remote.plan["/bucket/x.zip"] = [give(zipped(EXPORT), cut=100), give(zipped(EXPORT))]
    return functools.partial(acquire, "humerus", endpoints=Endpoints(roboflow=remote.url), patience=QUICK)


def test_humerus_from_roboflow(roboflow, remote, tmp_path, secret):
    tree = roboflow(tmp_path, roboflow_key=KEY)
    assert tree == tmp_path / "HUMERUS"
    assert contents(tree) == EXPORT
    assert leftovers(tmp_path) == ["HUMERUS", "HUMERUS.acquired.json", "downloads"]
    record = json.loads((tmp_path / "HUMERUS.acquired.json").read_text())["files"]["humerus-ghx7b-v11.zip"]
    assert record["url"] == f"{remote.url}/ds/abc"
    told = [request.path for request in remote.asked if KEY in request.path]
    assert len(told) == 4  # the key went to the interface alone
    assert all(path.startswith(HUMERUS) for path in told)
    # The package's requests are made by our client, as the download is.
    assert all(request.headers["User-Agent"].startswith("fracture/") for request in remote.asked)


def test_the_key_from_the_environment(roboflow, tmp_path, monkeypatch, secret):
    monkeypatch.setenv("ROBOFLOW_API_KEY", f" {KEY}\n")
    assert contents(roboflow(tmp_path)) == EXPORT


def test_a_key_with_odd_letters_is_quoted(roboflow, remote, tmp_path):
    with pytest.raises(MissingData, match="answered 401"):
        roboflow(tmp_path, roboflow_key="a&b=c/d #e")
    assert remote.asked[0].path == HUMERUS + "?api_key=a%26b%3Dc%2Fd+%23e"


@pytest.mark.parametrize("key", [None, "", " "])
def test_no_key(roboflow, remote, tmp_path, key):
    with pytest.raises(MissingData) as refusal:
        roboflow(tmp_path, roboflow_key=key)
    text = str(refusal.value)
    for part in ("ROBOFLOW_API_KEY", ORIGINS["humerus"].page, str(tmp_path / "HUMERUS"), "data.yaml", "YOLOv8"):
        assert part in text
    assert remote.asked == []
    assert leftovers(tmp_path) == []


def test_an_export_that_never_gets_ready(roboflow, remote, tmp_path):
    remote.plan[HUMERUS + "/11/yolov8"] = [tell({"progress": 0.5}, 202)]
    with pytest.raises(MissingData, match="not ready in time"):
        roboflow(tmp_path, roboflow_key=KEY)
    assert len(remote.asked) == 1 + QUICK.polls


@pytest.mark.parametrize("answer", [[], {}, {"export": None}, {"export": {}}, {"export": {"link": None}}, "x"])
def test_an_export_of_another_shape(roboflow, remote, tmp_path, secret, answer):
    remote.plan[HUMERUS + "/11/yolov8"] = [tell(answer)]
    with pytest.raises(MissingData, match="neither"):
        roboflow(tmp_path, roboflow_key=KEY)


def test_a_link_to_a_file_of_this_machine(roboflow, remote, tmp_path, secret):
    remote.plan[HUMERUS + "/11/yolov8"] = [tell({"export": {"link": "file:///etc/passwd"}})]
    with pytest.raises(BadValue, match="scheme 'file'"):
        roboflow(tmp_path, roboflow_key=KEY)


# By hand


@pytest.mark.parametrize("source", sorted(ORIGINS))
def test_every_set_says_what_to_do(source, tmp_path):
    text = instructions(source, tmp_path)
    origin = ORIGINS[source]
    for part in (origin.page, origin.licence, str(tmp_path / origin.folder), origin.holds, *origin.steps):
        assert part in text
    assert origin.figshare is None or str(origin.figshare) in origin.page
    assert origin.roboflow is None or origin.roboflow in origin.page


def test_the_docs_tell_of_every_set():
    told = (ROOT / "docs/DATA.md").read_text(encoding="utf-8")
    assert not [name for name, origin in ORIGINS.items() if f"| `{name}` |" not in told or origin.page not in told]


@pytest.mark.parametrize("source", ["fracatlas", "grazpedwri"])
def test_no_network(closed, tmp_path, source):
    with pytest.raises(MissingData) as refusal:
        acquire(source, tmp_path, endpoints=Endpoints(figshare=closed), patience=QUICK)
    assert "ConnectionRefusedError" in str(refusal.value)
    assert instructions(source, tmp_path) in str(refusal.value)


@pytest.mark.parametrize("source", sorted(ORIGINS))
def test_a_folder_filled_by_hand_is_taken_as_it_is(tmp_path, source):
    folder = tmp_path / ORIGINS[source].folder
    folder.mkdir()
    (folder / "anything").write_bytes(b"")
    assert acquire(source, tmp_path) == folder
    assert leftovers(tmp_path) == [folder.name]


@pytest.mark.parametrize("source", ["mura", "pkdarabi"])
def test_an_archive_brought_by_hand(tmp_path, source):
    with pytest.raises(MissingData, match="by a program"):
        acquire(source, tmp_path)
    folder = ORIGINS[source].folder
    store = tmp_path / "downloads" / folder
    store.mkdir(parents=True)
    (store / "notes.txt").write_text("not an archive")
    (store / "MURA-v1.1.zip").write_bytes(zipped({f"top/{name}": content for name, content in FILMS.items()}))
    (tmp_path / folder).mkdir()  # empty: not there yet
    assert contents(acquire(source, tmp_path)) == FILMS
    assert "MURA-v1.1.zip" in json.loads((tmp_path / f"{folder}.acquired.json").read_text())["files"]


def test_an_unknown_source(tmp_path):
    with pytest.raises(BadValue, match="fracatlas, grazpedwri, hip, humerus, mura, pkdarabi, rf100, got 'x'"):
        acquire("x", tmp_path)
    with pytest.raises(BadValue):
        instructions("x", tmp_path)


def test_the_table_is_sound():
    assert {name: origin.folder for name, origin in ORIGINS.items()} == {
        "fracatlas": "FracAtlas",
        "grazpedwri": "GRAZPEDWRI-DX",
        "humerus": "HUMERUS",
        "hip": "HIP",
        "rf100": "RF100",
        "mura": "MURA-v1.1",
        "pkdarabi": "PKDARABI",
    }
    assert (module.ENDPOINTS.figshare, module.ENDPOINTS.roboflow) == (
        "https://api.figshare.com/v2",
        "https://api.roboflow.com",
    )


def test_the_door(tmp_path):
    (tmp_path / "data" / "FracAtlas").mkdir(parents=True)
    (tmp_path / "data" / "FracAtlas" / "dataset.csv").write_text("")

    def run(sources):
        command = [sys.executable, str(ROOT / "scripts" / "acquire.py"), "--sources", sources, "--roboflow-key", KEY]
        return subprocess.run(
            command,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )

    good, bad = run("fracatlas"), run("mura, fracatlas,x")
    assert (good.returncode, good.stderr) == (0, "")
    assert good.stdout == f"fracatlas: in {Path('data', 'FracAtlas')} (CC BY 4.0)\n"
    assert bad.returncode == 2
    assert bad.stdout == good.stdout
    assert ORIGINS["mura"].page in bad.stderr
    assert "got 'x'" in bad.stderr
    assert KEY not in bad.stderr + bad.stdout
