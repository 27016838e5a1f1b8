"""A report that is not what the schema says is refused by name, and one that is comes back as it was."""

import json
from copy import deepcopy
from pathlib import Path
from typing import get_args

import pytest
from jsonschema import Draft202012Validator

from fracture.core.errors import BadValue, MissingData
from fracture.evaluation.report import schema
from fracture.evaluation.report.model import Predictions
from fracture.predictions import FORMATS, Format

RUNS = sorted((Path(__file__).parents[3] / "docs/runs").glob("*/*.json"))


def test_a_whole_report_passes(report):
    schema.check(report)


def test_the_schema_in_the_repository_is_what_the_model_gives():
    """Where this fails, write ``schema.content()`` to ``schema.SCHEMA``."""
    assert schema.SCHEMA.read_text(encoding="utf-8") == schema.content()


@pytest.mark.parametrize("path", RUNS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_reports_of_models_that_shipped_are_what_model_and_schema_say(path):
    report = json.loads(path.read_text(encoding="utf-8"))
    again = schema.check(report).model_dump(by_alias=True, exclude_unset=True)
    assert json.dumps(again) == json.dumps(report), "the model names other keys, or in another order"
    Draft202012Validator(json.loads(schema.content())).validate(report)


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        (("film", "auc"), {"value": 0.9}, "film/auc"),
        (("film", "auc", "n"), -1, "film/auc/n"),
        (("made", "code_id"), "short", "made/code_id"),
        (("points", 0, "threshold"), 1.5, "points/0/threshold"),
        (("box", "mAP"), 0.5, "box"),
        (("slices", "region", "hand", "ap50"), None, "slices/region/hand/ap50"),
        (("schema",), 2, "schema"),
    ],
)
def test_what_differs_is_named(report, path, value, told):
    broken = deepcopy(report)
    inner = broken
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    with pytest.raises(BadValue, match=f"report, {told}: expected"):
        schema.check(broken)


@pytest.mark.parametrize("key", ["warnings", "comparison", "film", "made"])
def test_nothing_may_be_missing(report, key):
    del report[key]
    with pytest.raises(BadValue, match=f"the whole: expected '{key}' there, got none"):
        schema.check(report)


def test_a_report_is_loaded_as_it_was_saved(report, tmp_path):
    path = tmp_path / "report.json"
    with pytest.raises(MissingData, match="no report"):
        schema.load(path)
    path.write_text(json.dumps(report))
    assert schema.load(path) == report
    path.write_text("{")
    with pytest.raises(BadValue, match="expected JSON"):
        schema.load(path)


def test_a_format_in_the_table_may_stand_in_a_report():
    """One row makes a format: the report's names are the table's."""
    assert Predictions.__annotations__["format"] is Format
    assert get_args(Format) == tuple(FORMATS)
