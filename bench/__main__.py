"""Measure this machine: reading films, harmonising, searching, splitting, judging, serving; each beside a plain way."""

import argparse
from pathlib import Path

from bench import BENCHES, run
from fracture.core.command import command


@command
def main() -> int:
    """Parse flags, measure, print as it goes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", help=f"comma-separated, out of {', '.join(BENCHES)}")
    parser.add_argument("--weights", type=Path, help="a run's folder or an .onnx; the shipped model if not named")
    parser.add_argument("--films", type=Path, help="folder of films to harmonise; synthetic ones if not named")
    parser.add_argument("--count", type=int, default=40, help="films to read; to harmonise, a hundred times as many")
    parser.add_argument("--rows", type=int, default=1_000_000, help="manifest rows to split")
    parser.add_argument("--thumbnails", type=int, default=100_000, help="thumbnails to search, after a tenth of them")
    parser.add_argument("--metric-films", type=int, default=4083, help="films whose figures are computed")
    parser.add_argument("--resamples", type=int, default=2000, help="bootstrap resamples of those figures")
    parser.add_argument("--rounds", type=int, default=3, help="how often each service is started and pressed")
    parser.add_argument("--seconds", type=float, default=3.0, help="length of each load of a round")
    parser.add_argument("--json", type=Path, help="where the service's figures go, as docs/data/bench.schema.json says")
    args = parser.parse_args()
    settings = vars(args)
    only = settings.pop("only")
    for text in run(only.split(",") if only else list(BENCHES), **settings):
        print(text, flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
