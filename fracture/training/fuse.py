"""A detector's bundle and a classifier's as one: how much the classifier is believed is chosen on val, then measured.

A fusion is kept where it tells val's films apart better than the detector alone, by more than chance (the interval of
the paired difference of AUC, over groups, lies above 0). Else it is the identity.
"""

import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from fracture.core.errors import BadValue
from fracture.core.files import file_hash
from fracture.core.types import FUSION, Estimate, ImageRecord
from fracture.evaluation.cases import Cases, films_of, join
from fracture.evaluation.folder import PREDICTIONS
from fracture.evaluation.predict import load_records, predict
from fracture.inference.reader import Reader
from fracture.metrics.screening import drawn_auc
from fracture.metrics.uncertainty import bootstrap
from fracture.models import card as cards
from fracture.models.card import INT8, ModelCard
from fracture.models.film_answer import rows_of
from fracture.models.fusion import LOGISTIC, PRODUCT, Fusion, fuse, logit
from fracture.models.heads import FRACTURE
from fracture.models.runtime import OnnxNetwork
from fracture.training.measure import check_val, measured

ALPHAS = tuple(round(step / 20, 2) for step in range(20))
RESAMPLES = 1000
_PENALTY = 0.01


@dataclass(frozen=True)
class Chosen:
    """A fusion and what it brings on val: the AUC of films by the detector alone, by both, and the difference."""

    fusion: Fusion
    alone: Estimate
    fused: Estimate
    difference: Estimate


def fuse_bundles(detector: Path, classifier: Path, root: Path, out: Path, kind: str = PRODUCT) -> ModelCard:
    """Write the bundle of a detector and a classifier, chosen and measured on the val films of a dataset.

    Raises BadValue where their films are prepared or scaled otherwise, where the classifier tells no fractures, and
    where val has other films than they were chosen on.
    """
    boxes, film = Reader.load(_onnx(detector)), Reader.load(_onnx(classifier))
    _check(boxes.card, film.card)
    records = load_records(root)
    for reader in (boxes, film):
        check_val(_folder(reader), records)
    with cards.renewed(out) as made:
        both = [_val(reader, root, records, made / name) for reader, name in ((boxes, "boxes"), (film, "film"))]
        chosen = choose(kind, *both)
        heads = film.card.heads
        names = [(head.name, name) for head in heads for name in head.classes]
        rows = (rows_of(heads), names.index((FRACTURE, FRACTURE)))
        model = made / "model.onnx"
        fuse(_onnx(detector), _onnx(classifier), model, chosen.fusion, len(boxes.card.classes), rows)
        films = cards.save_films(
            cards.films(_folder(film)) | cards.films(_folder(boxes)),
            cards.film_traces(_folder(film)) | cards.film_traces(_folder(boxes)),
            made,
        )
        kept = {what: told for what, told in boxes.card.measured.items() if what in {"scope", "film_head"}}
        card = replace(
            boxes.card,
            model_id=f"{boxes.card.model_id}+{film.card.model_id}",
            files={file.name: file_hash(file) for file in (model, films)},
            heads=heads,
            film_score=FUSION,
            measured=kept | {"fusion": asdict(chosen)},
            training={"detector": boxes.card.training, "classifier": film.card.training | {"arch": film.card.arch}},
        )
        card = measured(card, Reader(card, OnnxNetwork(model, card.divisor), made), root, made)
        for name in (PREDICTIONS, "boxes", "film"):
            shutil.rmtree(made / name, ignore_errors=True)
        cards.save(card, made)
    return card


def choose(kind: str, boxes: Cases, film: Cases) -> Chosen:
    """Choose a fusion by val's films as both have read them, or the identity where none helps by more than chance."""
    if boxes.records != film.records:
        raise BadValue("val: expected films that detector and classifier have both read")
    scores, told, truth = boxes.scores, film.scores, boxes.fractured
    if kind == PRODUCT:
        tried = [Fusion(alpha=alpha) for alpha in ALPHAS]
        best = max(tried, key=lambda fusion: drawn_auc(fusion.scores(scores, told), truth)(np.ones(len(truth), int)))
    elif kind == LOGISTIC:
        best = _logistic(scores, told, truth)
    else:
        raise BadValue(f"fusion: expected {PRODUCT} or {LOGISTIC}, got {kind!r}")
    chosen = _judged(best, scores, told, truth, boxes.groups)
    helps = chosen.difference.low is not None and chosen.difference.low > 0
    return chosen if helps else _judged(Fusion(), scores, told, truth, boxes.groups)


def _judged(
    fusion: Fusion,
    scores: NDArray[np.float64],
    told: NDArray[np.float64],
    truth: NDArray[np.bool_],
    groups: Sequence[str],
) -> Chosen:
    alone, fused = drawn_auc(scores, truth), drawn_auc(fusion.scores(scores, told), truth)

    def statistic(copies: NDArray[np.int64]) -> NDArray[np.float64]:
        both = alone(copies), fused(copies)
        return np.array([*both, both[1] - both[0]])

    return Chosen(fusion, *bootstrap(groups, statistic, np.random.default_rng(0), RESAMPLES))


def _logistic(scores: NDArray[np.float64], told: NDArray[np.float64], truth: NDArray[np.bool_]) -> Fusion:
    """Fit the logistic fusion, both kinds of films weighing alike; a surer box never becomes a less sure one."""
    seen = np.column_stack([logit(scores), logit(told), np.ones(len(truth))])
    share = np.where(truth, 0.5 / max(1, truth.sum()), 0.5 / max(1, (~truth).sum()))
    sign = np.where(truth, 1.0, -1.0)

    def loss(weights: NDArray[np.float64]) -> float:
        apart = weights - np.array([1.0, 0.0, 0.0])
        return float(share @ np.logaddexp(0, -sign * (seen @ weights)) + _PENALTY * apart @ apart)

    found = minimize(loss, np.array([1.0, 0.0, 0.0]), bounds=[(0.05, None), (None, None), (None, None)]).x
    return Fusion(LOGISTIC, box_weight=float(found[0]), film_weight=float(found[1]), offset=float(found[2]))


def _val(reader: Reader, root: Path, records: Sequence[ImageRecord], out: Path) -> Cases:
    films = films_of(records, "val")
    return join(films, predict(reader, root, films, out / "val.jsonl").answers, "val")


def _check(boxes: ModelCard, film: ModelCard) -> None:
    def check(ok: bool, told: str) -> None:
        if not ok:
            raise BadValue(f"fusion of {boxes.model_id} and {film.model_id}: expected {told}")

    check(bool(boxes.classes) and not boxes.heads, "a detector that is no fusion yet first")
    check(FRACTURE in {head.name for head in film.heads} and not film.classes, "a classifier of fractures second")
    prepared = (boxes.harmonise == film.harmonise, boxes.long_side_px == film.long_side_px)
    sides = f"films of {boxes.long_side_px} and {film.long_side_px} px"
    check(all(prepared), f"films prepared in one way and of one long side, got {sides}")
    check((boxes.pad_value, boxes.divisor) == (film.pad_value, film.divisor), "one padding and one divisor")


def _folder(reader: Reader) -> Path:
    assert reader.folder is not None  # it was loaded from one
    return reader.folder


def _onnx(bundle: Path) -> Path:
    """Give a bundle's network in float32. Raises BadValue where it has none, or several."""
    folder = cards.find(bundle)
    found = [folder / name for name in cards.load(folder).files if name.endswith(".onnx") and name not in INT8]
    if len(found) != 1:
        raise BadValue(f"{bundle}: expected a bundle with one .onnx, got {len(found)}")
    return found[0]


def about(card: ModelCard) -> list[str]:
    """Say what a fusion brings on val, a line each."""
    told: dict[str, Any] = card.measured["fusion"]
    fusion = told["fusion"]
    how = f"alpha {fusion['alpha']:g}"
    if fusion["kind"] == LOGISTIC:
        how = "{box_weight:.3f} of the boxes' logit, {film_weight:.3f} of the film's, {offset:+.3f}".format(**fusion)
    rows = [(name, Estimate(**told[name])) for name in ("alone", "fused", "difference")]
    return [f"{fusion['kind']}: {how}", *(f"val film AUC, {name}: {estimate}" for name, estimate in rows)]
