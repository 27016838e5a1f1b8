"""A detector's bundle and a classifier's as one: how much the classifier is believed is chosen on val, then measured.

A fusion is kept where it tells val's films apart better than the detector alone, by more than chance. What a choice is
worth is told by films that had no part in it: val's groups are cut in five, and the films of each fifth are judged by
the fusion that the others would have chosen. The interval of the difference of AUC, over groups, must lie above 0.
"""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from fracture.core.errors import BadValue
from fracture.core.files import file_hash
from fracture.core.types import BEST_BOX, CLASSIFIER, FUSION, Estimate, ImageRecord
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
from fracture.models.heads import score_head
from fracture.models.runtime import OnnxNetwork
from fracture.training.measure import check_val, measured

ALPHAS = tuple(1 - step / 20 for step in range(21))
"""From the one that believes the classifier least; of two that are as good the first is taken."""

FIFTHS = 5
RESAMPLES = 1000
_PENALTY = 0.01


@dataclass(frozen=True)
class Chosen:
    """A fusion, the identity where it is not ``kept``, and what choosing so is worth on val: AUCs, their difference."""

    fusion: Fusion
    kept: bool
    alone: Estimate
    fused: Estimate
    difference: Estimate


def fuse_bundles(detector: Path, classifier: Path, root: Path, out: Path, kind: str = PRODUCT) -> ModelCard:
    """Write the bundle of a detector and a classifier, chosen and measured on the val films of a dataset.

    Raises BadValue where their films are prepared or scaled otherwise, where the classifier tells no fractures, and
    where val has other films than they were chosen on.
    """
    if (out / cards.NAME).is_file():
        raise BadValue(f"{out} holds a bundle already; name another folder")
    boxes, film = Reader.load(_onnx(detector)), Reader.load(_onnx(classifier))
    _check(boxes.card, film.card)
    records = load_records(root)
    for reader in (boxes, film):
        check_val(_folder(reader), records)
    with cards.renewed(out) as made:
        both = [_val(reader, root, records, made / name) for reader, name in ((boxes, "boxes"), (film, "film"))]
        chosen = choose(kind, *both)
        heads = film.card.heads
        model = made / "model.onnx"
        rows = (rows_of(heads), score_head(heads)[1])
        fuse(_onnx(detector), _onnx(classifier), model, chosen.fusion, len(boxes.card.classes), rows)
        films = cards.save_films(
            _splits(cards.films(_folder(boxes)), cards.films(_folder(film))),
            cards.film_traces(_folder(film)) | cards.film_traces(_folder(boxes)),
            made,
        )
        kept = {what: told for what, told in boxes.card.measured.items() if what in {"scope", "film_head"}}
        parts = {"detector": boxes.card.training, "classifier": film.card.training | {"arch": film.card.arch}}
        days = [day for day in (boxes.card.date, film.card.date) if day]
        card = replace(
            boxes.card,
            model_id=f"{boxes.card.model_id}+{film.card.model_id}",
            files={file.name: file_hash(file) for file in (model, films)},
            heads=heads,
            film_score=FUSION,
            measured=kept | {"fusion": asdict(chosen)},
            training=parts | {"finished": max(days, default=None)},
        )
        reader = Reader(card, OnnxNetwork(model, card.divisor), made)
        reader.warm_up()  # a map may have more places than a detector has candidates
        card = measured(card, reader, root, made)
        for name in (PREDICTIONS, "boxes", "film"):
            shutil.rmtree(made / name, ignore_errors=True)
        cards.save(card, made)
    return card


def _splits(boxes: Mapping[str, str], film: Mapping[str, str]) -> dict[str, str]:
    """Give the split of every film by both: what one of them learned from, or was chosen on, is no test of either."""
    order = ("train", "val", "test")
    return {
        name: min((one[name] for one in (boxes, film) if name in one), key=order.index)
        for name in boxes.keys() | film.keys()
    }


def choose(kind: str, boxes: Cases, film: Cases) -> Chosen:
    """Choose a fusion by val's films as both have read them, or the identity where none helps by more than chance."""
    if boxes.records != film.records:
        raise BadValue("val: expected films that detector and classifier have both read")
    if kind not in {PRODUCT, LOGISTIC}:
        raise BadValue(f"fusion: expected {PRODUCT} or {LOGISTIC}, got {kind!r}")
    scores, told, truth = boxes.scores, film.scores, boxes.fractured
    find = _product if kind == PRODUCT else _logistic
    apart = np.array(scores)
    fifth = _fifths(boxes.groups)
    for number in range(FIFTHS):
        rest, its = fifth != number, fifth == number
        if truth[rest].any() and not truth[rest].all():
            apart[its] = find(scores[rest], told[rest], truth[rest]).scores(scores[its], told[its])
    chosen = _judged(find(scores, told, truth), scores, apart, truth, boxes.groups)
    helps = chosen.difference.low is not None and chosen.difference.low > 0
    return replace(chosen, kept=True) if helps else replace(chosen, fusion=Fusion())


def _fifths(groups: Sequence[str]) -> NDArray[np.int64]:
    """Cut films in five by their groups, the same way every time."""
    names = {name: number for number, name in enumerate(sorted(set(groups)))}
    order = np.random.default_rng(0).permutation(len(names))
    return np.array([order[names[group]] % FIFTHS for group in groups], np.int64)


def _judged(
    fusion: Fusion,
    scores: NDArray[np.float64],
    fused: NDArray[np.float64],
    truth: NDArray[np.bool_],
    groups: Sequence[str],
) -> Chosen:
    both = drawn_auc(scores, truth), drawn_auc(fused, truth)

    def statistic(copies: NDArray[np.int64]) -> NDArray[np.float64]:
        alone, together = (area(copies) for area in both)
        return np.array([alone, together, together - alone])

    return Chosen(fusion, False, *bootstrap(groups, statistic, np.random.default_rng(0), RESAMPLES))


def _product(scores: NDArray[np.float64], told: NDArray[np.float64], truth: NDArray[np.bool_]) -> Fusion:
    once = np.ones(len(truth), np.int64)
    tried = [Fusion(alpha=alpha) for alpha in ALPHAS]
    return max(tried, key=lambda fusion: drawn_auc(fusion.scores(scores, told), truth)(once))


def _logistic(scores: NDArray[np.float64], told: NDArray[np.float64], truth: NDArray[np.bool_]) -> Fusion:
    """Fit a logistic regression on both logits, both kinds of films weighing alike, and state it in boxes' logits.

    The offset leaves the mean film as it is: scores are what thresholds are measured of, and need not be chances.
    """
    seen = np.column_stack([logit(scores), logit(told), np.ones(len(truth))])
    share = np.where(truth, 0.5 / max(1, truth.sum()), 0.5 / max(1, (~truth).sum()))
    sign = np.where(truth, 1.0, -1.0)

    def loss(weights: NDArray[np.float64]) -> float:
        return float(share @ np.logaddexp(0, -sign * (seen @ weights)) + _PENALTY * weights[:2] @ weights[:2])

    found = minimize(loss, np.array([1.0, 0.0, 0.0]), bounds=[(0.05, None), (0, None), (None, None)]).x
    weight = float(found[1] / found[0])
    return Fusion(LOGISTIC, film_weight=weight, offset=-weight * float(logit(told).mean()))


def _val(reader: Reader, root: Path, records: Sequence[ImageRecord], out: Path) -> Cases:
    films = films_of(records, "val")
    return join(films, predict(reader, root, films, out / "val.jsonl").answers, "val")


def _check(boxes: ModelCard, film: ModelCard) -> None:
    def check(ok: bool, told: str) -> None:
        if not ok:
            raise BadValue(f"fusion of {boxes.model_id} and {film.model_id}: expected {told}")

    kinds = [card.film_score for card in (boxes, film)]
    check(kinds[0] == BEST_BOX, f"a detector first, got what scores films by its {kinds[0]}")
    check(kinds[1] == CLASSIFIER, f"a film classifier second, got what scores films by its {kinds[1]}")
    for what, one, other in (
        ("prepared alike", boxes.harmonise, film.harmonise),
        ("of one long side in px", boxes.long_side_px, film.long_side_px),
        ("padded with one grey", boxes.pad_value, film.pad_value),
        ("divided by one number", boxes.divisor, film.divisor),
    ):
        check(one == other, f"films {what}, got {one} and {other}")


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
        how = "{film_weight:.3f} of the film's logit, {offset:+.3f}".format(**fusion)
    rows = [(name, Estimate(**told[name])) for name in ("alone", "fused", "difference")]
    kept = "" if told["kept"] else "; it helps by no more than chance, and scores stay as they are"
    return [f"{fusion['kind']}: {how}{kept}", *(f"val film AUC, {name}: {estimate}" for name, estimate in rows)]
