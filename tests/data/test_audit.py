"""The audit finds films that are the same film, and no others."""

import cv2
import numpy as np
import pytest

from fracture.data import manifest
from fracture.data.audit import (
    HASH_DISTANCE,
    NEAR,
    SAME,
    Pair,
    contradictions,
    find_pairs,
    fingerprint,
    perceptual_hash,
)
from fracture.data.phantom import draw_film
from fracture.errors import BrokenFilm
from fracture.types import ImageRecord, Radiograph


def film(seed):
    return draw_film(np.random.default_rng(seed), fractured=False)[0].astype(np.float32) / 255


def shelf(folder, films, flags=None):
    """Save films and give (records, files) as find_pairs wants them."""
    records, files = [], []
    for index, pixels in enumerate(films):
        files.append(folder / f"{index}.png")
        cv2.imwrite(str(files[-1]), np.rint(pixels * 255).astype(np.uint8))
        attributes = fingerprint(Radiograph(pixels.copy()))
        height, width = pixels.shape
        marks = frozenset((flags or {}).get(index, ()))
        records.append(
            ImageRecord(f"s/{index}", f"{index}.png", "s", (width, height), flags=marks, attributes=attributes)
        )
    return records, files


def found(folder, films, flags=None):
    return {(pair.first, pair.second) for pair in find_pairs(*shelf(folder, films, flags))}


def bits(a, b):
    return (perceptual_hash(a) ^ perceptual_hash(b)).bit_count()


def test_identical_films_are_a_pair_and_others_are_not(tmp_path):
    a, b, c = film(0), film(1), film(2)
    assert found(tmp_path, [a, b, a, c, a]) == {(0, 2), (0, 4), (2, 4)}


@pytest.mark.parametrize(
    "change",
    [
        lambda film: np.clip(film * 1.2 + 0.03, 0, 1),
        lambda film: film * 0.6,
        lambda film: cv2.GaussianBlur(film, (0, 0), 1.2),
        lambda film: cv2.resize(film, (300, 365), interpolation=cv2.INTER_AREA),
        lambda film: np.clip(film + np.random.default_rng(0).normal(0, 0.02, film.shape), 0, 1),
    ],
)
def test_near_duplicates_are_a_pair(tmp_path, change):
    a, b = film(0), film(1)
    again = np.asarray(change(a), np.float32)
    assert bits(a, again) <= HASH_DISTANCE
    pairs = find_pairs(*shelf(tmp_path, [a, b, again]))
    assert [(pair.first, pair.second) for pair in pairs] == [(0, 2)]
    assert NEAR <= pairs[0].correlation <= 1.0 + 1e-6


@pytest.mark.parametrize("rest", [0.55, 0.8])
def test_the_whole_film_behind_a_truncated_one_is_found(tmp_path, rest):
    a, b = film(0), film(1)
    cut = a.copy()
    cut[int(len(a) * rest) :] = 0.5
    assert found(tmp_path, [b, a, cut], {2: ["truncated"]}) == {(1, 2)}


def test_two_films_with_nothing_on_them_are_no_pair_unless_identical(tmp_path):
    assert found(tmp_path, [np.zeros((90, 60), np.float32), np.full((90, 60), 0.5, np.float32)]) == set()


def test_no_films_no_pairs():
    assert find_pairs([], []) == []


def test_a_film_that_vanished_is_said(tmp_path):
    records, files = shelf(tmp_path, [film(0)])
    files[0].unlink()
    with pytest.raises(BrokenFilm, match="run preprocess again"):
        find_pairs(records, files)


def test_the_fingerprint_knows_pixels_and_shape():
    a = np.zeros((4, 6), np.float32)
    b = a.copy()
    b[0, 0] = 1 / 65535
    digests = [fingerprint(Radiograph(p))["pixel_sha256"] for p in (a.copy(), a.copy(), a.reshape(6, 4).copy(), b)]
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3


def test_the_perceptual_hash_is_64_bits_and_other_anatomy_is_far():
    assert bits(film(0), film(0)) == 0
    assert 0 <= perceptual_hash(film(0)) < 2**64
    assert np.median([bits(film(0), film(seed)) for seed in range(1, 6)]) > HASH_DISTANCE / 2


def labelled(*truths):
    return [ImageRecord(f"s/{i}", f"{i}.png", "s", (4, 4), fractured=truth) for i, truth in enumerate(truths)]


def test_one_exposure_under_two_labels_is_a_contradiction():
    records = labelled(True, False, False, True, None)
    pairs = [Pair(0, 1, 1.0), Pair(1, 2, 1.0), Pair(0, 3, 0.999), Pair(0, 4, 1.0)]
    assert contradictions(records, pairs) == {0: 1, 1: 0}


def test_films_that_are_only_alike_may_differ_in_label():
    assert contradictions(labelled(True, False), [Pair(0, 1, SAME - 0.001)]) == {}


def test_the_traps_of_the_phantom_are_found_and_nothing_else(phantom_stages):
    _, stage, traps = phantom_stages
    records = [record for record in manifest.load(stage) if record.split != "set_aside"]
    pairs = find_pairs(records, [stage / record.path for record in records])
    names = {frozenset((records[pair.first].image_id, records[pair.second].image_id)) for pair in pairs}
    near = traps.near
    assert names == {
        frozenset((traps.whole, traps.truncated)),
        frozenset(traps.opposite),
        *(frozenset(two) for two in ((near[0], near[1]), (near[0], near[2]), (near[1], near[2]))),
    }
    wrong = {records[index].image_id for index in contradictions(records, pairs)}
    assert wrong == set(traps.opposite)
