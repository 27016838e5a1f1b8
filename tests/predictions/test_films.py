"""A name means one film or none; the surer kind of name comes first."""

from unicodedata import normalize

import pytest

from fracture.core.errors import BadValue
from fracture.core.types import ImageRecord
from fracture.predictions.films import Films


def film(image_id, path):
    return ImageRecord(image_id, path, image_id.split("/")[0], (10, 10))


MURA = [film(f"mura/HAND/p1/s1/image{n}", f"images/test/mura__HAND__p1__s1__image{n}.png") for n in (1, 2)]
FILMS = [
    *MURA,
    film("g/7", "images/test/g__7.png"),
    film("g/Hüfte", "images/val/g__Hüfte.jpg"),
    film("own/1.2.840.1", "films/1.2.840.1"),
    film("own/1.2.840.2", "films/1.2.840.2.dcm"),
    film("own/x", "films/left/scan.png"),
    film("own/y", "films/right/scan.png"),
    film("own/z", "films/right/scan.tif"),
]


@pytest.mark.parametrize(
    ("name", "image_id"),
    [
        ("g/7", "g/7"),
        ("images/test/g__7.png", "g/7"),
        ("/somewhere/images/test/g__7.png", "g/7"),
        ("C:\\sets\\images\\test\\g__7.png", "g/7"),
        ("g__7.png", "g/7"),
        ("g__7.jpg", "g/7"),  # predicted on a copy in another format
        ("g__7", "g/7"),
        ("7", "g/7"),
        ("7.PNG", "g/7"),
        ("/mura/valid/HAND/p1/s1/image2.png", "mura/HAND/p1/s1/image2"),
        (normalize("NFD", "g__Hüfte.jpg"), "g/Hüfte"),  # macOS spells its names so
        ("1.2.840.1", "own/1.2.840.1"),
        ("1.2.840.2", "own/1.2.840.2"),
        ("1.2.840.2.png", "own/1.2.840.2"),
        ("left/scan.png", "own/x"),
        ("scan.tif", "own/z"),
        ("own__x", "own/x"),
        ("1.2.840.3", None),
        ("1.2.840", None),
        ("image2.png", None),
        ("../../etc/passwd", None),
        ("", None),
        ("/", None),
    ],
)
def test_a_name_means_the_film_it_fits(name, image_id):
    found = Films(FILMS).find(name)
    assert (found.image_id if found else None) == image_id


@pytest.mark.parametrize("name", ["scan.png", "scan", "elsewhere/scan.png"])
def test_a_name_that_several_films_share_is_refused_by_name(name):
    with pytest.raises(BadValue, match=r"scan.*could be any of [23] films: 'own/x', 'own/y'"):
        Films(FILMS).find(name)


def test_unknown_names_are_counted_by_row_and_the_first_few_told():
    names = ["g/7", *"abcdef", "a"]
    with pytest.raises(BadValue, match=r"^7 of 8 rows name .*: 'a', 'b', 'c', 'd', 'e' \.\.\.$"):
        Films(FILMS).match(names)


def test_one_film_under_two_names_is_refused():
    with pytest.raises(BadValue, match="'7' and 'g__7' are one film, g/7"):
        Films(FILMS).match(["7", "g__7"])
    assert list(Films(FILMS).match(["7", "7"])) == ["7"]


def test_image_ids_are_taken_whole():
    assert Films(FILMS).match(["g/7"], {"g/7"})["g/7"].image_id == "g/7"
    with pytest.raises(BadValue, match="1 of 1 rows"):
        Films(FILMS).match(["other/g/7"], {"other/g/7"})
