"""mura-infer: three lines for a film, from published weights, a state dict, or a classifier of ours."""

import pickle
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from fracture.commands import mura_infer

pytest.importorskip("torchvision", reason="a state dict is computed by torch")


@pytest.fixture(scope="module")
def net():
    import torch
    from torchvision.models import densenet121

    torch.manual_seed(0)
    return densenet121(weights=None, num_classes=1).eval()


@pytest.fixture(scope="module")
def checkpoint(net, tmp_path_factory):
    import torch

    file = tmp_path_factory.mktemp("weights") / "XR_WRIST_FINAL_best.pt"
    torch.save({"model_state": net.state_dict(), "epoch": 7}, file)
    return file


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    grey = np.random.default_rng(0).integers(0, 255, (120, 90), dtype=np.uint8)
    file = tmp_path_factory.mktemp("film") / "film.png"
    Image.fromarray(grey).save(file)
    return file


@pytest.fixture
def infer(monkeypatch, capsys, image, tmp_path):
    def run(*given):
        asked = ["--image", image, "--area", "XR_WRIST", "--cache", tmp_path / "cache", *given]
        monkeypatch.setattr(sys, "argv", ["mura-infer", *map(str, asked)])
        status = mura_infer.main()
        return status, *capsys.readouterr()

    return run


@pytest.fixture
def release(tmp_path, checkpoint):
    """Serve the weights as their authors do, and count who asks."""
    folder, asked = tmp_path / "release", []
    folder.mkdir()
    (folder / checkpoint.name).write_bytes(checkpoint.read_bytes())

    class Handler(SimpleHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            super().do_GET()

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield SimpleNamespace(url=f"http://127.0.0.1:{server.server_port}", asked=asked, folder=folder)
        server.shutdown()
        thread.join()


def as_its_authors_do(net, image):
    import torch
    from torchvision import transforms

    prepare = transforms.Compose(
        [
            transforms.Resize((224, 224)),
            transforms.ToTensor(),
            transforms.Normalize(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225]),
        ]
    )
    with torch.inference_mode():
        return float(net(prepare(Image.open(image).convert("RGB"))[None]).sigmoid())


@pytest.mark.parametrize("wrapped", [True, False])
def test_three_lines_with_the_probability_of_its_authors(infer, net, image, checkpoint, wrapped, tmp_path):
    import torch

    if not wrapped:
        checkpoint = tmp_path / "plain.pt"
        torch.save(net.state_dict(), checkpoint)
    expected = as_its_authors_do(net, image)
    status, out, _ = infer("--ckpt", checkpoint)
    assert status == 0
    assert out == f"area=XR_WRIST\nprob_fracture={expected:.4f}\npred={int(expected >= 0.5)}\n"
    assert infer("--ckpt", checkpoint, "--threshold", expected + 0.01)[1].endswith("pred=0\n")
    assert infer("--ckpt", checkpoint, "--threshold", expected - 0.01)[1].endswith("pred=1\n")


def test_published_weights_are_downloaded_once(infer, release, tmp_path):
    first = infer("--weights-url", release.url)[:2]
    assert first[0] == 0
    assert release.asked == ["/XR_WRIST_FINAL_best.pt"]
    assert infer("--weights-url", release.url)[:2] == first
    assert len(release.asked) == 1
    (tmp_path / "cache/mura/XR_WRIST_FINAL_best.pt").write_bytes(b"other weights")
    (tmp_path / "release/XR_WRIST_FINAL_best.pt").unlink()
    status, out, told = infer("--weights-url", release.url)
    assert (status, out) == (2, "")
    assert "as it was downloaded, got" in told


def test_a_file_changed_to_another_of_its_size_is_refused(infer, release, tmp_path):
    infer("--weights-url", release.url)
    file = tmp_path / "cache/mura/XR_WRIST_FINAL_best.pt"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    status, _, told = infer("--weights-url", release.url)
    assert status == 2
    assert "as it was downloaded, got" in told


@pytest.mark.long  # it tries again for a while
def test_without_a_network_it_says_so(infer):
    status, out, told = infer("--weights-url", "http://127.0.0.1:9")
    assert (status, out) == (2, "")
    assert "127.0.0.1:9" in told


class Evil:
    def __reduce__(self):
        return exec, ("raise SystemExit('code was run')",)


def test_a_pickle_that_runs_code_is_refused(infer, tmp_path):
    (tmp_path / "evil.pt").write_bytes(pickle.dumps({"model_state": Evil()}))
    status, out, told = infer("--ckpt", tmp_path / "evil.pt")
    assert (status, out) == (2, "")
    assert "without running code" in told


@pytest.mark.parametrize("what", ["missing", "more", "two logits", "no state"])
def test_weights_that_do_not_fit_are_refused(infer, net, tmp_path, what):
    import torch

    state = dict(net.state_dict())
    if what == "missing":
        del state["features.norm5.weight"]
    elif what == "more":
        state["features.denseblock9.weight"] = torch.zeros(1)
    elif what == "two logits":
        state["classifier.weight"] = torch.zeros(2, 1024)
    torch.save([1, 2] if what == "no state" else state, tmp_path / "wrong.pt")
    status, out, told = infer("--ckpt", tmp_path / "wrong.pt")
    assert (status, out) == (2, "")
    assert "expected weights of a DenseNet-121 with one logit, 1 tensors differ" in told or "a state dict" in told


def test_a_classifier_of_ours_answers_too(infer, tiny_dataset, tmp_path):
    from fracture.inference.reader import Reader
    from fracture.models.classifiers.config import ClassifierConfig
    from fracture.models.classifiers.train import train
    from fracture.training.bundle_classifier import bundle

    small = {"arch": "cnn", "imgsz": 64, "batch": 4, "films_per_step": 4, "epochs": 1, "device": "cpu"}
    config = ClassifierConfig(data=str(tiny_dataset), runs=str(tmp_path), name="ours", heads=("fracture",), **small)
    train(config)
    bundle(config.folder)
    status, out, _ = infer("--ckpt", config.folder)
    assert status == 0
    image = Path(sys.argv[sys.argv.index("--image") + 1])
    assert f"prob_fracture={Reader.load(config.folder).read(image.read_bytes()).film_score.value:.4f}\n" in out


def test_a_detector_is_no_classifier(infer):
    from fracture.models.card import SHIPPED

    status, out, told = infer("--ckpt", SHIPPED)
    assert (status, out) == (2, "")
    assert "expected a film classifier's bundle, got a detector's" in told
    status, out, told = infer("--ckpt", SHIPPED / "there_is_none.pth")
    assert (status, out) == (2, "")
    assert "no weights at" in told
