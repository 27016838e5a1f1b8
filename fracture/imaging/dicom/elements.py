"""DICOM bytes to elements (PS3.5 7), with patience: what can be read is kept, and one odd element costs no film.

pydicom stops silently at the first element that it cannot follow. Here every element is found before any is read, so a
broken value that nobody needs does no harm. No message quotes a value.
"""

import math
import re
import struct
from collections.abc import MutableSequence
from functools import cache
from typing import Any, NamedTuple

from pydicom.datadict import dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException
from pydicom.tag import BaseTag, Tag

from fracture.core.errors import BrokenFilm

_LONG = {*b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split()}
_SHORT = {*b"AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US".split()}
_BINARY = {"US": 2, "SS": 2, "UL": 4, "SL": 4, "UV": 8, "SV": 8, "FL": 4, "FD": 8}
_TEXT = {"AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UI", "UR", "UT"}
_UNDEFINED = 0xFFFFFFFF
_PIXELS = 0x7FE00010
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_MOST_ELEMENTS = 1_000_000
_MOST_DEPTH = 64
# Elements that describe the image, and its pixels, as an explicit little endian file writes them. Reading can go on at
# one of them after an element that cannot be followed.
_LANDMARK = re.compile(
    rb"\x28\x00[\x00-\xff][\x00-\x30](?:US\x02\x00|CS[\x02-\x10]\x00|DS[\x02-\x40]\x00)|\xe0\x7f\x10\x00O[BW]\x00\x00",
    re.DOTALL,
)
_NO_NUMBER = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, BytesLengthException, struct.error)
_NO_SEQUENCE = (*_NO_NUMBER, EOFError, OSError, RuntimeError)


class Elements(NamedTuple):
    """A data set as far as it could be followed.

    ``cut`` is the tag of the element in which the bytes end too early, None where all were there; ``damaged`` tells
    that something was skipped to find what comes after it; ``end`` is where reading ended.
    """

    dataset: Dataset
    cut: int | None
    damaged: bool
    end: int


class _Head(NamedTuple):
    tag: int
    vr: str | None
    length: int
    start: int  # of the value
    sure: bool


def read_elements(data: bytes, at: int, *, implicit: bool, little: bool, group: int | None = None) -> Elements:
    """Find every element from ``at`` on, or those of one ``group``, the file's meta information.

    Raises BrokenFilm for more elements or deeper sequences than any film has.
    """
    order = "<" if little else ">"
    implicit = _is_implicit(data, at, order, implicit)
    found: dict[BaseTag, RawDataElement] = {}
    cut, damaged, last, again = None, False, 0, at
    for _ in range(_MOST_ELEMENTS):
        if group is not None and data[at : at + 2] != struct.pack(f"{order}H", group):
            break
        head = _head(data, at, order, implicit)
        if head is None or not head.sure or head.tag == head.length == 0:
            # Behind the pixels it is something that was appended. Before them the last element had a wrong length.
            if _PIXELS in found or not data[at:].strip(b"\0"):
                break
            landmark = None if implicit or not little else _LANDMARK.search(data, again)
            if landmark is None:
                cut = last if head or at + 4 > len(data) else _tag(data, at, order)
                break
            at, again, damaged = landmark.start(), landmark.end(), True
            continue
        tag, vr, length, start, _ = head
        if tag in {_ITEM, _ITEM_END, _SEQUENCE_END}:
            at = start  # one too many
            continue
        if length == _UNDEFINED:
            end, stop = _behind_items(data, start, order, implicit or vr == "UN", open_end=tag == _PIXELS)
        else:
            end = stop = start + length
        if stop > len(data) and not (tag == _PIXELS and length != _UNDEFINED):
            landmark = None if implicit or not little else _LANDMARK.search(data, start)
            if landmark is None or _PIXELS in found:
                cut = None if _PIXELS in found else tag
                break
            at, again, damaged = landmark.start(), landmark.end(), True
            continue
        value = data[start:end]
        meant = _meant(tag, vr, value)
        found[BaseTag(tag)] = RawDataElement(BaseTag(tag), meant, length, value, start, implicit, little)
        # Elements within a sequence are no landmarks; those within another value, of a wrong length, may be.
        at, last, again = stop, tag, stop if meant == "SQ" or length == _UNDEFINED else start
        if at >= len(data):
            break
    else:
        raise BrokenFilm(f"expected at most {_MOST_ELEMENTS} elements, the file has more")
    dataset = Dataset(found)
    dataset.set_original_encoding(implicit, little, "iso8859")
    return Elements(dataset, cut, damaged, at)


def named(tag: int) -> str:
    """Write a tag as the standard does."""
    return f"({tag >> 16:04x},{tag & 0xFFFF:04x})"


def _is_implicit(data: bytes, at: int, order: str, stated: bool) -> bool:
    """Tell by the first element: what the meta information says of the encoding is wrong in some archives."""
    vr = data[at + 4 : at + 6]
    if vr in _LONG or vr in _SHORT:
        return False
    return stated or (at + 8 <= len(data) and struct.unpack_from(f"{order}I", data, at + 4)[0] <= len(data) - at)


def _head(data: bytes, at: int, order: str, implicit: bool) -> _Head | None:
    """Read an element up to its value; None where the bytes end before it."""
    if at + 8 > len(data):
        return None
    tag, vr = _tag(data, at, order), data[at + 4 : at + 6]
    if implicit or tag >> 16 == 0xFFFE:
        return _Head(tag, None, struct.unpack_from(f"{order}I", data, at + 4)[0], at + 8, True)
    short, long = (f"{order}H", at + 6, at + 8), (f"{order}I", at + 8, at + 12)
    known = [short] if vr in _SHORT else [long] if vr in _LONG else []
    if known == [long] and data[at + 6 : at + 8] != b"\0\0":
        # These two bytes are zero before a length of 4 bytes (PS3.5 7.1.2). Some writers put one of 2 bytes there.
        (length,) = struct.unpack_from(short[0], data, short[1])
        known = [short] if _goes_on(data, short[2] + length, order, tag) else [long]
    # A VR of no standard has a length of 2 or 4 bytes, or is no VR and the element is implicit. What follows tells.
    for form, where, start in known or [short, long, (f"{order}I", at + 4, at + 8)]:
        if start > len(data):
            break
        (length,) = struct.unpack_from(form, data, where)
        if known or length == _UNDEFINED or _goes_on(data, start + length, order, tag):
            return _Head(tag, vr.decode() if known else "UN", length, start, True)
    return None if known else _Head(tag, "UN", 0, at + 8, False)


def _goes_on(data: bytes, at: int, order: str, tag: int) -> bool:
    if at == len(data):
        return True
    if at + 8 > len(data):
        return False
    known = data[at + 4 : at + 6] in _SHORT or data[at + 4 : at + 6] in _LONG
    return known and _tag(data, at, order) > tag


def _tag(data: bytes, at: int, order: str) -> int:
    group, number = struct.unpack_from(f"{order}HH", data, at)
    return int(group << 16 | number)


def _behind_items(data: bytes, at: int, order: str, implicit: bool, *, open_end: bool) -> tuple[int, int]:
    """Give where the items of an element of undefined length end, and where its delimiter ends (PS3.5 7.5, A.4).

    Both lie beyond the data where the items do not end in it. With ``open_end`` the data may end instead.
    """
    beyond = len(data) + 1
    open_items: list[bool] = [False]  # sequences and items that are open: True for an item
    for _ in range(_MOST_ELEMENTS):
        if at == len(data) and open_end and len(open_items) == 1:
            return at, at
        head = _head(data, at, order, implicit)
        if head is None:
            return beyond, beyond
        if head.tag == _SEQUENCE_END and not open_items[-1]:
            open_items.pop()
            if not open_items:
                return at, head.start
            at = head.start
        elif head.tag == _ITEM_END and open_items[-1]:
            open_items.pop()
            at = head.start
        elif head.length == _UNDEFINED:
            open_items.append(head.tag == _ITEM)
            if len(open_items) > 2 * _MOST_DEPTH:
                raise BrokenFilm(f"expected sequences nested at most {_MOST_DEPTH} deep, they are deeper")
            at = head.start
        else:
            at = head.start + head.length
            if at > len(data):
                return beyond, beyond
    raise BrokenFilm(f"expected at most {_MOST_ELEMENTS} elements, a sequence has more")


def _meant(tag: int, stated: str | None, value: bytes) -> str | None:
    """Give the VR to read a value by: the stated one where that is possible, else the dictionary's (PS3.6)."""
    if stated is None or tag >> 16 & 1:  # implicit, or private
        return stated
    try:
        known = dictionary_VR(tag).split(" or ")
    except KeyError:
        return stated
    if stated in known:
        return stated
    if known[0] in _BINARY or known[0] in {"DS", "IS"}:
        if stated in _BINARY and value and len(value) % _BINARY[stated] == 0:
            return stated
        if stated in _TEXT and re.fullmatch(rb"[ -~]+\0?", value):
            return "DS"
    return stated if known[0] in _TEXT and stated in _TEXT else known[0]


@cache
def _place(keyword: str | int) -> BaseTag:
    return Tag(keyword)


def numbers(source: Dataset, keyword: str | int) -> list[float]:
    """Read an element of any multiplicity as numbers. A value that is no number is NaN."""
    tag = _place(keyword)
    if tag not in source:
        return []
    try:
        element = source.get_item(tag)
        value = element.value
        if isinstance(value, bytes) and (element.VR or dictionary_VR(tag)) in _TEXT:
            return [_number(part) for part in value.decode("latin-1").split("\\")] if value.strip(b" \0") else []
        value = source[tag].value
        values = value if isinstance(value, MutableSequence) else [] if value is None or value == "" else [value]
        return [_number(str(each)) for each in values]
    except _NO_NUMBER:
        return [math.nan]


def _number(text: str) -> float:
    try:
        number = float(text.strip(" \0").replace(",", "."))
    except ValueError:
        return math.nan
    return number if math.isfinite(number) else math.nan


def number(source: Dataset, keyword: str | int) -> int | None:
    """Read a whole number: the first value that is one, None where none is."""
    return next((int(value) for value in numbers(source, keyword) if value.is_integer()), None)


def code(source: Dataset, keyword: str) -> str:
    """Read a code string (PS3.5 6.2): the first value that is not empty, in capitals and without padding."""
    return next(iter(codes(source, keyword)), "")


def codes(source: Dataset, keyword: str) -> list[str]:
    """Read a code string of any multiplicity."""
    tag = _place(keyword)
    if tag not in source:
        return []
    try:
        value = source.get_item(tag).value
    except _NO_NUMBER:
        return []
    if isinstance(value, bytes):
        parts: list[str] = value.decode("latin-1").split("\\")
    else:
        parts = [str(part) for part in (value if isinstance(value, MutableSequence) else [value or ""])]
    tidy = (" ".join(part.replace("\0", " ").split()).upper() for part in parts)
    return [part for part in tidy if part]


def items(source: Dataset, keyword: str) -> list[Dataset]:
    """Give the items of a sequence; none where it is absent, empty or cannot be read as one."""
    return [item for item in raw(source, keyword) or () if isinstance(item, Dataset) and item]


def raw(source: Dataset, keyword: str | int) -> Any:
    """Give a value as it is, None where it is absent or cannot be read."""
    tag = _place(keyword)
    try:
        return source[tag].value if tag in source else None
    except _NO_SEQUENCE:
        return None
