"""One training loop, by Lightning, for detectors that are torch modules: the same films, deal and judge for each."""
