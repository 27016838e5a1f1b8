"""Which films a run learns from: how they were prepared, which are refused, and which of them make an epoch."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fracture.core.errors import BadValue
from fracture.core.types import HarmoniseConfig, ModelInput
from fracture.data import manifest
from fracture.data.yolo import Dataset
from fracture.imaging.decode import decode
from fracture.imaging.harmonise import harmonise, network_pixels
from fracture.models.config import RunConfig
from fracture.models.network import network_tensor


def harmonise_config_of(dataset: Dataset) -> HarmoniseConfig:
    """Give how the dataset's films were harmonised, from its manifest. Raises BadValue where they were not."""
    stored = {
        record.attributes.get("harmonise_config", "")
        for record in manifest.load(dataset.root)
        if record.split != "set_aside"
    }
    if len(stored) != 1 or "" in stored:
        raise BadValue(f"expected a dataset harmonised by fracture preprocess in one way, got {sorted(stored)}")
    return HarmoniseConfig.stored(json.loads(stored.pop()))


def network_film(
    file: Path, long_side_px: int, harmonise_config: HarmoniseConfig, stride: int | None = 32
) -> ModelInput:
    """Give a harmonised film as the network is fed it when it is served, or with a ``stride`` of None unpadded."""
    return network_pixels(harmonise(decode(file.read_bytes()), harmonise_config), long_side_px, stride=stride)


def some_films(folder: Path, config: RunConfig, harmonise_config: HarmoniseConfig) -> Iterator[Any]:
    """Give the run's ``restate`` films of a folder as (1, 3, H, W) tensors: the first of a shuffle by its seed."""
    import torch

    files = sorted(file for file in folder.iterdir() if file.suffix == ".png")
    for index in np.random.default_rng(config.seed).permutation(len(files))[: config.restate]:
        yield torch.from_numpy(network_tensor(network_film(files[index], config.imgsz, harmonise_config).pixels))


def refuse_weak(dataset: Dataset) -> None:
    weak = Counter(record.source for record in manifest.load(dataset.root) if record.weak and record.split == "train")
    if weak:
        named = ", ".join(f"{films} of {source}" for source, films in sorted(weak.items()))
        raise BadValue(
            f"expected boxes that somebody drew, got films with weak boxes, which cover the whole film: {named}. "
            "Leave that source out, or train on them on purpose with --allow-weak"
        )


class EpochSampler:
    """Deal an epoch: every fractured film, and ``normals`` as many normal ones, walking through all of them in turn.

    Of fractured films that are copies of one film, by ``families``, an epoch takes one, drawn anew each time.
    """

    def __init__(
        self, fractured: Sequence[bool], normals: float, seed: int, families: Sequence[str] | None = None
    ) -> None:
        truth = np.array(fractured)
        positive, self.negative = np.flatnonzero(truth), np.flatnonzero(~truth)
        copies: dict[str, list[int]] = {}
        for film in positive.tolist():
            copies.setdefault(families[film] if families else str(film), []).append(film)
        self.positive = list(copies.values())
        wanted = round(len(self.positive) * normals) if normals and self.positive else len(self.negative)
        self.share = min(wanted, len(self.negative))
        self.seed = seed
        self.epoch = 0

    def __len__(self) -> int:
        return len(self.positive) + self.share

    def __iter__(self) -> Iterator[int]:
        round_, offset = divmod(self.epoch * self.share, max(1, len(self.negative)))
        walk = np.concatenate([self._order(round_), self._order(round_ + 1)])
        draw = np.random.default_rng([self.seed, 2, self.epoch])
        positive = [copies[draw.integers(len(copies))] if len(copies) > 1 else copies[0] for copies in self.positive]
        chosen = np.concatenate([np.array(positive, np.int64), walk[offset : offset + self.share]])
        np.random.default_rng([self.seed, 1, self.epoch]).shuffle(chosen)
        return iter(chosen.tolist())

    def _order(self, round_: int) -> NDArray[np.int64]:
        return np.random.default_rng([self.seed, 0, round_]).permutation(self.negative)


def families_of(files: Sequence[str]) -> list[str]:
    """Name the film that each file of a YOLO tree is a copy of, itself where it is none, by the tree's manifest."""
    root = Path(files[0]).parents[2] if files else Path()
    known = manifest.load(root) if (root / manifest.NAME).is_file() else []
    family = {r.path: f"{r.source}/{r.attributes['family']}" for r in known if "family" in r.attributes}
    return [family.get(Path(file).relative_to(root).as_posix(), file) for file in files]
