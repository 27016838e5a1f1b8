"""Nodes that are added to an exported network, by ONNX."""

from collections.abc import Callable, Iterator, Mapping, Sequence
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


def edge_function(model: Any, output: str) -> Callable[[Any], Any]:
    """Give the function from a film to one float32 edge of a network, by ONNX Runtime, which computes no more."""
    import onnxruntime
    from onnx import TensorProto, helper

    _keep(model.graph, output)
    del model.graph.output[:]
    model.graph.output.append(helper.make_tensor_value_info(output, TensorProto.FLOAT, None))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # it would warn of weights that nothing needs now, and of an output within
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    fed = session.get_inputs()[0].name
    return lambda film: session.run([output], {fed: film})[0]


def _keep(graph: Any, output: str) -> None:
    """Leave the nodes that an output needs. ONNX lists nodes behind those that they need."""
    needed, kept = {output}, []
    for known in reversed(graph.node):
        if needed.intersection(known.output):
            needed.update(_needs(known))
            kept.append(known)
    del graph.node[:]
    graph.node.extend(reversed(kept))


def _needs(known: Any) -> Iterator[str]:
    yield from known.input
    for attribute in known.attribute:
        for inner in attribute.g.node:  # of a loop or a branch, which sees the edges outside
            yield from _needs(inner)


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
