"""The services that are pressed: a plain one and ours, of one network, and the bundles ours serves."""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from fracture.core.files import file_hash
from fracture.core.files import place as link_or_copy
from fracture.core.types import HarmoniseConfig
from fracture.imaging.decode import decode
from fracture.inference.reader import Reader
from fracture.models import card as cards
from fracture.models.card import INT8 as QUANTISED
from fracture.models.card import ModelCard
from fracture.models.detectors.yolov8.export import export_onnx
from fracture.models.quantise import quantise
from fracture.models.runtime import computes_bfloat16

PLAIN = "plain"
FLOAT, INT8, FLOAT_BF16, INT8_BF16 = "ours fp32", "ours int8", "ours bf16", "ours int8, bf16"
PORT = "{port}"
PROGRAMS = Path(__file__).parent

_STRIDE = 32
_NMS_IOU = 0.5


@dataclass(frozen=True)
class Contender:
    """One service: the command that starts it, its environment, and the path that says when it is ready.

    `PORT` stands in both for the port to listen on. ``bundle`` is what it serves, None for the plain one, and
    ``precision`` what the network's floats are computed in. ``missing`` says why there is nothing to start.
    """

    network: str
    name: str
    command: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    ready: str = ""
    bundle: Path | None = None
    precision: str = "f32"
    missing: str | None = None


def untrained(architecture: str, side_px: int, place: Path, films: Sequence[bytes]) -> list[Contender]:
    """Make the services of a network that nobody trained: how fast it is does not depend on its weights.

    ``films`` are what it is normalised and quantised on.
    """
    network = f"{architecture}, {side_px} px, untrained"
    checkpoint = _checkpoint(architecture, side_px, place, films[0])
    exported, quantised = place / "fp32", place / "int8"
    exported.mkdir()
    in_child(export_onnx, checkpoint, exported / "model.onnx", side_px)
    config = HarmoniseConfig()
    card = ModelCard(architecture, "untrained", ("fracture",), side_px, _STRIDE, _NMS_IOU, config, _hashes(exported))
    cards.save(card, exported)
    contenders = [_plain(network, checkpoint, side_px), *_ours(network, FLOAT, exported)]
    if find_spec("nncf") is None:
        return [*contenders, Contender(network, INT8, missing="nncf is not installed")]
    in_child(_quantise, exported, quantised, films)
    cards.save(replace(card, files=_hashes(quantised)), quantised)
    return [*contenders, *_ours(network, INT8, quantised)]


def bundled(weights: Path | None, place: Path, films: Sequence[bytes]) -> list[Contender]:
    """Make the services of a bundle, the plain one with its checkpoint where that is at hand, else with one like it."""
    folder = cards.find(weights or cards.SHIPPED)
    card = cards.load(folder)
    network, side_px = f"{card.model_id}, {card.long_side_px} px", card.long_side_px
    checkpoint = folder / "weights" / "best.pt"
    architecture = re.search("yolov8[nsmlx]", str(card.training.get("config", {}).get("model")))
    if checkpoint.is_file():  # then loading the card has compared its hash
        contenders = [_plain(network, checkpoint.resolve(), side_px)]
    elif architecture:
        contenders = [_plain(network, _checkpoint(architecture[0], side_px, place, films[0]), side_px)]
    else:
        contenders = [Contender(network, PLAIN, missing="the card names no architecture")]
    exported = [file for file in card.files if file.endswith(".onnx")]
    for name, wanted in ((FLOAT, exported), (INT8, QUANTISED)):
        part = place / name.replace(" ", "_")
        files = {file: card.files[file] for file in wanted if file in card.files}
        if files:
            for file in files:
                link_or_copy(folder / file, part / file, copy=False)
            cards.save(replace(card, files=files), part)
            contenders += _ours(network, name, part)
        else:
            contenders.append(Contender(network, name, missing="the bundle has none"))
    return contenders


def in_child(work: Callable[..., Any], *args: Any) -> Any:
    """Call a function in a fresh process: torch and what it holds are gone afterwards, and nothing else runs there."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=_be_quiet) as pool:
        return pool.submit(work, *args).result()


def _plain(network: str, checkpoint: Path, side_px: int) -> Contender:
    script = str(PROGRAMS / "plain_service.py")
    command = (sys.executable, script, "--weights", str(checkpoint), "--imgsz", str(side_px), "--port", PORT)
    return Contender(network, PLAIN, command, _quiet(), "/health")


def _ours(network: str, name: str, bundle: Path) -> list[Contender]:
    """Give our service of a bundle, and where the processor has bfloat16, the same with its floats computed in it."""
    named = {name: "f32"}
    if computes_bfloat16():
        named[{FLOAT: FLOAT_BF16, INT8: INT8_BF16}[name]] = "bf16"
    where = {"FRACTURE_WEIGHTS": str(bundle), "FRACTURE_HOST": "127.0.0.1", "FRACTURE_PORT": PORT}
    command = (sys.executable, "-m", "app")
    return [
        Contender(network, name, command, where | {"FRACTURE_PRECISION": precision}, "/readyz", bundle, precision)
        for name, precision in named.items()
    ]


def _checkpoint(architecture: str, side_px: int, place: Path, film: bytes) -> Path:
    place.mkdir(parents=True, exist_ok=True)
    picture, checkpoint = place / "film.jpg", place / f"{architecture}.pt"
    picture.write_bytes(film)
    flags = ("--architecture", f"{architecture}.yaml", "--imgsz", str(side_px), "--film", picture, "--out", checkpoint)
    command = (sys.executable, PROGRAMS / "untrained.py", *flags)
    subprocess.run(command, check=True, env=os.environ | _quiet(), stdout=subprocess.DEVNULL)  # noqa: S603 - ours
    return checkpoint


def _quantise(bundle: Path, target: Path, films: Sequence[bytes]) -> None:
    reader = Reader.load(bundle)
    quantise(bundle / "model.onnx", [reader.prepare(decode(film)).pixels for film in films], target)


def _hashes(folder: Path) -> dict[str, str]:
    return {file.name: file_hash(file) for file in sorted(folder.iterdir())}


def _quiet() -> dict[str, str]:
    """Give what keeps Ultralytics from calling home, installing packages, and writing settings of its own."""
    words = {"YOLO_OFFLINE": "true", "YOLO_AUTOINSTALL": "false", "YOLO_VERBOSE": "false"}
    return words | {"YOLO_CONFIG_DIR": tempfile.gettempdir()}


def _be_quiet() -> None:
    os.environ.update(_quiet())
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # exporting and quantising tell what they do
