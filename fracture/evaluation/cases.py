"""The films of one split with their truth and their answers: what every figure is computed from."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fracture.clinical.status import Said, Thresholds, said_of
from fracture.core.errors import BadValue
from fracture.core.types import BEST_BOX, CLASSIFIER, SPLITS, Detections, FilmScore, ImageRecord, Prediction, Refusal

EVERY_FILM = "all"
"""The split that holds every film which is not set aside."""


@dataclass(frozen=True)
class Cases:
    """Films that have both a truth and an answer: film i of ``records`` has ``detections[i]``.

    ``left_out`` names every other film of the split, with the reason. ``everything`` holds all films of the split.
    ``flags[i]`` is what was noted when film i was read, ``films[i]`` the film's own score where its network gives one;
    both are empty where nothing of the kind is known. ``refused`` holds the films of known truth that could not be
    read.
    """

    split: str
    records: tuple[ImageRecord, ...]
    detections: tuple[Detections, ...]
    left_out: Mapping[str, str]
    everything: tuple[ImageRecord, ...]
    flags: tuple[frozenset[str], ...] = ()
    refused: tuple[ImageRecord, ...] = ()
    films: tuple[FilmScore | None, ...] = ()

    @cached_property
    def scores(self) -> NDArray[np.float64]:
        """Give the film-level scores, (films,): each film's own, or its best box's."""
        both = zip(self.films or [None] * len(self.records), self.detections, strict=True)
        return np.array([found.best_score if film is None else film.value for film, found in both], dtype=np.float64)

    @property
    def made_by(self) -> str:
        """Name what gave the films their scores."""
        return " and ".join(sorted({BEST_BOX if film is None else film.made_by for film in self.films or (None,)}))

    @cached_property
    def fractured(self) -> NDArray[np.bool_]:
        """Give the film-level truth, (films,)."""
        return np.array([record.fractured is True for record in self.records], dtype=np.bool_)

    @cached_property
    def groups(self) -> list[str]:
        """Give the group of every film."""
        return [record.group_id or record.image_id for record in self.records]

    def flagged(self, flag: str) -> NDArray[np.bool_]:
        """Tell of every film whether it was noted so, (films,)."""
        return np.array([flag in noted for noted in self.flags or [frozenset[str]()] * len(self.records)], np.bool_)

    def said(self, thresholds: Thresholds | None, flagged_from: float) -> list[Said]:
        """Give what is said of every film by the rule of `fracture.clinical.status`."""
        flags = self.flags or (frozenset[str](),) * len(self.records)
        films = self.films or (None,) * len(self.records)
        return [
            said_of(Prediction(record.size_px, found, "", "", noted, film), thresholds, flagged_from)
            for record, found, noted, film in zip(self.records, self.detections, flags, films, strict=True)
        ]

    @property
    def drawn(self) -> "Cases":
        """Keep normal films, and fractured ones whose fractures a person drew."""
        return self.where(lambda record: record.fractured is False or (bool(record.boxes) and not record.weak))

    @property
    def boxed(self) -> "Cases":
        """Keep the films whose boxes can be judged: those `drawn`, and answered by what gives boxes at all."""
        drawn = self.drawn
        films = drawn.films or (None,) * len(drawn.records)
        return drawn.taken([i for i, film in enumerate(films) if film is None or film.made_by != CLASSIFIER])

    @property
    def boxes(self) -> list[NDArray[np.float64]]:
        """Give the true boxes of every film, (M, 4) xyxy in its pixels."""
        return [np.array(record.boxes or (), dtype=np.float64).reshape(-1, 4) for record in self.records]

    def where(self, keep: Callable[[ImageRecord], bool]) -> "Cases":
        """Keep the films that fit."""
        kept = self.taken([i for i, record in enumerate(self.records) if keep(record)])
        return replace(kept, refused=tuple(record for record in self.refused if keep(record)))

    def taken(self, films: Sequence[int]) -> "Cases":
        """Give the films at these places, in this order, with all that is known of them."""
        return replace(
            self,
            records=tuple(self.records[i] for i in films),
            detections=tuple(self.detections[i] for i in films),
            flags=tuple(self.flags[i] for i in films) if self.flags else (),
            films=tuple(self.films[i] for i in films) if self.films else (),
        )


def films_of(records: Iterable[ImageRecord], split: str) -> list[ImageRecord]:
    """Give the records of a split; ``all`` means every film not set aside. Raises BadValue where there are none."""
    if split == EVERY_FILM:
        found = [record for record in records if record.split != "set_aside"]
    else:
        found = [record for record in records if record.split == split]
    if not found:
        raise BadValue(f"split: expected one of {', '.join(SPLITS[:-1])} or {EVERY_FILM} that has films, got {split!r}")
    return found


def join(records: Iterable[ImageRecord], answers: Mapping[str, Prediction | Refusal], split: str) -> Cases:
    """Bring the films of a split together with their answers.

    An unlabelled film never counts as normal and a refusal never as a miss: both are left out by name, as is a film
    without an answer. Raises BadValue where a film was read at another size than its boxes were drawn at.
    """
    films = films_of(records, split)
    left_out: dict[str, str] = {}
    kept: list[tuple[ImageRecord, Prediction]] = []
    refused: list[ImageRecord] = []
    for record in films:
        answer = answers.get(record.image_id)
        if record.fractured is None:
            left_out[record.image_id] = "not labelled"
        elif isinstance(answer, Refusal):
            left_out[record.image_id] = answer.reason
            refused.append(record)
        elif answer is None:
            left_out[record.image_id] = "no prediction"
        elif answer.film_px != record.size_px:
            raise BadValue(
                f"{record.image_id}: the manifest says {record.size_px} px, the film has {answer.film_px} px"
            )
        else:
            kept.append((record, answer))
    answered = [answer for _, answer in kept]
    return Cases(
        split,
        tuple(record for record, _ in kept),
        tuple(answer.detections for answer in answered),
        left_out,
        tuple(films),
        tuple(answer.flags for answer in answered),
        tuple(refused),
        tuple(answer.film for answer in answered),
    )
