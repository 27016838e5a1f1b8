"""What every training run is told, whatever it trains."""

from dataclasses import dataclass
from pathlib import Path

from fracture.core.errors import BadValue


@dataclass(frozen=True)
class RunConfig:
    """One training run. ``name`` is its folder in ``runs``.

    ``hours`` ends it in time and bends the schedule to it. ``val_every`` is in epochs, 0 for never: then the last epoch
    is the best; ``patience`` epochs without gain end it, 0 for never. ``normals`` is the number of normal films per
    fractured film in an epoch, 0 for all of them. ``films_per_step`` films make one step of the optimizer, over several
    batches where they do not fit into one; with ``learning_rate`` 0 the training code chooses it. ``restate`` is the
    number of train films in whose statistics the weights to begin with are restated (`fracture.models.start`), 0 for
    as they are. ``other_looks`` is the share of train films that are given another hospital's look
    (`fracture.models.randomise`).
    """

    arch: str = ""
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
    restate: int = 0
    other_looks: float = 0.0

    def __post_init__(self) -> None:
        for what, value in (("epochs", self.epochs), ("long-side", self.imgsz), ("batch", self.batch)):
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
        if len(self.device.replace(",", " ").split()) > 1:
            # Ultralytics would start a process for each, of its own trainer on its own loader.
            raise BadValue(f"--device: expected one, such as 0 or cpu, got {self.device!r}; train members on one each")
        if self.imgsz % 32:
            raise BadValue(f"--long-side (imgsz): expected a multiple of 32, got {self.imgsz}")
        if self.films_per_step < self.batch:
            raise BadValue(f"--films-per-step: expected the batch of {self.batch} or more, got {self.films_per_step}")
        if not 0 <= self.learning_rate < 1:
            raise BadValue(f"--learning-rate: expected 0 (to be chosen) or more, and below 1, got {self.learning_rate}")

    @property
    def folder(self) -> Path:
        """Give the run's folder."""
        return Path(self.runs) / self.name
