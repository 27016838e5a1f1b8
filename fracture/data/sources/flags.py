"""The flags by which a person says what the files of a set do not. The commands that read sets share them."""

from argparse import ArgumentParser, Namespace
from dataclasses import replace
from pathlib import Path

from fracture.data.ingest import Provenance
from fracture.data.labels import FractureClasses
from fracture.data.sources.annotated import read_regions


def add(parser: ArgumentParser, *, region: bool = False) -> None:
    """Add the flags, of which ``--region`` may be required. What none of them says is left to the command."""
    parser.add_argument("--region", required=region, help="what the films show, R or R,R; unknown if you cannot say")
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--fracture-names",
        dest="classes",
        metavar="A,B",
        type=lambda names: FractureClasses(tuple(name.strip() for name in names.split(","))),
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
        help="the class that is a fracture by its number, where names are no help: numbers differ between exports",
    )
    parser.add_argument("--data-yaml", type=Path, help="the file that names the classes, if not beside films or labels")
    parser.add_argument("--licence", help="on what terms the films may be used, where the set does not state it")
    parser.add_argument("--attribution", help="whom to name for the films, where the set does not state it")
    parser.add_argument(
        "--parts-published",
        action="store_true",
        help="the set's folders train, valid and test are its published split: films of the last two never train",
    )
    parser.add_argument("--external", action="store_true", help="these films test a model, they never train one")
    parser.add_argument("--copy", action="store_true", help="copy films instead of hard-linking them")


def said(args: Namespace, about: Provenance) -> Provenance:
    """Give what the flags say of a set, and ``about`` where they say nothing. Raises BadValue for an unknown region."""
    given = {
        "regions": read_regions(args.region, "--region") if args.region else None,
        "classes": args.classes,
        "licence": args.licence,
        "attribution": args.attribution,
        "external": args.external,
        "parts_published": args.parts_published,
    }
    return replace(about, **{key: value for key, value in given.items() if value is not None})
