"""A report checked against its model, and the model as report.schema.json for programs that read reports."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue

from fracture.core.errors import BadValue, MissingData
from fracture.evaluation.report.model import Report

SCHEMA = Path(__file__).with_name("report.schema.json")
Kind = TypeVar("Kind", bound=BaseModel)


class _Untitled(GenerateJsonSchema):
    """Leave out titles that only say a field's name again."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def content(model: type[BaseModel] = Report) -> str:
    """Give what a model says as a JSON schema: that of a report is the text of report.schema.json."""
    schema: JsonSchemaValue = model.model_json_schema(schema_generator=_Untitled)
    return json.dumps({"$schema": GenerateJsonSchema.schema_dialect, **schema}, indent=1) + "\n"


def check(report: Mapping[str, Any]) -> Report:
    """Give a report as the model has it. Raises BadValue that names a place where it differs."""
    return checked(report, Report, "report")


def checked(found: Mapping[str, Any], model: type[Kind], name: str) -> Kind:
    """Give what ``name``.json holds as its model has it. Raises BadValue that names a place where it differs."""
    try:
        return model.model_validate(found)
    except ValidationError as error:
        wrong = error.errors(include_url=False, include_context=False)[0]
    *around, last = wrong["loc"]
    expected = wrong["msg"].removeprefix("Input should be ")
    if wrong["type"] == "missing":
        place, said = around, f"expected {last!r} there, got none"
    elif wrong["type"] == "extra_forbidden":
        place, said = around, f"expected only what {name}.schema.json names, got {last!r}"
    else:
        place, said = [*around, last], f"expected {expected}, got {str(wrong['input'])[:100]}"
    raise BadValue(f"{name}, {'/'.join(map(str, place)) or 'the whole'}: {said}")


def load(path: Path) -> dict[str, Any]:
    """Read a report.json. Raises MissingData without one, BadValue where it is no report of this version."""
    if not path.is_file():
        raise MissingData(f"no report at {path}")
    try:
        report: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise BadValue(f"{path}: expected JSON, got {error}") from error
    check(report)
    return report
