"""The routes of the service, from a request to its answer."""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from http import HTTPStatus
from typing import Annotated, Any

import anyio
import cv2
import numpy as np
from fastapi import APIRouter, Depends, Query, Request, Response
from numpy.typing import NDArray

from fracture.clinical.status import DEFAULT_MODE, said_of
from fracture.core.errors import BadValue, FractureError, SeveralFrames
from fracture.core.types import Prediction
from fracture.imaging.render import encode_png, overlay
from fracture.inference.sandbox import Prepared
from fracture.models.card import ModelCard
from fracture.service.feedback import Feedback
from fracture.service.http import answers, forms, parameters
from fracture.service.http.access import Access, Role, require
from fracture.service.http.clinics import Clinics
from fracture.service.http.examples import ANSWERS
from fracture.service.http.fairness import Share
from fracture.service.http.parameters import PNG
from fracture.service.http.problems import NothingRead, RequestRefused, documented
from fracture.service.http.scheduler import Scheduler
from fracture.service.http.settings import Settings
from fracture.service.http.telemetry import MEDIA_TYPE as METRICS_TYPE
from fracture.service.http.telemetry import Telemetry

router = APIRouter()


@dataclass(frozen=True)
class Service:
    """What the routes need."""

    settings: Settings
    access: Access
    scheduler: Scheduler
    clinics: Clinics
    telemetry: Telemetry
    feedback: Feedback | None

    @property
    def card(self) -> ModelCard:
        """Give the card of the model that serves."""
        return self.scheduler.reader.card


def _service(request: Request) -> Service:
    service: Service = request.state.service
    return service


ServiceOf = Annotated[Service, Depends(_service)]

KEYED = documented(HTTPStatus.UNAUTHORIZED, HTTPStatus.TOO_MANY_REQUESTS)
RESERVED = KEYED | documented(HTTPStatus.FORBIDDEN)
REFUSALS = KEYED | documented(
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    HTTPStatus.UNPROCESSABLE_ENTITY,
    HTTPStatus.SERVICE_UNAVAILABLE,
)


@router.post(
    "/detect",
    summary="Find fractures on one film, or on the films of one study",
    response_model=answers.Answer | answers.StudyAnswer,
    response_model_exclude_unset=True,
    responses={200: {"content": {"application/json": {"examples": ANSWERS}, PNG: {}}}, **REFUSALS},
    openapi_extra=forms.FILMS,
    dependencies=[require(Role.VIEWER)],
)
async def detect(
    request: Request,
    service: ServiceOf,
    query: Annotated[parameters.Detect, Query()],
) -> Any:
    """Read films and answer with boxes, what they rest on, and what to make of them. **Not a medical device.**

    One film gives its answer; several files, or the frames of one, give an answer per film and the study's status.
    """
    _mode(service.card, query.mode, query.conf)  # before the films are read
    async with service.scheduler.place():
        form = await upload(request, service, service.settings.fracture_max_files)
        wanted = parameters.merged(parameters.Study, request, form.fields)
        threshold = _mode(service.card, wanted.mode, wanted.conf)
        place = _place(wanted.lat, wanted.lng)
        picture = wanted.format == "png"
        if wanted.format is None:
            picture = parameters.prefers_png(",".join(request.headers.getlist("accept")))
        reading = _Reading(request, service)
        if picture:
            return Response(await reading.picture(form.files, threshold), media_type=PNG)
        await reading.read(form.files)
    if not reading.seen:
        raise NothingRead(reading.refusals)
    for _, error in reading.refusals:
        service.telemetry.refusal(error.code)
    refused = [answers.refused_film(error, source) for source, error in reading.refusals]
    answer = answers.answer(reading.seen, refused, threshold, service.card, wanted.study_id)
    if place is not None:
        answer.orthopedic_consult = await service.clinics.near(*place)
    return answer


@router.post(
    "/render",
    summary="Show a film as a grey PNG, as the model's decoder sees it",
    response_class=Response,
    responses={200: {"content": {PNG: {}}}, **REFUSALS},
    openapi_extra=forms.FILM,
    dependencies=[require(Role.VIEWER)],
)
async def render(
    request: Request,
    service: ServiceOf,
    query: Annotated[parameters.Render, Query()],
) -> Response:
    """Decode one film, whatever its format, and give its pixels: the frame of every box of /detect."""
    async with service.scheduler.place():
        form = await upload(request, service, 1)
        frame = parameters.merged(type(query), request, form.fields).frame
        most = service.settings.fracture_max_files
        gone = request.is_disconnected
        async with service.scheduler.turn(gone):
            (film,) = await service.scheduler.prepare(form.files[0], gone, most=most, frame=frame, grey=True)
            return Response(await service.scheduler.draw(partial(_grey_png, film.greys())), media_type=PNG)


@router.get("/model", summary="The card of the model that serves", responses=KEYED, dependencies=[require(Role.VIEWER)])
async def model(service: ServiceOf) -> Response:
    """Give the model card: what it is, how it is fed, its thresholds, and what was measured; and the default mode."""
    return Response(json.dumps(asdict(service.card) | {"default_mode": DEFAULT_MODE}), media_type="application/json")


@router.get(
    "/health",
    summary="What is running",
    response_model=answers.Health,
    responses=KEYED,
    dependencies=[require(Role.VIEWER)],
)
async def health(service: ServiceOf) -> answers.Health:
    """Say that the service is up, and with which model, backend and modes."""
    return answers.Health(
        status="ok",
        model=answers.model(service.card),
        backend=service.scheduler.reader.network.name,
        operating_modes=[point.name for point in service.card.operating_points],
        feedback=service.feedback is not None,
        clinics=service.clinics.offered,
    )


@router.get("/livez", summary="Whether the process answers")
async def livez() -> dict[str, str]:
    """Answer."""
    return {"status": "ok"}


@router.get("/readyz", summary="Whether films can be read", responses=documented(HTTPStatus.SERVICE_UNAVAILABLE))
async def readyz(service: ServiceOf) -> dict[str, Any]:
    """Answer 200 where films can be read now: the model is open, and processes to decode films are there.

    `confinement` tells what holds these: false for what this system's kernel does not have.
    """
    if not await service.scheduler.ready():
        detail = "the processes that decode films are not there"
        raise RequestRefused(HTTPStatus.SERVICE_UNAVAILABLE, "not_ready", detail, {"Retry-After": "1"})
    return {"status": "ready", "confinement": service.scheduler.confinement}


@router.get(
    "/metrics",
    summary="Counts and times, for Prometheus",
    response_class=Response,
    responses={200: {"content": {METRICS_TYPE: {}}}, **RESERVED},
    dependencies=[require(Role.OPERATOR)],
)
async def metrics(service: ServiceOf) -> Response:
    """Give latency by stage, requests, queue, refusals by code, and the model that serves."""
    service.telemetry.confinement(service.scheduler.confinement)
    return Response(service.telemetry.text(), media_type=METRICS_TYPE)


@router.get(
    "/settings",
    summary="What the service was started with",
    responses=RESERVED,
    dependencies=[require(Role.ADMIN)],
)
async def settings(service: ServiceOf) -> dict[str, Any]:
    """Give every setting; of secrets only whether they are set."""
    return service.settings.model_dump(mode="json")


async def upload(request: Request, service: Service, most_files: int) -> forms.Form:
    """Read the form of a request; see `forms.read` for what is refused."""
    began = time.perf_counter()
    form = await forms.read(request, most_files, service.settings.max_upload_bytes)
    service.telemetry.stage("upload", time.perf_counter() - began)
    return form


class _Reading:
    """The films of one request, on their way from bytes to predictions."""

    def __init__(self, request: Request, service: Service) -> None:
        self._gone = request.is_disconnected
        self._service = service
        self._most = service.settings.fracture_max_files
        self._share = Share(service.settings.fracture_request_s, service.settings.fracture_request_megapixels)
        self._films = 0
        self.seen: list[answers.Seen] = []
        self.refusals: list[tuple[int, FractureError]] = []

    async def read(self, files: Sequence[bytes]) -> None:
        """Read all films, as many at once as the scheduler allows. A refused film does not keep the others back."""
        try:
            async with anyio.create_task_group() as tasks:
                for source, data in enumerate(files):
                    tasks.start_soon(self._file, source, data)
        except BaseExceptionGroup as group:
            # A film that the service cannot take now refuses the whole request; an unexpected error comes first.
            raise min(group.exceptions, key=lambda error: isinstance(error, RequestRefused)) from None
        self.refusals.sort(key=lambda refusal: refusal[0])

    async def picture(self, files: Sequence[bytes], mode: answers.OperatingMode) -> bytes:
        """Read the one film and draw it with its boxes. Raises SeveralFrames for more, and the film's own refusal."""
        if len(files) > 1:
            raise SeveralFrames("expected one film for a picture, got several; ask for each on its own")
        card, scheduler = self._service.card, self._service.scheduler
        async with scheduler.turn(self._gone):
            (film,) = await scheduler.prepare(files[0], self._gone, grey=True)
            prediction = await self._prediction(film)
            said = said_of(prediction, card.thresholds, mode.conf_threshold, mode.shown_from)
            found, marks = prediction.detections, (said, mode.shown_from, card.thresholds, mode.mode)
            return await scheduler.draw(lambda: encode_png(overlay(film.greys(), found, *marks)))

    async def _file(self, source: int, data: bytes) -> None:
        async with self._service.scheduler.turn(self._gone, self._share):
            try:
                prepared = await self._service.scheduler.prepare(data, self._gone, share=self._share, most=self._most)
            except FractureError as error:
                self.refusals.append((source, error))
                return
            self._films += len(prepared)
            if self._films > self._most:
                raise forms.too_many(self._most)
            for frame, film in enumerate(prepared):
                self.seen.append(answers.Seen(source, frame, await self._prediction(film), film.spacing_mm))

    async def _prediction(self, film: Prepared) -> Prediction:
        prediction = await self._service.scheduler.read(film, self._gone)
        self._service.telemetry.film(said_of(prediction, self._service.card.thresholds, 0).status)
        return prediction


def _grey_png(grey: NDArray[np.uint8]) -> bytes:
    return bytes(cv2.imencode(".png", grey)[1])


def _mode(card: ModelCard, mode: str | None, conf: float | None) -> answers.OperatingMode:
    if conf is not None and mode is None:
        return answers.custom_mode(conf)
    return answers.measured_mode(card.operating_point(DEFAULT_MODE if mode is None else mode), conf, card)


def _place(lat: float | None, lng: float | None) -> tuple[float, float] | None:
    if lat is None and lng is None:
        return None
    if lat is None or lng is None:
        raise BadValue(f"expected lat and lng together, got only {'lng' if lat is None else 'lat'}")
    return lat, lng
