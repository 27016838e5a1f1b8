"""Average the weights of a run and of the one it began with, into a run of its own that scripts/bundle.py takes."""

import shutil
from dataclasses import replace
from pathlib import Path

from fracture.core.command import arguments, command, starting

with starting():
    from fracture.core.errors import BadValue
    from fracture.core.files import write_json
    from fracture.models.detectors.runs import AVERAGED, checkpoints, run_config
    from fracture.models.detectors.table import detector
    from fracture.models.runs import CONFIG, FINISHED


@command
def main() -> int:
    """Parse flags, average, say what was written; 2 where the runs are not alike."""
    parser = arguments(__doc__)
    parser.add_argument("--first", type=Path, required=True, help="the run that the other began with")
    parser.add_argument("--second", type=Path, required=True, help="the run that learned on; its settings are kept")
    parser.add_argument("--share", type=float, default=0.5, help="the second's share in every weight, 0 to 1")
    parser.add_argument("--out", type=Path, required=True, help="the run to write")
    args = parser.parse_args()
    if args.out.exists():
        raise BadValue(f"{args.out} holds a run already; name another one")
    [old], [new] = checkpoints(args.first), checkpoints(args.second)
    first, second = run_config(args.first), run_config(args.second)
    if first.arch != second.arch:
        raise BadValue(f"expected runs of one architecture, got {first.arch} and {second.arch}")
    mean = detector(second.arch).average
    written = mean([old, new], args.out / "weights" / "best.pt", [1 - args.share, args.share])
    for name in ("results.csv", "args.yaml", FINISHED):
        if (args.second / name).is_file():
            shutil.copy2(args.second / name, args.out / name)
    told = {"first": args.first.name, "second": args.second.name, "share": args.share}
    write_json(args.out / AVERAGED, told)
    config = replace(second, name=args.out.name, runs=str(args.out.parent))
    if first.model.endswith(".yaml"):  # it tells which network this is, which a checkpoint's name does not
        config = replace(config, model=first.model, start=str(old))
    write_json(args.out / CONFIG, vars(config))
    print(f"{written}: {1 - args.share:g} of {args.first}, {args.share:g} of {args.second}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
