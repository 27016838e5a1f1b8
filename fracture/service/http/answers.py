"""What the service answers, and how predictions become an answer."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, Field

from fracture.clinical.status import Certainty, Said, Status, of_study, said_of
from fracture.core.types import Estimate, OperatingPoint, Prediction
from fracture.models.card import ModelCard
from fracture.predictions.jsonl import detections_json, warnings_for
from fracture.service.http.clinics import Consult
from fracture.service.http.problems import Problem, describe

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
    conf_threshold: float = Field(description="A film in doubt is flagged where its score reaches this one.")
    shown_from: float = Field(description="Boxes from this score on are in the answer.")
    note: str
    measured: Measured | None = Field(description="Null where conf was given: nothing was measured there.")


class Detection(BaseModel):
    """One box. Its type and severity are best guesses by rule, see notes."""

    bbox_xyxy: tuple[float, float, float, float] = Field(description="Pixels of the decoded film, origin top left.")
    confidence: float
    certainty: Certainty | None = Field(
        description="definite at or above the card's specific threshold, suspicious at or above its screening one; at "
        "most suspicious on a film too poor to be read, null on one outside the intended use."
    )
    class_: str = Field(alias="class")
    chance: float | None = Field(
        description="The probability that a film with this as its best box shows a fracture, by the card's calibration "
        "and its share of fractured films; null on a film outside the intended use, and where the card has none."
    )
    fracture_type: str
    severity: str
    notes: str


class FilmScore(BaseModel):
    """How suspicious the film is as a whole, which its status rests on."""

    value: float = Field(description="The raw score, which is no probability.")
    made_by: str = Field(description="What gave it: best box, where the network scores boxes only.")
    chance: float | None = Field(
        description="The probability that the film shows a fracture, by the card's calibration: too high where "
        "fractures are rarer than on the films it was fitted on. Null as for a box."
    )


class Model(BaseModel):
    """Which model answered."""

    id: str
    version: str
    date: str | None = Field(default=None, description="The day its training ended, where its card says.")


class Film(BaseModel):
    """What was found on one film."""

    image_size: ImageSize
    pixel_spacing_mm: tuple[float, float] | None = Field(
        description="(row, column) spacing that the file states: at the detector unless it was calibrated, where the "
        "body is shown larger than it is. Null where the file states none."
    )
    status: Status | None = Field(
        description="By the film's score and the card's two thresholds, whatever mode and conf are. outside where "
        "it is outside the intended use; doubt at most where its greys cannot be read; doubt instead of no fracture "
        "where part of it is missing; null where the card lacks a threshold."
    )
    fracture_detected: bool = Field(
        description="Whether the film is flagged: true for a fracture, false for no fracture and outside; in doubt, "
        "whether its score reaches the mode's threshold. False does not rule a fracture out."
    )
    num_detections: int
    detections: list[Detection] = Field(
        description="The boxes from shown_from on, best first, and the one that the status rests on wherever it is."
    )
    deciding_box: int | None = Field(
        description="Place among the detections of the box that the status rests on; null where none does."
    )
    film_score: FilmScore
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
        description="That of the film which shows most; doubt instead of no fracture where a film is refused, "
        "cut, too poor to be read or outside the intended use; outside where all films that were read are."
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
    feedback: bool = Field(description="Whether corrections are kept, see /feedback.")
    clinics: bool = Field(description="Whether clinics are looked up where lat and lng are given.")


class Kept(BaseModel):
    """A correction that was kept."""

    sha256: str = Field(description="Of the film's file: what the correction is known by.")
    frame: int
    kept_at: str = Field(description="UTC.")


class Forgotten(BaseModel):
    """What was deleted."""

    corrections: int


class CocoImage(BaseModel):
    """A corrected film."""

    id: int
    file_name: str = Field(description="The SHA-256 again: no name of a film is kept.")
    width: int
    height: int
    sha256: str
    frame: int
    fractured: bool | None = Field(description="Null where the reader could not tell.")
    model: str = Field(description="Which model's boxes were corrected.")
    kept_at: str
    corrections: int = Field(description="How often this film was corrected; the last one counts.")


class CocoAnnotation(BaseModel):
    """A box in pixels of the decoded film."""

    id: int
    image_id: int
    category_id: int
    bbox: tuple[float, float, float, float] = Field(description="x, y, width, height.")
    area: float
    iscrowd: int


class CocoCategory(BaseModel):
    """What a box marks."""

    id: int
    name: str


class Coco(BaseModel):
    """The last correction of every film, as a COCO dataset (cocodataset.org, Data format)."""

    info: dict[str, str]
    images: list[CocoImage]
    annotations: list[CocoAnnotation]
    categories: list[CocoCategory]


def model(card: ModelCard) -> Model:
    """Name a card's model."""
    return Model(id=card.model_id, version=card.version, date=card.date)


def measured_mode(
    point: OperatingPoint, shown_from: float | None = None, card: ModelCard | None = None
) -> OperatingMode:
    """Describe an operating point, first by its rates on test. Boxes are shown from it, or from ``shown_from`` on."""
    on_test = None if card is None else card.on_test(point)
    note = f"{_in_words(*on_test)}; " if on_test else ""
    note += f"threshold chosen on {point.measured_on}: {point.rule}"
    if not point.reached:
        note += "; this target was NOT reached"
    measured = Measured(
        measured_on=point.measured_on,
        rule=point.rule,
        reached=point.reached,
        sensitivity=_rate(point.sensitivity),
        specificity=_rate(point.specificity),
    )
    shown_from = point.threshold if shown_from is None else shown_from
    return OperatingMode(
        mode=point.name, conf_threshold=point.threshold, shown_from=shown_from, note=note, measured=measured
    )


def _in_words(films: str, sensitivity: Estimate, specificity: Estimate) -> str:
    """Say what a mode does on test, of a hundred films."""
    found, spared = sensitivity.value, specificity.value
    rates = [
        f"of 100 films {kind} a fracture it flagged {round(100 * share)}"
        for kind, share in (("with", found), ("without", None if spared is None else 1 - spared))
        if share is not None
    ]
    return f"{', '.join(rates) or 'its rates could not be estimated'} ({films})"


def custom_mode(threshold: float) -> OperatingMode:
    """Describe a threshold that the caller named."""
    note = "threshold given by conf: sensitivity and specificity were not measured there"
    return OperatingMode(mode=CUSTOM, conf_threshold=threshold, shown_from=threshold, note=note, measured=None)


@dataclass(frozen=True)
class Seen:
    """A film that was read, and where it came from."""

    source: int
    frame: int
    prediction: Prediction
    spacing_mm: tuple[float, float] | None = None


def answer(
    read: Sequence[Seen], refused: Sequence[RefusedFilm], mode: OperatingMode, card: ModelCard, study_id: str | None
) -> Answer | StudyAnswer:
    """Answer with predictions in a mode: one film as itself, several as a study."""
    said = [said_of(seen.prediction, card.thresholds, mode.conf_threshold, mode.shown_from) for seen in read]
    whole = of_study(said, len(refused))
    study = Study(study_id=study_id, status=whole.status, note=whole.note, films=len(read), refused=len(refused))
    about: dict[str, Any] = {"operating_mode": mode, "study": study, "disclaimer": DISCLAIMER, "model": model(card)}
    answered = [_film(seen, of_it, card) for seen, of_it in zip(read, said, strict=True)]
    if len(answered) == 1 and not refused:
        return Answer(**answered[0], **about)
    films: list[StudyFilm | RefusedFilm] = [
        StudyFilm(**film, source=seen.source, frame=seen.frame) for seen, film in zip(read, answered, strict=True)
    ]
    return StudyAnswer(films=sorted([*films, *refused], key=lambda film: film.source), **about)


def refused_film(error: Exception, source: int) -> RefusedFilm:
    """Put the refusal of one file of a study into the study's answer."""
    return RefusedFilm(**describe(error).model_dump(exclude_none=True), source=source)


def _film(seen: Seen, said: Said, card: ModelCard) -> dict[str, Any]:
    prediction = seen.prediction
    (width, height), score = prediction.film_px, prediction.film_score
    chance, chances = card.chances_of(prediction, said)
    boxes = detections_json(prediction.detections.first(said.shown), prediction.film_px, card.classes)
    return {
        "image_size": ImageSize(width=width, height=height),
        "pixel_spacing_mm": seen.spacing_mm,
        "status": said.status,
        "fracture_detected": said.fracture_detected,
        "num_detections": said.shown,
        "detections": [
            Detection.model_validate(box | {"certainty": certainty, "chance": of_box})
            for box, certainty, of_box in zip(boxes, said.certainty, chances, strict=True)
        ],
        "deciding_box": said.deciding_box,
        "film_score": FilmScore(value=round(score.value, 6), made_by=score.made_by, chance=chance),
        "warnings": warnings_for(prediction.flags),
        "recommendation": said.advice,
    }


def _rate(estimate: Estimate) -> Rate:
    rate = Rate(value=estimate.value, low=estimate.low, high=estimate.high, n=estimate.n)
    if estimate.note:
        rate.note = estimate.note
    return rate
