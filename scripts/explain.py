"""Draw where a film classifier's score comes from."""

from fracture.core.command import starting

with starting():
    from fracture.commands.explain import main

if __name__ == "__main__":
    raise SystemExit(main())
