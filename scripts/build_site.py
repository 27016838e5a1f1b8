"""Build the static site in one folder to publish: the page, recorded answers, reports of models that shipped."""

from pathlib import Path

from fracture.core.command import arguments, command, starting

with starting():
    from fracture.models.card import SHIPPED
    from fracture.service.site import publish, record, take_benchmark

DOCS = Path(__file__).parents[1] / "docs"


@command
def main() -> int:
    """Parse flags, build, say what was written; 2 if a model cannot be read."""
    parser = arguments(__doc__)
    parser.add_argument("--out", type=Path, default=Path("site"), help="folder to publish")
    parser.add_argument("--record", action="store_true", help="first record the answers in docs/data anew")
    parser.add_argument(
        "--weights",
        type=Path,
        action="append",
        help="with --record: a run's folder or bundle to record; may repeat; the shipped model if not named",
    )
    parser.add_argument("--benchmark", type=Path, help="a benchmark.json to show: it is copied into docs/data first")
    args = parser.parse_args()
    if args.weights and not args.record:
        parser.error("--weights needs --record: without it the answers that were recorded before are published")
    if args.record:
        print(f"recorded: {record(DOCS, args.weights or [SHIPPED])}")
    if args.benchmark:
        print(f"taken in: {take_benchmark(DOCS, args.benchmark)}")
    written = publish(DOCS, args.out)
    size = sum(file.stat().st_size for file in written) / 1e6
    print(f"{len(written)} files in {args.out}, {size:.2f} MB")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
