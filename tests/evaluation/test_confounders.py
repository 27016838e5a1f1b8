"""Confounder checks: a model that looks beside the fracture is caught, one that does not is not accused."""

import json
from dataclasses import replace

import numpy as np
import pytest

from fracture.core.errors import BadValue
from fracture.core.types import FrameMap, HarmoniseConfig, ImageRecord, ModelInput, Radiograph
from fracture.evaluation.confounders import check
from fracture.evaluation.masking import RING, masked_border, masked_boxes
from fracture.evaluation.probes import BINS, THUMBNAIL, film_features, looks_tell, probe
from fracture.imaging.harmonise import encode_png, harmonise
from fracture.inference.reader import Reader
from fracture.models.card import ModelCard
from fracture.phantom.files import png

CONFIG = HarmoniseConfig(clahe_clip=0, range_tail=None)
SIDE = 96
CARD = ModelCard("scripted", "1", ("fracture",), SIDE, 32, 0.5, CONFIG, {"model.onnx": ""})
SIDE_PX = 100  # of the films below
RING_PX = int(RING * SIDE_PX)  # 8


class Scripted:
    """A network whose one box has the score that a function of its pixels gives."""

    name = "scripted"

    def __init__(self, score):
        self.score = score
        self.fed = []

    def __call__(self, pixels):
        self.fed.append(pixels[:, :, 0].astype(int))
        return np.array([[40.0], [40.0], [20.0], [20.0], [self.score(pixels[:, :, 0])]], dtype=np.float32)


def corner(pixels):
    return pixels[:5, :5].mean() / 255


def middle(pixels):
    return pixels[40:56, 40:56].mean() / 255


def bright(pixels):
    return min(1.0, (pixels > 200).mean())


def nothing(pixels):
    return 0.5


def draw(number, *, fractured, letter=False, bars=False):
    """Draw noise of mean 0.4; a fracture is a bright middle, a letter a bright corner, bars are lost rows."""
    pixels = np.random.default_rng(number).normal(0.4, 0.05, (SIDE_PX, SIDE_PX))
    if fractured:
        pixels[40:60, 40:60] += 0.5
    if letter:
        pixels[:6, :6] = 0.9
    if bars:
        pixels[70:] = 0.5
    return Radiograph(np.clip(pixels, 0, 1).astype(np.float32))


def a_set(folder, films):
    """Write films given as (record changes, how to draw them) and give what `check` takes."""
    shelf = []
    for number, (known, drawn) in enumerate(films):
        truth = known.get("fractured", False)
        boxes = ((40.0, 40.0, 60.0, 60.0),) if truth else ()
        record = ImageRecord(f"t/{number}", f"{number}.png", "t", (SIDE_PX, SIDE_PX), fractured=truth, boxes=boxes)
        film = draw(number, **{"fractured": bool(truth), **drawn})
        (folder / record.path).write_bytes(encode_png(harmonise(film, CONFIG)))
        shelf.append((replace(record, **known), folder / record.path))
    return shelf


def checked(films, score=nothing, *, phantoms=0, resamples=60, seed=0):
    reader = Reader(CARD, Scripted(score))
    scores = np.array([reader.read(file.read_bytes()).film_score.value for _, file in films])
    return check(reader, films, scores, np.random.default_rng(seed), resamples, phantoms=phantoms)


def halves(count, **drawn):
    """Give films half of which are fractured, those drawn with what is named."""
    return [({"fractured": i % 2 == 0}, drawn if i % 2 == 0 else {}) for i in range(count)]


# --- masking the border ----------------------------------------------------------------------------------------------


def test_a_network_that_looks_at_the_border_is_caught(tmp_path):
    report = checked(a_set(tmp_path, halves(40, letter=True)), corner)
    (row,) = report["masking"]
    assert row["auc_before"]["value"] == 1.0
    assert abs(row["auc"]["value"] - 0.5) < 0.25
    assert row["auc_change"]["value"] == pytest.approx(row["auc"]["value"] - 1)
    assert row["auc_change"]["high"] < -0.1
    # The corner is 0.9 on fractured films and 0.4 on normal ones; with it masked all are 0.4.
    assert row["score_change_fractured"]["value"] == pytest.approx(-0.5, abs=0.03)
    assert row["score_change_normal"]["value"] == pytest.approx(0, abs=0.03)
    assert row["score_change"]["value"] == pytest.approx(-0.25, abs=0.03)
    assert [row[name]["n"] for name in ("score_change", "score_change_normal", "score_change_fractured")] == [
        40,
        20,
        20,
    ]
    (finding,) = report["findings"]
    assert "within 8 % of the film's edge" in finding


def test_a_network_that_looks_at_the_fracture_is_not_accused(tmp_path):
    report = checked(a_set(tmp_path, halves(40, letter=True)), middle)
    (row,) = report["masking"]
    assert row["auc_before"]["value"] == row["auc"]["value"] == 1.0
    assert row["auc_change"]["low"] == row["auc_change"]["high"] == 0
    assert report["findings"] == []


@pytest.mark.parametrize(("count", "groups"), [(40, 40), (100, 1)])
def test_a_change_that_is_small_or_may_be_chance_is_no_finding(tmp_path, count, groups):
    """One normal film looks fractured: of 20 it may be chance that it is there; of 50 it costs too little to matter."""
    films = halves(count)
    films[1] = ({"fractured": False}, {"fractured": True})
    films = a_set(
        tmp_path, [({**known, "group_id": f"g{i % groups}"}, drawn) for i, (known, drawn) in enumerate(films)]
    )
    truth = np.array([float(record.fractured) for record, _ in films])
    network = Scripted(lambda pixels: float(middle(pixels) > 0.6))  # ties with all fractured films: half a pair each
    report = check(Reader(CARD, network), films, truth, np.random.default_rng(0), 100, phantoms=0)
    change = report["masking"][0]["auc_change"]
    if groups == 1:
        assert -0.02 < change["value"] <= change["high"] < 0
    else:
        assert change["value"] < -0.02
        assert change["high"] == 0
    assert report["findings"] == []


def test_films_whose_fracture_the_mask_could_hide_are_left_out_and_counted(tmp_path):
    edge, free = float(RING_PX), SIDE_PX - RING_PX
    films = halves(20)
    films[0] = ({"fractured": True, "boxes": ((edge - 1, 40.0, 60.0, 60.0),)}, {})
    films[2] = ({"fractured": True, "boxes": ((40.0, 40.0, 60.0, 60.0), (40.0, 40.0, 60.0, free + 1.0))}, {})
    films[4] = ({"fractured": True, "boxes": ((edge, edge, free, free),)}, {})
    films[6] = ({"fractured": True, "weak": True}, {})
    films[8] = ({"fractured": True, "boxes": None}, {})
    (row,) = checked(a_set(tmp_path, films), middle)["masking"]
    reasons = {"a fracture reaches into the border": 2, "where the fracture lies is not known": 2}
    assert (row["films"], row["left_out"]) == (16, reasons)


def test_without_fractured_films_an_auc_is_not_estimable(tmp_path):
    (row,) = checked(a_set(tmp_path, [({}, {})] * 6), middle)["masking"]
    assert row["auc_change"]["value"] is None
    assert row["auc_change"]["note"] == "0 fractured, 6 normal films"
    assert row["score_change_fractured"]["note"] == "no such films"
    assert row["score_change_normal"]["value"] == 0


def test_ties_count_half_in_the_compared_auc(tmp_path):
    (row,) = checked(a_set(tmp_path, halves(10)), nothing)["masking"]
    assert row["auc"]["value"] == row["auc_before"]["value"] == 0.5


def test_the_scores_before_are_those_given(tmp_path):
    """Scores 1, 0, 0, 1 of fractured, normal, fractured, normal films: of 4 pairs one is right, one wrong, two tie."""
    films = a_set(tmp_path, halves(4))
    given = np.array([1.0, 0.0, 0.0, 1.0])
    report = check(Reader(CARD, Scripted(nothing)), films, given, np.random.default_rng(0), 10, phantoms=0)
    assert report["masking"][0]["auc_before"]["value"] == 0.5
    assert report["masking"][0]["score_change_normal"]["value"] == 0
    assert report["masking"][0]["score_change"]["low"] < 0 < report["masking"][0]["score_change"]["high"]


def test_the_ring_is_hidden_and_the_inside_is_not():
    pixels = np.full((50, 100), 0.3, np.float32)
    pixels[:4] = pixels[-4:] = pixels[:, :4] = pixels[:, -4:] = 1.0  # 8 % of 50 px
    film = masked_border(Radiograph(pixels, harmonise_id=CONFIG.harmonise_id, flags=frozenset({"truncated"})))
    assert film.pixels == pytest.approx(0.3, abs=1e-6)
    assert (film.harmonise_id, film.flags) == (CONFIG.harmonise_id, {"truncated"})
    wider = np.array(pixels)
    wider[4:5] = wider[:, 95:96] = 1.0
    seen = masked_border(Radiograph(wider)).pixels[4:46, 4:96]
    assert (seen == wider[4:46, 4:96]).all()


def test_the_ring_goes_on_as_the_film_does_without_streaks():
    pixels = np.random.default_rng(0).normal(0, 0.05, (200, 200)) + np.linspace(0.2, 0.8, 200)
    film = masked_border(Radiograph(pixels.astype(np.float32))).pixels
    assert film[20:-20, :10].mean() < 0.3
    assert film[20:-20, -10:].mean() > 0.7
    crack = np.full((100, 100), 0.3, np.float32)
    crack[:, 12] = 1.0  # a mirror would draw it again, at 4
    assert masked_border(Radiograph(crack)).pixels[:, :8].max() < 0.35
    across = np.abs(np.diff(film, axis=0))
    assert across[20:-20, :10].mean() < across[20:-20, 20:-20].mean() / 3


@pytest.mark.parametrize("share", [0.0, 0.5, -0.1])
def test_a_ring_must_leave_something(share):
    with pytest.raises(BadValue, match=r"share: expected above 0 and below 0\.5"):
        masked_border(Radiograph(np.zeros((50, 50), np.float32)), share)


def test_the_smallest_films_can_be_masked():
    for side in range(1, 6):
        assert masked_border(Radiograph(np.zeros((side, 9), np.float32)), 0.49).size_px == (9, side)


# --- drawing and masking things on phantoms --------------------------------------------------------------------------


def test_what_lies_in_a_box_is_painted_over_from_its_surround():
    pixels = np.tile(np.linspace(0.2, 0.8, 80, dtype=np.float32), (60, 1))
    marked = pixels.copy()
    marked[20:30, 30:50] = 1.0
    film = masked_boxes(Radiograph(marked, harmonise_id="h"), [(30.0, 20.0, 50.0, 30.0)])
    assert np.abs(film.pixels - pixels).max() < 0.06
    assert (film.pixels[:10] == pixels[:10]).all()
    assert film.pixels[25, 49] - film.pixels[25, 30] > 0.1, "not flat"
    assert film.harmonise_id == "h"


def test_a_box_at_the_films_edge_is_painted_over():
    marked = np.full((40, 40), 0.5, np.float32)
    marked[:6, :6] = marked[-6:, -6:] = 1.0
    film = masked_boxes(Radiograph(marked), [(0.0, 0.0, 6.0, 6.0), (34.0, 34.0, 40.0, 40.0)])
    assert film.pixels == pytest.approx(0.5, abs=0.01)


def test_pairs_of_phantoms_differ_in_metal_or_letter_alone(tmp_path):
    network = Scripted(nothing)
    films = a_set(tmp_path, halves(2))
    check(Reader(CARD, network), films, np.zeros(2), np.random.default_rng(3), 2, phantoms=6)
    fed = network.fed[2:]  # two real films, masked
    assert len(fed) == 3 * 1 + 3 * 5
    for case in range(3):
        _, plain, *changed = fed[6 * case : 6 * case + 6]
        held, held_masked, marked, marked_masked = (film - plain > 40 for film in changed)
        for drawn, masked, limit in ((held, held_masked, 0.2), (marked, marked_masked, 0.02)):
            assert 0 < drawn.mean() < limit
            assert masked[drawn].mean() < 0.5
        assert not (held & marked).any()


def test_a_network_that_likes_metal_is_caught_by_phantoms(tmp_path):
    report = checked(a_set(tmp_path, halves(20)), bright, phantoms=10)
    rows = {row["name"]: row for row in report["synthetic"]}
    assert list(rows) == [
        f"{thing} {done} normal synthetic films"
        for thing in ("hardware", "marker")
        for done in ("drawn onto", "masked on")
    ]
    drawn, masked = (rows[f"hardware {done} normal synthetic films"] for done in ("drawn onto", "masked on"))
    assert drawn["score_change"]["low"] > 0
    assert drawn["score_change"]["n"] == 5
    assert drawn["auc_change"]["high"] < 0
    assert masked["auc_before"]["value"] == drawn["auc"]["value"]
    assert masked["score_change"]["high"] < 0
    assert masked["auc_change"]["value"] > 0
    hardware = [sentence for sentence in report["findings"] if "hardware" in sentence]
    assert hardware[0].startswith(
        "the model could be using this: hardware drawn onto normal synthetic films moves their"
    )
    # On the real films the middle alone is bright: 20 of 96 px squared where it is broken.
    share = 100 * drawn["score_change"]["value"] / (20 * 96 / 100 / 96) ** 2
    said = int(hardware[0].split(", ")[-1].split(" %")[0])
    assert said == pytest.approx(share, rel=0.2)
    assert not [sentence for sentence in report["findings"] if "masked" in sentence]


def test_a_change_that_is_small_beside_the_models_own_gap_is_no_finding(tmp_path):
    """The same network, but scores of 1 and 0 on the real films: metal adds a few hundredths to its score."""
    films = a_set(tmp_path, halves(20))
    scores = np.array([float(record.fractured) for record, _ in films])
    report = check(Reader(CARD, Scripted(bright)), films, scores, np.random.default_rng(0), 60, phantoms=10)
    assert 0 < report["synthetic"][0]["score_change"]["low"] < 0.1
    assert report["findings"] == []


def test_a_network_blind_to_all_of_it_is_not_accused(tmp_path):
    report = checked(a_set(tmp_path, halves(20)), nothing, phantoms=2)
    assert report["findings"] == []
    assert all(row["score_change"]["value"] == 0 for row in report["synthetic"])


# --- probes ----------------------------------------------------------------------------------------------------------


def each(count):
    return [str(i) for i in range(count)]


def test_a_probe_finds_a_planted_cue():
    rng = np.random.default_rng(0)
    labels = np.arange(200) % 4 == 0
    features = rng.standard_normal((200, 30))
    features[:, 7] += 4 * labels
    found = probe(features, labels, each(200), rng)
    assert found.value > 0.97
    assert found.low > 0.9
    assert (found.n, found.n_groups, found.method) == (200, 200, "DeLong, out of fold")
    assert found.note == "50 with it, 150 without; ridge 1, 5 folds by group"


def test_the_ridge_keeps_a_probe_from_drowning_in_features():
    """With 118 features and 120 films to train on, least squares alone fits the noise: 0.54 in place of 0.76."""
    rng = np.random.default_rng(0)
    labels = np.arange(150) % 2 == 0
    features = rng.standard_normal((150, 118))
    features[:, :2] += 1.5 * labels[:, None]
    assert probe(features, labels, each(150), rng).value > 0.7


def test_a_probe_finds_nothing_in_noise():
    found = []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        labels = rng.permutation(np.arange(150) < 40)
        found.append(probe(rng.standard_normal((150, 60)), labels, each(150), rng))
    assert np.mean([one.value for one in found]) == pytest.approx(0.5, abs=0.03)  # four standard errors
    assert max(one.low for one in found) < 0.6


def test_a_probe_does_not_know_the_groups_it_is_tested_on():
    """The features name the group and nothing else, and groups are all one label: across folds nothing can be known."""
    rng = np.random.default_rng(0)
    group_of = np.repeat(np.arange(40), 5)
    labels = group_of % 2 == 0
    found = probe(np.eye(40)[group_of], labels, [f"g{group}" for group in group_of], rng)
    assert abs(found.value - 0.5) < 0.15
    assert found.n_groups == 40
    alone = probe(np.eye(40)[group_of], labels, each(200), rng)
    assert alone.value > 0.99, "a probe that may see a film's group knows its label"


def test_units_make_no_difference():
    rng = np.random.default_rng(1)
    labels = np.arange(100) % 2 == 0
    features = rng.standard_normal((100, 5)) + 0.4 * labels[:, None]
    scaled = features * [1e-3, 1, 10, 1e4, 5] + [0, 5, 1e3, -7, 1]
    first, second = (probe(table, labels, each(100), np.random.default_rng(2)) for table in (features, scaled))
    assert first == second


def test_films_that_look_the_same_rank_the_same():
    """With 22 of 61 in five folds some folds train on fewer of them; that must not rank their films."""
    found = probe(np.ones((61, 3)), np.arange(61) < 22, each(61), np.random.default_rng(0))
    assert found.value == 0.5


@pytest.mark.parametrize(
    ("with_it", "without", "in_one_group", "note"),
    [
        (19, 40, 1, "19 of them"),
        (0, 40, 1, "0 of them"),
        (40, 19, 1, "19 others"),
        (20, 40, 5, "20 of them in 4 groups"),
        (20, 40, 4, None),
    ],
)
def test_too_few_films_or_groups_are_no_probe(with_it, without, in_one_group, note):
    labels = np.arange(with_it + without) < with_it
    groups = [str(i // in_one_group if yes else -i) for i, yes in enumerate(labels)]
    features = np.random.default_rng(0).standard_normal((len(labels), 3))
    found = probe(features, labels, groups, np.random.default_rng(0))
    assert (found.value is None) == (note is not None)
    if note:
        assert found.note == note


def seen(pixels):
    grey = np.asarray(pixels, np.uint8)
    return film_features(ModelInput(grey, (grey.shape[1], grey.shape[0]), FrameMap(), "h"), SIDE)


def test_features_are_means_histogram_sharpness_and_shape():
    grey = np.full((96, 96), 20, np.uint8)
    grey[48:, :48] = 100
    found = seen(grey)
    means, histogram, quadrants, ring, shape = np.split(found, np.cumsum([THUMBNAIL**2, BINS, 4, 1]))
    assert means.reshape(THUMBNAIL, THUMBNAIL)[[0, -1, -1], [0, 0, -1]].tolist() == [20, 100, 20]
    assert histogram.nonzero()[0].tolist() == [20 // 8, 100 // 8]
    assert histogram[[20 // 8, 100 // 8]].tolist() == [0.75, 0.25]
    assert quadrants[0] > 0
    assert shape.tolist() == [0, 0]
    noisy = grey.copy()
    noisy[50:90, 50:90] = np.random.default_rng(0).integers(0, 255, (40, 40))
    change = np.split(seen(noisy) - found, np.cumsum([THUMBNAIL**2, BINS, 4, 1]))
    assert change[2][3] > 10
    assert change[2][:3] == pytest.approx(0, abs=1)
    edge = grey.copy()
    edge[:4] = np.random.default_rng(0).integers(0, 255, (4, 96))
    assert (seen(edge) - found)[-3] > 10
    assert ring[0] < 5


def test_the_shape_of_a_film_speaks_in_its_own_features_alone():
    upright, lying = seen(np.full((80, 40), 90)), seen(np.full((40, 80), 90))
    assert (upright[:-2] == lying[:-2]).all()
    assert upright[-2:] == pytest.approx([-np.log(2), np.log(2)])
    assert lying[-2:] == pytest.approx([np.log(2), np.log(2)])


# --- what is said ----------------------------------------------------------------------------------------------------


def flagged(count, share, *, bars, fractured):
    """Give films of which the first ``count`` are truncated and fractured as said, the rest fractured as ``share``."""
    films = [({"flags": frozenset({"truncated"}), "fractured": fractured(i)}, {"bars": bars}) for i in range(count)]
    return films + [({"fractured": i < share * 60}, {}) for i in range(60)]


def row_of(report, name):
    return next(row for row in report["probes"] if row["name"] == name)


def test_a_property_that_shows_and_goes_with_the_label_is_named(tmp_path):
    report = checked(a_set(tmp_path, flagged(30, 0.5, bars=True, fractured=lambda _: False)))
    row = row_of(report, "truncated")
    assert (row["films"], row["positives"]) == (90, 30)
    assert row["auc"]["value"] > 0.95
    assert row["auc_shape"]["value"] == 0.5
    assert (row["fractured_with"]["value"], row["fractured_without"]["value"]) == (0, 0.5)
    said = f"a linear probe names 'truncated' from the film with AUC {row['auc']['value']:.2f}"
    rate = "0 of 30 such films are fractured against 50 % of the others"
    assert report["findings"] == [f"the model could be using this: {said}, and {rate}"]


def test_a_property_that_shows_but_does_not_go_with_the_label_is_not(tmp_path):
    report = checked(a_set(tmp_path, flagged(30, 0.5, bars=True, fractured=lambda i: i % 2 == 0)))
    assert row_of(report, "truncated")["auc"]["value"] > 0.95
    assert report["findings"] == []


def test_a_property_that_goes_with_the_label_but_does_not_show_is_not(tmp_path):
    """Fractures are boxed but not drawn here, so that nothing on a film tells either the label or the property."""
    films = flagged(30, 0.5, bars=False, fractured=lambda _: False)
    report = checked(a_set(tmp_path, [(known, {**drawn, "fractured": False}) for known, drawn in films]))
    row = row_of(report, "truncated")
    assert row["fractured_with"]["high"] < row["fractured_without"]["low"]
    assert row["auc"]["low"] < 0.7
    assert report["findings"] == []


def test_a_films_shape_alone_can_tell(tmp_path):
    """Films of constant grey, those that were small are square and normal, the others upright and half fractured."""
    films = []
    for number in range(60):
        small = number < 25
        size = (64, 64) if small else (64, 80)
        truth = not small and number % 2 == 0
        attributes = {"original_px": "480x600" if small else "601x480", "hardware": str(number % 2)}
        boxes = ((20.0, 20.0, 40.0, 40.0),) if truth else ()
        record = ImageRecord(
            f"t/{number}", f"{number}.png", "t", size, fractured=truth, boxes=boxes, attributes=attributes
        )
        film = Radiograph(np.full(size[::-1], 0.5, np.float32))
        (tmp_path / record.path).write_bytes(encode_png(harmonise(film, CONFIG)))
        films.append((record, tmp_path / record.path))
    report = checked(films)
    row = row_of(report, "long side up to 600 px")
    assert (row["positives"], row["auc_shape"]["value"]) == (25, 1.0)
    assert row["auc"]["value"] == 0.5, "their pixels are the same"
    (finding,) = report["findings"]
    assert "from the film's shape alone with AUC 1.00, and 0 of 25 such films" in finding
    assert row_of(report, "hardware")["positives"] == 30


def test_sources_are_probed_where_there_are_two_to_tell_apart(tmp_path):
    def sources(*counts):
        films = [({"source": name}, {}) for name, count in zip("abc", counts, strict=False) for _ in range(count)]
        found = checked(a_set(tmp_path, films))["probes"]
        return {row["name"]: row["auc"]["note"] for row in found if row["name"].startswith("source")}

    assert sources(25) == sources(25, 19) == {}
    assert list(sources(20, 20)) == ["source a"]
    several = sources(20, 20, 3)
    assert list(several) == ["source a", "source b", "source c"]
    assert several["source c"] == "3 of them"


def test_films_that_do_not_state_hardware_are_not_without_it(tmp_path):
    films = [({"attributes": {"hardware": value} if value else {}}, {}) for value in ("1", "0", "", "")]
    row = row_of(checked(a_set(tmp_path, films)), "hardware")
    assert (row["films"], row["positives"]) == (2, 1)
    assert row_of(checked(a_set(tmp_path, [({}, {})])), "hardware")["films"] == 0


# --- the whole -------------------------------------------------------------------------------------------------------


def test_films_of_a_group_go_together(tmp_path):
    films = a_set(tmp_path, [({"fractured": i % 2 == 0, "group_id": f"g{i // 4}"}, {}) for i in range(40)])
    (row,) = checked(films, middle)["masking"]
    assert (row["auc"]["n"], row["auc"]["n_groups"], row["score_change_normal"]["n_groups"]) == (40, 10, 10)


def test_the_same_seed_gives_the_same_answer_in_plain_json(tmp_path):
    films = a_set(tmp_path, halves(50))
    first, second = (checked(films, middle, phantoms=2) for _ in range(2))
    assert json.loads(json.dumps(first)) == second
    assert set(first) == {"findings", "masking", "synthetic", "probes", "looks"}


def test_a_film_is_harmonised_first_and_comes_back_in_its_own_frame(tmp_path):
    """A raw film of twice the cap: its box, 10 px from the edge of 200, lies 5 px from that of 100, within the ring."""
    card = replace(CARD, harmonise=HarmoniseConfig(long_side_px=100, clahe_clip=0, range_tail=None))
    record = ImageRecord("t/0", "0.png", "t", (200, 200), fractured=True, boxes=((10.0, 60.0, 60.0, 90.0),))
    inner = replace(record, boxes=((16.0, 60.0, 60.0, 90.0),))
    (tmp_path / "0.png").write_bytes(png(np.full((200, 200), 90, np.uint8)))
    films = [(record, tmp_path / "0.png"), (inner, tmp_path / "0.png")]
    report = check(Reader(card, Scripted(nothing)), films, np.zeros(2), np.random.default_rng(0), 2, phantoms=0)
    assert report["masking"][0]["left_out"] == {"a fracture reaches into the border": 1}


def test_progress_is_shown_over_films_and_phantoms(tmp_path):
    told = []

    def progress(items, count):
        told.append(count)
        return items

    films = a_set(tmp_path, halves(4))
    check(Reader(CARD, Scripted(nothing)), films, np.zeros(4), np.random.default_rng(0), 2, progress, 1)
    assert told == [4, 1]


@pytest.mark.parametrize("count", [0, 1, 3])
def test_every_film_needs_a_label_and_a_score(tmp_path, count):
    films = a_set(tmp_path, halves(2))
    with pytest.raises(BadValue, match="films: expected labelled films, one per score, got 2, 2 of them labelled"):
        check(Reader(CARD, Scripted(nothing)), films, np.zeros(count), np.random.default_rng(0))
    unknown = [(replace(films[1][0], fractured=None), films[1][1])]
    with pytest.raises(BadValue, match="got 1, 0 of them labelled"):
        check(Reader(CARD, Scripted(nothing)), unknown, np.zeros(1), np.random.default_rng(0))
    with pytest.raises(BadValue, match="got 0, 0 of them labelled"):
        check(Reader(CARD, Scripted(nothing)), [], np.zeros(0), np.random.default_rng(0))


def test_what_looks_alone_tell_of_the_label_is_reported_and_no_finding(tmp_path):
    """Fractured films that are sharper all over came another way; where all are alike greys tell nothing."""
    rng = np.random.default_rng(0)
    shelf = a_set(tmp_path, halves(200))
    features = [film_features(harmonise(draw(n, fractured=False), CONFIG), SIDE) for n in range(200)]
    records = [record for record, _ in shelf]
    assert 0.35 < looks_tell(records, features, rng).value < 0.65
    sharper = [seen.copy() for seen in features]
    for record, seen in zip(records, sharper, strict=True):
        seen[THUMBNAIL**2 + BINS : THUMBNAIL**2 + BINS + 4] *= 1.5 if record.fractured else 1.0
    assert looks_tell(records, sharper, rng).value > 0.95
    moved = [seen.copy() for seen in features]
    for record, seen in zip(records, moved, strict=True):
        seen[: THUMBNAIL**2] += 50 * bool(record.fractured)  # a place on the film is no look
    assert 0.35 < looks_tell(records, moved, rng).value < 0.65
    report = checked(shelf, middle)
    assert report["looks"]["n"] == 200
    assert report["findings"] == []
