"""No group stands in two splits, whatever the records look like; the same seed deals the same films."""

import json
from collections import Counter, defaultdict
from dataclasses import replace

import numpy as np
import pytest

from fracture.data.audit import Pair
from fracture.data.split import group, report, set_contradictions_aside, split, split_as_published
from fracture.errors import BadValue
from fracture.types import ImageRecord

REGIONS = ("hand", "leg", "hip", "shoulder")
SHARES = {"val": 0.10, "test": 0.15}


def record(number, **fields):
    known = {"image_id": f"s/{number:05d}", "path": f"images/{number}.png", "source": "s", "size_px": (40, 30)}
    return ImageRecord(**known | fields)


def random_records(rng, films):
    """Give films of few patients, fewer studies and some groups, and pairs between any two of them."""

    def maybe(prefix, kinds):
        return f"{prefix}{rng.integers(kinds)}" if rng.random() < 0.6 else None

    records = [
        record(
            number,
            source=str(rng.choice(["a", "b"])),
            regions=frozenset(rng.choice(REGIONS, size=rng.integers(1, 3), replace=False).tolist()),
            fractured=bool(rng.random() < 0.3),
            patient_id=maybe("p", films // 3),
            study_id=maybe("t", films // 2),
            group_id=maybe("g", films // 2),
        )
        for number in range(films)
    ]
    pairs = [Pair(*sorted(map(int, rng.choice(films, 2, replace=False))), 0.97) for _ in range(films // 20)]
    return records, pairs


def ties(records, pairs):
    """Yield every two films that something ties together, without transitivity: the test's own simple rule."""
    for kind in ("patient_id", "study_id", "group_id"):
        same = defaultdict(list)
        for film in records:
            if getattr(film, kind):
                same[film.source, getattr(film, kind)].append(film.image_id)
        for names in same.values():
            yield from ((names[0], name) for name in names[1:])
    yield from ((records[pair.first].image_id, records[pair.second].image_id) for pair in pairs)


def parts(records):
    return {film.image_id: film.split for film in records}


@pytest.mark.parametrize("seed", range(12))
def test_nothing_that_is_tied_is_ever_parted(seed):
    rng = np.random.default_rng(seed)
    records, pairs = random_records(rng, int(rng.integers(5, 150)))
    part = parts(split(group(records, pairs), **SHARES, seed=seed, stratify=bool(seed % 2)))
    assert part.keys() == {film.image_id for film in records}
    assert set(part.values()) <= {"train", "val", "test"}
    assert all(part[a] == part[b] for a, b in ties(records, pairs))


def test_ties_are_transitive():
    films = [
        record(0, patient_id="p"),
        record(1, patient_id="p", study_id="t"),
        record(2, study_id="t"),
        record(3),
        record(4),
    ]
    grouped = group(films, [Pair(2, 3, 0.96)])
    assert [film.group_id for film in grouped] == ["s/00000"] * 4 + ["s/00004"]


def test_a_patient_number_means_nothing_across_sources():
    films = [record(0, patient_id="1"), record(1, patient_id="1", source="other")]
    assert len({film.group_id for film in group(films, [])}) == 2


def test_the_same_seed_deals_the_same_and_another_does_not():
    records, pairs = random_records(np.random.default_rng(0), 200)
    grouped = group(records, pairs)
    deals = [parts(split(grouped, **SHARES, seed=seed)) for seed in (1, 1, 2)]
    assert deals[0] == deals[1]
    assert deals[0] != deals[2]


@pytest.mark.parametrize("seed", range(4))
def test_the_order_of_the_records_does_not_matter(seed):
    rng = np.random.default_rng(seed)
    records, pairs = random_records(rng, 80)
    order = rng.permutation(80)
    place = {int(old): new for new, old in enumerate(order)}
    shuffled = [records[old] for old in order]
    moved = [Pair(*sorted((place[pair.first], place[pair.second])), pair.correlation) for pair in pairs]
    grouped, regrouped = group(records, pairs), group(shuffled, moved)
    assert {f.image_id: f.group_id for f in grouped} == {f.image_id: f.group_id for f in regrouped}
    assert parts(split(grouped, **SHARES, seed=0)) == parts(split(regrouped, **SHARES, seed=0))


def test_shares_come_close_in_every_stratum():
    rng = np.random.default_rng(0)
    films = []
    for number in range(600):
        known = {"regions": frozenset({str(rng.choice(REGIONS))}), "fractured": bool(rng.random() < 0.2)}
        films += [record(2 * number + second, group_id=f"g{number}", **known) for second in (0, 1)]
    dealt = split(group(films, []), **SHARES, seed=0)
    for region in REGIONS:
        for fractured in (True, False):
            stratum = [film for film in dealt if region in film.regions and film.fractured is fractured]
            counts = Counter(film.split for film in stratum)
            # Groups of two films: a stratum may be a group or two away from its share.
            assert counts["test"] == pytest.approx(0.15 * len(stratum), abs=3)
            assert counts["val"] == pytest.approx(0.10 * len(stratum), abs=3)


def test_a_rare_region_stands_in_every_split():
    common = [record(n, regions=frozenset({"leg"}), fractured=n % 5 == 0) for n in range(300)]
    rare = [record(300 + n, regions=frozenset({"leg", "hip"}), fractured=n % 2 == 0) for n in range(20)]
    dealt = split(group(common + rare, []), **SHARES, seed=0)
    assert {film.split for film in dealt if "hip" in film.regions} == {"train", "val", "test"}


@pytest.mark.parametrize("seed", range(5))
def test_groups_that_touch_a_published_holdout_go_to_test(seed):
    rng = np.random.default_rng(seed)
    records, pairs = random_records(rng, 120)
    lists = ["train", "val", "test", None]
    records = [
        replace(film, attributes={"official_split": name} if (name := lists[rng.integers(4)]) else {})
        for film in records
    ]
    held = {film.image_id for film in records if film.attributes.get("official_split") in {"val", "test"}}
    grouped = group(records, pairs)
    dealt = split(grouped, **SHARES, seed=seed)
    touched = {film.group_id for film in grouped if film.image_id in held}
    assert {film.split for film in dealt if film.group_id in touched} == {"test"}
    # What the published training list alone names may still be trained on.
    assert "train" in {film.split for film in dealt if film.attributes.get("official_split") == "train"}


def test_a_published_film_that_was_set_aside_still_holds_its_group():
    films = [
        record(0, group_id="g", split="set_aside", attributes={"official_split": "test"}),
        record(1, group_id="g"),
        *(record(n) for n in range(2, 20)),
    ]
    dealt = parts(split(films, **SHARES, seed=0))
    assert (dealt["s/00000"], dealt["s/00001"]) == ("set_aside", "test")


def test_films_set_aside_stay_so():
    films = [record(0, split="set_aside"), *(record(n) for n in range(1, 9))]
    assert [film.split for film in split(films, **SHARES, seed=0)].count("set_aside") == 1


@pytest.mark.parametrize(("val", "test"), [(0.5, 0.5), (1.0, 0.0), (-0.1, 0.2), (0.2, -0.1), (0.9, 0.3)])
def test_shares_that_leave_nothing_to_train_on_are_refused(val, test):
    with pytest.raises(BadValue, match="sum below 1"):
        split([record(0)], val=val, test=test, seed=0)


def test_a_share_of_nothing_gets_nothing():
    films = [record(n) for n in range(40)]
    assert set(parts(split(films, val=0.0, test=0.25, seed=0)).values()) == {"train", "test"}


def test_nothing_to_split():
    assert split([], **SHARES, seed=0) == []


def test_the_published_lists_are_followed_to_the_letter():
    films = [
        record(0, attributes={"official_split": "val"}, group_id="g"),
        record(1, attributes={"official_split": "train"}, group_id="g"),
        record(2),
        record(3, split="set_aside", attributes={"official_split": "test", "reason": "broken"}),
    ]
    dealt = split_as_published(films)
    assert [film.split for film in dealt] == ["val", "train", "set_aside", "set_aside"]
    assert dealt[2].attributes["reason"] == "on none of the published split lists"
    assert dealt[3].attributes["reason"] == "broken"


def test_contradictions_are_set_aside_and_say_of_whom():
    films = [record(0, fractured=True), record(1, fractured=False), record(2, fractured=False)]
    first, second, third = set_contradictions_aside(films, [Pair(0, 1, 1.0)])
    assert (first.split, second.split, third.split) == ("set_aside", "set_aside", None)
    assert "s/00001, opposite label" in first.attributes["reason"]


def test_the_report_accounts_for_every_film_and_sees_leaks():
    films = [
        record(0, split="train", group_id="g", fractured=True, boxes=((0.0, 0.0, 4.0, 4.0),)),
        record(1, split="test", group_id="g", fractured=False),
        record(2, split="val", group_id="h", fractured=False, regions=frozenset({"hand", "leg"})),
        record(3, split="set_aside", attributes={"reason": "broken"}),
    ]
    pairs = [("s/00000", "s/00001", 0.99), ("s/00002", "s/00003", 1.0)]
    told = report(films, pairs)
    kinds = ("films_in", "films_in_splits", "films_set_aside", "films_unaccounted_for")
    assert [told[kind] for kind in kinds] == [4, 3, 1, 0]
    assert told["leaks"] == {"groups_in_two_splits": ["g"], "duplicates_in_two_splits": [pairs[0]]}
    assert told["splits"]["train"] == {"films": 1, "fractured": 1, "boxes": 1, "groups": 1, "unknown_fractured": 1}
    assert told["splits"]["val"]["hand_normal"] == told["splits"]["val"]["leg_normal"] == 1
    assert told["set_aside"] == {"s/00003": "broken"}
    assert json.loads(json.dumps(told))["films_in"] == 4


def test_a_film_in_no_split_is_unaccounted_for():
    assert report([record(0), record(1, split="train")], [])["films_unaccounted_for"] == 1


def test_a_group_that_grew_too_large_is_for_a_person_to_review():
    films = [record(n, split="train", group_id="g") for n in range(31)]
    assert report(films, [])["groups_to_review"] == {"g": 31}
