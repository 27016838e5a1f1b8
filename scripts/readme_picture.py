"""Draw docs/overlay.png: what an overlay looks like, on a synthetic film with boxes and scores placed by hand."""

import argparse
from pathlib import Path

import numpy as np

from fracture.clinical.status import Thresholds, of_film
from fracture.core.doors import door
from fracture.core.types import Detections
from fracture.imaging.render import encode_png, overlay
from fracture.phantom import Wish, draw_film


@door
def main() -> int:
    """Parse flags, draw, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs/overlay.png"))
    args = parser.parse_args()
    wish = Wish(region="wrist", fractures=2, hardware="none", cast=False)
    film, truth = draw_film(np.random.default_rng(11), (560, 682), fractured=True, wish=wish)
    by_hand = np.add(truth[:2], (-8, -8, 8, 8))
    boxes = Detections(by_hand, np.array([0.83, 0.31]), np.zeros(2, np.int64))
    thresholds = Thresholds(screening=0.2, specific=0.5)
    said = of_film(boxes.score.tolist(), frozenset(), thresholds, 0.2)
    picture = overlay(film, boxes, said, 0.2, thresholds, "synthetic film, boxes placed by hand")
    args.out.write_bytes(encode_png(picture))
    print(f"written: {args.out}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
