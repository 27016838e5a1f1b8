"""The Roboflow sets that are known by name, and any other: classes by name, licence as stated, copies in one family."""

import runpy
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fracture.core.errors import BadValue, MissingData
from fracture.data import manifest
from fracture.data.ingest import Provenance, ingest
from fracture.data.labels import FractureClasses
from fracture.data.sources import claims
from fracture.data.sources.roboflow import HUMERUS, export
from fracture.data.split import deal

DOOR = Path(__file__).parents[2] / "scripts/ingest_roboflow.py"
HUMERUS_NAMES = "nc: 4\nnames: ['oblique', 'segmental', 'spiral', 'transverse']\n"
SITES = (
    "dislocation",
    "grater trochanter",
    "intertrochanteric",
    "lesser trochanter",
    "neck",
    "normal",
    "subtrochanteric",
)
HIP_NAMES = "names:\n" + "".join(f"- {side}-{site}\n" for side in ("left", "right") for site in SITES)
STATED = """roboflow:
  workspace: {0}
  project: {1}
  version: 1
  license: CC BY 4.0
  url: https://universe.roboflow.com/{0}/{1}/dataset/1
"""


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def tree(root, data_yaml, **films):
    write(root / "data.yaml", data_yaml)
    for number, (stem, text) in enumerate(films.items()):
        split = ("train", "valid", "test")[number % 3]
        name = f"{stem[:-1]}_jpg.rf.{stem[-1] * 32}"
        path = root / split / "images" / f"{name}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 255, (30, 40))
        Image.fromarray(pixels.astype(np.uint8)).save(path)
        write(root / split / "labels" / f"{name}.txt", text)
    return root


def by_stem(found):
    return {claim.file.name.split("_")[0] + claim.file.stem[-1]: claim for claim in found}


def box(number):
    return f"{number} 0.5 0.5 0.2 0.4\n"


def polygon(number):
    return f"{number} 0.4 0.3 0.6 0.3 0.5 0.7\n"


@pytest.fixture
def humerus_tree(tmp_path):
    """Give the root of two films of the humerus set, one of them twice, one empty."""
    films = {"a1": box(0) + "3 0.2 0.2 0.2 0.2\n", "a2": box(2), "b1": ""}
    return tree(tmp_path / "HUMERUS", HUMERUS_NAMES + STATED.format("new-workspace-ozkjr", "humerus-ghx7b"), **films)


@pytest.fixture
def hip_tree(tmp_path):
    """Give the root of a hip export with every kind of class."""
    return tree(
        tmp_path / "HIP",
        HIP_NAMES,
        a1=polygon(2) + box(1),
        b1=box(0),
        c1=box(5) + polygon(12),
        d1="",
        e1=polygon(13) + box(7),
    )


def test_every_class_of_humerus_is_a_fracture(humerus_tree):
    found = by_stem(claims("humerus", humerus_tree))
    assert dict(found["a1"].kept) == {"oblique": 1, "transverse": 1}
    assert dict(found["a2"].kept) == {"spiral": 1}
    assert all(claim.regions == {"humerus"} for claim in found.values())
    assert {claim.abnormal for claim in found.values() if claim.fractured} == {True}


def test_an_empty_label_of_a_set_without_normals_is_unknown(humerus_tree, hip_tree):
    for name, root, stem in (("humerus", humerus_tree, "b1"), ("hip", hip_tree, "d1")):
        claim = by_stem(claims(name, root))[stem]
        assert (claim.fractured, claim.boxes, claim.abnormal) == (None, None, None)


def test_hip_keeps_fractures_and_drops_the_rest_counted(hip_tree):
    found = by_stem(claims("hip", hip_tree))
    said = {
        stem: (claim.fractured, claim.abnormal, dict(claim.kept), dict(claim.dropped)) for stem, claim in found.items()
    }
    assert said == {
        "a1": (True, True, {"left-intertrochanteric": 1}, {"left-grater trochanter": 1}),
        "b1": (False, True, {}, {"left-dislocation": 1}),
        "c1": (False, None, {}, {"left-normal": 1, "right-normal": 1}),
        "d1": (None, None, {}, {}),
        "e1": (True, True, {"right-subtrochanteric": 1}, {"right-dislocation": 1}),
    }
    assert found["a1"].boxes == (pytest.approx((0.4, 0.3, 0.6, 0.7)),)
    assert found["b1"].boxes == ()


@pytest.mark.parametrize(("name", "project"), [("humerus", "humerus-ghx7b"), ("hip", "proximal-femur-fracture")])
def test_other_classes_than_expected_are_refused_at_once(tmp_path, name, project):
    with pytest.raises(BadValue, match="'left', 'right'"):
        claims(name, tree(tmp_path / project, "names: [left, right]", a1=box(0)))


@pytest.mark.parametrize("name", ["humerus", "hip"])
def test_a_tree_without_a_class_list_or_films_is_refused_at_once(tmp_path, humerus_tree, name):
    (humerus_tree / "data.yaml").unlink()
    with pytest.raises(MissingData, match=r"data\.yaml"):
        claims(name, humerus_tree)
    write(tmp_path / "empty/data.yaml", HUMERUS_NAMES)
    with pytest.raises(MissingData, match="films"):
        claims(name, tmp_path / "empty")


@pytest.mark.parametrize(
    ("data_yaml", "readme", "licence"),
    [
        (STATED.format("w", "p"), "", "CC BY 4.0"),
        (STATED.format("w", "p"), "License: MIT", "CC BY 4.0"),
        ("", "# HUMERUS > v1\nhttps://universe.roboflow.com/w/p\n\nLicense: Public Domain \r\n", "Public Domain"),
        ("roboflow: {workspace: w}\n", "Provided by a Roboflow user\nlicense: MIT\n", "MIT"),
        ("roboflow: yes\n", "No License: here", "not stated"),
        ("", "", "not stated"),
    ],
)
@pytest.mark.parametrize("name", ["README.dataset.txt", "README.roboflow.txt"])
def test_the_licence_is_what_the_export_states(tmp_path, data_yaml, readme, licence, name):
    root = tree(tmp_path, HUMERUS_NAMES + data_yaml, a1=box(0))
    write(root / name, readme)
    (claim,) = claims("humerus", root)
    assert claim.licence == licence
    assert claim.attribution == ("Roboflow Universe, https://universe.roboflow.com/new-workspace-ozkjr/humerus-ghx7b")


def test_another_export_names_its_own_page_and_a_person_overrules_it(tmp_path):
    root = tree(tmp_path, HUMERUS_NAMES + STATED.format("some-one", "elbow-1"), a1=box(0))
    about = Provenance("elbow", frozenset({"elbow"}), classes=FractureClasses(everything=True))
    (claim,) = export(root, about)
    assert (claim.licence, claim.attribution) == (
        "CC BY 4.0",
        "Roboflow Universe, https://universe.roboflow.com/some-one/elbow-1",
    )
    (claim,) = export(root, replace(about, licence="CC0", attribution="them", external=True))
    assert (claim.licence, claim.attribution, claim.external) == ("CC0", "them", True)


def test_another_export_without_a_page_names_nobody(tmp_path):
    (claim,) = export(tree(tmp_path, HUMERUS_NAMES, a1=box(0)), replace(HUMERUS, attribution=""))
    assert claim.attribution == ""


def test_copies_of_a_film_are_one_group_after_ingest(humerus_tree, tmp_path):
    records = ingest(claims("humerus", humerus_tree), tmp_path / "out", workers=1)
    groups = {record.path.split("/")[-1][:1]: record.group_id for record in records}
    assert [record.group_id for record in records].count("humerus/a") == 2
    assert groups == {"a": "humerus/a", "b": "humerus/b"}
    assert all(record.split is None for record in records)
    labels = sorted(path.name for path in (tmp_path / "out/labels").iterdir())
    assert len(labels) == 2, "a film nobody drew on has no label, for an empty one means normal"


def command(monkeypatch, *flags):
    monkeypatch.setattr(sys, "argv", ["ingest_roboflow.py", *map(str, flags)])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(DOOR), run_name="__main__")
    return end.value.code


def test_the_command_ingests_a_preset(monkeypatch, capsys, hip_tree, tmp_path):
    assert (
        command(monkeypatch, "--src", hip_tree, "--out", tmp_path / "out", "--preset", "hip", "--external", "--copy")
        == 0
    )
    printed = capsys.readouterr().out
    assert "5 films in = 5 kept + 0 set aside" in printed
    assert "classes kept as fractures: left-intertrochanteric 1, right-subtrochanteric 1" in printed
    assert "left-dislocation 1" in printed
    assert "0 patients, 5 films of unknown patients; licence: not stated" in printed
    assert "report.json" in printed
    records = manifest.load(tmp_path / "out")
    assert all(record.external and record.source == "hip" for record in records)


@pytest.mark.parametrize(
    ("flags", "boxes"),
    [
        (["--all-fracture"], 3),
        (["--fracture-names", "oblique, spiral"], 2),
        (["--fracture-class", "3"], 1),
    ],
)
def test_the_command_ingests_any_export(monkeypatch, capsys, humerus_tree, tmp_path, flags, boxes):
    said = ["--name", "arm", "--region", "humerus,elbow", "--licence", "CC0", "--attribution", "them"]
    assert command(monkeypatch, "--src", humerus_tree, "--out", tmp_path / "out", *said, *flags) == 0
    assert f"{boxes} box" in capsys.readouterr().out
    record = manifest.load(tmp_path / "out")[0]
    assert (record.source, record.regions, record.licence, record.attribution) == (
        "arm",
        {"humerus", "elbow"},
        "CC0",
        "them",
    )


def test_films_of_published_parts_never_train(monkeypatch, humerus_tree, tmp_path):
    said = ["--name", "arm", "--region", "humerus", "--all-fracture", "--parts-published"]
    assert command(monkeypatch, "--src", humerus_tree, "--out", tmp_path / "out", *said) == 0
    records = manifest.load(tmp_path / "out")
    parts = {record.image_id: record.attributes["export_split"] for record in records}
    assert set(parts.values()) == {"train", "val", "test"}
    assert {record.image_id: record.attributes["official_split"] for record in records} == parts
    dealt = {record.image_id: record.split for record in deal(records, [], val=0.2, test=0, seed=0)}
    held = {record.group_id for record in records if parts[record.image_id] != "train"}
    assert held
    assert not [r for r in records if r.group_id in held and dealt[r.image_id] in {"train", "val"}]


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        (["--preset", "hip"], "left-neck"),
        (["--name", "arm", "--region", "arm"], "'arm'"),
        (["--name", "arm", "--region", "hip"], "'fracture'"),
        (["--name", "arm"], "--name needs --region"),
        ([], "--preset"),
    ],
)
def test_the_command_says_what_is_wrong(monkeypatch, capsys, humerus_tree, tmp_path, flags, complaint):
    assert command(monkeypatch, "--src", humerus_tree, "--out", tmp_path / "out", *flags) == 2
    assert complaint in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
