"""What a person sees: solid, dashed or nothing by score, in the right place, and never without its caveat."""

import numpy as np
import pytest
from PIL import Image

from fracture.render import Marks, encode_png, overlay
from fracture.types import Detections

MARKS = Marks(dashed=0.3, solid=0.6)
BLACK = np.zeros((1000, 800), np.uint8)


def one(score, box=(200.0, 300.0, 400.0, 500.0)):
    return Detections(np.array([box]), np.array([score]), np.zeros(1, np.int64))


def edge(picture):
    """Give the box's left edge as a row of booleans: drawn or not."""
    return picture[310:490, 200].max(axis=1) > 40


def test_a_sure_box_is_solid_an_unsure_one_dashed_a_weak_one_absent():
    assert edge(overlay(BLACK, one(0.7), MARKS)).all()
    dashed = edge(overlay(BLACK, one(0.4), MARKS))
    assert 0.3 < dashed.mean() < 0.8
    assert not edge(overlay(BLACK, one(0.2), MARKS)).any()


def test_the_threshold_itself_counts():
    assert edge(overlay(BLACK, one(0.6), MARKS)).all()
    assert edge(overlay(BLACK, one(0.3), MARKS)).any()


def test_nothing_is_drawn_away_from_the_box():
    picture = overlay(BLACK, one(0.9), MARKS)[:1000]
    picture[260:510, 190:410] = 0
    assert picture.max() < 10


def test_small_films_are_enlarged_with_their_boxes():
    picture = overlay(np.zeros((100, 80), np.uint8), one(0.9, (20.0, 30.0, 40.0, 50.0)), MARKS)
    assert picture.shape[1] == 720
    assert (picture[280:440, 180].max(axis=1) > 40).all()


def test_the_legend_is_under_every_picture():
    found, none = overlay(BLACK, one(0.9), MARKS), overlay(BLACK, Detections.empty(), MARKS)
    assert found.shape[0] > 1000
    assert none[1000:].max() > 200
    assert (found[1000:] != none[1000:]).any()


@pytest.mark.parametrize("box", [(0.0, 0.0, 20.0, 20.0), (780.0, 980.0, 800.0, 1000.0)])
def test_boxes_at_the_edge_are_drawn(box):
    overlay(BLACK, one(0.9, box), MARKS)


def test_the_picture_is_a_png():
    import io

    picture = overlay(BLACK, one(0.9), MARKS)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(encode_png(picture)))), picture)
