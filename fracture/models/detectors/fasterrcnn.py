"""Faster R-CNN with ResNet-50 and a feature pyramid, torchvision's second version.

Source: S. Ren et al., Faster R-CNN: Towards Real-Time Object Detection with Region Proposal Networks, NeurIPS 2015;
Y. Li et al., Benchmarking Detection Transfer Learning with Vision Transformers, arXiv 2111.11429, for its heads.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from fracture.models.detectors.loop import fpn
from fracture.models.detectors.loop.architecture import Architecture, row

PROPOSALS = 300
"""Regions that the second stage looks at, at most: what a film can cost is bounded, however noisy it is."""


def _build(classes: int) -> Any:
    # Fewer regions than torchvision's 1,000 of 512: a film has a fracture or three, not COCO's crowds, and on a CPU the
    # second stage would take longer than all else.
    return fpn.make(
        "fasterrcnn_resnet50_fpn_v2",
        num_classes=1 + classes,  # the first is the background
        rpn_pre_nms_top_n_train=1000,
        rpn_post_nms_top_n_train=1000,
        rpn_pre_nms_top_n_test=PROPOSALS,
        rpn_post_nms_top_n_test=PROPOSALS,
        box_batch_size_per_image=128,
    )


def _losses(net: Any, films: Any, targets: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    return fpn.losses(net, films, [{**target, "labels": target["labels"] + 1} for target in targets])


def _candidates(net: Any, film: Any) -> tuple[Any, Any]:
    import torch

    images, features = fpn.features(net, film)
    regions, _ = net.rpn(images, features)
    heads = net.roi_heads
    logits, offsets = heads.box_predictor(heads.box_head(heads.box_roi_pool(features, regions, images.image_sizes)))
    boxes = heads.box_coder.decode(offsets, regions)[:, 1:]  # (regions, classes, 4): each class places its own
    scores = logits.softmax(dim=1)[:, 1:]
    classes = scores.shape[1]
    each = scores[:, :, None] * torch.eye(classes, dtype=scores.dtype, device=scores.device)
    return fpn.best(boxes.reshape(-1, 4), each.reshape(-1, classes))


ROW = row(
    Architecture(
        "fasterrcnn",
        _build,
        _losses,
        _candidates,
        heavy=("backbone.body", "rpn.head", "roi_heads.box_head"),
        stage=fpn.STAGE,
        film_stage=fpn.FILM_STAGE.format(1, 1),
        weights=fpn.weights("fasterrcnn_resnet50_fpn_v2_coco-dd69338a"),
        fitting=fpn.fitting,
    )
)
