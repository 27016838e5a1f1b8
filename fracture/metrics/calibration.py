"""Whether a film's score can be read as the probability of a fracture, and what turns it into one."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import NDArray

from fracture.core.errors import BadValue
from fracture.core.types import Estimate, freeze
from fracture.metrics.screening import Scores, Truth, check_films, lacking_kind
from fracture.metrics.uncertainty import bootstrap, proportion

# 0, the score of a film without a box, and 1 have no logit; below 0.001 a network's boxes are not exported.
LOWEST = 0.001


@dataclass(frozen=True)
class Calibration:
    """How a film's score becomes the probability that the film shows a fracture.

    The score's logit, less ``shift``, is divided by ``temperature``. Guo et al. need no shift: their classifiers are
    trained to be right at 0.5. The score of a detector's best box is centred wherever its training left it, often near
    0.1, and must be moved as well as scaled. Scores count as within 0.001..0.999. The order of two films never turns
    round. ``prevalence`` is the share of fractured films in ``fitted_on``: where fractures are rarer, the probabilities
    are too high.

    Source: Platt, Advances in Large Margin Classifiers (1999) 61-74; Guo et al., ICML 2017, 1321-1330.
    """

    temperature: float
    shift: float
    fitted_on: str
    prevalence: float

    def __post_init__(self) -> None:
        if not 0 < self.temperature < math.inf:
            raise BadValue(f"temperature: expected a finite number above 0, got {self.temperature}")
        if not math.isfinite(self.shift):
            raise BadValue(f"shift: expected a finite number, got {self.shift}")
        if not 0 < self.prevalence < 1:
            raise BadValue(f"prevalence: expected above 0 and below 1, got {self.prevalence}")

    def probability(self, scores: Scores) -> Scores:
        """Give the probability of a fracture for each score; any shape."""
        found: Scores = scipy.special.expit((_logit(scores) - self.shift) / self.temperature)
        return found


def fit(scores: Scores, fractured: Truth, fitted_on: str) -> Calibration | None:
    """Fit temperature and shift to these films by maximum likelihood.

    There is none (None) where fractured or normal films are missing, or where fractured films do not score higher than
    normal ones on average: a temperature that turns the scores round would hide that they say nothing. The targets are
    Platt's, (n + 1) / (n + 2) and 1 / (n + 2) instead of 1 and 0, so that scores which separate all films still give
    finite answers.

    Source: Platt, Advances in Large Margin Classifiers (1999) 61-74; Lin, Lin and Weng, Mach Learn 68 (2007) 267-276.
    """
    check_films(scores, fractured)
    n_fractured, n_normal = int(fractured.sum()), int((~fractured).sum())
    if not n_fractured or not n_normal:
        return None
    logits = _logit(scores)
    # The loss is convex, and where it is flat its gradient is this difference: so it has the sign of the best slope.
    if logits[fractured].mean() - logits[~fractured].mean() < 1e-9:
        return None
    target = np.where(fractured, (n_fractured + 1) / (n_fractured + 2), 1 / (n_normal + 2))
    design = np.column_stack([logits, np.ones(len(logits))])

    def loss(line: NDArray[np.float64]) -> float:
        return float((np.logaddexp(0, design @ line) - target * (design @ line)).mean())

    def gradient(line: NDArray[np.float64]) -> NDArray[np.float64]:
        pull: NDArray[np.float64] = (scipy.special.expit(design @ line) - target) @ design / len(target)
        return pull

    def curvature(line: NDArray[np.float64]) -> NDArray[np.float64]:
        share = scipy.special.expit(design @ line)
        bend: NDArray[np.float64] = (design * (share * (1 - share))[:, None]).T @ design / len(target)
        return bend

    found = scipy.optimize.minimize(
        loss, np.zeros(2), jac=gradient, hess=curvature, method="trust-exact", options={"gtol": 1e-9}
    )
    slope, intercept = map(float, found.x)
    return Calibration(1 / slope, -intercept / slope, fitted_on, n_fractured / len(fractured))


@dataclass(frozen=True)
class Reliability:
    """What films of like score turned out to be: of each bin the mean score, (k,), and the share fractured."""

    mean_score: Scores
    share: tuple[Estimate, ...]

    def __post_init__(self) -> None:
        if self.mean_score.shape != (len(self.share),):
            raise BadValue(f"mean_score shape: expected ({len(self.share)},), got {self.mean_score.shape}")
        freeze(self.mean_score)


def reliability(scores: Scores, fractured: Truth, groups: Sequence[str], bins: int = 10) -> Reliability:
    """Give the reliability curve in bins that hold as equal a number of films as ties allow, lowest scores first.

    Equal scores never part: all go where the middle one of them belongs. A bin that is left empty is left out, so
    there can be fewer than asked for. Shares have the interval of `proportion`.
    """
    check_films(scores, fractured, groups)
    bin_of = _bins(scores, bins)
    films = [bin_of == which for which in range(bin_of.max(initial=-1) + 1)]
    return Reliability(
        np.array([scores[inside].mean() for inside in films]),
        tuple(proportion(fractured & inside, inside, groups) for inside in films),
    )


def calibration_estimates(
    scores: Scores,
    fractured: Truth,
    groups: Sequence[str],
    rng: np.random.Generator,
    resamples: int = 2000,
    bins: int = 10,
) -> dict[str, Estimate]:
    """Give ece, the expected calibration error, and brier, the mean squared error, of scores read as probabilities.

    ``ece`` is the distance between mean score and share fractured in the bins of `reliability`, averaged over films.
    The bins are those of all films in every resample. Chance alone keeps it above 0, so it is too high on few films,
    and in the resamples once more: even the lower end of its interval can lie above the truth. Neither figure is there
    where one kind of film is missing: no clinic has such a share of fractures.

    Source: Naeini, Cooper and Hauskrecht, AAAI 2015, 2901-2907; equal counts: Nixon et al., CVPR Workshops 2019, 38-41;
    its bias: Roelofs et al., AISTATS 2022, 4036-4054. Brier, Mon Weather Rev 78 (1950) 1-3.
    """
    check_films(scores, fractured, groups)
    n_fractured, n_normal = int(fractured.sum()), int((~fractured).sum())
    lacking = lacking_kind(n_fractured, n_normal)
    bin_of, excess = _bins(scores, bins), scores - fractured

    def statistic(copies: NDArray[np.int64]) -> NDArray[np.float64]:
        films = int(copies.sum())
        if lacking or not films:
            return np.full(2, np.nan)
        apart = np.abs(np.bincount(bin_of, copies * excess)).sum()
        return np.array([apart, copies @ excess**2]) / films

    said = lacking or f"{n_fractured} fractured, {n_normal} normal films"
    notes = (said if lacking else f"{said}; {bin_of.max() + 1} bins, too high on few films", said)
    ece, brier = bootstrap(groups, statistic, rng, resamples, notes)
    return {"ece": ece, "brier": brier}


def _bins(scores: Scores, bins: int) -> NDArray[np.int64]:
    """Give every film's bin, numbered from 0 without gaps: equal counts, by the middle rank of equal scores."""
    if bins < 1:
        raise BadValue(f"bins: expected at least 1, got {bins}")
    by_rank = ((scipy.stats.rankdata(scores) - 0.5) * bins / max(len(scores), 1)).astype(np.int64)
    bin_of: NDArray[np.int64] = np.unique(by_rank, return_inverse=True)[1]
    return bin_of


def _logit(scores: Scores) -> Scores:
    found: Scores = scipy.special.logit(np.clip(scores, LOWEST, 1 - LOWEST))
    return found
