"""What readers correct, kept in SQLite and given out as COCO. Films, their names and their patients are not kept.

A film is known by the SHA-256 of its file. Whoever has the files puts corrections and films together again, see
`fracture.data.sources.coco`. Every correction is kept; of each film the last one counts.
"""

import json
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from fracture.core.errors import BadValue, FractureError, MissingData
from fracture.core.types import Box

Truth = Literal["fracture", "no fracture", "cannot tell"]

WRONG = "not a fracture"
"""The COCO category of a box that the model drew and a reader called wrong."""

MOST_BYTES = 1 << 30
PAGE_BYTES = 4096
WAIT_S = 5.0
"""How long a call waits for another that is writing."""

_APPLICATION_ID = 0x66726163
_FORM = 1
_SCHEMA = (
    """CREATE TABLE corrections (
    id INTEGER PRIMARY KEY,
    sha256 TEXT NOT NULL,
    frame INTEGER NOT NULL,
    width INTEGER NOT NULL,
    height INTEGER NOT NULL,
    truth TEXT NOT NULL,
    boxes TEXT NOT NULL,
    wrong TEXT NOT NULL,
    model TEXT NOT NULL,
    kept_at TEXT NOT NULL
)""",
    "CREATE INDEX of_film ON corrections (sha256, frame)",
)


class FeedbackUnavailable(FractureError):
    """Raised where corrections cannot be written or read now: the disk is full, or the file is gone."""

    code = "feedback_unavailable"
    status = 503


@dataclass(frozen=True)
class Corrected:
    """What a reader says of one film. Boxes are xyxy in pixels of the decoded film.

    ``boxes`` mark fractures: the model's that are right, and those the reader drew. ``wrong`` ones are the model's and
    mark none. ``model`` says which one drew them.
    """

    sha256: str
    frame: int
    film_px: tuple[int, int]
    truth: Truth
    boxes: Sequence[Box]
    wrong: Sequence[Box]
    model: str


class Feedback:
    """The file of corrections, for any number of threads. Each call opens it anew."""

    def __init__(self, path: Path) -> None:
        """Open the file, or make one that its owner alone can read.

        Raises MissingData without its folder, BadValue where it is something else.
        """
        self._path = path.absolute()
        if not path.parent.is_dir():
            raise MissingData(f"expected a folder for corrections at {path.parent}, found none")
        try:
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
            with self._open():
                pass
        except (OSError, sqlite3.Error) as error:
            raise BadValue(f"expected a file for corrections that can be written at {path}, got {error}") from error

    def keep(self, corrected: Corrected) -> str:
        """Write a correction down; give when, in UTC. Raises FeedbackUnavailable."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        boxes, wrong = (json.dumps([list(box) for box in some]) for some in (corrected.boxes, corrected.wrong))
        row = (corrected.sha256, corrected.frame, *corrected.film_px, corrected.truth, boxes, wrong)
        with self._reported() as base:
            base.execute(
                "INSERT INTO corrections (sha256, frame, width, height, truth, boxes, wrong, model, kept_at)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (*row, corrected.model, now),
            )
        return now

    def coco(self) -> dict[str, Any]:
        """Give the last correction of every film as a COCO dataset. Raises FeedbackUnavailable.

        An image has, besides COCO's fields, the film's ``sha256`` (also its ``file_name``), the ``frame`` of it, and
        ``fractured``: true, false, or null where the reader could not tell.
        """
        with self._reported() as base:
            rows = base.execute(
                "SELECT sha256, frame, width, height, truth, boxes, wrong, model, kept_at, times FROM corrections JOIN"
                " (SELECT MAX(id) AS last, COUNT(*) AS times FROM corrections GROUP BY sha256, frame) ON id = last"
                " ORDER BY id"
            ).fetchall()
        images, annotations = [], []
        for number, row in enumerate(rows, start=1):
            sha256, frame, width, height, truth, boxes, wrong, model, kept_at, times = row
            image = {"id": number, "file_name": sha256, "width": width, "height": height, "sha256": sha256}
            fractured = {"fracture": True, "no fracture": False}.get(truth)
            said = {"frame": frame, "fractured": fractured, "model": model, "kept_at": kept_at, "corrections": times}
            images.append(image | said)
            try:
                for category, drawn in ((1, boxes), (2, wrong)):
                    annotations += [_annotation(number, category, *box) for box in json.loads(drawn)]
            except (ValueError, TypeError) as error:
                raise FeedbackUnavailable(f"the correction of film {sha256} cannot be read: {error}") from error
        for number, annotation in enumerate(annotations, start=1):
            annotation["id"] = number
        return {
            "info": {"description": "Corrections by readers; a film is known by the SHA-256 of its file"},
            "images": images,
            "annotations": annotations,
            "categories": [{"id": 1, "name": "fracture"}, {"id": 2, "name": WRONG}],
        }

    def forget(self, sha256: str) -> int:
        """Delete all corrections of a film; give how many there were. Raises FeedbackUnavailable."""
        with self._reported() as base:
            return base.execute("DELETE FROM corrections WHERE sha256 = ?", (sha256,)).rowcount

    def _set_up(self, base: sqlite3.Connection) -> None:
        def is_ours() -> bool:
            [[application]], [[form]] = base.execute("PRAGMA application_id"), base.execute("PRAGMA user_version")
            return (application, form) == (_APPLICATION_ID, _FORM)

        def is_empty() -> bool:
            [[tables]] = base.execute("SELECT COUNT(*) FROM sqlite_schema")
            return not tables

        if is_empty():
            base.execute("BEGIN IMMEDIATE")  # all of it or nothing, and one process at a time
            if is_empty():
                for statement in (
                    *_SCHEMA,
                    f"PRAGMA application_id = {_APPLICATION_ID}",
                    f"PRAGMA user_version = {_FORM}",
                ):
                    base.execute(statement)
        if not is_ours():
            raise BadValue(f"expected a file of corrections at {self._path}, got another SQLite file")

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        # mode=rw: a file that was moved away is not silently begun anew.
        address = f"{self._path.as_uri()}?mode=rw"
        with closing(sqlite3.connect(address, timeout=WAIT_S, uri=True)) as base, base:
            base.execute(f"PRAGMA max_page_count = {MOST_BYTES // PAGE_BYTES}")
            base.execute("PRAGMA secure_delete = on")  # what is forgotten is overwritten
            self._set_up(base)  # each time: the file may have been replaced
            yield base

    @contextmanager
    def _reported(self) -> Iterator[sqlite3.Connection]:
        try:
            with self._open() as base:
                yield base
        except (sqlite3.Error, BadValue) as error:
            raise FeedbackUnavailable(f"corrections cannot be kept or read now: {error}") from error


def _annotation(image: int, category: int, x0: float, y0: float, x1: float, y1: float) -> dict[str, Any]:
    width, height = x1 - x0, y1 - y0
    box = {"bbox": [x0, y0, width, height], "area": width * height, "iscrowd": 0}
    return {"image_id": image, "category_id": category} | box
