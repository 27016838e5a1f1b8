"""Train a film classifier on a dataset that ``fracture split`` made; needs the packages of the extra named train."""

import argparse

from fracture.core.command import arguments, command
from fracture.models.classifiers.config import BALANCES, LOSSES, ClassifierConfig
from fracture.models.classifiers.networks import NETWORKS
from fracture.models.classifiers.train import train
from fracture.models.heads import NAMES
from fracture.training import run_flags
from fracture.training.bundle_classifier import bundle


def parser() -> argparse.ArgumentParser:
    """Give the command's flags."""
    default = ClassifierConfig()
    parser = arguments(__doc__)
    run_flags.add_task(parser)
    parser.add_argument("--arch", choices=NETWORKS, default=default.arch, help="the network to train")
    parser.add_argument(
        "--heads",
        type=lambda text: tuple(text.split(",")),
        default=default.heads,
        help=f"what it is to tell, some of {','.join(NAMES)}; the best epoch is the first one's",
    )
    parser.add_argument(
        "--start",
        help="weights to begin with: a .safetensors or .pth of this network (for yolov8n and yolov8s of the detector), "
        "in colour or grey; without, it begins at random",
    )
    run_flags.add(parser, default)
    parser.add_argument(
        "--frozen-epochs", type=int, default=default.frozen_epochs, help="epochs in which the heads learn alone"
    )
    parser.add_argument("--loss", choices=LOSSES, default=default.loss, help="focal: films told well count less")
    parser.add_argument(
        "--balance",
        choices=BALANCES,
        default=default.balance,
        help="deal: --normals negative films per positive one in an epoch; weights: all films, rare ones count more",
    )
    parser.add_argument("--turn", type=float, default=default.turn, help="most degrees that a train film is turned by")
    parser.add_argument("--zoom", type=float, default=default.zoom, help="most that it is scaled by, a share of 1")
    parser.add_argument("--shift", type=float, default=default.shift, help="most that it is moved by, a share of 1")
    return parser


@command
def main() -> int:
    """Parse flags, train, say where the run is."""
    args = vars(parser().parse_args())
    resume = args.pop("resume")
    config = ClassifierConfig(**{name: value for name, value in args.items() if value is not None})
    best = train(config, resume=resume)
    card = bundle(config.folder)
    print(f"best: {best}; bundle: {config.folder}/model.onnx and card.json")
    run_flags.tell_points(card)
    return 0
