"""An 8-bit network beside a bundle's own: made, measured on val, and shipped where it is good enough."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fracture.core.errors import BadValue, MissingData
from fracture.core.files import file_hash, write_bytes
from fracture.core.types import ImageRecord
from fracture.evaluation import comparison
from fracture.evaluation.cases import Cases, films_of
from fracture.evaluation.measure import RESAMPLES, measured_on
from fracture.evaluation.predict import dataset_id, load_records
from fracture.inference.batch import network_inputs
from fracture.inference.reader import Reader
from fracture.models import card as cards
from fracture.models.card import INT8, ModelCard
from fracture.models.network import Network
from fracture.models.quantise import quantise
from fracture.models.runtime import OpenVinoNetwork
from fracture.models.scope import FLAG
from fracture.training.measure import check_val, val_cases, with_points
from fracture.training.parity import counterparts

CALIBRATION_FILMS = 300
SPEED_FILMS = 40
MOST_OUTSIDE = 0.03
"""Share of val films that an 8-bit network may take for another kind; in float it is a third of that."""


def bundle_int8(folder: Path, root: Path, *, most_drop: float = 0.005, least_gain: float = 1.2) -> ModelCard:
    """Quantise a bundle's network on train films, measure both on val, ship the 8-bit one where it is good enough.

    It ships where its AP at IoU 0.5 is at most ``most_drop`` lower and it is at least ``least_gain`` times as fast on
    this machine. What was measured stands in the card either way, and operating points and calibration are those of the
    network that serves. Raises MissingData for a bundle without an ONNX file, BadValue as `measure` does.
    """
    card = cards.load(folder)
    if card.heads:
        raise BadValue(f"{card.model_id}: expected a detector to quantise, got a {card.film_score} of films")
    records = load_records(root)
    check_val(folder, records)
    exported = [folder / name for name in card.files if name.endswith(".onnx") and (folder / name).is_file()]
    if not exported:
        raise MissingData(f"{folder}: no .onnx to quantise that {cards.NAME} vouches for")
    served_int8 = set(INT8) <= card.files.keys()
    card = replace(card, files={name: known for name, known in card.files.items() if name not in INT8})
    whole = Reader(card, OpenVinoNetwork(exported[0], divisor=card.divisor), folder)
    films = calibration_films(records, cards.films(folder))
    pixels = list(network_inputs(whole, [root / film.path for film in films]))
    with TemporaryDirectory() as place:
        made = Path(place)
        recipe = quantise(exported[0], pixels, made, card.divisor)
        with_int8 = replace(card, files=card.files | {name: file_hash(made / name) for name in INT8})
        small = Reader(with_int8, OpenVinoNetwork(made / INT8[0], divisor=card.divisor), folder)
        expected, got = (val_cases(reader, root, made / name) for name, reader in (("whole", whole), ("small", small)))
        figures = differences(expected, got)
        strange = int(got.flagged(FLAG).sum())
        gain = times_as_fast(whole.network, small.network, pixels[:SPEED_FILMS])
        good = figures["map50"]["float"] - figures["map50"]["int8"] <= most_drop and gain >= least_gain
        ships = good and strange <= MOST_OUTSIDE * len(got.records)
        shipped = {name: (made / name).read_bytes() for name in INT8} if ships else {}
    card, val = (with_int8, got) if ships else (card, expected)
    named = dataset_id(root)
    about = {
        "shipped": ships,
        "measured_on": measured_on(val, named),
        **figures,
        "times_as_fast": round(gain, 2),
        "outside": strange,
    }
    rule = {"most_drop": most_drop, "least_gain": least_gain}
    card = replace(card, measured=card.measured | {"int8": about | {"ships_at": rule, "recipe": recipe}})
    if ships or served_int8:  # else the points are this network's already
        card = with_points(card, val, named)
    with cards.renewed(folder) as made:
        for name, content in shipped.items():
            write_bytes(made / name, content)
        cards.save(card, made)
    for name in set(INT8) - shipped.keys():
        (folder / name).unlink(missing_ok=True)
    return card


def calibration_films(records: Iterable[ImageRecord], made_with: Mapping[str, str]) -> list[ImageRecord]:
    """Choose train films to quantise with, fractured and normal ones alike; the same ones every time."""
    train = [r for r in films_of(records, "train") if made_with.get(r.image_id, "train") == "train"]
    rng = np.random.default_rng(0)
    chosen: list[ImageRecord] = []
    for kind in (True, False):
        films = [record for record in train if record.fractured is kind]
        chosen += [films[i] for i in rng.permutation(len(films))[: CALIBRATION_FILMS // 2]]
    return chosen


def differences(expected: Cases, got: Cases) -> dict[str, Any]:
    """Say how far the 8-bit network's answers are from those in float, as a card has it.

    Raises BadValue where nobody drew a box on these films.
    """
    rows = {row["name"]: row for row in comparison.on_the_same_films(got, expected, ((), ()), 0, RESAMPLES)["rows"]}
    figures: dict[str, Any] = {}
    for name, row in (("map50", rows["AP50"]), ("film_auc", rows["film AUC"])):
        if row["difference"]["value"] is None:
            raise BadValue(f"val films: expected both kinds and drawn boxes to measure {name} on, got none")
        figures[name] = {"float": row["other"]["value"], "int8": row["this"]["value"]}
        figures[name] |= {f"difference_{end}": row["difference"][end] for end in ("low", "high")}
    pairs = [pair for two in zip(expected.detections, got.detections, strict=True) for pair in counterparts(*two)]
    overlap, gap = np.array(pairs).reshape(-1, 2).mean(axis=0) if pairs else (1.0, 0.0)
    return {
        "films": len(got.records),
        **figures,
        "boxes": len(pairs),
        "mean_iou": round(float(overlap), 4),
        "mean_score_difference": round(float(gap), 4),
        "mean_film_score_difference": round(float(np.abs(got.scores - expected.scores).mean()), 4),
    }


def times_as_fast(whole: Network, small: Network, films: Iterable[NDArray[np.uint8]]) -> float:
    """Say how many times as fast the second network is, in turns on the same films; the median over them."""
    ratios = []
    for pixels in films:
        took = []
        for network in (whole, small):
            network(pixels)  # the first film of a shape compiles
            began = time.perf_counter()
            network(pixels)
            took.append(time.perf_counter() - began)
        ratios.append(took[0] / took[1])
    return float(np.median(ratios))
