"""One command from raw films to a judged detector: killed anywhere it goes on, and nothing is done twice or half."""

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from fracture.core.code import PACKAGE, closure
from fracture.core.errors import BadValue, MissingData
from fracture.data import manifest
from fracture.training.plan import DEFAULT, PHANTOM, SOURCES, STAGES, Plan, default_plan
from fracture.training.rebuild import rebuild
from fracture.training.state import _CODE, tree_id

COMMAND = Path(__file__).parents[2] / "scripts" / "run_v5.py"
UNTIL_SPLIT = ("--phantom", "--until", "split")
TINY = ("--epochs", "2", "--imgsz", "96")


def start(folder, *flags):
    """Start the command in a process group of its own, in a folder of its own."""
    return subprocess.Popen(
        [sys.executable, str(COMMAND), *flags],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )


def run(folder, *flags):
    """Run the command to its end: exit status, what it printed, what it complained of."""
    process = start(folder, *flags)
    printed, complained = process.communicate(timeout=280)
    return process.returncode, printed, complained


def kill_when(folder, seen, *flags):
    """Kill the whole run without warning as soon as a line starts so."""
    process = start(folder, *flags)
    for line in process.stdout:
        if line.startswith(seen):
            os.killpg(process.pid, signal.SIGKILL)
            break
    process.communicate()
    assert process.returncode == -signal.SIGKILL, f"{seen!r} was never seen"


def manifests(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("manifest.csv")}


def done(printed):
    """Give the steps that were worked on."""
    return [line.split(": done")[0] for line in printed.splitlines() if ": done in" in line]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """Give the folder of a run that went through to the split, and what it printed."""
    folder = tmp_path_factory.mktemp("undisturbed")
    status, printed, complained = run(folder, *UNTIL_SPLIT)
    assert status == 0, complained
    return folder, printed


@pytest.fixture
def again(undisturbed, tmp_path):
    """Give a copy of that folder to spoil."""
    return shutil.copytree(undisturbed[0], tmp_path / "again", copy_function=shutil.copy2)


def test_four_sources_go_through_every_stage(undisturbed):
    folder, printed = undisturbed
    steps = [f"{stage} {source}" for stage in ("ingest", "preprocess") for source in SOURCES]
    assert done(printed) == [*steps, "audit", "split"]
    dataset = manifest.load(folder / "phantom/dataset_v5")
    assert {film.source for film in dataset} == set(SOURCES)
    audit = json.loads((folder / "phantom/dataset_v5/audit.json").read_text(encoding="utf-8"))
    assert not any(audit["leaks"].values())
    assert audit["films_unaccounted_for"] == 0
    assert audit["regions_without_fracture"] == {"train": [], "val": [], "test": []}
    assert (folder / "phantom/stage/audit/audit.html").is_file()


def test_it_says_what_there_is_before_it_works(undisturbed):
    before, _, _ = undisturbed[1].partition("ingest fracatlas ...")
    assert "fracture 42" in before
    assert "left-greater-trochanter 18" in before
    assert "estimated:" in before


def test_killed_at_every_stage_it_ends_as_if_nothing_had_been(undisturbed, tmp_path):
    for seen in (
        "source",
        "ingest fracatlas ...",
        "ingest hip ...",
        "preprocess grazpedwri ...",
        "audit ...",
        "split ...",
    ):
        kill_when(tmp_path, seen, *UNTIL_SPLIT)
    status, printed, complained = run(tmp_path, *UNTIL_SPLIT)
    assert status == 0, complained
    assert "ingest fracatlas: unchanged" in printed, "what was done before a kill is not done again"
    assert manifests(tmp_path) == manifests(undisturbed[0])


def test_a_half_drawn_phantom_is_not_taken_for_a_set(undisturbed, tmp_path):
    half = tmp_path / "phantom/raw.partial/FracAtlas"
    half.mkdir(parents=True)
    (half / "dataset.csv").write_text("half", encoding="utf-8")
    assert run(tmp_path, "--phantom", "--until", "acquire")[0] == 0
    assert tree_id(tmp_path / "phantom/raw/FracAtlas").split()
    assert not (tmp_path / "phantom/raw.partial").exists()


def test_a_second_run_does_nothing(again):
    status, printed, _ = run(again, *UNTIL_SPLIT)
    assert (status, done(printed)) == (0, [])
    assert printed.count("unchanged") == 10


def test_a_changed_label_is_noticed_and_only_what_hangs_on_it_is_done_again(again):
    label = next(path for path in sorted(again.glob("phantom/raw/HIP/train/labels/*.txt")) if path.read_text().strip())
    label.write_text("", encoding="utf-8")
    _, printed, _ = run(again, *UNTIL_SPLIT)
    assert done(printed) == ["ingest hip", "preprocess hip", "audit", "split"]


def test_another_setting_is_noticed(again):
    _, printed, _ = run(again, *UNTIL_SPLIT, "--seed", "3")
    assert done(printed) == ["split"]


def test_a_lost_or_changed_result_is_made_again(again):
    (again / "phantom/stage/hip_proc/manifest.csv").unlink()
    with (again / "phantom/stage/humerus/manifest.csv").open("a", encoding="utf-8") as file:
        file.write("\n")
    _, printed, _ = run(again, *UNTIL_SPLIT)
    assert done(printed) == ["ingest humerus", "preprocess hip"]


def test_a_dry_run_tells_and_writes_nothing(again):
    shutil.rmtree(again / "phantom/stage/hip")
    before = {path: path.stat().st_mtime_ns for path in again.rglob("*")}
    status, printed, _ = run(again, "--phantom", "--dry-run")
    assert status == 0
    told = [line for line in printed.splitlines() if line.endswith((": to do", "unchanged so far"))]
    assert [line for line in told if line.endswith("to do")] == [
        "ingest hip: to do",
        "preprocess hip: to do",
        "train: to do",
        "evaluate: to do",
    ]
    assert {"audit: unchanged so far", "split: unchanged so far"} <= set(told)
    assert {path: path.stat().st_mtime_ns for path in again.rglob("*")} == before


def test_stages_are_picked_by_name(again):
    _, printed, _ = run(again, "--phantom", "--from", "audit", "--until", "audit", "--seed", "5")
    assert [line for line in printed.splitlines() if "unchanged" in line or "done in" in line] == ["audit: unchanged"]
    assert run(again, "--phantom", "--from", "splitt")[0] == 2
    assert run(again, "--phantom", "--from", "split", "--until", "audit")[0] == 2


def test_stages_after_the_ingest_need_no_raw_set(again):
    shutil.rmtree(again / "phantom/raw")
    status, printed, complained = run(again, "--phantom", "--from", "preprocess", "--until", "split")
    assert (status, done(printed)) == (0, []), complained
    assert printed.count("unchanged") == 6
    for source in SOURCES:
        shutil.rmtree(again / "phantom/stage" / source)
    status, printed, complained = run(again, "--phantom", "--from", "audit", "--dry-run")
    assert status == 0, complained
    assert "split: unchanged" in printed
    shutil.rmtree(again / "phantom/stage")
    status, printed, complained = run(again, "--phantom", "--from", "train", "--dry-run")
    assert (status, printed.splitlines()) == (0, ["train: to do", "evaluate: to do"]), complained
    status, _, complained = run(again, "--phantom", "--from", "split")
    assert status == 2
    assert "expected a stage that an earlier run left in" in complained


def test_a_dry_run_of_the_phantom_asks_for_no_download(tmp_path):
    status, printed, complained = run(tmp_path, "--phantom", "--dry-run")
    assert status == 0, complained
    assert printed.startswith("acquire: to do: synthetic films are drawn into phantom")
    assert printed.count("to do") == 13
    assert "http" not in printed + complained
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_class_name_ends_it_before_any_work(undisturbed, tmp_path):
    shutil.copytree(undisturbed[0] / "phantom/raw", tmp_path / "phantom/raw")
    status, _, complained = run(tmp_path, *UNTIL_SPLIT, "--fracture-names", "left-neck,left-nek")
    assert status == 2
    assert "'left-nek'" in complained
    assert "'left-intertrochanteric'" in complained, "the classes that there are"
    assert not (tmp_path / "phantom/stage").exists()


def test_whatever_sources_there_are_will_do(undisturbed, tmp_path):
    shutil.copytree(undisturbed[0] / "phantom/raw/HIP", tmp_path / "data/HIP")
    plan = Plan(*(tmp_path / name for name in ("data", "stage", "dataset", "report")), skip_download=True)
    printed = list(rebuild(plan, last="split"))
    assert [line.split(": ")[1] for line in printed if line.startswith("left out")] == list(SOURCES[:3])
    assert any("figshare.com" in line and str(tmp_path / "data" / "FracAtlas") in line for line in printed)
    assert {film.source for film in manifest.load(tmp_path / "dataset")} == {"hip"}
    with pytest.raises(MissingData, match="GRAZPEDWRI-DX"):
        list(rebuild(replace(plan, sources=("grazpedwri", "hip"))))
    with pytest.raises(MissingData, match="no source is there"):
        list(rebuild(replace(plan, data=tmp_path / "nowhere")))
    with pytest.raises(BadValue, match="got radius"):
        replace(plan, sources=("hip", "radius"))


def test_a_key_is_never_shown():
    assert "SECRET" not in repr(replace(PHANTOM, roboflow_key="SECRET"))


@pytest.mark.long  # three minutes and more; its parts are tested here and in tests/models/test_yolo.py
def test_trained_killed_resumed_and_judged(again):
    weights = again / "phantom/runs/fracture_phantom/weights/last.pt"
    process = start(again, "--phantom", *TINY)
    # Killed once the first epoch has left a checkpoint.
    while process.poll() is None and not weights.is_file():
        try:
            process.wait(0.05)
        except subprocess.TimeoutExpired:
            continue
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    before = manifests(again)
    status, printed, complained = run(again, "--phantom", *TINY)
    assert status == 0, complained[-2000:]
    assert done(printed) == ["train", "evaluate"]
    for shown in ("region wrist", "region hip", "source humerus", "source fracatlas", "by study", "clinical hit"):
        assert shown in printed
    assert (again / "phantom/report/report.html").is_file()
    assert manifests(again) == before
    assert (again / "phantom/runs/fracture_phantom/films.csv").is_file()
    curves = (again / "phantom/runs/fracture_phantom/results.csv").read_text(encoding="utf-8").splitlines()
    assert len(curves) == 3, "two epochs, none of them twice"
    status, printed, _ = run(again, "--phantom", *TINY)
    assert (status, done(printed)) == (0, [])
    status, _, complained = run(again, "--phantom", "--epochs", "3", "--imgsz", "96")
    assert status == 2
    assert "holds a run of other films or settings" in complained


@pytest.mark.parametrize(
    ("stage", "called"),
    [
        ("ingest", "data/sources/yolo_folders.py"),
        ("preprocess", "core/errors.py"),
        ("audit", "core/page.py"),
        ("split", "core/boxes.py"),
        ("train", "inference/batch.py"),
        ("evaluate", "evaluation/report/report.schema.json"),
    ],
)
def test_a_stage_hangs_on_the_code_it_calls(stage, called):
    files, _ = closure(*_CODE[stage])
    assert PACKAGE / called in files
    assert {PACKAGE / "imaging/decode.py", PACKAGE / "core/types.py"} <= files
    assert set(_CODE) == set(STAGES) - {"acquire"}


def test_the_stages_are_the_ones_documented():
    assert STAGES == ("acquire", "ingest", "preprocess", "audit", "split", "train", "evaluate")


def test_the_default_is_for_fracatlas_until_there_are_more_sources(tmp_path):
    (tmp_path / "FracAtlas").mkdir()
    assert default_plan(tmp_path) == replace(DEFAULT, data=tmp_path)
    (tmp_path / "HUMERUS").mkdir()
    assert default_plan(tmp_path) == replace(DEFAULT, data=tmp_path), "an empty folder is no source"
    (tmp_path / "RF100").mkdir()
    (tmp_path / "RF100/data.yaml").touch()
    assert default_plan(tmp_path) == replace(DEFAULT, data=tmp_path, sources=("fracatlas", "rf100"))
    (tmp_path / "HUMERUS/data.yaml").touch()
    assert default_plan(tmp_path) == Plan(data=tmp_path)
    assert (Plan().training.model, Plan().training.imgsz) == ("yolov8m.pt", 800)


def test_the_door_takes_the_default(tmp_path, fracatlas_tree):
    shutil.copytree(fracatlas_tree[0], tmp_path / "data/FracAtlas")
    status, printed, complained = run(tmp_path, "--default", "--until", "split")
    assert status == 0, complained
    assert "split: done" in printed
    assert "HUMERUS" not in printed
    status, printed, _ = run(tmp_path, "--default", "--dry-run", "--model", "other.pt")
    assert f"up to {DEFAULT.training.epochs} epochs" in printed
    assert "train: to do" in printed
