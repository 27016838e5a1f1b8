"""Harmonised stages -> dataset_v5: groups that never meet across splits, stratified by source, region and label."""

import argparse
from pathlib import Path

from fracture.data.assemble import assemble


def main() -> None:
    """Parse flags, assemble the dataset, print the leak report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--src", type=Path, action="append", required=True, help="a harmonised stage; may be repeated")
    parser.add_argument("--out", type=Path, default=Path("dataset_v5"))
    parser.add_argument("--val", type=float, default=0.10, help="share of films for validation")
    parser.add_argument("--test", type=float, default=0.15, help="share of films for the test")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--copy", action="store_true", help="copy films instead of hard-linking them")
    parser.add_argument("--stratify", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--official", action="store_true", help="write exactly the published split lists instead")
    args = parser.parse_args()
    report = assemble(
        args.src,
        args.out,
        val=args.val,
        test=args.test,
        seed=args.seed,
        copy=args.copy,
        stratify=args.stratify,
        official=args.official,
    )
    print(report.text())


if __name__ == "__main__":
    main()
