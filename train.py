"""Train a detector on a dataset built by scripts/make_splits.py."""

from fracture.commands.train import main

if __name__ == "__main__":
    raise SystemExit(main())
