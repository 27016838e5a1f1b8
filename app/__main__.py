"""Run the service: ``python -m app``."""

from fracture.core.command import starting

with starting():
    from fracture.commands.serve import main

if __name__ == "__main__":
    raise SystemExit(main())
