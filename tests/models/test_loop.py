"""Detectors that are trained by Lightning: fitted on a few phantom films, killed, resumed, exported, served."""

import csv
import hashlib
import json
import math
import subprocess
import sys
import threading
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from fracture.core.errors import BadValue, MissingData
from fracture.core.files import write_bytes
from fracture.data.yolo import load_dataset
from fracture.inference.reader import Reader
from fracture.models import onnx_edit
from fracture.models.detectors import table
from fracture.models.detectors.config import Config
from fracture.models.detectors.loop import films, fpn
from fracture.models.detectors.loop.architecture import row
from fracture.models.detectors.loop.start import weights_file
from fracture.models.detectors.loop.validation import AP50, validate
from fracture.models.detectors.runs import epochs_run
from fracture.models.detectors.table import DETECTORS, detector
from fracture.models.detectors.train import train
from fracture.models.films import harmonise_config_of, network_film
from fracture.models.loop import checkpoint
from fracture.models.loop.trainer import in_bfloat16
from fracture.models.runs import FINISHED
from fracture.models.runtime import OnnxNetwork, OpenVinoNetwork
from fracture.training.bundle import bundle
from fracture.training.parity import parity_films
from tests.models import toy as toy_detector

pytest.importorskip("lightning", reason="training needs the full set of packages")
NAMES = ("fasterrcnn", "retinanet", "fcos")


@pytest.fixture
def toy(monkeypatch):
    monkeypatch.setattr(table, "DETECTORS", table.DETECTORS)  # put back when the test is over
    monkeypatch.setattr(toy_detector, "broken", False)
    toy_detector.install()
    return toy_detector


@pytest.fixture
def file_server(tmp_path_factory):
    """Serve a folder on this machine."""
    folder = tmp_path_factory.mktemp("served")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield SimpleNamespace(folder=folder, url=f"http://127.0.0.1:{server.server_port}")
        server.shutdown()
        thread.join()


def architecture(name):
    return table.DETECTORS[name].train.args[0]


def config(arch, dataset, runs, **changes):
    small = {"imgsz": 64, "batch": 4, "films_per_step": 4, "device": "cpu", "epochs": 1, "name": arch}
    return Config(arch=arch, data=str(dataset), runs=str(runs), **small | changes)


@pytest.fixture(scope="module")
def runs(tiny_dataset, tmp_path_factory):
    """Give the folder of three runs, one of each architecture, of one epoch at 64 px."""
    folder = tmp_path_factory.mktemp("loop_runs")
    for name in NAMES:
        train(config(name, tiny_dataset, folder))
    return folder


@pytest.mark.parametrize("name", NAMES)
def test_a_run_leaves_weights_curves_and_its_configuration(runs, name):
    [line] = csv.DictReader((runs / name / "results.csv").open())
    assert line["epoch"] == "1"
    assert float(line[AP50]) >= 0
    assert all(math.isfinite(float(value)) for part, value in line.items() if part.startswith("train/"))
    assert (runs / name / "weights/best.pt").is_file()
    assert json.loads((runs / name / FINISHED).read_text())["epochs"] == 1


@pytest.mark.parametrize("name", NAMES)
def test_a_run_becomes_a_bundle_that_is_served_without_torch(runs, name):
    card = bundle(runs / name)
    assert card.arch == name
    assert card.measured["parity"]["least_iou"] >= 0.95
    assert card.measured["scope"]["stage"] == fpn.STAGE
    onnx_edit.check_stage(onnx_edit.load(runs / name / "model.onnx"), DETECTORS[name].film_stage)
    code = (
        "import sys; from pathlib import Path; from fracture.inference.reader import Reader; "
        "run, film = Path(sys.argv[1]), Path(sys.argv[2]).read_bytes(); "
        "print(*(len(Reader.load(run, name).read(film).detections) for name in ('openvino', 'onnxruntime'))); "
        "assert not {'torch', 'torchvision', 'lightning', 'ultralytics'} & sys.modules.keys()"
    )
    film = parity_films(load_dataset(Path(card.training["config"]["data"])))[0]
    done = subprocess.run([sys.executable, "-c", code, runs / name, film], check=True, capture_output=True)
    assert len(set(map(int, done.stdout.split()))) == 1


@pytest.mark.parametrize("name", NAMES)
def test_three_engines_answer_with_the_same_boxes(name, tmp_path):
    """Compare torch, ONNX Runtime and OpenVINO on films of several shapes, candidate by candidate, of two classes."""
    import torch

    torch.manual_seed(0)
    made = checkpoint.Checkpoint(name, {"classes": ["hand", "wrist"]}, architecture(name).build(2).state_dict())
    file = checkpoint.save(made, tmp_path / "net.pt")
    model = DETECTORS[name].export(file, tmp_path / "model.onnx", 64)
    reference = DETECTORS[name].network(file)
    engines = (OnnxNetwork(model), OpenVinoNetwork(model))
    for shape in ((64, 64, 3), (96, 64, 3), (32, 160, 3)):
        pixels = np.random.default_rng(0).integers(0, 255, shape, dtype=np.uint8)
        expected = reference(pixels)
        best = expected[4:].max(axis=0)
        sure = expected[:, (best >= min(0.05, best.max() / 2)) & (best > 0)]
        for network in engines:
            got = network(pixels)
            assert got.shape == expected.shape == (6, fpn.MOST)
            np.testing.assert_allclose(np.sort(got[4:].max(axis=0)), np.sort(best), atol=1e-4)
            # Which of two with nearly one score is first hangs on the last digit, so each is paired with its like.
            unit = np.array([1, 1, 1, 1, 0.01, 0.01])[:, None, None]
            like = got[:, linear_sum_assignment((np.abs(sure[:, :, None] - got[:, None]) / unit).max(axis=0))[1]]
            close = np.abs(like - sure) < np.array([0.5, 0.5, 0.5, 0.5, 1e-3, 1e-3])[:, None]
            # A network this young has regions of one score, of which engines drop others.
            assert close.all(axis=0).mean() > 0.98


@pytest.mark.parametrize("name", NAMES)
def test_a_film_of_noise_has_no_more_candidates_than_an_empty_one(runs, name):
    network = DETECTORS[name].network(runs / name / "weights/best.pt")
    noise = np.random.default_rng(0).integers(0, 255, (64, 96, 3), dtype=np.uint8)
    assert network(noise).shape == network(np.zeros_like(noise)).shape == (5, fpn.MOST)


@pytest.mark.parametrize("name", NAMES)
def test_anchors_stand_at_the_strides_of_their_levels(name):
    """On sides that a level does not divide, too: 416 px are 7 cells of 64, and not of 59."""
    import torch
    from torchvision.models.detection.image_list import ImageList

    net = architecture(name).build(1)
    part, finest = (net.rpn, 4) if hasattr(net, "rpn") else (net, 8)
    film = torch.zeros(1, 3, 416, 96)
    levels = [torch.zeros(1, 1, -(-416 // (finest << level)), -(-96 // (finest << level))) for level in range(5)]
    [anchors] = part.anchor_generator(ImageList(film, [(416, 96)]), levels)
    centre = (anchors[:, :2] + anchors[:, 2:]) / 2
    each = part.anchor_generator.num_anchors_per_location()[0]
    last = centre[-each * levels[-1].shape[2] * levels[-1].shape[3] :: each]
    assert sorted({float(y) for y in last[:, 1].round()}) == [
        row * float(finest << 4) for row in range(levels[-1].shape[2])
    ]
    assert anchors.dtype == torch.float32


def test_weights_by_name_are_downloaded_when_a_run_begins(tiny_dataset, tmp_path, file_server, monkeypatch):
    """A name is no file; what cannot be had, or is another file, ends the run before it begins."""
    monkeypatch.chdir(tmp_path)
    write_bytes(file_server.folder / "net-00000000.pth", b"weights")
    known = replace(architecture("fcos"), weights={"coco": f"{file_server.url}/net-00000000.pth"})
    monkeypatch.setattr(table, "DETECTORS", {**table.DETECTORS, "fcos": row(known)})
    with pytest.raises(BadValue, match="expected a SHA-256 that begins with 00000000"):
        train(config("fcos", tiny_dataset, tmp_path / "runs", start="coco"))
    with pytest.raises(MissingData, match="no weights at cocoa"):
        train(config("fcos", tiny_dataset, tmp_path / "runs", start="cocoa"))


@pytest.mark.parametrize("model", ["yolov8s.yaml", "resnet.safetensors", "retinanet"])
def test_what_is_no_checkpoint_is_refused_as_one(model, tiny_dataset, tmp_path):
    write_bytes(tmp_path / model, b"weights")
    wrong = config("fcos", tiny_dataset, tmp_path, model=str(tmp_path / model))
    with pytest.raises(BadValue, match=r"--model: expected a \.pt of fcos, got .*; other weights to begin with go to"):
        train(wrong)


def test_a_device_that_is_not_there_is_refused(toy, tiny_dataset, tmp_path):
    with pytest.raises(BadValue, match=r"--device: expected one of cpu.*, got 'cuda:99'"):
        train(config("toy", tiny_dataset, tmp_path, device="cuda:99"))


def test_val_that_can_judge_nothing_is_refused(toy, tiny_dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(films, "val_films", lambda *_: iter(()))
    with pytest.raises(BadValue, match="val: expected films with boxes, or --val-every 0, got none among 0 films"):
        train(config("toy", tiny_dataset, tmp_path))


def test_patience_of_0_never_ends_a_run(toy, tiny_dataset, tmp_path):
    run = config("toy", tiny_dataset, tmp_path, epochs=3, patience=0)
    train(run)
    assert epochs_run(run.folder) == 3
    with pytest.raises(BadValue, match="--patience: expected 0 or more"):
        replace(run, patience=-1)


def test_a_killed_run_ends_as_one_that_was_not(tiny_dataset, tmp_path, toy):
    """Kill a run after its first epoch, resume it, and find the weights of a run that nobody killed.

    With all that is drawn by lot: mosaics, other looks, and what the network itself draws.
    """
    import torch

    drawn = {"val_every": 0, "settings": {"close_mosaic": 1}, "other_looks": 0.5}
    whole, killed = (config("toy", tiny_dataset, tmp_path / name, epochs=3, **drawn) for name in ("whole", "killed"))
    train(whole)
    code = (
        "import json, os, sys; sys.path.insert(0, sys.argv[2]); import toy; "
        "from fracture.models.detectors.config import Config; from fracture.models.loop import callback; "
        "from fracture.models.detectors.train import train; toy.install(); saved = callback._save_whole; "
        "callback._save_whole = lambda *what: (saved(*what), os._exit(9)); train(Config(**json.loads(sys.argv[1])))"
    )
    given = [sys.executable, "-c", code, json.dumps(killed.__dict__), str(Path(toy.__file__).parent)]
    ended = subprocess.run(given, check=False, capture_output=True)
    assert ended.returncode == 9, ended.stderr[-2000:]
    assert epochs_run(killed.folder) == 1
    train(killed, resume=True)
    one, two = (torch.load(its.folder / "weights/last.pt", weights_only=False) for its in (whole, killed))
    assert all(torch.equal(one["state_dict"][name], two["state_dict"][name]) for name in one["state_dict"])
    assert torch.equal(*(ended["optimizer_states"][0]["state"][0]["exp_avg"] for ended in (one, two)))
    assert one["global_step"] == two["global_step"] > 3
    for its in (whole, killed):
        rows = list(csv.DictReader((its.folder / "results.csv").open()))
        assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert json.loads((killed.folder / FINISHED).read_text())["epochs"] == 3


@pytest.mark.parametrize("name", NAMES)
def test_weights_of_another_architecture_are_refused_by_name(runs, name, tiny_dataset, tmp_path):
    other = next(one for one in NAMES if one != name)
    file = runs / other / "weights/best.pt"
    with pytest.raises(BadValue, match=f"expected a checkpoint of {name}, got one of {other}"):
        train(config(name, tiny_dataset, tmp_path, model=str(file)))
    for call in (DETECTORS[name].network, lambda one: DETECTORS[name].export(one, tmp_path / "x.onnx", 64)):
        with pytest.raises(BadValue, match=f"expected a checkpoint of {name}, got one of {other}"):
            call(file)


def test_a_checkpoint_of_yolov8_is_none_of_the_loops_and_the_other_way_round(runs, tiny_run, tiny_dataset, tmp_path):
    with pytest.raises(BadValue, match=r"best\.pt: expected weights that torch can read without running code"):
        train(config("retinanet", tiny_dataset, tmp_path, model=str(tiny_run / "weights/best.pt")))
    wrong = str(runs / "retinanet/weights/best.pt")
    with pytest.raises(BadValue, match="model: expected weights or an architecture to learn from"):
        train(Config(model=wrong, data=str(tiny_dataset), imgsz=64, runs=str(tmp_path), name="x", device="cpu"))


def test_a_checkpoint_of_other_classes_is_refused_by_name(toy, tiny_dataset, tmp_path):
    made = checkpoint.Checkpoint("toy", {"classes": ["wrist", "hand"]}, toy.build(2).state_dict())
    file = checkpoint.save(made, tmp_path / "two.pt")
    with pytest.raises(BadValue, match=r"expected the classes \('fracture',\), got \('wrist', 'hand'\)"):
        train(config("toy", tiny_dataset, tmp_path, model=str(file)))


def test_a_name_that_is_no_architecture_is_refused_with_the_known_ones():
    with pytest.raises(BadValue, match="expected one of yolov8, fasterrcnn, retinanet, fcos, got 'detr'"):
        detector("detr")


def test_what_a_run_learns_from_where_nothing_is_named():
    """YOLOv8 has networks to choose from, with published weights; the others are one network, at random or --start."""
    assert (Config().model, Config().name) == ("yolov8m.pt", "fracture_yolov8m")
    assert (Config(arch="fcos", start="x.pth").model, Config(arch="fcos").name) == ("", "fracture_fcos")


def test_a_run_that_writes_into_a_file_shows_how_far_it_is(toy, tiny_dataset, tmp_path, capfd):
    train(config("toy", tiny_dataset, tmp_path))
    told = "".join(capfd.readouterr())
    assert "Epoch 0: 100%" in told
    assert "distance=" in told


def test_a_run_learns_on_from_a_checkpoint(toy, tiny_dataset, tmp_path):
    first = config("toy", tiny_dataset, tmp_path, name="first")
    [best] = train(first)
    [further] = train(replace(first, name="further", model=str(best), learning_rate=1e-9))
    one, two = (checkpoint.load(file, "toy").state["weight"] for file in (best, further))
    np.testing.assert_allclose(one, two, atol=1e-3)


def test_a_finished_run_and_settings_of_another_network_are_refused(toy, tiny_dataset, tmp_path):
    with pytest.raises(BadValue, match="--set: expected no gains of YOLOv8's loss for toy, got box"):
        train(config("toy", tiny_dataset, tmp_path, settings={"box": 1.0}))
    train(config("toy", tiny_dataset, tmp_path))
    with pytest.raises(BadValue, match="holds a run already"):
        train(config("toy", tiny_dataset, tmp_path))


def test_a_run_ends_where_val_gains_no_more_and_keeps_the_best_epoch(toy, tiny_dataset, tmp_path, monkeypatch):
    from fracture.models.detectors.loop import train as loop_train

    told = iter([0.2, 0.5, 0.4, 0.3, 0.9])
    seen = []

    def validate(answer, *_):
        seen.append(answer(np.zeros((64, 64, 3), np.uint8)))
        return {AP50: next(told), "val/film_AUC": 0.5}

    monkeypatch.setattr(loop_train, "validate", validate)
    run = config("toy", tiny_dataset, tmp_path, epochs=9, patience=2, learning_rate=0.1)
    [best] = train(run)
    assert epochs_run(run.folder) == 4
    kept = table.DETECTORS["toy"].network(best)(np.zeros((64, 64, 3), np.uint8))
    assert np.abs(kept - seen[1]).max() < np.abs(kept - seen[3]).max() / 3


def test_without_validation_the_latest_epoch_is_kept(toy, tiny_dataset, tmp_path):
    import torch

    run = config("toy", tiny_dataset, tmp_path, epochs=2, val_every=0)
    [best] = train(run)
    rows = list(csv.DictReader((run.folder / "results.csv").open()))
    assert [row[AP50] for row in rows] == ["", ""]
    last = torch.load(best.with_name("last.pt"), weights_only=False)["state_dict"]["net.weight"]
    np.testing.assert_allclose(checkpoint.load(best, "toy").state["weight"], last, atol=1e-3)


def test_hours_end_a_run_in_time(toy, tiny_dataset, tmp_path):
    run = config("toy", tiny_dataset, tmp_path, epochs=1000, hours=3 / 3600, val_every=0)
    train(run)
    assert 0 < epochs_run(run.folder) < 1000


def test_a_resumed_run_keeps_its_hours(toy, tiny_dataset, tmp_path, monkeypatch):
    from fracture.models.loop import callback

    def stopped(*what):
        save(*what)
        raise RuntimeError("stopped after an epoch")

    run, save = config("toy", tiny_dataset, tmp_path, epochs=1000, hours=3 / 3600, val_every=0), callback._save_whole
    monkeypatch.setattr(callback, "_save_whole", stopped)
    with pytest.raises(RuntimeError, match="stopped after an epoch"):
        train(run)
    monkeypatch.setattr(callback, "_save_whole", save)
    train(replace(run, hours=None), resume=True)
    assert 1 < epochs_run(run.folder) < 1000


def test_losses_that_are_no_number_end_a_run(toy, tiny_dataset, tmp_path):
    toy.broken = True
    with pytest.raises(BadValue, match=r"expected finite losses, got distance nan; try a lower --learning-rate"):
        train(config("toy", tiny_dataset, tmp_path))


def test_films_are_those_that_are_served_and_boxes_lie_on_them(tiny_dataset, tmp_path):
    """Without augmentation a film of the batch is one of the files, and its boxes are as large as drawn there."""
    dataset = load_dataset(Path(tiny_dataset))
    run = config("retinanet", tiny_dataset, tmp_path, settings={"mosaic": 0, "fliplr": 0, "degrees": 0, "scale": 0})
    run = replace(run, settings={**run.settings, "translate": 0, "hsv_v": 0})
    loader = films.train_loader(run, dataset, harmonise_config_of(dataset))
    pixels, targets = next(iter(loader))
    known = {}
    for file, label in zip(loader.dataset.im_files, loader.dataset.labels, strict=True):
        film = network_film(Path(file), run.imgsz, harmonise_config_of(dataset)).pixels
        known[film.mean().round(2)] = label["bboxes"][:, 2:] * 64 * np.array(label["shape"])[::-1] / max(label["shape"])
    assert (pixels.shape[1:], float(pixels.max()) <= 1) == ((3, 64, 64), True)
    fractured = [index for index, target in enumerate(targets) if len(target["boxes"])]
    assert fractured
    for index in fractured:
        boxes = targets[index]["boxes"]
        assert (boxes[:, 2:] > boxes[:, :2]).all()
        assert float(boxes.min()) >= 0
        assert float(boxes.max()) <= 64
        assert targets[index]["labels"].tolist() == [0] * len(boxes)
        inside = pixels[index, :, :, :].numpy() * 255
        nearest = min(known, key=lambda grey: abs(grey - inside.mean()))
        assert abs(nearest - inside.mean()) < 1
        np.testing.assert_allclose(boxes[:, 2:] - boxes[:, :2], known[nearest], atol=1)


def test_val_is_judged_as_the_report_judges(tiny_dataset, tmp_path):
    """A network that answers with the drawn boxes has an AP of 1; one that answers with nothing has 0."""
    dataset = load_dataset(Path(tiny_dataset))
    run, prepared_by = config("toy", tiny_dataset, tmp_path), harmonise_config_of(dataset)
    val = list(films.val_films(run, dataset, prepared_by))
    assert any(len(film.boxes) for film in val)
    asked = iter(val)

    def drawn(pixels):
        film = next(asked)
        mapped = film.prepared(run, prepared_by).from_film.forward(film.boxes)
        low, high = mapped[:, :2], mapped[:, 2:]
        rows = np.hstack([(low + high) / 2, high - low, np.full((len(low), 1), 0.9)])
        return np.vstack([rows, np.zeros((1, 5))]).T.astype(np.float32)

    assert validate(drawn, val, 1, run, prepared_by) == {AP50: pytest.approx(1), "val/film_AUC": 1.0}
    nothing = validate(lambda _: np.zeros((5, 1), np.float32), val, 1, run, prepared_by)
    assert nothing == {AP50: 0.0, "val/film_AUC": 0.5}


def test_a_part_in_bfloat16_answers_in_float32():
    import torch

    part = torch.nn.Conv2d(1, 4, 3)
    film = torch.rand(1, 1, 8, 8)
    plain = part(film)
    seen = []
    part.register_forward_pre_hook(lambda *_: seen.append(torch.is_autocast_enabled("cpu")))
    in_bfloat16(part)
    answer = part.train()(film)
    assert answer.dtype == torch.float32
    assert 0 < (answer - plain).abs().max() < 0.02
    assert torch.equal(part.eval()(film), plain)


class TestStart:
    @pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
    def test_a_backbone_or_a_whole_detector_of_other_classes_fits(self, suffix, tmp_path):
        import torch
        from safetensors.torch import save_file

        retinanet = architecture("retinanet")
        coco = retinanet.build(3).state_dict()
        alone = {name.removeprefix("backbone.body."): value for name, value in coco.items() if "backbone.body" in name}
        for number, given in enumerate((coco, alone | {"fc.weight": torch.zeros(10, 2048)})):
            file = tmp_path / f"{number}{suffix}"
            save = torch.save if suffix == ".pt" else save_file
            save(dict(given), file)
            net = retinanet.build(1)
            assert checkpoint.begin_with("retinanet", net, file, retinanet.fitting) > 300 - 50 * number
            assert torch.equal(net.state_dict()["backbone.body.conv1.weight"], coco["backbone.body.conv1.weight"])

    def test_weights_of_something_else_are_refused(self, tmp_path):
        import torch

        retinanet = architecture("retinanet")
        file = tmp_path / "other.pt"
        torch.save({"layer.weight": torch.zeros(3)}, file)
        with pytest.raises(BadValue, match=r"other\.pt: expected weights for retinanet, 0 of 1 tensors fit"):
            checkpoint.begin_with("retinanet", retinanet.build(1), file, retinanet.fitting)

    def test_a_pickle_that_runs_code_is_refused(self, tmp_path):
        import pickle

        file = tmp_path / "evil.pt"
        file.write_bytes(pickle.dumps(subprocess.run))
        with pytest.raises(BadValue, match="without running code"):
            checkpoint.load(file, "retinanet")

    def test_a_name_is_downloaded_once_and_known_by_its_digits(self, tmp_path, file_server):
        content = b"weights"
        digits = hashlib.sha256(content).hexdigest()[:8]
        write_bytes(file_server.folder / f"net-{digits}.pth", content)
        write_bytes(file_server.folder / "net-00000000.pth", content)
        known = replace(
            architecture("retinanet"),
            weights={"coco": f"{file_server.url}/net-{digits}.pth", "bad": f"{file_server.url}/net-00000000.pth"},
        )
        file = weights_file(known, "coco", tmp_path)
        assert file.read_bytes() == content
        (file_server.folder / f"net-{digits}.pth").unlink()
        assert weights_file(known, "coco", tmp_path) == file
        with pytest.raises(BadValue, match="expected a SHA-256 that begins with 00000000"):
            weights_file(known, "bad", tmp_path)
        assert not (tmp_path / "net-00000000.pth").exists()

    def test_a_name_that_is_not_known_is_refused_and_a_file_is_itself(self):
        with pytest.raises(BadValue, match="--start: expected a file or one of coco, imagenet, got 'cocoa'"):
            weights_file(architecture("fcos"), "cocoa")
        assert weights_file(architecture("fcos"), "net.safetensors") == Path("net.safetensors")

    def test_a_file_that_is_not_there_is_said(self, tiny_dataset, tmp_path):
        with pytest.raises(MissingData, match="no weights at"):
            train(config("fcos", tiny_dataset, tmp_path, start=str(tmp_path / "none.pt")))


def test_the_mean_of_runs_is_a_checkpoint_of_theirs(toy, tmp_path):
    files = []
    for value in (1.0, 3.0):
        net = toy.build(1)
        net.weight.data.fill_(value)
        files.append(
            checkpoint.save(
                checkpoint.Checkpoint("toy", {"classes": ["fracture"]}, net.state_dict()), tmp_path / f"{value}.pt"
            )
        )
    made = table.DETECTORS["toy"].average(files, tmp_path / "mean.pt")
    assert set(checkpoint.load(made, "toy").state["weight"].flatten().tolist()) == {2.0}
    other = checkpoint.save(
        checkpoint.Checkpoint("toy", {"classes": ["wrist"]}, toy.build(1).state_dict()), tmp_path / "wrist.pt"
    )
    with pytest.raises(BadValue, match="expected networks of the same labels"):
        table.DETECTORS["toy"].average([*files, other], tmp_path / "mean.pt")


def test_a_fifth_detector_is_a_file_and_a_row(toy, tiny_dataset, tmp_path):
    """Train, bundle and read with one that no code but its own file knows."""
    run = config("toy", tiny_dataset, tmp_path, epochs=2)
    train(run)
    card = bundle(run.folder)
    assert (card.arch, card.measured["parity"]["compared"]) == ("toy", "onnxruntime")
    assert not card.scoped  # it names no stage
    file = parity_films(load_dataset(Path(tiny_dataset)))[0]
    assert len(Reader.load(run.folder).read(file.read_bytes()).detections) > 0
