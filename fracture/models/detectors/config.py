"""What a training run is told: the network, the films, how long, and where its recipe differs from the default."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fracture.core.errors import BadValue
from fracture.models.config import RunConfig

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
class Config(RunConfig):
    """One training run of a detector. The defaults are for a GPU; on two cores see JOURNAL.md for what hours allow.

    ``model`` is what is learned on: a ``.pt`` of the same ``arch``; for YOLOv8 also a name (``yolov8m``) or a
    ``.safetensors`` state dict named after its network (``yolov8n-coco.safetensors``). A network without weights
    (``yolov8s.yaml``, or empty where the ``arch`` is one network) begins at ``start``, or at random: a state dict of
    its own, of a narrower YOLOv8 or of the others' backbone, or a name of weights that can be downloaded. ``epochs``
    are those of one of ``rounds``: each round after the first begins with the mean of the weights that those before it
    came to, its learning rate anew, and the mean of all is the run's network. ``settings`` are those of `SETTINGS` that
    differ. With ``learning_rate`` 0 Ultralytics chooses the optimizer too, else it is AdamW's. ``members`` networks are
    trained one after the other, which differ in their seeds; ``hours`` is for all. ``arch`` is a name of
    `fracture.models.detectors.table`.
    """

    arch: str = "yolov8"
    model: str = ""
    allow_weak: bool = False
    settings: Mapping[str, float] = field(default_factory=dict)
    members: int = 1
    rounds: int = 1

    def __post_init__(self) -> None:
        # YOLOv8 is a family of networks, of which one is taken where none is named; the others are one network each.
        model, name = ("yolov8m.pt", "fracture_yolov8m") if self.arch == "yolov8" else ("", f"fracture_{self.arch}")
        object.__setattr__(self, "model", self.model or model)
        object.__setattr__(self, "name", self.name or name)
        super().__post_init__()
        for what, value in (("members", self.members), ("rounds", self.rounds)):
            if value < 1:
                raise BadValue(f"--{what}: expected 1 or more, got {value}")
        if Path(self.model).suffix not in {"", *_MODELS}:
            raise BadValue(f"--model: expected a name, or one of {', '.join(_MODELS)} to learn from, got {self.model}")
        unknown = sorted(self.settings.keys() - SETTINGS.keys())
        if unknown:
            raise BadValue(f"--set: expected some of {', '.join(SETTINGS)}, got {', '.join(unknown)}")
        if self.start and self.model and Path(self.model).suffix != ".yaml":
            raise BadValue(f"--start: expected an architecture such as yolov8s.yaml to begin with it, got {self.model}")

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
