"""GRAZPEDWRI-DX, or any YOLO export -> a stage of films, YOLO labels and a manifest; every film accounted for.

``--src`` reads the published tree or Roboflow's export of it, with patients and studies. ``--images`` and ``--labels``
read any YOLO export; say with --source, --region and --licence which one it is if it is not GRAZPEDWRI-DX.
"""

from dataclasses import replace
from pathlib import Path

from fracture.core.command import arguments, command, starting

with starting():
    from fracture.data.ingest import Provenance, check_kept, ingest
    from fracture.data.sources import account, flags, grazpedwri


@command
def main() -> int:
    """Parse flags, ingest, print the account; 2 if films, labels or classes are not what was said."""
    parser = arguments(__doc__)
    films = parser.add_mutually_exclusive_group(required=True)
    films.add_argument("--src", type=Path, help="the unpacked GRAZPEDWRI-DX, as published or as Roboflow exports it")
    films.add_argument("--images", type=Path, help="the folder of films of any YOLO export")
    parser.add_argument("--labels", type=Path, help="its folder of labels, which may be the same; needed with --images")
    parser.add_argument("--out", type=Path, required=True, help="the stage to write")
    parser.add_argument("--source", help="what to call this set; grazpedwri if not said")
    flags.add(parser)
    args = parser.parse_args()
    if (args.images is None) != (args.labels is None):
        parser.error("--images and --labels go together")
    known = grazpedwri.ABOUT if args.src else Provenance("grazpedwri", grazpedwri.ABOUT.regions)
    about = flags.said(args, replace(known, source=args.source or known.source))
    if args.src:
        found = list(grazpedwri.read(args.src, about, args.data_yaml))
    else:
        found = list(grazpedwri.folders(args.images, args.labels, about, args.data_yaml))
    records = ingest(found, args.out, copy=args.copy, inputs=(args.src, args.images, args.labels))
    print(account(found, records))
    print(f"every repair by film: {args.out / 'report.json'}")
    check_kept(records)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
