"""Calibration: error figures by hand, and a fit that finds the temperature and shift scores were made with."""

import json
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit

from fracture.core.errors import BadValue
from fracture.metrics.calibration import Calibration, calibration_estimates, fit, reliability
from fracture.metrics.uncertainty import bootstrap, proportion
from tests.wilson import wilson


def apart(n):
    return [f"patient {i}" for i in range(n)]


def simulated(n, temperature, shift, seed=0):
    """Draw films whose probability of a fracture is known, and the score a detector with this habit gives them."""
    rng = np.random.default_rng(seed)
    probability = rng.beta(0.8, 2.0, n)
    return expit(temperature * logit(probability) + shift), rng.random(n) < probability


def loss(calibration, scores, fractured):
    """Give the mean negative log-likelihood of Platt's targets."""
    n, m = fractured.sum(), (~fractured).sum()
    target = np.where(fractured, (n + 1) / (n + 2), 1 / (m + 2))
    p = calibration.probability(scores)
    return -(target * np.log(p) + (1 - target) * np.log(1 - p)).mean()


def test_probability_by_hand():
    # logit 0.5 is 0 and logit 0.8 is log 4. (0 - log 3) / 1 -> odds 1/3; (log 4 - 0) / 2 -> odds 2.
    assert Calibration(1.0, np.log(3), "val", 0.2).probability(np.array([0.5])) == pytest.approx([0.25])
    assert Calibration(2.0, 0.0, "val", 0.2).probability(np.array([0.8, 0.5])) == pytest.approx([2 / 3, 0.5])


def test_probability_of_no_box_and_of_certainty_is_finite():
    same = Calibration(1.0, 0.0, "val", 0.2)
    assert same.probability(np.array([0.0, 0.001, 0.999, 1.0])) == pytest.approx([0.001, 0.001, 0.999, 0.999])


@pytest.mark.parametrize(("temperature", "shift"), [(0.5, -2.0), (1.0, 0.0), (0.8, 1.0), (1.6, -1.0)])
def test_fit_finds_the_temperature_and_shift_the_scores_were_made_with(temperature, shift):
    scores, fractured = simulated(20_000, temperature, shift)
    found = fit(scores, fractured, "val")
    assert found.temperature == pytest.approx(temperature, abs=0.06)
    assert found.shift == pytest.approx(shift, abs=0.06)
    assert found.prevalence == fractured.mean()
    assert found.fitted_on == "val"


@pytest.mark.parametrize("n", [4, 25, 400])
def test_fit_is_the_best_there_is(n):
    scores, fractured = simulated(n, 0.7, -1.5, seed=n)
    fractured[:2] = [True, False]
    scores[:2] = [0.9, 0.01]
    found = fit(scores, fractured, "val")
    least = loss(found, scores, fractured)
    for temperature in (0.999, 1.001):
        moved = Calibration(found.temperature * temperature, found.shift, "val", 0.5)
        assert loss(moved, scores, fractured) > least
    for shift in (-0.001, 0.001):
        moved = Calibration(found.temperature, found.shift + shift, "val", 0.5)
        assert loss(moved, scores, fractured) > least


def test_fit_of_two_scores_by_hand():
    # Two scores are fitted exactly. 0.5 was fractured 1 of 3, 0.8 2 of 3. With 3 fractured and 3 normal films the
    # targets are 4/5 and 1/5: at 0.5 their mean is (4/5 + 2/5) / 3 = 0.4, odds 2/3; at 0.8 it is 0.6, odds 3/2.
    # So (0 - shift) / T = log(2/3) and (log 4 - shift) / T = log(3/2): T = log 4 / log(9/4), shift = log(3/2) T.
    scores = np.array([0.5, 0.5, 0.5, 0.8, 0.8, 0.8])
    fractured = np.array([True, False, False, True, True, False])
    found = fit(scores, fractured, "val")
    assert found.temperature == pytest.approx(np.log(4) / np.log(9 / 4), abs=1e-6)
    assert found.shift == pytest.approx(np.log(3 / 2) * found.temperature, abs=1e-6)
    assert found.probability(np.array([0.5, 0.8])) == pytest.approx([0.4, 0.6])


def test_scores_that_separate_all_films_give_finite_probabilities():
    scores = np.array([0.9, 0.8, 0.1, 0.0, 0.2])
    found = fit(scores, np.array([True, True, False, False, False]), "val")
    assert 0 < found.temperature < np.inf
    # Platt's targets with 2 fractured and 3 normal films are 3/4 and 1/5; at the best fit the sums agree: 2.1.
    assert found.probability(scores).sum() == pytest.approx(2.1, abs=1e-6)


def test_no_calibration_where_one_kind_is_missing_or_scores_do_not_rise():
    scores = np.array([0.2, 0.4, 0.6, 0.8])
    rising = np.array([False, False, True, True])
    assert fit(scores, rising, "val") is not None
    assert fit(scores, np.ones(4, bool), "val") is None
    assert fit(scores, np.zeros(4, bool), "val") is None
    assert fit(scores, ~rising, "val") is None
    assert fit(np.full(4, 0.3), rising, "val") is None
    assert fit(scores, np.array([True, False, False, True]), "val") is None  # the same logits on both sides
    assert fit(np.zeros(0), np.zeros(0, bool), "val") is None


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=2, max_size=30),
    st.randoms(use_true_random=False),
)
def test_order_of_films_never_changes_and_films_never_swap(films, random):
    scores, fractured = np.array([s for s, _ in films]), np.array([f for _, f in films])
    found = fit(scores, fractured, "val")
    if found is None:
        return
    assert (np.diff(found.probability(np.sort(scores))) >= 0).all()
    order = list(range(len(films)))
    random.shuffle(order)
    again = fit(scores[order], fractured[order], "val")
    assert again.probability(scores) == pytest.approx(found.probability(scores), abs=1e-6)


def test_calibration_survives_json():
    found = fit(*simulated(100, 0.5, -2.0), "val split")
    assert Calibration(**json.loads(json.dumps(asdict(found)))) == found


@pytest.mark.parametrize(
    ("wrong", "name"),
    [
        ((0.0, 0.0, "", 0.5), "temperature"),
        ((-1.0, 0.0, "", 0.5), "temperature"),
        ((np.nan, 0.0, "", 0.5), "temperature"),
        ((np.inf, 0.0, "", 0.5), "temperature"),
        ((1.0, np.nan, "", 0.5), "shift"),
        ((1.0, 0.0, "", 0.0), "prevalence"),
        ((1.0, 0.0, "", 1.0), "prevalence"),
    ],
)
def test_a_calibration_that_is_none_is_refused(wrong, name):
    with pytest.raises(BadValue, match=f"{name}: expected"):
        Calibration(*wrong)


# score   .1  .1  .2  .3 | .6  .7  .8  .9       two bins of four films
# truth    0   0   1   0 |  0   1   1   1
# mean score .175, share 1/4 (off by .075); mean score .75, share 3/4 (off by 0). ECE = (4 * .075 + 4 * 0) / 8 = .0375
# Brier: .01 + .01 + .64 + .09 + .36 + .09 + .04 + .01 = 1.25, / 8 = .15625
SCORES = np.array([0.1, 0.1, 0.2, 0.3, 0.6, 0.7, 0.8, 0.9])
TRUTH = np.array([0, 0, 1, 0, 0, 1, 1, 1], bool)


def test_reliability_by_hand():
    found = reliability(SCORES, TRUTH, ["p", "p", "q", "q", "r", "s", "t", "u"], bins=2)
    assert found.mean_score == pytest.approx([0.175, 0.75])
    low = SCORES < 0.5
    assert found.share == (proportion(TRUTH & low, low, ["p", "p", "q", "q", "r", "s", "t", "u"]), wilson(3, 4))
    assert (found.share[0].value, found.share[0].n_groups) == (0.25, 2)
    with pytest.raises(ValueError, match="read-only"):
        found.mean_score[0] = 1


def test_errors_by_hand():
    found = calibration_estimates(SCORES, TRUTH, apart(8), np.random.default_rng(0), 50, bins=2)
    assert found["ece"].value == pytest.approx(0.0375)
    assert found["brier"].value == pytest.approx(0.15625)
    assert (found["brier"].n, found["brier"].n_groups) == (8, 8)
    assert found["brier"].note == "4 fractured, 4 normal films"
    assert found["ece"].note == "4 fractured, 4 normal films; 2 bins, too high on few films"
    one_bin = calibration_estimates(SCORES, TRUTH, apart(8), np.random.default_rng(0), 1, bins=1)["ece"]
    assert one_bin.value == pytest.approx(abs(3.7 / 8 - 0.5))  # mean score less share of all films
    assert found["brier"].low < 0.15625 < found["brier"].high


def test_equal_scores_never_part():
    # 7 of 10 films score 0: their middle one is the 4th of 10, so with 5 bins they all stand in the 2nd. Film 8 of 10
    # goes to the 4th bin, 9 and 10 to the 5th; the 1st and 3rd stay empty and are left out.
    scores = np.array([0.0] * 7 + [0.2, 0.3, 0.4])
    found = reliability(scores, scores > 0.25, apart(10), bins=5)
    assert [share.n for share in found.share] == [7, 1, 2]
    assert found.mean_score == pytest.approx([0.0, 0.2, 0.35])
    assert len(reliability(np.full(9, 0.5), np.ones(9, bool), apart(9)).share) == 1
    # Ranks 4 to 7 of 10 tie: their middle, 5.5, is the upper half's.
    scores = np.array([0.1, 0.2, 0.3, 0.5, 0.5, 0.5, 0.5, 0.7, 0.8, 0.9])
    assert [share.n for share in reliability(scores, scores > 0.4, apart(10), bins=2).share] == [3, 7]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.9]), min_size=1, max_size=40), st.integers(1, 12))
def test_bins_hold_every_film_once_and_rise(scores, bins):
    scores = np.array(scores)
    found = reliability(scores, scores > 0.3, apart(len(scores)), bins)
    assert sum(share.n for share in found.share) == len(scores)
    assert len(found.share) <= min(bins, len(set(scores)))
    assert (np.diff(found.mean_score) > 0).all()


@pytest.mark.parametrize(("n", "bins"), [(100, 10), (103, 10), (7, 3), (5, 10)])
def test_bins_are_of_equal_count_without_ties(n, bins):
    scores = np.random.default_rng(n).permutation(n) / n
    sizes = [share.n for share in reliability(scores, scores > 0.5, apart(n), bins).share]
    assert len(sizes) == min(n, bins)
    assert max(sizes) - min(sizes) <= 1


def test_calibrating_lowers_the_error_and_its_interval_covers_what_it_is():
    scores, fractured = simulated(4000, 0.6, -2.0, seed=5)
    groups = [f"patient {i // 2}" for i in range(4000)]
    fitted = fit(*simulated(4000, 0.6, -2.0, seed=6), "other films")
    raw = calibration_estimates(scores, fractured, groups, np.random.default_rng(0), 200)
    after = calibration_estimates(fitted.probability(scores), fractured, groups, np.random.default_rng(0), 200)
    assert after["ece"].high < 0.05 < raw["ece"].low
    assert after["brier"].value < raw["brier"].value
    assert after["ece"].n_groups == 2000
    again = calibration_estimates(scores, fractured, groups, np.random.default_rng(0), 200)
    assert again == raw


def test_errors_are_drawn_by_group():
    # One group holds the two films scored 0, the other the two scored 1, each half right. Whatever a draw holds, every
    # bin is off by 1/2; were films drawn, a draw could hold nothing but the right ones.
    scores, fractured = np.array([0.0, 0.0, 1.0, 1.0]), np.array([False, True, True, False])
    found = calibration_estimates(scores, fractured, ["a", "a", "b", "b"], np.random.default_rng(0), 100, bins=2)
    for estimate in found.values():
        assert (estimate.low, estimate.value, estimate.high) == (0.5, 0.5, 0.5)


def test_errors_of_every_draw_use_the_bins_of_all_films():
    scores, fractured = simulated(40, 0.6, -2.0, seed=2)
    bins = np.argsort(scores).reshape(10, 4)

    def plain(copies):
        parts = [(copies[inside], scores[inside], fractured[inside]) for inside in bins if copies[inside].any()]
        off = [n.sum() * abs(np.average(score, weights=n) - np.average(truth, weights=n)) for n, score, truth in parts]
        return np.array([sum(off) / copies.sum()])

    groups = [f"patient {i // 4}" for i in range(40)]
    [expected] = bootstrap(groups, plain, np.random.default_rng(0), 50)
    found = calibration_estimates(scores, fractured, groups, np.random.default_rng(0), 50)["ece"]
    assert (found.low, found.value, found.high) == pytest.approx((expected.low, expected.value, expected.high))


def test_errors_of_no_films_are_no_figures():
    none = np.zeros(0)
    found = calibration_estimates(none, none.astype(bool), [], np.random.default_rng(0), 10)
    assert [str(estimate) for estimate in found.values()] == ["not estimable (no films)"] * 2
    assert reliability(none, none.astype(bool), []).share == ()


def test_refusals():
    with pytest.raises(BadValue, match="shape"):
        fit(SCORES[:3], TRUTH, "val")
    with pytest.raises(BadValue, match="bool"):
        reliability(SCORES, TRUTH.astype(int), apart(8))
    with pytest.raises(BadValue, match=r"0\.\.1"):
        calibration_estimates(SCORES * 2, TRUTH, apart(8), np.random.default_rng(0), 10)
    with pytest.raises(BadValue, match="shape"):
        reliability(SCORES, TRUTH, apart(7))
    with pytest.raises(BadValue, match="bins"):
        reliability(SCORES, TRUTH, apart(8), bins=0)


def test_with_one_kind_of_film_neither_error_can_be_estimated():
    for fractured, note in ((np.ones(5, bool), "no normal films"), (np.zeros(5, bool), "no fractured films")):
        found = calibration_estimates(np.linspace(0, 1, 5), fractured, list("abcde"), np.random.default_rng(0), 10)
        assert [str(estimate) for estimate in found.values()] == [f"not estimable ({note})"] * 2
