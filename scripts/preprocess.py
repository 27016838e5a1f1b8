"""A stage of films -> the same stage harmonised: CLAHE, long side capped, lossless grey PNG, boxes moved along."""

from fracture.core.command import starting

with starting():
    from fracture.commands.preprocess import main

if __name__ == "__main__":
    raise SystemExit(main())
