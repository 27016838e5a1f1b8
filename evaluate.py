"""Judge a model on a split: thresholds come from validation, figures from the split, each with its interval."""

import argparse
import sys
from pathlib import Path

from fracture.data.stage import write_json
from fracture.data.yolo import load_dataset
from fracture.errors import FractureError
from fracture.pipeline import evaluate_split
from fracture.reader import Reader
from fracture.report.evaluation import table


def main() -> int:
    """Parse flags, evaluate, print the table, write report.json; 2 if the model or the dataset is not there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--weights", type=Path, help="a run's folder, an .onnx or a .pt; the shipped model if not named"
    )
    parser.add_argument("--data", type=Path, default=Path(__file__).with_name("dataset.yaml"))
    parser.add_argument("--data-root", type=Path, help="the dataset's folder, if not the one --data names")
    parser.add_argument("--split", default="test", choices=("train", "val", "test"))
    parser.add_argument(
        "--target-recall", type=float, help="film sensitivity to reach on val; the card's points if not"
    )
    parser.add_argument("--out", type=Path, default=Path("report"), help="folder for report.json")
    args = parser.parse_args()
    try:
        reader, dataset = Reader.load(args.weights), load_dataset(args.data, args.data_root)
        report, points = evaluate_split(reader, dataset, args.split, args.target_recall)
    except FractureError as error:
        print(f"evaluate: {error}", file=sys.stderr)
        return 2
    write_json(args.out / "report.json", report)
    print(table(report, points))
    print(f"written: {args.out / 'report.json'}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
