"""Evaluation: thresholds from validation, nothing unlabelled counted, one folder that answers for every figure."""

import io
import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from PIL import Image

from fracture.core.errors import BadValue, MissingData
from fracture.core.files import write_json
from fracture.core.types import Detections, HarmoniseConfig, ImageRecord, OperatingPoint, Prediction, Radiograph
from fracture.data import manifest
from fracture.evaluation.folder import PAGE
from fracture.evaluation.measure import Ask
from fracture.evaluation.predict import dataset_id
from fracture.evaluation.report.text import text
from fracture.evaluation.run import Settings, Source, evaluate_external, evaluate_model, evaluate_predictions
from fracture.imaging.harmonise import encode_png, harmonise
from fracture.inference.reader import Reader
from fracture.models import card as cards
from fracture.models.card import ModelCard
from fracture.models.heads import Head
from fracture.phantom import draw_film
from fracture.predictions import coco
from fracture.training.bundle import add_hashes, known_by
from tests.wilson import wilson

CONFIG = HarmoniseConfig(clahe_clip=0, range_tail=None)
CARD = ModelCard("scripted", "1", ("fracture",), 448, 32, 0.5, CONFIG, {"model.onnx": ""})
BOX = tuple(edge * 400 / 448 for edge in (175.0, 175.0, 225.0, 225.0))
SCORES = {
    "val": [(200, True), (180, True), (160, True), (60, True), (140, False), (40, False), (30, False), (20, False)],
    "test": [(210, True), (145, True), (90, True), (50, True), (190, False), (70, False), (25, False), (10, None)],
}


class Corner:
    """Answers with one box whose score is written into the film's top left pixel, or a constant added to it."""

    name = "scripted"

    def __init__(self, more=0):
        self.read = 0
        self.more = more

    def __call__(self, pixels):
        self.read += 1
        top, left = np.argwhere(pixels[:, :, 0] != 114)[0]
        score = (pixels[top, left, 0] + self.more) / 255
        return np.array([[200.0], [200.0], [50.0], [50.0], [score]], dtype=np.float32)


@pytest.fixture
def root(tmp_path):
    """Eight films a split, 400 x 400 so that the network's pixels are 448 / 400 of the film's; scores by hand."""
    folder, records = tmp_path / "dataset", []
    for split, films in SCORES.items():
        for number, (score, truth) in enumerate(films):
            pixels, _ = draw_film(np.random.default_rng(number), (400, 400), fractured=False)
            pixels[:8, :8] = score
            film = harmonise(Radiograph((pixels / 255).astype(np.float32)), CONFIG)
            path = f"images/{split}/{number}.png"
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(encode_png(film))
            records.append(
                ImageRecord(
                    f"t/{split}{number}",
                    path,
                    "t",
                    (400, 400),
                    frozenset({"hip" if number == 0 else "leg"}),
                    study_id=f"{split} {number // 2}",
                    fractured=truth,
                    boxes=(BOX,) if truth else (),
                    split=split,
                )
            )
    manifest.save(records, folder)
    return folder


@pytest.fixture
def evaluated(root, tmp_path):
    """Evaluate the scripted model; the reports of a test get a folder each."""

    def run(name="report", reader=None, **settings):
        wanted = Settings(root, tmp_path / name, resamples=50, **settings)
        return evaluate_model(reader or Reader(CARD, Corner()), wanted)

    return run


RECALL = {"ask": Ask(0.75)}


class WholeFilm(Corner):
    """Says as much of the whole film, and where it comes from, and gives no box."""

    def __call__(self, pixels):
        score = super().__call__(pixels)[4, 0]
        return np.full((1, 5), np.log(score / (1 - score)), np.float32)


def test_a_film_classifier_is_judged_by_its_films_as_a_detector_is(evaluated, tmp_path):
    card = replace(CARD, classes=(), heads=(Head("fracture", ("fracture",)),), film_score="classifier")
    beside = evaluated("boxes", **RECALL)
    compared = {"compare": tmp_path / "boxes/report.json"}
    report = evaluated(reader=Reader(card, WholeFilm()), **RECALL, **compared)
    assert report["model"]["film_score"] == "classifier"
    assert report["film"]["auc"] == beside["film"]["auc"]
    at, boxed = (one["film"]["at"]["target recall 0.75"] for one in (report, beside))
    assert at["counts"] == boxed["counts"]
    assert at["threshold"] == pytest.approx(boxed["threshold"])
    assert report["box"]["ap50"]["value"] is None
    assert report["data"] == beside["data"]
    assert "not estimable" in text(report)
    area, *others = report["comparison"]["rows"]
    assert (area["name"], area["difference"]["value"]) == ("film AUC", 0)
    assert all(" at " in row["name"] for row in others)


def test_thresholds_come_from_val_and_figures_from_test(evaluated):
    report = evaluated(**RECALL)
    [point] = report["points"]
    # On val, three of four fractured films score 160 and above; the cut lies between 140 and 160.
    assert point["sensitivity"]["value"] == 0.75
    assert 140 / 255 < point["threshold"] <= 160 / 255
    at = report["film"]["at"]["target recall 0.75"]
    assert at["sensitivity"]["value"] == 0.25  # 210 alone passes
    assert at["specificity"]["value"] == pytest.approx(2 / 3)
    assert at["counts"] == {"true_positive": 1, "false_positive": 1, "true_negative": 2, "false_negative": 3}
    assert report["data"]["fractured"] == 4


def test_a_guarantee_that_four_films_cannot_give_is_said_not_given(evaluated):
    report = evaluated(ask=Ask(0.75, 0.95))
    assert [point["name"] for point in report["points"]] == ["target recall 0.75", "guaranteed recall 0.75 (95 %)"]
    assert report["points"][1]["reached"] is False
    assert any("at least 11 independent fractured" in warning for warning in report["warnings"])
    assert "at least 11 independent fractured" in text(report)


def test_the_folder_answers_for_the_report(evaluated, tmp_path, root):
    report = evaluated(**RECALL)
    out = tmp_path / "report"
    assert json.loads((out / "report.json").read_text()) == report
    told = report["model"]["predictions"]
    assert told["file"] == "predictions/test.jsonl"
    assert cards.file_hash(out / told["file"]) == told["sha256"]
    assert report["data"]["dataset_id"] == dataset_id(root)
    assert {"roc.svg", "froc.svg"} <= {file.name for file in (out / "figures").iterdir()}
    page = (out / "report.html").read_text()
    assert "data:image/jpeg" in page
    assert "Not a diagnosis" in page


def test_no_film_is_shown_where_none_may_be(evaluated, tmp_path):
    evaluated(**RECALL, with_films=False)
    assert "data:image" not in (tmp_path / "report/report.html").read_text()


def test_films_are_read_once_and_again_only_when_something_changed(evaluated, root):
    network = Corner()
    first = evaluated(reader=Reader(CARD, network), **RECALL)
    assert network.read == 15  # eight of val, seven of test; the unlabelled one is not read
    assert evaluated(reader=Reader(CARD, network), **RECALL) == first
    assert network.read == 15
    film = root / "images/test/0.png"
    film.write_bytes((root / "images/val/0.png").read_bytes())
    evaluated(reader=Reader(CARD, network), **RECALL)
    assert network.read == 16
    evaluated(reader=Reader(replace(CARD, nms_iou=0.4), network), **RECALL)
    assert network.read == 31


def test_a_line_that_a_kill_cut_short_is_read_again(evaluated, tmp_path):
    first = evaluated(**RECALL)
    file = tmp_path / "report/predictions/test.jsonl"
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join(lines[:4]) + lines[4][:30])
    network = Corner()
    # The times written beside the answers differ, and with them the hash of the file.
    assert evaluated(reader=Reader(CARD, network), **RECALL) | {"model": 0} == first | {"model": 0}
    assert network.read == 3
    assert [json.loads(line)["image_id"] for line in file.read_text().splitlines()] == [f"t/test{i}" for i in range(7)]


def test_films_the_model_was_made_with_are_no_test(evaluated, tmp_path):
    (tmp_path / "films.csv").write_text("image_id,split\nt/test0,train\nt/test1,val\nt/test2,test\n", encoding="utf-8")
    report = evaluated(reader=Reader(CARD, Corner(), tmp_path))
    assert report["model_was_made_with"] == ["t/test0", "t/test1"]
    assert "NOT A TEST: the model was trained or its thresholds chosen on 2 of these films" in text(report)
    assert "NOT A TEST" not in text(evaluated())


@pytest.mark.parametrize("split", ["train", "val"])
def test_training_and_validation_films_are_no_test_of_their_own_split(evaluated, root, tmp_path, split):
    (tmp_path / "films.csv").write_text(f"image_id,split\nt/val0,{split}\n", encoding="utf-8")
    report = evaluated(reader=Reader(CARD, Corner(), tmp_path), split="val")
    assert report["model_was_made_with"] == ["t/val0"]


def test_films_that_a_threshold_was_just_chosen_on_are_no_test(evaluated, tmp_path):
    (tmp_path / "films.csv").write_text("image_id,split\nother/1,train\n", encoding="utf-8")
    reader = Reader(CARD, Corner(), tmp_path)
    assert len(evaluated(reader=reader, split="val", **RECALL)["model_was_made_with"]) == 8
    assert evaluated(reader=reader, split="val")["model_was_made_with"] == []
    assert evaluated(reader=reader, **RECALL)["model_was_made_with"] == []


def test_a_bundle_that_does_not_name_its_films_is_said_to(evaluated, tmp_path):
    assert "does not say which films it was made with" in text(evaluated())
    (tmp_path / "films.csv").write_text("image_id,split\nother/1,train\n", encoding="utf-8")
    assert "does not say" not in text(evaluated(reader=Reader(CARD, Corner(), tmp_path)))


class Knowing(Corner):
    """Answers with one more row: films whose corner is bright lie beyond the scope."""

    def __call__(self, pixels):
        answer = super().__call__(pixels)
        return np.vstack([answer, np.where(answer[4:] > 0.3, 1.5, 0.5)]).astype(np.float32)


def test_films_unlike_those_of_the_model_are_counted_and_said(evaluated, tmp_path):
    card = replace(CARD, measured={"scope": {}})
    report = evaluated(reader=Reader(card, Knowing()))
    labelled = [score for score, truth in SCORES["test"] if truth is not None]
    bright = sum(score / 255 > 0.3 for score in labelled)
    outside = report["model"]["outside_scope"]
    assert 0 < bright < outside["n"] == len(labelled)
    assert outside["value"] == bright / len(labelled)
    assert "of the films are unlike those the model was made with" in text(report)
    assert "Films of another kind" in (tmp_path / "report" / PAGE).read_text()
    plain = evaluated("plain", reader=Reader(CARD, Corner()))
    assert plain["model"]["outside_scope"] is None
    assert "unlike" not in text(plain)
    assert "Films of another kind" not in (tmp_path / "plain" / PAGE).read_text()


def test_leaks_that_the_dataset_reports_are_passed_on(evaluated, root):
    write_json(root / "audit.json", {"leaks": {"groups_in_two_splits": ["g"], "patients_in_two_splits": ["p", "q"]}})
    assert "3 leaks between its splits" in text(evaluated())


def test_weak_boxes_are_no_truth_to_be_measured_against(evaluated, root):
    records = manifest.load(root)
    manifest.save([replace(record, weak=True) for record in records], root)
    report = evaluated(**RECALL)
    assert report["box"]["ap50"]["value"] is None
    assert report["data"]["boxes"] == 0
    assert report["film"]["at"]["target recall 0.75"]["sensitivity"]["n"] == 4


def test_unlabelled_and_unreadable_films_are_left_out_by_name(evaluated, root):
    (root / "images/test/2.png").write_bytes(b"")
    report = evaluated()
    assert report["left_out"]["t/test7"] == "not labelled"
    assert "0 bytes" in report["left_out"]["t/test2"]
    assert report["data"]["films"] == 6
    assert "2 films of the split were left out" in text(report)


def test_a_slice_without_normals_says_so(evaluated):
    report = evaluated(**RECALL)
    specificity = report["slices"]["region"]["hip"]["at"]["target recall 0.75"]["specificity"]
    assert specificity["value"] is None
    assert "no normal films" in specificity["note"]
    assert "not estimable" in text(report)
    assert "fewer than 20" in text(report)


def test_boxes_are_measured_in_the_films_own_pixels(evaluated):
    """The scripted box is exactly the truth on fractured films, so every fracture is hit and AP is what ranks give."""
    # Ranked: 210 hit, 190 miss, 145 hit, 90 hit, 70 miss, 50 hit, 25 miss.
    precision = {0.25: 1.0, 0.5: 3 / 4, 0.75: 3 / 4, 1.0: 4 / 6}
    grid = np.linspace(0, 1, 101)
    expected = np.mean([next(p for recall, p in precision.items() if r <= recall + 1e-9) for r in grid])
    assert evaluated()["box"]["ap50"]["value"] == pytest.approx(expected, abs=1e-6)


def test_studies_are_scored_by_their_best_film(evaluated):
    card = replace(CARD, operating_points=points(screening=0.5, specific=0.7))
    report = evaluated(reader=Reader(card, Corner()))
    # Studies of test: (210, 145), (90, 50), (190, 70) and 25 beside a film that nobody labelled: 0.82, 0.35, 0.75, -.
    assert report["study"]["cases"] == 3
    assert report["study"]["left_out"] == 1
    counted = {name: (row["fractured"], row["normal"]) for name, row in report["study"]["status"].items()}
    assert {name: row for name, row in counted.items() if row != (0, 0)} == {"fracture": (1, 1), "no fracture": (1, 0)}
    assert report["study"]["auc"]["value"] == 0.5
    assert report["patient"] is None


def points(**thresholds):
    return tuple(OperatingPoint(n, t, "by hand", wilson(9, 10), wilson(9, 10), "val") for n, t in thresholds.items())


def test_patients_of_two_sources_are_different_people(evaluated, root):
    records = manifest.load(root)
    for i, record in enumerate(records):
        source = "t" if record.fractured else "u"
        records[i] = replace(
            record, image_id=f"{source}/{record.image_id[2:]}", source=source, patient_id=f"{i % 8 % 4}"
        )
    manifest.save(records, root)
    report = evaluated(reader=Reader(replace(CARD, operating_points=points(screening=0.5, specific=0.7)), Corner()))
    # Films 0 to 3 are fractured, 4 to 6 normal, 7 unknown: four patients of t and three of u, not four in all.
    assert (report["patient"]["cases"], report["patient"]["fractured"], report["data"]["patients"]) == (7, 4, 7)


def test_fractures_that_nobody_drew_are_in_no_figure_of_boxes(evaluated, root):
    records = manifest.load(root)
    undrawn = {"t/test0": None, "t/test1": ()}
    manifest.save([replace(r, boxes=undrawn.get(r.image_id, r.boxes)) for r in records], root)
    report = evaluated()
    assert report["box"]["ap50"]["n"] == 2
    assert report["box"]["afroc"]["area"]["note"].startswith("2 truth boxes on 2 films, 3 normal films")
    assert "2 fractured films have no drawn boxes and are in no figure of boxes" in text(report)


def test_a_film_that_is_not_there_costs_its_picture_only(evaluated, root, tmp_path):
    evaluated(**RECALL)
    for film in (root / "images/test").iterdir():
        film.unlink()
    source = Source((tmp_path / "report/predictions/test.jsonl", tmp_path / "report/predictions/val.jsonl"))
    report = evaluate_predictions(source, Settings(root, tmp_path / "theirs", resamples=20))
    assert report["data"]["films"] == 7
    assert "data:image" not in (tmp_path / "theirs/report.html").read_text()


def test_scoring_predictions_where_they_lie_leaves_them_as_they_are(evaluated, root, tmp_path):
    evaluated(**RECALL)
    kept = tmp_path / "report/predictions/test.jsonl"
    before = kept.read_bytes()
    evaluate_predictions(Source((kept,)), Settings(root, tmp_path / "report", resamples=20))
    assert kept.read_bytes() == before


def test_figures_of_an_earlier_report_do_not_stay(evaluated, root, tmp_path):
    evaluated(**RECALL)
    stale = tmp_path / "report/figures/stale.svg"
    stale.write_text("<svg/>")
    evaluated(**RECALL)
    assert not stale.exists()


@pytest.mark.parametrize(("wrong", "told"), [({"seed": -1}, "seed"), ({"resamples": 0}, "resamples")])
def test_wrong_settings_are_refused_before_any_film_is_read(root, tmp_path, wrong, told):
    with pytest.raises(BadValue, match=f"{told}: expected"):
        Settings(root, tmp_path / "report", **wrong)


def test_a_guarantee_needs_something_to_guarantee():
    with pytest.raises(BadValue, match="guarantee: expected a target recall"):
        Ask(guarantee=0.95)


def test_confounders_pass_over_films_that_cannot_be_read(evaluated, root):
    (root / "images/test/2.png").write_bytes(b"")
    (root / "images/val/3.png").write_bytes(b"")
    report = evaluated(with_confounders=True)
    assert report["shortcuts"]["findings"][-1] == "1 films around could not be read and were not probed"
    assert "t/test2" in report["left_out"]


def test_a_missing_dataset_names_the_commands_that_build_it(evaluated, root):
    (root / manifest.NAME).unlink()
    with pytest.raises(MissingData, match=r"fracatlas_to_yolo\.py[\s\S]*fracture preprocess[\s\S]*fracture split"):
        evaluated()


@pytest.mark.parametrize("target", [0.0, 1.5])
def test_a_target_outside_its_range_is_refused(evaluated, target):
    with pytest.raises(BadValue, match="target recall"):
        evaluated(ask=Ask(target))


def test_a_film_of_another_size_than_its_manifest_row_is_refused(evaluated, root):
    film = harmonise(Radiograph(np.zeros((50, 60), np.float32)), CONFIG)
    (root / "images/test/6.png").write_bytes(encode_png(film))
    with pytest.raises(BadValue, match="the manifest says"):
        evaluated()


def elsewhere(root, tmp_path, splits):
    """Write the answers of the scripted model as COCO results, as another program would."""
    records = manifest.load(root)
    answers = {}
    for record in records:
        score = dict(enumerate(SCORES[record.split]))[int(record.image_id[-1])][0] / 255
        if record.split in splits and score > 0.1:
            found = Detections(np.array([BOX]), np.array([score]), np.zeros(1, np.int64))
            answers[record.image_id] = Prediction(record.size_px, found, "theirs", "")
    truth = coco.truth(records)
    named = zip(records, truth["images"], strict=True)
    ids = {record.image_id: image["id"] for record, image in named if record.image_id in answers}
    write_json(tmp_path / "results.json", coco.results(answers, ids))
    write_json(tmp_path / "truth.json", truth)
    return Source((tmp_path / "results.json",), coco_images=tmp_path / "truth.json")


def test_another_programs_predictions_get_the_same_figures(evaluated, root, tmp_path):
    ours = evaluated(**RECALL)
    theirs = evaluate_predictions(
        elsewhere(root, tmp_path, ("val", "test")), Settings(root, tmp_path / "theirs", resamples=50, **RECALL)
    )
    assert theirs["box"]["ap50"]["value"] == pytest.approx(
        # 25 / 255 was not written, as it was below the other program's floor, and costs it nothing.
        ours["box"]["ap50"]["value"]
    )
    assert [point["name"] for point in theirs["points"]] == ["target recall 0.75", "screening", "balanced", "specific"]
    assert (
        theirs["film"]["at"]["target recall 0.75"]["sensitivity"]
        == ours["film"]["at"]["target recall 0.75"]["sensitivity"]
    )
    assert "no row for 1 films: taken as nothing found" in text(theirs)
    again = evaluate_predictions(
        Source((tmp_path / "theirs/predictions/test.jsonl",)), Settings(root, tmp_path / "again", resamples=50)
    )
    assert again["box"] == theirs["box"] | {"at": {}}


def test_predictions_of_a_split_each_are_put_together(evaluated, root, tmp_path):
    evaluated(**RECALL)
    both = tuple(tmp_path / f"report/predictions/{split}.jsonl" for split in ("val", "test"))
    together = evaluate_predictions(Source(both), Settings(root, tmp_path / "all", "all", resamples=20))
    assert (together["data"]["films"], together["left_out"]) == (15, {"t/test7": "not labelled"})
    assert len(together["model_was_made_with"]) == 8  # thresholds were chosen on the films of val
    with pytest.raises(BadValue, match="every film in one of the files, got t/test0 in two"):
        evaluate_predictions(Source((both[1], both[1])), Settings(root, tmp_path / "all"))
    other = tmp_path / "other.jsonl"
    other.write_text(both[0].read_text().replace('"model": "scripted"', '"model": "another"'))
    with pytest.raises(BadValue, match="expected files of one model and one format"):
        evaluate_predictions(Source((both[1], other)), Settings(root, tmp_path / "all"))


def test_without_predictions_for_val_there_are_no_thresholds(root, tmp_path):
    source = elsewhere(root, tmp_path, ("test",))
    report = evaluate_predictions(source, Settings(root, tmp_path / "theirs", resamples=50))
    assert report["points"] == []
    assert report["film"]["auc"]["value"] is not None
    assert "no thresholds" in text(report)
    with pytest.raises(BadValue, match="predictions for the val films"):
        evaluate_predictions(source, Settings(root, tmp_path / "theirs", **RECALL))
    with pytest.raises(BadValue, match="for films of the split 'val'"):
        evaluate_predictions(source, Settings(root, tmp_path / "theirs", split="val"))


def test_two_models_stand_side_by_side(evaluated, tmp_path):
    evaluated("other", Reader(CARD, Corner()), **RECALL)
    report = evaluated("report", Reader(CARD, Corner(more=40)), compare=tmp_path / "other/report.json", **RECALL)
    rows = {row["name"]: row for row in report["comparison"]["rows"]}
    # Adding the same to every score changes no rank, and each model has its own threshold: nothing differs.
    assert set(rows) == {
        "film AUC",
        "AP50",
        "AP50-95",
        "AP at IoU .1",
        "AP of clinical hits",
        "sensitivity at target recall 0.75",
        "specificity at target recall 0.75",
    }
    assert all(row["difference"]["value"] == pytest.approx(0) for row in rows.values())
    assert rows["sensitivity at target recall 0.75"]["p"] == 1
    assert "beside scripted on dataset, the same 7 films" in text(report)


def test_predictions_that_were_changed_are_not_compared_with(evaluated, tmp_path):
    evaluated("other")
    file = tmp_path / "other/predictions/test.jsonl"
    file.write_text(file.read_text().replace('"confidence": 0.8', '"confidence": 0.9'))
    with pytest.raises(BadValue, match=r"expected the predictions predictions/test\.jsonl in "):
        evaluated(compare=tmp_path / "other/report.json")


def test_a_report_on_another_split_is_not_compared_with(evaluated, tmp_path):
    evaluated("other", split="val")
    with pytest.raises(BadValue, match="expected a report on test, got one on val"):
        evaluated(compare=tmp_path / "other/report.json")


def external(root, tmp_path, boxes=(BOX,)):
    """The test films as films of a source nobody has seen, fractured ones alone."""
    records = [
        replace(record, image_id=f"other/{record.image_id[2:]}", source="other", split=None, boxes=boxes)
        for record in manifest.load(root)
        if record.split == "test" and record.fractured
    ]
    for record in records:
        (tmp_path / "external" / record.path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "external" / record.path).write_bytes((root / record.path).read_bytes())
    manifest.save(records, tmp_path / "external")
    return Settings(tmp_path / "external", tmp_path / "report_external", "all", resamples=50)


def test_an_external_source_stands_beside_the_known_one(evaluated, root, tmp_path):
    (tmp_path / "films.csv").write_text("image_id,split\nt/val0,val\n", encoding="utf-8")
    reader = Reader(replace(CARD, operating_points=points(screening=0.5)), Corner(), tmp_path)
    known = evaluated(reader=reader)
    report = evaluate_external(reader, external(root, tmp_path), known)
    assert report["points"] == known["points"]
    rows = {row["name"]: row for row in report["comparison"]["rows"]}
    assert rows["sensitivity at screening"]["difference"]["value"] == 0
    assert (
        rows["sensitivity at screening"]["difference"]["low"]
        < 0
        < rows["sensitivity at screening"]["difference"]["high"]
    )
    assert rows["film AUC"]["difference"]["value"] is None
    assert "there are no normal films: specificity cannot be estimated" in text(report)
    assert "crops" not in text(report)


def test_crops_are_said_to_be_crops(evaluated, root, tmp_path):
    reader = Reader(CARD, Corner())
    report = evaluate_external(reader, external(root, tmp_path, ((0.0, 0.0, 300.0, 300.0),)), evaluated())
    assert (
        "drawn boxes cover 56% of a film in the median, against 1.2% on the films beside it: these are crops"
        in text(report)
    )


def test_a_source_that_the_model_was_made_with_is_not_external(evaluated, root, tmp_path):
    (tmp_path / "films.csv").write_text("image_id,split\nother/1,val\n", encoding="utf-8")
    reader = Reader(CARD, Corner(), tmp_path)
    with pytest.raises(BadValue, match="expected one the model was not made with, got other"):
        evaluate_external(reader, external(root, tmp_path), None)
    (tmp_path / "films.csv").unlink()
    known = evaluated()
    settings = external(root, tmp_path)
    with pytest.raises(BadValue, match="expected one of this model's files"):
        evaluate_external(Reader(replace(CARD, files={"model.onnx": "1"}), Corner()), settings, known)
    with pytest.raises(BadValue, match="expected one on other films"):
        evaluate_external(Reader(CARD, Corner()), settings, evaluate_external(Reader(CARD, Corner()), settings, None))
    here, there = (Reader(replace(CARD, operating_points=points(screening=at)), Corner()) for at in (0.5, 0.6))
    with pytest.raises(BadValue, match=r"expected screening at 0\.5 as the card has it, got 0\.6"):
        evaluate_external(here, settings, evaluated(reader=there))


def test_answers_of_other_weights_are_not_taken_for_this_ones(evaluated, root):
    network = Corner()
    evaluated(reader=Reader(CARD, network, weights="best"))
    evaluated(reader=Reader(CARD, network, weights="best"))
    assert network.read == 7
    evaluated(reader=Reader(CARD, network, weights="last"))
    assert network.read == 14
    evaluated(reader=Reader(replace(CARD, stride=64), network, weights="last"))
    assert network.read == 21


@pytest.mark.parametrize("kind", ["coco", "object", "jsonl", "yolo"])
def test_predictions_that_found_nothing_are_scored_as_that(root, tmp_path, kind):
    file = tmp_path / {"coco": "p.json", "object": "o.json", "jsonl": "p.jsonl", "yolo": "labels"}[kind]
    if kind == "yolo":
        file.mkdir()
    else:
        file.write_text({"coco": "[]", "object": '{"annotations": []}', "jsonl": ""}[kind])
    report = evaluate_predictions(Source((file,)), Settings(root, tmp_path / "out", with_films=False, resamples=20))
    assert report["box"]["ap50"]["value"] == 0


@pytest.fixture
def made_with(root, tmp_path):
    """Give a reader whose bundle names six films it was made with, by name and by pixels; and those films."""
    films, records, bundle = [], [], tmp_path / "bundle"
    for number in range(6):
        pixels, _ = draw_film(np.random.default_rng(100 + number), (400, 400), fractured=False)
        pixels[:8, :8] = 40 * number + 15
        films.append(pixels)
        path = f"images/train/{number}.png"
        (tmp_path / "made" / path).parent.mkdir(parents=True, exist_ok=True)
        film = Radiograph((pixels / 255).astype(np.float32))
        (tmp_path / "made" / path).write_bytes(encode_png(harmonise(film, CONFIG)))
        records.append(ImageRecord(f"m/{number}", path, "m", (400, 400), frozenset({"leg"}), split="train"))
    bundle.mkdir()
    cards.save_films(
        {record.image_id: "train" for record in records}, known_by(records, tmp_path / "made", CARD), bundle
    )
    return Reader(CARD, Corner(), bundle), films


def smuggle(root, films, how):
    """Put films, saved anew, among those of test under other names."""
    records = manifest.load(root)
    for number, pixels in enumerate(films):
        path = f"images/test/other{number}.png"
        out = io.BytesIO()
        Image.fromarray(pixels).save(out, **how)
        (root / path).write_bytes(out.getvalue())
        records.append(
            ImageRecord(
                f"t/other{number}", path, "t", (400, 400), frozenset({"leg"}), fractured=False, boxes=(), split="test"
            )
        )
    manifest.save(records, root)


@pytest.mark.parametrize(
    ("command", "how"),
    [
        ("own", {"format": "PNG"}),
        ("external", {"format": "JPEG", "quality": 40}),
        ("predictions", {"format": "JPEG", "quality": 40}),
    ],
)
def test_films_the_model_was_made_with_are_counted_apart_under_other_names(made_with, root, tmp_path, command, how):
    reader, films = made_with
    smuggle(root, films[:3], how)
    settings = Settings(root, tmp_path / "report", resamples=20)
    report = evaluate_external(reader, settings, None) if command == "external" else evaluate_model(reader, settings)
    if command == "predictions":
        source = Source((tmp_path / "report/predictions/test.jsonl",), made_with=reader.folder)
        report = evaluate_predictions(source, Settings(root, tmp_path / "theirs", resamples=20))
    assert report["data"]["films"] == 7
    assert report["copies"]["left_out"] == {f"t/other{number}": f"m/{number}" for number in range(3)}
    assert report["left_out"]["t/other0"] == "a copy of m/0, which the model was made with"
    assert "3 films are copies of films the model was made with, under other names" in text(report)
    assert "by name only" not in text(report)


@pytest.mark.parametrize("first", [True, False])
def test_films_that_one_of_two_models_was_made_with_are_not_in_their_comparison(made_with, root, tmp_path, first):
    knowing, films = made_with
    smuggle(root, films[:3], {"format": "PNG"})
    readers = [knowing, Reader(CARD, Corner())]
    one, other = readers if first else reversed(readers)
    evaluate_model(one, Settings(root, tmp_path / "one", resamples=20))
    beside = Settings(root, tmp_path / "other", resamples=20, compare=tmp_path / "one/report.json")
    assert evaluate_model(other, beside)["comparison"]["films"] == 7


def test_where_most_are_such_films_it_is_no_test(made_with, root, tmp_path):
    reader, films = made_with
    manifest.save([record for record in manifest.load(root) if record.image_id in {"t/test0", "t/test4"}], root)
    smuggle(root, films[:3], {"format": "PNG"})
    settings = Settings(root, tmp_path / "report", resamples=20)
    for run in (evaluate_model, partial(evaluate_external, known=None)):
        with pytest.raises(BadValue, match=r"got 3 of 5 that are copies .* t/other0 of m/0"):
            run(reader, settings)


def test_a_bundle_that_knows_its_films_by_name_only_is_said_to(made_with, root, tmp_path):
    reader, films = made_with
    smuggle(root, films[:3], {"format": "PNG"})
    table = reader.folder / cards.FILMS
    rows = [line.split(",")[:2] for line in table.read_text(encoding="utf-8").splitlines()]
    table.write_text("\n".join(",".join(row) for row in rows), encoding="utf-8")
    report = evaluate_model(reader, Settings(root, tmp_path / "report", resamples=20))
    assert report["data"]["films"] == 10
    assert report["copies"] == {"known_films": 6, "known_by_pixels": 0, "left_out": {}}
    assert "knows 0 of its 6 films by their pixels" in text(report)


def test_hashes_come_into_a_bundle_from_its_dataset(made_with, tmp_path):
    reader, _ = made_with
    bundle, dataset = tmp_path / "served", tmp_path / "made"
    bundle.mkdir()
    (bundle / "model.onnx").write_bytes(b"weights")
    cards.save_films({f"m/{number}": "train" for number in range(7)}, {}, bundle)
    files = {name: cards.file_hash(bundle / name) for name in ("model.onnx", cards.FILMS)}
    cards.save(replace(CARD, files=files), bundle)
    with pytest.raises(MissingData, match="no dataset"):
        add_hashes(bundle, dataset)
    records = [
        ImageRecord(f"m/{number}", f"images/train/{number}.png", "m", (400, 400), frozenset({"leg"}), split="train")
        for number in range(6)
    ]
    manifest.save([replace(record, image_id="x" + record.image_id) for record in records], dataset)
    with pytest.raises(BadValue, match="expected some of the 7 films"):
        add_hashes(bundle, dataset)
    manifest.save(records, dataset)
    assert add_hashes(bundle, dataset)[1] == 6
    assert cards.load(bundle).files["model.onnx"] == files["model.onnx"]
    assert len(cards.films(bundle)) == 7
    assert cards.film_traces(bundle) == cards.film_traces(reader.folder)
