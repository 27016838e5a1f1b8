"""What breaks under a running service: each fault ends in an answer, a refusal or no readiness; then all is as before.

The service is a process of its own, ``python -m app``, and so is whatever breaks in it.
"""

import os
import select
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench.processes import can_account, free_port
from fracture.core.files import file_hash
from fracture.models import card as cards
from fracture.models.card import SHIPPED
from fracture.service.http.connections import HEAD_S
from tests.service.running import CHILDREN, FILM, PATIENCE_S, START, png, running, state, until, write_bundle

if not can_account():
    pytest.skip("what a service's processes do is read from Linux's /proc", allow_module_level=True)

UPLOAD_S = 3
UPLOAD_MB = 4


LARGE = png(np.tile(np.arange(5400, dtype=np.uint8), (5400, 1)))  # small to send, and half a second to decode
ODD = png(np.full((75, 100), 90, np.uint8))
"""A film of a shape that the network below cannot take."""


def refused(answer, status, code):
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == code
    assert ("retry-after" in answer.headers) == (status == 503)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """Write the shipped network at a seventh of its size. Its strides are 32; with 16, some shapes make it fail."""
    return write_bundle(tmp_path_factory.mktemp("model") / "small", stride=16)


@pytest.fixture(scope="module")
def map_server():
    """Listen where clinics are asked for, and say nothing: slow. Closed, it is down."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


@pytest.fixture(scope="module")
def shared(bundle, map_server):
    settings = {
        "FRACTURE_UPLOAD_S": str(UPLOAD_S),
        "FRACTURE_MAX_UPLOAD_MB": str(UPLOAD_MB),
        "FRACTURE_HELD_MB": str(UPLOAD_MB),
        "FRACTURE_CLINICS": "overpass",
        "FRACTURE_OVERPASS_URL": "http://{}:{}/api".format(*map_server.getsockname()),
    }
    with running(bundle, **settings) as service:
        yield service


@pytest.fixture
def service(shared):
    """Give a service that every test finds, and leaves, in order."""
    shared.is_as_before()
    yield shared
    shared.is_as_before()


@pytest.fixture
def meanwhile():
    """Give the way to do something while the test goes on."""
    with ThreadPoolExecutor(4) as pool:
        yield pool.submit


def test_a_child_killed_over_a_film(service, meanwhile):
    before = service.spent()
    answer = meanwhile(service.detect, LARGE)
    os.kill(service.at_work(before), signal.SIGKILL)
    assert answer.result().status_code == 200  # a fresh process reads it


def test_a_child_killed_over_one_film_of_a_study(service, meanwhile):
    before = service.spent()
    answer = meanwhile(service.detect, FILM, LARGE, FILM)
    os.kill(service.at_work(before), signal.SIGKILL)
    told = answer.result().json()
    assert [film.get("code", "read") for film in told["films"]] == ["read", "read", "read"]
    assert told["study"]["refused"] == 0
    assert [told["films"][number]["detections"] for number in (0, 2)] == [service.expected] * 2


def test_every_idle_child_killed(service, meanwhile):
    before = service.children()
    assert len(before) == CHILDREN
    for child in before:
        os.kill(child, signal.SIGKILL)
    until(lambda: all(state(child) in {None, "Z"} for child in before))
    assert service.get("/readyz").status_code == 200
    # One request gets a decoder less than there are, so it takes several at once to meet every dead one.
    answers = [meanwhile(service.detect, LARGE) for _ in range(CHILDREN)]
    assert [answer.result().status_code for answer in answers] == [200] * CHILDREN
    assert not set(before) & set(service.children())


def test_the_network_fails_once(service):
    answer = service.detect(ODD)
    refused(answer, 500, "internal_error")
    assert answer.headers["x-request-id"] in answer.json()["detail"]


def test_maps_are_slow_then_down(service, map_server):
    for lat, why in ((10, "slow"), (20, "down")):
        began = time.monotonic()
        told = service.detect(FILM, lat=lat, lng=0).json()
        assert time.monotonic() - began < 10, why
        assert told["detections"] == service.expected, why
        assert told["orthopedic_consult"]["status"] == "unavailable", why
        map_server.close()


@contextmanager
def upload(port, sent, announced):
    """Begin to upload a film of ``announced`` bytes, and be through with ``sent`` of them."""
    head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
    with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as line:
        line.sendall(
            b"POST /detect HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=x\r\n"
            + f"Content-Length: {announced}\r\n\r\n".encode()
            + head
            + bytes(sent - len(head))
        )
        yield line


def test_a_client_hangs_up_over_its_upload(service):
    mb = 1 << 20
    with upload(service.port, 3 * mb, 4 * mb) as line:
        until(lambda: service.inside() == 1)
        refused(until(lambda: busy(service.detect(bytes(2 * mb)))), 503, "overloaded")
        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, bytes([1, 0, 0, 0, 0, 0, 0, 0]))  # a reset, no goodbye
    until(lambda: service.inside() == 0)
    refused(service.detect(bytes(2 * mb)), 415, "unsupported_format")


def busy(answer):
    return answer if answer.status_code == 503 else None


def test_a_client_hangs_up_while_its_film_is_decoded(service):
    before = service.spent()
    body = b'--x\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n' + LARGE + b"\r\n--x--\r\n"
    with socket.create_connection(("127.0.0.1", service.port)) as line:
        line.sendall(
            b"POST /detect HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=x\r\n"
            + f"Content-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        service.at_work(before)
        assert service.inside() == 1
    until(lambda: service.inside() == 0)


def test_an_upload_that_trickles(service):
    with upload(service.port, 200, 1000) as line:
        began = time.monotonic()
        line.settimeout(0.2)
        answer = b""
        while not answer:
            with suppress(TimeoutError):
                line.send(b"\0")
                answer = line.recv(1 << 16)
            assert time.monotonic() - began < UPLOAD_S + 10
        assert time.monotonic() - began > UPLOAD_S - 1
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b"upload_too_slow" in answer or b"upload_too_slow" in line.recv(1 << 16)


def test_a_head_that_trickles(service):
    """Of as many connections as a process may hold, none may be held by somebody who asks for nothing."""
    with ExitStack() as stack:
        silent, first, later = (
            stack.enter_context(socket.create_connection(("127.0.0.1", service.port), PATIENCE_S)) for _ in range(3)
        )
        later.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert later.recv(1 << 16).startswith(b"HTTP/1.1 200 ")
        began = time.monotonic()
        open_ = {silent, first, later}
        while open_:
            for line in {first, later} & open_:
                with suppress(OSError):
                    line.send(b"X")
            ended, _, _ = select.select(open_, [], [], 0.5)
            open_ -= {line for line in ended if is_over(line)}
            assert time.monotonic() - began < 4 * HEAD_S
        assert time.monotonic() - began > HEAD_S / 2


def is_over(line):
    try:
        return not line.recv(1 << 16)
    except ConnectionError:
        return True


def test_films_are_read_with_a_full_disk(bundle):
    no_file_grows = ["sh", "-c", 'ulimit -f 0; exec "$@"', "sh", *START]
    # Nor can its log be written: the device answers that there is no space left.
    with Path("/dev/full").open("wb") as full, running(bundle, no_file_grows, out=full) as service:
        noise = np.random.default_rng(0).integers(0, 256, (1800, 1800), dtype=np.uint8)
        film = png(noise)
        assert len(film) > 3 << 20  # more than a form's parser keeps in memory, left to itself
        assert service.detect(film).status_code == 200
        assert service.detect(FILM, format="png").content[:4] == b"\x89PNG"
        refused(service.detect(b"no film"), 415, "unsupported_format")
        service.is_as_before()


def test_no_child_can_be_started(bundle, tmp_path):
    python = tmp_path / "python"
    python.symlink_to(Path(sys.executable).resolve())
    path = os.pathsep.join(filter(None, sys.path))
    with running(bundle, [python, "-m", "app"], PYTHONPATH=path) as service:
        python.rename(tmp_path / "away")
        for child in service.children():
            os.kill(child, signal.SIGKILL)
        refused(until(lambda: busy(service.detect(FILM))), 503, "overloaded")
        refused(service.get("/readyz"), 503, "not_ready")
        assert service.get("/livez").status_code == 200
        (tmp_path / "away").rename(python)
        until(lambda: service.get("/readyz").status_code == 200)
        service.is_as_before()


@pytest.mark.parametrize("signals", [1, 2])
def test_told_to_stop_with_a_film_inside(bundle, meanwhile, signals):
    with running(bundle) as service:
        before = service.spent()
        answer = meanwhile(service.detect, *[LARGE] * 2 * CHILDREN)
        service.at_work(before)
        for _ in range(signals):
            service.process.send_signal(signal.SIGTERM)
            time.sleep(0.02)
        until(lambda: is_closed(service.port))
        assert not answer.done(), "the door is closed first"
        assert answer.result().status_code == 200
        assert service.process.wait(PATIENCE_S) == 0
        assert {state(child) for child in before} == {None}


def is_closed(port):
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionRefusedError:
        return True
    return False


def flip(folder):
    data = bytearray((folder / "model.onnx").read_bytes())
    data[len(data) // 2] ^= 1
    (folder / "model.onnx").write_bytes(data)


def cut(folder):
    with (folder / "model.onnx").open("r+b") as file:
        file.truncate(100_000)


def cut_and_vouched_for(folder):
    cut(folder)
    cards.save(replace(cards.load(SHIPPED), files={"model.onnx": file_hash(folder / "model.onnx")}), folder)


def of_another_hash(folder):
    text = (folder / "card.json").read_text()
    (folder / "card.json").write_text(text.replace(file_hash(folder / "model.onnx"), "0" * 64))


NO_MODEL = {
    "weights changed": (flip, "the file was changed"),
    "weights cut": (cut, "the file was changed"),
    "weights cut before the card was made": (cut_and_vouched_for, "can't be parsed"),
    "weights missing": (lambda folder: (folder / "model.onnx").unlink(), "none of the model's files"),
    "card of other weights": (of_another_hash, "expected SHA-256 0000"),
    "card cut": (lambda folder: (folder / "card.json").write_text('{"schema": 1, '), "is not a model card"),
    "card missing": (lambda folder: (folder / "card.json").unlink(), "no card.json"),
}


@pytest.mark.parametrize("fault", NO_MODEL)
def test_without_its_model_it_does_not_start(tmp_path, fault):
    harm, why = NO_MODEL[fault]
    folder = write_bundle(tmp_path / "bundle")
    harm(folder)
    port = free_port()
    settings = {"FRACTURE_PORT": str(port), "FRACTURE_WEIGHTS": str(folder)}
    ended = subprocess.run(
        START, env=os.environ | settings, capture_output=True, text=True, check=False, timeout=PATIENCE_S
    )
    assert ended.returncode != 0
    assert why in ended.stderr
    assert is_closed(port)
