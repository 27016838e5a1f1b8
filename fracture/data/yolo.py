"""Manifest to a YOLO tree: ``images/<split>/``, ``labels/<split>/``, and the dataset.yaml that names them."""

import os
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import yaml
from tqdm import tqdm

from fracture.core import boxes as box_math
from fracture.core.errors import BadValue, MissingData
from fracture.core.files import place, write_bytes
from fracture.core.types import ImageRecord
from fracture.data import manifest
from fracture.data.stage import JOURNAL, film_name

CLASSES = ("fracture",)
ATTRIBUTION = "ATTRIBUTION.md"
DATASET = "dataset.yaml"
_DESCRIPTION = {"path": ".", **{part: f"images/{part}" for part in ("train", "val", "test")}} | {
    "names": dict(enumerate(CLASSES))
}


@dataclass(frozen=True)
class Dataset:
    """What a dataset.yaml says: the folder, the image folder of every split, the class names by index."""

    root: Path
    splits: dict[str, Path]
    names: tuple[str, ...]


def label_text(record: ImageRecord) -> str:
    """Give the YOLO label of a film: a line per box, nothing for a normal film."""
    rows = (box_math.to_yolo(box, record.size_px) for box in record.boxes or ())
    return "".join("0 " + " ".join(f"{value:.6f}" for value in row) + "\n" for row in rows)


def write_label(record: ImageRecord, path: Path) -> None:
    """Write the film's YOLO label file. A film that is not `is_drawn` gets none, since an empty one means normal."""
    if is_drawn(record):
        write_bytes(path, label_text(record).encode())
    else:
        path.unlink(missing_ok=True)


def is_drawn(record: ImageRecord) -> bool:
    """Tell whether a detector can learn from the film: its boxes were drawn, or it is known to be normal."""
    return record.boxes is not None or record.fractured is False


def write_tree(records: Sequence[tuple[ImageRecord, Path]], out: Path, *, copy: bool = False) -> list[ImageRecord]:
    """Write ``(record, film)`` pairs as a YOLO tree with its manifest, replacing an older tree as a whole.

    Films set aside appear in the manifest only. Films that are not `is_drawn` stand in ``undrawn/<split>/``, where no
    training of a detector looks: a film without a label file would pass for a normal one. The tree is built beside
    ``out`` and moved into place when complete.
    """
    # A stage has a manifest too, but its films must not be replaced by a selection of them.
    ours = (out / manifest.NAME).is_file() and not (out / JOURNAL).exists()
    if out.exists() and any(out.iterdir()) and not ours:
        raise BadValue(f"{out} is not empty and no dataset of ours; name another folder or empty it")
    partial = out.with_name(out.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    placed: list[ImageRecord] = []
    for record, film in tqdm(records, desc="write", unit="film"):
        if record.split == "set_aside" or record.split is None:
            placed.append(record)
            continue
        folder = "images" if is_drawn(record) else "undrawn"
        inside = replace(record, path=f"{folder}/{record.split}/{film_name(record)}{film.suffix}")
        place(film, partial / inside.path, copy=copy)
        write_label(inside, partial / "labels" / record.split / f"{film_name(record)}.txt")
        placed.append(inside)
    write_bytes(partial / ATTRIBUTION, attribution_text(placed).encode())
    write_bytes(partial / DATASET, yaml.safe_dump(_DESCRIPTION, sort_keys=False).encode())
    manifest.save(placed, partial)
    if out.exists():
        shutil.rmtree(out)
    os.replace(partial, out)
    return placed


def attribution_text(records: Sequence[ImageRecord]) -> str:
    """Say whose films these are and on what terms, a section per source, for whoever gets the dataset."""
    used = Counter((r.source, r.licence, r.attribution) for r in records if r.split not in {None, "set_aside"})
    sections = [
        f"## {source}\n\n{films} films. Licence: {licence or 'not stated'}.\n\n{attribution or 'Not attributed.'}\n"
        for (source, licence, attribution), films in sorted(used.items())
    ]
    head = "# Whose films these are\n\nThe films were changed: contrast, size, file format. Their labels were merged.\n"
    return "\n".join([head, *sections])


def load_dataset(path: Path, root: Path | None = None) -> Dataset:
    """Read a dataset.yaml; ``root`` overrides its ``path``, which is relative to the yaml file itself."""
    if not path.is_file():
        raise MissingData(f"no dataset file at {path}")
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not isinstance(content, dict) or "names" not in content or "train" not in content:
        raise BadValue(f"{path}: expected the keys path, train, val, test and names")
    folder = root or (path.parent / content.get("path", ".")).resolve()
    names = content["names"]
    ordered = [names[key] for key in sorted(names)] if isinstance(names, dict) else list(names)
    splits = {split: folder / content[split] for split in ("train", "val", "test") if content.get(split)}
    return Dataset(folder, splits, tuple(str(name) for name in ordered))
