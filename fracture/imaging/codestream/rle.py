"""The header of DICOM's run-length encoding (PS3.5 Annex G)."""

import struct
from itertools import pairwise

from fracture.imaging.codestream.stream import RLE, Announced, Stream, agree, need

_HEADER = struct.Struct("<16I")


def checked_rle(frame: bytes, announced: Announced) -> Stream:
    """Check the header of PS3.5 G.5: one segment for each byte of a sample and each sample of a pixel, in order."""
    need(len(frame) > _HEADER.size, "it ends within its header")
    count, *offsets = _HEADER.unpack_from(frame)
    agree("RLE segments:", count, announced.samples * (announced.bits_allocated // 8))
    used = [*offsets[:count], len(frame)]
    in_order = all(start < end for start, end in pairwise(used))
    need(used[0] == _HEADER.size and in_order, "its segments do not follow one another")
    return Stream(frame, RLE, announced.bits_allocated)
