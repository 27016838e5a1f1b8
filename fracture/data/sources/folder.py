"""A person's own folder of films, by the way they are annotated."""

import re
from collections.abc import Iterator
from pathlib import Path

from fracture.core.errors import BadValue
from fracture.data.ingest import Claim, Provenance
from fracture.data.sources import class_folders, coco, csv_labels, voc, yolo_folders

FORMATS = ("coco", "voc", "yolo", "csv", "folders")


def claims(
    kind: str, images: Path, annotations: Path | None, about: Provenance, data_yaml: Path | None = None
) -> Iterator[Claim]:
    """Give what the annotations of a known format say about the films below ``images``.

    Raises BadValue for another format and for a source whose name cannot begin an image_id.
    """
    if not re.fullmatch("[a-z0-9]+([-_][a-z0-9]+)*", about.source):
        raise BadValue(f"expected a name of a-z, 0-9 and single - or _ between them, got {about.source!r}")
    if data_yaml is not None and kind != "yolo":
        raise BadValue(f"expected a data.yaml with format yolo only, got one with {kind!r}")
    if kind not in FORMATS:
        raise BadValue(f"expected a format out of {', '.join(FORMATS)}, got {kind!r}")
    if (annotations is None) != (kind == "folders"):
        raise BadValue(f"expected annotations with every format but folders, got {annotations} with {kind!r}")
    if annotations is None:
        return class_folders.claims(images, about)
    if kind == "coco":
        return coco.claims(images, annotations, about)
    if kind == "csv":
        return csv_labels.claims(images, annotations, about)
    if kind == "voc":
        return voc.claims(images, annotations, about)
    return yolo_folders.claims(images, annotations, about, data_yaml)
