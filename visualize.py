"""Draw what the detector sees on a film: python visualize.py --image x.png --out prediction.png."""

import argparse
import sys
from pathlib import Path

from fracture.batch import is_ours, open_sandbox
from fracture.errors import FractureError
from fracture.reader import Reader
from fracture.render import Marks, encode_png, overlay


def main() -> int:
    """Parse flags, read the film, write the picture; 2 if the film or the model cannot be read."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--weights", type=Path, help="a run's folder, an .onnx or a .pt; the shipped model if not named"
    )
    parser.add_argument("--image", type=Path, required=True, help="a film: PNG, JPEG, TIFF or DICOM")
    parser.add_argument("--out", type=Path, default=Path("prediction.png"))
    parser.add_argument("--conf", type=float, help="draw every box from this score on, instead of the card's points")
    args = parser.parse_args()
    try:
        reader = Reader.load(args.weights)
        data = args.image.read_bytes()
        with open_sandbox(reader.card, 1) as sandbox:
            (film,) = sandbox.prepare(data, grey=True, marked=is_ours(args.image, data))
        found = reader.read_prepared(film.model_input, film.flags).detections
        low, high = (args.conf or reader.card.operating_point(name).threshold for name in ("screening", "specific"))
    except (FractureError, OSError) as error:
        print(f"visualize: {error}", file=sys.stderr)
        return 2
    args.out.write_bytes(encode_png(overlay(film.grey, found, Marks(low, high), reader.card.model_id)))
    print(f"{len(found.above(min(low, high)))} boxes drawn on {args.out}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
