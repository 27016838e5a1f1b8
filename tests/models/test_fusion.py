"""A detector and a film classifier in one file: scores moved as said, the film's rows behind those of the boxes."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fracture.core.errors import BadValue
from fracture.core.files import file_hash
from fracture.core.types import Detections, FilmScore, ImageRecord
from fracture.data import manifest, samples
from fracture.data.yolo import load_dataset
from fracture.evaluation.cases import Cases
from fracture.inference.reader import Reader
from fracture.models import card as cards
from fracture.models.card import SHIPPED
from fracture.models.classifiers.config import ClassifierConfig
from fracture.models.classifiers.export import answering_class
from fracture.models.classifiers.networks import build
from fracture.models.classifiers.train import train as train_classifier
from fracture.models.film_answer import film_answer
from fracture.models.fusion import Fusion, fuse, logit
from fracture.models.heads import Head
from fracture.models.runtime import OnnxNetwork, OpenVinoNetwork
from fracture.training.bundle import bundle
from fracture.training.bundle_classifier import bundle as bundle_classifier
from fracture.training.fuse import _splits, about, choose, fuse_bundles

pytest.importorskip("torch", reason="making a classifier needs the full set of packages")
HEADS = (Head("region", ("hand", "leg")), Head("fracture", ("fracture",)))
SIDE = 128


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    """Give the file of a classifier with weights at random, large enough that films differ."""
    import torch

    torch.manual_seed(0)
    net = build("cnn", HEADS)
    torch.nn.init.normal_(net.heads.weight, std=0.5)
    file = tmp_path_factory.mktemp("classifier") / "model.onnx"
    film = torch.zeros(1, 3, SIDE, SIDE)
    torch.onnx.export(answering_class()(net), (film,), str(file), dynamo=False, opset_version=18)
    return file


@pytest.fixture
def pixels():
    return np.repeat(np.random.default_rng(0).integers(0, 255, (SIDE, 96, 1), dtype=np.uint8), 3, axis=2)


def square(pixels):
    gap = SIDE - pixels.shape[1]
    return np.pad(pixels, ((0, 0), (gap // 2, gap - gap // 2), (0, 0)), constant_values=114)


def fused(classifier, tmp_path, fusion):
    fuse(SHIPPED / "model.onnx", classifier, tmp_path / "model.onnx", fusion, 1, (3, 2))
    return tmp_path / "model.onnx"


@pytest.mark.parametrize("engine", [OnnxNetwork, OpenVinoNetwork])
@pytest.mark.parametrize(
    "fusion",
    [Fusion(alpha=0.3), Fusion("logistic", film_weight=0.5, offset=-0.2)],
    ids=["product", "logistic"],
)
def test_scores_are_moved_by_what_the_classifier_says_of_the_square_film(engine, fusion, classifier, tmp_path, pixels):
    plain, told = engine(SHIPPED / "model.onnx")(pixels), engine(classifier)(square(pixels))
    answer = engine(fused(classifier, tmp_path, fusion))(pixels)
    p = film_answer(told, HEADS).probabilities["fracture"]["fracture"]
    np.testing.assert_allclose(answer[:4], plain[:4], rtol=1e-4, atol=1e-2)
    np.testing.assert_allclose(answer[4], fusion.scores(plain[4].astype(np.float64), np.float64(p)), atol=1e-4)
    np.testing.assert_allclose(answer[5:8, : told.shape[1]], told, atol=1e-3)
    assert (answer[5:8, told.shape[1] :] == 0).all()
    np.testing.assert_allclose(answer[8], plain[5], rtol=1e-3)  # the scope is still the last


def test_an_alpha_of_1_changes_no_bit(classifier, tmp_path, pixels):
    plain = OnnxNetwork(SHIPPED / "model.onnx")(pixels)
    np.testing.assert_array_equal(OnnxNetwork(fused(classifier, tmp_path, Fusion()))(pixels)[:5], plain[:5])


@pytest.mark.parametrize("alpha", [0.0, 0.3, 0.9, 1.0])
def test_a_product_never_raises_a_score(alpha):
    rng = np.random.default_rng(0)
    boxes, films = rng.random(1000), rng.random(1000)
    assert (Fusion(alpha=alpha).scores(boxes, films) <= boxes).all()


def test_a_fusion_is_read_with_boxes_a_film_score_and_a_heat_map(classifier, tmp_path):
    file = fused(classifier, tmp_path, Fusion(alpha=0.5))
    card = replace(
        cards.load(SHIPPED),
        files={file.name: file_hash(file)},
        long_side_px=SIDE,
        heads=HEADS,
        film_score="fusion",
    )
    cards.save(card, tmp_path)
    told = Reader.load(tmp_path).read((samples.FOLDER / samples.FILES[0]).read_bytes())
    assert told.film.made_by == "fusion"
    assert told.film.value == told.detections.best_score > 0
    assert set(told.film.regions) == {"hand", "leg"}
    width, height = told.film_px
    middle = told.heat.from_film.forward(np.array([[width / 2, height / 2] * 2]))
    np.testing.assert_allclose(middle, [[2, 2, 2, 2]], atol=0.05)  # of 4 places a side


def test_noise_is_no_surer_for_a_suspicious_film():
    fusion = Fusion("logistic", film_weight=5.0)
    moved = fusion.scores(np.array([0.0, 0.0005, 0.002]), np.array([0.99, 0.99, 0.99]))
    assert moved[:2].tolist() == [0.0, 0.0005]
    assert moved[2] > 0.5


def test_what_one_of_two_learned_from_is_no_test_of_both():
    assert _splits({"a": "test", "b": "val", "c": "test"}, {"a": "train", "b": "test", "d": "train"}) == {
        "a": "train",
        "b": "val",
        "c": "test",
        "d": "train",
    }


def test_a_second_classifier_is_refused(classifier, tmp_path):
    file = fused(classifier, tmp_path, Fusion())
    with pytest.raises(BadValue, match="expected a detector without a classifier"):
        fuse(file, classifier, tmp_path / "twice.onnx", Fusion(), 1, (3, 2))


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"kind": "sum"}, "expected product or logistic, got 'sum'"),
        ({"alpha": 1.1}, "an alpha of 0 to 1, got 1.1"),
    ],
)
def test_what_is_no_fusion_is_refused(wrong, told):
    with pytest.raises(BadValue, match=told):
        Fusion(**wrong)


class TestChoosing:
    """What val says of a fusion: films as two networks have read them, scores made up."""

    @pytest.fixture
    def val(self):
        """Give a detector's cases: 60 fractured films of 300, told half well."""
        rng = np.random.default_rng(0)
        truth = np.arange(300) % 5 == 0
        return truth, cases_of(truth, 1 / (1 + np.exp(-rng.normal(1.2 * truth - 2)))), rng

    @pytest.mark.parametrize("kind", ["product", "logistic"])
    def test_noise_is_not_believed(self, kind, val):
        truth, boxes, rng = val
        chosen = choose(kind, boxes, cases_of(truth, rng.random(len(truth))))
        assert (chosen.fusion, chosen.kept) == (Fusion(), False)
        assert chosen.difference.low <= 0

    @pytest.mark.parametrize("kind", ["product", "logistic"])
    def test_what_the_boxes_do_not_know_is(self, kind, val):
        truth, boxes, rng = val
        chosen = choose(kind, boxes, cases_of(truth, 1 / (1 + np.exp(-rng.normal(2.5 * truth)))))
        assert (chosen.fusion.kind, chosen.kept) == (kind, True)
        assert chosen.fusion.alpha < 1 or chosen.fusion.film_weight > 0.1
        assert chosen.fused.value - chosen.alone.value == pytest.approx(chosen.difference.value)
        assert chosen.difference.low > 0

    def test_a_logistic_fusion_is_that_of_a_plain_regression(self, val):
        """The weight beside the boxes' is where no other tells these films apart by a smaller loss."""
        truth, boxes, rng = val
        film = cases_of(truth, 1 / (1 + np.exp(-rng.normal(2.5 * truth))))
        found = choose("logistic", boxes, film).fusion
        sign, share = np.where(truth, 1, -1), np.where(truth, 0.5 / truth.sum(), 0.5 / (~truth).sum())

        def loss(weight):
            told = logit(boxes.scores) + weight * logit(film.scores)
            each = ((a, b) for a in np.linspace(0.1, 3, 60) for b in np.linspace(-3, 9, 121))
            return min(
                share @ np.logaddexp(0, -sign * (a * told + b)) + 0.01 * a * a * (1 + weight * weight) for a, b in each
            )

        at = loss(found.film_weight)
        assert at < loss(found.film_weight * 1.3)
        assert at < loss(found.film_weight / 1.3)
        assert found.offset == pytest.approx(-found.film_weight * logit(film.scores).mean())

    def test_what_is_chosen_is_judged_by_films_that_had_no_part_in_it(self, val):
        """A classifier that knows val's films by heart, and no others, would pass where they judge themselves."""
        truth, boxes, rng = val
        gains = [choose("product", boxes, cases_of(truth, rng.random(len(truth)))).difference.value for _ in range(20)]
        assert np.mean(gains) < 0.002

    def test_films_that_only_one_has_read_are_refused(self, val):
        _, boxes, _ = val
        with pytest.raises(BadValue, match="films that detector and classifier have both read"):
            choose("product", boxes, boxes.taken(range(200)))


def cases_of(truth, scores):
    records = tuple(
        ImageRecord(f"t/{number}", f"{number}.png", "t", (10, 10), frozenset({"hand"}), fractured=bool(one))
        for number, one in enumerate(truth)
    )
    films = tuple(FilmScore(float(score), "classifier") for score in scores)
    return Cases("val", records, (Detections.empty(),) * len(truth), {}, records, films=films)


def test_two_bundles_become_one(tiny_run, tiny_dataset, tmp_path):
    root = load_dataset(Path(tiny_dataset)).root
    bundle(tiny_run)
    config = ClassifierConfig(
        arch="cnn",
        imgsz=64,
        batch=4,
        films_per_step=4,
        epochs=1,
        device="cpu",
        name="film",
        data=str(tiny_dataset),
        runs=str(tmp_path),
    )
    train_classifier(config)
    bundle_classifier(config.folder)
    card = fuse_bundles(tiny_run, config.folder, root, tmp_path / "both")
    assert sorted(path.name for path in (tmp_path / "both").iterdir()) == ["card.json", "films.csv", "model.onnx"]
    assert card.film_score == "fusion"
    assert card.measured["scope"] == cards.load(tiny_run).measured["scope"]
    assert about(card)[0].startswith("product: alpha ")
    film = next(root / one.path for one in manifest.load(root) if one.split == "val")
    told, alone = (Reader.load(folder).read(film.read_bytes()) for folder in (tmp_path / "both", tiny_run))
    assert told.film.made_by == "fusion"
    assert len(told.detections) == len(alone.detections)
    assert (told.detections.score <= alone.detections.score + 1e-6).all()
    with pytest.raises(BadValue, match="holds a bundle already"):
        fuse_bundles(tiny_run, config.folder, root, tmp_path / "both")
    with pytest.raises(BadValue, match="a detector first, got what scores films by its fusion"):
        fuse_bundles(tmp_path / "both", config.folder, root, tmp_path / "twice")
    with pytest.raises(BadValue, match="a film classifier second, got what scores films by its best box"):
        fuse_bundles(tiny_run, tiny_run, root, tmp_path / "twice")
    with pytest.raises(BadValue, match="prepared alike, got HarmoniseConfig"):
        fuse_bundles(SHIPPED, config.folder, root, tmp_path / "twice")
