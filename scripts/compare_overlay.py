"""Draw what several models see on one film, each in a colour and line of its own."""

from fracture.core.command import starting

with starting():
    from fracture.commands.compare import main

if __name__ == "__main__":
    raise SystemExit(main())
