"""A run's folder, whatever it trains: the names of its files, and how far it has come."""

import json
from pathlib import Path

CONFIG = "config.json"
FINISHED = "finished.json"
CURVES = "results.csv"
"""Losses and val figures, a line an epoch; the first column counts the epochs."""


def count_epochs(folder: Path) -> int:
    """Give how many epochs one network's run has finished."""
    curves = folder / CURVES
    return max(0, len(curves.read_text(encoding="utf-8").splitlines()) - 1) if curves.is_file() else 0


def ended_on(folder: Path) -> str | None:
    """Give the day one network's run came to its end, as YYYY-MM-DD; None where it has not, or did not note it."""
    file = folder / FINISHED
    date = json.loads(file.read_text(encoding="utf-8")).get("date") if file.is_file() else None
    return None if date is None else str(date)
