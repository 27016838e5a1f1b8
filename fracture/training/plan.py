"""What is rebuilt and where: the plan of dataset v5, of the model that ships, and of the line on synthetic films."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from fracture.core.errors import BadValue
from fracture.core.types import HarmoniseConfig
from fracture.data.acquire.origins import ORIGINS
from fracture.data.yolo import DATASET
from fracture.models.card import FILMS, SHIPPED
from fracture.models.detectors.config import Config

STAGES = ("acquire", "ingest", "preprocess", "audit", "split", "train", "evaluate")
SOURCES = ("fracatlas", "grazpedwri", "humerus", "hip")
"""Those of dataset v5."""

FURTHER = ("rf100",)
"""Those that the model which ships learns from besides FracAtlas, where they are there."""


@dataclass(frozen=True)
class Plan:
    """What to rebuild and where. ``sources`` None means: those of v5 that are there or can be had.

    ``data`` holds the raw sets, ``work`` the stages and the state, ``dataset`` the YOLO tree. ``fracture_names`` are
    the hip set's fracture classes where its export spells them differently. With ``phantom`` the raw sets are
    synthetic, drawn into ``data`` instead of downloaded.
    """

    data: Path = Path("data")
    work: Path = Path("stage")
    dataset: Path = Path("dataset_v5")
    report: Path = Path("report")
    sources: tuple[str, ...] | None = None
    skip_download: bool = False
    roboflow_key: str | None = field(default=None, repr=False)
    fracture_names: tuple[str, ...] = ()
    harmonise: HarmoniseConfig = field(default_factory=HarmoniseConfig)
    val: float = 0.10
    test: float = 0.15
    seed: int = 0
    keep: Path | None = None
    training: Config = field(default_factory=Config)
    target_recall: float = 0.90
    phantom: bool = False

    @property
    def run(self) -> Config:
        """Give the training run: what was asked for, on the dataset of this plan."""
        return replace(self.training, data=str(self.dataset / DATASET))

    def __post_init__(self) -> None:
        known = (*SOURCES, *FURTHER)
        unknown = sorted(set(self.sources or ()) - set(known))
        if unknown:
            raise BadValue(f"expected sources out of {', '.join(known)}, got {', '.join(unknown)}")


DEFAULT = Plan(
    sources=("fracatlas",),
    dataset=Path("dataset_default"),
    keep=SHIPPED / FILMS,
    training=Config(
        model="yolov8s.pt",
        epochs=16,
        rounds=2,
        imgsz=512,
        batch=16,
        films_per_step=16,
        learning_rate=0.0003,
        restate=128,
        other_looks=0.5,
        name="fracture_default",
        patience=1000,
        val_every=8,
    ),
)
"""The recipe of the model that ships: 32 epochs of some 200 s on two cores with bfloat16.

Films that an earlier model was made with or tested on keep their part.
"""


PHANTOM = Plan(
    data=Path("phantom/raw"),
    work=Path("phantom/stage"),
    dataset=Path("phantom/dataset_v5"),
    report=Path("phantom/report"),
    # Few films: larger shares, so that every region has a fractured film or two in each part.
    val=0.2,
    test=0.25,
    training=Config(
        model="yolov8n.yaml",
        epochs=12,
        imgsz=224,
        batch=16,
        name="fracture_phantom",
        patience=1000,
        val_every=4,
        runs="phantom/runs",
        device="cpu",
    ),
    phantom=True,
)
"""The whole line on synthetic films in a few minutes of CPU. It shows that the line works; its figures mean nothing."""


def default_plan(data: Path = Plan.data) -> Plan:
    """Give the plan of v5 where ``data`` holds further sources of it than FracAtlas, else `DEFAULT`.

    The latter learns from FracAtlas, and from those of `FURTHER` that are there.
    """

    def there(names: Iterable[str]) -> list[str]:
        return [name for name in names if is_there(data / ORIGINS[name].folder)]

    if there(set(SOURCES) - {"fracatlas"}):
        return Plan(data=data)
    return replace(DEFAULT, data=data, sources=("fracatlas", *there(FURTHER)))


def is_there(tree: Path) -> bool:
    return tree.is_dir() and any(tree.iterdir())
