"""The films of a dataset, read once by a model into a file of predictions that every figure comes from."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from fracture.core.code import code_id
from fracture.core.errors import MissingData
from fracture.core.files import file_hash, file_state, stamp
from fracture.core.types import ImageRecord
from fracture.data import manifest
from fracture.inference.batch import read_files
from fracture.inference.reader import Reader
from fracture.predictions import Loaded, load_predictions
from fracture.predictions.jsonl import PredictionLog

BUILD = """  python scripts/fracatlas_to_yolo.py --src FracAtlas --out stage/fracatlas
  fracture preprocess --src stage/fracatlas --out stage/fracatlas_proc
  fracture split --src stage/fracatlas_proc --out dataset_v5
(the first line is a script of the repository; for films of your own it is fracture ingest)"""


def load_records(root: Path) -> list[ImageRecord]:
    """Read the manifest at ``root``. Raises MissingData that says how to build the dataset where there is none."""
    if not (root / manifest.NAME).is_file():
        raise MissingData(f"no dataset at {root}. Build it from FracAtlas with:\n{BUILD}")
    return manifest.load(root)


def dataset_id(root: Path) -> str:
    """Name the dataset by its manifest's content: films, labels and splits, wherever it lies."""
    return file_hash(root / manifest.NAME)[:12]


def predict(reader: Reader, root: Path, films: Sequence[ImageRecord], file: Path) -> Loaded:
    """Read films into a predictions.jsonl, skipping those that are in it already, and give what was written.

    A film is read again when its file, the model, or the code between them has changed. Only labelled films are read.
    """
    labelled = [record for record in films if record.fractured is not None]
    card, code = reader.card, code_id("fracture.inference.batch", "fracture.predictions.jsonl")
    fed = (
        card.harmonise.harmonise_id,
        card.long_side_px,
        card.stride,
        card.pad_value,
        card.divisor,
        card.nms_iou,
        card.members,
    )
    made_by = (card.files, reader.weights, reader.network.name, type(reader).__qualname__, fed, code)
    stamps = {r.image_id: stamp(made_by, file_state(root / r.path)) for r in labelled}
    log = PredictionLog(file, stamps, card.classes)
    todo = set(log.todo)
    missing = [record for record in labelled if record.image_id in todo]
    with log:
        answers = read_files(reader, [root / record.path for record in missing])
        for record, read in zip(missing, progress(answers, len(missing)), strict=True):
            log.add(record.path, read.answer, image_id=record.image_id, time_ms=read.time_ms)
    return load_predictions(file, films)


def progress(items: Iterable[Any], total: int) -> Iterable[Any]:
    """Show a progress bar over films on standard error."""
    bar: Iterable[Any] = tqdm(items, total=total, unit="film")
    return bar
