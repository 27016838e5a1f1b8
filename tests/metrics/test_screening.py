"""Film figures on tables a reader can check by hand, and DeLong against the paper's plain sums."""

import json

import numpy as np
import pytest

from fracture.errors import BadValue
from fracture.metrics.screening import auc, choose_operating_points, rates
from fracture.metrics.uncertainty import bootstrap


def films(fractured, normal):
    """Give scores, truth and one group per film."""
    scores = np.array([*fractured, *normal], float)
    truth = np.arange(len(scores)) < len(fractured)
    return scores, truth, [f"patient {i}" for i in range(len(scores))]


def points(fractured, normal, **options):
    found = choose_operating_points(*films(fractured, normal), "a set", **options)
    return {point.name: point for point in found}


def test_rates_by_hand():
    # At 0.5: 3 of 4 fractured films flagged (0.5 itself counts), 1 of 2 normal films left alone.
    found = rates(*films([0.9, 0.6, 0.5, 0.2], [0.7, 0.1])[:2], 0.5, ["p1", "p1", "p2", "p3", "p4", "p4"])
    assert (found.sensitivity.value, found.sensitivity.n, found.sensitivity.n_groups) == (0.75, 4, 3)
    assert (found.specificity.value, found.specificity.n, found.specificity.n_groups) == (0.5, 2, 1)
    assert "fewer than 20" in str(found.sensitivity)


def test_rates_without_one_kind_of_film():
    scores, truth, groups = films([0.9, 0.6], [])
    assert str(rates(scores, truth, 0.5, groups).specificity) == "not estimable (no normal films)"
    assert str(rates(scores, ~truth, 0.5, groups).sensitivity) == "not estimable (no fractured films)"


def test_refusals():
    scores, truth, groups = films([0.9], [0.1])
    for broken in ((scores[:1], truth, groups), (scores, truth[:1], groups), (scores, truth, groups[:1])):
        with pytest.raises(BadValue, match="shape"):
            rates(broken[0], broken[1], 0.5, broken[2])
    with pytest.raises(BadValue, match="bool"):
        rates(scores, truth.astype(int), 0.5, groups)
    for wrong in (1.5, -0.1, np.nan):
        with pytest.raises(BadValue, match=r"0\.\.1"):
            auc(np.array([wrong, 0.1]), truth, groups)
    with pytest.raises(BadValue, match="sensitivity: expected above 0"):
        points([0.9], [0.1], target_sensitivity=90)


def plain_delong(fractured, normal):
    """Compute the area and its variance as DeLong et al. (1988) write them, equations 2 to 6."""
    psi = np.array([[1.0 if x > y else 0.5 if x == y else 0.0 for y in normal] for x in fractured])
    area, v10, v01 = psi.mean(), psi.mean(axis=1), psi.mean(axis=0)
    s10 = sum((v - area) ** 2 for v in v10) / (len(v10) - 1)
    s01 = sum((v - area) ** 2 for v in v01) / (len(v01) - 1)
    return area, s10 / len(v10) + s01 / len(v01)


@pytest.mark.parametrize("steps", [3, 10, 10**6])  # few steps: many ties
def test_auc_is_delongs(steps):
    rng = np.random.default_rng(steps)
    for _ in range(30):
        fractured = np.round(rng.beta(3, 2, rng.integers(5, 40)) * steps) / steps
        normal = np.round(rng.beta(2, 3, rng.integers(5, 40)) * steps) / steps
        area, variance = plain_delong(fractured, normal)
        estimate = auc(*films(fractured, normal))
        assert estimate.value == pytest.approx(area, abs=1e-12)
        assert estimate.low == pytest.approx(max(0, area - 1.959964 * variance**0.5), abs=1e-6)
        assert estimate.high == pytest.approx(min(1, area + 1.959964 * variance**0.5), abs=1e-6)


def test_auc_by_hand():
    # Pairs: 0.8 beats both normals, 0.4 beats 0.2 and ties 0.4: 3.5 of 4.
    # V10 = (1, 0.75), V01 = (0.75, 1): each has variance 1/32, so the area's is 1/64 + 1/64 = 1/32.
    estimate = auc(*films([0.8, 0.4], [0.4, 0.2]))
    assert estimate.value == 0.875
    assert estimate.low == pytest.approx(0.875 - 1.959964 / 32**0.5, abs=1e-6)
    assert estimate.high == 1.0
    assert estimate.note == "2 fractured, 2 normal films"


def test_a_film_repeated_within_its_group_is_worth_one_film():
    scores, truth, groups = films([0.9, 0.7, 0.3, 0.6], [0.1, 0.4, 0.5, 0.65, 0.2])
    once = auc(scores, truth, groups)
    twice = auc(np.tile(scores, 2), np.tile(truth, 2), groups * 2)
    apart = auc(np.tile(scores, 2), np.tile(truth, 2), [f"patient {i}" for i in range(18)])
    assert (twice.low, twice.value, twice.high) == pytest.approx((once.low, once.value, once.high))
    assert (twice.n, twice.n_groups) == (18, 9)
    assert apart.low > once.low


def test_auc_interval_agrees_with_the_bootstrap_over_groups():
    # Groups of four films, fractured and normal mixed, that share a large part of their score.
    rng = np.random.default_rng(11)
    truth = rng.random(400) < 0.4
    groups = [f"patient {i // 4:03d}" for i in range(400)]
    logit = np.repeat(rng.normal(0, 1.5, 100), 4) + rng.normal(0, 0.5, 400) + truth * 1.5
    scores = 1 / (1 + np.exp(-logit))

    def area(films):
        drawn = scores[films], truth[films], [str(i) for i in range(len(films))]
        return auc(*drawn).value

    ours = auc(scores, truth, groups)
    theirs = bootstrap(groups, area, rng, 300)
    assert ours.high - ours.low == pytest.approx(theirs.high - theirs.low, rel=0.15)


def test_auc_where_there_is_no_area_or_no_interval():
    assert str(auc(*films([0.5, 0.6], []))) == "not estimable (no normal films)"
    assert str(auc(*films([], [0.5]))) == "not estimable (no fractured films)"
    assert str(auc(*films([], []))) == "not estimable (no films)"
    perfect = auc(*films([0.9, 0.8], [0.2, 0.1]))
    assert (perfect.value, perfect.low, perfect.high) == (1.0, None, None)
    assert "variance is zero" in perfect.note
    alone = auc(*films([0.5], [0.2, 0.7]))
    assert (alone.value, alone.low) == (0.5, None)
    assert "one group of a kind" in alone.note


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
    # Sensitivity + specificity is 1.7 above 0.60 (7/10 + 10/10), above 0.40 (8/10 + 9/10), above 0.20 (9/10 + 8/10):
    # of equal ones the highest, halfway between 0.60 and 0.70.
    balanced = found["balanced"]
    assert balanced.threshold == pytest.approx(0.65)
    assert (balanced.sensitivity.value, balanced.specificity.value, balanced.reached) == (0.7, 1.0, True)
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
        youden = [(fractured >= s).mean() + (normal < s).mean() for s in seen]
        assert balanced.sensitivity.value + balanced.specificity.value == pytest.approx(max(youden))


def test_thresholds_survive_json_and_measure_the_same():
    rng = np.random.default_rng(9)
    scores, truth, groups = films(rng.random(50), rng.random(50))
    for point in choose_operating_points(scores, truth, groups, "a set"):
        stored = json.loads(json.dumps(point.threshold))
        assert tuple(rates(scores, truth, stored, groups)) == (point.sensitivity, point.specificity)
        assert not (np.abs(scores - stored) < 1e-9).any()  # no film sits on its own threshold


def test_neighbouring_floating_point_scores_are_still_told_apart():
    low = 0.5
    high = np.nextafter(low, 1)
    found = points([high], [low])
    assert found["screening"].threshold == high
    assert (found["screening"].sensitivity.value, found["screening"].specificity.value) == (1.0, 1.0)


def test_screening_never_flags_every_film():
    # Two of ten fractured films have no box at all: their score is 0, and 90 % is out of reach.
    found = points([0.9] * 8 + [0.0] * 2, [0.0] * 10)["screening"]
    assert (found.threshold, found.sensitivity.value, found.specificity.value) == (0.45, 0.8, 1.0)
    assert not found.reached
    assert found.rule == "highest threshold with sensitivity of at least 90 %: not reached, nearest is 80.0 %"


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
    assert found.rule.endswith("not reached, nearest is 50.0 %")
    assert points([0.8], [1.0])["specific"].specificity.value == 0.0


def test_a_network_that_finds_nothing_gets_the_floor_and_is_told():
    found = points([0.0, 0.0], [0.0, 0.0])
    assert {point.threshold for point in found.values()} == {0.001}
    assert [point.reached for point in found.values()] == [False, False, True]
    assert found["balanced"].rule == "largest Youden index: not reached, no better than chance"


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
        found = points(fractured, normal)["balanced"]
        assert scores[np.searchsorted(scores, found.threshold)] == best
