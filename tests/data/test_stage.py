"""A stage that was killed goes on, trusts nothing half-written, and ends as if nothing had happened."""

import json
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from fracture.core.errors import MissingData
from fracture.core.files import file_state, stamp, write_bytes
from fracture.core.types import HarmoniseConfig, ImageRecord
from fracture.data.preprocess import preprocess
from fracture.data.stage import Journal, run_films, set_aside
from fracture.data.workers import DIED

FILMS = 12


def work(job):
    """Write a film; fail on a poisoned one. Each call leaves a line, for workers share no memory."""
    folder, number = job
    with (folder / "calls").open("a") as calls:
        calls.write(f"{number}\n")
    if (folder / "poison").exists() and number == 7:
        raise MissingData("the disk is gone")
    time.sleep(0.1 * (folder / "slow").exists())
    if (folder / "killers").exists() and str(number) in (folder / "killers").read_text().split():
        os.abort()
    path = f"images/{number}.png"
    write_bytes(folder / path, bytes([number]) * 50)
    return ImageRecord(f"s/{number}", path, "s", (40, 30), boxes=((0.0, 0.0, number + 1.0, 9.0),))


def lost(job, reason):
    return set_aside(ImageRecord(f"s/{job[1]}", f"images/{job[1]}.png", "s", (40, 30)), reason)


def run(folder, versions=None):
    versions = versions or {}
    jobs = [(f"s/{n}", stamp("film", versions.get(n, 0)), (folder, n)) for n in range(FILMS)]
    return run_films(jobs, work, lost, Journal(folder / "journal.jsonl"), "test", workers=2)


def calls(folder):
    """Give the numbers worked on since last asked."""
    path = folder / "calls"
    numbers = sorted(int(line) for line in path.read_text().splitlines()) if path.exists() else []
    path.unlink(missing_ok=True)
    return numbers


def tree(folder):
    """Give everything a stage holds apart from its diary, by relative path."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != "journal.jsonl")
    return {path.relative_to(folder): path.read_bytes() for path in files}


def test_records_come_in_the_order_of_the_jobs(tmp_path):
    assert [record.image_id for record in run(tmp_path)] == [f"s/{n}" for n in range(FILMS)]
    assert calls(tmp_path) == list(range(FILMS))


def test_a_second_run_works_on_nothing(tmp_path):
    first = run(tmp_path)
    calls(tmp_path)
    assert run(tmp_path) == first
    assert calls(tmp_path) == []


def test_a_run_that_broke_off_goes_on_where_it_was(tmp_path):
    (tmp_path / "poison").touch()
    with pytest.raises(MissingData):
        run(tmp_path)
    done = set(Journal(tmp_path / "journal.jsonl").done)
    assert "s/7" not in done
    assert done
    calls(tmp_path)
    (tmp_path / "poison").unlink()
    resumed = run(tmp_path)
    assert {f"s/{n}" for n in calls(tmp_path)} == {f"s/{n}" for n in range(FILMS)} - done
    (tmp_path / "undisturbed").mkdir()
    assert resumed == run(tmp_path / "undisturbed")


@pytest.mark.parametrize("left", [1, 40, -1, -2])
def test_a_journal_line_that_was_cut_is_not_trusted(tmp_path, left):
    first = run(tmp_path)
    calls(tmp_path)
    journal = tmp_path / "journal.jsonl"
    *whole, last = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join(whole) + last[:left])
    assert run(tmp_path) == first
    # A line that only lacks its end of line is whole.
    assert calls(tmp_path) == ([] if left == -1 else [11])
    assert run(tmp_path) == first
    assert calls(tmp_path) == []


@pytest.mark.parametrize("line", ["5", "[]", '{"record": 3, "stamp": ""}', '{"stamp": "x"}', "\0\0\0", "{}"])
def test_lines_that_mean_nothing_are_passed_over(tmp_path, line):
    first = run(tmp_path)
    calls(tmp_path)
    journal = tmp_path / "journal.jsonl"
    journal.write_text(line + "\n" + journal.read_text())
    assert run(tmp_path) == first
    assert calls(tmp_path) == []


def test_a_record_that_is_no_longer_valid_is_made_again(tmp_path):
    first = run(tmp_path)
    calls(tmp_path)
    journal = tmp_path / "journal.jsonl"
    lines = journal.read_text().splitlines()
    entry = json.loads(lines[3])
    entry["record"]["regions"] = "paw"
    journal.write_text("\n".join([*lines[:3], json.dumps(entry), *lines[4:]]) + "\n")
    assert run(tmp_path) == first
    assert calls(tmp_path) == [3]


def test_a_film_that_vanished_is_made_again(tmp_path):
    run(tmp_path)
    calls(tmp_path)
    (tmp_path / "images/4.png").unlink()
    run(tmp_path)
    assert calls(tmp_path) == [4]


def test_a_film_that_changed_is_made_again(tmp_path):
    run(tmp_path)
    calls(tmp_path)
    run(tmp_path, {5: "new"})
    assert calls(tmp_path) == [5]
    run(tmp_path, {5: "new"})
    assert calls(tmp_path) == []


def test_nobody_sees_half_a_file(tmp_path):
    path = tmp_path / "deep" / "film.png"
    write_bytes(path, b"old")
    with pytest.raises(TypeError):
        write_bytes(path, None)
    assert path.read_bytes() == b"old"
    path.with_name("film.png.partial").write_bytes(b"half of a kill")
    write_bytes(path, b"new")
    assert [(p.name, p.read_bytes()) for p in path.parent.iterdir()] == [("film.png", b"new")]


def test_the_state_of_a_file(tmp_path):
    assert file_state(tmp_path / "none") is None
    (tmp_path / "film").write_bytes(b"123")
    assert file_state(tmp_path / "film")[0] == 3


def test_a_stamp_depends_on_every_part():
    assert stamp(1, "a") == stamp(1, "a")
    assert len({stamp(1, "a"), stamp(1, "b"), stamp(2, "a"), stamp("a", 1)}) == 4


def test_a_killed_preprocess_ends_as_an_undisturbed_one(phantom_stages, tmp_path):
    ingested, undisturbed, _ = phantom_stages
    out = tmp_path / "harmonised"
    preprocess(ingested, out, HarmoniseConfig(), workers=2)
    journal = out / "journal.jsonl"
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join(lines[:10]) + lines[10][:77])
    for line in lines[10:]:
        film = out / json.loads(line)["record"]["path"]
        if film.exists():
            film.with_name(film.name + ".partial").write_bytes(film.read_bytes()[:100])
            film.unlink()
    (out / "manifest.csv").unlink()
    kept = {path: path.stat().st_mtime_ns for path in out.glob("images/*.png")}
    assert kept
    preprocess(ingested, out, HarmoniseConfig(), workers=2)
    assert tree(out) == tree(undisturbed)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept


def test_preprocessing_twice_writes_no_film_twice(phantom_stages, tmp_path):
    ingested, _, _ = phantom_stages
    preprocess(ingested, tmp_path, HarmoniseConfig(), workers=2)
    films = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.png")}
    preprocess(ingested, tmp_path, HarmoniseConfig(), workers=2)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.png")} == films
    preprocess(ingested, tmp_path, HarmoniseConfig(clahe_clip=3), workers=2)
    assert all(path.stat().st_mtime_ns > before for path, before in films.items())


def test_a_film_that_kills_its_worker_is_set_aside_and_the_others_are_done(tmp_path):
    (tmp_path / "killers").write_text("5")
    records = run(tmp_path)
    assert [record.image_id for record in records] == [f"s/{n}" for n in range(FILMS)]
    aside = [number for number, record in enumerate(records) if record.split == "set_aside"]
    assert aside == [5]
    assert {records[number].attributes["reason"] for number in aside} == {DIED}
    assert len(list((tmp_path / "images").iterdir())) == FILMS - 1
    calls(tmp_path)
    assert run(tmp_path) == records  # nor is it met again
    assert calls(tmp_path) == []


def test_a_worker_that_is_killed_from_outside_costs_no_film(tmp_path):
    def kill():
        while not (tmp_path / "calls").exists():
            time.sleep(0.01)
        for task in Path(f"/proc/{os.getpid()}/task").iterdir():
            for child in (task / "children").read_text().split():
                if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes():
                    os.kill(int(child), signal.SIGKILL)

    (tmp_path / "slow").touch()
    killer = threading.Thread(target=kill)
    killer.start()
    records = run(tmp_path)
    killer.join()
    assert [record.split for record in records] == [None] * FILMS
