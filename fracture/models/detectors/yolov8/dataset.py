"""Ultralytics' dataset with films that `fracture.imaging` reads, the very code that serves."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from fracture.core.types import HarmoniseConfig
from fracture.data.yolo import Dataset
from fracture.imaging.decode import decode
from fracture.imaging.harmonise import harmonise, network_pixels
from fracture.models.detectors.config import SETTINGS, Config
from fracture.models.detectors.yolov8.quiet import ultralytics
from fracture.models.randomise import randomise


@cache
def dataset_class() -> Any:
    ultralytics()
    import torch
    from ultralytics.data.dataset import YOLODataset
    from ultralytics.utils.ops import xywhn2xyxy

    # Ultralytics is untyped, so its classes are Any to the type checker.
    class FilmDataset(YOLODataset):  # type: ignore[misc, unused-ignore]  # Ultralytics has no types
        """Ultralytics' dataset, its films read and scaled by `fracture.imaging`."""

        def __init__(
            self, *args: Any, harmonise_config: HarmoniseConfig, other_looks: float = 0.0, **kwargs: Any
        ) -> None:
            self.harmonise_config = harmonise_config
            self.other_looks = other_looks
            super().__init__(*args, **kwargs)

        def get_image_and_label(self, index: int) -> dict[str, Any]:
            """Give a film and its boxes; a share of train films in another look."""
            label: dict[str, Any] = super().get_image_and_label(index)
            # From torch's generator, which is another in each loader worker and which a checkpoint could keep.
            rng = np.random.default_rng(int(torch.randint(2**31, ())))
            if self.augment and rng.random() < self.other_looks:
                height, width = label["img"].shape[:2]
                boxes = xywhn2xyxy(self.labels[index]["bboxes"], width, height).tolist()
                other = self.load_image(int(rng.integers(len(self))))[0][:, :, 0]
                look = randomise(label["img"][:, :, 0], boxes, rng, other)
                label["img"] = np.repeat(look[:, :, None], 3, axis=2)
            return label

        def load_image(self, i: int, rect_mode: bool = True, resize_short: bool = False) -> Any:
            """Give network pixels before padding, (h, w) of the film and (h, w) of the pixels."""
            if self.ims[i] is None:
                film = harmonise(decode(Path(self.im_files[i]).read_bytes()), self.harmonise_config)
                pixels = np.array(network_pixels(film, self.imgsz, stride=None).pixels)
                self.im_hw0[i], self.im_hw[i] = film.pixels.shape[:2], pixels.shape[:2]
                if not self.augment:
                    return pixels, self.im_hw0[i], self.im_hw[i]
                self.ims[i] = pixels
                self.buffer.append(i)
                if len(self.buffer) > max(1, self.max_buffer_length):
                    self.ims[self.buffer.pop(0)] = None
            return self.ims[i], self.im_hw0[i], self.im_hw[i]

    return FilmDataset


def film_dataset(
    folder: str,
    data: Mapping[str, Any],
    settings: Any,
    config: Config,
    harmonise_config: HarmoniseConfig,
    *,
    augment: bool,
    rect: bool = False,
    pad: float = 0.0,
    batch: int | None = None,
) -> Any:
    """Give the films of a folder as Ultralytics' dataset, augmented by its ``settings`` or as they are."""
    return dataset_class()(
        img_path=folder,
        imgsz=config.imgsz,
        batch_size=batch,
        augment=augment,
        hyp=settings,
        rect=rect,
        stride=32,
        pad=pad,
        task="detect",
        data=data,
        harmonise_config=harmonise_config,
        other_looks=config.other_looks,
    )


def films_of(config: Config, dataset: Dataset, harmonise_config: HarmoniseConfig, split: str) -> Any:
    """Give the films of a split to a network that is not Ultralytics': train ones augmented as YOLOv8's are.

    Its ``settings`` are those of the augmentation.
    """
    ultralytics()
    from ultralytics.cfg import get_cfg

    asked = {**SETTINGS, **config.settings}
    settings = get_cfg(overrides=asked | {"imgsz": config.imgsz, "close_mosaic": round(asked["close_mosaic"])})
    data = {"names": dict(enumerate(dataset.names)), "nc": len(dataset.names), "channels": 3}
    folder, augment = str(dataset.splits[split]), split == "train"
    films = film_dataset(folder, data, settings, config, harmonise_config, augment=augment, batch=config.batch)
    films.settings = settings
    return films
