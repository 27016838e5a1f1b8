"""The page: what its files may not hold, and the page in a real browser.

Before a scripted service, which can say and do anything; before the real one with the shipped model; and as the static
site, before recorded answers.
"""

import asyncio
import base64
import io
import itertools
import json
import os
import re
import shutil
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx2
import jsonschema
import numpy as np
import pytest
import uvicorn
from PIL import Image
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from fracture.core.errors import FractureError
from fracture.data import samples
from fracture.imaging.decode import decode
from fracture.imaging.render import MODEL_LOOKS
from fracture.inference.reader import Reader
from fracture.phantom import FilmSpec, draw_film
from fracture.service.http import pages
from fracture.service.http.main import create_app, open_sandbox
from fracture.service.http.settings import Settings
from fracture.service.site import publish
from tests.service.benchmarks import made_up_benchmark

ROOT = Path(__file__).parents[2]
VIEWER = ROOT / "fracture/service/viewer"
HTML = (VIEWER / "index.html").read_text(encoding="utf-8")
CSS = (VIEWER / "viewer.css").read_text(encoding="utf-8")
SCRIPTS = {file.name: file.read_text(encoding="utf-8") for file in sorted(VIEWER.glob("*.js"))}
DISCLAIMER = "Not a medical device. Not a diagnosis. Research and education only."

HOSTILE = (
    '<img src=x onerror="alert(1)">.png',
    "<script>alert(1)</script>.png",
    "gnp.\u202emlif.png",
    "a" * 240 + ".png",
    "{{7*7}} ../../etc/passwd\r\nX-Key: 1 &lt;b&gt;.png",
)


def test_the_html_has_no_script_style_or_handler_of_its_own():
    assert re.findall(r"<script[^>]*>(.*?)</script>", HTML, re.S) == [""]
    assert not re.search(r"<style|\sstyle\s*=|\son\w+\s*=|javascript:|<iframe|<object|<embed|<base", HTML, re.I)
    assert DISCLAIMER in HTML


def test_wherever_the_page_is_put_it_has_its_policy():
    [policy] = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]+)"', HTML)
    assert policy == pages.VIEWER_POLICY.replace("frame-ancestors 'none'; ", ""), "a page cannot say who may frame it"


@pytest.mark.parametrize("name", SCRIPTS)
def test_text_reaches_the_page_as_text_only(name):
    forbidden = (
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|createContextualFragment|setHTML"
        r"|\beval\b|new Function|setAttribute\(\s*[\"'](style|on)|localStorage|document\.cookie|import\("
    )
    assert not re.search(forbidden, SCRIPTS[name])


def test_nothing_comes_from_another_host():
    namespace = "http://www.w3.org/2000/svg"
    for file in VIEWER.iterdir():
        rest = file.read_text(encoding="utf-8").replace(namespace, "")
        assert not re.search(r"https?:|[\"'(]//|@import|url\(", rest), file.name
    loaded = re.findall(r'(?:src|href)="([^"]+)"', HTML) + re.findall(r'from "\./([^"]+)"', "".join(SCRIPTS.values()))
    assert {*loaded} | {"index.html"} == {file.name for file in VIEWER.iterdir()}


def test_only_the_api_module_knows_addresses():
    for name, text in SCRIPTS.items():
        assert bool(re.search(r"fetch\(|XMLHttpRequest|X-API-Key|sessionStorage", text)) == (name == "api.js"), name


def luminance(colour):
    channels = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("medium", ["screen", "paper"])
def test_contrast_is_wcag_aa(medium):
    screen, paper = CSS.split("@media print {")
    roots = re.search(r":root \{[^}]*\}", screen if medium == "screen" else paper).group()
    colours = {
        name: colour if len(colour) == 7 else "#" + "".join(2 * digit for digit in colour[1:])
        for name, colour in re.findall(r"--(\w+): (#[0-9a-f]+)", roots)
    }
    for ground in ("paper", "panel", "raised"):
        for ink in ("ink", "soft", "definite", "suspicious", "unrated", "bad", "mark"):
            assert contrast(colours[ink], colours[ground]) >= 4.5, (ink, ground)
        assert contrast(colours["edge"], colours[ground]) >= 3, ground
    footer = re.search(r"footer \{[^}]*background: (#\w+); color: (#\w+)", screen)
    assert contrast(*footer.groups()) >= 4.5


# --- in a browser ---


def rate(value, n):
    return {"value": value, "low": value - 0.07, "high": value + 0.05, "n": n, "note": ""}


def point(name, threshold, sensitivity, specificity, reached=True):
    return {
        "name": name,
        "threshold": threshold,
        "rule": f"rule of {name}",
        "sensitivity": rate(sensitivity, 64),
        "specificity": rate(specificity, 336),
        "measured_on": "made-up val",
        "reached": reached,
    }


CARD = {
    "model_id": "scripted",
    "version": "7",
    "classes": ["fracture"],
    "operating_points": [
        point("screening", 0.0334, 0.83, 0.763),
        point("balanced", 0.108, 0.701, 0.909),
        point("specific", 0.225, 0.573, 0.962, reached=False),
        point("guaranteed", 0.011, 0.939, 0.626),
    ],
    "calibration": {"prevalence": 0.19},
}


def box(xyxy, confidence):
    return {
        "bbox_xyxy": list(xyxy),
        "confidence": confidence,
        "class": "fracture",
        "certainty": "definite" if confidence >= 0.225 else "suspicious",
        "chance": round(confidence**0.5, 3),
        "fracture_type": "oblique (best guess)",
        "severity": "mild (best guess)",
        "notes": "best guess, not measured",
    }


BOXES = [box((110, 150, 190, 215), 0.71), box((180, 300, 260, 350), 0.15), box((60, 60, 120, 110), 0.05)]


@dataclass
class Script:
    """What the scripted service answers, and what it was asked."""

    card: dict = field(default_factory=lambda: CARD)
    boxes: list = field(default_factory=lambda: BOXES)
    status: str | None = "fracture"
    note: str = "a box reaches the high-specificity threshold"
    key: str | None = None
    deciding: int | None = None
    spacing: tuple | None = None
    problem: dict | None = None
    frames: int = 1
    enlarged: int = 1
    rendered: int = 1
    unshown: int | None = None
    shape: object = None
    health: dict = field(default_factory=lambda: {"feedback": False, "clinics": True})
    hold: threading.Event = field(default_factory=threading.Event)
    asked: list = field(default_factory=list)

    def film(self, data):
        try:
            film = decode(data)
        except FractureError as error:
            return {"title": "Refused", "status": 415, "detail": str(error), "code": error.code}
        height, width = film.pixels.shape
        return {
            "image_size": {"width": width * self.enlarged, "height": height * self.enlarged},
            "status": self.status,
            "operating_mode": {"mode": "screening", "conf_threshold": 0.0334},
            "fracture_detected": bool(self.boxes),
            "num_detections": len(self.boxes),
            "detections": self.boxes,
            "deciding_box": self.deciding,
            "film_score": {"value": 0.71, "made_by": "best box", "chance": 0.843},
            "pixel_spacing_mm": self.spacing,
            "warnings": ["The file states <b>no</b> window."],
            "recommendation": "Have a doctor read the film.",
        }

    def whole(self, films, consult):
        """Answer for the (source, frame, answer) of every film."""
        read = sum("detections" in film for *_, film in films)
        study = {
            "study_id": None,
            "status": self.status,
            "note": self.note,
            "films": read,
            "refused": len(films) - read,
        }
        about = {
            "study": study,
            "model": {"id": "scripted", "version": "7", "date": "2031-05-06"},
            "disclaimer": DISCLAIMER,
            "orthopedic_consult": consult,
        }
        if len(films) == 1:
            return films[0][2] | about
        answers = [
            film | {"source": source} | ({"frame": frame} if "detections" in film else {})
            for source, frame, film in films
        ]
        return {"films": answers} | about


def problem(status, detail, code="refused", errors=None, **headers):
    content = {"title": "Refused", "status": status, "detail": detail, "code": code} | (
        {"errors": errors} if errors else {}
    )
    return JSONResponse(content, status, headers, media_type="application/problem+json")


def application(script):
    async def take(request):
        if script.key and request.headers.get("x-api-key") != script.key:
            if "x-api-key" in request.headers:
                return None, problem(401, "this key is not known", "key_unknown")
            return None, problem(401, "expected a key", "key_missing")
        form = await request.form()
        script.asked.append((request.url.path, dict(request.query_params), [f.filename for f in form.getlist("file")]))
        return [await film.read() for film in form.getlist("file")], None

    async def model(request):
        _, refused = await take(request)
        return refused or JSONResponse(script.card)

    async def detect(request):
        films, refused = await take(request)
        if refused is None and script.problem:
            refused = problem(**script.problem)
        if refused:
            return refused
        while script.hold.is_set():
            await asyncio.sleep(0.02)
        if script.shape:
            return JSONResponse(script.shape)
        answers = [
            (source, frame, answer)
            for source, answer in enumerate(map(script.film, films))
            for frame in range(script.frames if "detections" in answer else 1)
        ]
        consult = None
        if "lat" in request.query_params:
            places = [("Klinik <i>am</i> Park", "Weg 1", 640), ("Far clinic", None, 3210)]
            listed = [{"name": name, "address": address, "distance_m": metres} for name, address, metres in places]
            consult = {"status": "ok", "note": "Not a recommendation.", "attribution": "Map people", "clinics": listed}
        if all("detections" not in answer for *_, answer in answers):
            errors = [
                {"loc": ["body", "file", source], "msg": answer["detail"], "type": answer["code"]}
                for source, _, answer in answers
            ]
            return problem(415, answers[0][2]["detail"], errors=errors)
        return JSONResponse(script.whole(answers, consult))

    async def render(request):
        films, refused = await take(request)
        if refused:
            return refused
        try:
            film = decode(films[0])
        except FractureError as error:
            return problem(415, str(error))
        out = io.BytesIO()
        frame = int(request.query_params["frame"])
        if frame == script.unshown:
            return problem(503, "too many requests are waiting")
        grey = np.rint(film.pixels * 255).astype(np.uint8).repeat(script.rendered, 0).repeat(script.rendered, 1) // (
            1 + frame
        )
        Image.fromarray(grey).save(out, "PNG")
        return Response(out.getvalue(), media_type="image/png")

    app = Starlette(
        routes=[
            Route("/model", model),
            Route("/health", lambda _: JSONResponse(script.health)),
            Route("/detect", detect, methods=["POST"]),
            Route("/render", render, methods=["POST"]),
            Mount("/samples", StaticFiles(directory=samples.FOLDER)),
            Mount("/", StaticFiles(directory=VIEWER, html=True)),
        ]
    )

    async def with_policy(scope, receive, send):
        async def send_with_policy(message):
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"content-security-policy", pages.VIEWER_POLICY.encode())]
            await send(message)

        await app(scope, receive, send_with_policy)

    return with_policy


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = shutil.which(os.environ.get("CHROMIUM", "chromium"))
    if chromium is None:
        pytest.skip("there is no chromium on this machine; the environment variable CHROMIUM may name one")
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=chromium, args=["--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture
def script():
    return Script()


@contextmanager
def listening(app, lifespan="off"):
    """Give the address of an app that runs on loopback."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", lifespan=lifespan))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()


@pytest.fixture
def address(script):
    with listening(application(script)) as address:
        yield address
        script.hold.clear()


@pytest.fixture
def visit(opened, address):
    """Give the way to open the page before the scripted service."""

    def open_page(**options):
        return opened(address, **options)

    return open_page


@pytest.fixture
def opened(browser):
    """Give the way to open the page; nothing on it may ask another host, or fail in a way nobody foresaw."""
    contexts, wrong = [], []

    def heard(message):
        # Chromium reports every status of 400 or more; these are answers the page puts into words.
        if message.type in {"error", "warning"} and not message.text.startswith("Failed to load resource"):
            wrong.append(message.text)

    def open_page(address, width=1280, height=900, **options):
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        context.set_default_timeout(10_000)
        contexts.append(context)
        page = context.new_page()
        page.on("console", heard)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("dialog", lambda dialog: wrong.append("a dialog opened"))
        origin = "/".join(address.split("/")[:3])
        page.on("request", lambda request: wrong.append(request.url) if origin not in request.url else None)
        page.goto(address)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert wrong == []


@pytest.fixture(scope="module")
def grey():
    return draw_film(np.random.default_rng(7), fractured=True)[0]


@pytest.fixture
def film(grey, picture):
    return {"name": "film.png", "mimeType": "image/png", "buffer": picture(grey)}


def upload(page, *films):
    page.set_input_files("#choose", list(films))
    settle(page)


def settle(page):
    until(page, "() => !document.querySelector('.reading')")


def slide(page, threshold):
    move = """async (slider, to) => {
        const { placeOf } = await import(new URL("modes.js", document.baseURI));
        slider.value = placeOf(Number(to));
        slider.dispatchEvent(new Event("input"));
    }"""
    page.locator("#slider").evaluate(move, str(threshold))


def until(page, true, argument=None):
    """Wait for a function in the page to hold. Playwright's own way evaluates strings, which the policy forbids."""
    give_up = time.monotonic() + 10
    while not page.evaluate(true, argument):
        assert time.monotonic() < give_up, true
        time.sleep(0.02)


def boxes(page):
    return page.locator(".boxes [data-number]")


def shown(page, number=0):
    """Give a canvas' grey values, (H, W)."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    url = page.locator("canvas").nth(number).evaluate("canvas => canvas.toDataURL()")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))))[:, :, 0]


def place(page):
    """Give where the film lies: (x, y, scale)."""
    transform = page.locator("canvas").first.evaluate("canvas => canvas.style.transform")
    return tuple(float(number) for number in re.findall(r"-?[\d.]+(?:e-\d+)?", transform))


def test_a_film_is_shown_at_once_and_its_boxes_when_they_are_found(visit, script, film, grey):
    page = visit()
    script.hold.set()
    page.set_input_files("#choose", [film])
    page.wait_for_selector(".reading .busy progress")
    until(page, "() => document.querySelector('canvas').width > 1")
    assert np.array_equal(shown(page), grey)
    assert page.inner_text("#status strong") == "Looking for fractures"
    until(page, "() => document.querySelector('.busy span').textContent.endsWith('2 s')")
    script.hold.clear()
    settle(page)
    assert boxes(page).count() == 3
    assert [path for path, *_ in script.asked] == ["/model", "/detect"]
    assert script.asked[1][1:] == ({"mode": "screening", "conf": "0.0334"}, ["film-1"])
    assert page.inner_text("#status strong") == page.inner_text(".verdict") == "Fracture suspected"
    assert "<b>no</b>" in page.inner_text(".warnings")
    assert page.inner_text(".advice") == "Have a doctor read the film."


def test_boxes_lie_where_they_are_and_differ_by_more_than_colour(visit, film):
    page = visit()
    upload(page, film)
    x, y, scale = place(page)
    for xyxy, confidence in ((entry["bbox_xyxy"], entry["confidence"]) for entry in BOXES):
        line = page.locator(f".boxes [data-number='{1 + [b['confidence'] for b in BOXES].index(confidence)}'] .line")
        left, top, width, height = (float(line.get_attribute(name)) for name in ("x", "y", "width", "height"))
        expected = [x + xyxy[0] * scale, y + xyxy[1] * scale, x + xyxy[2] * scale, y + xyxy[3] * scale]
        assert [left, top, left + width, top + height] == pytest.approx(expected, abs=0.01)
        dashes = line.evaluate("line => getComputedStyle(line).strokeDasharray")
        assert (dashes == "none") == (confidence >= 0.225)


def test_the_slider_filters_live_and_asks_nothing(visit, script, film):
    page = visit()
    upload(page, film)
    asked = len(script.asked)
    slider = page.locator("#slider")
    for threshold, left in (("0.05", 3), ("0.0501", 2), ("0.5", 1), ("0.72", 0)):
        slide(page, threshold)
        assert boxes(page).count() == page.locator(".found li").count() == left
    assert page.inner_text(".count") == "0 boxes shown, 3 hidden by the slider."
    assert "nothing was measured" in page.inner_text("#measured")
    assert page.locator("#modes input:checked").count() == 0
    assert page.inner_text("#status strong") == "Fracture suspected", "the status rests on the measured thresholds"
    slider.focus()
    page.keyboard.press("Home")
    assert boxes(page).count() == 3
    assert len(script.asked) == asked


def test_modes_say_in_words_what_was_measured(visit, film):
    page = visit()
    upload(page, film)
    assert page.locator("#modes label").all_inner_texts() == ["screening", "balanced", "specific"]
    said = page.inner_text("#measured")
    assert "Of 100 films with a fracture it flags about 83 (76 to 88)." in said
    assert "Of 100 films without a fracture it leaves unmarked about 76 (69 to 81)." in said
    assert "64 films with and 336 without a fracture (made-up val), the very films this mode was set on" in said
    assert "not reached" not in said
    page.get_by_label("specific", exact=True).check()
    assert boxes(page).count() == 1
    assert page.inner_text("#threshold") == "0.225"
    assert "(rule of specific) was not reached" in page.inner_text("#measured")


def test_hover_and_focus_say_what_is_known_of_a_box(visit, film):
    page = visit()
    upload(page, film)
    details = page.locator(".details")
    assert details.text_content() == ""
    boxes(page).locator(".line.definite").hover()
    assert details.inner_text().split("\n") == [
        "Likely: fracture, as on 84 of 100 films with such a best box",
        "oblique (best guess), mild (best guess)",
        "raw score 0.710",
        "best guess, not measured",
    ]
    page.mouse.move(2, 2)
    assert details.text_content() == ""
    page.locator("[data-number='2']").focus()
    assert details.inner_text().startswith("Possible: fracture, as on 39 of 100")
    page.locator(".found li").first.hover()
    assert details.inner_text().startswith("Likely")
    page.mouse.move(2, 2)
    assert details.inner_text().startswith("Possible: fracture, as on 39 of 100"), "the focus is still there"


def test_a_small_box_inside_a_large_one_is_within_reach(visit, script, film):
    script.boxes = [box((100, 100, 130, 130), 0.71), box((60, 60, 200, 200), 0.3), box((90, 90, 160, 160), 0.05)]
    page = visit()
    upload(page, film)
    for number in (1, 3, 2):
        line = page.locator(f"[data-number='{number}'] .line").bounding_box()
        page.mouse.move(line["x"] + 5, line["y"] + 5)
        assert page.locator("g.pointed").get_attribute("data-number") == str(number)


def test_zoom_pan_and_window_by_mouse(visit, film):
    page = visit()
    upload(page, film)
    view = page.locator(".viewport").bounding_box()
    x, y, scale = place(page)
    at = (view["x"] + view["width"] / 2 + 40, view["y"] + view["height"] / 2 - 30)
    under = ((at[0] - view["x"] - x) / scale, (at[1] - view["y"] - y) / scale)
    before = page.locator("canvas").evaluate("canvas => canvas.style.transform")
    page.mouse.move(*at)
    page.mouse.wheel(0, -300)
    until(page, "old => document.querySelector('canvas').style.transform !== old", before)
    nx, ny, nscale = place(page)
    assert nscale > scale * 1.2
    assert ((at[0] - view["x"] - nx) / nscale, (at[1] - view["y"] - ny) / nscale) == pytest.approx(under, abs=0.5)

    def drag(button="left"):
        page.mouse.move(view["x"] + 300, view["y"] + 300)
        page.mouse.down(button=button)
        page.mouse.move(view["x"] + 260, view["y"] + 320)
        page.mouse.up(button=button)

    before = shown(page)
    drag()
    assert place(page) == (nx, ny, nscale)
    assert "window 215, level 148" in page.inner_text(".hud")
    assert not np.array_equal(shown(page), before)
    drag("right")
    assert place(page) == pytest.approx((nx - 40, ny + 20, nscale), abs=0.01)
    page.click("[data-do=move]")
    drag()
    assert place(page) == pytest.approx((nx - 80, ny + 40, nscale), abs=0.01)
    page.click("[data-do=reset]")
    assert place(page) == pytest.approx((x, y, scale), abs=0.01)
    assert np.array_equal(shown(page), before)


def test_keys_work_on_a_film_in_focus(visit, film, grey):
    page = visit()
    upload(page, film)
    page.locator(".viewport").focus()
    x, _, scale = place(page)
    page.keyboard.press("+")
    assert place(page)[2] == pytest.approx(scale * 1.25, rel=1e-3)
    page.keyboard.press("-")
    page.keyboard.press("ArrowRight")
    assert place(page)[0] == pytest.approx(x + 40, abs=0.1)
    page.keyboard.press("Shift+ArrowUp")
    assert "level 120" in page.inner_text(".hud"), "up is brighter"
    assert shown(page).mean() > grey.mean()
    page.keyboard.press("0")
    page.keyboard.press("i")
    assert np.array_equal(shown(page), 255 - grey)
    assert page.get_attribute("[data-do=invert]", "aria-pressed") == "true"
    page.keyboard.press("b")
    assert not page.locator(".boxes").is_visible()
    page.keyboard.press("b")
    page.keyboard.press("Tab")
    assert page.inner_text(".details") != "", "Tab goes on to the boxes"


def test_no_label_covers_another_or_a_box(visit, script, film):
    script.boxes = [box((100 + 4 * n, 100 + 5 * n, 150, 160), 0.9 - n / 10) for n in range(3)]
    script.boxes += [box((2, 2, 40, 40), 0.1)]
    page = visit()
    upload(page, film)
    labels = [label.bounding_box() for label in [page.locator(".hud"), *page.locator("[data-number] text").all()]]
    assert len(labels) == 5
    lines = [line.bounding_box() for line in page.locator("[data-number] rect.line").all()]
    for one, other in [*itertools.combinations(labels, 2), *itertools.product(labels[1:], lines)]:
        across = min(one["x"] + one["width"], other["x"] + other["width"]) - max(one["x"], other["x"])
        down = min(one["y"] + one["height"], other["y"] + other["height"]) - max(one["y"], other["y"])
        assert min(across, down) <= 2, (one, other)


def test_a_film_stays_within_reach(visit, film, grey):
    page = visit()
    upload(page, film)
    page.locator(".viewport").focus()
    for _ in range(25):
        page.keyboard.press("ArrowRight")
    view = page.locator(".viewport").bounding_box()
    assert place(page)[0] == pytest.approx(view["width"] - 48, abs=1)
    for _ in range(45):
        page.keyboard.press("ArrowLeft")
    x, _, scale = place(page)
    assert x + scale * grey.shape[1] == pytest.approx(48, abs=1)


def test_several_films_are_one_study_side_by_side(visit, script, film, grey, picture):
    page = visit()
    broken = {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"no film"}
    upload(page, film, film, broken)
    first, second, third = (page.locator(".film").nth(index) for index in range(3))
    assert first.bounding_box()["y"] == second.bounding_box()["y"]
    assert [names for path, _, names in script.asked if path == "/detect"] == [["film-1", "film-2", "film-3"]]
    assert "the bytes are none of these" in third.locator(".problem").inner_text()
    assert third.locator(".viewport").is_hidden()
    assert first.locator(".problem").is_hidden()
    assert third.locator(".boxes [data-number]").count() == 0
    assert page.inner_text("#status strong") == "Fracture suspected"
    said = "A box reaches the high-specificity threshold. 1 file was not read. Have a doctor read the films."
    assert page.inner_text("#status span") == said
    assert page.inner_text("#facts") == "Read by scripted 7, 2031-05-06"
    upload(page, film)
    assert page.locator(".film").count() == 4
    assert [len(names) for path, _, names in script.asked if path == "/detect"] == [3, 4]
    page.click("#clear")
    assert page.locator(".film").count() == 0
    assert page.is_visible("#welcome")


def test_no_box_never_reads_as_no_fracture(visit, script, film):
    script.boxes, script.status, script.note = [], "no fracture", "no box reaches a threshold; this rules out nothing"
    page = visit()
    upload(page, film)
    assert page.inner_text("#status strong") == page.inner_text(".verdict") == "No box reaches a threshold"
    assert page.inner_text("#status span").startswith(
        "No box reaches a threshold; this rules out nothing. Have a doctor"
    )


def test_a_film_that_is_cut_short_is_in_doubt(visit, script, film):
    script.boxes, script.status = [], "doubt"
    page = visit()
    upload(page, film)
    assert page.inner_text("#status strong") == page.inner_text(".verdict") == "In doubt"


def test_without_measured_thresholds_nothing_is_rated(visit, script, film):
    script.boxes, script.status, script.note = [BOXES[0] | {"certainty": None}], None, "not measured"
    page = visit()
    upload(page, film)
    assert page.inner_text("#status strong") == "No status"
    assert page.locator(".boxes .line.unrated").evaluate("line => getComputedStyle(line).strokeDasharray") == "2px, 5px"
    assert page.inner_text(".found span").startswith("Not rated: fracture")


def test_what_a_browser_cannot_show_comes_from_the_service(visit, script, dicom, grey, picture):
    page = visit()
    upload(page, {"name": "IM0001", "mimeType": "", "buffer": dicom(grey)})
    assert sorted(path for path, *_ in script.asked) == ["/detect", "/model", "/render"]
    assert shown(page).shape == grey.shape
    assert boxes(page).count() == 3
    page.click("#clear")
    upload(page, {"name": "a.png", "mimeType": "image/png", "buffer": picture(grey.astype(np.uint16) * 16)})
    assert [path for path, *_ in script.asked].count("/render") == 2
    assert shown(page).shape == grey.shape


def test_a_picture_that_could_not_be_had_is_asked_for_again(visit, script, film, dicom, grey):
    script.unshown = 0
    page = visit()
    upload(page, {"name": "IM0005", "mimeType": "", "buffer": dicom(grey)})
    assert "cannot be shown" in page.inner_text(".warnings")
    assert boxes(page).count() == 3
    script.unshown = None
    upload(page, film)
    assert np.array_equal(shown(page), grey)
    assert "cannot be shown" not in page.locator(".warnings").first.inner_text()


def test_without_a_screening_mode_the_most_sensitive_one_is_asked_for(visit, script, film):
    script.card = CARD | {"operating_points": CARD["operating_points"][2:0:-1]}
    page = visit()
    upload(page, film)
    assert script.asked[-1][1] == {"mode": "balanced", "conf": "0.108"}
    assert page.locator("#modes label").all_inner_texts() == ["balanced", "specific"]
    assert page.inner_text("#threshold") == "0.108"


@pytest.mark.parametrize("rendered", [1, 2])
def test_boxes_are_in_the_frame_that_the_service_decoded(visit, script, film, grey, rendered):
    script.enlarged, script.rendered = 2, rendered
    page = visit()
    upload(page, film)
    assert shown(page).shape == (grey.shape[0] * rendered, grey.shape[1] * rendered)
    x, _, scale = place(page)
    left = float(page.locator("[data-number='1'] .line").get_attribute("x"))
    assert left == pytest.approx(x + BOXES[0]["bbox_xyxy"][0] * scale * rendered / 2, abs=0.01)


def test_frames_are_films_of_the_study(visit, script, film, dicom, grey):
    script.frames = 3
    script.unshown = 2
    page = visit()
    upload(page, {"name": "IM0002", "mimeType": "", "buffer": dicom(grey)})
    frames = page.locator(".film")
    assert frames.locator("h2").all_inner_texts() == [f"1. Frame {number} of 3, IM0002" for number in (1, 2, 3)]
    assert frames.locator(".boxes [data-number]").count() == 9
    until(page, "() => document.querySelectorAll('.warnings li').length === 4")
    assert (
        frames.nth(2).locator(".warnings li").last.inner_text().startswith("The picture of this film cannot be shown")
    )
    assert np.array_equal(shown(page, 0), grey)
    assert np.array_equal(shown(page, 1), grey // 2), "each frame has its own picture"
    script.frames = 1
    upload(page, film)
    assert frames.locator("h2").all_inner_texts() == ["1. IM0002", "2. film.png"]
    assert [len(names) for path, _, names in script.asked if path == "/detect"] == [1, 2]


def test_answers_go_to_their_files_by_name_not_by_place(visit, script, film, dicom, grey):
    broken = {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"no film"}
    script.frames = 2
    page = visit()
    upload(page, broken, {"name": "IM0004", "mimeType": "", "buffer": dicom(grey)}, broken)
    titles = ["1. notes.txt", "2. Frame 1 of 2, IM0004", "2. Frame 2 of 2, IM0004", "3. notes.txt"]
    assert page.locator(".film h2").all_inner_texts() == titles
    refused = [card.locator(".problem").is_visible() for card in page.locator(".film").all()]
    assert refused == [True, False, False, True]
    assert "2 files were not read." in page.inner_text("#status span")


def test_films_of_which_none_can_be_read_say_each_why(visit, script, film):
    page = visit()
    upload(page, film | {"buffer": b"no film"}, film | {"buffer": film["buffer"][:200]})
    reasons = page.locator(".film .problem").all_inner_texts()
    assert reasons[0].startswith("Expected a film as PNG")
    assert reasons[1]
    assert reasons[0] != reasons[1]
    assert page.is_hidden("#banner")
    assert page.inner_text("#status span") == "2 files were not read."
    assert page.locator(".viewport:visible, .tools:visible").count() == 0


def test_what_fails_again_when_it_is_sent_again_offers_no_second_try(visit, script, film):
    page = visit()
    script.problem = {"status": 413, "detail": "expected at most 2 files in one study", "code": "too_many_files"}
    upload(page, film, film)
    assert page.inner_text("#banner p") == "Expected at most 2 files in one study."
    assert page.is_hidden("#banner button")


def test_a_hostile_file_name_is_text_and_is_not_sent(visit, script, film):
    page = visit(width=360, height=800)
    page.wait_for_selector("#samples img")
    before = page.evaluate("document.querySelectorAll('img, script').length")
    for name in HOSTILE:
        upload(page, film | {"name": name})
        assert page.locator(".name").evaluate("tag => tag.children.length") == 0
        if "\r" not in name and "/" not in name:
            assert page.locator(".name").text_content() == name
        assert page.evaluate("document.querySelectorAll('img, script').length") == before
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        assert script.asked[-1][2] == ["film-1"]
        page.click("#clear")


def test_a_refused_film_says_why(visit, film):
    page = visit()
    upload(page, film | {"buffer": b"no film at all"})
    assert page.inner_text(".problem").startswith("Expected a film as PNG, JPEG, TIFF or DICOM")
    assert page.inner_text("#status strong") == ""
    assert page.is_disabled("#save-json")


def test_a_busy_service_is_said_and_can_be_tried_again(visit, script, film):
    page = visit()
    script.problem = {"status": 503, "detail": "the queue is full", "Retry-After": "4"}
    upload(page, film)
    assert page.inner_text("#banner p") == "The queue is full. Try again in 4 seconds."
    script.problem["detail"] = "too many requests are waiting; try again in 4 s"
    page.click("#banner button")
    settle(page)
    assert page.inner_text("#banner p") == "Too many requests are waiting; try again in 4 s."
    script.problem = None
    page.click("#banner button")
    page.wait_for_selector(".boxes [data-number]")
    assert page.is_hidden("#banner")


def test_an_answer_of_another_shape_is_said(visit, script, film):
    page = visit()
    for shape in (
        "null",
        [None],
        {"films": 3},
        {"study": {"status": "no fracture"}, "films": []},
        {"study": {"status": "no fracture"}, "films": [{"source": 1, "frame": 0, "detail": "another file's"}]},
        {"image_size": {"width": 1, "height": 1}, "detections": []},
    ):
        script.shape = shape
        upload(page, film)
        assert page.inner_text("#banner p") == "The service's answer could not be understood."
        assert page.inner_text("#status strong") == ""
        page.click("#clear")


def test_an_older_status_does_not_stand_for_films_that_were_not_read(visit, script, film):
    page = visit()
    upload(page, film)
    script.problem = {"status": 503, "detail": "the queue is full"}
    upload(page, film)
    assert page.inner_text("#status strong") == ""
    assert page.is_disabled("#save-json")


def test_a_service_that_is_gone_is_said(visit, film):
    page = visit()
    page.wait_for_selector("#modes input")
    page.context.set_offline(True)
    upload(page, film)
    assert "cannot be reached" in page.inner_text("#banner p")


def test_a_key_is_asked_for_and_kept_in_this_tab_only(visit, script, film):
    script.key = "right-key"
    page = visit()
    page.wait_for_selector("#ask")
    assert page.inner_text("#ask-problem") == ""
    page.fill("#key", "wrong-key")
    page.keyboard.press("Enter")
    until(page, "() => document.querySelector('#ask-problem').textContent")
    assert page.inner_text("#ask-problem") == "This key is not known."
    page.fill("#key", "right-key")
    page.keyboard.press("Enter")
    page.wait_for_selector("#modes input", state="attached")
    upload(page, film)
    assert boxes(page).count() == 3
    assert "right-key" not in page.content()
    assert "right-key" not in page.url
    assert page.evaluate("[localStorage.length, document.cookie]") == [0, ""]
    assert page.evaluate("Object.values(sessionStorage)") == ["right-key"]


def test_a_wrong_key_that_is_withdrawn_leaves_nothing_behind(visit, script, film):
    script.key = "right-key"
    page = visit()
    page.fill("#key", "wrong-key")
    page.keyboard.press("Enter")
    until(page, "() => document.querySelector('#ask-problem').textContent")
    page.keyboard.press("Escape")
    page.locator("#banner").wait_for()
    assert page.inner_text("#banner p") == "This service asks for a key, and none is given."
    assert page.evaluate("Object.values(sessionStorage)") == []
    assert not [part for part in ("#modes", "#filter", ".legend") if page.is_visible(part)], (
        "there is nothing to choose"
    )
    page.click("#banner button")
    page.fill("#key", "right-key")
    page.keyboard.press("Enter")
    page.wait_for_selector("#modes input")
    assert page.is_hidden("#banner")


def test_without_a_key_the_page_says_so(visit, script, film):
    script.key = "right-key"
    page = visit()
    page.click("#ask-cancel")
    assert page.inner_text("#banner p") == "Expected a key."


def test_a_key_that_is_given_later_brings_the_modes_too(visit, script, film):
    script.key = "right-key"
    page = visit()
    page.click("#ask-cancel")
    page.set_input_files("#choose", [film])
    page.fill("#key", "right-key")
    page.keyboard.press("Enter")
    page.wait_for_selector("#modes input", state="attached")
    settle(page)
    assert page.locator("#modes input").count() == 3


def test_the_page_starts_in_the_services_mode_and_never_hides_the_box_that_decided(visit, script, film):
    script.card = CARD | {"default_mode": "specific"}
    script.boxes, script.status = [BOXES[1], BOXES[2]], "doubt"
    script.deciding = 0
    page = visit()
    upload(page, film)
    assert script.asked[-1][1] == {"mode": "specific", "conf": "0.0334"}
    assert page.get_by_label("specific", exact=True).is_checked()
    assert boxes(page).count() == 1
    slide(page, 0.99)
    assert boxes(page).count() == 1
    assert page.inner_text(".verdict") == "In doubt"


def test_of_a_film_outside_the_intended_use_nothing_else_is_said(visit, script, film):
    script.status = "outside"
    script.boxes = [found | {"certainty": None} for found in BOXES]
    page = visit()
    upload(page, film)
    assert page.inner_text(".verdict") == "Outside the intended use"
    assert page.locator(".line.unrated").count() - page.locator(".legend .line.unrated").count() == 3
    assert "Likely" not in page.inner_text("#films")


def test_clinics_are_looked_up_only_when_a_position_is_given(visit, script, film):
    page = visit(permissions=["geolocation"], geolocation={"latitude": 47.07151, "longitude": 15.43949})
    upload(page, film)
    assert "lat" not in script.asked[-1][1]
    page.click("#locate")
    page.wait_for_selector("#clinic-list li")
    assert script.asked[-1][1] == {"mode": "screening", "conf": "0.0334", "lat": "47.07", "lng": "15.44"}
    assert page.locator("#clinic-list li").all_inner_texts() == [
        "Klinik <i>am</i> Park\n640 m, Weg 1",
        "Far clinic\n3.2 km",
    ]
    assert page.inner_text("#consult") == "Not a recommendation. Map people"
    page.click("#clear")
    upload(page, film)
    assert "lat" not in script.asked[-1][1], "a position is for the study it was given for"
    assert page.locator("#clinic-list li").count() == 0


def test_clinics_are_not_offered_where_none_are_looked_up(visit, script, film):
    script.health["clinics"] = False
    page = visit()
    page.wait_for_selector("#modes input")
    upload(page, film)
    assert page.is_hidden("#clinics")


def test_a_position_can_be_typed(visit, script, film):
    page = visit()
    upload(page, film, film)
    page.fill("#lat", "-33.4567")
    page.fill("#lng", "0")
    page.click("#place button[type=submit]")
    page.wait_for_selector("#clinic-list li")
    assert script.asked[-1][1] == {"mode": "screening", "conf": "0.0334", "lat": "-33.46", "lng": "0"}


def test_a_film_to_try_is_a_click_away_and_shows_what_radiologists_drew_on_request(visit, script):
    page = visit()
    page.wait_for_selector("#samples button")
    known = samples.samples()
    assert page.locator("#samples button").all_inner_texts() == [sample.title for sample in known]
    fractured = next(sample for sample in known if sample.fractured)
    page.get_by_role("button", name=fractured.title).click()
    page.wait_for_selector(".film")  # it is fetched first
    assert page.evaluate("document.activeElement.className") == "viewport"
    settle(page)
    assert shown(page).shape == fractured.size_px[::-1]
    assert page.inner_text(".credit") == f"{fractured.image_id.replace('fracatlas/', 'FracAtlas ')}, CC BY 4.0"
    drawn = page.locator(".drawn .line")
    assert drawn.count() == len(fractured.boxes)
    assert not drawn.first.is_visible()
    assert page.is_hidden(".truth")
    page.get_by_role("button", name="What radiologists drew").click()
    assert drawn.first.is_visible()
    assert page.inner_text(".truth").startswith("The radiologists drew one fracture")
    x, _, scale = place(page)
    assert float(drawn.first.get_attribute("x")) == pytest.approx(x + fractured.boxes[0][0] * scale, abs=0.01)
    assert "green, long dashes: drawn by radiologists" in legend(page)[1]
    page.click("#clear")
    normal = next(sample for sample in known if not sample.fractured)
    page.get_by_role("button", name=normal.title).click()
    page.get_by_role("button", name="What radiologists drew").click()
    assert page.inner_text(".truth") == "The radiologists found no fracture on this film."
    assert [names for path, _, names in script.asked if path == "/detect"] == [["film-1"]] * 2


def test_a_film_of_ones_own_has_no_truth_to_show(visit, film):
    page = visit()
    upload(page, film)
    assert page.is_hidden("[data-do=truth]")
    assert page.inner_text(".chance") == (
        "Of 100 films that score like this one, about 84 show a fracture, where 19 of 100 films have one."
    )


def test_a_film_can_be_taken_off_the_study(visit, script, film, picture, grey):
    page = visit()
    upload(page, film, film | {"name": "other.png", "buffer": picture(255 - grey)})
    page.locator("[data-do=remove]").first.click()
    focus = "() => document.activeElement.id || document.activeElement.getAttribute('aria-label')"
    assert page.evaluate(focus) == "Film 1"
    settle(page)
    assert page.locator(".film h2").all_inner_texts() == ["1. other.png"]
    assert [len(names) for path, _, names in script.asked if path == "/detect"] == [2, 1]
    page.click("[data-do=remove]")
    assert page.is_visible("#welcome")
    assert page.evaluate(focus) == "choose", "a keyboard keeps its place on the page"
    upload(page, film)
    page.click("#clear")
    assert page.evaluate(focus) == "choose"


def measure(page, start, end):
    """Measure between two places, as fractions of the viewport; give these in its pixels."""
    page.click("[data-do=measure]")
    view = page.locator(".viewport").bounding_box()
    places = [(x * view["width"], y * view["height"]) for x, y in (start, end)]
    for (x, y), act in zip(places, (page.mouse.down, page.mouse.up), strict=True):
        page.mouse.move(view["x"] + x, view["y"] + y)
        act()
    return places


@pytest.mark.parametrize("spacing", [(0.2, 0.1), None])
def test_a_length_is_measured_in_mm_where_the_film_says_how_large_a_pixel_is(visit, script, film, spacing):
    script.spacing = spacing
    page = visit()
    upload(page, film)
    assert ("pixel 0.1 x 0.2 mm at the detector" in page.inner_text(".hud")) == bool(spacing)
    (x0, y0), (x1, y1) = measure(page, (0.5, 0.5), (0.55, 0.63))
    across, down = ((x1 - x0) / place(page)[2], (y1 - y0) / place(page)[2])
    lengths = {"mm": ((0.1 * across) ** 2 + (0.2 * down) ** 2) ** 0.5, "px": (across**2 + down**2) ** 0.5}
    told = ("{mm:.1f} mm at the detector" if spacing else "{px:.1f} px").format(**lengths)
    assert page.locator(".ruler text").text_content() == told
    rest = ", where the body is shown larger than it is, unless the film's pixel size was calibrated."
    assert page.inner_text(".length") == f"Length: {told}" + (
        rest if spacing else ". The film does not state its pixel size."
    )
    assert f"Length: {told}" in " ".join(legend(page)[1])
    page.click("[data-do=reset]")
    assert not page.locator(".ruler text").is_visible()
    assert page.locator(".length").text_content() == ""
    assert "Length" not in " ".join(legend(page)[1])


@pytest.mark.parametrize(
    ("start", "end"),
    [((0.5, 0.5), (0.995, 0.6)), ((0.3, 0.05), (0.6, 0.95)), ((0.6, 0.05), (0.4, 0.02)), ((0, 0.4), (1, 0.5))],
)
def test_a_length_stands_beside_the_middle_of_its_line_within_view(visit, film, start, end):
    page = visit()
    upload(page, film)
    page.click("[data-do=zoomIn]")
    page.click("[data-do=zoomIn]")
    measure(page, start, end)
    view, line, label = (page.locator(one).bounding_box() for one in (".viewport", ".ruler line", ".ruler text"))
    middles = [(one["x"] + one["width"] / 2, one["y"] + one["height"] / 2) for one in (line, label)]
    apart = [abs(one - other) for one, other in zip(*middles, strict=True)]
    assert apart[0] <= label["width"] / 2 + 20
    assert apart[1] <= label["height"] / 2 + 20
    for at, size in (("x", "width"), ("y", "height")):
        assert view[at] <= label[at] + 1
        assert label[at] + label[size] <= view[at] + view[size] + 1


def test_a_line_ends_where_the_film_does_and_a_click_takes_it_away(visit, film, grey):
    page = visit()
    upload(page, film)
    measure(page, (0.001, 0.5), (0.999, 0.5))
    assert page.locator(".ruler text").text_content() == f"{grey.shape[1]}.0 px"
    measure(page, (0.5, 0.6), (0.5, 0.6))
    assert not page.locator(".ruler line").is_visible()
    assert page.locator(".length").text_content() == ""


def test_films_zoom_and_move_together_on_request(visit, film):
    page = visit()
    upload(page, film)
    assert page.is_hidden("#together")
    upload(page, film)
    lies = "() => [...document.querySelectorAll('canvas')].map((canvas) => canvas.style.transform)"
    page.locator("[data-do=zoomIn]").first.click()
    assert len(set(page.evaluate(lies))) == 2
    page.locator("#together input").check()
    assert len(set(page.evaluate(lies))) == 1
    page.locator("[data-do=zoomIn]").first.click()
    page.locator(".viewport").first.focus()
    page.keyboard.press("ArrowRight")
    assert len(set(page.evaluate(lies))) == 1
    page.locator("[data-do=reset]").last.click()
    assert len(set(page.evaluate(lies))) == 1


def test_the_boxes_have_a_button(visit, film):
    page = visit()
    upload(page, film)
    line = boxes(page).locator(".line.definite").bounding_box()
    page.locator("[data-number='2']").focus()
    page.keyboard.press("b")
    assert not boxes(page).first.is_visible()
    assert page.inner_text(".count") == "Boxes are switched off: 3 not shown."
    details = page.locator(".details")
    assert details.text_content() == ""
    page.mouse.move(line["x"] + 20, line["y"] + 20)
    page.mouse.move(line["x"] + 22, line["y"] + 22)
    assert details.text_content() == "", "a film whose boxes are hidden says nothing of them"
    page.locator(".found li").first.hover()
    assert details.text_content() == ""
    page.get_by_role("button", name="Boxes").click()
    assert page.inner_text(".count") == "3 boxes shown."
    assert boxes(page).first.is_visible()


def test_a_zoom_of_100_percent_shows_a_pixel_as_a_pixel(visit, film):
    page = visit()
    upload(page, film)
    page.get_by_role("button", name="100 %").click()
    assert place(page)[2] == pytest.approx(1)
    assert page.inner_text(".hud").startswith("Zoom 100 %")


@pytest.mark.parametrize("width", [1280, 360])
def test_axe_finds_nothing_to_mend_on_the_front_page(browser, site, width):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    (site[0] / "data/benchmark.json").write_text(json.dumps(made_up_benchmark()))
    context = browser.new_context(viewport={"width": width, "height": 900}, bypass_csp=True)
    page = context.new_page()
    page.goto(f"{site[1]}/")
    page.wait_for_selector("#skill table")
    page.wait_for_selector("#family li")
    found = axe.run(page).response["violations"]
    assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in found] == []
    context.close()


@pytest.mark.parametrize("width", [1280, 360])
def test_axe_finds_nothing_to_mend(browser, address, film, width):
    """WCAG's rules as far as a program can check them (axe-core), empty and with a study."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    context = browser.new_context(
        viewport={"width": width, "height": 900}, bypass_csp=True
    )  # axe is put in from outside
    page = context.new_page()
    page.goto(address)
    page.wait_for_selector("#samples button")
    for films in ([], [film, film]):
        if films:
            upload(page, *films)
        found = axe.run(page).response["violations"]
        assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in found] == []
    context.close()


def test_the_picture_and_the_answer_can_be_saved(visit, film, grey):
    page = visit()
    upload(page, film)
    with page.expect_download() as saved:
        page.click("[data-do=save]")
    assert saved.value.suggested_filename == "fracture-film-1.png"
    picture = np.asarray(Image.open(saved.value.path()).convert("RGB")).astype(int)
    assert picture.shape[0] > 900, "the film and the legend"
    scale = picture.shape[1] / grey.shape[1]
    x0, y0, _, y1 = BOXES[0]["bbox_xyxy"]
    blue = picture[round((y0 + y1) / 2 * scale), round(x0 * scale)]
    assert blue == pytest.approx([64, 184, 255], abs=30)
    with page.expect_download() as saved:
        page.click("#save-json")
    answer = json.loads(Path(saved.value.path()).read_text())
    assert answer["detections"] == BOXES
    assert answer["disclaimer"] == DISCLAIMER


def legend(page):
    """Save the picture of the one film and give the lines written below it."""
    page.evaluate(
        """() => {
            window.written = [];
            window.write ??= CanvasRenderingContext2D.prototype.fillText;
            CanvasRenderingContext2D.prototype.fillText = function (text, ...where) {
                window.written.push(text);
                return window.write.call(this, text, ...where);
            };
        }"""
    )
    with page.expect_download():
        page.click("[data-do=save]")
    written = page.evaluate("() => window.written")
    return [text for text in written if text.endswith(" %")], [text for text in written if text[-1] != "%"]


def test_a_saved_picture_tells_what_the_page_told(visit, film):
    page = visit()
    upload(page, film)
    slide(page, "0.1")
    assert legend(page) == (
        ["likely 84 %", "possible 39 %"],
        [
            "Fracture suspected: 2 areas marked from a score of 0.100 on, 1 box left out",
            "The file states <b>no</b> window.",
            "solid: likely, score 0.225 or more",
            "dashed: possible, score 0.033 or more",
            "scripted 7, 2031-05-06",
            DISCLAIMER,
        ],
    )
    page.click("[data-do=boxes]")
    marks, lines = legend(page)
    assert marks == []
    assert lines[0] == "Fracture suspected: no area marked, 3 boxes left out"
    assert lines[2] == "scripted 7, 2031-05-06", "a legend of what is drawn"


def test_the_box_that_decided_is_said_to_stay_below_the_slider(visit, script, film):
    script.deciding = 0
    page = visit()
    upload(page, film)
    slide(page, "0.9")
    said = "1 box shown, 2 hidden by the slider; the one below the slider is what the status rests on."
    assert page.inner_text(".count") == said
    marks, lines = legend(page)
    assert marks == ["likely 84 %"]
    told = "Fracture suspected: 1 area marked from a score of 0.900 on, and the box that decided, 2 boxes left out"
    assert " ".join(lines[:2]) == told


@pytest.mark.parametrize(
    "note", ["no box reaches a threshold", "not every film was read, whatever is not read elsewhere"]
)
def test_files_that_were_not_read_are_counted_as_the_answer_counts_them(visit, script, film, note):
    """Whatever words its note has."""
    script.note = note
    page = visit()
    upload(page, film, {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"no film"})
    said = f"{note[0].upper()}{note[1:]}. 1 file was not read. Have a doctor read the films."
    assert page.inner_text("#status span") == said


def test_nothing_lies_over_a_film_that_nobody_points_at(visit, film):
    """Side markers stand in corners."""
    page = visit()
    upload(page, film)
    page.mouse.move(2, 2)
    view = page.locator(".viewport").bounding_box()
    for x, y in itertools.product((3, view["width"] / 2, view["width"] - 3), (3, view["height"] - 3)):
        there = page.evaluate(
            "(at) => document.elementsFromPoint(...at).map(one => one.className.baseVal ?? one.className)",
            [view["x"] + x, view["y"] + y],
        )
        assert there[: there.index("viewport")] in ([], ["boxes"], ["boxes", ""], [""]), there
    assert "window 255, level 128" in page.inner_text(".tools")


def test_a_mode_says_first_what_it_does_on_test(visit, script, film):
    said = {"threshold": 0.108, "sensitivity": rate(0.632, 171), "specificity": rate(0.89, 503)}
    test = {"films": "made-up test, 171 with and 503 without a fracture", "modes": {"balanced": said}}
    script.card = CARD | {"measured": {"test": test}}
    page = visit()
    upload(page, film)
    page.get_by_label("balanced", exact=True).check()
    first, *rest = page.locator("#measured p").all_text_contents()
    assert first == (
        "On films that were kept for a test, of 100 with a fracture it flagged 63, of 100 without one 11 "
        "(made-up test, 171 with and 503 without a fracture)."
    )
    assert page.locator("#measured details").get_attribute("open") is None
    assert rest[0] == "Of 100 films with a fracture it flags about 70 (63 to 75)."
    page.get_by_label("screening", exact=True).check()
    assert "kept for a test" not in page.inner_text("#measured"), "nothing was measured at this threshold on test"


def test_films_can_be_dropped_and_pasted(visit, script, film):
    page = visit()
    bring = """([kind, bytes]) => {
        const files = new DataTransfer();
        files.items.add(new File([new Uint8Array(bytes)], "film.png", { type: "image/png" }));
        const event = kind === "drop" ? new DragEvent("drop", { dataTransfer: files, bubbles: true })
            : new ClipboardEvent("paste", { clipboardData: files, bubbles: true });
        document.body.dispatchEvent(event); }"""
    for count, kind in enumerate(("drop", "paste"), 1):
        page.evaluate(bring, [kind, list(film["buffer"])])
        settle(page)
        assert page.locator(".film").count() == len(script.asked[-1][2]) == count


@pytest.mark.parametrize(("width", "height"), [(1280, 900), (360, 800)])
def test_nothing_runs_off_the_screen_and_the_disclaimer_stays_in_view(visit, film, width, height):
    page = visit(width=width, height=height, has_touch=width < 500, is_mobile=width < 500)
    for step in ("before", "with a film", "at the bottom"):
        if step == "with a film":
            upload(page, film)
        if step == "at the bottom":
            page.evaluate("scrollTo(0, document.body.scrollHeight)")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        footer = page.locator("footer").bounding_box()
        assert footer["y"] >= 0
        assert footer["y"] + footer["height"] <= height + 1
        assert page.inner_text("footer") == DISCLAIMER
        middle = [footer["x"] + footer["width"] / 2, footer["y"] + 3]
        assert page.evaluate("([x, y]) => document.elementFromPoint(x, y).tagName", middle) == "FOOTER"
    assert page.locator(".photo").is_visible() == (width < 500)
    assert page.get_attribute("#photo", "capture") == "environment"


def test_modes_are_some_steps_of_a_key_apart(visit, script, film):
    low = [
        {**one, "threshold": threshold}
        for one, threshold in zip(CARD["operating_points"], (0.037, 0.051, 0.161), strict=False)
    ]
    script.card = CARD | {"operating_points": low}
    page = visit()
    upload(page, film)
    slider, threshold = page.locator("#slider"), page.locator("#threshold")
    for name, least in (("balanced", 5), ("specific", 20)):
        page.get_by_label(name, exact=True).check()
        assert threshold.inner_text() == f"{ {'balanced': 0.051, 'specific': 0.161}[name]:.3f}"
        assert float(slider.input_value()) >= least
    slider.focus()
    page.keyboard.press("Home")
    assert threshold.inner_text() == "0.037"
    page.keyboard.press("ArrowRight")
    assert 0.037 < float(threshold.inner_text()) < 0.04
    page.keyboard.press("End")
    assert threshold.inner_text() == "1.000"


def test_on_a_phone_a_study_of_several_films_says_first_what_it_comes_to(visit, film):
    page = visit(width=360, height=800)
    upload(page, film)
    top = "name => document.querySelector(name).getBoundingClientRect().top"
    assert page.evaluate(top, "#films") < page.evaluate(top, "#study")
    upload(page, film)
    assert page.evaluate(top, "#study") < page.evaluate(top, "#filter") < page.evaluate(top, "#films")


@pytest.mark.parametrize(("width", "height"), [(1280, 900), (360, 640)])
def test_all_letters_grow_and_the_disclaimer_does_not_cover_the_page(visit, film, width, height):
    page = visit(width=width, height=height)
    upload(page, film)
    sizes = """() => [...document.querySelectorAll('body *')].filter(one => one.getClientRects().length
        && !one.closest('svg')
        && [...one.childNodes].some(node => node.nodeType === 3 && node.textContent.trim()))
        .map(one => [one.tagName + '.' + one.className, parseFloat(getComputedStyle(one).fontSize)])"""
    before = page.evaluate(sizes)
    page.evaluate("document.documentElement.style.fontSize = '200%'")
    until(page, f"() => document.body.classList.contains('tall-footer') === {'true' if width < 500 else 'false'}")
    after = page.evaluate(sizes)
    assert after == [[name, pytest.approx(2 * size)] for name, size in before]
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.locator("[data-do=remove]").click()
    assert page.is_visible("#welcome")


def test_paper_has_the_film_whole_no_buttons_and_the_disclaimer_on_every_page(visit, film, tmp_path):
    page = visit()
    upload(page, film, film)
    for _ in range(3):
        page.locator("[data-do=zoomIn]").first.click()
    before = place(page)
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    view, canvas = (page.locator(one).first.bounding_box() for one in (".viewport", ".viewport canvas"))
    for at, size in (("x", "width"), ("y", "height")):
        assert view[at] - 1 <= canvas[at]
        assert canvas[at] + canvas[size] <= view[at] + view[size] + 1
    assert view["width"] < 186 / 25.4 * 96, "within the margins of A4"
    assert page.locator("button:visible, input:visible, .tools:visible, form:visible").count() == 0
    said = (
        ".verdict",
        "#status",
        ".warnings",
        ".chance",
        ".found",
        ".advice",
        "#facts",
        "#threshold",
        "#modes",
        ".legend",
    )
    assert [part for part in said if not page.locator(part).first.is_visible()] == []
    footer = "getComputedStyle(document.querySelector('footer')).display"
    assert page.evaluate(footer) == "table-footer-group", "which a browser repeats on every page"
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    page.emulate_media(media="null")
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert place(page) == pytest.approx(before, abs=0.01)
    paper = re.findall(rb"/Type\s*/Page\b", page.pdf(format="A4"))
    assert len(paper) == 3
    assert place(page) == pytest.approx(before, abs=0.01)


def test_two_fingers_zoom(visit, film):
    page = visit(width=360, height=800, has_touch=True, is_mobile=True)
    upload(page, film)
    page.locator(".viewport").scroll_into_view_if_needed()
    view = page.locator(".viewport").bounding_box()
    scale = place(page)[2]
    middle, session = (
        (view["x"] + view["width"] / 2, view["y"] + view["height"] / 2),
        page.context.new_cdp_session(page),
    )
    for kind, apart in (("touchStart", 30), ("touchMove", 45), ("touchMove", 60), ("touchEnd", 0)):
        points = [{"x": middle[0] + side * apart, "y": middle[1], "id": side + 1} for side in (-1, 1) if apart]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    assert place(page)[2] == pytest.approx(scale * 2, rel=0.05)


# --- before the real service ---


@pytest.fixture(scope="module")
def start():
    """Give the way to have the service with the shipped model listen, with settings."""
    reader = Reader.load()
    with open_sandbox(reader.card, Settings(), workers=2) as sandbox:
        yield lambda **settings: listening(create_app(Settings(**settings), reader, sandbox), lifespan="on")


@pytest.fixture
def study(picture, dicom):
    """Give a study of a PNG, of something that is no film, and of a DICOM; and its two films' pixels."""
    spec = FilmSpec(region="shoulder")
    films = [draw_film(np.random.default_rng(seed), fractured=True, spec=spec)[0] for seed in (2, 3)]
    files = [
        {"name": HOSTILE[0], "mimeType": "image/png", "buffer": picture(films[0])},
        {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"no film at all"},
        {"name": "IM0007", "mimeType": "", "buffer": dicom(films[1])},
    ]
    return files, films


def test_the_whole_way_with_the_shipped_model(opened, start, study):
    files, films = study
    with start() as address:
        sent = [("file", file["buffer"]) for file in files]
        points = httpx2.get(f"{address}/model").json()["operating_points"]
        floor = next(point["threshold"] for point in points if point["name"] == "screening")
        asked = {"mode": "balanced", "conf": floor}
        said = httpx2.post(f"{address}/detect", params=asked, files=sent, timeout=60).json()
        page = opened(address)
        page.wait_for_selector("#modes input")
        upload(page, *files)
        page.get_by_label("screening", exact=True).check()
        cards = page.locator(".film")
        scores = [[box["confidence"] for box in film.get("detections", [])] for film in said["films"]]
        assert sum(map(len, scores)) > 2, "films on which there is something to see"

        def shown_from(threshold):
            """Count the boxes from a score on, and those that a status rests on."""
            deciding = [film.get("deciding_box") for film in said["films"]]
            every = zip(scores, deciding, strict=True)
            return sum(score >= threshold or n == at for film, at in every for n, score in enumerate(film))

        assert [cards.nth(number).locator(".boxes [data-number]").count() for number in range(3)] == list(
            map(len, scores)
        )
        assert "none of these" in cards.nth(1).locator(".problem").inner_text()
        assert cards.nth(0).locator(".name").text_content() == HOSTILE[0]
        assert np.array_equal(shown(page, 0), films[0])
        assert np.array_equal(shown(page, 2), films[1]), "the DICOM's picture comes from the service"
        assert "Secret" not in page.content()
        assert said["study"]["note"][1:] in page.inner_text("#status span")
        assert page.inner_text("#facts") == "Read by {id} {version}, {date}".format(**said["model"])

        for point in points:
            page.get_by_label(point["name"], exact=True).check()
            assert boxes(page).count() == shown_from(point["threshold"]), point["name"]
        highest = max(max(film, default=0) for film in scores) + 0.001
        slide(page, highest)
        assert boxes(page).count() == shown_from(highest)
        page.get_by_label("screening", exact=True).check()

        scale = place(page)[2]
        cards.nth(0).locator("[data-do=zoomIn]").click()
        assert place(page)[2] == pytest.approx(scale * 1.25, rel=1e-3)
        cards.nth(2).locator(".viewport").focus()
        page.keyboard.press("i")
        assert np.array_equal(shown(page, 2), 255 - films[1])
        with page.expect_download() as saved:
            page.click("#save-json")
        assert json.loads(Path(saved.value.path()).read_text()) == said


def test_frames_are_shown_one_by_one_on_a_phone(opened, start, study, dicom):
    _, films = study
    with start() as address:
        page = opened(address, width=360, height=800, has_touch=True, is_mobile=True)
        upload(page, {"name": "IM0008", "mimeType": "", "buffer": dicom(np.stack(films))})
        until(page, "() => [...document.querySelectorAll('canvas')].every((canvas) => canvas.width > 1)")
        assert [np.array_equal(shown(page, number), film) for number, film in enumerate(films)] == [True, True]
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        assert page.inner_text("#status strong") != ""


def test_the_real_service_asks_for_its_key(opened, start, study):
    files, _ = study
    with start(fracture_auth="on", fracture_api_keys="viewer:a-key-that-is-long") as address:
        page = opened(address)
        page.fill("#key", "a-key-that-is-wrong")
        page.keyboard.press("Enter")
        until(page, "() => document.querySelector('#ask-problem').textContent")
        page.fill("#key", "a-key-that-is-long")
        page.keyboard.press("Enter")
        page.wait_for_selector("#modes input")
        upload(page, files[2])
        assert page.inner_text("#status strong") != ""
        assert page.locator("canvas").evaluate("canvas => canvas.width") > 1


def test_the_description_of_the_interface_opens_without_another_host(opened, start):
    with start() as address:
        page = opened(f"{address}/docs")
        page.wait_for_selector(".opblock-summary-path")
        assert "/detect" in page.inner_text("#swagger-ui")


# --- the static site ---


@pytest.fixture
def site(tmp_path):
    """Give the site's folder, and its address below another folder's, as a pages' host has it."""
    docs = tmp_path / "sub/path"
    publish(ROOT / "docs", docs)
    (docs / "data/bench.json").unlink(missing_ok=True)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=tmp_path)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield docs, f"http://127.0.0.1:{server.server_port}/sub/path"
        server.shutdown()
        thread.join()


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def test_the_site_shows_what_was_recorded(opened, site):
    docs, address = site
    recorded = json.loads((docs / "data/answers.json").read_text())
    page = opened(f"{address}/viewer/", width=360, height=800)
    page.wait_for_selector("#samples button")
    assert page.is_hidden("#choose")
    assert page.is_hidden("#clinics")
    assert "the answers were recorded" in page.inner_text("#samples")
    page.get_by_label("screening").check()
    names = [model["name"] for model in recorded["models"]]
    for which in (1, 5):
        if page.is_visible("#clear"):
            page.click("#clear")
        page.locator("#samples button").nth(which).click()
        page.wait_for_selector(".film")  # it is fetched first
        settle(page)
        assert page.locator("#models label").all_inner_texts() == names
        for model in recorded["models"]:
            page.get_by_label(model["name"]).check()
            settle(page)
            answer = model["answers"][which]
            assert boxes(page).count() == len(answer["detections"]) > 0
            assert page.inner_text("#model") == model["name"]
            with page.expect_download() as saved:
                page.click("#save-json")
            assert json.loads(Path(saved.value.path()).read_text()) == answer
        slide(page, 0.2)
        kept = [(box, n == answer["deciding_box"]) for n, box in enumerate(answer["detections"])]
        assert boxes(page).count() == sum(box["confidence"] >= 0.2 or decides for box, decides in kept)
        page.get_by_label(names[0]).check()
        settle(page)
        assert page.inner_text("#threshold") == "0.200", "a threshold of one's own stays when the model changes"
        page.get_by_label("screening").check()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


OTHER = "other_net 2"


@pytest.fixture
def two_models(site):
    """Give the site with answers of one more model, made of the first's: lower scores, boxes moved aside."""
    docs, _ = site
    file = docs / "data/answers.json"
    recorded = json.loads(file.read_text())
    other = json.loads(json.dumps(recorded["models"][0]))
    other["name"] = f"{OTHER}, float32"
    other["card"] |= {"model_id": "other_net", "version": "2"}
    for point in other["card"]["operating_points"]:
        point["threshold"] /= 2
    for answer in other["answers"]:
        for found in answer["detections"]:
            found["confidence"] /= 2
            found["bbox_xyxy"] = [edge + 12 for edge in found["bbox_xyxy"]]
    recorded["models"].append(other)
    jsonschema.validate(recorded, json.loads((docs / "data/answers.schema.json").read_text()))
    file.write_text(json.dumps(recorded))
    return site, recorded


def test_the_page_reads_like_a_picture_of_several_models():
    """The command's pictures and the page draw a model alike."""
    looks = SCRIPTS["looks.js"]
    colours = re.findall(r"#[0-9a-f]{6}", looks)
    styles = json.loads(re.search(r"STYLES = (\[.*\]);", looks).group(1))
    for place, look in enumerate(MODEL_LOOKS):
        assert "#" + bytes(look.colour).hex() == colours[place % len(colours)]
        assert list(look.dashes) == styles[place % len(styles)]


def test_one_model_however_it_is_run_is_beside_no_other(opened, site):
    page = opened(f"{site[1]}/viewer/")
    page.wait_for_selector("#samples button")
    page.locator("#samples button").nth(1).click()
    page.wait_for_selector(".film")
    settle(page)
    assert page.locator("#models label").count() > 1
    assert page.is_hidden("#others")
    assert page.is_visible(".legend .rated >> nth=0")


def test_further_models_are_put_on_the_same_film_on_request(opened, two_models):
    (_, address), recorded = two_models
    which = recorded["films"].index("leg-2.png")
    ours, theirs = (recorded["models"][at]["answers"][which] for at in (0, -1))
    page = opened(f"{address}/viewer/#leg-2.png", width=360, height=800)
    page.wait_for_selector("[data-number]")
    settle(page)
    own, others = boxes(page), page.locator(".boxes .other")
    assert others.count() == 0, "off until asked for"
    assert page.locator("#others label:visible").count() == 1
    page.get_by_label("screening").check()
    page.get_by_label(OTHER, exact=True).check()
    others.first.wait_for()
    assert (own.count(), others.count()) == (len(ours["detections"]), len(theirs["detections"]))
    style = "box => { const { stroke, strokeDasharray } = getComputedStyle(box); return [stroke, strokeDasharray]; }"
    assert own.first.locator(".line").evaluate(style) == ["rgb(86, 180, 233)", "none"]
    assert others.first.locator(".line").evaluate(style) == ["rgb(230, 159, 0)", "10px, 8px"]
    rows = page.locator(".side-by-side li").all_inner_texts()
    first = recorded["models"][0]["card"]
    assert rows[0].startswith(f"{first['model_id']} {first['version']}: {len(ours['detections'])} box")
    assert rows[1].startswith(f"{OTHER}: {len(theirs['detections'])} box")
    assert page.locator(".legend .rated:visible").count() == 0

    best = theirs["detections"][0]
    others.last.focus()
    said = page.inner_text(".details").splitlines()
    assert said[0] == OTHER
    assert said[-1] in {f"raw score {box['confidence']:.3f}" for box in theirs["detections"]}
    own.first.focus()
    assert page.inner_text(".details").splitlines()[0] == f"{first['model_id']} {first['version']}"

    lines = legend(page)[1]
    assert [line for line in lines if ": " in line and line.startswith((OTHER, first["model_id"]))][:2] == rows
    slide(page, best["confidence"] * 1.2)
    kept = [(box, n == theirs["deciding_box"]) for n, box in enumerate(theirs["detections"])]
    assert others.count() == sum(box["confidence"] >= best["confidence"] * 1.2 or decides for box, decides in kept)
    page.get_by_label(f"{OTHER}, float32").check()
    settle(page)
    assert others.count() == 0, "the model that is read with is no further one"
    assert page.locator("#others label:visible").all_inner_texts() == [f"{first['model_id']} {first['version']}"]
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


@pytest.mark.parametrize("width", [1280, 360])
def test_axe_finds_nothing_to_mend_where_models_stand_side_by_side(browser, two_models, width):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    context = browser.new_context(viewport={"width": width, "height": 900}, bypass_csp=True)
    page = context.new_page()
    page.goto(f"{two_models[0][1]}/viewer/#leg-2.png")
    page.wait_for_selector("[data-number]")
    page.get_by_label(OTHER, exact=True).check()
    page.locator(".side-by-side li").first.wait_for()
    found = axe.run(page).response["violations"]
    assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in found] == []
    context.close()


def test_the_site_has_no_answer_to_a_film_of_ones_own(opened, site, film):
    page = opened(f"{site[1]}/viewer/")
    page.wait_for_selector("#samples button")
    upload(page, film | {"name": "hand-1.png"})
    assert page.inner_text(".problem").startswith("Only the films to try have an answer here.")


def test_the_front_page_quotes_files(opened, site):
    docs, address = site
    page = opened(f"{address}/")
    until(page, "() => document.querySelectorAll('#skill table').length === 1")
    assert page.locator("#skill .chart").count() == 4
    page.set_viewport_size({"width": 360, "height": 800})
    cut = "div => div.scrollWidth - div.clientWidth"
    assert page.locator("#skill figure div:has(table)").evaluate(cut) <= 0, "on a phone too the whole table is in view"
    page.set_viewport_size({"width": 1280, "height": 900})
    recorded = json.loads((docs / "data/answers.json").read_text())
    statuses = [answer["status"] for answer in recorded["models"][0]["answers"]]
    assert [said.get_attribute("data-status") for said in page.locator("#films span").all()] == statuses
    auc = json.loads((docs / "runs/fracture_yolov8s_512m/test.json").read_text())["film"]["auc"]
    assert f"{auc['value']:.3f} ({auc['low']:.3f} to {auc['high']:.3f})" in page.inner_text("#skill")
    until(page, "() => document.querySelector('#speed .said').textContent.includes('not been measured yet')")
    page.click("text=The whole report")
    page.wait_for_selector("text=Can I trust the number?")
    page.go_back()
    page.locator("#films a").nth(1).click()
    page.wait_for_selector("[data-number]")
    assert page.inner_text(".film h2") == f"1. {recorded['films'][1]}"


def test_the_front_page_has_the_benchmarks_tables(opened, site):
    docs, address = site
    bench = made_up_bench()
    jsonschema.validate(bench, json.loads((docs / "data/bench.schema.json").read_text()))
    (docs / "data/bench.json").write_text(json.dumps(bench))
    page = opened(f"{address}/", width=360, height=800)
    until(page, "() => document.querySelectorAll('#speed table').length === 2")
    assert page.locator("#speed .chart .bar").count() == 1
    page.click("#speed summary")
    assert "made-up processor" in page.inner_text("#speed .said")
    rows = page.locator("#speed table").nth(1).locator("tbody tr").all_inner_texts()
    assert [row.split("\t") for row in rows] == [
        ["373x454", "16", "ours fp32", "20", "31", "9.5", "0.040", "3.25", "0.30", "", "2", "0"]
    ]
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def made_up_bench():
    made = {"date": "2026-01-01", "version": "1", "processor": "made-up processor", "cores": 2, "packages": {}}
    of = {"network": "net", "service": "ours fp32"}
    once = {"missing": None, "start_s": 1.25, "first_film_ms": 30, "rss_mb": 500, "pss_mb": 400}
    figures = {"p50_ms": 20, "p95_ms": 31, "films_per_s": 9.5, "cpu_s_per_film": 0.04, "client_cores": 0.1}
    ratios = {"p50_over_plain": 0.3, "films_per_s_over_plain": 3.25, "p50_over_bare": None}
    counts = {"answers": 90, "errors": {"503": 2}, "differ": 0}
    load = figures | ratios | counts | {"bare_ms": None, "rounds": [figures | {"bare_ms": None}]}
    loads = [of | {"film": "373x454", "clients": 16} | load]
    return {"schema": 1, "made": made | {"rounds": 1, "seconds": 2}, "services": [of | once], "loads": loads}


def test_the_front_page_puts_models_side_by_side_where_they_were_judged(opened, site):
    docs, address = site
    (docs / "data/benchmark.json").unlink(missing_ok=True)
    page = opened(f"{address}/", width=360, height=800)
    until(page, "() => document.querySelectorAll('#skill table').length === 1")
    assert page.is_hidden("#family")
    (docs / "data/benchmark.json").write_text(json.dumps(made_up_benchmark()))
    page.reload()
    page.wait_for_selector("#family li")
    assert page.locator("#family .chart").count() == 3
    assert page.locator("#family .interval").count() == 3, "none of the AUC that could not be measured"
    names = page.locator("#family .chart").nth(2).locator("text").all_text_contents()
    assert {"ours", "a very long name of\u2026"} <= set(names)
    good, cost = (
        [row.split("\t") for row in table.locator("tbody tr").all_inner_texts()]
        for table in page.locator("#family table").all()
    )
    assert good[0] == ["ours", "0.500 (0.400 to 0.600)", "0.800 (0.700 to 0.900)", *["0.900 (0.800 to 0.950)"] * 2, ""]
    assert good[1][1:3] == ["0.450 (0.350 to 0.550)", "not measured"]
    assert good[1][5] == "-0.050 (-0.100 to 0.010)"
    assert cost == [
        ["ours", "120", "150", "1.00", "7.5", "530", "22.8", "11.2"],
        ["a very long name of a network", "120", "150", "1.00", "7.5", "", "22.8", ""],
    ]
    notes = page.locator("#family li").all_inner_texts()
    assert notes[0] == "ours: yolov8, yolov8s.yaml; 512 px; began with coco.safetensors; 16 epochs of 3575 train films."
    assert "its card does not say what it began with; its card does not say how long" in notes[1]
    assert notes[2:] == [
        "a very long name of a network refused 1 of the films: its figures are of 99.",
        "a very long name of a network: NOT A TEST: it was trained or its thresholds chosen on 3 of these films.",
    ]
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
