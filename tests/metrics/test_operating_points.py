"""Operating points on tables a reader can check by hand."""

import json

import numpy as np
import pytest

from fracture.core.errors import BadValue
from fracture.metrics.operating_points import choose_operating_points, cuts_between, target_recall_point
from fracture.metrics.screening import rates


def films(fractured, normal):
    """Give scores, truth and one group per film."""
    scores = np.array([*fractured, *normal], float)
    truth = np.arange(len(scores)) < len(fractured)
    return scores, truth, [f"patient {i}" for i in range(len(scores))]


def points(fractured, normal, **options):
    found = choose_operating_points(*films(fractured, normal), "a set", **options)
    return {point.name: point for point in found}


def test_refusals():
    for options in ({"target_sensitivity": 90}, {"target_specificity": 0}, {"floor": 0}, {"floor": np.nan}):
        name = next(iter(options)).removeprefix("target_")
        with pytest.raises(BadValue, match=f"{name}: expected above 0 and at most 1, got"):
            points([0.9], [0.1], **options)
    scores, truth, groups = films([0.9], [0.1])
    with pytest.raises(BadValue, match="shape"):
        choose_operating_points(scores, truth, groups[:1], "a set")


# Ten of each. Best first: seven fractured films, then a normal one, and so on.
FRACTURED = [0.99, 0.95, 0.90, 0.85, 0.80, 0.75, 0.70, 0.50, 0.30, 0.02]
NORMAL = [0.60, 0.40, 0.20, 0.10, 0.08, 0.06, 0.05, 0.04, 0.03, 0.01]


def test_operating_points_by_hand():
    found = points(FRACTURED, NORMAL, target_specificity=0.9)
    assert list(found) == ["screening", "balanced", "specific"]
    # 9 of 10 fractured films need the one at 0.30; below it comes 0.20; above them stand two normal films.
    screening = found["screening"]
    assert screening.threshold == pytest.approx(0.25)
    assert (screening.sensitivity.value, screening.specificity.value, screening.reached) == (0.9, 0.8, True)
    # 9 of 10 normal films right means the one at 0.40 is left alone; the lowest cut above it is halfway to 0.50.
    specific = found["specific"]
    assert specific.threshold == pytest.approx(0.45)
    assert (specific.sensitivity.value, specific.specificity.value, specific.reached) == (0.8, 0.9, True)
    # Sensitivity + specificity is 1.7 above 0.60 (7/10 + 10/10), above 0.40 (8/10 + 9/10), above 0.20 (9/10 + 8/10).
    # The first lies beyond specific; of the other two the higher one is taken.
    balanced = found["balanced"]
    assert balanced.threshold == pytest.approx(0.45)
    assert (balanced.sensitivity.value, balanced.specificity.value, balanced.reached) == (0.8, 0.9, True)
    wider = points(FRACTURED, NORMAL, target_specificity=1)["balanced"]
    assert (wider.threshold, wider.sensitivity.value, wider.specificity.value) == (pytest.approx(0.65), 0.7, 1.0)
    assert (screening.rule, screening.measured_on) == ("highest threshold with sensitivity of at least 90 %", "a set")


def test_screening_is_the_highest_and_specific_the_lowest_cut_that_reaches_its_target():
    rng = np.random.default_rng(4)
    for _ in range(100):
        steps = rng.choice([5, 20, 10**6])
        fractured = np.round(rng.beta(4, 2, rng.integers(1, 60)) * steps) / steps
        normal = np.round(rng.beta(2, 4, rng.integers(1, 60)) * steps) / steps
        found, seen = points(fractured, normal), np.unique([*fractured, *normal])
        seen = seen[seen >= 0.001]
        if found["screening"].reached:
            threshold = found["screening"].threshold
            higher = [(fractured >= s).mean() for s in seen[np.searchsorted(seen, threshold) + 1 :]]
            assert (fractured >= threshold).mean() >= 0.9 > max(higher, default=0)
        if found["specific"].reached:
            threshold = found["specific"].threshold
            lower = [(normal < s).mean() for s in seen[seen < threshold]]
            assert (normal < threshold).mean() >= 0.95 > max(lower, default=0)
        balanced = found["balanced"]
        low, high = sorted((found["screening"].threshold, found["specific"].threshold))
        assert low <= balanced.threshold <= high
        between = np.unique(np.clip(seen, low, high))
        youden = [(fractured >= s).mean() + (normal < s).mean() for s in between]
        assert balanced.sensitivity.value + balanced.specificity.value == pytest.approx(max(youden))


def test_thresholds_survive_json_and_measure_the_same():
    rng = np.random.default_rng(9)
    scores, truth, groups = films(rng.random(50), rng.random(50))
    for point in choose_operating_points(scores, truth, groups, "a set"):
        stored = json.loads(json.dumps(point.threshold))
        again = rates(scores, truth, stored, groups)
        assert (again.sensitivity, again.specificity) == (point.sensitivity, point.specificity)
        assert not (np.abs(scores - stored) < 1e-9).any()  # no film sits on its own threshold


def test_neighbouring_floating_point_scores_are_still_told_apart():
    low = 0.5
    high = np.nextafter(low, 1)
    found = points([high], [low])
    assert found["screening"].threshold == high
    assert (found["screening"].sensitivity.value, found["screening"].specificity.value) == (1.0, 1.0)


def test_screening_never_flags_every_film():
    # Two of ten fractured films have no box at all: their score is 0, and 90 % is out of reach.
    found = points([0.9] * 8 + [0.0] * 2, [0.9] * 3 + [0.0] * 7)["screening"]
    assert (found.threshold, found.sensitivity.value, found.specificity.value) == (0.45, 0.8, 0.7)
    assert not found.reached
    assert found.rule == (
        "highest threshold with sensitivity of at least 90 %: not reached; the highest is 80.0 %, "
        "flagging 30.0 % of normal films"
    )


def test_nothing_is_claimed_of_films_that_are_not_there():
    missed = points([0.9, 0.0], [])["screening"]
    assert missed.rule.endswith("not reached; the highest is 50.0 %, at a cost not estimable: no normal films")
    assert missed.specificity.value is None
    flagged = points([], [0.9])["specific"]
    assert flagged.rule.endswith("not reached; the highest is 0.0 %, at a cost not estimable: no fractured films")


@pytest.mark.parametrize("lowest", [0.001, 0.0015, 0.002, 0.1])
def test_screening_stays_at_or_above_the_floor(lowest):
    found = points([0.9, lowest], [0.0, 0.0])["screening"]
    assert found.threshold == max(0.001, lowest / 2)
    assert found.sensitivity.value == 1.0
    raised = points([0.9, lowest], [0.0, 0.0], floor=0.2)["screening"]
    assert raised.threshold == pytest.approx((0.9 + lowest) / 2)
    assert (raised.sensitivity.value, raised.reached) == (0.5, False)


def test_a_normal_film_exactly_on_a_cut_counts_as_flagged():
    found = points([0.9], [0.001, 0.0])["specific"]  # the floor is a cut, and one normal film sits on it
    assert (found.threshold, found.specificity.value) == (pytest.approx(0.4505), 1.0)


def test_specific_never_flags_nothing():
    # The best-scored film is normal: only a cut above all scores has full specificity, and it would find nothing.
    found = points([0.8, 0.7], [0.9, 0.1])["specific"]
    assert (found.threshold, found.sensitivity.value, found.specificity.value) == (pytest.approx(0.4), 1.0, 0.5)
    assert not found.reached
    assert found.rule.endswith("not reached; the highest is 50.0 %, missing 0.0 % of fractured films")
    assert points([0.8], [1.0])["specific"].specificity.value == 0.0


def test_a_network_that_finds_nothing_gets_the_floor_and_is_told():
    found = points([0.0, 0.0], [0.0, 0.0])
    assert {point.threshold for point in found.values()} == {0.001}
    assert [point.reached for point in found.values()] == [False, False, True]
    assert (
        found["balanced"].rule
        == "largest Youden index between screening and specific: not reached; no better than chance"
    )


def test_points_that_cannot_be_measured_are_left_out():
    only_fractured = points([0.9, 0.8], [])
    assert list(only_fractured) == ["screening"]
    assert str(only_fractured["screening"].specificity) == "not estimable (no normal films)"
    assert list(points([], [0.2, 0.1])) == ["specific"]
    assert points([], []) == {}


def test_youden_ties_are_exact():
    # 1/3 + 2/3 and 2/3 + 1/3 are equal as fractions; the higher threshold wins whatever their floating-point sums are.
    for fractured, normal in (([0.9, 0.5, 0.1], [0.8, 0.4, 0.05]), ([0.9, 0.6, 0.3, 0.3], [0.7, 0.5, 0.2, 0.1])):
        scores = np.unique([*fractured, *normal])
        youden = [
            sum(np.array(fractured) >= s) * len(normal) - sum(np.array(normal) >= s) * len(fractured) for s in scores
        ]
        best = scores[np.flatnonzero(np.array(youden) == max(youden))[-1]]
        found = points(fractured, normal, target_sensitivity=1, target_specificity=1)["balanced"]
        assert scores[np.searchsorted(scores, found.threshold)] == best


def test_cuts_by_hand():
    # Middles of 0, 0.1, 0.2, 0.6; the lowest is raised to the floor, and a score below the floor has none.
    scores = np.array([0.6, 0.1, 0.2, 0.2])
    assert cuts_between(scores, 0.001) == pytest.approx([0.05, 0.15, 0.4])
    assert cuts_between(scores, 0.08) == pytest.approx([0.08, 0.15, 0.4])
    assert cuts_between(scores, 0.15) == pytest.approx([0.15, 0.4])
    assert cuts_between(scores, 0.7).tolist() == cuts_between(np.zeros(0), 0.7).tolist() == [0.7]


def test_a_target_recall_is_screening_by_another_target():
    table = films(FRACTURED, NORMAL)
    assert target_recall_point(*table, "a set", 0.9).threshold == points(FRACTURED, NORMAL)["screening"].threshold
    found = target_recall_point(*table, "a set", 0.75)
    # 8 of 10 fractured films are the first to reach 75 %: the one at 0.50, above the normal film at 0.40.
    assert (found.name, found.threshold, found.measured_on) == ("target recall 0.75", pytest.approx(0.45), "a set")
    assert (found.sensitivity.value, found.specificity.value, found.reached) == (0.8, 0.9, True)
    assert found.rule == "highest threshold with sensitivity of at least 75 %"
    assert target_recall_point(*table, "a set", 1).sensitivity.value == 1.0


def test_a_target_recall_that_cannot_be_is_refused():
    for wrong in (0, -1, 1.01, 90, np.nan):
        with pytest.raises(BadValue, match="target recall: expected above 0 and at most 1, got"):
            target_recall_point(*films([0.9], [0.1]), "a set", wrong)
    with pytest.raises(BadValue, match="target recall: expected fractured films"):
        target_recall_point(*films([], [0.1]), "a set", 0.9)
