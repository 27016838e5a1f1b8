"""Measure what variants of a training recipe buy, by short runs; or ways to read, or film heads, of one model."""

from pathlib import Path

from fracture.core.command import arguments, command, starting

with starting():
    from fracture.training import ablation, film_heads


@command
def main() -> int:
    """Parse flags, measure, print the table as it grows; 2 if it cannot be done."""
    parser = arguments(__doc__)
    parser.add_argument("--src", type=Path, default=Path("stage/fracatlas"), help="an ingested stage, not harmonised")
    parser.add_argument("--deal", type=Path, default=Path("dataset_v5/manifest.csv"), help="names the test films")
    parser.add_argument(
        "--further", type=Path, action="append", default=[], help="a stage of another source to learn from; may repeat"
    )
    parser.add_argument("--away", type=Path, help="a stage of another source, which all are judged on and none learn")
    parser.add_argument("--start", type=Path, help="a .safetensors state dict to begin at")
    parser.add_argument("--out", type=Path, default=Path("ablation"), help="runs and ablation.json")
    parser.add_argument("--only", action="append", default=[], help="a variant by name; may be repeated")
    parser.add_argument("--readings", type=Path, help="a bundle: compare ways to read the val films of --deal with it")
    parser.add_argument(
        "--film-heads", type=Path, help="a run: compare film heads on its val films and on other sources"
    )
    args = parser.parse_args()
    if args.film_heads:
        found = film_heads.compare(args.film_heads, args.further, args.away, args.out)
    elif args.readings:
        found = ablation.readings(args.readings, args.deal.parent, args.out)
    elif args.start:
        found = ablation.compare(
            ablation.Films(args.src, args.deal, tuple(args.further), args.away), args.start, args.out, args.only
        )
    else:
        parser.error("expected --start, --readings or --film-heads")
    rows = []
    for row in found:
        rows.append(row)
        print(ablation.markdown(rows).splitlines()[-1], flush=True)
    print("\n" + ablation.markdown(rows))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
