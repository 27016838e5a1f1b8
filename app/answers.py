"""What the service answers, and how an answer is made of predictions."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, Field

from app.clinics import Consult
from app.problems import Problem, describe
from fracture.metrics.study import Status, status
from fracture.models.card import ModelCard
from fracture.models.scope import FLAG
from fracture.outputs.json import detections_json, warnings_for
from fracture.render import Marks
from fracture.types import Estimate, OperatingPoint, Prediction

DISCLAIMER = (
    "Not a medical device. For research and education only: this is no diagnosis, and no decision about a person's "
    "care may rest on it."
)

CUSTOM = "custom"
"""The mode of a threshold that the caller named."""

_IN_DOUBT = {"truncated": "cut short", FLAG: "outside the intended use"}
"""What keeps a film without a box from being called one without a fracture, by flag."""

_CERTAINTY: dict[Status, Literal["definite", "suspicious"] | None] = {
    Status.FRACTURE: "definite",
    Status.DOUBT: "suspicious",
    Status.NO_FRACTURE: None,
}


class ImageSize(BaseModel):
    """The size of the decoded film in pixels, the frame of every box."""

    width: int
    height: int


class Rate(BaseModel):
    """A measured rate with its 95 % interval and the number of films behind it; null where it cannot be estimated."""

    value: float | None
    low: float | None
    high: float | None
    n: int
    note: str = Field(default="", description="Only where there is something to say, as why there is no value.")


class Measured(BaseModel):
    """What the model card says about a threshold, film by film."""

    measured_on: str
    rule: str
    reached: bool
    sensitivity: Rate
    specificity: Rate


class OperatingMode(BaseModel):
    """The threshold used, and what is known about it."""

    mode: str
    conf_threshold: float
    note: str
    measured: Measured | None = Field(description="Null where conf was given: nothing was measured there.")


class Detection(BaseModel):
    """One box. Its type and severity are best guesses by rule, see notes."""

    bbox_xyxy: tuple[float, float, float, float] = Field(description="Pixels of the decoded film, origin top left.")
    confidence: float
    certainty: Literal["definite", "suspicious"] | None = Field(
        description="definite at or above the card's specific threshold, suspicious at or above its screening one."
    )
    class_: str = Field(alias="class")
    fracture_type: str
    severity: str
    notes: str


class Model(BaseModel):
    """Which model answered."""

    id: str
    version: str
    date: str | None = Field(default=None, description="The day its training ended, where its card says.")


class Film(BaseModel):
    """What was found on one film."""

    image_size: ImageSize
    status: Status | None = Field(
        description="By the film's best box and the card's two thresholds, whatever the mode; doubt instead of no "
        "fracture where part of the film is missing or it is outside the intended use; null where the card lacks a "
        "threshold."
    )
    fracture_detected: bool = Field(description="Whether a box reached the threshold. False does not rule one out.")
    num_detections: int
    detections: list[Detection] = Field(description="The boxes at or above the threshold, best first.")
    warnings: list[str]
    recommendation: str


class StudyFilm(Film):
    """One film of a study: which uploaded file it came in, and which frame of that file it is, both from 0."""

    source: int
    frame: int


class RefusedFilm(Problem):
    """A file of a study that could not be read, as a problem document. The other films were read all the same."""

    source: int


class Study(BaseModel):
    """All films of a request together."""

    study_id: str | None
    status: Status | None = Field(
        description="That of the film which shows most; doubt instead of no fracture where a film is missing, "
        "cut or outside the intended use."
    )
    note: str
    films: int = Field(description="Films read.")
    refused: int = Field(description="Files that could not be read.")


class _Whole(BaseModel):
    operating_mode: OperatingMode
    study: Study
    disclaimer: str
    model: Model
    orthopedic_consult: Consult | None = Field(default=None, description="Only where lat and lng were given.")


class Answer(_Whole, Film):
    """The answer for one film."""


class StudyAnswer(_Whole):
    """The answer for several films, in the order they were sent."""

    films: list[StudyFilm | RefusedFilm]


class Health(BaseModel):
    """What is running."""

    status: str
    model: Model
    backend: str
    operating_modes: list[str]


def model(card: ModelCard) -> Model:
    """Name a card's model."""
    return Model(id=card.model_id, version=card.version, date=card.date)


def measured_mode(point: OperatingPoint) -> OperatingMode:
    """Describe an operating point of the card."""
    note = f"threshold chosen on {point.measured_on}: {point.rule}"
    if not point.reached:
        note += "; this target was NOT reached"
    measured = Measured(
        measured_on=point.measured_on,
        rule=point.rule,
        reached=point.reached,
        sensitivity=_rate(point.sensitivity),
        specificity=_rate(point.specificity),
    )
    return OperatingMode(mode=point.name, conf_threshold=point.threshold, note=note, measured=measured)


def custom_mode(threshold: float) -> OperatingMode:
    """Describe a threshold that the caller named."""
    note = "threshold given by conf: sensitivity and specificity were not measured there"
    return OperatingMode(mode=CUSTOM, conf_threshold=threshold, note=note, measured=None)


@dataclass(frozen=True)
class Seen:
    """A film that was read, and where it came from."""

    source: int
    frame: int
    prediction: Prediction


def answer(
    read: Sequence[Seen], refused: Sequence[RefusedFilm], mode: OperatingMode, card: ModelCard, study_id: str | None
) -> Answer | StudyAnswer:
    """Put predictions into words at a threshold: one film as itself, several as a study."""
    study = _study(read, refused, card, study_id)
    about: dict[str, Any] = {"operating_mode": mode, "study": study, "disclaimer": DISCLAIMER, "model": model(card)}
    if len(read) == 1 and not refused:
        return Answer(**_film(read[0].prediction, mode, card), **about)
    films: list[StudyFilm | RefusedFilm] = [
        StudyFilm(**_film(seen.prediction, mode, card), source=seen.source, frame=seen.frame) for seen in read
    ]
    return StudyAnswer(films=sorted([*films, *refused], key=lambda film: film.source), **about)


def refused_film(error: Exception, source: int) -> RefusedFilm:
    """Put the refusal of one file of a study into the study's answer."""
    return RefusedFilm(**describe(error).model_dump(exclude_none=True), source=source)


def status_of(prediction: Prediction, card: ModelCard) -> Status | None:
    """Say of a film what its best box says; of one that is cut short or of another kind, never that there is none."""
    said = _by_best_box(prediction, card)
    return Status.DOUBT if said is Status.NO_FRACTURE and prediction.flags & _IN_DOUBT.keys() else said


def marks_of(card: ModelCard) -> Marks | None:
    """Give the scores from which a box is suspicious and definite; None for a card that was not measured at both."""
    points = {point.name: point.threshold for point in card.operating_points}
    if not {"screening", "specific"} <= points.keys():
        return None
    return Marks(dashed=points["screening"], solid=points["specific"])


def _by_best_box(prediction: Prediction, card: ModelCard) -> Status | None:
    marks = marks_of(card)
    return None if marks is None else status(prediction.detections.film_score, marks.dashed, marks.solid)


def _film(prediction: Prediction, mode: OperatingMode, card: ModelCard) -> dict[str, Any]:
    shown = prediction.detections.above(mode.conf_threshold)
    width, height = prediction.film_px
    boxes = detections_json(shown, prediction.film_px, card.classes)
    marks = marks_of(card)
    for box, score in zip(boxes, shown.score.tolist(), strict=True):
        box["certainty"] = None if marks is None else _CERTAINTY[status(score, marks.dashed, marks.solid)]
    return {
        "image_size": ImageSize(width=width, height=height),
        "status": status_of(prediction, card),
        "fracture_detected": len(shown) > 0,
        "num_detections": len(shown),
        "detections": [Detection.model_validate(box) for box in boxes],
        "warnings": warnings_for(prediction.flags),
        "recommendation": recommendation(len(shown), prediction.flags),
    }


def _study(read: Sequence[Seen], refused: Sequence[RefusedFilm], card: ModelCard, study_id: str | None) -> Study:
    said = [_by_best_box(seen.prediction, card) for seen in read]
    several = len(said) > 1
    a_box = f"a box on at least one of {len(said)} films" if several else "a box"
    wrong = {what: sum(flag in seen.prediction.flags for seen in read) for flag, what in _IN_DOUBT.items()}
    found: Status | None = next((kind for kind in Status if kind in said), None)
    if found is None:
        note = "this model was not measured at both thresholds that a status needs"
    elif found is Status.FRACTURE:
        note = f"{a_box} reaches the high-specificity threshold"
    elif found is Status.DOUBT:
        note = f"{a_box} reaches the high-sensitivity threshold, none the high-specificity one"
    else:
        on_any = f" on any of {len(said)} films" if several else ""
        note = f"no box{on_any} reaches a threshold; this does not rule out a fracture"
        if refused or any(wrong.values()):
            found = Status.DOUBT
            note += "; in doubt all the same"
            wrong = {"not read": len(refused)} | wrong
    note += "".join(f"; {n} {'film' if n == 1 else 'films'} {what}" for what, n in wrong.items() if n)
    return Study(study_id=study_id, status=found, note=note, films=len(read), refused=len(refused))


def recommendation(found: int, flags: frozenset[str]) -> str:
    """Say what to make of it. Nothing found never reads as nothing there, least of all where film is missing."""
    if found:
        places = "1 place" if found == 1 else f"{found} places"
        advice = (
            f"A fracture is suspected in {places}. Boxes can be wrong, and others missed: have a doctor read the film."
        )
    else:
        advice = (
            "No box reached the threshold. This does not rule out a fracture: where pain, swelling or an injury "
            "speaks for one, have a doctor read the film."
        )
    if FLAG in flags:
        advice = "This film is outside what the model is meant for: take nothing from what it says of it. " + advice
    if "truncated" in flags:
        advice = (
            "Part of the film is missing, so the absence of a fracture cannot be concluded: send the whole film. "
            + advice
        )
    return advice


def _rate(estimate: Estimate) -> Rate:
    rate = Rate(value=estimate.value, low=estimate.low, high=estimate.high, n=estimate.n)
    if estimate.note:
        rate.note = estimate.note
    return rate
