"""A whole report as the evaluation writes it, made by formulas: its figures mean nothing."""

from dataclasses import asdict, replace

import numpy as np
import pytest

from fracture.core.types import Estimate
from fracture.evaluation.report.figures import figures
from tests.wilson import wilson

POINTS = {"target recall 0.9": 0.0335, "guaranteed recall 0.9": 0.0121, "balanced": 0.108, "specific": 0.412}
FRACTURED, NORMAL = 164, 503


def rate(hits, n):
    return asdict(replace(wilson(hits, n, "" if n else "no films"), n_groups=max(1, n - 9)))


def area(value, half=0.03, n=667, method="bootstrap over groups, 2000 resamples", note=""):
    return asdict(Estimate(value, max(0.0, value - half), min(1.0, value + half), n, 486, method, note))


def missing(note, n=0):
    return asdict(Estimate(None, None, None, n, n, "Wilson", note))


def film_level():
    grid = np.linspace(0, 1, 60)
    false = np.array([0, 11, 67, 121, 210, NORMAL]) / NORMAL
    true = np.array([0, 74, 121, 136, 149, FRACTURED]) / FRACTURED
    at = {}
    for place, (name, threshold) in enumerate(POINTS.items()):
        tp, fp = (136, 149, 121, 74)[place], (121, 210, 67, 11)[place]
        fn, tn = FRACTURED - tp, NORMAL - fp
        at[name] = {
            "threshold": threshold,
            "counts": {"true_positive": tp, "false_positive": fp, "true_negative": tn, "false_negative": fn},
            "sensitivity": rate(tp, FRACTURED),
            "specificity": rate(tn, NORMAL),
            "ppv": rate(tp, tp + fp),
            "npv": rate(tn, tn + fn),
            "accuracy": rate(tp + tn, FRACTURED + NORMAL),
            "f1": area(2 * tp / (2 * tp + fp + fn), 0.04),
            "at_prevalence": {
                share: {
                    "ppv": area(min(0.9, 2.5 * float(share) + 0.01 * place)),
                    "npv": area(0.99 - float(share) / 4, 0.01),
                }
                for share in ("0.05", "0.1", "0.3")
            },
        }
    edges = np.linspace(0, 1, 21)
    return {
        "auc": area(0.863, 0.031, method="DeLong", note="164 fractured, 503 normal films"),
        "auc_bootstrap": area(0.862, 0.033),
        "average_precision": area(0.741, 0.05),
        "at": at,
        "roc": {"false_positive_rate": grid.tolist(), "sensitivity": np.interp(grid, false, true).tolist()},
        "pr": {"recall": grid.tolist(), "precision": (1 - 0.75 * grid**3).tolist()},
        "scores": {
            "edges": edges.tolist(),
            "fractured": [30, 18, 14, 10, 8, 7, 7, 6, 6, 6, 6, 5, 5, 5, 6, 6, 6, 7, 5, 1],
            "normal": [380, 52, 25, 14, 8, 6, 4, 3, 3, 2, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0],
        },
    }


def box_level():
    grid = np.linspace(0, 1, 101)
    per_film = np.geomspace(0.005, 12, 50)
    held = {
        name: {
            "threshold": threshold,
            "precision": area(0.31 + 0.13 * place, n=215),
            "recall": rate(160 - 25 * place, 215),
            "precision_centre": area(0.41 + 0.13 * place, n=215),
            "recall_centre": rate(171 - 25 * place, 215),
            "false_positives_per_film": area(0.612 / (1 + place), 0.06),
        }
        for place, (name, threshold) in enumerate(POINTS.items())
    }
    return {
        "ap50": area(0.521, 0.07, 215),
        "ap50_95": area(0.231, 0.04, 215),
        "ap10": area(0.604, 0.07, 215),
        "ap_centre": area(0.617, 0.07, 215),
        "at": held,
        "froc": {
            "at": {
                name: area(0.9 - 0.35 * 0.5**place, 0.05, 215)
                for place, name in enumerate(("0.1", "0.25", "0.5", "1", "2"))
            },
            "curve": {
                "false_positives_per_film": per_film.tolist(),
                "sensitivity": np.interp(np.log2(per_film / 0.1), range(5), 0.9 - 0.35 * 0.5 ** np.arange(5)).tolist(),
            },
        },
        "afroc": {
            "area": area(0.688, 0.05),
            "curve": {"false_positive_fraction": grid.tolist(), "sensitivity": grid.tolist()},
        },
        "pr": {"recall": grid.tolist(), "precision": (np.clip(1 - 1.3 * grid**2, 0, 1)).tolist()},
    }


def case_level(unit, cases):
    return {
        "unit": unit,
        "rule": "max",
        "cases": cases,
        "fractured": 120,
        "left_out": 3,
        "auc": area(0.871, n=cases),
        "auc_noisy_or": area(0.868, n=cases),
        "status": {
            "fracture": {"fractured": 60, "normal": 7},
            "doubt": {"fractured": 43, "normal": 81},
            "no fracture": {"fractured": 17, "normal": cases - 208},
        },
        "sensitivity": {"definite": rate(60, 120), "suspicious": rate(103, 120)},
        "specificity": {"definite": rate(cases - 127, cases - 120), "suspicious": rate(cases - 208, cases - 120)},
    }


def slice_part(films, fractured, hits):
    normal = films - fractured
    one_sided = missing("no normal films" if fractured else "no fractured films", films)
    return {
        "films": films,
        "fractured": fractured,
        "normal": normal,
        "auc": area(0.85, 0.06, films) if fractured and normal else one_sided,
        "ap50": area(0.5, 0.1, fractured) if fractured else missing("no boxes"),
        "at": {
            name: {
                "sensitivity": rate(max(0, hits - place), fractured) if fractured else missing("no fractured films"),
                "specificity": rate(normal * (7 + place) // 10, normal) if normal else missing("no normal films"),
            }
            for place, name in enumerate(POINTS)
        },
    }


def reliability(shift):
    scores = np.linspace(0.05, 0.95, 10) ** (1 + shift)
    counts = [421, 84, 42, 28, 19, 15, 14, 13, 17, 14]
    shares = [rate(round(n * min(1.0, score + shift)), n) for score, n in zip(scores, counts, strict=True)]
    return {"mean_score": scores.tolist(), "share": shares}


def sample():
    """Give a report of the shipped kind with every part filled in."""
    points = [
        {
            "name": name,
            "threshold": threshold,
            "rule": "highest threshold with sensitivity of at least 90 %",
            "sensitivity": rate(58, 64),
            "specificity": rate(263 - place, 336),
            "measured_on": "val split of manifest 63afbbc0dff4: 400 films, 64 fractured, 386 groups",
            "reached": place != 1,
        }
        for place, (name, threshold) in enumerate(POINTS.items())
    ]
    names = ["film AUC", "box AP at IoU 0.5", "sensitivity at target recall 0.9"]
    whole = {
        "schema": 1,
        "made": {"date": "2026-11-21", "version": "0.1.0", "code_id": "c0de" * 6, "seed": 7, "resamples": 2000},
        "model": {
            "id": "fracture_yolov8n",
            "version": "0.1.0",
            "files": {"model.onnx": "847e6a28" * 8},
            "harmonise_id": "h1-1024-2-8",
            "backend": "openvino",
            "predictions": {
                "file": "predictions.jsonl",
                "sha256": "5ca1ab1e" * 8,
                "format": "jsonl",
                "source_sha256": None,
            },
        },
        "data": {
            "name": "dataset_v5",
            "dataset_id": "63afbbc0dff4",
            "split": "test",
            "films": 667,
            "fractured": FRACTURED,
            "normal": NORMAL,
            "groups": 486,
            "patients": None,
            "studies": 512,
            "boxes": 215,
            "boxed_films": 164,
            "median_box_share": 0.0041,
        },
        "left_out": {
            **{f"fracatlas/IMG{n:07d}": "not labelled" for n in range(9)},
            "fracatlas/IMG0009999": "file is truncated",
        },
        "model_was_made_with": [],
        "warnings": ["The test films come from one source only; nothing is known about others."],
        "points": points,
        "box": box_level(),
        "film": film_level(),
        "study": case_level("study", 512),
        "patient": None,
        "calibration": {
            "temperature": 1.73,
            "shift": -0.21,
            "fitted_on": "val split of manifest 63afbbc0dff4",
            "raw": {"ece": area(0.0912, 0.02), "brier": area(0.1234, 0.02), "curve": reliability(0.12)},
            "calibrated": {"ece": area(0.0312, 0.02), "brier": area(0.1101, 0.02), "curve": reliability(0.02)},
        },
        "slices": {
            "region": {
                "hand": slice_part(291, 82, 71),
                "leg": slice_part(300, 61, 48),
                "hip": slice_part(52, 12, 8),
                "shoulder": slice_part(14, 9, 6),
            },
            "source": {"fracatlas": slice_part(640, 140, 120), "humerus": slice_part(24, 24, 21)},
            "hardware": {"yes": slice_part(19, 18, 18), "no": slice_part(648, 146, 118)},
            "film size": {
                "long side up to 600 px": slice_part(590, 151, 126),
                "long side above 600 px": slice_part(3, 0, 0),
            },
        },
        "worst": {
            "point": "target recall 0.9",
            "missed": [{"image_id": f"fracatlas/IMG000{n}", "score": 0.002 * n} for n in range(1, 5)],
            "false_alarms": [{"image_id": f"fracatlas/IMG100{n}", "score": 0.9 - 0.1 * n} for n in range(1, 4)],
        },
        "shortcuts": {
            "findings": ["the model could be using this: a linear probe names 'truncated' from the film with AUC 0.97"],
            "masking": [
                {
                    "name": "border masked",
                    "films": 640,
                    "auc_before": area(0.861),
                    "auc": area(0.857),
                    "auc_change": asdict(Estimate(-0.004, -0.011, 0.003, 640, 470, "bootstrap")),
                    "score_change": asdict(Estimate(-0.012, -0.02, -0.004, 640, 470, "bootstrap")),
                    "left_out": {"a box in the ring": 27},
                }
            ],
            "probes": [{"name": "truncated", "films": 667, "positives": 50, "auc": area(0.971, 0.02)}],
        },
        "comparison": {
            "paired": True,
            "films": 667,
            "rows": [
                {
                    "name": name,
                    "this": area(0.861 - 0.1 * place),
                    "other": area(0.842 - 0.1 * place),
                    "difference": asdict(Estimate(0.019, -0.004, 0.042, 667, 486, "bootstrap")),
                    "p": (0.0004, None, 0.213)[place],
                    "test": ("DeLong", "bootstrap", "McNemar")[place],
                }
                for place, name in enumerate(names)
            ],
        },
    }
    other = {"model": whole["model"] | {"id": "fracture_yolov8s", "version": "0.2.0"}, "data": whole["data"]}
    whole["comparison"]["other"] = other
    return whole


@pytest.fixture
def report():
    """Give a report of its own to every test."""
    return sample()


@pytest.fixture(scope="session")
def drawn():
    """Give the plots of the sample."""
    return figures(sample())
