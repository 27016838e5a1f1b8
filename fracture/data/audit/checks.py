"""Where a dataset is wrong: every check of films, boxes, labels, copies and splits."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np

from fracture.core import boxes as box_math
from fracture.core.folders import walk
from fracture.core.types import ImageRecord
from fracture.data.audit.kinds import BLANK, DOUBLED_IOU, KINDS, SLENDER, SMALL_PX, WHITE, Film, Finding, NamedPair
from fracture.data.duplicates import AS_IS, SAME, Look, Pair, contradictions
from fracture.data.ingest import MIN_BOX_PX
from fracture.data.split import LARGE_GROUP, PARTS
from fracture.data.stage import film_name
from fracture.data.yolo import is_drawn, label_text

FOLDERS = ("images", "undrawn")
"""Where films lie in a stage or a dataset; see `fracture.data.yolo.write_tree`."""

AGREED_IOU = 0.5
"""Boxes that overlap less mark different places."""

REPAIRS = frozenset({"boxes_repaired", "label_disagrees", "size_differs"})
_YOLO_DIGITS = 2e-6

Key = Callable[[ImageRecord], str | None]


def find_all(films: Sequence[Film], aside: Sequence[ImageRecord], pairs: Sequence[Pair]) -> list[Finding]:
    """Run every check that needs no other file than the films; ``pairs`` are by index into ``films``."""
    records = [film.record for film in films]
    everyone = [*records, *aside]
    found = [finding for film in films for finding in (*_film(film), *_boxes(film.record, film.look))]
    found += _pairs(records, pairs)
    found += _crossing(records, _named(records, pairs), lambda record: record.split)
    found += _published(everyone, _named(records, pairs))
    found += [
        Finding("large_group", _ids(members), f"group {name}: {_count(members)}")
        for name, members in _by(records, _TIES["group"]).items()
        if len(members) > LARGE_GROUP
    ]
    for flag in sorted({flag for film in films for flag in film.flags} - {"truncated", *REPAIRS}):
        marked = [film.record for film in films if flag in film.flags]
        found.append(Finding("flagged", _ids(marked), f"{flag}: {_count(marked)}"))
    found += [
        Finding("set_aside", (record.image_id,), record.attributes.get("reason", "no reason stated"))
        for record in aside
    ]
    return found


def in_order(found: Iterable[Finding]) -> tuple[Finding, ...]:
    """Sort findings: the gravest kind first, then by film."""
    rank = {kind: place for place, kind in enumerate(KINDS)}
    return tuple(sorted(found, key=lambda finding: (rank[finding.kind], finding.image_ids, finding.text)))


def check_files(folder: Path, records: Sequence[ImageRecord]) -> Iterator[Finding]:
    """Compare the manifest of a stage or dataset with the films and label files that lie there."""
    listed = {record.path for record in records if record.split != "set_aside"}
    for place in FOLDERS:
        for path in walk(folder / place, hidden=True).names:
            if (name := path.relative_to(folder).as_posix()) not in listed:
                yield Finding("film_unlisted", (), name)
    drawn = {_label_path(record): record for record in records if record.split != "set_aside" and is_drawn(record)}
    if drawn and not (folder / "labels").is_dir():
        yield Finding("label_missing", _ids(drawn.values()), f"there is no folder of labels; {len(drawn)} are missing")
        return
    for name, record in drawn.items():
        if not (folder / name).is_file():
            yield Finding("label_missing", (record.image_id,), name)
        elif difference := _difference(record, (folder / name).read_text(encoding="utf-8", errors="replace")):
            yield Finding("label_differs", (record.image_id,), difference)
    for path in walk(folder / "labels", hidden=True).names:
        name = path.relative_to(folder).as_posix()
        if path.suffix == ".txt" and name not in drawn:
            yield Finding("label_unexpected", (), name)


def _film(film: Film) -> Iterator[Finding]:
    record, look = film.record, film.look

    def say(kind: str, text: str) -> Finding:
        return Finding(kind, (record.image_id,), text)

    if look.problem is not None:
        yield say("film_unreadable" if film.file.is_file() else "film_missing", look.problem)
        return
    width, height = look.size_px
    if look.size_px != record.size_px:
        yield say("size_differs", f"stated {record.size_px[0]} x {record.size_px[1]} px, found {width} x {height} px")
    if "truncated" in film.flags:
        yield say("truncated", _label(record))
    if look.repeated > 0:
        yield say("repeated", f"{look.repeated:.0%} of its rows; {_label(record)}")
    if look.deviation < BLANK:
        yield say("blank", f"grey levels deviate by {look.deviation:.1%} of the range")
    if look.white > WHITE:
        yield say("saturated", f"{look.white:.0%} of the film")
    if max(width, height) > SLENDER * min(width, height) or min(width, height) < SMALL_PX:
        yield say("odd_shape", f"{width} x {height} px")
    if film.flags & REPAIRS:
        yield say("repaired", record.attributes.get("notes", ", ".join(sorted(film.flags & REPAIRS))))


def _boxes(record: ImageRecord, look: Look) -> Iterator[Finding]:
    if not record.boxes:
        return
    xyxy = np.array(record.boxes, dtype=np.float64)
    shown = [f"[{', '.join(f'{edge:.1f}' for edge in box)}]" for box in record.boxes]
    if look.problem is None:
        for index in np.flatnonzero((xyxy != box_math.clip(xyxy, look.size_px)).any(axis=1)):
            yield Finding("box_outside", (record.image_id,), f"box {shown[index]} on a film of {look.size_px} px")
    for index in np.flatnonzero((xyxy[:, 2:] - xyxy[:, :2]).min(axis=1) < MIN_BOX_PX):
        yield Finding("box_tiny", (record.image_id,), f"box {shown[index]}")
    overlap = box_math.iou(xyxy, xyxy)
    for a, b in combinations(range(len(xyxy)), 2):
        if overlap[a, b] > DOUBLED_IOU:
            yield Finding(
                "boxes_doubled", (record.image_id,), f"boxes {shown[a]} and {shown[b]}, IoU {overlap[a, b]:.2f}"
            )


def _pairs(records: Sequence[ImageRecord], pairs: Sequence[Pair]) -> Iterator[Finding]:
    """Sort pairs by what they are, and name those whose labels disagree."""
    for pair, named in zip(pairs, _named(records, pairs), strict=True):
        first, second = records[pair.first], records[pair.second]
        ids, labels = (first.image_id, second.image_id), f"{_label(first)}, {_label(second)}"
        digests = {record.attributes.get("pixel_sha256") for record in (first, second)}
        if len(digests) == 1 and None not in digests:
            kind = "exact_duplicates"
        elif pair.orientation != AS_IS.name:
            kind = "turned_duplicates"
        else:
            kind = "near_duplicates" if pair.correlation >= SAME else "similar_films"
        yield Finding(kind, ids, labels, (named,))
        if contradictions(records, [pair]):
            yield Finding("contradictory_duplicates", ids, labels, (named,))
        elif kind in {"exact_duplicates", "near_duplicates"} and _drawn_apart(first, second):
            yield Finding("boxes_contradict", ids, labels, (named,))
        elif pair.correlation >= SAME and (first.fractured is None) != (second.fractured is None):
            yield Finding("unlabelled_duplicates", ids, labels, (named,))


def _of_source(record: ImageRecord, name: str | None) -> str | None:
    """Make a name that only its source knows one that no other source can have."""
    return name and f"{record.source}/{name}"


_TIES: Mapping[str, Key] = {
    "patient": lambda record: _of_source(record, record.patient_id),
    "study": lambda record: _of_source(record, record.study_id),
    "family": lambda record: _of_source(record, record.attributes.get("family")),
    "group": lambda record: record.group_id,
}


def _crossing(records: Sequence[ImageRecord], pairs: Iterable[NamedPair], part: Key) -> Iterator[Finding]:
    """Find what belongs together and stands in two parts."""
    placed = [record for record in records if part(record) in PARTS]
    for kind, key in _TIES.items():
        for name, members in _by(placed, key).items():
            parts = Counter(part(record) for record in members)
            if len(parts) > 1:
                spread = ", ".join(f"{parts[one]} in {one}" for one in PARTS if one in parts)
                yield Finding(f"{kind}_in_two_splits", _ids(members), f"{kind} {name}: {spread}")
    known = {record.image_id: record for record in placed}
    for pair in pairs:
        if pair.first in known and pair.second in known:
            first, second = known[pair.first], known[pair.second]
            if part(first) != part(second):
                spread = f"{part(first)} and {part(second)}; {_label(first)}, {_label(second)}"
                yield Finding("duplicates_in_two_splits", (pair.first, pair.second), spread, (pair,))


def _published(records: Sequence[ImageRecord], pairs: Iterable[NamedPair]) -> Iterator[Finding]:
    for finding in _crossing(records, pairs, lambda record: record.attributes.get("official_split")):
        yield Finding("published_lists", finding.image_ids, f"published lists: {finding.text}", finding.pairs)


def _drawn_apart(first: ImageRecord, second: ImageRecord) -> bool:
    """Tell whether two copies of a film were boxed in different places, wherever both were boxed at all."""
    if not first.boxes or not second.boxes:
        return False
    a, b = (np.array(record.boxes) / np.tile(record.size_px, 2) for record in (first, second))
    overlap = box_math.iou(a, b)
    return bool(min(overlap.max(axis=0).min(), overlap.max(axis=1).min()) < AGREED_IOU)


def _named(records: Sequence[ImageRecord], pairs: Sequence[Pair]) -> list[NamedPair]:
    return [
        NamedPair(
            records[pair.first].image_id,
            records[pair.second].image_id,
            round(min(pair.correlation, 1.0), 4),
            pair.orientation,
        )
        for pair in pairs
    ]


def _by(records: Iterable[ImageRecord], key: Key) -> dict[str, list[ImageRecord]]:
    """Put records with the same key together; those without one are left out."""
    together: defaultdict[str, list[ImageRecord]] = defaultdict(list)
    for record in records:
        if value := key(record):
            together[value].append(record)
    return dict(together)


def _ids(records: Iterable[ImageRecord]) -> tuple[str, ...]:
    return tuple(sorted(record.image_id for record in records))


def _count(records: Sequence[ImageRecord]) -> str:
    fractured = sum(record.fractured is True for record in records)
    return f"{len(records)} films, {fractured} fractured"


def _label(record: ImageRecord) -> str:
    """Say in a word or two what is known of the film."""
    if record.fractured is None:
        return "unlabelled"
    boxes = len(record.boxes or ())
    return f"fractured ({boxes} box{'' if boxes == 1 else 'es'})" if record.fractured else "normal"


def _label_path(record: ImageRecord) -> str:
    """Give where the film's label file lies: by split in a dataset, flat in a stage."""
    name = f"{film_name(record)}.txt"
    in_dataset = record.split and Path(record.path).parent.as_posix() in {
        f"{place}/{record.split}" for place in FOLDERS
    }
    return f"labels/{record.split}/{name}" if in_dataset else f"labels/{name}"


def _difference(record: ImageRecord, text: str) -> str | None:
    """Tell how a label file differs from the manifest's boxes, None where it does not."""
    wanted = label_text(record)
    if text == wanted:
        return None
    rows = [line.split() for line in text.splitlines() if line.strip()]
    try:
        found = np.array(sorted([float(cell) for cell in row] for row in rows)).reshape(len(rows), 5)
    except ValueError:
        return "expected five numbers in every line, got something else"
    stated = np.array(sorted([float(cell) for cell in line.split()] for line in wanted.splitlines())).reshape(-1, 5)
    if len(found) != len(stated):
        return f"boxes in the file: {len(found)}, in the manifest: {len(stated)}"
    return None if np.allclose(found, stated, rtol=0, atol=_YOLO_DIGITS) else "the boxes lie elsewhere"
