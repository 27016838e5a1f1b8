"""Label files as annotators' tools write them: read into names and boxes, or refused with the place that is wrong."""

import json

import pytest

from fracture.core.errors import BadValue, MissingData
from fracture.data.labels import (
    Drawn,
    FractureClasses,
    class_list,
    keypoint_shape,
    read_supervisely,
    read_voc,
    read_yolo,
    sort_out,
)

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
        ("1 0.5 0.5 -0.2 0.4", [("fracture", (0.4, 0.3, 0.6, 0.7))]),
        ("1 0,5 ,5 0,2 4e-1", [("fracture", (0.4, 0.3, 0.6, 0.7))]),
        ("1 0.02 0.5 0.05 0.4", [("fracture", (-0.005, 0.3, 0.045, 0.7))]),
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
        ("1", "classification has it, got 1 numbers"),
        ("1 90 105 80 91", "expected fractions, got 90"),
        ("1 1.071 1.063 0.858 0.873", r"expected fractions, got 1\.071"),
        ("1 0.5 0.5 1.5 0.2", r"expected fractions, got 1\.5"),
        ("1 50 60 70 60 70 80", "expected fractions, got 50"),
        ("1 0.5 0.5 1,234 0.2", "expected a number, got '1,234'"),
        ("1 0.5 0.5 0_2 0.2", "expected a number, got '0_2'"),
        ("1 0.5 0.5 0.2 0.4 7", "track, as predictions have it, got 6 numbers"),
        ("1 0.5 0.5 0.2 0.4 0.9 7", "track, as predictions have it, got 7 numbers"),
        ("1 0.5 0.5 0.2 0.4 0.5 0.4 1", "kpt_shape, got 8 numbers"),
        ("1 0.5 0.5 0.2 0.4 0.5 0.4 2 0.5 0.6 0", "kpt_shape, got 11 numbers"),
        ("1 0.1 0.2 0.5 0.2 0.5 0.6 0.1 0.6 0.9", "got 10 numbers"),
    ],
)
def test_a_wrong_yolo_line_is_named(tmp_path, line, complaint):
    path = write(tmp_path / "wrong film.txt", f"1 0.5 0.5 0.2 0.4\n\n{line}\n")
    with pytest.raises(BadValue, match=rf"wrong film\.txt line 3: .*{complaint}"):
        read_yolo(path, NAMES)


def test_keypoints_behind_a_box_are_passed_over_where_the_class_list_states_them(tmp_path):
    shape = keypoint_shape(write(tmp_path / "data.yaml", "names: [a]\nkpt_shape: [2, 3]\n"))
    assert shape == (2, 3)
    rows = "1 0.5 0.5 0.2 0.4 0.5 0.4 2 0.5 0.6 1\n1 0.5 0.5 0.2 0.4\n"
    drawn = read_yolo(write(tmp_path / "x.txt", rows), NAMES, shape)
    assert approximately(drawn) == [("fracture", (0.4, 0.3, 0.6, 0.7))] * 2
    with pytest.raises(BadValue, match=r"2 keypoints of 3 numbers each, as kpt_shape says, got 9 numbers"):
        read_yolo(write(tmp_path / "x.txt", "1 0.5 0.5 0.2 0.4 0.5 0.4 0.5 0.6"), NAMES, shape)
    assert keypoint_shape(write(tmp_path / "data.yaml", "names: [a]")) is None
    with pytest.raises(BadValue, match="kpt_shape"):
        keypoint_shape(write(tmp_path / "data.yaml", "kpt_shape: 17"))


def test_a_repaired_box_says_so(tmp_path):
    (drawn,) = read_yolo(write(tmp_path / "x.txt", "1 0.5 0.5 -0.2 0.4"), NAMES)
    assert "from another corner" in drawn.note
    assert sort_out([drawn], None).notes == (drawn.note,)
    assert sort_out([drawn], frozenset()).notes == ()


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


def voc_in(encoding, declared, name="f"):
    text = f"<annotation><object><name>{name}</name><bndbox><xmin>9</xmin><ymin>20</ymin><xmax>1</xmax><ymax>2</ymax>"
    text += "</bndbox></object></annotation>"
    return ((f'<?xml version="1.0" encoding="{declared}"?>\n' if declared else "") + text).encode(encoding)


@pytest.mark.parametrize(
    ("encoding", "declared"),
    [
        ("gb2312", "gb2312"),
        ("gbk", "GB2312"),
        ("gbk", "cp936"),
        ("gb18030", "gb18030"),
        ("big5", "big5"),
        ("shift_jis", "Shift_JIS"),
        ("utf-8", "utf8"),
        ("utf-8", "gb2312"),  # declared, and not so
        ("utf-8", "utf-16"),
        ("utf-8", "no such encoding"),
        ("utf-8", "unicode_escape"),
        ("utf-8", None),
        ("utf-8-sig", "gb2312"),
        ("utf-16", "utf-16"),
        ("utf-16-le", None),
        ("utf-16-be", "utf-16"),
        ("utf-32", None),
    ],
)
def test_xml_is_read_by_the_encoding_it_has_and_corners_in_any_order(tmp_path, encoding, declared):
    _, (drawn,) = read_voc(write(tmp_path / "x.xml", voc_in(encoding, declared, "\u9aa8")))
    assert (drawn.name, drawn.box) == ("\u9aa8", (1.0, 2.0, 9.0, 20.0))
    assert drawn.note


def test_latin_1_is_read_where_it_is_declared_and_refused_where_it_is_not(tmp_path):
    _, (drawn,) = read_voc(write(tmp_path / "x.xml", voc_in("latin-1", "ISO-8859-1", "H\u00fcfte")))
    assert drawn.name == "H\u00fcfte"
    for declared in (None, "utf-8", "ascii"):
        with pytest.raises(BadValue, match=r"x\.xml: expected text in .*, (as it declares|for it declares no other)"):
            read_voc(write(tmp_path / "x.xml", voc_in("latin-1", declared, "H\u00fcfte")))


def test_a_polygon_gives_the_corners_where_voc_has_no_box(tmp_path):
    points = "<x1>3</x1><y1>4</y1><x2>9</x2><y2>5</y2><x3>4</x3><y3>20</y3>"
    text = f"<annotation><object><name>f</name><polygon>{points}</polygon></object></annotation>"
    assert read_voc(write(tmp_path / "x.xml", text))[1] == (Drawn("f", (3.0, 4.0, 9.0, 20.0)),)


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
        ("<annotations><image/></annotations>", "<annotations>, as CVAT writes"),
        ("<annotation><object><name>f</name><robndbox/></object></annotation>", "expected a <bndbox>, got <robndbox>"),
        ("<annotation><object><name>f</name><bndbox/><bndbox/></object></annotation>", "one <bndbox>, got 2"),
        (
            voc_in("utf-8", None).replace(b"20", b".2").replace(b">9<", b">.9<").replace(b">2<", b">.1<"),
            "expected pixels",
        ),
        (BOMB.encode("utf-8").replace(b"?><", b'encoding="gb2312"?><'), "document type"),
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
