"""The comparison of services: scripted ones for what is counted, and real ones, small and short, from end to end."""

import json
import re
import statistics
import sys
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from bench import contenders, run
from bench.contenders import FLOAT, FLOAT_BF16, INT8, INT8_BF16, PLAIN, PORT, Contender, bundled, untrained
from bench.processes import can_account
from bench.service import FILMS, LOADS, SMALL, compare, draw_films, table
from fracture.core.files import file_hash
from fracture.imaging.decode import decode
from fracture.models import card as cards

ROOT = Path(__file__).parents[2]
SCHEMA = json.loads((ROOT / "docs/data/bench.schema.json").read_text())
COMMITTED = ROOT / "docs/data/bench.json"

if not can_account():
    pytest.skip("what a process costs is read from Linux's /proc", allow_module_level=True)


def check(found):
    Draft202012Validator(SCHEMA).validate(json.loads(json.dumps(found)))


def scripted(name, file, **others):
    return Contender("net", name, (sys.executable, str(file), PORT), {}, "/health", **others)


@pytest.fixture(scope="module")
def films():
    return draw_films()


@pytest.fixture(scope="module")
def found(program, films):
    """Give what was found of scripted services: two that answer, one there is none of."""
    group = [
        scripted(PLAIN, program("plain")),
        scripted(FLOAT, program("ours"), bundle=cards.SHIPPED),
        Contender("net", INT8, missing="nobody made one"),
    ]
    return compare([group], films, [(SMALL, 1), (SMALL, 3)], rounds=2, seconds=0.3)


def test_the_schema_is_one_and_the_committed_figures_fit_it():
    Draft202012Validator.check_schema(SCHEMA)
    if COMMITTED.is_file():
        check(json.loads(COMMITTED.read_text()))


def test_films_are_of_the_sizes_they_are_called(films):
    assert {film for film, _ in LOADS} == set(films)
    for name, (size_px, count) in FILMS.items():
        assert name == f"{size_px[0]}x{size_px[1]}"
        assert len(set(films[name])) == count
        assert {decode(film).size_px for film in films[name]} == {size_px}


def test_what_is_found_of_scripted_services(found):
    check(found)
    assert [(one["service"], one["missing"]) for one in found["services"]] == [
        (PLAIN, None),
        (FLOAT, None),
        (INT8, "nobody made one"),
    ]
    for one in found["services"][:2]:
        assert 0.03 < one["start_s"] < 20
        assert one["first_film_ms"] >= 10
        assert 5 < one["pss_mb"] <= one["rss_mb"] < 200
    assert [(row["service"], row["clients"]) for row in found["loads"]] == [
        (PLAIN, 1),
        (PLAIN, 3),
        (FLOAT, 1),
        (FLOAT, 3),
    ]
    for row in found["loads"]:
        assert len(row["rounds"]) == 2
        assert row["answers"] >= 2 * 2 * row["clients"]
        assert row["errors"] == {}
        assert row["differ"] == 0
        assert 10 <= row["p50_ms"] <= row["p95_ms"]
        assert 0.008 < row["cpu_s_per_film"] < 0.1  # a scripted service works for 10 ms a film
        assert (
            (row["bare_ms"] is None)
            == (row["p50_over_bare"] is None)
            == ((row["service"], row["clients"]) != (FLOAT, 1))
        )


def test_figures_are_medians_of_rounds_and_ratios_are_taken_within_them(found):
    for one, two in zip(found["loads"][:2], found["loads"][2:], strict=True):
        assert one["p50_over_plain"] == one["films_per_s_over_plain"] == 1
        for row in (one, two):
            for name in ("p50_ms", "p95_ms", "films_per_s", "cpu_s_per_film"):
                assert row[name] == pytest.approx(statistics.median(turn[name] for turn in row["rounds"]), rel=0.02)
        pairs = list(zip(two["rounds"], one["rounds"], strict=True))
        for ratio, name in (("p50_over_plain", "p50_ms"), ("films_per_s_over_plain", "films_per_s")):
            wanted = statistics.median(ours[name] / plain[name] for ours, plain in pairs)
            assert two[ratio] == pytest.approx(wanted, rel=0.02)
    bare = found["loads"][2]
    wanted = statistics.median(turn["p50_ms"] / turn["bare_ms"] for turn in bare["rounds"])
    assert bare["p50_over_bare"] == pytest.approx(wanted, rel=0.02)


def test_the_table_has_a_row_for_each_service_and_each_load(found):
    found = deepcopy(found)
    found["loads"][1]["errors"] = {"503": 2, "broken": 1}
    found["services"][2]["missing"] = "this | that"
    lines = table(found).splitlines()
    assert re.match(r"service: \d+ cores \(.+\), medians over 2 round\(s\) of 0.3 s a load; ratios within", lines[0])
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    services, loads = rows[:5], rows[5:]
    assert {len(row) for row in services} == {7}
    assert {len(row) for row in loads} == {16}
    assert services[4] == ["net", INT8, "", "", "", "", "this / that"]
    assert [row[1:4] for row in loads[2:]] == [
        [PLAIN, SMALL, "1"],
        [PLAIN, SMALL, "3"],
        [FLOAT, SMALL, "1"],
        [FLOAT, SMALL, "3"],
    ]
    cells = dict(zip(loads[0], loads[3], strict=True))
    assert cells["errors"] == "3"
    assert cells["bare network, ms"] == ""
    assert cells["films/s"] == f"{found['loads'][1]['films_per_s']:.1f}"


def test_a_service_that_fails_is_said_and_the_others_go_on(program, films):
    group = [
        scripted(PLAIN, program("refuses", status=415)),
        scripted(FLOAT, program("works")),
        replace(scripted(INT8, ROOT / "no such file.py"), bundle=None),
    ]
    found = compare([group], films, [(SMALL, 1)], rounds=2, seconds=0.1)
    check(found)
    missing = {one["service"]: one["missing"] for one in found["services"]}
    assert "got status 415" in missing[PLAIN]
    assert missing[FLOAT] is None
    assert "No such file" in missing[INT8]
    [row] = found["loads"]
    assert row["service"] == FLOAT
    assert row["p50_over_plain"] is row["films_per_s_over_plain"] is None
    assert table(found)


def test_without_torch_it_is_skipped_in_words(monkeypatch):
    monkeypatch.setitem(sys.modules, "ultralytics", None)
    [said] = run(["service"], weights=None, rounds=1, seconds=1, json=None)
    assert said.startswith("service: skipped")


def test_a_bundle_is_served_in_the_forms_it_has(tmp_path, films, monkeypatch):
    monkeypatch.setattr(contenders, "computes_bfloat16", lambda: True)
    for name in ("model.onnx", *cards.INT8):
        (tmp_path / name).write_bytes(name.encode())
    shipped = cards.load(cards.SHIPPED)
    files = {name: file_hash(tmp_path / name) for name in ("model.onnx", *cards.INT8)}
    cards.save(replace(shipped, files=files, training={}), tmp_path)
    plain, *ours = bundled(tmp_path, tmp_path / "parts", films[SMALL])
    assert plain.missing == "the card names no architecture"
    forms = {FLOAT: "f32", FLOAT_BF16: "bf16", INT8: "f32", INT8_BF16: "bf16"}
    assert {contender.name: contender.precision for contender in ours} == forms
    for contender in ours:
        names = {"model.onnx"} if contender.name in {FLOAT, FLOAT_BF16} else set(cards.INT8)
        assert contender.environment["FRACTURE_WEIGHTS"] == str(contender.bundle)
        assert contender.environment["FRACTURE_PRECISION"] == contender.precision
        card = cards.load(contender.bundle)
        assert set(card.files) == names
        assert {file.name for file in contender.bundle.iterdir()} == names | {cards.NAME}
        assert card.long_side_px == shipped.long_side_px


def test_a_bundle_with_its_checkpoint_is_served_plainly_by_it(tmp_path, films, monkeypatch):
    monkeypatch.setattr(contenders, "computes_bfloat16", lambda: False)
    (tmp_path / "weights").mkdir()
    for name in ("model.onnx", "weights/best.pt"):
        (tmp_path / name).write_bytes(name.encode())
    files = {name: file_hash(tmp_path / name) for name in ("model.onnx", "weights/best.pt")}
    cards.save(replace(cards.load(cards.SHIPPED), files=files), tmp_path)
    plain, _, quantised = bundled(tmp_path, tmp_path / "parts", films[SMALL])
    assert str(tmp_path / "weights/best.pt") in plain.command
    assert plain.command[plain.command.index("--imgsz") + 1] == str(cards.load(cards.SHIPPED).long_side_px)
    assert quantised.missing == "the bundle has none"


@pytest.mark.timeout(900)
@pytest.mark.long
def test_real_services_of_an_untrained_network_end_to_end(tmp_path, films):
    pytest.importorskip("ultralytics", reason="the plain service needs the full set of packages")
    group = untrained("yolov8n", 64, tmp_path, films[SMALL])
    assert [one.name for one in group if one.precision == "f32"] == [PLAIN, FLOAT, INT8]
    found = compare([group], films, [(SMALL, 1), (SMALL, 4)], rounds=1, seconds=0.5)
    check(found)
    ran = {one["service"]: one for one in found["services"] if one["start_s"]}
    assert {PLAIN, FLOAT} <= set(ran), found["services"]
    for row in found["loads"]:
        assert row["errors"] == {}
        assert row["answers"] >= 2 * row["clients"]
        assert row["service"] == PLAIN or row["differ"] == 0
        assert (row["bare_ms"] is not None) == (row["service"] != PLAIN and row["clients"] == 1)
