"""How far a classifier's answers are from what is known of its films; what is not known counts nothing."""

from collections.abc import Mapping, Sequence
from typing import Any

from fracture.models.heads import Head, columns

FOCUS = 2.0
"""The exponent by which the focal loss takes weight from films that are told well already.

Source: T.-Y. Lin et al., Focal Loss for Dense Object Detection, ICCV 2017, with their gamma.
"""


def logits(maps: Any) -> Any:
    """Give the (N, classes) logits of (N, classes, h, w) class activation maps."""
    return maps.mean(dim=(2, 3))


def losses(heads: Sequence[Head], told: Any, known: Any, weights: Any, *, focal: bool = False) -> Mapping[str, Any]:
    """Give the mean loss of each head over the films whose label is known, 0 where there is none.

    ``told`` are (N, classes) logits of all heads side by side, ``known`` what is known, 0 or 1 or no number, and
    ``weights`` (classes,) what a positive film counts beside a negative one; of classes that exclude each other, each.
    """
    import torch
    from torch.nn import functional

    found = {}
    for head, place in columns(heads):
        rows = ~torch.isnan(known[:, place]).any(dim=1)
        said, truth = told[rows][:, place], known[rows][:, place]
        if not len(said):
            found[head.name] = told[:, place].sum() * 0
            continue
        if head.exclusive:
            true = truth.argmax(dim=1)
            each = functional.cross_entropy(said, true, weight=weights[place], reduction="none")
            sure = said.softmax(dim=1).gather(1, true[:, None])[:, 0]
        else:
            each = functional.binary_cross_entropy_with_logits(said, truth, pos_weight=weights[place], reduction="none")
            sure = torch.where(truth > 0.5, said.sigmoid(), 1 - said.sigmoid())
        found[head.name] = (each * (1 - sure) ** FOCUS if focal else each).mean()
    return found
