"""COCO results: what pycocotools reads is what we read, and everything that could be misread is refused."""

import json

import numpy as np
import pytest
from pycocotools.coco import COCO

from fracture.core.errors import BadValue, MissingData
from fracture.core.types import ImageRecord
from fracture.predictions import coco, load_predictions

IMAGES = [{"id": 17, "file_name": "a__one.png", "width": 200, "height": 100}, {"id": 3, "file_name": "b__one.png"}]


def result(**changes):
    return {"image_id": "a__one", "category_id": 1, "bbox": [10, 20, 30, 40], "score": 0.5} | changes


@pytest.fixture
def read(tmp_path, records):
    """Write results, and images if there are any, and load them."""

    def load(results, images=None, **options):
        file = tmp_path / "results.json"
        file.write_text(results if isinstance(results, str) else json.dumps(results))
        if images is not None:
            options["coco_images"] = tmp_path / "truth.json"
            options["coco_images"].write_text(json.dumps({"images": images}))
        return load_predictions(file, records, **options)

    return load


def test_what_pycocotools_has_is_what_we_have(tmp_path, read, records, random_answers):
    """120 boxes on one film, boxes that leave it, equal scores: all stay, best first, ties in the file's order."""
    films = [record for record in records if record.split != "set_aside"]
    ids = {record.image_id: number for number, record in enumerate(films, start=1)}
    shuffled = coco.results(random_answers, ids)
    assert {row["category_id"] for row in shuffled} == {1}  # the one category of the truth
    np.random.default_rng(0).shuffle(shuffled)
    truth_file = tmp_path / "truth.json"
    truth_file.write_text(json.dumps(coco.truth(films)))
    theirs = COCO(str(truth_file)).loadRes(shuffled)
    loaded = read(shuffled, coco_images=truth_file)
    assert list(loaded.answers) == list(ids)
    for image_id, number in ids.items():
        rows = sorted(theirs.imgToAnns[number], key=lambda row: -row["score"])
        ours = loaded.answers[image_id].detections
        np.testing.assert_allclose(
            np.hstack([ours.xyxy[:, :2], ours.xyxy[:, 2:] - ours.xyxy[:, :2]]),
            np.array([row["bbox"] for row in rows]).reshape(-1, 4),
            rtol=0,
            atol=1e-12,
        )
        assert ours.score.tolist() == [row["score"] for row in rows]
        np.testing.assert_allclose(np.sort(ours.xyxy, 0), np.sort(random_answers[image_id].detections.xyxy, 0))


def test_truth_is_what_the_manifest_says():
    """Two boxes on the second film: (10, 20) to (40, 60) is 30 x 40 = 1200, (0, 0) to (5, 2) is 10."""
    films = [
        ImageRecord("a/1", "images/1.png", "a", (50, 60), fractured=False),
        ImageRecord("a/2", "images/2.png", "a", (70, 80), boxes=((10, 20, 40, 60), (0, 0, 5, 2))),
    ]
    content = coco.truth(films)
    assert [image["id"] for image in content["images"]] == [1, 2]
    assert content["images"][1] == {"id": 2, "file_name": "images/2.png", "width": 70, "height": 80}
    first, second = content["annotations"]
    assert first == {"id": 1, "image_id": 2, "category_id": 1, "bbox": [10, 20, 30, 40], "area": 1200, "iscrowd": 0}
    assert (second["id"], second["area"]) == (2, 10)
    assert content["categories"] == [{"id": 1, "name": "fracture"}]


def test_names_stand_for_films_and_a_film_without_a_row_shows_nothing(read):
    loaded = read([result(), result(image_id="images/val/b__one.png", bbox=[-5, 0, 300, 1])])
    assert loaded.answers["a/one"].detections.xyxy.tolist() == [[10, 20, 40, 60]]
    assert loaded.answers["b/one"].detections.xyxy.tolist() == [[-5, 0, 295, 1]]  # unclipped, as COCO judges it
    assert len(loaded.answers["a/two"].detections) == 0
    assert loaded.without_a_line == ("a/two", "b/hand/film 3.é", "b/lost")
    assert (loaded.format, loaded.model_id, loaded.harmonise_id) == ("coco", "results", None)


def test_numbers_stand_for_films_as_the_images_say(read):
    """A film that is listed shows nothing where it has no row; one that is not listed was not read."""
    loaded = read([result(image_id=17)], IMAGES)
    assert {image_id: len(answer.detections) for image_id, answer in loaded.answers.items()} == {"a/one": 1, "b/one": 0}
    assert loaded.without_a_line == ("a/two", "b/one", "b/hand/film 3.é", "b/lost")


def test_results_may_bring_their_own_images(read):
    loaded = read({"images": IMAGES, "annotations": [result(image_id=3)]})
    assert len(loaded.answers["b/one"].detections) == 1
    elsewhere = [{"id": 3, "file_name": "a__two.png"}]
    assert (
        len(read({"images": IMAGES, "annotations": [result(image_id=3)]}, elsewhere).answers["a/two"].detections) == 1
    )


def test_listed_films_of_others_are_passed_over(read):
    loaded = read([result(image_id=17)], [*IMAGES, {"id": 5, "file_name": "of_another_set.png"}])
    assert list(loaded.answers) == ["a/one", "b/one"]


def test_a_row_may_name_a_film_that_is_not_listed(read):
    assert len(read([result(image_id="a__two")], IMAGES).answers["a/two"].detections) == 1


def test_an_empty_list_is_an_answer_and_so_is_a_byte_order_mark(read):
    loaded = read("\ufeff[]\r\n")
    assert all(len(answer.detections) == 0 for answer in loaded.answers.values())
    assert len(loaded.without_a_line) == len(loaded.answers) == 5
    assert read([], category=4).other_rows == 0


def test_an_object_without_annotations_or_images_found_nothing(read):
    loaded = read({"annotations": []})
    assert len(loaded.without_a_line) == len(loaded.answers) == 5


def numbered(path, number, **changes):
    """Give a row as Ultralytics writes it: the number is the film's name, and the name stands beside it."""
    return result(image_id=number, file_name=path, **changes)


@pytest.fixture
def hundred():
    """Give films 0000 to 0003, listed under numbers that begin with 1."""
    films = [ImageRecord(f"s/{n:04}", f"images/test/{n:04}.png", "s", (200, 100), fractured=False) for n in range(4)]
    return films, [{"id": n + 1, "file_name": f"{n:04}.png"} for n in range(4)]


def test_a_row_that_names_its_film_means_that_film(tmp_path, hundred):
    films, images = hundred
    listing = tmp_path / "listing.json"
    listing.write_text(json.dumps({"images": images}))
    for rows, options in (
        ([numbered("0001.png", 1), numbered("0003.png", 3)], {"coco_images": listing}),  # Ultralytics' own numbers
        ([numbered("0001.png", 2), numbered("0003.png", 4)], {"coco_images": listing}),  # the listing's numbers
        ([numbered("0001.png", 77), numbered("0003.png", 78)], {}),
        ([numbered("C:\\x\\0001.PNG", "0001"), numbered("0003.png", "0003")], {"coco_images": listing}),
        ([result(image_id="2"), result(image_id=4)], {"coco_images": listing}),
        ([result(image_id="0001"), result(image_id="0003")], {}),
    ):
        file = tmp_path / "rows.json"
        file.write_text(json.dumps(rows))
        loaded = load_predictions(file, films, **options)
        assert [len(loaded.answers[film.image_id].detections) for film in films] == [0, 1, 0, 1], rows


def test_a_number_and_a_name_that_mean_two_films_are_refused(tmp_path, hundred):
    films, images = hundred
    listing, file = tmp_path / "listing.json", tmp_path / "rows.json"
    listing.write_text(json.dumps({"images": images}))
    for row, said in (
        (numbered("0003.png", 1), "row 1: expected image_id and name to mean one film, got 1, listed as s/0000, and"),
        (result(image_id="0002", file_name="elsewhere.png"), "'elsewhere.png'"),
    ):
        file.write_text(json.dumps([row]))
        with pytest.raises(BadValue, match=said):
            load_predictions(file, films, coco_images=listing)


def test_of_several_categories_one_must_be_named(read):
    rows = [result(score=0.2), result(category_id=2, score=0.9), result(category_id=2, score=0.1), result(score=0.1)]
    with pytest.raises(BadValue, match=r"got '1' \(2 boxes\), '2' \(2 boxes\)"):
        read(rows)
    with pytest.raises(BadValue, match=r"category: expected one out of '1' .*, got 7"):
        read(rows, category=7)
    with pytest.raises(BadValue, match=r"category: expected one out of '1' \(1 boxes\), got 2"):
        read([result()], category=2)
    for category in (2, "2"):
        loaded = read([*rows, result(image_id="a__two")], category=category)
        assert loaded.answers["a/one"].detections.score.tolist() == [0.9, 0.1]
        assert loaded.answers["a/one"].detections.label.tolist() == [0, 0]
        assert (loaded.other_rows, len(loaded.answers["a/two"].detections)) == (3, 0)


@pytest.mark.parametrize(
    ("results", "images", "said"),
    [
        ([result(image_id=17)], None, "row 1: image_id 17 is a number: name the annotations file"),
        ([result(), result(image_id=4)], IMAGES, "row 2: expected an image_id out of the listed images, got 4"),
        ([result(image_id="c__one"), result()], None, "1 of 2 rows name films that are not in the manifest: 'c__one'"),
        ([result(image_id=5)], [{"id": 5, "file_name": "other.png"}], "1 of 1 rows"),
        ([result(), result(image_id="images/test/a__one.png")], None, "are one film, a/one"),
        ([], [IMAGES[0], {"id": 4, "file_name": "a__one.png"}], "image 4: expected every film once, got a/one again"),
        ([], [IMAGES[0] | {"width": 100}], "predicted on films of 100 x 100, the manifest says 200 x 100 of a/one"),
        ([], [IMAGES[0] | {"height": "100"}], "expected a width and height"),
        ([], [IMAGES[0], IMAGES[0]], "image 2: expected every id once, got 17 again"),
        ([], [{"id": 1}], "image 1: expected a file_name"),
        ([], [{"id": None, "file_name": "a"}], "image 1: expected a number or text as id, got None"),
        ([], [7], "image 1: expected a number or text as id"),
        ([result(score=float("nan"))], None, "row 1: expected a score from 0 to 1"),
        ([result(score=1.01)], None, "row 1: expected a score from 0 to 1, got 1.01"),
        ([{"image_id": "a__one", "category_id": 1, "bbox": [1, 2, 3, 4]}], None, "row 1: expected a score"),
        ([result(), result(bbox=[1, 2, -3, 4])], None, "row 2: expected a box with no side below 0"),
        ([result(bbox=[1, 2, 3, -4])], None, "row 1: expected a box with no side below 0"),
        ([result(bbox=[1, 2, 3])], None, "row 1: expected a bbox"),
        ([result(bbox=[1, 2, 3, True])], None, "row 1: expected a bbox"),
        ([result(bbox=[10**300, 2, 3, 4])], None, "row 1: expected a bbox"),
        ([result(bbox=None)], None, "row 1: expected a bbox"),
        ([result(category_id=None)], None, "row 1: expected a number or text as category_id"),
        ([result(image_id=True)], None, "row 1: expected a number or text as image_id"),
        ([result(image_id=[1])], None, "row 1: expected a number or text as image_id"),
        ([7], None, "row 1: expected a number or text as image_id"),
        ({"annotations": [result()]}, None, "expected an object with the list images"),
        ({"images": []}, None, "expected COCO results"),
        ("7", None, "expected COCO results"),
        ('[{"image_id": 1, "categ', None, r"results.json: expected COCO's json"),
        ("[" * 100_000, None, r"results.json: expected COCO's json"),
        ("[" + "9" * 5000 + "]", None, r"results.json: expected COCO's json"),
        ("", None, r"results.json: expected COCO's json"),
    ],
)
def test_what_could_be_misread_is_refused(read, results, images, said):
    with pytest.raises(BadValue, match=said):
        read(results, images)


def test_huge_numbers_are_names_like_any_other(read):
    huge = 10**400
    assert len(read([result(image_id=huge)], [{"id": huge, "file_name": "a__one"}]).answers["a/one"].detections) == 1


def test_images_that_are_none_are_refused(read, tmp_path):
    other = tmp_path / "other.json"
    other.write_text("[]")
    with pytest.raises(BadValue, match=r"other.json: expected an object with the list images"):
        read([], coco_images=other)
    with pytest.raises(MissingData, match="no such file"):
        read([], coco_images=tmp_path / "gone.json")
