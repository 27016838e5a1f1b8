"""A tiny network trained on the tiny dataset of phantom films, and the shipped network as it was exported."""

import socket
from pathlib import Path

import pytest

from fracture.models.card import SHIPPED
from fracture.models.detectors.config import Config
from fracture.models.detectors.train import train


@pytest.fixture(scope="session")
def unscoped(tmp_path_factory) -> Path:
    """Give the shipped network without scope and film head, as it was exported."""
    onnx = pytest.importorskip("onnx", reason="a network is taken apart with the full set of packages")
    model = onnx.load(str(SHIPPED / "model.onnx"))
    answer = model.graph.output[0]
    added = ("scope_", "film_")
    ours = [node for node in model.graph.node if node.name.startswith(added) or node.name == answer.name]
    inner = "film_boxes" if any(node.name == "film_answer" for node in ours) else "scope_boxes"
    for node in ours:
        model.graph.node.remove(node)
    for constant in [one for one in model.graph.initializer if one.name.startswith(added)]:
        model.graph.initializer.remove(constant)
    for node in model.graph.node:
        node.output[:] = [answer.name if name == inner else name for name in node.output]
    answer.type.tensor_type.shape.dim[1].dim_value = 5
    file = tmp_path_factory.mktemp("unscoped") / "model.onnx"
    onnx.save(model, str(file))
    return file


@pytest.fixture(scope="session")
def tiny_run(tiny_dataset, tmp_path_factory) -> Path:
    """Give the folder of a run of one epoch at 64 px: far from useful, but real in every step."""
    pytest.importorskip("ultralytics", reason="training needs the full set of packages")

    calls: list[str] = []

    def refuse(*address, **_):
        calls.append(repr(address))
        raise OSError("no connection to the outside while training")

    runs = tmp_path_factory.mktemp("runs")
    config = Config(
        model="yolov8n.yaml",
        data=str(tiny_dataset),
        epochs=1,
        imgsz=64,
        batch=4,
        name="tiny",
        runs=str(runs),
        device="cpu",
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", refuse)
        patch.setattr(socket.socket, "connect", refuse)
        train(config)
    (config.folder / "calls.txt").write_text("\n".join(calls))
    return config.folder
