"""Who may do what, and how often: API keys with roles, and a limit on requests. No key is ever kept in plain."""

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
"""What OpenAPI calls that."""
LEAST_KEY = 16
CALLERS_KEPT = 10_000

GUESSES_TIMES = 10
"""All strangers together may try so many times as many keys as one address may."""

_FORWARDED = re.compile(
    r"forward|proxy|client-?(ip|addr|cert|verify)"
    r"|(^|[-_])(via|ip|ips|addr|hops?|cdn|edge|original|originating|remote|real)([-_]|$)|^x-(host|scheme|rewrite)"
    r"|^(x-)?(akamai|amzn?|appengine|arr|azure|cf|cloud|envoy|fastly|fly|front-end|goog|haproxy|incap"
    r"|nf|ngrok|ssl|sucuri|surrogate|tailscale|tls|traefik|varnish|vercel|zscaler)(-|$)"
)
"""How headers are named by which a proxy tells that it speaks for others, or for whom.

Whoever is taken for one in error needs a key, and no more; who is not is let in without. So this is wide.
"""
_WITH_PORT = re.compile(r"\[(.*)\](?::\d+)?|([\d.]+):\d+")
_LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})


class Role(IntEnum):
    """What a key allows; each role may do what those below it may."""

    VIEWER = 1
    OPERATOR = 2
    ADMIN = 3


class Access:
    """Knows the keys. Where calls from this very machine need none, those alone are let in without."""

    def __init__(self, settings: Settings) -> None:
        self._auth = settings.fracture_auth
        self._names = _LOCAL_NAMES | {name.lower() for name in settings.fracture_hosts}
        self._origins = frozenset(settings.fracture_cors_origins)
        self._keys = _keys(settings.fracture_api_keys.get_secret_value() if settings.fracture_api_keys else "")
        self._limit = _Limit(settings.fracture_rate_per_minute)
        self._guesses = _Limit(settings.fracture_rate_per_minute * GUESSES_TIMES)
        self._proxies = tuple(map(_network, settings.fracture_trusted_proxies))

    def admit(self, request: Request, key: str | None, least: Role) -> None:
        """Let a request in. Raises RequestRefused: 401 without a known key, 403 below a role, 429 too often."""
        if key is None and (self._auth == "off" or (self._auth == "auto" and self._is_local(request))):
            return
        role = self._keys.get(_digest(key)) if key is not None else None
        # Guesses are counted by address and all together: no number of addresses guesses faster, and who has a key
        # is kept out by neither.
        if key is not None and role is not None:
            self._limit.count(_digest(key))
        else:
            self._limit.count(_household(self._caller(request)).encode())
            if key is not None:
                self._guesses.count(b"")
        if key is None:
            told = f"expected a key in the header {KEY_HEADER}" + ("" if self._keys else "; this service has none yet")
            raise _unknown("key_missing", told)
        if role is None:
            raise _unknown("key_unknown", "this key is not known here")
        if role < least:
            detail = f"expected a key of the role {least.name.lower()}, this one is of {role.name.lower()}"
            raise RequestRefused(HTTPStatus.FORBIDDEN, "role_too_low", detail)

    def _is_local(self, request: Request) -> bool:
        """Tell whether a call was made on this machine, by this machine, and by its own name.

        A proxy on this machine speaks for others and says so in a header, or, being an nginx that nobody configured,
        by HTTP/1.0 alone; one that keeps silent needs FRACTURE_AUTH=on. A web page elsewhere can make a browser here
        call this address under a name of its own (DNS rebinding) or under ours; its name or its origin gives it away.
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
        """Give the address that calls: the peer's, or for a proxy that is trusted the one it says.

        Of a chain of addresses the last that is no trusted proxy counts: whoever is before it may have written it.
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
    """Give the dependency that lets a route's callers in."""
    return Security(_door(role))


@dataclass
class _Bucket:
    left: float
    at: float


class _Limit:
    """A token bucket per caller: bursts of a tenth of a minute's share, the share over time."""

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


def _door(least: Role) -> Callable[..., Coroutine[Any, Any, None]]:
    async def let_in(request: Request, key: Annotated[str | None, Security(_header)]) -> None:
        access: Access = request.state.service.access
        access.admit(request, key or _bearer(request), least)

    return let_in


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
    # A table of digests is looked up in a time that tells nothing of the keys.
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


def _is_loopback(address: str) -> bool:
    known = _address(address)
    return known is not None and known.is_loopback


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Read an address, as proxies write it: with its port or without. IPv4 within IPv6 is IPv4."""
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
    """Give what one caller is counted by: of IPv6 the first 64 bits, as a household or a server has that many."""
    known = _address(address)
    if isinstance(known, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((int(known), 64), strict=False).network_address)
    return str(known or address)


def _unknown(code: str, detail: str) -> RequestRefused:
    return RequestRefused(HTTPStatus.UNAUTHORIZED, code, detail, {"WWW-Authenticate": "Bearer"})
