"""A training loop by Lightning for every network that Ultralytics does not train: resumed exactly, judged on val."""
