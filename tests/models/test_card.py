"""The card travels with the weights and vouches for them."""

import hashlib
import json
import os
from dataclasses import replace

import pytest

from fracture.core.errors import BadValue, MissingData
from fracture.core.files import file_hash
from fracture.core.types import HarmoniseConfig, OperatingPoint
from fracture.models import card as cards
from fracture.models.card import ModelCard
from tests.wilson import wilson


@pytest.fixture
def bundle(tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"weights")
    point = OperatingPoint("balanced", 0.25, "largest Youden index", wilson(9, 10), wilson(0, 0), "val")
    card = ModelCard(
        "m",
        "1",
        ("fracture",),
        448,
        32,
        0.5,
        HarmoniseConfig(),
        {"model.onnx": file_hash(tmp_path / "model.onnx")},
        (point,),
    )
    cards.save(card, tmp_path)
    return tmp_path, card


def test_what_is_saved_is_loaded(bundle):
    folder, card = bundle
    assert cards.load(folder) == card


def test_changed_weights_are_refused(bundle):
    folder, _ = bundle
    (folder / "model.onnx").write_bytes(b"other")
    with pytest.raises(BadValue, match="the file was changed"):
        cards.load(folder)


def test_missing_weights_are_named(bundle):
    folder, _ = bundle
    (folder / "model.onnx").unlink()
    with pytest.raises(MissingData, match=r"model\.onnx"):
        cards.load(folder)


def test_an_unknown_mode_lists_the_measured_ones(bundle):
    _, card = bundle
    with pytest.raises(BadValue, match="balanced"):
        card.operating_point("reckless")
    with pytest.raises(BadValue, match="not measured"):
        replace(card, operating_points=()).operating_point("balanced")


def test_a_card_of_another_version_is_refused(bundle):
    folder, _ = bundle
    content = json.loads((folder / cards.NAME).read_text())
    (folder / cards.NAME).write_text(json.dumps(content | {"schema": 99}))
    with pytest.raises(BadValue, match="schema"):
        cards.load(folder)


def test_the_card_is_found_from_a_run_its_weights_and_a_file_beside_it(bundle):
    folder, _ = bundle
    (folder / "weights").mkdir()
    (folder / "weights/best.pt").write_bytes(b"x")
    assert cards.find(folder) == cards.find(folder / "model.onnx") == cards.find(folder / "weights/best.pt") == folder
    with pytest.raises(MissingData, match="no card"):
        cards.find(folder.parent)


def test_an_input_scale_off_the_stride_is_refused(bundle):
    with pytest.raises(BadValue, match="stride"):
        replace(bundle[1], long_side_px=450)


def test_the_shipped_model_is_whole_and_measured():
    card = cards.load(cards.SHIPPED)
    assert sum((cards.SHIPPED / name).stat().st_size for name in ("model.onnx", "card.json")) < 60e6
    assert {point.name for point in card.operating_points} == {"screening", "balanced", "specific"}
    assert all(point.sensitivity.n >= 20 and point.specificity.n >= 20 for point in card.operating_points)
    assert card.measured["parity"]["least_iou"] >= 0.95
    assert card.measured["parity"]["largest_score_difference"] <= 0.01
    films = cards.films(cards.SHIPPED)
    assert set(films.values()) == {"train", "val", "test"}
    assert len(films) == 4778


def make(folder, card, then=lambda: None):
    """Make another bundle in the place of the one in ``folder``."""
    with cards.renewed(folder) as made:
        (made / "model.onnx").write_bytes(b"other")
        (made / cards.FILMS).write_text("image_id,split\n")
        cards.save(card, made)
        then()


def test_a_bundle_takes_its_place_whole_or_not_at_all(bundle):
    folder, card = bundle
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    with pytest.raises(ZeroDivisionError):
        make(folder, card, lambda: 1 / 0)
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before
    assert cards.load(folder) == card


@pytest.mark.parametrize("renames", range(5))
def test_a_kill_between_two_renames_is_made_good(bundle, renames, monkeypatch):
    folder, card = bundle
    real, done = os.replace, []

    def until_killed(source, target):
        if len(done) == renames:
            raise KeyboardInterrupt
        done.append(real(source, target))

    other = replace(card, files={"model.onnx": hashlib.sha256(b"other").hexdigest()})
    if renames < 4:
        with pytest.raises(KeyboardInterrupt):
            make(folder, other, lambda: monkeypatch.setattr(os, "replace", until_killed))
    monkeypatch.undo()
    assert cards.load(folder) == (other if 0 < renames < 4 else card)
    make(folder, other)
    assert cards.load(folder) == other
    assert not [file for file in folder.iterdir() if file.is_dir()]


def test_the_shipped_card_says_what_its_modes_do_on_test_and_nothing_of_other_thresholds():
    card = cards.load(cards.SHIPPED)
    for point in card.operating_points:
        films, sensitivity, specificity = card.on_test(point)
        assert "test" in films
        assert sensitivity.n > 100
        assert specificity.n > 100
        assert card.on_test(replace(point, threshold=point.threshold / 2)) is None


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"stride": 0}, "stride: expected"),
        ({"stride": -32}, "stride: expected"),
        ({"stride": 32.0}, "stride: expected"),
        ({"long_side_px": "448"}, "long_side_px: expected"),
        ({"nms_iou": "0.5"}, "nms_iou: expected a number of 0 to 1, got '0.5'"),
        ({"nms_iou": 7}, "nms_iou: expected"),
        ({"nms_iou": -1}, "nms_iou: expected"),
        ({"nms_iou": True}, "nms_iou: expected"),
        ({"members": 1.5}, "members: expected 1 or more, a whole number, got 1.5"),
        ({"pad_value": 114.5}, "pad_value: expected"),
        ({"divisor": "255"}, "divisor: expected"),
        ({"classes": "fracture"}, "classes: expected a list of names"),
        ({"classes": []}, "classes: expected"),
        ({"classes": [1]}, "classes: expected"),
        ({"classes": ["fracture", "fracture"]}, "classes: expected"),
        ({"measured": []}, "measured: expected"),
        ({"files": []}, "files: expected"),
        ({"film_score": "classifier"}, "film_score: expected 'best box', got 'classifier'"),
        ({"harmonise": []}, "is not a model card"),
        ({"operating_points": [7]}, "is not a model card"),
    ],
    ids=str,
)
def test_a_card_with_a_field_of_another_kind_is_refused(bundle, wrong, said):
    folder, _ = bundle
    content = json.loads((folder / cards.NAME).read_text())
    (folder / cards.NAME).write_text(json.dumps(content | wrong))
    with pytest.raises(BadValue, match=said):
        cards.load(folder)


def test_a_card_that_is_no_object_is_refused(bundle):
    folder, _ = bundle
    (folder / cards.NAME).write_text("[1]")
    with pytest.raises(BadValue, match="is not a model card"):
        cards.load(folder)
