"""Send films with a few things wrong to a service of its own, thousands of them, and say what it made of them.

Then let one run of inference.py read compressed streams inside DICOM with a few things wrong.
"""

from pathlib import Path

from fracture.core.command import arguments, command, starting

with starting():
    from tests.hostile.abuse import Outcome, abuse
    from tests.hostile.batch import abuse_batch


@command
def main() -> int:
    """Parse flags, send, print as it goes; 1 if there was an answer that must not be."""
    parser = arguments(__doc__, partly="an answer was given that must not be")
    parser.add_argument("--count", type=int, default=10_000, help="how many films")
    parser.add_argument(
        "--seed", type=int, default=0, help="the first seed; each film has one, so a run can be resumed"
    )
    parser.add_argument("--streams", type=int, default=2_000, help="how many compressed streams for inference.py")
    parser.add_argument("--out", type=Path, default=Path("runs/abuse"), help="folder for films that did harm")
    args = parser.parse_args()
    outcome = Outcome()
    for line in abuse(args.count, args.seed, args.out, outcome) if args.count else ():
        print(line, flush=True)
    print("\n".join(outcome.summary()))
    batch = abuse_batch(range(args.seed, args.seed + args.streams), args.out / "streams")
    print("\n".join(batch.summary()))
    return 1 if outcome.faults or batch.faults else 0


if __name__ == "__main__":
    raise SystemExit(main())
