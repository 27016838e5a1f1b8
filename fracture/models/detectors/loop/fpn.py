"""What torchvision's detectors over a feature pyramid have in common: how they are built, taught and asked.

They are called part by part: torchvision's own answers are thresholded and suppressed, which is the reader's work here
(`fracture.models.network`), and in a network that is exported it would take longer on some films than on others.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

MOST = 1000
"""Candidates in an answer, whatever the film's size."""

HEAVY = ("backbone.body", "head")
"""Without the pyramid: oneDNN's gradient of a strided convolution on a map of one pixel, in bfloat16, is no number."""

STAGE = "/backbone/body/layer2/layer2.3/relu_2/Relu_output_0"
"""The last stage at an eighth of the film's scale, as in YOLOv8."""

FILM_STAGE = "/backbone/fpn/layer_blocks.{}/layer_blocks.{}.0/Conv_output_0"
"""A level of the pyramid, counted from the finest."""

_RESNET50 = "https://download.pytorch.org/models/resnet50-0676ba61.pth"


def weights(coco: str) -> dict[str, str]:
    """Name the weights that torchvision publishes: its detector's, of COCO, and ResNet-50's, of ImageNet."""
    return {"coco": f"https://download.pytorch.org/models/{coco}.pth", "imagenet": _RESNET50}


def make(builder: str, **options: Any) -> Any:
    """Build a detector of torchvision with weights at random, which takes films in the size that they have."""
    from torchvision.models import detection

    net = getattr(detection, builder)(weights=None, weights_backbone=None, _skip_resize=True, **options)
    part, finest = (net.rpn, 4) if hasattr(net, "rpn") else (net, 8)
    part.anchor_generator = anchors_class()(part.anchor_generator, finest)
    return net


@cache
def anchors_class() -> Any:
    import torch
    from torchvision.models.detection.anchor_utils import AnchorGenerator

    class Anchors(AnchorGenerator):  # type: ignore[misc, unused-ignore]  # torchvision's classes are untyped here
        """Anchors at the strides that the levels have, 2 ** level times the finest's, in float32.

        torchvision divides the film's side by the level's: on a side of 416 px that makes 59 of 64, and boxes at the
        far edge are off by the sum. It also takes the type of the features, in which coordinates may be rounded.
        """

        def __init__(self, plain: Any, finest: int) -> None:
            super().__init__(plain.sizes, plain.aspect_ratios)
            self.finest = finest

        def forward(self, image_list: Any, feature_maps: Any) -> Any:
            device = feature_maps[0].device
            self.set_cell_anchors(torch.float32, device)
            strides = [[torch.tensor(self.finest * 2**level, device=device)] * 2 for level in range(len(feature_maps))]
            grids = [level.shape[-2:] for level in feature_maps]
            every = torch.cat(self.grid_anchors(grids, strides))
            return [every for _ in image_list.image_sizes]

    return Anchors


def fitting(given: Mapping[str, Any]) -> Mapping[str, Any]:
    """Give the detector's names for the tensors of a state dict that may be of a ResNet-50 alone."""
    if any(name.startswith("backbone.") for name in given):
        return given
    return {f"backbone.body.{name}": value for name, value in given.items() if not name.startswith("fc.")}


def losses(net: Any, films: Any, targets: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    return net(list(films), list(targets))  # type: ignore[no-any-return, unused-ignore]  # torch is untyped here


def features(net: Any, film: Any) -> tuple[Any, Any]:
    """Give a film, (1, 3, H, W), as torchvision's parts take it, and its features by level."""
    import torch
    from torchvision.models.detection.image_list import ImageList

    mean, spread = (
        torch.tensor(values, dtype=film.dtype, device=film.device).reshape(1, 3, 1, 1)
        for values in (net.transform.image_mean, net.transform.image_std)
    )
    normal = (film - mean) / spread
    return ImageList(normal, [normal.shape[-2:]]), net.backbone(normal)


def told(net: Any, film: Any) -> tuple[Mapping[str, Any], Any]:
    """Give what a network of one stage says of a film, and the (N, 4) anchors that it says it of."""
    images, maps = features(net, film)
    levels = list(maps.values())
    [anchors] = net.anchor_generator(images, levels)
    return {name: values[0] for name, values in net.head(levels).items()}, anchors


def best(boxes: Any, scores: Any) -> tuple[Any, Any]:
    """Give the `MOST` candidates whose highest score is best: of (N, 4) and (N, classes), N small or large.

    Where there are fewer, nothing at no place stands for the rest: an answer's size hangs on no film. A box of no
    extent is no box, and scores nothing.
    """
    from torch.nn.functional import pad

    scores = scores * (boxes[:, 2:] > boxes[:, :2]).all(dim=1, keepdim=True)
    boxes, scores = (pad(values, (0, 0, 0, MOST)) for values in (boxes, scores))
    chosen = scores.amax(dim=1).topk(MOST).indices
    return boxes[chosen], scores[chosen]
