"""Work in processes that may die: in order, one core each, what dies is named, and nothing is left running."""

import os
import threading
import time

import cv2
import pytest

from fracture.core.errors import BrokenFilm, DecodeFailed, EmptyFile, FractureError
from fracture.data import workers
from fracture.data.workers import DIED, film_map, film_pool, read_film


def number(job):
    if job < 0:
        os.abort()
    if job == 99:
        raise KeyError(job)
    if job == 77:
        while True:
            pass
    return job


def lost(job, reason):
    return job, reason


def test_results_come_in_order_and_the_dead_are_named():
    jobs = [5, -1, 2, 3, 4, 9]
    found = list(film_map(number, jobs, lost, 2))
    assert found == [(job, DIED) if job < 0 else job for job in jobs]


def test_no_jobs_no_results():
    assert list(film_map(number, [], lost)) == []


def test_what_work_raises_is_raised_and_nothing_is_left_running():
    before = threading.active_count()
    with pytest.raises(KeyError):
        list(film_map(number, [1, 2, 3, 4, 99, 6], lost, 1))
    assert threading.active_count() == before


def test_a_film_that_takes_for_ever_is_named(monkeypatch):
    monkeypatch.setattr(workers, "_each", each_of_little_time)
    assert list(film_map(number, [1, 77, 3], lost, 1)) == [1, (77, DIED), 3]


def each_of_little_time(work, jobs):
    workers.FILM_CPU_S = 0.2
    return EACH(work, jobs)


EACH = workers._each


def test_a_consumer_that_stops_early_is_not_kept_waiting():
    found = film_map(time.sleep, [0.5] * 200, lost, 2)
    next(found)
    began = time.monotonic()
    found.close()
    assert time.monotonic() - began < 30


def test_a_worker_keeps_to_one_core_and_the_caller_keeps_its_threads():
    before = cv2.getNumThreads()
    with film_pool(1) as pool:
        assert pool.submit(cv2.getNumThreads).result() == 1
    assert cv2.getNumThreads() == before


def test_whatever_is_wrong_with_a_file_is_a_refusal(tmp_path, monkeypatch):
    (tmp_path / "empty").touch()
    with pytest.raises(EmptyFile):
        read_film(tmp_path / "empty")
    for file in (tmp_path / "gone", tmp_path, tmp_path / ("n" * 300)):
        with pytest.raises(BrokenFilm, match="cannot be opened: "):
            read_film(file)

    def fail(data):
        raise RecursionError

    monkeypatch.setattr(workers, "decode", fail)
    with pytest.raises(DecodeFailed, match="nobody foresaw") as told:
        read_film(tmp_path / "empty")
    assert isinstance(told.value, FractureError)
