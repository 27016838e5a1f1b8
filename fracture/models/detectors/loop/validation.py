"""How good a network is on val while it learns: by the metrics of the report, on films as they are served."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from fracture.core.types import HarmoniseConfig
from fracture.metrics.detection import average_precision, match, row_of
from fracture.metrics.screening import auc
from fracture.models.detectors.config import Config
from fracture.models.detectors.loop.films import ValFilm
from fracture.models.network import check_answer, detections_from

AP50, FILM_AUC = FIGURES = ("val/AP50", "val/film_AUC")


def validate(
    answer: Callable[[NDArray[np.uint8]], NDArray[np.float32]],
    films: Sequence[ValFilm],
    classes: int,
    config: Config,
    harmonise_config: HarmoniseConfig,
    nms_iou: float = 0.5,
) -> dict[str, float]:
    """Give AP at IoU 0.5, the mean over the classes that val has, and the AUC of films; NaN where val lacks the films.

    ``answer`` is a network as `fracture.models.network` says. Raises BrokenAnswer where it is not.
    """
    found = []
    for film in films:
        prepared = film.prepared(config, harmonise_config)
        raw = answer(prepared.pixels)
        check_answer(raw, classes, 1, scoped=False)
        found.append(detections_from(raw, prepared, nms_iou))
    areas = []
    for label in range(classes):
        truths = [film.boxes[film.labels == label] for film in films]
        if any(len(truth) for truth in truths):
            areas.append(float(average_precision(match(found, truths, label))[row_of("iou 0.50")]))
    scores = np.array([one.score.max(initial=0.0) for one in found])
    area = auc(scores, np.array([len(film.boxes) > 0 for film in films]), [str(film.file) for film in films]).value
    nothing = float("nan")
    return {AP50: float(np.mean(areas)) if areas else nothing, FILM_AUC: nothing if area is None else area}
