"""Measure how fast films are read on this machine, each step, and as a ratio against ONNX Runtime in the same run."""

import argparse
from pathlib import Path

from fracture.bench import measure, table


def main() -> None:
    """Parse flags, measure, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path, help="a run's folder or an .onnx; the shipped model if not named")
    parser.add_argument("--films", type=int, default=40, help="synthetic films to read")
    args = parser.parse_args()
    print(table(measure(args.weights, args.films)))


if __name__ == "__main__":
    main()
