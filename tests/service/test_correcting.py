"""A reader corrects a film in a real browser, before the real service; what was kept becomes a dataset's labels."""

import hashlib
import time

import pytest

from fracture.commands import ingest
from fracture.data import manifest
from tests.service.running import FILM, running, write_bundle
from tests.service.test_viewer import browser, legend, opened, settle, until  # noqa: F401  fixtures

KEYS = {role: f"{role}-{'k' * 20}" for role in ("viewer", "operator")}


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corrected")
    settings = {"FRACTURE_FEEDBACK": str(folder / "feedback.sqlite")}
    with running(write_bundle(folder / "bundle", long_side_px=320), **settings) as service:
        yield service


@pytest.fixture
def page(opened, service):  # noqa: F811
    page = opened(f"http://127.0.0.1:{service.port}/")
    show(page, FILM)
    return page


def show(page, data):
    page.set_input_files("#choose", {"name": "film.png", "mimeType": "image/png", "buffer": data})
    settle(page)


def kept(service):
    """Give what was kept of the film: its truth, and its boxes by category as (x0, y0, x1, y1)."""
    coco = service.get("/feedback/coco").json()
    [image] = [image for image in coco["images"] if image["sha256"] == hashlib.sha256(FILM).hexdigest()]
    drawn = {1: [], 2: []}
    for one in coco["annotations"]:
        if one["image_id"] == image["id"]:
            x, y, width, height = one["bbox"]
            drawn[one["category_id"]].append((x, y, x + width, y + height))
    return image["fractured"], drawn[1], drawn[2]


def slide_to_all(page):
    page.locator("#slider").evaluate("slider => { slider.value = 0; slider.dispatchEvent(new Event('input')); }")


def drag(page, start, end):
    """Draw on the film, between two places in fractions of what is shown of it."""
    box = page.locator(".viewport canvas").bounding_box()
    for (x, y), act in ((start, page.mouse.down), (end, page.mouse.up)):
        page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])
        act()


def keep(page):
    page.get_by_role("button", name="Keep this correction").click()
    page.get_by_text("Kept. The film is known by its SHA-256").wait_for()


def test_a_reader_marks_boxes_wrong_and_draws_what_is_missing(page, service, tmp_path):
    slide_to_all(page)
    page.get_by_role("button", name="Correct").click()
    assert page.get_by_role("button", name="Keep this correction").is_disabled()
    page.get_by_label("a fracture", exact=True).check()
    shown = page.locator(".boxes [data-number]").count()
    assert shown >= 1, "a film without a box proves nothing"
    page.get_by_label("Box 1 is wrong").check()
    assert page.locator(".boxes .wrong").count() == 1
    label = page.locator(".boxes .wrong text").evaluate("text => getComputedStyle(text).textDecorationLine")
    assert label == "none", "what is called wrong can still be read"
    page.get_by_role("button", name="Draw a box").click()
    drag(page, (0.25, 0.5), (0.5, 0.75))
    drag(page, (0.6, 0.6), (0.6, 0.6))  # a slip of the hand is no box
    assert page.locator(".boxes .own:visible").count() == 1
    keep(page)
    fractured, right, wrong = kept(service)
    assert (fractured, len(right), len(wrong)) == (True, shown, 1)
    width, height = page.locator(".viewport canvas").evaluate("canvas => [canvas.width, canvas.height]")
    assert right[-1] == pytest.approx((width / 4, height / 2, width / 2, height * 3 / 4), abs=1.5)

    films, coco = tmp_path / "films", tmp_path / "corrections.json"
    films.mkdir()
    (films / "as it is called here.png").write_bytes(FILM)
    coco.write_text(service.get("/feedback/coco").text)
    with pytest.MonkeyPatch.context() as patch:
        flags = ["--format", "coco", "--images", str(films), "--annotations", str(coco), "--name", "corrected"]
        patch.setattr("sys.argv", ["ingest", *flags, "--region", "hand", "--out", str(tmp_path / "stage")])
        assert ingest.main() == 0
    [record] = manifest.load(tmp_path / "stage")
    assert record.fractured is True
    assert record.boxes == tuple(pytest.approx(box, abs=0.01) for box in right)


def test_no_fracture_makes_every_box_wrong_and_cannot_tell_judges_none(page, service):
    slide_to_all(page)
    shown = page.locator(".boxes [data-number]").count()
    page.get_by_role("button", name="Correct").click()
    page.get_by_label("no fracture", exact=True).check()
    assert page.locator(".boxes .wrong").count() == shown
    marks, lines = legend(page)
    assert all(mark.startswith("called wrong, ") for mark in marks)
    assert "dotted: called wrong by the reader" in lines
    assert page.get_by_role("button", name="Draw a box").is_hidden()
    keep(page)
    assert [*map(len, kept(service)[1:])] == [0, shown]
    assert kept(service)[0] is False
    page.get_by_label("I cannot tell").check()
    assert page.locator(".boxes .wrong").count() == 0
    keep(page)
    assert kept(service) == (None, [], [])


def test_what_was_drawn_can_be_removed_and_outlives_another_film(page):
    page.get_by_role("button", name="Correct").click()
    page.get_by_label("a fracture", exact=True).check()
    page.get_by_role("button", name="Draw a box").click()
    drag(page, (0.1, 0.1), (0.3, 0.3))
    drag(page, (0.4, 0.4), (0.6, 0.6))
    lines = legend(page)[1]
    assert "green, solid: drawn by the reader" in lines, "a saved picture has what was drawn"
    page.get_by_role("button", name="Remove your box 1").click()
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "Remove your box 1", "the next one"
    first = page.locator(".film").first
    assert first.locator(".boxes .own:visible").count() == 1
    show(page, FILM + b"\0")
    assert first.get_by_label("a fracture", exact=True).is_checked()
    assert first.locator(".boxes .own:visible").count() == 1
    assert page.locator(".film").nth(1).locator(".boxes .own:visible").count() == 0


def test_what_was_called_wrong_stays_so_where_the_slider_hides_it(page, service):
    slide_to_all(page)
    shown = page.locator(".boxes [data-number]").count()
    page.get_by_role("button", name="Correct").click()
    page.get_by_label("a fracture", exact=True).check()
    last = page.get_by_label(f"Box {shown} is wrong")
    last.check()
    move = "(slider, to) => { slider.value = to; slider.dispatchEvent(new Event('input')); }"
    page.locator("#slider").evaluate(move, page.locator("#slider").get_attribute("max"))
    keep(page)
    assert len(kept(service)[2]) == 1, "hidden, and still wrong"
    slide_to_all(page)
    assert last.is_checked()
    keep(page)
    assert [*map(len, kept(service)[1:])] == [shown - 1, 1]


def test_what_is_being_kept_is_not_changed_meanwhile(page, service):
    page.get_by_role("button", name="Correct").click()
    page.get_by_label("a fracture", exact=True).check()
    page.route("**/feedback", lambda route: (time.sleep(0.5), route.continue_()))
    form = page.locator("form.correct")
    form.evaluate("form => { form.requestSubmit(); form.requestSubmit(); }")
    assert form.evaluate("form => form.inert")
    page.get_by_text("Kept. The film is known by its SHA-256").wait_for()
    page.get_by_label("I cannot tell").check()
    assert page.get_by_text("Kept. The film").count() == 0
    page.get_by_label("a fracture", exact=True).check()
    assert page.get_by_text("Kept. The film").count() == 1, "this is what was kept"


def test_it_is_not_offered_where_nothing_is_kept(opened, tmp_path):  # noqa: F811
    with running(write_bundle(tmp_path / "bundle", long_side_px=320)) as service:
        page = opened(f"http://127.0.0.1:{service.port}/")
        show(page, FILM)
        assert page.get_by_role("button", name="Correct").is_hidden()


def test_a_viewer_is_told_that_it_takes_an_operator(opened, tmp_path):  # noqa: F811
    listed = ",".join(f"{role}:{key}" for role, key in KEYS.items())
    settings = {"FRACTURE_AUTH": "on", "FRACTURE_API_KEYS": listed, "FRACTURE_FEEDBACK": str(tmp_path / "f.sqlite")}
    headers = {"X-API-Key": KEYS["operator"]}
    with running(write_bundle(tmp_path / "bundle", long_side_px=320), headers=headers, **settings) as service:
        page = opened(f"http://127.0.0.1:{service.port}/")
        page.locator("#key").fill(KEYS["viewer"])
        page.get_by_role("button", name="Continue").click()
        show(page, FILM)
        page.get_by_role("button", name="Correct").click()
        page.get_by_label("I cannot tell").check()
        page.get_by_role("button", name="Keep this correction").click()
        page.get_by_text("expected a key of the role operator").wait_for()


@pytest.mark.parametrize("width", [1280, 360])
def test_axe_finds_nothing_to_mend_in_the_form(browser, service, width):  # noqa: F811
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    context = browser.new_context(bypass_csp=True, viewport={"width": width, "height": 900})
    page = context.new_page()
    page.goto(f"http://127.0.0.1:{service.port}/")
    show(page, FILM)
    page.get_by_role("button", name="Correct").click()
    page.get_by_label("a fracture", exact=True).check()
    page.get_by_role("button", name="Draw a box").click()
    drag(page, (0.2, 0.2), (0.4, 0.4))
    found = axe.run(page).response["violations"]
    assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in found] == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    context.close()
