"""Train a film classifier on a dataset's films, boxes or not, as a problem for `fracture.models.loop`."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fracture.core.errors import BadValue, MissingData
from fracture.core.files import write_json
from fracture.core.machine import cores
from fracture.core.types import ImageRecord
from fracture.data import manifest
from fracture.data.yolo import load_dataset
from fracture.metrics.screening import auc
from fracture.models.classifiers.config import ClassifierConfig
from fracture.models.classifiers.films import film_set_class, targets
from fracture.models.classifiers.losses import logits, losses
from fracture.models.classifiers.networks import build
from fracture.models.classifiers.runs import run_config
from fracture.models.classifiers.weights import fitting
from fracture.models.films import EpochSampler, harmonise_config_of
from fracture.models.heads import Head, columns, heads_for
from fracture.models.loader import loader_class
from fracture.models.loop import checkpoint
from fracture.models.loop.problem import Problem
from fracture.models.loop.seeds import seed
from fracture.models.loop.trainer import fit, gpu_of, require
from fracture.models.runs import CONFIG, FINISHED


def train(
    config: ClassifierConfig,
    *,
    resume: bool = False,
    ends: Callable[[int, Mapping[str, float]], bool] | None = None,
) -> Path:
    """Train into the run's folder; give the best checkpoint. ``resume`` goes on from the last finished epoch.

    ``ends`` is that of `Problem`. Raises MissingData without a dataset, weights or a checkpoint to resume from,
    BadValue where the films were not harmonised or teach a head nothing, or weights are another network's.
    """
    folder = config.folder
    last, best = folder / "weights" / "last.pt", folder / "weights" / "best.pt"
    if resume:
        if not last.is_file():
            raise MissingData(f"nothing to resume in {folder}")
        told = run_config(folder)
        if (folder / FINISHED).is_file():
            return best  # bundling it may still be to do
        config = replace(told, hours=config.hours or told.hours, runs=config.runs, device=config.device)
    elif last.is_file():
        raise BadValue(f"{folder} holds a run already; name another one or resume it")
    dataset = load_dataset(Path(config.data))
    harmonise_config = harmonise_config_of(dataset)
    records = manifest.load(dataset.root)
    films = {part: [film for film in records if film.split == part] for part in ("train", "val")}
    heads = heads_for(config.heads, films["train"])
    if config.val_every:
        _check_val(heads[0], films["val"])
    require()
    gpu = gpu_of(config.device)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / CONFIG, asdict(config))
    seed(config.seed)
    net = build(config.arch, heads)
    if config.start and not resume:
        checkpoint.begin_with(config.arch, net, Path(config.start), partial(fitting, config.arch))
    make = partial(film_set_class(), dataset.root, heads=heads, config=config, harmonise_config=harmonise_config)
    train_films = _dealt(heads[0], films["train"], config)
    # A process that augments takes a core away from one that learns; a GPU leaves them all.
    workers = 0 if gpu is None else min(8, cores())
    problem = Problem(
        config.arch,
        {"heads": [asdict(head) for head in heads]},
        net,
        partial(_losses, heads, config.loss == "focal", _weights(heads, train_films, config)),
        lambda network, pixels: network(pixels),
        _loader(make(films=train_films, augment=True), heads[0], train_films, config, workers),
        lambda *_: None,
        partial(_judged, heads, films["val"], make(films=films["val"], augment=False)) if config.val_every else None,
        tuple(f"val/{head.name}_AUC" for head in heads),
        heavy=("features",),
        trunk="features",
        frozen_epochs=config.frozen_epochs,
        ends=ends,
    )
    fit(problem, config, _some(make(films=train_films, augment=False), config), resume=resume, gpu=gpu)
    return best


def _losses(
    heads: Sequence[Head], focal: bool, weights: NDArray[np.float32], net: Any, films: Any, known: Any
) -> Mapping[str, Any]:
    import torch

    told = logits(net(films).float())
    return losses(heads, told, known, torch.from_numpy(weights).to(told.device), focal=focal)


def _weights(heads: Sequence[Head], films: Sequence[ImageRecord], config: ClassifierConfig) -> NDArray[np.float32]:
    """Give what a positive film of each class counts, so that both kinds count alike where the run asks for that."""
    known = targets(heads, films)
    if config.balance != "weights":
        return np.ones(known.shape[1], np.float32)
    positive, labelled = np.maximum(np.nansum(known, axis=0), 1), (~np.isnan(known)).sum(axis=0)
    weights = (labelled - positive) / positive
    for head, place in columns(heads):
        if head.exclusive:
            weights[place] = labelled[place] / (len(head.classes) * positive[place])
    return np.asarray(weights, np.float32)


def _check_val(first: Head, val: Sequence[ImageRecord]) -> None:
    """Raise BadValue where val cannot tell the best epoch: it needs films of both kinds for the first head."""
    known = targets([first], val)
    told = known[~np.isnan(known).any(axis=1)] if len(val) else np.zeros((0, len(first.classes)))
    if not any(0 < column.sum() < len(column) for column in told.T):
        raise BadValue(
            f"val: expected films that the first head, {first.name}, tells apart, or --val-every 0; got {len(told)} "
            f"labelled ones of {len(val)}, all of one kind"
        )


def _dealt(first: Head, films: Sequence[ImageRecord], config: ClassifierConfig) -> list[ImageRecord]:
    """Give the films that a run learns from: those that the first head's label is known of, where it deals them."""
    if config.balance != "deal":
        return list(films)
    return [film for film in films if not np.isnan(first.target(film)).any()]


def _loader(films: Any, first: Head, records: Sequence[ImageRecord], config: ClassifierConfig, workers: int) -> Any:
    """Give batches, an epoch dealt by the first head's label; a head of several classes deals all films."""
    positive = [len(first.classes) == 1 and bool(first.target(film)[0] == 1) for film in records]
    normals = config.normals if config.balance == "deal" else 0.0
    families = [f"{film.source}/{film.attributes.get('family', film.image_id)}" for film in records]
    return loader_class()(
        films,
        batch_size=config.batch,
        sampler=EpochSampler(positive, normals, config.seed, families),
        num_workers=workers,
    )


def _judged(heads: Sequence[Head], records: Sequence[ImageRecord], films: Any, net: Any) -> dict[str, float]:
    """Give for each head the AUC on val, the mean over its classes; no number where val has films of one kind."""
    import torch

    device = next(net.parameters()).device
    with torch.inference_mode():
        told = np.array([logits(net(films[i][0][None].to(device)).float())[0].cpu().numpy() for i in range(len(films))])
    known, groups = targets(heads, records), [film.group_id or film.image_id for film in records]
    found = {}
    for head, place in columns(heads):
        areas = []
        for scores, labels in zip(head.probabilities(told[:, place]).T, known[:, place].T, strict=True):
            rows = np.flatnonzero(~np.isnan(labels))
            area = auc(scores[rows], labels[rows] == 1, [groups[row] for row in rows]).value if len(rows) else None
            areas += [] if area is None else [area]
        found[f"val/{head.name}_AUC"] = float(np.mean(areas)) if areas else float("nan")
    return found


def _some(films: Any, config: ClassifierConfig) -> Iterator[Any]:
    """Give the run's ``restate`` train films, the first of a shuffle by its seed."""
    for index in np.random.default_rng(config.seed).permutation(len(films))[: config.restate]:
        yield films[int(index)][0][None]
