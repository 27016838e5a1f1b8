"""Evaluate a model, or another program's predictions, on a split: thresholds from val, figures with intervals."""

import argparse
from pathlib import Path

from fracture.core.command import arguments, command
from fracture.data.yolo import load_dataset
from fracture.evaluation.cases import EVERY_FILM
from fracture.evaluation.folder import PAGE, REPORT
from fracture.evaluation.measure import RESAMPLES, Ask
from fracture.evaluation.report.text import text
from fracture.evaluation.run import Settings, Source, evaluate_model, evaluate_predictions
from fracture.inference.reader import Reader
from fracture.predictions import FORMATS


def parser() -> argparse.ArgumentParser:
    """Give the command's flags."""
    parser = arguments(__doc__)
    add = parser.add_argument
    add("--weights", type=Path, help="a run's folder, an .onnx or a .pt; the shipped model if not named")
    add("--data", type=Path, default=Path("dataset.yaml"), help="the dataset.yaml of the dataset")
    add("--data-root", type=Path, help="the dataset's folder, if not the one --data names")
    add("--split", default="test", choices=("train", "val", "test", EVERY_FILM), help="the part to evaluate on")
    add("--target-recall", type=float, help="film sensitivity to reach on val, besides the card's own points")
    add("--guarantee", type=float, help="also find the threshold that reaches it with this confidence, e.g. 0.95")
    add("--out", type=Path, default=Path("report"), help="folder for the report")
    add("--slice", action="append", default=[], help="a manifest column to slice by as well; may repeat")
    add("--no-films", action="store_true", help="no films in the report, so that it may be published")
    add(
        "--confounders",
        "--shortcuts",
        action="store_true",
        help="also check what the model could be using instead of the fracture",
    )
    add("--compare", type=Path, help="another model's report.json on the same films")
    add(
        "--predictions", type=Path, action="append", help="score these instead: .jsonl, COCO .json, YOLO folder; repeat"
    )
    add("--format", choices=FORMATS, help="format of the predictions, if their names do not tell")
    add("--coco-images", type=Path, help="COCO annotations that say which film an image number means")
    add("--category", help="the category that is a fracture, where the predictions hold several")
    add("--made-with", type=Path, help="a bundle whose films.csv says which films the program was made with")
    add("--seed", type=int, default=0, help="the seed of the bootstrap")
    add("--resamples", type=int, default=RESAMPLES, help="bootstrap resamples")
    return parser


@command
def main() -> int:
    """Parse flags, evaluate, print the figures, write the report; 2 if what is to be evaluated is not there."""
    interface = parser()
    args = interface.parse_args()
    if args.predictions and (args.weights or args.confounders):
        interface.error("--predictions are scored without a model: --weights and --confounders have no meaning there")
    if not args.predictions and (args.format or args.coco_images or args.category or args.made_with):
        interface.error("--format, --coco-images, --category and --made-with are about --predictions")
    settings = Settings(
        root=args.data_root or load_dataset(args.data).root,
        out=args.out,
        split=args.split,
        ask=Ask(args.target_recall, args.guarantee),
        columns=tuple(args.slice),
        with_films=not args.no_films,
        with_confounders=args.confounders,
        compare=args.compare,
        seed=args.seed,
        resamples=args.resamples,
    )
    if args.predictions:
        source = Source(tuple(args.predictions), args.format, args.coco_images, args.category, args.made_with)
        report = evaluate_predictions(source, settings)
    else:
        report = evaluate_model(Reader.load(args.weights), settings)
    print(text(report))
    print(f"written: {args.out / PAGE} and {REPORT}")
    return 0
