"""Film figures on tables a reader can check by hand, and DeLong against the paper's plain sums."""

import math
from collections import Counter
from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fracture.core.errors import BadValue
from fracture.core.types import Estimate
from fracture.metrics.screening import (
    CURVE_POINTS,
    HISTOGRAM_EDGES,
    Rates,
    at_prevalence,
    auc,
    histogram,
    pr_curve,
    ranking_estimates,
    rates,
    roc_curve,
)
from tests.wilson import wilson


def films(fractured, normal):
    """Give scores, truth and one group per film."""
    scores = np.array([*fractured, *normal], float)
    truth = np.arange(len(scores)) < len(fractured)
    return scores, truth, [f"patient {i}" for i in range(len(scores))]


def table(true_positive, false_negative, false_positive, true_negative):
    """Give the rates of a two by two table."""
    fractured, normal = [0.9] * true_positive + [0.1] * false_negative, [0.9] * false_positive + [0.1] * true_negative
    return rates(*films(fractured, normal)[:2], 0.5, films(fractured, normal)[2])


def estimates(found):
    """Give the estimates of ``Rates`` by name, without its counts."""
    named = {field.name: getattr(found, field.name) for field in fields(Rates)}
    return {name: value for name, value in named.items() if isinstance(value, Estimate)}


def test_rates_by_hand():
    # At 0.5: 3 of 4 fractured films flagged (0.5 itself counts), 1 of 2 normal films left alone. Flagged are 4 films, 3
    # of them fractured; left alone 2, 1 of them normal; right are 4 of 6. F1 = 2 * 3 / (2 * 3 + 1 + 1) = 0.75.
    found = rates(*films([0.9, 0.6, 0.5, 0.2], [0.7, 0.1])[:2], 0.5, ["p1", "p1", "p2", "p3", "p4", "p4"])
    assert (found.true_positive, found.false_positive, found.true_negative, found.false_negative) == (3, 1, 1, 1)
    told = {name: (e.value, e.n, e.n_groups) for name, e in estimates(found).items()}
    assert told == {
        "sensitivity": (0.75, 4, 3),
        "specificity": (0.5, 2, 1),
        "ppv": (0.75, 4, 3),
        "npv": (0.5, 2, 2),
        "accuracy": (4 / 6, 6, 4),
        "f1": (pytest.approx(0.75), 5, 4),
    }
    assert "fewer than 20" in str(found.sensitivity)


def test_rates_carry_wilsons_intervals():
    found = table(true_positive=30, false_negative=10, false_positive=20, true_negative=140)
    for name, (successes, n) in {
        "sensitivity": (30, 40),
        "specificity": (140, 160),
        "ppv": (30, 50),
        "npv": (140, 150),
        "accuracy": (170, 200),
    }.items():
        assert getattr(found, name) == wilson(successes, n)
    # 30 of the 60 films that are flagged or fractured: Wilson's 0.3773 to 0.6227; 2J / (1 + J) gives 0.5479 to 0.7675.
    assert found.f1.value == pytest.approx(2 / 3)
    assert (found.f1.low, found.f1.high) == (pytest.approx(0.5479, abs=1e-4), pytest.approx(0.7675, abs=1e-4))
    assert (found.f1.n, found.f1.method) == (60, "Wilson of TP/(TP+FP+FN), as F1")


def grouped(sizes, rate, alike, rng):
    """Draw whether each film is flagged, (films,), where the groups of these sizes have rates of their own."""
    spread = (1 - alike) / alike
    return rng.random(sum(sizes)) < np.repeat(rng.beta(rate * spread, (1 - rate) * spread, len(sizes)), sizes)


# The sizes of the groups of the shipped deal's test films: 171 fractured ones in 82, 503 normal ones in 293.
FRACTURED_GROUPS = np.repeat([1, 2, 3, 4, 5, 6, 7], [27, 40, 3, 8, 2, 1, 1])
NORMAL_GROUPS = np.repeat([1, 2, 3, 4, 5, 6, 9], [174, 70, 27, 10, 7, 4, 1])


def test_rates_hold_the_truth_where_films_of_a_patient_are_alike():
    rng, runs, held = np.random.default_rng(7), 600, Counter()
    truth = np.arange(674) < 171
    groups = [f"p{g}" for g in np.repeat(np.arange(82), FRACTURED_GROUPS)]
    groups += [f"n{g}" for g in np.repeat(np.arange(293), NORMAL_GROUPS)]
    predictive = 0.1 * 0.75 / (0.1 * 0.75 + 0.9 * 0.2)
    for _ in range(runs):
        flagged = np.append(grouped(FRACTURED_GROUPS, 0.75, 0.4, rng), grouped(NORMAL_GROUPS, 0.2, 0.4, rng))
        found = rates(flagged.astype(float), truth, 0.5, groups)
        ppv, _ = at_prevalence(found, 0.1)
        for name, told, known in (
            ("sensitivity", found.sensitivity, 0.75), ("specificity", found.specificity, 0.8), ("PPV", ppv, predictive)
        ):  # fmt: skip
            held[name] += told.low <= known <= told.high
    assert min(held.values()) >= 0.94 * runs, held


def test_rates_without_one_kind_of_film():
    # The other kind alone would have PPV 1, or 0, whatever the network does: neither is given.
    scores, truth, groups = films([0.9, 0.6, 0.1], [])
    for fractured, missing, kept in ((truth, "normal", "sensitivity"), (~truth, "fractured", "specificity")):
        found = rates(scores, fractured, 0.5, groups)
        told = {name: str(e) for name, e in estimates(found).items() if name != kept}
        assert set(told.values()) == {f"not estimable (no {missing} films)"}
        assert getattr(found, kept).n == 3
        assert [str(e) for e in at_prevalence(found, 0.1)] == [f"not estimable (no {missing} films)"] * 2
    nothing = estimates(rates(scores[:0], truth[:0], 0.5, []))
    assert [nothing[name].note for name in ("sensitivity", "specificity")] == ["no fractured films", "no normal films"]
    assert {e.note for name, e in nothing.items() if not name.startswith("s")} == {"no films"}


def test_rates_where_nothing_or_everything_is_flagged():
    nothing, everything = table(0, 5, 0, 5), table(5, 0, 5, 0)
    assert (str(nothing.ppv), nothing.npv.value) == ("not estimable (no films flagged)", 0.5)
    assert (str(everything.npv), everything.ppv.value) == ("not estimable (every film flagged)", 0.5)
    assert (nothing.f1.value, nothing.f1.low, everything.f1.value) == (0.0, 0.0, pytest.approx(2 / 3))
    assert str(at_prevalence(nothing, 0.1)[0]) == "not estimable (no films flagged)"
    assert str(at_prevalence(everything, 0.1)[1]) == "not estimable (every film flagged)"
    # A test that says the same of every film knows as much as the prevalence does.
    assert at_prevalence(nothing, 0.1)[1].value == pytest.approx(0.9)
    assert at_prevalence(everything, 0.1)[0].value == pytest.approx(0.1)


def test_predictive_values_at_a_prevalence_by_hand():
    # The counts of Mercaldo, Lau and Zhou, table VIII: 240 of 418 cases and 87 of 375 controls positive. At 3 %:
    # PPV = 0.57416 * 0.03 / (0.57416 * 0.03 + 0.232 * 0.97) = 0.017225 / 0.242265 = 0.0711, its logit -2.5699;
    # variance 178 / (240 * 418) + 288 / (87 * 375) = 0.0017743 + 0.0088276 = 0.0106019, so +- 0.20181.
    # NPV = 0.768 * 0.97 / (0.768 * 0.97 + 0.42584 * 0.03) = 0.74496 / 0.757735 = 0.9831, its logit 4.0659;
    # variance 240 / (178 * 418) + 87 / (288 * 375) = 0.0032256 + 0.0008056 = 0.0040312, so +- 0.12444.
    ppv, npv = at_prevalence(table(240, 178, 87, 288), 0.03)

    def share(logit):
        return pytest.approx(1 / (1 + math.exp(-logit)), abs=2e-5)

    assert (ppv.value, ppv.low, ppv.high) == (share(-2.5699), share(-2.5699 - 0.20181), share(-2.5699 + 0.20181))
    assert (npv.value, npv.low, npv.high) == (share(4.0659), share(4.0659 - 0.12444), share(4.0659 + 0.12444))
    assert (ppv.n, ppv.n_groups, ppv.method, ppv.note) == (793, 793, "logit", "at a prevalence of 3 %")


def test_predictive_values_at_the_prevalence_of_the_films_are_theirs():
    found = table(30, 10, 20, 140)
    ppv, npv = at_prevalence(found, 40 / 200)
    assert (ppv.value, npv.value) == (pytest.approx(found.ppv.value), pytest.approx(found.npv.value))


def test_predictive_values_with_an_empty_cell_take_the_adjusted_interval():
    # No false alarm among 40 normal films: PPV is 1. Adjusted with k^2 = 3.8415: sensitivity (15 + 1.92073) / 23.8415
    # = 0.70972, 1 - specificity 1.92073 / 43.8415 = 0.043811; odds at 10 %: 0.70972 / 0.043811 / 9 = 1.79994, logit
    # 0.58775; variance 0.29028 / (0.70972 * 23.8415) + 0.956189 / (0.043811 * 43.8415) = 0.017155 + 0.497825, so
    # +- 1.40653.
    ppv, npv = at_prevalence(table(15, 5, 0, 40), 0.1)
    assert (ppv.value, ppv.high, ppv.method) == (1.0, 1.0, "adjusted logit")
    assert ppv.low == pytest.approx(1 / (1 + math.exp(1.40653 - 0.58775)), abs=1e-4)
    assert npv.method == "adjusted logit"
    assert npv.value == pytest.approx(0.9 / (0.9 + 0.1 * 0.25))
    assert npv.low < npv.value < npv.high < 1
    for cells in ((20, 0, 5, 35), (0, 20, 5, 35), (15, 5, 40, 0)):
        for estimate in at_prevalence(table(*cells), 0.1):
            assert estimate.method == "adjusted logit"
            assert 0 <= estimate.low < estimate.high <= 1


def test_predictive_values_need_a_prevalence():
    for wrong in (0, 1, -0.1, 30, math.nan):
        with pytest.raises(BadValue, match="prevalence: expected above 0 and below 1, got"):
            at_prevalence(table(3, 1, 1, 3), wrong)


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
    for curve in (roc_curve, pr_curve, histogram):
        with pytest.raises(BadValue, match="shape"):
            curve(scores, truth[:1])


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


def test_the_interval_of_few_mixed_groups_by_hand():
    # A fractured and a normal film in each of three groups; 7 of 9 pairs are in order. Placements 1, 2/3, 2/3 and
    # 1/3, 1, 1, less 7/9, are (2, -1, -1) and (-4, 2, 2) ninths, of which each film adds a third. Squares 6 and 24,
    # products -12, twice, over 729, all times 3 / 2 for three groups: (6 + 24 - 24) / 729 * 3 / 2 = 1 / 81.
    scores, truth, _ = films([0.9, 0.6, 0.5], [0.7, 0.2, 0.1])
    found = auc(scores, truth, [*"abcabc"])
    assert found.value == pytest.approx(7 / 9)
    assert (found.low, found.high) == pytest.approx((7 / 9 - 1.959964 / 9, 7 / 9 + 1.959964 / 9), abs=1e-6)


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
    ours = auc(scores, truth, groups)
    theirs = ranking_estimates(scores, truth, groups, rng, 500)["auc_bootstrap"]
    assert theirs.value == pytest.approx(ours.value, abs=1e-12)
    assert (theirs.n, theirs.n_groups, theirs.note) == (ours.n, ours.n_groups, ours.note)
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


def test_average_precision_by_hand():
    # Best first: hit (precision 1, recall 1/3), false alarm, then a hit and a false alarm with one score, one step
    # (2 of 4, recall 2/3), a hit (3 of 5, recall 1): (1 + 2/4 + 3/5) / 3.
    found = ranking_estimates(*films([0.9, 0.5, 0.3], [0.7, 0.5]), np.random.default_rng(0), 50)
    assert found["average_precision"].value == pytest.approx((1 + 2 / 4 + 3 / 5) / 3)
    # Pairs: 0.9 beats both, 0.5 ties one, 0.3 beats none: 2.5 of 6.
    assert found["auc_bootstrap"].value == pytest.approx(2.5 / 6)
    assert (
        found["average_precision"].note
        == "3 fractured, 2 normal films; not defined on " + (found["auc_bootstrap"].note.split("not defined on ")[1])
    )


def plain_average_precision(scores, fractured):
    """Sum precision times the recall gained, threshold by threshold."""
    total, before = 0.0, 0.0
    for threshold in np.unique(scores)[::-1]:
        flagged = scores >= threshold
        recall = (flagged & fractured).sum() / fractured.sum()
        total += (recall - before) * (flagged & fractured).sum() / flagged.sum()
        before = recall
    return total


@pytest.mark.parametrize("steps", [3, 10, 10**6])
def test_films_drawn_twice_count_twice(steps, monkeypatch):
    # Every resample of the bootstrap must read as if its films stood there that often.
    rng = np.random.default_rng(steps)
    scores = np.round(rng.random(40) * steps) / steps
    truth, groups = rng.random(40) < 0.4, [f"patient {i // 2}" for i in range(40)]
    seen = []
    monkeypatch.setattr(
        "fracture.metrics.screening.bootstrap", lambda groups, statistic, *_: seen.append(statistic) or [0, 0]
    )
    ranking_estimates(scores, truth, groups, rng)
    for _ in range(50):
        copies = rng.integers(0, 4, 40)
        drawn = np.repeat(np.arange(40), copies)
        area = auc(scores[drawn], truth[drawn], [str(i) for i in drawn]).value
        expected = [area, plain_average_precision(scores[drawn], truth[drawn])]
        assert seen[0](copies) == pytest.approx(expected, abs=1e-12)
    assert np.isnan(seen[0](truth.astype(np.int64))).all()
    assert np.isnan(seen[0]((~truth).astype(np.int64))).all()


def test_ranking_estimates():
    rng = np.random.default_rng(5)
    truth = rng.random(300) < 0.3
    scores, groups = np.clip(rng.normal(0.4 + 0.2 * truth, 0.2), 0, 1), [f"patient {i // 3}" for i in range(300)]
    runs = [ranking_estimates(scores, truth, groups, np.random.default_rng(s), 200) for s in (1, 1)]
    assert runs[0] == runs[1]
    for estimate in runs[0].values():
        assert estimate.low < estimate.value < estimate.high
        assert (estimate.n, estimate.n_groups, estimate.method[:9]) == (300, 100, "bootstrap")
    for fractured, normal, why in (
        ([0.5], [], "no normal films"),
        ([], [0.5], "no fractured films"),
        ([], [], "no films"),
    ):
        found = ranking_estimates(*films(fractured, normal), np.random.default_rng(0), 10)
        assert [str(estimate) for estimate in found.values()] == [f"not estimable ({why})"] * 2


def test_curves_by_hand():
    # Best first: hit; a hit and a false alarm with one score, one step; false alarm.
    scores, truth, _ = films([0.9, 0.5], [0.5, 0.1])
    false_positive_rate, sensitivity = roc_curve(scores, truth)
    assert (false_positive_rate.tolist(), sensitivity.tolist()) == ([0, 0, 0.5, 1], [0, 0.5, 1, 1])
    recall, precision = pr_curve(scores, truth)
    assert (recall.tolist(), precision.tolist()) == ([0.5, 1, 1], [1, 2 / 3, 0.5])


def test_curves_are_thinned_and_keep_their_ends():
    rng = np.random.default_rng(0)
    scores, truth, groups = films(rng.beta(3, 2, 900), rng.beta(2, 3, 2100))
    false_positive_rate, sensitivity = roc_curve(scores, truth)
    assert len(sensitivity) == len(false_positive_rate) == CURVE_POINTS
    assert (false_positive_rate[0], sensitivity[0], false_positive_rate[-1], sensitivity[-1]) == (0, 0, 1, 1)
    assert np.trapezoid(sensitivity, false_positive_rate) == pytest.approx(auc(scores, truth, groups).value, abs=2e-3)
    recall, precision = pr_curve(scores, truth)
    assert len(recall) == len(precision) == CURVE_POINTS
    best = np.argmax(scores)
    assert (recall[0], precision[0]) == ((1 / 900, 1) if truth[best] else (0, 0))
    assert (recall[-1], precision[-1]) == (1, 0.3)
    for curve in (roc_curve, pr_curve):
        assert [len(axis) for axis in curve(*films([0.5, 0.4], [])[:2])] == [0, 0]
        assert [len(axis) for axis in curve(*films([], [0.5, 0.4])[:2])] == [0, 0]
        assert [len(axis) for axis in curve(*films([], [])[:2])] == [0, 0]


def test_histogram_by_hand():
    # Edges are the squares of 0, 0.05, 0.1 ...: 0.0025 opens the second bin, 0.01 the third; 1 is in the last.
    edges, of_fractured, of_normal = histogram(*films([0.0025, 1.0, 0.95], [0.0, 0.0024, 0.0101])[:2])
    assert (edges is HISTOGRAM_EDGES, len(edges), edges[0], edges[-1]) == (True, 21, 0, 1)
    assert edges[:3].tolist() == [0, 0.0025, 0.01]
    assert {int(i): int(of_fractured[i]) for i in np.flatnonzero(of_fractured)} == {1: 1, 19: 2}
    assert {int(i): int(of_normal[i]) for i in np.flatnonzero(of_normal)} == {0: 2, 2: 1}


some_films = st.lists(
    st.tuples(st.sampled_from([0.0, 0.001, 0.2, 0.5, 0.7, 1.0]) | st.floats(0, 1), st.booleans(), st.integers(0, 5)),
    max_size=25,
)


def columns(rows):
    """Give scores, truth and groups of drawn rows."""
    scores, truth, groups = zip(*rows, strict=True) if rows else ((), (), ())
    return np.array(scores, float), np.array(truth, bool), [f"patient {group}" for group in groups]


@settings(deadline=None)
@given(some_films, st.floats(0, 1), st.randoms(use_true_random=False))
def test_the_order_of_films_means_nothing(rows, threshold, random):
    mixed = random.sample(rows, len(rows))
    (scores, truth, groups), (other_scores, other_truth, other_groups) = columns(rows), columns(mixed)
    assert rates(scores, truth, threshold, groups) == rates(other_scores, other_truth, threshold, other_groups)
    one, other = auc(scores, truth, groups), auc(other_scores, other_truth, other_groups)
    assert (one.value, one.low, one.high) == (
        pytest.approx(other.value, abs=1e-12),
        pytest.approx(other.low, abs=1e-6),
        pytest.approx(other.high, abs=1e-6),
    )


@settings(deadline=None)
@given(some_films, st.floats(0, 1))
def test_every_film_twice_in_its_group_leaves_every_value(rows, threshold):
    once, twice = (rates(scores, truth, threshold, groups) for scores, truth, groups in map(columns, (rows, rows * 2)))
    for name, estimate in estimates(once).items():
        other = getattr(twice, name)
        assert (other.value, other.n, other.n_groups) == (
            pytest.approx(estimate.value),
            2 * estimate.n,
            estimate.n_groups,
        )
    one, other = auc(*columns(rows)), auc(*columns(rows * 2))
    assert (other.value, other.n_groups) == (pytest.approx(one.value, abs=1e-12), one.n_groups)


@settings(deadline=None)
@given(some_films, st.floats(0, 1), st.floats(0, 1))
def test_a_higher_threshold_finds_no_more_and_alarms_no_more(rows, one, other):
    low, high = (rates(*columns(rows)[:2], threshold, columns(rows)[2]) for threshold in sorted((one, other)))
    assert low.true_positive >= high.true_positive
    assert low.false_positive >= high.false_positive
    if low.sensitivity.value is not None:
        assert low.sensitivity.value >= high.sensitivity.value
    if low.specificity.value is not None:
        assert low.specificity.value <= high.specificity.value


def test_predictive_values_say_what_the_films_are_worth():
    scores, truth, _ = films([0.9, 0.9, 0.9, 0.1], [0.1, 0.1, 0.9, 0.1])
    found = rates(scores, truth, 0.5, [*"aabbccdd"])
    worth = [f"{n:.3g}" for n in found.effective_n]
    assert [e.method for e in at_prevalence(found, 0.1)] == [f"logit, effective n {worth[0]} and {worth[1]}"] * 2
    assert found.sensitivity.method == f"Wilson, effective n {worth[0]}"
