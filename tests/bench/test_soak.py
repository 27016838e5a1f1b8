"""A soak: what is wrong is counted and said, and memory that grows; short, against the service and scripted ones."""

import subprocess
import sys
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest

from bench import soak as module
from bench.processes import can_account
from bench.soak import SIZES, Soak, mixture, mixture_of_sizes, soak
from tests.service.running import write_bundle

ROOT = Path(__file__).parents[2]

if not can_account():
    pytest.skip("what a process costs is read from Linux's /proc", allow_module_level=True)


def grown(mb_per_min, *, seconds=100.0, at_first=0.0):
    """Give a soak whose memory jumped at first and grew steadily after half the time."""
    memory = [(at_s, 500 + (mb_per_min * at_s / 60 if at_s >= seconds / 2 else at_first)) for at_s in range(0, 101, 5)]
    return Soak(Counter(JPEG=3), Counter(), [10.0, 20.0, 90.0], [(at_s, mb, mb / 2) for at_s, mb in memory], seconds)


@pytest.mark.parametrize("mb_per_min", [-3.0, 0.0, 0.7, 12.0])
def test_growth_is_that_of_the_second_half(mb_per_min):
    assert grown(mb_per_min, at_first=-300).slope_mb_per_min() == pytest.approx(mb_per_min, abs=1e-9)


def test_memory_that_grows_is_a_fault():
    assert grown(0.99).faults(1.0) == []
    assert grown(1.01).faults(1.0) == ["memory grew by 1.01 MB a minute"]
    assert grown(-50).faults(1.0) == []


def test_every_wrong_answer_is_a_fault():
    found = grown(0)
    found.wrong.update({"JPEG: status 503": 2, "DICOM: another answer than alone": 1})
    assert found.faults(1.0) == ["2 x JPEG: status 503", "1 x DICOM: another answer than alone"]


def test_the_figures_as_text():
    found = grown(6)
    found.wrong["PNG: status 0"] += 4
    assert found.table().splitlines() == [
        "3 right answers in 100 s (3 JPEG), 4 wrong",
        "latency: p50 20 ms, p95 83 ms, longest 90 ms",
        "memory of all processes (RSS): 500 MB at first, 510 at most, 510 at last",
        "  as PSS 255 MB; grew by +6.00 MB a minute over the second half",
    ]


def test_the_mixture_holds_films_and_what_is_refused():
    sent = mixture()
    refusals = [code for _, code in sent.values() if code]
    assert len(refusals) >= 3
    assert len(sent) - len(refusals) >= 5
    assert any(len(films) > 1 for films, _ in sent.values())
    assert mixture() == sent, "the same in every run"


def test_films_of_many_sizes_most_of_them_ordinary():
    sent = mixture_of_sizes()
    assert mixture_of_sizes() == sent, "the same in every run"
    pixels = {name: np.prod(cv2.imdecode(np.frombuffer(film, np.uint8), 0).shape) for name, ([film], _) in sent.items()}
    assert min(pixels.values()) < 250
    assert 60e6 < max(pixels.values()) <= 64e6
    assert all((code is None) == (pixels[name] < 30e6) for name, (_, code) in sent.items())
    assert len(set(pixels.values())) == sum(count for count, *_ in SIZES.values())
    weight = {kind: count * often for kind, (count, _, _, often) in SIZES.items()}
    assert weight["film"] > 0.8 * sum(weight.values())


def of_parent(*thousands):
    return Soak(parent_mb=[mb for mb in thousands for _ in range(1000)])


@pytest.mark.parametrize(
    ("found", "faults"),
    [
        (of_parent(300, 500, 500), []),
        (of_parent(300, 500, 514), []),
        (of_parent(300, 500, 516), ["its memory went from 500 to 516 MB over the last 1000 answers"]),
        (of_parent(710, 500, 500), ["the service without its children held 710 MB, expected at most 700"]),
        (of_parent(500), ["expected 2000 answers or more, got 1000"]),
        (Soak(), ["expected 2000 answers or more, got 0"]),
    ],
)
def test_the_service_alone_stays_small_and_level(found, faults):
    assert found.parent_faults() == faults


PROGRAM = """
import json, os, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

count, lock = {True: 0, False: 0}, threading.Lock()

class Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def answer(self, status, content):
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.answer(200, {})

    def do_POST(self):
        film = self.rfile.read(int(self.headers["Content-Length"]))
        refused = b"no film" in film
        with lock:
            count[refused] += 1
            number = count[refused]
        self.answer(*answer_to(film, number))

    def log_message(self, *_):
        pass

ThreadingHTTPServer(("127.0.0.1", int(os.environ["FRACTURE_PORT"])), Answer).serve_forever()
"""
RIGHTLY = """
def rightly(film):
    return (415, {"code": "unsupported_format"}) if b"no film" in film else (200, {"detections": []})
"""
ALWAYS = (
    RIGHTLY
    + """
def answer_to(film, number):
    return rightly(film)
"""
)
NOT_ALWAYS = (
    RIGHTLY
    + """
def answer_to(film, number):
    if number > 1 and number % 5 == 0:
        return 503, {}
    if number > 1 and number % 5 == 1:
        return 200, {"detections": [1]}
    if number > 1 and number % 5 == 2:
        os._exit(1)
    return rightly(film)
"""
)
FILMS = {"good": ([b"a film"], None), "bad": ([b"no film"], "unsupported_format")}


@pytest.fixture
def scripted(monkeypatch, tmp_path):
    """Give the way to soak a program that answers as a script says, in the service's place."""

    def run(script, **how):
        (tmp_path / "app.py").write_text(script + PROGRAM)  # which ``python -m app`` finds first, started from here
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(module, "mixture", lambda: FILMS)
        monkeypatch.setattr(module, "BACK_OFF_S", 0.01)  # or a slow machine gets too few answers to see each fault
        return soak(None, seconds=1.5, clients=3, every_s=0.1, **how)

    return run


def test_right_answers_are_counted_refusals_among_them(scripted):
    found = scripted(ALWAYS)
    assert found.wrong == {}
    assert found.answers.keys() == {"good", "bad"}
    assert found.answers.total() == len(found.latencies_ms) > 20
    assert 1.5 <= found.seconds < 3
    assert 8 <= len(found.memory) <= 16
    assert all(5 < pss_mb <= rss_mb < 100 for _, rss_mb, pss_mb in found.memory)
    assert len(found.parent_mb) == found.answers.total()


def test_answers_that_are_not_as_they_are_alone_are_counted(scripted):
    found = scripted(NOT_ALWAYS.replace("os._exit(1)", "return 415, {}"))
    assert {*found.wrong} == {
        *("good: status 503", "good: status 415", "good: another answer than alone"),
        *("bad: status 503", "bad: status 200", "bad: another answer than alone"),
    }
    assert len(found.faults(1e9)) == 6
    assert found.answers.total() == len(found.latencies_ms)


def test_so_many_answers_are_enough(scripted):
    found = scripted(ALWAYS, most=20)
    assert 20 <= len(found.parent_mb) == found.answers.total() <= 22
    assert all(5 < mb < 100 for mb in found.parent_mb)


def test_a_service_that_is_gone_is_a_fault(scripted):
    found = scripted(NOT_ALWAYS)
    assert {"good: status 0", "bad: status 0"} & {*found.wrong}


@pytest.mark.parametrize("alone", ['200, {"detections": []}', '415, {"code": "another"}'])
def test_a_film_that_is_not_answered_as_it_should_be_even_alone(scripted, alone):
    with pytest.raises(ConnectionError, match=r"^(good|bad), alone: expected (an answer|unsupported_format), got"):
        scripted(f"def answer_to(film, number):\n    return {alone}\n")


def test_the_service_for_a_short_while(tmp_path):
    weights = write_bundle(tmp_path / "bundle")
    flags = ["--minutes=0.1", "--clients=16", "--every=0.5", "--most=1000", f"--weights={weights}"]
    command = [sys.executable, ROOT / "scripts/soak.py", *flags]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ", 0 wrong" in ended.stdout
    for name in mixture():
        assert f" {name}" in ended.stdout
    command[-2] = "--most=-100000"
    command[2] = "--minutes=0.05"
    ended = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert ended.returncode == 1
    assert "soak: memory grew by " in ended.stderr
