"""Intervals against published tables, scipy, and cases a reader can check by hand."""

import numpy as np
import pytest
from scipy.stats import binomtest

from fracture.errors import BadValue
from fracture.metrics.uncertainty import bootstrap, count_groups, group_members, wilson

# Newcombe, Stat Med 17 (1998) 857-872, table I, method 3: the score interval without continuity correction.
NEWCOMBE = [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)]


@pytest.mark.parametrize(("successes", "n", "low", "high"), NEWCOMBE)
def test_wilson_gives_the_published_intervals(successes, n, low, high):
    estimate = wilson(successes, n)
    assert (round(estimate.low, 4), round(estimate.high, 4)) == (low, high)
    assert estimate.value == successes / n


@pytest.mark.parametrize("n", [1, 2, 7, 19, 20, 100, 5000])
def test_wilson_agrees_with_scipy_from_none_to_all(n):
    for successes in {0, 1, n // 3, n // 2, n - 1, n}:
        theirs = binomtest(successes, n).proportion_ci(method="wilson")
        ours = wilson(successes, n)
        assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


def test_wilson_ends_are_exactly_0_and_1_where_nothing_or_everything_succeeded():
    for n in range(1, 200):
        assert wilson(0, n).low == 0.0
        assert wilson(n, n).high == 1.0


def test_wilson_carries_n_and_groups_and_says_when_they_are_few():
    assert (wilson(9, 10).n, wilson(9, 10).n_groups) == (10, 10)
    assert wilson(9, 10, n_groups=4).n_groups == 4
    assert "fewer than 20" in str(wilson(9, 10))
    assert "fewer than 20" not in str(wilson(18, 20))


def test_wilson_of_nothing_is_no_figure():
    assert (wilson(0, 0).value, wilson(0, 0).low, wilson(0, 0).note) == (None, None, "no cases")
    assert str(wilson(0, 0, note="no normal films")) == "not estimable (no normal films)"


@pytest.mark.parametrize(("successes", "n"), [(-1, 5), (6, 5), (0, -1)])
def test_wilson_refuses_impossible_counts(successes, n):
    with pytest.raises(BadValue, match=f"got {successes}"):
        wilson(successes, n)


def test_group_members_lists_each_film_once():
    films = [found.tolist() for found in group_members(["b", "a", "b", "c", "a"])]
    assert films == [[1, 4], [0, 2], [3]]
    assert group_members([]) == []
    assert count_groups(["b", "a", "b"], np.array([0, 2])) == 1


def mean_of(values):
    """Give a statistic: the mean of the films drawn."""
    return lambda copies: np.array([copies @ values / copies.sum()])


def test_bootstrap_same_seed_same_interval():
    values = np.arange(30.0)
    groups = [f"patient {i // 2}" for i in range(30)]
    runs = [bootstrap(groups, mean_of(values), np.random.default_rng(s), 200)[0] for s in (1, 1, 2)]
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]
    assert (runs[0].value, runs[0].n, runs[0].n_groups) == (14.5, 30, 15)


def test_bootstrap_draws_whole_groups():
    seen = []
    groups = ["a", "b", "a", "b", "c", "a"]  # a holds films 0 2 5, b 1 3, c 4

    def remember(copies):
        seen.append(copies)
        return np.zeros(1)

    bootstrap(groups, remember, np.random.default_rng(0), 100)
    assert seen[0].tolist() == [1] * 6  # first the films themselves
    for count in seen:
        assert count[0] == count[2] == count[5]
        assert count[1] == count[3]
        assert count[0] + count[1] + count[4] == 3
    assert any(count[0] > 1 for count in seen)
    assert any(count[4] == 0 for count in seen)


def test_bootstrap_figures_of_one_call_share_their_draws():
    values = np.random.default_rng(2).normal(size=40)

    def both(copies):
        one = copies @ values / copies.sum()
        return np.array([one, one + 1, 0.5])

    first, second, gap = bootstrap([str(i) for i in range(40)], both, np.random.default_rng(0), 100, ["a", "b", ""])
    assert (second.low - first.low, second.high - first.high) == (pytest.approx(1), pytest.approx(1))
    assert (gap.low, gap.high) == (0.5, 0.5)
    assert (first.note, second.note, gap.note) == ("a", "b", "")


def test_bootstrap_of_a_single_group_has_no_width_and_says_so():
    [estimate] = bootstrap(["one"] * 10, mean_of(np.arange(10.0)), np.random.default_rng(0), 100)
    assert (estimate.low, estimate.value, estimate.high) == (4.5, 4.5, 4.5)
    assert "one group" in estimate.note


def test_bootstrap_interval_of_a_mean_is_the_textbook_one():
    values = np.random.default_rng(3).normal(size=400)
    [estimate] = bootstrap([str(i) for i in range(400)], mean_of(values), np.random.default_rng(0))
    half = 1.96 * values.std() / 20
    assert estimate.low == pytest.approx(values.mean() - half, abs=0.012)
    assert estimate.high == pytest.approx(values.mean() + half, abs=0.012)


def test_bootstrap_is_wider_where_films_of_a_group_agree():
    mean = mean_of(np.repeat(np.random.default_rng(3).normal(size=40), 10))
    [by_group] = bootstrap([str(i // 10) for i in range(400)], mean, np.random.default_rng(0))
    [by_film] = bootstrap([str(i) for i in range(400)], mean, np.random.default_rng(0))
    ratio = (by_group.high - by_group.low) / (by_film.high - by_film.low)
    assert ratio == pytest.approx(np.sqrt(10), rel=0.15)


def test_bootstrap_leaves_out_undefined_resamples_and_counts_them():
    def statistic(copies):
        return np.array([0.5 if copies[0] else np.nan])

    [estimate] = bootstrap(["a", "b", "c"], statistic, np.random.default_rng(0), 500, ["1 box"])
    skipped = int(estimate.note.split("not defined on ")[1].split()[0])
    assert skipped == pytest.approx(500 * (2 / 3) ** 3, abs=35)
    assert estimate.note.startswith("1 box; ")
    assert (estimate.low, estimate.high) == (0.5, 0.5)


def test_bootstrap_without_a_value_or_without_any_defined_resample():
    undefined = np.array([np.nan])
    [never] = bootstrap(["a", "b"], lambda _: undefined, np.random.default_rng(0), 10, ["no truth boxes"])
    assert (never.value, never.low, never.high, never.note) == (None, None, None, "no truth boxes")
    assert bootstrap([], lambda _: undefined, np.random.default_rng(0), 10)[0].n_groups == 0
    answers = iter([np.ones(1)])
    [once] = bootstrap(["a", "b"], lambda _: next(answers, undefined), np.random.default_rng(0), 10)
    assert (once.value, once.low, once.high) == (1.0, None, None)
    assert "10 of 10" in once.note


def test_bootstrap_interval_always_holds_the_value():
    # The number of different films is largest on the full sample: every resample lies below it.
    groups = [str(i) for i in range(50)]
    [estimate] = bootstrap(groups, lambda c: np.array([(c > 0).sum()]), np.random.default_rng(0), 100)
    assert estimate.low < 40 < estimate.value == estimate.high == 50


def test_bootstrap_refuses_no_resamples():
    with pytest.raises(BadValue, match="resamples"):
        bootstrap(["a"], mean_of(np.ones(1)), np.random.default_rng(0), 0)
