"""A network of this loop as ONNX, and run by torch: the reference that the exported network is compared with."""

import threading
import warnings
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fracture.models.network import network_tensor

_OPSET = 18
_FILM, _ANSWER = "film", "answer"


class TorchNetwork:
    """Calls a module that answers a film, (1, 3, H, W), with (1, rows, columns), as `fracture.models.network` says."""

    name = "torch"

    def __init__(self, answering: Any) -> None:
        self._answering = answering
        self._lock = threading.Lock()  # torchvision's anchors are kept in the module

    def __call__(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        import torch

        with self._lock, torch.inference_mode():
            answer = self._answering(torch.from_numpy(network_tensor(pixels)))
        return np.asarray(answer[0].numpy(), dtype=np.float32)


def traced(answering: Any, height: int, width: int, free: Mapping[int, str] | None = None) -> Any:
    """Give the ONNX model of such a module for films of a size; ``free`` names the axes that may have another.

    By tracing: torch's newer exporter cannot follow torchvision's detectors (JOURNAL.md, 2026-11-30).
    """
    import onnx
    import torch

    with TemporaryDirectory() as place, warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")  # sizes that it takes for constants are those of the network, not the film's
        written = Path(place) / "model.onnx"
        torch.onnx.export(
            answering,
            (torch.zeros(1, 3, height, width),),
            str(written),
            dynamo=False,
            opset_version=_OPSET,
            input_names=[_FILM],
            output_names=[_ANSWER],
            dynamic_axes={_FILM: dict(free)} if free else None,
        )
        return onnx.load(str(written))
