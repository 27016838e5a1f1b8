"""Make a training film look as if it came from elsewhere: another exposure, detector, archive or hand at the tube.

A network that has seen the films of one archive learns that archive's look along with its fractures. Here the look is
drawn at random, far wider than any one hospital's, while what the film shows stays where it is: no box moves.

Sources: J. Tobin et al., "Domain randomization for transferring deep neural networks from simulation to the real
world", IROS 2017; L. Zhang et al., "Generalizing deep learning for medical image segmentation to unseen domains via
deep stacked transformation", IEEE Trans Med Imaging 39 (2020) 2531-2540; Y. Yang and S. Soatto, "FDA: Fourier domain
adaptation for semantic segmentation", CVPR 2020.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from fracture.core.types import Box

Grey = NDArray[np.uint8]

_LETTERS = ("L", "R", "LI", "RE", "AP", "LAT", "PA", "OBL", "1", "2", "12-7", "AB")
_LEAST_SIDE_PX = 200
"""Films on the web are as small as this."""

_KEEP_PX = 8
"""What is pasted or cut stays this far from every box."""


@dataclass(frozen=True)
class _Scene:
    """A film on its way to another look: (H, W) greys, its boxes, where chance comes from, a film to borrow from."""

    film: Grey
    boxes: Sequence[Box]
    rng: np.random.Generator
    other: Grey | None


def randomise(film: Grey, boxes: Sequence[Box], rng: np.random.Generator, other: Grey | None = None) -> Grey:
    """Give (H, W) greys another look; ``boxes``, xyxy px, stay visible. ``other`` is a film whose look may be lent.

    What is done comes in the order in which it happens to a film: first what the tube and the plate do, then what is
    laid on the plate, then what archives and the web do.
    """
    for share, change in _STEPS:
        if rng.random() < share:
            film = change(_Scene(film, boxes, rng, other))
    return film


def _look_of_another(scene: _Scene) -> Grey:
    """Take over another film's histogram, or the slow part of its Fourier amplitudes, in part."""
    film, rng, other = scene.film, scene.rng, scene.other
    if other is None:
        return film
    by_histogram = rng.random() < 0.5
    lent = _quantiles(other)[_ranks(film)] if by_histogram else _amplitudes(film, other, rng.uniform(0.005, 0.03))
    share = rng.uniform(0.3, 1.0)
    return np.asarray(cv2.addWeighted(lent, share, film, 1 - share, 0))


def _quantiles(film: Grey) -> Grey:
    """Give the grey below which each of 256 equal shares of a film's pixels lie."""
    total = np.cumsum(np.bincount(film.reshape(-1), minlength=256))
    shares = np.searchsorted(total, np.arange(256) / 255 * total[-1])
    return np.asarray(shares.clip(0, 255).astype(np.uint8))


def _ranks(film: Grey) -> Grey:
    """Give for each pixel which share of the film, of 255, is as dark."""
    total = np.cumsum(np.bincount(film.reshape(-1), minlength=256))
    return np.asarray((total * 255 // total[-1]).astype(np.uint8)[film])


def _amplitudes(film: Grey, other: Grey, share: float) -> Grey:
    height, width = film.shape
    both = [np.fft.rfft2(one.astype(np.float32)) for one in (film, cv2.resize(other, (width, height)))]
    size = np.abs(both[0])
    high, wide = max(1, round(share * height)), max(1, round(share * width))
    for rows in (slice(0, high), slice(-high, None)):
        size[rows, :wide] = np.abs(both[1][rows, :wide])
    mixed = np.fft.irfft2(size * np.exp(1j * np.angle(both[0])), s=film.shape)
    return np.clip(np.rint(mixed), 0, 255).astype(np.uint8)


def _tone(scene: _Scene) -> Grey:
    """Apply another film curve: a gamma, then a smooth rising curve through random points."""
    film, rng = scene.film, scene.rng
    level = np.linspace(0, 1, 256) ** np.exp(rng.uniform(-0.7, 0.7))
    points = np.concatenate([[0], np.cumsum(rng.uniform(0.4, 1.6, 5))])
    level = np.interp(level, np.linspace(0, 1, 6), points / points[-1])
    low, high = rng.uniform(0, 0.15), rng.uniform(0.8, 1.0)
    table = np.rint(255 * (low + level * (high - low))).astype(np.uint8)
    return np.asarray(cv2.LUT(film, table))


def _invert(scene: _Scene) -> Grey:
    film = scene.film
    return np.asarray(255 - film)


def _flatten(scene: _Scene) -> Grey:
    """Weaken the slow differences of exposure and strengthen the fine ones, or the other way round."""
    film, rng = scene.film, scene.rng
    height, width = film.shape
    # What is slow can be blurred at an eighth of the size, for a hundredth of the cost.
    small = cv2.resize(film, (max(1, width // 8), max(1, height // 8)), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), max(small.shape) * rng.uniform(0.01, 0.08))
    slow = cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
    gain = rng.uniform(-0.4, 0.8)
    return np.asarray(cv2.addWeighted(film, 1 + gain, slow, -gain, 0))


def _blur(scene: _Scene) -> Grey:
    film, rng = scene.film, scene.rng
    return np.asarray(cv2.GaussianBlur(film, (0, 0), rng.uniform(0.4, 1.6)))


def _noise(scene: _Scene) -> Grey:
    """Add quantum noise, in grains of one to three pixels."""
    film, rng = scene.film, scene.rng
    grain = rng.integers(1, 4)
    height, width = film.shape
    noise = rng.normal(0, rng.uniform(2, 14), (-(-height // grain), -(-width // grain))).astype(np.float32)
    noise = cv2.resize(noise, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(np.clip(film + noise, 0, 255).astype(np.uint8))


def _collimate(scene: _Scene) -> Grey:
    """Blacken, grey or whiten what lies outside a rectangle or a rounder shape, turned, that holds every box."""
    film, boxes, rng = scene.film, scene.boxes, scene.rng
    height, width = film.shape
    margins = rng.uniform(0, 0.15, 4) * [width, height, width, height]
    x0, y0, x1, y1 = margins[0], margins[1], width - margins[2], height - margins[3]
    centre, half = np.array([(x0 + x1) / 2, (y0 + y1) / 2]), np.array([(x1 - x0) / 2, (y1 - y0) / 2])
    if rng.random() < 0.6:
        corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * half
        angle = np.deg2rad(rng.uniform(-12, 12)) if rng.random() < 0.5 else 0.0
    else:  # a film that was turned in its frame, or an image intensifier's
        around = np.linspace(0, 2 * np.pi, rng.integers(6, 17), endpoint=False)
        corners = np.stack([np.cos(around), np.sin(around)], axis=1) * half * rng.uniform(1.0, 1.3)
        angle = np.deg2rad(rng.uniform(0, 90))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    inside = np.zeros(film.shape, np.uint8)
    cv2.fillConvexPoly(inside, np.rint(corners @ turn.T + centre).astype(np.int32), 1)
    for box in boxes:
        cv2.rectangle(inside, *_around(box), 1, -1)
    border = rng.choice(np.array([0, 0, 0, rng.integers(0, 60), 255]))
    return np.where(inside == 1, film, border.astype(np.uint8))


def _mark(scene: _Scene) -> Grey:
    """Lay on side markers, letters, arrows or plates with screws, beside the boxes."""
    film, boxes, rng = scene.film, scene.boxes, scene.rng
    film = film.copy()
    height, width = film.shape
    unit = max(height, width) / 100
    for _ in range(rng.integers(1, 4)):
        place = np.array([rng.uniform(0.03, 0.9) * width, rng.uniform(0.05, 0.95) * height])
        span = unit * rng.uniform(4, 18)
        if _touches(boxes, place, span):
            continue
        mark = _Mark(place, span, int(rng.integers(150, 256)), max(1, round(unit * rng.uniform(0.3, 1.2))))
        _KINDS[rng.choice(len(_KINDS), p=_SHARES)](film, mark, rng)
    return film


@dataclass(frozen=True)
class _Mark:
    """Where something is laid on a film, how large it is in px, how bright, and how thick its lines are in px."""

    place: NDArray[np.float64]
    span: float
    grey: int
    thick: int


def _letters(film: Grey, mark: _Mark, rng: np.random.Generator) -> None:
    unit = max(film.shape) / 100
    text = _LETTERS[rng.integers(len(_LETTERS))]
    at = (int(mark.place[0]), int(mark.place[1]))
    cv2.putText(film, text, at, cv2.FONT_HERSHEY_SIMPLEX, unit * rng.uniform(0.08, 0.3), mark.grey, mark.thick)


def _marker(film: Grey, mark: _Mark, rng: np.random.Generator) -> None:
    """Lay a lead marker on: a side and a radiographer's letters or digits, on a plate of its own, turned anyhow."""
    side = str(rng.choice(list("LR")))
    text = side + "".join(rng.choice(list("ABDEHKLMNOPRST0123456789"), rng.integers(0, 4)))
    scale, pen = rng.uniform(1.2, 2.2), int(rng.integers(3, 9))
    (wide, high), below = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, pen)
    edge = int(rng.integers(2, 30))
    plate = np.full((high + below + 2 * edge, wide + 2 * edge), int(rng.integers(0, 140)), np.uint8)
    cv2.putText(plate, text, (edge, edge + high), cv2.FONT_HERSHEY_SIMPLEX, scale, mark.grey, pen, cv2.LINE_AA)
    if rng.random() < 0.2:
        plate = cv2.flip(plate, 1)  # read from behind
    seen = np.full(plate.shape, 255, np.uint8)
    if rng.random() < 0.4:  # letters alone
        seen = cv2.threshold(plate, (mark.grey + int(plate[0, 0])) // 2, 255, cv2.THRESH_BINARY)[1]
    size = 2 * mark.span / float(np.hypot(*plate.shape))
    turn = cv2.getRotationMatrix2D((plate.shape[1] / 2, plate.shape[0] / 2), rng.uniform(0, 360), size)
    turn[:, 2] += mark.place - np.array([plate.shape[1] / 2, plate.shape[0] / 2])
    frame = film.shape[::-1]
    laid, mask = (cv2.warpAffine(one, turn, frame, flags=cv2.INTER_AREA) for one in (plate, seen))
    film[mask > 127] = laid[mask > 127]


def _arrow(film: Grey, mark: _Mark, rng: np.random.Generator) -> None:
    end = mark.place + mark.span * _direction(rng)
    at, tip = ((int(x), int(y)) for x, y in (mark.place, end))
    cv2.arrowedLine(film, at, tip, mark.grey, mark.thick, cv2.LINE_AA, tipLength=0.35)


def _plate(film: Grey, mark: _Mark, rng: np.random.Generator) -> None:
    end = mark.place + mark.span * _direction(rng)
    cv2.line(
        film,
        (int(mark.place[0]), int(mark.place[1])),
        (int(end[0]), int(end[1])),
        mark.grey,
        3 * mark.thick,
        cv2.LINE_AA,
    )
    for part in np.linspace(0.15, 0.85, rng.integers(2, 6)):
        at = mark.place + part * (end - mark.place)
        across = np.array([-(end - mark.place)[1], (end - mark.place)[0]]) * rng.uniform(0.1, 0.3)
        head, foot = (tuple(int(number) for number in at + side * across) for side in (-0.3, 1))
        cv2.line(film, head, foot, min(255, mark.grey + 10), mark.thick, cv2.LINE_AA)


def _direction(rng: np.random.Generator) -> NDArray[np.float64]:
    turn = rng.uniform(0, 2 * np.pi)
    return np.array([np.cos(turn), np.sin(turn)])


_KINDS = (_letters, _marker, _arrow, _plate)
_SHARES = (0.15, 0.45, 0.2, 0.2)
"""What is laid on a film, and how often each of it."""


def _shrink(scene: _Scene) -> Grey:
    """Lose resolution: down to as little as `_LEAST_SIDE_PX` and back."""
    film, rng = scene.film, scene.rng
    height, width = film.shape
    side = max(height, width)
    if side <= _LEAST_SIDE_PX:
        return film
    scale = np.exp(rng.uniform(np.log(_LEAST_SIDE_PX / side), 0))
    small = cv2.resize(
        film, (max(1, round(width * scale)), max(1, round(height * scale))), interpolation=cv2.INTER_AREA
    )
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR))


def _compress(scene: _Scene) -> Grey:
    film, rng = scene.film, scene.rng
    coded = cv2.imencode(".jpg", film, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(15, 85))])[1]
    return np.asarray(cv2.imdecode(coded, cv2.IMREAD_GRAYSCALE))


def _around(box: Box) -> tuple[tuple[int, int], tuple[int, int]]:
    x0, y0, x1, y1 = box
    return (int(x0) - _KEEP_PX, int(y0) - _KEEP_PX), (int(x1) + _KEEP_PX, int(y1) + _KEEP_PX)


def _touches(boxes: Sequence[Box], place: NDArray[np.float64], span: float) -> bool:
    reach = 1.3 * span + _KEEP_PX
    x, y = place
    return any(x0 - reach < x < x1 + reach and y0 - reach < y < y1 + reach for x0, y0, x1, y1 in boxes)


_STEPS: tuple[tuple[float, Callable[[_Scene], Grey]], ...] = (
    (0.25, _look_of_another),
    (0.6, _tone),
    (0.25, _flatten),
    (0.2, _blur),
    (0.3, _noise),
    (0.5, _mark),
    (0.35, _collimate),
    (0.05, _invert),
    (0.3, _shrink),
    (0.3, _compress),
)
"""Each change and the share of films it is made on."""
