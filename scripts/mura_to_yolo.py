"""MURA v1.1 as published -> a stage of films and a manifest, and the tree a normal / abnormal classifier needs."""

from pathlib import Path

from fracture.core.command import arguments, command, starting

with starting():
    from fracture.core.words import counted
    from fracture.data.ingest import check_kept
    from fracture.data.sources import account
    from fracture.data.sources.mura import MODES, TREE, build, claims


@command
def main() -> int:
    """Parse flags, ingest, print the account; 2 if MURA is not there."""
    parser = arguments(__doc__)
    parser.add_argument("--src", type=Path, default=Path("MURA-v1.1"), help="the unpacked MURA folder")
    parser.add_argument("--out", type=Path, default=Path("stage/mura"), help="the stage to write")
    parser.add_argument("--mode", choices=MODES, default="classify", help="weakbox: a box over every abnormal film")
    parser.add_argument("--copy", action="store_true", help="copy films instead of hard-linking them")
    args = parser.parse_args()
    found = list(claims(args.src, args.mode))
    records = build(found, args.out, args.mode, copy=args.copy, inputs=(args.src,))
    print(account(found, records))
    print(f"every repair by film: {args.out / 'report.json'}")
    if args.mode == "classify":
        print(f"for a classifier: {args.out / TREE}/{{train,val}}/{{abnormal,normal}}; abnormal is not fracture")
    else:
        weak = sum(record.weak for record in records)
        print(f"{counted(weak, 'film')} with a weak box: nobody drew it, training refuses such films by default")
    check_kept(records)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
