"""Edits of an exported network: what one edge of it says, computed without the rest."""

import numpy as np
import pytest

from fracture.models import onnx_edit

onnx = pytest.importorskip("onnx", reason="editing a network needs the full set of packages")


def network():
    """Give y = x + 1 or, where the sum of x is below 0, 2 x, and behind it a long way to z that y has no part in."""
    from onnx import TensorProto, helper

    def branch(name, kind, by):
        out = helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
        return helper.make_graph([onnx_edit.node(kind, ["x", by], [name])], name, [], [out])

    model = helper.make_model(
        helper.make_graph(
            [
                onnx_edit.node("ReduceSum", ["x"], ["sum"], keepdims=0),
                onnx_edit.node("Less", ["sum", "nothing"], ["below"]),
                onnx_edit.node("Mul", ["one", "one"], ["again"]),
                onnx_edit.node(
                    "If",
                    ["below"],
                    ["y"],
                    then_branch=branch("doubled", "Mul", "two"),
                    else_branch=branch("added", "Add", "again"),
                ),
                onnx_edit.node("Exp", ["y"], ["far"]),
                onnx_edit.node("Log", ["far"], ["z"]),
            ],
            "net",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None])],
            [helper.make_tensor_value_info("z", TensorProto.FLOAT, [None])],
        ),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=10,
    )
    onnx_edit.constants(model, {"nothing": np.float32(0), "one": np.float32(1), "two": np.float32(2)})
    return model


@pytest.mark.parametrize(("film", "told"), [([1, 2], [2, 3]), ([-1, -2], [-2, -4])])
def test_an_edge_is_told_with_what_branches_see_outside(film, told):
    edge = onnx_edit.edge_function(network(), "y")
    np.testing.assert_array_equal(edge(np.array(film, np.float32)), told)


def test_what_an_edge_does_not_need_is_not_computed():
    model = network()
    onnx_edit.edge_function(model, "y")
    assert [node.name for node in model.graph.node] == ["sum", "below", "again", "y"]
