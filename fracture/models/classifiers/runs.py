"""The folder of a classifier's run."""

import json
from pathlib import Path

from fracture.core.errors import MissingData
from fracture.models.classifiers.config import ClassifierConfig
from fracture.models.runs import CONFIG


def run_config(run: Path) -> ClassifierConfig:
    """Give the configuration a run was started with. Raises MissingData where the folder is no classifier's run."""
    content = json.loads((run / CONFIG).read_text(encoding="utf-8")) if (run / CONFIG).is_file() else {}
    if content.get("task") != ClassifierConfig.task:
        raise MissingData(f"{run} is no run of a film classifier")
    return ClassifierConfig(**content)
