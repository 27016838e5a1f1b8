"""A trained checkpoint as ONNX, and run by torch: the reference that the exported network is compared with."""

import threading
import warnings
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fracture.core.files import write_bytes
from fracture.models.detectors.halves import store_halves
from fracture.models.detectors.loop.module import module
from fracture.models.network import network_tensor

if TYPE_CHECKING:
    from fracture.models.detectors.loop.architecture import Architecture

_OPSET = 18


class TorchNetwork:
    """A trained checkpoint run by torch, as `fracture.models.network` says."""

    name = "torch"

    def __init__(self, architecture: "Architecture", file: Path) -> None:
        net, _ = module(architecture, file)
        self._answer = answering_class()(architecture, net)
        self._lock = threading.Lock()  # torchvision's anchors are kept in the module

    def __call__(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        import torch

        with self._lock, torch.inference_mode():
            answer = self._answer(torch.from_numpy(network_tensor(pixels)))
        return np.asarray(answer[0].numpy(), dtype=np.float32)


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

    By tracing: torch's newer exporter cannot follow these networks (JOURNAL.md, 2026-11-30). Weights are stored in half
    precision on request only: an anchor of 512 px moves by pixels where an offset is off by a thousandth, and a region
    that is dropped for its like is another one.
    """
    import onnx
    import torch

    net, classes = module(architecture, file)
    film = torch.zeros(1, 3, long_side_px, long_side_px - 32 if long_side_px > 32 else long_side_px)
    with TemporaryDirectory() as place, warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")  # sizes that it takes for constants are the number of levels and of classes
        written = Path(place) / "model.onnx"
        torch.onnx.export(
            answering_class()(architecture, net),
            (film,),
            str(written),
            dynamo=False,
            opset_version=_OPSET,
            input_names=["film"],
            output_names=["answer"],
            dynamic_axes={"film": {2: "height", 3: "width"}},
        )
        model = onnx.load(str(written))
    # What tracing cannot tell by itself: how many rows an answer has, and that a batch is one film.
    rows = model.graph.output[0].type.tensor_type.shape.dim[1]
    rows.dim_value = 4 + len(classes)
    if half_weights:
        store_halves(model)
    onnx.checker.check_model(model)
    write_bytes(target, model.SerializeToString())
    return target
