"""Your own annotated films (COCO, Pascal VOC or YOLO) -> a stage of films, YOLO labels and a manifest."""

import argparse
import sys
from pathlib import Path

from fracture.data.ingest import Provenance, ingest
from fracture.data.labels import FractureClasses
from fracture.data.sources import account
from fracture.data.sources.annotated import read_regions
from fracture.data.sources.folder import FORMATS, claims
from fracture.errors import FractureError


def main() -> int:
    """Parse flags, ingest, print the account; 2 if films, annotations or classes are not what was said."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--format", choices=FORMATS, required=True, help="how the films are annotated")
    parser.add_argument(
        "--images", type=Path, required=True, help="the folder of films, with films.csv if there is one"
    )
    parser.add_argument("--annotations", type=Path, required=True, help="a COCO json, or the folder of label files")
    parser.add_argument("--out", type=Path, required=True, help="the stage to write")
    parser.add_argument("--name", required=True, help="what to call this set, such as clinic-a")
    parser.add_argument("--region", required=True, help="what the films show, R or R,R; unknown if you cannot say")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--fracture-names", default="fracture", help="the classes that are fractures, A or A,B")
    which.add_argument("--all-fracture", action="store_true", help="every class is a fracture")
    which.add_argument("--fracture-class", type=int, help="the class that is a fracture by its index, where names lack")
    parser.add_argument("--data-yaml", type=Path, help="the YOLO file that names the classes, if not beside the films")
    parser.add_argument("--empty", choices=("normal", "unknown"), default="normal", help="what a film without boxes is")
    parser.add_argument("--licence", default="not stated", help="on what terms the films may be used")
    parser.add_argument("--attribution", default="", help="whom to name for the films")
    parser.add_argument("--external", action="store_true", help="these films test a model, they never train one")
    parser.add_argument("--copy", action="store_true", help="copy films instead of hard-linking them")
    args = parser.parse_args()
    names = tuple(name.strip() for name in args.fracture_names.split(","))
    try:
        about = Provenance(
            source=args.name,
            regions=read_regions(args.region, "--region"),
            licence=args.licence,
            attribution=args.attribution,
            classes=FractureClasses(names, args.all_fracture, args.fracture_class),
            external=args.external,
            empty_is_normal=args.empty == "normal",
        )
        found = list(claims(args.format, args.images, args.annotations, about, args.data_yaml))
        records = ingest(found, args.out, copy=args.copy)
    except FractureError as error:
        print(f"ingest_folder: {error}", file=sys.stderr)
        return 2
    print(account(found, records))
    print(f"every repair by film: {args.out / 'report.json'}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
