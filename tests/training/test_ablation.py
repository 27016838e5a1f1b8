"""Choices are compared on the same films, none of them of the test; readings are merged where they agree."""

import json
from dataclasses import replace

import numpy as np
import pytest

from fracture.core.errors import BadValue, MissingData
from fracture.core.types import Detections, HarmoniseConfig, Radiograph
from fracture.data import manifest
from fracture.evaluation.cases import Cases
from fracture.models.card import ModelCard
from fracture.models.detectors.runs import run_config
from fracture.models.detectors.yolov8.quiet import ultralytics
from fracture.training import ablation

PARTS = ("as it is", "exposure left alone")
VARIANTS = (
    ablation.Variant("as it is"),
    ablation.Variant("no CLAHE", harmonise=HarmoniseConfig(clahe_clip=0)),
    ablation.Variant("exposure left alone", settings={"hsv_v": 0}),
    ablation.Variant("further sources", sources=True),
    ablation.Variant("two fused", together=PARTS),
)
CARD = ModelCard("m", "1", ("fracture",), 64, 32, 0.5, HarmoniseConfig(clahe_clip=0, range_tail=None), {"m.onnx": "0"})


class Bright:
    """Answers with one box around what is white, its score the share of white in the left half: no mirror's equal."""

    name = "bright"

    def __call__(self, pixels):
        rows, columns = np.nonzero(pixels[..., 0] > 250)
        if not len(rows):
            return np.zeros((5, 1), np.float32)  # a network answers with one candidate at least
        box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        left = float((columns < pixels.shape[1] / 2).mean())
        centre = [(box[0] + box[2]) / 2, (box[1] + box[3]) / 2, box[2] - box[0], box[3] - box[1]]
        return np.array([[*centre, 0.2 + 0.6 * left]], np.float32).T


def film(size, box):
    pixels = np.zeros(size[::-1], np.float32)
    pixels[box[1] : box[3], box[0] : box[2]] = 1
    return Radiograph(pixels)


def test_a_mirrored_reading_comes_back_in_the_films_frame():
    answer = ablation.Mirrored(CARD, Bright()).read_film(film((64, 64), (4, 8, 20, 24))).detections
    np.testing.assert_allclose(answer.xyxy, [[4, 8, 20, 24]], atol=0.5)
    np.testing.assert_allclose(answer.score, [0.5], atol=0.01)  # .8 as it is, .2 in the mirror


def test_tiles_are_read_where_a_film_is_large_and_only_there():
    small, large = film((90, 60), (4, 8, 20, 24)), film((120, 96), (81, 81, 84, 84))
    plain, tiled = (kind(CARD, Bright()) for kind in (ablation.Reader, ablation.Tiled))
    np.testing.assert_array_equal(tiled.read_film(small).detections.xyxy, plain.read_film(small).detections.xyxy)
    [box] = tiled.read_film(large).detections.xyxy
    np.testing.assert_allclose(box, [81, 81, 84, 84], atol=1.5)
    assert len(plain.read_film(large).detections) == 0  # none of the network's pixels is white all over


@pytest.fixture(scope="module")
def compared(fracatlas_tree, tmp_path_factory):
    """Give the rows of some variants on phantoms, the folder, and what was dealt before."""
    pytest.importorskip("ultralytics", reason="training needs the full set of packages")
    from safetensors.torch import save_file

    from fracture.data.assemble import assemble
    from fracture.data.ingest import ingest
    from fracture.data.preprocess import preprocess
    from fracture.data.sources import claims
    from fracture.data.sources.roboflow import HUMERUS, export
    from fracture.phantom.roboflow import write_humerus

    root, _ = fracatlas_tree
    out = tmp_path_factory.mktemp("variants")
    stage, deal, start = out / "stage", out / "dataset_v5", out / "yolov8n-mine.safetensors"
    ingest(claims("fracatlas", root), stage, copy=True)
    preprocess(stage, out / "proc", HarmoniseConfig(long_side_px=256))
    assemble([out / "proc"], deal, val=0.2, test=0.3, seed=0, copy=True)
    write_humerus(out / "export", np.random.default_rng(0))
    ingest(export(out / "export", replace(HUMERUS, source="arm", parts_published=True)), out / "arm", copy=True)
    away = [replace(claim, image_id=f"a/{claim.image_id}", source="a") for claim in claims("fracatlas", root)]
    ingest(away, out / "away", copy=True)
    films = ablation.Films(stage, deal / manifest.NAME, (out / "arm",), out / "away")
    ultralytics()
    from ultralytics.nn.tasks import DetectionModel

    save_file(DetectionModel("yolov8n.yaml", nc=1, verbose=False).state_dict(), start)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ablation, "BASE", replace(ablation.BASE, epochs=1, imgsz=64, batch=4, films_per_step=4))
        patch.setattr(ablation, "RESAMPLES", 20)
        patch.setattr(ablation, "VARIANTS", VARIANTS)
        wanted = ["no CLAHE", "further sources", "two fused"]

        def run():
            return list(ablation.compare(films, start, out / "made", wanted))

        yield run(), out, run, wanted


def test_choices_are_judged_on_films_that_are_not_of_the_test(compared):
    rows, out, _, wanted = compared
    assert [row["name"] for row in rows] == ["as it is", "no CLAHE", "exposure left alone", *wanted[1:]]
    before = {r.image_id: r.split for r in manifest.load(out / "dataset_v5")}
    deals = []
    for prepared in (HarmoniseConfig(), HarmoniseConfig(clahe_clip=0)):
        dealt = {r.image_id: r.split for r in manifest.load(out / "made" / prepared.harmonise_id)}
        assert dealt.keys() == before.keys()
        assert all(dealt[name] == "test" for name, part in before.items() if part == "test")
        assert sum(part == "val" for part in dealt.values()) > sum(part == "val" for part in before.values())
        deals.append(dealt)
    assert deals[0] == deals[1]
    both = manifest.load(out / "made" / f"{HarmoniseConfig().harmonise_id}_and_further")
    assert {r.image_id: r.split for r in both if r.source == "fracatlas"} == deals[0]
    further = {r.image_id: r.split for r in both if r.source == "arm"}
    held = {r.image_id for r in both if r.attributes.get("official_split") in {"val", "test"}}
    assert held
    assert {name for name, part in further.items() if part == "test"} >= held & further.keys()
    assert "train" in further.values()


def test_the_first_choice_is_what_others_stand_beside(compared):
    rows, *_ = compared
    assert not rows[0]["compared"]
    assert rows[0]["ap50"]["difference"]["value"] == 0
    table = ablation.markdown(rows).splitlines()
    assert len(table) == 7
    assert table[0].count("beside the first") == len(ablation.FIGURES)
    assert table[2].count("(") == 0
    assert table[3].count("(") == len(ablation.FIGURES)
    for row in rows[1:]:
        for key in ("film_auc", "away_auc"):
            gap = row[key]["value"] - rows[0][key]["value"]
            assert row[key]["difference"]["value"] == pytest.approx(gap)


def test_a_row_is_judged_on_films_of_other_sources(compared):
    _, out, *_ = compared
    table = json.loads((out / "made" / ablation.TABLE).read_text(encoding="utf-8"))
    every = [r for r in manifest.load(out / "away") if r.split != "set_aside"]
    held = [r for r in manifest.load(out / "arm") if r.attributes["official_split"] != "train"]
    assert table["judged_on"][ablation.AWAY]["films"] == len(every)
    assert table["judged_on"][ablation.SECOND]["films"] == len([r for r in held if r.fractured is not None])


def test_choices_together_are_fused_film_by_film():
    one, two = (
        Detections(np.array([[10.0, 10, 20, 20]]), np.array([score]), np.zeros(1, np.int64)) for score in (0.8, 0.4)
    )
    none = Detections.empty()
    several = [Cases("val", (), found, {}, ()) for found in ((one, none), (two, one))]
    np.testing.assert_allclose([found.best_score for found in ablation._fused(several).detections], [0.6, 0.4])


def test_what_a_choice_names_reaches_the_run(compared):
    _, out, *_ = compared
    configs = {name: run_config(out / "made/runs" / name) for name in ("as_it_is", "exposure_left_alone")}
    assert configs["as_it_is"].settings == {"close_mosaic": 0}
    assert configs["exposure_left_alone"].settings == {"close_mosaic": 0, "hsv_v": 0}
    assert "hsv_v: 0" in (out / "made/runs/exposure_left_alone/args.yaml").read_text(encoding="utf-8")


def test_what_was_measured_is_not_trained_again(compared, monkeypatch):
    rows, _, run, _ = compared
    monkeypatch.setattr(ablation, "train", lambda *_, **__: pytest.fail("trained again"))
    assert run() == rows


def test_unknown_choices_and_missing_weights_are_refused(tmp_path):
    films = ablation.Films(tmp_path, tmp_path)
    with pytest.raises(BadValue, match="got sharper"):
        next(ablation.compare(films, tmp_path, tmp_path, ["sharper"]))
    name = next(choice.name for choice in ablation.VARIANTS if choice.sources)
    with pytest.raises(BadValue, match=f"further sources to learn from for {name}, got none"):
        next(ablation.compare(films, tmp_path, tmp_path, [name]))
    with pytest.raises(MissingData, match="no weights at"):
        next(ablation.compare(films, tmp_path / "no.safetensors", tmp_path))
