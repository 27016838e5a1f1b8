"""A detector's checkpoint as ONNX, and run by torch."""

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fracture.core.files import write_bytes
from fracture.models.detectors.halves import store_halves
from fracture.models.detectors.loop.module import module
from fracture.models.loop.export import TorchNetwork, traced

if TYPE_CHECKING:
    from fracture.models.detectors.loop.architecture import Architecture


def torch_network(architecture: "Architecture", file: Path) -> TorchNetwork:
    """Open a checkpoint to be run by torch."""
    net, _ = module(architecture, file)
    return TorchNetwork(answering_class()(architecture, net))


@cache
def answering_class() -> Any:
    import torch

    class Answering(torch.nn.Module):  # type: ignore[misc, unused-ignore]  # torch's classes are untyped here
        """A detector that answers a film, (1, 3, H, W), with (1, 4 + classes, candidates)."""

        def __init__(self, architecture: "Architecture", net: Any) -> None:
            super().__init__()
            self.architecture = architecture
            self.net = net.eval()

        def forward(self, film: Any) -> Any:
            boxes, scores = self.architecture.candidates(self.net, film)
            low, high = boxes[:, :2], boxes[:, 2:]
            return torch.cat([(low + high) / 2, high - low, scores], dim=1).T[None]

    return Answering


def export_onnx(
    architecture: "Architecture", file: Path, target: Path, long_side_px: int, *, half_weights: bool = False
) -> Path:
    """Export a checkpoint to ONNX with free height and width.

    Weights are stored in half precision on request only: an anchor of 512 px moves by pixels where an offset is off by
    a thousandth, and a region that is dropped for its like is another one.
    """
    import onnx

    net, classes = module(architecture, file)
    width = long_side_px - 32 if long_side_px > 32 else long_side_px
    model = traced(answering_class()(architecture, net), long_side_px, width, {2: "height", 3: "width"})
    # What tracing cannot tell by itself: how many rows an answer has, and that a batch is one film.
    rows = model.graph.output[0].type.tensor_type.shape.dim[1]
    rows.dim_value = 4 + len(classes)
    if half_weights:
        store_halves(model)
    onnx.checker.check_model(model)
    write_bytes(target, model.SerializeToString())
    return target
