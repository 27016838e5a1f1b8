"""How a stage works through thousands of films: in parallel, with a progress bar, and resumable after a kill.

Every file is written under another name and renamed when whole. An append-only journal has a line for each finished
film, with a stamp of everything the result depends on; the manifest is written last. The next run trusts a journal
line only when it is whole, its stamp still fits and its files are there.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from tqdm import tqdm

from fracture.core.errors import FractureError
from fracture.core.types import ImageRecord
from fracture.data.manifest import from_cells, to_cells
from fracture.data.workers import film_map

JOURNAL = "journal.jsonl"

Job = TypeVar("Job")


def film_name(record: ImageRecord) -> str:
    """Give the film's name in a tree that mixes sources, unique because image ids are."""
    return record.image_id.replace("/", "__")


class Journal:
    """What earlier runs of a stage have finished: image_id -> (stamp, record)."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.done: dict[str, tuple[str, ImageRecord]] = {}
        if path.is_file():
            for line in path.read_text(encoding="utf-8").splitlines():
                self._read(line)

    def _read(self, line: str) -> None:
        try:
            entry: dict[str, Any] = json.loads(line)
            record = from_cells(entry["record"])
            self.done[record.image_id] = (entry["stamp"], record)
        except (ValueError, KeyError, TypeError, FractureError):
            return  # a kill cut the line short, or another version wrote it; its film is read again

    def finished(self, image_id: str, stamp: str) -> ImageRecord | None:
        """Give the record of an earlier run if nothing it depends on has changed since."""
        known = self.done.get(image_id)
        if known is None or known[0] != stamp:
            return None
        record = known[1]
        there = record.split == "set_aside" or (self.path.parent / record.path).is_file()
        return record if there else None

    def line(self, stamp: str, record: ImageRecord) -> str:
        """Give the journal line of a finished film."""
        return json.dumps({"stamp": stamp, "record": to_cells(record)}) + "\n"


def set_aside(record: ImageRecord, reason: str) -> ImageRecord:
    """Keep a film in the manifest that cannot be used, and say why."""
    return replace(record, split="set_aside", attributes={**record.attributes, "reason": reason})


def run_films(
    jobs: Sequence[tuple[str, str, Job]],
    work: Callable[[Job], ImageRecord],
    lost: Callable[[Job, str], ImageRecord],
    journal: Journal,
    title: str,
    workers: int | None = None,
) -> list[ImageRecord]:
    """Work through ``(image_id, stamp, job)``, skipping what the journal has; give the records in the jobs' order.

    ``lost`` gives the record of a film that ends every process it meets, from its job and the reason.
    """
    results = {image_id: journal.finished(image_id, stamp) for image_id, stamp, _ in jobs}
    todo = [(image_id, stamp, job) for image_id, stamp, job in jobs if results[image_id] is None]
    journal.path.parent.mkdir(parents=True, exist_ok=True)
    with journal.path.open("a", encoding="utf-8") as log:
        if journal.path.stat().st_size and todo:
            log.write("\n")  # closes a line that a kill may have cut short
        done = film_map(work, [job for _, _, job in todo], lost, workers)
        bar = tqdm(done, total=len(jobs), initial=len(jobs) - len(todo), desc=title, unit="film")
        for (image_id, stamp, _), record in zip(todo, bar, strict=True):
            log.write(journal.line(stamp, record))
            log.flush()
            results[image_id] = record
    return [record for image_id, _, _ in jobs if (record := results[image_id]) is not None]
