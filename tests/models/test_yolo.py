"""Training, resuming, exporting: a real fit of one epoch on phantom films."""

import csv
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.special import logit

from fracture.commands import train as training_command
from fracture.core.errors import BadValue, MissingData
from fracture.core.files import file_hash
from fracture.core.types import Radiograph
from fracture.data import manifest, samples
from fracture.data.yolo import load_dataset
from fracture.imaging.decode import decode
from fracture.imaging.harmonise import harmonise, network_pixels
from fracture.inference.reader import Reader
from fracture.models import card as cards
from fracture.models.card import SHIPPED
from fracture.models.detectors import shipped, table
from fracture.models.detectors.config import AUGMENTATION, Config, settings
from fracture.models.detectors.runs import FINISHED, can_resume, epochs_run, is_finished, run_config
from fracture.models.detectors.train import train
from fracture.models.detectors.yolov8 import trainer
from fracture.models.detectors.yolov8.average import average
from fracture.models.detectors.yolov8.export import TorchNetwork, export_onnx
from fracture.models.detectors.yolov8.quiet import ultralytics
from fracture.models.detectors.yolov8.trainer import train_in_bfloat16, trainer_class
from fracture.models.detectors.yolov8.weights import load_matching
from fracture.models.films import EpochSampler, harmonise_config_of
from fracture.models.runtime import OnnxNetwork, OpenVinoNetwork
from fracture.training import bundle as making
from fracture.training.bundle import bundle, trained
from fracture.training.parity import compare, parity_films

pytest.importorskip("ultralytics", reason="training needs the full set of packages")
COCO = Path(__file__).parents[2].parent / "shared/data/yolov8n-coco.safetensors"


def tiny(dataset, runs, *, epochs):
    small = {"model": "yolov8n.yaml", "imgsz": 64, "batch": 4, "device": "cpu"}
    return Config(data=str(dataset), runs=str(runs), name="tiny", epochs=epochs, **small)


def test_a_run_leaves_weights_curves_and_its_configuration(tiny_run):
    assert (tiny_run / "weights/best.pt").is_file()
    assert len(list(csv.DictReader((tiny_run / "results.csv").open()))) == 1
    assert run_config(tiny_run).imgsz == 64
    assert epochs_run(tiny_run) == 1


def test_a_finished_name_is_not_overwritten(tiny_run):
    with pytest.raises(BadValue, match="holds a run already"):
        train(run_config(tiny_run))


@pytest.mark.parametrize("wrong", [{"films_per_step": 2}, {"learning_rate": 1.0}, {"learning_rate": -0.1}])
def test_a_step_of_no_size_is_refused(wrong, tiny_dataset, tmp_path):
    with pytest.raises(BadValue, match=next(iter(wrong)).replace("_", "-")):
        replace(tiny(tiny_dataset, tmp_path, epochs=1), **wrong)


def test_a_run_that_never_validates_keeps_its_last_epoch(tiny_dataset, tmp_path, monkeypatch):
    import torch

    ultralytics()
    from ultralytics.models.yolo.detect import DetectionTrainer

    monkeypatch.setattr(DetectionTrainer, "validate", lambda _: pytest.fail("validated"))
    config = replace(tiny(tiny_dataset, tmp_path, epochs=2), val_every=0)
    [best] = train(config)
    last = best.with_name("last.pt")
    one, two = (torch.load(file, weights_only=False)["model"].state_dict() for file in (best, last))
    assert all((one[name] == two[name]).all() for name in one)
    assert epochs_run(config.folder) == 2
    with pytest.raises(BadValue, match="--val-every: expected 0"):
        replace(config, val_every=-1)


def test_nothing_to_resume_is_said(tmp_path, tiny_dataset):
    with pytest.raises(MissingData, match="nothing to resume"):
        train(Config(data=str(tiny_dataset), runs=str(tmp_path)), resume=True)


def test_a_killed_run_goes_on_where_it_was(tiny_dataset, tmp_path):
    """Kill a run after its first epoch, resume it, and find both epochs in one table of curves."""
    config = tiny(tiny_dataset, tmp_path, epochs=2)
    code = (
        "import json, os, sys; from fracture.models.detectors.config import Config; "
        "from fracture.models.detectors.train import train; "
        "from fracture.models.detectors.yolov8.trainer import trainer_class; Trainer = trainer_class(); "
        "saved = Trainer.save_model; "
        "Trainer.save_model = lambda self: (saved(self), os._exit(9)); "
        "train(Config(**json.loads(sys.argv[1])))"
    )
    killed = subprocess.run([sys.executable, "-c", code, json.dumps(config.__dict__)], check=False, capture_output=True)
    assert killed.returncode == 9, killed.stderr[-2000:]
    assert epochs_run(config.folder) == 1
    train(replace(config), resume=True)
    epochs = [row["epoch"] for row in csv.DictReader((config.folder / "results.csv").open())]
    assert epochs == ["1", "2"]


def test_in_bfloat16_the_network_is_computed_and_the_loss_is_not():
    import torch

    torch.manual_seed(0)
    model = ultralytics().YOLO("yolov8n.yaml").model.train()
    batch = {"img": torch.rand(1, 3, 128, 96)}
    with torch.no_grad():
        expected = model(batch["img"])
    inside, told = [], []
    model.model[-1].cv2[0].register_forward_hook(lambda module, inputs, output: inside.append(output.dtype))
    model.criterion = lambda answers, _: told.append(answers)
    train_in_bfloat16(model)
    model(batch)
    assert inside == [torch.bfloat16]
    assert {value.dtype for value in (told[0]["boxes"], told[0]["scores"], *told[0]["feats"])} == {torch.float32}
    assert told[0]["boxes"].requires_grad
    for name in ("boxes", "scores"):
        assert (told[0][name] - expected[name]).abs().mean() < 0.05 * expected[name].abs().mean()


@pytest.mark.parametrize("there", [True, False])
def test_a_processor_with_bfloat16_trains_in_it(there, tiny_dataset, tmp_path, monkeypatch):
    changed = []
    monkeypatch.setattr(trainer, "computes_bfloat16", lambda: there)
    plain = train_in_bfloat16
    monkeypatch.setattr(trainer, "train_in_bfloat16", lambda model: changed.append(plain(model)))
    [best] = train(tiny(tiny_dataset, tmp_path, epochs=1))
    assert best.is_file()
    assert len(changed) == there


def test_the_export_answers_as_the_checkpoint_does(tiny_run, tmp_path):
    model = export_onnx(tiny_run / "weights/best.pt", tmp_path / "model.onnx", 64)
    torch_net = TorchNetwork(tiny_run / "weights/best.pt")
    for shape in ((64, 64, 3), (96, 64, 3)):
        pixels = np.random.default_rng(0).integers(0, 255, shape, dtype=np.uint8)
        expected = torch_net(pixels)
        for network in (OnnxNetwork(model), OpenVinoNetwork(model)):
            got = network(pixels)
            assert got.shape == expected.shape
            np.testing.assert_allclose(got[:4], expected[:4], atol=0.15)
            np.testing.assert_allclose(got[4:], expected[4:], atol=0.01)


def test_half_weights_halve_the_file(tiny_run, tmp_path):
    checkpoint = tiny_run / "weights/best.pt"
    half = export_onnx(checkpoint, tmp_path / "half.onnx", 64)
    whole = export_onnx(checkpoint, tmp_path / "whole.onnx", 64, half_weights=False)
    assert half.stat().st_size < 0.6 * whole.stat().st_size
    assert str(tmp_path).encode() not in half.read_bytes()


def test_a_bundle_can_be_read_without_torch(tiny_run, tiny_dataset):
    card = bundle(tiny_run, long_side_px=64)
    assert card.training["dataset_id"]
    assert card.training["config"]["model"] == "yolov8n.yaml"
    assert card.measured["parity"]["least_iou"] >= 0.99
    assert {point.name for point in card.operating_points} == {"screening", "balanced", "specific"}
    assert all("val split" in point.measured_on for point in card.operating_points)
    assert cards.load(tiny_run) == card
    assert card.date == json.loads((tiny_run / FINISHED).read_text())["date"]
    scope, films = card.measured["scope"], cards.films(tiny_run)
    assert (scope["train_films"], scope["val_films"]) == tuple(
        Counter(films.values())[part] for part in ("train", "val")
    )
    assert scope["unseen_films"] == scope["train_films"] + scope["val_films"]
    assert 0 < scope["unseen_films_outside"] <= 1 + 0.01 * scope["unseen_films"]
    assert OnnxNetwork(tiny_run / "model.onnx")(np.zeros((64, 64, 3), np.uint8)).shape == (6, 84)
    assert set(card.intended["never_labelled"]).isdisjoint(card.intended["regions"])
    assert sum(region["fractured"] for region in card.intended["regions"].values()) > 0
    film = next(load_dataset(tiny_dataset).splits["test"].iterdir())
    code = "import sys, pathlib; from fracture.inference.reader import Reader; "
    code += "Reader.load(pathlib.Path(sys.argv[1])).read(pathlib.Path(sys.argv[2]).read_bytes()); "
    code += "assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code, str(tiny_run), str(film)], check=True)


def test_the_checkpoint_itself_can_be_named(tiny_run, tiny_dataset):
    if not (tiny_run / cards.NAME).is_file():
        bundle(tiny_run, long_side_px=64)
    film = next(load_dataset(tiny_dataset).splits["test"].iterdir()).read_bytes()
    by_torch = Reader.load(tiny_run / "weights/best.pt")
    assert by_torch.network.name == "torch"
    assert by_torch.read(film).film_px == Reader.load(tiny_run).read(film).film_px


def test_a_stray_onnx_beside_a_card_is_not_opened(tiny_run, tiny_dataset, tmp_path):
    if not (tiny_run / cards.NAME).is_file():
        bundle(tiny_run, long_side_px=64)
    for name in ("model.onnx", "card.json"):
        (tmp_path / name).write_bytes((tiny_run / name).read_bytes())
    (tmp_path / "stranger.onnx").write_bytes((tiny_run / "model.onnx").read_bytes())
    assert Reader.load(tmp_path / "model.onnx").network.name == "openvino"
    with pytest.raises(MissingData, match="stranger"):
        Reader.load(tmp_path / "stranger.onnx")


def test_a_network_that_differs_is_refused(tiny_run, tiny_dataset):
    if not (tiny_run / cards.NAME).is_file():
        bundle(tiny_run, long_side_px=64)
    reader = Reader.load(tiny_run)

    class Changed:
        name = "changed"

        def __init__(self, changes):
            self.changes = changes

        def __call__(self, pixels):
            raw = reader.network(pixels).copy()
            raw[4] += 0.1  # so small a network is sure of nothing
            for row, by in self.changes.items():
                raw[row] += by
            return raw

    films = parity_films(load_dataset(tiny_dataset))
    reference = Reader(reader.card, Changed({}))
    alike = compare(reference, Reader(reader.card, Changed({4: 0.005})), films)
    assert alike["candidates"] > 0
    assert (alike["least_iou"], alike["largest_score_difference"]) == (1.0, pytest.approx(0.005, abs=1e-6))
    for changes in ({4: 0.1}, {4: -0.1}, {0: 3}, {3: 5}):
        with pytest.raises(BadValue, match="does not answer"):
            compare(reference, Reader(reader.card, Changed(changes)), films)
    moved = Reader(reader.card, Changed({0: 3}))
    found = compare(reference, moved, films, (0.0, 0.01, 4.0))
    assert found["farthest_edge_px"] == pytest.approx(3, abs=1e-3)
    with pytest.raises(BadValue, match="edges within 2 px"):
        compare(reference, moved, films, (0.0, 0.01, 2))


def test_every_film_has_its_turn_and_fractures_have_every_epoch():
    fractured = [True] * 4 + [False] * 10
    sampler = EpochSampler(fractured, normals=1.0, seed=3)
    seen: list[int] = []
    for epoch in range(5):
        sampler.epoch = epoch
        dealt = list(sampler)
        assert len(dealt) == len(sampler) == 8
        assert {0, 1, 2, 3} <= set(dealt)
        seen += [film for film in dealt if film >= 4]
    assert all(seen.count(film) == 2 for film in range(4, 14))
    sampler.epoch = 2
    assert list(sampler) == list(sampler)


@pytest.mark.skipif(not COCO.is_file(), reason="the COCO state dict of shared/data is not beside this checkout")
def test_a_state_dict_is_loaded_by_name_and_shape():
    ultralytics()
    from ultralytics.nn.tasks import DetectionModel

    model = DetectionModel("yolov8n.yaml", nc=1, verbose=False)
    before = model.state_dict()["model.0.conv.weight"].clone()
    assert load_matching(model, COCO) > 0.8 * len(model.state_dict())
    assert not (model.state_dict()["model.0.conv.weight"] == before).all()
    with pytest.raises(BadValue, match="of this architecture"):
        load_matching(DetectionModel("yolov8m.yaml", nc=1, verbose=False), COCO)


def test_an_exported_network_gives_its_weights_back():
    """BatchNorm is in the convolutions of the export: the network that is begun with it answers as it does.

    All but its film head, which adds the same logits to every box of a film and is fitted anew when a run is bundled.
    """
    ultralytics()
    import torch
    from ultralytics.nn.tasks import DetectionModel

    card = cards.load(SHIPPED)
    recipe = shipped.recipe()
    model = DetectionModel(recipe["model"], nc=1, verbose=False).eval()
    load_matching(model, Path(recipe["start"]))
    film = network_pixels(harmonise(decode(samples.samples()[1].path.read_bytes()), card.harmonise), recipe["imgsz"])
    with torch.no_grad():
        answer = model(torch.from_numpy(film.pixels.transpose(2, 0, 1)[None].copy()).float() / card.divisor)[0][
            0
        ].numpy()
    expected = OpenVinoNetwork(Path(recipe["start"]), divisor=card.divisor)(film.pixels)
    assert expected[4].max() > 0.1
    seen = expected[4] > 0.01
    added = logit(expected[4][seen]) - logit(answer[4][seen])
    assert added == pytest.approx(np.full(seen.sum(), np.median(added)), abs=0.05)
    assert ("film_head" in card.measured) == (abs(np.median(added)) > 0.01)
    assert answer[:4, expected[4].argmax()] == pytest.approx(expected[:4, expected[4].argmax()], abs=0.5)
    with pytest.raises(BadValue, match="of this architecture"):
        load_matching(DetectionModel("yolov8m.yaml", nc=1, verbose=False), Path(recipe["start"]))


def test_the_mean_of_two_networks_is_that_of_their_weights(tiny_run, tmp_path):
    import torch

    first = tiny_run / "weights/best.pt"
    content = torch.load(first, map_location="cpu", weights_only=False)
    state = {name: value.clone() for name, value in content["model"].float().state_dict().items()}
    content["model"].load_state_dict({n: v + 1 if v.is_floating_point() else v for n, v in state.items()})
    torch.save(content, tmp_path / "second.pt")
    out = average([first, tmp_path / "second.pt"], tmp_path / "run/weights/best.pt", [0.75, 0.25])
    mixed = torch.load(out, map_location="cpu", weights_only=False)["model"].state_dict()
    name = "model.0.conv.weight"
    assert mixed[name].numpy() == pytest.approx(state[name].numpy() + 0.25, abs=0.002)
    assert average([first, tmp_path / "second.pt"], out) == out
    mixed = torch.load(out, map_location="cpu", weights_only=False)["model"].state_dict()
    assert mixed[name].numpy() == pytest.approx(state[name].numpy() + 0.5, abs=0.002)
    with pytest.raises(BadValue, match=r"a share of 0 to 1 for each of 2 checkpoints, 1 in all, got \[-0\.5, 1\.5\]"):
        average([first, first], out, [-0.5, 1.5])
    with pytest.raises(MissingData, match="no checkpoint at"):
        average([first, tmp_path / "absent.pt"], out)


def test_to_go_on_from_the_shipped_model_is_one_flag(monkeypatch):
    seen = []
    monkeypatch.setattr(training_command, "train", lambda config, resume: seen.append(config) or [])
    monkeypatch.setattr(training_command, "bundle", lambda folder: cards.load(SHIPPED))
    monkeypatch.setattr(sys, "argv", ["train", "--start", "shipped", "--data", "mine/dataset.yaml", "--epochs", "3"])
    assert training_command.main() == 0
    [config] = seen
    told = cards.load(SHIPPED).training["config"]
    assert (config.data, config.epochs, config.restate) == ("mine/dataset.yaml", 3, 128)
    assert (config.model, config.imgsz, config.learning_rate) == (told["model"], told["imgsz"], told["learning_rate"])
    assert config.state == SHIPPED / "model.onnx"


def test_a_wider_network_grown_from_a_narrow_one_answers_as_it_does(tmp_path):
    """Every feature of YOLOv8n stands twice in YOLOv8s, the boxes are the same, and no two copies have like weights."""
    ultralytics()
    import torch
    from safetensors.torch import save_file
    from ultralytics.nn.tasks import DetectionModel

    torch.manual_seed(0)
    narrow, wide = (DetectionModel(f"yolov8{size}.yaml", nc=1, verbose=False).eval() for size in "ns")
    for name, value in narrow.state_dict().items():
        if value.ndim == 1:  # a network that has learnt has no means of nought and spreads of one
            value.copy_(torch.rand_like(value) + 0.5)
            assert "bn" in name or "bias" in name
    file = tmp_path / "yolov8n-mine.safetensors"
    save_file(narrow.state_dict(), file)
    grown = load_matching(wide, file)
    assert grown > 0.8 * len(wide.state_dict())
    seen = ([], [])
    for model, kept in zip((narrow, wide), seen, strict=True):
        for layer in model.model:
            layer.register_forward_hook(lambda _, __, out, kept=kept: kept.append(out))
    film = torch.rand(1, 3, 64, 96)
    with torch.inference_mode():
        answers = [model(film)[0] for model in (narrow, wide)]
    for one, two in zip(*(layers[:-1] for layers in seen), strict=True):
        torch.testing.assert_close(two, one.repeat_interleave(2, dim=1), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(answers[1][:, :4], answers[0][:, :4], rtol=1e-3, atol=1e-2)
    weights = wide.state_dict()["model.1.conv.weight"]
    assert (weights[0::2] - weights[1::2]).abs().max() > 0.01


def test_a_run_may_set_what_ultralytics_calls_by_name(tiny_dataset, tmp_path):
    args = ["--set", "mosaic=0", "--set", "box=9", "--set", "close_mosaic=0"]
    asked = settings(args[1::2])
    config = replace(tiny(tiny_dataset, tmp_path, epochs=1), settings=asked)
    train(config)
    assert run_config(config.folder).settings == {"mosaic": 0.0, "box": 9.0, "close_mosaic": 0.0}
    told = (config.folder / "args.yaml").read_text(encoding="utf-8").splitlines()
    assert {"mosaic: 0.0", "box: 9.0", "close_mosaic: 0", "degrees: 10.0", "cls: 0.5"} <= set(told)


@pytest.mark.parametrize("wrong", ["mosaic", "mosaic=much", "=1"])
def test_a_setting_that_is_none_is_refused(wrong):
    with pytest.raises(BadValue, match="--set: expected"):
        Config(settings=settings([wrong]))


def test_a_start_is_for_an_architecture_and_must_be_there(tiny_dataset, tmp_path):
    with pytest.raises(BadValue, match=r"start: expected an architecture.*yolov8m.pt"):
        Config(start="yolov8n-coco.safetensors")
    lacking = replace(tiny(tiny_dataset, tmp_path, epochs=1), start=str(tmp_path / "yolov8n.safetensors"))
    with pytest.raises(MissingData, match="no weights at"):
        train(lacking)
    assert not lacking.folder.exists()


def test_a_card_names_what_a_run_began_with_not_where_it_lay(tiny_run, monkeypatch):
    config = replace(run_config(tiny_run), start="/films/of/others/yolov8n-mine.safetensors")
    monkeypatch.setattr(making, "run_config", lambda _: config)
    reader, _ = trained(tiny_run)
    assert reader.card.training["config"]["start"] == "yolov8n-mine.safetensors"
    assert reader.card.training["config"]["runs"] == Path(config.runs).name != config.runs


def test_a_detector_says_how_its_networks_are_fed(tiny_run, tmp_path, monkeypatch):
    """And one that names no stage to tell films by is bundled without a scope."""
    shutil.copytree(tiny_run, tmp_path / "tiny")
    own = {"stride": 64, "nms_iou": 0.4, "pad_value": 9, "divisor": 255.5}
    row = replace(table.DETECTORS["yolov8"], scope_stage=None, **own)
    monkeypatch.setattr(table, "DETECTORS", {"yolov8": row})
    made = trained(tmp_path / "tiny")[0].card
    assert {name: getattr(made, name) for name in own} == own
    monkeypatch.setattr(table, "DETECTORS", {"yolov8": replace(row, divisor=255.0)})
    assert not bundle(tmp_path / "tiny").scoped
    assert Reader.load(tmp_path / "tiny").read_film(Radiograph(np.zeros((64, 64), np.float32))).flags == frozenset()


def test_nothing_phones_home(tiny_run):
    """A real run tries no connection, and the switches stay off: analytics, hub, loggers, automatic installs."""
    assert (tiny_run / "calls.txt").read_text() == ""
    from ultralytics.utils import SETTINGS
    from ultralytics.utils.events import events

    assert events.enabled is False
    assert not any(SETTINGS[name] for name in ("sync", "hub", "wandb", "comet", "mlflow", "clearml"))
    assert os.environ["YOLO_AUTOINSTALL"] == "false"


@pytest.mark.parametrize(("field", "value"), [("imgsz", 100), ("epochs", 0), ("normals", -1.0), ("batch", 0)])
def test_bad_settings_are_refused(field, value):
    with pytest.raises(BadValue, match=field):
        Config(**{field: value})


def test_films_that_were_not_harmonised_are_refused(tmp_path, tiny_dataset):
    from fracture.data import manifest

    records = manifest.load(load_dataset(tiny_dataset).root)
    bare = [replace(r, attributes={k: v for k, v in r.attributes.items() if k != "harmonise_config"}) for r in records]
    manifest.save(bare, tmp_path)
    with pytest.raises(BadValue, match="harmonised"):
        harmonise_config_of(replace(load_dataset(tiny_dataset), root=tmp_path))


def test_weak_boxes_are_refused_unless_asked_for(tmp_path, tiny_dataset):
    from fracture.data import manifest

    found = load_dataset(tiny_dataset)
    records = [replace(r, weak=r.split == "train") for r in manifest.load(found.root)]
    manifest.save(records, tmp_path)
    text = Path(tiny_dataset).read_text(encoding="utf-8").replace("path: ", f"path: {tmp_path} #")
    (tmp_path / "dataset.yaml").write_text(text, encoding="utf-8")
    config = Config(data=str(tmp_path / "dataset.yaml"), runs=str(tmp_path / "runs"))
    with pytest.raises(BadValue, match=r"weak boxes.*--allow-weak"):
        train(config)
    assert not (tmp_path / "runs").exists()


def test_a_kill_while_a_checkpoint_is_written_leaves_the_one_before(tiny_dataset, tmp_path):
    config = tiny(tiny_dataset, tmp_path, epochs=3)
    # The second checkpoint is cut short half way through its bytes, as a kill does it.
    code = (
        "import json, os, pathlib, sys; from fracture.models.detectors.config import Config; "
        "from fracture.models.detectors.train import train; write = pathlib.Path.write_bytes; seen = []\n"
        "def torn(path, data):\n"
        "    seen.append(path) if path.name.endswith('last.pt') else None\n"
        "    if len(seen) == 2: write(path, data[: len(data) // 2]); os._exit(9)\n"
        "    return write(path, data)\n"
        "pathlib.Path.write_bytes = torn\n"
        "train(Config(**json.loads(sys.argv[1])))"
    )
    killed = subprocess.run([sys.executable, "-c", code, json.dumps(config.__dict__)], check=False, capture_output=True)
    assert killed.returncode == 9, killed.stderr[-2000:]
    assert not is_finished(config.folder)
    assert can_resume(config.folder)
    train(config, resume=True)
    assert is_finished(config.folder)
    assert {path.name for path in (config.folder / "weights").iterdir()} == {"last.pt", "best.pt"}


def test_a_bundle_names_its_films(tiny_run, tiny_dataset):
    if not (tiny_run / cards.NAME).is_file():
        bundle(tiny_run, long_side_px=64)
    from fracture.data import manifest

    dealt = {r.image_id: r.split for r in manifest.load(load_dataset(tiny_dataset).root) if r.split != "set_aside"}
    assert cards.films(tiny_run) == dealt


def test_a_checkpoint_that_the_card_says_nothing_of_is_not_read(tiny_run, tiny_dataset, tmp_path):
    """Thresholds and figures of a card are those of its weights; last.pt beside best.pt is another network."""
    import torch

    if not (tiny_run / cards.NAME).is_file():
        bundle(tiny_run, long_side_px=64)
    shutil.copytree(tiny_run, tmp_path / "run")
    best, last = (tmp_path / "run/weights" / name for name in ("best.pt", "last.pt"))
    content = torch.load(best, weights_only=False)
    content["epoch"] = 7
    torch.save(content, last)
    assert Reader.load(best).weights == file_hash(best)
    with pytest.raises(MissingData, match=r"last\.pt: expected a checkpoint that .* vouches for: weights/best\.pt"):
        Reader.load(last)
    with pytest.raises(MissingData, match=r"no\.pt: expected a checkpoint"):
        Reader.load(best.with_name("no.pt"))


def test_a_bundle_that_fails_leaves_the_one_before(tiny_run, tiny_dataset, tmp_path, monkeypatch):
    if not (tiny_run / cards.NAME).is_file():
        bundle(tiny_run, long_side_px=64)
    shutil.copytree(tiny_run, tmp_path / "run")
    before = cards.load(tmp_path / "run")
    monkeypatch.setattr(making, "load_records", lambda root: manifest.load(root)[:-1])  # other films than before
    monkeypatch.setattr(making, "compare", lambda *_: (_ for _ in ()).throw(BadValue("no parity")))
    with pytest.raises(BadValue, match="no parity"):
        bundle(tmp_path / "run", long_side_px=64)
    assert cards.load(tmp_path / "run") == before
    assert not list((tmp_path / "run").glob("bundle*"))


@pytest.mark.long  # forked workers of torch can wait for ever where other tests left threads behind
@pytest.mark.parametrize("start", [0, 2])
def test_workers_read_the_films_that_each_epoch_deals(tiny_dataset, tmp_path, start):
    """Read ahead of an epoch, workers must not be dealt the films of the one before."""
    config = tiny(tiny_dataset, tmp_path, epochs=6)
    config.folder.mkdir(parents=True)
    dataset = load_dataset(tiny_dataset)
    data = {split: str(path) for split, path in dataset.splits.items()} | {"names": {0: "fracture"}}
    (config.folder / "data.yaml").write_text(json.dumps(data))
    overrides = {"model": "yolov8n.yaml", "data": str(config.folder / "data.yaml"), "imgsz": 64, "device": "cpu"}
    overrides |= {"project": str(tmp_path), "name": "tiny", "exist_ok": True, **AUGMENTATION}
    trainer = trainer_class()(overrides, config, harmonise_config_of(dataset))
    trainer.args.workers = 2  # as on a GPU
    loader = trainer.train_loader = trainer.get_dataloader(trainer.data["train"], 4)
    files = [Path(file).name for file in loader.dataset.im_files]
    fractured = [len(label["cls"]) > 0 for label in loader.dataset.labels]
    seen = []
    for epoch in range(start, start + 3):
        trainer.epoch = epoch
        trainer.run_callbacks("on_train_epoch_start")
        enumerate(loader)  # as Ultralytics does before it is sure of the loader
        if epoch == start + 1:
            loader.reset()
        dealt = [Path(file).name for batch in loader for file in batch["im_file"]]
        sampler = EpochSampler(fractured, config.normals, config.seed)
        sampler.epoch = epoch
        assert dealt == [files[index] for index in sampler]
        seen.append(dealt)
    assert seen[0] != seen[1] != seen[2]


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"model": "model.onnx"}, r"model: expected a name, or one of \.pt, \.safetensors, \.yaml.* got model\.onnx"),
        ({"device": "0,1"}, "device: expected one, such as 0 or cpu, got '0,1'"),
        ({"device": "cuda:0, 1"}, "device: expected one"),
    ],
)
def test_what_cannot_be_trained_on_is_refused_by_name(wrong, why):
    with pytest.raises(BadValue, match=why):
        Config(**wrong)


@pytest.mark.parametrize("kind", ["no file", "no checkpoint", "no architecture"])
def test_weights_that_are_none_are_refused(tiny_dataset, tmp_path, kind):
    model = tmp_path / ("mine.yaml" if kind == "no architecture" else "mine.pt")
    if kind == "no checkpoint":
        model.write_bytes(b"weights")
    with pytest.raises(BadValue, match=r"model: expected weights or an architecture to learn from, got .*mine"):
        train(replace(tiny(tiny_dataset, tmp_path, epochs=1), model=str(model)))


def test_a_device_that_is_not_there_is_refused(tiny_dataset, tmp_path):
    with pytest.raises(BadValue, match="got device '97'"):
        train(replace(tiny(tiny_dataset, tmp_path, epochs=1), device="97"))


def test_an_epoch_takes_one_copy_of_a_film_another_each_time():
    fractured = [True] * 7 + [False] * 6
    families = ["a", "a", "a", "b", "b", "c", "d", *"uvwxyz"]
    seen = []
    for epoch in range(12):
        sampler = EpochSampler(fractured, 1.0, 0, families)
        sampler.epoch = epoch
        films = list(sampler)
        assert len(films) == len(sampler) == 8
        assert sorted(families[film] for film in films if fractured[film]) == ["a", "b", "c", "d"]
        seen += films
    assert set(seen) == set(range(13))
