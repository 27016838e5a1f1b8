"""Harmonised stages to one dataset: merge, join groups, split, write the tree, and report on leaks."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fracture.data import audit, manifest, split
from fracture.data.stage import write_json
from fracture.data.yolo import write_tree
from fracture.errors import BadValue

REPORT = "audit.json"


@dataclass(frozen=True)
class SplitReport:
    """What `fracture.data.split.report` says, and where it was written."""

    content: dict[str, Any]
    path: Path

    def text(self) -> str:
        """Give the report in a few lines for a terminal."""
        content, leaks = self.content, self.content["leaks"]
        held, aside, lost = (content[f"films_{kind}"] for kind in ("in_splits", "set_aside", "unaccounted_for"))
        lines = [f"{content['films_in']} films in = {held} in splits + {aside} set aside + {lost} unaccounted for"]
        lines += [
            f"{name:>6}: {part['films']} films, {part['fractured']} fractured, {part['groups']} groups"
            for name, part in content["splits"].items()
        ]
        lines.append(
            f" leaks: {len(leaks['groups_in_two_splits'])} groups and {len(leaks['duplicates_in_two_splits'])} "
            f"duplicate pairs in two splits; {len(content['groups_to_review'])} groups to review; see {self.path}"
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
) -> SplitReport:
    """Write the dataset tree ``out`` from harmonised stages.

    Raises BadValue where stages were harmonised differently: a network would see two kinds of film.
    """
    loaded = [(stage, manifest.load(stage)) for stage in stages]
    records = manifest.merge(records for _, records in loaded)
    folder = {record.image_id: stage for stage, films in loaded for record in films}
    prepared = {
        record.attributes.get("harmonise_id", "not harmonised") for record in records if record.split != "set_aside"
    }
    if len(prepared) > 1 or "not harmonised" in prepared:
        raise BadValue(f"expected stages harmonised alike by scripts/preprocess.py, got {sorted(prepared)}")
    usable = [record for record in records if record.split != "set_aside"]
    aside = [record for record in records if record.split == "set_aside"]
    pairs = audit.find_pairs(usable, [folder[record.image_id] / record.path for record in usable])
    grouped = split.group(usable, pairs)
    if official:
        dealt = split.split_as_published([*grouped, *aside])
    else:
        sound = split.set_contradictions_aside(grouped, pairs)
        # Films set aside earlier go along: a published one still keeps its group out of training.
        dealt = split.split([*sound, *aside], val=val, test=test, seed=seed, stratify=stratify)
    ordered = sorted(dealt, key=lambda record: record.image_id)
    written = write_tree([(record, folder[record.image_id] / record.path) for record in ordered], out, copy=copy)
    named = [(usable[p.first].image_id, usable[p.second].image_id, round(p.correlation, 4)) for p in pairs]
    content = split.report(written, named)
    write_json(out / REPORT, content)
    return SplitReport(content, out / REPORT)
