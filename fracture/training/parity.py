"""Whether an exported network answers as the checkpoint that it was made of: proven film by film, before it ships."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from fracture.core import boxes
from fracture.core.errors import BadValue
from fracture.core.types import Detections
from fracture.data import manifest
from fracture.data.yolo import Dataset
from fracture.inference.batch import network_inputs
from fracture.inference.reader import Reader
from fracture.models.network import check_numbers

PARITY_FILMS = 48
PARITY_SCORE = 0.05
"""What scores below this is noise: left out where two networks' answers are compared."""


def parity_films(dataset: Dataset) -> list[Path]:
    """Choose val films to compare networks on, fractured ones first."""
    films = [record for record in manifest.load(dataset.root) if record.split == "val"]
    films.sort(key=lambda record: (record.fractured is not True, record.image_id))
    return [dataset.root / record.path for record in films[:PARITY_FILMS]]


def compare(
    reference: Reader,
    other: Reader,
    films: Iterable[Path],
    limit: tuple[float, float, float] = (0.95, 0.01, 1.0),
) -> dict[str, Any]:
    """Compare two readers' networks by candidate, each with the other's that is most like it: no two with the same.

    Not by column: a network may sort its candidates, and which of two with nearly one score is first hangs on the last
    digit. For the same reason all of it is before suppression. ``limit`` is the least IoU, the largest difference of a
    score, and how far an edge may move in px of the network's input: beside its IoU, as a large box would hide a shift.
    Raises BadValue where a candidate that
    is not noise to both, or the best of a film, differs by more, and where there is none; BrokenAnswer for numbers that
    are none.
    """
    worst_iou, worst_score, worst_edge, count, read = 1.0, 0.0, 0.0, 0, 0
    rows = 4 + len(reference.card.classes)
    for pixels in network_inputs(reference, films):
        expected, got = (reader.network(pixels)[:rows].astype(np.float64) for reader in (reference, other))
        check_numbers(expected)
        check_numbers(got)
        read += 1
        best = max(float(raw[4:].max(initial=0)) for raw in (expected, got))
        seen = []
        for one, two in ((expected, got), (got, expected)):
            # Where nothing is sure the best candidate counts: a comparison of nothing would prove nothing.
            scores = one[4:].max(axis=0)
            sure = one[:, (scores >= min(PARITY_SCORE, best)) & (scores > 0)]
            like = two[:, _counterparts(sure, two, limit)]
            seen.append(sure.shape[1])
            if not seen[-1]:
                continue
            corners = [np.vstack([raw[:2] - raw[2:4] / 2, raw[:2] + raw[2:4] / 2]).T for raw in (sure, like)]
            worst_iou = min(worst_iou, float(np.diag(boxes.iou(*corners)).min()))
            worst_score = max(worst_score, float(np.abs(sure[4:] - like[4:]).max()))
            worst_edge = max(worst_edge, float(np.abs(corners[0] - corners[1]).max()))
        count += max(seen)
    if not count:
        raise BadValue(f"parity: expected films with candidates to compare, got {read} films and no candidate")
    if worst_iou < limit[0] or worst_score > limit[1] or worst_edge > limit[2]:
        raise BadValue(
            f"{other.network.name} does not answer as {reference.network.name} does: expected IoU of at least "
            f"{limit[0]}, scores within {limit[1]} and edges within {limit[2]} px, got {worst_iou:.4f}, "
            f"{worst_score:.4f} and {worst_edge:.2f} px over {count} candidates"
        )
    return {
        "reference": reference.network.name,
        "compared": other.network.name,
        "films": read,
        "candidates": count,
        "least_iou": round(worst_iou, 5),
        "largest_score_difference": round(worst_score, 6),
        "farthest_edge_px": round(worst_edge, 3),
    }


def _counterparts(
    sure: NDArray[np.float64], others: NDArray[np.float64], limit: tuple[float, float, float]
) -> NDArray[np.int64]:
    """Give for each of some candidates the column of another answer that is most like it, each column once."""
    apart = np.abs(sure[:4, :, None] - others[:4, None]).max(axis=0) / limit[2]
    apart += np.abs(sure[4:, :, None] - others[4:, None]).max(axis=0) / limit[1]
    return np.asarray(linear_sum_assignment(apart)[1], dtype=np.int64)


def counterparts(expected: Detections, got: Detections) -> Iterator[tuple[float, float]]:
    """Give, for every box of either that is not noise, its IoU with the other's nearest and their scores' gap."""
    for one, two in ((expected, got), (got, expected)):
        sure = one.above(PARITY_SCORE)
        for box, score in zip(sure.xyxy, sure.score, strict=True):
            overlap = boxes.iou(box[None], two.xyxy)[0] if len(two) else np.zeros(1)
            best = int(overlap.argmax())
            yield float(overlap[best]), abs(float(score - two.score[best])) if len(two) else 1.0
