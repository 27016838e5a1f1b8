"""Run an exported network without torch: OpenVINO where it is installed, ONNX Runtime elsewhere."""

import threading
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fracture import boxes as box_math
from fracture.errors import BadValue
from fracture.types import Detections, ModelInput

SCORE_FLOOR = 0.001
"""Boxes below this are noise to every metric; keeping it this low keeps whole precision-recall curves."""

MAX_DETECTIONS = 100


class Network(Protocol):
    """A network: (H, W, 3) uint8 pixels to (4 + classes, candidates) centre-size boxes in those pixels, and scores."""

    name: str

    def __call__(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]: ...


def open_network(path: Path, backend: str | None = None) -> Network:
    """Open an ONNX file with the named backend (``openvino`` or ``onnxruntime``), or the fastest there is."""
    if backend not in {None, "openvino", "onnxruntime"}:
        raise BadValue(f"backend: expected openvino or onnxruntime, got {backend!r}")
    if backend != "onnxruntime":
        try:
            return OpenVinoNetwork(path)
        except ImportError:
            if backend == "openvino":
                raise
    return OnnxNetwork(path)


class OpenVinoNetwork:
    """The network in OpenVINO, computing in float32 so that every machine gives the same answer."""

    name = "openvino"

    def __init__(self, path: Path) -> None:
        import openvino

        hints = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
        self._compiled: Any = openvino.Core().compile_model(str(path), "CPU", hints)
        self._requests = threading.local()

    def __call__(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        request = getattr(self._requests, "own", None)
        if request is None:
            request = self._requests.own = self._compiled.create_infer_request()
        request.infer({0: _tensor(pixels)})
        return np.array(request.get_output_tensor(0).data[0], dtype=np.float32)


class OnnxNetwork:
    """The network in ONNX Runtime."""

    name = "onnxruntime"

    def __init__(self, path: Path) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        self._session: Any = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name

    def __call__(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.asarray(self._session.run(None, {self._input: _tensor(pixels)})[0][0], dtype=np.float32)


def _tensor(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Give (1, 3, H, W) float32 in [0, 1]."""
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)[None], dtype=np.float32) / np.float32(255)


def detections_from(raw: NDArray[np.float32], prepared: ModelInput, nms_iou: float) -> Detections:
    """Turn a network's raw (4 + classes, candidates) output into boxes on the decoded film, best first."""
    score = raw[4:].max(axis=0).astype(np.float64)
    label = raw[4:].argmax(axis=0)
    keep = score >= SCORE_FLOOR
    centre, size = raw[:2, keep].T.astype(np.float64), raw[2:4, keep].T.astype(np.float64)
    score, label = np.clip(score[keep], 0.0, 1.0), label[keep].astype(np.int64)
    film = prepared.from_film.back(np.hstack([centre - size / 2, centre + size / 2]))
    film = box_math.clip(film, prepared.film_px)
    # Boxes of different classes do not compete: shifting each class apart keeps one suppression for all.
    apart = film + (label * 2.0 * max(prepared.film_px))[:, None]
    kept = box_math.nms(apart, score, nms_iou)[:MAX_DETECTIONS]
    return Detections(film[kept], score[kept], label[kept])
