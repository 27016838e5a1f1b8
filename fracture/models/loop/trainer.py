"""One training run, by Lightning: resumed exactly, kept by the best epoch on val, ended where val gains no more."""

import logging
import math
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from fracture.core.errors import BadValue
from fracture.core.machine import cores
from fracture.models.config import RunConfig
from fracture.models.loop.callback import callback_class
from fracture.models.loop.problem import Problem
from fracture.models.runtime import computes_bfloat16
from fracture.models.start import restate_norms

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


def require() -> object:
    """Import what this loop needs, Lightning without the products that it recommends at every start."""
    import lightning
    import torchvision

    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    return lightning, torchvision


def fit(problem: Problem, config: RunConfig, films: Iterable[Any], *, resume: bool, gpu: int | None) -> None:
    """Teach a network until its run ends, writing into its folder; ``films`` are those of ``restate``.

    Raises BadValue where losses or gradients are no numbers.
    """
    import torch
    from lightning.pytorch import Trainer
    from lightning.pytorch.callbacks import TQDMProgressBar

    net, folder = problem.net, config.folder
    if gpu is None:
        torch.set_num_threads(cores())
        net.to(memory_format=torch.channels_last)
    if computes_bfloat16() if gpu is None else torch.cuda.is_bf16_supported():
        for name in problem.heavy:
            in_bfloat16(net.get_submodule(name), "cpu" if gpu is None else "cuda")
    callback = callback_class()(config, problem)
    task = task_class()(problem, config, callback)
    if config.restate and not resume:
        restate_norms(task, films)
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
    last = folder / "weights" / "last.pt"
    loop.fit(task, problem.loader, ckpt_path=last if resume else None, weights_only=False)


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


def _batches_per_step(config: RunConfig) -> int:
    return max(1, round(config.films_per_step / config.batch))


def gpu_of(device: str) -> int | None:
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
        """A problem as Lightning takes it, and how it is taught: AdamW, a short warm-up, a cosine to the last step."""

        def __init__(self, problem: Problem, config: RunConfig, callback: Any) -> None:
            super().__init__()
            self.problem = problem
            self.net = problem.net
            self.config = config
            self.steps_an_epoch = math.ceil(len(problem.loader) / _batches_per_step(config))
            self.callback = callback

        def forward(self, films: Any) -> Any:
            return self.problem.answer(self.net, films)

        def training_step(self, batch: Any, _: int) -> Any:
            pixels, targets = batch
            if self.device.type == "cpu":
                pixels = pixels.contiguous(memory_format=torch.channels_last)
            losses = self.problem.losses(self.net, pixels, targets)
            total = sum(losses.values())
            if not torch.isfinite(total):
                told = ", ".join(f"{name} {value.item():g}" for name, value in losses.items())
                raise BadValue(f"training: expected finite losses, got {told}; {_REMEDY}")
            parts = {name: value.detach() for name, value in losses.items()}
            self.log_dict(parts, prog_bar=True, logger=False)
            return {"loss": total, "parts": parts}

        def on_train_epoch_start(self) -> None:
            """Let the trunk rest for the first epochs, its statistics too: what is on top of it is at random yet."""
            if self.problem.trunk:
                rests = self.current_epoch < self.problem.frozen_epochs
                trunk = self.net.get_submodule(self.problem.trunk)
                trunk.requires_grad_(not rests)
                trunk.train(not rests)

        def configure_optimizers(self) -> Any:
            # Norms and biases are not drawn to nothing: they are places, not sizes.
            weights = [value for value in self.net.parameters() if value.ndim > 1]
            others = [value for value in self.net.parameters() if value.ndim <= 1]
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
