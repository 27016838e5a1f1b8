"""Films in, answers out, for programs and notebooks: what the service says of a film, as dataclasses.

A film is decoded in a process of its own, by the code that serves, so an answer is the one that the service and
``fracture read`` give.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from fracture.clinical.status import DEFAULT_MODE, Certainty, Said, Status, said_of
from fracture.core.errors import BadValue, FractureError
from fracture.core.types import OperatingPoint, Prediction
from fracture.imaging.render import overlay
from fracture.inference.batch import is_ours, open_sandbox
from fracture.inference.reader import Reader
from fracture.inference.sandbox import Prepared
from fracture.predictions.jsonl import warnings_for

if TYPE_CHECKING:
    import pandas as pd
    import supervision as sv

Film = str | os.PathLike[str] | bytes | NDArray[np.uint8] | NDArray[np.uint16]
"""A film: the path of a file, a file's bytes, or grey pixels, (H, W), bone bright."""


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
    """A model that reads films. Close it, or use it in a ``with`` block: it holds a process that decodes."""

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
        prepared, prediction, said = self._read(film, 0.0 if every_box else self._point.threshold)
        card, score = self._reader.card, prediction.film_score
        found = prediction.detections.first(said.shown)
        known = card.chances([score.value, *found.score.tolist()]) if said.status is not Status.OUTSIDE else None
        chance, *chances = known or [None] * (1 + len(found))
        return Answer(
            film=_name(film),
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

    def read_all(self, films: Iterable[Film], *, every_box: bool = False) -> Iterator[Answer]:
        """Read films one by one, as `read`; one that is refused or cannot be opened gives an Answer with its error."""
        for film in films:
            try:
                yield self.read(film, every_box=every_box)
            except FractureError as error:
                yield Answer(_name(film), error=f"{error.code}: {error}")
            except OSError as error:
                yield Answer(_name(film), error=f"unreadable_file: {error.strerror or error}")

    def draw(self, film: Film) -> NDArray[np.uint8]:
        """Give the film with its boxes drawn, (h, w, 3) uint8 RGB. Raises as `read`."""
        prepared, prediction, said = self._read(film, self._point.threshold)
        card = self._reader.card
        found = prediction.detections
        return overlay(prepared.greys(), found, said, self._point.threshold, card.thresholds, card.model_id)

    def close(self) -> None:
        """End the process that decodes."""
        self._sandbox.close()

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
    """Give a table, a row a film, or with ``boxes`` a row a box; which needs pandas."""
    import pandas as pd

    if boxes:
        rows: list[dict[str, Any]] = [
            {"film": answer.film, "status": answer.status, "box": number}
            | dict(zip(("x0", "y0", "x1", "y1"), box.xyxy, strict=True))
            | {key: value for key, value in asdict(box).items() if key != "xyxy"}
            for answer in answers
            for number, box in enumerate(answer.boxes, start=1)
        ]
        return pd.DataFrame(rows)
    return pd.DataFrame(
        [
            {key: value for key, value in asdict(answer).items() if key != "boxes"}
            | {"boxes": len(answer.boxes), "warnings": " ".join(answer.warnings)}
            for answer in answers
        ]
    )


def _name(film: Film) -> str:
    if isinstance(film, str | os.PathLike):
        return os.fspath(film)
    return "bytes" if isinstance(film, bytes) else "array"


def _data(film: Film) -> bytes:
    """Give a film as the bytes of a file. Raises BadValue for pixels that are no film."""
    if isinstance(film, bytes):
        return film
    if isinstance(film, str | os.PathLike):
        return Path(film).read_bytes()
    if not (isinstance(film, np.ndarray) and film.ndim == 2 and film.size and film.dtype in (np.uint8, np.uint16)):
        shape, kind = getattr(film, "shape", None), getattr(film, "dtype", type(film).__name__)
        raise BadValue(
            f"film: expected a path, bytes, or grey pixels (H, W) of uint8 or uint16, got {kind} of shape {shape}"
        )
    return cv2.imencode(".png", film)[1].tobytes()
