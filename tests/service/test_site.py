"""The static site is the service's page and the shipped model's answers, and says so when one of them has moved on."""

import json
import re
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from fracture.core.errors import BadValue, MissingData
from fracture.core.files import file_hash
from fracture.data import samples
from fracture.inference.reader import Reader
from fracture.models import card as cards
from fracture.models.card import SHIPPED
from fracture.models.runtime import OpenVinoNetwork
from fracture.service import site
from fracture.service.http import answers
from tests.service.benchmarks import made_up_benchmark

DOCS = Path(__file__).parents[2] / "docs"
DATA = DOCS / "data"
AGAIN = "run scripts/build_site.py --record again"


@pytest.fixture(scope="module")
def recorded():
    return json.loads((DATA / "answers.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    out = tmp_path_factory.mktemp("publish") / "site"
    site.publish(DOCS, out)
    return out


def test_the_sites_page_is_the_services_but_for_where_answers_come_from(published):
    files = {file.name: file.read_bytes() for file in (published / "viewer").iterdir() if file.is_file()}
    assert files.pop(site.API) == (DOCS / "site" / site.API).read_bytes()
    assert files == {file.name: file.read_bytes() for file in site.page_files()}


def test_a_site_takes_the_place_of_an_earlier_one_and_of_nothing_else(tmp_path):
    out = tmp_path / "site"
    written = site.publish(DOCS, out)
    (out / "viewer/left.js").write_text("of an earlier page")
    assert site.publish(DOCS, out) == written
    assert sorted(written) == sorted(file for file in out.rglob("*") if file.is_file())
    (tmp_path / "films").mkdir()
    (tmp_path / "films/mine.png").write_bytes(b"x")
    with pytest.raises(BadValue, match="expected no folder yet"):
        site.publish(DOCS, tmp_path / "films")
    assert (tmp_path / "films/mine.png").is_file()


@pytest.mark.parametrize("file", sorted(DATA.glob("*.schema.json")), ids=lambda file: file.name)
def test_data_is_what_its_schema_says(file):
    schema = json.loads(file.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    data = file.with_name(file.name.replace(".schema", ""))
    if data.is_file():
        jsonschema.validate(json.loads(data.read_text(encoding="utf-8")), schema)


def test_all_data_has_a_schema():
    files = {file.name for file in DATA.glob("*.json") if not file.name.endswith(".schema.json")}
    assert "answers.json" in files
    assert all((DATA / name.replace(".json", ".schema.json")).is_file() for name in files)


def of_the_shipped(recorded):
    """Give the recorded models that are the shipped one; others may stand behind it."""
    model_id = cards.load(SHIPPED).model_id
    assert recorded["models"][0]["card"]["model_id"] == model_id, AGAIN
    return [model for model in recorded["models"] if model["card"]["model_id"] == model_id]


def test_answers_were_recorded_with_the_shipped_model(recorded):
    card, models = cards.load(SHIPPED), of_the_shipped(recorded)
    assert {model["card"]["version"] for model in models} == {card.version}, AGAIN
    assert all(model["card"]["files"] == card.files for model in models), AGAIN
    named = [point["name"] for point in recorded["models"][0]["card"]["operating_points"]]
    assert named == [point.name for point in card.operating_points], AGAIN


def test_each_way_to_run_it_has_answers_of_its_own(recorded):
    said = [json.dumps(model["answers"]) for model in recorded["models"]]
    assert len(set(said)) == len(said) > 1


def test_answers_have_the_services_form(recorded):
    for model in recorded["models"]:
        assert len(model["answers"]) == len(recorded["films"])
        for answer in model["answers"]:
            said = answers.Answer.model_validate(answer)
            assert said.model_dump(mode="json", by_alias=True, exclude_unset=True) == answer, AGAIN


def test_the_model_says_of_the_committed_films_what_was_recorded(recorded):
    card = cards.load(SHIPPED)
    reader = Reader(card, OpenVinoNetwork(SHIPPED / "model.onnx"), SHIPPED)
    [whole] = [model for model in of_the_shipped(recorded) if model["name"].endswith("float32")]
    floor = card.operating_point(site.FLOOR).threshold
    for film, answer in zip(samples.samples(), whole["answers"], strict=True):
        found = reader.read(film.path.read_bytes()).detections.above(floor)
        boxes = np.array([box["bbox_xyxy"] for box in answer["detections"]]).reshape(-1, 4)
        assert found.score == pytest.approx([box["confidence"] for box in answer["detections"]], abs=0.002), AGAIN
        assert found.xyxy == pytest.approx(boxes, abs=0.5), AGAIN


def test_the_site_is_small_and_complete(recorded, published):
    assert recorded["films"] == [film.file for film in samples.samples()]
    there = {file.name: file.read_bytes() for file in (published / "viewer/samples").iterdir()}
    assert there == {name: (samples.FOLDER / name).read_bytes() for name in samples.FILES}
    whole = [
        file for folder in (published / "data", published / "viewer") for file in folder.rglob("*") if file.is_file()
    ]
    assert sum(file.stat().st_size for file in whole) < 1_500_000


def test_nothing_on_the_front_page_comes_from_elsewhere(published):
    for name in ("index.html", "site.css", "site.js", "charts.js", "family.js", "viewer/api.js"):
        text = (published / name).read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?:|[\"'(]//|@import|url\(|innerHTML", text), name
    policy = 'http-equiv="Content-Security-Policy" content="default-src'
    assert policy in (published / "index.html").read_text(encoding="utf-8")


def test_answers_are_recorded_from_nothing(tmp_path, monkeypatch):
    first = samples.samples()[:1]
    monkeypatch.setattr(samples, "samples", lambda: first)
    written = site.record(tmp_path, [SHIPPED])
    assert [written] == [file for file in tmp_path.rglob("*") if file.is_file()]
    content = json.loads(written.read_text())
    jsonschema.validate(content, json.loads((DATA / "answers.schema.json").read_text()))
    assert content["films"] == ["hand-1.png"]
    assert len({model["name"] for model in content["models"]}) == len(content["models"]) >= 2


def test_a_model_without_its_network_is_refused(tmp_path):
    card = cards.load(SHIPPED)
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights/best.pt").write_bytes(b"x")
    files = {"weights/best.pt": file_hash(tmp_path / "weights/best.pt")}
    cards.save(type(card)(**{**vars(card), "files": files}), tmp_path)
    with pytest.raises(MissingData, match=r"no \.onnx"):
        list(site.record_models(tmp_path, []))


def test_a_benchmark_is_taken_in_as_it_is_and_nothing_else(tmp_path):
    (tmp_path / "none.json").write_text("{")
    (tmp_path / "other.json").write_text("{}")
    for name, error, said in (
        ("absent.json", MissingData, "no benchmark at"),
        ("none.json", BadValue, "expected JSON"),
        ("other.json", BadValue, "benchmark, the whole: expected 'schema' there"),
    ):
        with pytest.raises(error, match=said):
            site.take_benchmark(tmp_path / "docs", tmp_path / name)
    assert not (tmp_path / "docs").exists()
    made = made_up_benchmark()
    (tmp_path / "made.json").write_text(json.dumps(made))
    assert json.loads(site.take_benchmark(tmp_path / "docs", tmp_path / "made.json").read_text()) == made
