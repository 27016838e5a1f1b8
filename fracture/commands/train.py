"""Train a detector on a dataset that ``fracture split`` made; needs the packages of the extra named train."""

import argparse

from fracture.core.command import arguments, command
from fracture.core.errors import BadValue
from fracture.models.detectors import shipped
from fracture.models.detectors.config import SETTINGS, Config, settings
from fracture.models.detectors.table import DETECTORS
from fracture.models.detectors.train import train
from fracture.training.bundle import bundle


def parser() -> argparse.ArgumentParser:
    """Give the command's flags."""
    default = Config()
    parser = arguments(__doc__)
    parser.add_argument("--arch", choices=DETECTORS, default=default.arch, help="the architecture to train")
    parser.add_argument(
        "--model",
        help="what to learn on: a .pt of the same architecture; for yolov8 also a name (yolov8m, the default), a "
        "network without weights (yolov8s.yaml) or a .safetensors state dict",
    )
    parser.add_argument(
        "--start",
        help="weights to begin with, for yolov8s.yaml and its like a .safetensors or an .onnx, for the others a "
        "torchvision state dict of theirs or of their backbone, or 'coco' or 'imagenet' to download one; without, they "
        "begin at random. 'shipped': the weights of the shipped model and, where a flag does not say otherwise, its "
        "recipe",
    )
    parser.add_argument("--data", default=default.data, help="the dataset.yaml of the dataset")
    parser.add_argument("--epochs", type=int, default=default.epochs, help="times to go through the films")
    parser.add_argument(
        "--long-side",
        "--imgsz",
        dest="imgsz",
        metavar="PX",
        type=int,
        default=default.imgsz,
        help="long side of the films that the network sees, in px",
    )
    parser.add_argument("--batch", type=int, default=default.batch, help="films in memory at once")
    parser.add_argument("--films-per-step", type=int, default=default.films_per_step, help="films between two steps")
    parser.add_argument("--learning-rate", type=float, default=default.learning_rate, help="AdamW's; chosen if 0")
    parser.add_argument(
        "--name", help="name of the run, a folder in --runs; fracture_ and the architecture if not named"
    )
    parser.add_argument(
        "--patience", type=int, default=default.patience, help="epochs without gain before stopping, 0: never"
    )
    parser.add_argument("--hours", type=float, help="end after this long, the schedule fitted to it")
    parser.add_argument("--normals", type=float, default=default.normals, help="normal films per fractured, 0 for all")
    parser.add_argument(
        "--val-every", type=int, default=default.val_every, help="validate every so many epochs, 0: never"
    )
    parser.add_argument("--seed", type=int, default=default.seed, help="the seed of all that is drawn by lot")
    parser.add_argument(
        "--members", type=int, default=1, help="networks to train, seed by seed, and to read with as one"
    )
    parser.add_argument(
        "--rounds",
        type=int,
        default=1,
        help="rounds of --epochs, each begun with the mean of those before; the mean of all is the network",
    )
    parser.add_argument(
        "--restate", type=int, default=0, help="train films in whose statistics the weights to begin with are restated"
    )
    parser.add_argument(
        "--other-looks", type=float, default=0.0, help="share of train films given another hospital's look, 0 to 1"
    )
    parser.add_argument("--device", help="cpu, 0, ...; chosen if not named")
    parser.add_argument("--runs", default=default.runs, help="folder of all runs")
    parser.add_argument("--allow-weak", action="store_true", help="train on whole-film boxes that nobody drew")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help=f"one of {', '.join(SETTINGS)}; may repeat"
    )
    parser.add_argument("--resume", action="store_true", help="go on with the run of this name")
    return parser


@command
def main() -> int:
    """Parse flags, train, say where the run is."""
    interface = parser()
    if interface.parse_args().start == shipped.NAME:
        interface.set_defaults(**shipped.recipe())
        args = vars(interface.parse_args()) | {"start": shipped.recipe()["start"]}
        if args["arch"] != shipped.recipe()["arch"]:
            raise BadValue(f"--start shipped: expected --arch {shipped.recipe()['arch']}, got {args['arch']}")
    else:
        args = vars(interface.parse_args())
    resume, asked = args.pop("resume"), args.pop("set")
    given = {name: value for name, value in args.items() if value is not None}
    config = Config(**given | {"settings": given.get("settings", {}) | settings(asked)})
    best = train(config, resume=resume)
    card = bundle(config.folder)
    print(f"best: {', '.join(map(str, best))}; bundle: {config.folder}/model.onnx and card.json")
    for point in card.operating_points:
        print(f"{point.name}: {point.threshold:.3f}, sensitivity {point.sensitivity}, specificity {point.specificity}")
    return 0
