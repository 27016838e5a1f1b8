"""A Roboflow export (YOLO format) -> a stage of films, YOLO labels and a manifest; every film accounted for."""

from pathlib import Path

from fracture.core.command import arguments, command, starting

with starting():
    from fracture.data.ingest import Provenance, check_kept, ingest
    from fracture.data.sources import account, flags
    from fracture.data.sources.roboflow import PRESETS, export


@command
def main() -> int:
    """Parse flags, ingest, print the account; 2 if the export or its classes are not what was said."""
    parser = arguments(__doc__)
    parser.add_argument("--src", type=Path, required=True, help="the unpacked export, with data.yaml")
    parser.add_argument("--out", type=Path, required=True, help="the stage to write")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--preset", choices=sorted(PRESETS), help="a set that is known here: name, region and classes")
    what.add_argument("--name", help="what to call another set")
    flags.add(parser)
    args = parser.parse_args()
    if args.name and not args.region:
        parser.error("--name needs --region")
    about = flags.said(args, PRESETS[args.preset] if args.preset else Provenance(args.name))
    found = list(export(args.src, about, args.data_yaml))
    records = ingest(found, args.out, copy=args.copy, inputs=(args.src,))
    print(account(found, records))
    print(f"every repair by film: {args.out / 'report.json'}")
    check_kept(records)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
