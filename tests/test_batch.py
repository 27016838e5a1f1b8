"""Many films side by side: in order, each as if read alone, never far ahead, and over at once when nobody listens."""

import threading
import time

import cv2
import numpy as np
import pytest

from fracture.batch import find_films, read_file, read_files
from fracture.data.phantom import draw_film
from fracture.errors import EmptyFile, MissingData
from fracture.reader import Reader
from fracture.types import Detections, Prediction, Refusal


class Counting:
    """A reader that answers with the number in the file, waits as told, and knows how many it reads at a time."""

    def __init__(self, wait=None):
        self.wait = wait or (lambda number: None)
        self.lock = threading.Lock()
        self.started, self.inside, self.most = [], 0, 0

    def read(self, data):
        number = int(data)
        with self.lock:
            self.started.append(number)
            self.inside += 1
            self.most = max(self.most, self.inside)
        try:
            self.wait(number)
            if number < 0:
                raise EmptyFile("nothing there")
            return Prediction((number, 1), Detections.empty(), "m", "h")
        finally:
            with self.lock:
                self.inside -= 1


@pytest.fixture
def files(tmp_path):
    paths = [tmp_path / f"{number:02d}" for number in range(24)]
    for number, path in enumerate(paths):
        path.write_text(str(number))
    return paths


def width(read):
    return read.answer.film_px[0]


def test_answers_come_in_the_order_of_the_files_whoever_is_done_first(files):
    reader = Counting(lambda number: time.sleep(0.02 if number % 3 == 0 else 0))
    reads = list(read_files(reader, files, workers=4))
    assert [width(read) for read in reads] == list(range(24))
    assert [read.path for read in reads] == files
    assert 2 <= reader.most <= 4
    assert reads[0].time_ms >= 20


def test_no_more_workers_than_asked_for(files):
    reader = Counting(lambda number: time.sleep(0.002))
    list(read_files(reader, files, workers=1))
    assert reader.most == 1


def test_a_film_that_cannot_be_read_is_an_answer_and_the_rest_goes_on(files, tmp_path):
    (tmp_path / "01").write_text("-1")
    answers = [read.answer for read in read_files(Counting(), [*files[:3], tmp_path / "gone", files[3]], workers=2)]
    assert answers[1] == Refusal("empty_file", "nothing there")
    assert answers[3].code == "unreadable_file"
    assert answers[4].film_px == (3, 1)


def test_a_consumer_that_takes_its_time_holds_the_readers_back(files):
    """Two workers, three films ahead each: after one answer six films are asked for, and no more."""
    asked = []
    reader = Counting()
    reads = read_files(reader, (asked.append(file) or file for file in files), workers=2)
    next(reads)
    time.sleep(0.1)
    assert len(asked) == 6
    assert sorted(reader.started) == list(range(6))
    reads.close()


@pytest.mark.timeout(20)
def test_a_consumer_that_stops_early_is_not_kept_waiting(files):
    """The films being read are finished, those that wait are not begun."""
    reader = Counting(lambda number: time.sleep(0.05))
    reads = read_files(reader, files, workers=2)
    next(reads)
    reads.close()
    begun = len(reader.started)
    assert begun <= 4
    time.sleep(0.15)
    assert (len(reader.started), reader.inside) == (begun, 0)


@pytest.mark.timeout(20)
def test_what_is_no_refusal_is_raised_and_ends_the_reading(files):
    def wait(number):
        if number == 2:
            raise KeyboardInterrupt

    reader, others = Counting(wait), set(threading.enumerate())
    reads = read_files(reader, files, workers=2)
    with pytest.raises(KeyboardInterrupt):
        list(reads)
    assert len(reader.started) <= 9
    assert set(threading.enumerate()) <= others


def test_no_films_no_answers():
    assert list(read_files(Counting(), [])) == []


def test_side_by_side_is_what_alone_would_be_bit_for_bit(tmp_path):
    """Sizes and kinds differ, so that any state shared between two films would show."""
    rng = np.random.default_rng(11)
    films = []
    for number in range(8):
        size = (int(rng.integers(150, 500)), int(rng.integers(150, 500)))
        pixels, _ = draw_film(rng, size, fractured=number % 2 == 0)
        films.append(tmp_path / f"{number}{'.png' if number % 3 else '.jpg'}")
        cv2.imwrite(str(films[-1]), pixels)
    films[4].write_bytes(films[3].read_bytes()[:-400])  # ends early: Pillow's global switch is thrown meanwhile
    films[7].write_bytes(b"no film")
    reader = Reader.load()
    alone = [read_file(reader, film) for film in films]
    for read, one in zip(read_files(reader, films, workers=4), alone, strict=True):
        if isinstance(one, Refusal):
            assert read.answer == one
            continue
        assert (read.answer.film_px, read.answer.flags) == (one.film_px, one.flags)
        assert read.answer.detections.xyxy.tobytes() == one.detections.xyxy.tobytes()
        assert read.answer.detections.score.tobytes() == one.detections.score.tobytes()
    assert sum(len(one.detections) for one in alone if isinstance(one, Prediction)) > 0


def test_films_are_found_below_folders_and_labels_are_not(tmp_path):
    for name in ("b.png", "a", "notes.txt", ".hidden.png"):
        (tmp_path / name).write_text("")
    assert [path.name for path in find_films([tmp_path, tmp_path / "notes.txt"])] == ["a", "b.png", "notes.txt"]
    with pytest.raises(MissingData, match="no such file"):
        find_films([tmp_path / "gone"])
