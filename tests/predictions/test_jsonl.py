"""predictions.jsonl: what is written is what is read back, a killed run goes on, and a broken line is named."""

import json
from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fracture.core.errors import BadValue
from fracture.core.types import Detections, FilmScore, ImageRecord, Prediction, Refusal
from fracture.predictions import load_predictions
from fracture.predictions.jsonl import PredictionLog, detections_json, line, warnings_for

FOUND = Detections(np.array([[1.0, 2.0, 30.5, 40.25], [5.0, 5.0, 9.0, 9.0]]), np.array([0.9, 0.1]), np.array([0, 1]))
CLASSES = ("fracture", "metal")
ANSWER = Prediction((200, 100), FOUND, "model", "h1-x", frozenset({"truncated"}))
REFUSAL = Refusal("no_pixels", "a report")


def written(tmp_path, *lines):
    file = tmp_path / "predictions.jsonl"
    file.write_text("".join(one + "\n" for one in lines))
    return file


def same(one, other):
    """Tell whether two answers are one to the last bit."""
    if isinstance(one, Refusal) or isinstance(other, Refusal):
        return one == other
    return (one.film_px, one.model_id, one.harmonise_id, one.flags) == (
        other.film_px,
        other.model_id,
        other.harmonise_id,
        other.flags,
    ) and all(
        getattr(one.detections, column).tobytes() == getattr(other.detections, column).tobytes()
        for column in ("xyxy", "score", "label")
    )


def test_an_answer_survives_the_file_to_the_last_bit(tmp_path, records):
    """A score that a float32 network gave and its float64 neighbour stay two: no threshold between them is crossed."""
    score = float(np.float32(0.033477426))
    xyxy = np.array([[1 / 3, 0.1 + 0.2, 200.0, 100 - 1e-9]] * 3)
    scores = np.array([np.nextafter(score, 1), score, 1e-7])
    answer = Prediction((200, 100), Detections(xyxy, scores, np.zeros(3, np.int64)), "m", "h1-x", frozenset({"colour"}))
    refusal_line = line("b.dcm", REFUSAL, CLASSES, image_id="a/two", stamp="s")
    file = written(tmp_path, line("a.png", answer, CLASSES, image_id="a/one", time_ms=12.34), refusal_line)
    loaded = load_predictions(file, records)
    assert same(loaded.answers["a/one"], answer)
    assert loaded.answers["a/two"] == REFUSAL
    assert list(loaded.answers) == ["a/one", "a/two"]
    assert (loaded.model_id, loaded.harmonise_id, loaded.format) == ("m", "h1-x", "jsonl")


def test_a_films_own_score_survives_and_one_of_its_boxes_is_not_written(tmp_path, records):
    own = replace(ANSWER, film=FilmScore(0.1 + 0.2, "fusion", {"hand": 0.75}))
    file = written(
        tmp_path, line("a.png", own, CLASSES, image_id="a/one"), line("b", ANSWER, CLASSES, image_id="a/two")
    )
    loaded = load_predictions(file, records, category="fracture").answers
    assert loaded["a/one"].film == own.film
    assert (loaded["a/two"].film, loaded["a/two"].film_score.value) == (None, 0.9)
    assert '"film"' not in line("b", ANSWER, CLASSES)


@pytest.mark.parametrize(
    ("film", "said"),
    [
        ({"score": 1.5, "made_by": "classifier"}, "expected 0..1"),
        ({"score": "high", "made_by": "classifier"}, "film.score as a number"),
        ({"score": 0.5}, "made_by"),
        ({"score": 0.5, "made_by": "classifier", "regions": {"hand": 2}}, "probability of hand"),
    ],
)
def test_a_films_score_that_is_none_is_refused(tmp_path, records, film, said):
    broken = json.dumps(json.loads(line("a.png", ANSWER, CLASSES, image_id="a/one")) | {"film": film})
    with pytest.raises(BadValue, match=said):
        load_predictions(written(tmp_path, broken), records)


def test_any_score_and_box_survive(tmp_path, records, random_answers):
    text = [line(image_id, answer, CLASSES, image_id=image_id) for image_id, answer in random_answers.items()]
    loaded = load_predictions(written(tmp_path, *text), records)
    assert all(same(loaded.answers[image_id], answer) for image_id, answer in random_answers.items())
    assert len(loaded.answers["a/one"].detections) == 120


def test_a_line_says_only_what_is_known():
    content = json.loads(line("a.png", REFUSAL, CLASSES))
    assert content == {"path": "a.png", "error": {"code": "no_pixels", "reason": "a report"}}
    content = json.loads(line("a.png", REFUSAL, CLASSES, image_id="a/b", time_ms=1.26, stamp="s"))
    assert (content["image_id"], content["time_ms"], content["stamp"]) == ("a/b", 1.3, "s")


def test_every_box_names_its_class_and_its_guess():
    first, second = detections_json(FOUND, (100, 200), CLASSES)
    assert (first["class"], second["class"]) == CLASSES
    assert first["bbox_xyxy"] == [1.0, 2.0, 30.5, 40.25]
    assert "best guess" in first["notes"]


def prose(content):
    """Give every text of several words in it."""
    if isinstance(content, str):
        return [content] if " " in content else []
    parts = content.values() if isinstance(content, dict) else content if isinstance(content, list) else ()
    return [text for part in parts for text in prose(part)]


def test_a_rows_prose_is_small_beside_its_facts_and_is_said_once():
    """However many boxes there are: what is guessed of each follows from its numbers."""
    count = 30
    edges = np.linspace(1, 90, count) / 3
    found = Detections(np.stack([edges, edges, edges + 9, edges + 7], 1), 1 / (edges + 2), np.zeros(count, np.int64))
    row = line("a.png", Prediction((200, 100), found, "model", "h1-x", frozenset({"truncated", "no_window"})), CLASSES)
    told = prose(json.loads(row))
    assert told == warnings_for(frozenset({"truncated", "no_window"}))
    assert sum(map(len, told)) < len(row) / 10
    assert "guess" not in row
    assert {name for box in json.loads(row)["detections"] for name in box} == {"bbox_xyxy", "confidence", "class"}


def test_a_person_gets_rounded_numbers_and_a_file_exact_ones():
    found = Detections(np.array([[1 / 3, 0.0, 9.0, 9.0]]), np.array([2 / 3]), np.array([0]))
    (shown,) = detections_json(found, (9, 9), CLASSES)
    (exact,) = json.loads(line("a.png", Prediction((9, 9), found, "m", "h"), CLASSES))["detections"]
    assert (shown["bbox_xyxy"][0], shown["confidence"]) == (0.33, 0.666667)
    assert (exact["bbox_xyxy"][0], exact["confidence"]) == (1 / 3, 2 / 3)


def test_a_loose_file_is_found_by_its_path(tmp_path, records):
    loaded = load_predictions(written(tmp_path, line("/data/set/images/test/a__two.png", REFUSAL, CLASSES)), records)
    assert loaded.answers == {"a/two": REFUSAL}
    assert loaded.without_a_line == ("a/one", "b/one", "b/hand/film 3.é", "b/lost")


def test_a_film_whose_size_nobody_knows_contradicts_no_prediction(tmp_path, records):
    answer = Prediction((200, 100), Detections.empty(), "model", "h1-x")
    assert (
        load_predictions(written(tmp_path, line("lost", answer, CLASSES)), records).answers["b/lost"].film_px[0] == 200
    )


def test_a_file_without_a_line_found_nothing(tmp_path, records):
    (tmp_path / "p.jsonl").write_text("\n")
    loaded = load_predictions(tmp_path / "p.jsonl", records)
    assert len(loaded.answers) == len(loaded.without_a_line) == len(records)
    assert not any(len(answer.detections) for answer in loaded.answers.values())


def test_an_image_id_means_that_film_and_no_other(tmp_path, records):
    """c/two is no film of the manifest, though a/two would fit its end."""
    with pytest.raises(BadValue, match="1 of 1 rows name films that are not in the manifest: 'c/two'"):
        load_predictions(written(tmp_path, line("x/two.png", REFUSAL, CLASSES, image_id="c/two")), records)


def test_windows_line_ends_a_byte_order_mark_and_blank_lines_are_no_matter(tmp_path, records):
    file = tmp_path / "p.JSONL"
    file.write_bytes(b"\xef\xbb\xbf" + line("a__one.png", ANSWER, ("fracture",) * 2).encode() + b"\r\n\r\n  \n")
    assert len(load_predictions(file, records).answers["a/one"].detections) == 2


def broken(**changes):
    content = json.loads(line("a__one.png", ANSWER, ("fracture", "fracture")))
    return json.dumps(content | changes)


def box(**changes):
    return broken(detections=[{"bbox_xyxy": [1, 2, 3, 4], "confidence": 0.5, "class": "fracture"} | changes])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"path": "b"}', "line 2 is no prediction.*image_size"),
        (broken()[:-20], "line 2 is no prediction"),
        ("[" * 100_000, "line 2 is no prediction"),
        ("7", "line 2 is no prediction"),
        ('"error"', "line 2 is no prediction"),
        ('{"path": "\udc00"}'.encode("utf-8", "surrogatepass").decode("latin-1"), "line 2 is no prediction"),
        (broken(image_size=[200]), "line 2: expected image_size"),
        (broken(image_size=[9, 100]), "line 2: predicted on films of 9 x 100, the manifest says 200 x 100 of a/one"),
        (broken(detections=7), "line 2 is no prediction"),
        (broken(detections=[7]), "line 2 is no prediction"),
        (box(confidence=float("nan")), "line 2: expected a score from 0 to 1, got"),
        (box(confidence=1.5), "line 2: expected a score from 0 to 1, got 1.5"),
        (box(confidence=-0.5), "line 2: expected a score"),
        (box(confidence=True), "line 2: expected a score"),
        (box(confidence="0.5"), "line 2: expected a score"),
        (box(bbox_xyxy=[3, 2, 1, 4]), "line 2: expected a box with no side below 0"),
        (box(bbox_xyxy=[1, 4, 3, 2]), "line 2: expected a box with no side below 0"),
        (box(bbox_xyxy=[1, 2, 3]), "line 2: expected bbox_xyxy"),
        (box(bbox_xyxy=[1, 2, 3, 10**400]), "line 2: expected bbox_xyxy"),
        (box(bbox_xyxy=[1, 2, 3, float("inf")]), "line 2: expected bbox_xyxy"),
        (f'{{"path": "a", "image_size": [{"9" * 5000}, 1]}}', "line 2 is no prediction"),
        (line("a__two.png", ANSWER, CLASSES), "line 2: expected one line per film, got a/two again"),
        (broken(model="other"), "expected one model and one preparation"),
        (broken(harmonise_id="h1-other"), "expected one model and one preparation"),
    ],
)
def test_a_broken_line_is_named(tmp_path, records, text, said):
    good = line("a__two.png", Prediction((200, 100), Detections.empty(), "model", "h1-x"), CLASSES)
    with pytest.raises(BadValue, match=said):
        load_predictions(written(tmp_path, good, text), records)


TEXT = st.text("ab/\\.é\0", max_size=5)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
FIELDS = ("path", "image_id", "image_size", "model", "harmonise_id", "flags", "error")


@given(
    changes=st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=2),
    box_changes=st.dictionaries(st.sampled_from(("bbox_xyxy", "confidence", "class")), JSON, max_size=2),
)
def test_rubbish_is_read_or_refused_and_never_anything_else(tmp_path_factory, changes, box_changes):
    content = json.loads(line("one.png", ANSWER, CLASSES)) | changes
    content["detections"][0] |= box_changes
    file = tmp_path_factory.mktemp("rubbish", numbered=True) / "p.jsonl"
    file.write_text(json.dumps(content))
    with suppress(BadValue):
        load_predictions(file, [ImageRecord("a/one", "one.png", "a", (200, 100))], category="fracture")


STAMPS = {"a/one": "1", "a/two": "2", "b/one": "3"}


def answered(file, stamps=STAMPS, only=None):
    """Go through a log as a run does; give the films that it had to read."""
    with PredictionLog(file, stamps, CLASSES) as log:
        todo = log.todo
        for image_id in todo[:only]:
            log.add(image_id + ".png", REFUSAL if image_id == "a/two" else ANSWER, image_id=image_id, time_ms=5)
    return todo


def test_a_finished_log_has_nothing_to_do_and_its_file_stays_what_it_is(tmp_path):
    file = tmp_path / "run" / "predictions.jsonl"
    assert answered(file) == ["a/one", "a/two", "b/one"]
    before = file.read_bytes()
    assert answered(file) == []
    assert file.read_bytes() == before
    lines = [json.loads(text) for text in before.decode().splitlines()]
    assert [(one["image_id"], one["stamp"]) for one in lines] == list(STAMPS.items())


def test_a_line_that_a_kill_cut_short_is_dropped_wherever_it_was_cut(tmp_path):
    file = tmp_path / "p.jsonl"
    answered(file)
    whole = file.read_bytes()
    ends = [at for at, byte in enumerate(whole) if byte == 10]
    for cut in range(0, len(whole) + 1, 37):
        file.write_bytes(whole[:cut])
        # A line counts as soon as its last brace is there.
        assert answered(file) == list(STAMPS)[sum(end <= cut for end in ends) :]
        assert file.read_bytes() == whole


def test_lines_are_there_before_the_run_is_over(tmp_path):
    """Killed inside the block: no rewriting, and what was read is kept."""
    file = tmp_path / "p.jsonl"
    file.write_text('{"image_id": "a/one", "stamp": "1", "path": "cut sh')
    with suppress(KeyboardInterrupt), PredictionLog(file, STAMPS, CLASSES) as log:
        log.add("b.png", ANSWER, image_id="b/one")
        assert PredictionLog(file, STAMPS, CLASSES).todo == ["a/one", "a/two"]
        raise KeyboardInterrupt
    assert file.read_text().startswith('{"image_id": "a/one"')
    assert answered(file) == ["a/one", "a/two"]
    assert [json.loads(text)["image_id"] for text in file.read_text().splitlines()] == list(STAMPS)


def test_a_line_whose_stamp_no_longer_fits_is_read_again_and_leaves(tmp_path, records):
    file = tmp_path / "p.jsonl"
    answered(file)
    now = {"b/one": "3", "a/two": "changed", "b/hand/film 3.é": "4"}
    assert answered(file, now) == ["a/two", "b/hand/film 3.é"]
    assert [json.loads(text)["image_id"] for text in file.read_text().splitlines()] == list(now)
    assert list(load_predictions(file, records, category="fracture").answers) == list(now)


def test_a_run_that_stops_in_peace_keeps_what_it_has(tmp_path):
    file = tmp_path / "p.jsonl"
    answered(file, only=1)
    assert answered(file) == ["a/two", "b/one"]


@pytest.mark.parametrize(
    "text", ["7", "null", "[]", '{"image_id": [], "stamp": "1", "error": {"code": 1, "reason": 2}}']
)
def test_a_log_passes_over_what_is_no_line_of_its_own(tmp_path, text):
    file = written(tmp_path, text, '{"image_id": "a/one", "stamp": "1"}')
    assert PredictionLog(file, STAMPS, CLASSES).todo == list(STAMPS)


def test_a_truncated_film_is_put_into_words_and_colour_is_no_news():
    assert "ends early" in warnings_for(frozenset({"truncated", "colour"}))[0]
    assert warnings_for(frozenset({"colour", "inverted"})) == []
    said = warnings_for(frozenset({"truncated", "outside_scope", "low_contrast", "no_window"}))
    assert said[0].startswith("Outside the intended use")
    assert len(said) == 4
