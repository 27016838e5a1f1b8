"""Clinics against a small HTTP server in Google's place, so the real client makes the real call. The key stays in."""

import json
import logging
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import anyio
import googlemaps
import pytest
from pydantic import SecretStr

from app.clinics import Clinics

KEY = "AIza-made-up-key"
HERE = (37.77, -122.42)


def place(name, lat, **more):
    return {"name": name, "geometry": {"location": {"lat": lat, "lng": HERE[1]}}, **more}


PLACES = [
    place("Far", 37.80, vicinity="3 Far Street", rating=4),
    {"name": "Nowhere given"},
    place("Near", 37.771, vicinity="1 Near Street", rating=4.5, business_status="OPERATIONAL"),
    place("Closed", 37.77, business_status="CLOSED_PERMANENTLY"),
]


class Google(BaseHTTPRequestHandler):
    """Answers as scripted by the server's ``answer`` (status, body) and remembers what was asked."""

    def do_GET(self):
        self.server.asked.append(self.path)
        status, body = self.server.answer
        self.server.hold.wait(10)
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        try:
            for byte in body if self.server.drip_s else ():
                self.wfile.write(bytes([byte]))
                self.wfile.flush()
                time.sleep(self.server.drip_s)
            if not self.server.drip_s:
                self.wfile.write(body)
        except OSError:
            pass  # the client gave up, as it should

    def log_message(self, *_):
        pass


@pytest.fixture
def google():
    with ThreadingHTTPServer(("127.0.0.1", 0), Google) as server:
        server.daemon_threads, server.asked, server.drip_s = True, [], 0
        server.answer = (200, json.dumps({"status": "OK", "results": PLACES}).encode())
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


def near(url, timeout_s=5.0, key=KEY):
    consult = anyio.run(Clinics(SecretStr(key), url, timeout_s).near, *HERE)
    assert KEY not in consult.model_dump_json()
    return consult


def test_the_request_and_what_comes_of_it(google, said):
    found = near(google.url)
    (path,) = google.asked
    asked = parse_qs(urlsplit(path).query)
    assert urlsplit(path).path == "/maps/api/place/nearbysearch/json"
    assert (asked["location"], asked["radius"], asked["keyword"]) == (["37.77,-122.42"], ["5000"], ["orthopedic"])
    assert asked["key"] == [KEY]
    assert found.status == "ok"
    assert "not a recommendation" in found.note
    assert [clinic.model_dump() for clinic in found.clinics] == [
        {"name": "Near", "address": "1 Near Street", "distance_m": 111, "rating": 4.5},
        {"name": "Far", "address": "3 Far Street", "distance_m": 3336, "rating": 4.0},
        {"name": "Nowhere given", "address": None, "distance_m": None, "rating": None},
    ]


def test_the_library_does_log_the_key(google, caplog, monkeypatch):
    """The control of this file: without the filter the key is there to be seen, with it the line is."""
    caplog.set_level(logging.DEBUG)
    near(google.url)
    assert "nearbysearch" in caplog.text
    assert "key=[hidden]" in caplog.text
    assert KEY not in caplog.text
    monkeypatch.setattr(logging.getLogger("urllib3.connectionpool"), "filters", [])
    near(google.url)
    assert KEY in caplog.text


def test_a_logged_exception_loses_its_text(caplog):
    logger = logging.getLogger("urllib3.connectionpool")
    try:
        raise ValueError(f"odd header from {KEY}")
    except ValueError:
        logger.warning("Failed to parse headers (url=%s): 100 %%", f"https://x/?a=1&key={KEY}&b=2", exc_info=True)
    assert caplog.messages == ["Failed to parse headers (url=https://x/?a=1&key=[hidden]&b=2): 100 %"]
    assert KEY not in caplog.text


def test_nothing_near(google, said):
    google.answer = (200, b'{"status": "ZERO_RESULTS", "results": []}')
    found = near(google.url)
    assert (found.status, found.clinics) == ("ok", [])


@pytest.mark.parametrize("status", ["REQUEST_DENIED", "OVER_QUERY_LIMIT", "INVALID_REQUEST", f"odd {KEY}"])
def test_an_error_of_the_api(google, said, status):
    google.answer = (200, json.dumps({"status": status, "error_message": f"key {KEY} is wrong"}).encode())
    assert near(google.url).status == "unavailable"
    assert len(google.asked) == 1
    assert (status if status.isupper() else "ApiError") in said.text  # the operator learns why


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>" + KEY.encode(),
        b"[]",
        b"null",
        b"{}",
        b'{"status": "OK"}',
        b'{"status": "OK", "results": [{}]}',
        b'{"status": "OK", "results": ["x"]}',
        b'{"status": "OK", "results": [{"name": "x", "rating": "many"}]}',
        b'{"status": "OK", "results": [{"name": "x", "geometry": {"location": {"lat": "a"}}}]}',
        b"[" * 100_000,
        b"\xff\xfe",
    ],
)
def test_an_answer_of_another_shape(google, said, body):
    google.answer = (200, body)
    found = near(google.url)
    assert (found.status, found.clinics) == ("unavailable", [])


@pytest.mark.parametrize("status", [302, 400, 403, 404, 429, 500, 503])
def test_an_error_of_the_server(google, said, status):
    google.answer = (status, KEY.encode())
    assert near(google.url, timeout_s=0.3).status == "unavailable"


def test_no_server_there(said):
    with ThreadingHTTPServer(("127.0.0.1", 0), Google) as free:
        url = f"http://127.0.0.1:{free.server_port}"
    # What the library raises here does hold the key, in the URL.
    with pytest.raises(googlemaps.exceptions.TransportError, match=KEY):
        googlemaps.Client(key=KEY, base_url=url).places_nearby(location=HERE, radius=1)
    assert near(url).status == "unavailable"


def test_a_silent_server(google, said):
    google.hold.clear()
    began = time.monotonic()
    assert near(google.url, timeout_s=0.3).status == "unavailable"
    assert time.monotonic() - began < 3


def test_a_dripping_server(google, said):
    google.drip_s = 0.1  # never silent for long, and far too slow
    began = time.monotonic()
    assert near(google.url, timeout_s=0.3).status == "unavailable"
    assert time.monotonic() - began < 3


def test_a_key_of_another_kind(google, said):
    assert near(google.url, key="not-a-google-key").status == "unavailable"
    assert google.asked == []
    assert "not-a-google-key" not in said.text


def test_no_key(detect, paint, picture):
    consult = detect(picture(paint()), lat=1, lng=2).json()["orthopedic_consult"]
    assert consult == {"status": "not_configured", "note": consult["note"]}
    assert "GOOGLE_MAPS_API_KEY" in consult["note"]


@pytest.fixture
def keyed(serve, google, monkeypatch):
    """Start the service with a key, and with the small server in Google's place."""
    monkeypatch.setattr(Clinics.__init__, "__defaults__", (google.url, 5.0))
    return serve(google_maps_api_key=SecretStr(KEY))


def test_a_film_with_a_place(keyed, google, detect, paint, picture, said):
    answer = detect(picture(paint()), client=keyed, lat=HERE[0], lng=HERE[1]).json()
    assert answer["orthopedic_consult"]["status"] == "ok"
    assert answer["orthopedic_consult"]["clinics"][0]["name"] == "Near"
    assert len(google.asked) == 1


def test_google_is_told_nothing_unless_asked_and_only_for_a_film(keyed, google, detect, paint, picture):
    assert "orthopedic_consult" not in detect(picture(paint()), client=keyed).json()
    assert detect(b"no film", client=keyed, lat=HERE[0], lng=HERE[1]).status_code == 415
    assert google.asked == []


@pytest.mark.parametrize(
    "kind", [googlemaps.exceptions.TransportError, googlemaps.exceptions.ApiError, OSError, ValueError]
)
def test_an_error_text_with_the_key_stays_in(keyed, detect, paint, picture, monkeypatch, said, kind):
    def fail(*_, **__):
        raise kind(f"https://maps.example/?key={KEY}")

    monkeypatch.setattr(googlemaps.Client, "places_nearby", fail)
    response = detect(picture(paint((5, 5, 20, 20, 255))), client=keyed, lat=HERE[0], lng=HERE[1])
    assert response.status_code == 200
    assert response.json()["num_detections"] == 1
    assert response.json()["orthopedic_consult"]["status"] == "unavailable"
    assert KEY not in response.text


def test_even_a_failure_nobody_foresaw_keeps_the_key_in(keyed, detect, paint, picture, monkeypatch, said):
    def fail(*_, **__):
        raise RuntimeError(f"https://maps.example/?key={KEY}")

    monkeypatch.setattr(googlemaps.Client, "places_nearby", fail)
    response = detect(picture(paint()), client=keyed, lat=HERE[0], lng=HERE[1])
    assert response.status_code == 500
    assert KEY not in response.text + str(response.headers)
