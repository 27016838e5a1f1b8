"""A benchmark as benchmark.json holds it: one typed model, from which docs/data/benchmark.schema.json is made."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from fracture.evaluation.report import schema
from fracture.evaluation.report.model import Count, Difference, Estimate, Part, Share

Positive = Annotated[float, Field(gt=0)]
Text = Annotated[str, Field(min_length=1)]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Machine(Part):
    """What the models were timed on."""

    processor: str
    cores: Annotated[int, Field(ge=1)]


class Made(Part):
    """When, by which code and on which machine the benchmark was made."""

    date: Annotated[str, Field(json_schema_extra={"format": "date"})]
    version: str
    code_id: Annotated[str, Field(pattern="^[0-9a-f]{24}$")]
    seed: int
    resamples: Annotated[int, Field(ge=1)]
    machine: Machine


class Data(Part):
    """The films that all models were given."""

    name: str
    dataset_id: str
    split: str
    films: Annotated[Count, Field(description="Labelled films of the split.")]


class Began(Part):
    """Where a model's weights began and what its training was given, as its card says; null where it does not."""

    arch: str
    network: Annotated[str | None, Field(description="The network's name in its architecture.")]
    start: Annotated[str | None, Field(description="The weights it began with, by their file's name.")]
    averaged: Annotated[list[str], Field(description="The runs whose weights were averaged, if any.")]
    long_side_px: Annotated[int, Field(ge=1)]
    members: Annotated[int, Field(ge=1)]
    epochs: Annotated[Count | None, Field(description="Epochs that were asked for.")]
    epochs_run: Annotated[float | None, Field(description="Epochs that were run.")]
    hours: Annotated[float | None, Field(description="The limit in hours that the training was given.")]
    films_per_step: Count | None
    train_films: Annotated[Count | None, Field(description="Films it learned from, by the bundle's list.")]
    dataset_id: Annotated[str | None, Field(description="The dataset it learned from.")]
    finished: str | None


class At(Part):
    """Films at an operating point of the model, whose threshold was chosen on its val films."""

    threshold: Share
    reached: bool
    sensitivity: Estimate
    specificity: Estimate


class Skill(Part):
    """How good a model is on the films that it read."""

    films: Count
    fractured: Count
    groups: Count
    ap50: Estimate
    ap50_95: Estimate
    ap10: Estimate
    ap_centre: Estimate
    film_auc: Estimate
    at: dict[str, At]


class Against(Part):
    """A model beside the first one, on the films that both read; every difference is this model's less the first's."""

    films: Count
    rows: list[Difference]


class Speed(Part):
    """How fast a model reads the timed films, from a film's bytes to its boxes, in turns with the others."""

    films: Annotated[int, Field(ge=1)]
    p50_ms: Annotated[Positive, Field(description="Milliseconds for a film that is read alone: the median.")]
    p90_ms: Positive
    films_per_s: Annotated[Positive, Field(description="Films a second where a film is read on every core at once.")]
    p50_over_first: Annotated[Positive, Field(description="The median of this model's time over the first's, by film.")]
    films_per_s_over_first: Positive


class Cost(Part):
    """What a model takes besides time."""

    peak_mb: Annotated[
        Positive | None,
        Field(description="Most memory of a process that holds the model alone and reads the timed films; Linux only."),
    ]
    file_bytes: Annotated[int, Field(ge=1)]
    parameters: Annotated[
        Count | None, Field(description="Numbers that the network's file stores; null where they are not counted.")
    ]


class Entry(Part):
    """One model of the benchmark."""

    name: Text
    model_id: str
    version: str
    files: Annotated[dict[str, Sha256], Field(description="The bundle's files by their SHA-256.")]
    backend: str
    began: Began
    skill: Skill
    refused: Annotated[dict[str, str], Field(description="Films that it could not read, with the reason.")]
    left_out: Annotated[Count, Field(description="Labelled films in none of its figures: refused ones, and copies.")]
    made_with: Annotated[Count, Field(description="Films that it was trained or chosen on: with any, it is no test.")]
    warnings: list[str]
    against_first: Against | None
    speed: Speed | None
    cost: Cost


class Benchmark(Part):
    """Several models judged alike on the same films; the first is the one that the others are compared with."""

    schema_: Annotated[Literal[1], Field(alias="schema")]
    made: Made
    data: Data
    models: Annotated[list[Entry], Field(min_length=1)]


def content() -> str:
    """Give what the model says as a JSON schema: the text of docs/data/benchmark.schema.json."""
    return schema.content(Benchmark)


def check(found: Mapping[str, Any]) -> Benchmark:
    """Give a benchmark as the model has it. Raises BadValue that names a place where it differs."""
    return schema.checked(found, Benchmark, "benchmark")
