"""Clients in a closed loop against scripted services: what they count, time and compare."""

import threading
import time
from email import message_from_bytes

import pytest

from bench.load import PATIENCE_S, alone, boxes, press

FILMS = [b"one film", b"another"]


def which(body):
    return next(index for index, film in enumerate(FILMS) if film in body)


def test_films_arrive_as_a_form_would_send_them(serve, boxed):
    seen = []

    def script(body, number):
        seen.append(body)
        return 200, boxed(0.5), {}

    alone(serve(script), "/detect", FILMS)
    for body, film in zip(seen, FILMS, strict=True):
        boundary = body.split(b"\r\n")[0][2:]
        form = message_from_bytes(b"Content-Type: multipart/form-data; boundary=" + boundary + b"\r\n\r\n" + body)
        [part] = form.get_payload()
        assert part.get_param("name", header="Content-Disposition") == "file"
        assert part.get_filename() == "film.jpg"
        assert part.get_payload(decode=True) == film


def test_a_lone_film_is_timed_and_its_answer_kept(serve, boxed):
    def script(body, number):
        time.sleep(0.05 if number == 1 else 0.5)
        return 200, boxed(which(body)), {}

    bodies, taken_ms = alone(serve(script), "/detect", FILMS)
    assert bodies == [boxed(0), boxed(1)]
    assert 50 <= taken_ms[0] < 500
    assert 500 <= taken_ms[1] < 1000


def test_a_lone_film_without_an_answer_is_said(serve):
    with pytest.raises(ConnectionError, match="got status 422"):
        alone(serve(lambda body, number: (422, b"{}", {})), "/detect", FILMS)


def test_as_many_films_are_inside_as_there_are_clients(serve, boxed):
    inside, most, lock = 0, 0, threading.Lock()

    def script(body, number):
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
        time.sleep(0.03)
        with lock:
            inside -= 1
        return 200, boxed(which(body)), {}

    load = press(serve(script), "/", FILMS, [boxed(0), boxed(1)], clients=5, seconds=0.5)
    assert most == 5
    assert load.errors == {}
    assert load.differ == 0
    assert load.answers == len(load.latencies_ms) + 5  # each client's first film is not timed
    assert 10 <= load.answers <= 90
    assert 30 <= min(load.latencies_ms) < 200
    assert 0.5 <= load.seconds < 2
    assert 0 < load.client_cpu_s < load.seconds


def test_every_client_sends_two_films_however_slow_they_are(serve, boxed):
    def script(body, number):
        time.sleep(0.2)
        return 200, boxed(0), {}

    load = press(serve(script), "/", FILMS[:1], [boxed(0)], clients=3, seconds=0.01)
    assert load.answers == 6
    assert len(load.latencies_ms) == 3


def test_clients_send_every_film(serve, boxed):
    seen = set()

    def script(body, number):
        seen.add(which(body))
        return 200, boxed(which(body)), {}

    assert press(serve(script), "/", FILMS, [boxed(0), boxed(1)], clients=1, seconds=0).differ == 0
    assert seen == {0, 1}


def test_only_boxes_and_scores_are_compared(serve, boxed):
    def script(body, number):
        score = 0.25 if number % 3 == 0 else 0.75
        return 200, boxed(score, request=number), {}

    load = press(serve(script), "/", FILMS[:1], [boxed(0.75, request=0)], clients=1, seconds=0.2)
    assert load.answers > 6
    assert load.differ == load.answers // 3


def test_boxes_are_compared_where_they_lie(boxed):
    assert boxes(boxed(0.5)) == [([1.0, 2.0, 3.0, 4.0], 0.5)]
    assert boxes(boxed(0.5)) != boxes(boxed(0.5).replace(b"4.0", b"4.5"))


def test_refusals_are_counted_by_status_and_are_no_answers(serve, boxed):
    def script(body, number):
        return (503, b"{}", {}) if number % 2 else (200, boxed(0), {})

    began = time.perf_counter()
    load = press(serve(script), "/", FILMS[:1], [boxed(0)], clients=1, seconds=0.6)
    assert time.perf_counter() - began < 2
    assert load.errors == {"503": load.answers} or load.errors == {"503": load.answers + 1}
    assert 2 <= load.errors["503"] <= 4  # a refused client waits before it asks again
    assert load.differ == 0


def test_an_answer_that_is_cut_short_is_broken_and_the_next_one_comes(serve, boxed):
    def script(body, number):
        return 200, boxed(0), {"Content-Length": "99999", "Connection": "close"} if number == 1 else {}

    load = press(serve(script), "/", FILMS[:1], [boxed(0)], clients=1, seconds=0.4)
    assert load.errors == {"broken": 1}
    assert load.answers > 0


def test_a_connection_that_the_service_closes_is_opened_again(serve, boxed):
    load = press(
        serve(lambda body, number: (200, boxed(0), {"Connection": "close"})),
        "/",
        FILMS[:1],
        [boxed(0)],
        clients=2,
        seconds=0.2,
    )
    assert load.errors == {}
    assert load.answers > 4


def test_nobody_listening_is_an_error_and_no_crash():
    load = press(1, "/", FILMS, [b"", b""], clients=1, seconds=0)
    assert load.errors == {"broken": 2}
    assert load.answers == 0
    assert load.latencies_ms == ()


def test_a_client_waits_longer_than_the_slowest_queue_takes():
    assert PATIENCE_S >= 64 * 1.0
