"""Rebuild dataset v5 and train on it, from whatever of its sources there is. Killed, it goes on where it was."""

from dataclasses import replace
from pathlib import Path

from fracture.core.command import arguments, command, starting

with starting():
    from fracture.training.plan import PHANTOM, SOURCES, STAGES, Plan, default_plan
    from fracture.training.rebuild import rebuild


@command
def main() -> int:
    """Parse flags, rebuild, print what is done; 2 where it cannot be."""
    parser = arguments(__doc__)
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--phantom", action="store_true", help="synthetic films in every source's layout, on a CPU")
    kind.add_argument("--default", action="store_true", help="the recipe of the model that ships")
    parser.add_argument("--from", dest="first", default=STAGES[0], help=f"first stage: {', '.join(STAGES)}")
    parser.add_argument("--until", dest="last", default=STAGES[-1], help="last stage")
    parser.add_argument("--dry-run", action="store_true", help="say what there is and what would be done")
    parser.add_argument("--sources", help=f"comma-separated, out of {', '.join(SOURCES)}; all there are if not named")
    parser.add_argument("--skip-download", action="store_true", help="take what lies in --data")
    parser.add_argument("--roboflow-key", help="better in the environment as ROBOFLOW_API_KEY, where no one sees it")
    parser.add_argument("--fracture-names", help="the hip set's fracture classes, comma-separated")
    parser.add_argument("--data", type=Path, help="folder of the raw sets")
    parser.add_argument("--work", type=Path, help="folder of the stages and the state")
    parser.add_argument("--out", dest="dataset", type=Path, help="folder of the dataset")
    parser.add_argument("--report", type=Path, help="folder of the evaluation")
    parser.add_argument("--keep", type=Path, help="an earlier manifest.csv whose films stay in their splits")
    parser.add_argument("--seed", type=int, help="the seed by which films are dealt")
    parser.add_argument("--target-recall", type=float, help="film sensitivity to reach on val")
    parser.add_argument("--model", help="yolov8m, a .pt, or a .safetensors state dict")
    parser.add_argument("--epochs", type=int, help="times to go through the films")
    parser.add_argument(
        "--long-side",
        "--imgsz",
        dest="imgsz",
        metavar="PX",
        type=int,
        help="long side of the films that the network sees, in px",
    )
    parser.add_argument("--batch", type=int, help="films in memory at once")
    parser.add_argument("--name", help="name of the training run")
    parser.add_argument("--hours", type=float, help="end training after this long")
    args = vars(parser.parse_args())
    first, last, dry_run = args.pop("first"), args.pop("last"), args.pop("dry_run")
    phantom, default = args.pop("phantom"), args.pop("default")
    plan = PHANTOM if phantom else default_plan(args["data"] or Plan.data) if default else Plan()
    given = {key: value for key, value in args.items() if value is not None and value is not False}
    for key in given.keys() & {"sources", "fracture_names"}:
        given[key] = tuple(name.strip() for name in given[key].split(","))
    trained = {key: given.pop(key) for key in ("model", "epochs", "imgsz", "batch", "name", "hours") if key in given}
    plan = replace(plan, **given, training=replace(plan.training, **trained))
    for line in rebuild(plan, first, last, dry_run=dry_run):
        print(line, flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
