"""What a compressed stream says of itself, checked before any codec sees it.

Codecs believe a stream's own header: its size, its components and their depth, its tables. So a stream is taken apart
here marker by marker, compared with the header of the file it came in, and put together again from the segments that a
film needs. A codec is given nothing else: no wrapper, no comment, no extension, nothing behind the end.
"""

from fracture.core.errors import BrokenFilm
from fracture.imaging.codestream.jpeg import checked_jpeg
from fracture.imaging.codestream.jpeg_2000 import checked_jpeg_2000, unwrapped
from fracture.imaging.codestream.rle import checked_rle
from fracture.imaging.codestream.stream import JPEG, JPEG_2000, JPEG_LS, RLE, Announced, Stream
from fracture.imaging.jpeg import check_scans

__all__ = ["JPEG", "JPEG_2000", "JPEG_LS", "RLE", "Announced", "Stream", "checked"]

_JPEG, _JPEG_2000, _JP2 = b"\xff\xd8", b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  "


def checked(frame: bytes, announced: Announced, *, rle: bool) -> Stream:
    """Take a frame's stream apart and give what may go to a codec.

    Raises BrokenFilm where the stream contradicts the file's header or itself, UnsupportedFormat that names a feature
    which no film needs, TooCostly for a JPEG with too many scans.
    """
    if rle:
        return checked_rle(frame, announced)
    if frame.startswith(_JP2):
        frame = unwrapped(frame)
    if frame.startswith(_JPEG_2000):
        return checked_jpeg_2000(frame, announced)
    if frame.startswith(_JPEG):
        check_scans(frame)
        return checked_jpeg(frame, announced)
    raise BrokenFilm("expected a codestream of JPEG, JPEG-LS or JPEG 2000, its first bytes are none of these")
