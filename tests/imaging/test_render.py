"""What a person sees: solid, dashed or nothing by score, in the right place, and never without its caveat."""

import numpy as np
import pytest
from PIL import Image

from fracture.clinical.status import Thresholds, of_film
from fracture.core.errors import BadValue
from fracture.core.types import Detections, Prediction
from fracture.imaging.render import MODEL_LOOKS, NOT_A_DEVICE, Drawn, _in_words, _words, encode_png, together
from fracture.imaging.render import overlay as draw

AT = Thresholds(screening=0.3, specific=0.6)
BLACK = np.zeros((1000, 800), np.uint8)


def overlay(film, found, flags=(), shown_from=0.3):
    said = of_film(found.score.tolist(), frozenset(flags), AT, shown_from)
    return draw(film, found, said, shown_from, AT)


def legend(*scores, flags=(), shown_from=0.3, title=""):
    boxes = np.tile([200.0, 300.0, 400.0, 500.0], (len(scores), 1))
    found = Detections(boxes.reshape(-1, 4), np.array(scores, float), np.zeros(len(scores), np.int64))
    said = of_film(list(scores), frozenset(flags), AT, shown_from)
    return _words(said, found.first(said.shown), shown_from, AT, title)


def one(score, box=(200.0, 300.0, 400.0, 500.0)):
    return Detections(np.array([box]), np.array([score]), np.zeros(1, np.int64))


def edge(picture):
    """Give the box's left edge as a row of booleans: drawn or not."""
    return picture[310:490, 200].max(axis=1) > 40


def test_a_sure_box_is_solid_an_unsure_one_dashed_a_weak_one_absent():
    assert edge(overlay(BLACK, one(0.7))).all()
    dashed = edge(overlay(BLACK, one(0.4)))
    assert 0.3 < dashed.mean() < 0.8
    assert not edge(overlay(BLACK, one(0.2))).any()


def test_the_threshold_itself_counts():
    assert edge(overlay(BLACK, one(0.6))).all()
    assert edge(overlay(BLACK, one(0.3))).any()


def test_nothing_is_drawn_away_from_the_box():
    picture = overlay(BLACK, one(0.9))[:1000]
    picture[260:510, 190:410] = 0
    assert picture.max() < 10


def test_small_films_are_enlarged_with_their_boxes():
    picture = overlay(np.zeros((100, 80), np.uint8), one(0.9, (20.0, 30.0, 40.0, 50.0)))
    assert picture.shape[1] == 720
    assert (picture[280:440, 180].max(axis=1) > 40).all()


def test_the_legend_is_under_every_picture():
    found, none = overlay(BLACK, one(0.9)), overlay(BLACK, Detections.empty())
    assert found.shape[0] > 1000
    assert none[1000:].max() > 200
    assert (found[1000:] != none[1000:]).any()


def test_the_legend_says_what_is_drawn_and_by_which_scores():
    assert legend(0.9, 0.4, 0.1, title="balanced") == (
        "Fracture suspected: 2 areas marked - balanced",
        "solid: definite, score 60% or more    dashed: suspicious, score 30% or more    shown from 30% on",
        NOT_A_DEVICE,
    )
    assert legend(0.4, 0.1, shown_from=0)[1] == (
        "dashed: suspicious, score 30% or more    dotted: not rated    shown from 0% on"
    )
    assert legend() == (
        "No box reaches a threshold: no area marked",
        "This does not rule out a fracture.",
        NOT_A_DEVICE,
    )


def test_no_threshold_of_the_callers_hides_the_box_that_decided():
    assert legend(0.72, shown_from=0.99)[:2] == (
        "Fracture suspected: 1 area marked",
        "solid: definite, score 60% or more    shown from 99% on, and the box that decided",
    )
    assert edge(overlay(BLACK, one(0.72), shown_from=0.99)).all()
    assert legend(0.4, shown_from=0.5)[0] == "In doubt: 1 area marked"


def test_outside_the_intended_use_boxes_are_grey_and_nothing_is_suspected():
    picture = overlay(BLACK, one(0.9), ["outside_scope"])
    drawn = picture[310:490, 200].astype(int)
    assert 0.1 < (drawn.max(axis=1) > 40).mean() < 0.6
    bright = drawn[drawn.max(axis=1) > 40]
    assert (bright.max(axis=1) - bright.min(axis=1)).max() < 30
    headline, meaning, _ = legend(0.9, flags=["outside_scope"])
    assert headline == "Outside the intended use: 1 area marked"
    assert meaning == "dotted: not rated    shown from 30% on"
    assert legend(flags=["outside_scope"])[1] == ""


@pytest.mark.parametrize("box", [(0.0, 0.0, 20.0, 20.0), (780.0, 980.0, 800.0, 1000.0)])
def test_boxes_at_the_edge_are_drawn(box):
    overlay(BLACK, one(0.9, box))


def test_the_picture_is_a_png():
    import io

    picture = overlay(BLACK, one(0.9))
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(encode_png(picture)))), picture)


def drawn(name, score, box=(200.0, 300.0, 400.0, 500.0)):
    said = of_film([score], frozenset(), AT, 0.3)
    return Drawn(name, Prediction((800, 1000), one(score, box), "net", ""), said, 0.3)


def test_each_model_on_a_film_has_a_colour_and_a_line_of_its_own():
    boxes = [(100.0, 50.0 + 240 * i, 700.0, 230.0 + 240 * i) for i in range(4)]
    picture = together(BLACK, [drawn(f"m{i}", 0.7, box) for i, box in enumerate(boxes)])
    shares = []
    for look, box in zip(MODEL_LOOKS, boxes, strict=False):
        edge = picture[round(box[1]) + 8 : round(box[3]) - 8, 100].astype(int)
        inked = np.abs(edge - look.colour).max(axis=1) < 12
        shares.append(inked.mean())
        assert (np.abs(edge[edge.max(axis=1) > 120] - look.colour).max(axis=1) < 90).all()
    solid, dashed, dotted, dash_dot = shares
    assert solid == 1
    assert 0.2 < dotted < dashed < 0.8
    assert 0.2 < dash_dot < 0.8
    assert len({(look.colour, look.dashes) for look in MODEL_LOOKS}) == len(MODEL_LOOKS)


def test_colours_of_models_stand_out_from_a_black_film():
    for look in MODEL_LOOKS:
        linear = [((c / 255 + 0.055) / 1.055) ** 2.4 for c in look.colour]
        assert (0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] + 0.05) / 0.05 > 4.5, look


def test_the_legend_is_below_the_film_and_says_what_each_model_says():
    picture = together(BLACK, [drawn("ours", 0.7), drawn("theirs", 0.4)])
    assert picture.shape == (1000 + 24 * 3 + 16, 800, 3)
    film = picture[:1000].copy()
    film[295:506, 195:406] = 0
    assert film.max() < 10, "nothing lies on the film but boxes"
    assert _in_words(drawn("ours", 0.7)) == "ours: 1 box from 0.300 on; Fracture suspected; film score 0.700"
    assert _in_words(drawn("theirs", 0.2)) == (
        "theirs: 0 boxes from 0.300 on; No box reaches a threshold; film score 0.200"
    )


def test_there_are_no_more_models_than_looks():
    with pytest.raises(BadValue, match="models: expected at most 12 on one film, got 13"):
        together(BLACK, [drawn("one", 0.7)] * 13)
