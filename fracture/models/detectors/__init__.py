"""Detectors: one training run, one table of architectures, and a package or file for each."""
