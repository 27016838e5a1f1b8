"""Predictions and a manifest to figures a reader can check."""
