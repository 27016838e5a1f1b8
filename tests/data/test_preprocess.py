"""A harmonised stage holds what harmonise gives for each film, and its boxes moved along."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from fracture.core.types import HarmoniseConfig, ImageRecord
from fracture.data import manifest
from fracture.data.preprocess import preprocess
from fracture.imaging.decode import decode
from fracture.imaging.harmonise import harmonise

SMALL = HarmoniseConfig(long_side_px=227)


def save(path, size_px, seed=0):
    width, height = size_px
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (height, width)).astype(np.uint8)).save(path)


@pytest.fixture
def stage(tmp_path):
    """Write a stage of one film of 454 x 300 px with a box at its corner, one undrawn, one set aside."""
    boxes = ((0.0, 0.0, 100.0, 60.0), (400.0, 250.0, 454.0, 300.0))
    records = [
        ImageRecord("s/1", "images/1.png", "s", (454, 300), boxes=boxes, fractured=True, attributes={"age": "7"}),
        ImageRecord("s/2", "images/2.png", "s", (100, 90), boxes=None),
        ImageRecord("s/3", "images/3.png", "s", (0, 0), split="set_aside", attributes={"reason": "no film on disk"}),
    ]
    for record in records[:2]:
        save(tmp_path / "stage" / record.path, record.size_px)
    manifest.save(records, tmp_path / "stage")
    return tmp_path / "stage"


def films(records):
    return {record.image_id: record for record in records}


def test_boxes_move_with_the_pixels(stage, tmp_path):
    film = films(preprocess(stage, tmp_path / "out", SMALL, workers=1))["s/1"]
    assert film.size_px == (227, 150)
    np.testing.assert_allclose(film.boxes, [[0, 0, 50, 30], [200, 125, 227, 150]])
    label = (tmp_path / "out/labels/s__1.txt").read_text(encoding="utf-8").splitlines()
    assert [float(value) for value in label[0].split()] == pytest.approx([0, 25 / 227, 0.1, 50 / 227, 0.2], abs=1e-6)


def test_films_hold_what_harmonise_gives(stage, tmp_path):
    film = films(preprocess(stage, tmp_path / "out", SMALL, workers=1))["s/1"]
    written = decode((tmp_path / "out" / film.path).read_bytes())
    expected = harmonise(decode((stage / "images/1.png").read_bytes()), SMALL)
    np.testing.assert_array_equal(np.rint(written.pixels * 255), expected.pixels)
    assert written.harmonise_id == film.attributes["harmonise_id"] == SMALL.harmonise_id
    assert json.loads(film.attributes["harmonise_config"])["long_side_px"] == 227
    assert (film.attributes["original_px"], film.attributes["age"]) == ("454x300", "7")


def test_what_nobody_drew_stays_undrawn(stage, tmp_path):
    assert films(preprocess(stage, tmp_path / "out", SMALL, workers=1))["s/2"].boxes is None


def test_what_was_set_aside_stays_so(stage, tmp_path):
    records = preprocess(stage, tmp_path / "out", SMALL, workers=1)
    assert records == manifest.load(tmp_path / "out")
    assert films(records)["s/3"] == films(manifest.load(stage))["s/3"]
    account = json.loads((tmp_path / "out/report.json").read_text(encoding="utf-8"))
    assert (account["films"], account["kept"]) == (3, 2)
    assert account["set_aside"] == {"s/3": "no film on disk"}
    assert account["harmonise_id"] == SMALL.harmonise_id


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda path: path.unlink(), "No such file"),
        (lambda path: path.write_bytes(b""), "empty file"),
        (lambda path: save(path, (200, 100)), "(200, 100) px"),
    ],
)
def test_a_film_that_is_not_what_the_manifest_says_is_set_aside(stage, tmp_path, spoil, reason):
    spoil(stage / "images/1.png")
    film = films(preprocess(stage, tmp_path / "out", SMALL, workers=1))["s/1"]
    assert film.split == "set_aside"
    assert reason in film.attributes["reason"]


def test_a_film_that_changed_is_done_again(stage, tmp_path):
    out = tmp_path / "out"
    preprocess(stage, out, SMALL, workers=1)
    before = {path.name: path.read_bytes() for path in out.glob("images/*")}
    save(stage / "images/1.png", (454, 300), seed=1)
    preprocess(stage, out, SMALL, workers=1)
    after = {path.name: path.read_bytes() for path in out.glob("images/*")}
    assert [name for name in before if before[name] != after[name]] == ["s__1.png"]


def test_a_harmonised_stage_harmonised_again_is_the_same(stage, tmp_path):
    preprocess(stage, tmp_path / "once", SMALL, workers=1)
    preprocess(tmp_path / "once", tmp_path / "twice", SMALL, workers=1)
    for name in ("s__1.png", "s__2.png"):
        assert (tmp_path / "once/images" / name).read_bytes() == (tmp_path / "twice/images" / name).read_bytes()


def test_a_stage_harmonised_otherwise_is_set_aside_not_spoilt(stage, tmp_path):
    preprocess(stage, tmp_path / "once", SMALL, workers=1)
    records = preprocess(tmp_path / "once", tmp_path / "twice", HarmoniseConfig(), workers=1)
    assert {record.split for record in records} == {"set_aside"}
    assert SMALL.harmonise_id in films(records)["s/1"].attributes["reason"]


def test_the_phantom_boxes_still_lie_on_the_fractures(phantom_stages, tmp_path):
    ingested, _, _ = phantom_stages
    kept = {record.image_id: record for record in manifest.load(ingested)}
    for film in preprocess(ingested, tmp_path, SMALL, workers=2):
        if film.split == "set_aside":
            continue
        before, scale = kept[film.image_id], 227 / 454
        assert max(film.size_px) == 227
        np.testing.assert_allclose(
            np.array(film.boxes).reshape(-1, 4), np.array(before.boxes).reshape(-1, 4) * scale, atol=0.5
        )


def test_a_stage_may_be_moved(stage, tmp_path):
    preprocess(stage, tmp_path / "out", SMALL, workers=1)
    moved = shutil.move(tmp_path / "out", tmp_path / "elsewhere")
    for record in manifest.load(moved):
        assert record.split == "set_aside" or (moved / record.path).is_file()
