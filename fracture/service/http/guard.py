"""What every request gets, whatever its route: an id, safe headers, a bounded body, a log line, an answer to errors."""

import logging
import time
import traceback
import uuid
from http import HTTPMethod, HTTPStatus

import anyio
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fracture.service.http.forms import too_large
from fracture.service.http.problems import RequestRefused, problem
from fracture.service.http.scheduler import overloaded
from fracture.service.http.settings import BYTES_PER_MB, Settings
from fracture.service.http.telemetry import Telemetry

logger = logging.getLogger(__name__)
access_log = logging.getLogger("fracture.service.http.access")

FORM_OVERHEAD_BYTES = 1 << 16
"""What a multipart form may add to its films: boundaries, headers, long file names."""

LINGER_S = 5.0
CLIENT_GONE = 499
"""What the log calls a request whose sender hung up before its end. Nobody gets this status."""

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "geolocation=(self), camera=(), microphone=()",
}
_POLICY = "default-src 'none'; frame-ancestors 'none'"


class Guard:
    """The outermost middleware. Plain ASGI: nothing is buffered, neither on the way in nor on the way out.

    A body that cannot hold films within the upload limit is refused with a 413 when somebody starts to read it: by its
    Content-Length before its first byte, else as soon as it passes the bound; one that is too slow with a 408; one that
    does not fit in memory beside all others with a 503. An exception that nobody handled answers 500 with the
    request's id; the log has the place in the code under that id, but not the exception's text, which may quote what
    was sent. Neither does the log name the address that was asked for: its query may say where somebody is. HEAD is
    answered wherever GET is; the server leaves the body out.
    """

    def __init__(self, app: ASGIApp, settings: Settings, telemetry: Telemetry) -> None:
        self.app = app
        self._settings = settings
        self._telemetry = telemetry
        self._memory = _Memory(max(settings.fracture_held_mb * BYTES_PER_MB, settings.max_upload_bytes))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = uuid.uuid4().hex
        method = scope["method"] if scope["method"] in HTTPMethod.__members__ else "other"
        scope = {**scope, "method": "GET" if method == "HEAD" else scope["method"]}
        began = time.perf_counter()
        body = _Body(receive, Headers(scope=scope), self._settings, self._memory)
        status = 0

        async def send_guarded(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message.setdefault("headers", [])
                headers = MutableHeaders(scope=message)
                headers.update(_HEADERS | {"X-Request-ID": request_id})
                headers.setdefault("Content-Security-Policy", _POLICY)
                if body.unread:
                    headers["Connection"] = "close"
            elif body.unread and not message.get("more_body", False):
                await send({**message, "more_body": True})
                await body.drop_rest()
                message = {"type": "http.response.body"}
            await send(message)

        try:
            await self.app(scope, body.receive, send_guarded)
        except ClientDisconnect:
            status = CLIENT_GONE
        except Exception as error:  # noqa: BLE001 - whatever nobody handled
            places = "".join(traceback.format_tb(error.__traceback__))
            logger.error("request %s failed: %s at\n%s", request_id, type(error).__name__, places)
            if not status:
                self._telemetry.refusal("internal_error")
                detail = f"the service failed; its log says where under request {request_id}"
                answer = problem(HTTPStatus.INTERNAL_SERVER_ERROR, "internal_error", detail)
                await answer(scope, receive, send_guarded)
        finally:
            body.forget()
            took_s = time.perf_counter() - began
            route = str(getattr(scope.get("route"), "path", "other"))
            self._telemetry.request(route, status, took_s)
            access_log.info("%s %s %s %d %.0f ms", request_id, method, route, status, took_s * 1000)


class _Memory:
    """The memory that all uploads together may take."""

    def __init__(self, most_bytes: int) -> None:
        self.left = most_bytes


class _Body:
    """A request's body, within bounds of size, time and memory."""

    def __init__(self, receive: Receive, headers: Headers, settings: Settings, memory: _Memory) -> None:
        announced = headers.get("content-length", "")
        self._receive = receive
        self._most_bytes = settings.max_upload_bytes
        self._left = settings.max_upload_bytes + FORM_OVERHEAD_BYTES
        self._announced_too_large = announced.isdecimal() and int(announced) > self._left
        self._time_s = settings.fracture_upload_s
        self._deadline = anyio.current_time() + self._time_s
        self._memory = memory
        self._held = 0
        self.unread = "transfer-encoding" in headers or announced not in {"", "0"}

    async def receive(self) -> Message:
        if self._announced_too_large:
            raise too_large(self._most_bytes)
        if not self.unread:
            return await self._receive()
        message: Message | None = None
        with anyio.move_on_after(self._deadline - anyio.current_time()):
            message = await self._receive()
        if message is None:
            detail = f"expected the upload within {self._time_s:g} s"
            raise RequestRefused(HTTPStatus.REQUEST_TIMEOUT, "upload_too_slow", detail)
        self.unread = message.get("more_body", False)
        size = len(message.get("body", b""))
        self._left -= size
        if self._left < 0:
            raise too_large(self._most_bytes)
        if size > self._memory.left:
            raise overloaded("too many films are being uploaded", 1)
        self._held += size
        self._memory.left -= size
        return message

    async def drop_rest(self) -> None:
        """Read what the client still sends, for a while, and drop it.

        Closing on unread bytes resets the connection, and most clients then never see the answer.
        """
        self.forget()
        with anyio.move_on_after(LINGER_S):
            while (await self._receive()).get("more_body", False):
                pass

    def forget(self) -> None:
        """Give the memory back."""
        self._memory.left += self._held
        self._held = 0
