"""The contract between a film classifier and whoever runs it: pixels in, class activation maps out.

In: one film, letterboxed to a square, as `fracture.models.network` says of any network; its card's ``stride`` is its
``long_side_px``.

Out: (classes, 1 + places) float32, the classes of all heads one after the other. Column 0 holds their logits; the
others what each place of the film adds, row by row of a square map, whose mean is the logit. What a head makes of its
logits (`fracture.models.heads.Head.probabilities`) is done here. A network that knows its scope answers with one more
row, the last, as a detector's does.

Source: B. Zhou et al., Learning Deep Features for Discriminative Localization, CVPR 2016, for the maps.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isqrt

import numpy as np
from numpy.typing import NDArray

from fracture.core.errors import BrokenAnswer
from fracture.core.types import CLASSIFIER, FilmScore, FrameMap, HeatMap, ModelInput
from fracture.models.heads import FRACTURE, REGION, Head
from fracture.models.network import check_numbers

_ROUNDING = 0.02
"""How far a logit may lie from the mean of its map, as a share of the map's largest value: 8 bits round."""


@dataclass(frozen=True)
class FilmAnswer:
    """What a classifier says of a film: of each class its probability, and a (rows, columns) map of logits."""

    probabilities: dict[str, dict[str, float]]
    maps: dict[str, dict[str, NDArray[np.float32]]]


def film_answer(raw: NDArray[np.float32], heads: Sequence[Head], *, scoped: bool = False) -> FilmAnswer:
    """Read a classifier's answer. Raises BrokenAnswer for one that is not of these heads.

    ``scoped`` tells that the last row is the film's distance from the network's scope, which is left out.
    """
    classes = sum(len(head.classes) for head in heads)
    side = isqrt(max(0, raw.shape[1] - 1)) if raw.ndim == 2 else 0
    if raw.ndim != 2 or raw.shape[0] != classes + scoped or side < 1 or side * side != raw.shape[1] - 1:
        got = " x ".join(map(str, raw.shape))
        raise BrokenAnswer(f"the network's answer: expected {classes} classes of a logit and a square map, got {got}")
    raw = raw[:classes]
    check_numbers(raw)
    logits, maps = raw[:, 0], raw[:, 1:].reshape(classes, side, side)
    apart = np.abs(maps.mean(axis=(1, 2)) - logits)
    if (apart > _ROUNDING * (1 + np.abs(maps).max(axis=(1, 2)))).any():
        raise BrokenAnswer(f"the network's answer: expected logits that are the means of maps, got {apart.max():g} off")
    probabilities, each, first = {}, {}, 0
    for head in heads:
        rows = range(first, first + len(head.classes))
        first = rows.stop
        shares = head.probabilities(logits[rows.start : rows.stop])
        probabilities[head.name] = dict(zip(head.classes, shares.tolist(), strict=True))
        each[head.name] = dict(zip(head.classes, maps[rows.start : rows.stop], strict=True))
    return FilmAnswer(probabilities, each)


def film_score(answer: FilmAnswer, film: ModelInput) -> tuple[FilmScore, HeatMap]:
    """Give a film's score, that of its fracture head, with the regions where a head tells them; and its heat map.

    Raises BrokenAnswer where no head tells fractures: abnormal is not fractured.
    """
    if FRACTURE not in answer.probabilities:
        raise BrokenAnswer(f"heads: expected one of {FRACTURE}, got {', '.join(answer.probabilities)}")
    values = answer.maps[FRACTURE][FRACTURE]
    cell = FrameMap(values.shape[1] / film.pixels.shape[1], values.shape[0] / film.pixels.shape[0])
    regions = answer.probabilities.get(REGION, {})
    score = FilmScore(answer.probabilities[FRACTURE][FRACTURE], CLASSIFIER, regions)
    return score, HeatMap(values, film.from_film.then(cell))
