"""RetinaNet with ResNet-50 and a feature pyramid, torchvision's second version.

Source: T.-Y. Lin et al., Focal Loss for Dense Object Detection, ICCV 2017, 2980-2988.
"""

from typing import Any

from fracture.models.detectors.loop import fpn
from fracture.models.detectors.loop.architecture import Architecture, row


def _build(classes: int) -> Any:
    return fpn.make("retinanet_resnet50_fpn_v2", num_classes=classes)


def _candidates(net: Any, film: Any) -> tuple[Any, Any]:
    told, anchors = fpn.told(net, film)
    boxes = net.box_coder.decode_single(told["bbox_regression"], anchors)
    return fpn.best(boxes, told["cls_logits"].sigmoid())


ROW = row(
    Architecture(
        "retinanet",
        _build,
        fpn.losses,
        _candidates,
        heavy=fpn.HEAVY,
        stage=fpn.STAGE,
        film_stage=fpn.FILM_STAGE.format(0, 0),
        weights=fpn.weights("retinanet_resnet50_fpn_v2_coco-5905b1c5"),
        fitting=fpn.fitting,
    )
)
