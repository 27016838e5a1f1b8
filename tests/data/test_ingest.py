"""One claim in, one record out: repaired and said, or set aside with a reason."""

import io
import json
import os
import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from fracture.core.errors import BadValue
from fracture.core.types import ImageRecord
from fracture.data import manifest
from fracture.data.ingest import Claim, ingest, join_neighbours


def png(size_px=(40, 30), seed=0):
    out = io.BytesIO()
    width, height = size_px
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (height, width)).astype(np.uint8)).save(out, "PNG")
    return out.getvalue()


@pytest.fixture
def claim(tmp_path):
    """Give a claim about a film of 40 x 30 px."""
    file = tmp_path / "native" / "1.png"
    file.parent.mkdir()
    file.write_bytes(png())
    return Claim("s/1", file, "s", "CC0", frozenset({"hand"}), True, ((5.0, 5.0, 20.0, 20.0),), claimed_px=(40, 30))


def one(claim, out):
    (record,) = ingest([claim], out, workers=1)
    return record


def report(out):
    return json.loads((out / "report.json").read_text(encoding="utf-8"))


def test_a_sound_claim_becomes_a_record_as_it_is(claim, tmp_path):
    record = one(claim, tmp_path / "out")
    assert (record.boxes, record.size_px, record.split, record.flags) == (claim.boxes, (40, 30), None, frozenset())
    assert manifest.load(tmp_path / "out") == [record]
    assert (tmp_path / "out" / record.path).read_bytes() == claim.file.read_bytes()
    label = (tmp_path / "out/labels/s__1.txt").read_text(encoding="utf-8").split()
    assert [float(value) for value in label] == pytest.approx([0, 12.5 / 40, 12.5 / 30, 15 / 40, 15 / 30], abs=1e-6)


@pytest.mark.parametrize(
    ("boxes", "kept", "note"),
    [
        (((-3.0, 2.0, 10.0, 40.0),), ((0.0, 2.0, 10.0, 30.0),), "clipped"),
        (((5.0, 5.0, 9.0, 9.0), (38.5, 5.0, 60.0, 9.0)), ((5.0, 5.0, 9.0, 9.0),), "less than 2.0 px"),
        (((5.0, 5.0, 9.0, 9.0), (5.0, 5.0, 9.0, 9.0)), ((5.0, 5.0, 9.0, 9.0),), "twice"),
        (((100.0, 100.0, 120.0, 120.0),), None, "no box is left"),
    ],
)
def test_boxes_are_brought_inside_and_it_is_said(claim, tmp_path, boxes, kept, note):
    record = one(replace(claim, boxes=boxes), tmp_path / "out")
    assert record.boxes == kept
    assert "boxes_repaired" in record.flags
    assert note in record.attributes["notes"]
    assert report(tmp_path / "out")["repairs"] == {"s/1": record.attributes["notes"]}


def test_boxes_that_nobody_drew_stay_undrawn(claim, tmp_path):
    assert one(replace(claim, boxes=None, fractured=None), tmp_path / "out").boxes is None


@pytest.mark.parametrize("content", [b"", b"no film", png()[:20]])
def test_a_file_nobody_can_decode_is_set_aside(claim, tmp_path, content):
    claim.file.write_bytes(content)
    record = one(claim, tmp_path / "out")
    assert record.split == "set_aside"
    assert report(tmp_path / "out")["set_aside_reasons"] == {"s/1": record.attributes["reason"]}
    assert not (tmp_path / "out/images").exists()


def test_a_file_that_cannot_be_opened_is_set_aside_and_the_others_are_kept(claim, tmp_path):
    """Gone, a folder, a name that no file system has: each is that film's row."""
    wrong = {"gone": claim.file.with_name("gone.png"), "folder": tmp_path, "long": claim.file.with_name("n" * 300)}
    claims = [claim, *(replace(claim, image_id=f"s/{name}", file=file) for name, file in wrong.items())]
    records = ingest(claims, tmp_path / "out", workers=1)
    assert [record.split for record in records] == [None, *["set_aside"] * 3]
    assert all("cannot be opened" in record.attributes["reason"] for record in records[1:])
    assert manifest.load(tmp_path / "out") == records


def test_a_name_that_the_stage_cannot_hold_goes_by_a_shorter_one(claim, tmp_path):
    records = ingest([claim, replace(claim, image_id="s/" + "n" * 300)], tmp_path / "out", workers=1)
    assert [record.split for record in records] == [None, None]
    assert all((tmp_path / "out" / record.path).is_file() for record in records)


def test_a_film_of_another_size_than_its_labels_is_set_aside(claim, tmp_path):
    record = one(replace(claim, claimed_px=(30, 40)), tmp_path / "out")
    assert record.split == "set_aside"
    assert "(30, 40)" in record.attributes["reason"]
    assert "(40, 30)" in record.attributes["reason"]


def test_a_problem_of_the_source_is_the_reason(claim, tmp_path):
    claim.file.unlink()
    assert one(replace(claim, problem="no film on disk"), tmp_path / "out").attributes["reason"] == "no film on disk"


def test_the_extension_says_nothing(claim, tmp_path):
    lying = claim.file.with_suffix(".jpg")
    claim.file.rename(lying)
    assert one(replace(claim, file=lying), tmp_path / "out").split is None


def test_films_are_linked_unless_copies_are_wanted(claim, tmp_path):
    linked, copied = one(claim, tmp_path / "a"), ingest([claim], tmp_path / "b", copy=True, workers=1)[0]
    assert claim.file.samefile(tmp_path / "a" / linked.path)
    assert not claim.file.samefile(tmp_path / "b" / copied.path)


def test_ingesting_again_leaves_no_scraps(claim, tmp_path):
    one(claim, tmp_path / "out")
    (tmp_path / "out/journal.jsonl").unlink()
    one(claim, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out/images").iterdir()] == ["1.png"]


def test_a_claim_that_changed_is_verified_again(claim, tmp_path):
    one(claim, tmp_path / "out")
    assert one(replace(claim, boxes=((1.0, 1.0, 9.0, 9.0),)), tmp_path / "out").boxes == ((1.0, 1.0, 9.0, 9.0),)


def numbered(number, *, regions=("leg",), mixed="0", size_px=(40, 30), source="s"):
    attributes = {"sequence": str(number), "mixed": mixed}
    name = f"{source}/{number}"
    return ImageRecord(name, f"images/{number}.png", source, size_px, frozenset(regions), attributes=attributes)


def test_neighbours_of_one_examination_share_a_group():
    films = [numbered(3), numbered(1), numbered(2), numbered(5), numbered(6, size_px=(30, 40))]
    films += [numbered(7, size_px=(30, 40), mixed="1"), numbered(8, regions=("hand",)), numbered(9, source="t")]
    groups = {film.image_id: film.group_id for film in join_neighbours(films)}
    alone = {f"s/{number}": f"s/{number}" for number in (5, 6, 7, 8)}
    assert groups == {"s/1": "s/1", "s/2": "s/1", "s/3": "s/1", "t/9": "t/9"} | alone


def test_films_without_numbers_keep_the_group_they_have():
    film = replace(numbered(1), attributes={}, group_id="g")
    assert join_neighbours([film]) == [film]


def test_every_trap_of_the_phantom_is_reported(phantom_stages):
    stage, _, traps = phantom_stages
    films = {record.image_id: record for record in manifest.load(stage)}
    account = report(stage)
    assert (account["films"], account["kept"], account["set_aside"]) == (24, 23, 1)
    assert list(account["set_aside_reasons"]) == [traps.wrong_size]
    assert account["flags"]["truncated"] == account["flags"]["exif_rotated"] == account["flags"]["label_disagrees"] == 1
    assert account["repairs"].keys() == {traps.truncated, traps.off_film, traps.turned, traps.wrong_row}
    assert "truncated" in films[traps.truncated].flags
    assert "dropped" in films[traps.off_film].attributes["notes"]
    assert [box[2] for box in films[traps.off_film].boxes] == [373]
    assert films[traps.turned].size_px == (373, 454)
    assert len({films[image_id].group_id for image_id in traps.examination}) == 1
    assert films[traps.several_regions].group_id == traps.several_regions
    first, second = (films[image_id] for image_id in traps.opposite)
    assert first.attributes["pixel_sha256"] == second.attributes["pixel_sha256"]


def test_fractions_become_pixels_of_the_decoded_film(claim, tmp_path):
    record = one(replace(claim, boxes=((0.25, 0.1, 0.5, 1.0000001),), relative=True), tmp_path / "out")
    assert record.boxes == ((10.0, 3.0, 20.0, 30.0),)
    assert not record.flags, "six digits of a fraction are no box that leaves the film"


def test_fractions_that_leave_the_film_are_clipped_and_it_is_said(claim, tmp_path):
    record = one(replace(claim, boxes=((0.25, 0.1, 1.1, 0.9),), relative=True), tmp_path / "out")
    assert record.boxes == ((10.0, 3.0, 40.0, 27.0),)
    assert "clipped" in record.attributes["notes"]


def test_copies_of_one_film_are_one_group(claim, tmp_path):
    other = replace(claim, image_id="s/2", file=claim.file.with_name("2.png"))
    other.file.write_bytes(png(seed=1))
    records = ingest([replace(c, family="stem") for c in (claim, other)], tmp_path / "out", workers=1)
    assert {record.group_id for record in records} == {"s/stem"}
    assert {record.attributes["family"] for record in records} == {"stem"}


def test_what_a_claim_says_of_a_film_is_kept(claim, tmp_path):
    said = {"abnormal": True, "weak": True, "external": True, "attribution": "Somebody", "fractured": None}
    record = one(replace(claim, **said), tmp_path / "out")
    assert {key: getattr(record, key) for key in said} == said


def test_a_normal_film_with_a_box_is_set_aside(claim, tmp_path):
    record = one(replace(claim, fractured=False), tmp_path / "out")
    assert record.split == "set_aside"
    assert record.attributes["reason"] == "called normal, with boxes"


def test_two_films_of_one_id_are_refused_by_name(claim, tmp_path):
    other = replace(claim, file=claim.file.with_name("other.png"))
    with pytest.raises(BadValue, match=r"'s/1' for .*1\.png and .*other\.png"):
        ingest([claim, other], tmp_path / "out")


def test_classes_are_counted_in_the_report(claim, tmp_path):
    other = replace(claim, image_id="s/2", kept={"spiral": 2}, dropped={"text": 1})
    ingest([replace(claim, kept={"spiral": 1}), other], tmp_path / "out", workers=1)
    assert report(tmp_path / "out")["classes"] == {"kept": {"spiral": 3}, "dropped": {"text": 1}}


def test_a_film_nobody_drew_on_has_no_label_file(claim, tmp_path):
    one(claim, tmp_path / "out")
    assert (tmp_path / "out/labels/s__1.txt").is_file()
    one(replace(claim, boxes=None), tmp_path / "out")
    assert not (tmp_path / "out/labels/s__1.txt").exists()
    one(replace(claim, boxes=None, fractured=False), tmp_path / "out")
    assert (tmp_path / "out/labels/s__1.txt").read_bytes() == b"", "known to be normal"


@pytest.mark.parametrize(
    "name",
    [
        os.fsdecode(b"h\xfcfte.png"),
        "x" * 251 + ".png",
        "\u9aa8" * 80 + ".png",
        "/".join(["deep" * 10] * 8) + "/a.png",
        "a\nb\rc\t.png",
        "back\\slash.p\\ng",
        "con.png",
        "trailing. .png",
        'what? "it": 1.png',
    ],
)
def test_a_name_that_cannot_be_held_everywhere_goes_by_another_and_the_others_are_kept(claim, tmp_path, name):
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(claim.file, tmp_path / name)
    odd = replace(claim, image_id="test/" + name.removesuffix(".png"), file=tmp_path / name, notes=(f"of {name}",))
    lost = replace(claim, image_id="test/\ud800 lost", file=tmp_path / "lost", problem="no film \udcfc \r on disk")
    records = ingest([claim, odd, lost], tmp_path / "out", workers=1)
    assert [record.split for record in records] == [None, None, "set_aside"]
    assert records[0].image_id == claim.image_id
    assert records[1].image_id.isprintable()
    assert (tmp_path / "out" / records[1].path).read_bytes() == claim.file.read_bytes()
    assert (tmp_path / "out/labels" / f"{records[1].image_id.replace('/', '__')}.txt").is_file()
    assert [record.image_id for record in manifest.load(tmp_path / "out")] == [record.image_id for record in records]
    said = json.loads((tmp_path / "out/report.json").read_text(encoding="utf-8"))
    assert list(said["renamed"]) == [records[1].image_id, records[2].image_id]
    assert ingest([claim, odd, lost], tmp_path / "out", workers=1) == records


def test_names_that_are_one_file_somewhere_are_told_apart(claim, tmp_path):
    names = ("a/b", "a__b", "A__B", "h\u00fc", "hu\u0308")
    records = ingest([replace(claim, image_id=f"test/{name}") for name in names], tmp_path / "out", workers=1)
    assert len({record.path.casefold() for record in records}) == 5
    assert len(list((tmp_path / "out/labels").iterdir())) == 5


def test_a_stage_lies_neither_in_what_it_is_made_of_nor_around_it(claim, tmp_path):
    for out in (tmp_path, tmp_path / "out", tmp_path.parent):
        with pytest.raises(BadValue, match="expected an output beside what is read"):
            ingest([claim], out, inputs=(tmp_path,))
    assert not (tmp_path / "out").exists()
