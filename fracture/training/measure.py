"""What a bundle's card says of its model: thresholds and calibration measured on val, and its modes on test."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from fracture.core.errors import BadValue
from fracture.core.files import file_hash
from fracture.core.types import HarmoniseConfig, ImageRecord
from fracture.data.yolo import DATASET, load_dataset
from fracture.evaluation.cases import Cases, films_of, join
from fracture.evaluation.folder import PREDICTIONS
from fracture.evaluation.measure import choose_points, measured_on
from fracture.evaluation.predict import dataset_id, load_records, predict
from fracture.inference.reader import Reader
from fracture.metrics.calibration import fit
from fracture.models import card as cards
from fracture.models.card import INT8, ModelCard
from fracture.models.films import harmonise_config_of
from fracture.models.runtime import OpenVinoNetwork
from fracture.training.scope import embed_scope


def measured(card: ModelCard, reader: Reader, root: Path, out: Path) -> ModelCard:
    """Give the card with operating points and calibration as ``reader`` reaches them on val."""
    return with_points(card, val_cases(reader, root, out), dataset_id(root))


def val_cases(reader: Reader, root: Path, out: Path) -> Cases:
    """Read the val films of a dataset."""
    films = films_of(load_records(root), "val")
    return join(films, predict(reader, root, films, out / "predictions" / "val.jsonl").answers, "val")


def with_points(card: ModelCard, val: Cases, named: str) -> ModelCard:
    """Give the card with operating points and calibration of these answers."""
    return replace(
        card,
        operating_points=choose_points(val, named),
        calibration=fit(val.scores, val.fractured, measured_on(val, named)),
    )


def measure(folder: Path, root: Path) -> ModelCard:
    """Measure a bundle's operating points and calibration on the val films of a dataset, and write them into its card.

    Films are prepared as the dataset's are. Where that is not how the card prepares them, the card takes it over and
    the network learns its scope anew, as films that are prepared otherwise look otherwise. Raises BadValue where the
    bundle names the films it was made with and these val films are not the same, or where it holds an 8-bit network,
    which was made for films as they were.
    """
    reader = Reader.load(folder)
    records = load_records(root)
    check_val(folder, records)
    prepared = harmonise_config_of(load_dataset(root / DATASET))
    with cards.renewed(folder) as made:
        if prepared != reader.card.harmonise:
            reader = _prepared_otherwise(reader, prepared, root, records, made)
        card = measured(reader.card, reader, root, made)
        # What was found on test was found at other thresholds.
        card = replace(card, measured={what: told for what, told in card.measured.items() if what != "test"})
        shutil.rmtree(made / PREDICTIONS)
        cards.save(card, made)
    return card


def _prepared_otherwise(
    reader: Reader, prepared: HarmoniseConfig, root: Path, records: Sequence[ImageRecord], made: Path
) -> Reader:
    """Give a reader of films that are prepared otherwise, its network with its new scope in the folder ``made``."""
    card, folder = replace(reader.card, harmonise=prepared), reader.folder
    if folder is None or set(INT8) <= card.files.keys():
        raise BadValue(f"{card.model_id}: expected a bundle without an 8-bit network, make that again afterwards")
    [name] = [name for name in card.files if name.endswith(".onnx") and (folder / name).is_file()]
    model = Path(shutil.copy(folder / name, made / name))
    scope = embed_scope(model, Reader(card, reader.network), root, records)
    files = card.files | {name: file_hash(model)}
    # How far an 8-bit network is from this one was measured on films as they were.
    kept = {what: told for what, told in card.measured.items() if what != "int8"}
    card = replace(card, files=files, measured=kept | scope)
    return Reader(card, OpenVinoNetwork(model, divisor=card.divisor), folder)


def add_test(folder: Path, report: Mapping[str, Any]) -> ModelCard:
    """Write into a bundle's card what each of its modes does on test films, as a report says.

    Films are counted as they are flagged by the service where the report says so, else by their scores. Raises BadValue
    for a report of other files or thresholds, on another split than test, or on films the model was made with.
    """
    card = cards.load(folder)
    # The list of films may have learnt more of them since: it is no part of what answers.
    ours, theirs = (
        {n: h for n, h in files.items() if n != cards.FILMS} for files in (card.files, report["model"]["files"])
    )
    if ours != theirs:
        raise BadValue(f"test report: expected one of this bundle's files, got {report['model']['id']}'s")
    if report["data"]["split"] != "test":
        raise BadValue(f"test report: expected the split test, got {report['data']['split']!r}")
    if report["model_was_made_with"]:
        raise BadValue(f"test report: the model was made with {len(report['model_was_made_with'])} of its films")
    flagged = report["film"].get("flagged") or report["film"]["at"]
    told = {point["name"]: point["threshold"] for point in report["points"]}
    modes = {}
    for point in card.operating_points:
        if told.get(point.name) != point.threshold:
            raise BadValue(f"test report: expected {point.name} at {point.threshold:g}, got {told.get(point.name)}")
        rates = {rate: flagged[point.name][rate] for rate in ("sensitivity", "specificity")}
        modes[point.name] = {"threshold": point.threshold} | rates
    data = report["data"]
    sources = " and ".join(report["slices"].get("source", {})) or data["name"]
    films = f"{sources} test, {data['fractured']} with and {data['normal']} without a fracture"
    about = {"films": films, "dataset_id": data["dataset_id"], "date": report["made"]["date"], "modes": modes}
    card = replace(card, measured=card.measured | {"test": about})
    cards.save(card, folder)
    return card


def check_val(folder: Path, records: Sequence[ImageRecord]) -> None:
    """Raise BadValue where the bundle names the films it was made with and these val films are not the same."""
    made_with = {image_id for image_id, part in cards.films(folder).items() if part == "val"}
    val = {record.image_id for record in films_of(records, "val")}
    if made_with and val != made_with:
        raise BadValue(
            f"val films: expected the {len(made_with)} the model was chosen on, got {len(val)}, "
            f"{len(val - made_with)} of them others"
        )
