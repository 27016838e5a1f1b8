"""Copies are found whatever was done to them, no pair is missed, and few films are compared with few."""

import io
import math

import cv2
import numpy as np
import pytest
from PIL import Image
from scipy.fft import dctn

from bench.duplicates import draw_thumbnails
from fracture.core.errors import BadValue, BrokenFilm
from fracture.core.types import HarmoniseConfig, ImageRecord, Radiograph
from fracture.data import manifest
from fracture.data.duplicates import (
    AS_IS,
    NEAR,
    ORIENTATIONS,
    SAME,
    TURNED,
    Pair,
    Trace,
    alike,
    contradictions,
    copies,
    find_pairs,
    fingerprint,
    look,
    look_at,
    search,
    trace,
    traces,
)
from fracture.imaging.harmonise import encode_png, harmonise
from fracture.phantom import draw_film

TURNS = {
    "as is": lambda film: film,
    "rotated 90": lambda film: cv2.rotate(film, cv2.ROTATE_90_CLOCKWISE),
    "rotated 180": lambda film: cv2.rotate(film, cv2.ROTATE_180),
    "rotated 270": lambda film: cv2.rotate(film, cv2.ROTATE_90_COUNTERCLOCKWISE),
    "mirrored": lambda film: cv2.flip(film, 1),
    "mirrored and rotated 90": lambda film: cv2.rotate(cv2.flip(film, 1), cv2.ROTATE_90_CLOCKWISE),
    "mirrored and rotated 180": lambda film: cv2.flip(film, 0),
    "mirrored and rotated 270": cv2.transpose,
}


def film(seed):
    return draw_film(np.random.default_rng(seed), fractured=False)[0].astype(np.float32) / 255


def save(path, pixels):
    cv2.imwrite(str(path), np.rint(pixels * 255).astype(np.uint8))
    return path


def shelf(folder, films):
    """Save films and give (records, files) as find_pairs wants them."""
    files = [save(folder / f"{index}.png", pixels) for index, pixels in enumerate(films)]
    records = [
        ImageRecord(f"s/{i}", f"{i}.png", "s", pixels.shape[::-1], attributes=fingerprint(Radiograph(pixels.copy())))
        for i, pixels in enumerate(films)
    ]
    return records, files


def found(folder, films):
    return {(pair.first, pair.second): pair.orientation for pair in find_pairs(*shelf(folder, films))}


def synthetic(n, seed=0):
    return draw_thumbnails(np.random.default_rng(seed), n)


def turned(thumbnail, orientation):
    return TURNS[orientation](thumbnail.astype(np.float32))


def standard(image):
    return ((image - image.mean()) / image.std()).astype(np.float16)


def everyone_with_everyone(thumbnails):
    """Compare all with all in all orientations, the plain way: (first, second, orientation) -> correlation."""
    flat = thumbnails.reshape(len(thumbnails), -1).astype(np.float32)
    pairs = {}
    for orientation in TURNS:
        one = np.stack([turned(t, orientation).ravel() for t in thumbnails])
        for start in range(0, len(one), 512):
            correlation = one[start : start + 512] @ flat.T / flat.shape[1]
            for row, second in np.argwhere(correlation >= (NEAR if orientation == "as is" else TURNED)):
                if start + row < second:
                    pairs[int(start + row), int(second), orientation] = float(correlation[row, second])
    return pairs


def one_way_round(pairs):
    back = {"rotated 90": "rotated 270", "rotated 270": "rotated 90"}
    return {(a, b, o) if a < b else (b, a, back.get(o, o)): c for a, b, c, o in pairs}


def test_identical_films_are_a_pair_and_others_are_not(tmp_path):
    a, b, c = film(0), film(1), film(2)
    assert found(tmp_path, [a, b, a, c, a]) == dict.fromkeys([(0, 2), (0, 4), (2, 4)], "as is")


@pytest.mark.parametrize(
    "change",
    [
        lambda film: np.clip(film * 1.2 + 0.03, 0, 1),
        lambda film: film * 0.6,
        lambda film: cv2.GaussianBlur(film, (0, 0), 1.2),
        lambda film: cv2.resize(film, (200, 243), interpolation=cv2.INTER_AREA),
        lambda film: cv2.resize(film, (900, 1095)),
        lambda film: np.clip(film + np.random.default_rng(0).normal(0, 0.02, film.shape), 0, 1),
    ],
)
def test_near_duplicates_are_a_pair(tmp_path, change):
    a, b = film(0), film(1)
    pairs = find_pairs(*shelf(tmp_path, [a, b, np.asarray(change(a), np.float32)]))
    assert [(pair.first, pair.second, pair.orientation) for pair in pairs] == [(0, 2, "as is")]
    assert NEAR <= pairs[0].correlation <= 1.0 + 1e-6


@pytest.mark.parametrize("orientation", TURNS)
def test_a_turned_copy_is_found_and_its_orientation_named(tmp_path, orientation):
    a, b = film(0), film(1)
    copy = cv2.resize(np.clip(turned(a, orientation) * 1.1, 0, 1), None, fx=0.8, fy=0.8, interpolation=cv2.INTER_AREA)
    assert found(tmp_path, [b, a, copy]) == {(1, 2): orientation}
    back = {"rotated 90": "rotated 270", "rotated 270": "rotated 90"}.get(orientation, orientation)
    assert found(tmp_path, [copy, a, b]) == {(0, 1): back}


@pytest.mark.parametrize("orientation", ORIENTATIONS, ids=lambda orientation: orientation.name)
def test_pixels_and_cosine_terms_turn_alike(orientation):
    images = np.random.default_rng(0).random((2, 64, 64), np.float32)
    pixels = orientation.of_pixels(images)
    assert np.array_equal(pixels, np.stack([turned(image, orientation.name) for image in images]))
    terms = orientation.of_terms(dctn(images, axes=(1, 2), norm="ortho")[:, :16, :16])
    assert terms == pytest.approx(dctn(pixels, axes=(1, 2), norm="ortho")[:, :16, :16], abs=1e-4)


@pytest.mark.parametrize("rest", [0.55, 0.8])
@pytest.mark.parametrize("tile", [lambda shape: 0.5, lambda shape: np.random.default_rng(1).random(shape)])
def test_the_whole_film_behind_one_that_lost_its_end_is_found(tmp_path, rest, tile):
    a, b = film(0), film(1)
    cut = a.copy()
    cut[int(len(a) * rest) :] = tile(cut[int(len(a) * rest) :].shape)
    assert found(tmp_path, [b, a, cut]) == {(1, 2): "as is"}


def test_upper_halves_with_nothing_on_them_are_no_pair(tmp_path):
    films = [film(0), film(1)]
    for pixels in films:
        pixels[: len(pixels) * 6 // 10] = 0.1
    assert found(tmp_path, films) == {}


def test_upper_halves_with_next_to_nothing_on_them_are_no_pair():
    thumbnails = np.random.default_rng(0).standard_normal((2, 64, 64))
    thumbnails[:, :32] = 0.05 * np.linspace(-1, 1, 64)
    assert not list(alike(np.stack([standard(thumbnail) for thumbnail in thumbnails])))
    thumbnails[:, :32] *= 20
    assert len(list(alike(np.stack([standard(thumbnail) for thumbnail in thumbnails])))) > 0


def test_films_with_nothing_on_them_are_no_pair_unless_identical(tmp_path):
    black, grey = np.zeros((90, 60), np.float32), np.full((90, 60), 0.5, np.float32)
    assert found(tmp_path, [black, grey]) == {}
    assert found(tmp_path, [black, grey, black, film(0)]) == {(0, 2): "as is"}


def test_no_films_no_pairs():
    assert find_pairs([], []) == []


def test_a_film_that_vanished_or_is_none_is_said(tmp_path):
    records, files = shelf(tmp_path, [film(0), film(1)])
    files[1].write_bytes(b"this is no film")
    with pytest.raises(BrokenFilm, match=r"film 2 of 2 .*run preprocess again"):
        find_pairs(records, files)
    files[1].unlink()
    with pytest.raises(BrokenFilm, match="No such file"):
        find_pairs(records, files)


def test_a_look_says_why_there_is_nothing_to_see(tmp_path):
    thumbnails, looks = look_at([tmp_path / "gone.png", save(tmp_path / "a.png", film(0))])
    assert looks[0].problem == "the film cannot be opened: No such file or directory"
    assert not thumbnails[0].any()
    assert looks[1].problem is None
    assert looks[1].size_px == film(0).shape[::-1]
    assert looks[1].deviation == pytest.approx(film(0).std(), abs=1e-3)
    assert thumbnails[1].mean(dtype=np.float32) == pytest.approx(0, abs=1e-3)
    assert thumbnails[1].std(dtype=np.float32) == pytest.approx(1, abs=1e-3)


def test_a_raw_film_and_its_harmonised_copy_are_one(tmp_path):
    raw = save(tmp_path / "raw.png", film(0))
    config = HarmoniseConfig(long_side_px=300)
    prepared = harmonise(Radiograph(film(0)), config)
    (tmp_path / "prepared.png").write_bytes(encode_png(prepared))
    one, other = look(raw, config)[0], look(tmp_path / "prepared.png", HarmoniseConfig())[0]
    assert (one.astype(np.float32) * other).mean() == pytest.approx(1, abs=1e-3)


def test_rows_that_repeat_one_block_are_seen(tmp_path):
    pixels = np.rint(film(0) * 255) / 255
    assert look(save(tmp_path / "a.png", pixels), HarmoniseConfig())[1].repeated == 0
    rows, columns = (length // 16 * 16 for length in pixels.shape)
    pixels[rows - 64 : rows, :columns] = np.tile(np.random.default_rng(0).random((16, 16)), (4, columns // 16))
    assert look(save(tmp_path / "b.png", pixels), HarmoniseConfig())[1].repeated == pytest.approx(4 / (rows // 16))
    pixels[rows - 64 :] = 0.5
    assert look(save(tmp_path / "c.png", pixels), HarmoniseConfig())[1].repeated == 0


def test_the_fingerprint_knows_pixels_and_shape():
    a = np.zeros((4, 6), np.float32)
    b = a.copy()
    b[0, 0] = 1 / 65535
    prints = [fingerprint(Radiograph(p)) for p in (a.copy(), a.copy(), a.reshape(6, 4).copy(), b)]
    assert prints[0] == prints[1]
    assert len({known["pixel_sha256"] for known in prints}) == 3
    assert set(prints[0]) == {"pixel_sha256"}


@pytest.mark.parametrize("seed", range(3))
def test_nothing_is_missed(seed):
    rng = np.random.default_rng(seed)
    thumbnails = synthetic(1500, seed)
    for orientation in list(TURNS) * 12:
        original, copy = rng.choice(len(thumbnails), 2, replace=False)
        noise = rng.normal(0, rng.uniform(0, 0.4), (64, 64))
        thumbnails[copy] = standard(turned(thumbnails[original], orientation) + noise)
    thumbnails[rng.choice(len(thumbnails), 20)] = 0
    expected = everyone_with_everyone(thumbnails)
    assert len({orientation for _, _, orientation in expected}) == len(TURNS)
    assert min(expected.values()) < TURNED < max(expected.values())
    got = one_way_round(pair for pair in alike(thumbnails))
    # Upper halves are searched beside whole films; what they add is no pair of whole films.
    extra = {key for key in got if key not in expected}
    assert got.keys() - extra == expected.keys()
    assert all(key[2] == "as is" and got[key] >= SAME for key in extra)
    for key, correlation in expected.items():
        assert got[key] == pytest.approx(correlation, abs=1e-4) or got[key] >= SAME


@pytest.mark.parametrize("shell", [1, 48])
@pytest.mark.parametrize("smooth", [0, 9])
def test_films_at_the_threshold_are_found(monkeypatch, shell, smooth):
    monkeypatch.setattr(search, "_SHELL", shell)
    rng = np.random.default_rng(0)
    one = standard(cv2.GaussianBlur(rng.random((64, 64)), (0, 0), 9)).astype(np.float64)
    # A difference beyond the low terms is where bounds are weakest; one among them leaves the search no room.
    other = rng.standard_normal((64, 64))
    other = cv2.GaussianBlur(other, (0, 0), smooth) if smooth else other
    other = other - other.mean()
    other = other - one * (other * one).mean()
    other /= other.std()
    for wanted, is_found in ((NEAR + 0.001, True), (NEAR - 0.001, False)):
        near = wanted * one + math.sqrt(1 - wanted**2) * other
        assert bool(list(alike(np.stack([one, near]).astype(np.float16)))) is is_found


def test_the_search_grows_more_slowly_than_the_number_of_pairs(monkeypatch):
    real, compared = np.nonzero, []

    def count(bounds):
        compared.append(bounds.size)
        return real(bounds)

    def comparisons(n):
        compared.clear()
        list(alike(synthetic(n)))
        return sum(compared)

    monkeypatch.setattr(search.np, "nonzero", count)
    few, many = comparisons(1500), comparisons(6000)
    assert few < 0.3 * len(ORIENTATIONS) * 1500**2
    assert math.log(many / few) / math.log(4) < 1.7


def test_few_candidates_reach_the_pixels(monkeypatch):
    checked = []
    real = search._Shells._checked

    def count(self, first, second, *rest):
        checked.append(len(first))
        return real(self, first, second, *rest)

    monkeypatch.setattr(search._Shells, "_checked", count)
    list(alike(synthetic(3000)))
    assert sum(checked) < 0.005 * len(ORIENTATIONS) * 3000**2 / 2


def labelled(*truths):
    return [ImageRecord(f"s/{i}", f"{i}.png", "s", (4, 4), fractured=truth) for i, truth in enumerate(truths)]


def test_one_exposure_under_two_labels_is_a_contradiction():
    records = labelled(True, False, False, True, None)
    pairs = [Pair(0, 1, 1.0), Pair(1, 2, 1.0), Pair(0, 3, 0.999), Pair(0, 4, 1.0)]
    assert contradictions(records, pairs) == {0: 1, 1: 0}


def test_films_that_are_only_alike_may_differ_in_label():
    assert contradictions(labelled(True, False), [Pair(0, 1, SAME - 0.001)]) == {}


def test_the_traps_of_the_phantom_are_found_and_nothing_else(phantom_stages):
    for stage in phantom_stages[:2]:
        records = [record for record in manifest.load(stage) if record.split != "set_aside"]
        pairs = find_pairs(records, [stage / record.path for record in records])
        names = {frozenset((records[pair.first].image_id, records[pair.second].image_id)) for pair in pairs}
        traps = phantom_stages[2]
        near = traps.near
        assert names == {
            frozenset((traps.whole, traps.truncated)),
            frozenset(traps.opposite),
            *(frozenset(two) for two in ((near[0], near[1]), (near[0], near[2]), (near[1], near[2]))),
        }
        assert {pair.orientation for pair in pairs} == {AS_IS.name}
        wrong = {records[index].image_id for index in contradictions(records, pairs)}
        assert wrong == set(traps.opposite)


def encoded(pixels, kind="PNG", **options):
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, kind, **options)
    return out.getvalue()


def half(pixels):
    return cv2.resize(pixels, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)


AGAIN = {
    "lossless": lambda film: encoded(film, "TIFF"),
    "worse JPEG": lambda film: encoded(film, "JPEG", quality=30),
    "half as large": lambda film: encoded(half(film), "JPEG", quality=75),
    "a square": lambda film: encoded(cv2.resize(film, (224, 224), interpolation=cv2.INTER_AREA)),
    "mirrored": lambda film: encoded(film[:, ::-1].copy(), "JPEG"),
    "turned": lambda film: encoded(np.rot90(film).copy()),
    "brighter": lambda film: encoded(np.clip(film.astype(int) + 20, 0, 255).astype(np.uint8)),
    "white for black": lambda film: encoded(255 - film),
    "16 bits": lambda film: encoded(film.astype(np.uint16) * 257),
    "harmonised, its mark lost": lambda film: encoded(
        harmonise(Radiograph((film / 255).astype(np.float32)), HarmoniseConfig()).pixels
    ),
}


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    """Give a dozen films, and the traces of their harmonised selves, as a bundle has them."""
    folder = tmp_path_factory.mktemp("known")
    films = [draw_film(np.random.default_rng(number), fractured=False)[0] for number in range(12)]
    for number, film in enumerate(films):
        harmonised = harmonise(Radiograph((film / 255).astype(np.float32)), HarmoniseConfig())
        (folder / f"{number}.png").write_bytes(encode_png(harmonised))
    return films, traces(sorted(folder.iterdir(), key=lambda file: int(file.stem)), HarmoniseConfig())


@pytest.mark.parametrize("how", AGAIN)
def test_a_film_saved_again_is_known_by_how_it_looks(known, how, tmp_path):
    films, seen = known
    (tmp_path / "film").write_bytes(AGAIN[how](films[7]))
    found = trace(tmp_path / "film", HarmoniseConfig())
    looks = [one.looks[0] for one in seen]
    assert next(copies(looks, found.looks))[0] == 7


def test_other_films_are_no_copies(known, tmp_path):
    _, seen = known
    files = []
    for number in range(12, 36):
        files.append(tmp_path / f"{number}.png")
        files[-1].write_bytes(encoded(draw_film(np.random.default_rng(number), fractured=True)[0]))
    looks = [look for one in traces(files, HarmoniseConfig()) for look in one.looks]
    assert len(looks) == 48
    assert list(copies([one.looks[0] for one in seen], looks)) == []


def test_a_lossless_copy_has_the_same_hash(known, tmp_path):
    films, _ = known
    told = set()
    for number, data in enumerate((encoded(films[0]), *(AGAIN[how](films[0]) for how in ("lossless", "worse JPEG")))):
        (tmp_path / str(number)).write_bytes(data)
        told.add(trace(tmp_path / str(number), HarmoniseConfig()).pixel_sha256)
    assert len(told) == 2, "PNG and TIFF of the same greys are one film; a JPEG of them is near, not the same"


def test_what_cannot_be_read_or_seen_has_no_look(tmp_path):
    (tmp_path / "film").write_bytes(b"no film")
    assert trace(tmp_path / "film", HarmoniseConfig()) == trace(tmp_path / "none", HarmoniseConfig()) == Trace()
    (tmp_path / "even").write_bytes(encoded(np.full((90, 80), 7, np.uint8)))
    assert trace(tmp_path / "even", HarmoniseConfig()).looks == ()
    assert list(copies([], [b"x" * 256])) == list(copies([b"x" * 256], [])) == []
    with pytest.raises(BadValue, match="expected 256 bytes of each, got"):
        list(copies([b"x" * 100], [b"x" * 256]))
