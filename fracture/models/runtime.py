"""Run an exported network without torch: in ONNX Runtime on an accelerator, else in OpenVINO on the CPU."""

import queue
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fracture.core.errors import BadValue, BrokenAnswer
from fracture.core.machine import cores
from fracture.models.network import DIVISOR, MEMBERS, Network, network_tensor

BACKENDS = ("openvino", "onnxruntime")
PRECISIONS = ("f32", "bf16")

_PROCESSOR = Path("/proc/cpuinfo")
_ACCELERATORS = ("CUDAExecutionProvider", "CoreMLExecutionProvider")
_SHAPES_BYTES = 96 << 20
_MOST_SHAPES = 2
"""How many shapes get networks of their own, and what the weights of these may take: each repacks its own copy of them,
and has room for its layers beside. Two networks a shape take 125 MB for YOLOv8n at 640 px, 250 MB for YOLOv8s."""

Shape = tuple[int, int]


def open_network(
    path: Path, backend: str | None = None, precision: str = "f32", divisor: float = DIVISOR, members: int = 1
) -> Network:
    """Open an ONNX file with the named backend (one of `BACKENDS`), or the fastest there is.

    ``precision`` is what OpenVINO computes in. A card's figures were measured in f32; bf16 is faster where a CPU has
    it, and moves scores in the third digit. ``divisor`` and ``members`` are the card's. Raises BadValue for names that
    are not known, BrokenAnswer for a file of another number of networks: one's boxes would be taken for several's.
    """
    if backend is not None and backend not in BACKENDS:
        raise BadValue(f"backend: expected one of {', '.join(BACKENDS)}, got {backend!r}")
    if precision not in PRECISIONS:
        raise BadValue(f"precision: expected one of {', '.join(PRECISIONS)}, got {precision!r}")
    chosen = backend or ("onnxruntime" if _accelerated() else "openvino")
    try:
        network = _open(path, chosen, precision, divisor)
    except ImportError:
        if backend is not None:
            raise
        network = _open(path, "onnxruntime", precision, divisor)  # no OpenVINO for this machine
    if network.members != members:
        raise BrokenAnswer(f"members: expected {members} networks in the file, as its card says, got {network.members}")
    return network


def runs_int8() -> bool:
    """Tell whether an 8-bit network is the fastest here: OpenVINO is installed, and no accelerator."""
    return find_spec("openvino") is not None and not _accelerated()


@cache
def computes_bfloat16() -> bool:
    """Tell whether the processor itself computes in bfloat16 (Linux; elsewhere it is taken not to)."""
    flags = _PROCESSOR.read_text(encoding="utf-8") if _PROCESSOR.is_file() else ""
    return "avx512_bf16" in flags or "amx_bf16" in flags


def _open(path: Path, backend: str, precision: str, divisor: float) -> "OpenVinoNetwork | OnnxNetwork":
    return OpenVinoNetwork(path, precision, divisor) if backend == "openvino" else OnnxNetwork(path, divisor)


def _accelerated() -> bool:
    # Asking ONNX Runtime takes a fifth of a second of every start; most machines can be told without.
    if sys.platform != "darwin" and not _installed("onnxruntime-gpu"):
        return False
    import onnxruntime

    return len(_preferred(onnxruntime.get_available_providers())) > 1


def _installed(package: str) -> bool:
    try:
        metadata.version(package)
    except metadata.PackageNotFoundError:
        return False
    return True


def _preferred(available: Sequence[str]) -> list[str]:
    """Give the providers to use, the fastest first and the CPU last."""
    return [*(name for name in _ACCELERATORS if name in available), "CPUExecutionProvider"]


class OpenVinoNetwork:
    """The network in OpenVINO on the CPU. Safe to share between threads, and made to be.

    A network compiled for one shape is a tenth to a quarter faster than one that takes any, so the first shapes that
    come get one each; films of rarer shapes go to one that takes any. Those of one shape exist twice: a call that is
    alone gets every core, calls that come together get a core each, which takes longer for one and is faster for all.
    The one for any shape exists once: it would grow with every shape that it meets. In f32
    all of them give the same answer to the last bit; in int8 those of one shape do.
    """

    name = "openvino"

    def __init__(self, path: Path, precision: str = "f32", divisor: float = DIVISOR) -> None:
        if path.suffix == ".xml":
            self.name = "openvino int8"  # its answers are others than those of the .onnx
        elif precision != "f32":
            self.name = f"openvino {precision}"
        openvino = self._openvino = import_openvino()
        self._core: Any = openvino.Core()
        self._path = path
        self._divisor = divisor
        self.cores = cores()
        common = {
            "INFERENCE_PRECISION_HINT": precision,
            "INFERENCE_NUM_THREADS": self.cores,
            "ENABLE_CPU_PINNING": False,  # both kinds, and the processes that decode, share the same cores
        }
        self._alone = common | {"PERFORMANCE_HINT": "LATENCY"}
        self._together = common | {"PERFORMANCE_HINT": "THROUGHPUT", "NUM_STREAMS": self.cores}
        weights = sum(file.stat().st_size for file in (path, path.with_suffix(".bin")) if file.is_file())
        self._room = min(_MOST_SHAPES, max(1, _SHAPES_BYTES // weights))
        self._compiled: dict[Shape | None, _Pair] = {}
        self._lock = threading.Lock()
        self._inside = 0
        self._builder = ThreadPoolExecutor(1, "openvino")

    def __call__(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        with self._lock:
            self._inside += 1
            alone = self._inside == 1 or self.cores == 1
            pair = self._pair((pixels.shape[0], pixels.shape[1]))
        try:
            return pair.choose(alone)(pixels)
        finally:
            with self._lock:
                self._inside -= 1

    def _pair(self, shape: Shape) -> "_Pair":
        wanted = shape if shape in self._compiled or len(self._compiled) < self._room else None
        if wanted not in self._compiled:
            self._compiled[wanted] = _Pair(self, wanted)
        return self._compiled[wanted]

    def compile(self, shape: Shape | None, alone: bool) -> "_Compiled":
        """Compile the network for (height, width), or for any as None."""
        model = self._core.read_model(self._path)
        height, width = shape or (-1, -1)
        model.reshape([1, 3, height, width])
        steps = self._openvino.preprocess.PrePostProcessor(model)
        layout = self._openvino.Layout
        steps.input().tensor().set_element_type(self._openvino.Type.u8).set_layout(layout("NHWC"))
        steps.input().preprocess().convert_element_type(self._openvino.Type.f32).scale(self._divisor)
        steps.input().model().set_layout(layout("NCHW"))
        return _Compiled(self._core.compile_model(steps.build(), "CPU", self._alone if alone else self._together))

    @property
    def members(self) -> int:
        """Say how many networks the file holds, by its own metadata."""
        told, model = ["framework", MEMBERS], self._core.read_model(self._path)
        return int(model.get_rt_info(told).astype(str)) if model.has_rt_info(told) else 1

    def build(self, shape: Shape | None) -> "Future[_Compiled]":
        """Compile for calls that come together, in the background: until it is done they take the other form."""
        return self._builder.submit(self.compile, shape, False)


def import_openvino() -> Any:
    """Give OpenVINO, whose import alone would set up reports on its use to its maker over the network.

    It would also fail for users without a home, as containers have them.
    """
    # None in this table is Python's own way to refuse an import; its type does not tell.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino


class _Pair:
    """The network for one shape: for a call that is alone, and, once there was need and time, for several."""

    def __init__(self, network: OpenVinoNetwork, shape: Shape | None) -> None:
        self._network = network
        self._shape = shape
        self._lock = threading.Lock()
        self._alone: _Compiled | None = None
        self._together: Future[_Compiled] | None = None

    def choose(self, alone: bool) -> "_Compiled":
        with self._lock:
            if self._alone is None:
                self._alone = self._network.compile(self._shape, True)
            if self._shape is None:
                return self._alone  # the other form of it would take 120 MB and more with every shape
            if not alone and self._together is None:
                self._together = self._network.build(self._shape)
        together = self._together
        # One that could not be built costs speed, and no answers.
        if alone or together is None or not together.done() or together.exception() is not None:
            return self._alone
        return together.result()


_answering = threading.Lock()
_answered = threading.Event()


class _Compiled:
    """A compiled network and its requests that are idle.

    The first answer of a process is made alone. With it OpenVINO's Python part sets up tables of its own, under a lock
    that a thread may hold while it waits for Python's: two threads that came first together have been seen to wait for
    each other for ever.
    """

    def __init__(self, compiled: Any) -> None:
        self._compiled = compiled
        self._idle: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def __call__(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        if not _answered.is_set():
            with _answering:
                answer = self._answer(pixels)
                _answered.set()
                return answer
        return self._answer(pixels)

    def _answer(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        try:
            request = self._idle.get_nowait()
        except queue.Empty:
            request = self._compiled.create_infer_request()
        request.infer({0: pixels[None]})
        answer = np.array(request.get_output_tensor(0).data[0], dtype=np.float32)
        self._idle.put(request)
        return answer


class OnnxNetwork:
    """The network in ONNX Runtime, on CUDA or CoreML where this machine's ONNX Runtime has them, else on the CPU."""

    name = "onnxruntime"

    def __init__(self, path: Path, divisor: float = DIVISOR) -> None:
        import onnxruntime

        self._divisor = divisor

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        providers = _preferred(onnxruntime.get_available_providers())
        # Ten bits of mantissa are not the float32 that the card was measured in.
        chosen = [(name, {"use_tf32": "0"} if name.startswith("CUDA") else {}) for name in providers]
        self._session: Any = onnxruntime.InferenceSession(str(path), options, providers=chosen)
        self._input = self._session.get_inputs()[0].name
        self.members = int(self._session.get_modelmeta().custom_metadata_map.get(MEMBERS, 1))

    def __call__(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.asarray(
            self._session.run(None, {self._input: network_tensor(pixels, self._divisor)})[0][0], dtype=np.float32
        )
