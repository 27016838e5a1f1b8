"""A Roboflow export (YOLO format) -> a stage of films, YOLO labels and a manifest; every film accounted for."""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from fracture.data.ingest import Provenance, ingest
from fracture.data.labels import FractureClasses
from fracture.data.sources import account
from fracture.data.sources.annotated import read_regions
from fracture.data.sources.roboflow import PRESETS, export
from fracture.errors import FractureError


def main() -> int:
    """Parse flags, ingest, print the account; 2 if the export or its classes are not what was said."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--src", type=Path, required=True, help="the unpacked export, with data.yaml")
    parser.add_argument("--out", type=Path, required=True, help="the stage to write")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--preset", choices=sorted(PRESETS), help="a set that is known here: name, region and classes")
    what.add_argument("--name", help="what to call another set")
    parser.add_argument("--region", help="what the films show, R or R,R; needed with --name")
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--fracture-names",
        dest="classes",
        metavar="A,B",
        type=lambda names: FractureClasses(tuple(names.split(","))),
        help="the classes that are fractures, A or A,B; the class fracture if not said",
    )
    which.add_argument(
        "--all-fracture", dest="classes", action="store_const", const=FractureClasses(everything=True), help="all are"
    )
    which.add_argument(
        "--fracture-class",
        dest="classes",
        metavar="N",
        type=lambda index: FractureClasses(index=int(index)),
        help="the class that is a fracture by its number, where names are no help",
    )
    parser.add_argument("--data-yaml", type=Path, help="the file that names the classes, if not the export's data.yaml")
    parser.add_argument("--licence", help="on what terms the films may be used, if the export does not state it")
    parser.add_argument("--attribution", help="whom to name for the films, if not the export's page")
    parser.add_argument("--external", action="store_true", help="these films test a model, they never train one")
    parser.add_argument("--copy", action="store_true", help="copy films instead of hard-linking them")
    args = parser.parse_args()
    if args.name and not args.region:
        parser.error("--name needs --region")
    try:
        said = {
            "regions": read_regions(args.region, "--region") if args.region else None,
            "classes": args.classes,
            "licence": args.licence,
            "attribution": args.attribution,
        }
        about = replace(
            PRESETS[args.preset] if args.preset else Provenance(args.name),
            external=args.external,
            **{key: value for key, value in said.items() if value is not None},
        )
        found = list(export(args.src, about, args.data_yaml))
        records = ingest(found, args.out, copy=args.copy)
    except FractureError as error:
        print(f"ingest: {error}", file=sys.stderr)
        return 2
    print(account(found, records))
    print(f"every repair by film: {args.out / 'report.json'}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
