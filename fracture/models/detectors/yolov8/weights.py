"""Weights to begin with: a state dict into a network of the same architecture, or into a wider one."""

from pathlib import Path
from typing import Any

from fracture.core.errors import BadValue


def load_matching(model: Any, path: Path) -> int:
    """Load every tensor of a .safetensors state dict whose name and shape fit; give how many did.

    Into a network a whole number of times as wide it is grown so that every copy of a channel answers as the channel
    did (Net2Net: T. Chen et al., ICLR 2016). Raises BadValue where fewer than half fit, or a grown network would lack
    any tensor below its head: then it is another architecture.
    """
    from safetensors.torch import load_file

    own = model.state_dict()
    given = load_file(path)
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
