"""FracAtlas as published becomes claims: one per film and per row, disagreements said."""

import json
import shutil
from collections import Counter

import pytest

from fracture.core.errors import BadValue, MissingData
from fracture.data.sources import claims
from fracture.data.sources.fracatlas import COCO


def read(root):
    return {claim.image_id: claim for claim in claims("fracatlas", root)}


@pytest.fixture
def tree(fracatlas_tree, tmp_path):
    """Give a copy to spoil, and its traps."""
    root, traps = fracatlas_tree
    return shutil.copytree(root, tmp_path / "FracAtlas"), traps


def film(root, image_id):
    (path,) = root.glob(f"images/*/{image_id.removeprefix('fracatlas/')}.jpg")
    return path


def test_every_film_is_claimed_once(fracatlas_tree):
    root, _ = fracatlas_tree
    found = list(claims("fracatlas", root))
    assert len(found) == len({claim.image_id for claim in found}) == 24
    assert all(claim.file.is_file() and claim.licence == "CC BY 4.0" for claim in found)
    assert all(claim.fractured == bool(claim.boxes) for claim in found)


def test_normal_films_are_looked_at_and_have_no_box(fracatlas_tree):
    root, traps = fracatlas_tree
    assert read(root)[traps.whole].boxes == ()


def test_boxes_are_corners_and_sizes_those_of_the_annotators(fracatlas_tree):
    root, traps = fracatlas_tree
    claim = read(root)[traps.turned]
    coco = json.loads((root / COCO).read_text(encoding="utf-8"))
    (image,) = (image for image in coco["images"] if image["file_name"] == claim.file.name)
    boxes = [note["bbox"] for note in coco["annotations"] if note["image_id"] == image["id"]]
    assert [(x, y, x + w, y + h) for x, y, w, h in boxes] == list(claim.boxes)
    assert claim.claimed_px == (image["width"], image["height"])


def test_regions_views_and_numbers_come_from_the_row(fracatlas_tree):
    root, traps = fracatlas_tree
    claim = read(root)[traps.several_regions]
    assert claim.regions == {"hand", "leg"}
    assert claim.view == "frontal"
    assert claim.sequence == int(traps.several_regions[-7:])
    assert claim.attributes["mixed"] == "1"


def test_the_published_lists_travel_along(fracatlas_tree):
    root, traps = fracatlas_tree
    found = read(root)
    splits = [found[image_id].attributes.get("official_split") for image_id in traps.near]
    assert splits == ["train", "train", "test"]
    counts = Counter(claim.attributes.get("official_split") for claim in found.values())
    assert set(counts) == {"train", "val", "test", None}
    assert counts[None] == sum(not claim.fractured for claim in found.values())


def test_a_row_that_contradicts_the_folder_is_overruled_and_said(fracatlas_tree):
    root, traps = fracatlas_tree
    claim = read(root)[traps.wrong_row]
    assert (claim.fractured, claim.problem) == (True, None)
    assert "dataset.csv says fractured=0" in claim.notes[0]
    assert [image_id for image_id, other in read(root).items() if other.notes] == [traps.wrong_row]


def test_a_row_without_a_film_stays_on_record(tree):
    root, traps = tree
    film(root, traps.whole).unlink()
    claim = read(root)[traps.whole]
    assert claim.problem == "listed in dataset.csv, no film on disk"


def test_a_film_without_a_row_is_kept_and_said(tree):
    root, traps = tree
    shutil.copy(film(root, traps.whole), root / "images/Non_fractured/IMG0009999.jpg")
    claim = read(root)["fracatlas/IMG0009999"]
    assert (claim.problem, claim.notes, claim.regions) == (None, ("not in dataset.csv",), {"unknown"})


@pytest.mark.parametrize(("name", "folder"), [("turned", "Non_fractured"), ("whole", "Fractured")])
def test_a_film_in_the_wrong_folder_is_a_problem(tree, name, folder):
    root, traps = tree
    path = film(root, getattr(traps, name))
    path.rename(root / "images" / folder / path.name)
    assert f"in folder {folder}" in read(root)[getattr(traps, name)].problem


@pytest.mark.parametrize("missing", ["dataset.csv", COCO, "Utilities/Fracture Split/valid.csv", "images"])
def test_a_missing_part_is_named(tree, missing):
    root, _ = tree
    path = root / missing
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(MissingData, match=path.name):
        read(root)


def test_a_film_named_otherwise_is_refused(tree):
    root, _ = tree
    (root / "images/Non_fractured/holiday.jpg").write_bytes(b"")
    with pytest.raises(BadValue, match=r"holiday\.jpg"):
        read(root)


def test_an_unknown_source_answers_with_the_known_ones(tmp_path):
    with pytest.raises(BadValue, match="fracatlas"):
        claims("fracatlass", tmp_path)


def test_the_mini_set(mini_fracatlas):
    found = read(mini_fracatlas)
    assert len(found) == 159
    assert sum(claim.fractured for claim in found.values()) == 65
    assert sum(len(claim.boxes) for claim in found.values()) == 83
    assert not [claim for claim in found.values() if claim.problem]
    assert [image_id for image_id, claim in found.items() if claim.notes] == ["fracatlas/IMG0003298"]


def test_a_name_in_both_folders_is_a_problem_not_a_loss(fracatlas_tree, tmp_path):
    root = tmp_path / "FracAtlas"
    shutil.copytree(fracatlas_tree[0], root)
    twice = next((root / "images/Fractured").glob("*.jpg"))
    shutil.copy(twice, root / "images/Non_fractured")
    problems = {claim.image_id: claim.problem for claim in claims("fracatlas", root) if claim.problem}
    assert problems[f"fracatlas/{twice.stem}"] == "a film of this name lies in both folders"
