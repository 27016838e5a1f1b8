"""Run the service as the settings say: ``python -m app``."""

import logging
import sys

import uvicorn
from pydantic import ValidationError

from app.settings import Settings
from fracture.errors import FractureError

DRAIN_S = 30


def main() -> int:
    """Serve until told to stop (SIGTERM, SIGINT); requests inside are finished first."""
    try:
        settings = Settings()
        logging.basicConfig(
            level=settings.fracture_log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s"
        )
        from app.main import create_app

        app = create_app(settings)
    except (ValidationError, FractureError) as error:
        print(f"fracture: {error}", file=sys.stderr)
        return 2
    uvicorn.run(
        app,
        host=settings.fracture_host,
        port=settings.fracture_port,
        log_config=None,
        access_log=False,  # it would log queries, which may say where somebody is; app.guard logs instead
        server_header=False,
        proxy_headers=False,  # a proxy's word on who calls is not taken: app.access asks for a key instead
        timeout_graceful_shutdown=DRAIN_S,
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
