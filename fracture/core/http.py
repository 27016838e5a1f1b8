"""The one HTTP client: bounded in time, bytes and redirects, patient in one place, and silent about keys.

Proxies and certificates are those of the environment. A key may stand in an address, a header or a body, and a server
or a library may quote it. So what is raised here names an address without its query, a status or a kind of error, and
never a text that came from outside; and the libraries below log nothing.
"""

import logging
import math
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from ssl import SSLContext
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urljoin, urlsplit

import httpx2

from fracture import __version__
from fracture.core.errors import BadValue

AGENT = f"fracture/{__version__}"
NO_HEADERS: Mapping[str, str] = MappingProxyType({})

_REDIRECTS = {301, 302, 303, 307, 308}
_TAKEN_ALONG = {"range", "if-range"}
_ALWAYS = {"User-Agent": AGENT, "Accept-Encoding": "identity"}
_OURS = (httpx2.LocalProtocolError, httpx2.UnsupportedProtocol)
"""Errors of what we asked for, which are the same at the next try."""

# They log addresses and headers, and with them keys.
for _library in ("httpx2", "httpcore2"):
    logging.getLogger(_library).setLevel(logging.CRITICAL)

Result = TypeVar("Result")


class RequestFailed(Exception):
    """Raise where a server gave no answer of use. The text is our own and fit to be shown.

    ``status`` is what was answered, None without an answer; ``passing`` tells whether another try may fare better, and
    ``after_s`` how long the server asks to wait before it.
    """

    def __init__(
        self, where: str, why: str, *, status: int | None = None, passing: bool = False, after_s: float = 0.0
    ) -> None:
        super().__init__(f"{where} {why}")
        self.where, self.why = where, why
        self.status, self.passing, self.after_s = status, passing, after_s


@dataclass(frozen=True)
class Bounds:
    """What a request may take.

    ``wait_s`` is for each wait on the network, ``whole_s`` for all of it, further tries and the pauses before them
    included. ``pauses_s`` says how many further tries there are; Retry-After lengthens a pause, up to ``longest_s``.
    """

    wait_s: float
    whole_s: float = math.inf
    max_bytes: int = 1 << 24
    redirects: int = 0
    pauses_s: Sequence[float] = ()
    longest_s: float = 120.0


class Answer(NamedTuple):
    """A whole answer."""

    status: int
    body: bytes


class Stream:
    """An answer that is being read."""

    def __init__(self, where: str, response: httpx2.Response, deadline: float) -> None:
        self._where, self._response, self._deadline = where, response, deadline
        self.status = response.status_code
        self.headers: Mapping[str, str] = response.headers

    def pieces(self) -> Iterator[bytes]:
        """Give the body as it comes, as it was sent. Raises RequestFailed where it breaks off."""
        pieces = self._response.iter_raw()
        while True:
            why = ""
            try:
                piece = next(pieces, b"")
            except (httpx2.HTTPError, OSError) as error:
                why = _kind(error)
            _check_time(self._where, self._deadline)
            if why:
                raise RequestFailed(self._where, f"broke off ({why})", passing=True)
            if not piece:
                return
            yield piece


def ask(
    url: str,
    bounds: Bounds,
    *,
    headers: Mapping[str, str] = NO_HEADERS,
    content: bytes | None = None,
    wanted: Sequence[int] = (200,),
    repeatable: bool | None = None,
) -> Answer:
    """Get an address, or post ``content`` to it, and give the whole answer. Raises RequestFailed, BadValue.

    ``repeatable`` says whether the server may get it twice: what failed is tried again only then. Unless named, that is
    so for what is got and not for what is posted.
    """
    _certificates()
    deadline = time.monotonic() + bounds.whole_s

    def once() -> Answer:
        body = bytearray()
        with _opened(url, bounds, headers, content, wanted, deadline) as stream:
            for piece in stream.pieces():
                body += piece
                if len(body) > bounds.max_bytes:
                    raise RequestFailed(shown(url), f"gave an answer of more than {bounds.max_bytes} bytes")
        return Answer(stream.status, bytes(body))

    if repeatable is None:
        repeatable = content is None
    return patiently(once, bounds if repeatable else replace(bounds, pauses_s=()), deadline=deadline)


@contextmanager
def opened(
    url: str, bounds: Bounds, *, headers: Mapping[str, str] = NO_HEADERS, wanted: Sequence[int] = (200,)
) -> Iterator[Stream]:
    """Get an address once, to be read as it comes. Raises RequestFailed, and BadValue for what is no address.

    A redirect to another host is followed without ``headers``, which may hold secrets; one from https to http is not.
    """
    with _opened(url, bounds, headers, None, wanted, time.monotonic() + bounds.whole_s) as stream:
        yield stream


def patiently(
    work: Callable[[], Result],
    bounds: Bounds,
    *,
    kept: Callable[[], int] = lambda: 0,
    deadline: float = math.inf,
) -> Result:
    """Try until it is done, or until so many tries in a row brought nothing: RequestFailed with the last reason.

    ``kept`` tells what the tries have brought so far: more than ever before, and the patience begins anew.
    """
    most, tries = kept(), 0
    while True:
        try:
            return work()
        except RequestFailed as error:
            failed = error
        # Against the most there ever was: a server that starts over each time and breaks off brings nothing.
        tries = tries + 1 if kept() <= most else 1
        most = max(most, kept())
        if failed.passing and tries <= len(bounds.pauses_s):
            pause_s = min(max(failed.after_s, bounds.pauses_s[tries - 1]), bounds.longest_s)
            if time.monotonic() + pause_s <= deadline:
                time.sleep(pause_s)
                continue
        if failed.passing and tries > 1:
            raise RequestFailed(failed.where, f"{failed.why}; given up after {tries} tries", status=failed.status)
        raise failed


def shown(url: str) -> str:
    """Give an address fit to be seen: without query, fragment and user. Raises BadValue if it is no web address."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        parts = None
    if parts is None:
        raise BadValue("expected an http or https address, got one that cannot be read")
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username is not None:
        raise BadValue(f"expected an http or https address without user and password, got scheme {parts.scheme!r}")
    return f"{parts.scheme}://{parts.hostname}{port}{parts.path}"


@contextmanager
def _opened(
    url: str, bounds: Bounds, headers: Mapping[str, str], content: bytes | None, wanted: Sequence[int], deadline: float
) -> Iterator[Stream]:
    where = shown(url)
    response, why, passing = None, "", False
    with ExitStack() as stack:
        watch = stack.enter_context(_ended_at(deadline))
        try:
            client = stack.enter_context(httpx2.Client(verify=_certificates(), headers=_ALWAYS))
            response = _send(client, url, bounds, headers, content, deadline, watch)
            stack.callback(response.close)
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError, ImportError) as error:
            why = _kind(error)
            passing = isinstance(error, httpx2.TransportError) and not isinstance(error, _OURS)
        _check_time(where, deadline)
        if response is None:
            raise RequestFailed(where, f"gave no answer ({why})", passing=passing)
        status = response.status_code
        if status not in wanted:
            why = f"answered {status}" + (" and leads elsewhere" if 300 <= status < 400 else "")
            after_s = _retry_after(response.headers.get("Retry-After"))
            passing = status in {408, 429} or status >= 500
            raise RequestFailed(where, why, status=status, passing=passing, after_s=after_s)
        yield Stream(where, response, deadline)


def _send(
    client: httpx2.Client,
    url: str,
    bounds: Bounds,
    headers: Mapping[str, str],
    content: bytes | None,
    deadline: float,
    watch: Callable[[str, dict[str, Any]], None],
) -> httpx2.Response:
    """Ask, and follow redirects as far as they are good and allowed; the one that is not is the answer."""
    redirects = 0
    while True:
        response = client.send(
            client.build_request(
                "GET" if content is None else "POST",
                url,
                headers=headers,
                content=content,
                timeout=max(min(bounds.wait_s, deadline - time.monotonic()), 0.001),
                extensions={"trace": watch},
            ),
            stream=True,
        )
        there = _onward(response, url) if content is None and redirects < bounds.redirects else None
        if there is None:
            return response
        response.close()
        if urlsplit(there)[:2] != urlsplit(url)[:2]:
            headers = {name: value for name, value in headers.items() if name.lower() in _TAKEN_ALONG}
        url, redirects = there, redirects + 1


def _onward(response: httpx2.Response, url: str) -> str | None:
    """Give the address that a redirect leads to, None where it is none or leads to what is not followed."""
    if response.status_code not in _REDIRECTS or "Location" not in response.headers:
        return None
    try:
        there = urljoin(url, response.headers["Location"])
        shown(there)
    except (ValueError, BadValue):
        return None
    return None if urlsplit(url).scheme == "https" != urlsplit(there).scheme else there


@contextmanager
def _ended_at(deadline: float) -> Iterator[Callable[[str, dict[str, Any]], None]]:
    """Hang up at the deadline. Each wait on a socket is bounded, but not how many of them a dripping server causes.

    What is given is told of every connection, and must be.
    """
    sockets: list[socket.socket] = []

    def hang_up() -> None:
        for line in sockets:
            with suppress(OSError):
                # Not the line's own, which with TLS would go on to read what is left as plain text.
                socket.socket.shutdown(line, socket.SHUT_RDWR)

    def watch(_event: str, info: dict[str, Any]) -> None:
        look_up = getattr(info.get("return_value"), "get_extra_info", None)
        if look_up is not None:  # a connection, and once more when TLS is put on it
            sockets.append(look_up("socket"))
            if time.monotonic() > deadline:
                hang_up()

    if deadline == math.inf:
        yield watch
        return
    clock = threading.Timer(max(deadline - time.monotonic(), 0), hang_up)
    clock.daemon = True
    clock.start()
    try:
        yield watch
    finally:
        clock.cancel()


def _check_time(where: str, deadline: float) -> None:
    if time.monotonic() > deadline:
        raise RequestFailed(where, "gave an answer that takes too long")


@cache
def _certificates() -> SSLContext:
    """Read the machine's certificates, once in a process: that takes a tenth of a second, and no server is to blame."""
    return httpx2.create_ssl_context()


def _kind(error: BaseException) -> str:
    """Name what is at the bottom of an error. Never its text: it can quote a header or an address."""
    while (deeper := error.__cause__ or error.__context__) is not None:
        error = deeper
    return type(error).__name__


def _retry_after(value: str | None) -> float:
    if not value:
        return 0.0
    if value.isdecimal():
        return float(value)
    try:
        return (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError):
        return 0.0
