"""The whole line through its commands, from the published folder to the dataset: every film accounted for."""

import csv
import json
import runpy
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from fracture.core.errors import BadValue
from fracture.core.types import HarmoniseConfig
from fracture.data import manifest
from fracture.data.assemble import assemble
from fracture.data.preprocess import preprocess
from fracture.data.yolo import load_dataset

REPOSITORY = Path(__file__).parents[2]


def command(name, *flags):
    """Open a script as a person would and give its exit status."""
    before = sys.argv
    sys.argv = [name, *map(str, flags)]
    try:
        runpy.run_path(str(REPOSITORY / "scripts" / f"{name}.py"), run_name="__main__")
    except SystemExit as end:
        return end.code
    finally:
        sys.argv = before
    return 0


def whole_line(root, folder):
    """Run everything and give where it went."""
    command("fracatlas_to_yolo", "--src", root, "--out", folder / "stage")
    command("preprocess", "--src", folder / "stage", "--out", folder / "harmonised")
    for out, flags in (("dataset", ["--val", 0.15, "--test", 0.2]), ("official", ["--official"])):
        command("make_splits", "--src", folder / "harmonised", "--out", folder / out, *flags)
    return SimpleNamespace(root=root, folder=folder, harmonised=folder / "harmonised", dataset=folder / "dataset")


@pytest.fixture(scope="module")
def phantom(fracatlas_tree, tmp_path_factory):
    return whole_line(fracatlas_tree[0], tmp_path_factory.mktemp("line"))


@pytest.fixture(scope="module")
def mini(mini_fracatlas, tmp_path_factory):
    return whole_line(mini_fracatlas, tmp_path_factory.mktemp("mini"))


def content(folder, name):
    return json.loads((folder / name).read_text(encoding="utf-8"))


def check_account(line, films):
    """Check that nothing is lost on the way and that what is written is what the manifest says."""
    for stage in ("stage", "harmonised"):
        assert len(manifest.load(line.folder / stage)) == films
    account = content(line.dataset, "audit.json")
    assert account["films_in"] == films == account["films_in_splits"] + account["films_set_aside"]
    assert account["films_unaccounted_for"] == 0
    assert len(account["leaks"]) == 4
    assert not any(account["leaks"].values())
    records = manifest.load(line.dataset)
    assert len({record.image_id for record in records}) == films
    placed = [record for record in records if record.split != "set_aside"]
    assert all(record.attributes["reason"] for record in records if record.split == "set_aside")
    assert {path.relative_to(line.dataset).as_posix() for path in line.dataset.glob("images/*/*")} == {
        record.path for record in placed
    }
    for record in placed:
        label = line.dataset / "labels" / Path(record.path).relative_to("images").with_suffix(".txt")
        assert len(label.read_text(encoding="utf-8").splitlines()) == len(record.boxes)
    assert all(len(splits) == 1 for splits in by_group(placed).values())
    return {record.image_id: record for record in records}


def by_group(records):
    groups = {}
    for record in records:
        groups.setdefault(record.group_id, set()).add(record.split)
    return groups


def published(root):
    """Give image id -> split of the lists as published, read by the test itself."""
    lists = {}
    for split, name in (("train", "train"), ("val", "valid"), ("test", "test")):
        with (root / "Utilities/Fracture Split" / f"{name}.csv").open(newline="", encoding="utf-8") as file:
            lists |= {f"fracatlas/{row['image_id'].removesuffix('.jpg')}": split for row in csv.DictReader(file)}
    return lists


def dealt(folder):
    return {record.image_id: record.split for record in manifest.load(folder) if record.split != "set_aside"}


def test_every_film_of_the_phantom_is_accounted_for(phantom, fracatlas_tree):
    _, traps = fracatlas_tree
    films = check_account(phantom, 24)
    assert content(phantom.folder / "stage", "report.json")["set_aside"] == 1
    account = content(phantom.dataset, "audit.json")
    assert account["set_aside"].keys() == {traps.wrong_size, *traps.opposite}
    assert all("opposite label" in account["set_aside"][image_id] for image_id in traps.opposite)
    together = [traps.examination, traps.near, (traps.whole, traps.truncated)]
    assert all(len({films[image_id].split for image_id in names}) == 1 for names in together)
    assert {films[image_id].split for image_id in traps.near} == {"test"}, "a published test film holds its group"
    assert films[traps.wrong_row].fractured
    duplicates = {frozenset(pair[:2]) for pair in account["duplicates"]}
    assert {
        frozenset(traps.opposite),
        frozenset((traps.whole, traps.truncated)),
        frozenset(traps.near[:2]),
    } < duplicates


def test_every_film_of_the_mini_set_is_accounted_for(mini):
    films = check_account(mini, 159)
    ingested = content(mini.folder / "stage", "report.json")
    assert (ingested["kept"], ingested["set_aside"]) == (159, 0)
    repaired = {"boxes_repaired": 2, "exif_rotated": 3, "label_disagrees": 1, "truncated": 10}
    assert {flag: ingested["flags"].get(flag) for flag in repaired} == repaired
    account = content(mini.dataset, "audit.json")
    # Radiologists boxed the one; its twin lies among the normals.
    assert account["set_aside"].keys() == {"fracatlas/IMG0002886", "fracatlas/IMG0004243"}
    assert films["fracatlas/IMG0003298"].fractured, "boxed, whatever dataset.csv says"
    assert all(account["splits"][part]["fractured"] for part in ("train", "val", "test"))


@pytest.mark.parametrize("name", ["phantom", "mini"])
def test_official_writes_exactly_the_published_lists(name, request):
    line = request.getfixturevalue(name)
    usable = {record.image_id for record in manifest.load(line.harmonised) if record.split != "set_aside"}
    lists = published(line.root)
    assert dealt(line.folder / "official") == {image_id: lists[image_id] for image_id in lists if image_id in usable}
    assert Counter(lists.values()).keys() == {"train", "val", "test"}
    if name == "mini":
        assert lists.keys() <= usable


def test_official_says_that_the_published_lists_leak(phantom, fracatlas_tree):
    _, traps = fracatlas_tree
    leaks = content(phantom.folder / "official", "audit.json")["leaks"]
    assert {frozenset(pair[:2]) for pair in leaks["duplicates_in_two_splits"]} == {
        frozenset((traps.near[0], traps.near[2])),
        frozenset((traps.near[1], traps.near[2])),
    }
    assert len(leaks["groups_in_two_splits"]) == 1


def test_the_commands_print_the_account(phantom, tmp_path, capsys):
    assert command("make_splits", "--src", phantom.harmonised, "--out", tmp_path / "dataset") == 0
    printed = capsys.readouterr().out
    assert "24 films in = 21 in splits + 3 set aside + 0 unaccounted for" in printed
    assert "leaks: 0 groups, 0 patients, 0 studies, 0 duplicates in two splits" in printed


def test_a_leak_and_bad_input_each_have_an_exit_status(phantom, tmp_path, capsys):
    # An earlier deal that parts a film from its copy: it is kept, told, and the command says 1.
    deal = {film.image_id: film.split for film in manifest.load(phantom.dataset) if film.split != "set_aside"}
    first, second = next(pair[:2] for pair in content(phantom.dataset, "audit.json")["duplicates"] if pair[0] in deal)
    deal |= {first: "train", second: "val"}
    rows = "".join(f"{image_id},{part}\n" for image_id, part in deal.items())
    (tmp_path / "keep.csv").write_text("image_id,split\n" + rows, encoding="utf-8")
    flags = ["--src", phantom.harmonised, "--out", tmp_path / "dataset", "--keep", tmp_path / "keep.csv"]
    assert command("make_splits", *flags) == 1
    assert dealt(tmp_path / "dataset") == deal
    assert [first, second] in [
        pair[:2] for pair in content(tmp_path / "dataset", "audit.json")["leaks"]["duplicates_in_two_splits"]
    ]
    (tmp_path / "keep.csv").write_text("image_id,split\nfracatlas/IMG0000019,valid\n", encoding="utf-8")
    assert command("make_splits", *flags) == 2
    assert "row 2, column split: expected one of train, val, test, set_aside, got 'valid'" in capsys.readouterr().err


def test_a_source_is_added_without_moving_anybody(phantom, tmp_path):
    records = [
        replace(
            film,
            image_id=f"other/{film.image_id[10:]}",
            source="other",
            attributes={key: value for key, value in film.attributes.items() if key.startswith("harmonise_")},
        )
        for film in manifest.load(phantom.harmonised)
        if film.split != "set_aside"
    ]
    folder = tmp_path / "other"
    (folder / "images").mkdir(parents=True)
    for film in records:
        (folder / film.path).write_bytes((phantom.harmonised / film.path).read_bytes())
    manifest.save(records, folder)
    assemble(
        [phantom.harmonised, folder],
        tmp_path / "both",
        val=0.15,
        test=0.2,
        seed=7,
        keep=phantom.dataset / "manifest.csv",
    )
    after = dealt(tmp_path / "both")
    before = dealt(phantom.dataset)
    assert {image_id: after[image_id] for image_id in before} == before
    # Every newcomer is a copy of a film that was there: it joins it.
    assert {image_id: after[f"other/{image_id[10:]}"] for image_id in before} == before


def test_the_seed_decides_the_deal(phantom, tmp_path):
    shares = {"val": 0.15, "test": 0.2}
    assemble([phantom.harmonised], tmp_path / "again", **shares, seed=0)
    assert (tmp_path / "again/manifest.csv").read_bytes() == (phantom.dataset / "manifest.csv").read_bytes()
    deals = []
    for seed in range(1, 4):
        assemble([phantom.harmonised], tmp_path / str(seed), **shares, seed=seed)
        deals.append(dealt(tmp_path / str(seed)))
    assert any(deal != dealt(phantom.dataset) for deal in deals)


def test_the_dataset_yaml_fits_the_tree(phantom):
    found = load_dataset(REPOSITORY / "dataset.yaml", root=phantom.dataset)
    assert all(any(folder.iterdir()) for folder in found.splits.values())


def test_stages_harmonised_differently_are_refused(phantom, tmp_path):
    preprocess(phantom.folder / "stage", tmp_path / "other", HarmoniseConfig(long_side_px=300), workers=2)
    records = [
        replace(record, image_id=f"other/{record.image_id[10:]}", source="other")
        for record in manifest.load(tmp_path / "other")
    ]
    manifest.save(records, tmp_path / "other")
    with pytest.raises(BadValue, match="harmonised alike"):
        assemble([phantom.harmonised, tmp_path / "other"], tmp_path / "dataset", val=0.1, test=0.1, seed=0)
    with pytest.raises(BadValue, match="not harmonised"):
        assemble([phantom.folder / "stage"], tmp_path / "dataset", val=0.1, test=0.1, seed=0)


def test_one_stage_given_twice_is_refused(phantom, tmp_path):
    with pytest.raises(BadValue, match="twice"):
        assemble([phantom.harmonised] * 2, tmp_path / "dataset", val=0.1, test=0.1, seed=0)


def test_a_stage_is_no_place_for_a_dataset(phantom):
    before = (phantom.harmonised / "manifest.csv").read_bytes()
    with pytest.raises(BadValue, match="expected an output beside what is read"):
        assemble([phantom.harmonised], phantom.harmonised, val=0.1, test=0.1, seed=0)
    assert (phantom.harmonised / "manifest.csv").read_bytes() == before
