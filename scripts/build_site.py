"""Build the static site in docs/: the page's files, synthetic films, and what models say of them, recorded."""

import argparse
from pathlib import Path

from fracture.core.doors import door
from fracture.models.card import SHIPPED
from fracture.service.http.site import build


@door
def main() -> int:
    """Parse flags, build, say what was written; 2 if a model cannot be read."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "docs")
    parser.add_argument(
        "--weights",
        type=Path,
        action="append",
        help="a run's folder or a bundle; several may be named; else the shipped",
    )
    parser.add_argument("--page-only", action="store_true", help="copy the page's files alone, for when they changed")
    args = parser.parse_args()
    written = build(args.out, args.weights or [SHIPPED], record=not args.page_only)
    print(f"{len(written)} files written, {sum(file.stat().st_size for file in written) / 1e6:.2f} MB")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
