"""Every kind of finding is found where it was planted, none on a clean dataset, and the page shows them safely."""

import json
import re
import runpy
import shutil
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest

from fracture.core.errors import BadValue, MissingData
from fracture.core.types import ImageRecord, Radiograph
from fracture.data import manifest
from fracture.data.audit import tables as audit_tables
from fracture.data.audit.kinds import KINDS
from fracture.data.audit.run import audit, save
from fracture.data.duplicates import fingerprint
from fracture.data.yolo import write_label
from fracture.phantom import draw_film

SCRIPTS = Path(__file__).parents[3] / "scripts"
SIZE = (150, 180)
FILMS = 24
PARTS = ("train", "train", "val", "test")


def draw(seed, size=SIZE):
    return draw_film(np.random.default_rng(seed), size, fractured=False)[0]


def write(folder, record, pixels):
    """Write a film and its label, and give its record with its fingerprint."""
    (folder / record.path).parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(folder / record.path), pixels)
    write_label(record, folder / "labels" / (record.split or "") / f"{record.image_id.replace('/', '__')}.txt")
    known = fingerprint(Radiograph(pixels.astype(np.float32) / 255))
    return replace(record, attributes={**record.attributes, **known}, size_px=pixels.shape[::-1])


def clean_records():
    for index in range(FILMS):
        part, fractured = PARTS[index // 2 % 4], index % 2 == 0
        x, y = 20.0 + index, 40.0 + 2 * index
        yield ImageRecord(
            f"s/{index:02d}",
            f"images/{part}/s__{index:02d}.png",
            "s",
            SIZE,
            regions=frozenset({("hand", "leg")[index // 4 % 2]}),
            patient_id=f"p{index // 2}",
            study_id=f"e{index // 2}",
            group_id=f"s/{index // 2 * 2:02d}",
            view=("frontal", "lateral")[index // 2 % 2],
            fractured=fractured,
            boxes=((x, y, x + 30, y + 20), (115.0, 10.0, 145.0, 30.0)) if fractured else (),
            split=part,
            attributes={"cast": str(index // 6 % 2)},
        )


@pytest.fixture(scope="session")
def clean(tmp_path_factory):
    """Give a dataset with nothing wrong in it. Shared: copy it before writing into it."""
    folder = tmp_path_factory.mktemp("audit") / "clean"
    manifest.save([write(folder, record, draw(n)) for n, record in enumerate(clean_records())], folder)
    return folder


@pytest.fixture
def dataset(clean, tmp_path):
    return Path(shutil.copytree(clean, tmp_path / "dataset"))


def change(folder, *indices, **values):
    """Change fields of some records; ``attributes`` are added to."""
    records = manifest.load(folder)
    for index in indices:
        attributes = {**records[index].attributes, **values.get("attributes", {})}
        records[index] = replace(records[index], **{**values, "attributes": attributes})
    manifest.save(records, folder)
    return records


def redraw(folder, index, pixels, **values):
    """Put another film in the place of one, with its label."""
    records = manifest.load(folder)
    records[index] = write(folder, replace(records[index], **values), pixels)
    manifest.save(records, folder)


def copy_film(folder, source, target, turn=lambda pixels: pixels, **values):
    redraw(folder, target, turn(draw(source)), **values)


def kinds(folder):
    """Give kind -> the films of its findings."""
    found = {}
    for finding in audit([folder]).findings:
        found.setdefault(finding.kind, []).append(finding.image_ids)
    return found


def test_nothing_is_found_on_a_clean_dataset(clean):
    found = audit([clean])
    assert found.findings == ()
    assert found.totals == {"leak": 0, "defect": 0, "note": 0}
    assert found.is_dealt
    counted = dict(found.counts)
    assert (counted["films"], counted["fractured"], counted["normal"], counted["boxes"]) == (24, 12, 12, 24)
    assert (counted["groups"], counted["patients_known"], counted["films_set_aside"]) == (12, 12, 0)


def brighter(pixels):
    return np.clip(pixels * 1.1 + 5, 0, 255).astype(np.uint8)


def shaded(pixels):
    """Darken a film towards one side: another exposure of the same."""
    return (pixels * np.linspace(0.55, 1, pixels.shape[1])).astype(np.uint8)


def without_end(pixels):
    cut = pixels.copy()
    cut[120:] = 128
    return cut


# Films 0 and 1 are one group of train, 0 fractured and 1 normal; 4 and 5 the next one, of val.
@pytest.mark.parametrize(
    ("turn", "kind"),
    [
        (lambda pixels: pixels, "exact_duplicates"),
        (brighter, "near_duplicates"),
        (without_end, "near_duplicates"),
        (lambda pixels: brighter(cv2.flip(pixels, 1)), "turned_duplicates"),
        (shaded, "similar_films"),
    ],
)
def test_copies_are_told_by_kind(dataset, turn, kind):
    copy_film(dataset, 0, 8, turn, fractured=True, split="train", path="images/train/s__08.png")
    found = kinds(dataset)
    assert found[kind] == [("s/00", "s/08")]
    assert len(found.keys() & {"exact_duplicates", "near_duplicates", "turned_duplicates", "similar_films"}) == 1


def test_copies_with_opposite_labels(dataset):
    copy_film(dataset, 0, 1, brighter)
    assert kinds(dataset) == {"near_duplicates": [("s/00", "s/01")], "contradictory_duplicates": [("s/00", "s/01")]}


def test_a_copy_without_a_label_does_not_count_as_normal(dataset):
    copy_film(dataset, 0, 1, brighter, fractured=None, boxes=None)
    assert kinds(dataset) == {"near_duplicates": [("s/00", "s/01")], "unlabelled_duplicates": [("s/00", "s/01")]}
    assert audit([dataset]).counts["unlabelled"] == 1


@pytest.mark.parametrize(
    ("boxes", "apart"),
    [
        (((21.0, 41.0, 49.0, 59.0), (116.0, 10.0, 145.0, 30.0)), False),
        (((21.0, 41.0, 49.0, 59.0),), True),
        (((70.0, 90.0, 99.0, 120.0), (116.0, 10.0, 145.0, 30.0)), True),
        (None, False),
    ],
)
def test_copies_boxed_in_different_places(dataset, boxes, apart):
    copy_film(dataset, 0, 1, brighter, fractured=True, boxes=boxes)
    assert kinds(dataset).get("boxes_contradict", []) == ([("s/00", "s/01")] if apart else [])


def test_copies_in_two_splits(dataset):
    copy_film(dataset, 0, 4)
    found = audit([dataset])
    assert found.leaks == 1
    leak = next(finding for finding in found.findings if KINDS[finding.kind].severity == "leak")
    assert (leak.kind, leak.image_ids) == ("duplicates_in_two_splits", ("s/00", "s/04"))
    assert leak.text == "train and val; fractured (2 boxes), fractured (2 boxes)"
    assert leak.pairs[0].correlation == 1


def test_a_copy_that_is_set_aside_is_no_leak(dataset):
    copy_film(dataset, 0, 4)
    (dataset / "images/val/s__04.png").unlink()
    (dataset / "labels/val/s__04.txt").unlink()
    change(dataset, 4, split="set_aside", attributes={"reason": "a copy"})
    found = audit([dataset])
    assert [(finding.kind, finding.text) for finding in found.findings] == [("set_aside", "a copy")]
    assert (found.counts["films_set_aside"], found.counts["films_usable"], found.counts["fractured"]) == (1, 23, 11)
    assert found.balance["split"][-1].name == "set_aside"


@pytest.mark.parametrize(
    ("field", "kind"),
    [
        ({"patient_id": "x"}, "patient_in_two_splits"),
        ({"study_id": "x"}, "study_in_two_splits"),
        ({"group_id": "x"}, "group_in_two_splits"),
        ({"attributes": {"family": "x"}}, "family_in_two_splits"),
    ],
)
def test_what_belongs_together_in_two_splits(dataset, field, kind):
    change(dataset, 0, 1, 4, **field)
    finding = next(finding for finding in audit([dataset]).findings if finding.kind == kind)
    assert finding.image_ids == ("s/00", "s/01", "s/04")
    assert finding.text.endswith("x: 2 in train, 1 in val")
    assert kinds(dataset).keys() == {kind}


def test_patients_of_two_sources_are_two(dataset):
    change(dataset, 0, patient_id="x")
    change(dataset, 4, patient_id="x", source="other")
    assert kinds(dataset) == {}


def test_published_lists_that_share_films(dataset):
    change(dataset, 0, attributes={"official_split": "train"})
    change(dataset, 1, attributes={"official_split": "test"})
    found = audit([dataset])
    assert {finding.kind for finding in found.findings} == {"published_lists"}
    assert "published lists: group s/00: 1 in train, 1 in test" in {finding.text for finding in found.findings}
    assert len(found.findings) == 3  # the group, the patient and the study
    assert found.leaks == 0


def test_boxes(dataset):
    change(dataset, 0, boxes=((20.0, 40.0, 50.0, 60.0), (20.0, 40.0, 50.0, 61.0)))
    change(dataset, 2, boxes=((20.0, 40.0, 21.5, 60.0),))
    found = kinds(dataset)
    assert (found["boxes_doubled"], found["box_tiny"]) == ([("s/00",)], [("s/02",)])
    assert found["label_differs"] == [("s/00",), ("s/02",)]
    assert found.keys() == {"boxes_doubled", "box_tiny", "label_differs"}


def test_a_film_smaller_than_stated_and_a_box_beyond_it(dataset):
    cv2.imwrite(str(dataset / "images/train/s__00.png"), draw(0)[:, :130])
    found = audit([dataset]).findings
    assert [(finding.kind, finding.image_ids) for finding in found] == [
        ("size_differs", ("s/00",)),
        ("box_outside", ("s/00",)),
    ]
    assert found[0].text == "stated 150 x 180 px, found 130 x 180 px"
    assert "[115.0, 10.0, 145.0, 30.0]" in found[1].text


def test_films_and_files(dataset):
    (dataset / "images/train/s__00.png").unlink()
    (dataset / "images/train/s__01.png").write_bytes(b"this is no film")
    (dataset / "images/train/stray.png").write_bytes(b"")
    (dataset / "undrawn/val").mkdir(parents=True)
    (dataset / "undrawn/val/stray.png").write_bytes(b"")
    found = audit([dataset]).findings
    assert [(finding.kind, finding.image_ids) for finding in found] == [
        ("film_unreadable", ("s/01",)),
        ("film_missing", ("s/00",)),
        ("film_unlisted", ()),
        ("film_unlisted", ()),
    ]
    assert [finding.text for finding in found[2:]] == ["images/train/stray.png", "undrawn/val/stray.png"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "boxes in the file: 0, in the manifest: 2"),
        ("0 0.5 0.5 0.1 0.1\n0 0.4 0.4 0.1 0.1\n", "the boxes lie elsewhere"),
        ("0 0.5 0.5\n", "expected five numbers"),
        ("fracture 0.5 0.5 0.1 0.1\n", "expected five numbers"),
    ],
)
def test_label_files_that_differ(dataset, text, said):
    (dataset / "labels/train/s__00.txt").write_text(text)
    (finding,) = audit([dataset]).findings
    assert (finding.kind, finding.image_ids) == ("label_differs", ("s/00",))
    assert said in finding.text


def test_the_order_of_boxes_and_the_last_digit_do_not_matter(dataset):
    path = dataset / "labels/train/s__00.txt"
    lines = path.read_text().splitlines()
    changed = re.sub(r"0\.(\d{5})\d", lambda match: f"0.{match[1]}", lines[0])
    assert changed != lines[0]
    path.write_text(f"{lines[1]}\n{lines[0]}0\n\n")
    assert kinds(dataset) == {}


def test_label_files_that_are_missing_or_too_many(dataset):
    (dataset / "labels/train/s__00.txt").unlink()
    (dataset / "labels/train/stray.txt").write_text("")
    change(dataset, 1, fractured=None, boxes=None)
    found = [(finding.kind, finding.image_ids, finding.text) for finding in audit([dataset]).findings]
    assert found == [
        ("label_missing", ("s/00",), "labels/train/s__00.txt"),
        ("label_unexpected", (), "labels/train/s__01.txt"),
        ("label_unexpected", (), "labels/train/stray.txt"),
    ]
    shutil.rmtree(dataset / "labels")
    (finding,) = audit([dataset]).findings
    assert (finding.kind, len(finding.image_ids)) == ("label_missing", 23)


def test_films_worth_a_look(dataset):
    white = draw(3)
    white[:90] = 255
    mended = draw(7)
    mended[128:176, :144] = np.tile(np.random.default_rng(0).integers(0, 255, (16, 16)), (3, 9))
    redraw(dataset, 1, np.full(SIZE[::-1], 77, np.uint8))
    redraw(dataset, 3, white)
    redraw(dataset, 5, draw(5, (400, 140)))
    redraw(dataset, 7, mended)
    redraw(dataset, 9, draw(9, (100, 120)))
    found = kinds(dataset)
    assert found == {
        "blank": [("s/01",)],
        "flagged": [("s/01",)],
        "saturated": [("s/03",)],
        "odd_shape": [("s/05",), ("s/09",)],
        "repeated": [("s/07",)],
    }


def test_flags(dataset):
    change(dataset, 0, 1, flags=frozenset({"exif_rotated"}))
    change(dataset, 2, flags=frozenset({"truncated"}))
    change(dataset, 4, flags=frozenset({"boxes_repaired"}), attributes={"notes": "box clipped"})
    found = audit([dataset]).findings
    assert [(finding.kind, finding.image_ids, finding.text) for finding in found] == [
        ("truncated", ("s/02",), "fractured (2 boxes)"),
        ("repaired", ("s/04",), "box clipped"),
        ("flagged", ("s/00", "s/01"), "exif_rotated: 2 films, 1 fractured"),
    ]


def test_large_groups(dataset, monkeypatch):
    monkeypatch.setattr("fracture.data.audit.checks.LARGE_GROUP", 1)
    assert len(kinds(dataset)["large_group"]) == 12


def labelled(truths, **values):
    return [ImageRecord(f"s/{i}", f"{i}.png", "s", (4, 4), fractured=t, **values) for i, t in enumerate(truths)]


def mark(records, indices, value="1"):
    return [replace(r, attributes={"metal": value if i in indices else "0"}) for i, r in enumerate(records)]


def test_a_value_that_decides_the_label_is_a_shortcut():
    records = mark(labelled([True] * 60 + [False] * 140), range(25))
    links = {(link.column, link.value): link for link in audit_tables.confounders(records)}
    link = links["metal", "1"]
    assert link.decides
    assert (link.here.value, link.here.n, link.rest.value, link.rest.n) == (1, 25, 35 / 175, 175)
    assert link.image_ids == tuple(sorted(f"s/{i}" for i in range(25)))
    assert not links["metal", "0"].decides


def test_a_shortcut_is_a_finding(dataset, monkeypatch):
    monkeypatch.setattr("fracture.data.audit.tables.MIN_FILMS", 6)
    change(dataset, *range(0, 16, 2), attributes={"metal": "1"})
    found = [finding for finding in audit([dataset]).findings if finding.kind == "shortcut"]
    assert [finding.image_ids for finding in found] == [tuple(f"s/{i:02d}" for i in range(0, 16, 2))]
    assert found[0].text.startswith("metal = 1: fractured 1.000 (0.676 to 1.000), n=8, fewer than 20; all other films")


@pytest.mark.parametrize(
    ("truths", "marked"),
    [
        ([True] * 60 + [False] * 140, range(19)),  # too few films
        ([True] * 60 + [False] * 140, [*range(25), *range(60, 63)]),  # three of 28 say otherwise
        ([True] * 195 + [False] * 5, range(25)),  # all films are fractured anyway
        ([True] * 25 + [None] * 175, range(25)),  # nobody labelled the others
        ([True] * 24 + [False], range(20)),  # the others are too few to tell
        ([True] * 760 + [False] * 30, range(400)),  # surely another share, and yet not by much
    ],
)
def test_a_value_that_does_not_decide_the_label_is_no_shortcut(truths, marked):
    assert not any(link.decides for link in audit_tables.confounders(mark(labelled(truths), marked)))


def test_unlabelled_films_are_neither_fractured_nor_normal():
    links = audit_tables.confounders(mark(labelled([True, None, None, False]), [0, 1]))
    link = next(link for link in links if link.value == "1")
    assert (link.here.n, link.here.value, link.rest.n, link.rest.value) == (1, 1, 1, 0)


def test_every_property_is_compared():
    records = labelled([True, False] * 30)
    other = replace(
        records[0], flags=frozenset({"turned"}), view="lateral", source="t", size_px=(9, 4), regions=frozenset({"hip"})
    )
    big = replace(records[1], size_px=(3000, 2000), attributes={"pixel_sha256": "x", "official_split": "test"})
    columns = {(link.column, link.value) for link in audit_tables.confounders([other, big, *records[2:]])}
    assert {
        ("flag", "turned"),
        ("view", "lateral"),
        ("view", "not stated"),
        ("source", "t"),
        ("region", "hip"),
        ("shape", "lying"),
        ("long side", "above 2048 px"),
    } <= columns
    assert not {column for column, _ in columns} & audit_tables.BOOKKEEPING
    preprocessed = replace(big, size_px=(1024, 683), attributes={"original_px": "3000x2000"})
    assert ("long side", "above 2048 px") in {
        (link.column, link.value) for link in audit_tables.confounders([preprocessed, *records[2:]])
    }


def test_numbers_are_cut_into_ranges_and_words_left_out():
    records = [
        replace(record, attributes={"age": str(index), "name": f"n{index}"} if index else {"name": "n"})
        for index, record in enumerate(labelled([True, False] * 50))
    ]
    links = audit_tables.confounders(records)
    assert {link.column for link in links} == {"age"}
    assert {link.value: link.here.n for link in links} == {
        "1 to 25.5": 25,
        "25.5 to 50": 24,
        "50 to 74.5": 25,
        "74.5 to 99": 25,
        "not stated": 1,
    }


def test_balance_counts_a_film_of_two_regions_twice(clean):
    records = manifest.load(clean)
    rows = audit_tables.balance([replace(records[0], regions=frozenset({"hand", "hip"})), *records[1:]], [])
    assert [(row.name, row.films) for row in rows["region"]] == [("hand", 12), ("hip", 1), ("leg", 12)]
    assert [row.name for row in rows["split"]] == ["train", "val", "test"]
    assert sum(row.films for row in rows["region"]) == 25
    assert audit_tables.group_sizes(records) == {2: 12}


def test_the_traps_of_the_phantom_are_found_in_stages(phantom_stages):
    ingested, harmonised, traps = phantom_stages
    for stage in (ingested, harmonised):
        found = kinds(stage)
        assert found["truncated"] == [(traps.truncated,)]
        assert found["contradictory_duplicates"] == [tuple(sorted(traps.opposite))]
        assert {name for ids in found["near_duplicates"] for name in ids} >= {*traps.near, traps.whole}
        assert found["set_aside"] == [(traps.wrong_size,)]
        assert {(traps.off_film,), (traps.wrong_row,)} <= set(found["repaired"])
        assert not any(KINDS[kind].severity == "leak" for kind in found)
        files = {"film_unlisted", "film_missing", "film_unreadable", "label_missing", "label_unexpected"}
        assert not {*files, "label_differs", "size_differs", "box_outside"} & found.keys()
        assert not audit([stage]).is_dealt


def test_two_stages_are_audited_as_one_set(clean, dataset):
    records = [
        replace(r, image_id=r.image_id.replace("s/", "t/"), source="t", split=None, attributes={})
        for r in manifest.load(dataset)
    ]
    shutil.rmtree(dataset / "labels")
    manifest.save(records, dataset)
    found = audit([clean, dataset])
    assert found.counts["films"] == 48
    pairs = [finding.image_ids for finding in found.findings if finding.kind == "near_duplicates"]
    assert pairs == [(f"s/{i:02d}", f"t/{i:02d}") for i in range(FILMS)]
    with pytest.raises(BadValue, match="twice"):
        audit([clean, clean])


class _Page(HTMLParser):
    """Collect what a browser would act on, and check that what is opened is closed."""

    def __init__(self):
        super().__init__()
        self.tags, self.links, self.text, self.open = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in {"href", "src"} or name.startswith("on")]
        if tag not in {"meta", "br", "image", "rect", "circle", "path", "wbr"}:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if self.open and self.open[-1] == tag:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def read_page(folder):
    page = _Page()
    page.feed((folder / "audit.html").read_text(encoding="utf-8"))
    assert page.open == []
    return page


EVIL = "<script>alert(1)</script>\"'&"


def test_the_page_escapes_whatever_comes_from_files(dataset, tmp_path):
    copy_film(dataset, 0, 4)
    change(dataset, 0, 1, view=EVIL, flags=frozenset({EVIL, "label_disagrees"}), attributes={"notes": EVIL, EVIL: EVIL})
    change(dataset, 2, 4, patient_id=EVIL, study_id=EVIL, group_id=EVIL)
    change(dataset, 4, image_id='s/"><img src=x onerror=y>')
    (dataset / "images/train/<script>x.png").write_bytes(b"")
    evil = replace(manifest.load(dataset)[6], image_id=f"s/{EVIL.replace('/', '-')}", split="set_aside")
    manifest.save([*manifest.load(dataset), replace(evil, attributes={"reason": EVIL})], dataset)
    save(audit([dataset]), tmp_path / "out")
    page = read_page(tmp_path / "out")
    assert not {"script", "img"} & set(page.tags)
    assert "<img src=x onerror=y>" in "".join(page.text)
    assert "".join(page.text).count("<script>alert(1)") > 5
    assert all(link.startswith(("#", "data:image/jpeg;base64,")) for link in page.links)


def test_the_page_needs_nothing_else_and_shows_the_films(dataset, tmp_path):
    copy_film(dataset, 0, 4)
    copy_film(dataset, 2, 3, brighter)
    (dataset / "images/train/s__08.png").unlink()
    found = audit([dataset])
    save(found, tmp_path)
    page, text = read_page(tmp_path), (tmp_path / "audit.html").read_text(encoding="utf-8")
    assert page.tags.count("image") == 2 * 5  # five kinds of pairs, and no picture of a film that is missing
    assert text.count('<rect x="20.0" y="40.0" width="30.0" height="20.0"/>') == 3  # the first box of film 0
    assert not re.search(r"https?:|url\(|@import", text)
    assert "1 leak" in "".join(page.text)
    for kind in {finding.kind for finding in found.findings}:
        assert f'id="{kind}"' in text
        assert KINDS[kind].title in text
    assert "prefers-color-scheme" in text
    assert "viewport" in text


def test_the_page_says_when_there_is_no_leak_or_no_split(clean, phantom_stages, tmp_path):
    save(audit([clean]), tmp_path / "clean")
    save(audit([phantom_stages[1]]), tmp_path / "stage")
    assert "No leaks" in (tmp_path / "clean/audit.html").read_text(encoding="utf-8")
    assert "No split yet" in (tmp_path / "stage/audit.html").read_text(encoding="utf-8")


def test_many_findings_are_cut_short_on_the_page_and_complete_in_the_json(dataset, tmp_path, monkeypatch):
    monkeypatch.setattr("fracture.data.audit.checks.LARGE_GROUP", 1)
    monkeypatch.setattr("fracture.data.audit.page.SHOWN", 5)
    save(audit([dataset]), tmp_path)
    assert "Showing 5 of 12" in (tmp_path / "audit.html").read_text(encoding="utf-8")
    content = json.loads((tmp_path / "audit.json").read_text(encoding="utf-8"))
    assert len(content["findings"]) == 12


def test_the_json_is_stable(dataset, tmp_path):
    copy_film(dataset, 0, 4)
    change(dataset, 2, flags=frozenset({"truncated"}))
    save(audit([dataset]), tmp_path / "one")
    save(audit([dataset]), tmp_path / "two")
    for name in ("audit.json", "audit.html"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    content = json.loads((tmp_path / "one/audit.json").read_text(encoding="utf-8"))
    assert list(content) == [
        *("folders", "totals", "kinds", "counts", "balance", "group_sizes", "thresholds", "shortcuts", "findings")
    ]
    assert content["folders"] == ["dataset"]
    assert content["totals"] == {"leak": 1, "defect": 2, "note": 1}
    assert list(content["kinds"]) == ["duplicates_in_two_splits", "boxes_contradict", "truncated", "exact_duplicates"]
    assert content["findings"][0] == {
        "kind": "duplicates_in_two_splits",
        "severity": "leak",
        "image_ids": ["s/00", "s/04"],
        "text": "train and val; fractured (2 boxes), fractured (2 boxes)",
        "pairs": [{"first": "s/00", "second": "s/04", "correlation": 1.0, "orientation": "as is"}],
    }


def command(*flags):
    """Open scripts/audit.py as a person would and give its exit status."""
    before = sys.argv
    sys.argv = ["audit", *map(str, flags)]
    try:
        runpy.run_path(str(SCRIPTS / "audit.py"), run_name="__main__")
    except SystemExit as end:
        return end.code
    finally:
        sys.argv = before
    return 0


def test_the_door_says_how_it_went(clean, dataset, tmp_path, capsys):
    assert command("--src", clean, "--out", tmp_path / "out") == 0
    assert "0 leaks, 0 defects, 0 notes" in capsys.readouterr().out
    copy_film(dataset, 0, 4)
    assert command("--src", dataset, "--out", tmp_path / "out") == 1
    assert "leak: 1 x copies in two splits" in capsys.readouterr().out
    assert (tmp_path / "out/audit.html").is_file()
    assert (tmp_path / "out/audit.json").is_file()
    assert command("--src", tmp_path / "nowhere", "--out", tmp_path / "none") == 2
    assert "no manifest.csv" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_a_manifest_that_cannot_be_read_is_refused(dataset):
    text = (dataset / "manifest.csv").read_text()
    (dataset / "manifest.csv").write_text(text.replace("[[20.0,", "[[-20.0,", 1))
    with pytest.raises(BadValue, match="boxes"):
        audit([dataset])
    (dataset / "manifest.csv").unlink()
    with pytest.raises(MissingData):
        audit([dataset])
