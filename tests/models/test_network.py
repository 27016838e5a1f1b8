"""The contract of a network, kept by one that is not Ultralytics': it wants another padding and undivided pixels."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from fracture.core.errors import BadValue, BrokenAnswer
from fracture.core.files import file_hash
from fracture.core.types import HarmoniseConfig
from fracture.inference.batch import find_films, read_files
from fracture.inference.reader import Reader
from fracture.models import card as cards
from fracture.models.card import ModelCard
from fracture.models.network import check_numbers, network_tensor
from fracture.models.runtime import open_network
from fracture.models.scope import FLAG

SIDE, CELL = 64, 8
BACKENDS = ("openvino", "onnxruntime")


def bright_cells(path):
    """Write a network whose candidates are the cells of a grid, their scores the mean grey of each, 0 to 1."""
    onnx = pytest.importorskip("onnx")
    helper, numpy_helper = onnx.helper, onnx.numpy_helper
    centres = np.arange(CELL / 2, SIDE, CELL, dtype=np.float32)
    x, y = (axis.reshape(-1) for axis in np.meshgrid(centres, centres))
    boxes = np.stack([x, y, np.full_like(x, CELL), np.full_like(x, CELL)])[None]
    constants = {
        "boxes": boxes,
        "white": np.float32(255),
        "channels": np.array([1]),
        "row": np.array([1, 1, len(x)]),
    }
    nodes = [
        helper.make_node("ReduceMean", ["film", "channels"], ["grey"]),
        helper.make_node("AveragePool", ["grey"], ["cells"], kernel_shape=[CELL, CELL], strides=[CELL, CELL]),
        helper.make_node("Div", ["cells", "white"], ["shares"]),
        helper.make_node("Reshape", ["shares", "row"], ["scores"]),
        helper.make_node("Concat", ["boxes", "scores"], ["answer"], axis=1),
    ]
    kind = onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        nodes,
        "bright_cells",
        [helper.make_tensor_value_info("film", kind, [1, 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("answer", kind, [1, 5, len(x)])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())


@pytest.fixture
def bundle(tmp_path):
    folder = tmp_path / "bundle"
    folder.mkdir()
    bright_cells(folder / "model.onnx")
    files = {"model.onnx": file_hash(folder / "model.onnx")}
    plain = HarmoniseConfig(clahe_clip=0)
    card = ModelCard("bright cells", "1", ("bright",), SIDE, SIDE, 0.5, plain, files, pad_value=0, divisor=1.0)
    cards.save(card, folder)
    return folder


@pytest.fixture
def film(tmp_path):
    """Give a dark film of 64 x 32 px with one white cell, as a file: it is padded by 16 rows above and below."""
    grey = np.zeros((32, 64), np.uint8)
    grey[8:16, 24:32] = 255
    (tmp_path / "films").mkdir()
    file = tmp_path / "films/film.png"
    file.write_bytes(cv2.imencode(".png", grey)[1].tobytes())
    return file


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_network_of_another_kind_is_read_as_its_card_says(bundle, film, backend):
    found = Reader.load(bundle, backend).read(film.read_bytes()).detections
    assert found.score[0] == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(found.xyxy[0], [24, 8, 32, 16], atol=1e-4)
    assert len(found) == 1  # nothing of the padding, nor of the dark cells


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("changes", "scores"), [({"pad_value": 204}, [1, 0.8]), ({"divisor": 2.0}, [0.5])])
def test_padding_and_divisor_are_the_cards(bundle, film, backend, changes, scores):
    cards.save(replace(cards.load(bundle), **changes), bundle)
    found = Reader.load(bundle, backend).read(film.read_bytes()).detections
    np.testing.assert_allclose(found.score[: len(scores)], scores, atol=1e-5)


def test_many_films_and_one_are_fed_alike(bundle, film):
    cards.save(replace(cards.load(bundle), pad_value=204), bundle)
    reader = Reader.load(bundle)
    [read] = read_files(reader, find_films([film.parent]))
    one = reader.read(film.read_bytes())
    np.testing.assert_array_equal(read.answer.detections.xyxy, one.detections.xyxy)
    np.testing.assert_array_equal(read.answer.detections.score, one.detections.score)


def test_without_a_scope_row_no_film_is_outside(bundle, film):
    answer = Reader.load(bundle).read(film.read_bytes())
    assert FLAG not in answer.flags
    assert answer.film_score.made_by == "best box"


@pytest.mark.parametrize("backend", BACKENDS)
def test_answers_have_the_contracts_form(bundle, backend):
    answer = open_network(bundle / "model.onnx", backend, divisor=1.0)(np.full((SIDE, SIDE, 3), 51, np.uint8))
    assert (answer.shape, answer.dtype) == ((5, 64), np.float32)
    np.testing.assert_allclose(answer[4], 0.2, atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"pad_value": 256}, "pad_value: expected a grey of 0 to 255, got 256"),
        ({"pad_value": -1}, "pad_value: expected"),
        ({"divisor": 0.0}, "divisor: expected a number above 0"),
        ({"divisor": float("nan")}, "divisor: expected a number above 0"),
    ],
)
def test_a_card_that_cannot_be_fed_by_is_refused(bundle, changes, said):
    with pytest.raises(BadValue, match=said):
        replace(cards.load(bundle), **changes)


def test_the_tensor_is_the_pixels_divided():
    pixels = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    tensor = network_tensor(pixels, 2.0)
    assert (tensor.shape, tensor.dtype) == ((1, 3, 2, 3), np.float32)
    assert tensor[0, 2, 1, 0] == pixels[1, 0, 2] / 2


def test_an_answer_that_is_no_number_is_refused():
    with pytest.raises(BrokenAnswer, match="expected 2 finite numbers, got 1"):
        check_numbers(np.array([1.0, np.inf]))
