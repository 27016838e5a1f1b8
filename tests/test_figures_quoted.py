"""What README and the model card say is what the committed reports and the shipped card say; nothing drifts."""

import json
import re
from pathlib import Path

import pytest

from fracture.core.types import Estimate
from fracture.evaluation.report import schema
from fracture.models import card as cards

ROOT = Path(__file__).parents[1]
RUN = ROOT / "docs/runs/fracture_yolov8s_512m"
NAMES = ("test", "official_valid", "official_test", "second_source", "development")
REPORTS = {name: schema.load(RUN / f"{name}.json") for name in NAMES}
CARD = cards.load(cards.SHIPPED)
INTERVAL = re.compile(r"(-?\d\.\d{3}) \((-?\d\.\d{3}) to (-?\d\.\d{3})\)")


def estimates(tree):
    """Give every estimate of a report, wherever it stands."""
    if isinstance(tree, dict) and {"value", "low", "high", "n"} <= tree.keys():
        yield Estimate(**tree)
    elif isinstance(tree, dict | list):
        for part in tree.values() if isinstance(tree, dict) else tree:
            yield from estimates(part)


def quoted(estimate):
    return f"{estimate['value']:.3f} ({estimate['low']:.3f} to {estimate['high']:.3f})"


@pytest.mark.parametrize(("page", "least"), [("README.md", 6), ("docs/FIGURES.md", 30), ("MODEL_CARD.md", 30)])
def test_every_interval_quoted_stands_in_a_committed_report(page, least):
    known = {
        tuple(f"{end:.3f}" for end in (e.value, e.low, e.high))
        for report in REPORTS.values()
        for e in estimates(report)
        if e.low is not None
    }
    found = INTERVAL.findall((ROOT / page).read_text())
    assert len(found) >= least
    assert [figure for figure in found if figure not in known] == []


def rows(page, name):
    """Give the cells of the rows of a page's tables whose first cell starts with the name."""
    lines = (ROOT / page).read_text().splitlines()
    cells = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|"))
    return [row for row in cells if row[0].startswith(name)]


@pytest.mark.parametrize("name", ["screening", "balanced", "specific", "guaranteed recall 0.9 (95 %)"])
def test_the_table_of_modes_is_the_reports(name):
    [point] = [point for point in REPORTS["test"]["points"] if point["name"] == name]
    served = REPORTS["test"]["film"]["flagged"][name]
    expected = [name, f"{point['threshold']:.3f}"]
    expected += [quoted(figures[rate]) for figures in (point, served) for rate in ("sensitivity", "specificity")]
    assert rows("docs/FIGURES.md", name) == [expected]


@pytest.mark.parametrize("name", ["screening", "balanced", "specific"])
def test_the_model_card_has_the_same_modes(name):
    served = REPORTS["test"]["film"]["flagged"][name]
    assert [row[1] for row in rows("MODEL_CARD.md", name)] == [
        f"{quoted(served['sensitivity'])}, {quoted(served['specificity'])}"
    ]


def test_the_headlines_are_the_reports():
    box, film = REPORTS["test"]["box"], REPORTS["test"]["film"]
    for page in ("README.md", "MODEL_CARD.md"):
        text = (ROOT / page).read_text()
        assert f"| {quoted(film['auc'])} |" in text, page
        assert re.search(rf"\| AP at IoU 0\.5 \|[^|]*\|? ?{re.escape(quoted(box['ap50']))} \|", text), page
    served = film["flagged"]["screening"]
    [row] = rows("README.md", "sensitivity, specificity at `screening`")
    assert row[-1] == f"{quoted(served['sensitivity'])}, {quoted(served['specificity'])}"
    [second, away] = [rows("README.md", name)[-1][2] for name in ("AP at IoU 0.5", "film AUC")]
    assert second == quoted(REPORTS["second_source"]["box"]["ap50"])
    assert away == quoted(REPORTS["development"]["film"]["auc"])
    for page in ("README.md", "MODEL_CARD.md", "docs/FIGURES.md"):  # what the development set's films give away
        assert quoted(REPORTS["development"]["shortcuts"]["looks"]) in (ROOT / page).read_text()
    for name in ("hand", "leg", "hip", "shoulder"):
        at = REPORTS["test"]["slices"]["region"][name]["at"]["screening"]
        [row] = rows("docs/FIGURES.md", name)
        assert [cell.partition(", n")[0] for cell in row[1:]] == [quoted(at[r]) for r in ("sensitivity", "specificity")]
        assert f"n = {at['sensitivity']['n']}" in row[1]
    for name, key in (("valid", "official_valid"), ("test", "official_test")):
        [row] = [row for row in rows("docs/FIGURES.md", name) if row[1] == str(REPORTS[key]["data"]["films"])]
        assert row[2:4] == [quoted(REPORTS[key]["box"][ap]) for ap in ("ap50", "ap50_95")]


def test_the_reports_are_the_shipped_models_at_the_cards_points():
    points = tuple(cards.operating_point(point) for point in REPORTS["test"]["points"])
    assert [point for point in points if point.name in {p.name for p in CARD.operating_points}] == list(
        CARD.operating_points
    )
    for report in REPORTS.values():
        assert {**report["model"]["files"], cards.FILMS: ""} == {**CARD.files, cards.FILMS: ""}
        assert report["model_was_made_with"] == []
        assert report["calibration"]["temperature"] == CARD.calibration.temperature
        assert report["calibration"]["shift"] == CARD.calibration.shift


def test_what_is_published_shows_no_film():
    for page in RUN.glob("*.html"):
        assert "data:image" not in page.read_text(), page.name
    assert (RUN / "test.html").is_file()
    assert json.loads((RUN / "test.json").read_text())["shortcuts"]["findings"]


def test_the_card_says_of_test_what_the_report_says():
    for point in CARD.operating_points:
        _, *told = CARD.on_test(point)
        at = REPORTS["test"]["film"].get("flagged") or REPORTS["test"]["film"]["at"]
        assert told == [Estimate(**at[point.name][rate]) for rate in ("sensitivity", "specificity")]


def test_what_is_said_of_an_8_bit_network_was_measured_on_the_films_of_the_modes():
    told, text = CARD.measured.get("int8"), (ROOT / "MODEL_CARD.md").read_text()
    if told is None:
        assert "No 8-bit form of it was made yet." in text
        return
    assert f"{100 * (told['map50']['float'] - told['map50']['int8']):.2f} points of AP50 where" in text
    assert told["measured_on"] == CARD.calibration.fitted_on
