"""Label files as annotators' tools write them: read into names and boxes, or refused with the place that is wrong."""

import json

import pytest

from fracture.data.labels import (
    Drawn,
    FractureClasses,
    class_list,
    read_supervisely,
    read_voc,
    read_yolo,
    sort_out,
)
from fracture.errors import BadValue, MissingData

NAMES = ("boneanomaly", "fracture", "text")


def write(path, text):
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def approximately(drawn):
    return [(one.name, pytest.approx(one.box)) for one in drawn]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("\n  \n", []),
        ("1 0.5 0.5 0.2 0.4\n", [("fracture", (0.4, 0.3, 0.6, 0.7))]),
        (
            "\ufeff1 0.5 0.5 0.2 0.4  \r\n\r\n2 0.1 0.1 0.2 0.2",
            [("fracture", (0.4, 0.3, 0.6, 0.7)), ("text", (0, 0, 0.2, 0.2))],
        ),
        ("1.0\t0.5\t0.5\t0.2\t0.4", [("fracture", (0.4, 0.3, 0.6, 0.7))]),
        ("0 0.9 0.2 0.5 0.8 0.1 0.3", [("boneanomaly", (0.1, 0.2, 0.9, 0.8))]),
        ("0 0.1 0.2 0.5 0.2 0.5 0.6 0.1 0.6", [("boneanomaly", (0.1, 0.2, 0.5, 0.6))]),
    ],
)
def test_yolo_boxes_and_polygons_are_fractions_of_the_film(tmp_path, text, expected):
    assert approximately(read_yolo(write(tmp_path / "x.txt", text), NAMES)) == expected


def test_yolo_classes_without_names_are_called_by_number(tmp_path):
    drawn = read_yolo(write(tmp_path / "x.txt", "7 0.5 0.5 0.2 0.4\n"), None)
    assert [one.name for one in drawn] == ["7"]


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("3 0.5 0.5 0.2 0.4", r"0\.\.2, got 3"),
        ("-1 0.5 0.5 0.2 0.4", "got -1"),
        ("0.5 0.5 0.5 0.2 0.4", r"got 0\.5"),
        ("fracture 0.5 0.5 0.2 0.4", "'fracture'"),
        ("1 0.5 0.5 0.2", "got 4 numbers"),
        ("1 0.5 0.5 0.2 0.4 0.9", "got 6 numbers"),
        ("1 0.5 0.5 0.2 0.4 0.9 0.1 0.2", "got 8 numbers"),
        ("1 0.5 0.5 nan 0.4", "'nan'"),
        ("1 0.5 0.5 inf 0.4", "'inf'"),
        ("1", "got 1 numbers"),
    ],
)
def test_a_wrong_yolo_line_is_named(tmp_path, line, complaint):
    path = write(tmp_path / "wrong film.txt", f"1 0.5 0.5 0.2 0.4\n\n{line}\n")
    with pytest.raises(BadValue, match=rf"wrong film\.txt line 3: .*{complaint}"):
        read_yolo(path, NAMES)


def test_a_negative_class_is_refused_without_names_too(tmp_path):
    with pytest.raises(BadValue, match="0 or above, got -1"):
        read_yolo(write(tmp_path / "x.txt", "-1 0.5 0.5 0.2 0.4"), None)


def test_a_yolo_label_that_is_no_text_is_refused(tmp_path):
    with pytest.raises(BadValue, match=r"x\.txt: expected text"):
        read_yolo(write(tmp_path / "x.txt", b"\xff\xfe1\x00"), NAMES)


VOC = """<?xml version="1.0"?>
<annotation><filename>x.png</filename>{size}
<object><name> fracture </name><bndbox><xmin>1</xmin><ymin>2.5</ymin><xmax>10</xmax><ymax>20</ymax></bndbox>
<part><name>tip</name></part></object>
<object><name>text</name><polygon><x1>3</x1></polygon>
<bndbox><xmin>0</xmin><ymin>0</ymin><xmax>4</xmax><ymax>5</ymax></bndbox></object></annotation>"""
SIZE = "<size><width>{}</width><height>{}</height><depth>1</depth></size>"


@pytest.mark.parametrize(
    ("size", "expected"),
    [(SIZE.format(40, 30), (40, 30)), ("", None), (SIZE.format(0, 0), None), (SIZE.format(40, 0), None)],
)
def test_voc_boxes_and_size_are_px(tmp_path, size, expected):
    assert read_voc(write(tmp_path / "x.xml", VOC.format(size=size))) == (
        expected,
        (Drawn("fracture", (1.0, 2.5, 10.0, 20.0)), Drawn("text", (0.0, 0.0, 4.0, 5.0))),
    )


def test_a_voc_file_without_objects_is_a_film_without_any(tmp_path):
    assert read_voc(write(tmp_path / "x.xml", "<annotation/>")) == (None, ())


BOMB = """<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]><annotation>&b;</annotation>"""


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (BOMB, "document type"),
        ('<!DOCTYPE annotation SYSTEM "file:///etc/passwd"><annotation/>', "document type"),
        (BOMB.encode("utf-16"), "NUL"),
        ("<annotation>", "expected XML"),
        ("", "expected XML"),
        ("<html/>", "<html>"),
        ("<annotation><object/></annotation>", "<name>"),
        ("<annotation><object><name>f</name></object></annotation>", "<xmin>: expected a number, got None"),
        (VOC.format(size="").replace("2.5", "NaN"), "'fracture' <ymin>: expected a number, got 'NaN'"),
        (VOC.format(size=SIZE.format("wide", 1)), "<width>: expected a number, got 'wide'"),
    ],
)
def test_anything_but_plain_voc_is_refused(tmp_path, text, complaint):
    with pytest.raises(BadValue, match=complaint) as refusal:
        read_voc(write(tmp_path / "odd.xml", text))
    assert str(refusal.value).startswith("odd.xml")


def supervisely(**changes):
    content = {
        "tags": [],
        "size": {"height": 30, "width": 40},
        "objects": [
            {"classTitle": "fracture", "geometryType": "rectangle", "points": {"exterior": [[10, 20], [3, 4]]}},
            {"classTitle": "axis", "geometryType": "line", "points": {"exterior": [[1, 2], [5, 6]], "interior": []}},
            {"classTitle": "text", "geometryType": "polygon", "points": {"exterior": [[1, 9], [7, 2], [4, 4.5]]}},
        ],
    }
    return json.dumps(content | changes)


def test_supervisely_points_become_the_box_around_them(tmp_path):
    assert read_supervisely(write(tmp_path / "x.json", supervisely())) == (
        (40, 30),
        (
            Drawn("fracture", (3.0, 4.0, 10.0, 20.0)),
            Drawn("axis", (1.0, 2.0, 5.0, 6.0)),
            Drawn("text", (1.0, 2.0, 7.0, 9.0)),
        ),
    )


@pytest.mark.parametrize("size", [None, {}, {"height": 30}, {"height": 0, "width": 40}])
def test_a_supervisely_size_may_be_missing(tmp_path, size):
    assert read_supervisely(write(tmp_path / "x.json", supervisely(size=size, objects=[]))) == (None, ())


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "{}",
        b"\xff",
        supervisely(size=7),
        supervisely(objects=[{"classTitle": "fracture"}]),
        supervisely(objects=[{"classTitle": "fracture", "points": {"exterior": []}}]),
        supervisely(objects=[{"classTitle": "fracture", "points": {"exterior": [[1, 2], [3]]}}]),
        supervisely(objects=[{"classTitle": "fracture", "points": {"exterior": [[1, 2, 3]]}}]),
        supervisely(objects=[{"classTitle": "fracture", "points": {"exterior": [["a", 2]]}}]),
        supervisely(objects=[{"classTitle": "fracture", "bitmap": {"origin": [1, 2]}}]),
    ],
)
def test_anything_but_supervisely_is_refused(tmp_path, text):
    with pytest.raises(BadValue, match=r"^odd\.json"):
        read_supervisely(write(tmp_path / "odd.json", text))


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("names: [a, 'b c']\nnc: 2\n", ("a", "b c")),
        ("\ufeffnames:\n- a\n- b\n", ("a", "b")),
        ("names:\n  1: b\n  0: a\n", ("a", "b")),
        ("names: {'0': a, '1': b}\nnc: 2", ("a", "b")),
        ("nc: 3", ("0", "1", "2")),
        ("names: [0, 1]", ("0", "1")),
        ("names: [Brüche]", ("Brüche",)),
    ],
)
def test_class_lists_in_their_variants(tmp_path, text, names):
    assert class_list(write(tmp_path / "data.yaml", text)) == names


def test_eleven_names_keep_the_order_of_their_numbers(tmp_path):
    text = "names:\n" + "".join(f"  {index}: class{index}\n" for index in range(11))
    assert class_list(write(tmp_path / "data.yaml", text)) == tuple(f"class{index}" for index in range(11))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("names: [a, b]\nnc: 3", "nc 3 and 2 names: 'a', 'b'"),
        ("names: {0: a, 2: b}", "got 0, 2"),
        ("names: {a: 0}", "got a"),
        ("names: fracture", "got 'fracture'"),
        ("names: []", r"got \[\]"),
        ("names: {}", r"got \[\]"),
        ("train: x", "got None"),
        ("nc: 0", "got None"),
        ("- a", "mapping, got list"),
        ("", "mapping, got NoneType"),
        ("names: [", "expected YAML"),
        ("names: !!python/object/apply:os.getcwd []", "expected YAML"),
        (b"names: [\xff]", "expected YAML"),
    ],
)
def test_a_class_list_that_is_none_is_refused(tmp_path, text, complaint):
    with pytest.raises(BadValue, match=complaint):
        class_list(write(tmp_path / "data.yaml", text))


def test_a_missing_class_list_is_named(tmp_path):
    with pytest.raises(MissingData, match=r"data\.yaml"):
        class_list(tmp_path / "data.yaml")


def test_fractures_are_found_by_name_however_it_is_spelled():
    classes = FractureClasses(("left neck", "RIGHT_NECK"))
    assert classes.of(["Left-Neck", "hip", "right  neck"]) == {"Left-Neck", "right  neck"}


@pytest.mark.parametrize("classes", [FractureClasses(("fractures",)), FractureClasses(()), FractureClasses(index=3)])
def test_fractures_that_are_no_class_are_refused_with_the_list(classes):
    with pytest.raises(BadValue, match="'boneanomaly', 'fracture', 'text'"):
        classes.of(NAMES)


def test_an_index_counts_only_when_it_is_given():
    assert FractureClasses(index=2).of(NAMES) == {"text"}
    assert FractureClasses(everything=True).of(NAMES) == set(NAMES)


def test_what_is_drawn_is_sorted_and_counted():
    drawn = [Drawn("fracture", (0, 0, 1, 1)), Drawn("text", (1, 1, 2, 2)), Drawn("fracture", (2, 2, 3, 3))]
    objects = sort_out(drawn, frozenset({"fracture"}))
    assert objects.boxes == ((0, 0, 1, 1), (2, 2, 3, 3))
    assert (objects.kept, objects.dropped) == ({"fracture": 2}, {"text": 1})
    assert sort_out(drawn, None).kept == {"fracture": 2, "text": 1}
