"""What holds for every request, whatever its route: an id, safe headers, a bounded body, and the last wall."""

import logging
import traceback
import uuid
from http import HTTPStatus

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.problems import RequestRefused, problem

logger = logging.getLogger(__name__)

_HEADERS = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}


class Guard:
    """The outermost middleware. Plain ASGI: nothing is buffered, neither on the way in nor on the way out.

    A body above ``max_body_bytes`` is refused with a 413 when somebody starts to read it: by its Content-Length before
    its first byte, else as soon as it passes the bound. An exception that nobody handled answers 500 with the
    request's id; the log has the place in the code under that id, but not the exception's text, which may quote what
    was sent.
    """

    def __init__(self, app: ASGIApp, max_body_bytes: int) -> None:
        self.app = app
        self.max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = uuid.uuid4().hex
        started = False

        async def send_guarded(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                message.setdefault("headers", [])
                MutableHeaders(scope=message).update(_HEADERS | {"X-Request-ID": request_id})
            await send(message)

        try:
            await self.app(scope, self._bounded(scope, receive), send_guarded)
        except Exception as error:  # noqa: BLE001 - the last wall
            places = "".join(traceback.format_tb(error.__traceback__))
            logger.error("request %s failed: %s at\n%s", request_id, type(error).__name__, places)
            if not started:
                detail = f"the service failed; its log says where under request {request_id}"
                answer = problem(HTTPStatus.INTERNAL_SERVER_ERROR, "internal_error", detail)
                await answer(scope, receive, send_guarded)

    def _bounded(self, scope: Scope, receive: Receive) -> Receive:
        announced = Headers(scope=scope).get("content-length", "")
        hopeless = announced.isdecimal() and int(announced) > self.max_body_bytes
        received = 0

        async def receive_bounded() -> Message:
            nonlocal received
            if hopeless:
                raise too_large(self.max_body_bytes)
            message = await receive()
            received -= len(message.get("body", b""))
            if received > self.max_body_bytes:
                raise too_large(self.max_body_bytes)
            return message

        return receive_bounded


def too_large(max_bytes: int) -> RequestRefused:
    """Refuse an upload for its size. The connection closes, so that the rest need not be read."""
    detail = f"expected an upload of at most {max_bytes} bytes"
    return RequestRefused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "upload_too_large", detail, {"Connection": "close"})
