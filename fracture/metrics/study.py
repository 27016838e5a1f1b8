"""From films to what a clinician decides on: a study or a patient, one score, one status."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fracture.clinical.status import Status
from fracture.core.errors import BadValue
from fracture.core.types import Estimate
from fracture.metrics.screening import Rates, Scores, Truth, rates
from fracture.metrics.uncertainty import group_members, proportion


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


REFUSED = "refused"
"""The row of a table for what no status could be given to, as none of its films could be read."""


@dataclass(frozen=True)
class StatusTable:
    """How many fractured and normal cases got each status, and the rates in both ways of reading it.

    ``rows`` has a row for each status, and one for `REFUSED`: how many cases of each kind, and what share of that kind.
    ``definite`` counts a fracture alone as positive, ``suspicious`` doubt as well; both are of the cases with a status.
    """

    rows: Mapping[str, Mapping[str, int | Estimate]]
    definite: Rates
    suspicious: Rates


def status_table(statuses: Sequence[Status | None], fractured: Truth, groups: Sequence[str]) -> StatusTable:
    """Count cases by status and truth, refused ones (None) too; all are (cases,), each with a truth that is known."""
    if not len(statuses) == len(fractured) == len(groups):
        shapes = f"{len(statuses)}, {len(fractured)}, {len(groups)}"
        raise BadValue(f"statuses, fractured and groups: expected one shape, got {shapes}")
    named = np.array([REFUSED if status is None else str(status) for status in statuses], dtype=str)
    rows: dict[str, dict[str, int | Estimate]] = {}
    for name in (*map(str, Status), REFUSED):
        rows[name] = {}
        for kind, among in (("fractured", fractured), ("normal", ~fractured)):
            here = (named == name) & among
            rows[name] |= {
                kind: int(here.sum()),
                f"share_of_{kind}": proportion(here, among, groups, f"no {kind} cases"),
            }
    read = np.flatnonzero(named != REFUSED)
    names, truth, known = named[read], fractured[read], [groups[int(i)] for i in read]

    def positive(*kinds: Status) -> Rates:
        return rates(np.isin(names, list(map(str, kinds))).astype(np.float64), truth, 1.0, known)

    return StatusTable(rows, positive(Status.FRACTURE), positive(Status.FRACTURE, Status.DOUBT))
