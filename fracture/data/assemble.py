"""Harmonised stages to one dataset: merge, join groups, split, write the tree, report leaks."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fracture.core.errors import BadValue
from fracture.core.files import write_json
from fracture.core.folders import check_apart
from fracture.core.types import ImageRecord
from fracture.data import manifest, split
from fracture.data.duplicates import find_pairs
from fracture.data.yolo import write_tree

REPORT = "audit.json"


@dataclass(frozen=True)
class SplitReport:
    """The report of `fracture.data.split.report`, and where it was written."""

    content: dict[str, Any]
    path: Path

    @property
    def leaks(self) -> int:
        """Count the groups, patients, studies and duplicate pairs that stand in two splits."""
        return sum(map(len, self.content["leaks"].values()))

    def text(self) -> str:
        """Give the report in a few lines for a terminal."""
        content = self.content
        held, aside, lost = (content[f"films_{kind}"] for kind in ("in_splits", "set_aside", "unaccounted_for"))
        lines = [f"{content['films_in']} films in = {held} in splits + {aside} set aside + {lost} unaccounted for"]
        lines += [
            f"{name:>6}: {part['films']} films, {part['fractured']} fractured, {part['groups']} groups"
            for name, part in content["splits"].items()
        ]
        lines += [
            f"{name:>6} shows no fracture of: {', '.join(regions)}"
            for name, regions in content["regions_without_fracture"].items()
            if regions
        ]
        found = ", ".join(
            f"{len(found)} {kind.removesuffix('_in_two_splits')}" for kind, found in content["leaks"].items()
        )
        lines.append(
            f" leaks: {found} in two splits; {len(content['groups_to_review'])} groups to review; see {self.path}"
        )
        return "\n".join(lines)


def assemble(
    stages: Sequence[Path],
    out: Path,
    *,
    val: float,
    test: float,
    seed: int,
    copy: bool = False,
    stratify: bool = True,
    official: bool = False,
    keep: Path | None = None,
    eval_copies: bool = False,
) -> SplitReport:
    """Write the dataset tree ``out`` from harmonised stages.

    ``keep`` is the manifest of an earlier deal, or any table with the columns image_id and split. Raises BadValue where
    stages were harmonised differently, since a network would see two kinds of film.
    """
    check_apart(out, *stages)
    loaded = [(stage, manifest.load(stage)) for stage in stages]
    records = manifest.merge(records for _, records in loaded)
    folder = {record.image_id: stage for stage, films in loaded for record in films}
    prepared = {
        record.attributes.get("harmonise_id", "not harmonised") for record in records if record.split != "set_aside"
    }
    if len(prepared) > 1 or "not harmonised" in prepared:
        raise BadValue(f"expected stages harmonised alike by fracture preprocess, got {sorted(prepared)}")
    usable = sorted((record for record in records if record.split != "set_aside"), key=_by_id)
    aside = sorted((record for record in records if record.split == "set_aside"), key=_by_id)
    # With the films set aside earlier: a published one among them still keeps its group out of training.
    films = [*usable, *aside]
    pairs = find_pairs(usable, [folder[record.image_id] / record.path for record in usable])
    if official:
        dealt = split.deal_as_published(films, pairs)
    else:
        kept = manifest.load_splits(keep) if keep else None
        dealt = split.deal(
            films, pairs, val=val, test=test, seed=seed, stratify=stratify, keep=kept, eval_copies=eval_copies
        )
    dealt = sorted(dealt, key=_by_id)
    written = write_tree([(record, folder[record.image_id] / record.path) for record in dealt], out, copy=copy)
    named = [(films[p.first].image_id, films[p.second].image_id, round(p.correlation, 4)) for p in pairs]
    content = split.report(written, named)
    write_json(out / REPORT, content)
    return SplitReport(content, out / REPORT)


def _by_id(record: ImageRecord) -> str:
    return record.image_id
