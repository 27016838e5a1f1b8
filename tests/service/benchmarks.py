"""A benchmark of two models, made by hand: its figures mean nothing."""

import json
from pathlib import Path

import jsonschema

SCHEMA = Path(__file__).parents[2] / "docs/data/benchmark.schema.json"
RATES = ("sensitivity", "specificity")


def made_up_benchmark():
    def estimate(value, low, high):
        return {"value": value, "low": low, "high": high, "n": 99, "n_groups": 60, "method": "by hand", "note": ""}

    at = {"threshold": 0.1, "reached": True} | dict.fromkeys(RATES, estimate(0.9, 0.8, 0.95))
    box, auc = estimate(0.5, 0.4, 0.6), estimate(0.8, 0.7, 0.9)
    skill = {"films": 100, "fractured": 40, "groups": 60, "film_auc": auc, "at": {"balanced": at}}
    skill |= dict.fromkeys(("ap50", "ap50_95", "ap10", "ap_centre"), box)
    began = {"arch": "yolov8", "network": "yolov8s.yaml", "start": "coco.safetensors", "averaged": [], "members": 1}
    began |= {"long_side_px": 512, "epochs": 16, "epochs_run": 16, "hours": None, "films_per_step": 16}
    began |= {"train_films": 3575, "dataset_id": "7a8087fbd3e2", "finished": "2031-05-06"}
    speed = {"films": 40, "p50_ms": 120.0, "p90_ms": 150.0, "films_per_s": 7.5}
    speed |= {"p50_over_first": 1.0, "films_per_s_over_first": 1.0}
    cost = {"peak_mb": 530.0, "file_bytes": 22848099, "parameters": 11191771}
    first = {
        "name": "ours",
        "model_id": "net",
        "version": "1",
        "files": {"model.onnx": "0" * 64},
        "backend": "openvino",
    }
    first |= {"began": began, "skill": skill, "refused": {}, "left_out": 0, "made_with": 0, "warnings": []}
    first |= {"against_first": None, "speed": speed, "cost": cost}
    box = estimate(0.45, 0.35, 0.55)
    gap = {"name": "AP50", "this": box, "other": first["skill"]["ap50"], "difference": estimate(-0.05, -0.1, 0.01)}
    unknown = dict.fromkeys(("start", "epochs", "epochs_run", "train_films"))
    none = estimate(None, None, None)
    second = first | {"name": "a very long name of a network", "refused": {"t/1": "broken"}, "left_out": 1}
    second |= {"skill": skill | {"ap50": box, "film_auc": none, "films": 99}, "began": began | unknown, "made_with": 3}
    second |= {"against_first": {"films": 99, "rows": [gap | {"p": 0.1, "test": "bootstrap"}]}}
    second |= {"cost": cost | {"peak_mb": None, "parameters": None}}
    made = {"date": "2026-01-01", "version": "1", "code_id": "0" * 24, "seed": 0, "resamples": 20}
    made |= {"machine": {"processor": "made-up processor", "cores": 2}}
    data = {"name": "films", "dataset_id": "0" * 12, "split": "test", "films": 100}
    found = {"schema": 1, "made": made, "data": data, "models": [first, second]}
    jsonschema.validate(found, json.loads(SCHEMA.read_text()))
    return found
