"""The names that a Python program uses: answers are the service's, from a path, bytes or pixels."""

import os
import pickle
import shutil
import subprocess
import sys

import cv2
import numpy as np
import pytest

import fracture
from fracture.core.errors import BadValue, FilmTooLarge, FractureError, MissingData
from fracture.data.samples import samples
from fracture.inference.reader import Reader

FOUND = samples()[1]


@pytest.fixture(scope="module")
def model():
    with fracture.load() as opened:
        yield opened


def test_there_are_six_names_and_a_plain_import_takes_none_of_them():
    assert sorted(fracture.__all__) == ["Answer", "Box", "FractureError", "Model", "load", "to_pandas"]
    assert fracture.FractureError is FractureError
    assert all(getattr(fracture, name).__doc__ for name in fracture.__all__)
    code = "import sys, fracture; print('numpy' in sys.modules, hasattr(fracture, 'nothing'))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.split() == ["False", "False"]


def test_path_bytes_and_pixels_give_one_answer_which_is_the_readers(model):
    grey = cv2.imread(str(FOUND.path), cv2.IMREAD_GRAYSCALE)
    ways = [FOUND.path, str(FOUND.path), FOUND.path.read_bytes(), grey]
    answers = [model.read(film) for film in ways]
    assert [answer.film for answer in answers] == [str(FOUND.path), str(FOUND.path), "bytes", "array"]
    first = answers[0]
    for other in answers[1:]:
        assert (other.boxes, other.status, other.chance) == (first.boxes, first.status, first.chance)
    prediction = Reader.load().read(FOUND.path.read_bytes())
    threshold = model.modes["balanced"]
    assert [box.score for box in first.boxes] == prediction.detections.above(threshold).score.tolist()
    assert first.boxes[0].xyxy == tuple(prediction.detections.xyxy[0])
    assert (first.status, first.flagged, first.size_px, first.mode) == ("fracture", True, FOUND.size_px, "balanced")
    assert first.score == first.boxes[0].score
    assert 0 < first.boxes[-1].chance <= first.chance == first.boxes[0].chance < 1
    assert len(model.read(grey, every_box=True).boxes) == len(prediction.detections)


def test_pixels_of_sixteen_bits_are_read(model):
    grey = cv2.imread(str(FOUND.path), cv2.IMREAD_GRAYSCALE).astype(np.uint16) * 257
    assert model.read(grey).status == "fracture"


@pytest.mark.parametrize(
    "wrong", [np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4)), np.zeros((0, 4), np.uint8), 7, None], ids=repr
)
def test_what_is_no_film_is_refused_by_name(model, wrong):
    with pytest.raises(BadValue, match=r"film: expected a path, bytes, or grey pixels .* got "):
        model.read(wrong)


@pytest.mark.parametrize("kind", [">u2", "<u2"])
@pytest.mark.parametrize("step", [1, -1])
def test_the_order_of_bytes_and_of_rows_in_memory_is_no_matter(model, kind, step):
    grey = cv2.imread(str(FOUND.path), cv2.IMREAD_GRAYSCALE).astype(np.uint16) * 257
    stored = np.ascontiguousarray(grey[::step]).astype(kind)[::step]
    assert model.read(stored).boxes == model.read(grey).boxes


@pytest.mark.parametrize("shape", [(1, 1_100_000), (1_100_000, 1), (9000, 9000)])
def test_pixels_beyond_what_a_film_may_have_are_refused_in_a_line(model, capfd, shape):
    with pytest.raises(FilmTooLarge, match=f"got {shape[1]} x {shape[0]}"):
        model.read(np.zeros(shape, np.uint8))
    assert capfd.readouterr() == ("", "")


def test_a_path_of_no_letters_is_refused(model):
    for read in (model.read, model.read_all):
        with pytest.raises(BadValue, match="expected a path, got an empty text"):
            read("")


def test_of_many_films_a_refused_one_keeps_no_other_back(model, tmp_path):
    (tmp_path / "notes.txt").write_text("no film")
    films = [tmp_path / "notes.txt", FOUND.path, tmp_path / "absent.png"]
    refused, read, absent = model.read_all(films)
    assert (refused.status, refused.error.partition(":")[0]) == (None, "unsupported_format")
    assert (read.status, read.error) == ("fracture", "")
    assert absent.error.startswith("unreadable_file: No such file")
    with pytest.raises(FractureError):
        model.read(films[0])


def test_a_folder_stands_for_its_films_and_one_film_for_no_list(model, tmp_path):
    for name in ("b.png", "a.png"):
        shutil.copy(FOUND.path, tmp_path / name)
    (tmp_path / "notes.txt").write_text("no film")
    for folder in (tmp_path, str(tmp_path)):
        assert [answer.film for answer in model.read_all(folder)] == [str(tmp_path / "a.png"), str(tmp_path / "b.png")]
    assert [answer.status for answer in model.read_all(FOUND.path)] == ["fracture"]
    with pytest.raises(MissingData, match="no such file or folder"):
        model.read_all(str(tmp_path / "absent"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(MissingData, match="got none in"):
        model.read_all(tmp_path / "empty")
    for one in (FOUND.path.read_bytes(), np.zeros((9, 9), np.uint8)):
        with pytest.raises(BadValue, match="expected several films or a folder, got one as"):
            model.read_all(one)


def test_films_without_a_name_are_numbered_by_their_place(model):
    grey = cv2.imread(str(FOUND.path), cv2.IMREAD_GRAYSCALE)
    answers = model.read_all([grey, FOUND.path, b"no film", np.zeros((4, 4))])
    assert [answer.film for answer in answers] == ["array 1", str(FOUND.path), "bytes 3", "array 4"]


FORKED = """
import os, sys
import fracture
model = fracture.load()
film = sys.argv[1]
model.read(film)
{how}
assert model.read(film).status == "fracture", "the parent's model works on"
print("done")
"""
IN_A_POOL = """
import multiprocessing
with multiprocessing.get_context("fork").Pool(2) as pool:
    for todo in (pool.apply_async(READ, (film,)), pool.apply_async(model.draw, (film,))):
        try:
            todo.get(60)
        except fracture.FractureError as error:
            assert "load" in str(error) and "each process" in str(error), error
        else:
            raise SystemExit("expected a refusal")
"""
IN_A_FORK = """
if not (child := os.fork()):
    refused = 0
    for call in (lambda: model.read(film), lambda: list(model.read_all([film])), lambda: model._reader.warm_up()):
        try:
            call()
        except fracture.FractureError as error:
            refused += "each process" in str(error)
    model.close()
    os._exit(refused)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.parametrize("how", [IN_A_POOL, IN_A_FORK], ids=["pool", "fork"])
def test_a_model_that_was_loaded_before_a_fork_refuses_at_once(how):
    code = "def READ(film): return model.read(film)\n" + FORKED.format(how=how)
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", code, str(FOUND.path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")


def test_a_model_is_not_pickled(model):
    with pytest.raises(FractureError, match="load it in each process"):
        pickle.dumps(model.read)


def test_a_closed_model_says_so():
    with fracture.load() as model:
        pass
    model.close()
    for call in (lambda: model.read(FOUND.path), lambda: list(model.read_all([FOUND.path]))):
        with pytest.raises(FractureError, match="closed: load it again"):
            call()


@pytest.mark.parametrize(
    "left", ["kept = fracture.load()", "fracture.load()", "fracture.load(); kept = fracture.load()"]
)
def test_a_model_that_nobody_closed_ends_with_the_program(left):
    code = f"import fracture; {left}; print('read')"
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "read\n", "")


def test_a_mode_is_one_of_the_cards():
    with fracture.load(mode="specific") as strict:
        assert strict.read(FOUND.path).boxes[-1].score >= strict.modes["specific"]
    with pytest.raises(BadValue, match="screening, balanced, specific"):
        fracture.load(mode="loose")


def test_a_drawing_has_the_film_and_the_legend(model):
    height, width, colours = model.draw(FOUND.path).shape
    assert height > width > 0
    assert colours == 3


def test_tables(model):
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    answers = list(model.read_all([sample.path for sample in samples()[:3]] + [b"no film"]))
    films = fracture.to_pandas(answers)
    assert isinstance(films, pandas.DataFrame)
    assert films["boxes"].tolist() == [len(answer.boxes) for answer in answers]
    assert films["error"].str.len().gt(0).tolist() == [False, False, False, True]
    boxes = fracture.to_pandas(answers, boxes=True)
    assert len(boxes) == sum(films["boxes"])
    assert boxes["x0"].tolist() == [box.xyxy[0] for answer in answers for box in answer.boxes]
    assert len(boxes)


def test_a_table_of_nothing_has_the_columns_of_every_other(model):
    pytest.importorskip("pandas", reason="pandas is not installed")
    some, none = [model.read(FOUND.path)], [fracture.Answer("clean.png", "no fracture")]
    for boxes in (False, True):
        columns = list(fracture.to_pandas(some, boxes=boxes).columns)
        assert {"film", "status", "score", "chance"} <= set(columns)
        assert list(fracture.to_pandas([], boxes=boxes).columns) == columns
        assert list(fracture.to_pandas(none, boxes=boxes).columns) == columns
    assert {"box", "x0", "y0", "x1", "y1", "certainty", "label"} <= set(columns)


def test_supervision(model):
    pytest.importorskip("supervision", reason="supervision is not installed")
    answer = model.read(FOUND.path)
    found = answer.to_supervision()
    assert found.xyxy == pytest.approx(np.array([box.xyxy for box in answer.boxes]), abs=1e-3)
    assert found.confidence == pytest.approx([box.score for box in answer.boxes])
    assert found.data["class_name"].tolist() == ["fracture"] * len(answer.boxes)
    assert len(fracture.Answer("x").to_supervision()) == 0
