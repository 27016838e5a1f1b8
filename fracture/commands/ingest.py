"""Your own films (COCO, Pascal VOC, YOLO, a table, or folders named by class) -> a stage of films and a manifest."""

import argparse
from pathlib import Path

from fracture.core.command import arguments, command
from fracture.core.errors import MissingData
from fracture.data.ingest import Provenance, check_kept, ingest
from fracture.data.sources import account, flags
from fracture.data.sources.folder import FORMATS, claims


def parser() -> argparse.ArgumentParser:
    """Give the command's flags."""
    parser = arguments(__doc__)
    parser.add_argument("--format", choices=FORMATS, required=True, help="how the films are annotated")
    parser.add_argument(
        "--images", type=Path, required=True, help="the folder of films, with films.csv if there is one"
    )
    parser.add_argument(
        "--annotations",
        type=Path,
        help="a COCO json, a table of film labels (csv), or the folder of label files; not with folders",
    )
    parser.add_argument("--out", type=Path, required=True, help="the stage to write")
    parser.add_argument("--name", required=True, help="what to call this set, such as clinic-a")
    parser.add_argument("--empty", choices=("normal", "unknown"), default="normal", help="what a film without boxes is")
    flags.add(parser, region=True)
    return parser


@command
def main() -> int:
    """Parse flags, ingest, print the account; 2 if films, annotations or classes are not what was said."""
    interface = parser()
    args = interface.parse_args()
    if not args.images.is_dir():
        raise MissingData(f"--images: expected a folder of films, there is none at {args.images}")
    if (args.annotations is None) != (args.format == "folders"):
        what = "is missing: expected with" if args.annotations is None else "is not expected with"
        interface.error(f"--annotations {what} --format {args.format}")
    about = flags.said(args, Provenance(args.name, empty_is_normal=args.empty == "normal"))
    found = list(claims(args.format, args.images, args.annotations, about, args.data_yaml))
    records = ingest(found, args.out, copy=args.copy, inputs=(args.images, args.annotations))
    print(account(found, records))
    print(f"every repair by film: {args.out / 'report.json'}")
    check_kept(records)
    return 0
