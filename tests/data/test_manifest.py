"""A manifest says on loading what it was told on saving, and names the cell that it cannot read."""

import csv

import pytest

from fracture.core.errors import BadValue, MissingData
from fracture.core.types import ImageRecord
from fracture.data import manifest


def record(name="1", **fields):
    known = {"image_id": f"s/{name}", "path": f"images/{name}.png", "source": "s", "size_px": (400, 300)}
    return ImageRecord(**known | fields)


FULL = record(
    "Ä, 1",
    regions=frozenset({"wrist", "hand"}),
    patient_id="p,1",
    study_id='st"2',
    group_id="s/1",
    view="frontal+lateral",
    fractured=True,
    abnormal=True,
    boxes=((0.1, 0.2, 1 / 3 + 100, 299.99999999), (5.0, 6.0, 7.0, 8.0)),
    weak=True,
    external=True,
    split="val",
    licence="CC BY 4.0",
    flags=frozenset({"truncated", "colour"}),
    attributes={"age": "7", "reason": "two\nlines, and a comma"},
)


def edit(folder, column, cell, row=0):
    """Put one cell into a saved manifest."""
    path = folder / manifest.NAME
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    rows[row][column] = cell
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)


def test_there_and_back(tmp_path):
    records = [
        FULL,
        record("nobody drew", boxes=None),
        record("looked and none", fractured=False, abnormal=False, boxes=()),
        record("undecodable", size_px=(0, 0), split="set_aside", attributes={"reason": "broken"}),
    ]
    assert manifest.save(records, tmp_path) == tmp_path / "manifest.csv"
    assert manifest.load(tmp_path) == records


def test_nobody_drew_is_not_looked_and_found_none(tmp_path):
    manifest.save([record("1"), record("2", boxes=())], tmp_path)
    first, second = manifest.load(tmp_path)
    assert first.boxes is None
    assert second.boxes == ()


def test_attributes_are_columns_and_a_film_has_only_its_own(tmp_path):
    manifest.save([record("1", attributes={"age": "7"}), record("2", attributes={"cast": "1"})], tmp_path)
    header = (tmp_path / "manifest.csv").read_text(encoding="utf-8").splitlines()[0]
    assert header.endswith("flags,x_age,x_cast")
    assert [film.attributes for film in manifest.load(tmp_path)] == [{"age": "7"}, {"cast": "1"}]


def test_the_same_records_give_the_same_bytes(tmp_path):
    first = manifest.save([FULL], tmp_path / "a").read_bytes()
    assert manifest.save(manifest.load(tmp_path / "a"), tmp_path / "b").read_bytes() == first


def test_saving_leaves_nothing_else_behind(tmp_path):
    manifest.save([FULL], tmp_path)
    manifest.save([FULL], tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["manifest.csv"]


@pytest.mark.parametrize(
    ("column", "cell"),
    [
        ("width_px", "four hundred"),
        ("height_px", "-3"),
        ("height_px", "30.5"),
        ("width_px", ""),
        ("fractured", "yes"),
        ("abnormal", "2"),
        ("external", "True"),
        ("weak", "x"),
        ("boxes", "[[1, 2, 3]]"),
        ("boxes", "not json"),
        ("boxes", "[[1, 2, 3, null]]"),
        ("boxes", "7"),
    ],
)
def test_a_bad_cell_is_named_by_row_and_column(tmp_path, column, cell):
    manifest.save([record("1"), record("2"), record("3")], tmp_path)
    edit(tmp_path, column, cell, row=1)
    with pytest.raises(BadValue) as refusal:
        manifest.load(tmp_path)
    assert f"manifest.csv row 3, column {column}" in str(refusal.value)
    assert repr(cell) in str(refusal.value)


@pytest.mark.parametrize(
    ("column", "cell"),
    [("regions", "foot"), ("split", "dev"), ("path", "/abs.png"), ("boxes", "[[0, 0, 900, 9]]"), ("width_px", "0")],
)
def test_a_cell_that_no_record_may_hold_is_named_by_film(tmp_path, column, cell):
    manifest.save([record("1"), record("2")], tmp_path)
    edit(tmp_path, column, cell, row=1)
    with pytest.raises(BadValue, match="'s/2'"):
        manifest.load(tmp_path)


def test_a_missing_column_is_named(tmp_path):
    manifest.save([record()], tmp_path)
    text = (tmp_path / "manifest.csv").read_text(encoding="utf-8")
    (tmp_path / "manifest.csv").write_text(text.replace("group_id", "group"), encoding="utf-8")
    with pytest.raises(BadValue, match="missing: group_id"):
        manifest.load(tmp_path)


@pytest.mark.parametrize("spoil", [lambda text: text[:-12], lambda text: text + "s/2,images/2.png\n"])
def test_a_manifest_that_was_cut_is_refused(tmp_path, spoil):
    manifest.save([record("1"), FULL], tmp_path)
    text = (tmp_path / "manifest.csv").read_text(encoding="utf-8")
    (tmp_path / "manifest.csv").write_text(spoil(text), encoding="utf-8")
    with pytest.raises(BadValue, match=r"manifest\.csv (row|line) "):
        manifest.load(tmp_path)


def test_an_empty_file_is_no_manifest(tmp_path):
    (tmp_path / "manifest.csv").write_bytes(b"")
    with pytest.raises(BadValue, match="missing: image_id"):
        manifest.load(tmp_path)


def test_no_manifest(tmp_path):
    with pytest.raises(MissingData, match=r"manifest\.csv"):
        manifest.load(tmp_path)


def test_an_id_stands_once(tmp_path):
    manifest.save([record("1"), record("1")], tmp_path)
    with pytest.raises(BadValue, match="'s/1' twice"):
        manifest.load(tmp_path)
    with pytest.raises(BadValue, match="'s/1' twice"):
        manifest.merge([[record("1")], [record("2"), record("1")]])


def test_merge_keeps_everything_in_order():
    stages = [[record("2"), record("1")], [], [record("3")]]
    assert [film.image_id for film in manifest.merge(stages)] == ["s/2", "s/1", "s/3"]


def test_an_earlier_deal_is_read_from_any_table_of_ids_and_splits(tmp_path):
    path = tmp_path / "deal.csv"
    path.write_text("\ufeffsplit,note,image_id\ntrain,x,s/1\n,x,s/2\nset_aside,x,s/3\ntest,x,s/4\n", encoding="utf-8")
    assert manifest.load_splits(path) == {"s/1": "train", "s/4": "test"}


@pytest.mark.parametrize(
    ("text", "named"),
    [("image_id\ns/1\n", "columns image_id and split"), ("image_id,split\ns/1,valid\n", "row 2, column split")],
)
def test_a_table_that_is_no_deal_is_refused(tmp_path, text, named):
    (tmp_path / "deal.csv").write_text(text, encoding="utf-8")
    with pytest.raises(BadValue, match=named):
        manifest.load_splits(tmp_path / "deal.csv")


def test_a_deal_that_is_not_there_is_missing(tmp_path):
    with pytest.raises(MissingData, match=r"deal\.csv"):
        manifest.load_splits(tmp_path / "deal.csv")


def test_ids_that_would_share_a_file_name_are_refused():
    with pytest.raises(BadValue, match="'s/a__b' beside 's/a/b'"):
        manifest.check_unique([record("a/b"), record("a__b")])


def test_a_row_that_is_no_text_is_named(tmp_path):
    manifest.save([record("1"), record("2")], tmp_path)
    path = tmp_path / "manifest.csv"
    path.write_bytes(path.read_bytes().replace(b"s/2", b"s/\xff"))
    with pytest.raises(BadValue, match="UTF-8"):
        manifest.load(tmp_path)


def test_a_record_that_contradicts_itself_is_named_by_row_and_column(tmp_path):
    manifest.save([record("1"), record("2")], tmp_path)
    edit(tmp_path, "regions", "foot", row=1)
    with pytest.raises(BadValue, match=r"manifest\.csv row 3, column regions of 's/2': expected one or more of hand"):
        manifest.load(tmp_path)
