"""Phantom films look their part, and every trap of the phantom FracAtlas is really set."""

import csv
import io
import json
from dataclasses import astuple

import cv2
import numpy as np
import pytest
from PIL import Image

from fracture.data.phantom import draw_film, write_fracatlas
from fracture.errors import BadValue


def draw(seed, size_px=(373, 454), *, fractured=True):
    return draw_film(np.random.default_rng(seed), size_px, fractured=fractured)


def native(root, image_id):
    """Give the path of a film's file."""
    (path,) = root.glob(f"images/*/{image_id.removeprefix('fracatlas/')}.jpg")
    return path


def table(path):
    with path.open(newline="", encoding="utf-8") as file:
        return {row["image_id"].removesuffix(".jpg"): row for row in csv.DictReader(file)}


def test_a_seed_draws_one_film():
    first, again, other = draw(3), draw(3), draw(4)
    np.testing.assert_array_equal(first[0], again[0])
    assert first[1] == again[1]
    assert (first[0] != other[0]).any()


@pytest.mark.parametrize("size_px", [(373, 454), (454, 373), (200, 200), (90, 300)])
def test_every_fracture_has_a_box_on_the_film(size_px):
    width, height = size_px
    for seed in range(6):
        pixels, boxes = draw(seed, size_px)
        assert (pixels.shape, pixels.dtype) == ((height, width), np.uint8)
        assert len(boxes) in (1, 2)
        for x0, y0, x1, y1 in boxes:
            assert 0 <= x0 < x1 <= width
            assert 0 <= y0 < y1 <= height
            assert (x1 - x0) * (y1 - y0) < 0.06 * width * height


def test_a_normal_film_has_no_box():
    assert draw(0, fractured=False)[1] == ()


def test_bone_is_bright_and_air_is_dark():
    pixels, _ = draw(1, fractured=False)
    assert np.median(pixels[:, :20]) < 40
    assert np.percentile(pixels, 99) > 120


def test_a_fracture_is_a_fine_dark_line_where_its_box_says():
    inside, outside = [], []
    for seed in range(5):
        pixels, boxes = draw(seed)
        lines = cv2.morphologyEx(pixels, cv2.MORPH_BLACKHAT, np.ones((5, 5)))
        boxed = np.zeros(pixels.shape, bool)
        for x0, y0, x1, y1 in boxes:
            boxed[int(y0) : int(y1), int(x0) : int(x1)] = True
        bone = cv2.erode(pixels, np.ones((3, 3))) > 85
        inside.append(lines[boxed & bone].mean())
        outside.append(lines[~boxed & bone].mean())
    assert np.mean(inside) > 1.6 * np.mean(outside)


def test_the_tree_is_laid_out_as_published(fracatlas_tree):
    root, _ = fracatlas_tree
    rows = table(root / "dataset.csv")
    columns = "image_id,hand,leg,hip,shoulder,mixed,hardware,multiscan,fractured,fracture_count,frontal,lateral,oblique"
    assert ",".join(next(iter(rows.values()))) == columns
    assert rows.keys() == {path.stem for path in root.glob("images/*/*.jpg")}
    assert len(rows) == 24
    fractured = {path.stem for path in root.glob("images/Fractured/*.jpg")}
    coco = json.loads((root / "Annotations/COCO JSON/COCO_fracture_masks.json").read_text(encoding="utf-8"))
    assert {image["file_name"].removesuffix(".jpg") for image in coco["images"]} == fractured
    lists = [table(root / "Utilities/Fracture Split" / name) for name in ("train.csv", "valid.csv", "test.csv")]
    assert all(lists)
    assert sorted(name for names in lists for name in names) == sorted(fractured)


def test_a_tree_is_the_same_from_the_same_seed(tmp_path):
    traps = [write_fracatlas(tmp_path / name, np.random.default_rng(5), films=15) for name in "ab"]
    assert traps[0] == traps[1]
    trees = [{p.relative_to(tmp_path / n): p.read_bytes() for p in (tmp_path / n).rglob("*.*")} for n in "ab"]
    assert trees[0] == trees[1]


def test_no_trap_is_left_out(tmp_path):
    with pytest.raises(BadValue, match="at least 15"):
        write_fracatlas(tmp_path, np.random.default_rng(0), films=14)


def test_every_trap_is_set(fracatlas_tree):
    root, traps = fracatlas_tree
    coco = json.loads((root / "Annotations/COCO JSON/COCO_fracture_masks.json").read_text(encoding="utf-8"))
    claimed = {image["file_name"]: (image["width"], image["height"]) for image in coco["images"]}

    def pixels(image_id):
        return np.asarray(Image.open(native(root, image_id)).convert("L")).astype(float)

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

    first, *others = (pixels(image_id) for image_id in traps.near)
    for other in others:
        assert (first != other).any()
        assert np.corrcoef(first.ravel(), other.ravel())[0, 1] > 0.99
    assert others[1].mean() > 1.1 * first.mean()
    named = [name for value in astuple(traps) for name in ([value] if isinstance(value, str) else value)]
    assert len(named) == len(set(named)) == 15
