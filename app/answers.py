"""What /detect and /health answer, and how an answer is made of a prediction."""

from pydantic import BaseModel, Field

from app.clinics import Consult
from fracture.models.card import ModelCard
from fracture.outputs.json import detections_json, warnings_for
from fracture.types import Estimate, OperatingPoint, Prediction

DISCLAIMER = (
    "Not a medical device. For research and education only: this is no diagnosis, and no decision about a person's "
    "care may rest on it."
)

CUSTOM = "custom"
"""The mode of a threshold that the caller named."""


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
    class_: str = Field(alias="class")
    fracture_type: str
    severity: str
    notes: str


class Model(BaseModel):
    """Which model answered."""

    id: str
    version: str


class Answer(BaseModel):
    """The answer for one film."""

    image_size: ImageSize
    operating_mode: OperatingMode
    fracture_detected: bool = Field(description="Whether a box reached the threshold. False does not rule one out.")
    num_detections: int
    detections: list[Detection] = Field(description="The boxes at or above the threshold, best first.")
    warnings: list[str]
    recommendation: str
    disclaimer: str
    model: Model
    orthopedic_consult: Consult | None = Field(default=None, description="Only where lat and lng were given.")


class Health(BaseModel):
    """What is running."""

    status: str
    model: Model
    backend: str
    operating_modes: list[str]


def model(card: ModelCard) -> Model:
    """Name a card's model."""
    return Model(id=card.model_id, version=card.version)


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


def answer(prediction: Prediction, mode: OperatingMode, card: ModelCard) -> Answer:
    """Put a prediction into words at a threshold."""
    shown = prediction.detections.above(mode.conf_threshold)
    width, height = prediction.film_px
    return Answer(
        image_size=ImageSize(width=width, height=height),
        operating_mode=mode,
        fracture_detected=len(shown) > 0,
        num_detections=len(shown),
        detections=[Detection.model_validate(box) for box in detections_json(shown, prediction.film_px, card.classes)],
        warnings=warnings_for(prediction.flags),
        recommendation=recommendation(len(shown), prediction.flags),
        disclaimer=DISCLAIMER,
        model=model(card),
    )


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
