"""Rough words for a box: what kind of fracture, how severe. Rules of thumb on geometry and score, never a diagnosis.

Nothing here was learned or measured. Every answer names the rule behind it and is labelled a best guess, because a
person may read it.
"""

from dataclasses import dataclass

from fracture.core.types import Box

LABEL = "best guess"


@dataclass(frozen=True)
class BestGuess:
    """A word for the kind, a word for the severity, and the rules that gave them."""

    fracture_type: str
    severity: str
    notes: str


def guess(box: Box, score: float, film_px: tuple[int, int]) -> BestGuess:
    """Guess from a box (xyxy px), its score and the film's (width, height).

    Kind, by the ratio of the longer side to the shorter: above 2 transverse, above 1.25 oblique, else compact
    (comminuted or displaced). Severity, by the box's share of the film and the score: at least 2 % and 0.5 severe, at
    least 0.5 % moderate, else mild.
    """
    width, height = box[2] - box[0], box[3] - box[1]
    ratio = max(width, height) / max(min(width, height), 1e-9)
    share = width * height / (film_px[0] * film_px[1])
    if ratio > 2:
        kind, kind_rule = "transverse", "side ratio above 2"
    elif ratio > 1.25:
        kind, kind_rule = "oblique", "side ratio above 1.25"
    else:
        kind, kind_rule = "comminuted or displaced", "side ratio up to 1.25"
    if share >= 0.02 and score >= 0.5:
        severity, severity_rule = "severe", "at least 2 % of the film, score at least 0.5"
    elif share >= 0.005:
        severity, severity_rule = "moderate", "at least 0.5 % of the film"
    else:
        severity, severity_rule = "mild", "less than 0.5 % of the film"
    notes = f"{LABEL}, not measured: type by {kind_rule} ({ratio:.2f}); severity by {severity_rule} ({share:.2%})"
    return BestGuess(f"{kind} ({LABEL})", f"{severity} ({LABEL})", notes)
