"""What an architecture must provide to be trained, exported and served."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fracture.imaging.harmonise import PAD_VALUE
from fracture.models.network import DIVISOR, Network


@dataclass(frozen=True)
class Detector:
    """A row of `fracture.models.detectors.table`; its library is imported when one of these is called, not before.

    ``require`` imports the library, or raises ModuleNotFoundError. ``train`` trains one network into the run's folder
    (weights/last.pt after every epoch, weights/best.pt, results.csv) and goes on from last.pt where ``resume`` is set.
    ``export`` writes a checkpoint as an ONNX file whose answers are as `fracture.models.network` says, for a long side
    in px. ``average`` writes the mean of several checkpoints of one architecture. ``network`` runs the checkpoint by
    its own library: the reference that the exported network is compared with. All of them raise BadValue for a
    checkpoint of another architecture.

    ``starts`` are the names that ``--start`` takes beside files.
    ``stride``, ``nms_iou``, ``pad_value`` and ``divisor`` go into the
    card, see `fracture.models.card`. ``scope_stage`` is the output in the exported network that describes a film
    (`fracture.models.scope`); None: it knows no scope. ``film_stage`` is the one that a film head looks at
    (`fracture.models.film_head`); None: boxes are scored without the film.
    """

    require: Callable[[], object]
    train: Callable[..., None]
    export: Callable[..., Path]
    average: Callable[..., Path]
    network: Callable[[Path], Network]
    stride: int
    starts: frozenset[str] = frozenset()
    nms_iou: float = 0.5
    pad_value: int = PAD_VALUE
    divisor: float = DIVISOR
    scope_stage: str | None = None
    film_stage: str | None = None
