"""Which boxes a person asks for and which films are to be flagged, in the flags that `read` and `draw` share."""

from argparse import ArgumentParser, ArgumentTypeError
from dataclasses import dataclass

from fracture.clinical.status import DEFAULT_MODE, Said, said_of
from fracture.core.types import Prediction
from fracture.models.card import ModelCard
from fracture.predictions.jsonl import Told

CUSTOM = "custom"
"""The mode of a score that a person named, as the service calls it."""


@dataclass(frozen=True)
class Asked:
    """Boxes from ``shown_from`` on, and films in doubt flagged from ``flagged_from`` on, by a mode, a score or both.

    ``mode`` is "" where every box is asked for and no mode.
    """

    mode: str
    flagged_from: float
    shown_from: float

    @classmethod
    def of(cls, card: ModelCard, mode: str | None, conf: float | None, *, every_box: bool = False) -> "Asked":
        """Decide as the service does: boxes from ``conf`` on, which flags too where no mode is named.

        With ``every_box`` boxes of any score. Raises BadValue for a mode that the card does not have.
        """
        if every_box and mode is None:
            flagged_from = 0.0 if card.thresholds is None else card.thresholds.screening
            return cls("", flagged_from, 0.0)
        if conf is not None and mode is None:
            return cls(CUSTOM, conf, conf)
        point = card.operating_point(DEFAULT_MODE if mode is None else mode)
        shown_from = 0.0 if every_box else point.threshold if conf is None else conf
        return cls(point.name, point.threshold, shown_from)

    def said(self, prediction: Prediction, card: ModelCard) -> Said:
        """Give what is said of a film."""
        return said_of(prediction, card.thresholds, self.flagged_from, self.shown_from)

    def told(self, prediction: Prediction, card: ModelCard) -> Told:
        """Give what a line of predictions.jsonl says of a film besides its boxes."""
        said = self.said(prediction, card)
        chance, chances = card.chances_of(prediction, said)
        return Told(said, chance, tuple(chances), self.mode, self.flagged_from, self.shown_from)


def add(parser: ArgumentParser) -> None:
    """Add the flags ``--mode`` and ``--conf``."""
    parser.add_argument(
        "--mode",
        help="a mode of the model's card: which boxes are shown, and from which score a film in doubt is flagged "
        f"(default: {DEFAULT_MODE})",
    )
    parser.add_argument(
        "--conf",
        type=_score,
        help="a score: the boxes from it on are shown instead of the mode's; where no mode is named it flags films too",
    )


def _score(text: str) -> float:
    try:
        score = float(text)
    except ValueError:
        score = float("nan")
    if not 0 <= score <= 1:
        raise ArgumentTypeError(f"expected a score within 0..1, got {text}")
    return score
