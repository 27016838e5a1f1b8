"""What a model could be using instead of the fracture: the film's edge, metal, lead letters, who made the film.

A model can be right for the wrong reason, and then it is wrong elsewhere. Sources: Zech et al., PLoS Med 15 (2018)
e1002683; Badgeley et al., npj Digit Med 2 (2019) 31; Geirhos et al., Nat Mach Intell 2 (2020) 665-673.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fracture.core.errors import BadValue, FractureError
from fracture.core.types import Box, Estimate, HarmoniseConfig, ImageRecord, ModelInput, Radiograph
from fracture.data.workers import film_map, read_film
from fracture.evaluation.masking import RING, boxes_in, masked_border, masked_boxes, why_not_masked
from fracture.evaluation.probes import film_features, group_names, looks_tell, probe_properties
from fracture.imaging.decode import decode
from fracture.imaging.harmonise import harmonise
from fracture.inference.reader import Reader
from fracture.metrics.screening import drawn_auc
from fracture.metrics.uncertainty import bootstrap, count_groups
from fracture.phantom import FilmSpec, draw_phantom

NAMED, DROP, LIFT = 0.7, 0.02, 0.1
"""When a check is a finding. A probe names a property when its AUC lies above NAMED, interval and all. Masking the
border matters when it costs an AUC of DROP or more, and a thing drawn onto films when it moves the score by LIFT or
more of what lies between normal and fractured films; the intervals of both must leave out 0."""

_SITES = (("wrist", "shaft"), ("humerus", "shaft"), ("hip", "subtrochanteric"), ("leg", "shaft"), ("shoulder", "shaft"))

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
    """Give what a model could be using instead of the fracture: the report's ``shortcuts``, which is its older name.

    ``films`` are labelled films and where they lie, ``scores`` (films,) what the model said of them. ``masking`` masks
    the border of films, ``synthetic`` draws things onto phantoms and masks them, ``probes`` asks whether a film gives
    away what it should not; as that is a question about films, ``around`` may hold further labelled ones. Those
    are decoded in other processes, since a damaged film can end the process that decodes it. ``films`` were decoded
    safely before, to score them, and are decoded here.
    ``looks`` says how well the films' looks alone tell their label: a question about this set, not about the model.
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
        reason = why_not_masked(record, prepared)
        if reason:
            reasons[reason] += 1
        else:
            masked[index] = _score(reader, masked_border(_film(prepared)))
    kept = np.flatnonzero(~np.isnan(masked))
    broken = fractured[kept]
    among = {"score_change": np.ones_like(broken), "score_change_normal": ~broken, "score_change_fractured": broken}
    groups = group_names(records, kept)
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
    rows = probe_properties(probed, features, rng)
    gap = _mean(scores, fractured) - _mean(scores, ~fractured)
    synthetic = _synthetic(reader, phantoms, rng, resamples, progress)
    by_looks = looks_tell(records, features[: len(records)], rng)
    findings = [
        *_border_findings(border),
        *_drawn_findings(synthetic, gap),
        *_probe_findings(rows),
    ]
    findings += [f"{unreadable} films around could not be read and were not probed"] if unreadable else []
    return {
        "findings": findings,
        "masking": [_as_json(border)],
        "synthetic": [_as_json(row) for row in synthetic],
        "probes": [_as_json(row) for row in rows],
        "looks": asdict(by_looks),
    }


def _features_of(file: Path, config: HarmoniseConfig, long_side_px: int) -> Floats | None:
    try:
        return film_features(harmonise(read_film(file), config), long_side_px)
    except FractureError:
        return None


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
        region, site = _SITES[case % len(_SITES)]
        seed, bare = int(rng.integers(2**62)), FilmSpec(region=region, site=site, hardware="none", marker=False)
        plain[case] = _score(reader, _draw(reader, seed, bare, fractured=bool(fractured[case]))[0])
        for thing in drawn:
            drawn[thing][case] = masked[thing][case] = plain[case]
            if not fractured[case]:
                metal = ("plate", "pin")[case // 2 % 2]
                spec = replace(bare, hardware=metal) if thing == "hardware" else replace(bare, marker=True)
                film, boxes = _draw(reader, seed, spec, fractured=False)
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


def _draw(reader: Reader, seed: int, spec: FilmSpec, *, fractured: bool) -> tuple[Radiograph, tuple[Box, ...]]:
    """Give a phantom, harmonised, and in its pixels the boxes of what was laid onto it."""
    phantom = draw_phantom(np.random.default_rng(seed), fractured=fractured, spec=spec)
    grey = Radiograph(phantom.grey.astype(np.float32) / np.float32(255))
    prepared = harmonise(grey, reader.card.harmonise)
    return _film(prepared), tuple(map(tuple, boxes_in((*phantom.hardware, *phantom.markers), prepared).tolist()))


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


def _border_findings(row: Mapping[str, Any]) -> Iterator[str]:
    change = row["auc_change"]
    if change.value is not None and change.value <= -DROP and change.high < 0:
        yield (
            f"the model could be using this: what lies within {100 * RING:g} % of the film's edge; with that masked "
            f"the film AUC changes by {_signed(change)}"
        )


def _drawn_findings(rows: Sequence[Mapping[str, Any]], gap: float) -> Iterator[str]:
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


def _probe_findings(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Name only what a film gives away and what goes with the label: either alone is harmless."""
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


def _film(prepared: ModelInput) -> Radiograph:
    """Give a harmonised film as one that was decoded, which harmonising passes through."""
    return Radiograph(prepared.pixels.astype(np.float32) / np.float32(255), harmonise_id=prepared.harmonise_id)


def _score(reader: Reader, film: Radiograph) -> float:
    return reader.read_film(film).film_score.value


def _mean(values: Floats, weights: NDArray[Any]) -> float:
    total = weights.sum()
    return float((values * weights).sum() / total) if total else np.nan


def _as_json(row: Mapping[str, Any]) -> dict[str, Any]:
    return {key: asdict(value) if isinstance(value, Estimate) else value for key, value in row.items()}
