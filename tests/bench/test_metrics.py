"""A whole evaluation is timed, and its AP is pycocotools'."""

import builtins
import re

import numpy as np

from bench import run
from bench.metrics import draw_answers


def test_metrics_bench_says_seconds_ratio_and_difference():
    [said] = run(["metrics"], metric_films=30, resamples=5)
    assert re.match(r"a whole evaluation of 30 films, 300 boxes each, 5 resamples: \d+\.\d s, peak \d+ MB", said)
    assert re.search(r"match and AP alone \d+\.\d\d s, \d+\.\d x as fast as pycocotools", said)
    assert float(said.rsplit(" ", 1)[1]) < 1e-9


def test_metrics_bench_without_pycocotools(monkeypatch):
    there = builtins.__import__

    def absent(name, *args):
        if name.startswith("pycocotools"):
            raise ImportError(name)
        return there(name, *args)

    monkeypatch.setattr(builtins, "__import__", absent)
    assert next(run(["metrics"], metric_films=12, resamples=1)).endswith("pycocotools is not installed")


def test_drawn_answers_are_fractured_on_a_sixth_of_the_films():
    predictions, truths = draw_answers(np.random.default_rng(0), 120)
    assert [len(found) for found in predictions] == [300] * 120
    assert sum(len(truth) > 0 for truth in truths) == 20
    assert 20 < sum(map(len, truths)) < 40
