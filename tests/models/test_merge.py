"""Networks in one file answer as they do alone, side by side, and are read as one."""

import shutil
from dataclasses import replace

import numpy as np
import pytest

from fracture.core.boxes import fuse
from fracture.core.errors import BadValue, MissingData
from fracture.core.types import Radiograph
from fracture.inference.reader import Reader
from fracture.models import card as cards
from fracture.models import scope as scopes
from fracture.models.detectors import table
from fracture.models.detectors.runs import (
    can_resume,
    checkpoints,
    epochs_run,
    finished_on,
    is_finished,
    members,
    run_config,
)
from fracture.models.detectors.train import train
from fracture.models.detectors.yolov8 import trainer
from fracture.models.detectors.yolov8.export import SCOPE_STAGE, TorchNetwork
from fracture.models.merge import merge
from fracture.models.network import detections_from
from fracture.models.runtime import OnnxNetwork, OpenVinoNetwork
from fracture.phantom import draw_film
from fracture.training.bundle import bundle

pytest.importorskip("ultralytics", reason="training needs the full set of packages")


def train_with(monkeypatch, training):
    row = replace(table.DETECTORS["yolov8"], train=training)
    monkeypatch.setattr(table, "DETECTORS", {"yolov8": row})


@pytest.fixture(scope="module")
def pair(tiny_run, tmp_path_factory):
    """Give the folder of a run of two members, each of one epoch, and its bundle's card."""
    runs = tmp_path_factory.mktemp("pair")
    config = replace(run_config(tiny_run), runs=str(runs), name="pair", members=2, seed=4)
    train(config)
    return config.folder, bundle(config.folder)


@pytest.fixture(scope="module")
def film():
    pixels = draw_film(np.random.default_rng(3), fractured=True)[0]
    return Radiograph(np.asarray(pixels, np.float32) / np.float32(255))


def test_members_differ_in_their_seed_alone(pair):
    folder, _ = pair
    one, two = (run_config(member) for member in members(folder))
    assert (one.seed, two.seed) == (4, 5)
    assert replace(one, seed=0, name="") == replace(two, seed=0, name="")
    assert epochs_run(folder) == 2
    assert is_finished(folder)
    assert finished_on(folder) == finished_on(folder / "member1")
    assert (folder / "member1/weights/best.pt").read_bytes() != (folder / "member2/weights/best.pt").read_bytes()


def test_the_bundle_is_one_network_that_answers_as_its_members_do(pair, film):
    folder, card = pair
    assert card.members == 2
    assert set(card.files) == {"model.onnx", "films.csv", "member1/weights/best.pt", "member2/weights/best.pt"}
    assert card.measured["parity"]["least_iou"] >= 0.99
    reader = Reader.load(folder)
    prepared = reader.prepare(film)
    alone = [TorchNetwork(checkpoint)(prepared.pixels) for checkpoint in checkpoints(folder)]
    for kind in (OnnxNetwork, OpenVinoNetwork):
        answer = kind(folder / "model.onnx")(prepared.pixels)
        assert answer.shape == (6, 2 * alone[0].shape[1])
        np.testing.assert_allclose(answer[:5], np.hstack(alone), atol=0.5)
    fused = fuse([detections_from(raw, prepared, card.nms_iou) for raw in alone])
    told = reader.read_film(film).detections
    assert len(told) == min(len(fused), 300)
    np.testing.assert_allclose(told.score[:5], fused.score[:5], atol=0.005)


def test_a_run_killed_between_members_goes_on_with_the_next(tiny_run, tmp_path, monkeypatch):
    config = replace(run_config(tiny_run), runs=str(tmp_path), name="pair", members=2)
    train_one, trained = trainer.train, []

    def killed(its, *args, **kwargs):
        if its.name.endswith("member2"):
            raise KeyboardInterrupt
        train_one(its, *args, **kwargs)

    train_with(monkeypatch, killed)
    with pytest.raises(KeyboardInterrupt):
        train(config)
    assert can_resume(config.folder)
    assert not is_finished(config.folder)
    with pytest.raises(MissingData, match=r"member2.*finished an epoch"):
        checkpoints(config.folder)
    with pytest.raises(BadValue, match="holds a run already"):
        train(config)
    monkeypatch.setattr(
        table,
        "DETECTORS",
        {
            "yolov8": replace(
                table.DETECTORS["yolov8"], train=lambda its, *_, **how: trained.append((its.name, its.seed, how))
            )
        },
    )
    with pytest.raises(MissingData):
        train(replace(config, members=1), resume=True)  # what was begun counts, not what is asked for now
    assert trained == [("pair/member2", 1, {"resume": False})]


def test_what_is_asked_for_now_counts_where_nothing_was_learnt_yet(tiny_run, tmp_path, monkeypatch):
    config = replace(run_config(tiny_run), runs=str(tmp_path), name="pair", members=3)
    names = []
    monkeypatch.setattr(
        table,
        "DETECTORS",
        {"yolov8": replace(table.DETECTORS["yolov8"], train=lambda its, *_, **__: names.append(its.name))},
    )
    for asked in (config, replace(config, members=1)):
        with pytest.raises(MissingData):
            train(asked)
    assert names == ["pair/member1", "pair/member2", "pair/member3", "pair"]


def test_hours_are_for_all_members(tiny_run, tmp_path, monkeypatch):
    config = replace(run_config(tiny_run), runs=str(tmp_path), name="three", members=3, hours=1.5)
    hours = []
    monkeypatch.setattr(
        table,
        "DETECTORS",
        {"yolov8": replace(table.DETECTORS["yolov8"], train=lambda its, *_, **__: hours.append(its.hours))},
    )
    with pytest.raises(MissingData):
        train(config)
    assert hours == [0.5] * 3


def test_networks_side_by_side_keep_their_answers(unscoped, tmp_path, film):
    """Three of the shipped network, the second's boxes moved: each answers in its place, whatever the shape."""
    import onnx
    from onnx import numpy_helper

    moved = tmp_path / "moved.onnx"
    model = onnx.load(str(unscoped))
    bias = next(one for one in model.graph.initializer if one.name.endswith("cv3.0.2.bias"))
    bias.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(bias) + np.float32(6), bias.name))
    onnx.save(model, str(moved))
    merged = merge([unscoped, moved, unscoped], tmp_path / "merged.onnx")
    pixels = Reader.load().prepare(film).pixels
    for shaped in (pixels, pixels[:192]):
        alone = [OnnxNetwork(file)(shaped) for file in (unscoped, moved)]
        assert np.abs(alone[0] - alone[1]).max() > 0.01
        for kind in (OnnxNetwork, OpenVinoNetwork):
            np.testing.assert_allclose(
                kind(merged)(shaped), np.hstack([alone[0], alone[1], alone[0]]), rtol=1e-3, atol=1e-2
            )


def test_a_scope_is_the_first_members(unscoped, tmp_path, film):
    merged = merge([unscoped, unscoped], tmp_path / "merged.onnx")
    pixels = Reader.load().prepare(film).pixels
    [alone], [together] = (list(scopes.describe(file, [pixels], SCOPE_STAGE)) for file in (unscoped, merged))
    np.testing.assert_allclose(together, alone, rtol=1e-4)
    shutil.copy(merged, tmp_path / "scoped.onnx")
    scope, _ = scopes.fit(np.stack([alone, alone + 1]), alone[None], ["a", "b"])
    scopes.embed(tmp_path / "scoped.onnx", scope, SCOPE_STAGE)
    assert OnnxNetwork(tmp_path / "scoped.onnx")(pixels).shape == (6, OnnxNetwork(merged)(pixels).shape[1])


def test_a_card_of_no_members_is_refused():
    with pytest.raises(BadValue, match="members: expected 1 or more"):
        replace(cards.load(cards.SHIPPED), members=0)
