"""Read films: prints one JSON line per film."""

import argparse
import sys
from contextlib import nullcontext
from pathlib import Path

from tqdm import tqdm

from fracture.core.command import FAILED, arguments, command
from fracture.core.errors import MissingData
from fracture.core.folders import check_apart
from fracture.core.types import Prediction
from fracture.core.words import counted
from fracture.inference import asked
from fracture.inference.asked import Asked
from fracture.inference.batch import find_films, read_files
from fracture.inference.reader import Reader
from fracture.predictions.jsonl import line


def parser() -> argparse.ArgumentParser:
    """Give the command's flags."""
    parser = arguments(__doc__, partly="films were read and others refused")
    parser.add_argument("films", nargs="+", type=Path, help="films (PNG, JPEG, TIFF, DICOM) or folders of them")
    parser.add_argument(
        "--weights", type=Path, help="a run's folder, an .onnx or a .pt; the shipped model if not named"
    )
    parser.add_argument("--out", type=Path, help="predictions.jsonl to write; standard output if not named")
    asked.add(parser)
    parser.add_argument(
        "--all",
        action="store_true",
        help="write every box, however low its score, as fracture evaluate --predictions needs them",
    )
    return parser


@command
def main() -> int:
    """Parse flags, read every film, write a line each; 1 if some films were refused, 2 if all or none were there."""
    interface = parser()
    args = interface.parse_args()
    if args.all and args.conf is not None:
        interface.error("--all writes every box: expected no --conf beside it")
    if args.out:
        check_apart(args.out, *args.films)
    reader, films = Reader.load(args.weights), find_films(args.films)
    if not films:
        raise MissingData(f"expected films (PNG, JPEG, TIFF, DICOM), got none in {', '.join(map(str, args.films))}")
    card = reader.card
    wanted = Asked.of(card, args.mode, args.conf, every_box=args.all)
    refused = 0
    with args.out.open("w", encoding="utf-8") if args.out else nullcontext(sys.stdout) as out:
        for read in tqdm(read_files(reader, films), total=len(films), unit="film", disable=len(films) < 2):
            told = wanted.told(read.answer, card) if isinstance(read.answer, Prediction) else None
            refused += told is None
            print(line(read.path.as_posix(), read.answer, card.classes, time_ms=read.time_ms, told=told), file=out)
    print(f"{counted(len(films), 'film')}, {refused} refused", file=sys.stderr)
    return FAILED if refused == len(films) else 1 if refused else 0
