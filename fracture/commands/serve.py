"""Run the service as the settings say; with ``--ready``, ask the one that runs whether it is."""

import argparse
import ctypes
import logging
import signal
import sys
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException

import uvicorn
from pydantic import ValidationError
from pydantic_settings import SettingsError

from fracture.core.command import arguments
from fracture.core.errors import FractureError
from fracture.service.http.connections import Connection
from fracture.service.http.settings import Settings

DRAIN_S = 30

_LOOPBACK = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - where to ask, not to listen
"""Where a service that listens at every address is found on its own machine."""

_M_MMAP_THRESHOLD = -3  # malloc.h of glibc
_LARGE_BYTES = 256 << 10


def parser() -> argparse.ArgumentParser:
    """Give the command's flags."""
    parser = arguments(f"{__doc__} Its settings are variables of the environment: docs/SERVICE.md.")
    parser.add_argument("--ready", action="store_true", help="ask the service on this machine whether it is ready")
    return parser


def main() -> int:
    """Serve until told to stop (SIGTERM, SIGINT); requests inside are finished first."""
    asked = parser().parse_args()
    try:
        settings = Settings()
        if asked.ready:
            return _ready(settings.fracture_host, settings.fracture_port)
        logging.basicConfig(
            level=settings.fracture_log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s"
        )
        from fracture.service.http.main import create_app, open_reader

        # Here, as what fails while the server starts ends in its traceback.
        app = create_app(settings, open_reader(settings))
    except SettingsError as error:  # a file of keys that this user may not read, or that is no text
        print(f"fracture: {error}: {error.__cause__}", file=sys.stderr)
        return 2
    except (ValidationError, FractureError) as error:
        print(f"fracture: {error}", file=sys.stderr)
        return 2
    _return_large_blocks()
    # uvicorn finishes what is inside and then sends itself the signal again, of which a process dies: here it leaves.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    uvicorn.run(
        app,
        host=settings.fracture_host,
        port=settings.fracture_port,
        http=Connection,
        log_config=None,
        access_log=False,  # it would log queries, which may say where somebody is; guard.py logs instead
        server_header=False,
        proxy_headers=False,  # a proxy's word on who calls is not taken: access.py asks for a key
        timeout_graceful_shutdown=DRAIN_S,
    )
    return 0


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
