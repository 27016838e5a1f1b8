"""A picture of a film: its pixels decode, its boxes lie where they were given, and each kind looks its own."""

import base64
import re
import xml.etree.ElementTree as ET

import cv2
import numpy as np
import pytest

from fracture.clinical.status import Thresholds, of_film
from fracture.core.page import film_svg
from fracture.core.types import Detections
from fracture.evaluation.report.gallery import picture as draw

AT = Thresholds(screening=0.1, specific=0.5)
SVG = "{http://www.w3.org/2000/svg}"


def picture(pixels, truth, found, flags=()):
    return draw(pixels, truth, found, of_film(found.score.tolist(), frozenset(flags), AT, 0.1))


def film(height=900, width=600):
    """Give a film whose lower right quarter is bright."""
    pixels = np.zeros((height, width), np.float32)
    pixels[height // 2 :, width // 2 :] = 0.8
    return pixels


def found(*scores):
    """Give boxes of 10 x 20 px, box i at (100 i, 200)."""
    boxes = np.array([[100.0 * i, 200, 100 * i + 10, 220] for i in range(len(scores))]).reshape(-1, 4)
    return Detections(boxes, np.array(scores, dtype=np.float64), np.zeros(len(scores), np.int64))


def parse(svg):
    return ET.fromstring(svg.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1))


def rects(svg):
    """Give the boxes as (x, y, width, height, node)."""
    return [
        (*(float(node.get(key)) for key in ("x", "y", "width", "height")), node)
        for node in parse(svg).iter(f"{SVG}rect")
    ]


def test_the_film_is_there_small_and_whole():
    svg = picture(film(), [], Detections.empty())
    root = parse(svg)
    assert root.get("viewBox") == "0 0 600 900"
    data = re.search(r'href="data:image/jpeg;base64,([^"]+)"', svg)[1]
    small = cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_UNCHANGED)
    assert small.shape == (480, 320)
    assert small[400, 280] == pytest.approx(204, abs=3)  # 0.8 of 255
    assert small[400, 40] == pytest.approx(0, abs=3)
    assert small[100, 280] == pytest.approx(0, abs=3)


def test_a_small_film_is_not_enlarged():
    svg = picture(film(90, 60), [], Detections.empty())
    data = re.search(r"base64,([^\"]+)", svg)[1]
    assert cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), 0).shape == (90, 60)


def test_each_kind_of_box_looks_its_own_and_lies_where_it_was_given():
    svg = picture(film(), [(300.0, 400.0, 350.5, 440.0)], found(0.9, 0.5, 0.3, 0.1, 0.05, 0.01))
    boxes = rects(svg)
    # A person's box first; then the best below, and the others up to the best, which nothing covers.
    assert [box[:4] for box in boxes] == [(300, 400, 50.5, 40)] + [(100 * i, 200, 10, 20) for i in (4, 3, 2, 1, 0)]
    nodes = [node for *_, node in boxes]
    dashes = [node.get("stroke-dasharray") for node in nodes]
    assert dashes == [None, "1.5 4", "7 5", "7 5", None, None]
    assert [node.get("opacity") for node in nodes] == [None, "0.7", None, None, None, None]
    colours = [node.get("stroke") for node in nodes]
    assert colours[0] not in colours[1:]
    assert colours[1] == colours[2] == colours[3] != colours[4] == colours[5]
    assert {node.get("vector-effect") for node in nodes} == {"non-scaling-stroke"}
    assert {node.get("fill") for node in nodes} == {"none"}
    labels = [node.text for node in parse(svg).iter(f"{SVG}text")]
    assert labels == ["drawn", "0.050", "0.100", "0.300", "0.500", "0.900"]


def test_of_the_boxes_below_only_the_best_is_there():
    svg = picture(film(), [], found(0.09, 0.08, 0.07))
    assert [box[:2] for box in rects(svg)] == [(0, 200)]


def test_boxes_on_a_film_outside_the_intended_use_are_grey_and_dotted():
    nodes = [node for *_, node in rects(picture(film(), [], found(0.9, 0.3), ["outside_scope"]))]
    assert [(node.get("stroke"), node.get("stroke-dasharray")) for node in nodes] == [("#c3ccd4", "2 5")] * 2


@pytest.mark.parametrize("box", [(0, 0, 60, 40), (560, 860, 600, 900), (0, 0, 600, 900), (590, 0, 600, 5)])
@pytest.mark.parametrize("kind", ["drawn", "found"])
def test_a_label_never_leaves_the_film(box, kind):
    one = Detections(np.array([box], dtype=np.float64), np.array([0.9]), np.zeros(1, np.int64))
    svg = picture(film(), [box], Detections.empty()) if kind == "drawn" else picture(film(), [], one)
    (label,) = parse(svg).iter(f"{SVG}text")
    x, y, size = (float(label.get(key)) for key in ("x", "y", "font-size"))
    assert 0 <= x <= 600 - 0.6 * size * len(label.text)
    assert size <= y <= 900


def test_the_name_of_a_film_is_escaped():
    svg = film_svg(film(), 100, 80, "\"><script>'&", "")
    assert "<script" not in svg
    assert parse(svg).get("aria-label") == "\"><script>'&"
