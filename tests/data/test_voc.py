"""Pascal VOC sets: an XML file finds its film, whatever it calls it; one that cannot be read is that film's problem."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fracture.core.errors import BadValue, MissingData
from fracture.data import manifest
from fracture.data.ingest import Provenance, ingest
from fracture.data.labels import FractureClasses
from fracture.data.sources.voc import claims

ROOT = Path(__file__).parents[2]
ABOUT = Provenance("clinic", frozenset({"hand"}))


def film(path, size_px=(40, 30), kind="PNG"):
    path.parent.mkdir(parents=True, exist_ok=True)
    width, height = size_px
    noise = np.random.default_rng(len(str(path))).integers(0, 255, (height, width)).astype(np.uint8)
    Image.fromarray(noise).save(path, kind)
    return path


def voc(path, *objects, filename="of an older name.png", size_px=(40, 30)):
    """Write an XML file; an object is a class name, its box (5, 6, 15, 18)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    box = "<bndbox><xmin>5</xmin><ymin>6</ymin><xmax>15</xmax><ymax>18</ymax></bndbox>"
    drawn = "".join(f"<object><name>{name}</name>{box}</object>" for name in objects)
    size = f"<size><width>{size_px[0]}</width><height>{size_px[1]}</height><depth>1</depth></size>"
    text = f"<annotation><folder>x</folder><filename>{filename}</filename>{size}{drawn}</annotation>"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def folders(tmp_path):
    """Give the folders of films and of XML files, with one fractured film 0.png."""
    film(tmp_path / "JPEGImages/0.png")
    voc(tmp_path / "Annotations/0.xml", "fracture")
    return tmp_path / "JPEGImages", tmp_path / "Annotations"


def read(images, annotations, about=ABOUT):
    return {claim.image_id.removeprefix("clinic/"): claim for claim in claims(images, annotations, about)}


def test_objects_are_sorted_by_name(folders):
    images, xml = folders
    for name in "abc":
        film(images / f"{name}.png")
    voc(xml / "a.xml", "Fracture", "metal", "metal")
    voc(xml / "b.xml", "metal")
    voc(xml / "c.xml")
    (xml / "0.xml").unlink()
    found = read(images, xml)
    assert (found["a"].boxes, found["a"].kept) == (((5.0, 6.0, 15.0, 18.0),), {"Fracture": 1})
    assert (found["a"].claimed_px, found["a"].regions) == ((40, 30), {"hand"})
    assert {name: (claim.fractured, claim.boxes, claim.dropped) for name, claim in found.items() if name in "bc"} == {
        "b": (False, (), {"metal": 1}),
        "c": (False, (), {}),
    }
    assert not [claim for name, claim in found.items() if (claim.notes or claim.problem) and name != "0"]


def test_an_empty_xml_may_mean_unknown(folders):
    voc(folders[1] / "0.xml", size_px=(0, 0))
    about = Provenance("clinic", classes=FractureClasses(everything=True), empty_is_normal=False)
    claim = read(*folders, about)["0"]
    assert (claim.fractured, claim.boxes, claim.claimed_px) == (None, None, None)


def test_classes_are_checked_before_the_first_claim(folders):
    with pytest.raises(BadValue, match=r"'fracture'.*'fissure'"):
        claims(*folders, Provenance("clinic", classes=FractureClasses(("fissure",))))
    with pytest.raises(BadValue, match="no indices, got 0"):
        claims(*folders, Provenance("clinic", classes=FractureClasses(index=0)))


def test_what_is_not_there_is_named(folders, tmp_path):
    (tmp_path / "empty").mkdir()
    for images, annotations in ((tmp_path / "empty", folders[1]), (folders[0], tmp_path / "empty")):
        with pytest.raises(MissingData, match="empty"):
            claims(images, annotations, ABOUT)


# Which film is meant


@pytest.mark.parametrize(
    ("image", "xml", "filename"),
    [
        ("a.jpg", "a.xml", "b.jpg"),
        ("p 1/骨 ü.jpg", "p 1/骨 u\u0308.xml", ""),
        ("a.jpg", "deep/a.xml", ""),
        ("deep/a.jpg", "a.XML", ""),
        ("a.jpg", "0001.xml", "a.jpg"),
        ("deep/a.jpg", "0001.xml", "C:\\films\\a.jpg"),
    ],
)
def test_an_xml_file_finds_its_film(folders, image, xml, filename):
    film(folders[0] / image, kind="JPEG")
    voc(folders[1] / xml, "fracture", filename=filename)
    found = read(*folders)
    assert len(found) == 2
    assert found[image.removesuffix(".jpg")].fractured is True
    assert found[image.removesuffix(".jpg")].problem is None


def test_orphans_of_both_kinds_are_reported(folders):
    film(folders[0] / "lonely.png")
    voc(folders[1] / "deep/lost.xml", "fracture")
    (folders[1] / "._0.xml").write_bytes(b"left by macOS")
    found = read(*folders)
    assert set(found) == {"0", "lonely", "deep/lost"}
    assert (found["lonely"].fractured, found["lonely"].notes) == (None, ("no annotation names it: nobody looked",))
    assert (found["deep/lost"].problem, found["deep/lost"].kept) == ("annotated, no film on disk", {"fracture": 1})


def test_a_suffix_in_the_filename_decides_between_namesakes(folders):
    film(folders[0] / "0.jpg", kind="JPEG")
    voc(folders[1] / "0.xml", "fracture", filename="0.jpg")
    found = read(*folders)
    assert {name: claim.fractured for name, claim in found.items()} == {"0.jpg": True, "0.png": None}
    assert not found["0.png"].problem


def test_namesakes_that_nothing_tells_apart_are_a_problem(folders):
    film(folders[0] / "0.jpg", kind="JPEG")
    film(folders[0] / "a.png")
    voc(folders[1] / "a.xml", "fracture")
    found = read(*folders)
    assert {name: bool(claim.problem) for name, claim in found.items()} == {"0.jpg": True, "0.png": True, "a": False}
    assert "0.xml" in found["0.jpg"].problem
    assert found["0.jpg"].fractured is None


def test_films_of_one_stem_in_several_folders_are_not_mixed_up(folders):
    for patient in ("p1", "p2"):
        film(folders[0] / patient / "image1.png")
    for patient in ("p1", "p3"):
        voc(folders[1] / patient / "image1.xml", "fracture")
    found = read(*folders)
    assert (found["p1/image1"].fractured, found["p1/image1"].problem) == (True, None)
    assert "p3/image1.xml" in found["p2/image1"].problem
    film(folders[0] / "p3/image1.png")
    found = read(*folders)
    assert [found[f"p{number}/image1"].fractured for number in (1, 2, 3)] == [True, None, True]
    assert not [name for name, claim in found.items() if claim.problem]


def test_an_xml_file_does_not_take_a_film_that_has_its_own(folders):
    voc(folders[1] / "old/0.xml", "fracture")
    found = read(*folders)
    assert (found["0"].problem, len(found["0"].boxes)) == (None, 1)
    assert found["old/0"].problem == "annotated, no film on disk"


def test_two_xml_files_of_one_film_are_a_problem(folders):
    film(folders[0] / "a.png")
    for reader in ("reader1", "reader2"):
        voc(folders[1] / reader / "a.xml", "fracture")
    assert "not certain" in read(*folders)["a"].problem


# Files that cannot be read


@pytest.mark.parametrize(
    "content",
    [
        "<annotation>",
        "",
        "<html/>",
        "<annotation><object><name>fracture</name></object></annotation>",
        '<!DOCTYPE a [<!ENTITY b "c">]><annotation>&b;</annotation>',
    ],
)
def test_a_malformed_xml_file_is_a_problem_of_its_film_alone(folders, tmp_path, content):
    film(folders[0] / "bad.png")
    (folders[1] / "bad.xml").write_text(content)
    (folders[1] / "lost.xml").write_text(content)
    found = read(*folders)
    assert "bad.xml" in found["bad"].problem
    assert found["bad"].fractured is None
    assert "lost.xml" in found["lost"].problem
    records = ingest(found.values(), tmp_path / "out", workers=1)
    assert [record.image_id for record in records if record.split != "set_aside"] == ["clinic/0"]


# End to end


def test_films_csv_says_who_the_patient_is(folders):
    (folders[0] / "films.csv").write_text("file;patient_id;region\n0.png;p1;wrist\n")
    claim = read(*folders)["0"]
    assert (claim.patient_id, claim.regions) == ("p1", {"wrist"})


def test_the_command_gives_an_account(tmp_path):
    for part, number in (("train", 1), ("valid", 2)):
        name = f"a b_png.rf.{number}"
        film(tmp_path / "set" / part / f"{name}.jpg", kind="JPEG")
        voc(tmp_path / "set" / part / f"{name}.xml", "break", "metal")
    film(tmp_path / "set/train/small.jpg", (20, 20), "JPEG")
    voc(tmp_path / "set/train/small.xml", "break")
    command = [sys.executable, ROOT / "scripts/ingest_folder.py", "--format", "voc", "--images", "set"]
    command += ["--annotations", "set", "--out", "stage", "--name", "clinic-b", "--region", "leg"]
    command += ["--fracture-names", "Break, metal"]
    done = subprocess.run(list(map(str, command)), cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "3 films in = 2 kept + 1 set aside\n" in done.stdout
    assert "classes kept as fractures: break 3, metal 2\nclasses dropped: none" in done.stdout
    records = manifest.load(tmp_path / "stage")
    assert {record.group_id for record in records if record.split is None} == {"clinic-b/a b"}
    assert [record.attributes["export_split"] for record in records] == ["train", "train", "val"]
    # The two classes were drawn with one and the same box, which counts once.
    assert [len(record.boxes) for record in records if record.split is None] == [1, 1]
