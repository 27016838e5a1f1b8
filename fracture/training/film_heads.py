"""What a film head buys, by what it is fitted on and how much it says, in rows as `fracture.training.ablation` has."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fracture.core.errors import BadValue
from fracture.core.types import Detections, ImageRecord
from fracture.evaluation.cases import Cases, films_of
from fracture.evaluation.predict import load_records, progress
from fracture.inference.batch import network_inputs
from fracture.inference.reader import Reader
from fracture.models import film_head
from fracture.models.detectors.table import detector
from fracture.models.film_head import WEIGHT, FilmHead
from fracture.models.runtime import OpenVinoNetwork
from fracture.training.ablation import HOME, elsewhere, figures, judge
from fracture.training.bundle import export, trained
from fracture.training.film_head import families, judged_films, of_both_kinds


@dataclass(frozen=True)
class Variant:
    """A head: the logits that a spread adds, whether sources of one kind teach it too, the most that it may add."""

    name: str
    weight: float
    all_sources: bool = False
    most: float = film_head.MOST


VARIANTS = (
    Variant("no head", 0.0),
    *(Variant(f"weight {weight:g}", weight) for weight in (0.25, 0.5, 1.0)),
    *(Variant(f"weight {weight:g}, all sources", weight, all_sources=True) for weight in (0.25, 0.5)),
    Variant("weight 0.5, half a logit at most", 0.5, most=0.5),
    Variant("weight 1, half a logit at most", 1.0, most=0.5),
)
"""The first is what the others are compared with. None of them is what ships unless its weight is `WEIGHT`."""


def compare(run: Path, further: Sequence[Path], away: Path | None, out: Path) -> Iterator[dict[str, Any]]:
    """Fit heads on a run's train films and judge each on its val, and on films of other sources.

    ``further`` and ``away`` are stages as in `fracture.training.ablation.Films`. What was read already is not read
    again. Raises BadValue for an architecture that names no stage for a head, or train films of one kind.
    """
    reference, dataset = trained(run)
    card = reference.card
    stage = detector(card.arch).film_stage
    if stage is None or card.members > 1:
        raise BadValue(f"film head: expected one network with a stage for it, got {card.members} of {card.arch}")
    network = out / "model.onnx"
    if not network.is_file():
        out.mkdir(parents=True, exist_ok=True)
        export(run, network, card.long_side_px)
    reader = Reader(card, OpenVinoNetwork(network, divisor=card.divisor), run)
    records = load_records(dataset.root)
    stages = {record.source: place for place in (*further, *([away] if away else [])) for record in load_records(place)}

    def described(films: Sequence[ImageRecord]) -> NDArray[np.float64]:
        files = [
            (dataset.root if film.split in {"train", "val"} else stages[film.source]) / film.path for film in films
        ]
        pixels = network_inputs(reader, files)
        told = film_head.describe(network, pixels, stage, card.divisor)
        return np.array(list(progress(told, len(films))))

    train = judged_films(films_of(records, "train"))
    seen, both = described(train), {film.image_id for film in of_both_kinds(train)}
    heads = {}
    for all_sources in {variant.all_sources for variant in VARIANTS}:
        taken = np.array([all_sources or film.image_id in both for film in train])
        chosen = [film for film, used in zip(train, taken, strict=True) if used]
        fractured = np.array([bool(film.fractured) for film in chosen])
        heads[all_sources] = film_head.fit(seen[taken], fractured, families(chosen))
    cases = {HOME: judge(reader, dataset.root, films_of(records, "val"), out / "val.jsonl")}
    cases |= elsewhere(reader, further, away, out)
    at = {where: described(one.records) for where, one in cases.items()}
    for variant in VARIANTS:
        head = _weighted(heads[variant.all_sources], variant.weight)
        moved = {
            where: _moved(one, np.clip(head.logits(at[where]), -variant.most, variant.most))
            for where, one in cases.items()
        }
        yield {"name": variant.name} | figures(moved if variant.weight else cases, cases)


def _weighted(head: FilmHead, weight: float) -> FilmHead:
    return FilmHead(head.weights * weight / WEIGHT, head.offset * weight / WEIGHT)


def _moved(cases: Cases, logits: NDArray[np.float64]) -> Cases:
    """Give the cases with the scores of each film's boxes moved by its logits."""
    moved = zip(cases.detections, logits, strict=True)
    return replace(cases, detections=tuple(_with(found, logit) for found, logit in moved))


def _with(found: Detections, logit: float) -> Detections:
    least = np.clip(found.score, 1e-6, 1 - 1e-6)
    return replace(found, score=1 / (1 + (1 - least) / least * np.exp(-logit)))
