"""Several models on the same films: judged as each is alone, refused by name, timed in turns, and never with a path."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from jsonschema import Draft202012Validator
from PIL import Image

from fracture.core.errors import BadValue, BrokenAnswer, MissingData
from fracture.core.files import file_hash
from fracture.core.types import ImageRecord
from fracture.data import manifest
from fracture.data.yolo import CLASSES
from fracture.evaluation.benchmark import cost, model
from fracture.evaluation.benchmark.run import BENCHMARK, MODELS, TABLE, Timing, benchmark
from fracture.evaluation.benchmark.text import columns
from fracture.evaluation.run import Settings, evaluate_model
from fracture.inference.named import Named, opened
from fracture.inference.reader import Reader
from fracture.models import card as cards
from fracture.models.card import SHIPPED
from fracture.phantom import draw_film

SCHEMA = Path(__file__).parents[2] / "docs/data/benchmark.schema.json"
TIMING = Timing(2)


@pytest.fixture(scope="module")
def stricter(tmp_path_factory):
    """Give a bundle of the shipped network with other thresholds, which names no films and began elsewhere."""
    return bundle(tmp_path_factory.mktemp("other") / "stricter")


def bundle(folder, **changed):
    folder.mkdir()
    shutil.copy(SHIPPED / "model.onnx", folder)
    card = cards.load(SHIPPED)
    points = tuple(replace(point, threshold=0.9) for point in card.operating_points)
    config = {"start": "C:\\mine\\began.safetensors", "model": "/home/me/net.yaml", "epochs": 4}
    about = {"training": {"config": config, "epochs_run": 3}, "files": {"model.onnx": card.files["model.onnx"]}}
    cards.save(replace(card, **({"model_id": "stricter", "operating_points": points} | about | changed)), folder)
    return folder


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Give a dataset of eight test films, half of them fractured, one of which cannot be read."""
    folder, records = tmp_path_factory.mktemp("films") / "films", []
    for number in range(8):
        fractured = number % 2 == 0
        pixels, drawn = draw_film(np.random.default_rng(number), (373, 454), fractured=fractured)
        path = folder / f"images/test/{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
        about = {"fractured": fractured, "boxes": tuple(drawn), "split": "test"}
        records.append(ImageRecord(f"t/{number}", f"images/test/{number}.png", "t", (373, 454), **about))
    (folder / records[3].path).write_bytes(b"no film")
    manifest.save(records, folder)
    return folder


@pytest.fixture(scope="module")
def settings(root, tmp_path_factory):
    return Settings(root, tmp_path_factory.mktemp("out") / "benchmark", resamples=20)


@pytest.fixture(scope="module")
def models(stricter):
    return [Named("first", SHIPPED), Named("again", SHIPPED / "model.onnx"), Named("other one", stricter)]


@pytest.fixture(scope="module")
def found(models, settings):
    return benchmark(models, CLASSES, settings, TIMING)


@pytest.fixture
def no_memory(monkeypatch):
    """Measure no memory, which takes seconds."""
    monkeypatch.setattr(cost, "_peak_mb", lambda *_: None)


def test_the_schema_in_the_repository_is_what_the_model_gives():
    """Where this fails, write ``model.content()`` to the file."""
    assert SCHEMA.read_text(encoding="utf-8") == model.content()


def test_the_file_is_what_its_schema_says_and_has_no_path(found, settings):
    text = (settings.out / BENCHMARK).read_text(encoding="utf-8")
    Draft202012Validator(json.loads(SCHEMA.read_text())).validate(json.loads(text))
    assert model.check(json.loads(text)) == found
    for part in (str(settings.root.parent), str(settings.out.parent), str(SHIPPED), "/home", "mine"):
        assert part not in text
    assert not re.search(r'"[^"]*(?:^|[" ])/(?:tmp|work|home|root)/', text)


def test_a_model_is_judged_as_it_is_alone(found, settings, tmp_path, stricter):
    alone = evaluate_model(Reader.load(stricter), replace(settings, out=tmp_path / "alone", with_films=False))
    skill = found.models[2].skill.model_dump()
    assert skill["ap50"] == alone["box"]["ap50"]
    assert skill["film_auc"] == alone["film"]["auc"]
    assert {name: at["threshold"] for name, at in skill["at"].items()} == {
        "screening": 0.9,
        "balanced": 0.9,
        "specific": 0.9,
    }
    assert skill["at"]["balanced"]["sensitivity"] == alone["film"]["at"]["balanced"]["sensitivity"]
    assert found.models[2].warnings == alone["warnings"]


def test_a_model_differs_from_itself_by_nothing_and_from_another_by_something(found):
    first, again, other = found.models
    assert first.against_first is None
    assert first.skill == again.skill
    names = {row.name for row in again.against_first.rows}
    assert {"film AUC", "AP50", "sensitivity at balanced", "specificity at specific"} <= names
    assert {row.difference.value for row in again.against_first.rows} == {0.0}
    assert any(row.difference.value for row in other.against_first.rows)


def test_a_film_that_cannot_be_read_is_counted_for_every_model(found, settings):
    for one in found.models:
        assert len(one.refused) == 1
        assert (one.skill.films, one.left_out) == (found.data.films - 1, 1)
    assert "first: 1 film was refused" in columns(found)
    assert "first: 1 film was refused" in (settings.out / TABLE).read_text(encoding="utf-8")


def test_a_film_that_one_model_refuses_is_in_its_figures_alone_not_in_the_others(
    models, settings, tmp_path, monkeypatch, no_memory
):
    """The two are compared on the films that both read."""
    refused = []
    read = Reader.read_prepared

    def once(reader, film, flags):
        if reader.card.model_id == "stricter" and film.pixels.any() and not refused:
            refused.append(film)
            raise BrokenAnswer("the network gave no answer")
        return read(reader, film, flags)

    readers = opened(models, CLASSES)
    monkeypatch.setattr("fracture.evaluation.benchmark.run.opened", lambda *_: readers)
    monkeypatch.setattr(Reader, "read_prepared", once)
    seen = benchmark(models, CLASSES, replace(settings, out=tmp_path / "out"), TIMING)
    assert [len(one.refused) for one in seen.models] == [1, 1, 2]
    assert seen.models[2].against_first.films == seen.data.films - 2
    assert f"on {seen.data.films - 2} of {seen.data.films} films" in columns(seen)


def test_a_run_goes_on_from_its_predictions(found, models, settings, tmp_path, no_memory):
    """A time is written beside every answer, so a film that is read again changes its line."""
    settings = replace(settings, out=shutil.copytree(settings.out, tmp_path / "out"))
    files = sorted(settings.out.glob(f"{MODELS}/*/predictions/*.jsonl"))
    assert [file.parts[-3] for file in files] == ["again", "first", "other one"]
    whole = [file_hash(file) for file in files]
    lines = files[0].read_text().splitlines(keepends=True)
    files[0].write_text("".join(lines[:2]) + lines[2][:40])
    again = benchmark(models[:2], CLASSES, settings, TIMING)
    assert [file_hash(file) for file in files[1:]] == whole[1:]
    assert files[0].read_text().splitlines(keepends=True)[:2] == lines[:2]
    assert again.models[0].skill == found.models[0].skill == again.models[1].skill


def test_what_a_model_costs_is_told_beside_the_first(found):
    first, _, other = found.models
    for one in found.models:
        assert one.speed.films == 2
        assert 0 < one.speed.p50_ms <= one.speed.p90_ms
        assert one.cost.file_bytes == (SHIPPED / "model.onnx").stat().st_size
        assert one.cost.parameters is None or 10e6 < one.cost.parameters < 12e6
        assert one.cost.peak_mb is None or one.cost.peak_mb > 100
    assert (first.speed.p50_over_first, first.speed.films_per_s_over_first) == (1, 1)
    assert other.speed.p50_over_first != 1


def test_nobody_is_always_first_in_its_turn():
    assert [cost._order(3, turn) for turn in range(4)] == [[0, 1, 2], [1, 2, 0], [2, 0, 1], [0, 1, 2]]


def test_memory_is_that_of_a_process_of_its_own():
    """What this one holds is not in it: a Linux child's ``ru_maxrss`` would begin with it."""
    ballast = bytearray(900_000_000)
    peak = cost._peak_mb(SHIPPED, [])
    assert peak is None or peak < len(ballast) / 1e6 - 100


def test_where_weights_began_is_told_as_the_card_has_it(found, settings):
    began = found.models[2].began
    assert (began.start, began.network, began.epochs, began.epochs_run) == ("began.safetensors", "net.yaml", 4, 3)
    assert (began.train_films, began.dataset_id) == (None, None)
    shipped = cards.load(SHIPPED).training
    assert found.models[0].began.averaged == [shipped["averaged"][which] for which in ("first", "second")]
    table = (settings.out / TABLE).read_text(encoding="utf-8")
    assert "| other one | yolov8 | net.yaml | began.safetensors | 512 | 3 of 4 |" in table


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        (lambda _: [Named("a", SHIPPED), Named("a", SHIPPED)], BadValue, "expected each name once, got a again"),
        (lambda folder: [Named("a", SHIPPED), Named("b", folder / "none")], MissingData, "--model b: no card.json"),
        (
            lambda folder: [Named("a", SHIPPED), Named("b", bundle(folder / "two", classes=("crack",)))],
            BadValue,
            "--model b: expected the classes of the dataset, fracture; got crack",
        ),
    ],
)
def test_what_cannot_be_put_side_by_side_is_named_before_any_film_is_read(given, error, said, settings, tmp_path):
    with pytest.raises(error, match=re.escape(said)):
        benchmark(given(tmp_path), CLASSES, replace(settings, out=tmp_path / "out"), TIMING)
    assert not (tmp_path / "out").exists()


def test_classes_are_the_firsts_where_there_is_no_dataset(tmp_path):
    models = [Named("a", SHIPPED), Named("b", bundle(tmp_path / "two", classes=("crack",)))]
    with pytest.raises(BadValue, match="--model b: expected the classes of a, fracture; got crack"):
        opened(models)
