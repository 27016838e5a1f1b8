"""Search for the settings that a film classifier learns best with; a study can be killed at any moment, and goes on."""

from dataclasses import replace
from pathlib import Path

from fracture.core.command import arguments, command, starting

with starting():
    from fracture.core.errors import BadValue
    from fracture.models.classifiers.config import ClassifierConfig
    from fracture.models.classifiers.networks import NETWORKS
    from fracture.training.tuning import SPACE, best_of, in_words, tune


@command
def main() -> int:
    """Parse flags, search, print the trials, best first."""
    default = ClassifierConfig(epochs=8, patience=0, name="study")
    parser = arguments(__doc__)
    add = parser.add_argument
    add("--data", default=default.data, help="the dataset.yaml to learn from and to judge on, by its val")
    add("--trials", type=int, default=20, help="trials to have in the end, those of earlier calls included")
    add("--arch", choices=NETWORKS, default=default.arch, help="the network")
    add("--heads", type=lambda text: tuple(text.split(",")), default=default.heads, help="judged by the first")
    add("--start", help="weights that every trial begins with")
    add("--restate", type=int, default=0, help="train films in whose statistics they are restated")
    add("--epochs", type=int, default=default.epochs, help="epochs of a trial")
    add("--long-side", type=int, default=default.imgsz, metavar="PX", help="long side of the films")
    add("--batch", type=int, default=default.batch, help="films in memory at once, and between two steps")
    add("--only", action="append", choices=SPACE, help="a setting to search; may repeat; all of them if not named")
    add("--seed", type=int, default=0, help="the seed of the search and of every trial")
    add("--device", default="", help="cpu, 0, ...; chosen if not named")
    add("--runs", type=Path, default=Path("runs"), help="folder of all runs")
    add("--name", default=default.name, help="name of the study, a folder in --runs")
    args = parser.parse_args()
    if args.trials < 1:
        raise BadValue(f"--trials: expected 1 or more, got {args.trials}")
    base = replace(
        default,
        data=args.data,
        arch=args.arch,
        heads=args.heads,
        start=args.start or "",
        restate=args.restate,
        epochs=args.epochs,
        imgsz=args.long_side,
        batch=args.batch,
        films_per_step=args.batch,
        seed=args.seed,
        device=args.device,
        runs=str(args.runs),
        name=args.name,
    )
    space = {name: SPACE[name] for name in args.only or SPACE}
    study = tune(base, args.trials, space)
    print("\n".join(map(in_words, sorted(study.trials, key=lambda trial: -(trial.value or 0)))))
    best = replace(base, runs=str(base.folder), name=f"trial{study.best_trial.number}")
    print(f"best: {best.folder}, val AUC of {base.heads[0]} {best_of(best):.4f}; it is an ordinary run")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
