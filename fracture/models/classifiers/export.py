"""A classifier's checkpoint as ONNX, and run by torch."""

from functools import cache
from pathlib import Path
from typing import Any

from fracture.core.files import write_bytes
from fracture.models.classifiers.losses import logits
from fracture.models.classifiers.networks import build
from fracture.models.heads import Head
from fracture.models.loop import checkpoint
from fracture.models.loop.export import TorchNetwork, traced


def module(arch: str, file: Path) -> tuple[Any, tuple[Head, ...]]:
    """Build the network that a checkpoint is of, with its weights, ready to answer; give its heads too."""
    made = checkpoint.load(file, arch)
    heads = tuple(Head.stored(head) for head in made.labels["heads"])
    net = build(arch, heads)
    net.load_state_dict(made.state)
    return net.eval(), heads


def torch_network(arch: str, file: Path) -> tuple[TorchNetwork, tuple[Head, ...]]:
    """Open a checkpoint to be run by torch, with its heads; it answers as `fracture.models.film_answer` says."""
    net, heads = module(arch, file)
    return TorchNetwork(answering_class()(net)), heads


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

    net, _ = module(arch, file)
    model = traced(answering_class()(net), side_px, side_px)
    onnx.checker.check_model(model)
    write_bytes(target, model.SerializeToString())
    return target
