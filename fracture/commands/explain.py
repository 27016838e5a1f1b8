"""Draw where a film classifier's score comes from: a heat map on the film, and its values."""

import argparse
from pathlib import Path

import numpy as np

from fracture.core.command import arguments, command
from fracture.core.errors import BadValue
from fracture.core.folders import check_apart
from fracture.imaging.render import PICTURES, encode, heat_on_film, heated
from fracture.inference.batch import is_ours, open_sandbox
from fracture.inference.reader import Reader


def parser() -> argparse.ArgumentParser:
    """Give the command's flags."""
    parser = arguments(__doc__)
    parser.add_argument("film", type=Path, help="a film: PNG, JPEG, TIFF or DICOM")
    parser.add_argument("--weights", type=Path, required=True, help="a film classifier's run or bundle, or a fusion's")
    parser.add_argument(
        "--out", type=Path, default=Path("heat.png"), help=f"the picture to write, {', '.join(PICTURES)}"
    )
    parser.add_argument("--array", type=Path, help="also write the logits of every pixel of the film, as .npy")
    return parser


@command
def main() -> int:
    """Parse flags, read the film, write the picture; 2 if film or model cannot be read or the model has no heat map."""
    interface = parser()
    args = interface.parse_args()
    ending = args.out.suffix.lower()
    if ending not in PICTURES:
        interface.error(f"argument --out: expected a name that ends in {', '.join(PICTURES)}, got {args.out}")
    if args.array and args.array.suffix != ".npy":
        interface.error(f"argument --array: expected a name that ends in .npy, got {args.array}")
    check_apart(args.out, args.film)
    reader = Reader.load(args.weights)
    data = args.film.read_bytes()
    with open_sandbox(reader.card, 1) as sandbox:
        (film,) = sandbox.prepare(data, grey=True, marked=is_ours(args.film, data))
    told = reader.read_prepared(film.model_input, film.flags)
    if told.heat is None:
        raise BadValue(f"{args.weights}: expected a film classifier or a fusion, got a detector, which has no heat map")
    score = told.film_score
    lines = [
        f"What moves the film's score of {score.value:.3f} up ({score.made_by}; {reader.card.model_id})",
        "Not where a fracture is: what the classifier looks at may be anything that goes with one.",
    ]
    args.out.write_bytes(encode(heated(film.greys(), told.heat, lines), ending))
    if args.array:
        np.save(args.array, heat_on_film(told.heat, told.film_px))
    print(f"heat map on {args.out}; film score {score.value:.3f}")
    return 0
