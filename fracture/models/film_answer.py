"""The contract between a film classifier and whoever runs it: pixels in, class activation maps out.

In: one film, letterboxed to a square, as `fracture.models.network` says of any network; its card's ``stride`` is its
``long_side_px``.

Out: (classes, 1 + places) float32, the classes of all heads one after the other. Column 0 holds their logits; the
others what each place of the film adds, row by row of a square map, whose mean is the logit. What a head makes of its
logits (`fracture.models.heads.Head.probabilities`) is done here. A network that knows its scope answers with one more
row, the last, as a detector's does.

A detector that is fused with a classifier (`fracture.models.fusion`) has these rows behind those of its boxes, filled
up to as many columns as it has candidates.

Source: B. Zhou et al., Learning Deep Features for Discriminative Localization, CVPR 2016, for the maps.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isqrt

import numpy as np
from numpy.typing import NDArray

from fracture.core.errors import BrokenAnswer
from fracture.core.types import CLASSIFIER, FUSION, FilmScore, FrameMap, HeatMap, ModelInput
from fracture.models.heads import OF_FILMS, REGION, Head, columns
from fracture.models.network import check_numbers

STRIDE = 32
"""How many px of the square's side make one place of a map."""

_ROUNDING = 0.02
"""How far a logit may lie from the mean of its map, as a share of the map's largest value: 8 bits round."""


@dataclass(frozen=True)
class FilmAnswer:
    """What a classifier says of a film: of each class its probability, and a (rows, columns) map of logits."""

    probabilities: dict[str, dict[str, float]]
    maps: dict[str, dict[str, NDArray[np.float32]]]


def rows_of(heads: Sequence[Head]) -> int:
    """Give how many rows of an answer are these heads'."""
    return sum(len(head.classes) for head in heads)


def film_answer(raw: NDArray[np.float32], heads: Sequence[Head]) -> FilmAnswer:
    """Read a classifier's answer. Raises BrokenAnswer for one that is not of these heads."""
    classes = rows_of(heads)
    side = isqrt(max(0, raw.shape[1] - 1)) if raw.ndim == 2 else 0
    if raw.ndim != 2 or raw.shape[0] != classes or side < 1 or side * side != raw.shape[1] - 1:
        got = " x ".join(map(str, raw.shape))
        raise BrokenAnswer(f"the network's answer: expected {classes} classes of a logit and a square map, got {got}")
    check_numbers(raw)
    logits, maps = raw[:, 0], raw[:, 1:].reshape(classes, side, side)
    apart = np.abs(maps.mean(axis=(1, 2)) - logits)
    if (apart > _ROUNDING * (1 + np.abs(maps).max(axis=(1, 2)))).any():
        raise BrokenAnswer(f"the network's answer: expected logits that are the means of maps, got {apart.max():g} off")
    probabilities, each = {}, {}
    for head, rows in columns(heads):
        shares = head.probabilities(logits[rows])
        probabilities[head.name] = dict(zip(head.classes, shares.tolist(), strict=True))
        each[head.name] = dict(zip(head.classes, maps[rows], strict=True))
    return FilmAnswer(probabilities, each)


def film_score(answer: FilmAnswer, film: ModelInput, fused: float | None = None) -> tuple[FilmScore, HeatMap]:
    """Give a film's score, that of its fracture head, with the regions where a head tells them; and its heat map.

    Without a fracture head it is that of abnormal films, which need not be fractured. ``fused`` is the score of its
    best box where that was fused with the head's. Raises BrokenAnswer where no head gives a score.
    """
    name = next((name for name in OF_FILMS if name in answer.probabilities), None)
    if name is None:
        raise BrokenAnswer(f"heads: expected {' or '.join(OF_FILMS)}, got {', '.join(answer.probabilities)}")
    values = answer.maps[name][name]
    height, width = film.pixels.shape[:2]
    side = max(height, width)  # a fused classifier is given the detector's film, padded to a square
    square = FrameMap(shift_x=float((side - width) // 2), shift_y=float((side - height) // 2))
    cell = FrameMap(values.shape[1] / side, values.shape[0] / side)
    regions = answer.probabilities.get(REGION, {})
    told = answer.probabilities[name][name]
    score = FilmScore(told, CLASSIFIER, regions) if fused is None else FilmScore(fused, FUSION, regions)
    return score, HeatMap(values, film.from_film.then(square).then(cell))
