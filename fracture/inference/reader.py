"""The pipeline from a film's bytes to an answer. All code that predicts calls it, so answers never differ."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fracture.core.errors import BrokenAnswer, MissingData
from fracture.core.files import file_hash
from fracture.core.machine import Opened
from fracture.core.types import Detections, ModelInput, Prediction, Radiograph
from fracture.imaging.decode import MAX_PIXELS, decode
from fracture.imaging.dicom import NO_LIMB
from fracture.imaging.harmonise import harmonise, network_pixels
from fracture.models import card as cards
from fracture.models.card import ModelCard
from fracture.models.film_answer import STRIDE, film_answer, film_score, rows_of
from fracture.models.network import Network, check_answer, detections_from
from fracture.models.runtime import open_network, runs_int8
from fracture.models.scope import FLAG

USUAL_PX = (373, 454)
"""Most films of FracAtlas have this (width, height)."""


class Reader:
    """Reads films with one model, exactly as its card says. Safe to share between threads, not with a fork."""

    def __init__(
        self,
        card: ModelCard,
        network: Network,
        folder: Path | None = None,
        weights: str = "",
        *,
        scoped: bool | None = None,
    ) -> None:
        """Read with a network, as a card says. ``weights`` is the SHA-256 of the file it was opened from.

        ``scoped`` tells whether the network itself knows its scope, where that is not as the card says.
        """
        self.card = card
        self.network = network
        self.folder = folder
        self.weights = weights
        self.scoped = card.scoped if scoped is None else scoped
        self._home = Opened()

    @classmethod
    def load(cls, weights: Path | None = None, backend: str | None = None, precision: str = "f32") -> "Reader":
        """Open a model: the shipped one, a run's folder, a bundle, an ``.onnx``, or a ``.pt`` (which needs torch).

        ``backend`` and ``precision`` are those of `fracture.models.runtime.open_network`. A bundle's 8-bit network is
        taken where OpenVINO runs it, unless its ``.onnx`` is named.

        An empty film is read, so that a network which does not answer as its card says is found before it reads any.

        Raises MissingData where a card or its weights are missing or the card does not list the named file, BadValue
        where a file's hash differs, BrokenAnswer where the network is not the card's.
        """
        reader = cls._opened(weights, backend, precision)
        reader.warm_up()
        return reader

    @classmethod
    def _opened(cls, weights: Path | None, backend: str | None, precision: str) -> "Reader":
        folder = cards.find(weights or cards.SHIPPED)
        card = cards.load(folder)
        if weights is not None and weights.suffix == ".pt":
            return cls._of_checkpoint(card, weights, folder, backend, precision)
        fed = (precision, card.divisor, card.members)
        int8 = card.int8(folder)
        if int8 and backend in {None, "openvino"} and not (weights and weights.suffix == ".onnx") and runs_int8():
            return cls(card, open_network(int8, "openvino", *fed), folder, card.files[int8.name])
        exported = [folder / name for name in card.files if name.endswith(".onnx")]
        if weights is not None and weights.suffix == ".onnx":
            exported = [file for file in exported if file == weights]
        for file in exported:
            if file.is_file():
                return cls(card, open_network(file, backend, *fed), folder, card.files[file.name])
        raise MissingData(f"{weights or folder}: no .onnx that {folder / cards.NAME} vouches for")

    @classmethod
    def _of_checkpoint(
        cls, card: ModelCard, checkpoint: Path, folder: Path, backend: str | None, precision: str
    ) -> "Reader":
        from fracture.models.table import checkpoint_network

        opened = file_hash(checkpoint) if checkpoint.is_file() else ""
        if opened not in card.files.values():
            # The card's thresholds and figures belong to other weights.
            known = ", ".join(name for name in card.files if name.endswith(".pt")) or "no .pt"
            raise MissingData(f"{checkpoint}: expected a checkpoint that {folder / cards.NAME} vouches for: {known}")
        if card.measured.get("film_head", {}).get("embedded"):
            # The head is made on export, and the card's thresholds are of scores that it has moved.
            exported = next(name for name in card.files if name.endswith(".onnx"))
            return cls._opened(folder / exported, backend, precision)
        # So is the scope: a checkpoint tells no film that is outside.
        return cls(card, checkpoint_network(card, checkpoint), folder, opened, scoped=False)

    def read(self, data: bytes, *, window: int = 0, max_pixels: int = MAX_PIXELS) -> Prediction:
        """Read the one film in a file. Raises the refusals of `fracture.imaging.decode`."""
        return self.read_film(decode(data, window=window, max_pixels=max_pixels))

    def read_film(self, film: Radiograph) -> Prediction:
        """Read a decoded film. Boxes are in its own pixels, however it was prepared for the network."""
        return self.read_prepared(self.prepare(film), film.flags)

    def read_prepared(self, film: ModelInput, flags: frozenset[str]) -> Prediction:
        """Read a film as `prepare` gives it, here or in a `fracture.inference.sandbox`; flag one of a strange kind.

        Raises BrokenAnswer where the network does not answer as the card says, NotOpen in a fork of the process that
        opened it: the network's threads are not there.
        """
        self._home.check()
        answer, card = self.network(film.pixels), self.card
        boxes, of_film, scope = self._parts(answer)
        found, told, heat = Detections.empty(), None, None
        if card.classes:
            check_answer(np.concatenate([boxes, scope]), len(card.classes), card.members, scoped=self.scoped)
            found = detections_from(boxes, film, card.nms_iou, card.members)
        if card.heads:
            fused = found.best_score if card.classes else None
            told, heat = film_score(film_answer(of_film, card.heads), film, fused)
        if NO_LIMB in flags or (self.scoped and not scope[0, 0] <= 1):
            flags |= {FLAG}
        return Prediction(film.film_px, found, card.model_id, film.harmonise_id, flags, told, heat)

    def _parts(self, answer: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        """Take an answer apart: the rows of its boxes, those of the film as a whole, and that of the scope."""
        card = self.card
        rows = (4 + len(card.classes) if card.classes else 0, rows_of(card.heads), int(self.scoped))
        if card.heads and (answer.ndim != 2 or answer.shape[0] != sum(rows)):
            told = f"{rows[0]} for boxes, {rows[1]} for the film, {rows[2]} for its scope"
            got = " x ".join(map(str, answer.shape))
            raise BrokenAnswer(f"the network's answer: expected {sum(rows)} rows, {told}, got {got}")
        boxes, of_film, scope = np.split(answer, [rows[0], rows[0] + rows[1]])
        # A fusion has as many columns as candidates; those of the film's map are the first.
        return boxes, of_film[..., : 1 + (card.long_side_px // STRIDE) ** 2], scope

    def warm_up(self) -> None:
        """Read an empty film of the most frequent size, so that the first real film need not wait for one-time work."""
        width, height = USUAL_PX
        self.read_film(Radiograph(np.zeros((height, width), np.float32)))

    def prepare(self, film: Radiograph) -> ModelInput:
        """Give the pixels that the network gets of a film."""
        harmonised = harmonise(film, self.card.harmonise)
        card = self.card
        return network_pixels(harmonised, card.long_side_px, stride=card.stride, pad_value=card.pad_value)
