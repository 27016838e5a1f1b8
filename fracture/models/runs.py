"""A run's folder, whatever it trains: the names of its files, and how far it has come."""

from pathlib import Path

CONFIG = "config.json"
FINISHED = "finished.json"
CURVES = "results.csv"
"""Losses and val figures, a line an epoch; the first column counts the epochs."""


def count_epochs(folder: Path) -> int:
    """Give how many epochs one network's run has finished."""
    curves = folder / CURVES
    return max(0, len(curves.read_text(encoding="utf-8").splitlines()) - 1) if curves.is_file() else 0
