"""The service: ``python -m app``, or ``uvicorn app.main:app``."""

from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from typing import Any, TypedDict

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from fracture import __version__
from fracture.core.machine import cores
from fracture.inference.confine import hide
from fracture.inference.reader import Reader
from fracture.inference.sandbox import Sandbox
from fracture.models import card as cards
from fracture.models.card import ModelCard
from fracture.service.feedback import Feedback
from fracture.service.http import corrections, pages, problems, routes
from fracture.service.http.access import KEY_HEADER, KEY_SCHEME, Access
from fracture.service.http.answers import DISCLAIMER
from fracture.service.http.clinic_providers import chosen
from fracture.service.http.clinics import Clinics
from fracture.service.http.guard import Guard
from fracture.service.http.scheduler import Scheduler
from fracture.service.http.settings import Settings, read
from fracture.service.http.telemetry import Telemetry

MOST_DECODERS = 4


class State(TypedDict):
    """What the lifespan hands to every request."""

    service: routes.Service


def create_app(
    settings: Settings | None = None, reader: Reader | None = None, sandbox: Sandbox | None = None
) -> FastAPI:
    """Build the service. Its model is opened when it starts, and a start without one fails with the reason.

    ``reader`` and ``sandbox`` are used instead of its own, and the sandbox is not closed. Raises MissingData or
    BadValue where corrections are to be kept and cannot be, see `Feedback`.
    """
    settings = settings or read()
    access = Access(settings)
    telemetry = Telemetry()
    feedback = Feedback(settings.fracture_feedback) if settings.fracture_feedback else None
    decoders = settings.fracture_decoders or min(cores(), MOST_DECODERS)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[State]:
        hide()  # keys and films in memory, keys in the environment
        with ExitStack() as stack:
            # Processes for decoding start while the model is opened.
            card = reader.card if reader else cards.load(cards.find(settings.weights))
            decoding = sandbox or stack.enter_context(open_sandbox(card, settings, decoders))
            reading = reader or open_reader(settings)
            telemetry.model(card.model_id, card.version, reading.network.name)
            scheduler = Scheduler(
                reading,
                decoding,
                telemetry,
                decoders=decoders,
                streams=settings.fracture_streams or cores(),
                most_waiting=settings.fracture_max_waiting,
            )
            clinics = Clinics(chosen(settings))
            yield {"service": routes.Service(settings, access, scheduler, clinics, telemetry, feedback)}

    app = _Described(
        title="fracture",
        version=__version__,
        description=DISCLAIMER,
        lifespan=lifespan,
        docs_url=None,  # fracture.service.http.pages serves one that needs no other host
        redoc_url=None,
        redirect_slashes=False,  # a redirect would lead to whatever host the caller named
    )
    app.always_keyed = settings.fracture_auth == "on"
    problems.install(app, telemetry.refusal)
    if settings.fracture_cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.fracture_cors_origins,
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=[KEY_HEADER, "Authorization"],
            expose_headers=["Retry-After", "X-Request-ID"],
        )
    app.add_middleware(Guard, settings=settings, telemetry=telemetry)
    app.include_router(routes.router)
    app.include_router(corrections.router)
    pages.install(app)
    return app


def open_reader(settings: Settings) -> Reader:
    """Open the model and try it. Of a run's ``.pt`` its ONNX export is opened: a pickle can run its author's code.

    Raises MissingData, BadValue or BrokenAnswer, see `Reader.load`, and whatever a network that cannot be run raises.
    """
    backend = None if settings.arch else settings.fracture_backend
    return Reader.load(settings.weights, backend, settings.fracture_precision)


def open_sandbox(card: ModelCard, settings: Settings, workers: int) -> Sandbox:
    """Start the processes that decode films for a model."""
    return Sandbox(
        card.harmonise,
        card.long_side_px,
        card.stride,
        workers,
        pad_value=card.pad_value,
        memory_mb=settings.fracture_decode_mb,
        cpu_s=settings.fracture_decode_s,
        wall_s=settings.fracture_decode_s,
        max_pixels=settings.fracture_max_megapixels * 1_000_000,
    )


class _Described(FastAPI):
    """Says in its OpenAPI document whether a key is always needed."""

    always_keyed = True

    def openapi(self) -> dict[str, Any]:
        document = super().openapi()
        for operations in document["paths"].values():
            for operation in operations.values():
                if "security" in operation and not self.always_keyed:
                    operation["security"] = [{KEY_SCHEME: []}, {}]
        return document


def __getattr__(name: str) -> FastAPI:
    """Build ``app`` only when uvicorn wants it: importing this module reads no settings and builds nothing."""
    if name == "app":
        return create_app()
    raise AttributeError(name)
