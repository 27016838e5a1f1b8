"""A real Reader whose network alone is scripted: it boxes bright rectangles, so every answer depends on the film."""

import io
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack

import cv2
import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid
from starlette.testclient import TestClient

from fracture.core.types import Estimate, HarmoniseConfig, OperatingPoint
from fracture.inference.reader import Reader
from fracture.models.card import ModelCard
from fracture.service.http.main import create_app, open_sandbox
from fracture.service.http.settings import Settings

DARKEST_SPOT = 130  # above the padding's grey


class Spots:
    """Give a box per bright rectangle; its score rises from 0 at a brightness of 130 to 1 at 255."""

    name = "scripted"

    def __init__(self, before: Callable[[], object] = lambda: None) -> None:
        self.before = before

    def __call__(self, pixels):
        self.before()
        grey = pixels[:, :, 0]
        _, _, found, _ = cv2.connectedComponentsWithStats((grey > DARKEST_SPOT).astype(np.uint8))
        columns = [
            (x + w / 2, y + h / 2, w, h, (int(grey[y : y + h, x : x + w].max()) - DARKEST_SPOT) / (255 - DARKEST_SPOT))
            for x, y, w, h, _ in found[1:]
        ]
        nothing = (1, 1, 1, 1, 0)  # a network's candidates are never none, only their scores nothing
        return np.array(columns or [nothing], np.float32).T


class Caller(TestClient):
    """A client whose service knows its own address, as a real server does: the loopback's where it is called so."""

    def __init__(self, app, base_url, client):
        async def at_its_address(scope, receive, send):
            if scope["type"] == "http":
                scope = {**scope, "server": ("127.0.0.1" if "localhost" in base_url else "192.0.2.1", 8000)}
            await app(scope, receive, send)

        super().__init__(at_its_address, base_url=base_url, client=client)


def rate(value, n):
    return Estimate(value, value - 0.05, value + 0.05, n, n, "wilson")


def point(name, threshold, sensitivity, specificity, **options):
    return OperatingPoint(name, threshold, f"rule of {name}", sensitivity, specificity, "made-up val", **options)


def make_card(**changes):
    unknown = Estimate(None, None, None, 0, 0, "wilson", "no normal films")
    points = (
        point("screening", 0.21, rate(0.91, 70), rate(0.61, 300)),
        point("balanced", 0.47, rate(0.83, 70), rate(0.84, 300)),
        point("specific", 0.83, rate(0.52, 70), unknown, reached=False),
    )
    fields = {
        "model_id": "scripted-model",
        "version": "7",
        "classes": ("fracture",),
        "long_side_px": 64,
        "stride": 32,
        "nms_iou": 0.5,
        "harmonise": HarmoniseConfig(clahe_clip=0, range_tail=None),
        "files": {"model.onnx": "0" * 64},
        "operating_points": points,
        "training": {"finished": "2031-05-06"},
    }
    return ModelCard(**(fields | changes))


@pytest.fixture
def card():
    """Give the way to make a card, with changes."""
    return make_card


@pytest.fixture(scope="session")
def sandbox():
    """Give the processes that decode for every test: they hold nothing of a film, and starting them takes a second."""
    with open_sandbox(make_card(), Settings(), workers=2) as running:
        yield running


LOCAL = {"base_url": "http://localhost", "client": ("127.0.0.1", 50_000)}
ELSEWHERE = {"base_url": "http://fracture.example", "client": ("192.0.2.7", 50_000)}


@pytest.fixture
def serve(sandbox) -> Iterator[Callable[..., TestClient]]:
    """Give the way to start the service, and a client on its own machine; ``before`` runs in the network."""
    with ExitStack() as running:

        def start(before=lambda: None, card=None, sandbox=sandbox, elsewhere=False, **settings):
            app = create_app(Settings(**settings), Reader(card or make_card(), Spots(before)), sandbox)
            context: AbstractContextManager[TestClient] = Caller(app, **(ELSEWHERE if elsewhere else LOCAL))
            return running.enter_context(context)

        yield start


@pytest.fixture
def client(serve):
    return serve()


@pytest.fixture
def detect(client):
    """Give the way to send one film."""

    def send(data, name="film.png", client=client, **query):
        return client.post("/detect", files={"file": (name, data)}, params=query)

    return send


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch):
    for name in os.environ:
        if name == "GOOGLE_MAPS_API_KEY" or name.startswith("FRACTURE_"):
            monkeypatch.delenv(name)


def paint_film(*spots, size=(64, 64)):
    """Paint spots (x0, y0, x1, y1, brightness) on a dark film of (width, height) that has greys enough to be read."""
    film = (np.arange(size[0] * size[1]) % 97).astype(np.uint8).reshape(size[::-1])
    for x0, y0, x1, y1, brightness in spots:
        film[y0:y1, x0:x1] = brightness
    return film


@pytest.fixture
def paint():
    return paint_film


def encode(film, kind="PNG", **options):
    out = io.BytesIO()
    Image.fromarray(film).save(out, kind, **options)
    return out.getvalue()


@pytest.fixture
def picture():
    """Give the way to write a film as PNG, JPEG or TIFF bytes."""
    return encode


@pytest.fixture
def dicom():
    """Give the way to write (H, W) or (frames, H, W) pixels, or none, as DICOM bytes."""

    def write(pixels=None, **elements):
        head = Dataset()
        head.SOPClassUID = UID("1.2.840.10008.5.1.4.1.1.1.1")
        head.SOPInstanceUID = generate_uid()
        head.PatientName = "Secret^Patient"
        if pixels is not None:
            head.Rows, head.Columns = pixels.shape[-2:]
            if pixels.ndim == 3:
                head.NumberOfFrames = len(pixels)
            head.Modality = "DX"
            head.SamplesPerPixel, head.PixelRepresentation = 1, 0
            head.BitsAllocated = head.BitsStored = 8
            head.HighBit = 7
            head.PhotometricInterpretation = "MONOCHROME2"
            head.WindowCenter, head.WindowWidth = 128, 256
            head.PixelData = pixels.tobytes()
        for keyword, value in elements.items():
            setattr(head, keyword, value)
        head.file_meta = FileMetaDataset()
        head.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        head.file_meta.MediaStorageSOPClassUID = head.SOPClassUID
        head.file_meta.MediaStorageSOPInstanceUID = head.SOPInstanceUID
        out = io.BytesIO()
        head.save_as(out, enforce_file_format=True)
        return out.getvalue()

    return write
