"""Films of the kind a network was made with lie inside its scope; noise, pages, gradients and negatives do not."""

import shutil
from dataclasses import replace

import cv2
import numpy as np
import pytest

from fracture.core.errors import BadValue
from fracture.core.files import file_hash
from fracture.core.types import Radiograph
from fracture.inference.reader import Reader
from fracture.models import scope as scopes
from fracture.models.detectors.yolov8.export import SCOPE_STAGE
from fracture.models.network import network_tensor
from fracture.models.runtime import OnnxNetwork, OpenVinoNetwork
from fracture.phantom import draw_film
from fracture.predictions.jsonl import warnings_for

pytest.importorskip("onnx", reason="a scope is embedded with the full set of packages")


def radiograph(grey):
    return Radiograph(np.asarray(grey, np.float32) / np.float32(255))


def phantom(seed):
    return draw_film(np.random.default_rng(seed), fractured=bool(seed % 2))[0]


def strange():
    rng = np.random.default_rng(0)
    page = np.full((454, 373), 255, np.uint8)
    for row in range(20):
        cv2.putText(page, "Dear colleague, thank you", (10, 20 + 22 * row), 0, 0.6, 0)
    return {
        "noise": rng.integers(0, 256, (454, 373), np.uint8),
        "page": page,
        "gradient": np.tile(np.linspace(0, 255, 373), (454, 1)),
        "black": np.zeros((454, 373), np.uint8),
        "negative": 255 - phantom(1000),
        "blurred": cv2.GaussianBlur(phantom(1001), (0, 0), 9),
    }


@pytest.fixture(scope="module")
def shipped():
    return Reader.load()


@pytest.fixture(scope="module")
def known(shipped, unscoped, tmp_path_factory):
    """Give the shipped network with a scope of phantoms, and that scope."""
    network = tmp_path_factory.mktemp("scope") / "model.onnx"
    shutil.copy(unscoped, network)
    pixels = (shipped.prepare(radiograph(phantom(seed))).pixels for seed in range(220))
    described = np.array(list(scopes.describe(network, pixels, SCOPE_STAGE)))
    scope, _ = scopes.fit(described[:180], described[180:], list(map(str, range(180))), share=0.05)
    scopes.embed(network, scope, SCOPE_STAGE)
    return network, scope


def reader(shipped, network):
    files = shipped.card.files | {"model.onnx": file_hash(network)}
    return Reader(replace(shipped.card, files=files), OpenVinoNetwork(network))


def test_films_of_the_kind_lie_inside(shipped, known):
    here = reader(shipped, known[0])
    outside = [scopes.FLAG in here.read_film(radiograph(phantom(seed))).flags for seed in range(300, 340)]
    assert np.mean(outside) <= 0.2


@pytest.mark.parametrize("name", strange())
def test_other_pictures_lie_outside(shipped, known, name):
    flags = reader(shipped, known[0]).read_film(radiograph(strange()[name])).flags
    assert flags == {scopes.FLAG}
    assert warnings_for(flags)[0].startswith("Outside the intended use")


def test_the_row_is_the_distance_and_the_boxes_stay_as_they_are(shipped, known, unscoped):
    network, scope = known
    plain = unscoped
    for pixels in (
        shipped.prepare(radiograph(grey)).pixels for grey in (phantom(7), phantom(8)[:300], strange()["page"])
    ):
        [description] = scopes.describe(plain, [pixels], SCOPE_STAGE)
        for kind in (OnnxNetwork, OpenVinoNetwork):
            bare, told = kind(plain)(pixels), kind(network)(pixels)
            assert told.shape == (6, bare.shape[1])
            np.testing.assert_allclose(told[:5], bare, atol=1e-3)
            np.testing.assert_allclose(told[5], scope.distances(description[None])[0], rtol=1e-3)


def test_a_description_is_mean_and_spread_of_channels(shipped, unscoped):
    import onnx
    import onnxruntime

    pixels = shipped.prepare(radiograph(phantom(5))).pixels
    [description] = scopes.describe(unscoped, [pixels], SCOPE_STAGE)
    model = onnx.load(unscoped)
    model.graph.output.append(onnx.helper.make_empty_tensor_value_info(SCOPE_STAGE))
    session = onnxruntime.InferenceSession(model.SerializeToString())
    [stage] = session.run([SCOPE_STAGE], {"images": network_tensor(pixels)})[0]
    assert stage.shape == (128, pixels.shape[0] // 8, pixels.shape[1] // 8)
    expected = [*stage.mean(axis=(1, 2)), *stage.std(axis=(1, 2))]
    np.testing.assert_allclose(description, expected, atol=1e-3)


def test_a_second_scope_takes_the_place_of_the_first(shipped, known, unscoped, tmp_path):
    network, scope = known
    again = tmp_path / "again.onnx"
    shutil.copy(network, again)
    pixels = shipped.prepare(radiograph(phantom(400))).pixels
    [described] = scopes.describe(again, [pixels], SCOPE_STAGE)
    np.testing.assert_allclose(described, next(iter(scopes.describe(unscoped, [pixels], SCOPE_STAGE))), rtol=1e-5)
    other = scopes.Scope(scope.centre + 0.5, scope.whiten, 2 * scope.limit)
    scopes.embed(again, other, SCOPE_STAGE)
    before, after = (OnnxNetwork(file)(pixels) for file in (network, again))
    assert before.shape == after.shape
    np.testing.assert_array_equal(before[:5], after[:5])
    np.testing.assert_allclose(after[5], other.distances(described[None])[0], rtol=1e-3)


def test_a_network_of_other_names_is_refused(tmp_path):
    from onnx import TensorProto, helper, save

    one = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("in", "out")]
    graph = helper.make_graph([helper.make_node("Relu", ["in"], ["out"])], "other", one[:1], one[1:])
    save(helper.make_model(graph), str(tmp_path / "other.onnx"))
    with pytest.raises(BadValue, match="stage that its detector names"):
        list(scopes.describe(tmp_path / "other.onnx", [], SCOPE_STAGE))


def test_the_limit_is_what_a_share_of_unseen_films_exceeds():
    """A train film is judged by what was learnt from others: in many dimensions its own kind lies further off."""
    rng = np.random.default_rng(0)
    mix = rng.normal(size=(80, 80))
    train, val, test = (rng.normal(size=(n, 80)) @ mix for n in (400, 100, 4000))
    scope, unseen = scopes.fit(train, val, list(map(str, range(400))), share=0.05)
    assert len(unseen) == 500
    np.testing.assert_allclose(unseen[-100:], scope.distances(val))
    assert np.mean(unseen > 1) == pytest.approx(0.05, abs=0.003)
    assert np.mean(scope.distances(train) > 1) < 0.02
    assert np.mean(scope.distances(test) > 1) == pytest.approx(0.05, abs=0.025)


def test_films_of_a_group_are_judged_by_other_groups():
    """Twelve films of one strange patient would vouch for each other."""
    rng = np.random.default_rng(0)
    train = np.vstack([rng.normal(size=(400, 3)), 40 + rng.normal(size=(12, 3))])
    own = [str(i) for i in range(400)]
    val = train[:100]
    together, apart = ([*own, *twelve] for twelve in (["one"] * 12, [f"of {i}" for i in range(12)]))
    far, near = (scopes.fit(train, val, groups, share=0.05)[1].max() for groups in (together, apart))
    assert far > 4 * near


def test_a_distance_is_mahalanobis():
    """Of columns that do not go together, the distance is that of z-scores."""
    rng = np.random.default_rng(1)
    train = rng.normal(size=(50_000, 2)) * (4.0, 0.5) + (1.0, 2.0)
    scope = replace(scopes.fit(train, train[:10], list(map(str, range(50_000))))[0], limit=1.0)
    distances = scope.distances(np.array([[1, 2], [5, 2], [1, 2.5], [5, 2.5]]))
    np.testing.assert_allclose(distances, [0, 1, 1, 2**0.5], atol=0.03)


def test_too_few_films_are_refused():
    with pytest.raises(BadValue, match="got 1 and 3"):
        scopes.fit(np.zeros((1, 4)), np.zeros((3, 4)), ["a"])
    with pytest.raises(BadValue, match="got 5 and 0"):
        scopes.fit(np.zeros((5, 4)), np.zeros((0, 4)), list("abcde"))
