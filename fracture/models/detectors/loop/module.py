"""A detector's checkpoint as the module that it is of."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fracture.core.errors import BadValue
from fracture.models.loop import checkpoint

if TYPE_CHECKING:
    from fracture.models.detectors.loop.architecture import Architecture


def module(architecture: "Architecture", file: Path) -> tuple[Any, tuple[str, ...]]:
    """Build the module that a checkpoint is of, with its weights, ready to answer; give its classes too."""
    made = checkpoint.load(file, architecture.name)
    classes = tuple(made.labels["classes"])
    net = architecture.build(len(classes))
    net.load_state_dict(made.state)
    return net.eval(), classes


def begin_with_checkpoint(architecture: "Architecture", net: Any, file: Path, classes: Sequence[str]) -> None:
    """Give a network the weights of a checkpoint. Raises BadValue where its classes are others."""
    made = checkpoint.load(file, architecture.name)
    if tuple(made.labels["classes"]) != tuple(classes):
        raise BadValue(f"{file}: expected the classes {tuple(classes)}, got {tuple(made.labels['classes'])}")
    net.load_state_dict(made.state)
