"""The routes by which readers correct films: kept where FRACTURE_FEEDBACK names a file, given out as COCO."""

import hashlib
import json
from http import HTTPStatus
from typing import Annotated, Any

from anyio import to_thread
from fastapi import APIRouter, Path, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from fracture.service.feedback import Corrected, Feedback
from fracture.service.http import answers, forms
from fracture.service.http.access import Role, require
from fracture.service.http.parameters import Correction
from fracture.service.http.problems import RequestRefused, documented
from fracture.service.http.routes import REFUSALS, RESERVED, Service, ServiceOf, upload

router = APIRouter(prefix="/feedback", dependencies=[require(Role.OPERATOR)])

_OFF = documented(HTTPStatus.NOT_FOUND, HTTPStatus.SERVICE_UNAVAILABLE)
_NAMED = documented(HTTPStatus.UNPROCESSABLE_ENTITY)
_FIELD = "correction"


@router.post(
    "",
    summary="Correct a film: what is true of it, and where",
    response_model=answers.Kept,
    responses=REFUSALS | RESERVED | _OFF,
    openapi_extra=forms.CORRECTION,
)
async def keep(request: Request, service: ServiceOf) -> answers.Kept:
    """Keep what a reader says of a film: which boxes of the model are right or wrong, and which it missed.

    The film is sent along so that its SHA-256 is that of a film that can be read, with the boxes on it. Neither the
    film nor its name is kept. A later correction of the same film counts instead of this one.
    """
    feedback = _feedback(service)
    async with service.scheduler.place():
        form = await upload(request, service, 1)
        if request.query_params:
            problem = {"loc": ("query",), "type": "extra_forbidden", "msg": f"expected the field {_FIELD} alone"}
            raise RequestValidationError([problem])
        correction = _correction(form.fields)
        most, gone = service.settings.fracture_max_files, request.is_disconnected
        async with service.scheduler.turn(gone):
            (film,) = await service.scheduler.prepare(form.files[0], gone, most=most, frame=correction.frame)
    film_px, card = film.model_input.film_px, service.card
    boxes, wrong = (
        [_on_film(box, film_px, (name, number)) for number, box in enumerate(some)]
        for name, some in (("boxes", correction.boxes), ("wrong", correction.wrong))
    )
    corrected = Corrected(
        sha256=hashlib.sha256(form.files[0]).hexdigest(),
        frame=correction.frame,
        film_px=film_px,
        truth=correction.truth,
        boxes=boxes,
        wrong=wrong,
        model=f"{card.model_id} {card.version}",
    )
    kept_at = await to_thread.run_sync(feedback.keep, corrected)
    return answers.Kept(sha256=corrected.sha256, frame=corrected.frame, kept_at=kept_at)


@router.get(
    "/coco",
    summary="All corrections, as COCO",
    response_model=answers.Coco,
    responses=RESERVED | _OFF,
)
async def give(service: ServiceOf) -> Response:
    """Give the last correction of every film as a COCO dataset, which `fracture ingest --format coco` takes."""
    dataset = await to_thread.run_sync(_feedback(service).coco)
    return Response(await to_thread.run_sync(json.dumps, dataset), media_type="application/json")


@router.delete("/films/{sha256}", summary="Forget a film", responses=RESERVED | _OFF | _NAMED)
async def forget(service: ServiceOf, sha256: Annotated[str, Path(pattern="^[0-9a-f]{64}$")]) -> answers.Forgotten:
    """Delete every correction of a film, as where a patient asks for it."""
    return answers.Forgotten(corrections=await to_thread.run_sync(_feedback(service).forget, sha256))


def _feedback(service: Service) -> Feedback:
    if service.feedback is None:
        detail = "this service keeps no corrections; FRACTURE_FEEDBACK names the file to keep them in"
        raise RequestRefused(HTTPStatus.NOT_FOUND, "feedback_off", detail)
    return service.feedback


def _correction(fields: tuple[tuple[str, str], ...]) -> Correction:
    if [name for name, _ in fields] != [_FIELD]:
        problem = {"loc": ("body", _FIELD), "type": "missing", "msg": f"expected one field {_FIELD} beside the film"}
        raise RequestValidationError([problem])
    try:
        return Correction.model_validate_json(fields[0][1])
    except ValidationError as refused:
        problems: list[Any] = [*refused.errors(include_url=False)]
        raise RequestValidationError([one | {"loc": ("body", _FIELD, *one["loc"])} for one in problems]) from None


def _on_film(box: tuple[float, float, float, float], film_px: tuple[int, int], where: tuple[str, int]) -> Any:
    x0, y0, x1, y1 = box
    width, height = film_px
    if x0 >= width or y0 >= height or x1 > width + 1 or y1 > height + 1:
        message = f"expected a box within the film's {width} x {height} px, got {x0:g}, {y0:g}, {x1:g}, {y1:g}"
        raise RequestValidationError([{"loc": ("body", _FIELD, *where), "type": "outside_film", "msg": message}])
    return x0, y0, min(x1, width), min(y1, height)
