"""What a training run is told: the network, the films, how long, and where its recipe differs from the default."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fracture.core.errors import BadValue

_MODELS = (".pt", ".safetensors", ".yaml")
AUGMENTATION: dict[str, float] = {
    # A radiograph has no hue or saturation; exposure varies.
    "hsv_h": 0.0,
    "hsv_s": 0.0,
    "hsv_v": 0.3,
    # Limbs are laid on the plate roughly straight, left or right.
    "degrees": 10.0,
    "translate": 0.1,
    "scale": 0.3,
    "shear": 0.0,
    "perspective": 0.0,
    "fliplr": 0.5,
    "flipud": 0.0,
    "mosaic": 1.0,
    "mixup": 0.0,
    "erasing": 0.0,
}
SETTINGS: Mapping[str, float] = AUGMENTATION | {"close_mosaic": 10, "box": 7.5, "cls": 0.5, "dfl": 1.5}
"""What a run may set otherwise, by Ultralytics' names: augmentation, last epochs without mosaic, gains of the loss."""


@dataclass(frozen=True)
class Config:
    """One training run. The defaults are for a GPU; on two cores see JOURNAL.md for what a few hours allow.

    ``model`` is what is learned on: a ``.pt`` of the same ``arch``; for YOLOv8 also a name (``yolov8m``) or a
    ``.safetensors`` state dict named after its network (``yolov8n-coco.safetensors``). A network without weights
    (``yolov8s.yaml``, or empty where the ``arch`` is one network) begins at ``start``, or at random: a state dict of
    its own, of a narrower YOLOv8 or of the others' backbone, or a name of weights that can be downloaded. ``epochs``
    are those of one of ``rounds``: each round after the first begins with the mean of the weights that those before it
    came to, its learning rate anew, and the mean of all is the run's
    network. ``hours`` ends the run in time and bends the schedule to it. ``normals`` is the number of normal films per
    fractured film in an epoch, 0 for all of them. ``val_every`` is in epochs, 0 for never:
    then the last epoch is the best. ``settings`` are those of `SETTINGS` that differ. ``films_per_step`` films make one
    step of the optimizer, over several batches where they do not fit into one; with ``learning_rate`` 0 the training
    code chooses it (Ultralytics the optimizer too), else it is AdamW's. ``members`` networks are trained one after the
    other, which differ in their seeds; ``hours`` is for all. ``restate`` is the number of train films in whose
    statistics the weights to begin with are restated (`fracture.models.start`), 0 for as they are. ``other_looks`` is
    the share of train films that are given another hospital's look (`fracture.models.randomise`). ``arch`` is a name of
    `fracture.models.detectors.table`.
    """

    model: str = ""
    start: str = ""
    data: str = "dataset.yaml"
    epochs: int = 150
    imgsz: int = 800
    batch: int = 8
    films_per_step: int = 64
    learning_rate: float = 0.0
    name: str = ""
    patience: int = 50
    hours: float | None = None
    normals: float = 1.0
    val_every: int = 1
    seed: int = 0
    runs: str = "runs"
    device: str = ""
    allow_weak: bool = False
    settings: Mapping[str, float] = field(default_factory=dict)
    members: int = 1
    rounds: int = 1
    restate: int = 0
    other_looks: float = 0.0
    arch: str = "yolov8"

    def __post_init__(self) -> None:
        # YOLOv8 is a family of networks, of which one is taken where none is named; the others are one network each.
        model, name = ("yolov8m.pt", "fracture_yolov8m") if self.arch == "yolov8" else ("", f"fracture_{self.arch}")
        object.__setattr__(self, "model", self.model or model)
        object.__setattr__(self, "name", self.name or name)
        for what, value in (
            ("epochs", self.epochs),
            ("long-side", self.imgsz),
            ("batch", self.batch),
            ("members", self.members),
            ("rounds", self.rounds),
        ):
            if value < 1:
                raise BadValue(f"--{what}: expected 1 or more, got {value}")
        for what, number, most in (
            ("restate", self.restate, None),
            ("val-every", self.val_every, None),
            ("patience", self.patience, None),
            ("normals", self.normals, None),
            ("other-looks", self.other_looks, 1),
        ):
            if number < 0 or (most is not None and number > most):
                raise BadValue(f"--{what}: expected 0 {'or more' if most is None else f'to {most}'}, got {number}")
        if Path(self.model).suffix not in {"", *_MODELS}:
            raise BadValue(f"--model: expected a name, or one of {', '.join(_MODELS)} to learn from, got {self.model}")
        if len(self.device.replace(",", " ").split()) > 1:
            # Ultralytics would start a process for each, of its own trainer on its own loader.
            raise BadValue(f"--device: expected one, such as 0 or cpu, got {self.device!r}; train members on one each")
        if self.imgsz % 32:
            raise BadValue(f"--long-side (imgsz): expected a multiple of 32, got {self.imgsz}")
        if self.films_per_step < self.batch:
            raise BadValue(f"--films-per-step: expected the batch of {self.batch} or more, got {self.films_per_step}")
        if not 0 <= self.learning_rate < 1:
            raise BadValue(f"--learning-rate: expected 0 (to be chosen) or more, and below 1, got {self.learning_rate}")
        unknown = sorted(self.settings.keys() - SETTINGS.keys())
        if unknown:
            raise BadValue(f"--set: expected some of {', '.join(SETTINGS)}, got {', '.join(unknown)}")
        if self.start and self.model and Path(self.model).suffix != ".yaml":
            raise BadValue(f"--start: expected an architecture such as yolov8s.yaml to begin with it, got {self.model}")

    @property
    def folder(self) -> Path:
        """Give the run's folder."""
        return Path(self.runs) / self.name

    @property
    def state(self) -> Path | None:
        """Give the state dict to begin with, if that is how the run begins."""
        named = self.model if self.model.endswith(".safetensors") else self.start
        return Path(named) if named else None


def settings(asked: Sequence[str]) -> dict[str, float]:
    """Read settings written ``name=value``. Raises BadValue for one that is not."""
    read: dict[str, float] = {}
    for one in asked:
        name, _, value = one.partition("=")
        try:
            read[name] = float(value)
        except ValueError as error:
            raise BadValue(f"--set: expected NAME=NUMBER, got {one!r}") from error
    return read
