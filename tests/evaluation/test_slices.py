"""The parts of a split: what they are called, who is in them, what happens where nothing is stated."""

import pytest

from fracture.core.errors import BadValue
from fracture.core.types import Detections, ImageRecord
from fracture.evaluation.cases import Cases
from fracture.evaluation.slices import film_size, slices


def film(name, regions=("leg",), **more):
    return ImageRecord(f"s/{name}", f"{name}.png", "s", (400, 500), frozenset(regions), fractured=False, **more)


def cases(*films):
    return Cases("test", films, (Detections.empty(),) * len(films), {}, films)


def named(parts):
    return {value: [record.image_id[2:] for record in part.records] for value, part in parts.items()}


def test_a_film_that_shows_two_regions_counts_in_both():
    found = slices(cases(film("a", ("leg", "hip")), film("b", ("leg",))))
    assert named(found["region"]) == {"hip": ["a"], "leg": ["a", "b"]}


def test_a_slice_that_says_nothing_of_any_film_is_left_out():
    found = slices(cases(film("a"), film("b")))
    assert set(found) == {"region", "source", "film size"}
    found = slices(cases(film("a", attributes={"hardware": "1"}), film("b")))
    assert named(found["hardware"]) == {"not stated": ["b"], "yes": ["a"]}


def test_film_size_is_the_size_the_film_came_in():
    assert film_size(film("a", attributes={"original_px": "2304x2880"})) == "long side above 600 px"
    assert film_size(film("a", attributes={"original_px": "373x454"})) == "long side up to 600 px"
    assert film_size(film("a")) == "long side up to 600 px"
    assert film_size(film("a", attributes={"original_px": "600x601"})) == "long side above 600 px"


def test_any_column_of_the_manifest_makes_a_slice():
    films = cases(film("a", attributes={"cast": "1", "age": "7"}, flags=frozenset({"truncated"})), film("b"))
    assert named(slices(films, ["x_cast"])["x_cast"]) == {"not stated": ["b"], "yes": ["a"]}
    assert named(slices(films, ["age"])["age"]) == {"7": ["a"], "not stated": ["b"]}
    assert named(slices(films, ["flags"])["flags"]) == {"none": ["b"], "truncated": ["a"]}
    assert slices(films, ["region"]).keys() == slices(films).keys()  # it is there already


def test_a_column_that_names_single_films_is_no_slice():
    films = cases(*(film(f"{i}", attributes={"number": f"{i}"}) for i in range(51)))
    with pytest.raises(BadValue, match="at most 50 values, got 51"):
        slices(films, ["number"])


def test_a_column_that_no_film_has_is_refused_with_those_there_are():
    with pytest.raises(BadValue, match=r"age.*region.*got 'agee'"):
        slices(cases(film("a", attributes={"age": "7"})), ["agee"])
