"""Draw what the detector sees on a film: python visualize.py --image x.png --out prediction.png."""

from fracture.core.command import starting

with starting():
    from fracture.commands.draw import main

if __name__ == "__main__":
    raise SystemExit(main())
