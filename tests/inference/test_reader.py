"""One pipeline for everybody: training, evaluation, inference.py and the service feed a network the very same bytes."""

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian, generate_uid

from fracture.core.errors import BrokenAnswer
from fracture.core.types import HarmoniseConfig, Radiograph, Refusal
from fracture.data import manifest
from fracture.data.assemble import assemble
from fracture.data.ingest import Claim, ingest
from fracture.data.preprocess import preprocess
from fracture.data.yolo import load_dataset
from fracture.evaluation.predict import predict
from fracture.imaging.decode import decode
from fracture.inference.batch import read_files
from fracture.inference.reader import Reader
from fracture.models import card as cards
from fracture.models.card import ModelCard
from fracture.phantom import draw_film

SCALE = 448
CONFIG = HarmoniseConfig(long_side_px=600)
CARD = ModelCard("recording", "1", ("fracture",), SCALE, 32, 0.5, CONFIG, {"model.onnx": ""})


class Recording:
    """A network that finds one box, always the same one in network pixels, and keeps what it was fed."""

    name = "recording"

    def __init__(self):
        self.fed = []

    def __call__(self, pixels):
        self.fed.append(pixels)
        return np.array([[100.0], [80.0], [40.0], [20.0], [0.9]], dtype=np.float32)


def png(pixels):
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def truncated_jpeg(pixels):
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=90)
    return out.getvalue()[: int(len(out.getvalue()) * 0.7)]


def monochrome1_dicom(pixels):
    """Give a film stored white for zero, 12 bits, with a window: as a plate reader writes it."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = DigitalXRayImageStorageForPresentation
    meta.MediaStorageSOPInstanceUID = generate_uid()
    film = FileDataset("film.dcm", {}, file_meta=meta, preamble=b"\0" * 128)
    film.SOPClassUID, film.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    film.PhotometricInterpretation, film.SamplesPerPixel = "MONOCHROME1", 1
    film.Rows, film.Columns = pixels.shape
    film.BitsAllocated, film.BitsStored, film.HighBit, film.PixelRepresentation = 16, 12, 11, 0
    film.WindowCenter, film.WindowWidth = ["2048", "1000"], ["4096", "500"]
    film.PixelData = (4095 - pixels.astype(np.uint16) * 16).astype("<u2").tobytes()
    out = io.BytesIO()
    film.save_as(out, enforce_file_format=True)
    return out.getvalue()


FILES = {"film.png": png, "film.jpg": truncated_jpeg, "film.dcm": monochrome1_dicom}


@pytest.fixture(scope="module", params=FILES)
def line(request, tmp_path_factory):
    """Give (original file, dataset.yaml of the dataset it became), the original wider than the harmonised cap."""
    folder = tmp_path_factory.mktemp("line")
    pixels, boxes = draw_film(np.random.default_rng(5), (720, 905), fractured=True)
    file = folder / request.param
    file.write_bytes(FILES[request.param](pixels))
    claim = Claim("test/film", file, "test", "", frozenset({"leg"}), True, boxes)
    ingest([claim], folder / "stage", copy=True)
    preprocess(folder / "stage", folder / "proc", CONFIG)
    assemble([folder / "proc"], folder / "dataset_v5", val=0, test=0, seed=0, copy=True)
    yaml = folder / "dataset.yaml"
    yaml.write_text("path: dataset_v5\ntrain: images/train\nval: images/train\nnames: [fracture]\n")
    return file, yaml


def without_padding(pixels, shape):
    """Cut the centred padding away, leaving (h, w) of ``shape``."""
    top, left = ((full - part) // 2 for full, part in zip(pixels.shape[:2], shape[:2], strict=True))
    return pixels[top : top + shape[0], left : left + shape[1]]


def test_training_evaluation_inference_and_service_feed_identical_pixels(line):
    pytest.importorskip("ultralytics", reason="training needs the full set of packages")
    from starlette.testclient import TestClient
    from ultralytics.cfg import get_cfg

    from fracture.models.detectors.yolov8.dataset import dataset_class
    from fracture.service.http.main import create_app
    from fracture.service.http.settings import Settings

    file, yaml = line
    dataset = load_dataset(yaml)
    training = dataset_class()(
        img_path=str(dataset.splits["train"]),
        imgsz=SCALE,
        augment=False,
        hyp=get_cfg(),
        task="detect",
        data={"names": {0: "fracture"}, "nc": 1, "channels": 3},
        harmonise_config=CONFIG,
    )
    trained_on = training.load_image(0)[0]
    network = Recording()
    reader = Reader(CARD, network)
    predict(reader, dataset.root, manifest.load(dataset.root), dataset.root / "predictions.jsonl")
    list(read_files(reader, [file]))
    with TestClient(create_app(Settings(fracture_auth="off"), reader)) as client:
        answer = client.post("/detect", params={"conf": 0.5}, files={"file": file.read_bytes()})
    assert answer.status_code == 200
    assert len(network.fed) == 3
    assert max(trained_on.shape[:2]) == SCALE
    for place, fed in zip(("evaluate.py", "inference.py", "service"), network.fed, strict=True):
        assert without_padding(fed, trained_on.shape).tobytes() == trained_on.tobytes(), place


def test_boxes_come_back_in_pixels_of_the_file_that_was_sent(line):
    """The scripted box lies at (80, 70, 120, 90) of the network's pixels, whatever the film went through."""
    file, _ = line
    film = decode(file.read_bytes())
    prediction = Reader(CARD, Recording()).read(file.read_bytes())
    scale_x, scale_y = 356 / 720, SCALE / 905
    pad_x = (384 - 356) // 2
    expected = [(80 - pad_x) / scale_x, 70 / scale_y, (120 - pad_x) / scale_x, 90 / scale_y]
    np.testing.assert_allclose(prediction.detections.xyxy[0], expected, atol=1e-6)
    assert prediction.film_px == film.size_px == (720, 905)


def test_a_film_and_its_harmonised_copy_get_one_answer(line):
    file, yaml = line
    network = Recording()
    reader = Reader(CARD, network)
    reader.read(file.read_bytes())
    reader.read(next(Path(load_dataset(yaml).splits["train"]).iterdir()).read_bytes())
    assert network.fed[0].tobytes() == network.fed[1].tobytes()


def test_flags_reach_the_answer():
    reader = Reader(CARD, Recording())
    pixels, _ = draw_film(np.random.default_rng(1), fractured=False)
    assert "truncated" in reader.read(truncated_jpeg(pixels)).flags
    assert "inverted" in reader.read(monochrome1_dicom(pixels)).flags
    assert not reader.read(png(pixels)).flags


@pytest.mark.parametrize(("flags", "outside"), [({"no_limb", "inverted"}, True), ({"inverted"}, False)])
def test_a_film_that_is_said_to_show_no_limb_is_outside_the_intended_use(flags, outside):
    reader = Reader(CARD, Recording())
    answer = reader.read_prepared(reader.prepare(decode(png(np.full((64, 48), 90, np.uint8)))), frozenset(flags))
    assert answer.flags == flags | ({"outside_scope"} if outside else set())
    assert len(answer.detections) == 1  # what was seen is told all the same


class Broken(Recording):
    """A network that answers with what is no number, somewhere in its best candidate."""

    def __init__(self, row, value):
        super().__init__()
        self.row, self.value = row, value

    def __call__(self, pixels):
        answer = super().__call__(pixels)
        answer[self.row] = self.value
        return answer


@pytest.mark.parametrize("row", [0, 3, 4])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_an_answer_that_is_no_number_is_no_film_without_a_fracture(row, value, tmp_path):
    pixels, _ = draw_film(np.random.default_rng(0), fractured=True)
    file = tmp_path / "film.png"
    file.write_bytes(png(pixels))
    reader = Reader(CARD, Broken(row, value))
    with pytest.raises(BrokenAnswer, match="expected 5 finite numbers, got 1 that"):
        reader.read(file.read_bytes())
    [read] = read_files(reader, [file])
    assert isinstance(read.answer, Refusal)
    assert read.answer.code == "broken_answer"


@pytest.fixture(scope="module")
def shipped():
    return Reader.load()


MISMATCHED = [
    {"classes": ["fracture", "other"]},
    {"classes": ["fracture", "other", "third"]},
    {"members": 4},
    {"members": 5},
    {"measured": {}},
]


@pytest.mark.parametrize("backend", ["openvino", "onnxruntime"])
@pytest.mark.parametrize("wrong", MISMATCHED, ids=str)
def test_a_card_of_another_network_opens_no_reader(shipped, tmp_path, wrong, backend):
    content = json.loads((shipped.folder / cards.NAME).read_text())
    (tmp_path / cards.NAME).write_text(json.dumps(content | wrong))
    (tmp_path / "model.onnx").symlink_to(shipped.folder / "model.onnx")
    with pytest.raises(BrokenAnswer, match="expected"):
        Reader.load(tmp_path, backend)


class Giving:
    """A network that always gives the same answer."""

    name = "giving"

    def __init__(self, answer):
        self.answer = np.asarray(answer, np.float32)

    def __call__(self, pixels):
        return self.answer


BOX = [[100.0, 90.0], [80.0, 80.0], [40.0, 40.0], [20.0, 20.0], [0.9, 0.2]]
STRANGE = {
    "no class": BOX[:4],
    "no candidates": np.zeros((5, 0)),
    "the batch axis kept": [BOX],
    "no batch axis": BOX[4],
    "transposed": np.transpose(BOX),
    "logits": [*BOX[:4], [7.0, -3.0]],
    "a scope that the card does not know": [*BOX, [0.5, 0.5]],
}


@pytest.mark.parametrize("answer", STRANGE.values(), ids=STRANGE)
def test_an_answer_that_is_not_the_cards_is_no_prediction(answer):
    with pytest.raises(BrokenAnswer, match="the network's answer: expected"):
        Reader(CARD, Giving(answer)).warm_up()


def test_a_scope_that_the_card_names_is_there_and_is_one_number():
    scoped = replace(CARD, measured={"scope": {}})
    for answer in (BOX, [*BOX, [0.2, 0.9]]):
        with pytest.raises(BrokenAnswer, match="scope"):
            Reader(scoped, Giving(answer)).warm_up()
    film = Radiograph(np.zeros((64, 64), np.float32))
    for distance, outside in ((0.5, False), (1.5, True), (np.nan, True), (np.inf, True)):
        flags = Reader(scoped, Giving([*BOX, [distance] * 2])).read_film(film).flags
        assert ("outside_scope" in flags) == outside
    assert not Reader(scoped, Giving(BOX), scoped=False).read_film(film).flags  # as a checkpoint answers


def test_candidates_of_members_are_as_many_each():
    with pytest.raises(BrokenAnswer, match="of 3 networks, got 5 x 2"):
        Reader(replace(CARD, members=3), Giving(BOX)).warm_up()
