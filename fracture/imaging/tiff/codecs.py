"""The compressions of TIFF, by zlib, lzma and imagecodecs."""

import lzma
import zlib
from collections.abc import Callable
from typing import Any

import imagecodecs
from numpy.typing import NDArray

NONE, FAX_3, JPEG = 1, 3, 7
_LZW, _DEFLATE, _PACKBITS, _OLD_DEFLATE, _LZMA, _ZSTD = 5, 8, 32773, 32946, 34925, 50000

KNOWN = {
    **{6: "JPEG of TIFF 6.0's first kind", 9: "JBIG", 10: "JBIG", 32766: "NeXT", 32809: "ThunderScan"},
    **{33003: "JPEG 2000", 33004: "JPEG 2000", 33005: "JPEG 2000", 34712: "JPEG 2000", 34661: "JBIG"},
    **{34676: "LogLuv", 34677: "LogLuv", 34887: "LERC", 34892: "lossy DNG", 34934: "JPEG XR", 50001: "WebP"},
    **{50002: "JPEG XL", 52546: "JPEG XL"},
}
"""Compressions that are not read here, by the names that refusals give them."""

PREDICTING = (_LZW, _DEFLATE, _OLD_DEFLATE, _LZMA, _ZSTD)
"""Those that a predictor may stand beside."""

_MAX_LZMA_BYTES = 1 << 28

# A codec is named here, as the module is imported: imagecodecs loads its library at that moment, and the process that
# decodes a stranger's film cannot open a file any more.
_decode_lzw, _decode_packbits, _decode_zstd = (
    *(imagecodecs.lzw_decode, imagecodecs.packbits_decode, imagecodecs.zstd_decode),
)
decode_jpeg, reverse_bits, unpack_bits = (
    *(imagecodecs.jpeg8_decode, imagecodecs.bitorder_decode, imagecodecs.packints_decode),
)


def _inflate(packed: bytes, size: int) -> bytes:
    return zlib.decompressobj().decompress(packed, size)


def _unpack_lzma(packed: bytes, size: int) -> bytes:
    return lzma.LZMADecompressor(memlimit=_MAX_LZMA_BYTES).decompress(packed, size)


DECOMPRESS: dict[int, Callable[[bytes, int], bytes | bytearray]] = {
    NONE: lambda packed, size: packed[:size],
    _LZW: lambda packed, size: _decode_lzw(packed, out=size),
    _DEFLATE: _inflate,
    _PACKBITS: lambda packed, size: _decode_packbits(packed, out=size + 128),
    _OLD_DEFLATE: _inflate,
    _LZMA: _unpack_lzma,
    _ZSTD: lambda packed, size: _decode_zstd(packed, out=size),
}
"""Packed bytes to plain ones of a given size. Only PackBits may give more: its last run may end behind the size."""

DECODE_FAX: dict[int, Callable[..., NDArray[Any]]] = {
    2: imagecodecs.ccittrle_decode,
    FAX_3: imagecodecs.ccittfax3_decode,
    4: imagecodecs.ccittfax4_decode,
}

RAISED = (RuntimeError, ValueError, OverflowError, zlib.error, lzma.LZMAError, EOFError)
"""By the codecs. imagecodecs' own are RuntimeErrors; ValueError and OverflowError come of a tag's value that is no byte
or no C number."""
