"""Eight real films to try: which they are, what is drawn on them, and how they were chosen.

They are test films of FracAtlas (CC BY 4.0), the one set of which films lie in this repository; ATTRIBUTION.md names
its authors. No model saw them in training, and none was looked at when they were chosen: what a model makes of them is
what it makes of such films, faults included.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from pydantic import TypeAdapter

from fracture.core.errors import MissingData
from fracture.core.files import write_bytes, write_json
from fracture.core.types import Box, ImageRecord
from fracture.data import manifest
from fracture.data.workers import read_film

FOLDER = Path(__file__).parents[1] / "samples"
NAME = "samples.json"
FILES = tuple(file.name for file in sorted(FOLDER.glob("*")) if file.suffix in {".png", ".json"})
REGIONS = ("hand", "leg", "hip", "shoulder")
RULE = (
    "Of FracAtlas' test films, for each region one with a fracture and one without: of those with the fewest regions "
    "named beside it, the film whose image id has the lowest SHA-256, which also numbers the two. No model was asked."
)


@dataclass(frozen=True)
class Sample:
    """One film to try. ``boxes`` are those that radiologists drew, xyxy in pixels of the film."""

    file: str
    title: str
    image_id: str
    region: str
    fractured: bool
    size_px: tuple[int, int]
    boxes: tuple[Box, ...]
    sha256: str
    licence: str
    attribution: str

    @property
    def path(self) -> Path:
        """Give the film's file, a grey PNG."""
        return FOLDER / self.file


@cache
def samples() -> tuple[Sample, ...]:
    """Give the films that come with the package. Raises MissingData where they do not lie there."""
    file = FOLDER / NAME
    if not file.is_file():
        raise MissingData(f"{file}: the films to try are not there")
    return TypeAdapter(tuple[Sample, ...]).validate_python(json.loads(file.read_text(encoding="utf-8"))["films"])


def choose(dataset: Path, stage: Path, out: Path) -> tuple[Sample, ...]:
    """Choose the films by `RULE` and write them, with `NAME`, into ``out``; give them.

    ``dataset`` says which films are of the test, ``stage`` has the films themselves as ingested, before they were
    harmonised. Raises MissingData where a region has no such film.
    """
    test = {record.image_id for record in manifest.load(dataset) if record.split == "test"}
    records = [record for record in manifest.load(stage) if record.image_id in test]
    chosen = []
    for region in REGIONS:
        pair = sorted((_first(records, region, fractured) for fractured in (True, False)), key=_lot)
        for number, record in enumerate(pair, start=1):
            grey = np.rint(255 * read_film(stage / record.path).pixels).astype(np.uint8)
            png = cv2.imencode(".png", grey, (cv2.IMWRITE_PNG_COMPRESSION, 9))[1].tobytes()
            sample = Sample(
                file=f"{region}-{number}.png",
                title=f"{region.capitalize()} {number}",
                image_id=record.image_id,
                region=region,
                fractured=bool(record.fractured),
                size_px=record.size_px,
                boxes=record.boxes or (),
                sha256=hashlib.sha256(png).hexdigest(),
                licence=record.licence,
                attribution=record.attribution,
            )
            write_bytes(out / sample.file, png)
            chosen.append(sample)
    write_json(out / NAME, {"schema": 1, "rule": RULE, "films": [asdict(sample) for sample in chosen]})
    return tuple(chosen)


def _first(records: Iterable[ImageRecord], region: str, fractured: bool) -> ImageRecord:
    fit = [record for record in records if region in record.regions and record.fractured is fractured]
    if not fit:
        raise MissingData(f"no test film of a {region} {'with' if fractured else 'without'} a fracture")
    return min(fit, key=lambda record: (len(record.regions), _lot(record)))


def _lot(record: ImageRecord) -> bytes:
    return hashlib.sha256(record.image_id.encode()).digest()
