"""One way in for every kind of predictions."""

import hashlib
import json
import subprocess

import pytest

from fracture.core.errors import BadValue, MissingData
from fracture.core.types import Refusal
from fracture.predictions import FORMATS, load_predictions
from fracture.predictions.jsonl import line


@pytest.fixture
def three(tmp_path):
    """Give the same box on the same film in every format."""
    answer = {"path": "a__one.png", "image_size": [200, 100], "model": "m", "harmonise_id": "h1-x", "flags": []}
    box = {"bbox_xyxy": [20, 20, 40, 60], "confidence": 0.5, "class": "fracture"}
    (tmp_path / "p.jsonl").write_text(json.dumps(answer | {"detections": [box]}))
    row = {"image_id": "a__one", "category_id": 1, "bbox": [20, 20, 20, 40], "score": 0.5}
    (tmp_path / "p.json").write_text(json.dumps([row]))
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "a__one.txt").write_text("0 .15 .4 .1 .4 .5")
    return {"jsonl": tmp_path / "p.jsonl", "coco": tmp_path / "p.json", "yolo": tmp_path / "p"}


def test_the_format_is_told_from_the_path_and_the_answer_is_one(three, records):
    assert list(three) == list(FORMATS)
    for name, path in three.items():
        for loaded in (load_predictions(path, records), load_predictions(path, records, name)):
            assert loaded.format == name
            answer = loaded.answers["a/one"]
            assert answer.film_px == (200, 100)
            assert answer.detections.xyxy.round(9).tolist() == [[20, 20, 40, 60]]
            assert (answer.detections.score.tolist(), answer.detections.label.tolist()) == ([0.5], [0])


def test_a_file_of_any_name_is_read_where_its_format_is_named(three, records):
    other = three["coco"].rename(three["coco"].with_name("results.txt"))
    assert len(load_predictions(other, records, "coco").answers["a/one"].detections) == 1
    with pytest.raises(BadValue, match=r"format: expected a folder, .jsonl or .json, or one of jsonl, coco, yolo"):
        load_predictions(other, records)


def test_what_is_there_is_named_by_its_bytes(three, records, tmp_path):
    """The file's own hash, or what sha256sum makes of a folder, which any change in it changes."""
    file = three["coco"]
    assert load_predictions(file, records).sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    (three["yolo"] / "b__one.txt").write_text("")
    command = "LC_ALL=C sha256sum *.txt | sha256sum"
    printed = subprocess.run(["bash", "-c", command], cwd=three["yolo"], capture_output=True, text=True, check=True)
    assert load_predictions(three["yolo"], records).sha256 == printed.stdout.split()[0]


def test_wrong_paths_and_formats_are_refused(three, records, tmp_path):
    with pytest.raises(MissingData, match="no such file or folder"):
        load_predictions(tmp_path / "gone.json", records)
    with pytest.raises(BadValue, match="format: expected jsonl, coco, yolo, got 'voc'"):
        load_predictions(three["coco"], records, "voc")
    for path, name in ((three["yolo"], "coco"), (three["coco"], "yolo")):
        with pytest.raises(BadValue, match="expected a folder for yolo, a file for any other format"):
            load_predictions(path, records, name)


def test_refusals_stay_refusals_whatever_category_is_chosen(three, records):
    text = three["jsonl"].read_text() + "\n" + line("a__two.png", Refusal("no_pixels", "a report"), ("fracture",))
    metal = json.loads(three["jsonl"].read_text()) | {"path": "b__one.png"}
    metal["detections"] = [metal["detections"][0] | {"class": "metal"}]
    three["jsonl"].write_text(text + "\n" + json.dumps(metal))
    loaded = load_predictions(three["jsonl"], records, category="fracture")
    assert loaded.answers["a/two"] == Refusal("no_pixels", "a report")
    assert [len(loaded.answers[image_id].detections) for image_id in ("a/one", "b/one")] == [1, 0]
    assert loaded.other_rows == 1
