"""Fuse a detector with a film classifier into one bundle, as far as val says that it helps."""

from pathlib import Path

from fracture.core.command import arguments, command, starting

with starting():
    from fracture.data.yolo import load_dataset
    from fracture.models.card import SHIPPED
    from fracture.models.fusion import LOGISTIC, PRODUCT
    from fracture.training.fuse import about, fuse_bundles


@command
def main() -> int:
    """Parse flags, fuse, say what it brings on val; 2 where the two do not fit."""
    parser = arguments(__doc__)
    parser.add_argument("--detector", type=Path, default=SHIPPED, help="a detector's run or bundle")
    parser.add_argument("--classifier", type=Path, required=True, help="a film classifier's run or bundle")
    parser.add_argument("--data", type=Path, required=True, help="the dataset.yaml that both were chosen on")
    parser.add_argument("--out", type=Path, required=True, help="the folder of the bundle to write")
    parser.add_argument(
        "--kind",
        choices=(PRODUCT, LOGISTIC),
        default=PRODUCT,
        help="product: a score times alpha + (1 - alpha) of the film's probability; logistic: a learned mean of logits",
    )
    args = parser.parse_args()
    card = fuse_bundles(args.detector, args.classifier, load_dataset(args.data).root, args.out, args.kind)
    print("\n".join([f"written: {args.out}", *about(card)]))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
