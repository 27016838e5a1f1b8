"""Look at every film of a stage or dataset and say what is wrong with it: copies, leaks, labels, boxes, confounders."""

from fracture.core.command import starting

with starting():
    from fracture.commands.audit import main

if __name__ == "__main__":
    raise SystemExit(main())
