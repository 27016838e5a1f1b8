"""MURA as published: labels of studies, none of them a fracture, and names that repeat in every study."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fracture.core.errors import BadValue, MissingData
from fracture.data import manifest
from fracture.data.ingest import ingest
from fracture.data.sources.mura import REGIONS, build, claims

ROOT = Path(__file__).parents[2]
STUDIES = {
    "train/XR_WRIST/patient00001/study1_positive": 2,
    "train/XR_WRIST/patient00001/study2_negative": 1,
    "train/XR_FINGER/patient00001/study1_positive": 1,
    "train/XR_HUMERUS/patient00002/study1_negative": 1,
    "valid/XR_WRIST/patient00003/study1_positive": 1,
    "valid/XR_SHOULDER/patient00004/study1_negative": 1,
}
WRIST = "mura/XR_WRIST/patient00001/study1_positive/image1"


def film(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(sum(str(path).encode())).integers(0, 255, (30, 40)).astype(np.uint8)
    Image.fromarray(noise).save(path)


def write_list(root, part, rows, name="labeled_studies"):
    text = "".join(f"MURA-v1.1/{row}\n" for row in rows)
    (root / f"{part}_{name}.csv").write_text(text, encoding="utf-8")


@pytest.fixture
def mura(tmp_path):
    """Give the root of a MURA of 7 films, in a folder whose name is not MURA's."""
    root = tmp_path / "my MURA ü"
    for study, films in STUDIES.items():
        for number in range(1, films + 1):
            film(root / study / f"image{number}.png")
    for part in ("train", "valid"):
        rows = [f"{study}/,{int('positive' in study)}" for study in STUDIES if study.startswith(part)]
        write_list(root, part, rows)
    return root


def read(root, mode="classify"):
    return {claim.image_id: claim for claim in claims(root, mode)}


def test_abnormal_is_not_fracture(mura):
    found = read(mura)
    assert len(found) == 7
    abnormal = {name for name in found if "positive" in name}
    assert {name for name, claim in found.items() if claim.abnormal} == abnormal
    assert {found[name].fractured for name in abnormal} == {None}
    assert {found[name].fractured for name in found.keys() - abnormal} == {False}
    assert {(claim.boxes, claim.weak, claim.problem, claim.notes) for claim in found.values()} == {
        (None, False, None, ())
    }
    assert all("no redistribution" in claim.licence and claim.attribution for claim in found.values())


def test_where_a_film_comes_from(mura):
    claim = read(mura)["mura/XR_FINGER/patient00001/study1_positive/image1"]
    assert (claim.regions, claim.attributes) == ({"hand"}, {"area": "finger", "official_split": "train"})
    assert (claim.patient_id, claim.study_id) == ("patient00001", "XR_FINGER/patient00001/study1_positive")
    valid = read(mura)["mura/XR_SHOULDER/patient00004/study1_negative/image1"]
    assert (valid.regions, valid.attributes) == ({"shoulder"}, {"area": "shoulder", "official_split": "val"})
    assert set(REGIONS.values()) == {"hand", "wrist", "forearm", "elbow", "humerus", "shoulder"}


def test_a_weak_box_covers_an_abnormal_film_and_says_so(mura, tmp_path):
    found = read(mura, "weakbox")
    assert (found[WRIST].boxes, found[WRIST].relative, found[WRIST].weak) == (((0.0, 0.0, 1.0, 1.0),), True, True)
    normal = found["mura/XR_WRIST/patient00001/study2_negative/image1"]
    assert (normal.boxes, normal.weak, normal.fractured) == ((), False, False)
    records = {record.image_id: record for record in ingest(found.values(), tmp_path / "out", workers=1)}
    record = records[WRIST]
    assert (record.boxes, record.weak, record.fractured, record.flags) == (((0, 0, 40, 30),), True, None, frozenset())


def test_an_unknown_mode_answers_with_the_known_ones(mura):
    with pytest.raises(BadValue, match="classify, weakbox, got 'boxes'"):
        claims(mura, "boxes")


@pytest.mark.parametrize("mode", ["classify", "weakbox"])
def test_a_label_that_the_folder_contradicts_is_no_label(mura, mode):
    write_list(mura, "valid", ["valid/XR_WRIST/patient00003/study1_positive/,0"])
    claim = read(mura, mode)["mura/XR_WRIST/patient00003/study1_positive/image1"]
    assert (claim.abnormal, claim.fractured, claim.boxes, claim.weak) == (None, None, None, False)
    assert "valid_labeled_studies.csv says abnormal=0" in claim.notes[0]


def test_a_study_that_is_not_listed_goes_by_its_folder(mura):
    film(mura / "train/XR_ELBOW/patient00009/study1_positive/image1.png")
    film(mura / "train/XR_ELBOW/patient00009/study2/image1.png")
    found = read(mura)
    named, unnamed = (found[f"mura/XR_ELBOW/patient00009/{study}/image1"] for study in ("study1_positive", "study2"))
    assert (named.abnormal, named.notes) == (True, ("not in train_labeled_studies.csv",))
    assert (unnamed.abnormal, unnamed.fractured) == (None, None)


def test_a_folder_without_a_word_goes_by_the_list(mura):
    film(mura / "train/XR_ELBOW/patient00009/study2/image1.png")
    with (mura / "train_labeled_studies.csv").open("a", encoding="utf-8") as file:
        file.write("MURA-v1.1/train/XR_ELBOW/patient00009/study2/,1\n\n")
    claim = read(mura)["mura/XR_ELBOW/patient00009/study2/image1"]
    assert (claim.abnormal, claim.notes) == (True, ())


def test_resource_forks_are_no_films(mura, tmp_path):
    (mura / "train/XR_WRIST/patient00001/study1_positive/._image1.png").write_bytes(b"\0\5\26\7Mac OS X")
    found = read(mura)
    assert len(found) == 8
    junk = found["mura/XR_WRIST/patient00001/study1_positive/._image1"]
    assert junk.problem == "a macOS resource fork, not a film"
    assert sum(record.split == "set_aside" for record in ingest(found.values(), tmp_path / "out", workers=1)) == 1


def test_what_is_listed_and_not_there_stays_on_record(mura):
    (mura / "train/XR_WRIST/patient00001/study1_positive/image2.png").unlink()
    shutil.rmtree(mura / "valid/XR_WRIST")
    shutil.rmtree(mura / "valid/XR_SHOULDER")
    write_list(mura, "train", ["train/XR_WRIST/patient00001/study1_positive/image2.png"], "image_paths")
    write_list(mura, "valid", ["valid/XR_WRIST/patient00003/study1_positive/image1.png"], "image_paths")
    problems = {name.removeprefix("mura/"): claim.problem for name, claim in read(mura).items() if claim.problem}
    assert problems == {
        "XR_WRIST/patient00001/study1_positive/image2": "listed, no film on disk",
        "XR_WRIST/patient00003/study1_positive/image1": "listed, no film on disk",
        "XR_SHOULDER/patient00004/study1_negative": "a study in valid_labeled_studies.csv, no film on disk",
    }


@pytest.mark.parametrize("part", ["train", "valid"])
def test_a_missing_list_is_named(mura, part):
    (mura / f"{part}_labeled_studies.csv").unlink()
    with pytest.raises(MissingData, match=f"expected MURA's {part}_labeled_studies.csv at "):
        claims(mura)


def test_a_root_without_films_says_what_was_expected(mura):
    for part in ("train", "valid"):
        shutil.rmtree(mura / part)
    with pytest.raises(MissingData, match=r"train/XR_WRIST/patient00001/study1_positive/image1\.png"):
        claims(mura)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (["train/XR_WRIST/patient00001/study1_positive/"], "row 1: expected 1 or 0"),
        (["train/XR_WRIST/p/s/,1", "train/XR_WRIST/p/s/,0"], "row 2: expected every study once"),
        (["train/XR_WRIST/p/s/,yes"], "row 1: expected 1 or 0 .* got yes"),
        (["train/XR_WRIST/p/,1"], "row 1: expected a path"),
        (["train/XR_WRIST/../s/,1"], "row 1: expected a path"),
        (["valid/XR_WRIST/p/s/,1"], "row 1: expected a path like MURA-v1.1/train/"),
        (["train/XR_KNEE/p/s/,1"], "areas out of .*XR_WRIST, got XR_KNEE"),
    ],
)
def test_a_list_that_is_none_is_refused_before_the_first_claim(mura, rows, said):
    write_list(mura, "train", rows)
    with pytest.raises(BadValue, match=said):
        claims(mura)


# A stage and a tree where names repeat


def stage(root, out, **more):
    return build(list(claims(root)), out, "classify", workers=1, **more)


def tree(out):
    return sorted(path.relative_to(out / "classify").as_posix() for path in (out / "classify").rglob("*.png"))


def test_no_film_of_a_flat_tree_replaces_another(mura, tmp_path):
    out = tmp_path / "out"
    records = stage(mura, out)
    assert len({record.path for record in records}) == len(list((out / "images").rglob("*.png"))) == 7
    by_id = {record.image_id: record for record in records}
    assert by_id[WRIST].path == f"images/{WRIST.removeprefix('mura/')}.png"
    assert tree(out) == [
        "train/abnormal/mura__XR_FINGER__patient00001__study1_positive__image1.png",
        "train/abnormal/mura__XR_WRIST__patient00001__study1_positive__image1.png",
        "train/abnormal/mura__XR_WRIST__patient00001__study1_positive__image2.png",
        "train/normal/mura__XR_HUMERUS__patient00002__study1_negative__image1.png",
        "train/normal/mura__XR_WRIST__patient00001__study2_negative__image1.png",
        "val/abnormal/mura__XR_WRIST__patient00003__study1_positive__image1.png",
        "val/normal/mura__XR_SHOULDER__patient00004__study1_negative__image1.png",
    ]
    native = mura / "train/XR_WRIST/patient00001/study1_positive/image2.png"
    assert (out / "classify" / tree(out)[2]).samefile(native)
    assert len(list((out / "labels").iterdir())) == 3


def test_copies_are_copies(mura, tmp_path):
    stage(mura, tmp_path / "out", copy=True)
    (copied,) = (tmp_path / "out/classify/val/normal").iterdir()
    assert copied.stat().st_nlink == 1


def test_the_tree_follows_the_labels_of_the_day(mura, tmp_path):
    out = tmp_path / "out"
    stage(mura, out)
    write_list(mura, "valid", ["valid/XR_WRIST/patient00003/study1_positive/,0"])
    (mura / "train/XR_FINGER/patient00001/study1_positive/image1.png").write_bytes(b"no film")
    records = {record.image_id: record for record in stage(mura, out)}
    assert records["mura/XR_WRIST/patient00003/study1_positive/image1"].abnormal is None
    assert len(tree(out)) == 5
    assert not [name for name in tree(out) if "FINGER" in name or "patient00003" in name]
    assert not (out / "classify.partial").exists()


# The command


def command(*args, cwd):
    command = [sys.executable, ROOT / "scripts/mura_to_yolo.py", *args]
    return subprocess.run([str(word) for word in command], cwd=cwd, capture_output=True, text=True, check=False)


def test_the_command_gives_an_account(mura, tmp_path):
    (mura / "train/XR_WRIST/patient00001/study1_positive/._image1.png").write_bytes(b"junk")
    done = command("--src", mura, "--out", "stage", "--copy", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "8 films in = 7 kept + 1 set aside" in done.stdout
    assert "stage/classify/{train,val}/{abnormal,normal}; abnormal is not fracture" in done.stdout
    assert len(manifest.load(tmp_path / "stage")) == 8
    assert len(tree(tmp_path / "stage")) == 7


def test_the_command_warns_of_weak_boxes(mura, tmp_path):
    done = command("--src", mura, "--out", "stage", "--mode", "weakbox", cwd=tmp_path)
    assert "4 films with a weak box: nobody drew it, training refuses such films by default" in done.stdout
    assert not (tmp_path / "stage/classify").exists()


def test_the_command_refuses_in_one_line(tmp_path):
    done = command("--src", tmp_path, "--out", "stage", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("mura_to_yolo: expected MURA's train_labeled_studies.csv at ")
    assert "Traceback" not in done.stderr
