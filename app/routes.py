"""The routes: /detect, /health and a signpost at /."""

from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, BinaryIO

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Depends, File, Query, Request, UploadFile
from starlette.datastructures import UploadFile as Upload

from app import answers
from app.clinics import Clinics
from app.guard import too_large
from app.problems import RequestRefused, documented
from fracture.errors import BadValue
from fracture.imaging.decode import MAX_PIXELS
from fracture.models.card import ModelCard
from fracture.reader import Reader
from fracture.types import Prediction

DEFAULT_MODE = "balanced"

router = APIRouter()


@dataclass(frozen=True)
class Service:
    """What the routes need. ``limiter`` bounds the films decoded and read at once, and so the memory they take."""

    reader: Reader
    clinics: Clinics
    limiter: CapacityLimiter
    max_upload_bytes: int


def _service(request: Request) -> Service:
    service: Service = request.state.service
    return service


ServiceOf = Annotated[Service, Depends(_service)]


@router.post(
    "/detect",
    summary="Find fractures on one film",
    response_model_exclude_unset=True,
    responses=documented(
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        HTTPStatus.UNPROCESSABLE_ENTITY,
    ),
)
async def detect(
    request: Request,
    service: ServiceOf,
    file: Annotated[UploadFile, File(description="One film: PNG, JPEG, TIFF or DICOM. Its name is not used.")],
    mode: Annotated[
        str | None,
        Query(
            description=f"An operating point of the model's card, as /health lists them; {DEFAULT_MODE} unless said."
        ),
    ] = None,
    conf: Annotated[
        float | None, Query(ge=0, le=1, allow_inf_nan=False, description="A threshold of your own instead of a mode's.")
    ] = None,
    lat: Annotated[
        float | None,
        Query(
            ge=-90,
            le=90,
            allow_inf_nan=False,
            description="With lng: list clinics there. A provider of maps is told the place to about 1 km.",
        ),
    ] = None,
    lng: Annotated[float | None, Query(ge=-180, le=180, allow_inf_nan=False)] = None,
) -> answers.Answer:
    """Read one film and answer with boxes, what they rest on, and what to make of them. **Not a medical device.**"""
    await _refuse_several(request)
    threshold = _mode(service.reader.card, mode, conf)
    place = _place(lat, lng)
    prediction = await to_thread.run_sync(_read, service, file.file, limiter=service.limiter)
    answer = answers.answer(prediction, threshold, service.reader.card)
    if place is not None:
        answer.orthopedic_consult = await service.clinics.near(*place)
    return answer


@router.get("/health", summary="What is running")
async def health(service: ServiceOf) -> answers.Health:
    """Say that the service is up, and with which model, backend and modes."""
    card = service.reader.card
    return answers.Health(
        status="ok",
        model=answers.model(card),
        backend=service.reader.network.name,
        operating_modes=[point.name for point in card.operating_points],
    )


@router.get("/", include_in_schema=False)
async def signpost() -> dict[str, str]:
    """Point to what there is."""
    return {"detect": "/detect", "health": "/health", "docs": "/docs", "disclaimer": answers.DISCLAIMER}


async def _refuse_several(request: Request) -> None:
    # The form was parsed for the route's parameters, which would silently take the last of several.
    form = await request.form()
    count = sum(isinstance(value, Upload) for _, value in form.multi_items())
    if count > 1:
        detail = f"expected one file, got {count}; send each film in a request of its own"
        raise RequestRefused(HTTPStatus.UNPROCESSABLE_ENTITY, "several_files", detail)


def _mode(card: ModelCard, mode: str | None, conf: float | None) -> answers.OperatingMode:
    if conf is None:
        return answers.measured_mode(card.operating_point(DEFAULT_MODE if mode is None else mode))
    if mode is not None:
        card.operating_point(mode)  # an unknown mode is a mistake even where conf makes it moot
    return answers.custom_mode(conf)


def _place(lat: float | None, lng: float | None) -> tuple[float, float] | None:
    if lat is None and lng is None:
        return None
    if lat is None or lng is None:
        raise BadValue(f"expected lat and lng together, got only {'lng' if lat is None else 'lat'}")
    return lat, lng


def _read(service: Service, film: BinaryIO, /) -> Prediction:
    """Decode and infer, in a worker thread. A film waiting for its turn waits on disk, not in memory."""
    data = film.read(service.max_upload_bytes + 1)
    if len(data) > service.max_upload_bytes:
        raise too_large(service.max_upload_bytes)
    return service.reader.read(data, max_pixels=MAX_PIXELS)
