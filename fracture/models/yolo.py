"""YOLOv8 training through Ultralytics (AGPL-3.0). The only file that imports it.

What differs from Ultralytics' own loop, and why:

- Films reach the network through `fracture.imaging`, the very code that serves, not through Ultralytics' loader.
- An epoch takes every fractured film and an equal share of the normal ones, a different share each time: a set with
  five normal films to one fractured would otherwise spend its hours on films that teach little.
- On a CPU all cores work, in channels-last layout, and in bfloat16 where the processor has it.
- Nothing phones home: no analytics, no hub, no automatic installs, no third-party loggers.
"""

import json
import os
import shutil
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from fracture.core.errors import BadValue, FractureError, MissingData
from fracture.core.files import write_bytes, write_json
from fracture.core.machine import cores
from fracture.core.types import HarmoniseConfig
from fracture.data import manifest
from fracture.data.yolo import Dataset, load_dataset
from fracture.imaging.decode import decode
from fracture.imaging.harmonise import harmonise, network_pixels
from fracture.models.randomise import randomise
from fracture.models.runtime import computes_bfloat16
from fracture.models.start import restate_norms

_MODELS = (".pt", ".safetensors", ".yaml")
CONFIG = "config.json"
FINISHED = "finished.json"
AUGMENTATION: dict[str, float] = {
    # A radiograph has no hue or saturation; exposure varies.
    "hsv_h": 0.0,
    "hsv_s": 0.0,
    "hsv_v": 0.3,
    # Limbs are laid on the plate roughly straight, left or right.
    "degrees": 10.0,
    "translate": 0.1,
    "scale": 0.3,
    "shear": 0.0,
    "perspective": 0.0,
    "fliplr": 0.5,
    "flipud": 0.0,
    "mosaic": 1.0,
    "mixup": 0.0,
    "erasing": 0.0,
}
SETTINGS: Mapping[str, float] = AUGMENTATION | {"close_mosaic": 10, "box": 7.5, "cls": 0.5, "dfl": 1.5}
"""What a run may set otherwise, by Ultralytics' names: augmentation, last epochs without mosaic, gains of the loss."""


@dataclass(frozen=True)
class Config:
    """One training run. The defaults are for a GPU; on two cores see JOURNAL.md for what a few hours allow.

    ``model`` is a name (``yolov8m``), a ``.pt``, or a ``.safetensors`` state dict named after its architecture
    (``yolov8n-coco.safetensors``). An architecture (``yolov8s.yaml``) begins at ``start``, a state dict of its own or
    of a narrower network, or at random. ``hours`` ends the run in time and bends the schedule to it. ``normals`` is the
    number of normal films per fractured film in an epoch, 0 for all of them. ``val_every`` is in epochs, 0 for never:
    then the last epoch is the best. ``settings`` are those of `SETTINGS` that differ. ``films_per_step`` films make one
    step of the optimizer, over several batches where they do not fit into one; with ``learning_rate`` 0 Ultralytics
    chooses both optimizer and rate, else it is AdamW's. ``members`` networks are trained one after the other, which
    differ in their seeds; ``hours`` is for all. ``restate`` is the number of train films in whose statistics the
    weights to begin with are restated (`fracture.models.start`), 0 for as they are. ``other_looks`` is the share of
    train films that are given another hospital's look (`fracture.models.randomise`).
    """

    model: str = "yolov8m.pt"
    start: str = ""
    data: str = "dataset.yaml"
    epochs: int = 150
    imgsz: int = 800
    batch: int = 8
    films_per_step: int = 64
    learning_rate: float = 0.0
    name: str = "fracture_yolov8m"
    patience: int = 50
    hours: float | None = None
    normals: float = 1.0
    val_every: int = 1
    seed: int = 0
    runs: str = "runs"
    device: str = ""
    allow_weak: bool = False
    settings: Mapping[str, float] = field(default_factory=dict)
    members: int = 1
    restate: int = 0
    other_looks: float = 0.0

    def __post_init__(self) -> None:
        for what, value in (
            ("epochs", self.epochs),
            ("imgsz", self.imgsz),
            ("batch", self.batch),
            ("members", self.members),
        ):
            if value < 1:
                raise BadValue(f"{what}: expected 1 or more, got {value}")
        for what, number, most in (
            ("restate", self.restate, None),
            ("val_every", self.val_every, None),
            ("normals", self.normals, None),
            ("other_looks", self.other_looks, 1),
        ):
            if number < 0 or (most is not None and number > most):
                raise BadValue(f"{what}: expected 0 {'or more' if most is None else f'to {most}'}, got {number}")
        if Path(self.model).suffix not in {"", *_MODELS}:
            raise BadValue(f"model: expected a name, or one of {', '.join(_MODELS)} to learn from, got {self.model}")
        if len(self.device.replace(",", " ").split()) > 1:
            # Ultralytics would start a process for each, of its own trainer on its own loader.
            raise BadValue(f"device: expected one, such as 0 or cpu, got {self.device!r}; train members on one each")
        if self.imgsz % 32:
            raise BadValue(f"imgsz: expected a multiple of 32, got {self.imgsz}")
        if self.films_per_step < self.batch:
            raise BadValue(f"films_per_step: expected the batch of {self.batch} or more, got {self.films_per_step}")
        if not 0 <= self.learning_rate < 1:
            raise BadValue(f"learning_rate: expected 0 (to be chosen) or more, and below 1, got {self.learning_rate}")
        unknown = sorted(self.settings.keys() - SETTINGS.keys())
        if unknown:
            raise BadValue(f"settings: expected some of {', '.join(SETTINGS)}, got {', '.join(unknown)}")
        if self.start and Path(self.model).suffix != ".yaml":
            raise BadValue(f"start: expected an architecture such as yolov8s.yaml to begin with it, got {self.model}")

    @property
    def folder(self) -> Path:
        """Give the run's folder."""
        return Path(self.runs) / self.name

    @property
    def state(self) -> Path | None:
        """Give the state dict to begin with, if that is how the run begins."""
        named = self.model if self.model.endswith(".safetensors") else self.start
        return Path(named) if named else None


def settings(asked: Sequence[str]) -> dict[str, float]:
    """Read settings written ``name=value``. Raises BadValue for one that is not."""
    read: dict[str, float] = {}
    for one in asked:
        name, _, value = one.partition("=")
        try:
            read[name] = float(value)
        except ValueError as error:
            raise BadValue(f"settings: expected NAME=NUMBER, got {one!r}") from error
    return read


def train(config: Config, *, resume: bool = False) -> list[Path]:
    """Train, writing weights and curves into the run's folder; give the best checkpoint of every member.

    ``resume`` goes on from the last finished epoch of a run that was stopped. Raises MissingData without a dataset or a
    checkpoint to resume from, BadValue where the films are not harmonised.
    """
    folder = config.folder
    if resume:
        if not can_resume(folder):
            raise MissingData(f"nothing to resume in {folder}")
        config = replace(run_config(folder), hours=config.hours, runs=config.runs, device=config.device)
    elif can_resume(folder):
        raise BadValue(f"{folder} holds a run already; name another one or resume it")
    elif config.state and not config.state.is_file():
        raise MissingData(f"no weights at {config.state}")
    dataset = load_dataset(Path(config.data))
    harmonise_config = harmonise_config_of(dataset)
    _ultralytics()  # before anything is written: it may not be installed
    if not config.allow_weak:
        _refuse_weak(dataset)
    if config.members > 1:
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / CONFIG, asdict(config))
    for number, member in enumerate(_members(folder, config.members)):
        if is_finished(member):
            continue
        its = replace(
            config,
            name=str(member.relative_to(config.runs)),
            seed=config.seed + number,
            hours=config.hours and config.hours / config.members,
            members=1,
        )
        _train_one(its, dataset, harmonise_config, resume=can_resume(member))
    return checkpoints(folder)


def members(run: Path) -> list[Path]:
    """Give the folders that hold a run's weights: its own, or one for each of its members."""
    return _members(run, run_config(run).members if (run / CONFIG).is_file() else 1)


def _members(run: Path, count: int) -> list[Path]:
    return [run] if count == 1 else [run / f"member{number + 1}" for number in range(count)]


def checkpoints(run: Path) -> list[Path]:
    """Give the best checkpoint of every member. Raises MissingData where one has none."""
    found = [member / "weights" / "best.pt" for member in members(run)]
    for file in found:
        if not file.is_file():
            raise MissingData(f"no {file}: expected a run whose members all have finished an epoch")
    return found


def _train_one(config: Config, dataset: Dataset, harmonise_config: HarmoniseConfig, *, resume: bool) -> None:
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
        trainer = _trainer_class()(overrides, config, harmonise_config)
    except (ValueError, RuntimeError, AssertionError) as error:  # what Ultralytics says of a device it cannot have
        named = f"got device {config.device!r}: {_first_line(error)}"
        raise BadValue(f"expected a device and films that Ultralytics can train on, {named}") from error
    trainer.train()


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def run_config(run: Path) -> Config:
    """Give the configuration a run was started with. Raises MissingData where the folder is no run."""
    if not (run / CONFIG).is_file():
        raise MissingData(f"{run} is no run: it has no {CONFIG}")
    return Config(**json.loads((run / CONFIG).read_text(encoding="utf-8")))


def is_finished(run: Path) -> bool:
    """Tell whether a run's training came to its end; bundling it may still be to do."""
    return all((member / FINISHED).is_file() for member in members(run))


def finished_on(run: Path) -> str | None:
    """Give the day a run's training came to its end, as YYYY-MM-DD; None where it has not, or did not note it."""
    if not is_finished(run):
        return None
    said = [json.loads((member / FINISHED).read_text(encoding="utf-8")) for member in members(run)]
    return max((one["date"] for one in said if "date" in one), default=None)


def can_resume(run: Path) -> bool:
    """Tell whether a run has finished an epoch that it can go on from."""
    return any((member / "weights" / "last.pt").is_file() for member in members(run))


def epochs_run(run: Path) -> int:
    """Give how many epochs a run has finished, those of all its members together."""
    curves = [member / "results.csv" for member in members(run)]
    lines = [len(file.read_text(encoding="utf-8").splitlines()) for file in curves if file.is_file()]
    return sum(max(0, count - 1) for count in lines)


def harmonise_config_of(dataset: Dataset) -> HarmoniseConfig:
    """Give how the dataset's films were harmonised, from its manifest. Raises BadValue where they were not."""
    stored = {
        record.attributes.get("harmonise_config", "")
        for record in manifest.load(dataset.root)
        if record.split != "set_aside"
    }
    if len(stored) != 1 or "" in stored:
        raise BadValue(f"expected a dataset harmonised by scripts/preprocess.py in one way, got {sorted(stored)}")
    return HarmoniseConfig.stored(json.loads(stored.pop()))


def _refuse_weak(dataset: Dataset) -> None:
    weak = Counter(record.source for record in manifest.load(dataset.root) if record.weak and record.split == "train")
    if weak:
        named = ", ".join(f"{films} of {source}" for source, films in sorted(weak.items()))
        raise BadValue(
            f"expected boxes that somebody drew, got films with weak boxes, which cover the whole film: {named}. "
            "Leave that source out, or train on them on purpose with --allow-weak"
        )


def _architecture(model: str) -> str:
    """Name what Ultralytics builds: the .pt itself, or the architecture a .safetensors file is named after."""
    path = Path(model)
    if path.suffix == ".safetensors":
        return path.name.split("-")[0].split(".")[0] + ".yaml"
    return model if path.suffix in {".pt", ".yaml"} else model + ".pt"


def _on_gpu(device: str) -> bool:
    import torch

    return torch.cuda.is_available() if device == "" else device != "cpu"


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


@cache
def _ultralytics() -> Any:
    """Import Ultralytics with every connection to the outside switched off."""
    os.environ.setdefault("YOLO_CONFIG_DIR", str(Path("runs").resolve() / ".ultralytics"))
    os.environ["YOLO_AUTOINSTALL"] = "false"
    os.environ["YOLO_OFFLINE"] = "true"
    Path(os.environ["YOLO_CONFIG_DIR"]).mkdir(parents=True, exist_ok=True)
    import ultralytics
    from matplotlib import font_manager
    from ultralytics.utils import SETTINGS, USER_CONFIG_DIR
    from ultralytics.utils.events import events

    loggers = ("clearml", "comet", "dvc", "hub", "mlflow", "neptune", "raytune", "tensorboard", "wandb")
    dict.update(SETTINGS, {"sync": False, **dict.fromkeys(loggers, False)})
    events.enabled = False
    # Its plots would fetch a font; one that is here already takes that font's name.
    font = Path(USER_CONFIG_DIR) / "Arial.ttf"
    if not font.exists():
        shutil.copyfile(font_manager.findfont("DejaVu Sans"), font)
    return ultralytics


@cache
def _dataset_class() -> Any:
    _ultralytics()
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


@cache
def _trainer_class() -> Any:
    _ultralytics()
    import torch
    from torch.utils.data import DataLoader
    from ultralytics.data.build import seed_worker
    from ultralytics.models.yolo.detect import DetectionTrainer
    from ultralytics.utils.torch_utils import strip_optimizer

    class Loader(DataLoader):  # type: ignore[misc, type-arg, unused-ignore]  # likewise
        """Deals each epoch by itself: Ultralytics' own asks for the next one before anybody can say which it is."""

        def __iter__(self) -> Iterator[Any]:  # type: ignore[override, unused-ignore]  # begins when the first is asked for
            yield from super().__iter__()

        def reset(self) -> None:
            """Do nothing: workers start afresh with every epoch, and see the films' settings as they are then."""

    # Untyped base, as above.
    class Trainer(DetectionTrainer):  # type: ignore[misc, unused-ignore]  # likewise
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
            if self.config.restate and weights is None:
                restate_norms(model, self._some_films())
            return model

        def _some_films(self) -> Iterator[Any]:
            """Give train films one by one, as the network is fed them: the first of a shuffle by the run's seed."""
            folder = Path(self.data["train"])
            files = sorted(file for file in folder.iterdir() if file.suffix == ".png")
            for index in np.random.default_rng(self.config.seed).permutation(len(files))[: self.config.restate]:
                film = harmonise(decode(files[index].read_bytes()), self.harmonise_config)
                pixels = network_pixels(film, self.args.imgsz).pixels
                yield torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)[None])).float() / 255

        def _setup_train(self) -> None:
            super()._setup_train()
            if self.device.type == "cpu":
                torch.set_num_threads(cores())
                self.model.to(memory_format=torch.channels_last)
                if computes_bfloat16():
                    _train_in_bfloat16(self.model)

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
            return _dataset_class()(
                img_path=img_path,
                imgsz=self.args.imgsz,
                batch_size=batch,
                augment=training,
                hyp=self.args,
                rect=not training,
                stride=32,
                pad=0.0 if training else 0.5,
                task="detect",
                data=self.data,
                harmonise_config=self.harmonise_config,
                other_looks=self.config.other_looks,
            )

        def get_dataloader(self, dataset_path: str, batch_size: int = 16, rank: int = 0, mode: str = "train") -> Any:
            if mode != "train":
                return super().get_dataloader(dataset_path, batch_size, rank, mode)
            dataset = self.build_dataset(dataset_path, mode, batch_size)
            fractured = [len(label["cls"]) > 0 for label in dataset.labels]
            return Loader(
                dataset=dataset,
                batch_size=min(batch_size, len(dataset)),
                num_workers=self.args.workers,
                sampler=EpochSampler(fractured, self.config.normals, self.config.seed, families_of(dataset.im_files)),
                collate_fn=dataset.collate_fn,
                worker_init_fn=seed_worker,
                pin_memory=self.device.type == "cuda",
            )

    return Trainer


def families_of(files: Sequence[str]) -> list[str]:
    """Name the film that each file of a YOLO tree is a copy of, itself where it is none, by the tree's manifest."""
    root = Path(files[0]).parents[2] if files else Path()
    known = manifest.load(root) if (root / manifest.NAME).is_file() else []
    family = {r.path: f"{r.source}/{r.attributes['family']}" for r in known if "family" in r.attributes}
    return [family.get(Path(file).relative_to(root).as_posix(), file) for file in files]


def _deal_epoch(trainer: Any) -> None:
    trainer.train_loader.sampler.epoch = trainer.epoch


def _train_in_bfloat16(model: Any) -> None:
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


def load_matching(model: Any, path: Path) -> int:
    """Load every tensor of a .safetensors state dict whose name and shape fit; give how many did.

    Into a network a whole number of times as wide it is grown so that every copy of a channel answers as the channel
    did (Net2Net: T. Chen et al., ICLR 2016). Raises BadValue where fewer than half fit, or a grown network would lack
    any tensor below its head: then it is another architecture.
    """
    from safetensors.torch import load_file

    own = model.state_dict()
    given = load_file(path)
    first = next(name for name, value in own.items() if value.ndim == 4)
    times = len(own[first]) // len(given[first]) if first in given else 1
    if times > 1:
        given = {name: _widened(value.float(), own[name].shape, times) for name, value in given.items() if name in own}
    fitting = {name: value.float() for name, value in given.items() if name in own and own[name].shape == value.shape}
    head = f"model.{len(model.model) - 1}."
    lacking = [name for name in own if name not in fitting and not name.startswith(head)]
    if len(fitting) < len(own) / 2 or (times > 1 and lacking):
        raise BadValue(f"{path.name}: expected weights of this architecture, {len(fitting)} of {len(own)} tensors fit")
    model.load_state_dict(fitting, strict=False)
    return len(fitting)


def _widened(value: Any, shape: Any, times: int) -> Any:
    """Give a tensor with each channel ``times`` over, where ``shape`` has as many; the copies' inputs share its weight.

    They share it unevenly, differently for every copy: copies that are alike would be taught alike and stay so. Chunks
    and joints of channels keep their order, as copies stand side by side.
    """
    import torch

    if value.ndim and shape[0] == value.shape[0] * times:
        value = value.repeat_interleave(times, dim=0)
    if value.ndim > 1 and shape[1] == value.shape[1] * times:
        chance = torch.Generator().manual_seed(value.numel())
        parts = 1 + torch.rand((*value.shape[:2], times), generator=chance)
        parts = (parts / parts.sum(dim=2, keepdim=True)).flatten(1)
        value = value.repeat_interleave(times, dim=1) * parts.view(*parts.shape, *[1] * (value.ndim - 2))
    return value


class TorchNetworks:
    """Several checkpoints, their candidates side by side: what the merged network is compared with."""

    name = "torch"

    def __init__(self, found: Sequence[Path]) -> None:
        self._members = [TorchNetwork(checkpoint) for checkpoint in found]

    def __call__(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.concatenate([member(pixels) for member in self._members], axis=1)


class TorchNetwork:
    """A trained checkpoint run by torch: the reference that the exported network is compared with."""

    name = "torch"

    def __init__(self, checkpoint: Path) -> None:
        import torch

        self._torch = torch
        # The detection head keeps the anchors of the last shape it saw: one film at a time.
        self._lock = threading.Lock()
        self._model: Any = _ultralytics().YOLO(str(checkpoint)).model.float().eval()

    def __call__(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        tensor = self._torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)[None])).float() / 255
        with self._lock, self._torch.inference_mode():
            return np.asarray(self._model(tensor)[0][0].numpy(), dtype=np.float32)


def export_onnx(checkpoint: Path, target: Path, long_side_px: int, *, half_weights: bool = True) -> Path:
    """Export a checkpoint to ONNX with free height, width and batch; weights stored in half precision by default.

    Stored halves are cast back to float32 when the network is opened, so arithmetic is the same on every machine and
    the file half the size.
    """
    import onnx

    exported = (
        _ultralytics()
        .YOLO(str(checkpoint))
        .export(format="onnx", dynamic=True, simplify=True, imgsz=long_side_px, device="cpu", verbose=False)
    )
    model = onnx.load(str(exported))
    Path(exported).unlink()
    if half_weights:
        _store_halves(model)
    onnx.checker.check_model(model)
    del model.metadata_props[:]  # Ultralytics notes the path of the training data there
    write_bytes(target, model.SerializeToString())
    return target


def _store_halves(model: Any) -> None:
    """Store every large float32 constant as float16 with a cast back in front of its readers."""
    from onnx import TensorProto, helper, numpy_helper

    casts = []
    for constant in model.graph.initializer:
        values = numpy_helper.to_array(constant)
        if values.dtype == np.float32 and values.size >= 64 and np.abs(values).max() < 6e4:
            name = constant.name
            constant.CopyFrom(numpy_helper.from_array(values.astype(np.float16), name + "_half"))
            casts.append(helper.make_node("Cast", [name + "_half"], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
