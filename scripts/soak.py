"""Let many clients send mixed films for minutes; every answer must be as it is alone, and memory must not grow."""

import sys
from pathlib import Path

from fracture.core.command import arguments, command, starting

with starting():
    from bench.processes import DidNotStart
    from bench.soak import soak


@command
def main() -> int:
    """Parse flags, press, print; 1 where anything was wrong."""
    parser = arguments(__doc__, partly="an answer was wrong or memory grew")
    parser.add_argument("--minutes", type=float, default=10.0, help="how long, in minutes")
    parser.add_argument("--clients", type=int, default=16, help="how many send films at once")
    parser.add_argument("--weights", type=Path, help="a run's folder or an .onnx; the shipped model if not named")
    parser.add_argument("--most", type=float, default=1.0, help="MB a minute that memory may grow by")
    parser.add_argument("--every", type=float, default=5.0, help="seconds between two looks at memory")
    parser.add_argument("--requests", type=int, help="end after so many answers, if that is sooner")
    parser.add_argument(
        "--sizes", action="store_true", help="films of many sizes; memory of the service alone is judged"
    )
    args = parser.parse_args()
    how = {"clients": args.clients, "every_s": args.every, "most": args.requests, "sizes": args.sizes}
    try:
        found = soak(args.weights, seconds=args.minutes * 60, **how)
    except DidNotStart as error:
        print(f"soak: {error}", file=sys.stderr)
        return 2
    print(found.table())
    faults = found.parent_faults() if args.sizes else found.faults(args.most)
    print("\n".join(f"soak: {fault}" for fault in faults), file=sys.stderr, end="\n" if faults else "")
    return 1 if faults else 0


if __name__ == "__main__":
    raise SystemExit(main())
