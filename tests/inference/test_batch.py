"""Many films side by side: in order, each as if read alone, never far ahead, and over at once when nobody listens."""

import os
import threading
import time
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from fracture.core.errors import EmptyFile, MissingData
from fracture.core.types import Detections, FrameMap, ImageRecord, ModelInput, Prediction, Refusal
from fracture.data import manifest
from fracture.imaging.decode import decode
from fracture.imaging.harmonise import encode_png
from fracture.inference import batch
from fracture.inference.batch import find_films, network_inputs, open_sandbox, read_file, read_files
from fracture.inference.reader import Reader
from fracture.inference.sandbox import ChildKilled
from fracture.phantom import draw_film


class Counting:
    """A reader that answers with the number in the file, waits as told, and knows how many it reads at a time.

    It is its own sandbox as well.
    """

    def __init__(self, wait=None):
        self.wait = wait or (lambda number: None)
        self.lock = threading.Lock()
        self.started, self.inside, self.most = [], 0, 0

    def prepare(self, data, marked):
        assert not marked
        return [SimpleNamespace(model_input=int(data), flags=frozenset())]

    def read_prepared(self, number, flags):
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


def read_with(reader, files, **options):
    return read_files(reader, files, sandbox=reader, **options)


def width(read):
    return read.answer.film_px[0]


def test_answers_come_in_the_order_of_the_files_whoever_is_done_first(files):
    reader = Counting(lambda number: time.sleep(0.02 if number % 3 == 0 else 0))
    reads = list(read_with(reader, files, workers=4))
    assert [width(read) for read in reads] == list(range(24))
    assert [read.path for read in reads] == files
    assert 2 <= reader.most <= 4
    assert reads[0].time_ms >= 20


class Starting:
    """Processes that take a second to start."""

    def __init__(self):
        self.ready = threading.Event()
        threading.Timer(1, self.ready.set).start()

    def wait(self):
        assert self.ready.wait(30)

    def prepare(self, data, marked):
        self.wait()
        return [SimpleNamespace(model_input=int(data), flags=frozenset())]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


def test_the_start_of_the_processes_that_decode_is_no_films_time(files, monkeypatch):
    monkeypatch.setattr(batch, "open_sandbox", lambda card, workers: Starting())
    reader = Counting()
    reader.card = None
    assert max(read.time_ms for read in read_files(reader, files, workers=2)) < 500


def test_no_more_workers_than_asked_for(files):
    reader = Counting(lambda number: time.sleep(0.002))
    list(read_with(reader, files, workers=1))
    assert reader.most == 1


def test_a_film_that_cannot_be_read_is_an_answer_and_the_rest_goes_on(files, tmp_path):
    (tmp_path / "01").write_text("-1")
    answers = [read.answer for read in read_with(Counting(), [*files[:3], tmp_path / "gone", files[3]], workers=2)]
    assert answers[1] == Refusal("empty_file", "nothing there")
    assert answers[3].code == "unreadable_file"
    assert answers[4].film_px == (3, 1)


def test_a_consumer_that_takes_its_time_holds_the_readers_back(files):
    """Two workers, three films ahead each: after one answer six films are asked for, and no more."""
    asked = []
    reader = Counting()
    reads = read_with(reader, (asked.append(file) or file for file in files), workers=2)
    next(reads)
    time.sleep(0.1)
    assert len(asked) == 6
    assert sorted(reader.started) == list(range(6))
    reads.close()


@pytest.mark.timeout(20)
def test_a_consumer_that_stops_early_is_not_kept_waiting(files):
    """The films being read are finished, those that wait are not begun."""
    reader = Counting(lambda number: time.sleep(0.05))
    reads = read_with(reader, files, workers=2)
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
    reads = read_with(reader, files, workers=2)
    with pytest.raises(KeyboardInterrupt):
        list(reads)
    assert len(reader.started) <= 9
    assert set(threading.enumerate()) <= others


def test_no_films_no_answers():
    assert list(read_with(Counting(), [])) == []


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


def test_a_film_that_kills_its_decoder_is_a_row_and_the_others_are_read(tmp_path, monkeypatch):
    """Real processes, in which decoding certain bytes aborts, as a codec does whose memory is corrupted."""
    (tmp_path / "sitecustomize.py").write_text(KILLER)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    films = [tmp_path / f"{number}.png" for number in range(3)]
    for film in films:
        cv2.imwrite(str(film), draw_film(np.random.default_rng(1), (120, 160), fractured=True)[0])
    films[1].write_bytes(b"kills")
    answers = [read.answer for read in read_files(Reader.load(), films, workers=1)]
    assert isinstance(answers[0], Prediction)
    assert answers[1].code == "decode_failed"
    assert isinstance(answers[2], Prediction)


KILLER = """
import os
import fracture.imaging.decode as decode
whole = decode.frames
decode.frames = lambda data, **options: os.abort() if data == b"kills" else whole(data, **options)
"""


def test_processes_that_are_killed_from_outside_are_a_row_too(files):
    class Killed(Counting):
        def prepare(self, data, marked):
            raise ChildKilled("ended from outside")

    (read,) = read_with(Killed(), files[:1])
    assert read.answer == Refusal("not_decoded", "ended from outside")


def test_a_mark_is_believed_of_films_that_a_manifest_names_harmonised(tmp_path):
    """A stranger's film with our mark gets the contrast it lacks; a film of our own stages is fed as it is."""
    pixels = draw_film(np.random.default_rng(3), (300, 400), fractured=True)[0]
    reader = Reader.load()
    config = reader.card.harmonise
    marked = encode_png(ModelInput(pixels, (400, 300), FrameMap(), config.harmonise_id))
    places = {name: tmp_path / name / "images/train/1.png" for name in ("ours", "unnamed", "raw", "nowhere")}
    for name, place in places.items():
        place.parent.mkdir(parents=True)
        place.write_bytes(marked)
        known = {"harmonise_id": config.harmonise_id} if name == "ours" else {}
        path = "images/train/other.png" if name == "unnamed" else "images/train/1.png"
        record = ImageRecord("s/1", path, "s", (400, 300), attributes=known)
        if name != "nowhere":
            manifest.save([record], tmp_path / name)
    plain = tmp_path / "plain.png"
    cv2.imwrite(str(plain), pixels)
    with open_sandbox(reader.card, 1) as sandbox:
        scores = {
            name: read_file(reader, file, sandbox).detections.score.tolist()
            for name, file in [*places.items(), ("plain", plain)]
        }
    assert scores["unnamed"] == scores["raw"] == scores["nowhere"] == scores["plain"]
    assert scores["ours"] == reader.read(marked).detections.score.tolist() != scores["plain"]


def test_films_are_found_below_folders_and_labels_are_not(tmp_path):
    for name in ("b.png", "a", "notes.txt", ".hidden.png"):
        (tmp_path / name).write_text("")
    assert [path.name for path in find_films([tmp_path, tmp_path / "notes.txt"])] == ["a", "b.png", "notes.txt"]
    with pytest.raises(MissingData, match="no such file"):
        find_films([tmp_path / "gone"])


def test_films_behind_links_are_found_once_and_what_cannot_be_looked_at_is_listed(tmp_path):
    for name in ("store/b.png", "films/a.png"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(b"")
    folder = tmp_path / "films"
    (folder / "linked").symlink_to(tmp_path / "store")
    (folder / "round").symlink_to(folder)
    (folder / "twice.png").symlink_to(folder / "a.png")
    (folder / "gone.png").symlink_to(tmp_path / "nothing")
    os.mkfifo(folder / "pipe.png")
    found = [path.relative_to(folder).as_posix() for path in find_films([folder])]
    assert found == ["a.png", "gone.png", "linked/b.png", "pipe.png"]


def test_a_network_is_fed_the_same_from_the_sandbox(tmp_path):
    reader = Reader.load()
    film = draw_film(np.random.default_rng(3), fractured=True)[0]
    data = cv2.imencode(".png", film)[1].tobytes()
    (tmp_path / "film.png").write_bytes(data)
    (fed,) = network_inputs(reader, [tmp_path / "film.png"])
    assert np.array_equal(fed, reader.prepare(decode(data)).pixels)
    (tmp_path / "empty.png").touch()
    with pytest.raises(EmptyFile):
        list(network_inputs(reader, [tmp_path / "empty.png"]))
