"""Draw docs/overlay.png: what an overlay looks like, on a synthetic film with boxes and scores placed by hand."""

import argparse
from pathlib import Path

import numpy as np

from fracture.data.phantom import draw_film
from fracture.render import Marks, encode_png, overlay
from fracture.types import Detections


def main() -> None:
    """Parse flags, draw, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs/overlay.png"))
    args = parser.parse_args()
    film, truth = draw_film(np.random.default_rng(11), (560, 682), fractured=True)
    x0, y0, x1, y1 = truth[0]
    by_hand = np.array([[x0 - 8, y0 - 8, x1 + 8, y1 + 8], [250.0, 90.0, 330.0, 160.0]])
    boxes = Detections(by_hand, np.array([0.83, 0.31]), np.zeros(2, np.int64))
    marks = Marks(dashed=0.2, solid=0.5)
    picture = overlay((film / 255).astype(np.float32), boxes, marks, "synthetic film, boxes placed by hand")
    args.out.write_bytes(encode_png(picture))
    print(f"written: {args.out}")


if __name__ == "__main__":
    main()
