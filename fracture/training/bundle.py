"""From a training run to a bundle that can be served: exported, proven, measured, with its card and its films."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from fracture import __version__
from fracture.core.errors import BadValue, MissingData
from fracture.core.files import file_hash
from fracture.core.types import REGIONS, ImageRecord
from fracture.data.duplicates import Trace, traces
from fracture.data.yolo import Dataset, load_dataset
from fracture.evaluation.cases import films_of
from fracture.evaluation.predict import dataset_id, load_records
from fracture.inference.reader import Reader
from fracture.models import card as cards
from fracture.models.card import ModelCard
from fracture.models.detectors.runs import averaged_from, checkpoints, epochs_run, finished_on, run_config
from fracture.models.detectors.table import detector
from fracture.models.films import harmonise_config_of
from fracture.models.merge import SideBySide, merge
from fracture.models.runtime import OnnxNetwork
from fracture.training import measure
from fracture.training.film_head import embed_film_head
from fracture.training.parity import compare, parity_films
from fracture.training.scope import embed_scope


def bundle(run: Path, *, version: str = __version__, long_side_px: int | None = None) -> ModelCard:
    """Make a run servable: export its best checkpoints, prove parity, measure operating points on val, write the card.

    ``long_side_px`` is the scale films are read at, the training scale if not named. Raises BadValue where the exported
    network does not answer as the checkpoint does.
    """
    reference, dataset = trained(run, version=version, long_side_px=long_side_px)
    records = load_records(dataset.root)
    with cards.renewed(run) as made:
        model = export(run, made / "model.onnx", reference.card.long_side_px)
        parity = compare(
            reference, Reader(reference.card, OnnxNetwork(model, reference.card.divisor), run), parity_films(dataset)
        )
        head = embed_film_head(model, reference, dataset.root, records)
        scope = embed_scope(model, reference, dataset.root, records)
        films = cards.save_films(splits_of(records), known_by(records, dataset.root, reference.card), made)
        card = replace(
            reference.card,
            files=reference.card.files | {file.name: file_hash(file) for file in (films, model)},
            intended=intended(films_of(records, "train")),
            measured={"parity": parity} | head | scope,
        )
        card = measure.measured(card, Reader(card, OnnxNetwork(model, card.divisor), run), dataset.root, run)
        cards.save(card, made)
    return card


def trained(run: Path, *, version: str = __version__, long_side_px: int | None = None) -> tuple[Reader, Dataset]:
    """Give a reader of a run's best checkpoints, whose card says how to feed it and nothing measured; and its dataset.

    Raises MissingData where the folder is no run or lacks a checkpoint.
    """
    config = run_config(run)
    dataset = load_dataset(Path(config.data))
    found, architecture = checkpoints(run), detector(config.arch)
    card = ModelCard(
        model_id=config.name,
        version=version,
        classes=dataset.names,
        long_side_px=long_side_px or config.imgsz,
        stride=architecture.stride,
        nms_iou=architecture.nms_iou,
        harmonise=harmonise_config_of(dataset),
        files={file.relative_to(run).as_posix(): file_hash(file) for file in found},
        members=len(found),
        arch=config.arch,
        pad_value=architecture.pad_value,
        divisor=architecture.divisor,
        training={
            # Names, not places: a card goes to other machines.
            "config": asdict(config) | {key: Path(getattr(config, key)).name for key in ("model", "start", "runs")},
            "dataset_id": dataset_id(dataset.root),
            "finished": finished_on(run),
            "epochs_run": epochs_run(run),
        }
        | averaged_from(run),
    )
    networks = [architecture.network(checkpoint) for checkpoint in found]
    return Reader(card, SideBySide(networks), run), dataset


def export(run: Path, target: Path, long_side_px: int) -> Path:
    """Export a run's best checkpoints to one ONNX file."""
    found, write = checkpoints(run), detector(run_config(run).arch).export
    if len(found) == 1:
        return write(found[0], target, long_side_px)
    with TemporaryDirectory() as place:
        parts = [Path(place) / f"{number}.onnx" for number in range(len(found))]
        return merge([write(*pair, long_side_px) for pair in zip(found, parts, strict=True)], target)


def intended(train: Sequence[ImageRecord]) -> dict[str, Any]:
    """Say which films a model is meant for: those it was trained on, as a card has it.

    Regions with their films and fractured films, the regions no film is labelled with (FracAtlas calls a wrist a hand),
    sources, and years of age where the manifest tells them (column ``x_age``).
    """
    films = Counter(region for record in train for region in record.regions)
    broken = Counter(region for record in train if record.fractured for region in record.regions)
    ages = sorted(
        float(age) for record in train if (age := record.attributes.get("age", "")).replace(".", "", 1).isdigit()
    )
    return {
        "regions": {name: {"films": films[name], "fractured": broken[name]} for name in REGIONS if films[name]},
        "never_labelled": [name for name in REGIONS if not films[name] and name != "unknown"],
        "sources": sorted({record.source for record in train}),
        "ages_years": [ages[0], ages[-1]] if ages else None,
    }


def splits_of(records: Sequence[ImageRecord]) -> dict[str, str]:
    """Give the split of every film that is in one."""
    return {record.image_id: record.split for record in records if record.split not in {None, "set_aside"}}


def known_by(records: Sequence[ImageRecord], root: Path, card: ModelCard) -> dict[str, Trace]:
    """Give by what the films of a dataset are known again, in whatever file and under whatever name."""
    there = [record for record in records if record.split not in {None, "set_aside"}]
    seen = traces([root / record.path for record in there], card.harmonise)
    # A harmonised film's own greys are no one's; those of the film that it was made of stand in the manifest.
    return {
        record.image_id: replace(found, pixel_sha256=record.attributes.get("pixel_sha256", found.pixel_sha256))
        for record, found in zip(there, seen, strict=True)
    }


def add_hashes(folder: Path, root: Path) -> tuple[ModelCard, int]:
    """Write into a bundle by what its films are known again, from the dataset it was made with; say how many are.

    Raises BadValue for a dataset that has none of its films, MissingData for a bundle that does not name them.
    """
    card, films = cards.load(folder), cards.films(folder)
    if not films:
        raise MissingData(f"{folder} has no {cards.FILMS}: make it anew with --run")
    records = [record for record in load_records(root) if record.image_id in films]
    known = cards.film_traces(folder) | {
        image_id: one for image_id, one in known_by(records, root, card).items() if one != Trace()
    }
    if not known:
        raise BadValue(f"dataset: expected some of the {len(films)} films the model was made with, got none")
    with cards.renewed(folder) as made:
        told = cards.save_films(films, known, made)
        card = replace(card, files=card.files | {told.name: file_hash(told)})
        cards.save(card, made)
    return card, len(known)
