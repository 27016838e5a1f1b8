"""The one HTTP client against a small server that drips, floods, redirects and asks to wait; and it is the only one."""

import ast
import gzip
import logging
import time
import traceback
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import httpx2
import pytest

from fracture.core import http as module
from fracture.core.errors import BadValue
from fracture.core.http import Bounds, RequestFailed, ask, opened, patiently, shown

ROOT = Path(__file__).parents[2]
KEY = "madeUpKEY0123"
QUICK = Bounds(wait_s=5, whole_s=5, pauses_s=(0.01, 0.02), longest_s=0.05, redirects=3)


class Remote(BaseHTTPRequestHandler):
    """Answers by the next step of the server's plan, the last one for ever, and remembers what was asked."""

    def do_GET(self):
        self.body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.asked.append(self)
        plan = self.server.plan
        with suppress(OSError):  # the client gave up
            (plan.pop(0) if len(plan) > 1 else plan[0])(self)

    do_POST = do_GET

    def log_message(self, *_):
        pass


def say(status, body=b"", **headers):
    def step(request):
        request.send_response(status)
        for name, value in {"Content_Length": len(body), **headers}.items():
            request.send_header(name.replace("_", "-"), str(value))
        request.end_headers()
        request.wfile.write(body)

    return step


def hang_up(request):
    request.close_connection = True


@contextmanager
def serving():
    with ThreadingHTTPServer(("127.0.0.1", 0), Remote) as server:
        server.daemon_threads, server.asked, server.plan = True, [], [say(200, b"good")]
        server.url = f"http://127.0.0.1:{server.server_port}"
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(autouse=True)
def no_proxies_from_outside(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def remote():
    with serving() as server:
        yield server


def test_an_answer(remote):
    assert ask(f"{remote.url}/a?key={KEY}", QUICK, headers={"X-Key": KEY}) == (200, b"good")
    (asked,) = remote.asked
    assert (asked.command, asked.path, asked.headers["X-Key"]) == ("GET", f"/a?key={KEY}", KEY)
    assert asked.headers["User-Agent"].startswith("fracture/")


def test_what_is_posted(remote):
    ask(remote.url, QUICK, content=b"x=1")
    assert (remote.asked[0].command, remote.asked[0].body) == ("POST", b"x=1")


def test_other_answers_may_be_wanted(remote):
    remote.plan = [say(202, b"soon")]
    assert ask(remote.url, QUICK, wanted=(200, 202)) == (202, b"soon")


def test_a_packed_answer_is_given_as_it_came(remote):
    """Unpacked, a small answer could be as large as the memory."""
    packed = gzip.compress(bytes(1000))
    remote.plan = [say(200, packed, Content_Encoding="gzip")]
    assert ask(remote.url, QUICK).body == packed
    assert remote.asked[0].headers["Accept-Encoding"] == "identity"


# Bounds


def test_the_largest_answer_and_one_too_large(remote):
    remote.plan = [say(200, b"x" * 1000)]
    assert len(ask(remote.url, Bounds(5, max_bytes=1000)).body) == 1000
    with pytest.raises(RequestFailed, match="more than 999 bytes"):
        ask(remote.url, Bounds(5, max_bytes=999, pauses_s=(0.01,)))
    assert len(remote.asked) == 2


@pytest.mark.parametrize("part", ["headers", "body"])
def test_a_server_that_drips(remote, part):
    """Each of its bytes comes long before a single wait is too long; all of them would take a minute."""

    def drip(request):
        request.wfile.write(b"HTTP/1.0 200 OK\r\n" + (b"X: " if part == "headers" else b"\r\n"))
        for _ in range(600):
            request.wfile.write(b"x")
            time.sleep(0.1)

    remote.plan = [drip]
    began = time.monotonic()
    with pytest.raises(RequestFailed, match="takes too long"):
        ask(remote.url, Bounds(wait_s=5, whole_s=0.5, pauses_s=(0.1, 0.1)))
    assert time.monotonic() - began < 2


def test_a_silent_server(remote):
    remote.plan = [lambda _: time.sleep(1)]
    with pytest.raises(RequestFailed, match=r"gave no answer \(TimeoutError\)"):
        ask(remote.url, Bounds(wait_s=0.1))


def test_what_breaks_off(remote):
    remote.plan = [say(200, b"half", Content_Length=8), say(200, b"whole")]
    assert ask(remote.url, QUICK).body == b"whole"
    remote.plan = [say(200, b"half", Content_Length=8)]
    with opened(remote.url, QUICK) as stream:
        pieces = stream.pieces()
        assert next(pieces) == b"half"
        with pytest.raises(RequestFailed, match="broke off"):
            next(pieces)


# Patience


@pytest.mark.parametrize("failure", [say(429), say(500), say(503), say(408), hang_up])
def test_what_may_pass_is_tried_again(remote, failure):
    remote.plan = [failure, failure, say(200, b"good")]
    assert ask(remote.url, QUICK).body == b"good"
    remote.plan = [failure]
    with pytest.raises(RequestFailed, match="given up after 3 tries"):
        ask(remote.url, QUICK)
    assert len(remote.asked) == 6


@pytest.mark.parametrize("status", [201, 304, 400, 401, 403, 404])
def test_what_stays_is_not(remote, status):
    remote.plan = [say(status)]
    with pytest.raises(RequestFailed, match=f"answered {status}") as failed:
        ask(remote.url, QUICK)
    assert (failed.value.status, len(remote.asked)) == (status, 1)


def test_a_connection_that_is_refused_is_tried_again():
    tries = []
    with serving() as server:
        url = server.url

    def once():
        tries.append(1)
        return ask(url, Bounds(5))

    with pytest.raises(RequestFailed, match=r"gave no answer \(ConnectionRefusedError\); given up after 3 tries"):
        patiently(once, QUICK)
    assert len(tries) == 3


@pytest.mark.parametrize(("asked_s", "longest_s", "waits_s"), [("1", 0.3, 0.3), ("0", 9, 0.1), ("9" * 400, 0.3, 0.3)])
def test_a_server_that_asks_to_wait(remote, asked_s, longest_s, waits_s):
    remote.plan = [say(429, Retry_After=asked_s), say(200)]
    began = time.monotonic()
    ask(remote.url, Bounds(5, pauses_s=(0.1,), longest_s=longest_s))
    assert waits_s <= time.monotonic() - began < waits_s + 0.6


def test_no_pause_is_begun_that_ends_too_late(remote):
    remote.plan = [say(429, Retry_After=30), say(200)]
    began = time.monotonic()
    with pytest.raises(RequestFailed, match="answered 429"):
        ask(remote.url, Bounds(5, whole_s=5, pauses_s=(0.1,)))
    assert time.monotonic() - began < 2


# Redirects


def test_redirects_are_bounded(remote):
    remote.plan = [say(302, Location="/on")]
    with pytest.raises(RequestFailed, match="answered 302 and leads elsewhere"):
        ask(remote.url, QUICK)
    assert len(remote.asked) == QUICK.redirects + 1
    with pytest.raises(RequestFailed, match="answered 302"):
        ask(remote.url, Bounds(5))
    assert len(remote.asked) == QUICK.redirects + 2


@pytest.mark.parametrize(
    ("posted", "how", "asked"),
    [(None, {}, 3), (b"x", {}, 1), (b"x", {"repeatable": True}, 3), (None, {"repeatable": False}, 1)],
)
def test_what_is_posted_is_repeated_only_where_the_caller_says_so(remote, posted, how, asked):
    remote.plan = [say(503)]
    with pytest.raises(RequestFailed, match="answered 503"):
        ask(remote.url, QUICK, content=posted, **how)
    assert len(remote.asked) == asked


def test_what_is_posted_is_posted_once(remote):
    remote.plan = [say(307, Location="/on")]
    with pytest.raises(RequestFailed, match="answered 307"):
        ask(remote.url, QUICK, content=b"x")
    assert len(remote.asked) == 1


def test_a_redirect_to_another_host_takes_no_secret_along(remote):
    with serving() as other:
        remote.plan = [say(301, Location="/here"), say(302, Location=f"{other.url}/there")]
        with opened(remote.url, QUICK, headers={"X-Key": KEY, "Range": "bytes=2-"}) as stream:
            assert b"".join(stream.pieces()) == b"good"
        assert [request.headers["X-Key"] for request in remote.asked] == [KEY, KEY]
        assert "X-Key" not in other.asked[0].headers
        assert other.asked[0].headers["Range"] == "bytes=2-"


@pytest.mark.parametrize(
    ("here", "location", "there"),
    [
        ("https://a/b", "http://a/c", None),
        ("HTTPS://a/b", "http://a/c", None),
        ("https://a/b", "https://c/", "https://c/"),
        ("http://a/b", "https://a/c", "https://a/c"),
        ("https://a/b", "c?d", "https://a/c?d"),
        ("https://a/b", "file:///etc/passwd", None),
        ("https://a/b", "https://user:pass@c/", None),
        ("https://a/b", "https://[", None),
        ("https://a/b", None, None),
    ],
)
def test_where_a_redirect_may_lead(here, location, there):
    response = httpx2.Response(302, headers={} if location is None else {"Location": location})
    assert module._onward(response, here) == there


# The way out


def test_the_proxy_of_the_environment(remote, monkeypatch):
    monkeypatch.setenv("http_proxy", remote.url)
    assert ask("http://somewhere.invalid/a?b=c", QUICK).body == b"good"
    assert remote.asked[0].path == "http://somewhere.invalid/a?b=c"
    monkeypatch.setenv("no_proxy", "somewhere.invalid")
    with pytest.raises(RequestFailed, match="gaierror"):
        ask("http://somewhere.invalid/", Bounds(5))
    assert len(remote.asked) == 1


@pytest.mark.parametrize("proxy", [f"socks9://user:{KEY}@127.0.0.1:1", f"http://user:{KEY}@127.0.0.1:x"])
def test_a_proxy_that_is_none(monkeypatch, proxy):
    monkeypatch.setenv("http_proxy", proxy)
    with pytest.raises(RequestFailed, match="gave no answer") as failed:
        ask("http://somewhere.invalid/", QUICK)
    assert KEY not in everything(failed.value)


# Nothing tells a key


def everything(error):
    return (
        "".join(traceback.format_exception(error)) + repr(error.__context__) + repr(error.__cause__) + repr(vars(error))
    )


FAILURES = [
    say(401, KEY.encode(), X_Echo=KEY),
    say(500, KEY.encode()),
    say(302, Location=f"file:///{KEY}"),
    say(302, Location=f"http://127.0.0.1:1/?k={KEY}"),
    say(200, KEY.encode(), Content_Length=99),
    say(200, b"x" * 200),
    hang_up,
    lambda request: request.wfile.write(KEY.encode() * 9),
    lambda _: time.sleep(0.5),
]


@pytest.mark.parametrize("step", FAILURES)
def test_no_error_and_no_log_tells_a_key(remote, caplog, step):
    caplog.set_level(logging.DEBUG)
    remote.plan = [step]
    bounds = Bounds(wait_s=0.2, max_bytes=100, redirects=2, pauses_s=(0.01,))
    with pytest.raises(RequestFailed) as failed:
        ask(f"{remote.url}/?key={KEY}", bounds, headers={"X-Key": KEY})
    assert KEY not in everything(failed.value) + caplog.text


@pytest.mark.parametrize("header", [f"{KEY}\nX-Injected: yes", f"{KEY}\u2603"])
def test_a_header_that_cannot_be_sent(remote, caplog, header):
    caplog.set_level(logging.DEBUG)
    with pytest.raises(RequestFailed, match="gave no answer") as failed:
        ask(remote.url, QUICK, headers={"X-Key": header})
    assert KEY not in everything(failed.value) + caplog.text
    assert remote.asked == []


@pytest.mark.parametrize("library", ["httpx2", "httpcore2"])
def test_the_libraries_alone_would_log_the_key(remote, caplog, library):
    """The control of the two tests above."""
    caplog.set_level(logging.DEBUG, library)
    caplog.set_level(logging.DEBUG)
    remote.plan = [say(200, X_Echo=KEY)]
    ask(f"{remote.url}/?key={KEY}", QUICK)
    assert KEY in caplog.text


@pytest.mark.parametrize(
    ("url", "seen"),
    [
        (f"https://host:8443/a/b?key={KEY}#x", "https://host:8443/a/b"),
        ("HTTP://Host/", "http://host/"),
        ("https://host", "https://host"),
    ],
)
def test_an_address_fit_to_be_seen(url, seen):
    assert shown(url) == seen


@pytest.mark.parametrize(
    "url",
    [
        f"file:///{KEY}",
        f"ftp://h/{KEY}",
        f"http://{KEY}@h/",
        f"http://[{KEY}",
        f"http://h:{KEY}/",
        KEY,
        "",
        f"http:///{KEY}",
    ],
)
def test_what_is_no_address(url):
    with pytest.raises(BadValue) as refused:
        ask(url, QUICK)
    assert KEY not in everything(refused.value)


# The only one


OTHERS = {"httpx", "httpx2", "requests", "urllib3", "aiohttp", "urllib.request", "urllib.error", "http.client"}
AT_HOME = {
    "fracture/core/http.py",
    "fracture/commands/serve.py",  # asks this very machine whether the service is ready
}


def test_nothing_else_asks_the_network():
    for file in sorted((ROOT / "fracture").rglob("*.py")):
        if file.relative_to(ROOT).as_posix() not in AT_HOME:
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
                names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                assert not {*names, *(name.split(".")[0] for name in names)} & OTHERS, file
