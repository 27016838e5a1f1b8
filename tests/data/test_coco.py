"""COCO sets of a person's own: categories by name, films matched, patients from json and films.csv, nothing lost."""

import io
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import uid
from pydicom.dataset import Dataset, FileMetaDataset

from fracture.core.errors import BadValue, MissingData
from fracture.core.files import file_hash
from fracture.data import manifest
from fracture.data.ingest import Provenance, ingest
from fracture.data.labels import FractureClasses
from fracture.data.sources.annotated import native_ids
from fracture.data.sources.coco import claims
from fracture.data.sources.folder import claims as folder_claims

ROOT = Path(__file__).parents[2]
ABOUT = Provenance("clinic", frozenset({"hand"}), "CC0", "the clinic")


def film(path, size_px=(40, 30), kind="PNG"):
    path.parent.mkdir(parents=True, exist_ok=True)
    width, height = size_px
    noise = np.random.default_rng(len(str(path))).integers(0, 255, (height, width)).astype(np.uint8)
    Image.fromarray(noise).save(path, kind)
    return path


def dicom(path):
    """Write a 40 x 30 px DICOM film."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.1.1"
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = "1.2.3.3"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "1.2.3.1", "1.2.3.2"
    dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = 30, 40, 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit, dataset.PixelRepresentation = 15, 0
    dataset.PixelData = np.arange(1200, dtype="<u2").tobytes()
    dataset["PixelData"].VR = "OW"
    out = io.BytesIO()
    dataset.save_as(out, enforce_file_format=True)
    path.write_bytes(out.getvalue())


def image(number, name, size_px=(40, 30), **more):
    return {"id": number, "file_name": name, "width": size_px[0], "height": size_px[1], **more}


def drawn(image_id, category_id=1, bbox=(5, 6, 10, 12), number=1, **more):
    return {"id": number, "image_id": image_id, "category_id": category_id, "bbox": list(bbox), **more}


CATEGORIES = ({"id": 0, "name": "bones"}, {"id": 1, "name": "Fracture"}, {"id": 2, "name": "metal"})


def coco(path, images, annotations=(), categories=CATEGORIES):
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"images": images, "annotations": list(annotations), "categories": list(categories)}
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    return path


def read(images, annotations, about=ABOUT):
    return {claim.image_id: claim for claim in claims(images, annotations, about)}


@pytest.fixture
def one(tmp_path):
    """Give a folder with the one film a.png, and how to read it with what a json says."""
    film(tmp_path / "films/a.png")

    def of(annotations=(), images=None, categories=CATEGORIES, about=ABOUT):
        file = coco(tmp_path / "boxes.json", images or [image(7, "a.png")], annotations, categories)
        return read(tmp_path / "films", file, about)

    return of


# What is drawn


def test_a_box_becomes_corners_and_other_objects_are_counted(one):
    claim = one([drawn(7), drawn(7, 2), drawn(7, 2)])["clinic/a"]
    assert (claim.fractured, claim.boxes) == (True, ((5.0, 6.0, 15.0, 18.0),))
    assert (claim.kept, claim.dropped) == ({"Fracture": 1}, {"metal": 2})
    assert (claim.claimed_px, claim.relative, claim.problem, claim.notes) == ((40, 30), False, None, ())
    assert (claim.source, claim.licence, claim.attribution, claim.regions) == ("clinic", "CC0", "the clinic", {"hand"})


def test_a_listed_film_without_objects_is_normal_unless_the_set_says_otherwise(one):
    assert (one()["clinic/a"].fractured, one()["clinic/a"].boxes) == (False, ())
    unknown = one(about=Provenance("clinic", empty_is_normal=False))["clinic/a"]
    assert (unknown.fractured, unknown.boxes, unknown.notes) == (None, None, ())


@pytest.mark.parametrize("empty_is_normal", [True, False])
def test_a_film_with_other_objects_only_was_looked_at(one, empty_is_normal):
    claim = one([drawn(7, 2)], about=Provenance("clinic", empty_is_normal=empty_is_normal))["clinic/a"]
    assert (claim.fractured, claim.boxes, claim.dropped) == (False, (), {"metal": 1})


@pytest.mark.parametrize("bbox", [[], None])
def test_polygons_give_the_box_where_there_is_none(one, bbox):
    polygons = [[1, 2, 9, 4, 5, 20], [30, 8, 31, 9, 30.5, 1]]
    note = {"id": 1, "image_id": 7, "category_id": 1, "bbox": bbox, "segmentation": polygons}
    assert one([note])["clinic/a"].boxes == ((1.0, 1.0, 31.0, 20.0),)


@pytest.mark.parametrize(
    "broken",
    [
        {"segmentation": {"counts": [30, 0, 1170], "size": [30, 40]}},
        {"segmentation": {"counts": [30, 40_000], "size": [30, 40]}},
        {"bbox": [0.1, 0.2, 0.3, 0.4]},
        {"bbox": [1, 2, 3, True]},
        {"bbox": ["1", "2", "3", "wide"]},
        {"bbox": [1, 2, 5, 6], "segmentation": [[1, 2, 30, 2, 30, 20]]},
        {"segmentation": []},
        {"segmentation": [[1, 2, 3]]},
        {"segmentation": [[]]},
        {"bbox": [1, 2, 3]},
        {"bbox": [1, 2, 3, float("nan")]},
        {"bbox": [1, 2, 3, 10**400]},
        {"bbox": "all"},
    ],
)
def test_an_object_without_a_box_is_a_problem_of_its_film(one, broken):
    claim = one([{"id": 99, "image_id": 7, "category_id": 1, **broken}])["clinic/a"]
    assert "99" in claim.problem
    assert "bbox" in claim.problem
    assert claim.fractured is None


@pytest.mark.parametrize(
    ("bbox", "more", "box"),
    [
        ([0, 0, 0, 0], {"segmentation": [[5, 6, 15, 6, 15, 18]]}, (5, 6, 15, 18)),
        ([5, 6, 0, 0], {"segmentation": [5, 6, 15, 6, 15, 18]}, (5, 6, 15, 18)),
        (None, {"segmentation": {"counts": [96, 2, 28, 3, 1071], "size": [30, 40]}}, (3, 6, 5, 9)),
        (None, {"segmentation": {"counts": "P32l01cP1", "size": [30, 40]}}, (3, 6, 5, 9)),
        ([15, 18, -10, -12], {}, (5, 6, 15, 18)),
        (["5", "6,0", " 10 ", "12"], {}, (5, 6, 15, 18)),
    ],
)
def test_a_box_is_found_however_it_was_written(one, bbox, more, box):
    """The mask: 96 pixels are 3 columns of 30 and 6 rows; then rows 6 and 7, and 6 to 8 of the next column.

    Its text is what pycocotools 2.0 makes of it.
    """
    claim = one([drawn(7, bbox=bbox or (), **more)])["clinic/a"]
    assert (claim.problem, claim.boxes) == (None, (box,))


def test_a_run_length_mask_with_a_box_is_fine(one):
    assert one([drawn(7, segmentation={"counts": "x", "size": [30, 40]})])["clinic/a"].problem is None


# Categories


def test_two_categories_of_one_name_are_one_class(one):
    twice = [{"id": 1, "name": "fracture"}, {"id": 5, "name": "fracture"}]
    claim = one([drawn(7, 1), drawn(7, 5, (1, 1, 5, 5))], categories=twice)["clinic/a"]
    assert (len(claim.boxes), claim.kept) == (2, {"fracture": 2})


def test_classes_are_checked_before_the_first_claim(tmp_path):
    film(tmp_path / "films/a.png")
    file = coco(tmp_path / "boxes.json", [image(7, "a.png")])
    with pytest.raises(BadValue, match=r"'Fracture'.*'fissure'"):
        claims(tmp_path / "films", file, Provenance("clinic", classes=FractureClasses(("fissure",))))


def test_every_class_may_be_a_fracture(one):
    about = Provenance("clinic", classes=FractureClasses(everything=True))
    assert one([drawn(7, 2)], about=about)["clinic/a"].kept == {"metal": 1}


def test_an_index_is_the_category_id_that_a_person_reads(one):
    metal = [{"id": 2, "name": "metal"}, {"id": 1, "name": "Fracture"}]
    about = Provenance("clinic", classes=FractureClasses(index=1))
    assert one([drawn(7, 1)], categories=metal, about=about)["clinic/a"].kept == {"Fracture": 1}
    with pytest.raises(BadValue, match="got 3 of 2 'metal', 1 'Fracture'"):
        one(categories=metal, about=Provenance("clinic", classes=FractureClasses(index=3)))


def test_an_index_that_means_two_classes_is_refused(tmp_path):
    film(tmp_path / "a.png")
    coco(tmp_path / "1.json", [image(1, "a.png")])
    coco(tmp_path / "2.json", [image(1, "a.png")], categories=[{"id": 1, "name": "metal"}])
    with pytest.raises(BadValue, match="one name in every json"):
        claims(tmp_path, tmp_path, Provenance("clinic", classes=FractureClasses(index=1)))


# A json that is none of ours


@pytest.mark.parametrize(
    ("images", "annotations", "categories", "said"),
    [
        ([image(7, "a.png")], [drawn(8)], CATEGORIES, r"annotations\[0\].*image_id.*got 8"),
        ([image(7, "a.png")], [drawn(7, 9)], CATEGORIES, r"annotations\[0\].*1 'Fracture'.*got 9"),
        ([image(7, "a.png"), image(7, "b.png")], [], CATEGORIES, r"images\[1\].*got 7 again"),
        ([image(7, "a.png")], [], [{"id": 1, "name": "a"}, {"id": 1, "name": "b"}], r"categories\[1\].*'a' and 'b'"),
        ([{"id": 7}], [], CATEGORIES, r"images\[0\].*file_name"),
        ([image(7, "..")], [], CATEGORIES, r"images\[0\].*file_name"),
        ([["a.png"]], [], CATEGORIES, r"images\[0\].*id"),
        ([image(7, "a.png")], [], [{"id": 1}], r"categories\[0\].*name"),
        ([image([1], "a.png")], [], CATEGORIES, r"images\[0\].*id"),
        ([image(7, "a.png", region="knee")], [], CATEGORIES, r"image 7.*region.*'knee'"),
    ],
)
def test_an_entry_that_makes_no_sense_is_named(one, images, annotations, categories, said):
    with pytest.raises(BadValue, match=said):
        one(annotations, images, categories)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"images": [], "annotations": {}}', "\xff" * 4, "[" * 10**5])
def test_what_is_not_coco_is_told_what_was_expected(tmp_path, content):
    film(tmp_path / "a.png")
    (tmp_path / "boxes.json").write_text(content, encoding="latin-1")
    with pytest.raises(BadValue, match=r"boxes\.json: expected COCO"):
        claims(tmp_path, tmp_path, ABOUT)


def test_what_is_not_there_is_named(tmp_path):
    coco(tmp_path / "boxes.json", [])
    (tmp_path / "empty").mkdir()
    with pytest.raises(MissingData, match="films in"):
        claims(tmp_path, tmp_path / "boxes.json", ABOUT)
    film(tmp_path / "a.png")
    for missing in ("no.json", "empty"):
        with pytest.raises(MissingData, match=missing):
            claims(tmp_path, tmp_path / missing, ABOUT)


# Films and their names


def test_a_film_that_nobody_listed_is_unknown(one, tmp_path):
    film(tmp_path / "films/more/b.jpg", kind="JPEG")
    (tmp_path / "films/._a.png").write_bytes(b"left by macOS")
    (tmp_path / "films/README.txt").write_text("no film")
    found = one()
    claim = found["clinic/more/b"]
    assert set(found) == {"clinic/a", "clinic/more/b"}
    assert (claim.fractured, claim.boxes, claim.notes) == (None, None, ("no annotation names it: nobody looked",))


@pytest.mark.parametrize(
    ("name", "image_id"),
    [
        ("b.png", "b"),
        ("../../etc/b.png", "etc/b"),
        ("/absolute/b.png", "absolute/b"),
        ("C:\\films\\b.png", "C:/films/b"),
    ],
)
def test_a_listed_film_that_is_not_there_is_a_problem(one, tmp_path, name, image_id):
    found = one([drawn(8)], [image(7, "a.png"), image(8, name)])
    assert found[f"clinic/{image_id}"].problem == "annotated, no film on disk"
    records = ingest(found.values(), tmp_path / "out", workers=1)
    assert {record.image_id: record.split for record in records} == {
        "clinic/a": None,
        f"clinic/{image_id}": "set_aside",
    }


def test_a_name_outside_the_folder_never_reaches_a_file_there(one, tmp_path):
    film(tmp_path / "secret.png")
    claim = one([], [image(7, "../secret.png"), image(8, "a.png")])["clinic/secret"]
    assert claim.problem == "annotated, no film on disk"


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("images\\1/11fbb0c7-b.png", "11fbb0c7-b.png"),
        ("/data/upload/1/11fbb0c7-b.png", "deep/11fbb0c7-b.png"),
        ("/data/local-files/?d=C%3A%5Cfilms%5Cb%20c.png", "b c.png"),
        ("https://host/films/b.png?token=a.b&v=1#top", "b.png"),
        ("s3://bucket/films/b.png", "b.png"),
        ("D:\\data\\images\\b.png", "b.png"),
        ("b.png \n", "b.png"),
        ("b.png", "B.PNG"),
        ("h\u00fcfte.jpg", "Hu\u0308fte.png"),
        ("b", "b.png"),
        ("b.jpeg", "b.png"),
        ("b c.png", "b%20c.png"),
        ("1.2.840.113", "1.2.840.113.dcm"),
    ],
)
def test_a_name_as_tools_write_it_means_the_film_with_that_base_name(tmp_path, name, path):
    film(tmp_path / "films/other.png")
    file = film(tmp_path / "films" / path)
    found = read(tmp_path / "films", coco(tmp_path / "x.json", [image(1, name)], [drawn(1)]))
    assert {claim.file: claim.fractured for claim in found.values()} == {file: True, tmp_path / "films/other.png": None}
    assert not any(claim.problem for claim in found.values())


def test_a_name_that_two_films_share_is_certain_of_neither_and_names_both(tmp_path):
    for folder in ("left", "right"):
        film(tmp_path / "films" / folder / "b.png")
    found = read(tmp_path / "films", coco(tmp_path / "x.json", [image(1, "D:/x/b.png")], [drawn(1)]))
    assert len(found) == 2
    for claim in found.values():
        assert "'D:/x/b.png'" in claim.problem
        assert "'left/b.png', 'right/b.png'" in claim.problem
        assert claim.fractured is None


def test_two_names_that_would_be_one_film_are_certain_of_it_only_by_its_path(tmp_path):
    film(tmp_path / "films/b.png")
    entries = [image(1, "left/b.png"), image(2, "right/b.png")]
    (claim,) = read(tmp_path / "films", coco(tmp_path / "x.json", entries, [drawn(1)])).values()
    assert "not certain" in claim.problem
    assert claim.boxes is None
    found = read(tmp_path / "films", coco(tmp_path / "x.json", [image(1, "b.png"), entries[1]], [drawn(2)]))
    assert (found["clinic/b"].boxes, found["clinic/b"].problem) == ((), None)
    assert found["clinic/right/b"].problem == "annotated, no film on disk"


def test_where_no_listed_film_is_there_nothing_is_read(tmp_path):
    film(tmp_path / "films/a.png")
    file = coco(tmp_path / "x.json", [image(1, "b.png"), image(2, "c.png")], [drawn(1)])
    with pytest.raises(MissingData, match=r"films, found none of them: 'b.png', 'c.png'"):
        read(tmp_path / "films", file)


def test_films_and_jsons_behind_links_are_read_and_what_cannot_be_is_said(tmp_path):
    file = film(tmp_path / "store/b.png")
    coco(
        tmp_path / "elsewhere/x.json",
        [image(1, "linked/b.png"), image(2, "again.png")],
        [drawn(1), drawn(2, bbox=(1, 2, 3, 4))],
    )
    (tmp_path / "films").mkdir()
    (tmp_path / "films/linked").symlink_to(tmp_path / "store")
    (tmp_path / "films/again.png").symlink_to(tmp_path / "films/linked/b.png")
    (tmp_path / "films/gone.png").symlink_to(tmp_path / "nothing")
    (tmp_path / "boxes").symlink_to(tmp_path / "elsewhere")
    found = read(tmp_path / "films", tmp_path / "boxes")
    gone = found.pop("clinic/gone")
    assert gone.problem == "cannot be looked at: No such file or directory"
    (claim,) = found.values()
    assert claim.file.samefile(file)
    assert (claim.fractured, len(claim.boxes)) == (True, 2)


def test_spaces_and_unicode_in_names(tmp_path):
    # On disk decomposed, as macOS writes it; in the json composed.
    film(tmp_path / "Röntgen 1/Mu\u0308ller \u9aa8.png")
    file = coco(tmp_path / "boxes 骨.json", [image(1, "Röntgen 1/M\u00fcller \u9aa8.png")], [drawn(1)])
    found = read(tmp_path, file)
    (claim,) = found.values()
    assert (claim.image_id, claim.problem, claim.fractured) == ("clinic/Röntgen 1/M\u00fcller \u9aa8", None, True)
    (record,) = ingest([claim], tmp_path.with_name("out"), workers=1)
    assert (tmp_path.with_name("out") / record.path).read_bytes() == claim.file.read_bytes()
    assert manifest.load(tmp_path.with_name("out")) == [record]


@pytest.mark.parametrize("name", ["sub/a.png", "sub\\a.png", "./sub/a.png", "films/sub/a.png"])
def test_a_name_is_found_from_the_folder_of_films_or_of_the_json(tmp_path, name):
    film(tmp_path / "films/sub/a.png")
    assert read(tmp_path / "films", coco(tmp_path / "x.json", [image(1, name)]))["clinic/sub/a"].fractured is False


def test_an_absolute_name_is_found(tmp_path):
    path = film(tmp_path / "films/a.png")
    assert read(tmp_path / "films", coco(tmp_path / "x.json", [image(1, str(path))]))["clinic/a"].fractured is False


def test_films_that_would_share_an_id_keep_their_suffix(tmp_path):
    film(tmp_path / "a.png")
    film(tmp_path / "a.jpg", kind="JPEG")
    film(tmp_path / "b.png")
    file = coco(tmp_path / "boxes.json", [image(1, "a.jpg")], [drawn(1)])
    found = read(tmp_path, file)
    assert {name: claim.fractured for name, claim in found.items()} == {
        "clinic/a.jpg": True,
        "clinic/a.png": None,
        "clinic/b": None,
    }
    records = ingest(found.values(), tmp_path.with_name("out"), workers=1)
    assert len({record.path for record in records}) == 3


def test_names_are_unique_where_folders_are_flattened_too():
    assert native_ids(["a.jpg", "a.png", "a.png.png"]) == {name: name for name in ("a.jpg", "a.png", "a.png.png")}
    assert native_ids(["a/b.png", "a__b.jpg"]) == {"a/b.png": "a/b.png", "a__b.jpg": "a__b.jpg"}
    assert native_ids(["a/b.png", "b.png"]) == {"a/b.png": "a/b", "b.png": "b"}
    assert native_ids(["a/b.png", "a__b.png"]) == {"a/b.png": "a/b.png", "a__b.png": "a__b.png"}  # ingest renames one


def test_composed_and_decomposed_names_side_by_side_are_two_films(tmp_path):
    film(tmp_path / "u\u0308.png")
    film(tmp_path / "\u00fc.png")
    assert len(read(tmp_path, coco(tmp_path / "x.json", []))) == 2


@pytest.mark.parametrize(
    ("sizes", "problem"), [(((40, 30), (40, 30)), None), (((40, 30), (30, 40)), "30 x 40 px and 40 x 30 px")]
)
def test_a_film_listed_twice_is_joined_if_the_sizes_agree(one, sizes, problem):
    images = [image(7, "a.png", sizes[0]), image(8, "./a.png", sizes[1])]
    found = one([drawn(7), drawn(8, bbox=(1, 1, 4, 4)), drawn(8, 2)], images)
    claim = found["clinic/a"]
    assert list(found) == ["clinic/a"]
    assert (len(claim.boxes), claim.kept, claim.dropped) == (2, {"Fracture": 2}, {"metal": 1})
    assert claim.problem is None if problem is None else problem in claim.problem


@pytest.mark.parametrize("size_px", [(0, 0), (-40, 30), (None, None), ("wide", "30"), (float("inf"), 30)])
def test_a_size_that_is_none_is_not_claimed(one, size_px):
    assert one([], [image(7, "a.png", size_px)])["clinic/a"].claimed_px is None


# Patients


def test_an_image_entry_may_state_the_patient(one):
    more = {"patient_id": 17, "study_id": "s1", "view": "lateral", "regions": ["wrist", "Hand"], "licence": 3}
    claim = one([], [image(7, "a.png", **more)])["clinic/a"]
    assert (claim.patient_id, claim.study_id, claim.view, claim.regions) == ("17", "s1", "lateral", {"hand", "wrist"})
    assert claim.attributes == {}
    assert one([], [image(7, "a.png", region="elbow|wrist")])["clinic/a"].regions == {"elbow", "wrist"}


TABLES = {
    "comma": "file,patient_id,study_id,view,region,age,sex,sequence\na.png,p1,s1,frontal,wrist|hand,44,F,3\n",
    "semicolon": "file; Patient_ID;study_id;view;region;age;sex;sequence\r\n"
    "a.png;p1;s1;frontal;wrist,hand;44;F;3\r\n\r\n",
    "quoted": 'file,patient_id,study_id,view,regions,age,sex,sequence\n"a.png", "p1",s1,frontal,"wrist, hand",44,F,3',
}


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_films_csv_says_more(one, tmp_path, table, encoding):
    (tmp_path / "films/films.csv").write_bytes(table.encode(encoding))
    claim = one()["clinic/a"]
    assert (claim.patient_id, claim.study_id, claim.view, claim.regions) == ("p1", "s1", "frontal", {"wrist", "hand"})
    assert (claim.attributes, claim.sequence, claim.notes) == ({"age": "44", "sex": "F"}, 3, ())


def test_films_csv_has_the_last_word_and_it_is_said(one, tmp_path):
    (tmp_path / "films/films.csv").write_text("file,patient_id,region,view\na.png,p2,,lateral\n")
    claim = one([], [image(7, "a.png", patient_id="p1", view="lateral", region="wrist")])["clinic/a"]
    assert (claim.patient_id, claim.view, claim.regions) == ("p2", "lateral", {"wrist"})
    assert claim.notes == ("patient_id is stated twice and differs: the later counts, films.csv last",)


def test_a_row_without_a_film_stays_on_record(one, tmp_path):
    (tmp_path / "films/films.csv").write_text("file,patient_id\nlost/b.png,p1\n")
    found = one()
    assert found["clinic/lost/b"].problem == "named in films.csv, no film on disk"
    assert found["clinic/a"].patient_id is None


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("file,region\na.png,hand\nb.png,knee\n", "row 3, column region.*'knee'"),
        ("file,sequence\na.png,first\n", "row 2, column sequence.*'first'"),
        ("file,official_split\na.png,valid\n", "row 2, column official_split.*'valid'"),
        ("file,age\na.png,4\n./a.png,5\n", "row 3, column file.*'a.png' again"),
        ("file,age\n,4\n", "row 2, column file"),
        ("file,age\na.png\n", "row 2: expected 2 cells, got 1"),
        ("name,age\na.png,4\n", "column file"),
        ("file,age,age\n", "name of its own"),
        ("file,fractured\na.png,1\n", "fractured"),
        ("file,notes\na.png,x\n", "notes"),
        ('file,age\n"a.png,4\n', "expected a table"),
        ("", "column file"),
        (b"file,age\n\xff.png,4\n", "UTF-8"),
    ],
)
def test_a_wrong_films_csv_is_refused_before_the_first_claim(tmp_path, table, said):
    film(tmp_path / "a.png")
    (tmp_path / "films.csv").write_bytes(table if isinstance(table, bytes) else table.encode())
    with pytest.raises(BadValue, match=said):
        claims(tmp_path, coco(tmp_path / "boxes.json", []), ABOUT)


# Exports


def test_a_roboflow_export_keeps_copies_in_one_family(tmp_path):
    copies = {"train": "IMG 1_jpg.rf.0a1b.jpg", "valid": "IMG 1_jpg.rf.ffff.jpg"}
    for number, (part, name) in enumerate(copies.items()):
        film(tmp_path / part / name, kind="JPEG")
        coco(tmp_path / part / "_annotations.coco.json", [image(number, name)], [drawn(number)])
    found = read(tmp_path, tmp_path)
    assert [claim.family for claim in found.values()] == ["IMG 1", "IMG 1"]
    assert [claim.attributes["export_split"] for claim in found.values()] == ["train", "val"]
    records = ingest(found.values(), tmp_path.with_name("out"), workers=1)
    assert {record.group_id for record in records} == {"clinic/IMG 1"}


def test_ids_and_categories_count_within_their_json(tmp_path):
    film(tmp_path / "a.png")
    film(tmp_path / "b.png")
    coco(tmp_path / "1.json", [image(1, "a.png")], [drawn(1, 1)])
    coco(tmp_path / "2.json", [image(1, "b.png")], [drawn(1, 1)], [{"id": 1, "name": "metal"}])
    found = read(tmp_path, tmp_path)
    assert (found["clinic/a"].kept, found["clinic/b"].dropped) == ({"Fracture": 1}, {"metal": 1})


# End to end


@pytest.fixture
def mixed(tmp_path):
    """Give a folder of every kind of film, one of them lost, and its json."""
    folder = tmp_path / "My films"
    film(folder / "a.png")
    film(folder / "b.jpg", kind="JPEG")
    film(folder / "c.tif", kind="TIFF")
    dicom(folder / "d.dcm")
    film(folder / "e.png", (20, 20))
    film(folder / "unlisted.png")
    names = ("a.png", "b.jpg", "c.tif", "d.dcm", "e.png", "lost.png")
    images = [image(number, name) for number, name in enumerate(names)]
    notes = [drawn(0), drawn(1, 2), drawn(3, bbox=(30, 20, 30, 30)), drawn(4)]
    (folder / "films.csv").write_text("file;patient_id\na.png;p1\nd.dcm;p1\n")
    return folder, coco(tmp_path / "boxes.json", images, notes)


def test_films_of_every_kind_come_in(mixed, tmp_path):
    records = ingest(claims(*mixed, ABOUT), tmp_path / "out", workers=1)
    films = {record.image_id.removeprefix("clinic/"): record for record in records}
    assert [name for name, record in films.items() if record.split == "set_aside"] == ["e", "lost"]
    assert {name: films[name].fractured for name in ("a", "b", "c", "d", "unlisted")} == {
        "a": True,
        "b": False,
        "c": False,
        "d": True,
        "unlisted": None,
    }
    assert films["d"].boxes == ((30.0, 20.0, 40.0, 30.0),)
    assert (films["a"].patient_id, films["d"].patient_id, films["b"].patient_id) == ("p1", "p1", None)
    labels = {path.name for path in (tmp_path / "out/labels").iterdir()}
    assert labels == {f"clinic__{name}.txt" for name in "abcd"}


def command(*args, cwd):
    command = [sys.executable, ROOT / "scripts/ingest_folder.py", *args]
    return subprocess.run([str(word) for word in command], cwd=cwd, capture_output=True, text=True, check=False)


def flags(folder, annotations, out, *more, name="clinic"):
    where = ("--images", folder, "--annotations", annotations, "--out", out)
    return ("--format", "coco", *where, "--name", name, "--region", "hand,wrist", *more)


def test_the_command_gives_an_account(mixed, tmp_path):
    done = command(*flags(*mixed, "stage", "--licence", "CC0", "--external", "--copy"), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "7 films in = 5 kept + 2 set aside" in done.stdout
    assert "classes kept as fractures: Fracture 3\nclasses dropped: metal 1" in done.stdout
    assert "stage/report.json" in done.stdout
    records = manifest.load(tmp_path / "stage")
    assert {(record.licence, record.external, record.regions) for record in records} == {
        ("CC0", True, frozenset({"hand", "wrist"}))
    }


@pytest.mark.parametrize(
    ("more", "name", "said"),
    [
        (("--fracture-names", "fissure"), "clinic", "'fissure'"),
        (("--region", "knee"), "clinic", "--region: expected regions"),
        ((), "my/clinic", "'my/clinic'"),
        ((), "a__b", "'a__b'"),
        (("--data-yaml", "data.yaml"), "clinic", "format yolo only"),
    ],
)
def test_the_command_refuses_in_one_line(mixed, tmp_path, more, name, said):
    done = command(*flags(*mixed, "stage", *more, name=name), cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("ingest_folder: ")
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "stage").exists()


def test_the_command_takes_classes_by_index_or_all(mixed, tmp_path):
    index = command(*flags(*mixed, "one", "--fracture-class", "2", "--empty", "unknown"), cwd=tmp_path)
    assert "classes kept as fractures: metal 1\nclasses dropped: Fracture 3" in index.stdout, index.stderr
    fractured = [record.fractured for record in manifest.load(tmp_path / "one")]
    assert fractured == [False, True, None, False, False, None, None]
    assert (
        "classes kept as fractures: Fracture 3, metal 1"
        in command(*flags(*mixed, "all", "--all-fracture"), cwd=tmp_path).stdout
    )


def test_an_unknown_format_answers_with_the_known_ones(mixed):
    with pytest.raises(BadValue, match="coco, voc, yolo"):
        folder_claims("vgg", *mixed, ABOUT)


def test_a_film_is_found_by_its_content_under_any_name(tmp_path):
    first = film(tmp_path / "films/a/first.png")
    shutil.copy(first, first.with_name("copy.png"))
    film(tmp_path / "films/other.png", (44, 30))
    sha256 = file_hash(first)
    images = [image(1, sha256, sha256=sha256.upper())]
    coco(tmp_path / "made.json", images, [drawn(1)])
    found = read(tmp_path / "films", tmp_path / "made.json")
    assert [found[f"clinic/a/{name}"].boxes for name in ("first", "copy")] == [((5, 6, 15, 18),)] * 2
    assert found["clinic/other"].fractured is None
    coco(tmp_path / "made.json", [*images, image(2, "f" * 64, sha256="f" * 64)], [drawn(1)])
    missing = read(tmp_path / "films", tmp_path / "made.json")
    assert "no film on disk" in missing[f"clinic/{'f' * 64}"].problem


@pytest.mark.parametrize("empty_is_normal", [True, False])
@pytest.mark.parametrize(
    ("said", "boxes", "fractured", "kept"),
    [
        (True, [drawn(1)], True, ((5, 6, 15, 18),)),
        (True, [], True, None),
        (False, [], False, ()),
        (False, [drawn(1, 2)], False, ()),
        (None, [], None, None),
        (None, [drawn(1, 2)], None, None),
    ],
)
def test_what_is_said_of_the_film_counts_more_than_an_empty_label(one, said, boxes, fractured, kept, empty_is_normal):
    about = replace(ABOUT, empty_is_normal=empty_is_normal)
    claim = one(boxes, [image(1, "a.png", fractured=said)], about=about)["clinic/a"]
    assert (claim.fractured, claim.boxes, claim.problem) == (fractured, kept, None)


@pytest.mark.parametrize("said", [False, None])
def test_a_film_that_is_called_one_thing_and_drawn_as_another_is_a_problem(one, said):
    assert "1 fractures are drawn on it" in one([drawn(1)], [image(1, "a.png", fractured=said)])["clinic/a"].problem


def test_what_is_said_of_a_film_is_true_false_or_null(one):
    with pytest.raises(BadValue, match="true, false or null, got 'yes'"):
        one([], [image(1, "a.png", fractured="yes")])


def test_of_exports_of_several_days_the_last_correction_counts(tmp_path):
    sha256 = file_hash(film(tmp_path / "films/a.png"))
    days = {"mon": ("2031-05-05T10:00:00+00:00", True, [drawn(1)]), "tue": ("2031-05-06T10:00:00+00:00", False, [])}
    for order in (days, dict(reversed(days.items()))):
        for number, day in enumerate(order):
            kept_at, fractured, boxes = days[day]
            said = image(1, sha256, sha256=sha256, frame=0, fractured=fractured, kept_at=kept_at)
            coco(tmp_path / f"exports/{number}.json", [said], boxes)
        claim = read(tmp_path / "films", tmp_path / "exports")["clinic/a"]
        assert (claim.fractured, claim.boxes, claim.problem) == (False, (), None)


def test_a_correction_of_a_further_frame_is_a_problem(one, tmp_path):
    said = image(1, "a.png", frame=1, fractured=True)
    assert "frame 1 of a file with several" in one([drawn(1)], [said])["clinic/a"].problem


@pytest.mark.parametrize("sha256", ["abc", f" {'0' * 64}", 7, ""])
def test_a_sha256_that_is_none_is_refused(one, sha256):
    with pytest.raises(BadValue, match="64 hexadecimal digits"):
        one([], [image(1, "a.png", sha256=sha256)])
