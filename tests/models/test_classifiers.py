"""Film classifiers: heads and what they make of labels, networks, films as they are served, a run, and its export."""

import csv
import json
import math
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from fracture.commands import bundle as bundle_command
from fracture.commands import explain as explain_command
from fracture.commands import train as training_command
from fracture.core.errors import BadValue, BrokenAnswer, MissingData
from fracture.core.types import FrameMap, HeatMap, ImageRecord, ModelInput, Radiograph
from fracture.data import manifest, samples
from fracture.data.yolo import load_dataset
from fracture.imaging.render import heat_on_film, heated
from fracture.inference.reader import Reader
from fracture.models.card import SHIPPED
from fracture.models.classifiers.config import ClassifierConfig
from fracture.models.classifiers.export import export_onnx, module, torch_network
from fracture.models.classifiers.films import film_set_class
from fracture.models.classifiers.losses import losses
from fracture.models.classifiers.networks import NETWORKS, build
from fracture.models.classifiers.train import _dealt, _weights, train
from fracture.models.classifiers.weights import fitting
from fracture.models.detectors.runs import run_config as detectors_run_config
from fracture.models.film_answer import STRIDE, FilmAnswer, film_answer, film_score
from fracture.models.films import harmonise_config_of, network_film
from fracture.models.heads import Head, heads_for
from fracture.models.loop import checkpoint
from fracture.models.runs import FINISHED
from fracture.models.runtime import OnnxNetwork, OpenVinoNetwork
from fracture.training.bundle_classifier import bundle

pytest.importorskip("timm", reason="training needs the full set of packages")
HEADS = (Head("fracture", ("fracture",)), Head("region", ("hand", "leg")))


def film(image_id="s/1", **fields):
    told = {"path": "x.png", "source": "s", "size_px": (10, 10), "regions": frozenset({"hand"})}
    return ImageRecord(image_id=image_id, **told | fields)


class TestHeads:
    def test_silence_is_no_normal_film(self):
        fracture, region = HEADS
        assert fracture.target(film(fractured=True)).tolist() == [1]
        assert fracture.target(film(fractured=False)).tolist() == [0]
        assert np.isnan(fracture.target(film())).all()
        assert np.isnan(region.target(film(regions=frozenset({"unknown"})))).all()
        assert region.target(film(regions=frozenset({"hand", "leg"}))).tolist() == [1, 1]

    def test_a_region_that_no_train_film_has_is_not_known(self):
        assert np.isnan(HEADS[1].target(film(regions=frozenset({"hip"})))).all()

    def test_abnormal_is_not_fracture(self):
        head = Head("abnormal", ("abnormal",))
        assert head.target(film(abnormal=True)).tolist() == [1]
        assert np.isnan(head.target(film(fractured=True))).all()

    def test_classes_are_those_of_train_and_exclude_each_other_where_no_film_has_two(self):
        films = [film(), film(regions=frozenset({"leg"}))]
        assert heads_for(["region"], films)[0] == Head("region", ("hand", "leg"), exclusive=True)
        both = heads_for(["region"], [*films, film(regions=frozenset({"hand", "leg"}))])[0]
        assert both == Head("region", ("hand", "leg"))

    def test_types_are_told_by_an_attribute(self):
        films = [film(attributes={"fracture_type": name}) for name in ("spiral", "oblique", "spiral")]
        [head] = heads_for(["type"], [*films, film()])
        assert head == Head("type", ("oblique", "spiral"), exclusive=True)
        assert head.target(films[0]).tolist() == [0, 1]

    @pytest.mark.parametrize(
        ("names", "told"),
        [
            (["fracture", "fracture"], "each once"),
            ([], "each once, got none"),
            (["colour"], "expected some of fracture, abnormal, region, type, got 'colour'"),
            (["abnormal"], "head abnormal: expected train films that are labelled otherwise than each other, got none"),
            (["fracture"], "got 2 labelled films that all say no"),
        ],
    )
    def test_what_cannot_be_learned_is_refused(self, names, told):
        with pytest.raises(BadValue, match=told):
            heads_for(names, [film(fractured=False), film(fractured=False)])

    def test_probabilities(self):
        assert HEADS[0].probabilities(np.array([0.0])).tolist() == [0.5]
        one_of = replace(HEADS[1], exclusive=True).probabilities(np.array([[1.0, 1.0], [800.0, 0.0]]))
        np.testing.assert_allclose(one_of, [[0.5, 0.5], [1, 0]], atol=1e-12)


class TestLosses:
    def test_what_is_not_known_counts_nothing(self):
        import torch

        told = torch.tensor([[0.3, 1.0, -1.0], [2.0, 0.0, 0.5]], requires_grad=True)
        known = torch.tensor([[1.0, math.nan, math.nan], [math.nan, 1.0, 0.0]])
        found = losses(HEADS, told, known, torch.ones(3))
        assert float(found["fracture"]) == pytest.approx(math.log1p(math.exp(-0.3)))
        expected = (math.log(2) + math.log1p(math.exp(0.5))) / 2
        assert float(found["region"]) == pytest.approx(expected)
        sum(found.values()).backward()
        assert told.grad[1, 0] == 0
        assert (told.grad[0, 1:] == 0).all()

    def test_a_batch_of_unlabelled_films_teaches_nothing(self):
        import torch

        told = torch.zeros(2, 3, requires_grad=True)
        total = sum(losses(HEADS, told, torch.full((2, 3), math.nan), torch.ones(3)).values())
        total.backward()
        assert float(total) == 0
        assert (told.grad == 0).all()

    def test_classes_that_exclude_each_other(self):
        import torch

        head = Head("region", ("hand", "leg"), exclusive=True)
        found = losses([head], torch.tensor([[1.0, 3.0]]), torch.tensor([[0.0, 1.0]]), torch.ones(2))
        assert float(found["region"]) == pytest.approx(math.log1p(math.exp(-2)))

    def test_focus_takes_weight_from_what_is_told_well(self):
        import torch

        films = torch.tensor([[3.0]]), torch.tensor([[1.0]]), torch.ones(1)
        plain, focused = (float(losses(HEADS[:1], *films, focal=focal)["fracture"]) for focal in (False, True))
        assert focused == pytest.approx(plain * (1 - 1 / (1 + math.exp(-3))) ** 2)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_answers_a_grey_film_with_a_map_for_each_class(name):
    import torch

    torch.manual_seed(0)
    net = build(name, HEADS).eval()
    with torch.inference_mode():
        assert net(torch.rand(2, 1, 96, 64)).shape == (2, 3, 96 // STRIDE, 64 // STRIDE)


def test_an_unknown_network_is_refused_with_the_known_ones():
    with pytest.raises(BadValue, match=r"expected one of yolov8n, yolov8s, densenet121, .*, got 'vgg16'"):
        build("vgg16", HEADS)


@pytest.mark.parametrize("name", ["yolov8n", "resnet50", "efficientnet_b0", "hybrid"])
def test_a_network_in_colour_answers_the_same_of_grey_films(name, tmp_path):
    """A whole detector's weights, or timm's of ImageNet: the features of three equal channels are those of one.

    Where timm's learned from colours less their mean, divided by their spread, that is in the stem and its norm.
    """
    import timm
    import torch
    from safetensors.torch import save_file

    from fracture.models.detectors.yolov8.quiet import ultralytics

    torch.manual_seed(0)
    film = torch.rand(1, 1, 128, 128)
    if name == "yolov8n":
        ultralytics()
        from ultralytics.nn.tasks import DetectionModel

        whole = DetectionModel("yolov8n.yaml", nc=80, verbose=False).eval()
        colour, fed = torch.nn.Sequential(*list(whole.model[:10])), film.expand(1, 3, 128, 128)
    else:
        inner = "densenet121" if name == "hybrid" else name
        whole = timm.create_model(inner, num_classes=7).eval()
        colour = whole.forward_features
        mean, spread = (torch.tensor(v).reshape(1, 3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
        fed = (film - mean) / spread
    file = tmp_path / "net.safetensors"
    save_file({name: value.contiguous().clone() for name, value in whole.state_dict().items()}, file)
    net = build(name, HEADS).eval()
    checkpoint.begin_with(name, net, file, partial(fitting, name))
    features = net.features[0] if name == "hybrid" else net.features
    with torch.inference_mode():
        expected, got = colour(fed), features(film)
    # A film's rim is padded with nothing before it is normalised there, and here behind it.
    assert np.corrcoef(expected.ravel(), got.ravel())[0, 1] > (0.999 if name == "yolov8n" else 0.9)


def test_a_stem_is_exact_within_the_film():
    """Of a network of ImageNet: the stem and the norm behind it, but for the rim."""
    import timm
    import torch

    torch.manual_seed(0)
    whole = timm.create_model("resnet50", num_classes=0).eval()
    whole.bn1.running_mean += torch.rand(64)
    film = torch.rand(1, 1, 64, 64)
    mean, spread = (torch.tensor(v).reshape(1, 3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    net = build("resnet50", HEADS).eval()
    net.load_state_dict(fitting("resnet50", whole.state_dict()), strict=False)
    with torch.inference_mode():
        expected = whole.bn1(whole.conv1((film - mean) / spread))
        got = net.features.bn1(net.features.conv1(film))
    torch.testing.assert_close(got[:, :, 2:-2, 2:-2], expected[:, :, 2:-2, 2:-2], atol=1e-4, rtol=1e-3)


def config(dataset, runs, **changes):
    small = {"arch": "cnn", "imgsz": 64, "batch": 4, "films_per_step": 4, "epochs": 2, "device": "cpu", "name": "run"}
    return ClassifierConfig(data=str(dataset), runs=str(runs), **small | changes)


@pytest.fixture(scope="module")
def run(tiny_dataset, tmp_path_factory):
    made = config(tiny_dataset, tmp_path_factory.mktemp("classified"))
    train(made)
    return made


def test_train_films_are_those_that_are_served(run, tiny_dataset):
    dataset = load_dataset(Path(tiny_dataset))
    prepared = harmonise_config_of(dataset)
    films = [film for film in manifest.load(dataset.root) if film.split == "train"]
    seen = film_set_class()(dataset.root, films, HEADS, run, prepared, augment=False)
    for number, record in enumerate(films):
        served = network_film(dataset.root / record.path, 64, prepared, stride=64).pixels
        pixels, known = seen[number]
        np.testing.assert_array_equal(np.rint(pixels.numpy()[0] * 255), served[:, :, 0])
        assert known[0] == float(record.fractured)


def test_augmented_films_stay_films(run, tiny_dataset):
    import torch

    torch.manual_seed(0)
    dataset = load_dataset(Path(tiny_dataset))
    films = [film for film in manifest.load(dataset.root) if film.split == "train"]
    asked = replace(run, other_looks=1.0)
    seen = film_set_class()(dataset.root, films, HEADS, asked, harmonise_config_of(dataset), augment=True)
    one, other = seen[0][0], seen[0][0]
    assert one.shape == other.shape == (1, 64, 64)
    assert not torch.equal(one, other)
    assert 0 <= float(one.min()) < float(one.max()) <= 1


def test_a_run_leaves_weights_curves_and_its_configuration(run):
    first, second = csv.DictReader((run.folder / "results.csv").open())
    assert (first["epoch"], second["epoch"]) == ("1", "2")
    assert {"train/fracture", "train/region", "val/fracture_AUC", "val/region_AUC"} <= first.keys()
    assert json.loads((run.folder / FINISHED).read_text())["epochs"] == 2
    assert json.loads((run.folder / "config.json").read_text())["task"] == "classify"


def test_three_engines_answer_alike_and_maps_have_the_logits_for_their_mean(run, tmp_path, pixels):
    best = run.folder / "weights/best.pt"
    reference, heads = torch_network("cnn", best)
    exported = export_onnx("cnn", best, tmp_path / "model.onnx", 64)
    expected = reference(pixels)
    classes = sum(len(head.classes) for head in heads)
    assert expected.shape == (classes, 1 + (64 // STRIDE) ** 2)
    for engine in (OnnxNetwork, OpenVinoNetwork):
        np.testing.assert_allclose(engine(exported)(pixels), expected, atol=1e-3)
    answer = film_answer(expected, heads)
    assert 0 < answer.probabilities["fracture"]["fracture"] < 1
    assert answer.maps["fracture"]["fracture"].shape == (2, 2)


@pytest.fixture
def pixels():
    grey = np.random.default_rng(0).integers(0, 255, (64, 64, 1), dtype=np.uint8)
    return np.repeat(grey, 3, axis=2)


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (np.zeros((2, 5)), "expected 3 classes of a logit and a square map, got 2 x 5"),
        (np.zeros((3, 4)), "got 3 x 4"),
        (np.zeros((3, 1)), "got 3 x 1"),
        (np.full((3, 5), np.nan), "finite numbers"),
        (np.eye(3, 5), "expected logits that are the means of maps"),
    ],
)
def test_an_answer_that_is_none_is_refused(raw, told):
    with pytest.raises(BrokenAnswer, match=told):
        film_answer(raw.astype(np.float32), HEADS)


def test_the_trunk_rests_while_the_heads_begin(tiny_dataset, tmp_path):
    import torch

    frozen = config(tiny_dataset, tmp_path, epochs=1, frozen_epochs=1, val_every=0, learning_rate=0.01)
    torch.manual_seed(0)
    best = checkpoint.load(train(frozen), "cnn").state
    free = checkpoint.load(train(replace(frozen, name="free", frozen_epochs=0)), "cnn").state
    trunk = [name for name in best if name.startswith("features.") and name.endswith("running_mean")]
    assert all((best[name] == 0).all() for name in trunk)
    assert not all((free[name] == 0).all() for name in trunk)
    assert not torch.equal(best["heads.weight"], free["heads.weight"])


def test_a_run_that_was_stopped_goes_on(tiny_dataset, tmp_path, monkeypatch):
    import torch

    from fracture.models.loop import callback

    def stopped(*what):
        save(*what)
        raise RuntimeError("stopped after an epoch")

    save = callback._save_whole
    whole, killed = (config(tiny_dataset, tmp_path, name=name, val_every=0, other_looks=0.5) for name in "ab")
    train(whole)
    monkeypatch.setattr(callback, "_save_whole", stopped)
    with pytest.raises(RuntimeError, match="stopped after an epoch"):
        train(killed)
    monkeypatch.setattr(callback, "_save_whole", save)
    with pytest.raises(BadValue, match="holds a run already"):
        train(killed)
    train(killed, resume=True)
    one, two = (torch.load(its.folder / "weights/last.pt", weights_only=False)["state_dict"] for its in (whole, killed))
    assert all(torch.equal(one[name], two[name]) for name in one)
    with pytest.raises(MissingData, match="nothing to resume"):
        train(config(tiny_dataset, tmp_path, name="none"), resume=True)
    assert train(killed, resume=True) == killed.folder / "weights/best.pt"  # it has ended, and learns no more
    again = torch.load(killed.folder / "weights/last.pt", weights_only=False)["state_dict"]
    assert all(torch.equal(again[name], two[name]) for name in two)


def test_val_that_cannot_tell_the_best_epoch_is_refused_before_a_run_begins(tiny_dataset, tmp_path, monkeypatch):
    def load(root):
        return [replace(film, fractured=False, boxes=()) if film.split == "val" else film for film in read(root)]

    read = manifest.load
    monkeypatch.setattr("fracture.models.classifiers.train.manifest.load", load)
    with pytest.raises(BadValue, match="val: expected films that the first head, fracture, tells apart"):
        train(config(tiny_dataset, tmp_path))
    assert not (tmp_path / "run").exists()


def test_classes_weigh_alike_where_a_run_asks_for_that(tiny_dataset, tmp_path):
    heads = (HEADS[0], Head("region", ("hand", "leg", "hip"), exclusive=True))
    films = [film(fractured=n < 2, regions=frozenset({("hand", "leg", "hip")[min(2, n // 5)]})) for n in range(20)]
    weights = _weights(heads, films, config(tiny_dataset, tmp_path, balance="weights"))
    assert weights[0] * 2 == 18
    np.testing.assert_allclose(weights[1:] * np.array([5, 5, 10]), 20 / 3, rtol=1e-5)
    assert (_weights(heads, films, config(tiny_dataset, tmp_path, balance="none")) == 1).all()


def test_films_without_the_first_heads_label_are_no_negative_ones(tiny_dataset, tmp_path):
    films = [film(fractured=True), film(fractured=False), film()]
    dealt, weighed = (config(tiny_dataset, tmp_path, balance=balance) for balance in ("deal", "weights"))
    assert _dealt(HEADS[0], films, dealt) == films[:2]
    assert _dealt(HEADS[0], films, weighed) == films


def test_heads_that_give_a_film_no_score_are_refused():
    with pytest.raises(BadValue, match="--heads: expected fracture or abnormal among them, got region"):
        ClassifierConfig(heads=("region",))


class TestBundle:
    @pytest.fixture(scope="class")
    def card(self, run):
        return bundle(run.folder)

    def test_a_run_becomes_a_bundle_that_is_read_without_torch(self, card, run, tiny_dataset):
        assert card.heads[0].name == "fracture"
        assert card.film_score == "classifier"
        assert card.operating_points
        assert card.measured["parity"]["largest_logit_difference"] < 0.02
        dataset = load_dataset(Path(tiny_dataset))
        file = next(dataset.root / film.path for film in manifest.load(dataset.root) if film.split == "val")
        code = (
            "import sys; from pathlib import Path; from fracture.inference.reader import Reader; "
            "told = Reader.load(Path(sys.argv[1])).read(Path(sys.argv[2]).read_bytes()); "
            "assert not {'torch', 'timm', 'lightning', 'ultralytics'} & sys.modules.keys(); "
            "print(told.film_score.value, len(told.detections), told.film_score.made_by)"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, run.folder, file], check=True, capture_output=True, text=True
        )
        value, boxes, made_by = done.stdout.split()
        assert (boxes, made_by) == ("0", "classifier")
        by_checkpoint = Reader.load(run.folder / "weights/best.pt").read(file.read_bytes())
        assert by_checkpoint.film_score.value == pytest.approx(float(value), abs=0.01)
        assert set(by_checkpoint.film_score.regions) == set(card.heads[1].classes)

    def test_a_heat_map_lies_on_the_film(self, card, run):
        """The middle of a film is the middle of its map, however the film was padded to a square."""
        told = Reader.load(run.folder).read_film(Radiograph(np.random.default_rng(0).random((200, 100), np.float32)))
        assert told.heat.values.shape == (2, 2)
        np.testing.assert_allclose(
            told.heat.from_film.forward(np.array([[50.0, 100, 50, 100]])), [[1, 1, 1, 1]], atol=0.02
        )
        assert 1 / (1 + np.exp(-told.heat.values.mean())) == pytest.approx(told.film_score.value, abs=1e-4)

    def test_a_card_that_promises_another_score_is_refused(self, card):
        with pytest.raises(BadValue, match="film_score: expected 'classifier', got 'best box'"):
            replace(card, film_score="best box")
        with pytest.raises(BadValue, match="classes: expected a list of names"):
            replace(card, heads=(), film_score="best box")

    def test_the_fracture_head_gives_the_score_and_without_one_that_of_abnormal_films(self, card, pixels):
        nothing = np.zeros((2, 2), np.float32)
        said = {name: {name: chance} for name, chance in (("abnormal", 0.9), ("fracture", 0.2), ("region", 0.5))}
        film = ModelInput(pixels, (64, 64), FrameMap(), "h")
        for names, value in ((("abnormal", "fracture"), 0.2), (("abnormal",), 0.9)):
            answer = FilmAnswer({name: said[name] for name in names}, {name: {name: nothing} for name in names})
            assert film_score(answer, film)[0].value == value
        with pytest.raises(BrokenAnswer, match="heads: expected fracture or abnormal, got region"):
            film_score(FilmAnswer({"region": said["region"]}, {"region": {"region": nothing}}), film)

    def test_the_bundle_command_knows_whose_run_it_is(self, card, run, monkeypatch, capsys):
        monkeypatch.setattr(sys, "argv", ["bundle", "--run", str(run.folder)])
        assert bundle_command.main() == 0
        assert "largest_logit_difference" in capsys.readouterr().out
        with pytest.raises(BadValue, match="expected a detector's run, got one to classify"):
            detectors_run_config(run.folder)


def test_the_command_trains_and_bundles(tiny_dataset, tmp_path, monkeypatch, capsys):
    asked = ["--task", "classify", "--arch", "cnn", "--heads", "fracture", "--imgsz", "64", "--batch", "4"]
    asked += ["--films-per-step", "4", "--epochs", "1", "--device", "cpu", "--data", str(tiny_dataset)]
    monkeypatch.setattr(sys, "argv", ["train", *asked, "--runs", str(tmp_path), "--name", "mine"])
    assert training_command.main() == 0
    assert f"bundle: {tmp_path}/mine/model.onnx and card.json" in capsys.readouterr().out
    assert Reader.load(tmp_path / "mine").card.heads == (Head("fracture", ("fracture",)),)


class TestExplain:
    def test_the_picture_is_brightest_where_the_film_adds_most(self):
        grey = np.full((900, 600), 40, np.uint8)
        values = np.zeros((4, 4), np.float32)
        values[1, 2] = 9.0
        # The film was padded to a square of 900 px: 150 px on either side, places of 225 px.
        heat = HeatMap(values, FrameMap(1, 1, 150, 0).then(FrameMap(4 / 900, 4 / 900)))
        logits = heat_on_film(heat, (600, 900))
        assert logits.shape == (900, 600)
        assert np.unravel_index(logits.argmax(), logits.shape) == pytest.approx((1.5 * 225, 2.5 * 225 - 150), abs=1)
        assert logits[0, 0] == 0
        picture = heated(grey, heat, ["why"]).astype(int).sum(axis=2)
        assert picture[337, 412] > picture[700, 50] == 3 * 40

    def test_a_film_where_nothing_adds_much_stays_as_it_is(self):
        grey = np.full((900, 900), 40, np.uint8)
        heat = HeatMap(np.full((4, 4), -3, np.float32), FrameMap(4 / 900, 4 / 900))
        assert (heated(grey, heat, [])[:900] == 40).all()

    def test_the_map_is_grad_cams(self, run):
        """Against gradients: for a head of one layer on pooled features both are one, but for the offset and a sum."""
        import torch

        net, heads = module("cnn", run.folder / "weights/best.pt")
        film = torch.rand(1, 1, 64, 64)
        features = net.features(film).detach().requires_grad_(True)
        net.heads(features).mean(dim=(2, 3))[0, 0].backward()
        weights = features.grad.sum(dim=(2, 3), keepdim=True)
        cam = (weights * features).sum(dim=1)[0].detach().numpy()
        ours = net(film)[0, 0].detach().numpy()
        assert heads[0].name == "fracture"
        assert np.corrcoef(cam.ravel(), ours.ravel())[0, 1] > 0.99

    def test_the_command_writes_a_picture_and_an_array(self, run, tmp_path, monkeypatch, capsys):
        bundle(run.folder)
        film = samples.FOLDER / samples.FILES[0]
        given = [film, "--weights", run.folder, "--out", tmp_path / "heat.png", "--array", tmp_path / "heat.npy"]
        monkeypatch.setattr(sys, "argv", ["explain", *map(str, given)])
        assert explain_command.main() == 0
        told = Reader.load(run.folder).read(film.read_bytes())
        assert f"film score {told.film_score.value:.3f}" in capsys.readouterr().out
        width, height = told.film_px
        assert np.load(tmp_path / "heat.npy").shape == (height, width)
        assert (tmp_path / "heat.png").read_bytes().startswith(b"\x89PNG")
        monkeypatch.setattr(sys, "argv", ["explain", str(film), "--weights", str(SHIPPED)])
        assert explain_command.main() == 2
        assert "got a detector, which has no heat map" in capsys.readouterr().err
