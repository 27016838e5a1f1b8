"""Judge several models alike on the same films: accuracy, differences to the first, speed, memory."""

from fracture.core.command import starting

with starting():
    from fracture.commands.benchmark import main

if __name__ == "__main__":
    raise SystemExit(main())
