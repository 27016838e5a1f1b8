"""Fetch the raw datasets into one folder, or say exactly what to do by hand."""

import sys
from pathlib import Path

from fracture.core.command import arguments, command, starting

with starting():
    from fracture.core.errors import FractureError
    from fracture.data.acquire.fetch import acquire
    from fracture.data.acquire.origins import ORIGINS


@command
def main() -> int:
    """Parse flags, fetch one source after the other, print where each is; 2 if one is missing."""
    parser = arguments(__doc__)
    parser.add_argument(
        "--sources", default="fracatlas,grazpedwri,humerus,hip", help=f"comma-separated, out of {', '.join(ORIGINS)}"
    )
    parser.add_argument("--root", type=Path, default=Path("data"), help="the folder to hold all of them")
    parser.add_argument(
        "--roboflow-key", help="better in ROBOFLOW_API_KEY: other users of this machine can see a command's arguments"
    )
    args = parser.parse_args()
    missing = False
    for source in args.sources.split(","):
        try:
            tree = acquire(source.strip(), args.root, roboflow_key=args.roboflow_key)
            print(f"{source.strip()}: in {tree} ({ORIGINS[source.strip()].licence})", flush=True)
        except FractureError as error:
            missing = True
            print(f"{source.strip()}: {error}", file=sys.stderr)
    return 2 if missing else 0


if __name__ == "__main__":
    raise SystemExit(main())
