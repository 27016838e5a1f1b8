"""The long run's own eyes: what it sees in answers, in a log and in a service, where something is wrong."""

import zlib

import pytest

from tests.hostile.abuse import Outcome, attack, faults_in
from tests.hostile.case import PLANTED_UID
from tests.hostile.mutate import mutation, parts
from tests.hostile.service import Answer

OK = Answer(200, (("content-type", "application/json"),), b"{}", 0.1)
PROBLEM = (("content-type", "application/problem+json"),)


class Scripted:
    """A service that gives one answer to the first film and another to all others."""

    def __init__(self, first: Answer = OK, *, right: bool = True, alive: bool = True, growth_mb: float = 0.0) -> None:
        self.answers = {mutation(0)[1]: first}
        self.right, self.alive, self.growth_mb = right, alive, growth_mb
        self.looks = 0

    def detect(self, film):
        return self.answers.get(film, OK)

    def reads_rightly(self):
        return self.right

    @property
    def memory_mb(self):
        self.looks += 1
        return 100.0 if self.looks == 1 else 100.0 + self.growth_mb


def attacked(service, folder, seeds=range(3)):
    outcome = Outcome()
    said = list(attack(service, seeds, folder, outcome))
    return outcome, said


def test_a_service_that_does_all_right(tmp_path):
    outcome, said = attacked(Scripted(growth_mb=49), tmp_path, range(5, 450))
    assert outcome.faults == []
    assert outcome.answers == {(200, "ok"): 445}
    assert said[0].startswith("200 of 445, 0 faults")
    assert [line.rsplit(" ", 1)[1] for line in said] == ["205", "405", "450"]
    assert list(tmp_path.iterdir()) == []
    assert "grew by 49 MB" in "\n".join(outcome.summary())
    assert "0 faults" in "\n".join(outcome.summary())


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (Answer(500, PROBLEM, b'{"code": "internal_error"}', 0.1), "answered 500"),
        (Answer(503, PROBLEM, b'{"code": "overloaded"}', 0.1), "answered 503"),
        (Answer(200, (), b"{}", 10.1), "took 10.1 s"),
        (Answer(0, (), b"", 0.1), "not answered"),
        (Answer(200, (), b"for planted^jane", 0.1), "tells what was planted"),
        (Answer(200, (("x-study", PLANTED_UID),), b"{}", 0.1), "tells what was planted"),
    ],
)
def test_an_answer_that_must_not_be_is_told_and_its_film_is_kept(tmp_path, answer, fault):
    outcome, _ = attacked(Scripted(answer), tmp_path)
    assert outcome.faults == [f"seed 0: {fault}"]
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("0.png", mutation(0)[1])]
    assert "1 faults" in "\n".join(outcome.summary())


def test_a_child_that_broke_down_is_counted_and_its_film_is_kept(tmp_path):
    outcome, _ = attacked(Scripted(Answer(422, PROBLEM, b'{"code": "decode_failed"}', 3.5)), tmp_path)
    assert (outcome.crashes, outcome.faults) == (1, [])
    assert outcome.slowest[0] == (3.5, 0)
    assert (tmp_path / "0.png").is_file()


@pytest.mark.parametrize(
    ("service", "fault"),
    [
        (Scripted(right=False), "not read as before"),
        (Scripted(alive=False), "not read as before"),
        (Scripted(growth_mb=50), "grew by 50 MB"),
    ],
)
def test_a_service_that_suffers_is_told(tmp_path, service, fault):
    outcome, _ = attacked(service, tmp_path)
    (told,) = outcome.faults
    assert fault in told


def test_a_log_that_tells_too_much():
    assert faults_in(b"12:00 INFO fracture.service.http.access: POST /detect 200\n") == []
    assert len(faults_in(b"Traceback (most recent call last):")) == 1
    assert len(faults_in(b"12:00 ERROR fracture.service.http.guard: request failed")) == 1
    assert len(faults_in(b"12:00 INFO app: Planted^Jane")) == 1


def test_most_mutated_chunks_keep_their_checksums_so_that_readers_look_at_them():
    def mended(data):
        chunks = parts("png", bytearray(data))
        return all(
            data[stop - 4 : stop] == zlib.crc32(data[start + 4 : stop - 4]).to_bytes(4) for start, stop in chunks
        )

    films = [mutation(seed)[1] for seed in range(0, 800, 4)]
    assert sum(map(mended, films)) > 0.75 * len(films)
