"""FCOS with ResNet-50 and a feature pyramid, of torchvision.

Source: Z. Tian et al., FCOS: Fully Convolutional One-Stage Object Detection, ICCV 2019, 9627-9636. A score is the
geometric mean of class and centre-ness, as in torchvision.
"""

from typing import Any

from fracture.models.detectors.loop import fpn
from fracture.models.detectors.loop.architecture import Architecture, row


def _build(classes: int) -> Any:
    return fpn.make("fcos_resnet50_fpn", num_classes=classes)


def _candidates(net: Any, film: Any) -> tuple[Any, Any]:
    told, anchors = fpn.told(net, film)
    scores = (told["cls_logits"].sigmoid() * told["bbox_ctrness"].sigmoid()).sqrt()
    return fpn.best(net.box_coder.decode(told["bbox_regression"], anchors), scores)


ROW = row(
    Architecture(
        "fcos",
        _build,
        fpn.losses,
        _candidates,
        heavy=fpn.HEAVY,
        stage=fpn.STAGE,
        film_stage=fpn.FILM_STAGE.format(0, 0),
        weights=fpn.weights("fcos_resnet50_fpn_coco-99b0c9b7"),
        fitting=fpn.fitting,
    )
)
