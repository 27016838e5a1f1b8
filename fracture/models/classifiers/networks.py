"""The networks that a film classifier may be, by the name that ``--arch`` takes, and their heads.

Each makes a map of features of a film, (N, 1, H, W) to (N, C, H / stride, W / stride); a head weighs the channels of
each place, and a film's logit is the mean of those over all places. So the map of a head, before the mean, is what
each place adds to the answer: the class activation map, exactly. Source: B. Zhou et al., Learning Deep Features for
Discriminative Localization, CVPR 2016.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from types import MappingProxyType
from typing import Any

from fracture.core.errors import BadValue
from fracture.models.detectors.yolov8.backbone import backbone
from fracture.models.heads import Head


def build(arch: str, heads: Sequence[Head]) -> Any:
    """Make a network with weights at random. Raises BadValue for a name that is none."""
    if arch not in NETWORKS:
        raise BadValue(f"arch: expected one of {', '.join(NETWORKS)}, got {arch!r}")
    features, channels = NETWORKS[arch]()
    return classifier_class()(features, channels, sum(len(head.classes) for head in heads))


@cache
def classifier_class() -> Any:
    import torch

    class Classifier(torch.nn.Module):  # type: ignore[misc, unused-ignore]  # torch's classes are untyped here
        """Features and the weights of all heads' classes: films to class activation maps, (N, classes, h, w)."""

        def __init__(self, features: Any, channels: int, classes: int) -> None:
            super().__init__()
            self.features = features
            self.heads = torch.nn.Conv2d(channels, classes, 1)
            torch.nn.init.normal_(self.heads.weight, std=0.01)
            torch.nn.init.zeros_(self.heads.bias)

        def forward(self, films: Any) -> Any:
            return self.heads(self.features(films))

    return Classifier


def _timm(name: str) -> tuple[Any, int]:
    """Give a network of timm without its pool and its classes; its stem takes one channel."""
    import timm

    net = timm.create_model(name, pretrained=False, in_chans=1, num_classes=0, global_pool="")
    return net, net.num_features


def _hybrid() -> tuple[Any, int]:
    """Give DenseNet-121 with a transformer of two layers that sees every place of its map at once."""
    import torch

    net, channels = _timm("densenet121")
    return torch.nn.Sequential(net, mixer_class()(channels, 256)), 256


@cache
def mixer_class() -> Any:
    import torch

    class Mixer(torch.nn.Module):  # type: ignore[misc, unused-ignore]  # torch's classes are untyped here
        """Two layers of self-attention over the places of a map, which know where they are; (N, C, h, w) both ways."""

        def __init__(self, channels: int, width: int) -> None:
            super().__init__()
            self.narrow = torch.nn.Conv2d(channels, width, 1)
            layer = torch.nn.TransformerEncoderLayer(
                width, nhead=8, dim_feedforward=2 * width, dropout=0.1, batch_first=True, norm_first=True
            )
            self.layers = torch.nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)

        def forward(self, features: Any) -> Any:
            narrow = self.narrow(features)
            n, width, rows, columns = narrow.shape
            placed = narrow.float() + places(width, rows, columns, narrow.device)  # bfloat16 would round the places
            mixed = self.layers(placed.flatten(2).transpose(1, 2))
            return mixed.transpose(1, 2).reshape(n, width, rows, columns)

    return Mixer


def places(width: int, rows: int, columns: int, device: Any = None) -> Any:
    """Give what tells places apart, (1, width, rows, columns): sines and cosines of their row and their column.

    Source: A. Vaswani et al., Attention Is All You Need, NeurIPS 2017, section 3.5, along each axis.
    """
    import torch

    quarter = width // 4
    pace = 10_000.0 ** (-torch.arange(quarter, dtype=torch.float32, device=device) / quarter)
    down = torch.arange(rows, dtype=torch.float32, device=device)[None, :, None] * pace[:, None, None]
    across = torch.arange(columns, dtype=torch.float32, device=device)[None, None, :] * pace[:, None, None]
    whole = (quarter, rows, columns)
    parts = [down.sin().expand(whole), down.cos().expand(whole), across.sin().expand(whole), across.cos().expand(whole)]
    return torch.cat(parts)[None]


def _cnn() -> tuple[Any, int]:
    """Give a plain network of five blocks: two 3 x 3 convolutions, normalised, and half the scale each."""
    from torch.nn import BatchNorm2d, Conv2d, MaxPool2d, ReLU, Sequential

    blocks, before = [], 1
    for width in (32, 64, 128, 256, 256):
        for channels in (before, width):
            blocks += [Conv2d(channels, width, 3, padding=1, bias=False), BatchNorm2d(width), ReLU(inplace=True)]
        blocks.append(MaxPool2d(2))
        before = width
    return Sequential(*blocks), before


NETWORKS: Mapping[str, Callable[[], tuple[Any, int]]] = MappingProxyType(
    {
        "yolov8n": partial(backbone, "n", 1),
        "yolov8s": partial(backbone, "s", 1),
        "densenet121": partial(_timm, "densenet121"),
        "densenet169": partial(_timm, "densenet169"),
        "resnet50": partial(_timm, "resnet50"),
        "efficientnet_b0": partial(_timm, "efficientnet_b0"),
        "hybrid": _hybrid,
        "cnn": _cnn,
    }
)
