"""Train a detector on a dataset that ``fracture split`` made; needs the packages of the extra named train."""

import argparse

from fracture.commands import train_classifier
from fracture.core.command import arguments, command
from fracture.core.errors import BadValue
from fracture.models.detectors import shipped
from fracture.models.detectors.config import SETTINGS, Config, settings
from fracture.models.detectors.table import DETECTORS
from fracture.models.detectors.train import train
from fracture.training import run_flags
from fracture.training.bundle import bundle


def parser() -> argparse.ArgumentParser:
    """Give the command's flags."""
    default = Config()
    parser = arguments(__doc__)
    run_flags.add_task(parser)
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
    run_flags.add(parser, default)
    parser.add_argument(
        "--members", type=int, default=1, help="networks to train, seed by seed, and to read with as one"
    )
    parser.add_argument(
        "--rounds",
        type=int,
        default=1,
        help="rounds of --epochs, each begun with the mean of those before; the mean of all is the network",
    )
    parser.add_argument("--allow-weak", action="store_true", help="train on whole-film boxes that nobody drew")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help=f"one of {', '.join(SETTINGS)}; may repeat"
    )
    return parser


@command
def main() -> int:
    """Parse flags, train, say where the run is."""
    asked = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    run_flags.add_task(asked)
    if asked.parse_known_args()[0].task == "classify":
        return train_classifier.main()
    interface = parser()
    if interface.parse_args().start == shipped.NAME:
        interface.set_defaults(**shipped.recipe())
        args = vars(interface.parse_args()) | {"start": shipped.recipe()["start"]}
        if args["arch"] != shipped.recipe()["arch"]:
            raise BadValue(f"--start shipped: expected --arch {shipped.recipe()['arch']}, got {args['arch']}")
    else:
        args = vars(interface.parse_args())
    resume, changed = args.pop("resume"), args.pop("set")
    given = {name: value for name, value in args.items() if value is not None and name != "task"}
    config = Config(**given | {"settings": given.get("settings", {}) | settings(changed)})
    best = train(config, resume=resume)
    card = bundle(config.folder)
    print(f"best: {', '.join(map(str, best))}; bundle: {config.folder}/model.onnx and card.json")
    run_flags.tell_points(card)
    return 0
