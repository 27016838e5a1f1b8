"""Films sorted into folders by class: the folder says it, nobody drew, and what no folder says is refused or told."""

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
from fracture.data.sources.folder import claims

ROOT = Path(__file__).parents[2]
BROKEN = FractureClasses(("broken bone",))


def film(path, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (40, 30), dtype=np.uint8)).save(path)


def read(folder, classes=BROKEN, **said):
    return {
        claim.image_id: claim for claim in claims("folders", folder, None, Provenance("set", classes=classes, **said))
    }


def test_the_folder_a_film_lies_in_is_its_class(tmp_path):
    for number, name in enumerate(("test/Broken_bone/1.png", "val/not fractured/1.png", "val/Broken-bone/deep/2.png")):
        film(tmp_path / name, number)
    found = read(tmp_path, FractureClasses(("broken bone", "deep")))
    assert {name: claim.fractured for name, claim in found.items()} == {
        "set/test/Broken_bone/1": True,
        "set/val/not fractured/1": False,
        "set/val/Broken-bone/deep/2": True,
    }
    assert {claim.boxes for claim in found.values()} == {None, ()}
    assert [claim.attributes["export_split"] for claim in found.values()] == ["test", "val", "val"]


def test_nobody_drew_on_a_fractured_film(tmp_path):
    film(tmp_path / "set/broken bone/1.png")
    film(tmp_path / "set/whole/2.png", 1)
    broken, whole = ingest(read(tmp_path / "set").values(), tmp_path / "out", workers=1)
    assert (broken.fractured, broken.boxes) == (True, None)
    assert (whole.fractured, whole.boxes) == (False, ())


def test_films_csv_says_who_the_patient_is(tmp_path):
    film(tmp_path / "broken bone/1.png")
    film(tmp_path / "whole/2.png", 1)
    (tmp_path / "films.csv").write_text("file,patient_id,region\nwhole/2.png,p1,wrist\nwhole/3.png,p2,\n")
    found = read(tmp_path)
    assert (found["set/whole/2"].patient_id, found["set/whole/2"].regions) == ("p1", {"wrist"})
    assert found["set/whole/3"].problem == "named in films.csv, no film on disk"
    assert found["set/whole/3"].fractured is None


@pytest.mark.parametrize(
    ("names", "classes", "complaint"),
    [
        (["whole/1.png", "2.png"], BROKEN, "got '2.png'"),
        (["whole/1.png", "fine/2.png"], BROKEN, "not among them"),
        (["broken bone/1.png"], BROKEN, "without a fracture too"),
        (["broken bone/1.png", "whole/1.png"], FractureClasses(index=1), "no indices, got 1"),
    ],
)
def test_what_folders_do_not_say_is_refused(tmp_path, names, classes, complaint):
    for name in names:
        film(tmp_path / name)
    with pytest.raises(BadValue, match=complaint):
        read(tmp_path, classes)


def test_a_folder_without_films_is_refused(tmp_path):
    with pytest.raises(MissingData):
        read(tmp_path)


@pytest.mark.parametrize(("kind", "where"), [("folders", Path("labels")), ("coco", None)])
def test_annotations_go_with_every_format_but_this(tmp_path, kind, where):
    film(tmp_path / "broken bone/1.png")
    with pytest.raises(BadValue, match="every format but folders"):
        claims(kind, tmp_path, where, Provenance("set"))


def test_the_command_ingests_folders(tmp_path):
    for number, name in enumerate(("fractured/1.png", "normal/2.png", "normal/3.png")):
        film(tmp_path / "set" / name, number)
    command = [sys.executable, ROOT / "scripts/ingest_folder.py", "--format", "folders", "--images", "set"]
    command += [
        "--out",
        "stage",
        "--name",
        "clinic",
        "--region",
        "unknown",
        "--fracture-names",
        "fractured",
        "--external",
    ]
    done = subprocess.run(list(map(str, command)), cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "3 films in = 3 kept + 0 set aside\n1 fractured, 0 boxes" in done.stdout
    assert "classes kept as fractures: fractured 1\nclasses dropped: normal 2" in done.stdout
    assert all(record.external for record in manifest.load(tmp_path / "stage"))
