"""A trained checkpoint as ONNX, and run by torch: the reference that the exported network is compared with."""

import threading
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fracture.core.files import write_bytes
from fracture.models.detectors.halves import store_halves
from fracture.models.detectors.yolov8.quiet import ultralytics

SCOPE_STAGE = "/model.4/cv2/act/Mul_output_0"
"""What tells a film's kind: the last stage at an eighth of the film's scale; JOURNAL.md has others."""

FILM_STAGE = "/model.15/cv2/act/Mul_output_0"
"""What the detection head is given at an eighth of the film's scale, where small fractures are found."""


class TorchNetwork:
    """A trained checkpoint run by torch: the reference that the exported network is compared with."""

    name = "torch"

    def __init__(self, checkpoint: Path) -> None:
        import torch

        self._torch = torch
        # The detection head keeps the anchors of the last shape it saw: one film at a time.
        self._lock = threading.Lock()
        self._model: Any = ultralytics().YOLO(str(checkpoint)).model.float().eval()

    def __call__(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        tensor = self._torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)[None])).float() / 255
        with self._lock, self._torch.inference_mode():
            return np.asarray(self._model(tensor)[0][0].numpy(), dtype=np.float32)


def export_onnx(checkpoint: Path, target: Path, long_side_px: int, *, half_weights: bool = True) -> Path:
    """Export a checkpoint to ONNX with free height, width and batch; weights stored in half precision by default.

    Stored halves are cast back to float32 when the network is opened, so arithmetic is the same on every machine and
    the file half the size.
    """
    import onnx

    exported = (
        ultralytics()
        .YOLO(str(checkpoint))
        .export(format="onnx", dynamic=True, simplify=True, imgsz=long_side_px, device="cpu", verbose=False)
    )
    model = onnx.load(str(exported))
    Path(exported).unlink()
    if half_weights:
        store_halves(model)
    onnx.checker.check_model(model)
    del model.metadata_props[:]  # Ultralytics notes the path of the training data there
    write_bytes(target, model.SerializeToString())
    return target
