"""Run the service as the settings say; with ``--ready``, ask the one that runs whether it is."""

import argparse
import ctypes
import errno
import logging
import signal
import socket
import sys
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException

import uvicorn

from fracture.core.command import FAILED, arguments, command
from fracture.core.errors import BadValue
from fracture.service.http.access import LEAST_KEY, Access
from fracture.service.http.connections import Connection
from fracture.service.http.settings import read

logger = logging.getLogger(__name__)

DRAIN_S = 30

_LOOPBACK = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - where to ask, not to listen
"""Where a service that listens at every address is found on its own machine."""

_M_MMAP_THRESHOLD = -3  # malloc.h of glibc
_LARGE_BYTES = 256 << 10


def parser() -> argparse.ArgumentParser:
    """Give the command's flags."""
    parser = arguments(
        f"{__doc__} Its settings are variables of the environment: docs/SERVICE.md.",
        done="it was told to stop (Ctrl-C, SIGTERM) and what was inside is answered",
        partly="--ready finds it not ready",
        stopped="it is stopped while it starts",
    )
    parser.add_argument("--ready", action="store_true", help="ask the service on this machine whether it is ready")
    return parser


@command
def main() -> int:
    """Serve until told to stop (SIGTERM, SIGINT); requests inside are finished first. 2 where it cannot be served."""
    asked = parser().parse_args()
    settings = read()
    host, port = settings.fracture_host, settings.fracture_port
    if asked.ready:
        return _ready(host, port)
    logging.basicConfig(
        level=settings.fracture_log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    if Access(settings).closed_to(host):
        whom = "every caller" if settings.fracture_auth == "on" else "callers from other machines"
        logger.warning(
            "%s will be refused: they need a key, and there is none. FRACTURE_API_KEYS=viewer:KEY sets one, of %d "
            "characters or more (docs/SERVICE.md)",
            whom,
            LEAST_KEY,
        )
    sockets = _bound(host, port)  # before the model is opened, which takes a while
    from fracture.service.http.main import create_app, open_reader

    # Here, as what fails while the server starts ends in its traceback.
    app = create_app(settings, open_reader(settings))
    _return_large_blocks()
    # uvicorn finishes what is inside and then sends itself the signal again, of which a process dies: here it leaves.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    config = uvicorn.Config(
        app,
        http=Connection,
        log_config=None,
        access_log=False,  # it would log queries, which may say where somebody is; guard.py logs instead
        server_header=False,
        proxy_headers=False,  # a proxy's word on who calls is not taken: access.py asks for a key
        timeout_graceful_shutdown=DRAIN_S,
    )
    try:
        _Server(config).run(sockets)
    except KeyboardInterrupt:  # sent again, as above
        return 0
    except SystemExit as left:
        return FAILED if left.code else 0
    return 0


class _Server(uvicorn.Server):
    """Says where it is when it answers, and not before."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for one in sockets or ():
            host, port = one.getsockname()[:2]
            address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
            logger.info("fracture on %s   (stop with Ctrl-C)", address)
            logger.info("open it in a browser, or try:  curl -F file=@xray.png %s/detect", address)


def _bound(host: str, port: int) -> list[socket.socket]:
    """Take the addresses that a name stands for; nobody is answered there yet. Raises BadValue where one is in use."""
    taken: list[socket.socket] = []
    refused: OSError | None = None
    try:
        for family, kind, protocol, _, address in socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        ):
            one = socket.socket(family, kind, protocol)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            try:
                one.bind(address)
            except OSError as error:
                one.close()
                if error.errno != errno.EADDRNOTAVAIL:  # localhost may have an address of a kind this system lacks
                    raise
                refused = error
            else:
                taken.append(one)
        if refused and not taken:
            raise refused
    except OSError as error:
        for one in taken:
            one.close()
        where = f"FRACTURE_HOST {host}, FRACTURE_PORT {port}"
        raise BadValue(f"expected an address that is free here, got {where}: {error.strerror or error}") from None
    return taken


def _return_large_blocks() -> None:
    """Have every film's memory given back to the system as soon as it is freed (glibc; elsewhere it is left as it is).

    Else glibc keeps such blocks in an arena per thread, where films of many sizes leave gaps: memory grew by 9 kB with
    every large film.
    """
    tune = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if tune is not None:
        tune(_M_MMAP_THRESHOLD, _LARGE_BYTES)


def _ready(host: str, port: int) -> int:
    """Ask at the address that is listened at, and never through a proxy, which is for what is not here."""
    line = HTTPConnection(_LOOPBACK.get(host, host), port, timeout=4)
    try:
        line.request("GET", "/readyz")
        answer = line.getresponse()
        said = answer.read().decode(errors="replace")
    except (OSError, HTTPException) as error:
        print(f"not ready: {error}", file=sys.stderr)
        return 1
    finally:
        line.close()
    if answer.status != HTTPStatus.OK:
        print(f"not ready: answered {answer.status}", file=sys.stderr)
        return 1
    print(said)
    return 0
