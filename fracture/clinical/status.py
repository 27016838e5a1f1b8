"""What is said of a film and of a study: the ONE rule, for the service, pictures, command line and evaluation.

The status rests on the card's two thresholds and on the film's flags alone. A mode or a threshold of the caller's says
which other boxes are shown, and from which score a film in doubt counts as flagged; neither changes a status.

A film, in this order:

1. outside the intended use: it is ``outside``, whatever its boxes say, and none of them is rated;
2. too few greys to be read, or a detector's raw values: it is in doubt, and no box is more than suspicious;
3. its score at or above ``specific``: a fracture, or doubt where no box reaches a threshold and shows where; at or
   above ``screening``: doubt;
4. its best box reaches a threshold, though a score of the film's own says less: doubt;
5. part of it is missing: doubt;
6. else no fracture.

A film's score is its best box's, or what a network says of the film as a whole (`fracture.core.types.FilmScore`).
Boxes are rated by their own scores; only on a film with a fracture is one definite.

A study, in this order:

1. a fracture on any film: a fracture;
2. doubt on any film: doubt;
3. every film that was read is outside: outside;
4. a film is outside or was refused: doubt;
5. else no fracture.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, Self

from fracture.core.errors import BadValue
from fracture.core.types import BEST_BOX, FUSION, FilmScore, OperatingPoint, Prediction

Certainty = Literal["definite", "suspicious"]

DEFAULT_MODE = "balanced"
"""The mode of whoever names none: service, page, pictures."""

OUTSIDE_SCOPE = "outside_scope"
_OUTSIDE = frozenset({OUTSIDE_SCOPE, "no_limb"})
_DOUBT_AT_MOST = frozenset({"low_contrast", "for_processing"})

_KEPT_FROM_NO_FRACTURE = (
    (_OUTSIDE, "is outside the intended use", "are outside the intended use"),
    (frozenset({"truncated"}), "is cut short", "are cut short"),
    (frozenset({"low_contrast"}), "has too little contrast to be read", "have too little contrast to be read"),
    (frozenset({"for_processing"}), "was not processed to be looked at", "were not processed to be looked at"),
)
"""What keeps a study from being one without a fracture, by flags of its films: in words for one and for several."""

_REPAIRS = {
    "truncated": "Part of the film is missing, so the absence of a fracture cannot be concluded: send the whole film.",
    "low_contrast": "The film has too little contrast to be read: send it with its whole range of greys.",
    "for_processing": "The file has a detector's raw values: send the film as it was processed to be looked at.",
}
_SEE_A_DOCTOR = "have a doctor read the film."


class Status(StrEnum):
    """What is said of a film or a study. Its words for people are the caller's."""

    FRACTURE = "fracture"
    DOUBT = "doubt"
    NO_FRACTURE = "no fracture"
    OUTSIDE = "outside"


_RANK = {Status.NO_FRACTURE: 0, Status.DOUBT: 1, Status.FRACTURE: 2}


@dataclass(frozen=True)
class Thresholds:
    """The two scores of a card that a status rests on.

    They need not come in order: in a good network ``screening`` can be at or above ``specific``. Then both promises are
    kept by ``specific`` alone, for fewer normal films reach it than were allowed and fewer fractured films fall below
    it than below ``screening``, and no score is in doubt. A threshold of infinity, for a point that could not be
    measured, is never reached. Raises BadValue for one below 0 and for NaN, which nothing would reach.
    """

    screening: float
    specific: float

    def __post_init__(self) -> None:
        for name in ("screening", "specific"):
            if not getattr(self, name) >= 0:
                raise BadValue(f"{name}: expected a threshold of at least 0, got {getattr(self, name)}")

    @classmethod
    def of(cls, points: Iterable[OperatingPoint]) -> Self | None:
        """Take them from operating points; None where one of the two was not measured."""
        known = {point.name: point.threshold for point in points}
        if not {"screening", "specific"} <= known.keys():
            return None
        return cls(known["screening"], known["specific"])

    def least(self, certainty: Certainty) -> float:
        """Give the score from which a box is as certain."""
        return self.specific if certainty == "definite" else min(self.screening, self.specific)

    def status(self, score: float) -> Status:
        """Say what a score stands for: few normal films score as high as a fracture, few fractured as low as none.

        Raises BadValue for a score outside 0..1 and for NaN, which would otherwise pass for no fracture.
        """
        if not 0 <= score <= 1:
            raise BadValue(f"score: expected within 0..1, got {score}")
        if score >= self.specific:
            return Status.FRACTURE
        return Status.DOUBT if score >= self.screening else Status.NO_FRACTURE


@dataclass(frozen=True)
class Said:
    """What is said of a film.

    ``status`` is None where the card lacks a threshold that it needs. ``certainty`` has an entry for each box of the
    answer: these are the film's first, as boxes come best first. ``by_score`` tells that a score, and not the film's
    flags or the lack of a score, is why it is a fracture or in doubt; ``deciding_box`` is the place among the boxes of
    the one whose score that is, None where it is none's. ``torn`` tells that a score says fracture and the film is in
    doubt all the same, as its own score and its boxes disagree.
    """

    status: Status | None
    fracture_detected: bool
    certainty: tuple[Certainty | None, ...]
    by_score: bool
    deciding_box: int | None
    torn: bool
    flags: frozenset[str]
    advice: str

    @property
    def shown(self) -> int:
        """Say how many of the film's boxes are in the answer, best first."""
        return len(self.certainty)


@dataclass(frozen=True)
class StudySaid:
    """What is said of a study, and what it rests on in words: how many files were refused is told beside it."""

    status: Status | None
    note: str


def of_film(
    scores: Sequence[float],
    flags: frozenset[str],
    thresholds: Thresholds | None,
    flagged_from: float,
    shown_from: float | None = None,
    film: FilmScore | None = None,
) -> Said:
    """Decide what is said of a film by the scores of its boxes, best first, its own score if it has one, and its flags.

    The answer holds the boxes from ``shown_from`` on, which is ``flagged_from`` unless named, and the best box wherever
    it reaches the lower of the card's thresholds or is why the film is flagged: nothing rests on a box that is not
    there. A fracture is always flagged, a film without one or outside never, and one in doubt by a score where that
    score reaches ``flagged_from``.
    """
    box = scores[0] if len(scores) else None
    of_box = film is None or film.made_by == BEST_BOX or (film.made_by == FUSION and film.value == box)
    whole = None if film is None or of_box else film.value
    box_says, whole_says = (_says(score, thresholds) for score in (box, whole))
    box_decides = whole is None or _RANK[box_says] > _RANK[whole_says]
    best = box if box_decides else whole
    outside, at_most_doubt = bool(flags & _OUTSIDE), bool(flags & _DOUBT_AT_MOST)
    by_scores = box_says if whole is None else _together(whole_says, box_says)
    status = _film_status(by_scores, flags, thresholds)
    by_score = by_scores is not Status.NO_FRACTURE and not (outside or at_most_doubt)
    unsure = status in {Status.DOUBT, None} and best is not None and best >= flagged_from
    detected = status is Status.FRACTURE or (unsure and (by_scores is not Status.NO_FRACTURE or thresholds is None))
    asked = flagged_from if shown_from is None else shown_from
    needed = box_says is not Status.NO_FRACTURE or (detected and box_decides)
    shown = max(sum(score >= asked for score in scores), int(needed))
    certainty = tuple(
        None if outside or thresholds is None else _certainty(thresholds.status(score), status)
        for score in scores[:shown]
    )
    marked = bool(certainty) if thresholds is None and detected else any(certainty)
    torn = by_score and status is Status.DOUBT and Status.FRACTURE in {box_says, whole_says}
    deciding = 0 if by_score and box_decides else None
    advice = _advice(status, flags, marked=marked, by_score=by_score)
    return Said(status, detected, certainty, by_score, deciding, torn, flags, advice)


def said_of(
    prediction: Prediction, thresholds: Thresholds | None, flagged_from: float, shown_from: float | None = None
) -> Said:
    """Decide what is said of a film by its prediction, as `of_film` does: everybody who has one calls this."""
    scores = prediction.detections.score.tolist()
    return of_film(scores, prediction.flags, thresholds, flagged_from, shown_from, prediction.film)


def of_study(films: Sequence[Said], refused: int) -> StudySaid:
    """Decide what is said of a study by what is said of its films that were read, and the number of those refused.

    Raises BadValue where no film was read: then there is nothing to say.
    """
    if not films:
        raise BadValue(f"study: expected a film that was read, got none and {refused} refused")
    said = {film.status for film in films}
    judged = [film for film in films if not film.flags & (_OUTSIDE | _DOUBT_AT_MOST)]
    status = max((film.status for film in films if film.by_score and film.status), key=_RANK.__getitem__, default=None)
    deciding = [film for film in films if film.by_score and film.status is status]
    what = "the score" if any(film.deciding_box is None for film in deciding) else "a box"
    on = "of" if what == "the score" else "on"
    reaching = f"{what} {on} at least one of {len(films)} films" if len(films) > 1 else what
    kept = _kept(films)
    if said == {Status.OUTSIDE}:
        which = "the film" if len(films) == 1 else "every film that was read"
        note = f"{which} is outside the intended use, so what the boxes say counts for nothing"
        return StudySaid(Status.OUTSIDE, _told(note, _kept(films, _OUTSIDE)))
    if None in said:
        return StudySaid(None, _told("this model was not measured at both thresholds that a status needs", kept))
    if Status.FRACTURE in said:
        return StudySaid(Status.FRACTURE, _told(f"{reaching} reaches the high-specificity threshold", kept))
    if any(film.status is Status.DOUBT and film.by_score for film in judged):
        note = f"{reaching} reaches the high-sensitivity threshold, none the high-specificity one"
        if any(film.torn for film in deciding):
            note = f"{reaching} reaches a threshold, but a film's score and its boxes disagree"
        return StudySaid(Status.DOUBT, _told(note, kept))
    if not judged:
        return StudySaid(Status.DOUBT, _told("a fracture can be neither told nor ruled out", kept))
    if len(judged) < len(films):
        which = "film" if len(judged) == 1 else f"{len(judged)} films"
        note = f"no box on the {which} that can be judged reaches a threshold; this does not rule out a fracture"
    else:
        on_any = f" on any of {len(films)} films" if len(films) > 1 else ""
        note = f"no box{on_any} reaches a threshold; this does not rule out a fracture"
    kept += ["not every file could be read"] if refused else []
    if kept:
        note += f". The study stays in doubt, as {_listed(kept)}."
    return StudySaid(Status.DOUBT if kept else Status.NO_FRACTURE, note)


def _says(score: float | None, thresholds: Thresholds | None) -> Status:
    return Status.NO_FRACTURE if score is None or thresholds is None else thresholds.status(score)


def _together(whole: Status, box: Status) -> Status:
    """Say what a film's own score and its best box come to: a fracture needs a box that shows where."""
    if whole is Status.FRACTURE and box is not Status.NO_FRACTURE:
        return Status.FRACTURE
    return Status.NO_FRACTURE if whole is box is Status.NO_FRACTURE else Status.DOUBT


def _film_status(by_scores: Status, flags: frozenset[str], thresholds: Thresholds | None) -> Status | None:
    if flags & _OUTSIDE:
        return Status.OUTSIDE
    if flags & _DOUBT_AT_MOST:
        return Status.DOUBT
    if thresholds is None:
        return None
    return Status.DOUBT if by_scores is Status.NO_FRACTURE and "truncated" in flags else by_scores


def _certainty(box: Status, film: Status | None) -> Certainty | None:
    if box is Status.NO_FRACTURE:
        return None
    return "definite" if box is film is Status.FRACTURE else "suspicious"


def _advice(status: Status | None, flags: frozenset[str], *, marked: bool, by_score: bool) -> str:
    """Say what to make of it. Nothing found never reads as nothing there, least of all where film is missing.

    Boxes are not counted: a page or a picture may show fewer of them than are in the answer. ``marked`` tells that
    a box is there for what is said, ``by_score`` that a score reached a threshold: without a box, that of the film as a
    whole.
    """
    repairs = [text for flag, text in _REPAIRS.items() if flag in flags]
    if status is Status.OUTSIDE:
        said = (
            "This film is outside what the model is meant for: neither a box on it nor the lack of one says anything."
        )
        return f"{said} {_SEE_A_DOCTOR.capitalize()}"
    if status is Status.FRACTURE or (status is None and marked):
        said = f"A fracture is suspected. Boxes can be wrong, and others missed: {_SEE_A_DOCTOR}"
    elif marked:
        said = f"In doubt: the film may show a fracture. Boxes can be wrong, and others missed: {_SEE_A_DOCTOR}"
    elif by_score:
        said = f"In doubt: the film as a whole may show a fracture, and no box marks where: {_SEE_A_DOCTOR}"
    else:
        said = (
            "No box reached a threshold. This does not rule out a fracture: where pain, swelling or an injury speaks "
            f"for one, {_SEE_A_DOCTOR}"
        )
    return " ".join([*repairs, said])


def _kept(films: Sequence[Said], known: frozenset[str] = frozenset()) -> list[str]:
    """Say what keeps films from being judged, or from being without a fracture; each film is counted once.

    Flags that are ``known`` are told elsewhere.
    """
    alike = Counter(
        tuple(number for number, (flags, *_) in enumerate(_KEPT_FROM_NO_FRACTURE) if film.flags & flags - known)
        for film in films
    )
    told = []
    for numbers, count in sorted(alike.items()):
        if numbers:
            who = "the film" if len(films) == 1 else "1 film" if count == 1 else f"{count} films"
            reasons = (_KEPT_FROM_NO_FRACTURE[number] for number in numbers)
            told.append(f"{who} {_listed([one if count == 1 else several for _, one, several in reasons])}")
    return told


def _told(note: str, kept: Sequence[str]) -> str:
    if not kept:
        return note
    more = _listed(kept)
    return f"{note}. {more[0].upper()}{more[1:]}."


def _listed(parts: Sequence[str]) -> str:
    last = ", and " if any(" and " in part for part in parts) else " and "
    return last.join([", ".join(parts[:-1]), parts[-1]] if parts[1:] else parts)
