"""A trained classifier as ONNX, and run by torch: the reference that the exported network is compared with."""

import threading
import warnings
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fracture.core.files import write_bytes
from fracture.models.classifiers.losses import logits
from fracture.models.classifiers.networks import build
from fracture.models.heads import Head
from fracture.models.loop import checkpoint
from fracture.models.network import network_tensor

_OPSET = 18


def module(arch: str, file: Path) -> tuple[Any, tuple[Head, ...]]:
    """Build the network that a checkpoint is of, with its weights, ready to answer; give its heads too."""
    made = checkpoint.load(file, arch)
    heads = tuple(Head.stored(head) for head in made.told["heads"])
    net = build(arch, heads)
    net.load_state_dict(made.state)
    return net.eval(), heads


class TorchClassifier:
    """A trained checkpoint run by torch, as `fracture.models.film_answer` says."""

    name = "torch"

    def __init__(self, arch: str, file: Path) -> None:
        net, self.heads = module(arch, file)
        self._answer = answering_class()(net)
        self._lock = threading.Lock()

    def __call__(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        import torch

        with self._lock, torch.inference_mode():
            answer = self._answer(torch.from_numpy(network_tensor(pixels)))
        return np.asarray(answer[0].numpy(), dtype=np.float32)


@cache
def answering_class() -> Any:
    import torch

    class Answering(torch.nn.Module):  # type: ignore[misc, unused-ignore]  # torch's classes are untyped here
        """A classifier that answers a film, (1, 3, side, side) of one grey, with (1, classes, 1 + places)."""

        def __init__(self, net: Any) -> None:
            super().__init__()
            self.net = net.eval()

        def forward(self, film: Any) -> Any:
            maps = self.net(film[:, :1])
            return torch.cat([logits(maps)[:, :, None], maps.flatten(2)], dim=2)

    return Answering


def export_onnx(arch: str, file: Path, target: Path, side_px: int) -> Path:
    """Export a checkpoint to ONNX for films of one size, (1, 3, side, side)."""
    import onnx
    import torch

    net, _ = module(arch, file)
    with TemporaryDirectory() as place, warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")  # sizes that it takes for constants are constant here
        written = Path(place) / "model.onnx"
        torch.onnx.export(
            answering_class()(net),
            (torch.zeros(1, 3, side_px, side_px),),
            str(written),
            dynamo=False,
            opset_version=_OPSET,
            input_names=["film"],
            output_names=["answer"],
        )
        model = onnx.load(str(written))
    onnx.checker.check_model(model)
    write_bytes(target, model.SerializeToString())
    return target
