"""A detector and a film classifier in one file: what the whole film shows, in the scores of its boxes.

The classifier is fed the detector's film, padded to a square; its answer stands in rows of the detector's
(`fracture.models.film_answer`), and moves the scores of all boxes of a film alike, so which of them is best stays as it
was. Whoever runs the file need not know of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fracture.core.errors import BadValue
from fracture.core.files import write_bytes
from fracture.imaging.harmonise import PAD_VALUE
from fracture.models import onnx_edit
from fracture.models.network import DIVISOR, SCORE_FLOOR

PRODUCT, LOGISTIC = "product", "logistic"
_BOXES, _PREFIX = "fusion_boxes", "classifier_"
_LEAST = 1e-6


@dataclass(frozen=True)
class Fusion:
    """How the probability p that a film shows a fracture moves the score s of a box on it.

    ``product``: s becomes s (alpha + (1 - alpha) p), which is never more; with an ``alpha`` of 1 it stays as it is.
    ``logistic``: logit(s) becomes logit(s) + film_weight logit(p) + offset, of boxes that are no noise
    (`fracture.models.network.SCORE_FLOOR`).
    """

    kind: str = PRODUCT
    alpha: float = 1.0
    film_weight: float = 0.0
    offset: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in {PRODUCT, LOGISTIC}:
            raise BadValue(f"fusion: expected {PRODUCT} or {LOGISTIC}, got {self.kind!r}")
        if not 0 <= self.alpha <= 1:
            raise BadValue(f"fusion: expected an alpha of 0 to 1, got {self.alpha:g}")

    def scores(self, boxes: NDArray[np.float64], films: NDArray[np.float64]) -> NDArray[np.float64]:
        """Give the moved scores of boxes, each on a film of this probability."""
        if self.kind == PRODUCT:
            return boxes * (self.alpha + (1 - self.alpha) * films)
        told = logit(boxes) + self.film_weight * logit(films) + self.offset
        return np.where(boxes >= SCORE_FLOOR, 1 / (1 + np.exp(-told)), boxes)


def fuse(detector: Path, classifier: Path, target: Path, fusion: Fusion, classes: int, rows: Sequence[int]) -> None:
    """Write one network out of a detector's and a classifier's.

    ``classes`` is the number of the detector's, ``rows`` are that of the classifier's and the one of them that tells
    fractures. Both take films of one scale. Raises BadValue where the detector has a classifier already.
    """
    import onnx
    from onnx import compose

    whole = onnx_edit.load(detector)
    if any(node.name.startswith(_PREFIX) for node in whole.graph.node):
        raise BadValue(f"{detector}: expected a detector without a classifier, got one that has one")
    other = compose.add_prefix(onnx_edit.load(classifier), _PREFIX)
    fed, side = whole.graph.input[0].name, other.graph.input[0].type.tensor_type.shape.dim[2].dim_value
    told = other.graph.output[0].name
    for node in other.graph.node:
        node.input[:] = ["fusion_square" if name == other.graph.input[0].name else name for name in node.input]
    answer = onnx_edit.take_answer(whole, _BOXES)
    _add_square(whole, fed, side)
    whole.graph.node.extend(other.graph.node)
    whole.graph.initializer.extend(other.graph.initializer)
    _add_fusion(whole, told, fusion, classes, rows[1])
    _add_rows(whole, told, answer)
    known = whole.graph.output[0].type.tensor_type.shape.dim[1]
    if known.dim_value:
        known.dim_value += rows[0]
    onnx.checker.check_model(whole)
    write_bytes(target, whole.SerializeToString())


def _add_square(model: Any, fed: str, side: int) -> None:
    """Pad the film, (1, 3, H, W), to a square around its middle, as `network_pixels` pads it."""
    onnx_edit.constants(
        model,
        {
            "fusion_side": np.array([side, side]),
            "fusion_two": np.array([2, 2]),
            "fusion_first": np.array([2]),
            "fusion_end": np.array([4]),
            "fusion_none": np.array([0, 0]),
            "fusion_grey": np.float32(np.float32(PAD_VALUE) / np.float32(DIVISOR)),
        },
    )
    node = onnx_edit.adder(model)
    node("Shape", [fed], "fusion_shape")
    node("Slice", ["fusion_shape", "fusion_first", "fusion_end"], "fusion_sides")
    node("Sub", ["fusion_side", "fusion_sides"], "fusion_lacking")
    node("Div", ["fusion_lacking", "fusion_two"], "fusion_before")
    node("Sub", ["fusion_lacking", "fusion_before"], "fusion_behind")
    node("Concat", ["fusion_none", "fusion_before", "fusion_none", "fusion_behind"], "fusion_pads", axis=0)
    node("Pad", [fed, "fusion_pads", "fusion_grey"], "fusion_square")


def _add_fusion(model: Any, told: str, fusion: Fusion, classes: int, row: int) -> None:
    """Move the scores of the boxes, and leave what comes behind them."""
    constants: dict[str, Any] = {
        "fusion_row": np.array([row]),
        "fusion_row_end": np.array([row + 1]),
        "fusion_column": np.array([0]),
        "fusion_column_end": np.array([1]),
        "fusion_row_axis": np.array([1]),
        "fusion_column_axis": np.array([2]),
        "fusion_scores_from": np.array([4]),
        "fusion_scores_end": np.array([4 + classes]),
        "fusion_rest_end": np.array([np.iinfo(np.int64).max]),
    }
    node = onnx_edit.adder(model)
    node("Slice", [told, "fusion_row", "fusion_row_end", "fusion_row_axis"], "fusion_film_row")
    node("Slice", ["fusion_film_row", "fusion_column", "fusion_column_end", "fusion_column_axis"], "fusion_film_logit")
    node("Slice", [_BOXES, "fusion_column", "fusion_scores_from", "fusion_row_axis"], "fusion_places")
    node("Slice", [_BOXES, "fusion_scores_from", "fusion_scores_end", "fusion_row_axis"], "fusion_scores")
    node("Slice", [_BOXES, "fusion_scores_end", "fusion_rest_end", "fusion_row_axis"], "fusion_rest")
    if fusion.kind == PRODUCT:
        constants |= {"fusion_alpha": np.float32(fusion.alpha), "fusion_share": np.float32(1 - fusion.alpha)}
        node("Sigmoid", ["fusion_film_logit"], "fusion_film")
        node("Mul", ["fusion_film", "fusion_share"], "fusion_part")
        node("Add", ["fusion_part", "fusion_alpha"], "fusion_factor")
        node("Mul", ["fusion_scores", "fusion_factor"], "fusion_moved")
    else:
        constants |= {
            "fusion_least": np.float32(_LEAST),
            "fusion_most": np.float32(1 - _LEAST),
            "fusion_one": np.float32(1),
            "fusion_floor": np.float32(SCORE_FLOOR),
            "fusion_film_weight": np.float32(fusion.film_weight),
            "fusion_offset": np.float32(fusion.offset),
        }
        node("Clip", ["fusion_scores", "fusion_least", "fusion_most"], "fusion_inside")
        node("Sub", ["fusion_one", "fusion_inside"], "fusion_against")
        node("Div", ["fusion_inside", "fusion_against"], "fusion_odds")
        node("Log", ["fusion_odds"], "fusion_logits")
        node("Mul", ["fusion_film_logit", "fusion_film_weight"], "fusion_of_film")
        node("Add", ["fusion_logits", "fusion_of_film"], "fusion_both")
        node("Add", ["fusion_both", "fusion_offset"], "fusion_sum")
        node("Sigmoid", ["fusion_sum"], "fusion_all_moved")
        node("GreaterOrEqual", ["fusion_scores", "fusion_floor"], "fusion_no_noise")
        node("Where", ["fusion_no_noise", "fusion_all_moved", "fusion_scores"], "fusion_moved")
    onnx_edit.constants(model, constants)


def _add_rows(model: Any, told: str, answer: str) -> None:
    """Put the classifier's rows behind those of the boxes, filled up with nothing to as many candidates."""
    onnx_edit.constants(model, {"fusion_last": np.array([2]), "fusion_last_end": np.array([3])})
    node = onnx_edit.adder(model)
    node("Shape", [_BOXES], "fusion_boxes_shape")
    node("Shape", [told], "fusion_told_shape")
    node("Slice", ["fusion_boxes_shape", "fusion_last", "fusion_last_end"], "fusion_candidates")
    node("Slice", ["fusion_told_shape", "fusion_last", "fusion_last_end"], "fusion_told_columns")
    node("Sub", ["fusion_candidates", "fusion_told_columns"], "fusion_more")
    onnx_edit.constants(model, {"fusion_five_none": np.zeros(5, np.int64)})
    node("Concat", ["fusion_five_none", "fusion_more"], "fusion_fill", axis=0)
    node("Pad", [told, "fusion_fill"], "fusion_told")
    node(
        "Concat", ["fusion_places", "fusion_moved", "fusion_told", "fusion_rest"], answer, name="fusion_answer", axis=1
    )


def logit(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give the logits of shares of 0 to 1, the ends taken for a millionth inside."""
    inside = np.clip(shares, _LEAST, 1 - _LEAST)
    return np.asarray(np.log(inside / (1 - inside)))
