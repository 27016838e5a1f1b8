"""Ultralytics' trainer with our films, our epochs, and a CPU used to the full.

What differs from Ultralytics' own loop, and why:

- Films reach the network through `fracture.imaging`, the very code that serves, not through Ultralytics' loader.
- An epoch takes every fractured film and an equal share of the normal ones, a different share each time: a set with
  five normal films to one fractured would otherwise spend its hours on films that teach little.
- On a CPU all cores work, in channels-last layout, and in bfloat16 where the processor has it.
- Nothing phones home: no analytics, no hub, no automatic installs, no third-party loggers.
"""

import os
from dataclasses import asdict
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from fracture.core.errors import BadValue, FractureError
from fracture.core.files import write_bytes, write_json
from fracture.core.machine import cores
from fracture.core.types import HarmoniseConfig
from fracture.data.yolo import Dataset
from fracture.models.detectors.config import SETTINGS, Config
from fracture.models.detectors.runs import epochs_run
from fracture.models.detectors.yolov8.dataset import film_dataset
from fracture.models.detectors.yolov8.quiet import ultralytics
from fracture.models.detectors.yolov8.weights import load_matching
from fracture.models.films import EpochSampler, families_of, some_films
from fracture.models.loader import loader_class
from fracture.models.runs import CONFIG, FINISHED
from fracture.models.runtime import computes_bfloat16
from fracture.models.start import restate_norms


def train(config: Config, dataset: Dataset, harmonise_config: HarmoniseConfig, *, resume: bool) -> None:
    folder = config.folder
    last = folder / "weights" / "last.pt"
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / CONFIG, asdict(config))
    data_file = folder / "data.yaml"
    where = {split: str(path.resolve()) for split, path in dataset.splits.items() if split in ("train", "val")}
    write_bytes(data_file, yaml.safe_dump(where | {"names": dict(enumerate(dataset.names))}).encode())
    overrides: dict[str, Any] = {
        "model": str(last) if resume else _architecture(config.model),
        "data": str(data_file),
        "epochs": config.epochs,
        "imgsz": config.imgsz,
        "batch": config.batch,
        "patience": config.patience,
        "time": config.hours,
        "seed": config.seed,
        "project": str(folder.parent.resolve()),
        "name": folder.name,
        "exist_ok": True,
        "device": config.device,
        "amp": _on_gpu(config.device),
        "nbs": config.films_per_step,
        "cos_lr": True,
        "deterministic": False,
        "single_cls": False,
        **SETTINGS,
        **config.settings,
    }
    overrides["close_mosaic"] = round(overrides["close_mosaic"])
    if config.learning_rate:
        overrides |= {"optimizer": "AdamW", "lr0": config.learning_rate, "momentum": 0.9, "warmup_bias_lr": 0.0}
    if resume:
        overrides["resume"] = str(last)
    try:
        trainer = trainer_class()(overrides, config, harmonise_config)
    except (ValueError, RuntimeError, AssertionError) as error:  # what Ultralytics says of a device it cannot have
        named = f"got device {config.device!r}: {_first_line(error)}"
        raise BadValue(f"expected a device and films that Ultralytics can train on, {named}") from error
    trainer.train()


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _architecture(model: str) -> str:
    """Name what Ultralytics builds: the .pt itself, or the architecture a .safetensors file is named after."""
    path = Path(model)
    if path.suffix == ".safetensors":
        return path.name.split("-")[0].split(".")[0] + ".yaml"
    return model if path.suffix in {".pt", ".yaml"} else model + ".pt"


def _on_gpu(device: str) -> bool:
    import torch

    return torch.cuda.is_available() if device == "" else device != "cpu"


@cache
def trainer_class() -> Any:
    ultralytics()
    import torch
    from ultralytics.data.build import seed_worker
    from ultralytics.models.yolo.detect import DetectionTrainer
    from ultralytics.utils.torch_utils import strip_optimizer

    class Trainer(DetectionTrainer):  # type: ignore[misc, unused-ignore]  # Ultralytics has no types
        """Ultralytics' trainer with our films, our epochs, and a CPU used to the full."""

        last: Path
        best: Path

        def __init__(self, overrides: dict[str, Any], config: Config, harmonise_config: HarmoniseConfig) -> None:
            self.config = config
            self.harmonise_config = harmonise_config
            super().__init__(overrides=overrides)
            self.add_callback("on_train_epoch_start", _deal_epoch)

        def setup_model(self) -> Any:
            try:
                return super().setup_model()
            except FractureError:
                raise
            except Exception as error:  # a file that is none, not there, or of another task: each library has its own
                told = f"{self.config.model}: {type(error).__name__}: {_first_line(error)}"
                raise BadValue(f"model: expected weights or an architecture to learn from, got {told}") from error

        def get_model(self, cfg: Any = None, weights: Any = None, verbose: bool = True) -> Any:
            model = super().get_model(cfg, weights, verbose)
            if self.config.state and weights is None:
                load_matching(model, self.config.state)
            if self.config.restate and not self.resume:
                restate_norms(model, some_films(Path(self.data["train"]), self.config, self.harmonise_config))
            return model

        def _setup_train(self) -> None:
            super()._setup_train()
            if self.device.type == "cpu":
                torch.set_num_threads(cores())
                self.model.to(memory_format=torch.channels_last)
                if computes_bfloat16():
                    train_in_bfloat16(self.model)

        def preprocess_batch(self, batch: dict[str, Any]) -> dict[str, Any]:
            batch = super().preprocess_batch(batch)
            if self.device.type == "cpu":
                batch["img"] = batch["img"].contiguous(memory_format=torch.channels_last)
            return batch

        def validate(self) -> Any:
            """Validate on every ``val_every``-th epoch and on the last; an epoch in between can never be the best."""
            last, every = self.epoch + 1 >= self.epochs or self.stop, self.config.val_every
            if every and (last or (self.epoch + 1) % every == 0):
                return super().validate()
            if not every:
                self.best_fitness = 0.0  # as good as this epoch: the latest is kept
            return self.metrics, 0.0

        def save_model(self) -> None:
            """Write checkpoints beside their names and rename them: a kill never leaves half a checkpoint."""
            last, best = self.last, self.best
            self.last, self.best = (path.with_name("partial_" + path.name) for path in (last, best))
            try:
                super().save_model()
                for path in (last, best):
                    partial = path.with_name("partial_" + path.name)
                    if partial.is_file():
                        os.replace(partial, path)
            finally:
                self.last, self.best = last, best

        def final_eval(self) -> None:
            """Say that training came to its end, then make the checkpoints small; bundling measures what was learnt."""
            told = {"epochs": epochs_run(Path(self.save_dir)), "date": datetime.now(UTC).date().isoformat()}
            write_json(Path(self.save_dir) / FINISHED, told)
            for path in (self.last, self.best):
                if path.is_file():
                    partial = path.with_name("partial_" + path.name)
                    strip_optimizer(path, s=str(partial))
                    os.replace(partial, path)

        def build_dataset(self, img_path: str, mode: str = "train", batch: int | None = None) -> Any:
            training = mode == "train"
            return film_dataset(
                img_path,
                self.data,
                self.args,
                self.config,
                self.harmonise_config,
                augment=training,
                rect=not training,
                pad=0.0 if training else 0.5,
                batch=batch,
            )

        def get_dataloader(self, dataset_path: str, batch_size: int = 16, rank: int = 0, mode: str = "train") -> Any:
            if mode != "train":
                return super().get_dataloader(dataset_path, batch_size, rank, mode)
            dataset = self.build_dataset(dataset_path, mode, batch_size)
            fractured = [len(label["cls"]) > 0 for label in dataset.labels]
            return loader_class()(
                dataset=dataset,
                batch_size=min(batch_size, len(dataset)),
                num_workers=self.args.workers,
                sampler=EpochSampler(fractured, self.config.normals, self.config.seed, families_of(dataset.im_files)),
                collate_fn=dataset.collate_fn,
                worker_init_fn=seed_worker,
                pin_memory=self.device.type == "cuda",
            )

    return Trainer


def _deal_epoch(trainer: Any) -> None:
    trainer.train_loader.sampler.epoch = trainer.epoch


def train_in_bfloat16(model: Any) -> None:
    """Have the network, and it alone, computed in bfloat16 while it is trained (Ultralytics offers that on GPUs only).

    Its answers are widened before the loss: anchors and boxes in bfloat16 would be rounded to pixels.
    """
    import torch

    loss = model.loss

    def widened(batch: dict[str, Any], answers: Any = None) -> Any:
        if answers is None:
            with torch.autocast("cpu", torch.bfloat16):
                answers = model(batch["img"])
            answers = {
                name: [level.float() for level in value] if isinstance(value, list) else value.float()
                for name, value in answers.items()
            }
        return loss(batch, answers)

    model.loss = widened
