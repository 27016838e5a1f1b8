"""Studies and patients from films: tables by hand, and what must hold of any film."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fracture.clinical.status import Status, Thresholds
from fracture.core.errors import BadValue
from fracture.metrics.screening import rates
from fracture.metrics.study import AGGREGATIONS, aggregate, case_truth, status_table

PROBABILITY = st.floats(0, 1)
FILMS = st.lists(st.tuples(PROBABILITY, st.sampled_from(["a", "b", "c", "patient 10", "patient 9"])), max_size=20)
RULES = st.sampled_from(sorted(AGGREGATIONS))


def table(films, rule):
    names, scores = aggregate(np.array([score for score, _ in films]), [case for _, case in films], rule)
    return dict(zip(names, scores, strict=True))


def test_aggregate_by_hand():
    scores, cases = np.array([0.5, 0.2, 0.1, 0.5, 0.9]), ["s2", "s1", "s2", "s2", "s10"]
    names, best = aggregate(scores, cases, "max")
    assert names == ["s1", "s10", "s2"]
    assert best.tolist() == [0.2, 0.9, 0.5]
    # 1 - 0.5 * 0.9 * 0.5 = 0.775; a case of one film keeps that film's probability.
    assert aggregate(scores, cases, "noisy_or")[1] == pytest.approx([0.2, 0.9, 0.775])


def test_aggregate_of_no_films_and_its_refusals():
    names, scores = aggregate(np.zeros(0), [], "max")
    assert (names, scores.shape) == ([], (0,))
    with pytest.raises(BadValue, match="rule: expected one of max, noisy_or, got 'mean'"):
        aggregate(np.zeros(1), ["a"], "mean")
    with pytest.raises(BadValue, match="shape"):
        aggregate(np.zeros(2), ["a"], "max")
    for wrong in (np.nan, 1.1, -0.1):
        with pytest.raises(BadValue, match=r"0\.\.1"):
            aggregate(np.array([wrong, 0.5]), ["a", "a"], "noisy_or")


@settings(max_examples=60, deadline=None)
@given(FILMS, RULES, st.randoms(use_true_random=False))
def test_the_order_of_films_does_not_matter(films, rule, random):
    shuffled = list(films)
    random.shuffle(shuffled)
    assert table(shuffled, rule) == table(films, rule)


@settings(max_examples=60, deadline=None)
@given(FILMS)
def test_noisy_or_is_never_below_the_best_film(films):
    best, any_of_them = table(films, "max"), table(films, "noisy_or")
    assert best.keys() == any_of_them.keys()
    assert all(best[case] <= any_of_them[case] <= 1 for case in best)


@settings(max_examples=60, deadline=None)
@given(PROBABILITY, RULES)
def test_a_case_of_one_film_has_its_score_to_the_last_digit(score, rule):
    assert table([(score, "a")], rule) == {"a": score}


@settings(max_examples=60, deadline=None)
@given(FILMS, PROBABILITY, RULES)
def test_one_more_film_never_lowers_a_case_and_leaves_the_others(films, score, rule):
    before, after = table(films, rule), table([*films, (score, "a")], rule)
    assert after["a"] >= before.get("a", 0) - 1e-15  # multiplied in another order
    assert after["a"] >= score
    assert {case: after[case] for case in after if case != "a"} == {c: before[c] for c in before if c != "a"}


def test_case_truth_by_hand():
    fractured = [False, None, True, False, False, None, None, True]
    cases = ["all normal", "half known", "one broken", "half known", "all normal", "one broken", "unknown", "last"]
    truth = case_truth(fractured, cases)
    assert truth == {
        "all normal": False,
        "half known": None,
        "last": True,
        "one broken": True,
        "unknown": None,
    }
    assert list(truth) == aggregate(np.zeros(8), cases, "max")[0]
    assert case_truth(np.array([True, False]), ["b", "a"]) == {"a": False, "b": True}
    with pytest.raises(BadValue, match="one for each of 2 films, got 1"):
        case_truth([True], ["a", "b"])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([True, False, None]), st.sampled_from("abc"))), st.randoms())
def test_case_truth_knows_no_order_and_no_normal_case_hides_a_fracture(films, random):
    truth = case_truth([film for film, _ in films], [case for _, case in films])
    shuffled = list(films)
    random.shuffle(shuffled)
    assert case_truth([film for film, _ in shuffled], [case for _, case in shuffled]) == truth
    for film, case in films:
        assert truth[case] is True or film is not True
        assert truth[case] is not False or film is False


# score     .9  .7  .6  .5  .2  .1 | .8  .4  .3  .1  0       screening .3, specific .6
# truth      F   F   F   F   F   F |  n   n   n  n  n
# status     F   F   F   D   -   - |  F   D   D   -  -
SCORES = np.array([0.9, 0.7, 0.6, 0.5, 0.2, 0.1, 0.8, 0.4, 0.3, 0.1, 0.0])
TRUTH = np.arange(11) < 6
GROUPS = ["p", "p", "q", "r", "s", "t", "u", "v", "w", "x", "x"]


def statuses(screening, specific, scores=SCORES):
    return [Thresholds(screening, specific).status(float(score)) for score in scores]


def counts(table):
    return {name: {kind: row[kind] for kind in ("fractured", "normal")} for name, row in table.rows.items()}


def test_status_table_by_hand():
    found = status_table(statuses(0.3, 0.6), TRUTH, GROUPS)
    assert counts(found) == {
        "fracture": {"fractured": 3, "normal": 1},
        "doubt": {"fractured": 1, "normal": 2},
        "no fracture": {"fractured": 2, "normal": 2},
        "outside": {"fractured": 0, "normal": 0},
        "refused": {"fractured": 0, "normal": 0},
    }
    assert found.rows["doubt"]["share_of_normal"].value == pytest.approx(2 / 5)
    told = [(e.value, e.n, e.n_groups) for e in (found.definite.sensitivity, found.definite.specificity)]
    assert told == [(3 / 6, 6, 5), (4 / 5, 5, 4)]
    assert found.definite == rates(SCORES, TRUTH, 0.6, GROUPS)
    told = [(e.value, e.n, e.n_groups) for e in (found.suspicious.sensitivity, found.suspicious.specificity)]
    assert told == [(4 / 6, 6, 5), (2 / 5, 5, 4)]
    assert found.suspicious == rates(SCORES, TRUTH, 0.3, GROUPS)


def test_what_is_outside_or_refused_has_a_row_of_its_own():
    given = [Status.OUTSIDE, None, *statuses(0.3, 0.6)[2:]]
    found = status_table(given, TRUTH, GROUPS)
    assert (found.rows["outside"]["fractured"], found.rows["refused"]["fractured"]) == (1, 1)
    assert found.rows["refused"]["share_of_fractured"].value == pytest.approx(1 / 6)
    # A case outside is answered, and not flagged; a refused one has no answer to be right or wrong.
    assert (found.definite.sensitivity.value, found.definite.sensitivity.n) == (1 / 5, 5)
    assert found.suspicious.sensitivity.value == 2 / 5


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([*Status, None]), st.booleans()), min_size=1, max_size=20))
def test_rates_of_a_table_are_those_of_its_counts(cases):
    truth = np.array([kind for _, kind in cases])
    found = status_table([status for status, _ in cases], truth, [str(i) for i in range(len(cases))])
    told = counts(found)
    assert sum(sum(row.values()) for row in told.values()) == len(cases)
    flagged = {
        "definite": told["fracture"],
        "suspicious": {k: told["fracture"][k] + told["doubt"][k] for k in ("fractured", "normal")},
    }
    read = {kind: sum(row[kind] for name, row in told.items() if name != "refused") for kind in ("fractured", "normal")}
    for reading, positive in flagged.items():
        measured = getattr(found, reading)
        if read["fractured"]:
            assert measured.sensitivity.value == pytest.approx(positive["fractured"] / read["fractured"])
        if read["normal"]:
            assert measured.specificity.value == pytest.approx(1 - positive["normal"] / read["normal"])


def test_status_table_without_one_kind_and_without_a_specific_point():
    found = status_table(statuses(0.3, math.inf), np.ones(11, bool), GROUPS)
    assert str(found.definite.specificity) == "not estimable (no normal films)"
    assert (found.definite.sensitivity.value, found.suspicious.sensitivity.value) == (0.0, pytest.approx(7 / 11))
    assert counts(found)["fracture"] == {"fractured": 0, "normal": 0}
    assert counts(status_table([], np.zeros(0, bool), []))["doubt"] == {"fractured": 0, "normal": 0}
    with pytest.raises(BadValue, match="shape"):
        status_table(statuses(0.3, 0.6), TRUTH[:4], GROUPS)


def test_a_share_that_there_is_has_no_note_that_says_why_there_is_none():
    table = status_table([Status.FRACTURE, Status.DOUBT], np.array([True, True]), ["a", "b"])
    for row in table.rows.values():
        assert row["share_of_fractured"].note == ""
        assert row["share_of_normal"].note == "no normal cases"
