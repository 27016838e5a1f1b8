"""The static site: the page as the service has it, with its films to try, before answers that were recorded."""

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fracture.clinical.status import DEFAULT_MODE
from fracture.core.errors import BadValue, MissingData
from fracture.core.files import write_bytes, write_json
from fracture.core.folders import check_apart
from fracture.data import samples
from fracture.data.samples import Sample
from fracture.evaluation.benchmark import model as benchmark
from fracture.inference.reader import Reader
from fracture.models import card as cards
from fracture.models.card import ModelCard
from fracture.models.network import Network
from fracture.models.runtime import OpenVinoNetwork
from fracture.service.http import answers
from fracture.service.http.pages import VIEWER

API = "api.js"
"""The page's module that calls the service. The site has its own, which reads recorded answers."""

FLOOR = "screening"
"""The page requests boxes from this mode's threshold on."""

_MARK = "index.html"


def publish(docs: Path, out: Path) -> list[Path]:
    """Put the site together in the folder ``out``: the page, what is its own in ``docs``, reports and recorded answers.

    Give the files written. What an earlier call left in ``out`` and this one does not write is removed. Raises BadValue
    for an ``out`` that holds anything else.
    """
    check_apart(out, docs)
    if out.exists() and not (out / _MARK).is_file():
        raise BadValue(f"expected no folder yet, or one that an earlier site was written to, got {out}")
    files = {f"viewer/{file.name}": file for file in page_files()} | {f"viewer/{API}": docs / "site" / API}
    files |= {f"viewer/samples/{name}": samples.FOLDER / name for name in samples.FILES}
    files |= {name: docs / "site" / name for name in (_MARK, "site.css", "site.js", "charts.js", "family.js")}
    for folder in ("data", "runs"):
        found = sorted(file for file in (docs / folder).rglob("*") if file.is_file())
        files |= {file.relative_to(docs).as_posix(): file for file in found}
    shutil.rmtree(out, ignore_errors=True)
    for name, file in files.items():
        write_bytes(out / name, file.read_bytes())
    return [out / name for name in files]


def record(docs: Path, weights: Sequence[Path]) -> Path:
    """Write what models say of the films to try into ``docs/data``; give the file written.

    Raises MissingData where a model's folder has no ONNX file.
    """
    films = samples.samples()
    models = [recorded for folder in weights for recorded in record_models(folder, films)]
    written = docs / "data/answers.json"
    write_json(written, {"schema": 2, "films": [film.file for film in films], "models": models})
    return written


def take_benchmark(docs: Path, file: Path) -> Path:
    """Copy a benchmark.json into ``docs/data``, where the front page looks for it; give the file written.

    Raises MissingData without one, BadValue where it is no benchmark of this version.
    """
    if not file.is_file():
        raise MissingData(f"no benchmark at {file}")
    data = file.read_bytes()
    try:
        benchmark.check(json.loads(data))
    except ValueError as error:
        raise BadValue(f"{file}: expected JSON, got {error}") from error
    written = docs / "data/benchmark.json"
    write_bytes(written, data)
    return written


def page_files() -> list[Path]:
    """Name the files that the site has from the service's page."""
    return sorted(file for file in VIEWER.iterdir() if file.name != API)


def record_models(weights: Path, films: Sequence[Sample]) -> Iterator[dict[str, Any]]:
    """Ask a model, in every way it can be run here, for its answer to each film."""
    folder = cards.find(weights)
    card = cards.load(folder)
    points = [asdict(point) for point in card.operating_points]
    about: dict[str, Any] = {
        "model_id": card.model_id,
        "version": card.version,
        "files": card.files,
        "operating_points": points,
    }
    about |= {"default_mode": DEFAULT_MODE, "measured": {"test": card.measured.get("test")}}
    about["calibration"] = asdict(card.calibration) if card.calibration else None
    for kind, network in _networks(card, folder):
        reader = Reader(card, network, folder)
        said = [_answer(reader, film.path.read_bytes()) for film in films]
        yield {"name": f"{card.model_id} {card.version}, {kind}", "card": about, "answers": said}


def _networks(card: ModelCard, folder: Path) -> Iterator[tuple[str, Network]]:
    exported = [folder / name for name in card.files if name.endswith(".onnx") and (folder / name).is_file()]
    if not exported:
        raise MissingData(f"{folder}: no .onnx that {cards.NAME} vouches for")
    yield "float32", OpenVinoNetwork(exported[0], divisor=card.divisor)
    yield "bfloat16", OpenVinoNetwork(exported[0], "bf16", card.divisor)
    small = card.int8(folder)
    if small is not None:
        yield "int8", OpenVinoNetwork(small, divisor=card.divisor)


def _answer(reader: Reader, film: bytes) -> dict[str, Any]:
    seen = answers.Seen(0, 0, reader.read(film))
    floor = reader.card.operating_point(FLOOR).threshold
    mode = answers.measured_mode(reader.card.operating_point(DEFAULT_MODE), floor, reader.card)
    said = answers.answer([seen], [], mode, reader.card, None)
    return said.model_dump(mode="json", by_alias=True, exclude_unset=True)
