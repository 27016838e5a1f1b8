"""What a compressed stream says of itself, checked before any codec sees it.

Codecs believe a stream's own header: its size, its components and their depth, its tables. So a stream is taken apart
here marker by marker, compared with the header of the file it came in, and put together again from the segments that a
film needs. A codec is given nothing else: no wrapper, no comment, no extension, nothing behind the end.

JPEG and lossless JPEG are T.81, JPEG-LS is T.87, JPEG 2000 is T.800 with the high-throughput blocks of T.814, RLE is
PS3.5 Annex G.
"""

import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

from fracture.core.errors import BrokenFilm, UnsupportedFormat
from fracture.imaging.jpeg import check_scans


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


JPEG, JPEG_LS, JPEG_2000, RLE = "JPEG", "JPEG-LS", "JPEG 2000", "RLE"


def checked(frame: bytes, announced: Announced, *, rle: bool) -> Stream:
    """Take a frame's stream apart and give what may go to a codec.

    Raises BrokenFilm where the stream contradicts the file's header or itself, UnsupportedFormat that names a feature
    which no film needs, TooCostly for a JPEG with too many scans.
    """
    if rle:
        return _rle(frame, announced)
    if frame.startswith(_JP2):
        frame = _unwrapped(frame)
    if frame.startswith(b"\xff\x4f\xff\x51"):
        return _jpeg_2000(frame, announced)
    if frame.startswith(b"\xff\xd8"):
        check_scans(frame)
        return _jpeg(frame, announced)
    raise BrokenFilm("expected a codestream of JPEG, JPEG-LS or JPEG 2000, its first bytes are none of these")


def _agree(what: str, found: object, expected: object) -> None:
    if found != expected:
        raise BrokenFilm(f"expected a codestream of {what} {expected}, it announces {found}")


def _need(ok: bool, what: str) -> None:
    if not ok:
        raise BrokenFilm(f"the codestream contradicts itself: {what}")


def _check_bits(bits: int, least: int, announced: Announced) -> None:
    if not least <= bits <= announced.bits_allocated:
        expected = f"{least} to {announced.bits_allocated} bits"
        raise BrokenFilm(f"expected a codestream of {expected} a sample, it announces {bits}")


# --- RLE --------------------------------------------------------------------------------------------------------------

_RLE_HEADER = struct.Struct("<16I")


def _rle(frame: bytes, announced: Announced) -> Stream:
    """Check the header of PS3.5 G.5: one segment for each byte of a sample and each sample of a pixel, in order."""
    _need(len(frame) > _RLE_HEADER.size, "it ends within its header")
    count, *offsets = _RLE_HEADER.unpack_from(frame)
    _agree("RLE segments:", count, announced.samples * (announced.bits_allocated // 8))
    used = [*offsets[:count], len(frame)]
    in_order = all(start < end for start, end in pairwise(used))
    _need(used[0] == _RLE_HEADER.size and in_order, "its segments do not follow one another")
    return Stream(frame, RLE, announced.bits_allocated)


# --- JPEG, lossless JPEG, JPEG-LS -------------------------------------------------------------------------------------

_SOS, _DQT, _DHT, _DRI, _LSE = 0xDA, 0xDB, 0xC4, 0xDD, 0xF8
_APP0, _APP8, _APP14, _APP15, _COM, _TEM = 0xE0, 0xE8, 0xEE, 0xEF, 0xFE, 0x01
_BASELINE, _EXTENDED, _PROGRESSIVE, _LOSSLESS, _LS = 0xC0, 0xC1, 0xC2, 0xC3, 0xF7
_FRAMES = (_BASELINE, _EXTENDED, _PROGRESSIVE, _LOSSLESS, _LS)
_OTHER_FRAMES = {
    **dict.fromkeys((0xC5, 0xC6, 0xC7, 0xCD, 0xCE, 0xCF, 0xDE, 0xDF), "a hierarchical JPEG"),
    **dict.fromkeys((0xC9, 0xCA, 0xCB, 0xCC), "a JPEG with arithmetic coding"),
    0xDC: "a JPEG whose number of lines comes after its lines (DNL)",
    0xF9: "a JPEG-LS with extensions (T.870)",
}
# Behind 0xFF a zero, or in JPEG-LS any byte below 0x80, is data; restart markers stand within a scan.
_SCAN_ENDS = {False: re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]"), True: re.compile(rb"\xff[\x80-\xcf\xd8-\xfe]")}


def _jpeg(stream: bytes, announced: Announced) -> Stream:
    """Read the markers of one JPEG or JPEG-LS image up to its end, and keep those that pixels depend on."""
    image = _Image(announced)
    kept: list[bytes | memoryview] = [stream[:2]]
    at = 2
    while at + 1 < len(stream) and stream[at : at + 2] != b"\xff\xd9":
        kind = stream[at + 1]
        if stream[at] != 0xFF:
            raise BrokenFilm("the codestream has bytes between two of its markers")
        if kind in {0xFF, _TEM}:  # a fill byte, and a marker that is alone
            at += 1 if kind == 0xFF else 2
            continue
        end = _segment_end(stream, at)
        body = image.segment(kind, stream[at + 4 : end])
        if body is not None:
            kept.append(stream[at : at + 4] + body)
        at = end
        if kind == _SOS:
            found = image.scan_end.search(stream, end)
            at = found.start() if found else len(stream)
            _need(at > end, "a scan is empty")
            kept.append(memoryview(stream)[end:at])
    return image.stream(b"".join((*kept, b"\xff\xd9")))


class _Image:
    """What the markers of one JPEG say, taken in one after the other."""

    def __init__(self, announced: Announced) -> None:
        self._announced = announced
        self._frame: _Frame | None = None
        self._jfif = False
        self._adobe: int | None = None
        self._scanned = 0

    def segment(self, kind: int, body: bytes) -> bytes | None:
        """Check a segment and give it as the codec is to have it; None for one that it need not see."""
        if kind in _OTHER_FRAMES:
            raise UnsupportedFormat(f"expected a film that the codecs here read, this one is {_OTHER_FRAMES[kind]}")
        if kind in _FRAMES:
            _need(self._frame is None, "it has two frames")
            self._frame = _Frame.read(kind, body, self._announced)
            return self._frame.body
        if kind == _SOS:
            self._scanned += body[0] if body else 0
            return self.frame.scan(body)
        if kind == _LSE:
            self.frame.presets(body)
        elif kind in _TABLES:
            _TABLES[kind](body)
        elif _APP0 <= kind <= _APP15 or kind == _COM:
            self._application(kind, body)
            return None
        else:
            raise BrokenFilm(f"expected the markers of a JPEG, the codestream has 0xFF{kind:02X} among them")
        return body

    def _application(self, kind: int, body: bytes) -> None:
        """Note what is said of the colours."""
        self._jfif |= kind == _APP0 and body.startswith(b"JFIF")
        if kind == _APP14 and body.startswith(b"Adobe") and len(body) >= 12:
            self._adobe = body[11]
        if kind == _APP8 and body.startswith(b"mrfx") and body[4:5] != b"\0":
            raise UnsupportedFormat("expected colours as they are, the JPEG-LS stream transforms them (mrfx)")

    @property
    def frame(self) -> "_Frame":
        if self._frame is None:
            raise BrokenFilm("the codestream has no frame, or something of it comes before")
        return self._frame

    @property
    def scan_end(self) -> re.Pattern[bytes]:
        return _SCAN_ENDS[self.frame.kind == _LS]

    def stream(self, data: bytes) -> Stream:
        """Give what was kept, once all of it is there."""
        _need(self._scanned >= len(self.frame.ids), "a component is never scanned")
        name = JPEG_LS if self.frame.kind == _LS else JPEG
        return Stream(data, name, self.frame.bits, ybr=self.frame.is_ybr(self._jfif, self._adobe))


@dataclass
class _Frame:
    kind: int
    bits: int
    ids: tuple[int, ...]
    sampling: tuple[tuple[int, int], ...]
    body: bytes
    greatest: int

    @classmethod
    def read(cls, kind: int, body: bytes, announced: Announced) -> "_Frame":
        """Check a frame header (T.81 B.2.2, T.87 C.2.2) against the file's."""
        _need(len(body) >= 6, "its frame header is cut short")
        bits, rows, columns, samples = struct.unpack_from(">BHHB", body)
        _agree("(rows, columns)", (rows, columns), (announced.rows, announced.columns))
        _agree("components:", samples, announced.samples)
        _check_bits(bits, 2, announced)
        most = {_BASELINE: (8,), _EXTENDED: (8, 12), _PROGRESSIVE: (8, 12)}.get(kind, tuple(range(2, 17)))
        if bits not in most:
            raise BrokenFilm(f"expected a codestream of {' or '.join(map(str, most))} bits a sample, it says {bits}")
        _need(len(body) == 6 + 3 * samples, "its frame header is not as long as its components need")
        parts = [body[at : at + 3] for at in range(6, len(body), 3)]
        ids = tuple(part[0] for part in parts)
        _need(len(set(ids)) == samples, "two components have one name")
        if samples == 1:
            # A component that is alone is never subsampled, whatever it says (T.81 A.2.2). Not every codec knows.
            parts = [bytes((parts[0][0], 0x11, parts[0][2]))]
        sampling = tuple((part[1] >> 4, part[1] & 15) for part in parts)
        _need(all(part[2] < 4 for part in parts), "a component names a table that there cannot be")
        whole = (1, 1)
        if kind in {_LOSSLESS, _LS} and set(sampling) != {whole}:
            raise UnsupportedFormat("expected a lossless codestream without subsampling, this one is subsampled")
        (across, down), *others = sampling
        if not (across in {1, 2, 4} and down in {1, 2} and all(other == whole for other in others)):
            raise UnsupportedFormat("expected colours subsampled by 1, 2 or 4, these are subsampled otherwise")
        return cls(kind, bits, ids, sampling, body[:6] + b"".join(parts), 2**bits - 1)

    def scan(self, body: bytes) -> bytes:
        """Check a scan header (T.81 B.2.3, T.87 C.2.3) and give it as the frame's process wants it."""
        count = body[0] if body else 0
        _need(1 <= count <= len(self.ids) and len(body) == 4 + 2 * count, "a scan header is not as long as it needs")
        named = [body[at] for at in range(1, 1 + 2 * count, 2)]
        tables = [body[at] for at in range(2, 2 + 2 * count, 2)]
        _need(set(named) <= set(self.ids) and len(set(named)) == count, "a scan names a component that there is not")
        start, stop, shift = body[-3:]
        if self.kind == _LS:
            if any(tables):
                raise UnsupportedFormat("expected the samples themselves, the JPEG-LS stream maps them by a table")
            _need(start <= min(255, self.greatest // 2), "it is less exact than its greatest value")
            _need(stop <= 2 and (stop == 0) == (count == 1) and shift == 0, "its components are interleaved wrongly")
            return body
        _need(all(table >> 4 < 4 and table & 15 < 4 for table in tables), "a scan names a table that there cannot be")
        if self.kind == _LOSSLESS:
            _need(1 <= start <= 7, "its predictor is none of the seven")
            if shift:
                raise UnsupportedFormat("expected a lossless JPEG of all its bits, this one has a point transform")
            return body[:-2] + b"\0\0"
        if self.kind == _PROGRESSIVE:
            _need(start <= stop <= 63 and (start > 0 or stop == 0), "a scan has a band that there is not")
            _need(start == 0 or count == 1, "a scan has the bands of several components")
            _need(shift >> 4 <= 13 and shift & 15 <= 13, "a scan has bits that there are not")
            return body
        # A sequential scan is of all bands, and encoders are about that write another last one.
        return body[:-3] + b"\0\x3f\0"

    def presets(self, body: bytes) -> None:
        """Check preset parameters (T.87 C.2.4.1.1); a table or another size (C.2.4.1.2 to 4) is for no film."""
        if body[:1] != b"\1":
            raise UnsupportedFormat("expected a JPEG-LS stream without tables and without a size beside its frame's")
        _need(len(body) == 11, "its presets are not as long as they need")
        greatest, low, middle, high, reset = struct.unpack_from(">5H", body, 1)
        _need(greatest <= 2**self.bits - 1, "its greatest value has more bits than a sample")
        self.greatest = greatest or self.greatest
        given = [threshold for threshold in (low, middle, high) if threshold]
        _need(given == sorted(given) and all(each <= self.greatest for each in given), "its thresholds are in no order")
        _need(reset == 0 or 3 <= reset <= max(255, self.greatest), "it starts anew more often than it may")

    def is_ybr(self, jfif: bool, adobe: int | None) -> bool | None:
        """Tell as libjpeg does (jdapimin.c): by Adobe's marker, JFIF's, the names of the components, subsampling."""
        if len(self.ids) != 3:
            return None
        if adobe is not None:
            return adobe != 0
        if jfif:
            return True
        if bytes(self.ids).upper() == b"RGB":
            return False
        # Nobody subsamples red, green and blue: what a file calls RGB then is not.
        return True if len(set(self.sampling)) > 1 else None


def _check_huffman(body: bytes) -> None:
    """Check that the codes of each table (T.81 B.2.4.2) are no more than there can be."""
    at = 0
    while at < len(body):
        counts = body[at + 1 : at + 17]
        size = sum(counts)
        _need(len(counts) == 16 and body[at] >> 4 < 2 and body[at] & 15 < 4, "a Huffman table is cut short")
        space = sum(count << (15 - bits) for bits, count in enumerate(counts))
        _need(0 < size <= 256 and space <= 1 << 16, "a Huffman table has more codes than there are")
        at += 17 + size
    _need(at == len(body), "a Huffman table is cut short")


def _check_quantisation(body: bytes) -> None:
    at = 0
    while at < len(body):
        _need(body[at] >> 4 < 2 and body[at] & 15 < 4, "a quantisation table is of no kind")
        at += 1 + 64 * (1 + (body[at] >> 4))
    _need(at == len(body), "a quantisation table is cut short")


def _check_interval(body: bytes) -> None:
    _need(len(body) == 2, "a restart interval is no number")


_TABLES: dict[int, Callable[[bytes], None]] = {
    _DHT: _check_huffman,
    _DQT: _check_quantisation,
    _DRI: _check_interval,
}


# --- JPEG 2000 --------------------------------------------------------------------------------------------------------

_JP2 = b"\0\0\0\x0cjP  "
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


def _unwrapped(file: bytes) -> bytes:
    """Give the codestream of a whole JP2 file (T.800 Annex I), as some write against PS3.5 A.4.4.

    What its boxes say of the colours is not for the codec, which believes them; the file's header says it. A palette
    is refused: without it the components are no greys.
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
        _need(start <= end <= len(file) and len(kind) == 4 and size > 0, "a box of its wrapper is cut short")
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
        _need(self.left < self.right and self.top < self.bottom, "it ends before it begins")
        _need(max(self.right, self.bottom) < 1 << 31, "it lies too far out on its grid")
        first_is_there = self.tile_left <= self.left < self.tile_left + self.tile_width
        first_is_there &= self.tile_top <= self.top < self.tile_top + self.tile_height
        _need(first_is_there and self.tile_width > 0 and self.tile_height > 0, "its first tile is empty")
        count = -(-(self.right - self.tile_left) // self.tile_width) * -(
            -(self.bottom - self.tile_top) // self.tile_height
        )
        _need(count <= _MOST_TILES, f"it has {count} tiles, where a film has {_MOST_TILES} at most")
        return count


def _jpeg_2000(stream: bytes, announced: Announced) -> Stream:
    """Read the main header and the header of every tile-part (T.800 Annex A), and keep what pixels depend on."""
    at = 4 + int.from_bytes(stream[4:6])
    grid, bits, signed = _size(stream[4:at], announced)
    tiles = grid.tiles()
    kept: list[bytes | memoryview] = [stream[:at]]
    seen: set[int] = set()
    while (kind := _marker(stream, at)) != _SOT:
        end = _segment_end(stream, at)
        if kind not in _IN_MAIN_HEADER | _LEFT_OUT:
            raise UnsupportedFormat(f"expected JPEG 2000 of T.800, the codestream has the marker 0xFF{kind:02X}")
        _need(
            kind not in seen or kind in {_COC, _QCC, _RGN, _POC, _PPM, *_LEFT_OUT},
            "a part of its header is there twice",
        )
        seen.add(kind)
        if kind not in _LEFT_OUT:
            _check_coding(kind, stream[at + 4 : end], announced, grid, tiles)
            kept.append(stream[at:end])
        at = end
    _need({_COD, _QCD} <= seen, "its header does not say how it is coded")
    end = _tiles_end(stream, at, announced, grid, tiles)
    kept += [memoryview(stream)[at:end], b"\xff\xd9"]
    return Stream(b"".join(kept), JPEG_2000, bits, signed)


def _size(body: bytes, announced: Announced) -> tuple[_Grid, int, bool]:
    """Check image and tile size (T.800 A.5.1) against the file's header."""
    _need(len(body) >= 38, "its size is cut short")
    capabilities, *grid, components = struct.unpack_from(">H8IH", body, 2)
    found = _Grid(*grid)
    size = (found.bottom - found.top, found.right - found.left)
    _agree("(rows, columns)", size, (announced.rows, announced.columns))
    _agree("components:", components, announced.samples)
    _need(len(body) == 38 + 3 * components, "its size is not as long as its components need")
    depths = {body[at] for at in range(38, len(body), 3)}
    _need(len(depths) == 1, "its components are not alike")
    if set(body[39::3]) | set(body[40::3]) != {1}:
        raise UnsupportedFormat("expected JPEG 2000 without subsampling, this one is subsampled")
    if capabilities & 0x8000:
        raise UnsupportedFormat("expected JPEG 2000 of T.800, this one has extensions of T.801")
    (depth,) = depths
    bits, signed = (depth & 0x7F) + 1, depth >= 0x80
    _check_bits(bits, 1, announced)
    return found, bits, signed


def _check_coding(kind: int, body: bytes, announced: Announced, grid: _Grid, tiles: int) -> None:
    """Check the coding style (T.800 A.6.1, A.6.2) and the component that a segment is for."""
    if kind in {_COC, _QCC, _RGN}:
        _need(len(body) > 2 and body[0] < announced.samples, "a part of its header is for a component there is not")
    if kind == _COD:
        _need(len(body) >= 10, "its coding style is cut short")
        style, order, layers, transform = struct.unpack_from(">BBHB", body)
        _need(style < 8 and order <= 4 and layers > 0, "its coding style is none of the standard's")
        _need(transform <= (announced.samples == 3), "its coding style mixes components there are not")
        _check_levels(body[5:], style & 1 > 0, layers, announced, grid, tiles)
    elif kind == _COC:
        _check_levels(body[2:], body[1] & 1 > 0, 1, announced, grid, tiles)


def _check_levels(body: bytes, has_precincts: bool, layers: int, announced: Announced, grid: _Grid, tiles: int) -> None:
    """Check decomposition levels, code-blocks and precincts (T.800 A.6.1), and how many there are to go through."""
    _need(len(body) >= 5, "its coding style is cut short")
    levels, width, height, _, wavelet = body[:5]
    _need(levels <= 32 and wavelet <= 1, "its wavelet is none of the standard's")
    _need(width <= 8 and height <= 8 and width + height <= 8, "its code-blocks are larger than the standard allows")
    _need(len(body) == 5 + (levels + 1) * has_precincts, "its precincts are not as many as its levels need")
    precincts = 0
    for level in range(levels + 1):
        across, down = (body[5 + level] & 15, body[5 + level] >> 4) if has_precincts else (15, 15)
        reduced = levels - level
        columns = -(-min(grid.tile_width, announced.columns) // (1 << reduced))
        rows = -(-min(grid.tile_height, announced.rows) // (1 << reduced))
        precincts += (-(-columns // (1 << across)) + 1) * (-(-rows // (1 << down)) + 1)
    pixels = announced.rows * announced.columns
    _need(precincts * tiles <= max(1 << 16, pixels // _SMALLEST_BLOCK_PX), "its precincts are too many for its pixels")
    _need(precincts * layers * announced.samples <= _MOST_PACKETS, "its layers are too many for its pixels")


def _tiles_end(stream: bytes, at: int, announced: Announced, grid: _Grid, tiles: int) -> int:
    """Follow the tile-parts (T.800 A.4.2) and give where the last one ends."""
    for _ in range(_MOST_TILE_PARTS):
        if at + 2 > len(stream) or _marker(stream, at) == _EOC:
            return at
        if _marker(stream, at) != _SOT:
            if not stream[at:].strip(b"\0"):
                return at  # padding in place of an end
            raise BrokenFilm("the codestream has bytes between two of its tiles")
        _need(at + 12 <= len(stream), "a tile is cut short")
        length, tile, size = struct.unpack_from(">HHI", stream, at + 2)
        _need(length == 10 and tile < tiles, "it has a tile that there is not")
        end = at + size
        if size == 0:  # the last one, up to the end
            last = stream.rfind(b"\xff\xd9", at)
            end = last if last > at else len(stream)
        inside = at + 12
        while (kind := _marker(stream, inside)) != _SOD:
            if kind not in _IN_TILE_HEADER:
                raise UnsupportedFormat(f"expected JPEG 2000 of T.800, a tile has the marker 0xFF{kind:02X}")
            behind = _segment_end(stream, inside)
            _check_coding(kind, stream[inside + 4 : behind], announced, grid, tiles)
            inside = behind
        if end > len(stream):
            raise BrokenFilm("the codestream ends within a tile")
        _need(inside + 2 <= end, "a tile is shorter than its own header")
        at = end
    raise BrokenFilm(f"the codestream contradicts itself: it has more than {_MOST_TILE_PARTS} parts of tiles")


def _marker(stream: bytes, at: int) -> int:
    if at + 2 > len(stream):
        raise BrokenFilm("the codestream ends within its header")
    _need(stream[at] == 0xFF, "something stands where a marker should")
    return stream[at + 1]


def _segment_end(stream: bytes, at: int) -> int:
    end = at + 2 + int.from_bytes(stream[at + 2 : at + 4])
    _need(end >= at + 4, "a segment is shorter than its own length")
    if end > len(stream):
        raise BrokenFilm("the codestream ends within a segment of its header")
    return end
