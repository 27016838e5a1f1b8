"""From films to what a clinician decides on: a study or a patient, one score, one of three answers."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from fracture.errors import BadValue
from fracture.metrics.screening import Rates, Scores, Truth, rates
from fracture.metrics.uncertainty import group_members


def _noisy_or(probabilities: Scores) -> float:
    # The best film and what the others add to it: a single film keeps its probability to the last digit.
    *others, best = np.sort(probabilities)
    return float(best + (1 - best) * (1 - np.prod(1 - np.array(others))))


AGGREGATIONS: dict[str, Callable[[Scores], float]] = {"max": lambda scores: float(scores.max()), "noisy_or": _noisy_or}
"""How the scores of a case's films become the case's score.

``max`` is the score of the film that shows most. ``noisy_or`` is the probability that at least one film shows a
fracture (Pearl, Probabilistic Reasoning in Intelligent Systems (1988), section 4.3.2); it needs probabilities, which
scores are only once calibrated, and takes films to err independently: two views of one hand do not, so it is too sure.
"""


def aggregate(scores: Scores, cases: Sequence[str], rule: str) -> tuple[list[str], Scores]:
    """Give the cases' names, sorted, and their scores, (cases,); ``cases`` names the case of each film."""
    if rule not in AGGREGATIONS:
        raise BadValue(f"rule: expected one of {', '.join(AGGREGATIONS)}, got {rule!r}")
    if scores.shape != (len(cases),):
        raise BadValue(f"scores: expected shape ({len(cases)},) as cases, got {scores.shape}")
    if not bool(((scores >= 0) & (scores <= 1)).all()):
        raise BadValue(f"scores: expected numbers within 0..1, got {scores.min()} to {scores.max()}")
    films = group_members(cases)
    combined = np.array([AGGREGATIONS[rule](scores[members]) for members in films], dtype=np.float64)
    return [str(cases[int(members[0])]) for members in films], combined


def case_truth(fractured: Sequence[bool | None], cases: Sequence[str]) -> dict[str, bool | None]:
    """Tell of each case, in the order of `aggregate`, whether it is fractured.

    It is where any of its films is, it is not where every film is known to be normal, else nobody knows (None).
    """
    if len(fractured) != len(cases):
        raise BadValue(f"fractured: expected one for each of {len(cases)} films, got {len(fractured)}")
    said: dict[str, set[bool | None]] = {name: set() for name in sorted(set(cases))}
    for film, name in zip(fractured, cases, strict=True):
        said[name].add(film)
    return {name: True if True in films else None if None in films else False for name, films in said.items()}


class Status(StrEnum):
    """What is said of a film or a case. Its sentence for people is the caller's."""

    FRACTURE = "fracture"
    DOUBT = "doubt"
    NO_FRACTURE = "no fracture"


def status(score: float, screening: float, specific: float) -> Status:
    """Give a fracture at or above ``specific``, else doubt at or above ``screening``, else no fracture.

    A fracture is said where few normal films score as high, none where few fractured films score as low; doubt is what
    lies between. The thresholds need not come in order: in a good network ``screening`` can be at or above
    ``specific``. Then both promises are kept by ``specific`` alone, for fewer normal films reach it than were allowed
    and fewer fractured films fall below it than below ``screening``, and nothing is left in doubt. A threshold of
    infinity, for a point that could not be measured, is never reached. Raises BadValue where a number is NaN, which
    would otherwise pass for no fracture, or the score outside 0..1.
    """
    if not 0 <= score <= 1:
        raise BadValue(f"score: expected within 0..1, got {score}")
    for name, threshold in (("screening", screening), ("specific", specific)):
        if not threshold >= 0:
            raise BadValue(f"{name}: expected a threshold of at least 0, got {threshold}")
    if score >= specific:
        return Status.FRACTURE
    return Status.DOUBT if score >= screening else Status.NO_FRACTURE


@dataclass(frozen=True)
class StatusTable:
    """How many fractured and normal cases got each status, and the rates in both ways of reading it.

    ``definite`` counts a fracture alone as positive, ``suspicious`` doubt as well.
    """

    counts: Mapping[str, Mapping[str, int]]
    definite: Rates
    suspicious: Rates


def status_table(
    case_scores: Scores, fractured: Truth, groups: Sequence[str], screening: float, specific: float
) -> StatusTable:
    """Count cases by status and truth; all are (cases,), and cases whose truth nobody knows have no place here."""
    # At or above the lower of the two a case is doubtful or worse, in whichever order they come.
    suspicious = rates(case_scores, fractured, min(screening, specific), groups)
    definite = rates(case_scores, fractured, specific, groups)
    seen = Counter(
        (status(float(score), screening, specific), bool(truth))
        for score, truth in zip(case_scores, fractured, strict=True)
    )
    counts = {str(kind): {"fractured": seen[kind, True], "normal": seen[kind, False]} for kind in Status}
    return StatusTable(counts, definite, suspicious)
