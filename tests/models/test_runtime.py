"""The network in OpenVINO: whichever of its copies answers, the answer is the same, and there always is one."""

import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from fracture.core.errors import BadValue
from fracture.core.types import FrameMap, ModelInput
from fracture.models import card as cards
from fracture.models import runtime
from fracture.models.network import detections_from
from fracture.models.runtime import OnnxNetwork, OpenVinoNetwork, open_network

openvino = pytest.importorskip("openvino")
SHIPPED = next(cards.SHIPPED.glob("*.onnx"))


def film(seed, height, width):
    return np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """Give the file of two convolutions with an output like a detector's: (1, 5, candidates)."""
    from openvino import opset13 as ops

    rng = np.random.default_rng(1)
    pixels = ops.parameter([1, 3, -1, -1], np.float32)
    found = pixels
    for shape in ((8, 3, 3, 3), (5, 8, 3, 3)):
        weights = rng.normal(0, 0.3, shape).astype(np.float32)
        found = ops.relu(ops.convolution(found, ops.constant(weights), [2, 2], [1, 1], [1, 1], [1, 1]))
    file = tmp_path_factory.mktemp("tiny") / "model.xml"
    candidates = ops.reshape(found, ops.constant(np.array([1, 5, -1])), False)
    openvino.save_model(openvino.Model([candidates], [pixels], "tiny"), file, compress_to_fp16=False)
    return file


class Watched(OpenVinoNetwork):
    """Notes which copy answers. A film whose first pixel is 255 stays in the network until let go."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.cores = 2
        self.lock = threading.Lock()
        self.built, self.asked = [], []
        self.entered, self.go_on = threading.Semaphore(0), threading.Event()

    def compile(self, shape, alone):
        compiled = super().compile(shape, alone)
        with self.lock:
            self.built.append((shape, alone))

        def ask(pixels):
            with self.lock:
                self.asked.append((shape, alone))
            if pixels[0, 0, 0] == 255:
                self.entered.release()
                assert self.go_on.wait(20)
            return compiled(pixels)

        return ask

    def built_behind(self):
        """Wait until nothing is being built behind the calls' backs."""
        self._builder.submit(lambda: None).result(20)


def held(network, shape):
    """Start a call that stays inside; give what it will answer."""
    pixels = film(0, *shape)
    pixels[0, 0] = 255
    pool = ThreadPoolExecutor(1)
    answer = pool.submit(network, pixels)
    pool.shutdown(wait=False)
    assert network.entered.acquire(timeout=20)
    return answer


def test_calls_one_after_another_get_the_copy_with_every_core(tiny):
    network = Watched(tiny)
    for _ in range(3):
        network(film(1, 64, 32))
    assert network.built == [((64, 32), True)]
    assert network.asked == [((64, 32), True)] * 3


def test_the_network_for_any_shape_exists_once_whoever_comes_together(tiny):
    """It has room for the layers of every shape it met; a second one would have as much."""
    network = Watched(tiny)
    for side in range(runtime._MOST_SHAPES):
        network(film(1, 64, 32 * (side + 1)))
    first = held(network, (96, 64))
    network(film(1, 96, 32))
    network.built_behind()
    network(film(1, 128, 32))
    network.go_on.set()
    first.result(20)
    assert [built for built in network.built if built[0] is None] == [(None, True)]


class Slow:
    """A compiled network, and its request, that knows how many threads were inside it at a time."""

    def __init__(self):
        self.inside, self.most, self.lock = 0, 0, threading.Lock()
        self.data = np.zeros((1, 5, 1), np.float32)

    def create_infer_request(self):
        return self

    def get_output_tensor(self, number):
        return self

    def infer(self, inputs):
        with self.lock:
            self.inside += 1
            self.most = max(self.most, self.inside)
        time.sleep(0.2)
        with self.lock:
            self.inside -= 1


def test_the_first_answer_of_a_process_is_made_alone(monkeypatch):
    """Where two threads came first together OpenVINO's Python part hung for ever."""
    monkeypatch.setattr(runtime, "_answered", threading.Event())
    slow = Slow()
    one, other = runtime._Compiled(slow), runtime._Compiled(slow)
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(lambda compiled: compiled(film(1, 32, 32)), (one, other)))
    assert slow.most == 1
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(lambda compiled: compiled(film(1, 32, 32)), (one, other)))
    assert slow.most == 2


def test_calls_that_come_together_get_the_copy_with_a_core_each_and_wait_for_none(tiny):
    network = Watched(tiny)
    first = held(network, (64, 32))
    assert network(film(1, 64, 32)).shape == (5, 128)  # is answered while the other copy is built
    network.built_behind()
    network(film(2, 64, 32))
    network.go_on.set()
    first.result(20)
    network(film(3, 64, 32))  # alone again
    assert network.asked == [((64, 32), alone) for alone in (True, True, False, True)]
    assert sorted(network.built) == [((64, 32), False), ((64, 32), True)]


def test_where_there_is_one_core_there_is_one_copy(tiny):
    network = Watched(tiny)
    network.cores = 1
    first = held(network, (64, 32))
    network(film(1, 64, 32))
    network.go_on.set()
    first.result(20)
    network.built_behind()
    assert network.built == [((64, 32), True)]


def test_a_copy_that_cannot_be_built_loses_no_answer(tiny):
    class Broken(Watched):
        def compile(self, shape, alone):
            if not alone:
                raise RuntimeError("no memory for another copy")
            return super().compile(shape, alone)

    network = Broken(tiny)
    expected = network(film(1, 64, 32))
    first = held(network, (64, 32))
    for _ in range(3):
        assert network(film(1, 64, 32)).tobytes() == expected.tobytes()
        network.built_behind()
    network.go_on.set()
    first.result(20)


def test_a_call_that_fails_is_no_longer_inside(tiny):
    network = Watched(tiny)
    for _ in range(3):
        with pytest.raises(Exception, match=r"."):
            network(np.zeros((64, 32, 4), np.uint8))
    network(film(1, 64, 32))
    network.built_behind()
    assert (network._inside, network.built) == (0, [((64, 32), True)])


def test_rarer_shapes_share_one_copy_and_get_the_same_answers(tiny):
    most = runtime._MOST_SHAPES
    network, shapes = Watched(tiny), [(64, 32 * n) for n in range(1, most + 4)]
    for height, width in shapes * 2:
        expected = OpenVinoNetwork(tiny)(film(width, height, width))
        assert network(film(width, height, width)).tobytes() == expected.tobytes()
    assert network.built == [(shape, True) for shape in shapes[:most]] + [(None, True)]
    assert network.asked == ([(shape, True) for shape in shapes[:most]] + [(None, True)] * 3) * 2


def test_a_large_network_has_fewer_copies(tiny, monkeypatch):
    weights = tiny.stat().st_size + tiny.with_suffix(".bin").stat().st_size
    most = runtime._MOST_SHAPES
    for room, copies in ((1, 1), (weights, 1), (2 * weights, 2), (1 << 30, most)):
        monkeypatch.setattr(runtime, "_SHAPES_BYTES", room)
        assert OpenVinoNetwork(tiny)._room == copies


def test_many_threads_get_the_answers_they_would_get_alone(tiny):
    films = [film(seed, 64, 32 * (1 + seed % 3)) for seed in range(24)]
    expected = [OpenVinoNetwork(tiny)(pixels).tobytes() for pixels in films[:3]]
    network = Watched(tiny)
    alone = [network(pixels).tobytes() for pixels in films]
    assert alone[:3] == expected
    inside = held(network, (64, 32))  # so that all others come together, however fast each is
    with ThreadPoolExecutor(8) as pool:
        for _ in range(4):
            assert [answer.tobytes() for answer in pool.map(network, films)] == alone
            network.built_behind()
    network.go_on.set()
    inside.result(20)
    assert {alone for _, alone in network.asked} == {True, False}


def test_an_answer_is_the_callers_own(tiny):
    network = OpenVinoNetwork(tiny)
    first = network(film(1, 64, 32))
    kept = first.copy()
    network(film(2, 64, 32))
    assert (first == kept).all()


def test_the_shipped_network_answers_alone_as_together_to_the_last_bit():
    network = Watched(SHIPPED)
    network.go_on.set()
    pixels = film(1, 96, 64)
    alone = network(pixels)
    assert network.compile((96, 64), False)(pixels).tobytes() == alone.tobytes()
    assert network.compile(None, True)(pixels).tobytes() == alone.tobytes()
    elsewhere = OnnxNetwork(SHIPPED)(pixels)
    assert elsewhere.shape == alone.shape
    assert np.abs(elsewhere - alone).max() < 1e-2


def test_accelerators_go_first():
    cpu, cuda, apple = "CPUExecutionProvider", "CUDAExecutionProvider", "CoreMLExecutionProvider"
    assert runtime._preferred([cpu]) == [cpu]
    assert runtime._preferred([apple, cpu]) == [apple, cpu]
    assert runtime._preferred([cpu, "TensorrtExecutionProvider", cuda]) == [cuda, cpu]


def test_the_fastest_backend_is_opened(monkeypatch):
    assert isinstance(open_network(SHIPPED), OpenVinoNetwork)
    assert isinstance(open_network(SHIPPED, "onnxruntime"), OnnxNetwork)
    with monkeypatch.context() as patched:
        patched.setattr(runtime, "_accelerated", lambda: True)
        assert isinstance(open_network(SHIPPED), OnnxNetwork)
        assert isinstance(open_network(SHIPPED, "openvino"), OpenVinoNetwork)
    with monkeypatch.context() as patched:
        patched.setitem(sys.modules, "openvino", None)  # as where there is none
        assert isinstance(open_network(SHIPPED), OnnxNetwork)
        with pytest.raises(ImportError):
            open_network(SHIPPED, "openvino")


def test_a_mac_and_onnxruntime_gpu_are_asked_for_accelerators(monkeypatch):
    onnxruntime = pytest.importorskip("onnxruntime")
    monkeypatch.setattr(
        onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"]
    )
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(runtime, "_installed", lambda package: package == "onnxruntime-gpu")
    assert runtime._accelerated()
    monkeypatch.setattr(runtime, "_installed", lambda package: False)
    assert not runtime._accelerated()
    monkeypatch.setattr(sys, "platform", "darwin")
    assert runtime._accelerated()
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    assert not runtime._accelerated()


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"backend": "torch"}, "backend: expected one of openvino, onnxruntime, got 'torch'"),
        ({"precision": "int8"}, "precision: expected one of f32, bf16, got 'int8'"),
    ],
)
def test_an_unknown_name_answers_with_the_known_ones(given, why):
    with pytest.raises(BadValue, match=why):
        open_network(SHIPPED, **given)


@pytest.mark.parametrize(
    ("flags", "has"), [("fma avx512_bf16 sse", True), ("amx_bf16", True), ("avx512f", False), (None, False)]
)
def test_bfloat16_is_read_off_the_processor(flags, has, tmp_path, monkeypatch):
    processor = tmp_path / "cpuinfo"
    if flags is not None:
        processor.write_text(f"flags : {flags}\n")
    monkeypatch.setattr(runtime, "_PROCESSOR", processor)
    assert runtime.computes_bfloat16.__wrapped__() is has


def answer(rows):
    """Give a network's raw output, (4 + 2 classes, candidates), from (x0, y0, x1, y1, score, class) rows."""
    raw = np.zeros((6, len(rows)), np.float32)
    for column, (x0, y0, x1, y1, score, label) in enumerate(rows):
        raw[:4, column] = (x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0
        raw[4 + label, column] = score
    return raw


def test_boxes_of_two_classes_do_not_suppress_each_other():
    prepared = ModelInput(np.zeros((64, 64, 3), np.uint8), (64, 64), FrameMap(), "h")
    # One place and two classes, on a box of the whole film as on a small one; of one class the weaker box goes.
    for box in ((0, 0, 64, 64), (8, 8, 24, 24)):
        both = detections_from(answer([(*box, 0.9, 0), (*box, 0.8, 1), (*box, 0.7, 1)]), prepared, 0.05)
        assert both.score.tolist() == pytest.approx([0.9, 0.8])
        assert both.label.tolist() == [0, 1]
        np.testing.assert_allclose(both.xyxy, [box, box])
