"""Draw what several models see on one film, each in a colour and line of its own."""

import argparse
import json
import sys
from pathlib import Path

from fracture.core.command import arguments, command
from fracture.core.errors import FractureError
from fracture.core.files import write_bytes
from fracture.core.folders import check_apart
from fracture.core.words import counted
from fracture.imaging.render import PICTURES, Drawn, encode, together
from fracture.inference import asked, named
from fracture.inference.asked import Asked
from fracture.inference.batch import is_ours, open_sandbox
from fracture.predictions.jsonl import line

STANDARD_OUTPUT = Path("-")


def parser() -> argparse.ArgumentParser:
    """Give the command's flags."""
    parser = arguments(__doc__)
    named.add(parser)
    film = parser.add_mutually_exclusive_group(required=True)
    film.add_argument("film", nargs="?", type=Path, help="a film: PNG, JPEG, TIFF or DICOM")
    film.add_argument("--image", type=Path, help="the film, as another name of it")
    parser.add_argument(
        "--out", type=Path, default=Path("compare.png"), help=f"the picture to write, {', '.join(PICTURES)}"
    )
    parser.add_argument(
        "--json",
        nargs="?",
        const=STANDARD_OUTPUT,
        type=Path,
        help="also write each model's answer, as fracture read gives it: to this file, or to standard output",
    )
    asked.add(parser)
    return parser


@command
def main() -> int:
    """Parse flags, read the film with every model, write the picture; 2 if the film or a model cannot be read."""
    interface = parser()
    args = interface.parse_args()
    image, ending = args.film or args.image, args.out.suffix.lower()
    if ending not in PICTURES:
        interface.error(f"argument --out: expected a name that ends in {', '.join(PICTURES)}, got {args.out}")
    for written in (args.out, args.json):
        if written not in {None, STANDARD_OUTPUT}:
            check_apart(written, image)
    readers = named.opened(args.models)
    data = image.read_bytes()
    drawn, answers, greys = [], [], None
    for one, reader in zip(args.models, readers, strict=True):
        card = reader.card
        try:
            wanted = Asked.of(card, args.mode, args.conf)
        except FractureError as error:
            raise named.about(one, error) from error
        with open_sandbox(card, 1) as sandbox:
            (film,) = sandbox.prepare(data, grey=True, marked=is_ours(image, data))
        prediction = reader.read_prepared(film.model_input, film.flags)
        told = wanted.told(prediction, card)
        greys = film.greys()
        drawn.append(Drawn(one.name, prediction, told.said, wanted.shown_from))
        answers.append({"name": one.name} | json.loads(line(image.as_posix(), prediction, card.classes, told=told)))
    assert greys is not None  # there is one model at least
    args.out.write_bytes(encode(together(greys, drawn), ending))
    if args.json is not None:
        text = json.dumps({"models": answers}, indent=2) + "\n"
        if args.json == STANDARD_OUTPUT:
            print(text, end="")
        else:
            write_bytes(args.json, text.encode())
    for one in drawn:
        said = f"{one.name}: {counted(one.said.shown, 'box', 'boxes')}; status: {one.said.status or 'not known'}"
        print(said, file=sys.stderr if args.json == STANDARD_OUTPUT else sys.stdout)
    return 0
