"""An exported network whose weights are stored in half precision: half the file, the same arithmetic."""

from typing import Any

import numpy as np


def store_halves(model: Any) -> None:
    """Store every large float32 constant as float16 with a cast back in front of its readers."""
    from onnx import TensorProto, helper, numpy_helper

    casts = []
    for constant in model.graph.initializer:
        values = numpy_helper.to_array(constant)
        if values.dtype == np.float32 and values.size >= 64 and np.abs(values).max() < 6e4:
            name = constant.name
            constant.CopyFrom(numpy_helper.from_array(values.astype(np.float16), name + "_half"))
            casts.append(helper.make_node("Cast", [name + "_half"], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
