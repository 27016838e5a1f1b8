"""What is guaranteed must hold: exact tables, and many validation sets drawn where the truth is known."""

import json

import numpy as np
import pytest
from scipy.stats import beta, binom, binomtest, norm

from fracture.core.errors import BadValue
from fracture.metrics.guarantee import guaranteed_point
from fracture.metrics.operating_points import target_recall_point
from fracture.metrics.uncertainty import clopper_pearson_lower


def point(fractured, normal=(0.3,), recall=0.9, confidence=0.95, groups=None, seed=0, **options):
    """Choose on one film per group unless groups of the fractured films are given."""
    scores = np.array([*fractured, *normal], float)
    truth = np.arange(len(scores)) < len(fractured)
    groups = groups or [f"patient {i}" for i in range(len(fractured))]
    groups = [*groups, *(f"normal {i}" for i in range(len(normal)))]
    return guaranteed_point(scores, truth, groups, "a set", recall, confidence, np.random.default_rng(seed), **options)


# n, recall, confidence, needed. 0.9^28 = 0.0523, 0.9^29 = 0.0471. At n = 60, P(X >= 58) = 0.9^60 (1 + 60/9 + 1770/81) =
# 0.001797 * 29.52 = 0.0530, too much; P(X >= 59) = 0.001797 * 7.667 = 0.0138. At n = 61, P(X >= 59) = 0.0491.
NEEDED = [(29, 0.9, 0.95, 29), (45, 0.9, 0.95, 45), (46, 0.9, 0.95, 45), (60, 0.9, 0.95, 59), (61, 0.9, 0.95, 59)]


@pytest.mark.parametrize(("n", "recall", "confidence", "needed"), [*NEEDED, (5, 0.5, 0.9, 5), (22, 0.9, 0.9, 22)])
def test_as_many_must_be_found_as_the_binomial_says(n, recall, confidence, needed):
    # Fractured films at 1/n, 2/n ... 1: the threshold must keep the best `needed` of them, so it lies below the
    # (n - needed + 1)-th from below, midway to the one before.
    fractured = np.arange(1, n + 1) / n
    found = point(fractured, normal=[], recall=recall, confidence=confidence)
    assert found.threshold == pytest.approx((n - needed + 0.5) / n)
    assert (found.reached, found.sensitivity.value) == (True, needed / n)
    assert found.rule == (
        f"sensitivity of at least {100 * recall:g} % with {100 * confidence:g} % confidence, "
        f"by {needed} of {n} independent fractured films (fixed-sequence testing)"
    )
    assert (found.name, found.measured_on) == (f"guaranteed recall {recall:g} ({100 * confidence:g} %)", "a set")
    # One film fewer would not have done.
    assert binom.sf(needed - 1, n, recall) <= 1 - confidence < binom.sf(needed - 2, n, recall)


def test_too_few_groups_for_any_guarantee():
    found = point([0.9] * 28, normal=[0.9, 0.0, 0.0, 0.0])
    assert (found.reached, found.threshold, found.sensitivity.value, found.specificity.value) == (False, 0.001, 1, 0.75)
    # 0.05^(1/28) = 0.8985.
    assert found.rule == (
        "sensitivity of at least 90 % with 95 % confidence: not reached; needs at least 29 independent fractured "
        "groups for 90 % at 95 % confidence, there are 28; the highest is 100.0 %, flagging 25.0 % of normal films; "
        "at least 89.8 % could be guaranteed there"
    )
    assert "needs at least 299 independent fractured groups" in point([0.9] * 12, recall=0.99).rule
    # Films of one patient are no independent evidence.
    assert "at least 29 independent fractured groups for 90 % at 95 % confidence, there are 12" in (
        point([0.9] * 120, groups=[f"patient {i // 10}" for i in range(120)]).rule
    )


def test_a_network_that_misses_too_many():
    found = point([0.9] * 50 + [0.0] * 10, normal=[])
    assert (found.reached, found.threshold, found.sensitivity.value, found.specificity.value) == (
        False, 0.001, 50 / 60, None
    )  # fmt: skip
    bound = binomtest(50, 60, alternative="greater").proportion_ci(0.95).low
    assert 0.7333 < bound < 0.734
    assert found.rule.endswith(
        "not reached; needs 59 of 60 independent fractured films flagged, at most 50 are; the highest is 83.3 %, "
        "at a cost not estimable: no normal films; at least 73.3 % could be guaranteed there"
    )
    # What the rule says could be guaranteed, can: and a little more cannot.
    assert point([0.9] * 50 + [0.0] * 10, recall=0.733).reached
    assert not point([0.9] * 50 + [0.0] * 10, recall=0.734).reached


def test_without_fractured_films():
    found = point([], normal=[0.4, 0.2])
    assert (found.reached, found.threshold, found.specificity.value) == (False, 0.001, 0.0)
    assert str(found.sensitivity) == "not estimable (no fractured films)"
    assert found.rule.endswith(
        "needs at least 29 independent fractured groups for 90 % at 95 % confidence, there are 0"
    )
    assert point([], normal=[]).reached is False


def test_boxes_below_the_floor_are_not_there():
    found = point([0.9] * 58 + [0.15] * 3, floor=0.1)
    assert (found.reached, found.threshold) == (True, 0.1)  # halfway from 0 to 0.15 lies below the floor
    found = point([0.9] * 58 + [0.15] * 3, floor=0.2)
    assert (found.reached, found.threshold) == (False, 0.2)
    assert "at most 58 are" in found.rule


def test_a_film_exactly_on_the_floor_is_flagged():
    found = point([0.9] * 28 + [0.001], normal=[])
    assert (found.reached, found.threshold, found.sensitivity.value) == (True, 0.001, 1.0)


def test_films_with_one_score_stand_or_fall_together():
    # 61 films may lose 2; the three lowest share a score, so none of them is given up.
    found = point([0.9] * 58 + [0.2] * 3, normal=[0.1, 0.5])
    assert (found.threshold, found.sensitivity.value, found.specificity.value) == (pytest.approx(0.15), 1.0, 0.5)
    assert "by 61 of 61" in found.rule
    found = point([0.9] * 59 + [0.2] * 2, normal=[0.1, 0.5])
    assert (found.threshold, found.specificity.value) == (pytest.approx(0.7), 1.0)
    assert "by 59 of 61" in found.rule


def test_one_film_is_drawn_per_group_each_with_the_same_chance():
    # One group is enough for 4 % with 95 % confidence. Its film at 0.9 gives the cut 0.7, the one at 0.5 the cut 0.25.
    thresholds = [
        point([0.9, 0.5], normal=[], recall=0.04, groups=["a", "a"], seed=seed).threshold for seed in range(400)
    ]
    assert {round(threshold, 6) for threshold in thresholds} == {0.7, 0.25}
    assert np.mean(np.array(thresholds) > 0.5) == pytest.approx(0.5, abs=0.1)
    assert "by 1 of 1 independent" in point([0.9, 0.5], normal=[], recall=0.04, groups=["a", "a"]).rule


def test_the_rates_are_those_of_all_films():
    groups = [f"patient {i // 2}" for i in range(122)]
    found = point([0.9, 0.8] * 61, normal=[0.85, 0.1], groups=groups)
    assert (found.sensitivity.n, found.sensitivity.n_groups) == (122, 61)
    assert found.sensitivity.method.startswith("Wilson, effective n 5")  # every film found: as many as there are groups
    assert (found.specificity.n, json.loads(json.dumps(found.threshold))) == (2, found.threshold)


def test_refusals():
    for name, options in (
        ("guaranteed recall", {"recall": 1}), ("guaranteed recall", {"recall": 90}), ("confidence", {"confidence": 95}),
        ("confidence", {"confidence": 1.0}), ("confidence", {"confidence": 0}), ("floor", {"floor": 0.0}),
        ("guaranteed recall", {"recall": np.nan}),
    ):  # fmt: skip
        with pytest.raises(BadValue, match=f"{name}: expected above 0 and below 1, got"):
            point([0.9] * 60, **options)
    with pytest.raises(BadValue, match=r"0\.\.1"):
        point([90])


def test_the_lower_bound_is_clopper_and_pearsons():
    for successes, n in ((0, 5), (1, 5), (5, 5), (50, 60), (290, 300)):
        theirs = binomtest(successes, n, alternative="greater").proportion_ci(0.95, method="exact").low
        assert clopper_pearson_lower(successes, n, 0.95) == pytest.approx(theirs, abs=1e-9)
    assert clopper_pearson_lower(0, 0, 0.95) == 0.0
    assert clopper_pearson_lower(29, 29, 0.95) == pytest.approx(0.05 ** (1 / 29))
    for successes, n, confidence in ((6, 5, 0.95), (-1, 5, 0.95), (1, 5, 1.0), (1, 5, 0)):
        with pytest.raises(BadValue, match="expected"):
            clopper_pearson_lower(successes, n, confidence)


def shortfalls(choose, runs, size, n=61):
    """Count in how many validation sets the threshold chosen has a true sensitivity below 90 %.

    The films of a group are near copies: they share one score, drawn from Beta(4, 2), so the true sensitivity of a
    threshold is that distribution's survival function.
    """
    rng = np.random.default_rng(17)
    groups = [f"patient {i // size}" for i in range(n * size)] + [f"normal {i}" for i in range(10)]
    truth = np.arange(len(groups)) < n * size
    thresholds = []
    for _ in range(runs):
        scores = np.concatenate([np.repeat(rng.beta(4, 2, n), size), rng.beta(2, 4, 10)])
        thresholds.append(choose(scores, truth, groups, rng).threshold)
    return int((beta.sf(thresholds, 4, 2) < 0.9).sum())


def test_the_guarantee_holds_over_many_validation_sets():
    # With 61 groups the exact chance to fall short is P(Bin(61, 0.9) >= 59) = 4.9 %: close below 5 %, so the test is
    # sharp on both sides. 1,500 sets: 74 expected, standard deviation 8.
    fell_short = shortfalls(
        lambda scores, truth, groups, rng: guaranteed_point(scores, truth, groups, "a set", 0.9, 0.95, rng), 1500, 3
    )
    assert 1500 * 0.05 - 3.2 * 8.4 < fell_short < 1500 * 0.05 + 3.2 * 8.4


@pytest.mark.parametrize("alike", [0.2, 0.4])
def test_the_guarantee_holds_where_films_of_a_patient_are_somewhat_alike(alike):
    # The 35 groups of the shipped deal's 63 fractured val films, guaranteed 80 % with 90 % confidence. A film's score
    # is a share of its patient's and its own, normal on a normal scale, so the true sensitivity is known.
    rng, sizes = np.random.default_rng(3), np.repeat([1, 2, 3, 5, 6], [16, 15, 2, 1, 1])
    groups = [f"patient {group}" for group in np.repeat(np.arange(35), sizes)]
    fell_short = 0
    for _ in range(400):
        patient, own = np.repeat(rng.normal(size=35), sizes), rng.normal(size=63)
        scores = norm.cdf(np.sqrt(alike) * patient + np.sqrt(1 - alike) * own)
        found = guaranteed_point(scores, np.ones(63, bool), groups, "a set", 0.8, 0.9, rng)
        fell_short += found.reached and 1 - found.threshold < 0.8
    assert fell_short <= 400 * 0.1 + 2 * 6  # 40 expected at most, standard deviation 6


def test_a_threshold_that_merely_reaches_the_target_falls_short_every_second_time():
    fell_short = shortfalls(
        lambda scores, truth, groups, _: target_recall_point(scores, truth, groups, "a set", 0.9), 300, 3
    )
    assert 0.4 < fell_short / 300 < 0.7


def test_films_of_a_group_counted_as_independent_would_break_the_guarantee():
    def as_if_independent(scores, truth, groups, rng):
        return guaranteed_point(scores, truth, [str(i) for i in range(len(groups))], "a set", 0.9, 0.95, rng)

    assert shortfalls(as_if_independent, 300, 4) > 300 * 0.05 + 6 * (300 * 0.05 * 0.95) ** 0.5
