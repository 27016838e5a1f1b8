"""Weights to begin with: a state dict or an exported network into one of the same architecture, or into a wider one."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fracture.core.errors import BadValue


def load_matching(model: Any, path: Path) -> int:
    """Load every tensor of a .safetensors state dict, or of an .onnx, whose name and shape fit; give how many did.

    An exported network has no BatchNorm left: it is in the convolutions before, and the model's own is set to change
    nothing. `fracture.models.start` then states it in the statistics of films, without which training tears it up.

    Into a network a whole number of times as wide it is grown so that every copy of a channel answers as the channel
    did (Net2Net: T. Chen et al., ICLR 2016). Raises BadValue where fewer than half fit, or a grown network would lack
    any tensor below its head: then it is another architecture.
    """
    own = model.state_dict()
    given = _exported(path, own, _epsilon(model)) if path.suffix == ".onnx" else _state_dict(path)
    first = next(name for name, value in own.items() if value.ndim == 4)
    times = len(own[first]) // len(given[first]) if first in given else 1
    if times > 1:
        given = {name: _widened(value.float(), own[name].shape, times) for name, value in given.items() if name in own}
    fitting = {name: value.float() for name, value in given.items() if name in own and own[name].shape == value.shape}
    head = f"model.{len(model.model) - 1}."
    lacking = [name for name in own if name not in fitting and not name.startswith(head)]
    if len(fitting) < len(own) / 2 or (times > 1 and lacking):
        raise BadValue(f"{path.name}: expected weights of this architecture, {len(fitting)} of {len(own)} tensors fit")
    model.load_state_dict(fitting, strict=False)
    return len(fitting)


def _state_dict(path: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    return dict(load_file(path))


def _epsilon(model: Any) -> float:
    import torch

    return next((layer.eps for layer in model.modules() if isinstance(layer, torch.nn.BatchNorm2d)), 0.0)


def _exported(path: Path, own: Mapping[str, Any], epsilon: float) -> dict[str, Any]:
    """Give the state dict of an exported network, by the names that Ultralytics' export keeps."""
    import onnx
    import torch

    given: dict[str, Any] = {}
    for tensor in onnx.load(path).graph.initializer:
        name = re.sub("_half$", "", tensor.name)  # of what is stored in 16 bits
        value = torch.from_numpy(onnx.numpy_helper.to_array(tensor).copy()).float()
        norm = name.removesuffix("conv.bias") + "bn."
        if not name.endswith("conv.bias") or norm + "bias" not in own:
            given[name] = value
            continue
        given[norm + "bias"] = value
        given[norm + "weight"] = torch.ones_like(value)
        given[norm + "running_mean"] = torch.zeros_like(value)
        given[norm + "running_var"] = torch.ones_like(value) - epsilon
    return given


def _widened(value: Any, shape: Any, times: int) -> Any:
    """Give a tensor with each channel ``times`` over, where ``shape`` has as many; the copies' inputs share its weight.

    They share it unevenly, differently for every copy: copies that are alike would be taught alike and stay so. Chunks
    and joints of channels keep their order, as copies stand side by side.
    """
    import torch

    if value.ndim and shape[0] == value.shape[0] * times:
        value = value.repeat_interleave(times, dim=0)
    if value.ndim > 1 and shape[1] == value.shape[1] * times:
        chance = torch.Generator().manual_seed(value.numel())
        parts = 1 + torch.rand((*value.shape[:2], times), generator=chance)
        parts = (parts / parts.sum(dim=2, keepdim=True)).flatten(1)
        value = value.repeat_interleave(times, dim=1) * parts.view(*parts.shape, *[1] * (value.ndim - 2))
    return value
