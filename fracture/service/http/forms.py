"""The multipart form of an upload, read in memory: no film touches a disk, whatever its size."""

from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from fracture.service.http.parameters import STUDY_ID, Correction, Detect, Render
from fracture.service.http.problems import RequestRefused
from fracture.service.http.settings import BYTES_PER_MB

MOST_FIELDS = 8

_FILE = {"type": "string", "format": "binary"}


def _body(**fields: dict[str, Any]) -> dict[str, Any]:
    form = {
        "schema": {"type": "object", "required": ["file"], "properties": fields},
        "encoding": {"file": {"contentType": "image/png, image/jpeg, image/tiff, application/dicom"}},
    }
    return {"requestBody": {"required": True, "content": {"multipart/form-data": form}}}


# The body for OpenAPI. FastAPI cannot describe it, since it does not read the form: it would put films on disk.
FILM = _body(
    file=_FILE | {"description": "A film (PNG, JPEG, TIFF, DICOM). Its name is not used."},
    **Render.model_json_schema()["properties"],
)
FILMS = _body(
    file={
        "type": "array",
        "items": _FILE,
        "minItems": 1,
        "description": "Films (PNG, JPEG, TIFF, DICOM); several are one study. Names are not used.",
    },
    study_id={  # without a type: in a form, a number is text like any other
        "pattern": f"{STUDY_ID}|^$",
        "description": "Your name for the study, if any; it comes back in the answer and goes nowhere else",
    },
    **Detect.model_json_schema()["properties"],
)
CORRECTION = _body(
    file=_FILE | {"description": "The film that is corrected. It is read again and not kept; its SHA-256 is."},
    correction={
        "type": "string",
        "contentMediaType": "application/json",
        "contentSchema": Correction.model_json_schema(),
        "description": "What a reader says of it, as JSON.",
    },
)
CORRECTION["requestBody"]["content"]["multipart/form-data"]["schema"]["required"].append("correction")


@dataclass(frozen=True)
class Form:
    """What was uploaded: files in order, and the other fields as they came."""

    files: list[bytes]
    fields: tuple[tuple[str, str], ...] = ()


class _InMemory(MultiPartParser):
    spool_max_size = 1 << 62  # the size from which a SpooledTemporaryFile goes to disk: never
    ended = False

    def on_end(self) -> None:
        self.ended = True


def too_large(most_bytes: int) -> RequestRefused:
    """Refuse an upload for its size."""
    detail = f"expected films of at most {most_bytes / BYTES_PER_MB:g} MB together"
    return RequestRefused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "upload_too_large", detail)


def too_many(most_files: int) -> RequestRefused:
    """Refuse a study for the number of its films."""
    detail = f"expected at most {most_files} files in one study, each frame counted as one"
    return RequestRefused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too_many_files", detail)


async def read(request: Request, most_files: int, most_bytes: int) -> Form:
    """Read the form. Raises RequestRefused, or RequestValidationError where a field is not what it should be."""
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise _wrong("file", "missing", "Field required")
    parser = _InMemory(request.headers, request.stream(), max_files=most_files, max_fields=MOST_FIELDS)
    unread = "the multipart form cannot be read"
    try:
        form = await parser.parse()
    except (MultiPartException, UnicodeError) as error:  # UnicodeError: charsets that decode nothing
        if isinstance(error, MultiPartException) and error.message.startswith("Too many files"):
            raise too_many(most_files) from None
        if isinstance(error, MultiPartException) and error.message.startswith("Too many fields"):
            unread = f"expected a form of at most {MOST_FIELDS} fields besides its films"
        raise _bad(unread) from None
    if not parser.ended:  # the parser silently drops a part that is cut short
        await form.close()
        raise _bad("the multipart form ends before its last boundary")
    try:
        upload = await _form(form.multi_items())
    finally:
        await form.close()
    if sum(map(len, upload.files)) > most_bytes:
        raise too_large(most_bytes)
    return upload


async def _form(items: list[tuple[str, UploadFile | str]]) -> Form:
    files: list[bytes] = []
    others = False
    fields = []
    for name, value in items:
        if not isinstance(value, UploadFile):
            fields.append((name, value))
        elif name == "file":
            files.append(await value.read())
        else:
            others = True
    if not files:
        raise _wrong("file", "missing", "Field required")
    if others:
        detail = "expected films in the multipart field 'file' alone, got files in other fields too"
        raise RequestRefused(HTTPStatus.UNPROCESSABLE_ENTITY, "unexpected_file", detail)
    return Form(files, tuple(fields))


def _bad(detail: str) -> RequestRefused:
    return RequestRefused(HTTPStatus.BAD_REQUEST, "bad_request", detail)


def _wrong(field: str, kind: str, message: str) -> RequestValidationError:
    return RequestValidationError([{"loc": ("body", field), "type": kind, "msg": message}])
