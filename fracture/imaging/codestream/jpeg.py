"""JPEG and lossless JPEG (T.81), JPEG-LS (T.87): every marker of a stream, read strictly and in order.

`fracture.imaging.jpeg` reads the same markers with the patience of a decoder, for files that stand alone.
"""

import re
import struct
from collections.abc import Callable
from dataclasses import dataclass

from fracture.core.errors import BrokenFilm, UnsupportedFormat
from fracture.imaging.codestream.stream import JPEG, JPEG_LS, Announced, Stream, agree, check_bits, need, segment_end
from fracture.imaging.jpeg import APP0, APP14, DHT, DQT, JPEG_LS_FRAME, LOSSLESS, SOS

_DRI, _LSE, _APP8, _APP15, _COM, _TEM = 0xDD, 0xF8, 0xE8, 0xEF, 0xFE, 0x01
_BASELINE, _EXTENDED, _PROGRESSIVE = 0xC0, 0xC1, 0xC2
_FRAMES = (_BASELINE, _EXTENDED, _PROGRESSIVE, LOSSLESS, JPEG_LS_FRAME)
_OTHER_FRAMES = {
    **dict.fromkeys((0xC5, 0xC6, 0xC7, 0xCD, 0xCE, 0xCF, 0xDE, 0xDF), "a hierarchical JPEG"),
    **dict.fromkeys((0xC9, 0xCA, 0xCB, 0xCC), "a JPEG with arithmetic coding"),
    0xDC: "a JPEG whose number of lines comes after its lines (DNL)",
    0xF9: "a JPEG-LS with extensions (T.870)",
}
# After 0xFF a zero is data, in JPEG-LS any byte below 0x80; restart markers are part of a scan.
_SCAN_ENDS = {False: re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]"), True: re.compile(rb"\xff[\x80-\xcf\xd8-\xfe]")}


def checked_jpeg(stream: bytes, announced: Announced) -> Stream:
    """Read the markers of one JPEG or JPEG-LS image up to its end, and keep those that pixels depend on."""
    image = _Image(announced)
    kept: list[bytes | memoryview] = [stream[:2]]
    at = 2
    while at + 1 < len(stream) and stream[at : at + 2] != b"\xff\xd9":
        kind = stream[at + 1]
        if stream[at] != 0xFF:
            raise BrokenFilm("the codestream has bytes between two of its markers")
        if kind in {0xFF, _TEM}:  # a fill byte, or a marker without a segment
            at += 1 if kind == 0xFF else 2
            continue
        end = segment_end(stream, at)
        body = image.segment(kind, stream[at + 4 : end])
        if body is not None:
            kept.append(stream[at : at + 4] + body)
        at = end
        if kind == SOS:
            found = image.scan_end.search(stream, end)
            at = found.start() if found else len(stream)
            need(at > end, "a scan is empty")
            kept.append(memoryview(stream)[end:at])
    return image.stream(b"".join((*kept, b"\xff\xd9")))


class _Image:
    """What the markers of one JPEG say, collected one by one."""

    def __init__(self, announced: Announced) -> None:
        self._announced = announced
        self._frame: _Frame | None = None
        self._jfif = False
        self._adobe: int | None = None
        self._scanned = 0

    def segment(self, kind: int, body: bytes) -> bytes | None:
        """Check a segment and give what the codec gets in its place, None where it needs nothing of it."""
        if kind in _OTHER_FRAMES:
            raise UnsupportedFormat(f"expected a film that the codecs here read, this one is {_OTHER_FRAMES[kind]}")
        if kind in _FRAMES:
            need(self._frame is None, "it has two frames")
            self._frame = _Frame.read(kind, body, self._announced)
            return self._frame.body
        if kind == SOS:
            self._scanned += body[0] if body else 0
            return self.frame.scan(body)
        if kind == _LSE:
            self.frame.presets(body)
        elif kind in _TABLES:
            _TABLES[kind](body)
        elif APP0 <= kind <= _APP15 or kind == _COM:
            self._application(kind, body)
            return None
        else:
            raise BrokenFilm(f"expected the markers of a JPEG, the codestream has 0xFF{kind:02X} among them")
        return body

    def _application(self, kind: int, body: bytes) -> None:
        """Note what the segment says of the colours."""
        self._jfif |= kind == APP0 and body.startswith(b"JFIF")
        if kind == APP14 and body.startswith(b"Adobe") and len(body) >= 12:
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
        return _SCAN_ENDS[self.frame.kind == JPEG_LS_FRAME]

    def stream(self, data: bytes) -> Stream:
        """Give the checked stream. Raises BrokenFilm where a component is missing."""
        need(self._scanned >= len(self.frame.ids), "a component is never scanned")
        name = JPEG_LS if self.frame.kind == JPEG_LS_FRAME else JPEG
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
        need(len(body) >= 6, "its frame header is cut short")
        bits, rows, columns, samples = struct.unpack_from(">BHHB", body)
        agree("(rows, columns)", (rows, columns), (announced.rows, announced.columns))
        agree("components:", samples, announced.samples)
        check_bits(bits, 2, announced)
        most = {_BASELINE: (8,), _EXTENDED: (8, 12), _PROGRESSIVE: (8, 12)}.get(kind, tuple(range(2, 17)))
        if bits not in most:
            raise BrokenFilm(f"expected a codestream of {' or '.join(map(str, most))} bits a sample, it says {bits}")
        need(len(body) == 6 + 3 * samples, "its frame header is not as long as its components need")
        parts = [body[at : at + 3] for at in range(6, len(body), 3)]
        ids = tuple(part[0] for part in parts)
        need(len(set(ids)) == samples, "two components have one name")
        if samples == 1:
            # A lone component is never subsampled, whatever its header says (T.81 A.2.2). Not every codec knows.
            parts = [bytes((parts[0][0], 0x11, parts[0][2]))]
        sampling = tuple((part[1] >> 4, part[1] & 15) for part in parts)
        need(all(part[2] < 4 for part in parts), "a component names a table that there cannot be")
        whole = (1, 1)
        if kind in {LOSSLESS, JPEG_LS_FRAME} and set(sampling) != {whole}:
            raise UnsupportedFormat("expected a lossless codestream without subsampling, this one is subsampled")
        (across, down), *others = sampling
        if not (across in {1, 2, 4} and down in {1, 2} and all(other == whole for other in others)):
            raise UnsupportedFormat("expected colours subsampled by 1, 2 or 4, these are subsampled otherwise")
        return cls(kind, bits, ids, sampling, body[:6] + b"".join(parts), 2**bits - 1)

    def scan(self, body: bytes) -> bytes:
        """Check a scan header (T.81 B.2.3, T.87 C.2.3) and give it as the codec of this process needs it."""
        count = body[0] if body else 0
        need(1 <= count <= len(self.ids) and len(body) == 4 + 2 * count, "a scan header is not as long as it needs")
        named = [body[at] for at in range(1, 1 + 2 * count, 2)]
        tables = [body[at] for at in range(2, 2 + 2 * count, 2)]
        need(set(named) <= set(self.ids) and len(set(named)) == count, "a scan names a component that there is not")
        start, stop, shift = body[-3:]
        if self.kind == JPEG_LS_FRAME:
            if any(tables):
                raise UnsupportedFormat("expected the samples themselves, the JPEG-LS stream maps them by a table")
            need(start <= min(255, self.greatest // 2), "it is less exact than its greatest value")
            need(stop <= 2 and (stop == 0) == (count == 1) and shift == 0, "its components are interleaved wrongly")
            return body
        need(all(table >> 4 < 4 and table & 15 < 4 for table in tables), "a scan names a table that there cannot be")
        if self.kind == LOSSLESS:
            need(1 <= start <= 7, "its predictor is none of the seven")
            if shift:
                raise UnsupportedFormat("expected a lossless JPEG of all its bits, this one has a point transform")
            return body[:-2] + b"\0\0"
        if self.kind == _PROGRESSIVE:
            need(start <= stop <= 63 and (start > 0 or stop == 0), "a scan has a band that there is not")
            need(start == 0 or count == 1, "a scan has the bands of several components")
            need(shift >> 4 <= 13 and shift & 15 <= 13, "a scan has bits that there are not")
            return body
        # A sequential scan holds all bands, though some encoders write another last one.
        return body[:-3] + b"\0\x3f\0"

    def presets(self, body: bytes) -> None:
        """Check preset parameters (T.87 C.2.4.1.1). No film needs a table or another size (C.2.4.1.2 to 4)."""
        if body[:1] != b"\1":
            raise UnsupportedFormat("expected a JPEG-LS stream without tables and without a size beside its frame's")
        need(len(body) == 11, "its presets are not as long as they need")
        greatest, low, middle, high, reset = struct.unpack_from(">5H", body, 1)
        need(greatest <= 2**self.bits - 1, "its greatest value has more bits than a sample")
        self.greatest = greatest or self.greatest
        given = [threshold for threshold in (low, middle, high) if threshold]
        need(given == sorted(given) and all(each <= self.greatest for each in given), "its thresholds are in no order")
        need(reset == 0 or 3 <= reset <= max(255, self.greatest), "it starts anew more often than it may")

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
        # Nobody subsamples red, green and blue, so a subsampled file is not RGB even if it says so.
        return True if len(set(self.sampling)) > 1 else None


def _check_huffman(body: bytes) -> None:
    """Check that each table (T.81 B.2.4.2) has no more codes than fit."""
    at = 0
    while at < len(body):
        counts = body[at + 1 : at + 17]
        size = sum(counts)
        need(len(counts) == 16 and body[at] >> 4 < 2 and body[at] & 15 < 4, "a Huffman table is cut short")
        space = sum(count << (15 - bits) for bits, count in enumerate(counts))
        need(0 < size <= 256 and space <= 1 << 16, "a Huffman table has more codes than there are")
        at += 17 + size
    need(at == len(body), "a Huffman table is cut short")


def _check_quantisation(body: bytes) -> None:
    at = 0
    while at < len(body):
        need(body[at] >> 4 < 2 and body[at] & 15 < 4, "a quantisation table is of no kind")
        at += 1 + 64 * (1 + (body[at] >> 4))
    need(at == len(body), "a quantisation table is cut short")


def _check_interval(body: bytes) -> None:
    need(len(body) == 2, "a restart interval is no number")


_TABLES: dict[int, Callable[[bytes], None]] = {
    DHT: _check_huffman,
    DQT: _check_quantisation,
    _DRI: _check_interval,
}
