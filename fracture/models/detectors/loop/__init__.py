"""Detectors that are torch modules, as problems for `fracture.models.loop`: the same films, deal and judge for each."""
