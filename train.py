"""Train a detector on a dataset that ``fracture split`` made."""

from fracture.core.command import starting

with starting():
    from fracture.commands.train import main

if __name__ == "__main__":
    raise SystemExit(main())
