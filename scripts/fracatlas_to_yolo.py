"""FracAtlas as published -> a stage of films, YOLO labels and a manifest; every film accounted for."""

from pathlib import Path

from fracture.core.command import arguments, command, starting

with starting():
    from fracture.data.ingest import check_kept, ingest
    from fracture.data.sources import account, claims


@command
def main() -> int:
    """Parse flags, ingest, print the account; 2 for bad input."""
    parser = arguments(__doc__)
    parser.add_argument("--src", type=Path, default=Path("FracAtlas"), help="the unpacked FracAtlas folder")
    parser.add_argument("--out", type=Path, default=Path("stage/fracatlas"), help="the stage to write")
    parser.add_argument("--copy", action="store_true", help="copy films instead of hard-linking them")
    args = parser.parse_args()
    found = list(claims("fracatlas", args.src))
    records = ingest(found, args.out, copy=args.copy, inputs=(args.src,))
    print(account(found, records))
    print(f"every repair by film: {args.out}/report.json")
    check_kept(records)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
