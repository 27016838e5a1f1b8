"""FROC and AFROC against tables checked by hand and against the plainest loops."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fracture.core.errors import BadValue
from fracture.core.types import Detections
from fracture.metrics.detection import CRITERIA, Matches, match
from fracture.metrics.froc import RATES, afroc, froc, sensitivities
from fracture.metrics.uncertainty import bootstrap


def matched(n_truth, marks):
    """Build matches of (film, score, found) marks in any order; a mark finds by every criterion or by none."""
    marks = sorted(marks, key=lambda mark: -mark[1])
    film, score, found = (np.array([mark[i] for mark in marks], kind) for i, kind in enumerate((int, float, bool)))
    taken = np.tile(np.where(found, 0, -1).astype(np.int32), (len(CRITERIA), 1))
    return Matches(film, score, taken, np.array(n_truth, np.int64))


def rng():
    return np.random.default_rng(0)


def alone(matches):
    return [f"patient {i}" for i in range(len(matches.n_truth))]


def values(curve):
    return [curve.at[rate].value for rate in RATES]


# Ten films: film 0 has two truth boxes, film 1 two, films 2 to 9 none.
#   score  .9  .8  .7  .6  .6  .5  .4  .3 ...
#   mark   hit  x  hit  x  hit  x  hit  x  six times
#   false   0   1   1   2   2   3   3   9      positives down to that score
#   found   1   1   2   3   3   3   4   4
# At most 1 false positive on ten films (0.1 per film) reaches down to 0.7: 2 of 4 boxes. 2.5 reaches down to 0.6, whose
# false positive and hit come together: 3 of 4. 5 reaches down to 0.4: 4 of 4. There are only 9, fewer than 10 or 20.
TABLE = matched(
    [2, 2] + [0] * 8,
    [(0, 0.9, True), (2, 0.8, False), (1, 0.7, True), (3, 0.6, False), (0, 0.6, True), (0, 0.5, False), (1, 0.4, True)]
    + [(4, 0.3, False)] * 6,
)


def test_froc_by_hand():
    found = froc(TABLE, alone(TABLE), rng(), 50)
    assert values(found) == [0.5, 0.75, 1.0, 1.0, 1.0]
    assert list(found.at) == [0.1, 0.25, 0.5, 1, 2]
    assert found.false_positives_per_film.tolist() == [0, 0, 0.1, 0.2, 0.3, 0.9]
    assert found.sensitivity.tolist() == [0, 0.25, 0.5, 0.75, 1, 1]
    assert found.at[0.5].note.split("; ")[0] == "4 truth boxes on 2 films"
    assert "lowest score" not in found.at[0.5].note
    fewer = "4 truth boxes on 2 films; read at the lowest score, 0.9 false positives per film"
    assert found.at[1].note.startswith(fewer)
    assert (found.at[1].n, found.at[1].n_groups) == (4, 10)


def test_a_score_whose_false_positives_are_too_many_gives_none_of_its_hits():
    # Two boxes on ten films. At 0.6 stand a hit, two false positives and a hit: 0.2 per film, more than 0.1.
    tied = matched([2] + [0] * 9, [(0, 0.6, True), (1, 0.6, False), (2, 0.6, False), (0, 0.6, True)])
    assert values(froc(tied, alone(tied), rng(), 2)) == [0.0, 1.0, 1.0, 1.0, 1.0]


def test_froc_of_nothing_found_and_of_nothing_to_find():
    missed = matched([1, 0], [(0, 0.5, False), (1, 0.4, False)])
    found = froc(missed, ["a", "b"], rng(), 10)
    assert values(found) == [0.0] * 5
    assert "lowest score" not in found.at[1].note
    assert "read at the lowest score, 1 false" in found.at[2].note
    assert (found.false_positives_per_film[-1], found.sensitivity[-1]) == (1.0, 0.0)
    unmarked = froc(matched([1, 0], []), ["a", "b"], rng(), 10)
    assert values(unmarked) == [0.0] * 5
    for matches in (matched([0], [(0, 0.5, False)]), match([], [])):
        nothing = froc(matches, alone(matches), rng(), 10)
        assert [str(estimate) for estimate in nothing.at.values()] == ["not estimable (no truth boxes)"] * 5
        assert len(nothing.sensitivity) == len(nothing.false_positives_per_film) == 0


def plain_froc(film, score, found, n_truth, rate):
    """Lower the threshold score by score, as long as the false positives are few enough."""
    best = 0
    for threshold in sorted(set(score), reverse=True):
        shown = [i for i in range(len(score)) if score[i] >= threshold]
        if sum(not found[i] for i in shown) / len(n_truth) > rate:
            break
        best = sum(bool(found[i]) for i in shown)
    return best / sum(n_truth)


def drawn_matches(seed, films=30, steps=20):
    """Draw matches with tied scores: films of 0 to 3 truth boxes, marks that find some of them, and false ones."""
    draw = np.random.default_rng(seed)
    n_truth = draw.integers(0, 4, films) * (draw.random(films) < 0.6)
    n_truth[:2] = 0, 1
    marks = []
    for film in range(films):
        scores = draw.integers(1, steps, draw.integers(0, 6) + n_truth[film]) / steps
        finds = draw.permutation(np.arange(len(scores)) < draw.integers(0, n_truth[film] + 1))
        marks += [(film, score, find) for score, find in zip(scores, finds, strict=True)]
    return matched(n_truth, marks)


@pytest.mark.parametrize("seed", range(20))
def test_froc_is_the_plain_loop_s_and_its_curve_holds_the_same_values(seed):
    matches = drawn_matches(seed)
    columns = [column.tolist() for column in (matches.film, matches.score, matches.taken[0] >= 0, matches.n_truth)]
    found = froc(matches, alone(matches), rng(), 1)
    plain = [plain_froc(*columns, rate) for rate in RATES]
    assert values(found) == pytest.approx(plain, abs=1e-12)
    at = np.searchsorted(found.false_positives_per_film, RATES, side="right") - 1
    assert found.sensitivity[at] == pytest.approx(plain, abs=1e-12)
    for axis in (found.false_positives_per_film, found.sensitivity):
        assert (np.diff(axis) >= 0).all()


def written_out(matches, copies):
    """Build the matches of films that come so often each."""
    first = np.cumsum(copies) - copies
    marks = [
        (first[film] + copy, score, find >= 0)
        for film, score, find in zip(matches.film, matches.score, matches.taken[0], strict=True)
        for copy in range(copies[film])
    ]
    return matched(np.repeat(matches.n_truth, copies), marks)


@pytest.mark.parametrize("seed", range(5))
def test_copies_are_the_films_written_out(seed):
    matches = drawn_matches(seed)
    copies = np.random.default_rng(seed).integers(0, 4, len(matches.n_truth))
    copies[1] = 1
    written = written_out(matches, copies)
    ones = np.ones(len(written.n_truth), np.int64)
    assert sensitivities(matches, copies) == pytest.approx(sensitivities(written, ones), abs=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_the_afroc_interval_is_that_of_the_films_written_out(seed):
    matches = drawn_matches(seed, films=16)
    groups = [f"patient {i // 2}" for i in range(16)]
    [plain] = bootstrap(groups, lambda copies: np.array([plain_afroc(written_out(matches, copies))]), rng(), 40)
    ours = afroc(matches, groups, rng(), 40).area
    assert (ours.value, ours.low, ours.high) == pytest.approx((plain.value, plain.low, plain.high), abs=1e-12)


def test_long_curves_are_thinned_and_keep_the_values_at_the_rates():
    matches = drawn_matches(1, films=2000, steps=10**6)
    assert len(matches.hits[0]) > 500
    found = froc(matches, alone(matches), rng(), 1)
    assert 350 < len(found.sensitivity) <= 405
    at = np.searchsorted(found.false_positives_per_film, RATES, side="right") - 1
    assert found.sensitivity[at].tolist() == values(found)
    area = afroc(matches, alone(matches), rng(), 1)
    assert 350 < len(area.sensitivity) <= 400
    assert np.trapezoid(area.sensitivity, area.false_positive_fraction) == pytest.approx(area.area.value, abs=0.002)


def test_froc_and_afroc_read_the_criterion_asked_for():
    # The box's centre lies in the truth box, IoU 25 / 100.
    found = Detections(np.array([[0.0, 0.0, 20.0, 20.0]]), np.array([0.9]), np.zeros(1, np.int64))
    matches = match([found, Detections.empty()], [np.array([[5.0, 5.0, 15.0, 15.0]]), np.zeros((0, 4))])
    for criterion, value in (("centre", 1.0), ("iou 0.10", 1.0), ("iou 0.50", 0.0)):
        assert froc(matches, ["a", "b"], rng(), 2, criterion).at[1].value == value
        assert afroc(matches, ["a", "b"], rng(), 2, criterion).area.value == (1 + value) / 2
    for curve in (froc, afroc):
        with pytest.raises(BadValue, match="criterion: expected one of centre"):
            curve(matches, ["a", "b"], rng(), 2, "iou")
        with pytest.raises(BadValue, match="groups: expected one for each of 2 films, got 1"):
            curve(matches, ["a"], rng(), 2)


def test_intervals_come_from_the_groups():
    matches = drawn_matches(3, films=60)
    alike = froc(matches, alone(matches), rng(), 200), afroc(matches, alone(matches), rng(), 200)
    again = froc(matches, alone(matches), rng(), 200), afroc(matches, alone(matches), rng(), 200)
    assert (alike[0].at, alike[1].area) == (again[0].at, again[1].area)
    pairs = [f"patient {i // 2}" for i in range(60)]
    for estimate in (*froc(matches, pairs, rng(), 200).at.values(), afroc(matches, pairs, rng(), 200).area):
        assert estimate.low < estimate.value < estimate.high
        assert (estimate.n, estimate.n_groups) == (matches.n_truth.sum(), 30)
        assert "200 resamples" in estimate.method


def plain_afroc(matches):
    """Compare each truth box with each normal film."""
    boxes = [score for score, find in zip(matches.score, matches.taken[0], strict=True) if find >= 0]
    boxes += [0.0] * (int(matches.n_truth.sum()) - len(boxes))
    normal = {film: 0.0 for film, count in enumerate(matches.n_truth) if not count}
    for film, score in zip(matches.film, matches.score, strict=True):
        if film in normal:
            normal[film] = max(normal[film], score)
    if not boxes or not normal:
        return np.nan
    wins = sum((box > top) + (box == top) / 2 for box in boxes for top in normal.values())
    return wins / (len(boxes) * len(normal))


@pytest.mark.parametrize("seed", range(20))
def test_afroc_is_the_plain_double_loop_s_and_the_area_below_its_curve(seed):
    matches = drawn_matches(seed)
    found = afroc(matches, alone(matches), rng(), 1)
    assert found.area.value == pytest.approx(plain_afroc(matches), abs=1e-12)
    below = np.trapezoid(found.sensitivity, found.false_positive_fraction)
    assert below == pytest.approx(found.area.value, abs=1e-12)


def test_afroc_by_hand():
    # TABLE's boxes are rated .9 .7 .6 .4, its normal films .8 .6 .3 and five times 0. Of eight films, .9 passes all;
    # .7 passes seven; .6 passes six and ties one; .4 passes six: 8 + 7 + 6.5 + 6 = 27.5 of 32.
    # The false positive at 0.5 is on a fractured film and plays no part.
    found = afroc(TABLE, alone(TABLE), rng(), 50)
    assert found.area.value == 27.5 / 32
    assert found.area.note.startswith("4 truth boxes on 2 films, 8 normal films")
    assert found.sensitivity.tolist() == [0, 0.25, 0.25, 0.5, 0.75, 1, 1, 1]
    assert found.false_positive_fraction.tolist() == [0, 0, 0.125, 0.125, 0.25, 0.25, 0.375, 1]


def test_afroc_of_unfound_boxes_on_unmarked_films_is_chance():
    assert afroc(matched([2, 0], []), ["a", "b"], rng(), 5).area.value == 0.5


def test_afroc_without_boxes_or_without_normal_films():
    for matches, reason in (
        (matched([1], [(0, 0.5, True)]), "no normal films"),
        (matched([0], [(0, 0.5, False)]), "no truth boxes"),
        (match([], []), "no truth boxes"),
    ):
        found = afroc(matches, alone(matches), rng(), 5)
        assert str(found.area) == f"not estimable ({reason})"
        assert len(found.sensitivity) == len(found.false_positive_fraction) == 0


MARKS = st.lists(st.tuples(st.integers(1, 12), st.booleans()), max_size=6)
FILMS = st.lists(st.tuples(st.integers(0, 3), MARKS), min_size=1, max_size=8)


def built(films):
    """Build matches of drawn films; no more marks find than the film has truth boxes."""
    marks = []
    for film, (count, drawn) in enumerate(films):
        free = count
        for score, find in drawn:
            marks.append((film, score / 12, find and free > 0))
            free -= marks[-1][2]
    return matched([count for count, _ in films], marks)


def figures(matches, copies=1):
    shares = sensitivities(matches, np.full(len(matches.n_truth), copies))
    area = afroc(matches, alone(matches), rng(), 1).area.value
    return [*shares, np.nan if area is None else area]


@given(FILMS, st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_neither_the_order_of_films_nor_a_copy_of_them_all_changes_a_value(films, random):
    ours = figures(built(films))
    shuffled = films.copy()
    random.shuffle(shuffled)
    for same in (figures(built(shuffled)), figures(built(films * 2)), figures(built(films), copies=2)):
        assert same == pytest.approx(ours, abs=1e-12, nan_ok=True)


@given(FILMS)
@settings(max_examples=60, deadline=None)
def test_more_false_positives_never_find_less(films):
    shares = sensitivities(built(films), np.ones(len(films), np.int64))
    assert np.isnan(shares).all() or (np.diff(shares) >= 0).all()
