"""What a header may announce before any pixel is decoded, whatever the format."""

from fracture.core.errors import FilmTooLarge

_MAX_RATIO = 10_000
"""Of the long side to the short one. A film of a whole leg or spine has 5. Up to this ratio a strip costs no more than
a square film of as many pixels; one of 1 x 30,000,000 pixels costs three times as much."""


def check_size(width: int, height: int, max_pixels: int, count: int = 1, *, told: str = "the header announces") -> None:
    """Raise FilmTooLarge for more pixels than ``max_pixels`` in all frames, or for a strip that is no film."""
    size = f"{told} {width} x {height}" + (f" in {count} frames" if count > 1 else "")
    if width * height * count > max_pixels:
        raise FilmTooLarge(f"expected at most {max_pixels} pixels, {size}")
    if max(width, height) > _MAX_RATIO * min(width, height):
        raise FilmTooLarge(f"expected a long side of at most {_MAX_RATIO} times the short one, {size}")
