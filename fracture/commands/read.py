"""Read films: prints one JSON line per film."""

import argparse
import sys
from contextlib import nullcontext
from pathlib import Path

from tqdm import tqdm

from fracture.clinical.status import DEFAULT_MODE
from fracture.core.command import arguments, command
from fracture.core.errors import MissingData
from fracture.core.folders import check_apart
from fracture.core.types import Refusal
from fracture.inference.batch import find_films, read_files
from fracture.inference.reader import Reader
from fracture.predictions.jsonl import line


def parser() -> argparse.ArgumentParser:
    """Give the command's flags."""
    parser = arguments(__doc__)
    parser.add_argument("films", nargs="+", type=Path, help="films (PNG, JPEG, TIFF, DICOM) or folders of them")
    parser.add_argument(
        "--weights", type=Path, help="a run's folder, an .onnx or a .pt; the shipped model if not named"
    )
    parser.add_argument("--out", type=Path, help="predictions.jsonl to write; standard output if not named")
    parser.add_argument("--mode", default=DEFAULT_MODE, help="a mode of the model's card, whose boxes are written")
    parser.add_argument(
        "--all",
        action="store_true",
        help="write every box, however low its score, as evaluate.py --predictions needs them",
    )
    return parser


@command
def main() -> int:
    """Parse flags, read every film, write a line each; 1 if a film was refused, 2 if nothing could be done."""
    args = parser().parse_args()
    if args.out:
        check_apart(args.out, *args.films)
    reader, films = Reader.load(args.weights), find_films(args.films)
    if not films:
        raise MissingData(f"expected films (PNG, JPEG, TIFF, DICOM), got none in {', '.join(map(str, args.films))}")
    card = reader.card
    point = None if args.all else card.operating_point(args.mode)
    refused = 0
    with args.out.open("w", encoding="utf-8") if args.out else nullcontext(sys.stdout) as out:
        for read in tqdm(read_files(reader, films), total=len(films), unit="film", disable=len(films) < 2):
            refused += isinstance(read.answer, Refusal)
            path = read.path.as_posix()
            said = line(path, read.answer, card.classes, time_ms=read.time_ms, thresholds=card.thresholds, mode=point)
            print(said, file=out)
    print(f"{len(films)} films, {refused} refused", file=sys.stderr)
    return 1 if refused else 0
