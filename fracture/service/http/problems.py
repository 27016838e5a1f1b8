"""Refusals as problem details (RFC 9457): what was wrong, in words and as a stable code; never a trace."""

from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from fracture.core.errors import FractureError

MEDIA_TYPE = "application/problem+json"

_A_FILE = "expected a film as a file in the multipart field 'file'"
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
    errors: list[dict[str, Any]] | None = Field(
        default=None,
        description="One entry per parameter that was wrong, or per file of a study of which none could be read: its "
        "place among the files is the last of loc.",
    )


class RequestRefused(HTTPException):
    """Raise for a request that is refused before its film is looked at.

    An HTTPException, because FastAPI turns anything else raised while a form is read into a 400 without a code.
    """

    errors: list[dict[str, Any]] | None = None

    def __init__(self, status: HTTPStatus, code: str, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status, detail, headers)
        self.code = code


class NothingRead(RequestRefused):
    """Raise for films of which none could be read: the first one's problem, and in ``errors`` the reason of each."""

    def __init__(self, refusals: Sequence[tuple[int, FractureError]]) -> None:
        first = refusals[0][1]
        super().__init__(HTTPStatus(first.status), first.code, str(first))
        self.errors = [
            {"loc": ["body", "file", source], "msg": str(error), "type": error.code} for source, error in refusals
        ]


def problem(status: int, code: str, detail: str) -> JSONResponse:
    """Write a problem document."""
    return _response(_document(status, code, detail))


def install(app: FastAPI, on_refusal: Callable[[str], None]) -> None:
    """Answer every refusal of the app with a problem document, and tell its code to ``on_refusal``.

    Unexpected errors are left to `fracture.service.http.guard`.
    """

    async def answer(_: Request, error: Exception) -> JSONResponse:
        described = describe(error)
        on_refusal(described.code)
        headers = error.headers if isinstance(error, HTTPException) else None
        return _response(described, headers)

    for kind in (FractureError, RequestValidationError, HTTPException):
        app.add_exception_handler(kind, answer)


def describe(error: Exception) -> Problem:
    """Give the problem document of a refusal. Raises an error that is no refusal."""
    if isinstance(error, FractureError):
        return _document(error.status, error.code, str(error))
    if isinstance(error, RequestValidationError):
        return _invalid(error)
    if not isinstance(error, HTTPException):
        raise error
    status = error.status_code
    if isinstance(error, RequestRefused):
        return _document(status, error.code, error.detail, error.errors)
    return _document(status, _CODES.get(status, "refused"), _DETAILS.get(status, error.detail))


def documented(*statuses: HTTPStatus) -> dict[int | str, dict[str, Any]]:
    """Describe the problems of a route for its OpenAPI page."""
    schema = {MEDIA_TYPE: {"schema": Problem.model_json_schema()}}
    return {status.value: {"description": status.phrase, "content": schema} for status in statuses}


def _document(status: int, code: str, detail: str, errors: list[dict[str, Any]] | None = None) -> Problem:
    title = HTTPStatus(status).phrase
    return Problem(type="about:blank", title=title, status=status, detail=detail, code=code, errors=errors)


def _response(described: Problem, headers: Mapping[str, str] | None = None) -> JSONResponse:
    return JSONResponse(described.model_dump(exclude_none=True), described.status, headers, MEDIA_TYPE)


def _invalid(error: RequestValidationError) -> Problem:
    # What was sent is left out on purpose: FastAPI would quote it, and a file name may hold a patient's.
    errors = [{"loc": list(found["loc"]), "msg": _words(found), "type": found["type"]} for found in error.errors()]
    detail = "; ".join(f"{'.'.join(map(str, found['loc']))}: {found['msg']}" for found in errors)
    return _document(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid_request", detail, errors)


def _words(found: Mapping[str, Any]) -> str:
    return _A_FILE if tuple(found["loc"]) == ("body", "file") else str(found["msg"])
