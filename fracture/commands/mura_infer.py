"""Say whether a film of one area of the arm shows a fracture, by a classifier of that area alone: three lines."""

import argparse
import sys
from pathlib import Path

from fracture.core.command import arguments, command
from fracture.core.errors import BadValue
from fracture.inference.batch import is_ours, open_sandbox
from fracture.inference.reader import Reader
from fracture.models import card as cards
from fracture.models.card import ModelCard
from fracture.models.classifiers.mura import AREAS, RELEASE, default_cache, open_area, weights
from fracture.predictions.jsonl import warnings_for


def parser() -> argparse.ArgumentParser:
    """Give the command's flags."""
    parser = arguments(__doc__)
    parser.add_argument("--image", type=Path, required=True, help="a film: PNG, JPEG, TIFF or DICOM")
    parser.add_argument("--area", choices=AREAS, required=True, help="what it shows, as MURA names it")
    parser.add_argument(
        "--ckpt",
        type=Path,
        help="weights to read with: a DenseNet-121's state dict, or a film classifier's bundle; without, the area's "
        "published weights, downloaded once",
    )
    parser.add_argument("--threshold", type=float, default=0.5, help="the probability from which pred is 1")
    parser.add_argument("--device", default="cpu", help="where a state dict is computed: cpu or cuda")
    parser.add_argument("--weights-url", default=RELEASE, help="where the published weights are")
    parser.add_argument("--cache", type=Path, default=default_cache(), help="where downloaded weights are kept")
    return parser


@command
def main() -> int:
    """Parse flags, read the film, print area, probability and prediction; 2 if film or weights cannot be read."""
    args = parser().parse_args()
    file = args.ckpt or weights(args.area, args.cache / "mura", args.weights_url)
    bundled = file.is_dir() or file.suffix == ".onnx"
    chance = _by_bundle(args.image, file) if bundled else _by_state(args.image, file, args.device)
    print(f"area={args.area}\nprob_fracture={chance:.4f}\npred={int(chance >= args.threshold)}")
    return 0


def _by_bundle(image: Path, file: Path) -> float:
    reader = Reader.load(file)
    if not reader.card.heads:
        raise BadValue(f"{file}: expected a film classifier's bundle, got a detector's")
    data = image.read_bytes()
    with open_sandbox(reader.card, 1) as sandbox:
        (film,) = sandbox.prepare(data, marked=is_ours(image, data))
    told = reader.read_prepared(film.model_input, film.flags)
    for warning in warnings_for(told.flags):
        print(f"mura-infer: {warning}", file=sys.stderr)
    return told.film_score.value


def _by_state(image: Path, file: Path, device: str) -> float:
    tell = open_area(file, device)
    card: ModelCard = cards.load(cards.SHIPPED)  # for the limits of the sandbox alone
    with open_sandbox(card, 1) as sandbox:
        (film,) = sandbox.prepare(image.read_bytes(), grey=True)
    return tell(film.greys())
