"""What is rebuilt and where: the plan of dataset v5, of the model that ships, and of the line on synthetic films."""

from dataclasses import dataclass, field, replace
from pathlib import Path

from fracture.core.errors import BadValue
from fracture.core.types import HarmoniseConfig
from fracture.data.acquire.origins import ORIGINS
from fracture.data.yolo import DATASET
from fracture.models.detectors.config import Config

STAGES = ("acquire", "ingest", "preprocess", "audit", "split", "train", "evaluate")
SOURCES = ("fracatlas", "grazpedwri", "humerus", "hip")


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
        unknown = sorted(set(self.sources or ()) - set(SOURCES))
        if unknown:
            raise BadValue(f"expected sources out of {', '.join(SOURCES)}, got {', '.join(unknown)}")


DEFAULT = Plan(
    sources=("fracatlas",),
    training=Config(
        model="yolov8n.pt",
        epochs=40,
        imgsz=640,
        batch=16,
        films_per_step=16,
        learning_rate=0.001,
        name="fracture_yolov8n_640",
        patience=1000,
        val_every=5,
    ),
)
"""A detector from FracAtlas alone, in ninety minutes on two cores with bfloat16."""


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
    """Give `DEFAULT` where FracAtlas is all there is in ``data``, or nothing; else the plan of v5."""
    others = [name for name in SOURCES if name != "fracatlas" and is_there(data / ORIGINS[name].folder)]
    return replace(Plan() if others else DEFAULT, data=data)


def is_there(tree: Path) -> bool:
    return tree.is_dir() and any(tree.iterdir())
