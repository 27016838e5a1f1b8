"""Draw what the detector sees on a film."""

import argparse
from pathlib import Path

from fracture.core.command import arguments, command
from fracture.core.folders import check_apart
from fracture.core.words import counted
from fracture.imaging.render import PICTURES, encode, overlay
from fracture.inference import asked
from fracture.inference.asked import Asked
from fracture.inference.batch import is_ours, open_sandbox
from fracture.inference.reader import Reader


def parser() -> argparse.ArgumentParser:
    """Give the command's flags."""
    parser = arguments(__doc__)
    parser.add_argument(
        "--weights", type=Path, help="a run's folder, an .onnx or a .pt; the shipped model if not named"
    )
    film = parser.add_mutually_exclusive_group(required=True)
    film.add_argument("film", nargs="?", type=Path, help="a film: PNG, JPEG, TIFF or DICOM")
    film.add_argument("--image", type=Path, help="the film, as an older name of it")
    parser.add_argument(
        "--out", type=Path, default=Path("prediction.png"), help=f"the picture to write, {', '.join(PICTURES)}"
    )
    asked.add(parser)
    return parser


@command
def main() -> int:
    """Parse flags, read the film, write the picture; 2 if the film or the model cannot be read."""
    interface = parser()
    args = interface.parse_args()
    image, ending = args.film or args.image, args.out.suffix.lower()
    if ending not in PICTURES:
        interface.error(f"argument --out: expected a name that ends in {', '.join(PICTURES)}, got {args.out}")
    check_apart(args.out, image)
    reader = Reader.load(args.weights)
    card = reader.card
    wanted = Asked.of(card, args.mode, args.conf)
    data = image.read_bytes()
    with open_sandbox(card, 1) as sandbox:
        (film,) = sandbox.prepare(data, grey=True, marked=is_ours(image, data))
    prediction = reader.read_prepared(film.model_input, film.flags)
    said = wanted.said(prediction, card)
    picture = overlay(film.greys(), prediction.detections, said, wanted.shown_from, card.thresholds, card.model_id)
    args.out.write_bytes(encode(picture, ending))
    print(f"{counted(said.shown, 'box', 'boxes')} drawn on {args.out}; status: {said.status or 'not known'}")
    return 0
