"""Manifest to YOLO tree and back: labels to the digit, the tree replaced as a whole, nobody else's folder touched."""

from dataclasses import replace
from pathlib import Path

import pytest

from fracture.core.boxes import from_yolo
from fracture.core.errors import BadValue, MissingData
from fracture.core.types import ImageRecord
from fracture.data import manifest
from fracture.data.yolo import CLASSES, label_text, load_dataset, write_label, write_tree

REPOSITORY = Path(__file__).parents[2]


def record(name, split="train", **fields):
    return ImageRecord(f"s/{name}", f"images/{name}.png", "s", (200, 100), split=split, **fields)


@pytest.fixture
def films(tmp_path):
    """Give (record, film) pairs: two fractured, one normal, one set aside, one in no split."""
    boxes = ((20.0, 10.0, 60.0, 30.0), (0.0, 0.0, 200.0, 100.0))
    records = [
        record("1", "train", fractured=True, boxes=boxes),
        record("2", "val", fractured=True, boxes=boxes[:1]),
        record("3", "test", fractured=False, boxes=()),
        record("4", "set_aside", boxes=boxes),
        record("5", None),
    ]
    folder = tmp_path / "stage"
    folder.mkdir()
    for film in records:
        (folder / f"{film.image_id[2:]}.png").write_bytes(film.image_id.encode())
    return [(film, folder / f"{film.image_id[2:]}.png") for film in records]


def files(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_a_label_is_a_line_per_box():
    film = record("1", boxes=((20.0, 10.0, 60.0, 30.0), (0.0, 0.0, 200.0, 100.0)))
    assert label_text(film) == "0 0.200000 0.200000 0.200000 0.200000\n0 0.500000 0.500000 1.000000 1.000000\n"


@pytest.mark.parametrize("boxes", [(), None])
def test_no_box_no_line(boxes):
    assert label_text(record("1", boxes=boxes)) == ""


def test_a_label_leads_back_to_the_box():
    box = (13.37, 20.01, 18.4, 99.99)
    values = tuple(float(value) for value in label_text(record("1", boxes=(box,))).split()[1:])
    assert from_yolo(values, (200, 100)) == pytest.approx(box, abs=2e-4)


def test_the_tree(films, tmp_path):
    out = tmp_path / "dataset"
    placed = write_tree(films, out)
    assert files(out) == {
        "manifest.csv",
        "ATTRIBUTION.md",
        "dataset.yaml",
        *(f"images/{split}/s__{name}.png" for split, name in (("train", 1), ("val", 2), ("test", 3))),
        *(f"labels/{split}/s__{name}.txt" for split, name in (("train", 1), ("val", 2), ("test", 3))),
    }
    assert manifest.load(out) == placed
    assert [film.split for film in placed] == ["train", "val", "test", "set_aside", None]
    assert (out / placed[0].path).read_bytes() == b"s/1"
    assert (out / "labels/test/s__3.txt").read_bytes() == b""
    assert len((out / "labels/train/s__1.txt").read_text(encoding="utf-8").splitlines()) == 2


def test_the_tree_describes_itself(films, tmp_path):
    write_tree(films, tmp_path / "dataset")
    found = load_dataset(tmp_path / "dataset" / "dataset.yaml")
    assert found.names == ("fracture",)
    assert {part: len(list(folder.iterdir())) for part, folder in found.splits.items()} == dict.fromkeys(
        ("train", "val", "test"), 1
    )


def test_a_film_nobody_drew_on_is_never_taken_for_a_normal_one(films, tmp_path):
    _, path = films[0]
    undrawn = [
        ImageRecord("s/1", "images/1.png", "s", (9, 9), split="train", fractured=True),
        ImageRecord("s/2", "images/2.png", "s", (9, 9), split="train"),
        ImageRecord("s/3", "images/3.png", "s", (9, 9), split="train", fractured=False),
    ]
    write_tree([(film, path) for film in undrawn], tmp_path / "dataset")
    assert files(tmp_path / "dataset") - {"manifest.csv", "ATTRIBUTION.md", "dataset.yaml"} == {
        "undrawn/train/s__1.png",
        "undrawn/train/s__2.png",
        "images/train/s__3.png",
        "labels/train/s__3.txt",
    }


def test_a_label_of_a_film_nobody_draws_on_any_more_goes(tmp_path):
    write_label(record("1", boxes=((20.0, 10.0, 60.0, 30.0),)), tmp_path / "1.txt")
    write_label(record("1", boxes=None), tmp_path / "1.txt")
    assert not (tmp_path / "1.txt").exists()


def test_licence_and_attribution_travel_with_the_dataset(films, tmp_path):
    told = [(replace(film, licence="CC BY 4.0", attribution="Somebody et al., 2022"), path) for film, path in films]
    write_tree(told, tmp_path / "dataset")
    text = (tmp_path / "dataset/ATTRIBUTION.md").read_text(encoding="utf-8")
    assert "## s\n\n3 films. Licence: CC BY 4.0.\n\nSomebody et al., 2022\n" in text


def test_films_of_two_sources_may_share_a_name(films, tmp_path):
    _, path = films[0]
    twins = [
        (ImageRecord(f"{s}/1", "images/1.png", s, (9, 9), split="train", fractured=False), path) for s in ("s", "t")
    ]
    write_tree(twins, tmp_path / "dataset")
    assert len(list((tmp_path / "dataset/images/train").iterdir())) == 2


def test_films_are_linked_unless_copies_are_wanted(films, tmp_path):
    linked, copied = write_tree(films, tmp_path / "a")[0], write_tree(films, tmp_path / "b", copy=True)[0]
    assert (tmp_path / "a" / linked.path).samefile(films[0][1])
    assert not (tmp_path / "b" / copied.path).samefile(films[0][1])


def test_the_tree_is_replaced_as_a_whole(films, tmp_path):
    out = tmp_path / "dataset"
    write_tree(films, out)
    (out / "labels/train.cache").write_bytes(b"of the old tree")
    (tmp_path / "dataset.partial").mkdir()
    (tmp_path / "dataset.partial/half").write_bytes(b"of a kill")
    write_tree(films[1:3], out)
    assert files(out) == {
        "manifest.csv",
        "ATTRIBUTION.md",
        "dataset.yaml",
        "images/val/s__2.png",
        "labels/val/s__2.txt",
        "images/test/s__3.png",
        "labels/test/s__3.txt",
    }
    assert not (tmp_path / "dataset.partial").exists()


def test_a_tree_that_cannot_be_built_leaves_the_old_one(films, tmp_path):
    out = tmp_path / "dataset"
    write_tree(films, out)
    before = files(out)
    films[2][1].unlink()
    with pytest.raises(FileNotFoundError):
        write_tree(films, out)
    assert files(out) == before


@pytest.mark.parametrize("content", ["thesis.docx", "journal.jsonl"])
def test_a_folder_that_is_not_ours_to_replace_is_refused(films, tmp_path, content):
    out = tmp_path / "out"
    out.mkdir()
    (out / content).write_bytes(b"years of work")
    if content == "journal.jsonl":
        manifest.save([films[0][0]], out)
    before = files(out)
    with pytest.raises(BadValue, match="no dataset of ours"):
        write_tree(films, out)
    assert files(out) == before


def test_an_empty_folder_may_be_filled(films, tmp_path):
    (tmp_path / "out").mkdir()
    write_tree(films, tmp_path / "out")
    assert (tmp_path / "out/manifest.csv").is_file()


def dataset(folder, text):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "data.yaml").write_text(text, encoding="utf-8")
    return folder / "data.yaml"


def test_the_yaml_of_the_repository_names_what_the_tree_has():
    found = load_dataset(REPOSITORY / "dataset.yaml")
    assert found.root == REPOSITORY / "dataset_v5"
    assert {split: path.name for split, path in found.splits.items()} == {n: n for n in ("train", "val", "test")}
    assert found.names == CLASSES


def test_the_path_is_relative_to_the_yaml(tmp_path):
    path = dataset(tmp_path / "deep", "path: ../tree\ntrain: images/train\nval: images/val\nnames: [fracture]\n")
    found = load_dataset(path)
    assert found.splits == {name: tmp_path / "tree/images" / name for name in ("train", "val")}


def test_without_a_path_the_tree_is_beside_the_yaml(tmp_path):
    assert load_dataset(dataset(tmp_path, "train: a\nnames: {0: x}\n")).splits == {"train": tmp_path / "a"}


def test_a_root_overrides_the_path(tmp_path):
    path = dataset(tmp_path, "path: /nowhere\ntrain: a\nnames: {0: x}\n")
    assert load_dataset(path, root=tmp_path / "here").splits["train"] == tmp_path / "here/a"


@pytest.mark.parametrize("names", ["{1: metal, 0: fracture, 2: text}", "[fracture, metal, text]"])
def test_names_come_by_index(tmp_path, names):
    assert load_dataset(dataset(tmp_path, f"train: a\nnames: {names}\n")).names == ("fracture", "metal", "text")


@pytest.mark.parametrize("text", ["", "train: a\n", "names: [x]\n", "just text", "[1, 2]"])
def test_a_yaml_without_its_keys_is_refused(tmp_path, text):
    with pytest.raises(BadValue, match="expected the keys"):
        load_dataset(dataset(tmp_path, text))


def test_no_yaml(tmp_path):
    with pytest.raises(MissingData, match="none"):
        load_dataset(tmp_path / "none.yaml")
