"""YOLO exports become claims: films and labels matched, fractures found by name, nothing lost and nothing guessed."""

import json

import numpy as np
import pytest
from PIL import Image

from fracture.core.errors import BadValue, MissingData
from fracture.data.ingest import Provenance, ingest
from fracture.data.labels import FractureClasses
from fracture.data.sources.yolo_folders import claims

ABOUT = Provenance("set", frozenset({"leg"}), "CC0", "nobody")
NAMES = "names: [metal, fracture]\nnc: 2\n"
METAL, BREAK = "0 0.2 0.2 0.2 0.2\n", "1 0.5 0.5 0.2 0.4\n"
BREAK_BOX = (0.4, 0.3, 0.6, 0.7)


def film(path, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng([seed, *path.name.encode()]).integers(0, 255, (30, 40))
    Image.fromarray(pixels.astype(np.uint8)).save(path)
    return path


def label(path, text=BREAK):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def export(root, **films):
    """Write a Roboflow export: split__stem=label text, None for none."""
    label(root / "data.yaml", NAMES)
    for name, text in films.items():
        split, stem = name.split("__")
        film(root / split / "images" / f"{stem}.jpg")
        if text is not None:
            label(root / split / "labels" / f"{stem}.txt", text)
    return root


def read(images, labels=None, about=ABOUT, data_yaml=None):
    return {claim.image_id: claim for claim in claims(images, labels or images, about, data_yaml)}


def said(claim):
    return claim.fractured, claim.boxes


def test_films_are_found_by_their_content_under_any_suffix(tmp_path):
    names = {"noext": "noext", "1.2.840.5": "1.2.840.5", "1.2.840.6": "1.2.840.6", "c.jfif": "c", "d.IMA": "d"}
    for name, stem in names.items():
        film(tmp_path / "images" / "x.png", len(stem)).rename(tmp_path / "images" / name)
        label(tmp_path / "labels" / f"{stem}.txt")
    film(tmp_path / "images" / "unlabelled.tmp.png").rename(tmp_path / "images" / "unlabelled.bin")
    (tmp_path / "images" / "Thumbs.db").write_bytes(b"no film")
    label(tmp_path / "data.yaml", NAMES)
    found = read(tmp_path / "images", tmp_path / "labels")
    assert {claim.file.name for claim in found.values()} == {*names, "unlabelled.bin"}
    for claim in found.values():
        assert claim.problem is None
        assert claim.boxes == (None if claim.file.name == "unlabelled.bin" else (pytest.approx(BREAK_BOX),))


def test_a_roboflow_export_is_read_from_its_root(tmp_path):
    root = export(tmp_path, train__a=BREAK + METAL, valid__b="", test__c=METAL)
    label(root / "README.roboflow.txt", "exported")
    label(root / "README.dataset.txt", "exported")
    found = read(root)
    assert sorted(found) == ["set/test/c", "set/train/a", "set/valid/b"]
    a, b, c = found["set/train/a"], found["set/valid/b"], found["set/test/c"]
    assert a.boxes == (pytest.approx(BREAK_BOX),)
    assert (a.fractured, a.relative, dict(a.kept), dict(a.dropped)) == (True, True, {"fracture": 1}, {"metal": 1})
    assert said(b) == (False, ())
    assert said(c) == (False, ())
    assert dict(c.dropped) == {"metal": 1}
    assert [claim.attributes for claim in (a, b, c)] == [
        {"export_split": "train"},
        {"export_split": "val"},
        {"export_split": "test"},
    ]
    assert (a.source, a.licence, a.attribution, a.regions) == ("set", "CC0", "nobody", {"leg"})
    assert not any(claim.notes or claim.problem or claim.family for claim in found.values())


@pytest.mark.parametrize(
    ("image", "text"),
    [
        ("images/a.png", "labels/a.txt"),
        ("images/train/a.png", "labels/train/a.txt"),
        ("train/images/a.png", "train/labels/a.txt"),
        ("a.png", "a.txt"),
        ("deep/a.png", "deep/a.txt"),
        ("images/train/a.png", "train/a.txt"),
        ("images/train/a.png", "flat/a.txt"),
        ("images/a.png", "yolov5/labels/a.txt"),
    ],
)
def test_the_label_is_found_where_tools_put_it(tmp_path, image, text):
    film(tmp_path / image)
    label(tmp_path / text)
    label(tmp_path / "data.yaml", NAMES)
    (claim,) = read(tmp_path).values()
    assert (claim.fractured, claim.notes, claim.problem) == (True, (), None)


@pytest.mark.parametrize(
    ("image", "text"),
    [
        ("{}/images/1.png", "{}/labels/1.txt"),
        ("images/{}/1.png", "labels/{}/1.txt"),
        ("{}/images/1.png", "{}/images/1.txt"),
        ("{}/1.png", "{}/1.txt"),
        ("images/{}/1.png", "{}/1.txt"),
    ],
)
def test_films_of_one_name_in_two_folders_have_each_their_own_label(tmp_path, image, text):
    label(tmp_path / "data.yaml", NAMES)
    for split, content in (("train", BREAK), ("test", METAL)):
        film(tmp_path / image.format(split))
        label(tmp_path / text.format(split), content)
    found = {image_id: claim.fractured for image_id, claim in read(tmp_path).items()}
    assert found == {"set/train/1": True, "set/test/1": False}


@pytest.mark.parametrize(
    ("image", "text", "native"),
    [("a.png", "a.txt", "a"), ("train/a.png", "train/a.txt", "train/a"), ("a.png", "labels/a.txt", "a")],
)
def test_films_and_labels_may_be_two_roots(tmp_path, image, text, native):
    film(tmp_path / "films" / image)
    label(tmp_path / "yolo" / text)
    label(tmp_path / "yolo" / "meta.yaml", NAMES)
    (claim,) = read(tmp_path / "films", tmp_path / "yolo").values()
    assert (claim.image_id, claim.fractured) == (f"set/{native}", True)


def test_every_suffix_of_a_film_counts(tmp_path):
    names = ["1.PNG", "2.jpg", "3.JPEG", "4.bmp", "5.tif", "6.TIFF", "7.webp", "8.dcm", "9.Dicom"]
    for name in names:
        (tmp_path / name).write_bytes(b"")
        label((tmp_path / name).with_suffix(".txt"))
    label(tmp_path / "data.yaml", NAMES)
    (tmp_path / "notes.md").write_bytes(b"")
    (tmp_path / "._1.PNG").write_bytes(b"")
    label(tmp_path / ".cache" / "x.txt")
    film(tmp_path / ".cache" / "x.png")
    assert sorted(claim.file.name for claim in read(tmp_path).values()) == names


def test_a_film_without_a_label_is_unknown(tmp_path):
    claim = read(export(tmp_path, train__a=BREAK, train__b=None))["set/train/b"]
    assert (claim.fractured, claim.boxes, claim.problem) == (None, None, None)
    assert claim.notes == ("no label: nobody said",)


def test_a_label_without_a_film_is_set_aside_and_counted(tmp_path):
    root = export(tmp_path, train__a=BREAK)
    label(root / "valid/labels/gone.txt")
    claim = read(root)["set/valid/gone"]
    assert claim.problem == "label valid/labels/gone.txt without a film"
    assert claim.file == root / "valid/images/gone.jpg"
    assert claim.attributes == {"export_split": "val"}


def test_a_label_of_another_split_is_not_borrowed(tmp_path):
    root = export(tmp_path, train__a=BREAK, train__b=None)
    label(root / "valid/labels/b.txt")
    found = read(root)
    assert said(found["set/train/b"]) == (None, None)
    assert "without a film" in found["set/valid/b"].problem


def test_a_label_that_two_films_could_mean_is_nobody_s(tmp_path):
    for split in ("train", "valid"):
        film(tmp_path / "images" / split / "a.png")
    film(tmp_path / "images" / "b.png")
    for stem in "ab":
        label(tmp_path / "labels" / f"{stem}.txt")
    label(tmp_path / "data.yaml", NAMES)
    found = read(tmp_path / "images", tmp_path / "labels")
    assert {image_id: claim.fractured for image_id, claim in found.items()} == {
        "set/train/a": None,
        "set/valid/a": None,
        "set/b": True,
        "set/a": True,
    }
    assert "without a film" in found["set/a"].problem


def test_films_of_one_name_keep_their_suffix_and_share_their_label(tmp_path):
    label(tmp_path / "data.yaml", NAMES)
    film(tmp_path / "images/a.jpg")
    film(tmp_path / "images/a.png")
    film(tmp_path / "images/b.png")
    label(tmp_path / "labels/a.txt")
    label(tmp_path / "labels/b.txt")
    found = read(tmp_path)
    assert sorted(found) == ["set/a.jpg", "set/a.png", "set/b"]
    assert found["set/a.jpg"].boxes == found["set/a.png"].boxes != ()
    assert found["set/a.jpg"].notes == found["set/a.png"].notes == ("2 films of one name share a label",)
    records = ingest(found.values(), tmp_path / "out", workers=1)
    assert len({record.path for record in records if record.split is None}) == 3


def test_an_id_says_where_a_film_lies_when_the_images_folder_is_all_that_differs(tmp_path):
    label(tmp_path / "data.yaml", NAMES)
    film(tmp_path / "images/a.png")
    film(tmp_path / "a.png")
    label(tmp_path / "labels/a.txt")
    label(tmp_path / "a.txt", METAL)
    found = read(tmp_path)
    assert {image_id: claim.fractured for image_id, claim in found.items()} == {"set/images/a": True, "set/a": False}


def test_unicode_and_spaces_pass(tmp_path):
    root = tmp_path / "Meine Bilder é"
    label(root / "data.yaml", NAMES)
    film(root / "train/images/Hüfte links (2).png")
    label(root / "train/labels/Hüfte links (2).txt")
    (record,) = ingest(claims(root, root, ABOUT), tmp_path / "out dir", workers=1)
    assert (record.image_id, record.split) == ("set/train/Hüfte links (2)", None)
    assert record.boxes == (pytest.approx((16, 9, 24, 21)),)
    assert (tmp_path / "out dir" / record.path).is_file()


@pytest.mark.parametrize("text", ["5 0.5 0.5 0.2 0.4", "1 0.5 0.5 0.2", "1 a b c d"])
def test_an_unreadable_label_sets_one_film_aside(tmp_path, text):
    found = read(export(tmp_path, train__a=text, train__b=BREAK))
    assert "a.txt line 1" in found["set/train/a"].problem
    assert said(found["set/train/a"]) == (None, None)
    assert found["set/train/b"].problem is None


def test_an_empty_label_says_nothing_where_every_film_is_fractured(tmp_path):
    about = Provenance("set", empty_is_normal=False)
    found = read(export(tmp_path, train__a="", train__b=METAL, train__c=BREAK), about=about)
    assert said(found["set/train/a"]) == (None, None)
    assert said(found["set/train/b"]) == (False, ())
    assert found["set/train/c"].fractured is True


HASH = "0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize(
    ("name", "family"),
    [
        (f"a_jpg.rf.{HASH}.jpg", "a"),
        (f"a_PNG.rf.{HASH}.jpg", "a"),
        (f"a_jpeg.rf.{HASH}.jpg", "a"),
        (f"a.rf.{HASH}.jpg", "a"),
        (f"a.b_jpg_png.rf.{HASH}.jpg", "a.b_jpg"),
        ("a_jpg.rf.Zk3xY9.jpg", "a"),
        ("a_jpg.jpg", None),
        ("a.rf.jpg", None),
        ("a.jpg", None),
    ],
)
def test_augmented_copies_name_their_film(tmp_path, name, family):
    label(tmp_path / "data.yaml", NAMES)
    label(film(tmp_path / name).with_suffix(".txt"))
    (claim,) = read(tmp_path).values()
    assert claim.family == family


def test_copies_are_one_family_across_splits(tmp_path):
    root = tmp_path / "export"
    label(root / "data.yaml", NAMES)
    for split, digit in (("train", "1"), ("train", "2"), ("test", "3")):
        film(root / split / "images" / f"a_jpg.rf.{digit * 32}.jpg")
        label(root / split / "labels" / f"a_jpg.rf.{digit * 32}.txt")
    records = ingest(claims(root, root, ABOUT), tmp_path / "out", workers=1)
    assert len({record.image_id for record in records}) == 3
    assert {record.group_id for record in records} == {"set/a"}


def test_classes_go_by_name_not_by_number(tmp_path):
    root = export(tmp_path, train__a="0 0.5 0.5 0.2 0.4\n")
    assert read(root)["set/train/a"].fractured is False
    label(root / "data.yaml", "names: {1: metal, 0: Fracture}")
    assert read(root)["set/train/a"].fractured is True


@pytest.mark.parametrize(
    ("classes", "kept"),
    [
        (FractureClasses(everything=True), {"fracture": 1, "metal": 1}),
        (FractureClasses(("METAL",)), {"metal": 1}),
        (FractureClasses(index=0), {"metal": 1}),
    ],
)
def test_a_person_says_which_classes_are_fractures(tmp_path, classes, kept):
    found = read(export(tmp_path, train__a=METAL + BREAK), about=Provenance("set", classes=classes))
    assert dict(found["set/train/a"].kept) == kept


@pytest.mark.parametrize(
    ("classes", "kept"),
    [(FractureClasses(everything=True), {"0": 1, "1": 1}), (FractureClasses(index=1), {"1": 1})],
)
def test_numbers_do_without_a_class_list(tmp_path, classes, kept):
    root = export(tmp_path, train__a=METAL + BREAK)
    (root / "data.yaml").unlink()
    found = read(root, about=Provenance("set", classes=classes))
    assert dict(found["set/train/a"].kept) == kept


def test_names_cannot_be_found_without_a_class_list(tmp_path):
    root = export(tmp_path, train__a=BREAK)
    (root / "data.yaml").rename(tmp_path / "elsewhere.yml")
    with pytest.raises(BadValue, match=r"--data-yaml.*--fracture-class"):
        claims(root, root, ABOUT)
    assert read(root, data_yaml=tmp_path / "elsewhere.yml")["set/train/a"].fractured is True


def test_wrong_class_names_are_refused_before_the_first_claim(tmp_path):
    root = export(tmp_path, train__a=BREAK)
    with pytest.raises(BadValue, match=r"'metal', 'fracture'.*'break'"):
        claims(root, root, Provenance("set", classes=FractureClasses(("break",))))


def test_two_class_lists_that_disagree_are_refused(tmp_path):
    root = export(tmp_path, train__a=BREAK)
    label(root / "meta.yaml", NAMES)
    assert len(read(root)) == 1
    label(root / "meta.yaml", "names: [fracture, metal]")
    with pytest.raises(BadValue, match=r"data\.yaml, .*meta\.yaml.*--data-yaml"):
        claims(root, root, ABOUT)
    assert read(root, data_yaml=root / "meta.yaml")["set/train/a"].fractured is False


@pytest.mark.parametrize("missing", ["films", "labels", "folder"])
def test_a_wrong_tree_is_named(tmp_path, missing):
    root = export(tmp_path / "export", train__a=BREAK)
    where = root / "nowhere" if missing == "folder" else root
    if missing == "films":
        (root / "train/images/a.jpg").unlink()
    if missing == "labels":
        (root / "train/labels/a.txt").unlink()
    with pytest.raises(MissingData, match="expected labels" if missing == "labels" else "expected films"):
        claims(where, where, ABOUT)


def test_lists_and_readmes_are_no_labels_unless_a_film_is_called_so(tmp_path):
    root = export(tmp_path, train__a=BREAK)
    for name in ("classes", "README", "train", "test", "LICENSE"):
        label(root / f"{name}.txt", "words")
    film(root / "train/images/test.jpg")
    label(root / "train/labels/test.txt", METAL)
    found = read(root)
    assert {image_id: claim.problem for image_id, claim in found.items()} == {
        "set/train/a": None,
        "set/train/test": None,
    }


def test_films_csv_says_more_about_a_film(tmp_path):
    root = export(tmp_path, train__a=BREAK, train__b="")
    label(
        root / "films.csv", "file,patient_id,view,region,side\ntrain/images/a.jpg,p1,lateral,hip,left\ngone.jpg,p2,,,\n"
    )
    found = read(root)
    a, b = found["set/train/a"], found["set/train/b"]
    assert (a.patient_id, a.view, a.regions) == ("p1", "lateral", {"hip"})
    assert a.attributes == {"export_split": "train", "side": "left"}
    assert (b.patient_id, b.regions) == (None, {"leg"})
    assert found["set/gone"].problem == "named in films.csv, no film on disk"


def test_ingest_accounts_for_every_claim(tmp_path):
    root = export(tmp_path / "export", train__a=BREAK + METAL, train__b=None, valid__c="", valid__d="9 1 1 1 1")
    label(root / "valid/labels/gone.txt")
    (root / "train/images/e.jpg").write_bytes(b"no film")
    label(root / "train/labels/e.txt")
    found = list(claims(root, root, ABOUT))
    records = {record.image_id: record for record in ingest(found, tmp_path / "out", workers=1)}
    assert len(records) == len(found) == 6
    aside = {image_id for image_id, record in records.items() if record.split == "set_aside"}
    assert aside == {"set/valid/d", "set/valid/gone", "set/train/e"}
    assert records["set/train/a"].boxes == (pytest.approx((16, 9, 24, 21)),)
    assert sorted(path.name for path in (tmp_path / "out/labels").iterdir()) == [
        "set__train__a.txt",
        "set__valid__c.txt",
    ]
    account = json.loads((tmp_path / "out/report.json").read_text(encoding="utf-8"))
    assert account["films"] == account["kept"] + account["set_aside"] == 6
    assert account["classes"] == {"kept": {"fracture": 3}, "dropped": {"metal": 1}}
