"""A bundle measured on films that are prepared otherwise takes that over, its scope and its thresholds with it."""

import shutil
from dataclasses import replace

import numpy as np
import pytest

from fracture.core.errors import BadValue
from fracture.core.files import file_hash
from fracture.core.types import HarmoniseConfig
from fracture.data import manifest
from fracture.data.yolo import load_dataset
from fracture.evaluation.cases import films_of
from fracture.inference.reader import Reader
from fracture.models import card as cards
from fracture.models import scope as scopes
from fracture.models.card import INT8
from fracture.models.detectors.yolov8.export import SCOPE_STAGE
from fracture.models.films import harmonise_config_of
from fracture.training.measure import _prepared_otherwise, measure

pytest.importorskip("onnx", reason="a scope is embedded with the full set of packages")
OTHERWISE = HarmoniseConfig(long_side_px=300, range_tail=None)


@pytest.fixture
def bundle(unscoped, tmp_path):
    """Give a bundle of the shipped network with a scope of noise, for films that are prepared in another way."""
    folder = tmp_path / "bundle"
    folder.mkdir()
    shutil.copy(unscoped, folder)
    [described] = scopes.describe(unscoped, [np.zeros((64, 64, 3), np.uint8)], SCOPE_STAGE)
    described = np.random.default_rng(0).random((40, len(described)))
    scopes.embed(folder / "model.onnx", scopes.fit(described, described, list(map(str, range(40))))[0], SCOPE_STAGE)
    files = {"model.onnx": file_hash(folder / "model.onnx")}
    card = cards.load(cards.SHIPPED)
    measured = card.measured | {"int8": {"shipped": False}}
    other = {"harmonise": OTHERWISE, "files": files, "measured": measured}
    cards.save(replace(card, operating_points=(), calibration=None, **other), folder)
    return folder


def test_the_card_takes_over_how_films_are_prepared(bundle, tiny_dataset):
    dataset = load_dataset(tiny_dataset)
    before = cards.load(bundle)
    card = measure(bundle, dataset.root)
    assert card.harmonise == harmonise_config_of(dataset) != OTHERWISE
    assert card == cards.load(bundle)
    assert card.files != before.files
    assert {point.name for point in card.operating_points} >= {"screening", "balanced"}
    assert card.measured["parity"] == before.measured["parity"]
    assert before.measured["int8"]
    assert "int8" not in card.measured, "what was measured of an 8-bit network was so on films as they were"
    records = manifest.load(dataset.root)
    assert card.measured["scope"]["train_films"] == len(films_of(records, "train"))
    reader = Reader.load(bundle)
    val = [reader.read((dataset.root / film.path).read_bytes()) for film in films_of(records, "val")]
    assert sum(scopes.FLAG in film.flags for film in val) == card.measured["scope"]["val_films_outside"]
    assert {file.name for file in bundle.iterdir()} == {"model.onnx", "card.json"}


def test_measured_as_they_were_nothing_but_the_points_changes(bundle, tiny_dataset):
    dataset = load_dataset(tiny_dataset)
    prepared = harmonise_config_of(dataset)
    cards.save(replace(cards.load(bundle), harmonise=prepared), bundle)
    before = cards.load(bundle)
    card = measure(bundle, dataset.root)
    assert card.operating_points
    assert card.files == before.files
    assert card.measured == {what: told for what, told in before.measured.items() if what != "test"}


def test_an_8_bit_network_is_not_carried_over_to_other_films(bundle, tiny_dataset):
    card = cards.load(bundle)
    for name in INT8:
        (bundle / name).write_bytes(b"small")
    cards.save(replace(card, files=card.files | {name: file_hash(bundle / name) for name in INT8}), bundle)
    reader = Reader(cards.load(bundle), Reader.load(bundle / "model.onnx").network, bundle)
    records = manifest.load(load_dataset(tiny_dataset).root)
    with pytest.raises(BadValue, match="without an 8-bit network"):
        _prepared_otherwise(reader, HarmoniseConfig(), load_dataset(tiny_dataset).root, records, bundle)
