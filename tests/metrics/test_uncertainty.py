"""Intervals against published tables, scipy, and cases a reader can check by hand."""

import itertools
import re
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest, t

from fracture.core.errors import BadValue
from fracture.metrics import uncertainty
from fracture.metrics.uncertainty import bootstrap, count_groups, effective_n, group_members, proportion
from tests.metrics.coverage import SIZES, by_films, by_groups, coverage
from tests.wilson import wilson

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


def test_wilson_carries_n_and_says_when_they_are_few():
    assert (wilson(9, 10).n, wilson(9, 10).n_groups) == (10, 10)
    assert "fewer than 20" in str(wilson(9, 10))
    assert "fewer than 20" not in str(wilson(18, 20))


def test_wilson_of_nothing_is_no_figure():
    assert (wilson(0, 0).value, wilson(0, 0).low, wilson(0, 0).note) == (None, None, "no cases")
    assert str(wilson(0, 0, note="no normal films")) == "not estimable (no normal films)"


@pytest.mark.parametrize(("successes", "n"), [(-1, 5), (6, 5), (0, -1)])
def test_wilson_refuses_impossible_counts(successes, n):
    with pytest.raises(BadValue, match=f"got {successes}"):
        wilson(successes, n)


def test_a_proportion_of_cases_that_are_each_a_group_is_wilsons():
    for found in range(6):
        told = proportion(np.arange(5) < found, np.ones(5, bool), [*"abcde"]) if found else wilson(0, 5)
        assert told == wilson(found, 5)
    # Films without a case, and the groups of those alone, play no part.
    held = np.array([True, True, False, True])
    assert proportion(np.array([True, False, False, True]), held, [*"abbc"]) == wilson(2, 3)


def test_an_effective_n_by_hand():
    # Groups of 4, 2, 1, 1 and 2 films, of which 4, 2, 1, 0 and 0 succeed: 7 of 10. Off by 4 - 2.8, 2 - 1.4, .3, -.7,
    # -1.4: squared and added 1.44 + .36 + .09 + .49 + 1.96 = 4.34. Times 5 / 4, over 10^2: variance .05425, against
    # .7 * .3 / 9 = .023333 of independent films: 2.325. Groups that agree in full would have (16 + 4 + 1 + 1 + 4) / 10,
    # 2.6. Three failures, 1.92073 in doubt: (3 * 2.325 + 1.92073 * 2.6) / 4.92073 = 2.43234. Student's quantiles are of
    # 9 and of 10 / 2.6 - 1 = 2.84615 degrees of freedom.
    sizes, found = np.array([4, 2, 1, 1, 2]), np.array([4, 2, 1, 0, 0])
    expected = 10 / 2.43234 * (2.26216 / t.ppf(0.975, 2.84615)) ** 2
    assert effective_n(found, sizes, [*"abcde"]) == pytest.approx(expected, rel=1e-4)
    # By film and in another order, a film without a case among them.
    groups = np.repeat([*"abcde"], sizes)
    right = np.array([True] * 7 + [False] * 3)
    order = np.random.default_rng(0).permutation(10)
    names = [*groups[order], "f"]
    told = effective_n(np.append(right[order], False), np.append(np.ones(10, bool), False), names)
    assert told == pytest.approx(expected, rel=1e-4)
    estimate = proportion(found, sizes, [*"abcde"])
    assert (estimate.value, estimate.n, estimate.n_groups, estimate.method) == (
        0.7,
        10,
        5,
        f"Wilson, effective n {told:.3g}",
    )
    # Wilson's ends of that many cases, as he writes them.
    n, z = told, 1.959964
    half = z * np.sqrt(0.7 * 0.3 / n + z**2 / (4 * n**2))
    assert estimate.low == pytest.approx((0.7 + z**2 / (2 * n) - half) / (1 + z**2 / n), abs=1e-6)
    assert estimate.high == pytest.approx((0.7 + z**2 / (2 * n) + half) / (1 + z**2 / n), abs=1e-6)


def test_groups_that_differ_less_than_chance_are_worth_no_more_than_their_films():
    # One of two succeeds in every group: the variance between groups is 0, the design effect still at least 1.
    assert 0.9 * 80 < effective_n(np.ones(40, int), np.full(40, 2), [str(i) for i in range(40)]) < 80


def test_where_all_succeed_or_none_only_equal_groups_are_counted():
    sizes = SIZES["fractured films of test"]
    names = [str(i) for i in range(len(sizes))]
    equal = 171**2 / (sizes**2).sum()  # 61.3
    for found in (sizes, np.zeros_like(sizes)):
        assert 0.97 * equal < effective_n(found, sizes, names) < equal
    assert proportion(sizes, sizes, names).high == 1.0
    assert proportion(sizes, sizes, names).low == pytest.approx(wilson(61, 61).low, abs=0.003)
    assert proportion(np.zeros_like(sizes), sizes, names).low == 0.0


@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
def test_one_success_more_never_lowers_an_end(sizes):
    # Whichever group the next failure falls in, the smallest or the largest first.
    for order in (np.argsort(sizes, kind="stable"), np.argsort(-sizes, kind="stable")):
        failures, told = np.zeros_like(sizes), []
        for group in np.repeat(order, sizes[order])[: min(40, int(sizes.sum()))]:
            told.append(proportion(sizes - failures, sizes, [str(i) for i in range(len(sizes))]))
            failures[group] += 1
        assert all(before.high >= after.high - 1e-12 for before, after in itertools.pairwise(told))


def test_one_group_says_next_to_nothing_and_a_large_one_much_less_than_its_films():
    for found in (0, 5, 10):
        told = proportion(np.array([found]), np.array([10]), ["a"])
        assert (told.n, told.n_groups) == (10, 1)
        assert told.low <= found / 10 <= told.high
        assert told.high - told.low > 0.98
    alone = wilson(20, 40)
    beside = proportion(np.array([*[1] * 20, *[0] * 20, 30]), np.array([*[1] * 40, 60]), [str(i) for i in range(41)])
    assert beside.high - beside.low > alone.high - alone.low
    assert proportion(np.array([1]), np.array([1]), ["a"]) == wilson(1, 1)


def test_a_proportion_refuses_what_does_not_fit():
    one = np.ones(2, int)
    for broken in ((one[:1], one, [*"ab"]), (one, one[:1], [*"ab"]), (one, one, ["a"])):
        with pytest.raises(BadValue, match="one per film, shape"):
            proportion(*broken)
    for wrong in (-1, 3):
        with pytest.raises(BadValue, match=f"successes: expected 0 to the 2 cases of the film, got {wrong}"):
            proportion(np.array([1, wrong]), np.array([2, 2]), [*"ab"])
    nothing = proportion(one * 0, one * 0, [*"ab"], "no normal films")
    assert (str(nothing), nothing.n, nothing.n_groups) == ("not estimable (no normal films)", 0, 0)
    assert effective_n(one * 0, one * 0, [*"ab"]) == 0


def test_a_rate_cannot_forget_its_groups():
    # `wilson` takes every case for its own group: where films are counted, `proportion` asks for their groups.
    code = Path(uncertainty.__file__).parents[1]
    users = [file.name for file in code.rglob("*.py") if re.search(r"\bwilson\b", file.read_text())]
    assert users == []


@pytest.mark.parametrize(
    "name", ["fractured films of test", "normal films of test", "fractured films of val", "30 groups"]
)
@pytest.mark.parametrize("alike", [0.2, 0.4])
def test_the_interval_holds_the_truth_where_films_of_a_group_are_alike(name, alike):
    for rate in (0.5, 0.8, 0.95):
        held, _ = coverage(by_groups, SIZES[name], rate, alike, runs=3000)
        assert held >= 0.94, rate


def test_wilsons_interval_by_films_would_not_hold_it():
    held = [coverage(by_films, SIZES["fractured films of test"], rate, 0.4, 2000)[0] for rate in (0.5, 0.7, 0.8, 0.9)]
    assert max(held) < 0.90


def test_where_films_are_independent_the_interval_is_little_wider():
    sizes = SIZES["normal films of test"]
    for rate in (0.5, 0.8, 0.95):
        held, width = coverage(by_groups, sizes, rate, 0, runs=500)
        _, known = coverage(by_films, sizes, rate, 0, runs=500)
        assert held >= 0.93
        assert known <= width < 1.12 * known


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
