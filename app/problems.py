"""Refusals as problem details (RFC 9457): what was wrong, in words and as a stable code; never a trace."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from fracture.errors import FractureError

MEDIA_TYPE = "application/problem+json"

_ONE_FILE = "expected one film as a file in the multipart field 'file'"
_CODES = {400: "bad_request", 404: "not_found", 405: "method_not_allowed"}
_DETAILS = {
    404: "there is nothing at this address; /docs lists what there is",
    405: "this address does not answer to that method; see the Allow header and /docs",
}


class Problem(BaseModel):
    """A problem document of RFC 9457, with two members of our own: ``code`` and ``errors``."""

    type: str = Field(description="Always about:blank: the title is the HTTP status's own.")
    title: str
    status: int
    detail: str = Field(description="What was found and what was expected, in words.")
    code: str = Field(description="What was wrong, as a stable word for programs.")
    errors: list[dict[str, Any]] | None = Field(default=None, description="One entry per parameter that was wrong.")


class RequestRefused(HTTPException):
    """Raise for a request that is refused before its film is looked at.

    An HTTPException, because FastAPI turns anything else that is raised while a form is read into a nameless 400.
    """

    def __init__(self, status: HTTPStatus, code: str, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status, detail, headers)
        self.code = code


def problem(
    status: int,
    code: str,
    detail: str,
    *,
    errors: list[dict[str, Any]] | None = None,
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """Write a problem document."""
    title = HTTPStatus(status).phrase
    content = Problem(type="about:blank", title=title, status=status, detail=detail, code=code, errors=errors)
    return JSONResponse(content.model_dump(exclude_none=True), status, headers, MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Answer every refusal of the app with a problem document; what nobody foresaw is left to `app.guard`."""
    for kind in (FractureError, RequestValidationError, HTTPException):
        app.add_exception_handler(kind, _answer)


def documented(*statuses: HTTPStatus) -> dict[int | str, dict[str, Any]]:
    """Describe the problems of a route for its OpenAPI page."""
    schema = {MEDIA_TYPE: {"schema": Problem.model_json_schema()}}
    return {status.value: {"description": status.phrase, "content": schema} for status in statuses}


async def _answer(_: Request, error: Exception) -> JSONResponse:
    if isinstance(error, FractureError):
        return problem(error.status, error.code, str(error))
    if isinstance(error, RequestValidationError):
        return _invalid(error)
    if not isinstance(error, HTTPException):
        raise error
    status = error.status_code
    code = error.code if isinstance(error, RequestRefused) else _CODES.get(status, "refused")
    return problem(status, code, _DETAILS.get(status, error.detail), headers=error.headers)


def _invalid(error: RequestValidationError) -> JSONResponse:
    # What was sent is left out on purpose: FastAPI would quote it, and a file name may hold a patient's.
    errors = [{"loc": list(found["loc"]), "msg": _words(found), "type": found["type"]} for found in error.errors()]
    detail = "; ".join(f"{'.'.join(map(str, found['loc']))}: {found['msg']}" for found in errors)
    return problem(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid_request", detail, errors=errors)


def _words(found: Mapping[str, Any]) -> str:
    return _ONE_FILE if tuple(found["loc"]) == ("body", "file") else str(found["msg"])
