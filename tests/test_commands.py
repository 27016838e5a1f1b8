"""The commands as a person uses them: real commands, real files, a small real network where one is needed."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fracture.__main__ import COMMANDS
from fracture.inference.reader import Reader
from fracture.phantom import draw_film
from fracture.phantom.dicom_files import Style, dicom

ROOT = Path(__file__).parents[1]


def run(*args, cwd):
    return subprocess.run([sys.executable, *map(str, args)], cwd=cwd, capture_output=True, text=True, check=False)


@pytest.fixture
def films(tmp_path):
    folder = tmp_path / "films"
    folder.mkdir()
    for number in range(2):
        pixels, _ = draw_film(np.random.default_rng(number), fractured=True)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    (folder / "broken.png").write_bytes(b"this is no film")
    (folder / "labels.txt").write_text("0 .5 .5 .1 .1")
    return folder


def test_inference_writes_a_line_for_every_film_and_counts_refusals(films, tmp_path):
    done = run(ROOT / "inference.py", films, "--out", tmp_path / "predictions.jsonl", cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    lines = [json.loads(line) for line in (tmp_path / "predictions.jsonl").read_text().splitlines()]
    assert [Path(line["path"]).name for line in lines] == ["0.png", "1.png", "broken.png"]
    assert lines[2]["error"]["code"] == "unsupported_format"
    assert "3 films, 1 refused" in done.stderr
    card = Reader.load().card
    for line in lines[:2]:
        scores = [box["confidence"] for box in line["detections"]]
        assert scores == sorted(scores, reverse=True)
        threshold = card.operating_point("balanced").threshold
        assert (line["mode"], line["shown_from"]) == ("balanced", threshold)
        # The box that a status rests on is there, however low.
        assert all(score >= min(threshold, card.thresholds.screening) for score in scores)
        assert line["fracture_detected"] == (line["status"] == "fracture" or bool(scores and scores[0] >= threshold))
        assert 0 <= line["film_score"]["chance"] <= 1
        assert "have a doctor read the film" in line["recommendation"]
        named = {"bbox_xyxy", "confidence", "class", "certainty", "chance"}
        assert all(set(box) == named for box in line["detections"])
        assert line["status"] in {"fracture", "doubt", "no fracture", "outside"}


def test_inference_writes_the_boxes_of_a_mode_or_all(films, tmp_path):
    every = run(ROOT / "inference.py", films / "0.png", "--all", cwd=tmp_path)
    strict = run(ROOT / "inference.py", films / "0.png", "--mode", "specific", cwd=tmp_path)
    found = Reader.load().read((films / "0.png").read_bytes()).detections
    said = json.loads(every.stdout)
    assert [box["confidence"] for box in said["detections"]] == found.score.tolist()
    assert not {"mode", "shown_from"} & set(said)
    assert json.loads(strict.stdout)["mode"] == "specific"
    wrong = run(ROOT / "inference.py", films / "0.png", "--mode", "loose", cwd=tmp_path)
    assert wrong.returncode == 2
    assert "screening, balanced, specific" in wrong.stderr


def test_where_every_film_is_refused_nothing_was_done(films, tmp_path):
    """As `draw` says of such a film; its line is written all the same."""
    done = run(ROOT / "inference.py", films / "broken.png", cwd=tmp_path)
    assert done.returncode == 2
    assert json.loads(done.stdout)["error"]["code"] == "unsupported_format"
    assert "1 film, 1 refused" in done.stderr
    said = " ".join(run("-m", "fracture", "read", "--help", cwd=ROOT).stdout.split())
    assert "1 when films were read and others refused; 2 when nothing could be done" in said


@pytest.fixture
def called(monkeypatch, tmp_path, capsys):
    """Give the way to call a command in this very process, which is faster."""
    monkeypatch.chdir(tmp_path)

    def call(name, *args):
        monkeypatch.setattr(sys, "argv", [f"fracture {name}", *map(str, args)])
        try:
            status = import_module(f"fracture.commands.{name}").main()
        except SystemExit as left:
            status = left.code
        return status, *capsys.readouterr()

    return call


def test_read_and_draw_take_a_mode_and_a_score_alike(films, called):
    film = films / "0.png"
    least = Reader.load().read(film.read_bytes()).detections.score.tolist()[2]
    for flags, mode in (("--conf", least), "custom"), (("--conf", least, "--mode", "specific"), "specific"):
        said = json.loads(called("read", film, *flags)[1])
        assert (said["mode"], said["shown_from"], len(said["detections"])) == (mode, least, 3)
        assert called("draw", film, *flags)[1].startswith("3 boxes drawn on")
    assert called("draw", film, "--conf", 1)[1].startswith(("0 boxes", "1 box "))
    for command in ("read", "draw"):
        status, _, said = called(command, film, "--mode", "loose")
        assert (status, "screening, balanced, specific" in said) == (2, True)
        status, _, said = called(command, film, "--conf", "2")
        assert (status, "expected a score within 0..1, got 2" in said) == (2, True)
    status, _, said = called("read", film, "--all", "--conf", "0.5")
    assert (status, "no --conf beside it" in said) == (2, True)


@pytest.mark.parametrize(("name", "kind"), [("a.png", "PNG"), ("a.JPG", "JPEG"), ("a.jpeg", "JPEG")])
def test_a_picture_is_of_the_kind_that_its_name_says(films, called, name, kind):
    assert called("draw", films / "0.png", "--out", name)[0] == 0
    assert Image.open(name).format == kind


@pytest.mark.parametrize("name", ["a.gif", "a.tif", "a"])
def test_a_picture_of_another_kind_is_refused_with_the_known_ones(films, called, name):
    status, _, said = called("draw", films / "0.png", "--out", name)
    assert (status, Path(name).exists()) == (2, False)
    assert f"expected a name that ends in .png, .jpg, .jpeg, got {name}" in said


def test_an_empty_folder_is_no_success(tmp_path):
    (tmp_path / "empty").mkdir()
    done = run(ROOT / "inference.py", tmp_path / "empty", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("inference: expected films (PNG, JPEG, TIFF, DICOM), got none in ")


def test_help_says_what_a_flag_is_where_it_is_not_given_and_how_a_command_ends():
    said = " ".join(run("-m", "fracture", "read", "--help", cwd=ROOT).stdout.split())
    assert "(default: balanced)" in said
    assert "130 when it is" in said
    assert "(default: None)" not in said


PARSERS = [(name, import_module(f"fracture.commands.{name}").parser()) for name in COMMANDS]


@pytest.mark.parametrize(("name", "parser"), PARSERS, ids=COMMANDS)
def test_every_flag_of_every_command_says_what_it_is(name, parser):
    assert not [action.option_strings or action.dest for action in parser._actions if not action.help]
    assert not PROGRAMS.search(parser.format_help())


def flags_without_help(file):
    """Give the flags that a file adds to a parser and says nothing of."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            named = str(node.args[0].value).startswith("--") and ast.unparse(node.func).endswith(
                ("add_argument", "add")
            )
            if named and "help" not in {keyword.arg for keyword in node.keywords}:
                yield node.args[0].value


@pytest.mark.parametrize("file", sorted((ROOT / "scripts").glob("*.py")), ids=lambda file: file.name)
def test_every_flag_of_every_script_says_what_it_is(file):
    assert not list(flags_without_help(file))


LEAKS = {"audit", "split"}
ENDS_WITH_1 = {"read", "serve", *LEAKS}


@pytest.mark.parametrize(("name", "parser"), PARSERS, ids=COMMANDS)
def test_help_tells_of_the_ends_that_a_command_has_and_of_no_others(name, parser):
    assert (" 1 when" in parser.epilog) == (name in ENDS_WITH_1)
    assert ("leak" in parser.epilog) == (name in LEAKS)
    assert "130 when it is stopped" in parser.epilog


@pytest.mark.parametrize(
    "command",
    [
        ("read", ""),
        ("read", "film.png", ""),
        ("read", "film.png", "--out", ""),
        ("read", "film.png", "--weights="),
        ("read", "film.png", "--mode", ""),
        ("draw", ""),
        ("draw", "--image", ""),
        ("train", "--data", ""),
        ("train", "--runs", ""),
        ("evaluate", "--data-root", ""),
        ("split", "--src", ""),
    ],
    ids=" ".join,
)
def test_an_empty_text_is_no_value(command, called, tmp_path):
    """It is what a shell makes of a variable that is not set, and as a path it would be the folder one is in."""
    status, _, said = called(*command)
    assert (status, "expected a value, got an empty text" in said) == (2, True)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("script", ["run_v5", "acquire", "fracatlas_to_yolo", "ingest_grazpedwri", "external_val"])
def test_an_empty_text_is_no_value_for_a_script(script, tmp_path):
    flag = {"run_v5": "--data", "acquire": "--root"}.get(script, "--src")
    done = run(ROOT / f"scripts/{script}.py", flag, "", cwd=tmp_path)
    assert (done.returncode, "expected a value, got an empty text" in done.stderr) == (2, True)


STOP = """
import os, signal, sys
class Stop:
    def find_spec(self, name, path=None, target=None):
        if name == os.environ["STOP_AT"] and ("--multiprocessing-fork" in sys.orig_argv) == ("WORKER" in os.environ):
            sys.meta_path.remove(self)
            os.killpg(0, signal.SIGINT)
sys.meta_path.insert(0, Stop())
signal.signal(signal.SIGINT, signal.default_int_handler)
"""
"""Ctrl-C while a module is imported, once; with WORKER while a process that works on films imports it.

Tests that run in the background of a shell are deaf to it, and so would be what they start.
"""


def stopped_at(module, *args, tmp_path, **more):
    (tmp_path / "sitecustomize.py").write_text(STOP)
    path = os.pathsep.join(filter(None, [str(tmp_path), str(ROOT), os.environ.get("PYTHONPATH")]))
    environment = os.environ | {"PYTHONPATH": path, "STOP_AT": module} | more
    how = {"capture_output": True, "text": True, "start_new_session": True, "timeout": 120}
    return subprocess.run([sys.executable, *map(str, args)], check=False, cwd=tmp_path, env=environment, **how)


SCRIPTS = [*(ROOT / f"{name}.py" for name in ("train", "evaluate", "inference", "visualize"))]


@pytest.mark.parametrize("script", [*SCRIPTS, *sorted((ROOT / "scripts").glob("*.py"))], ids=lambda file: file.stem)
def test_a_script_that_is_stopped_while_it_starts_says_so_in_a_line(script, tmp_path):
    body = ast.parse(script.read_text(encoding="utf-8")).body
    [*_, last] = next(node.body for node in body if isinstance(node, ast.With))
    named = {node.module for node in body if isinstance(node, ast.ImportFrom)}
    assert not [name for name in named if name.startswith(("fracture", "bench", "tests")) and "command" not in name]
    done = stopped_at(last.module, script, "--help", tmp_path=tmp_path)
    assert (done.returncode, done.stderr) == (130, f"{script.stem}: stopped\n")


@pytest.mark.parametrize("name", [*COMMANDS])
def test_a_command_that_is_stopped_while_it_starts_says_so_in_a_line(name, tmp_path):
    done = stopped_at(f"fracture.commands.{name}", "-m", "fracture", name, "--help", tmp_path=tmp_path)
    assert (done.returncode, done.stderr) == (130, f"fracture {name}: stopped\n")
    if name == "serve":
        done = stopped_at("uvicorn", "-m", "app", "--help", tmp_path=tmp_path)
        assert (done.returncode, done.stderr) == (130, "app: stopped\n")


@pytest.mark.parametrize("command", [("read",), ("draw",), ("serve",)], ids=" ".join)
def test_a_command_that_is_stopped_while_it_opens_its_model_says_so_in_a_line(command, films, tmp_path):
    given = () if command == ("serve",) else (films / "0.png",)
    done = stopped_at("openvino", "-m", "fracture", *command, *given, tmp_path=tmp_path)
    assert (done.returncode, done.stderr) == (130, f"fracture {command[0]}: stopped\n")


def test_an_import_that_makes_something_else_of_an_interrupt_is_stopped_all_the_same(tmp_path):
    code = (
        "import os, signal, sys\n"
        "from fracture.core.command import command\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "def main():\n"
        "    try:\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "    except KeyboardInterrupt:\n"
        "        raise ImportError('of a C extension') from None\n"
        "sys.argv = ['own']; sys.exit(command(main)())"
    )
    done = run("-c", code, cwd=ROOT)
    assert (done.returncode, done.stderr) == (130, "own: stopped\n")


def test_processes_that_look_at_films_say_nothing_of_being_stopped(tiny_dataset, tmp_path):
    args = ("-m", "fracture", "audit", "--src", tiny_dataset.parent / "dataset_v5", "--out", tmp_path / "audit")
    done = stopped_at("numpy", *args, tmp_path=tmp_path, WORKER="1")
    assert done.returncode == 130, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1] == "fracture audit: stopped"


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_command_explains_itself(name):
    done = run("-m", "fracture", name, "--help", cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"usage: fracture {name}")
    assert "It ends with 0" in done.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_a_shell_learns_the_commands(shell, tmp_path):
    done = run("-m", "fracture", "completion", shell, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert all(f" {name}" in done.stdout.replace("'", " ").replace('"', " ") for name in COMMANDS)
    assert "--mode" in done.stdout
    (tmp_path / "script").write_text(done.stdout)
    if shutil.which(shell):
        assert subprocess.run([shell, "-n", tmp_path / "script"], check=False).returncode == 0


def test_inference_prints_to_standard_output(films, tmp_path):
    done = run(ROOT / "inference.py", films / "0.png", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["image_size"] == [373, 454]


def test_visualize_writes_a_picture(films, tmp_path):
    done = run(ROOT / "visualize.py", "--image", films / "0.png", "--out", "prediction.png", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert Image.open(tmp_path / "prediction.png").size[0] > 700


def test_visualize_draws_from_the_score_that_was_asked_for_even_0(films, tmp_path):
    args = (ROOT / "visualize.py", "--image", films / "0.png", "--out", "prediction.png")
    read = Reader.load().read((films / "0.png").read_bytes())
    every = run(*args, "--conf", "0", cwd=tmp_path)
    assert every.stdout.startswith(f"{len(read.detections)} boxes drawn on prediction.png; status: "), every.stderr
    wrong = run(*args, "--conf", "nan", cwd=tmp_path)
    assert (wrong.returncode, "expected a score within 0..1, got nan" in wrong.stderr) == (2, True)


def test_compare_overlay_gives_for_every_model_what_read_gives(films, tmp_path):
    models = ("--model", "ours=shipped", "--model", f"again={ROOT / 'fracture/models/shipped/model.onnx'}")
    args = (*models, "--mode", "screening")
    done = run(ROOT / "scripts/compare_overlay.py", "--image", films / "0.png", *args, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert Image.open(tmp_path / "compare.png").size[0] > 700
    read = run(ROOT / "inference.py", films / "0.png", "--mode", "screening", cwd=tmp_path)
    line = json.loads(read.stdout)
    del line["time_ms"]
    assert json.loads(done.stdout)["models"] == [{"name": name} | line for name in ("ours", "again")]
    assert [said.partition(":")[0] for said in done.stderr.splitlines()] == ["ours", "again"]


def test_compare_takes_dicom_and_writes_its_answers_to_a_file(films, called, tmp_path):
    pixels = draw_film(np.random.default_rng(3), fractured=True)[0].astype(np.uint16) * 16
    about = {"patient": "p", "study": "s", "name": "IM01", "spacing_mm": 0.2, "region": "leg"}
    (tmp_path / "IM01").write_bytes(dicom(pixels, Style(), **about))
    status, out, said = called("compare", "IM01", "--model", "ours=shipped", "--out", "a.jpg", "--json", "a.json")
    assert (status, out.startswith("ours: ")) == (0, True), said
    assert Image.open("a.jpg").format == "JPEG"
    assert json.loads(Path("a.json").read_text())["models"][0]["image_size"] == [373, 454]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("0.png --model ours=shipped --model ours=shipped", "--model: expected each name once, got ours again"),
        ("0.png --model ours=shipped --model other=nowhere", "--model other: no card.json beside nowhere"),
        ("0.png --model ours", "expected NAME=WEIGHTS, got 'ours'"),
        ("0.png --model a/b=shipped", "expected a name of letters a to z, digits, blanks and ._+-"),
        ("0.png --model ours=shipped --mode loose", "--model ours: mode: expected one of screening, balanced"),
        ("0.png --model ours=shipped --out a.gif", "expected a name that ends in .png, .jpg, .jpeg, got a.gif"),
        ("0.png --model ours=shipped --json 0.png", "expected an output beside what is read"),
        ("broken.png --model ours=shipped", "expected a film"),
    ],
)
def test_compare_says_in_a_line_what_is_wrong(given, said, films, called, monkeypatch):
    monkeypatch.chdir(films)
    before = sorted(films.iterdir())
    status, _, told = called("compare", *given.split())
    assert (status, said in told, sorted(films.iterdir())) == (2, True, before), told


def test_visualize_refuses_what_is_no_film(films, tmp_path):
    done = run(ROOT / "visualize.py", "--image", films / "broken.png", cwd=tmp_path)
    assert done.returncode == 2
    assert "expected a film" in done.stderr
    assert "Traceback" not in done.stderr


def test_evaluate_without_a_dataset_says_how_to_build_it(tmp_path):
    for name in ("evaluate.py", "dataset.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    done = run("evaluate.py", "--target-recall", "0.90", cwd=tmp_path)
    assert done.returncode == 2
    for step in ("scripts/fracatlas_to_yolo.py", "fracture preprocess", "fracture split"):
        assert step in done.stderr
    assert "Traceback" not in done.stderr


def test_weights_that_are_not_there_are_named(films, tmp_path):
    done = run(ROOT / "inference.py", films, "--weights", tmp_path / "no.onnx", cwd=tmp_path)
    assert done.returncode == 2
    assert "card.json" in done.stderr


@pytest.mark.parametrize(
    "script",
    [
        "train.py",
        "evaluate.py",
        "inference.py",
        "visualize.py",
        *sorted(p.name for p in (ROOT / "scripts").glob("*.py")),
    ],
)
def test_every_script_explains_itself(script):
    path = ROOT / script if (ROOT / script).is_file() else ROOT / "scripts" / script
    done = run(path, "--help", cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert "usage:" in done.stdout


@pytest.mark.parametrize(
    "command",
    [
        ("inference.py", "{films}", "--out", "{films}/predictions.jsonl"),
        ("inference.py", "{films}/0.png", "--out", "{films}/0.png"),
        ("inference.py", "{films}", "--out", "{films}/../link/deep/predictions.jsonl"),
        ("visualize.py", "--image", "{films}/0.png", "--out", "{films}/0.png"),
        ("visualize.py", "--image", "{films}/0.png", "--out", "{films}/../link/0.png"),
    ],
)
def test_no_output_takes_the_place_of_a_film_or_stands_among_them(command, films, tmp_path):
    link = films.parent / "link"
    link.symlink_to(films)
    try:
        before = {path: path.read_bytes() for path in films.iterdir() if path.is_file()}
        done = run(ROOT / command[0], *(part.format(films=films) for part in command[1:]), cwd=tmp_path)
        assert done.returncode == 2, done.stderr
        assert "expected an output beside what is read" in done.stderr
        assert {path: path.read_bytes() for path in films.iterdir() if path.is_file()} == before
    finally:
        link.unlink()


def test_an_ingest_that_keeps_no_film_says_why_and_ends_with_two(tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    (images / "a.png").write_bytes(b"no film")
    listed = {"images": [{"id": 1, "file_name": "a.png"}], "categories": [{"id": 1, "name": "fracture"}]}
    (tmp_path / "a.json").write_text(json.dumps(listed | {"annotations": []}))
    args = ("--format", "coco", "--images", images, "--annotations", tmp_path / "a.json", "--out", tmp_path / "stage")
    done = run(ROOT / "scripts/ingest_folder.py", *args, "--name", "own", "--region", "hand", cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert "1 film in = 0 kept + 1 set aside" in done.stdout
    assert "all 1 were set aside: " in done.stderr
    assert "Traceback" not in done.stderr
    assert (tmp_path / "stage/report.json").is_file()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            "--format coco --images absent --name own --region hand",
            "--images: expected a folder of films, there is none",
        ),
        (
            "--format coco --images films --name own --region hand",
            "--annotations is missing: expected with --format coco",
        ),
        ("--format voc --images films --name own", "required: --region"),
        (
            "--format folders --images films --annotations films --name own --region hand",
            "--annotations is not expected with --format folders",
        ),
    ],
)
def test_an_ingest_says_what_is_missing_the_gravest_first(given, said, films, called):
    status, _, told = called("ingest", *given.split(), "--out", "stage")
    assert (status, said in told) == (2, True), told
    assert "None" not in told


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("--set scale", "--set: expected NAME=NUMBER, got 'scale'"),
        ("--set sale=1", "--set: expected some of"),
        ("--imgsz 500", "--long-side (imgsz): expected a multiple of 32, got 500"),
        ("--long-side 500", "--long-side (imgsz): expected a multiple of 32, got 500"),
        ("--films-per-step 1", "--films-per-step: expected the batch of 8 or more, got 1"),
    ],
)
def test_a_refused_setting_of_a_training_is_named_by_its_flag(given, said, called):
    status, _, told = called("train", *given.split())
    assert (status, told.startswith(f"fracture train: {said}")) == (2, True), told


def test_a_model_for_a_site_that_records_nothing_is_refused_with_what_to_do(tmp_path):
    done = run(ROOT / "scripts/build_site.py", "--weights", "nowhere", "--out", "site", cwd=tmp_path)
    assert (done.returncode, "--weights needs --record" in done.stderr) == (2, True)
    assert not (tmp_path / "site").exists()


def test_the_long_side_has_one_name_in_every_command():
    for name, older in (("preprocess", "--max-size"), ("train", "--imgsz"), ("bundle", "")):
        flags = dict(PARSERS)[name]._option_string_actions
        assert not older or flags[older] is flags["--long-side"], name


PROGRAMS = re.compile(r"\b(train|evaluate|inference|visualize|preprocess|make_splits|bundle|ingest_folder|audit)\.py")


@pytest.mark.parametrize("file", sorted((ROOT / "fracture").rglob("*.py")), ids=lambda file: file.stem)
def test_a_message_names_no_program_that_pip_does_not_install(file):
    """Docstrings may: they are for who reads the code."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    texts = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in prose]
    assert not [text for text in texts if isinstance(text, str) and PROGRAMS.search(text) and " " in text]


@pytest.fixture
def file(tmp_path):
    """Give a file where a folder would have to be: nobody can write below it, root neither."""
    (tmp_path / "file").write_text("")
    return tmp_path / "file"


@pytest.mark.parametrize(
    "command",
    [
        ("inference.py", "{films}/0.png", "--out", "{file}/predictions.jsonl"),
        ("visualize.py", "--image", "{films}/0.png", "--out", "{file}/prediction.png"),
        ("scripts/build_site.py", "--out", "{file}/site"),
        ("scripts/run_v5.py", "--phantom", "--until", "acquire", "--data", "{file}/raw", "--work", "{file}/stage"),
    ],
    ids=lambda command: command[0],
)  # fmt: skip
def test_what_cannot_be_written_is_said_in_a_line(command, films, file, tmp_path):
    done = run(ROOT / command[0], *(part.format(films=films, file=file) for part in command[1:]), cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith(Path(command[0]).stem + ": ")
    assert "Not a directory" in done.stderr or "File exists" in done.stderr


def test_a_command_called_from_a_program_leaves_standard_output_open(films, tmp_path):
    code = f"import sys, inference; sys.argv[1:] = [{str(films / '0.png')!r}]; inference.main(); print('still open')"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False, env=os.environ
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "still open"


def test_a_reader_that_goes_away_ends_a_command_quietly(films, tmp_path):
    shell = f"{sys.executable} {ROOT / 'inference.py'} {films / '0.png'} {films / '1.png'} | true"
    done = subprocess.run(["bash", "-c", shell], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    assert "BrokenPipeError" not in done.stderr


@pytest.mark.parametrize("missing", ["torch", "ultralytics"])
def test_training_without_its_packages_says_what_to_install(missing, tiny_dataset, tmp_path):
    code = (
        # Set to None only behind the imports: scipy takes a module of that name for torch itself.
        f"import sys, train; sys.modules[{missing!r}] = None; sys.argv = ['train.py', '--data', {str(tiny_dataset)!r}, "
        f"'--runs', {str(tmp_path / 'runs')!r}]; sys.exit(train.main())"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert f"train: needs {missing}, which is not installed" in done.stderr
    assert not (tmp_path / "runs").exists()


def test_training_from_an_exported_network_is_refused(tmp_path):
    done = run(ROOT / "train.py", "--model", "model.onnx", cwd=tmp_path)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "got model.onnx" in done.stderr


@pytest.mark.parametrize(
    "file",
    [one for folder in ("fracture/commands", "scripts") for one in ROOT.glob(f"{folder}/[a-z]*.py")],
    ids=lambda file: file.name,
)
def test_what_a_person_calls_ends_in_one_line_where_it_fails(file):
    text = file.read_text(encoding="utf-8")
    assert "@command\ndef main() -> int:" in text or "\n    from fracture.commands." in text


@pytest.mark.parametrize(
    "name",
    [
        *("inference.py", "visualize.py", "evaluate.py", "train.py", "app/__main__.py"),
        *(f"scripts/{step}.py" for step in ("ingest_folder", "preprocess", "make_splits", "audit", "bundle")),
    ],
)
def test_a_script_at_the_root_runs_a_command_and_nothing_else(name):
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    at = lines.index("with starting():")
    assert lines[at - 2] == "from fracture.core.command import starting"
    assert lines[at + 1].startswith("    from fracture.commands.")
    assert lines[-2:] == ['if __name__ == "__main__":', "    raise SystemExit(main())"]


def test_the_command_runs_what_is_named(films, tmp_path):
    done = run("-m", "fracture", "read", films / "0.png", cwd=tmp_path)
    assert (done.returncode, json.loads(done.stdout)["image_size"]) == (0, [373, 454]), done.stderr
    wrong = run("-m", "fracture", "reed", cwd=tmp_path)
    assert wrong.returncode == 2
    assert "expected a command out of read, draw, serve, ingest, " in wrong.stderr
    assert "got 'reed'" in wrong.stderr
    refused = run("-m", "fracture", "draw", "--image", films / "broken.png", cwd=tmp_path)
    assert refused.stderr.startswith("fracture draw: expected a film")
