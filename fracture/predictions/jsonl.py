"""Predictions as JSON: the detections of an answer, and predictions.jsonl, a line per film.

Numbers in predictions.jsonl are written in full, so a figure computed from the file is the figure of the run itself.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from fracture.clinical.best_guess import guess
from fracture.clinical.status import Said
from fracture.core.errors import BadValue, FractureError
from fracture.core.files import write_bytes
from fracture.core.types import Detections, FilmScore, Prediction, Refusal
from fracture.predictions.films import Content, Films, check_size, detections, numbers, row

# What a line that is no prediction can raise while it is taken apart.
_BROKEN = (ValueError, KeyError, TypeError, AttributeError, RecursionError)

_WARNINGS = {
    "outside_scope": "Outside the intended use: this film is unlike those the model was made with and measured on, so "
    "what it says of it means little.",
    "no_limb": "The file names a part of the trunk or the head as the one it shows.",
    "truncated": "The file ends early: part of the film is missing, and a fracture there cannot be seen.",
    "no_window": "The file states no display window: the film's whole range was used.",
    "bad_window": "The file's display window is not valid or shows next to nothing: the film's own range was used.",
    "bad_value": "A value in the file's header cannot be read: the first valid one of it, or the usual one, was used.",
    "lut_bits_overstated": "A table of the file states more bits than its values have: it was read by its values.",
    "for_processing": "The file declares a detector's raw values, not a picture for the eye: what is found on it means "
    "little.",
    "shutter": "The file covers a part of the film by a display shutter: what lies there was not looked at.",
    "bad_shutter": "The file's display shutter is not valid or leaves nothing to be seen: it was ignored.",
    "header_damaged": "A part of the file's header cannot be read and was passed over: what it said is not known.",
    "bad_rescale": "The file's rescale slope, intercept or table is not valid: stored values were used as they are.",
    "polarity_conflict": "The file contradicts itself on whether bone is bright: it was read as bone bright.",
    "no_modality": "The file does not say what kind of image it is: it was taken for a radiograph.",
    "assumed_range": "The file does not state its range of values: the film's own range was used.",
    "low_contrast": "The film has too few levels of grey to be read.",
}


def warnings_for(flags: frozenset[str]) -> list[str]:
    """Put what decoding had to repair or assume into words a person can act on, what undoes all else first."""
    return [text for flag, text in _WARNINGS.items() if flag in flags]


def detections_json(found: Detections, film_px: tuple[int, int], classes: Sequence[str]) -> list[dict[str, Any]]:
    """Give one object per box for a person: bbox_xyxy in pixels of the decoded film, confidence, and the best guesses.

    Numbers are rounded as a person wants to read them.
    """
    boxes = []
    for (x0, y0, x1, y1), score, label in zip(
        found.xyxy.tolist(), found.score.tolist(), found.label.tolist(), strict=True
    ):
        words = guess((x0, y0, x1, y1), score, film_px)
        boxes.append(
            {
                "bbox_xyxy": [round(edge, 2) for edge in (x0, y0, x1, y1)],
                "confidence": round(score, 6),
                "class": classes[label],
                "fracture_type": words.fracture_type,
                "severity": words.severity,
                "notes": words.notes,
            }
        )
    return boxes


@dataclass(frozen=True)
class Told:
    """What a line says of a film by the model's card, under the names that the service's answer has for it.

    ``chance`` is the film's, ``chances`` those of the boxes that ``said`` has in the answer. With a ``mode`` only these
    boxes are written; with none all are, and all are among them.
    """

    said: Said
    chance: float | None
    chances: tuple[float | None, ...]
    mode: str
    conf_threshold: float
    shown_from: float


def line(
    path: str,
    answer: Prediction | Refusal,
    classes: Sequence[str],
    *,
    image_id: str | None = None,
    time_ms: float | None = None,
    stamp: str | None = None,
    told: Told | None = None,
) -> str:
    """Give the predictions.jsonl line of one film, without its line break.

    ``image_id`` names the film in a manifest, ``stamp`` the state of everything the answer depends on; ``told`` what
    its status is and how sure that is. What is None is not written, but a chance and a certainty of what ``told`` is
    said of. The best guesses follow from the boxes, and are not written either.
    """
    known: dict[str, Any] = {
        "path": path,
        "image_id": image_id,
        "stamp": stamp,
        "time_ms": None if time_ms is None else round(time_ms, 1),
    }
    about = {name: value for name, value in known.items() if value is not None}
    if isinstance(answer, Refusal):
        return json.dumps(about | {"error": {"code": answer.code, "reason": answer.reason}})
    found = answer.detections
    sure: list[dict[str, Any]] = [{}] * len(found)
    if told is not None:
        said, score = told.said, answer.film_score
        found = found.first(said.shown)
        if told.mode:
            about |= {"mode": told.mode, "conf_threshold": told.conf_threshold, "shown_from": told.shown_from}
            about |= {"fracture_detected": said.fracture_detected}
        about |= {
            "status": said.status,
            "film_score": {"value": score.value, "made_by": score.made_by, "chance": told.chance},
            "deciding_box": said.deciding_box,
            "recommendation": said.advice,
        }
        sure = [
            {"certainty": certainty, "chance": chance}
            for certainty, chance in zip(said.certainty, told.chances, strict=True)
        ]
    if answer.film is not None:
        about["film"] = {
            "score": answer.film.value,
            "made_by": answer.film.made_by,
            "regions": dict(answer.film.regions),
        }
    return json.dumps(
        about
        | {
            "image_size": list(answer.film_px),
            "model": answer.model_id,
            "harmonise_id": answer.harmonise_id,
            "flags": sorted(answer.flags),
            "warnings": warnings_for(answer.flags),
            "detections": [
                {"bbox_xyxy": box, "confidence": raw, "class": classes[label]} | of_box
                for box, raw, label, of_box in zip(
                    found.xyxy.tolist(), found.score.tolist(), found.label.tolist(), sure, strict=True
                )
            ],
        }
    )


class PredictionLog:
    """predictions.jsonl while it grows: a run that was killed goes on with the films that have no whole line yet.

    ``stamps`` gives, by image id, the state of everything a film's answer depends on; a line counts while its stamp
    fits. Lines are added in a ``with`` block, at the end of which the file is rewritten in one step: in the order of
    ``stamps``, without the lines that do not count. A block that an error ends leaves them where they are.
    """

    def __init__(self, file: Path, stamps: Mapping[str, str], classes: Sequence[str]) -> None:
        self.file = file
        self.stamps = stamps
        self.classes = classes
        self._lines: dict[str, str] = {}
        if file.is_file():
            for text in file.read_text(encoding="utf-8", errors="replace").split("\n"):
                self._keep(text)

    def _keep(self, text: str) -> None:
        try:
            content = json.loads(text)
            _answer(content, self.file.name, {})
            image_id, stamp = content["image_id"], content["stamp"]
            if image_id in self.stamps and self.stamps[image_id] == stamp:
                self._lines[image_id] = text
        except (*_BROKEN, FractureError):
            return  # a line that a kill cut short or another version wrote; its film is simply read again

    @property
    def todo(self) -> list[str]:
        """Name the films that have no whole line yet, in order."""
        return [image_id for image_id in self.stamps if image_id not in self._lines]

    def __enter__(self) -> "PredictionLog":
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self._log: TextIO = self.file.open("a", encoding="utf-8", newline="\n")
        if self._log.tell():
            self._log.write("\n")  # closes a line that a kill may have cut short
        return self

    def add(self, path: str, answer: Prediction | Refusal, *, image_id: str, time_ms: float | None = None) -> None:
        """Write the line of a film that was read just now."""
        stamp = self.stamps[image_id]
        text = line(path, answer, self.classes, image_id=image_id, time_ms=time_ms, stamp=stamp)
        self._lines[image_id] = text
        self._log.write(text + "\n")
        self._log.flush()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._log.close()
        if kind is None:
            ordered = [self._lines[image_id] + "\n" for image_id in self.stamps if image_id in self._lines]
            write_bytes(self.file, "".join(ordered).encode())


def load(file: Path, films: Films, _coco_images: Path | None = None) -> Content:
    """Read predictions.jsonl back; a film without a line was not read. Raises BadValue that names the line.

    A line means the film of its ``image_id``, or where it has none (loose files) that of its ``path``.
    """
    lines: list[tuple[str, str, Prediction | Refusal]] = []
    ids: set[str] = set()
    classes: dict[str, int] = {}
    with file.open("rb") as raw:
        for number, data in enumerate(raw, start=1):
            where = f"{file} line {number}"
            if not data.strip():
                continue
            try:
                content = json.loads(data.decode("utf-8-sig"))
                name = str(content.get("image_id") or content["path"])
                ids |= {name} if content.get("image_id") else set()
                lines.append((where, name, _answer(content, where, classes)))
            except _BROKEN as error:
                raise BadValue(f"{where} is no prediction: {type(error).__name__}: {error}") from error
    matched = films.match([name for _, name, _ in lines], ids)
    answers: dict[str, Prediction | Refusal] = {}
    made: dict[tuple[str, str], str] = {}
    for where, name, answer in lines:
        film = matched[name]
        if film.image_id in answers:
            raise BadValue(f"{where}: expected one line per film, got {film.image_id} again")
        if isinstance(answer, Prediction):
            check_size(where, answer.film_px, film)
            made.setdefault((answer.model_id, answer.harmonise_id), where)
        answers[film.image_id] = answer
    if len(made) > 1:
        first, second = list(made.items())[:2]
        raise BadValue(
            f"expected one model and one preparation, got {first[0]} in {first[1]}, {second[0]} in {second[1]}"
        )
    model_id, harmonise_id = next(iter(made), ("", ""))
    if not lines:  # a file without a line is one in which nothing was found, as an empty list in COCO
        answers = {
            image_id: Prediction(film.size_px, Detections.empty(), "", "") for image_id, film in films.records.items()
        }
    return Content(
        answers, frozenset(matched[name].image_id for _, name, _ in lines), tuple(classes), model_id, harmonise_id
    )


def _answer(content: dict[str, Any], where: str, classes: dict[str, int]) -> Prediction | Refusal:
    """Take a line apart; ``classes`` grows by the names that are new."""
    if "error" in content:
        return Refusal(str(content["error"]["code"]), str(content["error"]["reason"]))
    if content.get("shown_from"):
        raise BadValue(
            f"{where}: expected every box of a film, got only those from {content['shown_from']:.3g} on, which give no "
            "curve: write them with fracture read --all"
        )
    width, height = numbers(where, content["image_size"], 2, "image_size as [width, height]")
    rows = [
        row(
            where,
            numbers(where, box["bbox_xyxy"], 4, "bbox_xyxy as [x0, y0, x1, y1]"),
            box["confidence"],
            classes.setdefault(str(box["class"]), len(classes)),
        )
        for box in content["detections"]
    ]
    film = content.get("film")
    return Prediction(
        (int(width), int(height)),
        detections(rows),
        str(content["model"]),
        str(content["harmonise_id"]),
        frozenset(map(str, content["flags"])),
        None if film is None else _film_score(film, where),
    )


def _film_score(content: dict[str, Any], where: str) -> FilmScore:
    [value] = numbers(where, [content["score"]], 1, "film.score as a number")
    regions = {str(region): float(probability) for region, probability in content.get("regions", {}).items()}
    return FilmScore(value, str(content["made_by"]), regions)
