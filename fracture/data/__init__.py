"""Datasets: sources, manifests, audit, splits, YOLO trees."""
