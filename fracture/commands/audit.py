"""Look at every film of a stage or dataset and say what is wrong with it: copies, leaks, labels, boxes, confounders."""

import argparse
from pathlib import Path

from fracture.core.command import arguments, command
from fracture.data.audit.run import audit, save


def parser() -> argparse.ArgumentParser:
    """Give the command's flags."""
    parser = arguments(__doc__, partly="it is done and data leak between splits")
    parser.add_argument(
        "--src",
        type=Path,
        action="append",
        required=True,
        help="a stage or dataset: a folder with manifest.csv; may repeat",
    )
    parser.add_argument("--out", type=Path, default=Path("audit"), help="folder for audit.json and audit.html")
    return parser


@command
def main() -> int:
    """Parse flags, audit, write audit.json and audit.html; 1 if there are leaks, 2 if there is nothing to audit."""
    args = parser().parse_args()
    found = audit(args.src, out=args.out)
    save(found, args.out)
    print(found.text())
    print(f"written: {args.out / 'audit.html'} and audit.json")
    return 1 if found.leaks else 0
