"""GRAZPEDWRI-DX as published, and as Roboflow exports it, becomes claims: patients, studies, and labels that agree."""

import json
import runpy
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fracture.core.errors import BadValue, MissingData
from fracture.data import manifest
from fracture.data.ingest import Provenance, ingest
from fracture.data.labels import FractureClasses
from fracture.data.sources import claims
from fracture.data.sources.grazpedwri import folders, read

DOOR = Path(__file__).parents[2] / "scripts/ingest_grazpedwri.py"
CLASSES = (
    "boneanomaly",
    "bonelesion",
    "foreignbody",
    "fracture",
    "metal",
    "periostealreaction",
    "pronatorsign",
    "softtissue",
    "text",
)
COLUMNS = (
    "filestem",
    "patient_id",
    "study_number",
    "timehash",
    "gender",
    "age",
    "laterality",
    "projection",
    "initial_exam",
    "ao_classification",
    "cast",
    "diagnosis_uncertain",
    "osteopenia",
    "fracture_visible",
    "metal",
    "pixel_spacing",
    "device_manufacturer",
)
BROKEN = "0001_1297860395_01_WRI-L1_M014"
BROKEN_SIDE = "0001_1297860435_01_WRI-L2_M014"
LATER = "0001_1298860435_02_WRI-L3_M015"
NORMAL = "0002_0354485735_01_WRI-R1_F012"
HEALED = "0003_0662359226_01_WRI-R2_O009"
BOX = (0.5, 0.5, 0.2, 0.4)
DRAWN = {
    BROKEN: ("fracture", "text", "fracture"),
    BROKEN_SIDE: ("text", "fracture"),
    LATER: ("periostealreaction", "text"),
    NORMAL: ("text",),
    HEALED: (),
}
FRACTURED = (BROKEN, BROKEN_SIDE)


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def film(path, bits=8):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng([*path.name.encode()]).integers(0, 2**bits - 1, (30, 40))
    Image.fromarray(pixels.astype(np.uint16 if bits == 16 else np.uint8)).save(path)


def row(stem, **said):
    patient, time, study, view, person = stem.split("_")
    cells = {
        "filestem": stem,
        "patient_id": int(patient),
        "study_number": int(study),
        "timehash": int(time),
        "gender": person[0],
        "age": f"{int(person[1:])}.5",
        "laterality": view[4],
        "projection": view[5],
        "initial_exam": "1",
        "fracture_visible": "1" if stem in FRACTURED else "",
        "pixel_spacing": "0.144",
        "device_manufacturer": "Siemens",
    }
    return cells | said


def table(root, rows, delimiter=",", columns=COLUMNS, bom=True):
    lines = [columns, *([cells.get(column, "") for column in columns] for cells in rows)]
    text = "\n".join(delimiter.join(map(str, line)) for line in lines) + "\n"
    write(root / "dataset.csv", "\ufeff" * bom + text)


def yolo(root, drawn, names=CLASSES, listed=True):
    for stem, classes in drawn.items():
        lines = [" ".join(map(str, (names.index(name), *BOX))) for name in dict.fromkeys(classes)]
        write(root / "labels" / f"{stem}.txt", "\n".join(lines))
    if listed:
        write(root / "meta.yaml", f"names: {list(names)}\nnc: {len(names)}\n")


def voc(root, drawn):
    for stem, classes in drawn.items():
        objects = "".join(
            f"<object><name>{name}</name><bndbox><xmin>16</xmin><ymin>9</ymin><xmax>24</xmax><ymax>21</ymax></bndbox></object>"
            for name in classes
        )
        size = "<size><width>40</width><height>30</height></size>"
        write(root / f"{stem}.xml", f"<annotation>{size}{objects}</annotation>")


def supervisely(root, drawn, suffix=""):
    for stem, classes in drawn.items():
        objects = [{"classTitle": name, "points": {"exterior": [[16, 9], [24, 21]]}} for name in classes]
        write(
            root / "ann" / f"{stem}{suffix}.json", json.dumps({"size": {"width": 40, "height": 30}, "objects": objects})
        )


@pytest.fixture
def tree(tmp_path):
    """Give the root of five films in the published layout, one of them with 16 bits."""
    root = tmp_path / "GRAZPEDWRI DX"
    for number, stem in enumerate(DRAWN):
        film(root / f"images_part{number % 4 + 1}" / f"{stem}.png", bits=16 if stem == NORMAL else 8)
    table(root, map(row, DRAWN))
    inside = root / "folder_structure"
    yolo(inside / "yolov5", DRAWN)
    voc(inside / "pascalvoc", DRAWN)
    supervisely(inside / "supervisely/wrist", DRAWN)
    write(inside / "supervisely/meta.json", "{}")
    return root


def found(root, **about):
    return {claim.image_id.removeprefix("grazpedwri/"): claim for claim in claims("grazpedwri", root, **about)}


def said(claim):
    return claim.fractured, claim.boxes


def test_the_published_tree_is_read(tree):
    films = found(tree)
    assert sorted(films) == sorted(DRAWN)
    assert {stem for stem, claim in films.items() if claim.fractured} == set(FRACTURED)
    assert all(claim.fractured is False and claim.boxes == () for stem, claim in films.items() if stem not in FRACTURED)
    claim = films[BROKEN]
    assert claim.boxes == (pytest.approx((0.4, 0.3, 0.6, 0.7)),)
    assert (claim.source, claim.licence, claim.regions) == ("grazpedwri", "CC BY 4.0", {"wrist"})
    assert "Nagy" in claim.attribution
    assert (dict(claim.kept), dict(claim.dropped)) == ({"fracture": 1}, {"text": 1})
    assert not any(claim.notes or claim.problem or claim.family for claim in films.values())


def test_patients_studies_and_views_come_from_the_table(tree):
    films = found(tree)
    assert {stem: (claim.patient_id, claim.study_id, claim.view) for stem, claim in films.items()} == {
        BROKEN: ("0001", "0001_01", "frontal"),
        BROKEN_SIDE: ("0001", "0001_01", "lateral"),
        LATER: ("0001", "0001_02", "oblique"),
        NORMAL: ("0002", "0002_01", "frontal"),
        HEALED: ("0003", "0003_01", "lateral"),
    }


def test_what_the_table_states_becomes_attributes(tree):
    cells = {
        "ao_classification": "23r-M/2.1",
        "cast": "1.0",
        "metal": "1",
        "osteopenia": "0",
        "diagnosis_uncertain": "1",
        "age": "12.0",
    }
    table(tree, [row(BROKEN, **cells)])
    assert found(tree)[BROKEN].attributes == {
        "age": "12",
        "sex": "M",
        "laterality": "L",
        "ao_classification": "23r-M/2.1",
        "cast": "1",
        "metal": "1",
        "osteopenia": "0",
        "initial_exam": "1",
        "diagnosis_uncertain": "1",
        "fracture_visible": "1",
        "pixel_spacing": "0.144",
        "device": "Siemens",
    }


def test_a_table_saved_by_another_program_says_the_same(tree):
    before = {
        stem: (claim.patient_id, claim.study_id, claim.view, claim.attributes) for stem, claim in found(tree).items()
    }
    rows = [row(stem) for stem in DRAWN]
    for cells in rows:
        cells |= {
            "patient_id": f"{cells['patient_id']}.0",
            "projection": f" {cells['projection']}.0",
            "age": cells["age"].replace(".", ","),
            "pixel_spacing": "0,144",
            "cast": "nan",
        }
    table(tree, rows, delimiter=";", bom=False)
    after = found(tree)
    assert before == {
        stem: (claim.patient_id, claim.study_id, claim.view, claim.attributes) for stem, claim in after.items()
    }
    assert not any(claim.notes for claim in after.values())


def test_several_fractures_in_one_cell_pass_in_a_table_of_commas(tree):
    table(tree, [row(stem, ao_classification="23r-M/3.1; 23u-E/7") for stem in DRAWN])
    assert found(tree)[BROKEN].attributes["ao_classification"] == "23r-M/3.1; 23u-E/7"


@pytest.mark.parametrize("kind", ["no table", "no columns", "empty cells"])
def test_the_name_says_what_the_table_does_not(tree, kind):
    if kind == "no table":
        (tree / "dataset.csv").unlink()
    elif kind == "no columns":
        table(tree, map(row, DRAWN), columns=("filestem", "device_manufacturer"))
    else:
        table(tree, [{"filestem": stem, "fracture_visible": row(stem)["fracture_visible"]} for stem in DRAWN])
    claim = found(tree)[BROKEN_SIDE]
    assert (claim.patient_id, claim.study_id, claim.view, claim.notes) == ("0001", "0001_01", "lateral", ())
    assert {"age": "14", "sex": "M", "laterality": "L"}.items() <= claim.attributes.items()


def test_a_film_of_another_name_has_no_patient(tree):
    film(tree / "images_part1/knee.png")
    write(tree / "folder_structure/yolov5/labels/knee.txt", "")
    claim = found(tree)["knee"]
    assert (claim.patient_id, claim.study_id, claim.view, claim.fractured) == (None, None, None, False)
    assert claim.notes == ("named like no film of this set and not in dataset.csv: patient unknown",)


def test_a_film_that_only_the_table_knows_by_name_has_its_patient(tree):
    film(tree / "images_part1/knee.png")
    table(tree, [*map(row, DRAWN), row(BROKEN, filestem="knee.png", patient_id="77", fracture_visible="0")])
    claim = found(tree)["knee"]
    assert (claim.patient_id, claim.study_id, claim.view) == ("0077", "0077_01", "frontal")


def test_films_without_a_row_and_rows_without_a_film_are_claimed(tree):
    table(tree, [row(stem) for stem in DRAWN if stem != NORMAL])
    (tree / "images_part1" / f"{BROKEN}.png").unlink()
    films = found(tree)
    assert films[NORMAL].notes == ("not in dataset.csv",)
    assert films[NORMAL].problem is None
    assert films[BROKEN].problem == "listed in dataset.csv, no film on disk"
    assert films[BROKEN].patient_id == "0001"
    assert len(films) == len(DRAWN)


def test_a_label_without_film_and_row_is_claimed(tree):
    (tree / "images_part1" / f"{BROKEN}.png").unlink()
    table(tree, [row(stem) for stem in DRAWN if stem != BROKEN])
    assert found(tree)[BROKEN].problem == "label without a film"


def test_a_film_without_a_label_is_unknown(tree):
    (tree / "folder_structure/yolov5/labels" / f"{NORMAL}.txt").unlink()
    claim = found(tree)[NORMAL]
    assert said(claim) == (None, None)
    assert (claim.abnormal, claim.problem, claim.notes) == (None, None, ("no label: nobody said",))


def test_a_fracture_the_table_sees_and_nobody_drew_counts_for_the_film(tree):
    table(tree, [row(stem, fracture_visible="1.0") for stem in DRAWN])
    claim = found(tree)[NORMAL]
    assert (*said(claim), claim.abnormal) == (True, None, True)
    assert claim.notes == ("dataset.csv says a fracture is visible, nobody drew it",)
    assert found(tree)[BROKEN].notes == ()


def test_boxes_decide_against_the_table(tree):
    table(tree, [row(stem, fracture_visible="") for stem in DRAWN])
    claim = found(tree)[BROKEN]
    assert claim.fractured is True
    assert claim.boxes
    assert claim.notes == ("dataset.csv says no fracture is visible, boxes are drawn",)
    assert found(tree)[NORMAL].notes == ()


@pytest.mark.parametrize(
    ("drawn", "cells", "abnormal"),
    [
        ((), {}, False),
        (("text",), {}, False),
        (("fracture",), {}, True),
        (("metal", "text"), {}, None),
        *(((name,), {}, True) for name in CLASSES if name not in {"metal", "text"}),
        (("text",), {"cast": "1"}, None),
        (("text",), {"metal": "1.0"}, None),
        (("text",), {"osteopenia": "1"}, None),
        (("text",), {"diagnosis_uncertain": "1"}, None),
        (("text",), {"ao_classification": "23-M/2.1"}, None),
        (("text",), {"cast": "0", "initial_exam": "1"}, False),
    ],
)
def test_a_film_is_normal_only_where_nothing_speaks_against_it(tree, drawn, cells, abnormal):
    yolo(tree / "folder_structure/yolov5", {NORMAL: drawn})
    table(tree, [row(stem, **cells) for stem in DRAWN])
    assert found(tree)[NORMAL].abnormal is abnormal


@pytest.mark.parametrize("kind", ["voc", "supervisely", "supervisely.png", "yolo unlisted"])
def test_the_other_formats_say_the_same(tree, kind):
    before = {stem: (claim.fractured, claim.kept, claim.dropped, claim.abnormal) for stem, claim in found(tree).items()}
    inside = tree / "folder_structure"
    if kind == "yolo unlisted":
        (inside / "yolov5/meta.yaml").unlink()
        shutil.rmtree(inside / "supervisely")
    else:
        shutil.rmtree(inside / "yolov5")
    if kind.startswith("supervisely"):
        shutil.rmtree(inside / "pascalvoc")
    if kind.endswith(".png"):
        shutil.rmtree(inside / "supervisely")
        supervisely(inside / "supervisely/wrist", DRAWN, ".png")
    after = found(tree)
    assert set(after) == set(before)
    assert [claim.fractured for claim in after.values()] == [before[stem][0] for stem in after]
    assert [claim.abnormal for claim in after.values()] == [before[stem][3] for stem in after]
    claim = after[BROKEN_SIDE]
    assert (claim.boxes, claim.relative, claim.claimed_px) == (((16.0, 9.0, 24.0, 21.0),), False, (40, 30))
    assert dict(after[BROKEN].kept) == {"fracture": 2}


def test_yolo_is_preferred_to_voc_and_voc_to_supervisely(tree):
    inside = tree / "folder_structure"
    voc(inside / "pascalvoc", {NORMAL: ("fracture",)})
    supervisely(inside / "supervisely/wrist", {NORMAL: ("fracture", "metal")})
    assert found(tree)[NORMAL].fractured is False
    shutil.rmtree(inside / "yolov5")
    assert dict(found(tree)[NORMAL].dropped) == {}
    assert found(tree)[NORMAL].fractured is True


@pytest.mark.parametrize("moved", ["yolov5", "labels", "images"])
def test_parts_may_lie_elsewhere(tree, moved):
    inside = tree / "folder_structure"
    if moved == "yolov5":
        (inside / "yolov5").rename(tree / "yolov5")
        shutil.rmtree(inside)
    elif moved == "labels":
        for number, path in enumerate(sorted((inside / "yolov5/labels").glob("*.txt"))):
            target = inside / "yolov5/labels" / ("train", "val")[number % 2] / path.name
            target.parent.mkdir(exist_ok=True)
            path.rename(target)
    else:
        for path in tree.glob("images_part*/*.png"):
            film(tree / "images" / path.name)
            path.unlink()
    films = found(tree)
    assert sorted(films) == sorted(DRAWN)
    assert {stem for stem, claim in films.items() if claim.fractured} == set(FRACTURED)


def test_films_of_one_name_are_all_claimed(tree):
    shutil.copy(tree / "images_part1" / f"{BROKEN}.png", tree / "images_part2")
    films = found(tree)
    twice = {f"images_part{part}/{BROKEN}.png" for part in (1, 2)}
    assert set(films) == (set(DRAWN) - {BROKEN}) | twice
    assert all(films[name].notes == ("2 films of this name",) and films[name].boxes for name in twice)
    assert {films[name].patient_id for name in twice} == {"0001"}


def test_labels_of_one_film_that_differ_set_it_aside(tree):
    labels = tree / "folder_structure/yolov5/labels"
    write(labels / "copy" / f"{BROKEN}.txt", "")
    shutil.copy(labels / f"{NORMAL}.txt", labels / "copy")
    films = found(tree)
    assert films[BROKEN].problem == f"several labels {BROKEN}.txt, and they differ"
    assert films[NORMAL].problem is None


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (f"folder_structure/yolov5/labels/{NORMAL}.txt", "9 0.5 0.5 0.1 0.1"),
        (f"folder_structure/pascalvoc/{NORMAL}.xml", "<annotation>"),
        (f"folder_structure/supervisely/wrist/ann/{NORMAL}.json", "{"),
    ],
)
def test_an_unreadable_label_sets_its_film_aside(tree, path, text):
    for folder in ("yolov5", "pascalvoc"):
        if folder not in path and ("supervisely" in path or folder == "yolov5"):
            shutil.rmtree(tree / "folder_structure" / folder)
    write(tree / path, text)
    claim = found(tree)[NORMAL]
    assert Path(path).name in claim.problem
    assert said(claim) == (None, None)
    assert said(found(tree)[HEALED]) == (False, ())


def mirror(root, stems=DRAWN):
    """Write Roboflow's export: foreignbody is left out, so that fracture is 2, and copies lie in several splits."""
    names = tuple(name for name in CLASSES if name != "foreignbody")
    for number, stem in enumerate(stems):
        split = ("train", "valid", "test")[number % 3]
        for digit in ("1", "2"):
            name = f"{stem}_png.rf.{digit * 32}"
            film(root / split / "images" / f"{name}.jpg")
            yolo(root / split, {name: stems[stem]}, names, listed=False)
    write(root / "data.yaml", f"train: ../train/images\nnc: 8\nnames: {list(names)}\n")
    write(root / "README.roboflow.txt", "words")
    return root


def test_the_roboflow_export_has_patients_and_families(tmp_path):
    films = found(mirror(tmp_path))
    assert len(films) == 2 * len(DRAWN)
    claim = films[f"{BROKEN}_png.rf.{'1' * 32}"]
    assert (claim.patient_id, claim.study_id, claim.view, claim.family) == ("0001", "0001_01", "frontal", BROKEN)
    assert (claim.fractured, dict(claim.kept)) == (True, {"fracture": 1})
    assert claim.attributes == {"age": "14", "sex": "M", "laterality": "L", "export_split": "train"}
    assert not any(claim.notes or claim.problem for claim in films.values())
    assert {claim.family for claim in films.values() if claim.fractured} == set(FRACTURED)


def test_the_table_serves_the_roboflow_export_too(tmp_path):
    root = mirror(tmp_path, {BROKEN: DRAWN[BROKEN]})
    table(root, [row(BROKEN, cast="1"), row(NORMAL)])
    films = found(root)
    assert films[f"{BROKEN}_png.rf.{'2' * 32}"].attributes["cast"] == "1"
    assert films[NORMAL].problem == "listed in dataset.csv, no film on disk"
    assert len(films) == 3


def test_an_index_means_another_class_in_every_export(tree, tmp_path):
    by_number = FractureClasses(index=3)
    kept = {name for claim in claims_of(tree, by_number) for name in claim.kept}
    assert kept == {"fracture"}
    root = mirror(tmp_path / "mirror")
    assert {name for claim in claims_of(root, by_number) for name in claim.kept} == set()
    assert {name for claim in claims_of(root, FractureClasses(index=2)) for name in claim.kept} == {"fracture"}


def claims_of(root, classes):
    return list(read(root, Provenance("grazpedwri", classes=classes)))


def test_numbers_do_without_a_class_list(tree):
    (tree / "folder_structure/yolov5/meta.yaml").unlink()
    for classes in (FractureClasses(index=3), FractureClasses(everything=True)):
        found = {claim.file.stem: claim for claim in claims_of(tree, classes)}
        assert "3" in found[BROKEN].kept
    assert found[NORMAL].kept == {"8": 1}


def test_another_class_list_may_be_named(tree, tmp_path):
    write(tmp_path / "other.yaml", "names: [a, b, c, crack, e, f, g, h, i]")
    about = Provenance("mine", classes=FractureClasses(("crack",)))
    kept = {name for claim in read(tree, about, tmp_path / "other.yaml") for name in claim.kept}
    assert kept == {"crack"}


def test_what_is_wrong_is_refused_before_the_first_claim(tree):
    wrong = FractureClasses(("crack",))
    with pytest.raises(BadValue, match=r"'fracture', 'metal'.*'crack'"):
        read(tree, Provenance("s", classes=wrong))
    (tree / "folder_structure/yolov5/meta.yaml").unlink()
    with pytest.raises(BadValue, match=r"'fracture', 'periostealreaction', 'text'.*'crack'"):
        read(tree, Provenance("s", classes=wrong))
    shutil.rmtree(tree / "folder_structure/yolov5")
    with pytest.raises(BadValue, match="by name"):
        read(tree, Provenance("s", classes=FractureClasses(index=3)))
    for folder in ("pascalvoc", "supervisely"):
        shutil.rmtree(tree / "folder_structure" / folder)
    with pytest.raises(MissingData, match="yolov5/labels"):
        claims("grazpedwri", tree)
    with pytest.raises(MissingData, match="films"):
        claims("grazpedwri", tree / "folder_structure")


def test_yolo_labels_alone_need_a_class_list(tree):
    for part in ("yolov5/meta.yaml", "pascalvoc", "supervisely"):
        path = tree / "folder_structure" / part
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(BadValue, match="--data-yaml"):
        claims("grazpedwri", tree)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("stem,patient_id\nx,1\n", "expected a column filestem, got stem, patient_id"),
        ("", "expected a column filestem"),
        ("filestem,cast\nx,1,2\n", "row 2: expected 2 cells, got 3"),
        ("filestem,cast\nx,1\n\nx,0\n", "row 3: expected every film once, got x again"),
    ],
)
def test_a_bad_table_is_refused(tree, text, complaint):
    write(tree / "dataset.csv", text)
    with pytest.raises(BadValue, match=complaint):
        claims("grazpedwri", tree)


def test_a_table_that_is_no_text_is_refused(tree):
    (tree / "dataset.csv").write_bytes(b"filestem\n\xff\n")
    with pytest.raises(BadValue, match=r"dataset\.csv: expected a table in UTF-8"):
        claims("grazpedwri", tree)


def test_ingest_keeps_every_film_and_its_patient(tree, tmp_path):
    records = ingest(claims("grazpedwri", tree), tmp_path / "out", workers=1)
    assert all(record.split is None for record in records)
    assert {record.size_px for record in records} == {(40, 30)}
    boxes = {record.image_id.split("/")[1]: record.boxes for record in records}
    assert boxes[BROKEN] == (pytest.approx((16, 9, 24, 21)),)
    assert boxes[NORMAL] == ()
    patients = {record.image_id.split("/")[1]: record.patient_id for record in records}
    assert patients == {BROKEN: "0001", BROKEN_SIDE: "0001", LATER: "0001", NORMAL: "0002", HEALED: "0003"}


def test_voc_of_another_size_than_the_film_is_caught(tree, tmp_path):
    shutil.rmtree(tree / "folder_structure/yolov5")
    path = tree / "folder_structure/pascalvoc" / f"{NORMAL}.xml"
    write(path, path.read_text(encoding="utf-8").replace("<width>40", "<width>41"))
    records = ingest(claims("grazpedwri", tree), tmp_path / "out", workers=1)
    assert [record.image_id for record in records if record.split == "set_aside"] == [f"grazpedwri/{NORMAL}"]


def test_folders_find_patients_by_name_and_leave_other_films_alone(tmp_path):
    root = mirror(tmp_path)
    film(root / "train/images/hip 1.jpg")
    write(root / "train/labels/hip 1.txt", "2 0.5 0.5 0.2 0.4")
    films = {claim.file.name: claim for claim in folders(root, root, Provenance("mine", frozenset({"hip"})))}
    ours, other = films[f"{LATER}_png.rf.{'1' * 32}.jpg"], films["hip 1.jpg"]
    assert (ours.patient_id, ours.study_id, ours.view, ours.abnormal) == ("0001", "0001_02", "oblique", True)
    assert (ours.licence, ours.source, ours.regions) == ("CC BY 4.0", "mine", {"hip"})
    assert ours.attributes["export_split"] == "test"
    assert "Nagy" in ours.attribution
    assert (other.patient_id, other.licence, other.attribution, other.notes) == (None, "not stated", "", ())
    about = Provenance("mine", licence="CC0", attribution="me")
    assert {(claim.licence, claim.attribution) for claim in folders(root, root, about)} == {("CC0", "me")}


def command(monkeypatch, *flags):
    monkeypatch.setattr(sys, "argv", ["ingest_grazpedwri.py", *map(str, flags)])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(DOOR), run_name="__main__")
    return end.value.code


def test_the_command_reads_the_published_tree(monkeypatch, capsys, tree, tmp_path):
    film(tree / "images_part1/knee.png")
    assert command(monkeypatch, "--src", tree, "--out", tmp_path / "out", "--copy") == 0
    printed = capsys.readouterr().out
    assert "6 films in = 6 kept + 0 set aside" in printed
    assert "2 fractured, 2 boxes, 1 film with notes" in printed
    assert "classes kept as fractures: fracture 2\n" in printed
    assert "classes dropped: periostealreaction 1, text 4\n" in printed
    assert "3 patients, 1 film of unknown patients; licence: CC BY 4.0" in printed
    assert str(tmp_path / "out/report.json") in printed
    assert len(manifest.load(tmp_path / "out")) == 6


def test_the_command_reads_what_its_predecessor_read(monkeypatch, capsys, tmp_path):
    root = mirror(tmp_path / "GRAZ_rf")
    flags = ["--images", root, "--labels", root, "--out", tmp_path / "out", "--fracture-class", "2", "--copy"]
    assert command(monkeypatch, *flags) == 0
    assert "classes kept as fractures: fracture 4" in capsys.readouterr().out
    records = manifest.load(tmp_path / "out")
    assert {record.patient_id for record in records} == {"0001", "0002", "0003"}
    assert {(record.source, record.licence, *record.regions) for record in records} == {
        ("grazpedwri", "CC BY 4.0", "wrist")
    }


def test_the_command_reads_another_set(monkeypatch, capsys, tmp_path):
    root = tmp_path / "HUMERUS_rf"
    film(root / "images/a.png")
    write(root / "labels/a.txt", "0 0.5 0.5 0.2 0.4\n1 0.2 0.2 0.1 0.1")
    write(tmp_path / "names.yaml", "names: [oblique, left-neck]")
    flags = ["--images", root, "--labels", root, "--source", "humerus", "--region", "humerus", "--licence", "CC0"]
    assert command(monkeypatch, *flags, "--all-fracture", "--out", tmp_path / "a", "--external") == 0
    (record,) = manifest.load(tmp_path / "a")
    assert (record.source, record.regions, record.licence, record.external) == ("humerus", {"humerus"}, "CC0", True)
    assert len(record.boxes) == 2
    names = ["--fracture-names", "left neck", "--data-yaml", tmp_path / "names.yaml", "--attribution", "them"]
    assert command(monkeypatch, *flags, *names, "--out", tmp_path / "b") == 0
    (record,) = manifest.load(tmp_path / "b")
    assert (len(record.boxes), record.attribution) == (1, "them")
    capsys.readouterr()


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        (["--src", "nowhere"], "ingest_grazpedwri: expected films"),
        (["--src", "TREE", "--fracture-names", "crack"], "ingest_grazpedwri: expected fracture classes"),
        (["--src", "TREE", "--region", "arm"], "'arm'"),
        (["--images", "TREE"], "--images and --labels go together"),
        (["--src", "TREE", "--labels", "TREE"], "--images and --labels go together"),
        ([], "--src --images"),
    ],
)
def test_the_command_says_what_is_wrong(monkeypatch, capsys, tree, tmp_path, flags, complaint):
    flags = [str(tree) if flag == "TREE" else flag for flag in flags]
    assert command(monkeypatch, *flags, "--out", tmp_path / "out") == 2
    assert complaint in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
