"""What a model could be using instead of the fracture: the film's edge, metal, lead letters, who made the film.

A model can be right for the wrong reason, and then it is wrong elsewhere. Sources: Zech et al., PLoS Med 15 (2018)
e1002683; Badgeley et al., npj Digit Med 2 (2019) 31; Geirhos et al., Nat Mach Intell 2 (2020) 665-673.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import linalg
from scipy.stats import rankdata

from fracture.core.errors import BadValue, FractureError
from fracture.core.types import SMALL_FILM_PX, Box, Estimate, HarmoniseConfig, ImageRecord, ModelInput, Radiograph
from fracture.data.workers import film_map, read_film
from fracture.imaging.decode import decode
from fracture.imaging.harmonise import harmonise, network_pixels
from fracture.inference.reader import Reader
from fracture.metrics.screening import auc, drawn_auc
from fracture.metrics.uncertainty import bootstrap, count_groups, group_members, proportion
from fracture.phantom import Wish, draw_phantom

RING = 0.08
"""How much of a film's short side is masked along every edge: where letters, collimator edges and lost rows lie."""

THUMBNAIL, BINS = 24, 32

MIN_FILMS = 20
RIDGE = 1.0
"""The ridge's strength in units of the films trained on: a standardised feature of its own is shrunk by half. A third
of it and three times as much give nearly the same answers."""

NAMED, DROP, LIFT = 0.7, 0.02, 0.1
"""When a check is a finding. A probe names a property when its AUC lies above NAMED, interval and all. Masking the
border matters when it costs an AUC of DROP or more, and a thing drawn onto films when it moves the score by LIFT or
more of what lies between normal and fractured films; the intervals of both must leave out 0."""

_HELD = (("wrist", "shaft"), ("humerus", "shaft"), ("hip", "subtrochanteric"), ("leg", "shaft"), ("shoulder", "shaft"))
_HALO_PX = 3

Floats = NDArray[np.float64]
Truth = NDArray[np.bool_]
Progress = Callable[[Iterable[Any], int], Iterable[Any]]


def check(
    reader: Reader,
    films: Sequence[tuple[ImageRecord, Path]],
    scores: Floats,
    rng: np.random.Generator,
    resamples: int = 2000,
    progress: Progress = lambda items, _: items,
    phantoms: int = 120,
    around: Sequence[tuple[ImageRecord, Path]] = (),
) -> dict[str, Any]:
    """Give what a model could be using instead of the fracture: the report's ``shortcuts``.

    ``films`` are labelled films and where they lie, ``scores`` (films,) what the model said of them. ``masking`` masks
    the border of films, ``synthetic`` draws things onto phantoms and masks them, ``probes`` asks whether a film gives
    away what it should not; as that is a question about films, ``around`` may hold further labelled ones. These are
    decoded in processes that may die over one. ``films`` are decoded here: a sandbox did it before, to score them.
    ``findings`` are sentences; none means that none of these checks found anything, and no more. Raises BadValue for
    an unlabelled film, and what `fracture.imaging.decode` raises for one it cannot read.
    """
    records = [record for record, _ in films]
    labelled = sum(record.fractured is not None for record in records)
    if not films or scores.shape != (len(films),) or labelled < len(films):
        raise BadValue(
            f"films: expected labelled films, one per score, got {len(films)}, {labelled} of them labelled, and scores "
            f"{scores.shape}"
        )
    fractured = np.array([record.fractured is True for record in records], np.bool_)
    masked, reasons, features = np.full(len(films), np.nan), Counter[str](), []
    for index, (record, file) in enumerate(progress(films, len(films))):
        prepared = harmonise(decode(file.read_bytes()), reader.card.harmonise)
        features.append(film_features(prepared, reader.card.long_side_px))
        reason = _in_the_ring(record, prepared)
        if reason:
            reasons[reason] += 1
        else:
            masked[index] = _score(reader, masked_border(_film(prepared)))
    kept = np.flatnonzero(~np.isnan(masked))
    broken = fractured[kept]
    among = {"score_change": np.ones_like(broken), "score_change_normal": ~broken, "score_change_fractured": broken}
    groups = _groups(records, kept)
    border = {
        "name": "border masked",
        **_compared(scores[kept], masked[kept], broken, groups, among, rng, resamples),
        "left_out": dict(reasons),
    }
    probed, unreadable = list(records), 0
    look = partial(_features_of, config=reader.card.harmonise, long_side_px=reader.card.long_side_px)
    looks = film_map(look, [file for _, file in around], lambda *_: None)
    for (record, _), seen in zip(around, progress(looks, len(around)) if around else (), strict=True):
        if seen is None:
            unreadable += 1
        else:
            features.append(seen)
            probed.append(record)
    rows = _probes(probed, features, rng)
    gap = _mean(scores, fractured) - _mean(scores, ~fractured)
    synthetic = _synthetic(reader, phantoms, rng, resamples, progress)
    findings = [*_said_of_border(border), *_said_of_drawn(synthetic, gap), *_said_of_probes(rows)]
    findings += [f"{unreadable} films around could not be read and were not probed"] if unreadable else []
    return {
        "findings": findings,
        "masking": [_as_json(border)],
        "synthetic": [_as_json(row) for row in synthetic],
        "probes": [_as_json(row) for row in rows],
    }


def _features_of(file: Path, config: HarmoniseConfig, long_side_px: int) -> Floats | None:
    try:
        return film_features(harmonise(read_film(file), config), long_side_px)
    except FractureError:
        return None


def masked_border(film: Radiograph, share: float = RING) -> Radiograph:
    """Hide the outer ring of a film, ``share`` of its short side wide, behind the blurred grey of its inner edge.

    A flat fill would be a collimator's edge, a mirror would break bones, and the bare edge drawn outwards makes
    hairlines out of noise: each is a cue of its own. A harmonised film stays one, so harmonising passes it through.
    """
    if not 0 < share < 0.5:
        raise BadValue(f"share: expected above 0 and below 0.5, got {share}")
    ring = _ring_px(film.size_px, share)
    width, height = film.size_px
    inside = film.pixels[ring : height - ring, ring : width - ring]
    pixels = cv2.copyMakeBorder(inside, ring, ring, ring, ring, cv2.BORDER_REPLICATE)
    pixels = cv2.GaussianBlur(pixels, (0, 0), max(ring, 1) / 4)
    pixels[ring : height - ring, ring : width - ring] = inside
    return replace(film, pixels=np.asarray(np.clip(pixels, 0, 1), np.float32))


def masked_boxes(film: Radiograph, boxes: Sequence[Box]) -> Radiograph:
    """Hide what lies in boxes (px of the film) by painting in what stands around them.

    Source: Telea, J Graph Tools 9 (2004) 23-34.
    """
    hidden = np.zeros(film.pixels.shape, np.uint8)
    for x0, y0, x1, y1 in boxes:
        top, left = max(int(y0) - _HALO_PX, 0), max(int(x0) - _HALO_PX, 0)
        hidden[top : int(np.ceil(y1)) + _HALO_PX, left : int(np.ceil(x1)) + _HALO_PX] = 1
    grey = np.rint(film.pixels * np.float32(255)).astype(np.uint8)
    painted = cv2.inpaint(grey, hidden, _HALO_PX, cv2.INPAINT_TELEA)
    return replace(film, pixels=np.where(hidden == 1, painted.astype(np.float32) / np.float32(255), film.pixels))


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
    ring = _ring_px((width, height), RING)
    inside = edges[ring : height - ring, ring : width - ring]
    outer = (edges.sum(dtype=np.float64) - inside.sum(dtype=np.float64)) / max(edges.size - inside.size, 1)
    shape = np.log(width / height)
    return np.concatenate([means.ravel(), histogram, quadrants, [outer, shape, abs(shape)]]).astype(np.float64)


def probe(features: Floats, labels: Truth, groups: Sequence[str], rng: np.random.Generator, folds: int = 5) -> Estimate:
    """Give how well a line through (films, d) features tells labels (films,): the AUC on films it was not drawn by.

    Ridge regression on +-1 in ``folds`` folds by group, features standardised on the films trained on, strength RIDGE,
    fixed. The interval takes the fits as given, which makes it somewhat too narrow. Not estimable with fewer than
    MIN_FILMS films, or fewer groups than folds, on a side.

    Source: Alain and Bengio, Understanding intermediate layers using linear classifier probes (2016).
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


def _probes(
    records: Sequence[ImageRecord], features: Sequence[Floats], rng: np.random.Generator
) -> list[dict[str, Any]]:
    seen, fractured = np.array(features), np.array([record.fractured is True for record in records], np.bool_)
    rows = []
    for one in _properties(records):
        groups, broken = _groups(records, one.films), fractured[one.films]
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


def _synthetic(
    reader: Reader, phantoms: int, rng: np.random.Generator, resamples: int, progress: Progress
) -> list[dict[str, Any]]:
    """Draw films plain, and the unfractured ones again with metal and with a lead letter, all else the same.

    Metal lies where a bone breaks, so masking it on a fractured film would hide the fracture: only unfractured films
    are changed, and the AUC is that of a set whose normal films alone have the thing. Masking paints over the bone as
    well, so the drawn pairs are the better evidence.
    """
    fractured = np.arange(phantoms) % 2 == 0
    plain = np.zeros(phantoms)
    drawn, masked = ({"hardware": plain.copy(), "marker": plain.copy()} for _ in range(2))
    for case in progress(range(phantoms), phantoms):
        region, site = _HELD[case % len(_HELD)]
        seed, bare = int(rng.integers(2**62)), Wish(region=region, site=site, hardware="none", marker=False)
        plain[case] = _score(reader, _draw(reader, seed, bare, fractured=bool(fractured[case]))[0])
        for thing in drawn:
            drawn[thing][case] = masked[thing][case] = plain[case]
            if not fractured[case]:
                metal = ("plate", "pin")[case // 2 % 2]
                wish = replace(bare, hardware=metal) if thing == "hardware" else replace(bare, marker=True)
                film, boxes = _draw(reader, seed, wish, fractured=False)
                drawn[thing][case] = _score(reader, film)
                masked[thing][case] = _score(reader, masked_boxes(film, boxes))
    names, changed = [str(case) for case in range(phantoms)], {"score_change": ~fractured}
    return [
        {"name": name, **_compared(before, after, fractured, names, changed, rng, resamples)}
        for thing in drawn
        for name, before, after in (
            (f"{thing} drawn onto normal synthetic films", plain, drawn[thing]),
            (f"{thing} masked on normal synthetic films", drawn[thing], masked[thing]),
        )
    ]


def _draw(reader: Reader, seed: int, wish: Wish, *, fractured: bool) -> tuple[Radiograph, tuple[Box, ...]]:
    """Give a phantom, harmonised, and in its pixels the boxes of what was laid onto it."""
    phantom = draw_phantom(np.random.default_rng(seed), fractured=fractured, wish=wish)
    grey = Radiograph(phantom.grey.astype(np.float32) / np.float32(255))
    prepared = harmonise(grey, reader.card.harmonise)
    return _film(prepared), tuple(map(tuple, _mapped((*phantom.hardware, *phantom.markers), prepared).tolist()))


def _compared(
    before: Floats,
    after: Floats,
    fractured: Truth,
    groups: Sequence[str],
    among: Mapping[str, Truth],
    rng: np.random.Generator,
    resamples: int,
) -> dict[str, Any]:
    """Compare two scores of the same films, (films,): AUC, and the mean change ``among`` some, on the same draws."""
    areas = [drawn_auc(scores, fractured) for scores in (before, after)]
    change = after - before

    def statistic(copies: NDArray[np.int64]) -> Floats:
        first, second = (area(copies) for area in areas)
        return np.array([first, second, second - first, *(_mean(change, copies * side) for side in among.values())])

    n_fractured, n_normal = int(fractured.sum()), int((~fractured).sum())
    note = f"{n_fractured} fractured, {n_normal} normal films"
    notes = [note] * 3 + ["" if side.any() else "no such films" for side in among.values()]
    found = bootstrap(groups, statistic, rng, resamples, notes)
    counted = [
        replace(one, n=int(side.sum()), n_groups=count_groups(groups, np.flatnonzero(side)))
        for one, side in zip(found[3:], among.values(), strict=True)
    ]
    names = ("auc_before", "auc", "auc_change", *among)
    return {"films": len(groups), **dict(zip(names, [*found[:3], *counted], strict=True))}


def _said_of_border(row: Mapping[str, Any]) -> Iterator[str]:
    change = row["auc_change"]
    if change.value is not None and change.value <= -DROP and change.high < 0:
        yield (
            f"the model could be using this: what lies within {100 * RING:g} % of the film's edge; with that masked "
            f"the film AUC changes by {_signed(change)}"
        )


def _said_of_drawn(rows: Sequence[Mapping[str, Any]], gap: float) -> Iterator[str]:
    for row in rows:
        change = row["score_change"]
        # Masking paints over the bone as well: only what is drawn changes nothing else.
        if " drawn " not in row["name"] or change.value is None or not change.low * change.high > 0:
            continue
        if abs(change.value) >= LIFT * gap > 0:
            yield (
                f"the model could be using this: {row['name']} moves their score by {_signed(change)}, "
                f"{100 * abs(change.value) / gap:.0f} % of what lies between normal and fractured films"
            )


def _signed(change: Estimate) -> str:
    return f"{change.value:+.3f} ({change.low:+.3f} to {change.high:+.3f})"


def _said_of_probes(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Accuse only what a film gives away and what goes with the label: either alone is harmless."""
    for row in rows:
        here, rest = row["fractured_with"], row["fractured_without"]
        if here.value is None or rest.value is None or (here.low <= rest.high and rest.low <= here.high):
            continue
        for key, seen in (("auc", "the film"), ("auc_shape", "the film's shape alone")):
            found = row[key]
            # There is no interval where the scores separate all films, and no doubt either.
            if found.value is not None and (found.value if found.low is None else found.low) > NAMED:
                yield (
                    f"the model could be using this: a linear probe names '{row['name']}' from {seen} with AUC "
                    f"{found.value:.2f}, and {round(here.value * here.n)} of {here.n} such films are fractured against "
                    f"{100 * rest.value:.0f} % of the others"
                )
                break


def _in_the_ring(record: ImageRecord, prepared: ModelInput) -> str | None:
    """Say why masking the border could hide a film's fracture, None where it cannot."""
    if record.fractured and (not record.boxes or record.weak):
        return "where the fracture lies is not known"
    height, width = prepared.pixels.shape
    ring = _ring_px((width, height), RING)
    x0, y0, x1, y1 = _mapped(record.boxes or (), prepared).T
    touches = (x0 < ring) | (y0 < ring) | (x1 > width - ring) | (y1 > height - ring)
    return "a fracture reaches into the border" if touches.any() else None


def _ring_px(size_px: tuple[int, int], share: float) -> int:
    return int(share * min(size_px))


def _mapped(boxes: Sequence[Box], prepared: ModelInput) -> Floats:
    return prepared.from_film.forward(np.array(boxes, dtype=np.float64).reshape(-1, 4))


def _film(prepared: ModelInput) -> Radiograph:
    """Give a harmonised film as one that was decoded, which harmonising passes through."""
    return Radiograph(prepared.pixels.astype(np.float32) / np.float32(255), harmonise_id=prepared.harmonise_id)


def _score(reader: Reader, film: Radiograph) -> float:
    return reader.read_film(film).film_score.value


def _groups(records: Sequence[ImageRecord], films: NDArray[np.int64]) -> list[str]:
    return [records[film].group_id or records[film].image_id for film in films]


def _mean(values: Floats, weights: NDArray[Any]) -> float:
    total = weights.sum()
    return float((values * weights).sum() / total) if total else np.nan


def _halves(length: int) -> tuple[slice, slice]:
    return slice(0, (length + 1) // 2), slice(length // 2, length)


def _as_json(row: Mapping[str, Any]) -> dict[str, Any]:
    return {key: asdict(value) if isinstance(value, Estimate) else value for key, value in row.items()}
