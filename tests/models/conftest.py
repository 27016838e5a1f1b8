"""A tiny dataset from phantom films, a tiny network trained on it, and the shipped network without its scope."""

import socket
from pathlib import Path

import pytest

from fracture.data.assemble import assemble
from fracture.data.ingest import ingest
from fracture.data.preprocess import preprocess
from fracture.data.sources import claims
from fracture.models.card import SHIPPED
from fracture.types import HarmoniseConfig


@pytest.fixture(scope="session")
def tiny_dataset(fracatlas_tree, tmp_path_factory) -> Path:
    """Give the dataset.yaml of a phantom FracAtlas, harmonised and split."""
    root, _ = fracatlas_tree
    folder = tmp_path_factory.mktemp("tiny")
    ingest(claims("fracatlas", root), folder / "stage", copy=True)
    preprocess(folder / "stage", folder / "proc", HarmoniseConfig(long_side_px=256))
    assemble([folder / "proc"], folder / "dataset_v5", val=0.25, test=0.2, seed=0, copy=True)
    names = "path: dataset_v5\ntrain: images/train\nval: images/val\ntest: images/test\nnames:\n  0: fracture\n"
    (folder / "dataset.yaml").write_text(names)
    return folder / "dataset.yaml"


@pytest.fixture(scope="session")
def unscoped(tmp_path_factory) -> Path:
    """Give the shipped network without its scope, as it was exported."""
    onnx = pytest.importorskip("onnx", reason="a network is taken apart with the full set of packages")
    model = onnx.load(str(SHIPPED / "model.onnx"))
    answer = model.graph.output[0]
    ours = [node for node in model.graph.node if node.name.startswith("scope_") or node.name == answer.name]
    for node in ours:
        model.graph.node.remove(node)
    for constant in [one for one in model.graph.initializer if one.name.startswith("scope_")]:
        model.graph.initializer.remove(constant)
    for node in model.graph.node:
        node.output[:] = [answer.name if name == "scope_boxes" else name for name in node.output]
    answer.type.tensor_type.shape.dim[1].dim_value = 5
    file = tmp_path_factory.mktemp("unscoped") / "model.onnx"
    onnx.save(model, str(file))
    return file


@pytest.fixture(scope="session")
def tiny_run(tiny_dataset, tmp_path_factory) -> Path:
    """Give the folder of a run of one epoch at 64 px: far from useful, but real in every step."""
    pytest.importorskip("ultralytics", reason="training needs the full set of packages")
    from fracture.models import yolo

    calls: list[str] = []

    def refuse(*address, **_):
        calls.append(repr(address))
        raise OSError("no connection to the outside while training")

    runs = tmp_path_factory.mktemp("runs")
    config = yolo.Config(
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
        yolo.train(config)
    (config.folder / "calls.txt").write_text("\n".join(calls))
    return config.folder
