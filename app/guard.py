"""What holds for every request, whatever its route: an id, safe headers, a bounded body, and the last wall."""

import logging
import traceback
import uuid
from http import HTTPStatus

import anyio
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.problems import RequestRefused, problem
from app.settings import BYTES_PER_MB

logger = logging.getLogger(__name__)

FORM_OVERHEAD_BYTES = 1 << 16
"""What a multipart form may add to its film: boundaries, headers, a long file name."""

LINGER_S = 5.0

_HEADERS = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}


class Guard:
    """The outermost middleware. Plain ASGI: nothing is buffered, neither on the way in nor on the way out.

    A body that cannot hold a film within ``max_upload_bytes`` is refused with a 413 when somebody starts to read it: by
    its Content-Length before its first byte, else as soon as it passes the bound. An exception that nobody handled
    answers 500 with the request's id; the log has the place in the code under that id, but not the exception's text,
    which may quote what was sent.
    """

    def __init__(self, app: ASGIApp, max_upload_bytes: int) -> None:
        self.app = app
        self.max_upload_bytes = max_upload_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = uuid.uuid4().hex
        body = _Body(receive, Headers(scope=scope), self.max_upload_bytes)
        started = False

        async def send_guarded(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                message.setdefault("headers", [])
                MutableHeaders(scope=message).update(_HEADERS | {"X-Request-ID": request_id})
            elif body.refused:
                await send({**message, "more_body": True})
                await body.drop_rest()
                message = {"type": "http.response.body"}
            await send(message)

        try:
            await self.app(scope, body.receive, send_guarded)
        except Exception as error:  # noqa: BLE001 - the last wall
            places = "".join(traceback.format_tb(error.__traceback__))
            logger.error("request %s failed: %s at\n%s", request_id, type(error).__name__, places)
            if not started:
                detail = f"the service failed; its log says where under request {request_id}"
                answer = problem(HTTPStatus.INTERNAL_SERVER_ERROR, "internal_error", detail)
                await answer(scope, receive, send_guarded)


class _Body:
    """A request's body, up to a bound."""

    def __init__(self, receive: Receive, headers: Headers, max_upload_bytes: int) -> None:
        announced = headers.get("content-length", "")
        self._receive = receive
        self._max_upload_bytes = max_upload_bytes
        self._left = max_upload_bytes + FORM_OVERHEAD_BYTES
        self._hopeless = announced.isdecimal() and int(announced) > self._left
        self.refused = False

    async def receive(self) -> Message:
        message: Message = {} if self._hopeless else await self._receive()
        self._left -= len(message.get("body", b""))
        if self._hopeless or self._left < 0:
            self.refused = True
            raise too_large(self._max_upload_bytes)
        return message

    async def drop_rest(self) -> None:
        """Read what the client still sends, for a while, and drop it.

        Closing on unread bytes resets the connection, and most clients then never see the answer.
        """
        with anyio.move_on_after(LINGER_S):
            while (await self._receive()).get("more_body", False):
                pass


def too_large(max_upload_bytes: int) -> RequestRefused:
    """Refuse an upload for its size. The connection closes, so that nobody need read the rest."""
    detail = f"expected a film of at most {max_upload_bytes / BYTES_PER_MB:g} MB"
    return RequestRefused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "upload_too_large", detail, {"Connection": "close"})
