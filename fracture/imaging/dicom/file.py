"""A DICOM file to its data set (PS3.10 7), whatever its meta information says or lacks."""

import struct
import zlib

from pydicom import uid
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.pixels import get_decoder

from fracture.core.errors import BrokenFilm, FilmTooLarge, UnsupportedFormat
from fracture.imaging.dicom.elements import code, named, read_elements

_MAGIC = slice(128, 132)
_EXECUTABLES = (b"MZ", b"\x7fELF", b"#!", b"\xca\xfe\xba\xbe", b"\xcf\xfa\xed\xfe")
_FIRST_ELEMENT = 1 << 10
PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")


def is_dicom(data: bytes) -> bool:
    """Tell by content: the magic of PS3.10 7.1, or the data element that a file without a preamble begins with."""
    return data[_MAGIC] == b"DICM" or _plain_syntax(data) is not None


def _plain_syntax(head: bytes) -> uid.UID | None:
    """Tell by its first element how a data set is encoded (PS3.5 7.1, A.1 to A.3); None where that does not tell."""
    if len(head) < 8:
        return None
    for order, syntax in (("<", uid.ExplicitVRLittleEndian), (">", uid.ExplicitVRBigEndian)):
        group, vr = struct.unpack_from(f"{order}H2x2s", head)
        if group in {0x0002, 0x0008} and vr.isalpha() and vr.isupper():
            return syntax
    group, length = struct.unpack_from("<H2xI", head)
    fits = length % 2 == 0 and 0 < length <= len(head) - 8
    return uid.ImplicitVRLittleEndian if group in {0x0002, 0x0008} and fits else None


def read_file(data: bytes, max_bytes: int, flags: set[str]) -> Dataset:
    """Parse the file (PS3.10 7), of which a deflated data set may come to ``max_bytes``.

    Raises UnsupportedFormat for the preamble of a program or a transfer syntax that no codec here knows, FilmTooLarge,
    or BrokenFilm for a file that ends before its pixels.
    """
    start = 132 if data[_MAGIC] == b"DICM" else 0
    if start and data.startswith(_EXECUTABLES):
        raise UnsupportedFormat("the preamble is that of an executable file (CVE-2019-11687)")
    meta, start = _meta(data, start)
    syntax = (
        uid.UID(code(meta, "TransferSyntaxUID")) or _plain_syntax(data[start : start + 8]) or uid.ImplicitVRLittleEndian
    )
    try:
        known = get_decoder(syntax).is_available
    except NotImplementedError:
        known = False
    if not known:
        raise UnsupportedFormat(f"expected a transfer syntax with a codec here, this one is {uid_name(syntax)}")
    if syntax == uid.DeflatedExplicitVRLittleEndian and _plain_syntax(data[start : start + _FIRST_ELEMENT]) is None:
        data, start, syntax = _inflate(data[start:], max_bytes), 0, uid.ExplicitVRLittleEndian
    syntax = _actual_syntax(syntax, data[start : start + _FIRST_ELEMENT])
    found = read_elements(data, start, implicit=syntax.is_implicit_VR, little=syntax.is_little_endian)
    dataset = found.dataset
    if "SOPClassUID" not in dataset:
        dataset.SOPClassUID = code(meta, "MediaStorageSOPClassUID")
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    if found.cut is not None and not any(keyword in dataset for keyword in PIXELS):
        raise BrokenFilm(f"the file ends within element {named(found.cut)}")
    if found.damaged:
        flags.add("header_damaged")
    return dataset


def _actual_syntax(stated: uid.UID, head: bytes) -> uid.UID:
    """Give the syntax of a data set: the stated one, or what its first element shows where the two contradict."""
    found = _plain_syntax(head)
    contradicts = stated.is_deflated or (found is not None and found.is_little_endian != stated.is_little_endian)
    return found if found is not None and contradicts else stated


def _meta(data: bytes, start: int) -> tuple[Dataset, int]:
    """Read the file meta information, whatever length it claims, and give where the data set begins."""
    found = read_elements(data, start, implicit=False, little=True, group=0x0002)
    return found.dataset, found.end


def _inflate(packed: bytes, max_bytes: int) -> bytes:
    """Inflate a deflated data set (PS3.5 A.5), never beyond the bound: half a megabyte can hold a gigabyte."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    plain = inflater.decompress(packed, max_bytes)
    if len(plain) >= max_bytes and not inflater.eof:
        raise FilmTooLarge(f"expected a data set of at most {max_bytes} bytes, it inflates to more")
    return plain


def uid_name(identifier: str) -> str:
    """Name a UID in words if the standard registers it (PS3.6 A). Any other is not quoted: it may hold anything."""
    name = str(uid.UID(identifier).name)
    return name if name and name != identifier else "unknown to the standard"
