"""Phantom trees are laid out as published, the same from the same seed, and every trap in them is really set."""

import csv
import io
import json
from collections import defaultdict
from dataclasses import astuple

import numpy as np
import pydicom
import pytest
from PIL import Image

from fracture.core.errors import BadValue, EmptyFile
from fracture.core.types import HarmoniseConfig
from fracture.data.ingest import Provenance, ingest
from fracture.data.labels import read_supervisely, read_voc, read_yaml, read_yolo
from fracture.data.sources import claims, coco, voc
from fracture.imaging.decode import decode
from fracture.imaging.harmonise import harmonise
from fracture.phantom import (
    FOLDERS,
    FilmSpec,
    draw_phantom,
    write_all,
    write_fracatlas,
    write_grazpedwri,
    write_hip,
    write_humerus,
    write_mura,
    write_own_coco,
    write_own_voc,
)
from fracture.phantom.dicom_files import SYNTAXES, Style, dicom
from fracture.phantom.files import around
from fracture.phantom.roboflow import _again, _Copy, _Object

WRITERS = {
    "fracatlas": lambda root, rng: write_fracatlas(root, rng, films=15, size_px=(120, 150)),
    "grazpedwri": lambda root, rng: write_grazpedwri(root, rng, films=12, size_px=(120, 150)),
    "humerus": lambda root, rng: write_humerus(root, rng, films=14, size_px=(120, 150)),
    "hip": lambda root, rng: write_hip(root, rng, films=14, size_px=(120, 150)),
    "mura": lambda root, rng: write_mura(root, rng, patients=4, size_px=(120, 150)),
    "coco": lambda root, rng: write_own_coco(root, rng, size_px=(120, 150)),
    "voc": lambda root, rng: write_own_voc(root, rng, size_px=(120, 150)),
}


def tree(root):
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def table(path, key="image_id"):
    with path.open(newline="", encoding="utf-8") as file:
        return {row[key].removesuffix(".jpg"): row for row in csv.DictReader(file)}


def grey(path):
    return np.asarray(Image.open(path).convert("L")).astype(float)


def alike(a, b):
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


def iou(a, b):
    x0, y0, x1, y1 = (max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3]))
    shared = max(0, x1 - x0) * max(0, y1 - y0)
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


@pytest.mark.parametrize("name", WRITERS)
def test_a_tree_is_the_same_from_the_same_seed(name, tmp_path):
    traps = [WRITERS[name](tmp_path / folder, np.random.default_rng(5)) for folder in "ab"]
    assert traps[0] == traps[1]
    assert tree(tmp_path / "a") == tree(tmp_path / "b")
    WRITERS[name](tmp_path / "c", np.random.default_rng(6))
    assert tree(tmp_path / "c") != tree(tmp_path / "a")


@pytest.mark.parametrize(
    ("write", "few", "match"),
    [
        (write_fracatlas, {"films": 14}, "at least 15"),
        (write_fracatlas, {"size_px": (150, 120)}, "higher than wide"),
        (write_grazpedwri, {"films": 7}, "at least 8"),
        (write_grazpedwri, {"labels": ("coco",)}, "labels out of yolo"),
        (write_humerus, {"films": 11}, "at least 12"),
        (write_hip, {"films": 11}, "at least 12"),
        (write_mura, {"patients": 3}, "at least 4"),
        (write_mura, {"areas": ("XR_SKULL",)}, "areas out of XR_WRIST"),
        (write_all, {"size": "huge"}, "a size out of tiny"),
    ],
)
def test_no_trap_is_left_out(write, few, match, tmp_path):
    with pytest.raises(BadValue, match=match):
        write(tmp_path, np.random.default_rng(0), **few)


# --- FracAtlas --------------------------------------------------------------------------------------------------------


def native(root, image_id):
    """Give the path of a film's file."""
    (path,) = root.glob(f"images/*/{image_id.removeprefix('fracatlas/')}.jpg")
    return path


def test_fracatlas_is_laid_out_as_published(fracatlas_tree):
    root, _ = fracatlas_tree
    rows = table(root / "dataset.csv")
    columns = "image_id,hand,leg,hip,shoulder,mixed,hardware,multiscan,fractured,fracture_count,frontal,lateral,oblique"
    assert ",".join(next(iter(rows.values()))) == columns
    assert rows.keys() == {path.stem for path in root.glob("images/*/*.jpg")}
    assert len(rows) == 24
    fractured = {path.stem for path in root.glob("images/Fractured/*.jpg")}
    content = json.loads((root / "Annotations/COCO JSON/COCO_fracture_masks.json").read_text(encoding="utf-8"))
    assert {image["file_name"].removesuffix(".jpg") for image in content["images"]} == fractured
    lists = [table(root / "Utilities/Fracture Split" / name) for name in ("train.csv", "valid.csv", "test.csv")]
    assert all(lists)
    assert sorted(name for names in lists for name in names) == sorted(fractured)
    assert all(sum(row[view] == "1" for view in ("frontal", "lateral", "oblique")) == 1 for row in rows.values())


def test_every_trap_of_fracatlas_is_set(fracatlas_tree):
    root, traps = fracatlas_tree
    content = json.loads((root / "Annotations/COCO JSON/COCO_fracture_masks.json").read_text(encoding="utf-8"))
    claimed = {image["file_name"]: (image["width"], image["height"]) for image in content["images"]}

    def pixels(image_id):
        return grey(native(root, image_id))

    whole = native(root, traps.whole).read_bytes()
    assert whole.startswith(native(root, traps.truncated).read_bytes())
    with pytest.raises(OSError, match="truncated"):
        Image.open(io.BytesIO(native(root, traps.truncated).read_bytes())).load()

    fractured, normal = (native(root, image_id) for image_id in traps.opposite)
    assert fractured.read_bytes() == normal.read_bytes()
    assert (fractured.parent.name, normal.parent.name) == ("Fractured", "Non_fractured")

    for image_id, orientation in ((traps.turned, 6), (traps.wrong_size, 1)):
        film = Image.open(native(root, image_id))
        assert film.getexif().get(0x0112, 1) == orientation
        assert film.size == claimed[f"{native(root, image_id).stem}.jpg"][::-1]

    rows = table(root / "dataset.csv")
    numbers = [int(image_id[-7:]) for image_id in (*traps.examination, traps.several_regions)]
    assert numbers == list(range(numbers[0], numbers[0] + 4))
    flags = [[rows[image_id[-10:]][key] for key in ("hand", "leg", "mixed")] for image_id in traps.examination]
    assert flags == [["0", "1", "0"]] * 3
    assert rows[traps.several_regions[-10:]]["mixed"] == "1"
    assert native(root, traps.wrong_row).parent.name == "Fractured"
    assert rows[traps.wrong_row[-10:]]["fractured"] == "0"
    off = next(image["id"] for image in content["images"] if image["file_name"] == f"{traps.off_film[-10:]}.jpg")
    right = [note["bbox"][0] + note["bbox"][2] for note in content["annotations"] if note["image_id"] == off]
    assert min(right) > 373

    first, *others = (pixels(image_id) for image_id in traps.near)
    for other in others:
        assert (first != other).any()
        assert alike(first, other) > 0.99
    assert others[1].mean() > 1.1 * first.mean()
    named = [name for value in astuple(traps) for name in ([value] if isinstance(value, str) else value)]
    assert len(named) == len(set(named)) == 15


# --- GRAZPEDWRI-DX ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def graz(tmp_path_factory):
    root = tmp_path_factory.mktemp("native") / "GRAZPEDWRI-DX"
    return root, write_grazpedwri(root, np.random.default_rng(1), films=30, size_px=(150, 200))


def test_grazpedwri_is_laid_out_as_published(graz):
    root, traps = graz
    rows = table(root / "dataset.csv", "filestem")
    films = {path.stem: path for path in root.glob("images_part*/*.png")}
    assert {path.parent.name for path in films.values()} == {f"images_part{part}" for part in (1, 2, 3, 4)}
    assert len(films) == 29
    assert {len(np.asarray(Image.open(path)).shape) for path in films.values()} == {2}
    assert {Image.open(path).mode for path in films.values()} == {"L", "I;16"}
    names = read_yaml(root / "folder_structure/yolov5/meta.yaml")["names"]
    assert (names.index("fracture"), names.index("text"), len(names)) == (3, 8, 9)
    for stem, row in rows.items():
        patient, time, study, view, person = stem.split("_")
        said = (row["patient_id"], row["timehash"], row["study_number"], row["laterality"] + row["projection"])
        if stem not in {name.removeprefix("grazpedwri/") for name in traps.duplicate}:
            assert said == (str(int(patient)), str(int(time)), str(int(study)), view.removeprefix("WRI-"))
        assert (row["gender"], int(float(row["age"]))) == (person[0], int(person[1:]))
    patients = defaultdict(set)
    for stem in rows:
        patients[stem[:4]].add(stem.split("_")[2])
    assert max(map(len, patients.values())) == 2, "a child comes again"


def test_the_three_formats_of_grazpedwri_say_the_same(graz):
    root, _ = graz
    folder = root / "folder_structure"
    names = read_yaml(folder / "yolov5/meta.yaml")["names"]
    drawn = set()
    for path in root.glob("images_part*/*.png"):
        width, height = Image.open(path).size
        yolo = read_yolo(folder / f"yolov5/labels/{path.stem}.txt", names)
        size, boxes = read_voc(folder / f"pascalvoc/{path.stem}.xml")
        again = read_supervisely(folder / f"supervisely/wrist/ann/{path.stem}.png.json")
        assert again == (size, boxes) == ((width, height), boxes)
        assert [one.name for one in yolo] == [one.name for one in boxes]
        for one, other in zip(yolo, boxes, strict=True):
            np.testing.assert_allclose(np.multiply(one.box, (width, height) * 2), other.box, atol=0.01)
        drawn |= {one.name for one in boxes}
    assert drawn == {"fracture", "metal", "text"}


def test_formats_that_are_not_asked_for_are_not_written(tmp_path):
    write_grazpedwri(tmp_path, np.random.default_rng(0), films=8, size_px=(100, 120), labels=("voc",))
    assert {path.name for path in (tmp_path / "folder_structure").iterdir()} == {"pascalvoc"}


def test_every_trap_of_grazpedwri_is_set(graz):
    root, traps = graz
    rows = table(root / "dataset.csv", "filestem")
    films = {f"grazpedwri/{path.stem}": path for path in root.glob("images_part*/*.png")}
    names = read_yaml(root / "folder_structure/yolov5/meta.yaml")["names"]
    undrawn = traps.undrawn.removeprefix("grazpedwri/")
    assert rows[undrawn]["fracture_visible"] == "1"
    assert "fracture" not in {
        one.name for one in read_yolo(root / f"folder_structure/yolov5/labels/{undrawn}.txt", names)
    }
    assert traps.rowless in films
    assert traps.rowless.removeprefix("grazpedwri/") not in rows
    assert traps.filmless not in films
    assert traps.filmless.removeprefix("grazpedwri/") in rows
    one, other = traps.duplicate
    assert films[one].read_bytes() == films[other].read_bytes()
    assert one[11:15] != other[11:15]
    found = {claim.image_id: claim for claim in claims("grazpedwri", root)}
    assert found[traps.undrawn].boxes is None
    assert found[traps.undrawn].fractured
    assert found[traps.filmless].problem
    fractured = {claim.patient_id for claim in found.values() if claim.boxes}
    assert len(fractured) >= 3


# --- exports of Roboflow ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def exports(tmp_path_factory):
    root = tmp_path_factory.mktemp("exports")
    return {
        "humerus": (root / "HUMERUS", write_humerus(root / "HUMERUS", np.random.default_rng(2), films=24)),
        "hip": (root / "HIP", write_hip(root / "HIP", np.random.default_rng(3), films=30)),
    }


def labelled(root, image_id):
    """Give a film of an export and what is drawn on it, boxes in px."""
    split, stem = image_id.split("/")[1:]
    film = grey(root / split / "images" / f"{stem}.jpg")
    drawn = read_yolo(root / split / "labels" / f"{stem}.txt", read_yaml(root / "data.yaml")["names"])
    return film, {one.name: np.multiply(one.box, film.shape[::-1] * 2) for one in drawn}


@pytest.mark.parametrize("name", ["humerus", "hip"])
def test_an_export_is_laid_out_as_roboflow_does(name, exports):
    root, _ = exports[name]
    stated = read_yaml(root / "data.yaml")
    assert stated["nc"] == len(stated["names"]) == {"humerus": 4, "hip": 14}[name]
    assert stated["roboflow"]["license"] == "CC BY 4.0"
    assert (root / "README.roboflow.txt").is_file()
    for split in ("train", "valid", "test"):
        films, labels = ({path.stem for path in (root / split / kind).iterdir()} for kind in ("images", "labels"))
        assert films
        assert len(films ^ labels) == (2 if (name, split) == ("hip", "train") else 0)
        assert all(len(stem.split("_jpg.rf.")[1]) == 32 for stem in films | labels)


def test_every_upper_arm_is_broken_and_stands_several_times_in_train(exports):
    root, _ = exports["humerus"]
    stems = [path.stem.split("_jpg")[0] for path in (root / "train/images").iterdir()]
    assert {stems.count(stem) for stem in stems} <= {2, 3}
    assert len(list(root.glob("*/images/*"))) == 24
    names = read_yaml(root / "data.yaml")["names"]
    drawn = [read_yolo(path, names) for path in root.glob("*/labels/*.txt")]
    assert all(drawn)
    assert {one.name for some in drawn for one in some} == set(names)


def test_copies_of_a_film_differ(exports):
    root, traps = exports["humerus"]
    (first, boxes), (second, others) = (labelled(root, image_id) for image_id in traps.family[:2])
    assert boxes.keys() == others.keys()
    assert alike(first, second) < 0.999
    assert len({image_id.split("_jpg")[0] for image_id in traps.family}) == 1


def test_what_is_drawn_moves_along_with_a_copy():
    pixels = np.zeros((120, 90), np.uint8)
    pixels[20:50, 60:80] = 200
    square = ((60.0, 20.0), (80.0, 20.0), (80.0, 50.0), (60.0, 50.0))
    sides = set()
    for seed in range(12):
        copy = _again(np.random.default_rng(seed), _Copy("train", "a_jpg.rf.0", pixels, (_Object("x", square),)))
        x0, y0, x1, y1 = around(copy.objects[0].outline)
        rows, columns = np.nonzero(copy.pixels > 60)
        seen = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        assert (x0, y0, x1, y1) == pytest.approx(seen, abs=1.3)
        sides.add(x0 < 45)
    assert sides == {True, False}, "some are mirrored"


def test_every_trap_of_the_exports_is_set(exports):
    root, traps = exports["humerus"]
    assert [image_id.split("/")[1] for image_id in traps.leaking] == ["train", "valid"]
    assert len({image_id.split("/")[2].split("_jpg")[0] for image_id in traps.leaking}) == 1
    found = {claim.image_id: claim for claim in claims("humerus", root)}
    assert len(found) == 24
    assert len({found[image_id].family for image_id in traps.leaking}) == 1
    assert len({found[image_id].family for image_id in traps.family}) == 1
    boxes = found[traps.doubled].boxes
    assert (len(boxes), len(set(boxes))) == (2, 1)

    root, traps = exports["hip"]
    found = {claim.image_id: claim for claim in claims("hip", root)}
    assert len(found) == 30
    assert "without a film" in found[traps.filmless].problem
    assert found[traps.unlabelled].fractured is None
    assert found[traps.unlabelled].file.is_file()
    normal = found[traps.landmarks_only]
    assert normal.fractured is False
    assert {name.split("-", 1)[1] for name in normal.dropped} == {"greater-trochanter", "lesser-trochanter", "normal"}
    assert {name for claim in found.values() for name in claim.kept} == {
        f"{side}-{site}" for side in ("left", "right") for site in ("intertrochanteric", "neck", "subtrochanteric")
    }


def test_hips_have_polygons_as_well_as_boxes(exports):
    root, _ = exports["hip"]
    lines = [line.split() for path in root.glob("*/labels/*.txt") for line in path.read_text().splitlines()]
    assert {len(words) == 5 for words in lines} == {True, False}
    for _, *values in lines:
        assert all(-1e-6 <= float(value) <= 1 + 1e-6 for value in values)


# --- MURA -------------------------------------------------------------------------------------------------------------


def test_mura_is_laid_out_as_published_and_its_traps_are_set(tmp_path):
    traps = write_mura(tmp_path, np.random.default_rng(0), patients=8, size_px=(100, 130))
    root = tmp_path / "MURA-v1.1"
    studies = {}
    for part in ("train", "valid"):
        rows = list(csv.reader(io.StringIO((root / f"{part}_labeled_studies.csv").read_text())))
        assert all(study.startswith(f"MURA-v1.1/{part}/XR_WRIST/patient0") and study.endswith("/") for study, _ in rows)
        studies |= {study.removeprefix("MURA-v1.1/").rstrip("/"): label for study, label in rows}
        films = (root / f"{part}_image_paths.csv").read_text().split()
        there = {f"MURA-v1.1/{path.relative_to(root).as_posix()}" for path in root.glob(f"{part}/*/*/*/image*.png")}
        assert set(films) == there
    assert set(studies.values()) == {"0", "1"}
    wrong = {study for study, label in studies.items() if ("positive" in study) != (label == "1")}
    assert wrong == {traps.misnamed}
    assert len({film.rpartition("/")[2] for film in traps.namesakes}) == 1
    assert len(traps.namesakes) == len({(root / film).read_bytes() for film in traps.namesakes}) >= 8
    assert (root / traps.resource_fork).read_bytes().startswith(b"\0\5\x16\7")
    found = list(claims("mura", root))
    assert sum(claim.abnormal is True for claim in found) > 2
    assert sum(claim.problem is not None for claim in found) == 1


# --- a person's own films ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["coco", "voc"])
def own(request, tmp_path_factory):
    """Give (format, root, folder of films, traps)."""
    root = tmp_path_factory.mktemp(request.param)
    write = {"coco": write_own_coco, "voc": write_own_voc}[request.param]
    traps = write(root, np.random.default_rng(7), size_px=(160, 200))
    return request.param, root, root if request.param == "coco" else root / "films", traps


def own_claims(own):
    """Give a claim by film, as the traps name films."""
    kind, root, folder, _ = own
    about = Provenance(source="own")
    if kind == "coco":
        found = coco.claims(folder, root / "annotations.json", about)
    else:
        found = voc.claims(folder, root / "annotations", about)
    return ByFilm((claim.file.relative_to(folder).with_suffix("").as_posix(), claim) for claim in found)


class ByFilm(dict):
    """Claims by the film's path without its suffix: a label without a film does not know the film's."""

    def __getitem__(self, name):
        return super().__getitem__(name.rpartition(".")[0])


def test_copies_are_what_they_are_called(own):
    _, _, folder, traps = own

    def pixels(name):
        return decode((folder / name).read_bytes()).pixels

    first = pixels(traps.exact[0])
    assert (folder / traps.exact[0]).read_bytes() == (folder / traps.exact[1]).read_bytes()
    for original, copy in (traps.resaved, traps.brightened):
        assert original == traps.exact[0]
        assert (pixels(copy) != first).any()
        assert alike(first, pixels(copy)) > 0.99
    assert pixels(traps.brightened[1]).mean() > 1.1 * first.mean()
    np.testing.assert_array_equal(pixels(traps.reflected[1]), first[:, ::-1])
    np.testing.assert_array_equal(pixels(traps.turned[1]), np.rot90(first))
    assert pixels(traps.rescaled[1]).shape == tuple(round(1.4 * side) for side in first.shape)
    whole, cut = ((folder / name).read_bytes() for name in traps.truncated)
    assert whole.startswith(cut)
    assert "truncated" in decode(cut).flags
    assert "truncated" not in decode(whole).flags
    assert np.ptp(pixels(traps.constant)) == 0
    with pytest.raises(EmptyFile):
        decode((folder / traps.empty).read_bytes())
    one, other = traps.namesakes
    assert one.rpartition("/")[2] == other.rpartition("/")[2]
    assert (folder / one).read_bytes() != (folder / other).read_bytes()
    assert not any(name.isascii() for name in traps.odd_names)
    assert all(" " in name for name in traps.odd_names)
    assert {path.suffix for path in folder.rglob("*")} >= {".png", ".jpg", ".tif", ".dcm"}


def test_boxes_of_copies_moved_along(own):
    """The fracture of a copy lies where the change of the picture puts it."""
    _, _, _, traps = own
    boxes = own_claims(own)
    (first,) = boxes[traps.reflected[0]].boxes
    width, height = boxes[traps.reflected[0]].claimed_px
    x0, y0, x1, y1 = first
    expected = {
        traps.reflected[1]: (width - x1, y0, width - x0, y1),
        traps.turned[1]: (y0, width - x1, y1, width - x0),
        traps.rescaled[1]: tuple(1.4 * edge for edge in first),
        traps.exact[1]: first,
    }
    for name, box in expected.items():
        assert boxes[name].boxes[0] == pytest.approx(box, abs=0.6), name
    assert boxes[traps.turned[1]].claimed_px == (height, width)


def test_what_is_said_of_own_films_is_as_wrong_as_promised(own, tmp_path):
    found, traps = own_claims(own), own[3]
    broken, whole = (found[name] for name in traps.opposite)
    assert (broken.fractured, whole.fractured) == (True, False)
    np.testing.assert_array_equal(*(decode(claim.file.read_bytes()).pixels for claim in (broken, whole)))
    assert found[traps.unlisted].boxes is None
    assert "no film on disk" in found[traps.filmless].problem
    width = found[traps.off_film].claimed_px[0]
    assert all(box[2] > width for box in found[traps.off_film].boxes)
    assert any(box[0] > width for box in found[traps.off_film].boxes)
    assert sum(box[0] == box[2] for box in found[traps.degenerate].boxes) == 1
    assert len(set(found[traps.doubled].boxes)) == 1 < len(found[traps.doubled].boxes)
    patients = [found[name].patient_id for name in (*traps.exact, *traps.namesakes)]
    assert len(set(patients)) == 4
    assert {found[name].patient_id for name in traps.encodings.values()} == {"p18"}
    assert {region for claim in found.values() for region in claim.regions} >= {"hand", "wrist", "hip", "leg"}

    records = {record.image_id: record for record in ingest(found.values(), tmp_path / "stage", workers=1)}
    aside = {image_id for image_id, record in records.items() if record.split == "set_aside"}
    assert aside == {found[name].image_id for name in (traps.empty, traps.filmless)}
    assert len(records[found[traps.degenerate].image_id].boxes) == 1
    assert len(records[found[traps.doubled].image_id].boxes) == 1


def test_one_film_is_one_picture_in_every_encoding(own):
    _, _, folder, traps = own
    reference = harmonise(decode((folder / traps.encodings["png"]).read_bytes()), HarmoniseConfig()).pixels
    assert traps.encodings.keys() == {"png", *SYNTAXES}
    syntaxes, photometric = set(), set()
    for name, file in traps.encodings.items():
        film = decode((folder / file).read_bytes())
        # A PNG states no window: only once each is stretched over its own range are they one.
        np.testing.assert_allclose(harmonise(film, HarmoniseConfig()).pixels.astype(int), reference, atol=3)
        if name != "png":
            head = pydicom.dcmread(folder / file, stop_before_pixels=True)
            syntaxes.add(head.file_meta.TransferSyntaxUID)
            photometric.add(head.PhotometricInterpretation)
            assert (head.BitsAllocated, head.BitsStored) == (16, 12)
            assert film.spacing_mm is not None
            assert ("inverted" in film.flags) == (head.PhotometricInterpretation == "MONOCHROME1")
            assert "no_window" not in film.flags
    assert syntaxes == set(SYNTAXES.values())
    assert photometric == {"MONOCHROME1", "MONOCHROME2"}


# --- DICOM ------------------------------------------------------------------------------------------------------------


def encode(style, pixels=None):
    if pixels is None:
        film = draw_phantom(np.random.default_rng(0), (100, 120), fractured=True, spec=FilmSpec(border="none"), bits=12)
        pixels = film.pixels
    said = {"patient": "p1", "study": "s1", "name": "n1", "spacing_mm": 0.15, "region": "hand"}
    return pixels, dicom(pixels, style, **said)


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("white_is_zero", [False, True])
@pytest.mark.parametrize(("slope", "intercept"), [(1, 0), (0.5, -1000), (3, 250)])
def test_a_dicom_file_shows_the_film(syntax, white_is_zero, slope, intercept):
    pixels, data = encode(Style(syntax, white_is_zero, slope, intercept))
    film = decode(data)
    np.testing.assert_allclose(film.pixels, pixels / 4095, atol=1e-4)
    assert film.spacing_mm == (0.15, 0.15)
    assert film.flags <= {"inverted"}
    assert data == encode(Style(syntax, white_is_zero, slope, intercept))[1]


def test_a_dicom_file_without_a_window_is_stretched():
    pixels, data = encode(Style(window=False))
    film = decode(data)
    assert "no_window" in film.flags
    assert (film.pixels.min(), film.pixels.max()) == (0, 1)
    assert alike(film.pixels, pixels / 4095) > 0.9999


def test_names_make_identifiers_that_nobody_else_has():
    head = pydicom.dcmread(io.BytesIO(encode(Style())[1]))
    assert {head.StudyInstanceUID[:5], head.SOPInstanceUID[:5]} == {"2.25."}
    assert len({head.StudyInstanceUID, head.SeriesInstanceUID, head.SOPInstanceUID}) == 3
    assert str(head.PatientName) == "Phantom^Synthetic"
    assert not head.PatientBirthDate


def test_what_dicom_cannot_hold_is_refused():
    with pytest.raises(BadValue, match="transfer syntax"):
        encode(Style("jpeg-xl"))
    for pixels in (np.zeros((4, 4), np.uint8), np.full((4, 4), 4096, np.uint16)):
        with pytest.raises(BadValue, match="12 bits"):
            encode(Style(), pixels)


# --- all of them ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def everything(tmp_path_factory):
    root = tmp_path_factory.mktemp("all")
    return root, write_all(root, np.random.default_rng(11), size="tiny")


def test_four_sources_stand_where_they_are_expected(everything):
    root, _ = everything
    assert {path.name for path in root.iterdir()} == set(FOLDERS.values())
    found = {source: list(claims(source, root / folder)) for source, folder in FOLDERS.items()}
    assert {source: len(some) for source, some in found.items()} == {
        "fracatlas": 40,
        "grazpedwri": 24,
        "humerus": 24,
        "hip": 25,
    }


def test_every_region_has_broken_films_of_three_patients(everything):
    root, _ = everything
    groups = defaultdict(set)
    for source, folder in FOLDERS.items():
        for claim in claims(source, root / folder):
            if claim.fractured and not claim.problem:
                group = claim.patient_id or claim.family or claim.image_id
                for region in claim.regions:
                    groups[source, region].add(group)
    expected = {("fracatlas", region) for region in ("hand", "leg", "hip", "shoulder")}
    assert groups.keys() == expected | {("grazpedwri", "wrist"), ("humerus", "humerus"), ("hip", "hip")}
    assert min(map(len, groups.values())) >= 3


def test_one_film_stands_in_two_sources(everything):
    root, traps = everything
    files = {
        claim.image_id: claim for source in ("fracatlas", "hip") for claim in claims(source, root / FOLDERS[source])
    }
    here, there = (files[image_id] for image_id in traps.shared)
    assert here.file.read_bytes() == there.file.read_bytes()
    assert here.fractured
    assert there.fractured
    width, height = Image.open(there.file).size
    assert iou(here.boxes[0], np.multiply(there.boxes[0], (width, height) * 2)) > 0.99
