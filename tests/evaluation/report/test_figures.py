"""The plots: the same bytes every time, every asked row and mark there, nothing where there is nothing to show."""

import copy
import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ET

import pytest

from fracture.evaluation.report.figures import MOST_ROWS, PLOTS, figures

EVIL = "\x07$\\frac{1}{$ <script>alert(1)</script>\n&\"' 骨折"


def texts(svg):
    """Give the texts of an SVG, in the order they were drawn."""
    return ["".join(node.itertext()) for node in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]


def only(report, *keys):
    """Keep some keys of a report."""
    return {key: report[key] for key in keys}


def test_every_plot_is_drawn_and_is_one_svg(drawn):
    assert list(drawn) == list(PLOTS)
    for svg in drawn.values():
        assert svg.startswith("<svg ")
        assert ET.fromstring(svg).tag.endswith("}svg")
        assert "font-family: 'DejaVu Sans', sans-serif" in svg
        assert not re.search(r"<metadata|dc:date|<\?xml", svg)


def test_the_same_report_gives_the_same_bytes_in_another_process(report, tmp_path):
    part = only(report, "calibration", "box")
    (tmp_path / "report.json").write_text(json.dumps(part), encoding="utf-8")
    code = (
        "import json, sys; from fracture.evaluation.report.figures import figures; "
        "sys.stdout.buffer.write(json.dumps(figures(json.load(open(sys.argv[1])))).encode())"
    )
    again = subprocess.run([sys.executable, "-c", code, tmp_path / "report.json"], check=True, capture_output=True)
    assert json.loads(again.stdout) == figures(part)


def test_no_two_plots_share_the_name_of_anything_they_use(drawn):
    """One page holds all plots: a clip or a marker that two of them name would be that of the first."""
    named = [set(re.findall(r'(?:url\(#|href="#)([^")]+)', svg)) for svg in drawn.values()]
    assert all(named)
    assert sum(map(len, named)) == len(set.union(*named))


def test_nothing_to_show_is_no_plot(report):
    assert figures({}) == {}
    assert list(figures(only(report, "calibration"))) == ["reliability"]
    bare = copy.deepcopy(report)
    for curve in (bare["film"]["roc"], bare["film"]["pr"], bare["box"]["pr"], bare["box"]["froc"]["curve"]):
        for values in curve.values():
            values.clear()
    bare["box"]["froc"]["at"] = {}
    bare["film"]["scores"]["fractured"] = bare["film"]["scores"]["normal"] = [0] * 20
    bare["calibration"] = {"raw": {"curve": {"mean_score": [None], "share": [None]}}, "calibrated": None}
    bare["slices"] = {}
    assert figures(bare) == {}


def crosses(figure, axes=0):
    """Give the marks with error bars of a figure: (x, y, ends of each bar)."""
    marks = [held for held in figure.axes[axes].containers if type(held).__name__ == "ErrorbarContainer"]
    return [
        (*(mark.lines[0].get_xydata()[0]), [bar.get_segments()[0].tolist() for bar in mark.lines[2]]) for mark in marks
    ]


def test_the_roc_marks_each_point_where_it_was_measured(report, drawn):
    marks = crosses(PLOTS["roc"](report))
    assert len(marks) == 4
    x, y, (across, up) = marks[0]
    # 121 of 503 normal films flagged, 136 of 164 fractured ones.
    assert (x, y) == pytest.approx((121 / 503, 136 / 164))
    at = report["film"]["at"]["target recall 0.9"]
    # Mirrored with the axis: the lower end of 1 - specificity comes from the upper end of specificity.
    assert [end[0] for end in across] == pytest.approx([1 - at["specificity"]["high"], 1 - at["specificity"]["low"]])
    assert [end[1] for end in up] == pytest.approx([at["sensitivity"]["low"], at["sensitivity"]["high"]])
    assert {*report["film"]["at"], "AUC 0.863 (0.832 to 0.894)"} <= set(texts(drawn["roc"]))


def test_a_point_that_is_not_estimable_is_not_marked(report):
    report["film"]["at"]["balanced"]["specificity"].update(value=None, low=None, high=None)
    assert len(crosses(PLOTS["roc"](report))) == 3


def test_the_froc_shows_the_asked_rates(report, drawn):
    marks = crosses(PLOTS["froc"](report))
    assert [(x, y) for x, y, _ in marks] == [
        (float(k), found["value"]) for k, found in report["box"]["froc"]["at"].items()
    ]
    ticks = ["0.1", "0.25", "0.5", "1", "2", "5", "10"]
    assert [text for text in texts(drawn["froc"]) if text in ticks] == ticks


def test_the_reliability_has_both_curves_and_only_bins_with_films(report):
    figure = PLOTS["reliability"](report)
    bars = [bars.get_segments() for bars in figure.axes[0].collections]
    assert [len(each) for each in bars] == [10, 10]  # the eleventh bin is empty
    first = report["calibration"]["raw"]["curve"]["share"][0]
    assert bars[0][0][:, 1] == pytest.approx([first["low"], first["high"]])
    below = [line.get_ydata() for line in figure.axes[1].lines]
    assert [list(counts) for counts in below] == [[421, 84, 42, 28, 19, 15, 14, 13, 17, 14]] * 2
    assert [text.get_text() for text in figure.axes[0].get_legend().texts] == ["as the model says", "calibrated"]
    report["calibration"]["calibrated"] = None
    figure = PLOTS["reliability"](report)
    assert [text.get_text() for text in figure.axes[0].get_legend().texts] == ["as the model says"]


def test_the_thresholds_stand_in_the_histograms(report, drawn):
    shown = texts(drawn["scores"])
    assert {"164 fractured films", "503 normal films", "target recall 0.9 0.034", "specific 0.412"} <= set(shown)
    for axes in PLOTS["scores"](report).axes:
        assert [line.get_xdata()[0] for line in axes.lines] == [point["threshold"] for point in report["points"]]
        assert len({str(line._dash_pattern) for line in axes.lines}) == 4


def test_the_forest_has_a_row_for_every_part_and_says_what_is_thin(report, drawn):
    shown = texts(drawn["slices"])
    for kind, parts in report["slices"].items():
        assert kind in shown
        assert set(parts) <= set(shown)
    assert "all films" in shown
    # 12 fractured hips are few, 40 normal ones are not; the humerus set has no normal films.
    assert "n=12, fewer than 20" in shown
    assert "n=40" in shown
    assert "not estimable (no normal films)" in shown
    few = sum("fewer than 20" in text for text in shown)
    rates = [
        part["at"]["target recall 0.9"][rate]
        for parts in report["slices"].values()
        for part in parts.values()
        for rate in ("sensitivity", "specificity")
    ]
    assert few == sum(rate["value"] is not None and min(rate["n"], rate["n_groups"]) < 20 for rate in rates)


def test_thin_rows_are_grey(report):
    report["slices"] = {"region": {"hip": report["slices"]["region"]["hip"]}}
    svg = figures({**only(report, "points", "slices"), "film": {"at": report["film"]["at"]}})["slices"]
    # Two sides of all films, one side of the hip: 12 fractured hips are grey, 40 normal ones blue.
    assert len(re.findall(r'<use [^>]*style="fill: #0072b2', svg)) == 3
    assert len(re.findall(r'<use [^>]*style="fill: #b4bcc4', svg)) == 1


def test_a_slice_of_too_many_parts_is_one_row(report):
    part = report["slices"]["region"]["hand"]
    report["slices"] = {"patient": {f"p{n}": part for n in range(MOST_ROWS + 1)}, "view": {"frontal": part}}
    figure = PLOTS["slices"](report)
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["all films", "", "", "frontal"]
    assert f"patient: {MOST_ROWS + 1}, see the table" in [text.get_text() for text in figure.axes[0].texts]


@pytest.mark.filterwarnings("error")
def test_hostile_names_do_no_harm(report):
    report["points"][0]["name"] = EVIL
    report["film"]["at"][EVIL] = report["film"]["at"]["balanced"]
    report["slices"] = {EVIL: {EVIL: report["slices"]["region"]["hand"]}}
    drawn = figures(only(report, "points", "film", "slices"))
    for svg in drawn.values():
        ET.fromstring(svg)
        assert "<script" not in svg
    assert any("script" in text for text in texts(drawn["slices"]))


def test_matplotlib_keeps_its_settings(report):
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    figures(only(report, "calibration"))
    assert dict(mpl.rcParams) == before


@pytest.mark.parametrize(
    ("plot", "path"),
    [
        ("roc", ("points",)),
        ("roc", ("film", "at")),
        ("roc", ("film", "at", "balanced")),
        ("roc", ("film", "auc")),
        ("film_pr", ("film", "average_precision")),
        ("scores", ("points",)),
        ("scores", ("film", "scores", "normal")),
        ("box_pr", ("box", "ap50")),
        ("froc", ("box", "froc", "at")),
        ("froc", ("box", "froc", "curve")),
        ("reliability", ("calibration", "raw")),
        ("reliability", ("calibration", "calibrated")),
        ("slices", ("film",)),
        ("slices", ("slices", "region")),
        ("slices", ("slices", "region", "hand")),
        ("slices", ("slices", "region", "hand", "at")),
    ],
)
def test_a_plot_does_without_what_is_null(report, plot, path):
    at = report
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = None
    figure = PLOTS[plot](report)
    assert figure is not None
