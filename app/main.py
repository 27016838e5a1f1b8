"""The service: ``uvicorn app.main:app``."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypedDict

from anyio import CapacityLimiter
from fastapi import FastAPI

from app import problems, routes
from app.answers import DISCLAIMER
from app.clinic_providers import chosen
from app.clinics import Clinics
from app.guard import Guard
from app.settings import Settings
from fracture import __version__
from fracture.models import card as cards
from fracture.reader import Reader


class State(TypedDict):
    """What the lifespan hands to every request."""

    service: routes.Service


def create_app(settings: Settings | None = None, reader: Reader | None = None) -> FastAPI:
    """Build the service. Its model is opened when it starts, and a start without one fails with the reason."""
    settings = settings or Settings()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[State]:
        service = routes.Service(
            reader or load_reader(settings.fracture_weights),
            Clinics(chosen(settings)),
            CapacityLimiter(os.cpu_count() or 1),
            settings.max_upload_bytes,
        )
        yield {"service": service}

    app = FastAPI(title="fracture", version=__version__, description=DISCLAIMER, lifespan=lifespan)
    problems.install(app)
    app.add_middleware(Guard, max_upload_bytes=settings.max_upload_bytes)
    app.include_router(routes.router)
    return app


def load_reader(weights: Path | None) -> Reader:
    """Open the model; for a run's ``.pt`` its ONNX export, as opening a pickle can run its author's code.

    Raises MissingData or BadValue, see `Reader.load`.
    """
    if weights is not None and weights.suffix == ".pt":
        weights = cards.find(weights)
    return Reader.load(weights)


app = create_app()
