"""One training run, by Lightning: resumed exactly, kept by the best epoch on val, ended where val gains no more."""

import logging
import math
from collections.abc import Mapping
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fracture.core.errors import BadValue
from fracture.core.files import write_json
from fracture.core.machine import cores
from fracture.core.types import HarmoniseConfig
from fracture.data.yolo import Dataset
from fracture.models.detectors.config import Config
from fracture.models.detectors.films import some_films
from fracture.models.detectors.loop import checkpoint, films
from fracture.models.detectors.loop.callback import callback_class
from fracture.models.detectors.loop.start import weights_file
from fracture.models.detectors.runs import CONFIG
from fracture.models.runtime import computes_bfloat16
from fracture.models.start import restate_norms

if TYPE_CHECKING:
    from fracture.models.detectors.loop.architecture import Architecture

_RATE = 0.0003
"""AdamW's, where the run does not say."""

_WARM_STEPS = 200
_LAST_RATE = 0.01
"""The share of the learning rate that the last step has."""

_WEIGHT_DECAY = 0.0005
_LONGEST_GRADIENT = 10.0
_MOMENTUM = 0.1
"""Of BatchNorm's statistics, as in torch."""

_REMEDY = "try a lower --learning-rate"
_LOSS_GAINS = {"box", "cls", "dfl"}


def require() -> object:
    """Import what this loop needs, Lightning without the products that it recommends at every start."""
    import lightning
    import torchvision

    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    return lightning, torchvision


def train(
    architecture: "Architecture",
    config: Config,
    dataset: Dataset,
    harmonise_config: HarmoniseConfig,
    *,
    resume: bool,
) -> None:
    """Train one network into its run's folder. Raises BadValue for weights of another architecture or other classes."""
    import torch
    from lightning.pytorch import Trainer
    from lightning.pytorch.callbacks import TQDMProgressBar

    if foreign := sorted(_LOSS_GAINS & config.settings.keys()):
        raise BadValue(f"--set: expected no gains of YOLOv8's loss for {architecture.name}, got {', '.join(foreign)}")
    if config.model and Path(config.model).suffix != ".pt":
        told = f"expected a .pt of {architecture.name}, got {config.model}; other weights to begin with go to --start"
        raise BadValue(f"--model: {told}")
    gpu = _gpu_of(config.device)
    val = _val_films(config, dataset, harmonise_config)
    folder = config.folder
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / CONFIG, asdict(config))
    films.seed(config.seed)
    net = architecture.build(len(dataset.names))
    if not resume:
        _begin(architecture, net, config, dataset)
    if gpu is None:
        torch.set_num_threads(cores())
        net.to(memory_format=torch.channels_last)
    if computes_bfloat16() if gpu is None else torch.cuda.is_bf16_supported():
        for name in architecture.heavy:
            in_bfloat16(net.get_submodule(name), "cpu" if gpu is None else "cuda")
    # A process that augments takes a core away from one that learns; a GPU leaves them all.
    loader = films.train_loader(config, dataset, harmonise_config, 0 if gpu is None else min(8, cores()))
    callback = callback_class()(config, dataset.names, val, harmonise_config)
    task = task_class()(architecture, net, config, math.ceil(len(loader) / _batches_per_step(config)), callback)
    if config.restate and not resume:
        restate_norms(task, some_films(dataset.splits["train"], config, harmonise_config))
    loop = Trainer(
        accelerator="cpu" if gpu is None else "gpu",
        devices=1 if gpu is None else [gpu],
        max_epochs=config.epochs,
        accumulate_grad_batches=_batches_per_step(config),
        gradient_clip_val=_LONGEST_GRADIENT,
        callbacks=[callback, TQDMProgressBar()],  # the one by rich, its default, writes nothing into a file
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        default_root_dir=folder,
    )
    loop.fit(task, loader, ckpt_path=folder / "weights" / "last.pt" if resume else None, weights_only=False)


def in_bfloat16(part: Any, device_type: str = "cpu") -> None:
    """Have one part of a network computed in bfloat16, and its answer widened: coordinates would be rounded to px."""
    import torch

    forward = part.forward

    def widened(answer: Any) -> Any:
        if isinstance(answer, Mapping):
            return {name: widened(value) for name, value in answer.items()}
        if isinstance(answer, list | tuple):
            return type(answer)(widened(value) for value in answer)
        return answer.float() if torch.is_tensor(answer) and answer.is_floating_point() else answer

    def computed(*inputs: Any, **named: Any) -> Any:
        with torch.autocast(device_type, torch.bfloat16, enabled=part.training):
            return widened(forward(*inputs, **named))

    part.forward = computed


def _val_films(config: Config, dataset: Dataset, harmonise_config: HarmoniseConfig) -> list[films.ValFilm]:
    """Give the films that epochs are judged on. Raises BadValue where nothing can be told by them."""
    if not config.val_every:
        return []
    found = list(films.val_films(config, dataset, harmonise_config)) if "val" in dataset.splits else []
    if not any(len(film.boxes) for film in found):
        raise BadValue(f"val: expected films with boxes, or --val-every 0, got none among {len(found)} films")
    return found


def _begin(architecture: "Architecture", net: Any, config: Config, dataset: Dataset) -> None:
    """Give the network the weights that the run begins with; at random where it names none."""
    if config.model:
        made = checkpoint.load(Path(config.model), architecture.name)
        if made.classes != dataset.names:
            raise BadValue(f"{config.model}: expected the classes {dataset.names}, got {made.classes}")
        net.load_state_dict(made.state)
    elif config.start:
        checkpoint.begin_with(architecture, net, weights_file(architecture, config.start))


def _batches_per_step(config: Config) -> int:
    return max(1, round(config.films_per_step / config.batch))


def _gpu_of(device: str) -> int | None:
    """Give the number of the GPU to train on, None for the CPU. Raises BadValue for one that is not there."""
    import torch

    count = torch.cuda.device_count()
    if device in {"", "cpu"}:
        return 0 if count and not device else None
    number = device.removeprefix("cuda:")
    if not number.isdigit() or int(number) >= count:
        there = ", ".join(["cpu", *map(str, range(count))])
        raise BadValue(f"--device: expected one of {there}, got {device!r}")
    return int(number)


@cache
def task_class() -> Any:
    import torch
    from lightning.pytorch import LightningModule

    class Task(LightningModule):  # type: ignore[misc, unused-ignore]  # Lightning's classes are untyped here
        """A detector, its losses, and how it is taught: AdamW, a short warm-up, a cosine down to the last step."""

        def __init__(
            self, architecture: "Architecture", net: Any, config: Config, steps_an_epoch: int, callback: Any
        ) -> None:
            super().__init__()
            self.architecture = architecture
            self.net = net
            self.config = config
            self.steps_an_epoch = steps_an_epoch
            self.callback = callback

        def forward(self, film: Any) -> Any:
            return self.architecture.candidates(self.net, film)

        def training_step(self, batch: Any, _: int) -> Any:
            pixels, targets = batch
            if self.device.type == "cpu":
                pixels = pixels.contiguous(memory_format=torch.channels_last)
            losses = self.architecture.losses(self.net, pixels, targets)
            total = sum(losses.values())
            if not torch.isfinite(total):
                told = ", ".join(f"{name} {value.item():g}" for name, value in losses.items())
                raise BadValue(f"training: expected finite losses, got {told}; {_REMEDY}")
            parts = {name: value.detach() for name, value in losses.items()}
            self.log_dict(parts, prog_bar=True, logger=False)
            return {"loss": total, "parts": parts}

        def configure_optimizers(self) -> Any:
            # Norms and biases are not drawn to nothing: they are places, not sizes.
            weights = [value for value in self.net.parameters() if value.requires_grad and value.ndim > 1]
            others = [value for value in self.net.parameters() if value.requires_grad and value.ndim <= 1]
            groups = [{"params": weights, "weight_decay": _WEIGHT_DECAY}, {"params": others, "weight_decay": 0.0}]
            return torch.optim.AdamW(groups, lr=self.config.learning_rate or _RATE)

        def on_train_batch_start(self, _batch: Any, _index: int) -> None:
            # The first batches are all that is known of a random network's channels: torch would mix their statistics
            # with those it makes up, and the network in eval mode be another than the one that learns.
            known = max(_MOMENTUM, 1 / (1 + self.trainer.global_step))
            for layer in self.net.modules():
                if isinstance(layer, torch.nn.BatchNorm2d):
                    layer.momentum = known
            for group in self.trainer.optimizers[0].param_groups:
                group["lr"] = self.rate()

        def configure_gradient_clipping(self, optimizer: Any, gradient_clip_val: Any = None, **_: Any) -> None:
            length = torch.nn.utils.clip_grad_norm_(self.net.parameters(), gradient_clip_val)
            if not torch.isfinite(length):
                raise BadValue(f"training: expected a finite gradient, got a length of {length.item():g}; {_REMEDY}")

        def rate(self) -> float:
            """Give the learning rate of this step: by the share of the run that is behind, in steps or in hours."""
            step, steps = self.trainer.global_step, self.config.epochs * self.steps_an_epoch
            behind = max(step / steps, self.callback.share_of_hours())
            warm = min(1.0, (step + 1) / min(_WARM_STEPS, 1 + steps // 10))
            cosine = _LAST_RATE + (1 - _LAST_RATE) * (1 + math.cos(math.pi * min(1.0, behind))) / 2
            return float((self.config.learning_rate or _RATE) * warm * cosine)

    return Task
