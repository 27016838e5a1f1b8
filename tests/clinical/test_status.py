"""The one rule: what is said of a film and of a study, by hand and whatever scores, flags, modes and conf are."""

import math
import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fracture.clinical.status import Status, Thresholds, of_film, of_study
from fracture.core.errors import BadValue
from fracture.core.types import FilmScore
from fracture.imaging.dicom.scope import NO_LIMB
from fracture.imaging.render import HEADLINES
from fracture.models.scope import FLAG
from fracture.predictions.jsonl import warnings_for

FRACTURE, DOUBT, NONE, OUTSIDE = Status
AT = Thresholds(screening=0.2, specific=0.6)
BALANCED = 0.4
SHARE = st.floats(0, 1)
SCORES = st.lists(SHARE, max_size=6).map(lambda scores: sorted(scores, reverse=True))
FLAGS = st.frozensets(
    st.sampled_from(["truncated", "outside_scope", "no_limb", "low_contrast", "for_processing", "inverted"])
)
WHOLE = st.one_of(st.none(), st.builds(FilmScore, SHARE, st.just("classifier")))
"""A score of the film's own, or none."""
FILMS = st.builds(of_film, SCORES, FLAGS, st.just(AT), SHARE, st.none(), WHOLE)


def film(*scores, flags=(), **changes):
    return of_film(scores, frozenset(flags), **{"thresholds": AT, "flagged_from": BALANCED} | changes)


def test_the_flags_are_those_that_films_get():
    for flag in (FLAG, NO_LIMB, "truncated", "for_processing"):
        assert film(0.1, flags=[flag]).status is not NONE
        assert warnings_for(frozenset({flag}))


def test_status_in_order_and_at_the_thresholds():
    said = [AT.status(score) for score in (0.0, 0.19, 0.2, 0.59, 0.6, 1.0)]
    assert said == [NONE, NONE, DOUBT, DOUBT, FRACTURE, FRACTURE]
    assert [str(kind) for kind in Status] == ["fracture", "doubt", "no fracture", "outside"]


def test_status_of_a_network_so_good_that_nothing_is_in_doubt():
    # 95 % of normal films score below 0.3 already, and 90 % of fractured ones reach even 0.5: 0.3 keeps both promises.
    good = Thresholds(screening=0.5, specific=0.3)
    assert [good.status(score) for score in (0.29, 0.3, 0.4, 0.5)] == [NONE, FRACTURE, FRACTURE, FRACTURE]
    assert Thresholds(0.3, 0.3).status(0.3) is FRACTURE


def test_status_without_a_point():
    assert Thresholds(0.2, math.inf).status(1.0) is DOUBT
    assert Thresholds(math.inf, 0.6).status(0.1) is NONE
    assert Thresholds(math.inf, 0.6).status(0.7) is FRACTURE


@given(SHARE, SHARE, SHARE, SHARE)
def test_a_higher_score_never_means_less(low, high, screening, specific):
    low, high = sorted((low, high))
    order, at = [NONE, DOUBT, FRACTURE], Thresholds(screening, specific)
    assert order.index(at.status(low)) <= order.index(at.status(high))


@pytest.mark.parametrize(
    ("wrong", "name"),
    [
        ((math.nan, 0.2, 0.6), "score"),
        ((1.01, 0.2, 0.6), "score"),
        ((-0.01, 0.2, 0.6), "score"),
        ((0.5, math.nan, 0.6), "screening"),
        ((0.5, 0.2, math.nan), "specific"),
        ((0.5, -0.2, 0.6), "screening"),
    ],
)
def test_no_number_passes_for_no_fracture(wrong, name):
    with pytest.raises(BadValue, match=f"{name}: expected"):
        Thresholds(*wrong[1:]).status(wrong[0])


# --- the three examples of one film that was told three things ---


def test_in_doubt_the_box_that_decided_is_there_below_the_modes_threshold():
    said = film(0.3)
    assert (said.status, said.fracture_detected, said.certainty, said.deciding_box) == (
        *(DOUBT, False),
        *(("suspicious",), 0),
    )
    assert said.advice.startswith("In doubt: the film may show a fracture.")


def test_a_low_conf_of_the_callers_makes_no_fracture_of_none():
    said = film(0.1, 0.05, flagged_from=0.001)
    assert (said.status, said.fracture_detected, said.certainty) == (NONE, False, (None, None))
    assert said.advice.startswith("No box reached a threshold. This does not rule out a fracture")


def test_a_high_conf_of_the_callers_hides_no_fracture():
    said = film(0.9, 0.7, flagged_from=1)
    assert (said.status, said.fracture_detected, said.certainty) == (FRACTURE, True, ("definite",))
    assert said.advice.startswith("A fracture is suspected. Boxes can be wrong")


# --- a score of the film that is no box's ---


def whole(value, *boxes, **changes):
    return film(*boxes, film=FilmScore(value, "classifier"), **changes)


def test_a_films_own_score_decides_and_boxes_are_rated_by_theirs():
    said = whole(0.7, 0.3)
    assert (said.status, said.fracture_detected, said.by_score, said.deciding_box) == (FRACTURE, True, True, None)
    assert said.certainty == ("suspicious",)  # below what was asked for, and what there is to show for it
    assert said.advice.startswith("A fracture is suspected. Boxes can be wrong")
    assert whole(0.1, 0.1).status is NONE


@pytest.mark.parametrize(
    ("value", "box", "note"),
    [
        (0.01, 0.9, "a box reaches a threshold, but a film's score and its boxes disagree"),
        (0.3, 0.9, "a box reaches a threshold, but a film's score and its boxes disagree"),
        (0.01, 0.3, "a box reaches the high-sensitivity threshold, none the high-specificity one"),
        (0.9, 0.1, "the score reaches a threshold, but a film's score and its boxes disagree"),
    ],
)
def test_a_film_whose_score_and_box_disagree_is_in_doubt(value, box, note):
    said = whole(value, box)
    assert (said.status, said.by_score) == (DOUBT, True)
    assert said.deciding_box == (0 if box > value else None)
    assert said.certainty == (("suspicious",) if box > value else ())
    assert said.advice.startswith("In doubt: ")
    assert of_study([said], 0).note == note
    assert said.fracture_detected == (max(value, box) >= BALANCED)


def test_noise_is_no_box_to_show_for_a_fracture():
    """A network's boxes go down to a thousandth: there is always one."""
    assert whole(0.9, 0.001).status is DOUBT
    assert whole(0.9, 0.199).status is DOUBT
    assert whole(0.9, 0.2).status is FRACTURE


def test_a_suspicious_film_without_a_box_is_in_doubt_and_never_more():
    for value in (0.3, 0.7, 1.0):
        said = whole(value)
        assert (said.status, said.by_score, said.shown) == (DOUBT, True, 0)
        assert said.advice.startswith("In doubt: the film as a whole may show a fracture, and no box marks where")
    assert [whole(value).fracture_detected for value in (0.1, 0.3, 0.4)] == [False, False, True]
    assert whole(0.1).status is NONE
    assert whole(0.9, flags=["outside_scope"]).status is OUTSIDE


def test_a_study_says_what_reached_a_threshold():
    assert of_study([whole(0.7, 0.3)], 0).note == "the score reaches the high-specificity threshold"
    in_doubt = [of_study([kind(0.3), kind(0.1)], 0).note for kind in (whole, film)]
    assert in_doubt[0].startswith("the score of at least one of 2 films reaches the high-sensitivity threshold")
    assert in_doubt[1].startswith("a box on at least one of 2 films reaches the high-sensitivity threshold")


def test_a_best_box_that_is_called_so_changes_nothing():
    for scores in ((), (0.1,), (0.3,), (0.7, 0.3)):
        best = FilmScore(scores[0] if scores else 0.0)
        assert film(*scores, film=best) == film(*scores)


# --- flags ---


@pytest.mark.parametrize("flag", ["outside_scope", "no_limb"])
@pytest.mark.parametrize("scores", [(), (0.1,), (0.3,), (0.95, 0.4)])
@pytest.mark.parametrize("others", [(), ("truncated",), ("low_contrast", "for_processing")])
def test_outside_the_intended_use_nothing_is_said_of_a_fracture(flag, scores, others):
    said = film(*scores, flags=[flag, *others])
    assert (said.status, said.fracture_detected, said.deciding_box) == (OUTSIDE, False, None)
    assert set(said.certainty) <= {None}
    assert said.advice.startswith("This film is outside what the model is meant for")
    assert said.advice.endswith("Have a doctor read the film.")
    assert "suspected" not in said.advice
    assert film(*scores, flags=[flag], thresholds=None).status is OUTSIDE


@pytest.mark.parametrize("flag", ["low_contrast", "for_processing"])
@pytest.mark.parametrize("scores", [(), (0.1,), (0.3,), (0.95, 0.4)])
def test_what_cannot_be_read_is_in_doubt_at_most_and_at_least(flag, scores):
    said = film(*scores, flags=[flag])
    assert said.status is DOUBT
    assert "definite" not in said.certainty
    assert said.certainty == film(*scores, flags=[]).certainty[:0] + ("suspicious",) * len(said.certainty)
    assert "suspected" not in said.advice


def test_a_film_that_is_cut_short_is_never_one_without_a_fracture():
    assert [film(*scores, flags=["truncated"]).status for scores in ((), (0.1,), (0.3,), (0.7,))] == [
        *(DOUBT, DOUBT),
        *(DOUBT, FRACTURE),
    ]
    assert film(flags=["truncated"]).advice.startswith("Part of the film is missing")


def test_without_thresholds_there_is_no_status_and_the_callers_threshold_flags():
    assert [film(*scores, thresholds=None).fracture_detected for scores in ((), (0.39,), (0.4,))] == [
        *(False, False),
        True,
    ]
    assert film(0.9, thresholds=None).status is None
    assert film(0.3, thresholds=None, shown_from=0.1).advice.startswith("No box reached a threshold.")


@settings(max_examples=600, deadline=None)
@given(
    SCORES, FLAGS, st.one_of(st.none(), st.builds(Thresholds, SHARE, SHARE)), SHARE, st.one_of(st.none(), SHARE), WHOLE
)
@example([], frozenset(), Thresholds(0, 0), 0, None, None)
@example([0.0], frozenset(), Thresholds(0, 0), 0, 1, None)
@example([0.9], frozenset(), AT, 0.4, None, FilmScore(0.01, "classifier"))
@example([0.001], frozenset(), AT, 0.4, None, FilmScore(0.9, "classifier"))
def test_status_flag_boxes_advice_note_and_headline_never_contradict_each_other(
    scores, flags, at, flagged_from, shown_from, own
):
    said = of_film(scores, flags, at, flagged_from, shown_from, own)
    # Neither a mode nor conf changes the status, nor what a box is called.
    other = of_film(scores, flags, at, 1 - flagged_from, film=own)
    assert said.status is other.status
    assert all(one is two for one, two in zip(said.certainty, other.certainty, strict=False))
    # What was asked for is there, and so is the box that decided.
    asked = flagged_from if shown_from is None else shown_from
    assert said.shown >= sum(score >= asked for score in scores)
    if said.status is FRACTURE or (said.status is DOUBT and not flags - {"inverted"}):
        assert said.by_score
        assert own is not None or said.deciding_box == 0
        assert own is not None or at.status(scores[0]) is said.status
    if said.deciding_box is not None:
        assert said.shown > said.deciding_box
        assert said.certainty[said.deciding_box] is not None
    # The flag.
    if said.status is FRACTURE:
        assert said.fracture_detected
        assert said.certainty[0] == "definite" if own is None else said.certainty[0]
    if said.status in {NONE, OUTSIDE}:
        assert not said.fracture_detected
        assert not any(said.certainty)
    if said.fracture_detected and own is None:
        assert said.shown
        assert said.certainty[0] is not None or at is None
    if "definite" in said.certainty:
        assert said.status is FRACTURE
    # The advice.
    assert ("is suspected" in said.advice) == (
        said.status is FRACTURE or (said.status is None and said.shown > 0 and said.fracture_detected)
    )
    rated = sum(map(bool, said.certainty))
    unmeasured = at is None and said.fracture_detected and said.shown > 0
    assert ("Boxes can be wrong" in said.advice) == (rated > 0 or unmeasured)
    assert not re.search(r"\d", said.advice), "a page may show fewer boxes than are in the answer"
    assert ("No box reached a threshold" in said.advice) <= (not rated)
    assert ("In doubt: " in said.advice) <= (said.status is DOUBT)
    assert said.status is not NONE or "No box reached a threshold" in said.advice
    if own is None:
        assert ("No box reached a threshold" in said.advice) <= (not said.fracture_detected)
    assert said.advice.rstrip(".").endswith("a doctor read the film")
    # The study that is this film alone, and the picture.
    note = of_study([said], 0).note
    assert of_study([said], 0).status is said.status
    assert ("reaches the high-specificity threshold" in note) == (said.status is FRACTURE)
    assert ("no box" in note) <= (not rated)
    assert said.status is not NONE or note.startswith("no box reaches a threshold")
    if said.status in HEADLINES:
        assert ("suspected" in HEADLINES[said.status]) == (said.status is FRACTURE)
        assert ("No box" in HEADLINES[said.status]) <= (not rated)


# --- studies ---


@pytest.mark.parametrize(
    ("films", "refused", "status", "note"),
    [
        ([(0.9,), (0.3,)], 1, FRACTURE, "a box on at least one of 2 films reaches the high-specificity threshold"),
        ([(0.3,), (0.1,)], 0, DOUBT, "reaches the high-sensitivity threshold, none the high-specificity one"),
        ([(0.1,), ()], 0, NONE, "no box on any of 2 films reaches a threshold; this does not rule out a fracture"),
        (
            [(0.1,)],
            2,
            DOUBT,
            "this does not rule out a fracture. The study stays in doubt, as not every file could be read.",
        ),
    ],
)
def test_a_study_by_hand(films, refused, status, note):
    said = of_study([film(*scores) for scores in films], refused)
    assert said.status is status
    assert said.note.endswith(note)


def test_a_study_with_films_that_cannot_be_judged():
    outside, poor, cut = (film(0.9, flags=[flag]) for flag in ("outside_scope", "low_contrast", "truncated"))
    none = film(0.1)
    said = of_study([outside, outside], 1)
    assert said.status is OUTSIDE
    assert said.note == (
        "every film that was read is outside the intended use, so what the boxes say counts for nothing"
    )
    said = of_study([outside, none], 0)
    assert said.status is DOUBT
    assert said.note == (
        "no box on the film that can be judged reaches a threshold; this does not rule out a fracture. "
        "The study stays in doubt, as 1 film is outside the intended use."
    )
    said = of_study([poor], 0)
    assert said.status is DOUBT
    assert said.note == ("a fracture can be neither told nor ruled out. The film has too little contrast to be read.")
    said = of_study([outside, cut, cut, none], 1)
    assert said.note == (
        "a box on at least one of 4 films reaches the high-specificity threshold. "
        "1 film is outside the intended use and 2 films are cut short."
    )
    said = of_study([none, outside, film(flags=["truncated"]), film(flags=["for_processing"])], 1)
    assert said.note.endswith(
        "The study stays in doubt, as 1 film is outside the intended use, 1 film is cut short, "
        "1 film was not processed to be looked at and not every file could be read."
    )
    both = film(flags=["outside_scope", "truncated"])
    assert of_study([both, none], 0).note.endswith("as 1 film is outside the intended use and is cut short.")
    assert of_study([both, both, cut], 0).note.endswith(
        "2 films are outside the intended use and are cut short, and 1 film is cut short."
    )
    assert of_study([both], 0).note.endswith("counts for nothing. The film is cut short.")
    assert of_study([outside, cut], 0).status is FRACTURE
    assert of_study([outside, poor], 0).status is DOUBT
    with pytest.raises(BadValue, match="expected a film that was read, got none and 2 refused"):
        of_study([], 2)


@settings(max_examples=300, deadline=None)
@given(st.lists(FILMS, min_size=1, max_size=5), st.integers(0, 2), st.randoms())
def test_a_study_is_what_its_films_make_it(films, refused, random):
    said = of_study(films, refused)
    kinds = {one.status for one in films}
    if FRACTURE in kinds:
        assert said.status is FRACTURE
    elif kinds == {OUTSIDE}:
        assert said.status is OUTSIDE
    else:
        assert said.status is (NONE if kinds == {NONE} and not refused else DOUBT)
    shuffled = list(films)
    random.shuffle(shuffled)
    assert of_study(shuffled, refused) == said
    assert ("reaches the high-specificity threshold" in said.note) == (said.status is FRACTURE)
    assert (said.status is NONE) <= said.note.startswith("no box")


@pytest.mark.parametrize("flag", ["low_contrast", "for_processing"])
def test_of_a_film_that_cannot_be_read_no_box_decides_though_it_is_shown(flag):
    said = film(0.95, 0.3, flags=[flag])
    assert (said.status, said.deciding_box, said.shown) == (DOUBT, None, 1)
    assert said.certainty == ("suspicious",)


def test_a_fusion_whose_score_is_its_best_boxs_is_decided_by_that_box():
    """Ours moves the boxes' scores; another program's may have a score of its own."""
    thresholds = Thresholds(0.3, 0.7)
    ours, plain = (of_film([0.8], frozenset(), thresholds, 0.5, film=film) for film in (FilmScore(0.8, "fusion"), None))
    assert ours == plain
    assert ours.deciding_box == 0
    other = of_film([0.8], frozenset(), thresholds, 0.5, film=FilmScore(0.4, "fusion"))
    assert (other.status, other.deciding_box) == (Status.DOUBT, 0)
