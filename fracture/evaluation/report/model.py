"""A report as report.json holds it: one typed model, from which report.schema.json is made.

The order of the fields is that of the keys in the file. What a report of an earlier version lacks has a default.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from fracture.core import types
from fracture.predictions import Format

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]
Numbers = list[float]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Part(BaseModel):
    """A part of a report: nothing is converted, and a key that is not named here is refused."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Estimate(Part):
    """A measured figure with its 95 % interval, and how many cases and groups are behind it."""

    value: float | None
    low: float | None
    high: float | None
    n: Count
    n_groups: Count
    method: Annotated[str, Field(min_length=1)]
    note: str

    @property
    def few(self) -> str:
        """Say that few cases, or few groups of them, are behind the figure; "" where there are enough."""
        return types.Estimate(**self.model_dump()).few


class Rates(Part):
    """Of the fractured, how many are flagged; of the normal, how many are not."""

    sensitivity: Estimate
    specificity: Estimate


class Made(Part):
    """When and by which code the report was made."""

    date: Annotated[str, Field(json_schema_extra={"format": "date"})]
    version: str
    code_id: Annotated[str, Field(pattern="^[0-9a-f]{24}$")]
    seed: int
    resamples: Annotated[int, Field(ge=1)]


class Predictions(Part):
    """The file of predictions that every figure comes from."""

    file: str
    sha256: Sha256
    format: Format
    source_sha256: str | None


class Model(Part):
    """What made the predictions."""

    id: str
    version: str | None
    files: dict[str, str]
    harmonise_id: str | None
    backend: str | None
    predictions: Predictions
    outside_scope: Annotated[Estimate | None, Field(description="Films unlike its own; null where unknown.")] = None
    film_score: Annotated[str, Field(description="What gave the films their scores.")] = types.BEST_BOX


class Data(Part):
    """The films that the figures are made of, counted."""

    name: str
    dataset_id: str
    split: str
    films: Count
    fractured: Count
    normal: Count
    groups: Count
    patients: int | None
    studies: int | None
    boxes: Count
    boxed_films: Count
    median_box_share: Share | None


class Copies(Part):
    """Films of the split that are, under other names, films the model was made with: image_id -> its own name of it."""

    known_films: Count
    known_by_pixels: Count
    left_out: dict[str, str]


class Point(Part):
    """A threshold on the film's score, and what was measured where it was chosen."""

    name: Annotated[str, Field(min_length=1)]
    threshold: Share
    rule: str
    sensitivity: Estimate
    specificity: Estimate
    measured_on: str
    reached: bool


class BoxAt(Part):
    """Boxes at an operating point."""

    threshold: Share
    precision: Estimate
    recall: Estimate
    precision_centre: Estimate
    recall_centre: Estimate
    false_positives_per_film: Estimate


class PrecisionRecall(Part):
    """A curve of precision against recall."""

    recall: Numbers
    precision: Numbers


class FrocCurve(Part):
    """A curve of boxes found against false boxes per film."""

    false_positives_per_film: Numbers
    sensitivity: Numbers


class Froc(Part):
    """Boxes found at some rates of false boxes per film."""

    at: Annotated[dict[str, Estimate], Field(min_length=5)]
    curve: FrocCurve


class AfrocCurve(Part):
    """A curve of boxes found against normal films with a false box."""

    false_positive_fraction: Numbers
    sensitivity: Numbers


class Afroc(Part):
    """The area under boxes found against normal films with a false box."""

    area: Estimate
    curve: AfrocCurve


class Box(Part):
    """Figures of boxes."""

    ap50: Estimate
    ap50_95: Estimate
    ap10: Estimate
    ap_centre: Estimate
    at: dict[str, BoxAt]
    froc: Froc
    afroc: Afroc
    pr: PrecisionRecall


class Counts(Part):
    """Films by truth and by whether they were flagged."""

    true_positive: Count
    false_positive: Count
    true_negative: Count
    false_negative: Count


class PredictiveValues(Part):
    """What a flag, or none, says where fractures are as common as named."""

    ppv: Estimate
    npv: Estimate


class FilmAt(Part):
    """Films at an operating point."""

    threshold: Share
    counts: Counts
    sensitivity: Estimate
    specificity: Estimate
    ppv: Estimate
    npv: Estimate
    accuracy: Estimate
    f1: Estimate
    at_prevalence: dict[str, PredictiveValues]


class RocCurve(Part):
    """A curve of fractured films flagged against normal films flagged."""

    false_positive_rate: Numbers
    sensitivity: Numbers


class Scores(Part):
    """A histogram of the films' scores."""

    edges: Numbers
    fractured: list[Count]
    normal: list[Count]


class StatusRow(Part):
    """Films or cases of one status, and their shares of the fractured and of the normal ones."""

    fractured: Count
    share_of_fractured: Estimate | None = None
    normal: Count
    share_of_normal: Estimate | None = None


class Film(Part):
    """Figures of whole films."""

    auc: Estimate
    auc_bootstrap: Estimate
    average_precision: Estimate
    at: dict[str, FilmAt]
    roc: RocCurve
    pr: PrecisionRecall
    scores: Scores
    status: Annotated[
        dict[str, StatusRow] | None,
        Field(description="Films by what the service says of them, refused ones too; null without thresholds."),
    ] = None
    flagged: Annotated[
        dict[str, Rates] | None,
        Field(description="Films flagged as the service flags them (fracture_detected), of those that were read."),
    ] = None


class StatusRates(Part):
    """A rate where only definite findings count, and where suspicious ones do too."""

    definite: Estimate
    suspicious: Estimate


class Cases(Part):
    """Figures of whole studies or patients."""

    unit: Literal["study", "patient"]
    rule: str
    cases: Count
    fractured: Count
    left_out: Count
    auc: Estimate
    auc_noisy_or: Estimate | None
    status: dict[str, StatusRow]
    sensitivity: StatusRates | None
    specificity: StatusRates | None


class ReliabilityCurve(Part):
    """Bins of scores: their mean, and the share of fractured films."""

    mean_score: Numbers
    share: list[Estimate]


class Reliability(Part):
    """How far scores are from shares."""

    ece: Estimate
    brier: Estimate
    curve: ReliabilityCurve


class Calibration(Part):
    """What a score means as a probability."""

    temperature: Annotated[float, Field(gt=0)] | None
    shift: float | None
    fitted_on: str | None
    raw: Reliability
    calibrated: Reliability | None


class Slice(Part):
    """Figures of a part of the films."""

    films: Count
    fractured: Count
    normal: Count
    auc: Estimate
    ap50: Estimate
    at: dict[str, Rates]


class Scored(Part):
    """A film and its score."""

    image_id: str
    score: Share


class Worst(Part):
    """The films to look at first."""

    point: str
    missed: list[Scored]
    false_alarms: list[Scored]


class Check(BaseModel):
    """A row of a table of checks, whose columns are whatever the check measured."""

    model_config = ConfigDict(strict=True, extra="allow", frozen=True)
    __pydantic_extra__: dict[str, Estimate | Count | str | dict[str, int] | None]

    name: str


class Probe(Check):
    """What a linear probe can tell from a film."""

    films: Count = 0
    positives: Count = 0
    auc: Estimate


class Confounders(BaseModel):
    """What the model could be using instead of the fracture."""

    model_config = ConfigDict(strict=True, extra="allow", frozen=True)

    findings: list[str]
    masking: list[Check]
    synthetic: list[Check] = []
    probes: list[Probe]
    looks: Annotated[Estimate | None, Field(description="AUC of the label by greys, sharpness and shape.")] = None


class Difference(Part):
    """A figure of this report beside another's."""

    name: str
    this: Estimate
    other: Estimate
    difference: Estimate
    p: Share | None
    test: str


class Other(Part):
    """The report beside this one."""

    model: Model
    data: Data


class Comparison(Part):
    """This report beside another: two models on the same films, or one model on two sets of films."""

    paired: bool
    films: int | None
    rows: list[Difference]
    other: Other


class Report(Part):
    """Evaluation report of a fracture detector on one split."""

    schema_: Annotated[Literal[1], Field(alias="schema")]
    made: Made
    model: Model
    data: Data
    left_out: dict[str, str]
    model_was_made_with: list[str]
    copies: Copies | None = None
    points: list[Point]
    box: Box
    film: Film
    study: Cases | None
    patient: Cases | None
    calibration: Calibration
    slices: dict[str, dict[str, Slice]]
    worst: Worst | None
    shortcuts: Confounders | None  # confounders: the key is older than the word, and programs read it
    comparison: Comparison | None
    warnings: list[str]
