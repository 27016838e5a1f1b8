"""Make a training run servable: ONNX, parity with the checkpoint, operating points measured on val, card.json."""

import argparse
from pathlib import Path

from fracture.pipeline import bundle


def main() -> None:
    """Parse flags, bundle, print the operating points."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, required=True, help="a folder that train.py wrote")
    parser.add_argument("--long-side", type=int, help="scale in px to read films at, the training scale if not named")
    args = parser.parse_args()
    card = bundle(args.run, long_side_px=args.long_side)
    print(f"{card.model_id} {card.version}: parity {card.measured['parity']}")
    for point in card.operating_points:
        print(f"{point.name}: {point.threshold:.3f}, sensitivity {point.sensitivity}, specificity {point.specificity}")


if __name__ == "__main__":
    main()
