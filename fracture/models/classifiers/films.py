"""The films of a classifier's run: read and letterboxed as they are served, train films turned, scaled and mirrored."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fracture.core.types import HarmoniseConfig, ImageRecord, ModelInput
from fracture.imaging.harmonise import PAD_VALUE
from fracture.models.classifiers.config import ClassifierConfig
from fracture.models.films import network_film
from fracture.models.heads import Head
from fracture.models.randomise import randomise

Grey = NDArray[np.uint8]


def targets(heads: Sequence[Head], films: Sequence[ImageRecord]) -> NDArray[np.float32]:
    """Give what is known of films, (films, classes) of all heads side by side, no number where it is not known."""
    return np.array([np.concatenate([head.target(film) for head in heads]) for film in films], np.float32)


def turned(film: Grey, config: ClassifierConfig, rng: np.random.Generator) -> Grey:
    """Lay a film onto a square of the run's side, turned, scaled and moved within the bounds; mirror half of them."""
    side, (height, width) = config.imgsz, film.shape
    angle, zoom = rng.uniform(-config.turn, config.turn), 1 + rng.uniform(-config.zoom, config.zoom)
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), angle, zoom)
    matrix[:, 2] += rng.uniform(-config.shift, config.shift, 2) * side + (side - np.array([width, height])) / 2
    moved = cv2.warpAffine(film, matrix, (side, side), flags=cv2.INTER_LINEAR, borderValue=(PAD_VALUE,))
    return np.asarray(moved[:, ::-1] if rng.random() < 0.5 else moved, np.uint8)


@cache
def film_set_class() -> Any:
    import torch

    class FilmSet(torch.utils.data.Dataset):  # type: ignore[misc, type-arg, unused-ignore]  # torch is untyped here
        """Films and what is known of them, as tensors: (1, side, side) float32 of 0 to 1, and (classes,)."""

        def __init__(
            self,
            root: Path,
            films: Sequence[ImageRecord],
            heads: Sequence[Head],
            config: ClassifierConfig,
            harmonise_config: HarmoniseConfig,
            *,
            augment: bool,
        ) -> None:
            self.root = root
            self.films = films
            self.known = targets(heads, films)
            self.config = config
            self.harmonise_config = harmonise_config
            self.augment = augment

        def __len__(self) -> int:
            return len(self.films)

        def __getitem__(self, index: int) -> tuple[Any, Any]:
            grey = self._augmented(index) if self.augment else self._film(index, self.config.imgsz).pixels[:, :, 0]
            pixels = torch.from_numpy(np.ascontiguousarray(grey)[None]).float() / 255
            return pixels, torch.from_numpy(self.known[index])

        def _augmented(self, index: int) -> Grey:
            # From torch's generator, which is another in each loader worker and which a checkpoint could keep.
            rng = np.random.default_rng(int(torch.randint(2**31, ())))
            film = self._film(index)
            grey = film.pixels[:, :, 0]
            if rng.random() < self.config.other_looks:
                boxes = film.from_film.forward(np.array(self.films[index].boxes or (), np.float64).reshape(-1, 4))
                grey = randomise(grey, boxes.tolist(), rng, self._film(int(rng.integers(len(self)))).pixels[:, :, 0])
            return turned(grey, self.config, rng)

        def _film(self, index: int, stride: int | None = None) -> ModelInput:
            file = self.root / self.films[index].path
            return network_film(file, self.config.imgsz, self.harmonise_config, stride)

    return FilmSet
