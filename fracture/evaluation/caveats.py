"""What a reader must know before any figure: the warnings of a report, on the films and on the predictions."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from fracture.core.types import FEW, ImageRecord
from fracture.data import assemble
from fracture.evaluation.cases import Cases
from fracture.evaluation.folder import REPORT
from fracture.evaluation.leakage import MadeWith
from fracture.inference.reader import Reader
from fracture.predictions import Loaded

CROPS = 0.1
"""Boxes that cover more of the film than this, in the median, were drawn on crops; on whole films they cover 0.5 %."""

MANY_OUTSIDE = 0.05
"""Films of a model's own kind are taken for strange ones a fifth as often as this."""


def about_data(root: Path, report: Mapping[str, Any], known: Mapping[str, Any] | None) -> Iterator[str]:
    """Say what a reader must know about the films before any figure."""
    data = report["data"]
    leaks = _leaks(root)
    if leaks:
        yield f"the dataset's own report counts {leaks} leaks between its splits: figures look better than they are"
    for kind, rate in (("fractured", "sensitivity"), ("normal", "specificity")):
        if data[kind] == 0:
            yield f"there are no {kind} films: {rate} cannot be estimated"
        elif data[kind] < FEW:
            yield f"there are {data[kind]} {kind} films, fewer than {FEW}: {rate} says little"
    if report["left_out"]:
        yield f"{len(report['left_out'])} films of the split were left out, by name and reason in {REPORT}"
    undrawn = data["fractured"] - data["boxed_films"]
    if data["boxes"] and undrawn:
        yield f"{undrawn} fractured films have no drawn boxes and are in no figure of boxes"
    share = data["median_box_share"]
    if share is not None and share > CROPS:
        usual = known["data"]["median_box_share"] if known else None
        beside = f", against {usual:.1%} on the films beside it" if usual is not None else ""
        yield f"drawn boxes cover {share:.0%} of a film in the median{beside}: these are crops, not whole films"


def about_predictions(
    report: Mapping[str, Any],
    cases: Cases,
    loaded: Loaded,
    records: Sequence[ImageRecord],
    reader: Reader | None,
    made_with: MadeWith,
) -> Iterator[str]:
    """Say what a reader must know about the predictions and the thresholds before any figure."""
    without_a_row = set(loaded.without_a_line)
    unanswered = sum(record.image_id in without_a_row for record in cases.records)
    if unanswered:
        yield f"the predictions have no row for {unanswered} films: taken as nothing found there"
    val = [record.image_id in without_a_row for record in records if record.split == "val"]
    if reader is None and report["points"] and any(val):
        yield f"thresholds were chosen on {len(val)} val films; the predictions have no row for {sum(val)} of them"
    if loaded.other_rows:
        yield f"{loaded.other_rows} boxes of other categories were dropped"
    if reader is not None and not made_with.films:
        yield "the model's bundle does not say which films it was made with: this may be no test"
    if len(made_with.known_by) < made_with.no_test:
        yield (
            f"the model's bundle knows {len(made_with.known_by)} of its {made_with.no_test} films by their pixels, the "
            "others by name only: one of those under another name would not be noticed (fracture bundle --hashes)"
        )
    if report["copies"] and report["copies"]["left_out"]:
        copied = len(report["copies"]["left_out"])
        yield (
            f"{copied} films are copies of films the model was made with, under other names: they are in no figure, "
            f"and named in {REPORT}"
        )
    outside = report["model"]["outside_scope"]
    if outside is not None and outside["low"] is not None and outside["low"] > MANY_OUTSIDE:
        yield (
            f"{outside['value']:.0%} of the films are unlike those the model was made with: what was measured on films "
            "that it knows does not speak of them"
        )
    if not report["points"]:
        yield "no thresholds: name predictions for the val films too, and they are chosen there"
    for point in report["points"]:
        if not point["reached"]:
            yield f"{point['name']}: {point['rule']}"


def _leaks(root: Path) -> int:
    path = root / assemble.REPORT
    leaks = json.loads(path.read_text(encoding="utf-8")).get("leaks") if path.is_file() else None
    return sum(map(len, leaks.values())) if isinstance(leaks, dict) else 0
