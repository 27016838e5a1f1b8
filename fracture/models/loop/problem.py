"""What is to be learned: all that the loop of this package does not know itself."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Problem:
    """A network, what it is taught by, and how it is judged.

    ``arch`` and ``labels`` name the network in its checkpoints, see `fracture.models.loop.checkpoint`. ``losses`` gives
    the named losses of a batch, given the network, films of (N, C, H, W) float32, 0 to 1, and their targets. ``answer``
    gives what the network says of films. ``loader`` deals batches of films and targets; ``begin_epoch`` is called with
    it and whether films are given as they are from here on, which is so for the last ``plain_epochs``. ``judge`` gives
    the ``figures`` on val, of which the first tells the best epoch; it is called with the network in eval mode, and is
    None where a run is never judged. ``ends`` says by an epoch's number and figures whether the run ends with it,
    beside what its configuration says. ``heavy`` names the parts of the network that may be computed in bfloat16, and
    ``trunk`` the part that rests while the others begin to learn (``frozen_epochs`` of them).
    """

    arch: str
    labels: Mapping[str, Any]
    net: Any
    losses: Callable[[Any, Any, Any], Mapping[str, Any]]
    answer: Callable[[Any, Any], Any]
    loader: Any
    begin_epoch: Callable[[Any, bool], None]
    judge: Callable[[Any], Mapping[str, float]] | None
    figures: tuple[str, ...]
    plain_epochs: int = 0
    heavy: tuple[str, ...] = ()
    trunk: str | None = None
    frozen_epochs: int = 0
    ends: Callable[[int, Mapping[str, float]], bool] | None = None
