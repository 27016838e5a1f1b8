"""What holds for every request: headers, bounds of memory and time, and that what is taken is given back."""

import asyncio
import json

import anyio
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse

from fracture.service.http.guard import Guard
from fracture.service.http.problems import RequestRefused, problem
from fracture.service.http.settings import Settings
from fracture.service.http.telemetry import Telemetry

SAFE = {
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "geolocation=(self), camera=(), microphone=()",
}


def test_safe_headers_are_on_every_answer(serve, paint, picture):
    def fail():
        raise RuntimeError

    client, keyed, broken = serve(), serve(elsewhere=True, fracture_rate_per_minute=1), serve(before=fail)
    film = {"file": picture(paint((10, 20, 30, 40, 255)))}
    answers = {
        200: client.post("/detect", files=film),
        401: keyed.get("/health"),
        404: client.get("/nowhere"),
        405: client.put("/detect"),
        413: serve(fracture_max_upload_mb=1).post("/detect", files={"file": bytes(2 << 20)}),
        415: client.post("/detect", files={"file": b"no film"}),
        422: client.post("/detect"),
        429: keyed.get("/health"),
        500: broken.post("/detect", files=film),
    }
    pages = [client.get(path) for path in ("/", "/viewer.js", "/docs", "/openapi.json", "/metrics", "/livez")]
    pages += [client.head("/"), client.post("/render", files=film), client.post("/detect?format=png", files=film)]
    for status, answer in (*answers.items(), *((200, page) for page in pages)):
        assert answer.status_code == status
        assert {name: answer.headers.get(name) for name in SAFE} == SAFE
        assert len(answer.headers["x-request-id"]) == 32
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert "server" not in answer.headers


class Sender:
    """One request, whose body is sent piece by piece as the test says."""

    def __init__(self, guard, length=None):
        self._guard = guard
        self._pieces, self._next = anyio.create_memory_object_stream(100)
        self._headers = (
            [(b"transfer-encoding", b"chunked")] if length is None else [(b"content-length", b"%d" % length)]
        )
        self.sent = []

    async def __call__(self):
        scope = {"type": "http", "method": "POST", "path": "/", "headers": self._headers}
        await self._guard(scope, self._next.receive, self._send)

    async def _send(self, message):
        self.sent.append(message)

    async def send(self, size, more=True):
        await self._pieces.send({"type": "http.request", "body": bytes(size), "more_body": more})
        await anyio.wait_all_tasks_blocked()

    @property
    def status(self):
        return self.sent[0]["status"] if self.sent else None

    @property
    def told(self):
        return json.loads(self.sent[1]["body"])


async def swallow(scope, receive, send):
    """Read a body, as a route would, and say how long it was."""
    try:
        body = await Request(scope, receive).body()
    except RequestRefused as refused:
        await problem(refused.status_code, refused.code, refused.detail)(scope, receive, send)
    else:
        await PlainTextResponse(str(len(body)))(scope, receive, send)


@pytest.fixture
def guard():
    """Give the way to make a guard with room for a megabyte."""

    def make(app=swallow, **settings):
        return Guard(app, Settings(**{"fracture_held_mb": 1, "fracture_max_upload_mb": 1} | settings), Telemetry())

    return make


def room(guard):
    return guard._memory.left


def run(scenario):
    async def bounded():
        with anyio.fail_after(20):
            async with anyio.create_task_group() as tasks:
                await scenario(tasks)

    asyncio.run(bounded())


def test_who_finds_no_room_harms_nobody_who_has_some(guard):
    guard = guard()

    async def scenario(tasks):
        first, second = Sender(guard), Sender(guard)
        tasks.start_soon(first)
        tasks.start_soon(second)
        await first.send(700_000)
        await second.send(300_000)
        await second.send(300_000)
        assert (second.status, second.told["code"]) == (503, "overloaded")
        # Its answer is out, and the rest of its upload still being dropped: its room is free all the same.
        await first.send(300_000)
        assert first.status is None
        assert room(guard) == (1 << 20) - 1_000_000
        await second.send(300_000, more=False)
        await first.send(10, more=False)
        assert (first.status, first.sent[1]["body"]) == (200, b"1000010")

    run(scenario)
    assert room(guard) == 1 << 20


@pytest.mark.parametrize("end", ["answered", "failed", "called off"])
def test_room_is_held_until_the_end_and_then_given_back(guard, end):
    async def app(scope, receive, send):
        await Request(scope, receive).body()
        assert room(guarded) == (1 << 20) - 400_000
        if end == "failed":
            raise RuntimeError
        if end == "called off":
            await anyio.sleep_forever()
        await PlainTextResponse("")(scope, receive, send)

    guarded = guard(app)

    async def scenario(tasks):
        sender = Sender(guarded, 400_000)
        tasks.start_soon(sender)
        await sender.send(400_000, more=False)
        assert sender.status == {"answered": 200, "failed": 500, "called off": None}[end]
        tasks.cancel_scope.cancel()

    run(scenario)
    assert room(guarded) == 1 << 20


def test_no_more_room_is_taken_than_an_upload_may(guard):
    guard = guard(fracture_held_mb=1, fracture_max_upload_mb=2)
    assert room(guard) == 2 << 20

    async def scenario(tasks):
        sender = Sender(guard)
        tasks.start_soon(sender)
        await sender.send(2 << 20)
        await sender.send(1 << 17)
        assert (sender.status, sender.told["code"]) == (413, "upload_too_large")
        await sender.send(0, more=False)

    run(scenario)
    assert room(guard) == 2 << 20


@pytest.mark.parametrize(("length", "closes"), [(5, True), (None, True), (0, False)])
def test_a_connection_is_closed_where_a_body_was_left_unread(guard, length, closes):
    async def ignore(scope, receive, send):
        await PlainTextResponse("no")(scope, receive, send)

    guarded = guard(ignore)

    async def scenario(tasks):
        sender = Sender(guarded, length)
        tasks.start_soon(sender)
        await anyio.wait_all_tasks_blocked()
        assert dict(sender.sent[0]["headers"]).get(b"connection") == (b"close" if closes else None)
        assert bool(sender.sent[-1].get("more_body")) == closes  # the end of the answer waits for that of the body
        await sender.send(5, more=False)
        assert not sender.sent[-1].get("more_body")

    run(scenario)


def test_a_body_that_was_read_leaves_the_connection_open(guard):
    guarded = guard()

    async def scenario(tasks):
        sender = Sender(guarded, 5)
        tasks.start_soon(sender)
        await sender.send(5, more=False)
        assert sender.status == 200
        assert b"connection" not in dict(sender.sent[0]["headers"])

    run(scenario)


def test_the_time_of_an_upload_is_that_of_all_its_pieces(guard):
    guarded = guard(fracture_upload_s=0.3)

    async def scenario(tasks):
        sender = Sender(guarded)
        tasks.start_soon(sender)
        for _ in range(4):
            await sender.send(10)
            await anyio.sleep(0.1)
        assert (sender.status, sender.told["code"]) == (408, "upload_too_slow")
        await sender.send(0, more=False)

    run(scenario)


def test_what_is_no_request_passes_through(guard):
    seen = []

    async def app(scope, receive, send):
        seen.append(scope["type"])

    asyncio.run(guard(app)({"type": "lifespan"}, None, None))
    assert seen == ["lifespan"]
