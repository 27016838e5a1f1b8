"""What a film gives away besides its fracture: linear probes that tell its source, its metal, its lost rows, its look.

Source: Alain and Bengio, Understanding intermediate layers using linear classifier probes (2016).
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import linalg
from scipy.stats import rankdata

from fracture.core.types import SMALL_FILM_PX, Estimate, ImageRecord, ModelInput
from fracture.evaluation.masking import RING, ring_px
from fracture.imaging.harmonise import network_pixels
from fracture.metrics.screening import auc
from fracture.metrics.uncertainty import count_groups, group_members, proportion

THUMBNAIL, BINS = 24, 32

MIN_FILMS = 20
RIDGE = 1.0
"""The ridge's strength in units of the films trained on: a standardised feature of its own is shrunk by half. A third
of it and three times as much give nearly the same answers."""

Floats = NDArray[np.float64]
Truth = NDArray[np.bool_]


def film_features(prepared: ModelInput, long_side_px: int) -> Floats:
    """Give what a probe sees of a harmonised film, at the scale the network sees it: (615,).

    The film in 24 x 24 means, its histogram in 32 bins, how sharp it is (mean size of the Laplacian) in each quadrant
    and in the outer ring, and last the two features of its shape, log(width / height) and its size. The means are
    stretched to a square: left as it is, the shape would speak through them too.
    """
    grey = network_pixels(prepared, long_side_px, stride=None).pixels[:, :, 0]
    height, width = grey.shape
    means = cv2.resize(grey, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA)
    histogram = np.bincount(grey.ravel() // (256 // BINS), minlength=BINS) / grey.size
    edges = np.abs(cv2.Laplacian(grey, cv2.CV_32F))
    quadrants = [edges[rows, columns].mean() for rows in _halves(height) for columns in _halves(width)]
    ring = ring_px((width, height), RING)
    inside = edges[ring : height - ring, ring : width - ring]
    outer = (edges.sum(dtype=np.float64) - inside.sum(dtype=np.float64)) / max(edges.size - inside.size, 1)
    shape = np.log(width / height)
    return np.concatenate([means.ravel(), histogram, quadrants, [outer, shape, abs(shape)]]).astype(np.float64)


def probe(features: Floats, labels: Truth, groups: Sequence[str], rng: np.random.Generator, folds: int = 5) -> Estimate:
    """Give how well a line through (films, d) features tells labels (films,): the AUC on films it was not drawn by.

    Ridge regression on +-1 in ``folds`` folds by group, features standardised on the films trained on, strength RIDGE,
    fixed. The interval takes the fits as given, which makes it somewhat too narrow. Not estimable with fewer than
    MIN_FILMS films, or fewer groups than folds, on a side.
    """
    n, n_groups, method = len(labels), len(set(groups)), "DeLong, out of fold"
    for side, name in ((labels, "of them"), (~labels, "others")):
        count, of_side = int(side.sum()), count_groups(groups, np.flatnonzero(side))
        if count < MIN_FILMS or of_side < folds:
            few = f"{count} {name}" if count < MIN_FILMS else f"{count} {name} in {of_side} groups"
            return Estimate(None, None, None, n, n_groups, method, few)
    fold_of, scores = _folds(labels, groups, rng, folds), np.zeros(n)
    for fold in range(folds):
        train, held = fold_of != fold, fold_of == fold
        mean, deviation = features[train].mean(axis=0), features[train].std(axis=0)
        deviation[deviation == 0] = 1
        seen = (features - mean) / deviation
        target = np.where(labels[train], 1.0, -1.0)
        weights = linalg.solve(
            seen[train].T @ seen[train] + RIDGE * train.sum() * np.eye(features.shape[1]),
            seen[train].T @ target,
            assume_a="pos",
        )
        # No intercept: a fold that holds many of them leaves few to train on, and its films would all rank low.
        scores[held] = seen[held] @ weights
    found = auc(rankdata(scores) / n, labels, groups)
    note = f"{int(labels.sum())} with it, {n - int(labels.sum())} without; ridge {RIDGE:g}, {folds} folds by group"
    return replace(found, method=method, note=note)


def _folds(labels: Truth, groups: Sequence[str], rng: np.random.Generator, folds: int) -> NDArray[np.int64]:
    """Deal whole groups out in turn, those that show the label first, so that every fold has its share of them."""
    members = group_members(groups)
    order = rng.permutation(len(members))
    order = order[np.argsort([not labels[members[group]].any() for group in order], kind="stable")]
    fold_of = np.zeros(len(labels), np.int64)
    for place, group in enumerate(order):
        fold_of[members[group]] = place % folds
    return fold_of


@dataclass(frozen=True)
class _Property:
    """What a film might give away: the films of which it is known, by index, and which of them have it."""

    name: str
    films: NDArray[np.int64]
    present: Truth


def _properties(records: Sequence[ImageRecord]) -> list[_Property]:
    everyone = np.arange(len(records))
    stated = np.array([i for i, record in enumerate(records) if record.attributes.get("hardware") in {"0", "1"}], int)
    held = np.array([records[i].attributes["hardware"] == "1" for i in stated], np.bool_)
    cut = np.array(["truncated" in record.flags for record in records], np.bool_)
    small = np.array([record.is_small for record in records], np.bool_)
    sources = Counter(record.source for record in records)
    several = sum(count >= MIN_FILMS for count in sources.values()) >= 2
    # Of two sources, one against the rest is the other against the rest.
    named = sorted(sources)[: 1 if len(sources) == 2 else None] if several else []
    return [
        *(
            _Property(f"source {name}", everyone, np.array([record.source == name for record in records], np.bool_))
            for name in named
        ),
        _Property("truncated", everyone, cut),
        _Property(f"long side up to {SMALL_FILM_PX} px", everyone, small),
        _Property("hardware", stated, held),
    ]


def looks_tell(records: Sequence[ImageRecord], features: Sequence[Floats], rng: np.random.Generator) -> Estimate:
    """Give how well greys, sharpness and shape of a film, no place on it, tell whether it is fractured.

    Where they do, fractured and normal films came another way, and a film AUC on them is partly that of the way.
    """
    every = np.arange(len(records))
    fractured = np.array([record.fractured is True for record in records], np.bool_)
    return probe(np.array(features)[:, THUMBNAIL**2 :], fractured, group_names(records, every), rng)


def probe_properties(
    records: Sequence[ImageRecord], features: Sequence[Floats], rng: np.random.Generator
) -> list[dict[str, Any]]:
    """Probe features (films, d) for every property, and count how often films with it are fractured."""
    seen, fractured = np.array(features), np.array([record.fractured is True for record in records], np.bool_)
    rows = []
    for one in _properties(records):
        groups, broken = group_names(records, one.films), fractured[one.films]
        rows.append(
            {
                "name": one.name,
                "films": len(one.films),
                "positives": int(one.present.sum()),
                "auc": probe(seen[one.films, :-2], one.present, groups, rng),
                "auc_shape": probe(seen[one.films, -2:], one.present, groups, rng),
                "fractured_with": _share(broken, one.present, groups),
                "fractured_without": _share(broken, ~one.present, groups),
            }
        )
    return rows


def _share(fractured: Truth, among: Truth, groups: Sequence[str]) -> Estimate:
    return proportion(fractured & among, among, groups)


def group_names(records: Sequence[ImageRecord], films: NDArray[np.int64]) -> list[str]:
    """Name the groups of the films at these places."""
    return [records[film].group_id or records[film].image_id for film in films]


def _halves(length: int) -> tuple[slice, slice]:
    return slice(0, (length + 1) // 2), slice(length // 2, length)
