"""The domain types everything speaks: frozen, checked on construction, free of any file format.

Frames and units. Boxes have one convention everywhere: ``xyxy`` in pixels of the decoded film, origin at the top left
corner of the top left pixel, x to the right, y down, so a film of W x H pixels spans [0, W] x [0, H].
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fracture.core.errors import BadValue

REGIONS = ("hand", "wrist", "forearm", "elbow", "humerus", "shoulder", "hip", "leg", "unknown")
_REGIONS = frozenset(REGIONS)
_ONE = np.float32(1).view(np.uint32)
SPLITS = ("train", "val", "test", "set_aside")
SMALL_FILM_PX = 600
"""No detector takes films whose long side is as short as this: somebody shrank them before they were published."""

FEW = 20
"""Below so many cases a figure says little, and whoever shows it says so."""

Box = tuple[float, float, float, float]


def _check(ok: bool, what: str, expected: str, got: object) -> None:
    if not ok:
        raise BadValue(f"{what}: expected {expected}, got {got!r}")


def freeze(array: NDArray[Any]) -> NDArray[Any]:
    """Return the array marked read-only, so that a frozen dataclass is frozen all the way down."""
    array.flags.writeable = False
    return array


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """One film of a dataset: where it is, where it comes from, what is known about it.

    ``fractured`` and ``abnormal`` are True, False, or None where nobody said. ``boxes`` is None where nobody drew,
    ``()`` where somebody looked and found none. ``weak`` boxes were drawn by nobody: they cover a whole film. A film of
    an ``external`` set serves validation only. ``group_id`` is the leak-proof unit: no two splits share one.
    """

    image_id: str
    path: str
    source: str
    size_px: tuple[int, int]
    regions: frozenset[str] = frozenset({"unknown"})
    patient_id: str | None = None
    study_id: str | None = None
    group_id: str | None = None
    view: str | None = None
    fractured: bool | None = None
    abnormal: bool | None = None
    boxes: tuple[Box, ...] | None = None
    weak: bool = False
    external: bool = False
    split: str | None = None
    licence: str = ""
    attribution: str = ""
    flags: frozenset[str] = frozenset()
    attributes: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # A manifest may hold a million of these: no text is made before something is wrong.
        width, height = self.size_px
        if "/" not in self.image_id:
            raise self._refuse("image_id", "'source/native-id'", self.image_id)
        if not self.path or self.path[0] == "/" or "\\" in self.path or ".." in self.path.split("/"):
            raise self._refuse("path", "a relative POSIX path", self.path)
        # A film nobody could decode has no size; it stays in the manifest, set aside, and is never lost.
        if not (width > 0 and height > 0) and self.split != "set_aside":
            raise self._refuse("width_px, height_px", "numbers above 0", self.size_px)
        if not self.regions or not self.regions <= _REGIONS:
            raise self._refuse("regions", f"one or more of {', '.join(REGIONS)}", sorted(self.regions))
        if self.split is not None and self.split not in SPLITS:
            raise self._refuse("split", f"one of {', '.join(SPLITS)}", self.split)
        for box in self.boxes or ():
            x0, y0, x1, y1 = box
            if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
                raise self._refuse("boxes", f"x0 < x1 within 0..{width} and y0 < y1 within 0..{height}", box)
        if self.fractured is False and self.boxes:
            raise self._refuse("boxes", "none on a film called normal", self.boxes)

    @property
    def original_px(self) -> tuple[int, int]:
        """Give the (width, height) the film came in; a harmonised film remembers it among its attributes."""
        width, _, height = self.attributes.get("original_px", "").partition("x")
        return (int(width), int(height)) if width.isdecimal() and height.isdecimal() else self.size_px

    @property
    def is_small(self) -> bool:
        """Tell whether the film came small: exported, not taken, at that size."""
        return max(self.original_px) <= SMALL_FILM_PX

    def _refuse(self, column: str, expected: str, got: object) -> BadValue:
        return BadValue(f"column {column} of {self.image_id!r}: expected {expected}, got {got!r}")


@dataclass(frozen=True)
class Radiograph:
    """One decoded film: what a viewer would show, bone bright.

    ``pixels`` is (H, W) float32 in [0, 1]. ``spacing_mm`` is (row, column) spacing or None. ``flags`` says what had to
    be repaired or assumed (``truncated``, ``exif_rotated``, ``inverted`` ...). ``harmonise_id`` is set when the
    file is a film this package has harmonised before and tells which configuration made it.
    """

    pixels: NDArray[np.float32]
    spacing_mm: tuple[float, float] | None = None
    study_uid: str | None = None
    series_uid: str | None = None
    instance_uid: str | None = None
    flags: frozenset[str] = frozenset()
    harmonise_id: str | None = None

    def __post_init__(self) -> None:
        _check(self.pixels.ndim == 2 and self.pixels.size > 0, "pixels shape", "(H, W)", self.pixels.shape)
        _check(self.pixels.dtype == np.float32, "pixels dtype", "float32", self.pixels.dtype)
        # One pass over the bits for nearly every film: floats of 0 to 1 are in the order of their bits.
        if self.pixels.view(np.uint32).max() > _ONE:
            low, high = float(self.pixels.min()), float(self.pixels.max())
            _check(low >= 0.0 and high <= 1.0, "pixels range", "within [0, 1]", (low, high))
        freeze(self.pixels)

    @property
    def size_px(self) -> tuple[int, int]:
        """Give (width, height)."""
        return self.pixels.shape[1], self.pixels.shape[0]


@dataclass(frozen=True)
class HarmoniseConfig:
    """How a film is prepared before any network sees it. Its hash names the preparation everywhere.

    ``range_tail`` is the share of a film's pixels that may lie below its range of greys, and above it, before the range
    is stretched to black and white (`fracture.imaging.greys`); None takes the greys as the file has them.
    """

    long_side_px: int = 1024
    clahe_clip: float = 2.0
    clahe_grid: int = 8
    range_tail: float | None = 0.001

    def __post_init__(self) -> None:
        _check(32 <= self.long_side_px <= 8192, "long_side_px", "32..8192", self.long_side_px)
        _check(0.0 <= self.clahe_clip <= 40.0, "clahe_clip", "0 (off) to 40", self.clahe_clip)
        _check(1 <= self.clahe_grid <= 64, "clahe_grid", "1..64", self.clahe_grid)
        tail = self.range_tail
        _check(tail is None or 0 <= tail <= 0.1, "range_tail", "0 to 0.1, or None", tail)

    @classmethod
    def stored(cls, fields: Mapping[str, Any]) -> "HarmoniseConfig":
        """Read a configuration as `dataclasses.asdict` gave it, also before there was a ``range_tail``."""
        return cls(**{"range_tail": None, **fields})

    @property
    def harmonise_id(self) -> str:
        """Give a stable name: the same fields give the same id on every machine and in every session."""
        # Films that were prepared before there was a range keep their name.
        fields = {name: value for name, value in asdict(self).items() if value is not None}
        text = json.dumps(fields, sort_keys=True)
        return "h1-" + hashlib.sha256(text.encode()).hexdigest()[:12]


@dataclass(frozen=True)
class FrameMap:
    """The exact map between two pixel frames: ``x_net = x_film * scale_x + shift_x``, likewise y."""

    scale_x: float = 1.0
    scale_y: float = 1.0
    shift_x: float = 0.0
    shift_y: float = 0.0

    def __post_init__(self) -> None:
        _check(self.scale_x > 0 and self.scale_y > 0, "scale", "above 0", (self.scale_x, self.scale_y))

    def then(self, after: "FrameMap") -> "FrameMap":
        """Compose: first this map, then ``after``."""
        return FrameMap(
            self.scale_x * after.scale_x,
            self.scale_y * after.scale_y,
            self.shift_x * after.scale_x + after.shift_x,
            self.shift_y * after.scale_y + after.shift_y,
        )

    def forward(self, xyxy: NDArray[np.float64]) -> NDArray[np.float64]:
        """Map (N, 4) boxes from the first frame into the second."""
        return xyxy * self._scale() + self._shift()

    def back(self, xyxy: NDArray[np.float64]) -> NDArray[np.float64]:
        """Map (N, 4) boxes from the second frame back into the first."""
        return (xyxy - self._shift()) / self._scale()

    def _scale(self) -> NDArray[np.float64]:
        return np.array([self.scale_x, self.scale_y] * 2)

    def _shift(self) -> NDArray[np.float64]:
        return np.array([self.shift_x, self.shift_y] * 2)


@dataclass(frozen=True)
class ModelInput:
    """A prepared film: uint8 pixels, (H, W) harmonised or (H, W, 3) for a network, and its map from decoded pixels.

    ``film_px`` is the (width, height) of the decoded film the map starts from.
    """

    pixels: NDArray[np.uint8]
    film_px: tuple[int, int]
    from_film: FrameMap
    harmonise_id: str

    def __post_init__(self) -> None:
        shape = self.pixels.shape
        _check(len(shape) in (2, 3) and self.pixels.size > 0, "pixels shape", "(H, W) or (H, W, 3)", shape)
        _check(len(shape) == 2 or shape[2] == 3, "pixels shape", "(H, W) or (H, W, 3)", shape)
        _check(self.pixels.dtype == np.uint8, "pixels dtype", "uint8", self.pixels.dtype)
        freeze(self.pixels)


@dataclass(frozen=True)
class Detections:
    """Boxes of one film as columns, best first.

    ``xyxy`` is (N, 4) float64 in pixels of the decoded film, ``score`` (N,) in [0, 1] and non-increasing, ``label``
    (N,) class indices.
    """

    xyxy: NDArray[np.float64]
    score: NDArray[np.float64]
    label: NDArray[np.int64]

    def __post_init__(self) -> None:
        n = len(self.score)
        _check(self.xyxy.shape == (n, 4), "xyxy shape", f"({n}, 4)", self.xyxy.shape)
        _check(self.score.shape == (n,), "score shape", f"({n},)", self.score.shape)
        _check(self.label.shape == (n,), "label shape", f"({n},)", self.label.shape)
        if n:
            _check(bool(np.isfinite(self.xyxy).all()), "xyxy", "finite numbers", self.xyxy.tolist())
            ordered = bool((self.xyxy[:, 2:] >= self.xyxy[:, :2]).all())
            _check(ordered, "xyxy", "x0 <= x1 and y0 <= y1", self.xyxy.tolist())
            in_range = float(self.score.min()) >= 0.0 and float(self.score.max()) <= 1.0
            _check(in_range, "score", "within [0, 1]", self.score.tolist())
            _check(bool((np.diff(self.score) <= 0).all()), "score", "non-increasing", self.score.tolist())
        for column in (self.xyxy, self.score, self.label):
            freeze(column)

    def __len__(self) -> int:
        return len(self.score)

    @classmethod
    def empty(cls) -> "Detections":
        """Give no detections."""
        return cls(np.zeros((0, 4)), np.zeros(0), np.zeros(0, np.int64))

    def above(self, threshold: float) -> "Detections":
        """Keep the boxes whose score is at or above the threshold."""
        keep = self.score >= threshold
        return Detections(self.xyxy[keep], self.score[keep], self.label[keep])

    def first(self, count: int) -> "Detections":
        """Keep the best boxes, so many."""
        return Detections(self.xyxy[:count], self.score[:count], self.label[:count])

    @property
    def best_score(self) -> float:
        """Give the best box's score, 0 where there is none."""
        return float(self.score[0]) if len(self) else 0.0


BEST_BOX, CLASSIFIER, FUSION = "best box", "classifier", "fusion"
"""What makes a film's score: its best box where nothing else does, a network that looks at the whole film, or both."""


@dataclass(frozen=True)
class HeatMap:
    """What each place of a film adds to its score: (rows, columns) logits, and the map from film pixels to places."""

    values: NDArray[np.float32]
    from_film: FrameMap

    def __post_init__(self) -> None:
        _check(self.values.ndim == 2 and self.values.size > 0, "heat map shape", "(rows, columns)", self.values.shape)
        freeze(self.values)


@dataclass(frozen=True)
class FilmScore:
    """How suspicious a film is as a whole, 0 to 1: what metrics, thresholds, calibration and the status read.

    ``made_by`` names what gave it: the best box, a classifier, a fusion of both. ``regions`` has the probability of
    each region of the body, where a network gives one.
    """

    value: float
    made_by: str = BEST_BOX
    regions: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check(0.0 <= self.value <= 1.0, "film score", "0..1", self.value)
        _check(bool(self.made_by), "film score", "the name of what made it", self.made_by)
        for region, probability in self.regions.items():
            _check(0.0 <= probability <= 1.0, f"probability of {region}", "0..1", probability)


@dataclass(frozen=True)
class Prediction:
    """The answer for one film: every box down to a low score, and what made it.

    ``film`` is the film-level score of a network that gives one; without it the best box's is the film's. ``heat`` is
    where such a network sees what its score is made of.
    """

    film_px: tuple[int, int]
    detections: Detections
    model_id: str
    harmonise_id: str
    flags: frozenset[str] = frozenset()
    film: FilmScore | None = None
    heat: HeatMap | None = None

    def __post_init__(self) -> None:
        if self.film is not None and self.film.made_by == BEST_BOX:
            best = self.detections.best_score
            _check(self.film.value == best, f"film score made by the {BEST_BOX}", f"its score {best}", self.film.value)

    @property
    def film_score(self) -> FilmScore:
        """Give the film-level score: the network's own, or the best box's, 0 where there is none."""
        return self.film or FilmScore(self.detections.best_score)


@dataclass(frozen=True)
class Refusal:
    """The reason there is no answer for a film. Never silence."""

    code: str
    reason: str


@dataclass(frozen=True)
class Estimate:
    """A measured figure with its 95 % interval and what it was measured on.

    ``value`` is None where the data cannot give one (specificity without normals), and ``note`` then says why.
    ``n`` counts the cases behind it, ``n_groups`` the independent groups among them (patients, or the best known unit).
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    n_groups: int
    method: str
    note: str = ""

    def __post_init__(self) -> None:
        _check((self.low is None) == (self.high is None), "interval", "both ends or none", (self.low, self.high))
        if self.value is not None and self.low is not None and self.high is not None:
            inside = self.low - 1e-9 <= self.value <= self.high + 1e-9
            _check(inside, "interval", "low <= value <= high", (self.low, self.value, self.high))

    @property
    def few(self) -> str:
        """Say that few cases, or few groups of them, are behind the figure; "" where there are enough."""
        if self.n < FEW:
            return f"fewer than {FEW}"
        return f"fewer than {FEW} groups" if self.n_groups < FEW else ""

    def __str__(self) -> str:
        if self.value is None:
            return f"not estimable ({self.note or f'n={self.n}'})"
        interval = "" if self.low is None else f" ({self.low:.3f} to {self.high:.3f})"
        return f"{self.value:.3f}{interval}, n={self.n}{f', {self.few}' if self.few else ''}"


@dataclass(frozen=True)
class OperatingPoint:
    """A film-level threshold and the measurement behind it. There is no threshold without a measurement."""

    name: str
    threshold: float
    rule: str
    sensitivity: Estimate
    specificity: Estimate
    measured_on: str
    reached: bool = True

    def __post_init__(self) -> None:
        _check(0.0 <= self.threshold <= 1.0, f"operating point {self.name!r} threshold", "0..1", self.threshold)
