"""What a report must look like: report.schema.json, for us and for whoever reads reports with a program."""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from fracture.core.errors import BadValue, MissingData

SCHEMA = Path(__file__).with_name("report.schema.json")


@cache
def _validator() -> Any:
    from jsonschema import Draft202012Validator

    return Draft202012Validator(json.loads(SCHEMA.read_text(encoding="utf-8")))


def check(report: Mapping[str, Any]) -> None:
    """Raise BadValue that names a place where a report differs from the schema."""
    from jsonschema.exceptions import best_match

    error = best_match(_validator().iter_errors(report))
    if error is not None:
        place = "/".join(map(str, error.absolute_path)) or "the whole"
        raise BadValue(f"report, {place}: expected what {SCHEMA.name} says, got {error.message[:300]}")


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
