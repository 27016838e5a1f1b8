"""Differences of two models against published tables, the papers' plain sums, and coverage on simulated films."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, norm

from fracture.core.errors import BadValue
from fracture.core.types import Estimate
from fracture.metrics.comparison import Difference, delong_test, mcnemar, paired_bootstrap, unpaired_difference
from fracture.metrics.screening import auc
from tests.wilson import wilson


def right(both, only_a, only_b, neither):
    """Give which films each model is right on, from the four counts."""
    counts = (both, only_a, only_b, neither)
    return np.repeat([True, True, False, False], counts), np.repeat([True, False, True, False], counts)


def apart(n):
    return [f"patient {i}" for i in range(n)]


@pytest.mark.parametrize(
    ("only_a", "only_b", "p"),
    [
        (10, 2, 158 / 4096),  # 2 (C(12,0) + C(12,1) + C(12,2)) / 2^12 = 2 (1 + 12 + 66) / 4096 = 0.0386
        (2, 10, 158 / 4096),
        (5, 0, 2 / 32),
        (3, 3, 1.0),  # 2 (1 + 6 + 15 + 20) / 64 would be more than 1
        (0, 0, 1.0),
    ],
)
def test_mcnemar_by_hand(only_a, only_b, p):
    found = mcnemar(*right(50, only_a, only_b, 7), apart(57 + only_a + only_b))
    assert found.p == pytest.approx(p)
    assert found.test == "McNemar"
    n = 57 + only_a + only_b
    assert found.estimate.value == pytest.approx((only_a - only_b) / n)
    assert (found.estimate.n, found.estimate.n_groups) == (n, n)
    assert found.estimate.note == f"only the first right: {only_a}, only the second: {only_b}"


# Both right, only the first, only the second, neither; difference and interval by method 10.
PUBLISHED = [
    (36, 12, 2, 0, 0.2, 0.0569, 0.3404),  # Newcombe, Stat Med 17 (1998) 2635-2650
    (20, 12, 2, 16, 0.2, 0.0562, 0.3292),
    (59, 6, 16, 80, -0.0621, -0.1186, -0.0046),  # Fagerland et al., Statistical Analysis of Contingency Tables (2017)
    (1, 1, 7, 12, -0.2857, -0.5069, -0.0256),  # Fagerland et al., Stat Med 33 (2014) 2850-2875: -0.507 to -0.026
]


@pytest.mark.parametrize(("both", "only_a", "only_b", "neither", "value", "low", "high"), PUBLISHED)
def test_paired_proportions_have_the_published_intervals(both, only_a, only_b, neither, value, low, high):
    found = mcnemar(*right(both, only_a, only_b, neither), apart(both + only_a + only_b + neither)).estimate
    assert (round(found.value, 4), round(found.low, 4), round(found.high, 4)) == (value, low, high)


@settings(max_examples=60, deadline=None)
@given(st.tuples(*[st.integers(0, 30)] * 4).filter(any), st.randoms(use_true_random=False))
def test_mcnemar_of_any_table(counts, random):
    a, b = right(*counts)
    groups = apart(len(a))
    found, swapped = mcnemar(a, b, groups), mcnemar(b, a, groups)
    assert swapped.p == found.p
    assert (swapped.estimate.low, swapped.estimate.high) == pytest.approx((-found.estimate.high, -found.estimate.low))
    assert -1 <= found.estimate.low <= found.estimate.value <= found.estimate.high <= 1
    assert found.estimate.low < found.estimate.high
    disagree = counts[1] + counts[2]
    assert found.p == pytest.approx(binomtest(counts[1], disagree).pvalue if disagree else 1.0)
    order = list(range(len(a)))
    random.shuffle(order)
    assert mcnemar(a[order], b[order], groups) == found


def test_mcnemar_by_groups_by_hand():
    # The first model is ahead by 2, 2 and 1 films in three groups and behind by 1 in a fourth: 4 in all. Of the 16 ways
    # to exchange, those that end at least 4 from 0 are 2 + 2 + 1 + 1, 2 + 2 + 1 - 1, 2 + 2 - 1 + 1 and their opposites.
    a = np.array([True, True, True, True, True, False, True])
    b = np.array([False, False, False, False, False, True, True])
    found = mcnemar(a, b, [*"aabbcdd"])
    assert found.p == pytest.approx(6 / 16)
    assert (found.estimate.value, found.estimate.n, found.estimate.n_groups) == (4 / 7, 7, 4)
    assert (found.test, found.estimate.method) == ("McNemar, by groups", "Newcombe, paired, by groups")
    apart_ = mcnemar(a, b, apart(7))
    assert apart_.p == pytest.approx(14 / 64)  # five against one
    assert found.estimate.low < apart_.estimate.low


def test_mcnemar_holds_where_films_of_a_group_are_alike():
    # Two models equally good; each finds a patient's fractures or does not, more or less: a correlation of .4.
    rng, runs, sizes = np.random.default_rng(5), 300, np.repeat([1, 2, 3, 4, 6], [27, 40, 4, 8, 3])
    groups = [str(group) for group in np.repeat(np.arange(len(sizes)), sizes)]
    rejected = held = as_films = 0
    for _ in range(runs):
        a, b = (
            rng.random(len(groups)) < np.repeat(rng.beta(0.75 * 1.5, 0.25 * 1.5, len(sizes)), sizes) for _ in range(2)
        )
        found = mcnemar(a, b, groups)
        rejected += found.p <= 0.05
        held += found.estimate.low <= 0 <= found.estimate.high
        as_films += mcnemar(a, b, apart(len(groups))).p <= 0.05
    assert rejected <= 0.06 * runs
    assert held >= 0.94 * runs
    assert as_films > 0.08 * runs


def test_mcnemar_of_no_films_and_its_refusals():
    none = np.zeros(0, bool)
    found = mcnemar(none, none, [], missing="no normal films")
    assert str(found.estimate) == "not estimable (no normal films)"
    assert found.p is None
    assert mcnemar(*right(3, 1, 1, 1), [*"aabcdd"]).estimate.n_groups == 4
    with pytest.raises(BadValue, match="right_b: expected bool of shape"):
        mcnemar(np.ones(3, bool), np.ones(2, bool), apart(3))
    with pytest.raises(BadValue, match="right_a: expected bool"):
        mcnemar(np.ones(3), np.ones(3, bool), apart(3))
    with pytest.raises(BadValue, match="p: expected"):
        Difference(found.estimate, 1.5, "")


def plain_delong(scores_a, scores_b, fractured):
    """Compute the difference and its variance as DeLong et al. (1988) write them, equations 2 to 6, L = (1, -1)."""
    areas, v10, v01 = [], [], []
    for scores in (scores_a, scores_b):
        x, y = scores[fractured], scores[~fractured]
        psi = np.array([[1.0 if i > j else 0.5 if i == j else 0.0 for j in y] for i in x])
        areas.append(psi.mean())
        v10.append(psi.mean(axis=1))
        v01.append(psi.mean(axis=0))
    covariance = np.cov(v10) / len(v10[0]) + np.cov(v01) / len(v01[0])
    return areas[0] - areas[1], covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]


def two_models(rng, n, steps=10**6):
    fractured = rng.random(n) < 0.4
    fractured[:4] = [True, False, True, False]
    shared = rng.normal(0, 1, n) + 1.2 * fractured
    one, other = (1 / (1 + np.exp(-shared - rng.normal(0, spread, n))) for spread in (0.5, 1.0))
    return np.round(one * steps) / steps, np.round(other * steps) / steps, fractured


@pytest.mark.parametrize("steps", [4, 10, 10**6])  # few steps: many ties
def test_delong_is_the_papers(steps):
    rng = np.random.default_rng(steps)
    for _ in range(20):
        a, b, fractured = two_models(rng, int(rng.integers(12, 60)), steps)
        value, variance = plain_delong(a, b, fractured)
        found = delong_test(a, b, fractured, apart(len(a)))
        assert found.estimate.value == pytest.approx(value, abs=1e-12)
        assert found.p == pytest.approx(2 * norm.sf(abs(value) / math.sqrt(variance)))
        assert found.estimate.low == pytest.approx(max(-1, value - 1.959964 * math.sqrt(variance)), abs=1e-6)
        assert found.estimate.high == pytest.approx(min(1, value + 1.959964 * math.sqrt(variance)), abs=1e-6)


def test_delong_by_hand():
    # Fractured 1, 2; normal 3, 4. A: 0.8 0.4 | 0.4 0.2, area 3.5 / 4; B ranks 0.3 0.6 | 0.5 0.1, area 3 / 4.
    # Placements of A: 1, .75 | .75, 1; of B: .5, 1 | .5, 1. Gains: .5, -.25 | .25, 0, mean .125 on both sides.
    # Variance: ((.375^2 + .375^2) / 1) / 2 + ((.125^2 + .125^2) / 1) / 2 = .140625 + .015625 = .15625
    fractured = np.array([True, True, False, False])
    found = delong_test(np.array([0.8, 0.4, 0.4, 0.2]), np.array([0.3, 0.6, 0.5, 0.1]), fractured, apart(4))
    assert found.estimate.value == 0.125
    assert found.estimate.low == pytest.approx(0.125 - 1.959964 * math.sqrt(0.15625), abs=1e-6)
    assert found.p == pytest.approx(2 * norm.sf(0.125 / math.sqrt(0.15625)))
    assert found.estimate.note == "2 fractured, 2 normal films"
    assert found.test == "DeLong"


def test_delong_interval_ends_where_a_difference_ends():
    # A: .9 .3 | .4 .1, B: .1 .5 | .4 .9. Gains 1, 0 | 0, 1: mean .5, variance .25 + .25, half width 1.386.
    fractured = np.array([True, True, False, False])
    a, b = np.array([0.9, 0.3, 0.4, 0.1]), np.array([0.1, 0.5, 0.4, 0.9])
    found, swapped = (delong_test(*pair, fractured, apart(4)).estimate for pair in ((a, b), (b, a)))
    assert (found.low, found.value, found.high) == (pytest.approx(0.5 - 1.959964 * math.sqrt(0.5)), 0.5, 1.0)
    assert (swapped.low, swapped.value, swapped.high) == (-1.0, -0.5, pytest.approx(-found.low))


def test_delong_against_a_coin_is_the_interval_of_one_area():
    # A model that scores every film alike has area 0.5 without any variance.
    rng = np.random.default_rng(7)
    scores, _, fractured = two_models(rng, 120)
    for groups in (apart(120), [f"patient {i // 3}" for i in range(120)], [f"patient {i % 17}" for i in range(120)]):
        one = auc(scores, fractured, groups)
        found = delong_test(scores, np.full(120, 0.5), fractured, groups).estimate
        assert (found.value, found.low, found.high) == pytest.approx((one.value - 0.5, one.low - 0.5, one.high - 0.5))
        assert (found.n, found.n_groups) == (one.n, one.n_groups)


def test_delong_films_repeated_within_their_group_are_worth_one_film():
    a, b, fractured = two_models(np.random.default_rng(3), 30)
    once = delong_test(a, b, fractured, apart(30))
    twice = delong_test(np.tile(a, 2), np.tile(b, 2), np.tile(fractured, 2), apart(30) * 2)
    naive = delong_test(np.tile(a, 2), np.tile(b, 2), np.tile(fractured, 2), apart(60))
    assert (twice.estimate.low, twice.p) == pytest.approx((once.estimate.low, once.p))
    assert naive.p < once.p


def test_delong_holds_its_level_where_films_of_a_patient_go_together():
    # Two equally good models, four films to a patient, who shares most of each model's error: p < 0.05 one time in 20.
    rng = np.random.default_rng(12)
    groups, naive = [f"patient {i // 4:02d}" for i in range(240)], apart(240)
    below = np.zeros(2)
    for _ in range(300):
        fractured = np.repeat(rng.random(60) < 0.5, 4)
        a, b = (
            1 / (1 + np.exp(-(fractured + np.repeat(rng.normal(0, 1, 60), 4) + rng.normal(0, 0.3, 240))))
            for _ in range(2)
        )
        below += [delong_test(a, b, fractured, names).p < 0.05 for names in (groups, naive)]
    assert below[0] / 300 == pytest.approx(0.05, abs=0.035)
    assert below[1] / 300 > 0.2  # films counted as independent


def test_delong_where_there_is_no_difference_or_no_interval():
    scores, fractured = np.array([0.9, 0.6, 0.5, 0.1]), np.array([True, False, True, False])
    same = delong_test(scores, scores / 2, fractured, apart(4))  # the same order of films
    assert (same.estimate.value, same.estimate.low, same.p) == (0.0, None, None)
    assert "variance is zero" in same.estimate.note
    alone = delong_test(scores, 1 - scores, fractured, ["a", "b", "a", "c"])
    assert (alone.estimate.value, alone.estimate.low, alone.p) == (0.5, None, None)
    assert "one group of a kind" in alone.estimate.note
    for truth, note in ((np.ones(4, bool), "no normal films"), (np.zeros(4, bool), "no fractured films")):
        found = delong_test(scores, scores, truth, apart(4))
        assert (str(found.estimate), found.p) == (f"not estimable ({note})", None)
    none = np.zeros(0)
    assert str(delong_test(none, none, none.astype(bool), []).estimate) == "not estimable (no films)"


def test_delong_refusals():
    scores, fractured = np.array([0.9, 0.1]), np.array([True, False])
    with pytest.raises(BadValue, match="shape"):
        delong_test(scores, scores[:1], fractured, apart(2))
    with pytest.raises(BadValue, match=r"0\.\.1"):
        delong_test(scores, np.array([np.nan, 0.1]), fractured, apart(2))
    with pytest.raises(BadValue, match=r"0\.\.1"):
        delong_test(np.array([np.nan, 0.1]), scores, fractured, apart(2))


def mean_of(values):
    """Give a statistic: the mean of the films drawn."""
    return lambda copies: np.array([copies @ values / copies.sum()])


def test_paired_bootstrap_draws_the_same_films_for_both():
    rng = np.random.default_rng(0)
    hard = rng.normal(size=60)  # what both models find hard is most of either's spread
    [found] = paired_bootstrap(
        apart(60), mean_of(hard + 0.1), mean_of(hard), np.random.default_rng(1), 200, ["60 films"]
    )
    assert (found.estimate.low, found.estimate.value, found.estimate.high) == pytest.approx((0.1, 0.1, 0.1))
    assert found.p == pytest.approx(2 / 201)  # 0 of 200 draws at or below 0
    assert (found.test, found.estimate.note, found.estimate.n_groups) == ("bootstrap", "60 films", 60)


def test_paired_bootstrap_p_by_hand():
    # Each of the draws of three films gives the mean of their differences; the smaller tail is counted by the test.
    differences, seen = np.array([1.0, 1.0, -1.5]), []

    def first(copies):
        seen.append(copies @ differences / copies.sum())
        return np.array([seen[-1], -seen[-1]])

    found = paired_bootstrap(apart(3), first, lambda _: np.zeros(2), np.random.default_rng(4), 50)
    drawn = np.array(seen[1:])
    tail = (drawn <= 0).sum()
    assert 0 < tail < 25
    assert [one.p for one in found] == pytest.approx([2 * (tail + 1) / 51] * 2)
    assert (found[0].estimate.low, found[0].estimate.high) == pytest.approx(tuple(np.quantile(drawn, [0.025, 0.975])))
    assert found[1].estimate.high == pytest.approx(-found[0].estimate.low)


def test_paired_bootstrap_of_equal_models_and_of_nothing():
    same = mean_of(np.arange(10.0))
    [found] = paired_bootstrap(apart(10), same, same, np.random.default_rng(0), 30)
    assert (found.estimate.value, found.p) == (0.0, 1.0)
    [alone] = paired_bootstrap(["one"] * 10, same, mean_of(np.ones(10)), np.random.default_rng(0), 30)
    assert (alone.estimate.value, alone.p) == (3.5, None)  # every draw is the same: it proves nothing
    [never] = paired_bootstrap(apart(4), lambda _: np.array([np.nan]), same_size, np.random.default_rng(0), 30)
    assert (never.estimate.value, never.p) == (None, None)
    [nothing] = paired_bootstrap([], lambda _: np.array([np.nan]), same_size, np.random.default_rng(0), 30)
    assert (nothing.estimate.value, nothing.p) == (None, None)


def same_size(copies):
    return np.array([1.0])


def test_paired_bootstrap_leaves_out_draws_without_a_difference():
    def sometimes(copies):
        return np.array([1.0 if copies[0] else np.nan])

    [found] = paired_bootstrap(apart(3), sometimes, lambda _: np.zeros(1), np.random.default_rng(0), 100)
    skipped = int(found.estimate.note.split("not defined on ")[1].split()[0])
    assert found.p == pytest.approx(2 / (100 - skipped + 1))


def test_paired_bootstrap_holds_its_level():
    rng, below = np.random.default_rng(8), 0
    for _ in range(120):
        a, b = rng.normal(size=(2, 50))
        [found] = paired_bootstrap(apart(50), mean_of(a), mean_of(b), rng, 150)
        below += found.p < 0.1
        assert (found.p < 0.04) <= (found.estimate.low > 0 or found.estimate.high < 0)
    assert below / 120 == pytest.approx(0.1, abs=0.07)


# Newcombe, Stat Med 17 (1998) 873-890, table II, method 10.
INDEPENDENT = [
    (56, 70, 48, 80, 0.0524, 0.3339),
    (9, 10, 3, 10, 0.1705, 0.8090),
    (6, 7, 2, 7, 0.0582, 0.8062),
    (5, 56, 0, 29, -0.0381, 0.1926),
    (0, 10, 0, 20, -0.1611, 0.2775),
    (10, 10, 0, 20, 0.6791, 1.0),
]


@pytest.mark.parametrize(("x", "n", "y", "m", "low", "high"), INDEPENDENT)
def test_independent_proportions_have_the_published_intervals(x, n, y, m, low, high):
    found = unpaired_difference(replace(wilson(x, n), n_groups=3), replace(wilson(y, m), n_groups=4))
    assert (round(found.low, 4), round(found.high, 4)) == (low, high)
    assert found.value == pytest.approx(x / n - y / m)
    assert (found.n, found.n_groups, found.method) == (n + m, 7, "MOVER")


def test_mover_by_hand():
    # Lower: .2 - sqrt(.3^2 + .4^2) = -.3; upper: .2 + sqrt(.05^2 + .12^2) = .33
    a = Estimate(0.7, 0.4, 0.75, 10, 5, "DeLong")
    b = Estimate(0.5, 0.38, 0.9, 20, 8, "DeLong")
    found = unpaired_difference(a, b)
    assert (found.value, found.low, found.high) == pytest.approx((0.2, -0.3, 0.33))


def test_a_difference_from_nothing_is_not_estimable():
    known, none = wilson(8, 10), wilson(0, 0, note="no normal films")
    for a, b in ((known, none), (none, known), (none, none)):
        assert str(unpaired_difference(a, b)) == "not estimable (no normal films)"
    bare = Estimate(None, None, None, 0, 0, "")
    assert unpaired_difference(bare, none).note == "not estimable; no normal films"
    perfect = Estimate(1.0, None, None, 5, 5, "DeLong")
    for found, value in ((unpaired_difference(perfect, known), 0.2), (unpaired_difference(known, perfect), -0.2)):
        assert (found.value, found.low, found.high) == (pytest.approx(value), None, None)
        assert found.note == "not both have an interval"
    assert unpaired_difference(known, known).note == ""
