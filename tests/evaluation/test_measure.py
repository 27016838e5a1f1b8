"""Every figure of some films, against tables a reader can check by hand."""

from dataclasses import replace

import numpy as np
import pytest

from fracture.core.types import Detections, ImageRecord, OperatingPoint
from fracture.evaluation.cases import Cases
from fracture.evaluation.measure import Ask, asked_points, choose_points, counts, evaluate, worst_films
from fracture.metrics.calibration import Calibration
from tests.wilson import wilson

BOX = (10.0, 10.0, 30.0, 20.0)
FILMS = [
    # name, fractured, score, study
    ("f1", True, 0.9, "a"),
    ("f2", True, 0.3, "a"),
    ("f3", True, 0.1, "b"),
    ("f4", True, 0.2, "c"),
    ("n1", False, 0.6, "d"),
    ("n2", False, 0.8, "e"),
    ("n3", False, 0.05, "f"),
    ("n4", False, 0.0, "f"),
]


def films(rows=FILMS):
    records = tuple(
        ImageRecord(
            f"s/{name}", f"{name}.png", "s", (100, 100), study_id=study, fractured=truth, boxes=(BOX,) if truth else ()
        )
        for name, truth, _, study in rows
    )
    found = tuple(
        Detections(np.array([BOX]), np.array([score]), np.zeros(1, np.int64)) if score else Detections.empty()
        for _, _, score, _ in rows
    )
    return Cases("test", records, found, {}, records)


def point(name, threshold):
    return OperatingPoint(name, threshold, "by hand", wilson(9, 10), wilson(9, 10), "val")


POINTS = (point("screening", 0.15), point("specific", 0.7))


def test_counts_by_hand():
    rows = [(f"g{i}", True, 0.5, "z") for i in range(2)]
    large = films(rows)
    records = (
        *films().records,
        ImageRecord("s/g", "g.png", "s", (100, 100), fractured=True, boxes=((0.0, 0.0, 100.0, 50.0), BOX)),
    )
    told = counts(Cases("test", records, (*films().detections, large.detections[0]), {}, records))
    assert (told["films"], told["fractured"], told["normal"], told["groups"]) == (9, 5, 4, 9)
    assert (told["boxes"], told["boxed_films"], told["studies"], told["patients"]) == (6, 5, 6, None)
    assert told["median_box_share"] == pytest.approx(200 / 100**2)  # five small boxes and one of half a film


def test_worst_films_are_the_missed_by_rising_and_the_alarms_by_falling_score():
    told = worst_films(films(), point("here", 0.25))
    assert told["point"] == "here"
    assert told["missed"] == [{"image_id": "s/f3", "score": 0.1}, {"image_id": "s/f4", "score": 0.2}]
    assert told["false_alarms"] == [{"image_id": "s/n2", "score": 0.8}, {"image_id": "s/n1", "score": 0.6}]
    assert len(worst_films(films(), point("here", 0.95), count=3)["missed"]) == 3


def test_studies_are_called_by_both_thresholds():
    study = evaluate(films(), POINTS, resamples=10)["study"]
    # a: .9 fracture; b: .1 none; c: .2 doubt; normal: d .6 doubt, e .8 fracture, f .05 none.
    assert table(study["status"]) == {
        "fracture": (1, 1),
        "doubt": (1, 1),
        "no fracture": (1, 1),
        "outside": (0, 0),
        "refused": (0, 0),
    }
    assert (study["cases"], study["fractured"], study["left_out"]) == (6, 3, 0)
    assert study["sensitivity"]["definite"]["value"] == pytest.approx(1 / 3)
    assert study["sensitivity"]["suspicious"]["value"] == pytest.approx(2 / 3)
    assert study["auc_noisy_or"] is None
    assert evaluate(films(), (), resamples=10)["study"]["status"] == {}


def table(status):
    return {name: (row["fractured"], row["normal"]) for name, row in status.items()}


def test_films_and_studies_are_counted_as_they_are_served():
    """Flags, refusals and all: what the service says of each film and study is what the report counts."""
    unread = tuple(
        ImageRecord(f"s/{name}", f"{name}.png", "s", (100, 100), study_id=study, fractured=truth)
        for name, truth, study in (("r1", True, "g"), ("r2", False, "h"), ("r3", False, "f"))
    )
    noted = {"f1": "outside_scope", "f4": "low_contrast", "n2": "for_processing", "n4": "truncated", "n1": "no_limb"}
    given = films()
    flags = tuple(frozenset(filter(None, [noted.get(name)])) for name, *_ in FILMS)
    cases = replace(given, flags=flags, refused=unread, everything=(*given.records, *unread))
    points = (*POINTS, point("balanced", 0.25))
    told = evaluate(cases, points, resamples=10)
    # f1 .9 outside, f2 .3 doubt, f3 .1 none, f4 .2 doubt; n1 .6 outside, n2 .8 doubt, n3 .05 none, n4 0 cut: doubt.
    assert table(told["film"]["status"]) == {
        "fracture": (0, 0),
        "doubt": (2, 2),
        "no fracture": (1, 1),
        "outside": (1, 1),
        "refused": (1, 2),
    }
    assert told["film"]["status"]["refused"]["share_of_normal"]["value"] == pytest.approx(2 / 6)
    # Flagged at .25: f2, n2; films that were refused have no answer to be wrong.
    flagged = told["film"]["flagged"]["balanced"]
    assert (flagged["sensitivity"]["value"], flagged["specificity"]["value"]) == (1 / 4, 3 / 4)
    # a: f1 outside, f2 doubt; b none; c doubt; d outside; e doubt; f: n3 none, n4 cut, r3 refused; g, h refused.
    assert table(told["study"]["status"]) == {
        "fracture": (0, 0),
        "doubt": (2, 2),
        "no fracture": (1, 0),
        "outside": (0, 1),
        "refused": (1, 1),
    }
    assert evaluate(cases, (), resamples=10)["film"]["status"] is None


def test_calibration_is_judged_before_and_after():
    halved = Calibration(1.0, np.log(0.8 / 0.2), "val", 0.2)  # odds become a quarter
    told = evaluate(films(), POINTS, calibration=halved, resamples=10)["calibration"]
    assert (told["temperature"], told["fitted_on"]) == (1.0, "val")
    scores = np.clip([score for _, _, score, _ in FILMS], 0.001, 0.999)
    truth = np.array([fractured for _, fractured, _, _ in FILMS])
    odds = scores / (1 - scores) / 4
    raw = np.array([score for _, _, score, _ in FILMS])
    assert told["raw"]["brier"]["value"] == pytest.approx(((raw - truth) ** 2).mean())
    assert told["calibrated"]["brier"]["value"] == pytest.approx(((odds / (1 + odds) - truth) ** 2).mean())
    assert evaluate(films(), POINTS, resamples=10)["calibration"]["calibrated"] is None


def test_film_figures_by_hand():
    film = evaluate(films(), POINTS, resamples=10)["film"]
    at = film["at"]["screening"]
    assert at["counts"] == {"true_positive": 3, "false_positive": 2, "true_negative": 2, "false_negative": 1}
    assert [at[rate]["value"] for rate in ("sensitivity", "specificity", "ppv", "npv", "accuracy", "f1")] == [
        pytest.approx(value) for value in (3 / 4, 2 / 4, 3 / 5, 2 / 3, 5 / 8, 6 / 9)
    ]
    # At 5 %: 0.75 * 0.05 / (0.75 * 0.05 + 0.5 * 0.95).
    assert at["at_prevalence"]["0.05"]["ppv"]["value"] == pytest.approx(0.0375 / 0.5125)
    # Pairs the fractured film wins: f1 4, f2 2, f3 2, f4 2 of 16.
    assert film["auc"]["value"] == 10 / 16
    assert sum(film["scores"]["fractured"]) == sum(film["scores"]["normal"]) == 4


def test_the_same_seed_gives_the_same_figures_and_a_slice_changes_none():
    one, two = (evaluate(films(), POINTS, resamples=30, seed=1) for _ in range(2))
    assert one == two
    more = evaluate(films(), POINTS, resamples=30, seed=1, columns=("flags",))
    assert more["slices"].keys() - one["slices"].keys() == {"flags"}
    assert all(more[part] == one[part] for part in one if part != "slices")
    assert evaluate(films(), POINTS, resamples=30, seed=2)["box"] != one["box"]


def test_points_name_what_they_were_chosen_on():
    [plain, guaranteed] = asked_points(films(), "abc", Ask(0.75, 0.9))
    assert plain.measured_on == guaranteed.measured_on == "test split of manifest abc: 8 films, 4 fractured, 8 groups"
    assert plain.threshold == pytest.approx(0.15)  # f4 at .2 is in, f3 at .1 is not
    assert [chosen.name for chosen in choose_points(films(), "abc")] == ["screening", "balanced", "specific"]
    assert asked_points(films(), "abc", Ask()) == ()
