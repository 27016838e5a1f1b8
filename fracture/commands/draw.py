"""Draw what the detector sees on a film."""

import argparse
from pathlib import Path

from fracture.clinical.status import DEFAULT_MODE, said_of
from fracture.core.command import arguments, command
from fracture.core.folders import check_apart
from fracture.imaging.render import encode_png, overlay
from fracture.inference.batch import is_ours, open_sandbox
from fracture.inference.reader import Reader


def parser() -> argparse.ArgumentParser:
    """Give the command's flags."""
    parser = arguments(__doc__)
    parser.add_argument(
        "--weights", type=Path, help="a run's folder, an .onnx or a .pt; the shipped model if not named"
    )
    film = parser.add_mutually_exclusive_group(required=True)
    film.add_argument("film", nargs="?", type=Path, help="a film: PNG, JPEG, TIFF or DICOM")
    film.add_argument("--image", type=Path, help="the same")
    parser.add_argument("--out", type=Path, default=Path("prediction.png"))
    parser.add_argument(
        "--conf", type=float, help=f"draw the boxes from this score on; those of {DEFAULT_MODE} if not named"
    )
    return parser


@command
def main() -> int:
    """Parse flags, read the film, write the picture; 2 if the film or the model cannot be read."""
    interface = parser()
    args = interface.parse_args()
    image = args.film or args.image
    if args.conf is not None and not 0 <= args.conf <= 1:
        interface.error(f"argument --conf: expected a score within 0..1, got {args.conf:g}")
    check_apart(args.out, image)
    reader = Reader.load(args.weights)
    data = image.read_bytes()
    with open_sandbox(reader.card, 1) as sandbox:
        (film,) = sandbox.prepare(data, grey=True, marked=is_ours(image, data))
    prediction, thresholds = reader.read_prepared(film.model_input, film.flags), reader.card.thresholds
    shown_from = reader.card.operating_point(DEFAULT_MODE).threshold if args.conf is None else args.conf
    said = said_of(prediction, thresholds, shown_from)
    picture = overlay(film.greys(), prediction.detections, said, shown_from, thresholds, reader.card.model_id)
    args.out.write_bytes(encode_png(picture))
    print(f"{said.shown} boxes drawn on {args.out}; status: {said.status or 'not known'}")
    return 0
