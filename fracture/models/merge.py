"""Several networks in one ONNX file: fed the same film, their candidates side by side in one answer."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fracture.core.files import write_bytes
from fracture.models.network import MEMBERS, Network


class SideBySide:
    """Several networks run one after the other, their candidates side by side: what a merged file is compared with."""

    def __init__(self, networks: Sequence[Network]) -> None:
        self._networks = networks
        self.name = networks[0].name

    def __call__(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.concatenate([network(pixels) for network in self._networks], axis=1)


def merge(networks: Sequence[Path], target: Path) -> Path:
    """Write one network out of several that take the same input and answer (batch, rows, candidates).

    The first keeps the names of its stages, those of the others begin with ``memberN``. The file says how many there
    are (`fracture.models.network.MEMBERS`).
    """
    import onnx
    from onnx import compose, helper

    whole = onnx.load(str(networks[0]))
    fed, answer = whole.graph.input[0].name, whole.graph.output[0].name
    parts = [f"{answer}_1"]
    _rename(whole, answer, parts[0])
    for number, network in enumerate(networks[1:], start=2):
        prefix = f"member{number}"
        other = compose.add_prefix(onnx.load(str(network)), prefix)
        _rename(other, prefix + fed, fed)
        parts.append(prefix + answer)
        whole.graph.node.extend(other.graph.node)
        whole.graph.initializer.extend(other.graph.initializer)
    whole.graph.node.append(helper.make_node("Concat", parts, [answer], name="members", axis=2))
    candidates = whole.graph.output[0].type.tensor_type.shape.dim[2]
    candidates.Clear()
    candidates.dim_param = "candidates"
    helper.set_model_props(whole, {MEMBERS: str(len(networks))})
    onnx.checker.check_model(whole)
    write_bytes(target, whole.SerializeToString())
    return target


def _rename(model: Any, old: str, new: str) -> None:
    """Rename an edge wherever a node reads or writes it."""
    for node in model.graph.node:
        for names in (node.input, node.output):
            names[:] = [new if name == old else name for name in names]
