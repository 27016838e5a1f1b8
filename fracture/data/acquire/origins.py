"""The raw datasets: where each comes from, under which licence, and what its folder holds."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from fracture.core.errors import BadValue


@dataclass(frozen=True)
class Origin:
    """Where a dataset comes from, under which licence, and what its folder holds once it is there.

    Exactly one of ``figshare`` (an article) and ``roboflow`` (workspace/project) names the way to fetch it; a set with
    neither is fetched by hand, after ``steps``.
    """

    title: str
    page: str
    licence: str
    size_gb: float
    folder: str
    holds: str
    steps: tuple[str, ...]
    figshare: int | None = None
    roboflow: str | None = None


_EXPORT = "train/, valid/ and test/, each with images/ and labels/, and data.yaml"
_PKDARABI = "pkdarabi/bone-fracture-detection-computer-vision-project"
_UNIVERSE_STEPS = ("sign in (free) and open the page", "Download Dataset, format YOLOv8, as a zip")

ORIGINS: Mapping[str, Origin] = MappingProxyType(
    {
        "fracatlas": Origin(
            title="FracAtlas",
            page="https://figshare.com/articles/dataset/The_dataset/22363012",
            licence="CC BY 4.0",
            size_gb=0.34,
            folder="FracAtlas",
            holds="dataset.csv, images/, Annotations/ and Utilities/",
            steps=("download FracAtlas.zip",),
            figshare=22363012,
        ),
        "grazpedwri": Origin(
            title="GRAZPEDWRI-DX",
            page="https://figshare.com/articles/dataset/GRAZPEDWRI-DX/14825193",
            licence="CC BY 4.0",
            size_gb=15.2,
            folder="GRAZPEDWRI-DX",
            holds="dataset.csv, folder_structure/ and images_part1/ to images_part4/, one folder per zip",
            steps=("download dataset.csv, folder_structure.zip and images_part1.zip to images_part4.zip",),
            figshare=14825193,
        ),
        "humerus": Origin(
            title="HUMERUS",
            page="https://universe.roboflow.com/new-workspace-ozkjr/humerus-ghx7b",
            licence="licence as its page states",
            size_gb=0.1,
            folder="HUMERUS",
            holds=_EXPORT,
            steps=_UNIVERSE_STEPS,
            roboflow="new-workspace-ozkjr/humerus-ghx7b",
        ),
        "hip": Origin(
            title="proximal femur fracture",
            page="https://universe.roboflow.com/thesisyolo-v8/proximal-femur-fracture",
            licence="licence as its page states",
            size_gb=0.1,
            folder="HIP",
            holds=_EXPORT,
            steps=_UNIVERSE_STEPS,
            roboflow="thesisyolo-v8/proximal-femur-fracture",
        ),
        "rf100": Origin(
            title="RF100 bone-fracture",
            page="https://universe.roboflow.com/science-research/science-research-2022:-bone-fracture-detection",
            licence="CC BY 4.0",
            size_gb=0.03,
            folder="RF100",
            holds=_EXPORT,
            steps=_UNIVERSE_STEPS,
            roboflow="science-research/science-research-2022:-bone-fracture-detection",
        ),
        "mura": Origin(
            title="MURA v1.1",
            page="https://aimi.stanford.edu/datasets/mura-msk-xrays",
            licence="Stanford University research use agreement, no redistribution",
            size_gb=3.3,
            folder="MURA-v1.1",
            holds="train/, valid/, train_labeled_studies.csv and valid_labeled_studies.csv",
            steps=("register and accept the research use agreement yourself", "download MURA-v1.1.zip"),
        ),
        "pkdarabi": Origin(
            title="bone fracture detection (pkdarabi), an external test set",
            page=f"https://www.kaggle.com/datasets/{_PKDARABI}",
            licence="licence as its page states",
            size_gb=0.2,
            folder="PKDARABI",
            holds="the folders of the Kaggle zip",
            # Kaggle's own client keeps its own key.
            steps=(f"download the zip from that page, or: kaggle datasets download {_PKDARABI}",),
        ),
    }
)


def origin_of(source: str) -> Origin:
    """Look a dataset up by its name. Raises BadValue for an unknown one."""
    if source not in ORIGINS:
        raise BadValue(f"expected a source out of {', '.join(sorted(ORIGINS))}, got {source!r}")
    return ORIGINS[source]
