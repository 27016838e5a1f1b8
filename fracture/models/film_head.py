"""What the whole film looks like, in the scores of its boxes: a head of one layer on a stage of the network itself.

A detector learns from boxes, and from few normal films at a time. Here every train film, all normal ones among them,
says what the channels of a late stage look like on the mean where there is a fracture and where there is none: a
logistic regression with a penalty on its weights. Its answer, in units of its spread over the train films, moves the
scores of all boxes of a film alike, by logits: which box of a film is best stays as it was, which film is more
suspicious does not. JOURNAL.md (2026-11-30) has what it buys, at home and elsewhere.

Source: C. Szegedy et al., Scalable, High-Quality Object Detection, arXiv 1412.1441, 2014, for the context of the whole
image in the scores of boxes.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from fracture.core.errors import BadValue
from fracture.core.files import write_bytes
from fracture.models import onnx_edit
from fracture.models.network import DIVISOR, network_tensor

WEIGHT = 0.5
"""Logits that a film one spread more suspicious than the mean train film adds to its boxes."""

PENALTY = 0.03
MOST = 3.0
"""Logits that a film may add or take at most: what is far from all train films is not known any better."""

_DESCRIPTION, _BOXES, _PARTS = "film_description", "film_boxes", "film_"
_LEAST = 1e-6


@dataclass(frozen=True)
class FilmHead:
    """Logits that a film adds to its boxes: those of (D,) ``weights`` on its description, less ``offset``."""

    weights: NDArray[np.float64]
    offset: float

    def logits(self, described: NDArray[np.float64]) -> NDArray[np.float64]:
        """Give what (N, D) descriptions add, (N,)."""
        return np.clip(described @ self.weights - self.offset, -MOST, MOST)


def fit(described: NDArray[np.float64], fractured: NDArray[np.bool_], families: Sequence[str]) -> FilmHead:
    """Learn from (N, D) descriptions of films. Fractured and normal films weigh alike, and so does each family.

    ``families`` names of each film the one that it is a copy of. Raises BadValue where films of one kind are lacking.
    """
    if fractured.all() or not fractured.any():
        raise BadValue(
            f"film head: expected fractured and normal films, got {int(fractured.sum())} of {len(fractured)}"
        )
    centre, spread = described.mean(axis=0), described.std(axis=0) + 1e-3
    standard = np.clip((described - centre) / spread, -6, 6)
    _, family, copies = np.unique(np.asarray(families), return_inverse=True, return_counts=True)
    share = 1.0 / copies[family]
    share = np.where(fractured, share / share[fractured].sum(), share / share[~fractured].sum()) / 2
    sign = np.where(fractured, 1.0, -1.0)

    def loss(theta: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        weights, bias = theta[:-1], theta[-1]
        margin = sign * (standard @ weights + bias)
        slope = -share * sign / (1 + np.exp(np.clip(margin, -50, 50)))
        value = share @ np.logaddexp(0, -margin) + PENALTY * weights @ weights
        return float(value), np.append(standard.T @ slope + 2 * PENALTY * weights, slope.sum())

    found = minimize(loss, np.zeros(standard.shape[1] + 1), jac=True, method="L-BFGS-B", options={"maxiter": 500})
    told = standard @ found.x[:-1]
    scale = WEIGHT / max(float(told.std()), 1e-6)
    weights = scale * found.x[:-1] / spread
    return FilmHead(weights, float(scale * told.mean() + centre @ weights))


def describe(
    network: Path, films: Iterable[NDArray[np.uint8]], stage: str, divisor: float = DIVISOR
) -> Iterator[NDArray[np.float64]]:
    """Give of each film, (H, W, 3) pixels as the network is fed them, the (D,) mean of the stage's channels.

    ``network`` has no film head yet. Raises BadValue for one that has no stage of this name.
    """
    model = onnx_edit.load(network)
    _add_description(model, stage)
    edge = onnx_edit.edge_function(model, _DESCRIPTION)
    for pixels in films:
        yield edge(network_tensor(pixels, divisor))[0].astype(np.float64)


def embed(network: Path, head: FilmHead, stage: str, classes: int) -> None:
    """Have a network answer with scores that its film has moved. It has no scope yet, and no film head.

    A score s becomes that of logit(s) + the film's logits. Boxes stay as they are.
    """
    model = onnx_edit.load(network)
    if any(node.name.startswith(_PARTS) for node in model.graph.node):
        raise BadValue(f"{network}: expected a network without a film head, got one that has one")
    _add_description(model, stage)
    answer = onnx_edit.take_answer(model, _BOXES)
    rows = 4 + classes
    onnx_edit.constants(
        model,
        {
            "film_weights": head.weights.astype(np.float32)[:, None],
            "film_offset": np.float32(head.offset),
            "film_low": np.float32(-MOST),
            "film_high": np.float32(MOST),
            "film_least": np.float32(_LEAST),
            "film_most": np.float32(1 - _LEAST),
            "film_one": np.float32(1),
            "film_rows": np.array([4, classes]),
            "film_column": np.array([-1, 1, 1]),
        },
    )
    node = onnx_edit.adder(model)
    node("MatMul", [_DESCRIPTION, "film_weights"], "film_told")
    node("Sub", ["film_told", "film_offset"], "film_off")
    node("Clip", ["film_off", "film_low", "film_high"], "film_within")
    node("Reshape", ["film_within", "film_column"], "film_logits")
    model.graph.node.append(onnx_edit.node("Split", [_BOXES, "film_rows"], ["film_places", "film_scores"], axis=1))
    node("Clip", ["film_scores", "film_least", "film_most"], "film_inside")
    node("Sub", ["film_one", "film_inside"], "film_rest")
    node("Div", ["film_inside", "film_rest"], "film_odds")
    node("Log", ["film_odds"], "film_box_logits")
    node("Add", ["film_box_logits", "film_logits"], "film_moved")
    node("Sigmoid", ["film_moved"], "film_moved_scores")
    node("Concat", ["film_places", "film_moved_scores"], answer, name="film_answer", axis=1)
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = rows
    write_bytes(network, model.SerializeToString())


def _add_description(model: Any, stage: str) -> None:
    onnx_edit.check_stage(model, stage)
    onnx_edit.constants(model, {"film_axes": np.array([2, 3])})
    node = onnx_edit.adder(model)
    node("ReduceMean", [stage, "film_axes"], "film_mean", keepdims=1)
    node("Flatten", ["film_mean"], _DESCRIPTION, axis=1)
