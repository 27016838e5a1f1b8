"""Nodes that are added to an exported network, by ONNX."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fracture.core.errors import BadValue


def load(network: Path) -> Any:
    import onnx

    return onnx.load(str(network))


def node(kind: str, inputs: Sequence[str], outputs: Sequence[str], **options: Any) -> Any:
    """Make a node, which is named after its first output unless the options have a ``name``."""
    from onnx import helper

    return helper.make_node(kind, inputs, outputs, **({"name": outputs[0]} | options))


def adder(model: Any) -> Callable[..., None]:
    """Give what adds a node of one output: by its kind, its inputs, its output, and options."""

    def add(kind: str, inputs: Sequence[str], output: str, **options: Any) -> None:
        model.graph.node.append(node(kind, inputs, [output], **options))

    return add


def constants(model: Any, values: Mapping[str, Any]) -> None:
    from onnx import numpy_helper

    model.graph.initializer.extend(numpy_helper.from_array(np.asarray(value), name) for name, value in values.items())


def show(model: Any, output: str) -> None:
    """Make an output of an edge of float32."""
    from onnx import TensorProto, helper

    model.graph.output.append(helper.make_tensor_value_info(output, TensorProto.FLOAT, None))


def take_answer(model: Any, new: str) -> str:
    """Give the network's answer another name, so that what is added can answer in its place; give the name it had."""
    old: str = model.graph.output[0].name
    for known in model.graph.node:
        known.output[:] = [new if name == old else name for name in known.output]
        known.input[:] = [new if name == old else name for name in known.input]
    return old


def check_stage(model: Any, stage: str) -> None:
    """Raise BadValue where no node of the network has an output of this name."""
    if not any(stage in known.output for known in model.graph.node):
        raise BadValue(f"network: expected the stage that its detector names, got none of {stage}")


def quiet_options() -> Any:
    """Give options by which ONNX Runtime does not warn of what an unusual output costs."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return options
