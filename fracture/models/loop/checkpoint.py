"""Weights on disk: written whole, read without running code, and refused by name where they are another network's."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fracture.core.errors import BadValue, MissingData
from fracture.models.mean import mean


@dataclass(frozen=True)
class Checkpoint:
    """A trained module: its architecture's name, what its answer is of (its ``classes``, say), its state dict."""

    arch: str
    labels: Mapping[str, Any]
    state: Mapping[str, Any]


def save(made: Checkpoint, file: Path) -> Path:
    """Write a checkpoint, in half precision as YOLOv8's are; give its path."""
    import torch

    state = {name: value.half() if value.is_floating_point() else value for name, value in made.state.items()}
    content = {**made.labels, "arch": made.arch, "state": state}
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name("partial_" + file.name)
    torch.save(content, partial)
    os.replace(partial, file)
    return file


def load(file: Path, arch: str) -> Checkpoint:
    """Read a checkpoint of ours. Raises MissingData where it is not there, BadValue for one of another architecture."""
    content = unpickled(file)
    if not isinstance(content, dict) or not content.keys() >= {"arch", "state"}:
        raise BadValue(f"{file}: expected a checkpoint of {arch}, got a file that is none of this loop's")
    if content["arch"] != arch:
        raise BadValue(f"{file}: expected a checkpoint of {arch}, got one of {content['arch']}")
    state = {name: value.float() if value.is_floating_point() else value for name, value in content["state"].items()}
    return Checkpoint(arch, {name: value for name, value in content.items() if name not in {"arch", "state"}}, state)


def begin_with(
    arch: str, net: Any, file: Path, fitting: Callable[[Mapping[str, Any]], Mapping[str, Any]] = dict
) -> int:
    """Load every tensor of a state dict (.safetensors, .pt, .pth) whose name and shape fit; give how many did.

    The state dict is the module's own, or one of which ``fitting`` gives the module's names. Raises BadValue where
    fewer than half of those tensors fit: then it is another network's.
    """
    if file.suffix == ".safetensors":
        from safetensors.torch import load_file

        given: Mapping[str, Any] = load_file(file)
    else:
        given = unpickled(file)
        given = given.get("state", given) if isinstance(given, dict) else {}
    own, named = net.state_dict(), fitting(given)
    fit = {
        name: value for name, value in named.items() if name in own and own[name].shape == getattr(value, "shape", None)
    }
    if not fit or len(fit) < len(named) / 2:
        raise BadValue(f"{file}: expected weights for {arch}, {len(fit)} of {len(named)} tensors fit")
    net.load_state_dict(fit, strict=False)
    return len(fit)


def average(arch: str, files: Sequence[Path], out: Path, shares: Sequence[float] | None = None) -> Path:
    """Write the `mean` of the checkpoints' weights; give its path. Raises BadValue for networks that are not alike."""
    each = [(file, load(file, arch)) for file in files]
    _, last = each[-1]
    for file, one in each:
        if one.labels != last.labels:
            raise BadValue(f"expected networks of the same labels, got {one.labels} in {file} and {last.labels}")
    mixed = mean([(file, one.state) for file, one in each], shares)
    return save(Checkpoint(last.arch, last.labels, mixed), out)


def unpickled(file: Path) -> Any:
    """Read what torch wrote; only tensors and plain values are, so no file can run code."""
    import pickle

    import torch

    if not file.is_file():
        raise MissingData(f"no weights at {file}")
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        told = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise BadValue(f"{file}: expected weights that torch can read without running code, got: {told}") from error
