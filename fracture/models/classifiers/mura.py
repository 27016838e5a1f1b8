"""Classifiers of one area each, in the form in which mariamvol/mura-model-classifier (MIT licence) publishes them.

A DenseNet-121 of torchvision with one logit. A film goes in as it did there: its greys, not harmonised, stretched to
224 x 224 px, three times over, by the mean and the spread of ImageNet. That is how its weights learned; ours are fed
otherwise (`fracture.models.classifiers.films`).
"""

import os
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fracture.core.errors import BadValue
from fracture.core.files import file_hash
from fracture.data.acquire.download import download, records
from fracture.models.loop.checkpoint import unpickled

AREAS = ("XR_ELBOW", "XR_FINGER", "XR_FOREARM", "XR_HAND", "XR_HUMERUS", "XR_SHOULDER", "XR_WRIST")
RELEASE = "https://github.com/mariamvol/mura-model-classifier/releases/download/v0.1.0"
FILES = MappingProxyType({area: f"{area}_FINAL_best.pt" for area in AREAS})

_SIDE_PX = 224
_MEAN, _SPREAD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def weights(area: str, cache: Path, release: str = RELEASE) -> Path:
    """Give the file of an area's weights, downloaded on the first call, and the one that was downloaded ever after.

    Raises MissingData where it cannot be had, BadValue where the file in the cache is not the one that came.
    """
    file = cache / FILES[area]
    known = records(cache).get(file.name, {}) if file.is_file() else {}
    if not known:
        return download(f"{release.rstrip('/')}/{file.name}", file)
    if (found := file_hash(file)) != known["sha256"]:
        raise BadValue(f"{file}: expected SHA-256 {known['sha256']}, as it was downloaded, got {found}; delete it")
    return file


def open_area(file: Path, device: str = "cpu") -> Callable[[NDArray[np.uint8]], float]:
    """Give what tells the probability of a fracture on a film, (H, W) greys.

    Raises MissingData where there is no file; BadValue for one that would run code, that is no state dict of a
    DenseNet-121 with one logit, and for a device that is not there.
    """
    import torch
    from torchvision.models import densenet121

    net = densenet121(weights=None, num_classes=1)
    state = _state(file)
    expected = {name: tuple(value.shape) for name, value in net.state_dict().items()}
    got = {name: tuple(getattr(value, "shape", ())) for name, value in state.items()}
    if got != expected:
        differ = sorted(name for name in expected.keys() | got.keys() if expected.get(name) != got.get(name))
        raise BadValue(
            f"{file}: expected weights of a DenseNet-121 with one logit, {len(differ)} tensors differ: "
            f"{', '.join(differ[:3])}"
        )
    net.load_state_dict(state)
    try:
        net = net.eval().to(device)
    except (RuntimeError, AssertionError) as error:
        raise BadValue(f"--device: expected one that is there, got {device!r}: {str(error).splitlines()[0]}") from error

    def tell(grey: NDArray[np.uint8]) -> float:
        with torch.inference_mode():
            return float(net(_fed(grey).to(device)).sigmoid())

    return tell


def _fed(grey: NDArray[np.uint8]) -> Any:
    import torch
    from PIL import Image
    from torchvision.transforms import functional

    film = functional.resize(Image.fromarray(grey).convert("RGB"), [_SIDE_PX, _SIDE_PX])
    return torch.unsqueeze(functional.normalize(functional.to_tensor(film), list(_MEAN), list(_SPREAD)), 0)


def _state(file: Path) -> dict[str, Any]:
    content = unpickled(file)
    state = content.get("model_state", content) if isinstance(content, dict) else None
    if not isinstance(state, dict):
        raise BadValue(f"{file}: expected a state dict, got {type(content).__name__}")
    return state


def default_cache() -> Path:
    """Give where weights are kept: ``FRACTURE_CACHE`` or the user's cache folder."""
    named = os.environ.get("FRACTURE_CACHE")
    return Path(named) if named else Path.home() / ".cache" / "fracture"
