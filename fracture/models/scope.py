"""Whether a film is of a kind that a model was made with: one more row in its network's answer.

The channels of an early stage, each by its mean and spread over the film, say what a film's texture is like. Those of
the train films are taken as one Gaussian, and a film's distance from it is Mahalanobis', divided by the distance that
one in a hundred films it was not learnt from exceeds: above 1 it is of another kind. The network computes it by
itself, in float32, as a last row that is the same in every column. CT slices, photographs and drawings are far away,
and so are films that were taken or prepared in another way. What is near may still be misread.

Source: K. Lee et al., "A simple unified framework for detecting out-of-distribution samples", NeurIPS 2018.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fracture.clinical.status import OUTSIDE_SCOPE
from fracture.core.errors import BadValue
from fracture.core.files import write_bytes
from fracture.models import onnx_edit
from fracture.models.network import DIVISOR, network_tensor

FLAG = OUTSIDE_SCOPE
SHARE = 0.01
"""Share of films not learnt from that lie outside: the false alarms a model is made with."""

_SHRINKAGE = 0.1
"""How far the correlations are drawn towards none; without it directions in which train films hardly differ rule."""

_FOLDS = 5

_DESCRIPTION, _ROW = "scope_description", "scope_row"


@dataclass(frozen=True)
class Scope:
    """The films a model knows: their (D,) centre, a (D, D) matrix that whitens them, and the limit of distance."""

    centre: NDArray[np.float64]
    whiten: NDArray[np.float64]
    limit: float

    def distances(self, described: NDArray[np.float64]) -> NDArray[np.float64]:
        """Give the distances of (N, D) descriptions, the limit being 1."""
        return np.asarray(np.linalg.norm((described - self.centre) @ self.whiten, axis=1) / self.limit)


def fit(
    train: NDArray[np.float64], val: NDArray[np.float64], groups: Sequence[str], share: float = SHARE
) -> tuple[Scope, NDArray[np.float64]]:
    """Learn the kind from (N, D) descriptions of train films, and the limit that a ``share`` of unseen films exceeds.

    Unseen are the val films, and each fifth of the train films to what is learnt from the other four; ``groups`` are
    those of the train films, and none is divided. Val alone has too few: one in a hundred of 399 films is four. Gives
    the distances of the unseen films too, those of val last.

    Raises BadValue where there are fewer than two train films or no val films.
    """
    if len(train) < 2 or not len(val):
        raise BadValue(f"scope: expected two or more train films and a val film, got {len(train)} and {len(val)}")
    names, group = np.unique(np.asarray(groups), return_inverse=True)
    fold = (np.random.default_rng(0).permutation(len(names)) % _FOLDS)[group]
    learnt = _learn(train)
    unseen = [
        _learn(train[fold != part]).distances(train[fold == part])
        for part in range(_FOLDS)
        if (fold == part).any() and (fold != part).sum() >= 2
    ]
    distances = np.concatenate([*unseen, learnt.distances(val)])
    limit = max(float(np.quantile(distances, 1 - share)), 1e-6)
    return replace(learnt, limit=limit), distances / limit


def _learn(films: NDArray[np.float64]) -> Scope:
    spread = films.std(axis=0) + 1e-6
    correlation = np.cov(films / spread, rowvar=False)
    correlation = (1 - _SHRINKAGE) * correlation + _SHRINKAGE * np.eye(len(spread))
    whiten = np.linalg.cholesky(np.linalg.inv(correlation)) / spread[:, None]
    return Scope(films.mean(axis=0), whiten, 1.0)


def describe(
    network: Path, films: Iterable[NDArray[np.uint8]], stage: str, divisor: float = DIVISOR
) -> Iterator[NDArray[np.float64]]:
    """Give the (D,) description of each film, (H, W, 3) pixels as the network is fed them, by ONNX Runtime.

    ``stage`` names the output that is described. Raises BadValue for a network that has none of this name.
    """
    model = onnx_edit.load(network)
    _add_description(model, stage)
    edge = onnx_edit.edge_function(model, _DESCRIPTION)
    for pixels in films:
        yield edge(network_tensor(pixels, divisor))[0].astype(np.float64)


def embed(network: Path, scope: Scope, stage: str) -> None:
    """Have a network answer with one more row: how far a film lies from its scope of ``stage``, the limit being 1.

    A network that has such a row already is given the new scope in the place of its old one.
    """
    from onnx import numpy_helper

    model = onnx_edit.load(network)
    learnt = {
        "scope_centre": scope.centre.astype(np.float32)[None],
        "scope_whiten": (scope.whiten / scope.limit).astype(np.float32),
    }
    if _has_scope(model):
        for known in model.graph.initializer:
            if known.name in learnt:
                known.CopyFrom(numpy_helper.from_array(learnt[known.name], known.name))
        write_bytes(network, model.SerializeToString())
        return
    _add_description(model, stage)
    boxes = "scope_boxes"
    answer = onnx_edit.take_answer(model, boxes)
    onnx_edit.constants(
        model,
        learnt | {"scope_last": np.array([-1]), "scope_first": np.array([1]), "scope_nothing": np.float32(0)},
    )
    node = onnx_edit.adder(model)
    node("Sub", [_DESCRIPTION, "scope_centre"], "scope_off")
    node("MatMul", ["scope_off", "scope_whiten"], "scope_white")
    node("ReduceL2", ["scope_white", "scope_first"], "scope_distance", keepdims=1)
    node("Unsqueeze", ["scope_distance", "scope_last"], "scope_column")
    # The row is as long as the answer is wide: a sum over its rows, times nothing, plus the distance.
    node("ReduceSum", [boxes, "scope_first"], "scope_wide", keepdims=1)
    node("Mul", ["scope_wide", "scope_nothing"], "scope_empty")
    node("Add", ["scope_empty", "scope_column"], _ROW)
    node("Concat", [boxes, _ROW], answer, axis=1)
    shape = model.graph.output[0].type.tensor_type.shape
    if shape.dim[1].HasField("dim_value"):
        shape.dim[1].dim_value += 1
    write_bytes(network, model.SerializeToString())


def _has_scope(model: Any) -> bool:
    return any(node.name.startswith("scope_") for node in model.graph.node)


def _add_description(model: Any, stage: str) -> None:
    """Add the description, (1, D): mean and spread of each channel of the stage. One that is there already stays."""
    if _has_scope(model):
        return
    onnx_edit.check_stage(model, stage)
    onnx_edit.constants(model, {"scope_axes": np.array([2, 3]), "scope_least": np.float32(1e-6)})
    node = onnx_edit.adder(model)
    node("ReduceMean", [stage, "scope_axes"], "scope_mean", keepdims=1)
    node("Sub", [stage, "scope_mean"], "scope_around")
    node("Mul", ["scope_around", "scope_around"], "scope_squares")
    node("ReduceMean", ["scope_squares", "scope_axes"], "scope_variance", keepdims=1)
    node("Add", ["scope_variance", "scope_least"], "scope_above_least")
    node("Sqrt", ["scope_above_least"], "scope_spread")
    node("Concat", ["scope_mean", "scope_spread"], "scope_both", axis=1)
    node("Flatten", ["scope_both"], _DESCRIPTION, axis=1)
