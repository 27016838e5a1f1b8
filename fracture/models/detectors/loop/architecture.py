"""What a torch module must tell to be trained by the loop of this package, and to be exported."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from fracture.models.detectors.detector import Detector
from fracture.models.detectors.loop import export
from fracture.models.detectors.loop.films import STRIDE
from fracture.models.detectors.loop.train import train
from fracture.models.loop import checkpoint
from fracture.models.loop.trainer import require


@dataclass(frozen=True)
class Architecture:
    """A detector that is a torch module. Films are (N, 3, H, W) float32, 0 to 1; boxes are xyxy in their pixels.

    ``build`` makes the module, its weights at random, for a number of classes. ``losses`` gives the named losses of
    films and their targets, a dict with ``boxes`` (M, 4) and ``labels`` (M,) from 0 for each film. ``candidates`` gives
    the boxes (M, 4) and scores (M, classes) of one film, (1, 3, H, W); M is one number for every size of film:
    an answer is bounded. Both are called with the module first. ``heavy`` names the parts of the module
    that may be computed in bfloat16: those that hold no coordinates. ``stage`` is the output in the exported network
    that describes a film; None: it knows no scope. ``film_stage`` is the one that a film head looks at, if any.

    ``weights`` are the names that ``--start`` takes beside files, and where they are had. A file's name ends with the
    first eight digits of its SHA-256. ``fitting`` gives the module's names for those of a state dict that is not its
    own, such as that of a backbone alone.
    """

    name: str
    build: Callable[[int], Any]
    losses: Callable[[Any, Any, Sequence[Mapping[str, Any]]], Mapping[str, Any]]
    candidates: Callable[[Any, Any], tuple[Any, Any]]
    heavy: tuple[str, ...] = ()
    stage: str | None = None
    film_stage: str | None = None
    weights: Mapping[str, str] = field(default_factory=dict)
    fitting: Callable[[Mapping[str, Any]], Mapping[str, Any]] = dict


def row(architecture: Architecture) -> Detector:
    """Give the architecture as a row of `fracture.models.detectors.table`."""
    return Detector(
        require,
        partial(train, architecture),
        partial(export.export_onnx, architecture),
        partial(checkpoint.average, architecture.name),
        partial(export.torch_network, architecture),
        stride=STRIDE,
        starts=frozenset(architecture.weights),
        scope_stage=architecture.stage,
        film_stage=architecture.film_stage,
    )
