"""The folder of an evaluation: predictions, report.json, report.html and figures."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fracture.clinical.status import Thresholds
from fracture.core.files import write_bytes, write_json
from fracture.data.workers import film_map
from fracture.evaluation.cases import Cases
from fracture.evaluation.report import schema
from fracture.evaluation.report.figures import figures
from fracture.evaluation.report.gallery import Shown, picture_of
from fracture.evaluation.report.page import page

PREDICTIONS, REPORT, PAGE, FIGURES = "predictions", "report.json", "report.html", "figures"


def save(out: Path, report: Mapping[str, Any], pictures: Mapping[str, str]) -> None:
    """Write a report, its page and its figures. ``pictures`` are the films the page shows, image_id -> SVG.

    Raises BadValue for a report that is not what the model of a report says.
    """
    checked = schema.check(report)
    drawn = figures(report)
    shown = page(checked, drawn, pictures)
    for stale in (out / FIGURES).glob("*.svg"):
        stale.unlink()
    for name, svg in drawn.items():
        write_bytes(out / FIGURES / f"{name}.svg", svg.encode())
    write_bytes(out / PAGE, shown.encode())
    write_json(out / REPORT, report)


def worst_pictures(root: Path, report: Mapping[str, Any], cases: Cases) -> dict[str, str]:
    """Draw the films that the report names as its worst, image_id -> SVG; ``root`` is the dataset's folder."""
    if not report["worst"]:
        return {}
    names = {film["image_id"] for kind in ("missed", "false_alarms") for film in report["worst"][kind]}
    at = {point["name"]: point["threshold"] for point in report["points"]}
    worst = at[report["worst"]["point"]]
    thresholds = Thresholds(at.get("screening", worst), at.get("specific", worst))
    wanted = []
    every = cases.said(thresholds, thresholds.least("suspicious"))
    for record, found, said in zip(cases.records, cases.detections, every, strict=True):
        if record.image_id in names:
            wanted.append((record.image_id, Shown(root / record.path, record.boxes or (), found, said)))
    # Predictions can be scored where the films are not, and no model has read these then; the page says what it lacks.
    pictures = film_map(picture_of, [shown for _, shown in wanted], lambda *_: "")
    return {name: drawn for (name, _), drawn in zip(wanted, pictures, strict=True) if drawn}
