"""A checked stream, and what the checks of all kinds of stream share."""

from dataclasses import dataclass

from fracture.core.errors import BrokenFilm

JPEG, JPEG_LS, JPEG_2000, RLE = "JPEG", "JPEG-LS", "JPEG 2000", "RLE"


@dataclass(frozen=True)
class Announced:
    """What the file's header says of one frame: its size, its samples a pixel, the bits of a sample's cell."""

    rows: int
    columns: int
    samples: int
    bits_allocated: int


@dataclass(frozen=True)
class Stream:
    """A checked stream: what the codec is to be given, and how to take what the codec gives back.

    ``ybr`` tells whether the stream itself says that its colours are Y, Cb, Cr; None where it leaves that to the file.
    """

    data: bytes
    kind: str
    bits: int
    signed: bool = False
    ybr: bool | None = None


def need(ok: bool, what: str) -> None:
    """Raise BrokenFilm where the stream contradicts itself."""
    if not ok:
        raise BrokenFilm(f"the codestream contradicts itself: {what}")


def agree(what: str, found: object, expected: object) -> None:
    """Raise BrokenFilm where the stream contradicts the file's header."""
    if found != expected:
        raise BrokenFilm(f"expected a codestream of {what} {expected}, it announces {found}")


def check_bits(bits: int, least: int, announced: Announced) -> None:
    """Raise BrokenFilm for samples that do not fit the file's cells."""
    if not least <= bits <= announced.bits_allocated:
        expected = f"{least} to {announced.bits_allocated} bits"
        raise BrokenFilm(f"expected a codestream of {expected} a sample, it announces {bits}")


def segment_end(stream: bytes, at: int) -> int:
    """Give where the segment ends whose marker is at a place: its length follows the marker."""
    end = at + 2 + int.from_bytes(stream[at + 2 : at + 4])
    need(end >= at + 4, "a segment is shorter than its own length")
    if end > len(stream):
        raise BrokenFilm("the codestream ends within a segment of its header")
    return end
