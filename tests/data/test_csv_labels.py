"""Films that a table labels: what it says of each, what contradicts itself, and what it lacks."""

import sys

import numpy as np
import pytest
from PIL import Image

from fracture.commands import ingest as command
from fracture.core.errors import BadValue
from fracture.data import manifest
from fracture.data.ingest import Provenance
from fracture.data.labels import FractureClasses
from fracture.data.sources.folder import claims

BROKEN = FractureClasses(("broken",))


def films(folder, *names):
    for seed, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(seed).integers(0, 255, (40, 30), dtype=np.uint8)).save(folder / name)
    return folder


def read(folder, text, classes=BROKEN, **said):
    table = folder.parent / "labels.csv"
    table.write_text(text, encoding="utf-8")
    found = claims("csv", folder, table, Provenance("set", classes=classes, **said))
    return {claim.image_id: claim for claim in found}


def test_films_are_fractured_normal_or_unknown(tmp_path):
    folder = films(tmp_path / "films", "a/1.png", "a/2.png", "3.png", "4.png")
    found = read(folder, "file,fractured,region\na/1.png,1,wrist\na/2.png,No,\n3.png,,hand\n")
    assert {name: (claim.fractured, claim.boxes) for name, claim in found.items()} == {
        "set/3": (None, None),
        "set/4": (None, None),
        "set/a/1": (True, None),
        "set/a/2": (False, ()),
    }
    assert found["set/a/1"].regions == {"wrist"}
    assert found["set/4"].notes == ("not in labels.csv",)


def test_abnormal_is_not_fractured_but_normal_has_none(tmp_path):
    folder = films(tmp_path / "films", "1.png", "2.png", "3.png")
    found = read(folder, "file;abnormal;fractured\n1.png;yes;\n2.png;no;\n3.png;;true\n")
    assert [(claim.fractured, claim.abnormal) for claim in found.values()] == [
        (None, True),
        (False, False),
        (True, True),
    ]


def test_a_label_is_a_class_of_which_the_flags_say_what_it_means(tmp_path):
    folder = films(tmp_path / "films", "1.png", "2.png", "3.png")
    found = read(folder, "file,label,fracture_type\n1.png,Broken,spiral\n2.png,fine,\n3.png,,\n")
    assert [claim.fractured for claim in found.values()] == [True, False, None]
    assert (found["set/1"].kept, found["set/2"].dropped) == ({"Broken": 1}, {"fine": 1})
    assert found["set/1"].attributes["fracture_type"] == "spiral"


def test_films_csv_beside_the_table_counts_too(tmp_path):
    """Else films of one patient would be dealt to train and to test."""
    folder = films(tmp_path / "films", "1.png", "2.png")
    (folder / "films.csv").write_text("file,patient_id,region\n1.png,p1,hand\n2.png,p1,\n")
    found = read(folder, "file,fractured,region\n1.png,1,\n2.png,0,wrist\n")
    assert [(claim.patient_id, claim.regions) for claim in found.values()] == [("p1", {"hand"}), ("p1", {"wrist"})]
    with pytest.raises(BadValue, match=r"row 2: expected what films.csv says of '1.png' too, got patient_id 'p2'"):
        read(folder, "file,fractured,patient_id\n1.png,1,p2\n")


def test_unknown_is_no_normal_film(tmp_path):
    found = read(films(tmp_path / "films", "1.png", "2.png"), "file,label\n1.png,Unknown\n2.png,broken\n")
    assert [claim.fractured for claim in found.values()] == [None, True]


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("1.png,1,0,", "fractured, and not abnormal"),
        ("1.png,0,,broken", "labelled 'broken', and fractured=0"),
        ("9.png,0,,broken", "named in labels.csv, no film on disk"),
    ],
)
def test_what_contradicts_itself_is_set_aside_with_its_reason(tmp_path, row, problem):
    folder = films(tmp_path / "films", "1.png", "2.png")
    found = read(folder, f"file,fractured,abnormal,label\n{row}\n2.png,,,broken\n")
    assert [claim.problem for claim in found.values() if claim.problem] == [problem]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("file,fractured\n1.png,maybe\n", "row 2, column fractured: expected 1 or 0, .*, got 'maybe'"),
        ("file,region\n1.png,hand\n", "expected a column out of fractured, abnormal, label, got file, region"),
        ("file,fractured\n1.png,1\n1.png,0\n", "row 3, column file: expected every film once"),
        ("file,fractured,split\n1.png,1,train\n", "the names split mean something else in a manifest"),
        ("file,label\n1.png,whole\n", "expected fracture classes out of"),
        ("film,fractured\n1.png,1\n", "expected a column file"),
        ("file,region\n", "expected a column out of fractured, abnormal, label, got file, region"),
    ],
)
def test_a_table_that_says_nothing_that_can_be_read_is_refused(tmp_path, text, told):
    with pytest.raises(BadValue, match=told):
        read(films(tmp_path / "films", "1.png"), text)


def test_the_command_makes_a_stage_that_a_detector_does_not_learn_from(tmp_path, monkeypatch, capsys):
    folder = films(tmp_path / "films", "1.png", "2.png")
    (tmp_path / "labels.csv").write_text("file,fractured\n1.png,1\n2.png,0\n")
    asked = ["--format", "csv", "--images", folder, "--annotations", tmp_path / "labels.csv", "--name", "mine"]
    asked += ["--region", "wrist", "--out", tmp_path / "stage"]
    monkeypatch.setattr(sys, "argv", ["ingest", *map(str, asked)])
    assert command.main() == 0
    broken, normal = manifest.load(tmp_path / "stage")
    assert (broken.fractured, broken.boxes, normal.fractured, normal.boxes) == (True, None, False, ())
    assert not (tmp_path / "stage/labels/mine__1.txt").exists()
