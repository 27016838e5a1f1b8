"""The page: every figure of the report is on it, hostile text stays text, and what is missing is said."""

import copy
import re
from html.parser import HTMLParser

from fracture.core.errors import BadValue
from fracture.evaluation.report import page as report_page
from fracture.evaluation.report import schema
from fracture.imaging.render import NOT_A_DEVICE

EVIL = '<script>alert(1)</script>" onload="x\'&'
VOID = {"meta", "br", "path", "use", "image", "rect"}


def page(report, figures, pictures):
    """Give the page of a report as report.json holds it."""
    return report_page.page(schema.check(report), figures, pictures)


class Reader(HTMLParser):
    """Collects tags, texts, links and what was left open."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.text, self.links, self.open = [], [], [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for key, value in attrs if key in {"href", "src", "xlink:href", "action", "data"}]
        assert not [key for key, _ in attrs if key.startswith("on")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.text.append(data)


def read(html):
    reader = Reader(html)
    assert reader.open == []
    return reader


def text(html):
    return " ".join("".join(read(html).text).split())


def estimates(tree, path=()):
    """Give (path, estimate) of every estimate of a report that the page shows as a figure."""
    if isinstance(tree, dict):
        if "n_groups" in tree:
            yield path, tree
        else:
            for key, value in tree.items():
                yield from estimates(value, (*path, key))
    elif isinstance(tree, list):
        for index, value in enumerate(tree):
            yield from estimates(value, (*path, index))


def said(found, percent):
    """Say an estimate as the page does."""
    if found["value"] is None:
        return f"not estimable {found['note']} n={found['n']:,}"
    scale, unit, digits = (100, " %", 1) if percent else (1, "", 3)
    value, low, high = (f"{scale * found[key]:.{digits}f}" for key in ("value", "low", "high"))
    few = ", fewer than 20" if found["n"] < 20 else ""
    return f"{value}{unit} ({low} to {high}) n={found['n']:,}{few}"


def test_every_figure_of_the_report_is_on_the_page(report):
    """Each estimate gets a value of its own, so that no other cell can stand in for it."""
    places = [(path, found) for path, found in estimates(report) if "curve" not in path and found["value"] is not None]
    assert len(places) > 150
    for number, (_, found) in enumerate(places):
        value = 0.1 + number / 1000
        found.update(value=value, low=value - 0.05, high=value + 0.05, n=1000 + number)
    shown = text(page(report, {}, {}))
    for path, found in places:
        assert said(found, True) in shown or said(found, False) in shown, path


def test_counts_and_names_are_on_the_page(report):
    shown = text(page(report, {}, {}))
    for expected in [
        "fracture_yolov8n 0.1.0",
        "test split of dataset_v5, made on 2026-11-21",
        "667films 164fractured 503normal 486groups not knownpatients 512studies 215boxes".replace(" ", ""),
    ]:
        assert expected.replace(" ", "") in shown.replace(" ", "")
    for name, at in report["film"]["at"].items():
        assert name in shown
        assert str(at["counts"]["true_positive"]) in shown
    for digest in (*report["model"]["files"].values(), report["model"]["predictions"]["sha256"]):
        assert digest in shown
    for expected in ("63afbbc0dff4", "c0de" * 6, "7, 2000", "h1-1024-2-8", "temperature 1.73, shift -0.21"):
        assert expected in shown
    for point in report["points"]:
        assert point["rule"] in shown
        assert point["measured_on"] in shown
    assert shown.count("target not reached") == 1
    assert "The median box covers 0.41 % of its film." in shown
    assert report["warnings"][0] in shown
    assert report["shortcuts"]["findings"][0] in shown
    assert "a box in the ring: 27" in shown


def test_the_headline_counts_films_of_a_hundred(report):
    # 136 of 164 is 82.9 % (Wilson 76.4 to 87.9). 382 of 503 is 75.9 % (72.0 to 79.5): turned, 24.1 % (20.5 to 28.0).
    expected = (
        "Of 100 films with a fracture, about 83 are flagged (76 to 88); "
        "of 100 without, about 24 are flagged wrongly (21 to 28)."
    )
    assert expected in text(page(report, {}, {}))


def test_the_headline_says_what_is_thin_or_not_there(report):
    at = report["film"]["at"]["target recall 0.9"]
    at["sensitivity"].update(n=19)
    at["specificity"].update(value=None, low=None, high=None, note="no normal films")
    shown = text(page(report, {}, {}))
    assert "about 83 are flagged (76 to 88), measured on fewer than 20 films; of those without" in shown
    assert "how many are flagged wrongly is not estimable: no normal films." in shown


def test_twenty_is_not_few(report):
    report["film"]["auc"].update(n=20)
    assert "n=20, fewer" not in text(page(report, {}, {}))
    report["film"]["auc"].update(n=19)
    assert "n=19, fewer than 20" in text(page(report, {}, {}))


def test_what_cannot_be_estimated_says_why(report):
    shown = text(page(report, {}, {}))
    assert "not estimable no normal films n=0" in shown
    report["film"]["auc"].update(value=0.8, low=None, high=None)
    assert "0.800 (no interval)" in text(page(report, {}, {}))


def test_a_model_that_knows_the_films_is_no_test(report):
    assert "NOT A TEST" not in page(report, {}, {})
    report["model_was_made_with"] = [f"s/{n}" for n in range(7)]
    shown = text(page(report, {}, {}))
    assert "NOT A TEST" in shown
    assert "on 7 films" in shown
    assert shown.index("NOT A TEST") < shown.index("How good?")


def test_it_is_no_device_at_both_ends(report):
    shown = text(page(report, {}, {}))
    assert shown.count(NOT_A_DEVICE) == 2
    assert shown.endswith(NOT_A_DEVICE)
    assert shown.index(NOT_A_DEVICE) < shown.index("How good?")


def test_what_was_left_out_is_grouped_by_reason(report):
    html = page(report, {}, {})
    shown = text(html)
    assert "10 films of the split are in no figure." in shown
    assert "9 films: not labelled" in shown.replace("films :", "films:")
    assert "1 film: file is truncated" in shown
    details = re.search(r"<details><summary>4 more</summary>(.*?)</details>", html)[1]
    assert re.findall(r"IMG\d+", details) == [f"IMG000000{n}" for n in range(5, 9)]
    report["left_out"] = {}
    assert "every film of the split is counted" in text(page(report, {}, {}))


def test_the_comparison_shows_differences_and_p(report):
    shown = text(page(report, {}, {}))
    assert "Compared with fracture_yolov8s 0.2.0" in shown
    assert "Both models read the same 667 films, so differences are paired." in shown
    assert "0.019 (-0.004 to 0.042)" in shown
    assert "< 0.001" in shown
    assert "0.213" in shown
    report["comparison"] |= {"paired": False, "films": None}
    shown = text(page(report, {}, {}))
    assert "Compared with fracture_yolov8s 0.2.0 on dataset_v5" in shown
    assert "There it read 667 films, none of them here: differences are of independent figures." in shown


def test_the_plots_and_the_films_are_on_the_page(report, drawn):
    films = {film["image_id"]: f"<svg><path id='{film['image_id'][-1]}'/></svg>" for film in report["worst"]["missed"]}
    html = page(report, drawn, films)
    for svg in (*drawn.values(), *films.values()):
        assert html.count(svg) == 1
    # The normal films have no picture.
    assert html.count("not shown") == len(report["worst"]["false_alarms"])
    assert "left out of this page" not in html
    for film in (*report["worst"]["missed"], *report["worst"]["false_alarms"]):
        assert film["image_id"] in html
        assert f"score {film['score']:.3f}" in html


def test_without_pictures_the_worst_films_are_named(report):
    shown = text(page(report, {}, {}))
    assert "pictures of films are left out of this page" in shown
    assert "fracatlas/IMG0003 score 0.006" in shown


def test_the_page_needs_nothing_else(report, drawn):
    html = page(report, drawn, {})
    reader = read(html)
    assert not {"script", "link", "iframe", "img", "object"} & set(reader.tags)
    assert all(link.startswith("#") for link in reader.links)
    assert not re.search(r"@import|url\((?!#)", html)
    anchors = {link for link in reader.links if link in {"#good", "#whom", "#trust", "#compared", "#worst"}}
    assert len(anchors) == 5
    assert all(f'id="{anchor[1:]}"' in html for anchor in anchors)


FIXED = {"date", "code_id", "sha256", "format", "unit", "source_sha256"}


def poison(tree, key=None):
    """Put a script into every text of a report, and into every name that is not the model's own."""
    if isinstance(tree, dict):
        named = key in {"files", "left_out", "at", "status", "region", "slices"}
        return {(name + EVIL if named else name): poison(value, name) for name, value in tree.items()}
    if isinstance(tree, list):
        return [poison(value, key) for value in tree]
    return tree + EVIL if isinstance(tree, str) and key not in FIXED else tree


def test_hostile_texts_stay_texts(report, drawn):
    evil = poison(report)
    # The names of these are numbers.
    evil["box"]["froc"] = report["box"]["froc"]
    for at in evil["film"]["at"].values():
        at["at_prevalence"] = {}
    evil["model_was_made_with"] = [EVIL]
    evil["shortcuts"]["masking"].append({"name": EVIL, EVIL: EVIL, "left_out": {EVIL: 1}})
    for pictures in ({}, {"s/1": "<svg></svg>"}):
        html = page(evil, drawn, pictures)
        reader = read(html)
        assert "script" not in reader.tags
        assert "".join(reader.text).count("<script>alert(1)") > 60


def parts(tree, path=()):
    """Give the path of every key of a report above its estimates."""
    for key, value in tree.items():
        yield (*path, key)
        if isinstance(value, dict) and "n_groups" not in value:
            yield from parts(value, (*path, key))


MAY_BE_NULL = {
    ("copies",),
    ("study",),
    ("patient",),
    ("worst",),
    ("shortcuts",),
    ("comparison",),
    ("model", "version"),
    ("model", "harmonise_id"),
    ("model", "backend"),
    ("model", "outside_scope"),
    ("model", "predictions", "source_sha256"),
    ("data", "patients"),
    ("data", "studies"),
    ("data", "median_box_share"),
    ("film", "status"),
    ("film", "flagged"),
    ("calibration", "temperature"),
    ("calibration", "shift"),
    ("calibration", "fitted_on"),
    ("calibration", "calibrated"),
    ("comparison", "films"),
    ("study", "auc_noisy_or"),
    ("study", "sensitivity"),
    ("study", "specificity"),
}


def test_any_part_that_may_be_null_may_be(report):
    """What the model of a report lets be null does not stop the page; nothing else may be."""
    report["slices"] = {"region": {name: report["slices"]["region"][name] for name in ("hand", "hip")}}
    rates = {rate: report["points"][0][rate] for rate in ("sensitivity", "specificity")}
    report["film"] |= {"status": {}, "flagged": {point["name"]: rates for point in report["points"]}}
    report |= {"copies": {"known_films": 1, "known_by_pixels": 1, "left_out": {}}}
    report["model"]["outside_scope"] = rates["sensitivity"]
    whole, seen = page(report, {}, {}), set()
    for path in parts(report):
        part = copy.deepcopy(report)
        at = part
        for key in path[:-1]:
            at = at[key]
        at[path[-1]] = None
        try:
            html = page(part, {}, {})
        except BadValue:
            continue
        seen.add(path)
        assert html.endswith("</html>\n"), path
        assert len(html) < len(whole) + 400
    assert {path for path in seen if path[0] != "comparison" or len(path) < 3} == MAY_BE_NULL


def test_a_report_without_points_and_slices_is_a_page(report):
    report |= {"points": [], "slices": {}, "worst": None, "shortcuts": None}
    report["film"]["at"] = report["box"]["at"] = {}
    shown = text(page(report, {}, {}))
    assert "There is no operating point" in shown
    assert "Not checked" in shown
    assert "None" not in shown.replace("None.", "")


def test_films_are_counted_by_the_status_they_are_served_with(report):
    held = {"fractured": 2, "normal": 31, "share_of_normal": report["points"][0]["specificity"]}
    report["film"] |= {"status": {"outside": held, "refused": {"fractured": 1, "normal": 0}}, "flagged": {}}
    served = {"sensitivity": report["points"][0]["sensitivity"], "specificity": report["points"][0]["specificity"]}
    report["film"]["flagged"] = {point["name"]: served for point in report["points"]}
    shown = text(page(report, {}, {}))
    assert re.search(r"status of the film\s*fractured\s*normal\s*share of fractured\s*share of normal", shown)
    assert re.search(r"outside\s*2\s*31", shown)
    assert re.search(r"refused\s*1\s*0", shown)
    assert "sensitivity as served" in shown
    assert "one outside the intended use is never flagged" in shown


def test_the_page_says_what_made_the_films_scores(report):
    assert "its score, made by the best box, is" in page(report, {}, {})
    report["model"]["film_score"] = "classifier"
    assert "its score, made by the classifier, is" in page(report, {}, {})
