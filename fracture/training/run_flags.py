"""The flags that training takes whatever it trains, and what it says at its end."""

import argparse

from fracture.models.card import ModelCard
from fracture.models.config import RunConfig

TASKS = ("detect", "classify")


def add_task(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--task",
        choices=TASKS,
        default=TASKS[0],
        help="detect: boxes, by a detector; classify: what the whole film shows (--task classify --help has its flags)",
    )


def add(parser: argparse.ArgumentParser, default: RunConfig) -> None:
    add = parser.add_argument
    add("--data", default=default.data, help="the dataset.yaml of the dataset")
    add("--epochs", type=int, default=default.epochs, help="times to go through the films")
    add(
        "--long-side",
        "--imgsz",
        dest="imgsz",
        metavar="PX",
        type=int,
        default=default.imgsz,
        help="long side of the films that the network sees, in px",
    )
    add("--batch", type=int, default=default.batch, help="films in memory at once")
    add("--films-per-step", type=int, default=default.films_per_step, help="films between two steps")
    add("--learning-rate", type=float, default=default.learning_rate, help="AdamW's; chosen if 0")
    add("--name", help="name of the run, a folder in --runs; made of the architecture's if not named")
    add("--patience", type=int, default=default.patience, help="epochs without gain before stopping, 0: never")
    add("--hours", type=float, help="end after this long, the schedule fitted to it")
    add(
        "--normals",
        type=float,
        default=default.normals,
        help="normal films per fractured one in an epoch, 0 for all of them",
    )
    add("--val-every", type=int, default=default.val_every, help="validate every so many epochs, 0: never")
    add("--seed", type=int, default=default.seed, help="the seed of all that is drawn by lot")
    add("--restate", type=int, default=0, help="train films in whose statistics the weights to begin with are restated")
    add("--other-looks", type=float, default=0.0, help="share of train films given another hospital's look, 0 to 1")
    add("--device", help="cpu, 0, ...; chosen if not named")
    add("--runs", default=default.runs, help="folder of all runs")
    add("--resume", action="store_true", help="go on with the run of this name")


def tell_points(card: ModelCard) -> None:
    for point in card.operating_points:
        print(f"{point.name}: {point.threshold:.3f}, sensitivity {point.sensitivity}, specificity {point.specificity}")
