"""Films in, answers out, for programs and notebooks: what the service says of a film, as dataclasses.

A film is decoded in a process of its own, by the code that serves, so an answer is the one that the service and
``fracture read`` give.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from fracture.clinical.status import DEFAULT_MODE, Certainty, Said, Status, said_of
from fracture.core.errors import BadValue, FractureError, MissingData, NotOpen
from fracture.core.types import OperatingPoint, Prediction
from fracture.imaging.decode import MAX_PIXELS
from fracture.imaging.limits import check_size
from fracture.imaging.render import overlay
from fracture.inference.batch import find_films, is_ours, open_sandbox
from fracture.inference.reader import Reader
from fracture.inference.sandbox import Prepared
from fracture.predictions.jsonl import warnings_for

if TYPE_CHECKING:
    import pandas as pd
    import supervision as sv

Film = str | os.PathLike[str] | bytes | NDArray[np.uint8] | NDArray[np.uint16]
"""A film: the path of a file, a file's bytes, or grey pixels, (H, W), bone bright, in either byte order."""


@dataclass(frozen=True)
class Box:
    """One suspicious place: ``xyxy`` in pixels of the decoded film, origin top left.

    ``score`` is raw, ``chance`` the probability that a film with this as its best box shows a fracture, None where the
    model was not calibrated or the film is outside its intended use. ``certainty`` is definite, suspicious or None.
    """

    xyxy: tuple[float, float, float, float]
    score: float
    chance: float | None
    certainty: Certainty | None
    label: str


@dataclass(frozen=True)
class Answer:
    """What is said of one film. **No diagnosis.**

    ``status`` is fracture, doubt, no fracture or outside (the intended use); "no fracture" rules none out. ``flagged``
    tells whether the mode flags the film. ``score`` and ``chance`` are the film's own, as those of a `Box`. ``size_px``
    is (width, height), ``spacing_mm`` (row, column) where the file states it. A film that was refused has an ``error``
    and nothing else.
    """

    film: str
    status: Status | None = None
    flagged: bool = False
    score: float | None = None
    chance: float | None = None
    boxes: tuple[Box, ...] = ()
    warnings: tuple[str, ...] = ()
    advice: str = ""
    size_px: tuple[int, int] | None = None
    spacing_mm: tuple[float, float] | None = None
    mode: str = ""
    model: str = ""
    error: str = ""

    def to_supervision(self) -> "sv.Detections":
        """Give the boxes as `supervision.Detections`, which needs that package; classes are in alphabetical order."""
        import supervision as sv

        boxes = np.array([box.xyxy for box in self.boxes], np.float32).reshape(-1, 4)
        labels = sorted({box.label for box in self.boxes})
        return sv.Detections(
            boxes,
            confidence=np.array([box.score for box in self.boxes], np.float32),
            class_id=np.array([labels.index(box.label) for box in self.boxes], int),
            data={
                "class_name": np.array([box.label for box in self.boxes]),
                "certainty": np.array([box.certainty or "" for box in self.boxes]),
            },
        )


class Model:
    """A model that reads films. Close it, or use it in a ``with`` block: it holds a process that decodes.

    Threads may share it, processes may not: load one in each process. In a fork of the process that loaded it, and once
    it is closed, it raises `fracture.core.errors.NotOpen`, which is a `FractureError`; so does an attempt to pickle it.
    """

    def __init__(self, reader: Reader, mode: str) -> None:
        """Read with ``reader``, in a mode of its card. Raises BadValue for a mode that the card does not have."""
        self._reader = reader
        self._point: OperatingPoint = reader.card.operating_point(mode)
        self._sandbox = open_sandbox(reader.card, 1)

    @property
    def name(self) -> str:
        """Give the model's name and version."""
        return f"{self._reader.card.model_id} {self._reader.card.version}"

    @property
    def modes(self) -> dict[str, float]:
        """Give the modes of the model's card, each with its threshold."""
        return {point.name: point.threshold for point in self._reader.card.operating_points}

    def read(self, film: Film, *, every_box: bool = False) -> Answer:
        """Read a film; ``every_box`` gives those below the mode's threshold too.

        Raises the refusals of `fracture.core.errors`, all of them FractureError, for what is no film, OSError for a
        file that cannot be opened.
        """
        return self._answer(film, _name(film), every_box=every_box)

    def _answer(self, film: Film, name: str, *, every_box: bool) -> Answer:
        prepared, prediction, said = self._read(film, 0.0 if every_box else self._point.threshold)
        card, score = self._reader.card, prediction.film_score
        found = prediction.detections.first(said.shown)
        chance, chances = card.chances_of(prediction, said)
        return Answer(
            film=name,
            status=said.status,
            flagged=said.fracture_detected,
            score=score.value,
            chance=chance,
            boxes=tuple(
                Box((x0, y0, x1, y1), raw, of_box, certainty, card.classes[label])
                for (x0, y0, x1, y1), raw, label, of_box, certainty in zip(
                    *(found.xyxy.tolist(), found.score.tolist(), found.label.tolist()),
                    *(chances, said.certainty),
                    strict=True,
                )
            ),
            warnings=tuple(warnings_for(prediction.flags)),
            advice=said.advice,
            size_px=prediction.film_px,
            spacing_mm=prepared.spacing_mm,
            mode=self._point.name,
            model=self.name,
        )

    def read_all(self, films: Iterable[Film] | str | os.PathLike[str], *, every_box: bool = False) -> Iterator[Answer]:
        """Read films one by one, as `read`; one that is refused or cannot be opened gives an Answer with its error.

        The path of a folder stands for the films in it, as for ``fracture read``. Pixels and bytes are named by their
        place among the films, as "array 3". Raises NotOpen as `read`, BadValue for one film where several are expected,
        MissingData for a path that is not there or without films.
        """
        return self._all(_listed(films), every_box=every_box)

    def _all(self, films: Iterable[Film], *, every_box: bool) -> Iterator[Answer]:
        for place, film in enumerate(films, start=1):
            name = _name(film, place)
            try:
                yield self._answer(film, name, every_box=every_box)
            except NotOpen:
                raise
            except FractureError as error:
                yield Answer(name, error=f"{error.code}: {error}")
            except OSError as error:
                yield Answer(name, error=f"unreadable_file: {error.strerror or error}")

    def draw(self, film: Film) -> NDArray[np.uint8]:
        """Give the film with its boxes drawn, (h, w, 3) uint8 RGB. Raises as `read`."""
        prepared, prediction, said = self._read(film, self._point.threshold)
        card = self._reader.card
        found = prediction.detections
        return overlay(prepared.greys(), found, said, self._point.threshold, card.thresholds, card.model_id)

    def close(self) -> None:
        """End the process that decodes."""
        self._sandbox.close()

    def __reduce__(self) -> NoReturn:
        raise NotOpen("a model cannot be sent to another process: load it in each process that reads films")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _read(self, film: Film, shown_from: float) -> tuple[Prepared, Prediction, Said]:
        data = _data(film)
        marked = isinstance(film, str | os.PathLike) and is_ours(Path(film), data)
        (prepared,) = self._sandbox.prepare(data, grey=True, marked=marked)
        prediction = self._reader.read_prepared(prepared.model_input, prepared.flags)
        said = said_of(prediction, self._reader.card.thresholds, self._point.threshold, shown_from)
        return prepared, prediction, said


def load(weights: str | os.PathLike[str] | None = None, *, mode: str = DEFAULT_MODE) -> Model:
    """Open a model: the shipped one, a run's folder, a bundle, an ``.onnx`` or a ``.pt``.

    ``mode`` is one of its card's: screening, balanced or specific. Raises MissingData where a card or its weights are
    missing, BadValue where a file is not the one that the card vouches for, or for a mode that it does not have.
    """
    return Model(Reader.load(None if weights is None else Path(weights)), mode)


def to_pandas(answers: Sequence[Answer], *, boxes: bool = False) -> "pd.DataFrame":
    """Give a table, a row a film, or with ``boxes`` a row a box; needs pandas. Its columns are always the same."""
    import pandas as pd

    if boxes:
        rows: list[dict[str, Any]] = [
            {"film": answer.film, "status": answer.status, "box": number}
            | dict(zip(_EDGES, box.xyxy, strict=True))
            | {name: getattr(box, name) for name in _OF_BOX}
            for answer in answers
            for number, box in enumerate(answer.boxes, start=1)
        ]
        return pd.DataFrame(rows, columns=["film", "status", "box", *_EDGES, *_OF_BOX])
    films = [
        {key: value for key, value in asdict(answer).items() if key != "boxes"}
        | {"boxes": len(answer.boxes), "warnings": " ".join(answer.warnings)}
        for answer in answers
    ]
    return pd.DataFrame(films, columns=[*_OF_FILM, "boxes"])


_EDGES = ("x0", "y0", "x1", "y1")
_OF_BOX = tuple(field.name for field in fields(Box) if field.name != "xyxy")
_OF_FILM = tuple(field.name for field in fields(Answer) if field.name != "boxes")


def _listed(films: Iterable[Film] | str | os.PathLike[str]) -> Iterable[Film]:
    """Give films as they come, or those at a path. Raises BadValue for one film: its letters or rows are none."""
    one: object = films
    if isinstance(films, str | os.PathLike):
        found = find_films([_path(films)])
        if not found:
            raise MissingData(f"expected films (PNG, JPEG, TIFF, DICOM), got none in {films}")
        return found
    if isinstance(one, bytes) or (isinstance(one, np.ndarray) and one.ndim == 2):
        raise BadValue(f"films: expected several films or a folder, got one as {type(one).__name__}: read() takes one")
    return films


def _name(film: Film, place: int | None = None) -> str:
    """Name a film: by its path, or by what it is, with its place among many."""
    if isinstance(film, str | os.PathLike):
        return os.fspath(film)
    return ("bytes" if isinstance(film, bytes) else "array") + ("" if place is None else f" {place}")


def _path(given: str | os.PathLike[str]) -> Path:
    if not os.fspath(given):  # it would be taken for the folder that the program runs in
        raise BadValue("film: expected a path, got an empty text")
    return Path(given)


def _data(film: Film) -> bytes:
    """Give a film as the bytes of a file. Raises BadValue for pixels that are no film, FilmTooLarge for too many."""
    if isinstance(film, bytes):
        return film
    if isinstance(film, str | os.PathLike):
        return _path(film).read_bytes()
    native = film.dtype.newbyteorder("=") if isinstance(film, np.ndarray) else None
    if not (isinstance(film, np.ndarray) and film.ndim == 2 and film.size and native in (np.uint8, np.uint16)):
        shape, kind = getattr(film, "shape", None), getattr(film, "dtype", type(film).__name__)
        raise BadValue(
            f"film: expected a path, bytes, or grey pixels (H, W) of uint8 or uint16, got {kind} of shape {shape}"
        )
    check_size(film.shape[1], film.shape[0], MAX_PIXELS, told="got")  # longer sides have no room in a PNG either
    return cv2.imencode(".png", np.ascontiguousarray(film, native))[1].tobytes()
