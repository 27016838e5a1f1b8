"""The scheduler: places, their release whatever happens, and what those are told who find none."""

import asyncio
import ctypes
import json
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import anyio
import numpy as np
import pytest

from fracture.inference.reader import Reader
from fracture.service.http.fairness import Fair, Share
from fracture.service.http.main import open_sandbox
from fracture.service.http.problems import RequestRefused
from fracture.service.http.scheduler import Scheduler
from fracture.service.http.settings import Settings
from fracture.service.http.telemetry import Telemetry

SPOT = (10, 20, 30, 40, 255)


async def here():
    return False


async def away():
    return True


class Gate:
    """Holds whoever goes through until it is opened."""

    def __init__(self):
        self._open = threading.Event()
        self._count = threading.Semaphore(0)

    def __call__(self):
        self._count.release()
        assert self._open.wait(20)

    def wait_for(self, many):
        for _ in range(many):
            assert self._count.acquire(timeout=20)

    def open(self):
        self._open.set()


@pytest.fixture
def film(sandbox, paint, picture):
    (prepared,) = sandbox.prepare(picture(paint(SPOT)))
    return prepared


@pytest.fixture
def scheduler(card, sandbox, film):
    """Give the way to make a scheduler over a scripted network."""

    def make(network=lambda pixels: np.zeros((5, 1), np.float32), sandbox=sandbox, **bounds):
        bounds = {"decoders": 2, "streams": 2, "most_waiting": 4} | bounds
        return Scheduler(Reader(card(), network), sandbox, Telemetry(), **bounds)

    return make


def value(telemetry, line):
    (found,) = [text for text in telemetry.text().decode().splitlines() if text.startswith(line + " ")]
    return float(found.rsplit(" ", 1)[1])


def test_more_requests_than_places_are_told_when_to_come_back(serve, detect, paint, picture):
    gate = Gate()
    client = serve(before=gate, fracture_max_waiting=2, fracture_streams=1)
    with ThreadPoolExecutor(2) as pool:
        inside = [pool.submit(detect, picture(paint(SPOT)), client=client) for _ in range(2)]
        try:
            gate.wait_for(1)
            while "fracture_requests_inside 2.0" not in client.get("/metrics").text:
                time.sleep(0.01)
            for path in ("/detect", "/render"):
                refused = client.post(path, files={"file": bytes(100)})
                assert (refused.status_code, refused.json()["code"]) == (503, "overloaded")
                assert 1 <= int(refused.headers["retry-after"]) <= 2
                assert f"try again in {refused.headers['retry-after']} s" in refused.json()["detail"]
                assert refused.headers["connection"] == "close"
            assert client.get("/health").status_code == 200  # what costs nothing is answered all the same
        finally:
            gate.open()
        assert [answer.result().status_code for answer in inside] == [200, 200]
    assert detect(picture(paint(SPOT)), client=client).status_code == 200
    assert "fracture_requests_inside 0.0" in client.get("/metrics").text


def test_no_error_keeps_a_place(serve, detect, paint, picture):
    def fail():
        raise RuntimeError

    client = serve(before=fail, fracture_max_waiting=1, fracture_streams=1, fracture_decoders=1)
    for _ in range(3):
        assert detect(b"no film", client=client).status_code == 415
        assert client.post("/detect", data={"no": "file"}).status_code == 422
        assert detect(picture(paint(SPOT)), client=client).status_code == 500
        assert detect(picture(paint(SPOT)), client=client, format="png").status_code == 500
        assert client.post("/render", files={"file": picture(paint())}, params={"frame": 1}).status_code == 422
        assert client.post("/render", files={"file": picture(paint())}).status_code == 200
    assert "fracture_requests_inside 0.0" in client.get("/metrics").text


def test_how_long_to_wait_follows_the_network(scheduler, film):
    def slow(pixels):
        time.sleep(0.3)
        return np.zeros((5, 1), np.float32)

    quick, slow = scheduler(most_waiting=100), scheduler(slow, most_waiting=100)

    async def told(scheduler):
        for _ in range(10):
            await scheduler.read(film, here)
        async with anyio.create_task_group() as tasks:

            async def wait():
                async with scheduler.place():
                    await anyio.sleep_forever()

            for _ in range(100):
                tasks.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            with pytest.raises(RequestRefused) as refused:
                async with scheduler.place():
                    pass
            tasks.cancel_scope.cancel()
        async with scheduler.place():  # a request that is called off gives its place back
            pass
        return int(refused.value.headers["Retry-After"])

    # 100 requests by two at once: of 0.2 s that became less, and became more.
    assert asyncio.run(told(quick)) < 6
    assert asyncio.run(told(slow)) > 10


def test_an_error_in_a_stage_gives_its_turn_back(scheduler, film):
    def fail(pixels):
        raise RuntimeError("a network that fails")

    async def run(scheduler):
        for _ in range(3):
            with pytest.raises(RuntimeError, match="fails"):
                await scheduler.read(film, here)
        return scheduler._inferring.borrowed_tokens

    assert asyncio.run(run(scheduler(fail, streams=1))) == 0


def test_a_film_that_waited_for_a_client_who_left_is_not_read(scheduler, film):
    gate, read = Gate(), []

    def network(pixels):
        gate()
        read.append(1)
        return np.zeros((5, 1), np.float32)

    waiting = scheduler(network, streams=1)

    async def run():
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(waiting.read, film, away)  # was first, waited for nobody, and is read
            await anyio.to_thread.run_sync(gate.wait_for, 1)

            async def second():
                with pytest.raises(RequestRefused) as refused:
                    await waiting.read(film, away)
                assert (refused.value.status_code, refused.value.code) == (408, "client_gone")

            tasks.start_soon(second)
            await anyio.sleep(0.1)
            gate.open()
        await waiting.read(film, here)

    asyncio.run(run())
    assert len(read) == 2


def test_a_request_that_is_called_off_gives_its_turn_back_once_its_thread_is_through(scheduler, film):
    gate = Gate()

    def network(pixels):
        gate()
        return np.zeros((5, 1), np.float32)

    waiting = scheduler(network, streams=1)

    async def run():
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(waiting.read, film, here)
            await anyio.to_thread.run_sync(gate.wait_for, 1)
            tasks.cancel_scope.cancel()
            with anyio.CancelScope(shield=True):
                await anyio.sleep(0.05)
                assert waiting._inferring.borrowed_tokens == 1  # the thread still computes
            gate.open()
        assert waiting._inferring.borrowed_tokens == 0

    asyncio.run(run())


def test_as_many_threads_as_streams(scheduler):
    """Whatever bound anyio has of its own, 40 threads for a whole process: it is left to others."""
    together = threading.Barrier(45, timeout=20)

    async def run():
        busy = scheduler(streams=45)
        async with anyio.create_task_group() as tasks:
            for _ in range(45):
                tasks.start_soon(busy.draw, together.wait)

    asyncio.run(run())


def test_a_sandbox_that_was_closed_is_not_ready_and_takes_no_film(card, scheduler, film, paint, picture):
    with open_sandbox(card(), Settings(), workers=1) as closing:
        closing.wait()
        closed = scheduler(sandbox=closing, decoders=1)
        assert asyncio.run(closed.ready())
    assert not asyncio.run(closed.ready())

    async def send():
        await closed.prepare(picture(paint()), here)

    with pytest.raises(RequestRefused) as refused:
        asyncio.run(send())
    assert (refused.value.status_code, refused.value.headers["Retry-After"]) == (503, "1")


def test_who_cannot_say_in_time_is_not_ready(scheduler, monkeypatch):
    monkeypatch.setattr("fracture.service.http.scheduler.READY_S", 0.2)
    gate = Gate()
    starting = scheduler(sandbox=SimpleNamespace(check=gate))

    async def run():
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(starting.ready)
            await anyio.to_thread.run_sync(gate.wait_for, 1)
            began = time.monotonic()
            assert not await starting.ready()  # and looks at no second process meanwhile
            assert time.monotonic() - began < 10
            gate.open()
        assert await starting.ready()

    asyncio.run(run())


def test_the_first_to_ask_is_answered_in_time_too(scheduler, monkeypatch):
    monkeypatch.setattr("fracture.service.http.scheduler.READY_S", 0.2)
    gate, calls = Gate(), []

    def check():
        calls.append(1)
        gate()

    async def run():
        starting = scheduler(sandbox=SimpleNamespace(check=check))
        for _ in range(3):
            began = time.monotonic()
            assert not await starting.ready()
            assert 0.1 < time.monotonic() - began < 2
        gate.open()
        while not await starting.ready():
            await anyio.sleep(0.01)

    asyncio.run(run())
    assert len(calls) <= 2  # the three looked at one process, and the last one perhaps anew


def test_the_service_shows_nobody_its_memory(serve):
    """PR_GET_DUMPABLE, 3: where it is 0, /proc keeps its environment and memory from others of the same user."""
    libc = ctypes.CDLL(None)
    try:
        serve()
        assert libc.prctl(3, 0, 0, 0, 0) == 0
    finally:
        libc.prctl(4, 1, 0, 0, 0)


@pytest.mark.parametrize(
    ("lacks", "said"), [((), []), (("landlock",), ["landlock"]), (("landlock", "seccomp"), ["landlock", "seccomp"])]
)
def test_what_the_kernel_lacks_is_said_at_the_start(card, monkeypatch, tmp_path, caplog, lacks, said):
    """The children's own way to ask is broken, one by one, as on a kernel that has neither."""
    lines = "".join(f"confine._{name} = lambda libc: False\n" for name in lacks)
    (tmp_path / "sitecustomize.py").write_text("import fracture.inference.confine as confine\n" + lines)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    caplog.set_level("INFO")
    with open_sandbox(card(), Settings(), workers=1) as sandbox:
        sandbox.wait()
    if not lacks and not all(sandbox.confined.values()):
        pytest.skip("this kernel lacks one itself")
    assert all(not sandbox.confined[name] for name in lacks)
    (told,) = [record for record in caplog.records if "decoded" in record.message]
    assert told.levelname == ("WARNING" if lacks else "INFO")
    assert all(name in told.message for name in said)


def test_not_ready_is_a_problem(serve):
    def check():
        raise OSError

    refused = serve(sandbox=SimpleNamespace(check=check)).get("/readyz")
    assert (refused.status_code, refused.json()["code"], refused.headers["retry-after"]) == (503, "not_ready", "1")


def test_ready(serve, sandbox):
    confinement = sandbox.confined
    assert set(confinement) == {"landlock", "seccomp"}
    client = serve()
    assert client.get("/readyz").json() == {"status": "ready", "confinement": confinement}
    for name, held in confinement.items():
        assert f'fracture_sandbox_confinement{{mechanism="{name}"}} {float(held)}' in client.get("/metrics").text
    assert serve().get("/livez").json() == {"status": "ok"}


def test_a_lone_film_does_not_wait(serve, detect, paint, picture):
    client = serve()
    detect(picture(paint(SPOT)), client=client)
    assert 'fracture_stage_seconds_bucket{le="0.25",stage="queue"} 3.0' in client.get("/metrics").text


def test_no_more_films_are_prepared_ahead_than_the_network_needs(card):
    """One in the network, two behind it, and one in the making: of ten files the others wait as they were sent."""
    prepared, most, go_on = 0, 0, threading.Event()

    class Decoding:
        def prepare(self, data, **_):
            nonlocal prepared, most
            prepared += 1
            most = max(most, prepared)
            return [SimpleNamespace(model_input=None, flags=frozenset())]

    class Reading:
        def read_prepared(self, film, flags):
            nonlocal prepared
            assert go_on.wait(20)
            prepared -= 1

    scheduler = Scheduler(Reading(), Decoding(), Telemetry(), decoders=1, streams=1, most_waiting=10)

    async def gone():
        return False

    async def one():
        async with scheduler.turn(gone):
            (film,) = await scheduler.prepare(b"", gone)
            await scheduler.read(film, gone)

    async def run():
        async with anyio.create_task_group() as tasks:
            for _ in range(10):
                tasks.start_soon(one)
            await anyio.sleep(0.3)
            assert most == 3
            go_on.set()
        assert prepared == 0

    anyio.run(run)


def test_clients_that_leave_give_everything_back(serve, paint, picture):
    """A body that ends in the middle: the form is never whole, and its place and its room are free again."""
    client = serve(fracture_max_waiting=1)
    app = client.app
    body = b'--x\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n' + bytes(1000)
    heads = [
        (b"content-type", b"multipart/form-data; boundary=x"),
        (b"content-length", b"9999"),
        (b"host", b"localhost"),
    ]
    scope = {"type": "http", "http_version": "1.1", "method": "POST", "path": "/detect", "root_path": ""}
    scope |= {"query_string": b"", "headers": heads, "client": ("127.0.0.1", 1), "state": client.app_state.copy()}

    async def leave():
        messages = iter([{"type": "http.request", "body": body, "more_body": True}, {"type": "http.disconnect"}])

        async def receive():
            return next(messages)

        sent = []

        async def send(message):
            sent.append(message)

        await app(scope, receive, send)
        return sent

    for _ in range(3):
        assert client.portal.call(leave) == []
    answer = client.post("/detect", files={"file": picture(paint())})
    assert answer.status_code == 200, json.dumps(answer.json())
    metrics = client.get("/metrics").text
    assert "fracture_requests_inside 0.0" in metrics
    assert 'fracture_request_seconds_count{route="/detect",status="499"} 3.0' in metrics


def test_a_request_of_many_slow_films_does_not_hold_up_one_of_one(card):
    """Sixteen films of 0.2 s in one request, on two processes; beside them one film after another of 5 ms."""

    class Decoding:
        def prepare(self, data, **_):
            time.sleep(0.2 if data == b"slow" else 0.005)
            return [SimpleNamespace(model_input=SimpleNamespace(film_px=(1, 1)), flags=frozenset())]

    reading = SimpleNamespace(read_prepared=lambda film, flags: None)
    scheduler = Scheduler(reading, Decoding(), Telemetry(), decoders=2, streams=2, most_waiting=50)
    slow_ones, waits = Share(100, 100), []

    async def one(data, share):
        async with scheduler.turn(here, share):
            (film,) = await scheduler.prepare(data, here, share=share)
            await scheduler.read(film, here)

    async def run():
        async with anyio.create_task_group() as tasks:
            for _ in range(16):
                tasks.start_soon(one, b"slow", slow_ones)
            await anyio.sleep(0.05)
            for _ in range(20):
                began = time.monotonic()
                await one(b"quick", Share(100, 100))
                waits.append(time.monotonic() - began)

    anyio.run(run)
    assert sorted(waits)[18] < 0.15


def test_a_request_has_a_budget_of_time_and_pixels(serve, paint, picture):
    films = [("file", ("f", picture(paint(SPOT, size=(1000, 600)))))] * 4
    for budget, least, said in (
        ("fracture_request_megapixels", 1, "1 megapixels"),
        ("fracture_request_s", 1e-6, "s to decode"),
    ):
        found = serve(fracture_decoders=1, **{budget: least}).post("/detect", files=films).json()
        refused = [film for film in found["films"] if film.get("code")]
        assert 2 <= len(refused) < 4
        assert all(film["code"] == "too_costly" and said in film["detail"] for film in refused)


def test_places_are_given_in_turn_and_come_back_from_those_who_leave():
    order = []

    async def run():
        fair = Fair(2, 1)

        async def work(owner):
            async with fair.place(owner):
                order.append(owner)
                await anyio.sleep(0.01)

        async with anyio.create_task_group() as tasks:
            for owner in "aaabbc":
                tasks.start_soon(work, owner)
        with anyio.move_on_after(0.05):
            async with fair.place("a"), fair.place("b"), fair.place("c"):
                pytest.fail("there were two places")
        assert (fair._free, dict(fair._held), fair._waiting) == (2, {}, {})

    anyio.run(run)
    assert order == ["a", "b", "c", "a", "b", "a"]
