"""How fast films are harmonised, beside the plainest loop that does the same."""

import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageFile, ImageOps

from fracture.core.errors import MissingData
from fracture.core.files import place as link_or_copy
from fracture.core.folders import walk
from fracture.core.machine import cores
from fracture.core.types import HarmoniseConfig, ImageRecord
from fracture.data import manifest
from fracture.data.preprocess import preprocess
from fracture.imaging.decode import decode
from fracture.phantom import draw_film

_TURN = 1000


def bench(settings: Mapping[str, Any]) -> str:
    """Run with the settings of ``python -m bench``; say what was found."""
    count = 100 * settings["count"]
    if settings["films"]:
        return prepare(settings["films"], count)
    with TemporaryDirectory() as place:
        rng = np.random.default_rng(0)
        for index in range(count := min(count, 200)):
            cv2.imwrite(f"{place}/{index}.jpg", draw_film(rng, fractured=index % 2 == 0)[0])
        return prepare(Path(place), count)


def prepare(folder: Path, count: int) -> str:
    """Harmonise films of a folder beside the plainest loop that does the same: speed, bytes, and whether pixels differ.

    The plain loop is one process: Pillow decodes, OpenCV applies CLAHE, shrinks and writes three channels with its
    defaults; it turns films as their EXIF tag says. Raises MissingData where the folder holds no films.
    """
    files = [path for path in walk(folder).files if path.suffix.lower() in {".jpg", ".jpeg", ".png"}]
    files = files[:: max(1, len(files) // count)]
    if not files:
        raise MissingData(f"expected JPEG or PNG films below {folder}, found none")
    config = HarmoniseConfig()
    taken, weight, differ = {"ours": 0.0, "plain": 0.0}, {"ours": 0, "plain": 0}, 0
    ImageFile.LOAD_TRUNCATED_IMAGES = True
    # In turns, so that both ways meet the same moods of the machine.
    for start in range(0, len(files), _TURN):
        with TemporaryDirectory() as place:
            stage, ours, plain = (Path(place) / name for name in ("stage", "ours", "plain"))
            records = _stage_of(files[start : start + _TURN], stage)
            plain.mkdir()
            pairs = [
                (ours / "images" / f"bench__{r.image_id[6:]}.png", plain / f"{r.image_id[6:]}.png") for r in records
            ]
            began = time.perf_counter()
            for record, (_, target) in zip(records, pairs, strict=True):
                _prepare_plainly(stage / record.path, target, config)
            between = time.perf_counter()
            preprocess(stage, ours, config)
            taken["plain"] += between - began
            taken["ours"] += time.perf_counter() - between
            differ += sum(not _same_pixels(one, three) for one, three in pairs)
            weight["ours"] += sum(one.stat().st_size for one, _ in pairs)
            weight["plain"] += sum(three.stat().st_size for _, three in pairs)
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    speed = {way: len(files) / seconds for way, seconds in taken.items()}
    faster, lighter = speed["ours"] / speed["plain"], 100 * weight["ours"] / weight["plain"]
    return (
        f"preprocess, {len(files)} films, {cores()} cores: {speed['ours']:.1f} films/s, "
        f"{weight['ours'] / 1e6:.1f} MB; plain loop {speed['plain']:.1f} films/s, {weight['plain'] / 1e6:.1f} MB\n"
        f"  {faster:.2f} x its films/s, {lighter:.1f} % of its bytes, {differ} films whose pixels differ"
    )


def _stage_of(files: Sequence[Path], stage: Path) -> list[ImageRecord]:
    """Make a stage of films about which nothing is known."""
    records = []
    for index, file in enumerate(files):
        size_px = decode(file.read_bytes()).size_px
        record = ImageRecord(f"bench/{index:06d}", f"images/{index:06d}{file.suffix}", "bench", size_px)
        link_or_copy(file, stage / record.path, copy=False)
        records.append(record)
    manifest.save(records, stage)
    return records


def _prepare_plainly(source: Path, target: Path, config: HarmoniseConfig) -> None:
    with Image.open(source) as image:
        grey = np.asarray(ImageOps.exif_transpose(image).convert("L"))
    grey = cv2.createCLAHE(config.clahe_clip, (config.clahe_grid, config.clahe_grid)).apply(grey)
    scale = config.long_side_px / max(grey.shape)
    if scale < 1:
        size = (math.floor(grey.shape[1] * scale + 0.5), math.floor(grey.shape[0] * scale + 0.5))
        grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
    cv2.imwrite(str(target), cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR))


def _same_pixels(ours: Path, plain: Path) -> bool:
    with Image.open(ours) as one, Image.open(plain) as three:
        grey, colour = np.asarray(one), np.asarray(three)
    return grey.ndim == 2 and grey.shape == colour.shape[:2] and bool((colour == grey[:, :, None]).all())
