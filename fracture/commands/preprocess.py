"""A stage of films -> the same stage harmonised: CLAHE, long side capped, lossless grey PNG, boxes moved along."""

import argparse
from pathlib import Path

from fracture.core.command import arguments, command
from fracture.core.types import HarmoniseConfig
from fracture.core.words import counted
from fracture.data.preprocess import preprocess


def parser() -> argparse.ArgumentParser:
    """Give the command's flags."""
    parser = arguments(__doc__)
    parser.add_argument("--src", type=Path, required=True, help="a stage: a folder with manifest.csv")
    parser.add_argument("--out", type=Path, required=True, help="the stage to write")
    parser.add_argument(
        "--long-side",
        "--max-size",
        type=int,
        default=HarmoniseConfig.long_side_px,
        help="the longest a side may be, in px",
    )
    parser.add_argument(
        "--clahe-clip", type=float, default=HarmoniseConfig.clahe_clip, help="the clip limit of CLAHE; 0 turns it off"
    )
    return parser


@command
def main() -> int:
    """Parse flags, harmonise, print the account; 2 for bad input."""
    args = parser().parse_args()
    config = HarmoniseConfig(long_side_px=args.long_side, clahe_clip=args.clahe_clip)
    records = preprocess(args.src, args.out, config)
    aside = sum(record.split == "set_aside" for record in records)
    kept = f"{len(records) - aside} harmonised as {config.harmonise_id}"
    print(f"{counted(len(records), 'film')} in = {kept} + {aside} set aside")
    return 0
