"""Where training begins: the weights of a network that was trained on other pictures, fitted to radiographs.

A network trained on photographs normalises its channels by the statistics of photographs. The first steps of training
on films replace those by the films' own, which shifts every channel at once and tears up what was learnt. Here they
are replaced beforehand, and scale and offset of each normalisation are changed so that the network still computes
exactly what it did: the same function, stated in the statistics of films.
"""

from collections.abc import Iterable
from typing import Any

from fracture.core.errors import BadValue


def restate_norms(model: Any, batches: Iterable[Any]) -> int:
    """State every BatchNorm of ``model`` in the statistics of ``batches`` of (N, 3, H, W) pixels in [0, 1].

    With s = sqrt(variance + eps): weight' = weight s'/s and bias' = bias + weight (mean' - mean) / s, the primes being
    the films'. In eval mode the function stays as it was, up to rounding. Gives how many layers were restated; raises
    BadValue where there are no films.
    """
    import torch

    layers = {name: layer for name, layer in model.named_modules() if isinstance(layer, torch.nn.BatchNorm2d)}
    sums: dict[str, tuple[Any, Any, int]] = {}

    def gather(name: str) -> Any:
        def hook(_: Any, inputs: tuple[Any, ...]) -> None:
            values = inputs[0].double()
            first, second = values.sum(dim=(0, 2, 3)), values.square().sum(dim=(0, 2, 3))
            count = values.numel() // values.shape[1]
            if name in sums:
                before = sums[name]
                first, second, count = before[0] + first, before[1] + second, before[2] + count
            sums[name] = (first, second, count)

        return hook

    hooks = [layer.register_forward_pre_hook(gather(name)) for name, layer in layers.items()]
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            for batch in batches:
                model(batch)
    finally:
        for hook in hooks:
            hook.remove()
        model.train(was_training)
    if not sums:
        raise BadValue("films to restate the network's statistics with: expected one or more, got none")
    with torch.no_grad():
        for name, (first, second, count) in sums.items():
            layer = layers[name]
            mean = first / count
            variance = (second / count - mean.square()).clamp_min(0)
            old = (layer.running_var.double() + layer.eps).sqrt()
            new = (variance + layer.eps).sqrt()
            weight = layer.weight.double()
            layer.bias.copy_(layer.bias.double() + weight * (mean - layer.running_mean.double()) / old)
            layer.weight.copy_(weight * new / old)
            layer.running_mean.copy_(mean)
            layer.running_var.copy_(variance)
    return len(sums)
