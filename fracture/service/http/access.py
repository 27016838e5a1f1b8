"""Who may do what, and how often: API keys with roles, and a limit on requests. No key is ever kept in plain text."""

import hashlib
import ipaddress
import math
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from enum import IntEnum
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import Request, Security
from fastapi.security import APIKeyHeader

from fracture.core.errors import BadValue
from fracture.service.http.problems import RequestRefused
from fracture.service.http.settings import Settings

KEY_HEADER = "X-API-Key"
KEY_SCHEME = "key"
"""The name of that header's scheme in OpenAPI."""
LEAST_KEY = 16
CALLERS_KEPT = 10_000

GUESSES_TIMES = 10
"""All addresses together may try so many times as many unknown keys as one address may."""

_FORWARDED = re.compile(
    r"forward|proxy|client-?(ip|addr|cert|verify)"
    r"|(^|[-_])(via|ip|ips|addr|hops?|cdn|edge|original|originating|remote|real)([-_]|$)|^x-(host|scheme|rewrite)"
    r"|^(x-)?(akamai|amzn?|appengine|arr|azure|cf|cloud|envoy|fastly|fly|front-end|goog|haproxy|incap"
    r"|nf|ngrok|ssl|sucuri|surrogate|tailscale|tls|traefik|varnish|vercel|zscaler)(-|$)"
)
"""Names of headers by which a proxy says that it speaks for others, or for whom.

A caller wrongly taken for a proxy only needs a key; a proxy that is missed is let in without one. So this is wide.
"""
_WITH_PORT = re.compile(r"\[(.*)\](?::\d+)?|([\d.]+):\d+")
_LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})


class Role(IntEnum):
    """What a key allows. Each role may do what the roles below it may."""

    VIEWER = 1
    OPERATOR = 2
    ADMIN = 3


class Access:
    """Knows the keys, and whether calls from this very machine need none."""

    def __init__(self, settings: Settings) -> None:
        self._auth = settings.fracture_auth
        self._names = _LOCAL_NAMES | {name.lower() for name in settings.fracture_hosts}
        self._origins = frozenset(settings.fracture_cors_origins)
        self._keys = _keys(settings.fracture_api_keys.get_secret_value() if settings.fracture_api_keys else "")
        self._limit = _Limit(settings.fracture_rate_per_minute)
        self._guesses = _Limit(settings.fracture_rate_per_minute * GUESSES_TIMES)
        self._proxies = tuple(map(_network, settings.fracture_trusted_proxies))

    def closed_to(self, host: str) -> bool:
        """Tell whether callers need a key and there is none: all, or those from elsewhere whom ``host`` hears."""
        elsewhere = not (host == "localhost" or _is_loopback(host))
        return not self._keys and (self._auth == "on" or (self._auth == "auto" and elsewhere))

    def admit(self, request: Request, key: str | None, least: Role) -> None:
        """Admit a request. Raises RequestRefused: 401 without a known key, 403 for too low a role, 429 for too many."""
        if key is None and (self._auth == "off" or (self._auth == "auto" and self._is_local(request))):
            return
        role = self._keys.get(_digest(key)) if key is not None else None
        # Unknown keys are counted by address and all together, so that many addresses guess no faster than a few. A
        # caller with a known key is not counted here.
        if key is not None and role is not None:
            self._limit.count(_digest(key))
        else:
            self._limit.count(_household(self._caller(request)).encode())
            if key is not None:
                self._guesses.count(b"")
        if key is None:
            detail = f"expected a key in the header {KEY_HEADER}" + (
                "" if self._keys else "; this service has none yet"
            )
            raise _unknown("key_missing", detail)
        if role is None:
            raise _unknown("key_unknown", "this key is not known here")
        if role < least:
            detail = f"expected a key of the role {least.name.lower()}, this one is of {role.name.lower()}"
            raise RequestRefused(HTTPStatus.FORBIDDEN, "role_too_low", detail)

    def _is_local(self, request: Request) -> bool:
        """Tell whether a call was made on this machine, by this machine, and by its own name.

        A proxy on this machine speaks for others and says so in a header, or only by HTTP/1.0 if it is an nginx with
        default settings; behind one that says nothing set FRACTURE_AUTH=on. A web page elsewhere can make a browser
        here call this address under a name of its own (DNS rebinding) or under ours; the Host or Origin header shows
        that.
        """
        ends = (request.client.host if request.client else "", (request.scope.get("server") or ("",))[0])
        name = request.headers.get("host", "").lower()
        bare = name if name.endswith("]") else name.rpartition(":")[0] or name
        origin = request.headers.get("origin")
        return (
            all(map(_is_loopback, ends))
            and bare in self._names
            and (origin is None or origin.lower().partition("://")[2] == name or origin in self._origins)
            and request.scope.get("http_version") != "1.0"
            and not any(map(_FORWARDED.search, request.headers))
        )

    def _caller(self, request: Request) -> str:
        """Give the caller's address: the peer's, or the one that a trusted proxy names.

        Of a chain of addresses the last one that is no trusted proxy counts. Those before it may be made up.
        """
        peer = request.client.host if request.client else ""
        chain = [part.strip() for part in ",".join(request.headers.getlist("x-forwarded-for")).split(",")]
        while self._is_proxy(peer) and chain and _address(chain[-1]) is not None:
            peer = chain.pop()
        return peer

    def _is_proxy(self, address: str) -> bool:
        known = _address(address)
        return known is not None and any(known in network for network in self._proxies)


def require(role: Role) -> Any:
    """Give the dependency that admits a route's callers."""
    return Security(_admission(role))


@dataclass
class _Bucket:
    left: float
    at: float


class _Limit:
    """A token bucket per caller: bursts of a tenth of a minute's requests, and the given rate over time."""

    def __init__(self, per_minute: int) -> None:
        self._per_s = per_minute / 60
        self._most = max(1.0, per_minute / 10)
        self._buckets: OrderedDict[bytes, _Bucket] = OrderedDict()

    def count(self, caller: bytes) -> None:
        now = time.monotonic()
        bucket = self._buckets.setdefault(caller, _Bucket(self._most, now))
        self._buckets.move_to_end(caller)
        if len(self._buckets) > CALLERS_KEPT:
            self._buckets.popitem(last=False)
        bucket.left = min(self._most, bucket.left + (now - bucket.at) * self._per_s)
        bucket.at = now
        if bucket.left < 1:
            wait = math.ceil((1 - bucket.left) / self._per_s)
            detail = f"expected at most {self._per_s * 60:g} requests a minute"
            raise RequestRefused(HTTPStatus.TOO_MANY_REQUESTS, "rate_limited", detail, {"Retry-After": str(wait)})
        bucket.left -= 1


_header = APIKeyHeader(
    name=KEY_HEADER,
    scheme_name=KEY_SCHEME,
    description="Asked for unless the service is called on its own machine. Roles: viewer, operator, admin.",
    auto_error=False,
)


def _admission(least: Role) -> Callable[..., Coroutine[Any, Any, None]]:
    async def admit(request: Request, key: Annotated[str | None, Security(_header)]) -> None:
        access: Access = request.state.service.access
        access.admit(request, key or _bearer(request), least)

    return admit


def _bearer(request: Request) -> str | None:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


def _keys(listed: str) -> dict[bytes, Role]:
    keys: dict[bytes, Role] = {}
    for number, entry in enumerate(filter(None, map(str.strip, listed.replace("\n", ",").split(","))), start=1):
        role, key = map(str.strip, entry.partition(":")[::2])
        if role.upper() not in Role.__members__ or len(key) < LEAST_KEY or not key.isascii() or not key.isprintable():
            known = ", ".join(member.name.lower() for member in Role)
            raise BadValue(  # never quoting the entry
                f"FRACTURE_API_KEYS, entry {number}: expected role:key, a role out of {known}, "
                f"and a key of at least {LEAST_KEY} printable ASCII characters"
            )
        if _digest(key) in keys:
            raise BadValue(f"FRACTURE_API_KEYS, entry {number}: expected another key, this one is there already")
        keys[_digest(key)] = Role[role.upper()]
    return keys


def _digest(key: str) -> bytes:
    # The time of looking up a digest tells nothing about the keys.
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


def _is_loopback(address: str) -> bool:
    known = _address(address)
    return known is not None and known.is_loopback


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Read an address as proxies write it, with or without a port. IPv4 within IPv6 becomes IPv4."""
    bare = _WITH_PORT.fullmatch(text)
    try:
        known = ipaddress.ip_address(bare[1] or bare[2] if bare else text)
    except ValueError:
        return None
    return getattr(known, "ipv4_mapped", None) or known


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        return ipaddress.ip_network(text)
    except ValueError as error:
        raise BadValue(f"FRACTURE_TRUSTED_PROXIES: expected addresses or networks, got {text!r}: {error}") from None


def _household(address: str) -> str:
    """Give what one caller is counted by: the address, of IPv6 its first 64 bits, which one household or server has."""
    known = _address(address)
    if isinstance(known, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((int(known), 64), strict=False).network_address)
    return str(known or address)


def _unknown(code: str, detail: str) -> RequestRefused:
    return RequestRefused(HTTPStatus.UNAUTHORIZED, code, detail, {"WWW-Authenticate": "Bearer"})
