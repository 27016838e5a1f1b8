"""Clinics against a small HTTP server in every provider's place, so the real clients make real calls. The key stays in.

The server answers rightly, slowly, wrongly, with errors, with junk; whatever it does, a film is answered in time.
"""

import json
import logging
import re
import subprocess
import sys
import threading
import time
import traceback
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import anyio
import googlemaps
import pytest
from pydantic import SecretStr, ValidationError

from fracture.service.http import clinic_providers
from fracture.service.http.clinic_providers import (
    ANSWER_MAX_BYTES,
    PAUSES_S,
    Clinic,
    GoogleLegacy,
    GoogleNew,
    NoAnswer,
    Overpass,
    chosen,
)
from fracture.service.http.clinics import LOOK_UPS_AT_ONCE, NEAREST, PLACES_KEPT, RADIUS_M, Clinics
from fracture.service.http.settings import Settings

KEY = "AIza-made-up-key"
HERE = (37.77, -122.42)
EXACTLY = (37.7712345, -122.4187654)


def legacy(name, lat, **more):
    return {"name": name, "geometry": {"location": {"lat": lat, "lng": HERE[1]}}, **more}


def new(name, lat, **more):
    return {"displayName": {"text": name}, "location": {"latitude": lat, "longitude": HERE[1]}, **more}


def way(name, lat, **tags):
    return {"type": "way", "center": {"lat": lat, "lon": HERE[1]}, "tags": {"name": name, **tags}}


FAR = {"addr:street": "Far Street", "addr:housenumber": "3", "addr:city": "Town"}
BODIES = {
    "google_legacy": {
        "status": "OK",
        "results": [
            legacy("Far", 37.80, vicinity="3 Far Street, Town", rating=4),
            {"name": "Nowhere given"},
            legacy("Near", 37.771, vicinity="1 Near Street", rating=4.5, business_status="OPERATIONAL"),
            legacy("Closed", 37.77, business_status="CLOSED_PERMANENTLY"),
            legacy("Too far", 37.82),
        ],
    },
    "google_new": {
        "places": [
            new("Far", 37.80, formattedAddress="3 Far Street, Town", rating=4),
            {"displayName": {"text": "Nowhere given"}},
            new("Near", 37.771, formattedAddress="1 Near Street", rating=4.5, businessStatus="OPERATIONAL"),
            new("Closed", 37.77, businessStatus="CLOSED_TEMPORARILY"),
            new("Too far", 37.82),
        ]
    },
    "overpass": {
        "elements": [
            way("Far", 37.80, **FAR),
            {"type": "relation", "tags": {"name": "Nowhere given"}, "center": {}},
            {"type": "node", "lat": 37.771, "lon": HERE[1], "tags": {"name": "Near", "addr:street": "Near Street"}},
            way("Too far", 37.82),
        ]
    },
}
EMPTY = {"google_legacy": {"status": "ZERO_RESULTS", "results": []}, "google_new": {}, "overpass": {"elements": []}}
NAMES = tuple(BODIES)


def make(name, url, timeout_s=5.0, key=KEY):
    if name == "overpass":
        return Overpass(f"{url}/api/interpreter", timeout_s)
    return {"google_legacy": GoogleLegacy, "google_new": GoogleNew}[name](SecretStr(key), url, timeout_s)


def a_body(name, changed=None):
    return json.dumps(BODIES[name] if changed is None else changed).encode()


class Handler(BaseHTTPRequestHandler):
    """Answers as scripted by the server's ``answers`` (status, body; the last one stays), remembers what was asked."""

    def do_GET(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.asked.append((self.command, self.path, dict(self.headers), body))
        self.server.hold.wait(10)
        status, body = self.server.answers.pop(0) if len(self.server.answers) > 1 else self.server.answers[0]
        if status is None:
            self.close_connection = True
            return
        self.send_response(status)
        for name, value in self.server.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        try:
            for byte in body if self.server.drip_s else ():
                self.wfile.write(bytes([byte]))
                self.wfile.flush()
                time.sleep(self.server.drip_s)
            if not self.server.drip_s:
                self.wfile.write(body)
                self.server.sent += len(body)
        except OSError:
            pass  # the client gave up, as it should

    do_POST = do_GET

    def log_message(self, *_):
        pass


@pytest.fixture(autouse=True)
def no_clinic_settings_from_outside(monkeypatch):
    for name in ("FRACTURE_CLINICS", "FRACTURE_OVERPASS_URL"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def server():
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads, server.asked, server.drip_s, server.headers, server.sent = True, [], 0, {}, 0
        server.answers = [(200, a_body("google_legacy"))]
        server.hold = threading.Event()
        server.hold.set()
        server.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.hold.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def said(caplog):
    """Look for the key in everything logged at any level while the test ran."""
    caplog.set_level(logging.DEBUG)
    yield caplog
    lines = [logging.Formatter().format(record) for record in caplog.get_records("call")]
    assert not [line for line in lines if KEY in line]


@pytest.fixture
def quick(monkeypatch):
    """Try again without waiting long."""
    monkeypatch.setattr(clinic_providers, "PAUSES_S", (0.01, 0.02, 0.03))


def near(*providers, at=HERE, timeout_s=5.0):
    consult = anyio.run(Clinics(providers, timeout_s).near, *at)
    assert KEY not in consult.model_dump_json()
    return consult


# what is asked, and what comes of it


@pytest.mark.parametrize("name", NAMES)
def test_what_comes_of_an_answer(server, said, name):
    server.answers = [(200, a_body(name))]
    found = near(make(name, server.url))
    assert found.status == "ok"
    assert "not a recommendation" in found.note
    assert found.attribution == ("© OpenStreetMap contributors" if name == "overpass" else "Google Maps")
    addresses = ["Near Street" if name == "overpass" else "1 Near Street", "3 Far Street, Town", None]
    ratings = [None] * 3 if name == "overpass" else [4.5, 4.0, None]
    assert [clinic.model_dump() for clinic in found.clinics] == [
        {"name": place, "address": address, "distance_m": distance_m, "rating": rating}
        for place, address, distance_m, rating in zip(
            ["Near", "Far", "Nowhere given"], addresses, [111, 3336, None], ratings, strict=True
        )
    ]


@pytest.mark.parametrize("name", NAMES)
def test_nothing_near(server, said, name):
    server.answers = [(200, a_body(name, EMPTY[name]))]
    found = near(make(name, server.url))
    assert (found.status, found.clinics) == ("ok", [])


def test_what_the_legacy_api_is_asked(server, said):
    near(make("google_legacy", server.url), at=EXACTLY)
    ((method, path, _, _),) = server.asked
    asked = parse_qs(urlsplit(path).query)
    assert (method, urlsplit(path).path) == ("GET", "/maps/api/place/nearbysearch/json")
    assert (asked["location"], asked["radius"], asked["keyword"]) == (["37.77,-122.42"], ["5000"], ["orthopedic"])
    assert asked["key"] == [KEY]


def test_what_the_new_api_is_asked(server, said):
    server.answers = [(200, a_body("google_new"))]
    near(make("google_new", server.url), at=EXACTLY)
    ((method, path, headers, body),) = server.asked
    assert (method, path) == ("POST", "/v1/places:searchText")  # the key stands in no address
    assert headers["X-Goog-Api-Key"] == KEY
    assert headers["Content-Type"] == "application/json"
    assert headers["X-Goog-FieldMask"] == (
        "places.displayName,places.formattedAddress,places.location,places.rating,places.businessStatus"
    )
    asked = json.loads(body)
    rectangle = asked["locationRestriction"]["rectangle"]
    assert (asked["textQuery"], asked["rankPreference"]) == ("orthopedic", "DISTANCE")
    assert rectangle["low"] == pytest.approx({"latitude": 37.725, "longitude": -122.4769}, abs=1e-4)
    assert rectangle["high"] == pytest.approx({"latitude": 37.815, "longitude": -122.3631}, abs=1e-4)


def test_what_overpass_is_asked(server):
    server.answers = [(200, a_body("overpass"))]
    near(make("overpass", server.url), at=EXACTLY)
    ((method, path, headers, body),) = server.asked
    assert (method, path) == ("POST", "/api/interpreter")
    assert headers["User-Agent"].startswith("fracture/")  # the public servers refuse the nameless
    (query,) = parse_qs(body.decode())["data"]
    assert query == (
        "[out:json][timeout:5];("
        "nwr[amenity=hospital](around:5000,37.77,-122.42)[name];"
        'nwr[amenity~"^(clinic|doctors)$"]["healthcare:speciality"~"orthop",i](around:5000,37.77,-122.42)[name];'
        ");out center;"
    )


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("at", [EXACTLY, (-0.0049, 0.0049), (89.999, 179.999)])
def test_no_provider_learns_more_than_a_kilometre(server, name, at):
    server.answers = [(200, a_body(name, EMPTY[name]))]
    near(make(name, server.url), at=at)
    ((_, path, headers, body),) = server.asked
    told = path + str(headers) + body.decode()
    for number in at:
        assert not re.search(re.escape(str(abs(number))), told)


def test_distances_start_at_the_rounded_place(server):
    server.answers = [(200, a_body("overpass"))]
    exact = near(make("overpass", server.url), at=EXACTLY)
    assert [clinic.distance_m for clinic in exact.clinics] == [111, 3336, None]


@pytest.mark.parametrize(
    ("place", "low", "high"),
    [
        ((0, 179.99), (-0.045, 179.945), (0.045, -179.965)),  # over the date line
        ((0, -179.99), (-0.045, 179.965), (0.045, -179.945)),
        ((89.99, 10), (89.945, -180), (90, 180)),  # around a pole
        ((-90, 10), (-90, -180), (-89.955, 180)),
        ((89.9, 0), (89.855, -26.72), (89.945, 26.72)),
    ],
)
def test_the_rectangle_around_a_circle(server, place, low, high):
    server.answers = [(200, b"{}")]
    assert near(make("google_new", server.url), at=place).status == "ok"
    rectangle = json.loads(server.asked[0][3])["locationRestriction"]["rectangle"]
    found = [(corner["latitude"], corner["longitude"]) for corner in (rectangle["low"], rectangle["high"])]
    assert found == [pytest.approx(corner, abs=0.006) for corner in (low, high)]


def test_only_the_nearest_are_shown(server):
    places = [legacy(f"number {place}", HERE[0] + place / 1e4) for place in range(NEAREST + 5, 0, -1)]
    server.answers = [(200, a_body("google_legacy", {"status": "OK", "results": places}))]
    found = near(make("google_legacy", server.url)).clinics
    assert [clinic.name for clinic in found] == [f"number {place}" for place in range(1, NEAREST + 1)]


# what goes wrong


@pytest.mark.parametrize("status", ["REQUEST_DENIED", "OVER_QUERY_LIMIT", "INVALID_REQUEST", f"odd {KEY}"])
def test_an_error_of_the_legacy_api(server, said, status):
    server.answers = [(200, json.dumps({"status": status, "error_message": f"key {KEY} is wrong"}).encode())]
    assert near(make("google_legacy", server.url)).status == "unavailable"
    assert len(server.asked) == 1
    assert (status if status.isupper() else "ApiError") in said.text  # the operator learns why


def test_a_query_that_overpass_broke_off(server, said):
    """It answers 200 with the part that it found in time, which would read as all there is."""
    server.answers = [(200, a_body("overpass", BODIES["overpass"] | {"remark": "runtime error: Query timed out"}))]
    assert near(make("overpass", server.url)).status == "unavailable"
    assert "broken off" in said.text


JUNK = [
    b"",
    b"<html>" + KEY.encode(),
    b"[]",
    b"null",
    b'"places elements results"',
    b'{"status": "OK"}',
    b"[" * 100_000,
    b"\xff\xfe",
    b"\x00" * 1000,
    a_body("google_legacy")[:-20],
]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("body", JUNK)
def test_junk(server, said, name, body):
    server.answers = [(200, body)]
    found = near(make(name, server.url))
    assert (found.status, found.clinics, len(server.asked)) == ("unavailable", [], 1)


ODD_PLACES = {
    "google_legacy": [
        *("x", {}, None, {"name": 1}, {"name": "\ud800"}, legacy("x", "a"), legacy("x", 10**400), legacy("x", None)),
        *({"name": "x", "vicinity": "\ud800"}, {"name": "x" * 1001}),
        *(legacy("x", 1, rating=rating) for rating in ("many", float("nan"), float("inf"), -1, 6)),
        *({"name": "x", "geometry": geometry} for geometry in (None, 1, {"location": {"lat": 1}})),
    ],
    "google_new": [
        *("x", {}, None, {"displayName": "x"}, {"displayName": {"text": 1}}, new("x", "a"), new("x", float("inf"))),
        *(new("x", 1, rating=rating) for rating in ("many", float("nan"), -1, 6)),
        *({"displayName": {"text": "x"}, "location": 7}, {"displayName": {"text": "\ud800"}}),
        {"displayName": {"text": "x"}, "formattedAddress": "x" * 1001},
    ],
    "overpass": [
        *("x", {}, None, {"tags": {}}, way("x", "a"), way("x", float("nan")), way("x", 10**400)),
        *({"tags": {"name": "x"}}, {"tags": {"name": "x"}, "center": 7}, way("x", 1, **{"addr:street": 5})),
        *(way(None, 1), way("\ud800", 1), way("x", 1, **{"addr:city": "\ud800"})),
    ],
}
SHELLS = {
    "google_legacy": lambda place: {"status": "OK", "results": [place]},
    "google_new": lambda place: {"places": [place]},
    "overpass": lambda place: {"elements": [place]},
}


@pytest.mark.parametrize(("name", "place"), [(name, place) for name in NAMES for place in ODD_PLACES[name]])
def test_an_answer_of_another_shape(server, said, name, place):
    server.answers = [(200, a_body(name, SHELLS[name](place)))]
    found = near(make(name, server.url))
    assert (found.status, found.clinics) == ("unavailable", [])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("status", [400, 403, 404])
def test_an_error_that_will_not_pass_is_asked_for_once(server, said, name, status):
    server.answers = [(status, KEY.encode())]
    assert near(make(name, server.url)).status == "unavailable"
    assert len(server.asked) == 1
    assert f"at {name} failed: HTTP {status}" in said.text


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("status", [429, 500, 503, 504, None])
def test_an_error_that_passes_is_asked_for_again(server, said, quick, name, status):
    server.answers = [(status, KEY.encode()), (status, b""), (200, a_body(name))]
    assert near(make(name, server.url)).clinics[0].name == "Near"
    assert len(server.asked) == 3


@pytest.mark.parametrize("name", NAMES)
def test_an_error_that_does_not_pass_is_not_asked_for_for_ever(server, said, quick, name):
    server.answers = [(500, KEY.encode())]
    assert near(make(name, server.url)).status == "unavailable"
    assert len(server.asked) == len(PAUSES_S) + 1


@pytest.mark.parametrize("name", NAMES)
def test_trying_again_stays_within_the_limit(server, said, name):
    server.answers = [(429, b"")]
    began = time.monotonic()
    with pytest.raises(NoAnswer, match="HTTP 429"):
        make(name, server.url, 0.5).find(*HERE, RADIUS_M)
    assert 0.15 < time.monotonic() - began < 0.5
    assert len(server.asked) == 2  # a pause of 0.2 s fits, one of 0.4 s no more


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("elsewhere", [True, False])
def test_no_redirect_is_followed(server, said, name, status, elsewhere):
    """Not even to the same host: no provider needs it, and the key would go wherever it points."""
    host = "127.0.0.2" if elsewhere else "127.0.0.1"
    server.headers = {"Location": f"http://{host}:{server.server_port}/there?key={KEY}"}
    server.answers = [(status, b""), (200, a_body(name))]
    assert near(make(name, server.url)).status == "unavailable"
    assert len(server.asked) == 1


@pytest.mark.parametrize("name", NAMES)
def test_a_huge_answer_is_not_taken(server, said, name):
    server.answers = [(200, b" " * (8 * ANSWER_MAX_BYTES) + a_body(name))]
    assert near(make(name, server.url)).status == "unavailable"
    assert f"more than {ANSWER_MAX_BYTES} bytes" in said.text
    assert server.sent == 0  # the connection was closed on it


def test_the_largest_answer_is_taken(server):
    body = a_body("overpass")
    server.answers = [(200, b" " * (ANSWER_MAX_BYTES - len(body)) + body)]
    assert near(make("overpass", server.url)).status == "ok"


@pytest.mark.parametrize("name", NAMES)
def test_no_server_there(said, name):
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as free:
        url = f"http://127.0.0.1:{free.server_port}"
    assert near(make(name, url, 0.3)).status == "unavailable"
    assert "ConnectionRefusedError" in said.text


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("own_s", "look_up_s"), [(0.3, 5), (5, 0.3)])
def test_a_silent_server(server, said, name, own_s, look_up_s):
    """Whether it is the provider's own limit that ends it or the look-up's."""
    server.hold.clear()
    began = time.monotonic()
    assert near(make(name, server.url, own_s), timeout_s=look_up_s).status == "unavailable"
    assert time.monotonic() - began < 2


@pytest.mark.parametrize("name", NAMES)
def test_a_dripping_server(server, said, name):
    server.drip_s = 0.05  # never silent for long, and far too slow
    began = time.monotonic()
    with pytest.raises(NoAnswer, match="takes too long"):
        make(name, server.url, 0.3).find(*HERE, RADIUS_M)
    assert time.monotonic() - began < 1


# the key


@pytest.mark.parametrize("key", ["not-a-google-key", "AIza-\nX-Injected: secret", "AIza-\u2603"])
@pytest.mark.parametrize("name", ["google_legacy", "google_new"])
def test_a_key_of_another_kind(server, caplog, name, key):
    caplog.set_level(logging.DEBUG)
    server.answers = [(403, b"")]
    assert near(make(name, server.url, key=key)).status == "unavailable"
    assert not {"X-Injected"} & {header for _, _, headers, _ in server.asked for header in headers}
    assert not [part for part in (key, key[5:], "secret", "not-a-google") if part in caplog.text]


@pytest.mark.parametrize("name", ["google_legacy", "google_new"])
@pytest.mark.parametrize("status", [None, 302, 403, 500])
def test_no_exception_holds_the_key(server, quick, name, status):
    server.answers = [(status, KEY.encode())]
    server.headers = {"X-Echo": KEY, "Location": f"/?key={KEY}"}
    provider = make(name, server.url)
    with pytest.raises(NoAnswer) as raised:
        provider.find(*HERE, RADIUS_M)
    shown = [repr(raised.value), "".join(traceback.format_exception(raised.value)), repr(provider), str(provider)]
    assert not [text for text in shown if KEY in text]


def test_the_library_alone_would_log_the_key(server, caplog):
    """The control of this file: with the session that it brings along, the key is there to be seen."""
    caplog.set_level(logging.DEBUG)
    googlemaps.Client(key=KEY, base_url=server.url).places_nearby(location=HERE, radius=1)
    assert KEY in caplog.text
    caplog.clear()
    near(make("google_legacy", server.url))
    assert len(server.asked) == 2
    assert KEY not in caplog.text


# several providers, and what is remembered


class Scripted:
    """A provider that counts, and answers as told."""

    attribution = wanted = "made up"
    keeps = True

    def __init__(self, find=lambda *_: [], name="scripted"):
        self.name, self.asked, self._find = name, [], find

    def find(self, *place):
        self.asked.append(place)
        return self._find(*place)


def fail(*_):
    raise RuntimeError(f"nobody foresaw https://maps.example/?key={KEY}")


def test_even_a_failure_nobody_foresaw_is_an_answer(said):
    assert near(Scripted(fail)).status == "unavailable"
    assert "RuntimeError" in said.text


def test_the_next_is_asked_only_where_one_failed(said):
    first, second, third = Scripted(fail, "a"), Scripted(name="b"), Scripted(name="c")
    assert near(first, second, third).status == "ok"
    assert [len(one.asked) for one in (first, second, third)] == [1, 1, 0]


def test_all_of_them_together_have_one_limit(said):
    slow = [Scripted(lambda *_: time.sleep(0.25) or fail(), name) for name in "abcdef"]
    began = time.monotonic()
    assert near(*slow, timeout_s=0.4).status == "unavailable"
    assert time.monotonic() - began < 0.9
    assert len(slow[2].asked) == 0
    assert "no answer within 0.4 s" in said.text


def many(clinics, *places):
    async def ask():
        return [await clinics.near(*place) for place in places]

    return anyio.run(ask)


def test_a_place_is_asked_for_once():
    one = Scripted(lambda *_: [Clinic(name="x", address=None, distance_m=1, rating=None)])
    first, again, other = many(Clinics([one]), (1.001, 2.001), (0.999, 1.999), (1.02, 2))
    assert one.asked == [(1.0, 2.0, RADIUS_M), (1.02, 2.0, RADIUS_M)]
    assert first == again == other


def test_what_may_not_be_kept_is_asked_for_each_time():
    one = Scripted()
    one.keeps = False
    many(Clinics([one]), (1, 2), (1, 2))
    assert len(one.asked) == 2
    assert [kind.keeps for kind in (GoogleNew, GoogleLegacy, Overpass)] == [False, False, True]


def test_what_is_known_grows_old():
    one = Scripted()
    many(Clinics([one], age_s=0), (1, 2), (1, 2))
    assert len(one.asked) == 2


def test_what_is_known_is_bounded_and_the_oldest_goes():
    one = Scripted()
    clinics = Clinics([one])
    places = [(place / 100, 0) for place in range(PLACES_KEPT + 1)]
    many(clinics, *places, places[-1], places[1])
    assert len(one.asked) == PLACES_KEPT + 1
    many(clinics, places[0])
    assert len(one.asked) == PLACES_KEPT + 2


def test_a_failure_is_not_remembered():
    answers = iter([fail, lambda *_: []])
    one = Scripted(lambda *_: next(answers)())
    assert [found.status for found in many(Clinics([one]), HERE, HERE)] == ["unavailable", "ok"]


def test_each_provider_has_a_memory_of_its_own():
    """What the second knew stays known, and says whose it is."""
    first, second = Scripted(fail, "a"), Scripted(name="b")
    many(Clinics([first, second]), HERE, HERE)
    assert (len(first.asked), len(second.asked)) == (1, 1)


def test_look_ups_that_hang_are_bounded(said):
    """A thread cannot be killed. So that hanging ones do not pile up, no more are started while they hang."""
    go = threading.Event()
    one = Scripted(lambda *_: go.wait(10) and [])
    clinics = Clinics([one], timeout_s=0.2)

    async def crowd(count):
        async with anyio.create_task_group() as tasks:
            for place in range(count):
                tasks.start_soon(clinics.near, place / 10, 0)

    anyio.run(crowd, 3 * LOOK_UPS_AT_ONCE)
    anyio.run(crowd, LOOK_UPS_AT_ONCE)
    assert len(one.asked) == LOOK_UPS_AT_ONCE
    assert "still waiting" in said.text
    go.set()
    deadline = time.monotonic() + 5
    while anyio.run(clinics.near, 50, 50).status != "ok":
        assert time.monotonic() < deadline


def test_a_crowd_takes_turns():
    one = Scripted(lambda *_: time.sleep(0.05) or [])
    clinics, found = Clinics([one]), []

    async def ask(place):
        found.append(await clinics.near(place, 0))

    async def crowd():
        async with anyio.create_task_group() as tasks:
            for place in range(3 * LOOK_UPS_AT_ONCE):
                tasks.start_soon(ask, place)

    anyio.run(crowd)
    assert [consult.status for consult in found] == ["ok"] * 3 * LOOK_UPS_AT_ONCE


# the settings


@pytest.mark.parametrize(
    ("setting", "key", "names"),
    [
        ("auto", KEY, ["google_new", "google_legacy"]),
        ("auto", None, []),
        ("google_new", KEY, ["google_new"]),
        ("google_new", None, []),
        ("google_legacy", KEY, ["google_legacy"]),
        ("google_legacy", None, []),
        ("overpass", KEY, ["overpass"]),
        ("overpass", None, ["overpass"]),
        ("off", KEY, []),
        ("off", None, []),
        ("", KEY, ["google_new", "google_legacy"]),
    ],
)
def test_who_is_asked(monkeypatch, setting, key, names):
    monkeypatch.setenv("FRACTURE_CLINICS", setting)
    monkeypatch.setenv("GOOGLE_MAPS_API_KEY", key or "")
    assert [provider.name for provider in chosen(Settings())] == names


def test_where_they_are_asked():
    settings = Settings(google_maps_api_key=SecretStr(KEY))
    assert [provider.base_url for provider in chosen(settings)] == [
        "https://places.googleapis.com",
        "https://maps.googleapis.com",
    ]
    (overpass,) = chosen(Settings(fracture_clinics="overpass"))
    assert overpass.url == "https://overpass-api.de/api/interpreter"


@pytest.mark.parametrize(
    ("name", "value"),
    [("FRACTURE_CLINICS", "bing"), ("FRACTURE_OVERPASS_URL", "file:///etc/passwd"), ("FRACTURE_OVERPASS_URL", "x")],
)
def test_a_wrong_setting_is_refused_without_quoting_anything(monkeypatch, name, value):
    monkeypatch.setenv("GOOGLE_MAPS_API_KEY", KEY)
    monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError, match=name.lower()) as refused:
        Settings()
    assert KEY not in str(refused.value)
    assert "passwd" not in str(refused.value)


# the service


@pytest.fixture
def serving(serve, server, monkeypatch):
    """Start the service with a key, and with the small server in a provider's place."""

    def start(name, **settings):
        server.answers = [(200, a_body(name))]
        monkeypatch.setattr(clinic_providers, "GOOGLE_LEGACY_URL", server.url)
        monkeypatch.setattr(clinic_providers, "GOOGLE_NEW_URL", server.url)
        url = f"{server.url}/api/interpreter"
        key = SecretStr(KEY)
        return serve(**{"fracture_clinics": name, "google_maps_api_key": key, "fracture_overpass_url": url} | settings)

    return start


@pytest.mark.parametrize("settings", [{}, {"fracture_clinics": "off", "google_maps_api_key": SecretStr(KEY)}])
def test_nobody_to_ask(serve, detect, paint, picture, settings):
    client = serve(**settings)
    consult = detect(picture(paint()), client=client, lat=1, lng=2).json()["orthopedic_consult"]
    assert client.get("/health").json()["clinics"] is False, "who asks first need not ask for a position"
    assert consult == {"status": "not_configured", "note": consult["note"]}
    assert "GOOGLE_MAPS_API_KEY" in consult["note"]


@pytest.mark.parametrize("name", NAMES)
def test_a_film_with_a_place(serving, server, detect, paint, picture, said, name):
    client = serving(name)
    for _ in range(2):
        consult = detect(picture(paint()), client=client, lat=HERE[0], lng=HERE[1]).json()["orthopedic_consult"]
        assert consult["status"] == "ok"
        assert consult["clinics"][0]["name"] == "Near"
        assert consult["attribution"]
    assert len(server.asked) == (1 if name == "overpass" else 2)


def test_a_key_of_the_old_days_still_works(serving, server, detect, paint, picture, said):
    """A project without the new API: it refuses the key, the legacy one takes it."""
    client = serving("google_legacy", fracture_clinics="auto")
    server.answers.insert(0, (403, b'{"error": {"code": 403, "status": "PERMISSION_DENIED"}}'))
    consult = detect(picture(paint()), client=client, lat=HERE[0], lng=HERE[1]).json()["orthopedic_consult"]
    assert consult["clinics"][0]["name"] == "Near"
    assert [method for method, _, _, _ in server.asked] == ["POST", "GET"]


def test_nobody_is_told_anything_unless_asked_and_only_for_a_film(serving, server, detect, paint, picture):
    client = serving("google_new")
    assert "orthopedic_consult" not in detect(picture(paint()), client=client).json()
    assert detect(b"no film", client=client, lat=HERE[0], lng=HERE[1]).status_code == 415
    assert detect(picture(paint()), client=client, lat=91, lng=0).status_code == 422
    assert detect(picture(paint()), client=client, lat="nan", lng=0).status_code == 422
    assert detect(picture(paint()), client=client, lng=0).status_code == 422
    assert server.asked == []


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "answer",
    [(200, b"junk " + KEY.encode()), (302, KEY.encode()), (403, KEY.encode()), (500, KEY.encode()), (None, b"")],
)
def test_whatever_the_provider_does_the_boxes_come_and_the_key_does_not(
    serving, server, detect, paint, picture, said, quick, name, answer
):
    client = serving(name)
    server.answers = [answer]
    server.headers = {"Location": f"http://127.0.0.1/?key={KEY}", "X-Echo": KEY}
    response = detect(picture(paint((5, 5, 20, 20, 255))), client=client, lat=HERE[0], lng=HERE[1])
    assert response.status_code == 200
    assert response.json()["num_detections"] == 1
    assert response.json()["orthopedic_consult"]["status"] == "unavailable"
    assert KEY not in response.text + str(response.headers)


@pytest.mark.parametrize("kind", [googlemaps.exceptions.ApiError, OSError, RuntimeError, ValueError])
def test_an_error_text_with_the_key_stays_in(serving, detect, paint, picture, monkeypatch, said, kind):
    def fail(*_, **__):
        raise kind(f"https://maps.example/?key={KEY}")

    monkeypatch.setattr(googlemaps.Client, "places_nearby", fail)
    response = detect(picture(paint((5, 5, 20, 20, 255))), client=serving("google_legacy"), lat=HERE[0], lng=HERE[1])
    assert response.status_code == 200
    assert response.json()["num_detections"] == 1
    assert response.json()["orthopedic_consult"]["status"] == "unavailable"
    assert KEY not in response.text + str(response.headers)


def test_the_interface_shows_no_key(serving):
    client = serving("google_new")
    assert not [path for path in ("/openapi.json", "/health", "/", "/docs") if KEY in client.get(path).text]


def test_a_provider_in_the_table_may_be_set():
    """One row makes a provider: the settings' names are the table's."""
    code = (
        "from fracture.service.http import clinic_providers\n"
        "clinic_providers.NAMES += ('own',)\n"
        "from fracture.service.http.settings import Settings\n"
        "assert Settings(fracture_clinics='own').fracture_clinics == 'own'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert (*clinic_providers.PROVIDERS, "auto", "off") == clinic_providers.NAMES
    with pytest.raises(ValidationError, match="fracture_clinics"):
        Settings(fracture_clinics="own")
