"""The model card: one JSON file beside the weights that says what they are, how to feed them, and what was measured.

Nothing about a model lives in code: preprocessing, input size, thresholds and their measurements all come from here.
"""

import base64
import csv
import io
import json
import math
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from fracture.clinical.status import Said, Status, Thresholds
from fracture.core.errors import BadValue, MissingData
from fracture.core.files import file_hash, write_bytes
from fracture.core.types import BEST_BOX, CLASSIFIER, FUSION, Estimate, HarmoniseConfig, OperatingPoint, Prediction
from fracture.data import manifest
from fracture.data.duplicates import Trace
from fracture.imaging.harmonise import PAD_VALUE
from fracture.metrics.calibration import Calibration
from fracture.models.heads import Head
from fracture.models.network import DIVISOR

NAME = "card.json"
FILMS = "films.csv"
"""Which films a model was trained, chosen and tested on: image_id and split. Nobody needs to guess what it has seen.

Also what each is known by under another name: ``pixel_sha256``, and ``look``, `duplicates.terms_of` it in base64. Older
tables have neither.
"""
INT8 = ("model_int8.xml", "model_int8.bin")
"""The files of the 8-bit network, where a bundle has one; OpenVINO opens the first and finds the second beside it."""
SHIPPED = Path(__file__).parent / "shipped"
"""The model that comes with the package."""

_SCHEMA = 1
_WHITE = 255
_PARTIAL, _WHOLE = "bundle.partial", "bundle.whole"


@dataclass(frozen=True)
class ModelCard:
    """What is known about one set of weights.

    ``files`` maps a file name to its SHA-256. ``long_side_px`` is the network's scale: a film's long side is resized
    to it, then padded with ``pad_value`` to a multiple of ``stride``; ``divisor`` is what its pixels are divided by
    (see `fracture.models.network`). ``nms_iou`` is the overlap above which the weaker of two boxes is dropped.
    ``members`` is the number of networks in the one file, whose boxes are fused. ``arch`` is the architecture's name
    in `fracture.models.detectors.table`, or of `fracture.models.classifiers.networks` where the network is a film
    classifier: it has ``heads`` and no ``classes``, as it gives no boxes; with both it is a fusion. ``film_score`` is
    what gives a film its score: the best box, the classifier or the fusion. ``calibration`` turns that score into a
    probability, where it was fitted. ``measured`` holds figures with the command that made them, ``training`` how the
    weights came to be, ``intended`` the films it is meant for: those it was trained on, by region, source and age,
    and the regions that none of them is labelled with.
    """

    model_id: str
    version: str
    classes: tuple[str, ...]
    long_side_px: int
    stride: int
    nms_iou: float
    harmonise: HarmoniseConfig
    files: dict[str, str]
    operating_points: tuple[OperatingPoint, ...] = ()
    calibration: Calibration | None = None
    training: dict[str, Any] = field(default_factory=dict)
    measured: dict[str, Any] = field(default_factory=dict)
    intended: dict[str, Any] = field(default_factory=dict)
    licence: str = "AGPL-3.0-or-later"
    members: int = 1
    arch: str = "yolov8"
    pad_value: int = PAD_VALUE
    divisor: float = DIVISOR
    film_score: str = BEST_BOX
    heads: tuple[Head, ...] = ()

    def __post_init__(self) -> None:
        def check(ok: bool, name: str, expected: str) -> None:
            if not ok:
                raise BadValue(f"{name}: expected {expected}, got {getattr(self, name)!r}")

        named = bool(self.classes) and all(isinstance(name, str) and name for name in self.classes)
        distinct = named and len(set(self.classes)) == len(self.classes)
        boxed = isinstance(self.classes, tuple) and (distinct or (bool(self.heads) and not self.classes))
        check(boxed, "classes", "a list of names, each once")
        for name in ("long_side_px", "stride", "members"):
            check(_is_whole(getattr(self, name), 1), name, "1 or more, a whole number")
        multiple = not self.long_side_px % self.stride
        check(multiple, "long_side_px", f"a multiple of the stride {self.stride}")
        grey = _is_whole(self.pad_value, 0) and self.pad_value <= _WHITE
        check(grey, "pad_value", f"a grey of 0 to {_WHITE}")
        check(_is_number(self.divisor) and 0 < self.divisor < math.inf, "divisor", "a number above 0")
        check(_is_number(self.nms_iou) and 0 <= self.nms_iou <= 1, "nms_iou", "a number of 0 to 1")
        for name in ("files", "training", "measured", "intended"):
            check(isinstance(getattr(self, name), dict), name, "an object")
        if not self.files:
            raise BadValue("files: expected at least one weights file, got none")
        made_by = (FUSION if self.classes else CLASSIFIER) if self.heads else BEST_BOX
        check(self.film_score == made_by, "film_score", repr(made_by))

    @property
    def scoped(self) -> bool:
        """Tell whether the network knows its scope: its answer then has one row more."""
        return "scope" in self.measured

    @property
    def date(self) -> str | None:
        """Give the day training ended, as YYYY-MM-DD; None where the card does not say."""
        return self.training.get("finished")

    def int8(self, folder: Path) -> Path | None:
        """Give the 8-bit network that this card vouches for, None where it has none or some of it is not there."""
        whole = all(name in self.files and (folder / name).is_file() for name in INT8)
        return folder / INT8[0] if whole else None

    @property
    def thresholds(self) -> Thresholds | None:
        """Give the two scores that a status rests on; None for a model that was not measured at both."""
        return Thresholds.of(self.operating_points)

    def chances(self, scores: Sequence[float]) -> list[float | None]:
        """Give for each score the probability that a film with it shows a fracture; None where it is not calibrated."""
        if self.calibration is None:
            return [None] * len(scores)
        return [round(chance, 3) for chance in self.calibration.probability(np.array(scores)).tolist()]

    def chances_of(self, prediction: Prediction, said: Said) -> tuple[float | None, list[float | None]]:
        """Give the chance of a film and those of the boxes of its answer; None outside the intended use too."""
        scores = [prediction.film_score.value, *prediction.detections.score[: said.shown].tolist()]
        if said.status is Status.OUTSIDE:
            return None, [None] * (len(scores) - 1)
        chance, *chances = self.chances(scores)
        return chance, chances

    def on_test(self, point: OperatingPoint) -> tuple[str, Estimate, Estimate] | None:
        """Give on which test films a mode was measured, and its sensitivity and specificity there; None where not.

        Figures of another threshold than the mode's are none of it.
        """
        told = self.measured.get("test") or {}
        at = told.get("modes", {}).get(point.name)
        if at is None or at["threshold"] != point.threshold:
            return None
        return told["films"], Estimate(**at["sensitivity"]), Estimate(**at["specificity"])

    def operating_point(self, name: str) -> OperatingPoint:
        """Give the named operating point. Raises BadValue that lists the ones this model was measured at."""
        for point in self.operating_points:
            if point.name == name:
                return point
        known = ", ".join(point.name for point in self.operating_points) or "none: this model was not measured"
        raise BadValue(f"mode: expected one of {known}; got {name!r}")


def _is_whole(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def save(card: ModelCard, folder: Path) -> Path:
    """Write ``folder/card.json``."""
    path = folder / NAME
    write_bytes(path, (json.dumps({"schema": _SCHEMA} | asdict(card), indent=2) + "\n").encode())
    return path


@contextmanager
def renewed(folder: Path) -> Iterator[Path]:
    """Give a folder to make a bundle's files in, the card included; they take their places together or not at all.

    Until then an earlier bundle in ``folder`` serves. What fails leaves it as it was, and a kill between two renames is
    made good by the next `load`.
    """
    partial = folder / _PARTIAL
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
        _take_place(folder)
        os.replace(partial, folder / _WHOLE)  # one step, and from here on the new bundle stands
        _take_place(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _take_place(folder: Path) -> None:
    """Move the files of a whole bundle to where they belong, the card last."""
    whole = folder / _WHOLE
    with suppress(FileNotFoundError):  # nothing to move, or another process moved it
        for file in sorted(whole.iterdir(), key=lambda file: file.name == NAME):
            os.replace(file, folder / file.name)
        whole.rmdir()


def load(folder: Path) -> ModelCard:
    """Read ``folder/card.json`` and verify the hash of every file it names that is there.

    Raises MissingData without a card or with none of its files, BadValue for a card this version cannot read or a file
    whose content differs.
    """
    _take_place(folder)
    path = folder / NAME
    if not path.is_file():
        raise MissingData(f"no {NAME} in {folder}: a model needs its card to be fed rightly")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content.pop("schema") != _SCHEMA:
            raise BadValue(f"{path}: expected card schema {_SCHEMA}")
        if isinstance(content["classes"], list):  # of a text each letter would be a class
            content["classes"] = tuple(content["classes"])
        content["heads"] = tuple(Head.stored(head) for head in content.get("heads", ()))
        content["harmonise"] = HarmoniseConfig.stored(content["harmonise"])
        content["operating_points"] = tuple(operating_point(point) for point in content["operating_points"])
        if content.get("calibration"):
            content["calibration"] = Calibration(**content["calibration"])
        card = ModelCard(**content)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise BadValue(f"{path} is not a model card of this version: {error}") from error
    verify(card, folder)
    return card


def verify(card: ModelCard, folder: Path) -> None:
    """Compare the files on disk with the card's hashes; a bundle may leave files out, but never change them."""
    present = [name for name in card.files if (folder / name).is_file()]
    if not present:
        raise MissingData(f"none of the model's files is in {folder}: {', '.join(card.files)}")
    for name in present:
        found = file_hash(folder / name)
        if found != card.files[name]:
            raise BadValue(f"{folder / name}: expected SHA-256 {card.files[name]}, got {found}; the file was changed")


def films(folder: Path) -> dict[str, str]:
    """Give the films a model was made with, image_id -> split; none where the bundle does not say."""
    path = folder / FILMS
    return manifest.load_splits(path) if path.is_file() else {}


def film_traces(folder: Path) -> dict[str, Trace]:
    """Give what a model's films are known by, image_id -> trace; none of a film of which the bundle does not say."""
    path = folder / FILMS
    if not path.is_file():
        return {}
    found: dict[str, Trace] = {}
    with path.open(newline="", encoding="utf-8") as file:
        for number, row in enumerate(csv.DictReader(file), start=2):
            try:
                look = base64.b64decode(row.get("look") or "", validate=True)
            except ValueError as error:
                raise BadValue(f"{path} row {number}, column look: expected base64, got {error}") from error
            known = Trace(row.get("pixel_sha256") or "", (look,) if look else ())
            if known != Trace():
                found[row["image_id"]] = known
    return found


def save_films(films: Mapping[str, str], known_by: Mapping[str, Trace], folder: Path) -> Path:
    """Write ``folder/films.csv``: films with their splits, and what they are known by."""
    rows = []
    for image_id, split in sorted(films.items()):
        known = known_by.get(image_id, Trace())
        look = base64.b64encode(known.looks[0]).decode() if known.looks else ""
        rows.append((image_id, split, known.pixel_sha256, look))
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([("image_id", "split", "pixel_sha256", "look"), *rows])
    path = folder / FILMS
    write_bytes(path, text.getvalue().encode())
    return path


def find(weights: Path) -> Path:
    """Give the folder of the card that belongs to ``weights``: a folder, or a file in it or in its ``weights/``."""
    candidates = [weights] if weights.is_dir() else [weights.parent, weights.parent.parent]
    for folder in candidates:
        if (folder / NAME).is_file():
            return folder
    raise MissingData(f"no {NAME} beside {weights}: expected a run's folder, its weights, or a model bundle")


def operating_point(content: Mapping[str, Any]) -> OperatingPoint:
    """Read an operating point as cards and reports write it."""
    rates = {rate: Estimate(**content[rate]) for rate in ("sensitivity", "specificity")}
    return OperatingPoint(**{**content, **rates})
