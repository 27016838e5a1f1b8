"""The display shutter: what it covers is black, and no part of what greys are measured on."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.imaging.dicom.test_dicom import H, W, decode, film, item, ramp, stretch

EDGES = {
    "ShutterShape": "RECTANGULAR",
    "ShutterLeftVerticalEdge": "3",
    "ShutterRightVerticalEdge": "14",
    "ShutterUpperHorizontalEdge": "2",
    "ShutterLowerHorizontalEdge": "11",
}
"""Columns 3 to 14 and rows 2 to 11 are seen, counted from 1."""

INSIDE = np.zeros((H, W), bool)
INSIDE[1:11, 2:14] = True


def pixels() -> NDArray[Any]:
    """Draw a film whose greatest and least value lie outside the shutter."""
    drawn = ramp(100, 900)
    drawn[0, 0], drawn[0, 1] = 60000, 0
    return drawn


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_a_rectangle(photometric: str) -> None:
    shown = decode(film(pixels(), PhotometricInterpretation=photometric, **EDGES))
    expected = stretch(pixels()[INSIDE])
    np.testing.assert_allclose(shown.pixels[INSIDE], 1 - expected if photometric[-1] == "1" else expected, atol=1e-6)
    assert not shown.pixels[~INSIDE].any()
    assert shown.flags >= {"shutter", "no_window"}


def test_a_circle() -> None:
    shown = decode(
        film(pixels(), ShutterShape="CIRCULAR", CenterOfCircularShutter=["6", "8"], RadiusOfCircularShutter="4")
    )
    rows, columns = np.mgrid[1 : H + 1, 1 : W + 1]
    inside = (rows - 6) ** 2 + (columns - 8) ** 2 <= 16
    assert not shown.pixels[~inside].any()
    np.testing.assert_allclose(shown.pixels[inside], stretch(pixels()[inside]), atol=1e-6)


def test_a_polygon() -> None:
    corners = ["2", "3", "2", "14", "11", "14", "11", "3"]
    shown = decode(film(pixels(), ShutterShape="POLYGONAL", VerticesOfThePolygonalShutter=corners))
    np.testing.assert_array_equal(shown.pixels, decode(film(pixels(), **EDGES)).pixels)


def test_a_bitmap() -> None:
    dataset = film(pixels(), ShutterShape="BITMAP", ShutterOverlayGroup=0x6000)
    for number, vr, value in (
        (0x0010, "US", H),
        (0x0011, "US", W),
        (0x0050, "SS", [1, 1]),
        (0x0100, "US", 1),
        (0x0102, "US", 0),
        (0x3000, "OW", np.packbits(~INSIDE, bitorder="little").tobytes()),
    ):
        dataset.add_new(0x60000000 | number, vr, value)
    np.testing.assert_array_equal(decode(dataset).pixels, decode(film(pixels(), **EDGES)).pixels)


def test_two_shapes_cover_what_either_covers() -> None:
    circle = {"CenterOfCircularShutter": ["6", "8"], "RadiusOfCircularShutter": "4"}
    shown = decode(film(pixels(), **(EDGES | circle | {"ShutterShape": ["RECTANGULAR", "CIRCULAR"]})))
    alone = decode(film(pixels(), ShutterShape="CIRCULAR", **circle))
    np.testing.assert_array_equal(shown.pixels, np.where(INSIDE, alone.pixels, 0))


def test_the_shutter_of_a_frame() -> None:
    group = item(FrameDisplayShutterSequence=[item(**EDGES)])
    shown = decode(film(pixels(), SharedFunctionalGroupsSequence=[group]))
    np.testing.assert_array_equal(shown.pixels, decode(film(pixels(), **EDGES)).pixels)


def test_colour_is_covered_too() -> None:
    rgb = np.full((H, W, 3), 200, np.uint8)
    np.testing.assert_array_equal(decode(film(rgb, **EDGES)).pixels > 0, INSIDE)


@pytest.mark.parametrize(
    "elements",
    [
        {"ShutterShape": "RECTANGULAR"},
        {"ShutterShape": "OVAL"},
        EDGES | {"ShutterRightVerticalEdge": "2"},
        EDGES | {"ShutterLeftVerticalEdge": "900", "ShutterRightVerticalEdge": "1000"},
        {"ShutterShape": "CIRCULAR", "CenterOfCircularShutter": "6", "RadiusOfCircularShutter": "4"},
        {"ShutterShape": "CIRCULAR", "CenterOfCircularShutter": ["6", "8"], "RadiusOfCircularShutter": "0"},
        {"ShutterShape": "POLYGONAL", "VerticesOfThePolygonalShutter": ["1", "2", "3"]},
        {"ShutterShape": "BITMAP", "ShutterOverlayGroup": 0x6000},
    ],
)
def test_a_shutter_that_is_none_is_ignored_and_flagged(elements: dict[str, Any]) -> None:
    shown = decode(film(pixels(), **elements))
    np.testing.assert_array_equal(shown.pixels, decode(film(pixels())).pixels)
    assert "bad_shutter" in shown.flags
    assert "shutter" not in shown.flags
