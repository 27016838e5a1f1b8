"""FracAtlas as published -> a stage of films, YOLO labels and a manifest; every film accounted for."""

import argparse
from pathlib import Path

from fracture.data.ingest import ingest, report
from fracture.data.sources import claims


def main() -> None:
    """Parse flags, ingest, print the account."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--src", type=Path, default=Path("FracAtlas"), help="the unpacked FracAtlas folder")
    parser.add_argument("--out", type=Path, default=Path("stage/fracatlas"), help="the stage to write")
    parser.add_argument("--copy", action="store_true", help="copy films instead of hard-linking them")
    args = parser.parse_args()
    account = report(ingest(claims("fracatlas", args.src), args.out, copy=args.copy))
    print(f"{account['films']} films in = {account['kept']} kept + {account['set_aside']} set aside")
    print(f"flags: {account['flags']}")
    print(f"{account['fractured']} fractured, {account['boxes']} boxes; every repair by film: {args.out}/report.json")


if __name__ == "__main__":
    main()
