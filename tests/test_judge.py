"""The judge: thresholds from validation, nothing unlabelled counted, slices that say when they cannot answer."""

import json
from dataclasses import replace

import numpy as np
import pytest

from fracture.data import manifest
from fracture.data.phantom import draw_film
from fracture.data.yolo import load_dataset
from fracture.errors import BadValue, MissingData
from fracture.imaging.harmonise import encode_png, harmonise
from fracture.models.card import ModelCard
from fracture.pipeline import evaluate_split
from fracture.reader import Reader
from fracture.report.evaluation import choose_points, dataset_id, read_split, table
from fracture.types import HarmoniseConfig, ImageRecord, Radiograph

CONFIG = HarmoniseConfig(clahe_clip=0)
CARD = ModelCard("scripted", "1", ("fracture",), 448, 32, 0.5, CONFIG, {"model.onnx": ""})


class Corner:
    """Answers with one box whose score is written into the film's top left pixel."""

    name = "scripted"

    def __call__(self, pixels):
        top, left = np.argwhere(pixels[:, :, 0] != 114)[0]
        score = pixels[top, left, 0] / 255
        return np.array([[200.0], [200.0], [50.0], [50.0], [score]], dtype=np.float32)


@pytest.fixture
def dataset(tmp_path):
    """Eight films a split, 400 x 400 so that the network's pixels are 448 / 400 of the film's; scores by hand."""
    box = tuple(edge * 400 / 448 for edge in (175.0, 175.0, 225.0, 225.0))
    scores = {
        "val": [(200, True), (180, True), (160, True), (60, True), (140, False), (40, False), (30, False), (20, False)],
        "test": [(210, True), (145, True), (90, True), (50, True), (190, False), (70, False), (25, False), (10, None)],
    }
    records = []
    for split, films in scores.items():
        for number, (score, truth) in enumerate(films):
            pixels, _ = draw_film(np.random.default_rng(number), (400, 400), fractured=False)
            pixels[:8, :8] = score
            film = harmonise(Radiograph((pixels / 255).astype(np.float32)), CONFIG)
            path = f"images/{split}/{number}.png"
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_bytes(encode_png(film))
            region = frozenset({"hip" if number == 0 else "leg"})
            boxes = (box,) if truth else ()
            records.append(
                ImageRecord(
                    f"t/{split}{number}", path, "t", (400, 400), region, fractured=truth, boxes=boxes, split=split
                )
            )
    manifest.save(records, tmp_path)
    yaml = tmp_path / "dataset.yaml"
    yaml.write_text("path: .\ntrain: images/val\nval: images/val\ntest: images/test\nnames: [fracture]\n")
    return load_dataset(yaml)


def everything(items, _):
    return items


def test_thresholds_come_from_val_and_figures_from_test(dataset):
    report, points = evaluate_split(Reader(CARD, Corner()), dataset, "test", target_recall=0.75)
    # On val, three of four fractured films score 160 and above; the cut lies between 140 and 160.
    assert points[0].sensitivity.value == 0.75
    assert 140 / 255 < points[0].threshold <= 160 / 255
    at = report["film"]["target recall 0.75"]
    assert at["sensitivity"]["value"] == 0.25  # 210 alone passes
    assert at["specificity"]["value"] == pytest.approx(2 / 3)
    assert report["fractured"] == 4


def test_films_the_model_was_made_with_are_no_test(dataset, tmp_path):
    (tmp_path / "films.csv").write_text("image_id,split\nt/test0,train\nt/test1,val\nt/test2,test\n", encoding="utf-8")
    report, points = evaluate_split(Reader(CARD, Corner(), tmp_path), dataset, "test", None)
    assert report["model_was_made_with"] == ["t/test0", "t/test1"]
    assert "NOT A TEST: the model was trained or its thresholds chosen on 2 of these films" in table(report, points)
    clean, points = evaluate_split(Reader(CARD, Corner()), dataset, "test", None)
    assert "NOT A TEST" not in table(clean, points)


def test_weak_boxes_are_no_truth_to_be_measured_against(dataset):
    records = manifest.load(dataset.root)
    manifest.save([replace(r, weak=True) for r in records], dataset.root)
    report, _ = evaluate_split(Reader(CARD, Corner()), dataset, "test", 0.75)
    assert report["box"]["map50"]["n"] == 0
    assert report["film"]["target recall 0.75"]["sensitivity"]["n"] == 4


def test_unlabelled_films_are_left_out_by_name(dataset):
    read = read_split(Reader(CARD, Corner()), dataset, "test", everything)
    assert read.left_out == {"t/test7": "not labelled"}
    assert len(read.records) == 7


def test_a_film_that_cannot_be_read_is_left_out_with_its_reason(dataset):
    (dataset.root / "images/test/2.png").write_bytes(b"")
    read = read_split(Reader(CARD, Corner()), dataset, "test", everything)
    assert "0 bytes" in read.left_out["t/test2"]


def test_a_slice_without_normals_says_so(dataset):
    report, points = evaluate_split(Reader(CARD, Corner()), dataset, "test", target_recall=0.75)
    specificity = report["slices"]["region hip"]["target recall 0.75"]["specificity"]
    assert specificity["value"] is None
    assert "no normal films" in specificity["note"]
    assert "not estimable" in table(report, points)
    assert "fewer than 20" in table(report, points)
    json.dumps(report)


def test_boxes_are_judged_in_the_films_own_pixels(dataset):
    """The scripted box is exactly the truth on fractured films, so every fracture is hit and AP is what ranks give."""
    report, _ = evaluate_split(Reader(CARD, Corner()), dataset, "test", target_recall=0.75)
    # Ranked: 210 hit, 190 miss, 145 hit, 90 hit, 70 miss, 50 hit, 25 miss.
    precision = {0.25: 1.0, 0.5: 3 / 4, 0.75: 3 / 4, 1.0: 4 / 6}
    grid = np.linspace(0, 1, 101)
    expected = np.mean([next(p for recall, p in precision.items() if r <= recall + 1e-9) for r in grid])
    assert report["box"]["map50"]["value"] == pytest.approx(expected, abs=1e-6)


def test_the_same_seed_gives_the_same_report(dataset):
    reader = Reader(CARD, Corner())
    assert evaluate_split(reader, dataset, "test", 0.75)[0] == evaluate_split(reader, dataset, "test", 0.75)[0]


def test_points_name_what_they_were_measured_on(dataset):
    read = read_split(Reader(CARD, Corner()), dataset, "val", everything)
    assert dataset_id(dataset) in choose_points(read, dataset_id(dataset))[0].measured_on


def test_a_missing_dataset_names_the_commands_that_build_it(tmp_path, dataset):
    (dataset.root / manifest.NAME).unlink()
    with pytest.raises(MissingData, match=r"fracatlas_to_yolo\.py[\s\S]*preprocess\.py[\s\S]*make_splits\.py"):
        evaluate_split(Reader(CARD, Corner()), dataset, "test", None)


@pytest.mark.parametrize("target", [0.0, 1.5])
def test_a_target_outside_its_range_is_refused(dataset, target):
    with pytest.raises(BadValue, match="target recall"):
        evaluate_split(Reader(CARD, Corner()), dataset, "test", target)


def test_a_film_of_another_size_than_its_manifest_row_is_refused(dataset):
    records = manifest.load(dataset.root)
    film = harmonise(Radiograph(np.zeros((50, 60), np.float32)), CONFIG)
    (dataset.root / records[-2].path).write_bytes(encode_png(film))
    with pytest.raises(BadValue, match="manifest says"):
        read_split(Reader(CARD, Corner()), dataset, "test", everything)
