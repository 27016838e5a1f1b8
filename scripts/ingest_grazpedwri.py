"""GRAZPEDWRI-DX, or any YOLO export -> a stage of films, YOLO labels and a manifest; every film accounted for.

``--src`` reads the published tree or Roboflow's export of it, with patients and studies. ``--images`` and ``--labels``
read any YOLO export; say with --source, --region and --licence which one it is if it is not GRAZPEDWRI-DX.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from fracture.data.ingest import Provenance, ingest
from fracture.data.labels import FractureClasses
from fracture.data.sources import account, grazpedwri
from fracture.data.sources.annotated import read_regions
from fracture.errors import FractureError


def main() -> int:
    """Parse flags, ingest, print the account; 2 if films, labels or classes are not what was said."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    films = parser.add_mutually_exclusive_group(required=True)
    films.add_argument("--src", type=Path, help="the unpacked GRAZPEDWRI-DX, as published or as Roboflow exports it")
    films.add_argument("--images", type=Path, help="the folder of films of any YOLO export")
    parser.add_argument("--labels", type=Path, help="its folder of labels, which may be the same; needed with --images")
    parser.add_argument("--out", type=Path, required=True, help="the stage to write")
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
        help="the class that is a fracture by its number: 3 as published, 2 in Roboflow's export",
    )
    parser.add_argument("--data-yaml", type=Path, help="the file that names the classes, if not beside films or labels")
    parser.add_argument("--source", help="what to call this set; grazpedwri if not said")
    parser.add_argument("--region", help="what the films show, R or R,R; wrist if not said")
    parser.add_argument("--licence", help="on what terms the films may be used, if not GRAZPEDWRI-DX's")
    parser.add_argument("--attribution", help="whom to name for the films, if not GRAZPEDWRI-DX's authors")
    parser.add_argument("--external", action="store_true", help="these films test a model, they never train one")
    parser.add_argument("--copy", action="store_true", help="copy films instead of hard-linking them")
    args = parser.parse_args()
    if (args.images is None) != (args.labels is None):
        parser.error("--images and --labels go together")
    try:
        said = {
            "source": args.source,
            "regions": read_regions(args.region, "--region") if args.region else None,
            "classes": args.classes,
            "licence": args.licence,
            "attribution": args.attribution,
        }
        about = replace(
            grazpedwri.ABOUT if args.src else Provenance("grazpedwri", grazpedwri.ABOUT.regions),
            external=args.external,
            **{key: value for key, value in said.items() if value is not None},
        )
        if args.src:
            found = list(grazpedwri.read(args.src, about, args.data_yaml))
        else:
            found = list(grazpedwri.folders(args.images, args.labels, about, args.data_yaml))
        records = ingest(found, args.out, copy=args.copy)
    except FractureError as error:
        print(f"ingest: {error}", file=sys.stderr)
        return 2
    print(account(found, records))
    print(f"every repair by film: {args.out / 'report.json'}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
