"""Make a training run servable: ONNX, parity with the checkpoint, thresholds and calibration from val, card.json.

With --int8 an 8-bit network is made of a bundle, measured, and shipped in it where it is good enough. With --hashes a
bundle learns by what its films are known again, from the dataset it was made with: 4,000 films take about a minute.
"""

import argparse
from pathlib import Path

from fracture.core.command import arguments, command
from fracture.core.words import counted
from fracture.data.yolo import load_dataset
from fracture.evaluation.report import schema
from fracture.models.classifiers.runs import is_classifier
from fracture.training.bundle import add_hashes, bundle
from fracture.training.bundle_classifier import bundle as bundle_classifier
from fracture.training.int8 import bundle_int8
from fracture.training.measure import add_test, measure


def parser() -> argparse.ArgumentParser:
    """Give the command's flags."""
    parser = arguments(__doc__)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--run", type=Path, help="a folder that fracture train wrote")
    what.add_argument("--measure", type=Path, help="a bundle whose thresholds and calibration are to be measured again")
    what.add_argument("--int8", type=Path, help="a bundle whose network is to be quantised")
    what.add_argument("--tested", type=Path, help="a bundle whose card is to say what its modes do on --test-report")
    what.add_argument("--hashes", type=Path, help="a bundle whose films.csv is to have hashes of the films' pixels")
    parser.add_argument("--test-report", type=Path, help="for --tested: report.json of fracture evaluate on test films")
    parser.add_argument("--long-side", type=int, help="scale in px to read films at, the training scale if not named")
    parser.add_argument(
        "--data", type=Path, default=Path("dataset.yaml"), help="the dataset.yaml of the dataset; not for --run"
    )
    parser.add_argument("--data-root", type=Path, help="the dataset's folder, if not the one --data names")
    return parser


@command
def main() -> int:
    """Parse flags, bundle or measure again, print what the card says; 2 if it cannot be done."""
    interface = parser()
    args = interface.parse_args()
    if args.run and is_classifier(args.run):
        if args.long_side:
            interface.error("--long-side is for detectors: a classifier reads films at the scale that it learned at")
        card = bundle_classifier(args.run)
    elif args.run:
        card = bundle(args.run, long_side_px=args.long_side)
    elif args.tested:
        if args.test_report is None:
            interface.error("--tested needs --test-report")
        card = add_test(args.tested, schema.load(args.test_report))
    elif args.hashes:
        card, known = add_hashes(args.hashes, args.data_root or load_dataset(args.data).root)
        print(f"known by their pixels: {counted(known, 'film')}")
    else:
        make, folder = (measure, args.measure) if args.measure else (bundle_int8, args.int8)
        card = make(folder, args.data_root or load_dataset(args.data).root)
    print(f"{card.model_id} {card.version}: parity {card.measured.get('parity', 'not measured')}")
    print(f"int8: {card.measured.get('int8', 'not measured')}")
    for point in card.operating_points:
        print(f"{point.name}: {point.threshold:.3f}, sensitivity {point.sensitivity}, specificity {point.specificity}")
    print(f"calibration: {card.calibration or 'none'}")
    return 0
