"""Draw what the detector sees on a film: python visualize.py --image x.png --out prediction.png."""

import argparse
import sys
from pathlib import Path

from fracture.errors import FractureError
from fracture.imaging.decode import decode
from fracture.imaging.harmonise import to_grey
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
        film = decode(args.image.read_bytes())
        found = reader.read_film(film).detections
        low, high = (args.conf or reader.card.operating_point(name).threshold for name in ("screening", "specific"))
    except (FractureError, OSError) as error:
        print(f"visualize: {error}", file=sys.stderr)
        return 2
    args.out.write_bytes(encode_png(overlay(to_grey(film), found, Marks(low, high), reader.card.model_id)))
    print(f"{len(found.above(min(low, high)))} boxes drawn on {args.out}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
