"""Quantising the shipped network on phantom films: what stays in float, what is measured, when it ships."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from fracture.core.errors import BadValue, MissingData
from fracture.core.files import file_hash
from fracture.core.types import HarmoniseConfig
from fracture.data import manifest
from fracture.data.yolo import load_dataset
from fracture.evaluation.cases import films_of
from fracture.evaluation.predict import dataset_id
from fracture.imaging.decode import decode
from fracture.inference.reader import Reader
from fracture.models import card as cards
from fracture.models import scope as scopes
from fracture.models.card import INT8
from fracture.models.detectors.yolov8.export import SCOPE_STAGE
from fracture.models.quantise import quantise
from fracture.models.runtime import OpenVinoNetwork
from fracture.training import int8
from fracture.training.int8 import bundle_int8, calibration_films, times_as_fast
from fracture.training.measure import measured, val_cases, with_points

pytest.importorskip("nncf", reason="quantising needs the full set of packages")
ROOT = Path(__file__).parents[2]
ANY = {"most_drop": 1.0, "least_gain": 0.0}
SMALL = {"harmonise": HarmoniseConfig(long_side_px=256), "long_side_px": 256}
"""The phantom's films as they are: at the scale of the shipped network they would take four times as long."""


@pytest.fixture(scope="module")
def dataset(tiny_dataset):
    return load_dataset(tiny_dataset).root


@pytest.fixture
def bundle(unscoped, tmp_path):
    """Give a bundle of the shipped network that takes the phantom's films and names none as those it was made with."""
    folder = tmp_path / "bundle"
    folder.mkdir()
    shutil.copy(unscoped, folder)
    card = cards.load(cards.SHIPPED)
    files = {"model.onnx": file_hash(unscoped)}
    cards.save(replace(card, **SMALL, files=files, measured={"parity": 1}), folder)
    return folder


@pytest.fixture(scope="module")
def pixels(dataset):
    reader = Reader(replace(cards.load(cards.SHIPPED), **SMALL), None)
    films = films_of(manifest.load(dataset), "train")[:12]
    return [reader.prepare(decode((dataset / film.path).read_bytes())).pixels for film in films]


def test_the_scope_stays_in_float(pixels, unscoped, tmp_path):
    network = tmp_path / "model.onnx"
    shutil.copy(unscoped, network)
    described = np.array(list(scopes.describe(network, pixels, SCOPE_STAGE)))
    scopes.embed(network, scopes.fit(described, described, list(map(str, range(len(pixels)))))[0], SCOPE_STAGE)
    recipe = quantise(network, pixels, tmp_path / "small")
    assert "scope_.*" in recipe["in_float"]
    layers = ElementTree.parse(tmp_path / "small" / INT8[0]).getroot()
    names = {layer.get("id"): layer for layer in layers.iter("layer")}
    fed = [
        (names[edge.get("from-layer")].get("type"), names[edge.get("to-layer")].get("name"))
        for edge in layers.iter("edge")
        if names[edge.get("to-layer")].get("name").startswith("scope_")
    ]
    assert len(fed) > 10
    assert [name for kind, name in fed if kind == "FakeQuantize"] == []
    whole, small = OpenVinoNetwork(network), OpenVinoNetwork(tmp_path / "small" / INT8[0])
    far = [np.quantile([one(film)[5, 0] for film in pixels], 0.95) for one in (whole, small)]
    assert far[1] == pytest.approx(far[0], rel=0.02)
    assert abs(recipe["scope_grown"] - 1) > 0.02  # or nothing was made up for


@pytest.fixture(scope="module")
def quantised(pixels, tmp_path_factory):
    folder = tmp_path_factory.mktemp("quantised")
    return folder, quantise(cards.SHIPPED / "model.onnx", pixels, folder)


def test_it_answers_nearly_as_the_network_does_whatever_the_shape(quantised, pixels):
    folder, _ = quantised
    whole, small = OpenVinoNetwork(cards.SHIPPED / "model.onnx"), OpenVinoNetwork(folder / INT8[0])
    films = sorted(pixels, key=lambda film: whole(film)[4].max(), reverse=True)
    assert whole(films[0])[4].max() > 0.02  # or there are no scores to compare
    for shape in (lambda film: film, lambda film: film.transpose(1, 0, 2), lambda film: film[:192]):
        middle, largest = [], []
        for film in map(shape, films):
            expected, got = whole(film), small(film)
            assert got.shape == expected.shape
            best = expected[4].argsort()[-20:]
            gaps = np.abs(got[4] - expected[4])
            middle.append(np.median(gaps[best]))
            largest.append(gaps.max())
            assert 0 < np.median(np.abs(got[:4, best] - expected[:4, best])) < 3
        assert 0 < middle[0] < 0.05
        assert 0 < np.median(largest) < 0.1
        assert max(largest) < 0.25  # twelve films are few to find ranges on


def test_only_what_loses_more_than_it_gains_stays_in_float(quantised, pixels):
    import openvino

    folder, recipe = quantised
    model = openvino.Core().read_model(folder / INT8[0])
    convolutions = [one for one in model.get_ops() if one.get_type_name() == "Convolution"]
    # Weights in 8 bits are multiplied by their scale before they are used.
    in_float = {
        one.get_friendly_name() for one in convolutions if one.input_value(1).get_node().get_type_name() != "Multiply"
    }
    assert len(convolutions) == 64
    assert len(in_float) == 11
    assert sum("/cv3." in name for name in in_float) == 9
    assert {name for name in in_float if "/cv3." not in name} == {
        "/model.0/conv/Conv/WithoutBiases",
        "/model.22/dfl/conv/Conv",
    }
    weights = [one.data for one in model.get_ops() if one.get_type_name() == "Constant" and one.data.dtype == np.int8]
    assert len(weights) == 53
    assert max(int(np.abs(values.astype(int)).max()) for values in weights) <= 64  # 7 bits: no processor overflows
    # The file as it is, with its activations in two nodes, would be cut apart by twice as many.
    assert 53 < sum(one.get_type_name() == "FakeQuantize" for one in model.get_ops()) < 80
    assert recipe["films"] == len(pixels)
    assert recipe["preset"] == "mixed"
    assert recipe["tool"].startswith("nncf ")


def test_the_files_say_nothing_of_the_machine(quantised):
    folder, _ = quantised
    text = (folder / INT8[0]).read_text()
    assert str(ROOT) not in text
    assert "conversion_parameters" not in text
    assert sorted(file.name for file in folder.iterdir()) == sorted(INT8)
    assert (folder / INT8[1]).stat().st_size < 0.7 * (cards.SHIPPED / "model.onnx").stat().st_size


def test_quantising_phones_nobody(tmp_path, pixels):
    """Every connection is refused and noted, in children too; tools that report their use are not even imported."""
    np.save(tmp_path / "film.npy", pixels[0])
    code = (
        "import socket, sys, pathlib, numpy\n"
        "def refuse(*address, **_): open(sys.argv[2] + '/calls', 'a').write(repr(address)); raise OSError\n"
        "socket.getaddrinfo = refuse; socket.socket.connect = refuse\n"
        "from fracture.models.quantise import quantise\n"
        "quantise(pathlib.Path(sys.argv[1]), [numpy.load(sys.argv[2] + '/film.npy')], pathlib.Path(sys.argv[2]))\n"
        "assert not sys.modules['openvino_telemetry']"
    )
    subprocess.run([sys.executable, "-c", code, str(cards.SHIPPED / "model.onnx"), str(tmp_path)], check=True)
    assert not (tmp_path / "calls").exists()


def test_no_films_are_refused(tmp_path):
    with pytest.raises(BadValue, match="calibration films"):
        quantise(cards.SHIPPED / "model.onnx", [], tmp_path)


def test_a_network_of_another_make_is_refused(tmp_path, pixels):
    from onnx import TensorProto, helper, save

    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, (1, 3, "h", "w")) for name in ("in", "out")]
    graph = helper.make_graph([helper.make_node("Relu", ["in"], ["out"])], "other", ends[:1], ends[1:])
    save(helper.make_model(graph), tmp_path / "other.onnx")
    with pytest.raises(BadValue, match="Ultralytics"):
        quantise(tmp_path / "other.onnx", pixels, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_good_one_ships_and_the_card_is_measured_with_it(bundle, dataset, tmp_path):
    before = cards.load(bundle)
    card = bundle_int8(bundle, dataset, **ANY)
    assert cards.load(bundle) == card
    assert set(card.files) == {"model.onnx", *INT8}
    assert card.int8(bundle) == bundle / INT8[0]
    told = card.measured["int8"]
    assert card.measured["parity"] == before.measured["parity"]
    assert told["shipped"] is True
    assert told["ships_at"] == ANY
    assert told["recipe"]["films"] == len(calibration_films(manifest.load(dataset), {}))
    # All again by hand: what was read, what was measured, and whose the points are.
    answers = {}
    for name, file in (("float", "model.onnx"), ("int8", INT8[0])):
        reader = Reader(card, OpenVinoNetwork(bundle / file))
        answers[name] = val_cases(reader, dataset, tmp_path / name)
    assert told["films"] == len(answers["int8"].records)
    for name, cases in answers.items():
        assert told["map50"][name] == pytest.approx(ap50(cases), abs=0.02)
    apart = np.abs(answers["int8"].scores - answers["float"].scores).mean()
    assert told["mean_film_score_difference"] == pytest.approx(apart, abs=2e-4)
    assert 0 < apart < 0.05
    named = dataset_id(dataset)
    close = with_points(card, answers["int8"], named)
    for point, again in zip(card.operating_points, close.operating_points, strict=True):
        assert point.threshold == pytest.approx(again.threshold, abs=1e-5)
    assert card.operating_points != before.operating_points
    assert "val split" in told["measured_on"]


def ap50(cases):
    from fracture.metrics.detection import headline_ap, match

    boxed = cases.boxed
    return headline_ap(match(boxed.detections, boxed.boxes))[0]


@pytest.mark.long
def test_one_that_gains_too_little_does_not_ship_and_the_card_says_so(bundle, dataset):
    known = cards.load(bundle)
    card = bundle_int8(bundle, dataset, most_drop=1.0, least_gain=1e9)
    assert cards.load(bundle) == card
    assert card.measured["int8"]["shipped"] is False
    assert card.measured["int8"]["ships_at"] == {"most_drop": 1.0, "least_gain": 1e9}
    assert card == replace(known, measured=card.measured)  # points, too: they are to the digit what reports quote
    assert sorted(file.name for file in bundle.iterdir()) == [cards.NAME, "model.onnx"]


@pytest.mark.long
def test_one_that_lost_too_much_takes_back_the_one_that_shipped(bundle, dataset):
    for name in INT8:
        (bundle / name).write_bytes(b"one that shipped")
    known = cards.load(bundle)
    files = known.files | {name: file_hash(bundle / name) for name in INT8}
    cards.save(replace(known, files=files), bundle)
    card = bundle_int8(bundle, dataset, most_drop=-1.0, least_gain=0.0)
    assert card.measured["int8"]["shipped"] is False
    assert set(card.files) == {"model.onnx"}
    assert sorted(file.name for file in bundle.iterdir()) == [cards.NAME, "model.onnx"]
    whole = Reader(card, OpenVinoNetwork(bundle / "model.onnx"))
    again = measured(card, whole, dataset, bundle / "again").operating_points
    assert [p.threshold for p in card.operating_points] == pytest.approx([p.threshold for p in again], abs=1e-6)
    assert dataset_id(dataset) in card.operating_points[0].measured_on


def test_val_films_of_another_model_are_refused(bundle, dataset):
    records = manifest.load(dataset)
    cards.save_films({"x" + r.image_id: r.split for r in records}, {}, bundle)
    with pytest.raises(BadValue, match="val films"):
        bundle_int8(bundle, dataset)


def test_a_bundle_without_onnx_is_refused(bundle, dataset):
    content = json.loads((bundle / cards.NAME).read_text())
    (bundle / "other.bin").write_bytes(b"weights")
    content["files"] = {"other.bin": file_hash(bundle / "other.bin"), "model.onnx": "0"}
    (bundle / "model.onnx").unlink()
    (bundle / cards.NAME).write_text(json.dumps(content))
    with pytest.raises(MissingData, match=r"no \.onnx"):
        bundle_int8(bundle, dataset)


def test_calibration_takes_train_films_that_the_model_was_trained_with_of_both_kinds(dataset, monkeypatch):
    records = manifest.load(dataset)
    train = films_of(records, "train")
    chosen = calibration_films(records, {})
    assert chosen == calibration_films(records, {})
    assert {r.image_id for r in chosen} <= {r.image_id for r in train if r.fractured is not None}
    tested = next(r.image_id for r in chosen if r.fractured)
    assert tested not in {r.image_id for r in calibration_films(records, {tested: "test"})}
    monkeypatch.setattr(int8, "CALIBRATION_FILMS", 4)
    few = calibration_films(records, {})
    assert [r.fractured for r in few] == [True, True, False, False]


def test_how_many_times_as_fast_is_a_median_of_turns():
    class Slow:
        def __init__(self, *naps):
            self.naps = list(naps)

        def __call__(self, pixels):
            import time

            time.sleep(self.naps.pop(0))

    # Every film is read twice and the second time counts: 4, 2 and 1 times as fast.
    whole = Slow(0, 0.08, 0, 0.08, 0, 0.08)
    small = Slow(0, 0.02, 0, 0.04, 0.2, 0.08)
    assert times_as_fast(whole, small, [None] * 3) == pytest.approx(2, rel=0.2)


def test_the_door_refuses_what_is_no_bundle(tmp_path):
    command = [sys.executable, str(ROOT / "scripts/bundle.py"), "--int8", str(tmp_path), "--data-root", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "no card.json" in done.stderr


def test_a_network_with_a_part_missing_is_none(bundle):
    card = cards.load(bundle)
    assert card.int8(bundle) is None
    for name in INT8:
        (bundle / name).write_bytes(b"x")
    assert card.int8(bundle) is None  # files that the card does not name
    card = replace(card, files=card.files | dict.fromkeys(INT8, "0"))
    assert card.int8(bundle) == bundle / INT8[0]
    (bundle / INT8[1]).unlink()
    assert card.int8(bundle) is None
