"""Judge several models alike on the same films: figures with intervals, differences to the first, time and memory."""

import argparse
from pathlib import Path

from fracture.core.command import arguments, command
from fracture.data.yolo import load_dataset
from fracture.evaluation.benchmark.run import BENCHMARK, TABLE, TIMED, Timing, benchmark
from fracture.evaluation.benchmark.text import columns
from fracture.evaluation.cases import EVERY_FILM
from fracture.evaluation.measure import RESAMPLES, Ask
from fracture.evaluation.run import Settings
from fracture.inference import named


def parser() -> argparse.ArgumentParser:
    """Give the command's flags."""
    parser = arguments(__doc__)
    add = parser.add_argument
    named.add(parser)
    add("--data", type=Path, default=Path("dataset.yaml"), help="the dataset.yaml of the dataset")
    add("--data-root", type=Path, help="the dataset's folder, if not the one --data names")
    add("--split", default="test", choices=("train", "val", "test", EVERY_FILM), help="the part to judge on")
    add("--target-recall", type=float, help="film sensitivity to reach on val, besides each card's own points")
    add("--guarantee", type=float, help="also find the threshold that reaches it with this confidence, e.g. 0.95")
    add("--timed", type=int, default=TIMED, help="films to time and to measure memory on")
    add("--out", type=Path, default=Path("benchmark"), help="folder for the figures and the predictions")
    add("--seed", type=int, default=0, help="the seed of the bootstrap")
    add("--resamples", type=int, default=RESAMPLES, help="bootstrap resamples")
    return parser


@command
def main() -> int:
    """Parse flags, judge, print the tables, write the folder; 2 if a model or the dataset is not as expected."""
    args = parser().parse_args()
    dataset = load_dataset(args.data, args.data_root)
    settings = Settings(
        root=dataset.root,
        out=args.out,
        split=args.split,
        ask=Ask(args.target_recall, args.guarantee),
        seed=args.seed,
        resamples=args.resamples,
    )
    found = benchmark(args.models, dataset.names, settings, Timing(args.timed))
    print(columns(found))
    print(f"\nwritten: {args.out / BENCHMARK} and {TABLE}")
    return 0
