"""Film-level figures: a film is positive when its score is at or above a threshold."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import scipy
from numpy.typing import NDArray

from fracture.core.errors import BadValue
from fracture.core.types import Estimate, freeze
from fracture.metrics.delong import area, placements
from fracture.metrics.uncertainty import Z95, bootstrap, effective_n, proportion

Scores = NDArray[np.float64]
Truth = NDArray[np.bool_]

CURVE_POINTS = 400
"""A plotted curve has at most this many points: more than a page shows."""

HISTOGRAM_EDGES = freeze(np.arange(21) ** 2 / 400)
"""Squares: a detector's film scores bunch near 0, and so do its thresholds. Fixed, so that two models compare."""


@dataclass(frozen=True)
class Rates:
    """What a threshold does to films whose truth is known.

    ``sensitivity`` is the share of fractured films flagged, ``specificity`` the share of normal films left alone. The
    others mix both kinds: they hold for the share of fractured films in this very set, and none is given where one kind
    is missing, for there ``ppv`` would be 1 whatever the network does. ``effective_n`` says how many independent
    fractured and normal films these are worth, as `uncertainty.effective_n` counts them.
    """

    true_positive: int
    false_positive: int
    true_negative: int
    false_negative: int
    sensitivity: Estimate
    specificity: Estimate
    ppv: Estimate
    npv: Estimate
    accuracy: Estimate
    f1: Estimate
    effective_n: tuple[float, float]


def rates(scores: Scores, fractured: Truth, threshold: float, groups: Sequence[str]) -> Rates:
    """Count what a threshold does and give every rate with the interval of `proportion`; arrays are (films,).

    F1 is no proportion, but F1 = 2J / (1 + J) rises with one: J, the share of true positives among the films that are
    flagged or fractured. The ends of J's interval are carried over.

    Source of J: Hand, Christen and Kirielle, Mach Learn 110 (2021) 451-456.
    """
    check_films(scores, fractured, groups)
    flagged = scores >= threshold
    right = flagged == fractured
    true_positive, true_negative = int((flagged & fractured).sum()), int((~flagged & ~fractured).sum())
    n_fractured, n_normal = int(fractured.sum()), int((~fractured).sum())

    def rate(among: Truth, empty: str, lacking: str = "") -> Estimate:
        found = proportion(right & among, among, groups, empty)
        return replace(found, value=None, low=None, high=None, method="Wilson", note=lacking) if lacking else found

    lacking = lacking_kind(n_fractured, n_normal)
    return Rates(
        true_positive=true_positive,
        false_positive=n_normal - true_negative,
        true_negative=true_negative,
        false_negative=n_fractured - true_positive,
        sensitivity=rate(fractured, "no fractured films"),
        specificity=rate(~fractured, "no normal films"),
        ppv=rate(flagged, "no films flagged", lacking),
        npv=rate(~flagged, "every film flagged", lacking),
        accuracy=rate(np.ones_like(fractured), "no films", lacking),
        f1=_f1(rate(flagged | fractured, "", lacking)),
        effective_n=(
            effective_n(right & fractured, fractured, groups),
            effective_n(right & ~fractured, ~fractured, groups),
        ),
    )


def _f1(jaccard: Estimate) -> Estimate:
    value, low, high = (
        None if end is None else 2 * end / (1 + end) for end in (jaccard.value, jaccard.low, jaccard.high)
    )
    return replace(jaccard, value=value, low=low, high=high, method=f"{jaccard.method} of TP/(TP+FP+FN), as F1")


def at_prevalence(measured: Rates, prevalence: float) -> tuple[Estimate, Estimate]:
    """Give PPV and NPV where this share of films is fractured, by the sensitivity and specificity measured.

    The interval is the logit one, of as many films of each kind as their groups are worth; where the table has an empty
    cell it is not defined and the adjusted one takes its place, widened to hold the value. It takes the two rates as
    independent, and the prevalence as known. A group of both kinds on which a network says much makes both rates err in
    ways that cancel out here, so the interval is then a little too wide.

    Raises BadValue for a prevalence that is not between 0 and 1: there both values are known beforehand. Source:
    Mercaldo, Lau and Zhou, Stat Med 26 (2007) 2170-2183, equations 8 to 11 and table II.
    """
    if not 0 < prevalence < 1:
        raise BadValue(f"prevalence: expected above 0 and below 1, got {prevalence}")
    odds = prevalence / (1 - prevalence)
    n_fractured = measured.true_positive + measured.false_negative
    n_normal = measured.true_negative + measured.false_positive
    n, n_groups = measured.accuracy.n, measured.accuracy.n_groups
    worth_fractured, worth_normal = measured.effective_n
    grouped = measured.effective_n != (n_fractured, n_normal)
    lacking = lacking_kind(n_fractured, n_normal)

    def predictive(
        right: int,
        of_right: int,
        worth_right: float,
        wrong: int,
        of_wrong: int,
        worth_wrong: float,
        odds: float,
        empty: str,
    ) -> Estimate:
        adjusted = not (0 < right < of_right and 0 < wrong < of_wrong)
        method = "adjusted logit" if adjusted else "logit"
        method += f", effective n {worth_fractured:.3g} and {worth_normal:.3g}" if grouped else ""
        if lacking or not right + wrong:
            return Estimate(None, None, None, n, n_groups, method, lacking or empty)
        ratio = odds * right / of_right
        value = ratio / (ratio + wrong / of_wrong)
        more = Z95**2 if adjusted else 0.0
        of_right_more, of_wrong_more = worth_right + more, worth_wrong + more
        hit = (right / of_right * worth_right + more / 2) / of_right_more
        slip = (wrong / of_wrong * worth_wrong + more / 2) / of_wrong_more
        centre = math.log(odds * hit / slip)
        half = Z95 * math.sqrt((1 - hit) / (hit * of_right_more) + (1 - slip) / (slip * of_wrong_more))
        low, high = (float(scipy.special.expit(end)) for end in (centre - half, centre + half))
        note = f"at a prevalence of {100 * prevalence:g} %"
        return Estimate(value, min(low, value), max(high, value), n, n_groups, method, note)

    fractured, normal = (n_fractured, worth_fractured), (n_normal, worth_normal)
    flagged = measured.true_positive, *fractured, measured.false_positive, *normal
    left_alone = measured.true_negative, *normal, measured.false_negative, *fractured
    return predictive(*flagged, odds, "no films flagged"), predictive(*left_alone, 1 / odds, "every film flagged")


def auc(scores: Scores, fractured: Truth, groups: Sequence[str]) -> Estimate:
    """Give the area under the ROC curve with DeLong's interval, widened for films of one group going together.

    Where every film is its own group this is DeLong's interval exactly. There is none where fractured or normal films
    come from a single group, or where the variance is zero, as it is when the scores separate all films.

    Source: DeLong, DeLong and Clarke-Pearson, Biometrics 44 (1988) 837-845; by midranks: Sun and Xu, IEEE Signal
    Process Lett 21 (2014) 1389-1393; groups: Obuchowski, Biometrics 53 (1997) 567-578.
    """
    check_films(scores, fractured, groups)
    if lacking := lacking_kind(int(fractured.sum()), int((~fractured).sum())):
        return Estimate(None, None, None, len(scores), len(set(groups)), "DeLong", lacking)
    return area(placements(scores, fractured), fractured, groups).estimate(0.0)


def ranking_estimates(
    scores: Scores, fractured: Truth, groups: Sequence[str], rng: np.random.Generator, resamples: int = 2000
) -> dict[str, Estimate]:
    """Give ``auc_bootstrap`` and ``average_precision``, both with a bootstrap over groups on the same draws.

    Average precision is the sum over thresholds, highest first, of precision times the recall gained there. Nothing is
    interpolated, and equal scores are one threshold. A network that guesses gets the share of fractured films, so it
    compares only between sets that share it.

    Source: the definition scikit-learn documents for average_precision_score.
    """
    check_films(scores, fractured, groups)
    order, ends = _steps(scores)
    in_order = fractured[order]
    area = drawn_auc(scores, fractured)

    def statistic(copies: NDArray[np.int64]) -> NDArray[np.float64]:
        n_fractured, n_normal = int(copies @ fractured), int(copies @ ~fractured)
        if not n_fractured or not n_normal:
            return np.array([np.nan, np.nan])
        drawn = copies[order]
        true_positive, flagged = np.cumsum(drawn * in_order)[ends], np.cumsum(drawn)[ends]
        gained = np.diff(true_positive, prepend=0)
        precision = true_positive / np.maximum(flagged, 1)  # where the best films were not drawn: 0 of 0
        return np.array([area(copies), gained @ precision / n_fractured])

    n_fractured, n_normal = int(fractured.sum()), int((~fractured).sum())
    note = lacking_kind(n_fractured, n_normal) or f"{n_fractured} fractured, {n_normal} normal films"
    names = ("auc_bootstrap", "average_precision")
    return dict(zip(names, bootstrap(groups, statistic, rng, resamples, [note, note]), strict=True))


def drawn_auc(scores: Scores, fractured: Truth) -> Callable[[NDArray[np.int64]], float]:
    """Give the function from how often each film was drawn to the area under the ROC curve, NaN without a side."""
    levels, rank = np.unique(scores, return_inverse=True)

    def drawn(copies: NDArray[np.int64]) -> float:
        broken, whole = (np.bincount(rank, copies * side, len(levels)) for side in (fractured, ~fractured))
        pairs = broken.sum() * whole.sum()
        return float(broken @ (np.cumsum(whole) - whole / 2) / pairs) if pairs else np.nan

    return drawn


def roc_curve(scores: Scores, fractured: Truth) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give false positive rate and sensitivity from (0, 0) to (1, 1), to be drawn; empty where one kind is missing.

    Equal scores are one step, drawn as a slope. At most ``CURVE_POINTS`` points, evenly many films apart.
    """
    true_positive, false_positive = (np.append(0, count) for count in _counts(scores, fractured))
    if not true_positive[-1] or not false_positive[-1]:
        return np.zeros(0), np.zeros(0)
    shown = thinned(len(true_positive))
    return false_positive[shown] / false_positive[-1], true_positive[shown] / true_positive[-1]


def pr_curve(scores: Scores, fractured: Truth) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give recall and precision, highest threshold first, to be drawn; empty where one kind of film is missing.

    No point is made up at recall 0. The last one, where every film is flagged, has the share of fractured films as its
    precision. At most ``CURVE_POINTS`` points.
    """
    true_positive, false_positive = _counts(scores, fractured)
    if not fractured.any() or fractured.all():
        return np.zeros(0), np.zeros(0)
    shown = thinned(len(true_positive))
    true_positive, false_positive = true_positive[shown], false_positive[shown]
    return true_positive / true_positive[-1], true_positive / (true_positive + false_positive)


def histogram(scores: Scores, fractured: Truth) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """Give ``HISTOGRAM_EDGES`` and how many fractured and normal films score from each edge to below the next.

    A score of exactly 1 belongs to the last bin.
    """
    check_films(scores, fractured)
    of_fractured, of_normal = (np.histogram(scores[kind], HISTOGRAM_EDGES)[0] for kind in (fractured, ~fractured))
    return HISTOGRAM_EDGES, of_fractured, of_normal


def check_films(scores: Scores, fractured: Truth, groups: Sequence[str] | None = None) -> None:
    """Raise BadValue unless there are one score of 0 to 1 and one truth for every film, and one group where given."""
    n = len(scores) if groups is None else len(groups)
    if scores.shape != (n,) or fractured.shape != (n,):
        raise BadValue(
            f"scores, fractured and groups: expected one per film, shape ({n},), got {scores.shape}, {fractured.shape}"
        )
    if fractured.dtype != np.bool_:
        raise BadValue(f"fractured: expected bool, got {fractured.dtype}")
    if n and not bool(((scores >= 0) & (scores <= 1)).all()):
        raise BadValue(f"scores: expected numbers within 0..1, got {scores.min()} to {scores.max()}")


def lacking_kind(n_fractured: int, n_normal: int) -> str:
    """Say which kind of film is missing, "" where both are there."""
    if n_fractured and n_normal:
        return ""
    if not n_fractured and not n_normal:
        return "no films"
    return "no normal films" if n_fractured else "no fractured films"


def _steps(scores: Scores) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Give the films best score first, and where in that row the last film of each distinct score stands."""
    order = np.argsort(-scores, kind="stable")
    return order, np.flatnonzero(np.diff(scores[order], append=-1.0))


def _counts(scores: Scores, fractured: Truth) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Give the true and false positives at each distinct score as the threshold, highest first."""
    check_films(scores, fractured)
    order, ends = _steps(scores)
    true_positive = np.cumsum(fractured[order], dtype=np.int64)[ends]
    return true_positive, ends + 1 - true_positive


def thinned(n: int) -> NDArray[np.int64]:
    """Give at most ``CURVE_POINTS`` indices of 0 to n - 1, both ends among them."""
    return np.unique(np.linspace(0, n - 1, min(n, CURVE_POINTS)).round().astype(np.int64))
