"""Every refusal is a problem document with the right status and code; nothing a sender can do is a 500."""

import asyncio
import http.client
import json
import logging
import struct
import threading
import time
import zlib
from types import SimpleNamespace

import numpy as np
import pytest
import uvicorn

from fracture.inference.reader import Reader
from fracture.service.http.guard import Guard
from fracture.service.http.main import create_app
from fracture.service.http.settings import Settings
from fracture.service.http.telemetry import Telemetry

NO_NETWORK = SimpleNamespace(name="none")
PROBLEM = "application/problem+json"
SECRET = "jane" + "_doe"  # in two parts, for a log may quote the line of code that raises


def check(response, status, code):
    """Check the refusal's form and give its detail."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == PROBLEM
    body = response.json()
    assert set(body) - {"errors"} == {"type", "title", "status", "detail", "code"}
    assert (body["status"], body["code"], body["type"]) == (status, code, "about:blank")
    assert body["title"]
    assert all(set(found) == {"loc", "msg", "type"} for found in body.get("errors", []))
    for trace in ("Traceback", ".py", "line "):
        assert trace not in response.text
    return body["detail"]


def png_header(width, height):
    """Give a PNG of a few bytes that announces a size."""
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)), (b"IDAT", zlib.compress(b"\0"))]
    coded = [
        struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in [*chunks, (b"IEND", b"")]
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(coded)


@pytest.mark.parametrize("name", ["film.png", "film.dcm", ""])
def test_empty_file(detect, name):
    assert "0 bytes" in check(detect(b"", name or "blob"), 400, "empty_file")


@pytest.mark.parametrize("data", [b"just text, renamed", b"GIF89a....", b"PK\x03\x04 a zip", bytes(4000)])
def test_not_a_film(detect, data):
    check(detect(data, "film.png"), 415, "unsupported_format")


def test_pdf(detect):
    check(detect(b"%PDF-1.7 ...", "film.dcm"), 422, "no_pixels")


def test_dicom_without_pixels(detect, dicom):
    check(detect(dicom(), "film.dcm"), 422, "no_pixels")


def test_more_frames_than_a_study_has_films(serve, detect, dicom, paint):
    data = dicom(np.stack([paint()] * 3))
    assert detect(data, client=serve(fracture_max_files=3)).status_code == 200
    check(detect(data, client=serve(fracture_max_files=2)), 422, "several_frames")


def test_dicom_that_is_also_an_executable(detect, dicom, paint):
    data = dicom(paint())
    check(detect(b"MZ" + data[2:]), 415, "unsupported_format")


@pytest.mark.parametrize("size", [(32_000, 32_000), (2**31 - 1, 2**31 - 1), (8001, 8000)])
def test_more_pixels_than_a_film_has(detect, size):
    check(detect(png_header(*size)), 413, "film_too_large")


def test_dicom_header_that_announces_more(detect, dicom, paint):
    check(detect(dicom(paint(), Rows=65_000, Columns=65_000)), 413, "film_too_large")


def test_broken_pixels(detect, paint, picture):
    check(detect(picture(paint())[:45]), 422, "broken_film")


def test_what_a_film_says_of_its_preparation_changes_nothing(detect, paint, picture):
    from PIL import PngImagePlugin

    note = PngImagePlugin.PngInfo()
    note.add_text("fracture:harmonise_id", "h1-000000000000")
    film = paint((10, 10, 30, 30, 220))
    assert detect(picture(film, pnginfo=note)).json() == detect(picture(film)).json()


@pytest.mark.parametrize(
    "request_",
    [
        {},
        {"data": {"file": "text, not a file"}},
        {"data": {"file": "text"}, "files": {"other": b"x"}},
        {"files": {"film": b"x"}},
        {"json": {"file": "aGVsbG8="}},
        {"content": b"\x89PNG", "headers": {"content-type": "image/png"}},
    ],
)
def test_missing_file_field(client, request_):
    response = client.post("/detect", **request_)
    assert "expected a film as a file in the multipart field 'file'" in check(response, 422, "invalid_request")
    assert response.json()["errors"][0]["loc"] == ["body", "file"]


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("multipart/form-data", b"--x\r\n\r\n"),
        ("multipart/form-data; boundary=x", b"this is no multipart body"),
        ("multipart/form-data; boundary=x", b"--x\r\nContent-Disposition: form-data\r\n\r\nhello\r\n--x--\r\n"),
        ("multipart/form-data; boundary=" + "x" * 5000, b"--x--"),
    ],
)
def test_broken_form(client, content_type, body):
    response = client.post("/detect", content=body, headers={"content-type": content_type})
    assert response.status_code in {400, 422}
    check(response, response.status_code, {400: "bad_request", 422: "invalid_request"}[response.status_code])


def test_a_file_in_another_field(client, paint, picture):
    film = picture(paint())
    response = client.post("/detect", files=[(field, ("jane_doe.png", film)) for field in ("file", "second")])
    assert "'file' alone" in check(response, 422, "unexpected_file")
    assert SECRET not in response.text


def test_more_files_than_a_study_has(serve, paint, picture):
    client, film = serve(fracture_max_files=2), picture(paint())
    for count, status in ((2, 200), (3, 413), (40, 413)):
        response = client.post("/detect", files=[("file", ("jane_doe.png", film))] * count)
        assert response.status_code == status
    assert "at most 2 files" in check(response, 413, "too_many_files")
    assert SECRET not in response.text


@pytest.mark.parametrize("lost", range(2, 100, 9))
def test_a_form_that_is_cut_short_is_no_smaller_study(client, paint, picture, lost):
    """The last film of it would be missing without a word."""
    kind = "multipart/form-data; boundary=film"
    part = b'--film\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n%s\r\n' % picture(paint())
    whole = 2 * part + b"--film--"
    answers = [client.post("/detect", content=body, headers={"Content-Type": kind}) for body in (whole, whole[:-lost])]
    assert answers[0].json()["study"]["films"] == 2
    assert "last boundary" in check(answers[1], 400, "bad_request")


def test_a_form_of_too_many_fields_says_how_many_it_may_have(client, paint, picture):
    data = {"conf": ["0.5"] * 9}
    response = client.post("/detect", files={"file": picture(paint())}, data=data)
    assert "at most 8 fields" in check(response, 400, "bad_request")


@pytest.mark.parametrize("study_id", ["Jane Doe", "a" * 65, "a/b", "ü"])
def test_a_name_of_a_study_that_may_hold_a_patients(client, paint, picture, study_id):
    response = client.post("/detect", files={"file": picture(paint())}, data={"study_id": study_id})
    assert check(response, 422, "invalid_request").startswith("body.study_id: ")
    assert study_id not in response.text


@pytest.mark.parametrize("extra", [{}, {"conf": 0.5}])
@pytest.mark.parametrize("mode", ["sensitive", "", "Balanced", "0.5"])
def test_unknown_mode_lists_the_cards(detect, paint, picture, mode, extra):
    detail = check(detect(picture(paint()), mode=mode, **extra), 422, "bad_value")
    assert "screening, balanced, specific" in detail


@pytest.mark.parametrize(
    "query",
    [
        *({"conf": value} for value in ("2", "-0.1", "nan", "inf", "half", "", "1.0000001")),
        *({"lat": value, "lng": 0} for value in ("90.1", "-91", "nan", "north")),
        *({"lat": 0, "lng": value} for value in ("180.5", "-181", "nan", "-inf", "east")),
    ],
)
def test_numbers_out_of_range(detect, paint, picture, query):
    response = detect(picture(paint()), **query)
    wrong = next(name for name in ("conf", "lat", "lng") if query.get(name, 0) != 0)
    assert check(response, 422, "invalid_request").startswith(f"query.{wrong}: ")
    assert [found["loc"] for found in response.json()["errors"]] == [["query", wrong]]


@pytest.mark.parametrize("given", ["lat", "lng"])
def test_half_a_place(detect, paint, picture, given):
    assert f"got only {given}" in check(detect(picture(paint()), **{given: 5}), 422, "bad_value")


def test_upload_limit_is_exact(serve, detect):
    client, limit = serve(fracture_max_upload_mb=1), 1 << 20
    check(detect(bytes(limit), client=client), 415, "unsupported_format")  # read, and found to be no film
    assert "at most 1 MB" in check(detect(bytes(limit + 1), client=client), 413, "upload_too_large")
    check(detect(bytes(2 * limit), client=client), 413, "upload_too_large")


@pytest.fixture
def post_raw(card, sandbox):
    """Give the way to call the app as a server would."""

    def call(headers, receive, **settings):
        """Give all messages sent; ``receive`` is given those sent so far."""
        app = create_app(
            Settings(fracture_max_upload_mb=1, fracture_auth="off", **settings), Reader(card(), NO_NETWORK), sandbox
        )
        scope = {"type": "http", "method": "POST", "path": "/detect", "root_path": "", "query_string": b""}
        scope["headers"] = [(b"content-type", b"multipart/form-data; boundary=x"), *headers]
        sent = []

        async def send(message):
            sent.append(message)

        async def run():
            async with app.router.lifespan_context(app) as state:
                await app({**scope, "state": dict(state)}, lambda: receive(sent), send)

        asyncio.run(run())
        assert not sent[-1].get("more_body")
        return sent

    return call


def test_content_length_is_refused_before_a_byte_is_read(post_raw):
    async def receive(sent):
        assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
        return {"type": "http.disconnect"}

    start, *_ = post_raw([(b"content-length", b"70000000")], receive)
    headers = dict(start["headers"])
    assert (start["status"], headers[b"content-type"], headers[b"connection"]) == (413, PROBLEM.encode(), b"close")


def test_a_body_without_length_is_refused_as_it_passes_the_limit_and_the_rest_is_dropped(post_raw):
    chunks = {"read": 0, "dropped": 0}

    async def receive(sent):
        chunks["dropped" if sent else "read"] += 1
        assert chunks["read"] < 20, "nothing stops the upload"
        head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
        return {
            "type": "http.request",
            "body": (head if chunks["read"] == 1 else b"") + bytes(1 << 16),
            "more_body": chunks["dropped"] < 30,
        }

    assert post_raw([(b"transfer-encoding", b"chunked")], receive)[0]["status"] == 413
    assert (chunks["read"], chunks["dropped"]) == (17, 30)


def test_an_upload_that_dawdles_is_refused(post_raw, monkeypatch):
    monkeypatch.setattr("fracture.service.http.guard.LINGER_S", 0.05)

    async def receive(sent):
        return await asyncio.sleep(0.01, {"type": "http.request", "body": b"", "more_body": True})

    began = time.monotonic()
    start, body, *_ = post_raw([(b"content-length", b"1000")], receive, fracture_upload_s=0.2)
    assert (start["status"], json.loads(body["body"])["code"]) == (408, "upload_too_slow")
    assert 0.2 < time.monotonic() - began < 20


def test_the_rest_of_a_refused_body_is_not_waited_for_long(post_raw, monkeypatch):
    monkeypatch.setattr("fracture.service.http.guard.LINGER_S", 0.05)

    async def receive(sent):
        return await asyncio.sleep(60, {"type": "http.request", "body": b"", "more_body": True})

    began = time.monotonic()
    assert post_raw([(b"content-length", b"70000000")], receive)[0]["status"] == 413
    assert time.monotonic() - began < 20


@pytest.mark.parametrize("chunked", [False, True])
def test_a_client_that_sends_everything_first_sees_the_refusal(chunked, card, sandbox):
    """Over a real connection: a server that closes on unread bytes resets it instead."""
    app = create_app(Settings(fracture_max_upload_mb=1), Reader(card(), NO_NETWORK), sandbox)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started and thread.is_alive():
            time.sleep(0.01)
        body = b'--x\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n' + bytes(20 << 20)
        connection = http.client.HTTPConnection(*server.servers[0].sockets[0].getsockname(), timeout=30)
        headers = {"Content-Type": "multipart/form-data; boundary=x"}
        connection.request("POST", "/detect", iter([body]) if chunked else body, headers, encode_chunked=chunked)
        response = connection.getresponse()
        assert (response.status, json.load(response)["code"]) == (413, "upload_too_large")
        connection.close()
    finally:
        server.should_exit = True
        thread.join()


def test_unknown_address_and_method(client):
    assert "/docs" in check(client.get("/jane_doe"), 404, "not_found")
    assert SECRET not in client.get("/jane_doe").text
    response = client.get("/detect")
    check(response, 405, "method_not_allowed")
    assert response.headers["allow"] == "POST"


def test_what_nobody_foresaw(serve, detect, paint, picture, caplog):
    def fail():
        raise RuntimeError(f"{SECRET} and the key")

    response = detect(picture(paint()), client=serve(before=fail))
    detail = check(response, 500, "internal_error")
    request_id = response.headers["x-request-id"]
    assert request_id in detail
    (record,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert request_id in record.getMessage()
    assert "RuntimeError" in record.getMessage()
    assert "in fail" in record.getMessage()
    assert SECRET not in response.text + caplog.text


def test_a_failure_after_the_answer_began_is_not_answered_twice(caplog):
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200})
        raise RuntimeError(SECRET)

    sent = []

    async def send(message):
        sent.append(message)

    guard = Guard(app, Settings(), Telemetry())
    asyncio.run(guard({"type": "http", "method": "GET", "headers": []}, None, send))
    assert len(sent) == 1
    assert "RuntimeError" in caplog.text
    assert SECRET not in caplog.text


def test_mutilated_films_are_never_a_500(detect, dicom, paint, picture):
    rng = np.random.default_rng(3)
    film = paint((10, 20, 30, 40, 255))
    for whole in (picture(film), picture(film, "JPEG"), picture(film, "TIFF"), dicom(film)):
        for _ in range(40):
            data = bytearray(whole[: rng.integers(1, len(whole) + 1)])
            for at in rng.integers(0, len(data), rng.integers(0, 8)):
                data[at] = rng.integers(256)
            response = detect(bytes(data))
            assert response.status_code < 500, bytes(data)
            if response.status_code != 200:
                check(response, response.status_code, response.json()["code"])
