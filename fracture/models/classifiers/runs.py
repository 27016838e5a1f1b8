"""The folder of a classifier's run."""

import json
from pathlib import Path
from typing import Any

from fracture.core.errors import MissingData
from fracture.models.classifiers.config import ClassifierConfig
from fracture.models.runs import CONFIG


def is_classifier(run: Path) -> bool:
    """Tell whether a folder is a classifier's run."""
    return _content(run).get("task") == ClassifierConfig.task


def run_config(run: Path) -> ClassifierConfig:
    """Give the configuration a run was started with. Raises MissingData where the folder is no classifier's run."""
    if not is_classifier(run):
        raise MissingData(f"{run} is no run of a film classifier")
    return ClassifierConfig(**_content(run))


def _content(run: Path) -> dict[str, Any]:
    file = run / CONFIG
    return dict(json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else {}
