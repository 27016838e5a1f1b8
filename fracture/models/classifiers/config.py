"""What a training run of a film classifier is told."""

from dataclasses import dataclass

from fracture.core.errors import BadValue
from fracture.models.config import RunConfig
from fracture.models.heads import FRACTURE, NAMES, OF_FILMS, REGION

LOSSES = ("cross-entropy", "focal")
BALANCES = ("deal", "weights", "none")


@dataclass(frozen=True)
class ClassifierConfig(RunConfig):
    """One training run of a film classifier.

    ``heads`` are names of `fracture.models.heads`; by the first one the best epoch is chosen. ``loss`` is one of
    `LOSSES`. ``balance`` says how the rarer kind of films is made up for: ``deal`` gives an epoch ``normals``
    negative films per positive one of the first head, others each time, and none of which that head's label is not
    known; ``weights`` gives all films, and positive ones of each class the weight that makes both kinds count alike;
    ``none`` gives all films as they are. In ``frozen_epochs`` epochs the heads learn alone. ``turn``, ``zoom`` and
    ``shift`` are the most that a train film is turned (degrees), scaled and moved (shares of 1) by; half of the films
    are mirrored.
    """

    arch: str = "yolov8s"
    imgsz: int = 320
    batch: int = 16
    films_per_step: int = 16
    epochs: int = 40
    heads: tuple[str, ...] = (FRACTURE, REGION)
    loss: str = LOSSES[0]
    balance: str = BALANCES[0]
    frozen_epochs: int = 0
    turn: float = 15.0
    zoom: float = 0.2
    shift: float = 0.1
    task: str = "classify"

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", self.name or f"fracture_{self.arch}_classifier")
        object.__setattr__(self, "heads", tuple(self.heads))
        super().__post_init__()
        if not self.heads or len(set(self.heads)) != len(self.heads) or not set(self.heads) <= set(NAMES):
            told = ", ".join(self.heads) or "none"
            raise BadValue(f"--heads: expected some of {', '.join(NAMES)}, each once, got {told}")
        if not set(self.heads) & set(OF_FILMS):
            raise BadValue(f"--heads: expected {' or '.join(OF_FILMS)} among them, got {', '.join(self.heads)}")
        for what, value, known in (("loss", self.loss, LOSSES), ("balance", self.balance, BALANCES)):
            if value not in known:
                raise BadValue(f"--{what}: expected one of {', '.join(known)}, got {value!r}")
        for what, number, most in (
            ("frozen-epochs", self.frozen_epochs, self.epochs),
            ("turn", self.turn, 180),
            ("zoom", self.zoom, 0.9),
            ("shift", self.shift, 0.5),
        ):
            if not 0 <= number <= most:
                raise BadValue(f"--{what}: expected 0 to {most:g}, got {number:g}")
