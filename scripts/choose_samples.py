"""Choose the films to try out of FracAtlas' test, by a rule that asks no model, and write them into the package."""

from pathlib import Path

from fracture.core.command import arguments, command, starting

with starting():
    from fracture.data.samples import FOLDER, choose


@command
def main() -> int:
    """Parse flags, choose, say what was written; 2 where a film cannot be had."""
    parser = arguments(__doc__)
    parser.add_argument(
        "--data", type=Path, default=Path("dataset_v5"), help="the dataset that says which are test films"
    )
    parser.add_argument("--src", type=Path, required=True, help="FracAtlas as fracatlas_to_yolo.py staged it")
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder to write the films to")
    args = parser.parse_args()
    for sample in choose(args.data, args.src, args.out):
        print(f"{args.out / sample.file}: {sample.image_id}, {'a fracture' if sample.fractured else 'none'}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
