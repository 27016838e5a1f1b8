"""Run the service as the settings say; with ``--ready``, ask the one that runs whether it is."""

import argparse
import ctypes
import logging
import signal
import sys
import urllib.request
from http.client import HTTPException

import uvicorn
from pydantic import ValidationError

from fracture.core.errors import FractureError
from fracture.service.http.connections import Connection
from fracture.service.http.settings import Settings

DRAIN_S = 30

_M_MMAP_THRESHOLD = -3  # malloc.h of glibc
_LARGE_BYTES = 256 << 10


def main() -> int:
    """Serve until told to stop (SIGTERM, SIGINT); requests inside are finished first."""
    parser = argparse.ArgumentParser(description=f"{__doc__} Settings: docs/SERVICE.md.")
    parser.add_argument("--ready", action="store_true", help="ask the service on this machine whether it is ready")
    asked = parser.parse_args()
    try:
        settings = Settings()
        if asked.ready:
            return _ready(settings.fracture_port)
        logging.basicConfig(
            level=settings.fracture_log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s"
        )
        from fracture.service.http.main import create_app

        app = create_app(settings)
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


def _ready(port: int) -> int:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=4) as answer:
            print(answer.read().decode())
    except (OSError, HTTPException) as error:
        print(f"not ready: {error}", file=sys.stderr)
        return 1
    return 0
