"""How to go on from the shipped model: its weights to begin with, and the recipe that it was made by."""

from dataclasses import fields
from typing import Any

from fracture.core.errors import MissingData
from fracture.models import card as cards
from fracture.models.card import SHIPPED
from fracture.models.detectors.config import Config

NAME = "shipped"
"""What `--start` takes for it."""

_RESTATE = 128
_OWN = {"data", "name", "runs", "device", "hours", "seed", "members", "rounds", "patience", "start"}
"""What belongs to a run and not to a recipe."""


def recipe() -> dict[str, Any]:
    """Give the fields of a `Config` that begins with the shipped weights and goes on as they were made.

    The weights are the exported network's, in whose convolutions the BatchNorm is, so its statistics are restated with
    films of the new run. Raises MissingData where the package ships no model or one of another make.
    """
    card = cards.load(SHIPPED)
    exported = [SHIPPED / name for name in card.files if name.endswith(".onnx")]
    told = card.training.get("config", {})
    if not exported or not str(told.get("model", "")).endswith(".yaml"):
        raise MissingData(f"{SHIPPED}: expected a model whose card names its architecture, to begin a training with")
    known = {field.name for field in fields(Config)} - _OWN
    taken = {name: value for name, value in told.items() if name in known}
    return taken | {"start": str(exported[0]), "restate": _RESTATE, "arch": card.arch}
