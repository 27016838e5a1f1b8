"""A detector that is a torch module, as a problem for `fracture.models.loop`."""

from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fracture.core.errors import BadValue
from fracture.core.files import write_json
from fracture.core.machine import cores
from fracture.core.types import HarmoniseConfig
from fracture.data.yolo import Dataset
from fracture.models.detectors.config import Config
from fracture.models.detectors.loop import films
from fracture.models.detectors.loop.export import answering_class
from fracture.models.detectors.loop.module import begin_with_checkpoint
from fracture.models.detectors.loop.start import weights_file
from fracture.models.detectors.loop.validation import FIGURES, validate
from fracture.models.films import some_films
from fracture.models.loop import checkpoint
from fracture.models.loop.problem import Problem
from fracture.models.loop.seeds import seed
from fracture.models.loop.trainer import fit, gpu_of
from fracture.models.network import network_tensor
from fracture.models.runs import CONFIG

if TYPE_CHECKING:
    from fracture.models.detectors.loop.architecture import Architecture

_LOSS_GAINS = {"box", "cls", "dfl"}


def train(
    architecture: "Architecture",
    config: Config,
    dataset: Dataset,
    harmonise_config: HarmoniseConfig,
    *,
    resume: bool,
) -> None:
    """Train one network into its run's folder. Raises BadValue for weights of another architecture or other classes."""
    if foreign := sorted(_LOSS_GAINS & config.settings.keys()):
        raise BadValue(f"--set: expected no gains of YOLOv8's loss for {architecture.name}, got {', '.join(foreign)}")
    if config.model and Path(config.model).suffix != ".pt":
        told = f"expected a .pt of {architecture.name}, got {config.model}; other weights to begin with go to --start"
        raise BadValue(f"--model: {told}")
    gpu = gpu_of(config.device)
    val = _val_films(config, dataset, harmonise_config)
    folder = config.folder
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / CONFIG, asdict(config))
    seed(config.seed)
    net = architecture.build(len(dataset.names))
    if not resume and config.model:
        begin_with_checkpoint(architecture, net, Path(config.model), dataset.names)
    elif not resume and config.start:
        file = weights_file(architecture, config.start)
        checkpoint.begin_with(architecture.name, net, file, architecture.fitting)
    # A process that augments takes a core away from one that learns; a GPU leaves them all.
    loader = films.train_loader(config, dataset, harmonise_config, 0 if gpu is None else min(8, cores()))

    def judge(learned: Any) -> Mapping[str, float]:
        return validate(partial(_answer, architecture, learned), val, len(dataset.names), config, harmonise_config)

    problem = Problem(
        architecture.name,
        {"classes": list(dataset.names)},
        net,
        architecture.losses,
        architecture.candidates,
        loader,
        films.begin_epoch,
        judge if val else None,
        FIGURES,
        plain_epochs=loader.dataset.settings.close_mosaic,
        heavy=architecture.heavy,
    )
    fit(problem, config, some_films(dataset.splits["train"], config, harmonise_config), resume=resume, gpu=gpu)


def _answer(architecture: "Architecture", net: Any, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Answer a film while the network is learning, as `fracture.models.network` says."""
    import torch

    with torch.inference_mode():
        film = torch.from_numpy(network_tensor(pixels)).to(next(net.parameters()).device)
        return np.asarray(answering_class()(architecture, net)(film)[0].float().cpu().numpy(), dtype=np.float32)


def _val_films(config: Config, dataset: Dataset, harmonise_config: HarmoniseConfig) -> list[films.ValFilm]:
    """Give the films that epochs are judged on. Raises BadValue where nothing can be told by them."""
    if not config.val_every:
        return []
    found = list(films.val_films(config, dataset, harmonise_config)) if "val" in dataset.splits else []
    if not any(len(film.boxes) for film in found):
        raise BadValue(f"val: expected films with boxes, or --val-every 0, got none among {len(found)} films")
    return found
