"""Evaluate a model, or another program's predictions, on a split of a dataset."""

from fracture.core.command import starting

with starting():
    from fracture.commands.evaluate import main

if __name__ == "__main__":
    raise SystemExit(main())
