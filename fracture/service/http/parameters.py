"""The parameters of requests, in the query or as fields of the form: the same names, checked alike, and no others."""

from collections.abc import Iterable
from typing import Annotated, Any, Literal, Self, TypeVar

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import AfterValidator, BaseModel, Field, FiniteFloat, ValidationError, model_validator

from fracture.clinical.status import DEFAULT_MODE
from fracture.service.feedback import Truth

JSON, PNG = "application/json", "image/png"
STUDY_ID = "^[A-Za-z0-9._-]{1,64}$"
MOST_BOXES = 100
MOST_FRAMES = 10_000


class Detect(BaseModel, extra="forbid"):
    """The parameters of /detect."""

    mode: str | None = Field(
        default=None,
        description=f"An operating point of the model's card, as /health lists them; {DEFAULT_MODE} unless said.",
    )
    conf: float | None = Field(
        default=None,
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="Boxes from this score on are in the answer. Without mode, it flags films in doubt as well.",
    )
    lat: float | None = Field(
        default=None,
        ge=-90,
        le=90,
        allow_inf_nan=False,
        description="With lng: list clinics there. A provider of maps is told the place to about 1 km.",
    )
    lng: float | None = Field(default=None, ge=-180, le=180, allow_inf_nan=False)
    format: Literal["json", "png"] | None = Field(
        default=None, description="png, or Accept: image/png, gives one film with its boxes drawn."
    )


class Study(Detect):
    """The parameters of /detect in a form. The study's name is one of them only here, since addresses are logged."""

    study_id: str | None = Field(default=None, pattern=STUDY_ID)


class Render(BaseModel, extra="forbid"):
    """The parameters of /render."""

    frame: int = Field(default=0, ge=0, le=MOST_FRAMES, description="Which frame of a file with several, from 0.")


def _has_extent(box: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    x0, y0, x1, y1 = box
    if not (x0 >= 0 and y0 >= 0 and x1 - x0 >= 1 and y1 - y0 >= 1):
        raise ValueError("expected a box of a pixel or more each way, none of its edges below 0")
    return box


_Box = Annotated[tuple[FiniteFloat, FiniteFloat, FiniteFloat, FiniteFloat], AfterValidator(_has_extent)]


class Correction(BaseModel, extra="forbid", strict=True):
    """What a reader says of a film. Boxes are xyxy in pixels of the decoded film, as in the answer of /detect."""

    truth: Truth = Field(description="What is true of the film, whatever was found.")
    boxes: list[_Box] = Field(
        default=[],
        max_length=MOST_BOXES,
        description="All fractures: the model's boxes that are right, and those that the reader drew.",
    )
    wrong: list[_Box] = Field(default=[], max_length=MOST_BOXES, description="The model's boxes that mark no fracture.")
    frame: int = Field(default=0, ge=0, le=MOST_FRAMES, description="Which frame of a file with several, from 0.")

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if self.boxes and self.truth != "fracture":
            raise ValueError(f"expected no boxes of fractures where the truth is {self.truth}, got {len(self.boxes)}")
        if self.wrong and self.truth == "cannot tell":
            raise ValueError(f"expected no wrong boxes where nobody can tell, got {len(self.wrong)}")
        if both := [box for box in self.boxes if box in self.wrong]:
            raise ValueError(f"expected every box to be right or wrong, got {both[0]} as both")
        return self


Parameters = TypeVar("Parameters", bound=BaseModel)


def merged(known: type[Parameters], request: Request, fields: Iterable[tuple[str, str]]) -> Parameters:
    """Merge the parameters of query and form. A known field that is empty, as a browser sends it, counts as absent.

    Raises RequestValidationError for a field that is not known or not valid, and for a name with two values.
    """
    given = [("query", name, text) for name, text in request.query_params.multi_items()]
    given += [("body", name, text) for name, text in fields if text or name not in known.model_fields]
    values: dict[str, object] = {}
    for where, name, text in given:
        try:
            value = getattr(known.model_validate({name: text}), name)
        except ValidationError as refused:
            problems: list[Any] = [*refused.errors(include_url=False)]
            raise RequestValidationError([one | {"loc": (where, *one["loc"])} for one in problems]) from None
        if values.setdefault(name, value) != value:
            message = "expected one value, got two that differ"  # not quoted: it may tell where somebody is
            raise RequestValidationError([{"loc": (where, name), "type": "contradiction", "msg": message}])
    return known.model_validate(values)


def prefers_png(accept: str) -> bool:
    """Tell whether a client would rather have a picture than JSON, by the weights of its Accept header.

    It is JSON where both weigh the same and where neither is wanted, as RFC 9110, 12.5.1 allows.
    """
    ranges = [_range(entry) for entry in accept.lower().split(",")]

    def weight(kind: str) -> float:
        # The most specific range that fits counts, not the one that weighs most.
        whole = kind.partition("/")[0] + "/*"
        for name in (kind, whole, "*/*"):
            found = [q for listed, q in ranges if listed == name]
            if found:
                return max(found)
        return 0.0

    return weight(PNG) > weight(JSON)


def _range(entry: str) -> tuple[str, float]:
    """Split a range of an Accept header into its name and weight; a weight that is no number counts as 0."""
    name, *parameters = (part.strip() for part in entry.split(";"))
    for parameter in parameters:
        key, _, value = parameter.partition("=")
        if key.strip() == "q":
            text = value.strip()
            plain = text.replace(".", "", 1).isdecimal() and text.isascii()
            return name, float(text) if plain and float(text) <= 1 else 0.0
    return name, 1.0
