"""YOLO text: a folder as Ultralytics writes it, its rows on the manifest's films."""

import numpy as np
import pytest

from fracture.core import boxes as box_math
from fracture.core.errors import BadValue
from fracture.predictions import load_predictions


@pytest.fixture
def folder(tmp_path):
    labels = tmp_path / "labels"
    labels.mkdir()
    return labels


def test_the_same_detections_as_from_anywhere(folder, records, random_answers):
    for image_id, answer in random_answers.items():
        found = answer.detections
        rows = [
            [0, *box_math.to_yolo(tuple(box), answer.film_px), score]
            for box, score in zip(found.xyxy.tolist(), found.score.tolist(), strict=True)
        ]
        np.random.default_rng(1).shuffle(rows)
        text = "".join(f"{int(row[0])} " + " ".join(repr(float(part)) for part in row[1:]) + "\n" for row in rows)
        (folder / f"{image_id.replace('/', '__')}.txt").write_text(text)
    loaded = load_predictions(folder, records)
    for image_id, answer in random_answers.items():
        ours, given = loaded.answers[image_id].detections, answer.detections
        assert ours.score.tolist() == given.score.tolist()
        np.testing.assert_allclose(np.sort(ours.xyxy, 0), np.sort(given.xyxy, 0), rtol=0, atol=1e-9)
    assert loaded.without_a_line == ("b/lost",)


def test_fractions_become_pixels_of_the_film_and_windows_line_ends_do_not_matter(folder, records):
    """Centre (.5, .5) of 200 x 100 px, a quarter wide, half as high: 75..125, 25..75. The next leaves the film."""
    (folder / "a__one.txt").write_bytes(b"\xef\xbb\xbf0 0.5 0.5 0.25 0.5 0.75\r\n\r\n0 0.0 0.5 0.1 1.0 0.9\r\n")
    found = load_predictions(folder, records).answers["a/one"].detections
    np.testing.assert_allclose(found.xyxy, [[-10, 0, 10, 100], [75, 25, 125, 75]], atol=1e-12)
    assert found.score.tolist() == [0.9, 0.75]


def test_an_absent_file_and_an_empty_one_say_that_nothing_was_found(folder, records):
    (folder / "a__one.txt").write_text("")
    (folder / "b__hand__film 3.é.txt").write_text("0 .5 .5 .1 .1 .5")
    loaded = load_predictions(folder, records)
    counts = {image_id: len(answer.detections) for image_id, answer in loaded.answers.items()}
    assert counts == {"a/one": 0, "a/two": 0, "b/one": 0, "b/hand/film 3.é": 1, "b/lost": 0}
    assert loaded.without_a_line == ("a/two", "b/one", "b/lost")
    assert (loaded.format, loaded.model_id, loaded.harmonise_id) == ("yolo", "labels", None)


def test_one_class_is_chosen_out_of_several(folder, records):
    (folder / "a__one.txt").write_text("3 .5 .5 .1 .1 .5\n1 .5 .5 .2 .2 .9\n3 .5 .5 .1 .1 .7")
    with pytest.raises(BadValue, match=r"got '3' \(2 boxes\), '1' \(1 boxes\)"):
        load_predictions(folder, records)
    loaded = load_predictions(folder, records, category=3)
    assert (loaded.answers["a/one"].detections.score.tolist(), loaded.other_rows) == ([0.7, 0.5], 1)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("\n0 .5 .5 .1 .1", "row 2: expected six numbers, got five: no score; predict with save_txt and save_conf"),
        ("0 .5 .5 .1", "row 1: expected a class index, four fractions and a score"),
        ("0 .1 .1 .2 .2 .3 .3 .5", "row 1: expected a class index, four fractions and a score"),
        ("0 .5 .5 .1 .1 nan", "row 1: expected a class index, four fractions and a score"),
        ("0 inf .5 .1 .1 .5", "row 1: expected a class index"),
        ("0 1e999 .5 .1 .1 .5", "row 1: expected a class index"),
        ("0 .5 .5 .1 .1 1.5", "row 1: expected a score from 0 to 1, got 1.5"),
        ("0 .5 .5 -.1 .1 .5", "row 1: expected a box with no side below 0"),
        ("0 .5 .5 .1 -.1 .5", "row 1: expected a box with no side below 0"),
        ("0 150 50 20 10 .5", "row 1: expected fractions, got 150"),
        ("fracture .5 .5 .1 .1 .5", "row 1: expected a class index, four fractions and a score"),
        ("9" * 5000 + " .5 .5 .1 .1 .5", "row 1: expected a class index, four fractions and a score"),
        ("0 .5 .5 .1 .1 high", "row 1: expected a class index, four fractions and a score"),
        (b"\xff\xfe0\x00", "a__one.txt: expected text"),
    ],
)
def test_a_broken_row_is_named(folder, records, text, said):
    (folder / "a__one.txt").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(BadValue, match=said):
        load_predictions(folder, records)


def test_files_of_no_film_and_folders_of_no_files_are_refused(folder, records):
    (folder / "one.png").write_bytes(b"")
    with pytest.raises(BadValue, match=r"labels: expected <film>.txt files, found none"):
        load_predictions(folder, records)
    (folder / "one.png").unlink()
    loaded = load_predictions(folder, records)  # no film had anything
    assert len(loaded.answers) == len(loaded.without_a_line) == len(records)
    assert not any(len(answer.detections) for answer in loaded.answers.values())
    for name in ("a__one", "classes", "what"):
        (folder / f"{name}.txt").write_text("")
    with pytest.raises(BadValue, match="2 of 3 rows name films that are not in the manifest: 'classes', 'what'"):
        load_predictions(folder, records)


def test_links_are_read_wherever_they_lead_and_one_that_leads_nowhere_is_refused(folder, records, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "rows").write_text("0 .5 .5 .1 .1 .5")
    (outside / "b__one.txt").write_text("0 .5 .5 .1 .1 .5")
    (folder / "a__one.txt").write_text("")
    (folder / "a__two.txt").symlink_to(outside / "rows")
    (folder / "deep").symlink_to(outside)
    (folder / "lost.txt").mkdir()
    (folder / "notes.md").write_text("no rows")
    loaded = load_predictions(folder, records)
    assert [len(loaded.answers[name].detections) for name in ("a/one", "a/two", "b/one")] == [0, 1, 1]
    assert loaded.without_a_line == ("b/hand/film 3.é", "b/lost")
    (folder / "b__lost.txt").symlink_to("b__lost.txt")
    with pytest.raises(BadValue, match=r"could not look at .*b__lost.txt \(Too many levels of symbolic links\)"):
        load_predictions(folder, records)
    (folder / "b__lost.txt").unlink()
    # Two films may share a file, and a folder may itself be reached by a link.
    (folder / "a__one.txt").write_text("0 .5 .5 .1 .1 .5")
    (folder / "b__hand__film 3.é.txt").symlink_to("a__one.txt")
    (tmp_path / "link").symlink_to(folder)
    assert len(load_predictions(tmp_path / "link", records).answers["b/hand/film 3.é"].detections) == 1
