"""What the operator sees, and that nothing of a sender's is in it."""

import logging
import re

import cv2
import pytest

SPOT = (10, 20, 30, 40, 255)


@pytest.fixture
def metrics(serve):
    """Give a client and the way to read its metrics: {name{labels}: value}."""
    client = serve()

    def read():
        answer = client.get("/metrics")
        assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        lines = [line for line in answer.text.splitlines() if line and not line.startswith("#")]
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}

    return client, read


def stages(read):
    return {name: read()[f'fracture_stage_seconds_count{{stage="{name}"}}'] for name in STAGES}


STAGES = ("upload", "queue", "decode", "network", "draw")


def test_every_stage_of_a_film_is_timed(metrics, detect, paint, picture):
    client, read = metrics
    assert stages(read) == dict.fromkeys(STAGES, 0)
    film = picture(paint(SPOT))
    detect(film, client=client)
    assert stages(read) == {"upload": 1, "queue": 3, "decode": 1, "network": 1, "draw": 0}
    detect(film, client=client, format="png")
    assert stages(read) == {"upload": 2, "queue": 7, "decode": 2, "network": 2, "draw": 1}
    client.post("/detect", files=[("file", film)] * 3)
    assert stages(read) == {"upload": 3, "queue": 16, "decode": 5, "network": 5, "draw": 1}
    client.post("/render", files={"file": film})
    assert stages(read) == {"upload": 4, "queue": 19, "decode": 6, "network": 5, "draw": 2}
    client.post("/detect", data={"no": "film"})
    detect(b"no film", client=client)
    assert stages(read) == {"upload": 5, "queue": 21, "decode": 7, "network": 5, "draw": 2}


def test_films_are_counted_by_status(metrics, paint, picture):
    client, read = metrics
    multipage = cv2.imencodemulti(".tiff", [paint(), paint(SPOT)])[1].tobytes()
    client.post("/detect", files=[("file", picture(paint(SPOT))), ("file", multipage), ("file", b"no film")])
    assert {name: value for name, value in read().items() if name.startswith("fracture_films_total")} == {
        'fracture_films_total{status="fracture"}': 2,
        'fracture_films_total{status="no fracture"}': 1,
    }


def test_a_refusal_is_counted_once(metrics, detect, paint, picture):
    client, read = metrics

    def refusals():
        return {
            name.removeprefix('fracture_refusals_total{code="')[:-2]: value
            for name, value in read().items()
            if name.startswith("fracture_refusals_total")
        }

    detect(b"no film", client=client)
    assert refusals() == {"unsupported_format": 1}
    client.post("/detect", files=[("file", picture(paint())), ("file", b""), ("file", b"no film")])
    assert refusals() == {"unsupported_format": 2, "empty_file": 1}
    client.post("/detect", files=[("file", b""), ("file", b"no film")])  # refused as a whole, for the first
    assert refusals() == {"unsupported_format": 2, "empty_file": 2}
    client.get("/nowhere")
    client.get("/detect")
    detect(picture(paint()), client=client, conf=2)
    assert refusals() == {
        **{"unsupported_format": 2, "empty_file": 2},
        **{"not_found": 1, "method_not_allowed": 1, "invalid_request": 1},
    }


def test_what_broke_is_counted(serve, detect, paint, picture):
    def fail():
        raise RuntimeError

    client = serve(before=fail)
    detect(picture(paint()), client=client)
    told = client.get("/metrics").text
    assert 'fracture_refusals_total{code="internal_error"} 1.0' in told
    assert 'fracture_request_seconds_count{route="/detect",status="500"} 1.0' in told


def test_the_model_is_named_and_services_are_apart(metrics, serve):
    _, read = metrics
    line = 'fracture_model_info{backend="scripted",model_id="scripted-model",version="7"}'
    assert read()[line] == 1
    assert 'route="/metrics"' not in serve().get("/metrics").text


def test_no_label_is_a_senders(metrics, detect, paint, picture):
    client, read = metrics
    client.get("/health")
    known = set(read())
    for n in range(20):
        client.get(f"/jane_doe/{n}")
        client.request(f"DOE{n}", "/health")
        client.get("/health", params={"jane": n}, headers={"X-API-Key": f"jane_doe_{n}" * 3})
        detect(picture(paint(SPOT)), f"jane_doe_{n}.png", client=client, mode=f"doe{n}")
    new = {name for name in set(read()) - known if "_bucket" not in name}
    assert not [name for name in new if "doe" in name.lower() or "jane" in name]
    routes = set(re.findall(r'route="([^"]+)"', "".join(read())))
    assert routes == {"/health", "/metrics", "/detect", "other"}


def test_where_somebody_is_reaches_no_log_and_no_metric(serve, detect, paint, picture, caplog, capfd):
    caplog.set_level(logging.DEBUG)

    def fail():
        raise RuntimeError(f"{51}.523767")

    place = {"lat": 51.523767, "lng": -0.158557}
    for client in (serve(), serve(elsewhere=True), serve(before=fail), serve(fracture_max_waiting=1)):
        answers = [detect(picture(paint(SPOT)), client=client, **place), detect(b"no film", client=client, **place)]
        answers += [client.get(path, params=place) for path in ("/detect", "/health", "/51.523767")]
        answers.append(detect(b"", client=client, lat="51.523767x", lng=-0.158557))
        assert "51.52" not in client.get("/metrics").text + "".join(answer.text for answer in answers)
    logged = [record.getMessage() for record in caplog.records if record.name != "httpx2"]  # the test's own client
    assert [line for line in logged if "/detect 200" in line]
    assert [line for line in logged if "RuntimeError" in line]
    for line in (*logged, *capfd.readouterr()):
        assert "51.52" not in line
        assert "0.158" not in line


def test_a_line_of_the_log_is_made_of_nothing_that_was_sent(client, caplog):
    caplog.set_level(logging.INFO, "fracture.service.http.access")
    for method, path in (("GET", "/health"), ("HEAD", "/livez"), ("JANE_DOE", "/health"), ("GET", "/jane_doe")):
        caplog.clear()
        answer = client.request(method, path, headers={"User-Agent": "jane_doe", "Referer": "jane_doe"})
        (line,) = [record.getMessage() for record in caplog.records if record.name == "fracture.service.http.access"]
        known = method if method in {"GET", "HEAD"} else "other"
        route = path if path != "/jane_doe" else "other"
        said = f"{answer.headers['x-request-id']} {known} {route} {answer.status_code}"
        assert re.fullmatch(re.escape(said) + r" \d+ ms", line)
