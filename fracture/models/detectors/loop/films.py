"""The films of a run as this loop's networks take them: those of YOLOv8's runs, through the same augmentation."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fracture.core.types import HarmoniseConfig, ModelInput
from fracture.data.yolo import Dataset
from fracture.models.detectors.config import Config
from fracture.models.detectors.yolov8.dataset import films_of
from fracture.models.films import EpochSampler, families_of, network_film
from fracture.models.loader import loader_class
from fracture.models.loop.seeds import seed

STRIDE = 32
"""What both sides of a film are padded to a multiple of, as the pyramid halves them five times."""


def train_loader(config: Config, dataset: Dataset, harmonise_config: HarmoniseConfig, workers: int = 0) -> Any:
    """Give batches of (N, 3, side, side) float32, 0 to 1, and their targets, dealt by the run's `EpochSampler`.

    ``workers`` processes augment; with none it is done by the process that learns.
    """
    films = films_of(config, dataset, harmonise_config, "train")
    fractured = [len(label["cls"]) > 0 for label in films.labels]
    return loader_class()(
        films,
        batch_size=config.batch,
        sampler=EpochSampler(fractured, config.normals, config.seed, families_of(films.im_files)),
        num_workers=workers,
        worker_init_fn=_seed_worker,
        collate_fn=_batch,
    )


def begin_epoch(loader: Any, plain: bool) -> None:
    """Let go of the films of the epoch before, from which a mosaic would be filled: after a kill they are not there.

    Where ``plain``, films come one by one from here on: whole films are what the network is asked about.
    """
    films = loader.dataset
    films.ims = [None] * films.ni
    films.buffer.clear()
    if plain and films.settings.mosaic:
        films.close_mosaic(films.settings)


@dataclass(frozen=True)
class ValFilm:
    """A film of val: its file, and its drawn boxes, (N, 4) xyxy of the film, with their classes, (N,)."""

    file: Path
    boxes: NDArray[np.float64]
    labels: NDArray[np.int64]

    def prepared(self, config: Config, harmonise_config: HarmoniseConfig) -> ModelInput:
        """Give the film as the network is fed it when it is served."""
        return network_film(self.file, config.imgsz, harmonise_config)


def val_films(config: Config, dataset: Dataset, harmonise_config: HarmoniseConfig) -> Iterator[ValFilm]:
    films = films_of(config, dataset, harmonise_config, "val")
    for file, label in zip(films.im_files, films.labels, strict=True):
        height, width = label["shape"]
        centre, size = label["bboxes"][:, :2].astype(np.float64), label["bboxes"][:, 2:].astype(np.float64)
        corners = np.hstack([centre - size / 2, centre + size / 2]) * np.array([width, height, width, height])
        yield ValFilm(Path(file), corners.reshape(-1, 4), label["cls"].reshape(-1).astype(np.int64))


def _seed_worker(_: int) -> None:
    import torch

    seed(torch.initial_seed())


def _batch(films: Sequence[Any]) -> tuple[Any, list[dict[str, Any]]]:
    """Put films together, and turn their boxes from shares of the film into xyxy px; boxes of no extent are none."""
    import torch

    pixels = torch.stack([film["img"] for film in films]).float() / 255
    side = torch.tensor([pixels.shape[3], pixels.shape[2]] * 2)
    targets = []
    for film in films:
        centre, size = film["bboxes"][:, :2], film["bboxes"][:, 2:]
        boxes = torch.cat([centre - size / 2, centre + size / 2], dim=1) * side
        extended = (boxes[:, 2:] > boxes[:, :2]).all(dim=1)
        targets.append({"boxes": boxes[extended], "labels": film["cls"].reshape(-1).long()[extended]})
    return pixels, targets
