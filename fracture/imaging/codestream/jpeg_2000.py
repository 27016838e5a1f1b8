"""JPEG 2000 (T.800), with the high-throughput blocks of T.814: its main header and those of its tiles."""

import re
import struct
from dataclasses import dataclass

from fracture.core.errors import BrokenFilm, UnsupportedFormat
from fracture.imaging.codestream.stream import JPEG_2000, Announced, Stream, agree, check_bits, need, segment_end

_MOST_BOXES = 100
_COD, _COC, _QCD, _QCC, _RGN, _POC = 0x52, 0x53, 0x5C, 0x5D, 0x5E, 0x5F
_PPM, _PPT, _PLT, _SOT, _SOD, _EOC = 0x60, 0x61, 0x58, 0x90, 0x93, 0xD9
_CAP, _TLM, _PRF, _PLM, _CPF, _CRG, _COMMENT = 0x50, 0x55, 0x56, 0x57, 0x59, 0x63, 0x64
_IN_MAIN_HEADER = {_COD, _COC, _QCD, _QCC, _RGN, _POC, _PPM, _CAP}
_LEFT_OUT = {_TLM, _PRF, _PLM, _CPF, _CRG, _COMMENT}
_IN_TILE_HEADER = {_COD, _COC, _QCD, _QCC, _RGN, _POC, _PPT, _PLT, _COMMENT}
_MOST_TILES = 4096
_MOST_TILE_PARTS = 1 << 16
_MOST_PACKETS = 1 << 22
_SMALLEST_BLOCK_PX = 16


def unwrapped(file: bytes) -> bytes:
    """Give the codestream of a whole JP2 file (T.800 Annex I), as some write against PS3.5 A.4.4.

    The codec would believe what the boxes say of the colours, so it does not get them: the DICOM header counts. A
    palette is refused: without it the components are no greys.
    """
    at = 0
    for _ in range(_MOST_BOXES):
        size, kind = int.from_bytes(file[at : at + 4]), file[at + 4 : at + 8]
        start = at + 8
        if size == 1:
            size, start = int.from_bytes(file[at + 8 : at + 16]), at + 16
        end = at + size if size else len(file)
        if kind == b"jp2c":
            return file[start:end]
        need(start <= end <= len(file) and len(kind) == 4 and size > 0, "a box of its wrapper is cut short")
        if kind == b"jp2h" and re.search(rb"pclr|cmap", file[start:end]):
            raise UnsupportedFormat("expected the samples themselves, the JPEG 2000 file maps them by a palette")
        at = end
    raise BrokenFilm("the JPEG 2000 file has no codestream among its boxes")


@dataclass(frozen=True)
class _Grid:
    """Where the image and its tiles lie on the reference grid (T.800 B.2, B.3)."""

    right: int
    bottom: int
    left: int
    top: int
    tile_width: int
    tile_height: int
    tile_left: int
    tile_top: int

    def tiles(self) -> int:
        """Count the tiles. Raises BrokenFilm for a grid that the standard does not allow."""
        need(self.left < self.right and self.top < self.bottom, "it ends before it begins")
        need(max(self.right, self.bottom) < 1 << 31, "it lies too far out on its grid")
        first_is_there = self.tile_left <= self.left < self.tile_left + self.tile_width
        first_is_there &= self.tile_top <= self.top < self.tile_top + self.tile_height
        need(first_is_there and self.tile_width > 0 and self.tile_height > 0, "its first tile is empty")
        count = -(-(self.right - self.tile_left) // self.tile_width) * -(
            -(self.bottom - self.tile_top) // self.tile_height
        )
        need(count <= _MOST_TILES, f"it has {count} tiles, where a film has {_MOST_TILES} at most")
        return count


def checked_jpeg_2000(stream: bytes, announced: Announced) -> Stream:
    """Read the main header and the header of every tile-part (T.800 Annex A), and keep what pixels depend on."""
    at = 4 + int.from_bytes(stream[4:6])
    grid, bits, signed = _size(stream[4:at], announced)
    tiles = grid.tiles()
    kept: list[bytes | memoryview] = [stream[:at]]
    seen: set[int] = set()
    while (kind := _marker(stream, at)) != _SOT:
        end = segment_end(stream, at)
        if kind not in _IN_MAIN_HEADER | _LEFT_OUT:
            raise UnsupportedFormat(f"expected JPEG 2000 of T.800, the codestream has the marker 0xFF{kind:02X}")
        need(
            kind not in seen or kind in {_COC, _QCC, _RGN, _POC, _PPM, *_LEFT_OUT},
            "a part of its header is there twice",
        )
        seen.add(kind)
        if kind not in _LEFT_OUT:
            _check_coding(kind, stream[at + 4 : end], announced, grid, tiles)
            kept.append(stream[at:end])
        at = end
    need({_COD, _QCD} <= seen, "its header does not say how it is coded")
    end = _tiles_end(stream, at, announced, grid, tiles)
    kept += [memoryview(stream)[at:end], b"\xff\xd9"]
    return Stream(b"".join(kept), JPEG_2000, bits, signed)


def _size(body: bytes, announced: Announced) -> tuple[_Grid, int, bool]:
    """Check image and tile size (T.800 A.5.1) against the file's header."""
    need(len(body) >= 38, "its size is cut short")
    capabilities, *grid, components = struct.unpack_from(">H8IH", body, 2)
    found = _Grid(*grid)
    size = (found.bottom - found.top, found.right - found.left)
    agree("(rows, columns)", size, (announced.rows, announced.columns))
    agree("components:", components, announced.samples)
    need(len(body) == 38 + 3 * components, "its size is not as long as its components need")
    depths = {body[at] for at in range(38, len(body), 3)}
    need(len(depths) == 1, "its components are not alike")
    if set(body[39::3]) | set(body[40::3]) != {1}:
        raise UnsupportedFormat("expected JPEG 2000 without subsampling, this one is subsampled")
    if capabilities & 0x8000:
        raise UnsupportedFormat("expected JPEG 2000 of T.800, this one has extensions of T.801")
    (depth,) = depths
    bits, signed = (depth & 0x7F) + 1, depth >= 0x80
    check_bits(bits, 1, announced)
    return found, bits, signed


def _check_coding(kind: int, body: bytes, announced: Announced, grid: _Grid, tiles: int) -> None:
    """Check the coding style (T.800 A.6.1, A.6.2) and the component that a segment is for."""
    if kind in {_COC, _QCC, _RGN}:
        need(len(body) > 2 and body[0] < announced.samples, "a part of its header is for a component there is not")
    if kind == _COD:
        need(len(body) >= 10, "its coding style is cut short")
        style, order, layers, transform = struct.unpack_from(">BBHB", body)
        need(style < 8 and order <= 4 and layers > 0, "its coding style is none of the standard's")
        need(transform <= (announced.samples == 3), "its coding style mixes components there are not")
        _check_levels(body[5:], style & 1 > 0, layers, announced, grid, tiles)
    elif kind == _COC:
        _check_levels(body[2:], body[1] & 1 > 0, 1, announced, grid, tiles)


def _check_levels(body: bytes, has_precincts: bool, layers: int, announced: Announced, grid: _Grid, tiles: int) -> None:
    """Check decomposition levels, code-blocks and precincts (T.800 A.6.1), and how many packets that makes."""
    need(len(body) >= 5, "its coding style is cut short")
    levels, width, height, _, wavelet = body[:5]
    need(levels <= 32 and wavelet <= 1, "its wavelet is none of the standard's")
    need(width <= 8 and height <= 8 and width + height <= 8, "its code-blocks are larger than the standard allows")
    need(len(body) == 5 + (levels + 1) * has_precincts, "its precincts are not as many as its levels need")
    precincts = 0
    for level in range(levels + 1):
        across, down = (body[5 + level] & 15, body[5 + level] >> 4) if has_precincts else (15, 15)
        reduced = levels - level
        columns = -(-min(grid.tile_width, announced.columns) // (1 << reduced))
        rows = -(-min(grid.tile_height, announced.rows) // (1 << reduced))
        precincts += (-(-columns // (1 << across)) + 1) * (-(-rows // (1 << down)) + 1)
    pixels = announced.rows * announced.columns
    need(precincts * tiles <= max(1 << 16, pixels // _SMALLEST_BLOCK_PX), "its precincts are too many for its pixels")
    need(precincts * layers * announced.samples <= _MOST_PACKETS, "its layers are too many for its pixels")


def _tiles_end(stream: bytes, at: int, announced: Announced, grid: _Grid, tiles: int) -> int:
    """Follow the tile-parts (T.800 A.4.2) and give where the last one ends."""
    for _ in range(_MOST_TILE_PARTS):
        if at + 2 > len(stream) or _marker(stream, at) == _EOC:
            return at
        if _marker(stream, at) != _SOT:
            if not stream[at:].strip(b"\0"):
                return at  # padding in place of an end
            raise BrokenFilm("the codestream has bytes between two of its tiles")
        need(at + 12 <= len(stream), "a tile is cut short")
        length, tile, size = struct.unpack_from(">HHI", stream, at + 2)
        need(length == 10 and tile < tiles, "it has a tile that there is not")
        end = at + size
        if size == 0:  # the last one, up to the end
            last = stream.rfind(b"\xff\xd9", at)
            end = last if last > at else len(stream)
        inside = at + 12
        while (kind := _marker(stream, inside)) != _SOD:
            if kind not in _IN_TILE_HEADER:
                raise UnsupportedFormat(f"expected JPEG 2000 of T.800, a tile has the marker 0xFF{kind:02X}")
            behind = segment_end(stream, inside)
            _check_coding(kind, stream[inside + 4 : behind], announced, grid, tiles)
            inside = behind
        if end > len(stream):
            raise BrokenFilm("the codestream ends within a tile")
        need(inside + 2 <= end, "a tile is shorter than its own header")
        at = end
    raise BrokenFilm(f"the codestream contradicts itself: it has more than {_MOST_TILE_PARTS} parts of tiles")


def _marker(stream: bytes, at: int) -> int:
    if at + 2 > len(stream):
        raise BrokenFilm("the codestream ends within its header")
    need(stream[at] == 0xFF, "something stands where a marker should")
    return stream[at + 1]
