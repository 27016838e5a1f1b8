"""How an exported network learns which films are of its kind: described over train, checked on val."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fracture.core.types import ImageRecord
from fracture.evaluation.cases import films_of
from fracture.evaluation.predict import progress
from fracture.inference.batch import network_inputs
from fracture.inference.reader import Reader
from fracture.models import scope as scopes
from fracture.models.detectors.table import detector


def embed_scope(model: Path, reader: Reader, root: Path, records: Sequence[ImageRecord]) -> dict[str, Any]:
    """Teach an exported network what kind its train films are; say so as a card's ``measured`` has it.

    Nothing is said of one whose detector names no stage to tell it by: it knows no scope.
    """
    stage = detector(reader.card.arch).scope_stage
    if stage is None:
        return {}
    described = {}
    for split in ("train", "val"):
        films = films_of(records, split)
        pixels = network_inputs(reader, [root / film.path for film in films])
        described[split] = np.array(
            list(progress(scopes.describe(model, pixels, stage, reader.card.divisor), len(films)))
        )
    groups = [film.group_id or film.image_id for film in films_of(records, "train")]
    scope, unseen = scopes.fit(described["train"], described["val"], groups)
    scopes.embed(model, scope, stage)
    val = len(described["val"])
    about = {
        "train_films": len(described["train"]),
        "unseen_films": len(unseen),
        "unseen_films_outside": int((unseen > 1).sum()),
        "val_films": val,
        "val_films_outside": int((unseen[-val:] > 1).sum()),
        "stage": stage,
    }
    return {"scope": about}
