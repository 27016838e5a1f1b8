"""Send films with a few things wrong to a service of its own, thousands of them, and say what it made of them."""

import argparse
from pathlib import Path

from tests.hostile.abuse import Outcome, abuse


def main() -> int:
    """Parse flags, send, print as it goes; 1 if there was an answer that must not be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10_000, help="how many films")
    parser.add_argument(
        "--seed", type=int, default=0, help="the first seed; each film has one, so a run can be resumed"
    )
    parser.add_argument("--out", type=Path, default=Path("runs/abuse"), help="folder for films that did harm")
    args = parser.parse_args()
    outcome = Outcome()
    for line in abuse(args.count, args.seed, args.out, outcome):
        print(line, flush=True)
    print("\n".join(outcome.summary()))
    return 1 if outcome.faults else 0


if __name__ == "__main__":
    raise SystemExit(main())
