"""How an exported network learns what whole films look like: fitted over train, kept where val says it helps."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fracture.core.types import ImageRecord
from fracture.evaluation.cases import films_of
from fracture.evaluation.predict import progress
from fracture.inference.batch import network_inputs
from fracture.inference.reader import Reader
from fracture.metrics.screening import auc
from fracture.models import film_head
from fracture.models.detectors.table import detector
from fracture.models.runtime import OnnxNetwork

FEWEST = 50
"""Fractured and normal train films, each, that a source must have to be learned from.

A head has a weight for each of some hundred channels, and where a source has one kind only its look would say which.
"""


def embed_film_head(model: Path, reader: Reader, root: Path, records: Sequence[ImageRecord]) -> dict[str, Any]:
    """Fit the head, and put it into the exported network where val's films are told apart better with it than without.

    Gives what was measured, as a card's ``measured`` has it; nothing where its detector names no stage, train has too
    few films of both kinds or val none, or several networks are one: a film's score is then no candidate's.
    """
    stage, classes = detector(reader.card.arch).film_stage, len(reader.card.classes)
    train, val = of_both_kinds(films_of(records, "train")), judged_films(films_of(records, "val"))
    if stage is None or not train or not val or reader.card.members > 1:
        return {}
    fractured = np.array([bool(film.fractured) for film in train])

    def described(films: Sequence[ImageRecord]) -> NDArray[np.float64]:
        pixels = network_inputs(reader, [root / film.path for film in films])
        return np.array(list(progress(film_head.describe(model, pixels, stage, reader.card.divisor), len(films))))

    head = film_head.fit(described(train), fractured, families(train))
    seen, network = described(val), OnnxNetwork(model, reader.card.divisor)
    pixels = network_inputs(reader, [root / film.path for film in val])
    best = np.array([network(film)[4 : 4 + classes].max() for film in progress(pixels, len(val))], np.float64)
    truth, groups = np.array([bool(film.fractured) for film in val]), [film.group_id or film.image_id for film in val]
    least = np.clip(best, 1e-6, 1 - 1e-6)
    with_film = 1 / (1 + (1 - least) / least * np.exp(-head.logits(seen)))
    areas = [auc(scores, truth, groups).value for scores in (best, with_film)]
    kept = None not in areas and areas[1] > areas[0]  # type: ignore[operator, unused-ignore]  # neither is None here
    if kept:
        film_head.embed(model, head, stage, classes)
    about = {
        "embedded": kept,
        "stage": stage,
        "weight": film_head.WEIGHT,
        "penalty": film_head.PENALTY,
        "sources": sorted({film.source for film in train}),
        "train_films": len(train),
        "val_films": len(val),
        "val_film_auc": {"boxes": areas[0], "with_film": areas[1]},
    }
    return {"film_head": about}


def of_both_kinds(films: Sequence[ImageRecord]) -> list[ImageRecord]:
    """Give the films of those sources that have enough of both kinds."""
    judged = judged_films(films)
    kinds = Counter((film.source, film.fractured) for film in judged)
    return [film for film in judged if min(kinds[film.source, kind] for kind in (True, False)) >= FEWEST]


def judged_films(films: Sequence[ImageRecord]) -> list[ImageRecord]:
    """Leave out films of which nobody knows whether they show a fracture."""
    return [film for film in films if film.fractured is not None]


def families(films: Sequence[ImageRecord]) -> list[str]:
    """Name of each film the one that it is a copy of, itself where it is none."""
    return [film.attributes.get("family", film.image_id) for film in films]
