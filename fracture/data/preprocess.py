"""A stage of original films to a stage of harmonised ones: lossless grey PNG, with the boxes moved accordingly."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from fracture.core.code import code_id
from fracture.core.errors import BadValue, FractureError, MissingData
from fracture.core.files import file_state, stamp, write_bytes, write_json
from fracture.core.folders import check_apart
from fracture.core.types import Box, HarmoniseConfig, ImageRecord
from fracture.data import manifest
from fracture.data.stage import JOURNAL, Journal, film_name, run_films, set_aside
from fracture.data.workers import read_film
from fracture.data.yolo import write_label
from fracture.imaging.harmonise import encode_png, harmonise


def preprocess(src: Path, out: Path, config: HarmoniseConfig, *, workers: int | None = None) -> list[ImageRecord]:
    """Harmonise every film of the stage ``src`` into ``out``; films set aside stay set aside.

    The manifest has ``harmonise_id`` and the film's ``original_px``. A second run does only films that changed.
    """
    check_apart(out, src)
    if not (src / manifest.NAME).is_file():
        raise MissingData(
            f"no {manifest.NAME} in {src}: expected a stage, as fracture ingest writes it from films and their labels, "
            "or a script of the repository that takes in a published set"
        )
    records = manifest.load(src)
    journal = Journal(out / JOURNAL)
    jobs = [
        (
            record.image_id,
            stamp(code_id(__name__), file_state(src / record.path), manifest.to_cells(record), config),
            (record, src, out, config),
        )
        for record in records
    ]
    harmonised = run_films(jobs, _preprocess_one, _lost, journal, "preprocess", workers)
    write_json(
        out / "report.json",
        {
            "films": len(harmonised),
            "kept": sum(record.split != "set_aside" for record in harmonised),
            "set_aside": {r.image_id: r.attributes["reason"] for r in harmonised if r.split == "set_aside"},
            "harmonise_id": config.harmonise_id,
            "config": asdict(config),
        },
    )
    manifest.save(harmonised, out)
    return harmonised


def _lost(job: tuple[ImageRecord, Path, Path, HarmoniseConfig], reason: str) -> ImageRecord:
    return set_aside(job[0], reason)


def _preprocess_one(job: tuple[ImageRecord, Path, Path, HarmoniseConfig]) -> ImageRecord:
    record, src, out, config = job
    if record.split == "set_aside":
        return record
    try:
        film = read_film(src / record.path)
        if film.harmonise_id is not None and "harmonise_id" not in record.attributes:
            film = replace(film, harmonise_id=None)  # the file says so, but no stage of ours does
        if film.size_px != record.size_px:
            raise BadValue(f"the manifest says {record.size_px} px, the film has {film.size_px} px; ingest it again")
        prepared = harmonise(film, config)
    except FractureError as error:
        return set_aside(record, str(error))
    height, width = prepared.pixels.shape[:2]
    moved: tuple[Box, ...] | None = None
    if record.boxes is not None:
        rows = prepared.from_film.forward(np.array(record.boxes, dtype=np.float64).reshape(-1, 4))
        moved = tuple((float(x0), float(y0), min(float(x1), width), min(float(y1), height)) for x0, y0, x1, y1 in rows)
    name = film_name(record)
    harmonised = replace(
        record,
        path=f"images/{name}.png",
        size_px=(width, height),
        boxes=moved,
        attributes={
            **record.attributes,
            "harmonise_id": config.harmonise_id,
            "harmonise_config": json.dumps(asdict(config), sort_keys=True),
            "original_px": f"{record.size_px[0]}x{record.size_px[1]}",
        },
    )
    write_bytes(out / harmonised.path, encode_png(prepared))
    write_label(harmonised, out / "labels" / f"{name}.txt")
    return harmonised
