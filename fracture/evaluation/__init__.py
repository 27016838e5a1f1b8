"""Predictions and a manifest to figures that a reader can check."""
