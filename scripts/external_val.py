"""Evaluate a model on a source it was never made with, at the thresholds of its card, beside its own test figures."""

from pathlib import Path

from fracture.core.command import arguments, command, starting

with starting():
    from fracture.evaluation.cases import EVERY_FILM
    from fracture.evaluation.folder import PAGE, REPORT
    from fracture.evaluation.measure import RESAMPLES
    from fracture.evaluation.report import schema
    from fracture.evaluation.report.text import text
    from fracture.evaluation.run import Settings, evaluate_external
    from fracture.inference.reader import Reader


@command
def main() -> int:
    """Parse flags, evaluate, print the figures, write the report; 2 if the source had a part in making the model."""
    parser = arguments(__doc__)
    add = parser.add_argument
    add("--src", type=Path, required=True, help="a stage or dataset of the source: a folder with manifest.csv")
    add("--weights", type=Path, help="a run's folder, an .onnx or a .pt; the shipped model if not named")
    add("--split", default=EVERY_FILM, choices=("train", "val", "test", EVERY_FILM), help="the part to evaluate on")
    add("--known", type=Path, help="report.json of the same model on its own test films, to put beside")
    add("--out", type=Path, default=Path("report_external"), help="folder for the report")
    add("--slice", action="append", default=[], help="a manifest column to slice by as well; may repeat")
    add("--no-films", action="store_true", help="no films in the report, so that it may be published")
    add(
        "--confounders",
        "--shortcuts",
        action="store_true",
        help="also check what the model could be using instead of the fracture",
    )
    add("--seed", type=int, default=0, help="the seed of the bootstrap")
    add("--resamples", type=int, default=RESAMPLES, help="bootstrap resamples")
    args = parser.parse_args()
    settings = Settings(
        root=args.src,
        out=args.out,
        split=args.split,
        columns=tuple(args.slice),
        with_films=not args.no_films,
        with_confounders=args.confounders,
        seed=args.seed,
        resamples=args.resamples,
    )
    known = schema.load(args.known) if args.known else None
    report = evaluate_external(Reader.load(args.weights), settings, known)
    print(text(report))
    print(f"written: {args.out / PAGE} and {REPORT}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
