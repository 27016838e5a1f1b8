"""DICOM files, element by element (PS3.5, PS3.10)."""

import io
import struct
import zlib
from collections.abc import Iterator

import numpy as np
from PIL import Image
from pydicom import uid

from fracture.phantom.dicom_files import SYNTAXES, Style
from fracture.phantom.dicom_files import dicom as written
from tests.hostile.case import ANY, OK, PLANTED_UID, Case, bomb, grey, named
from tests.hostile.jpeg import framed, many_scans

EXPLICIT, IMPLICIT, BIG, DEFLATED = (
    SYNTAXES["explicit"],
    SYNTAXES["implicit"],
    "1.2.840.10008.1.2.2",
    SYNTAXES["deflated"],
)
RLE, JPEG, JPEG_2000, JPEG_LS = (
    SYNTAXES["rle"],
    "1.2.840.10008.1.2.4.50",
    SYNTAXES["jpeg2000"],
    "1.2.840.10008.1.2.4.80",
)
DX = "1.2.840.10008.5.1.4.1.1.1.1"
LONG_VRS = {"OB", "OD", "OF", "OL", "OW", "SQ", "UC", "UN", "UR", "UT", "OV", "SV", "UV"}
UNDEFINED = 0xFFFFFFFF
PIXELS = 0x7FE00010
_TAGS = {
    "CharacterSet": (0x00080005, "CS"),
    "SOPClass": (0x00080016, "UI"),
    "SOPInstance": (0x00080018, "UI"),
    "Modality": (0x00080060, "CS"),
    "Institution": (0x00080080, "LO"),
    "Description": (0x00081030, "LO"),
    "PatientName": (0x00100010, "PN"),
    "PatientID": (0x00100020, "LO"),
    "Comments": (0x00104000, "LT"),
    "StudyInstance": (0x0020000D, "UI"),
    "SeriesInstance": (0x0020000E, "UI"),
    "Samples": (0x00280002, "US"),
    "Photometric": (0x00280004, "CS"),
    "Planar": (0x00280006, "US"),
    "Frames": (0x00280008, "IS"),
    "Rows": (0x00280010, "US"),
    "Columns": (0x00280011, "US"),
    "Spacing": (0x00280030, "DS"),
    "Allocated": (0x00280100, "US"),
    "Stored": (0x00280101, "US"),
    "High": (0x00280102, "US"),
    "Signed": (0x00280103, "US"),
    "Padding": (0x00280120, "US"),
    "Centre": (0x00281050, "DS"),
    "Width": (0x00281051, "DS"),
    "Intercept": (0x00281052, "DS"),
    "Slope": (0x00281053, "DS"),
    "Function": (0x00281056, "CS"),
    "RedDescriptor": (0x00281101, "US"),
    "GreenDescriptor": (0x00281102, "US"),
    "BlueDescriptor": (0x00281103, "US"),
    "Red": (0x00281201, "OW"),
    "Green": (0x00281202, "OW"),
    "Blue": (0x00281203, "OW"),
    "SegmentedRed": (0x00281221, "OW"),
    "ModalityLUTs": (0x00283000, "SQ"),
    "VOILUTs": (0x00283010, "SQ"),
    "SharedGroups": (0x52009229, "SQ"),
    "FrameGroups": (0x52009230, "SQ"),
    "Presentation": (0x20500020, "CS"),
    "Pixels": (PIXELS, "OW"),
}
REFUSED = ("broken_film", "film_too_large", "no_pixels", "too_costly", "unsupported_format")


def us(*values: int) -> bytes:
    return struct.pack(f"<{len(values)}H", *values)


def text(value: str) -> bytes:
    return value.encode() + b" " * (len(value) % 2)


def element(tag: int, vr: str, value: bytes = b"", *, length: int | None = None, syntax: str = EXPLICIT) -> bytes:
    """Write an element; a length of one's own is a lie."""
    order = ">" if syntax == BIG else "<"
    size = len(value) if length is None else length
    head = struct.pack(order + "HH", tag >> 16, tag & 0xFFFF)
    if syntax == IMPLICIT:
        return head + struct.pack(order + "I", size) + value
    head += vr.encode()
    return (
        head + (struct.pack(order + "2xI", size) if vr in LONG_VRS else struct.pack(order + "H", size & 0xFFFF)) + value
    )


def item(body: bytes = b"", *, length: int | None = None, tag: int = 0xFFFEE000) -> bytes:
    return element(tag, "", body, length=length, syntax=IMPLICIT)


ITEM_END, SEQUENCE_END = item(tag=0xFFFEE00D), item(tag=0xFFFEE0DD)


def fragments(*parts: bytes, table: bytes = b"", end: bytes = SEQUENCE_END) -> bytes:
    """Write encapsulated pixels (PS3.5 A.4)."""
    body = item(table) + b"".join(item(part + bytes(len(part) % 2)) for part in parts) + end
    return element(PIXELS, "OB", length=UNDEFINED) + body


def meta(syntax: str = EXPLICIT, sop_class: str = DX) -> bytes:
    fields = ((0x00020002, sop_class), (0x00020003, PLANTED_UID), (0x00020010, syntax))
    body = b"".join(element(tag, "UI", value.encode() + bytes(len(value) % 2)) for tag, value in fields)
    return element(0x00020000, "UL", struct.pack("<I", len(body))) + body


def dataset(syntax: str = EXPLICIT, raw: bytes = b"", pixels: bytes | None = None, **changes: bytes | None) -> bytes:
    """Write a film of 8 bits with elements changed, None for none. ``raw`` elements stand before the pixels."""
    fields: dict[str, bytes | None] = {
        **{"SOPClass": text(DX), "SOPInstance": text(PLANTED_UID), "Modality": b"DX", "PatientName": b"PLANTED^Jane"},
        **{"PatientID": b"PLANTED1", "Institution": b"PLANTED ", "StudyInstance": text(PLANTED_UID)},
        **{"Samples": us(1), "Photometric": b"MONOCHROME2 ", "Rows": us(48), "Columns": us(64), "Allocated": us(8)},
        **{"Stored": us(8), "High": us(7), "Signed": us(0), "Centre": b"128 ", "Width": b"256 "},
        **{"Pixels": grey().tobytes() if pixels is None else None},
        **changes,
    }
    chosen = sorted((_TAGS[name], value) for name, value in fields.items() if value is not None)
    if syntax == BIG:
        chosen = [
            ((tag, vr), np.frombuffer(value, "<u2").astype(">u2").tobytes() if vr == "US" else value)
            for (tag, vr), value in chosen
        ]
    head = b"".join(element(tag, vr, value, syntax=syntax) for (tag, vr), value in chosen if tag != PIXELS)
    tail = b"".join(element(tag, vr, value, syntax=syntax) for (tag, vr), value in chosen if tag == PIXELS)
    return head + raw + tail + (pixels or b"")


def dicom(
    syntax: str = EXPLICIT, *, preamble: bytes = bytes(128), named: str | None = None, **options: bytes | None
) -> bytes:
    """Write a whole file. What the meta information calls the syntax may be a lie."""
    body = dataset(syntax if syntax in {IMPLICIT, BIG} else EXPLICIT, **options)
    if syntax == DEFLATED:
        press = zlib.compressobj(wbits=-15)
        body = press.compress(body) + press.flush()
    return preamble + b"DICM" + meta(named or syntax) + body


def deflated(*parts: bytes, zeros: int = 0) -> bytes:
    """Write a data set deflated, with so many 16 MB of zeros behind it."""
    press = zlib.compressobj(9, wbits=-15)
    packed = b"".join(map(press.compress, parts)) + press.flush(zlib.Z_FULL_FLUSH)
    block = press.compress(bytes(1 << 24)) + press.flush(zlib.Z_FULL_FLUSH) if zeros else b""
    return bytes(128) + b"DICM" + meta(DEFLATED) + packed + block * zeros + b"\x03\0"


def rle(*segments: bytes, count: int | None = None, offsets: tuple[int, ...] | None = None) -> bytes:
    """Write an RLE frame (PS3.5 G.5)."""
    starts = tuple(64 + sum(map(len, segments[:n])) for n in range(len(segments))) if offsets is None else offsets
    table = struct.pack("<16I", len(segments) if count is None else count, *(starts + (0,) * 15)[:15])
    return table + b"".join(segments)


def table(entries: int, first: int, bits: int, data: bytes) -> bytes:
    return element(0x00283002, "US", us(entries, first, bits)) + element(0x00283006, "OW", data)


def nested(depth: int, *, undefined: bool) -> bytes:
    """Write a sequence so deep; with undefined lengths it costs 20 bytes a level."""
    if undefined:
        return (element(0x00400275, "SQ", length=UNDEFINED) + item(length=UNDEFINED)) * depth + (
            ITEM_END + SEQUENCE_END
        ) * depth
    body = b""
    for _ in range(depth):
        body = element(0x00400275, "SQ", item(body))
    return body


def coded(size: tuple[int, int] = (48, 64), kind: str = "JPEG", **options: object) -> bytes:
    out = io.BytesIO()
    Image.fromarray(grey(*size)).save(out, kind, **options)
    return out.getvalue()


DEEP = (grey(300, 400).astype(np.uint16) * 16).clip(0, 4095)
GOOD = {
    name: written(
        DEEP[:48, :64], Style(syntax=name), patient="PLANTED", study="s", name="n", spacing_mm=0.1, region="PLANTED"
    )
    for name in SYNTAXES
}
RUN = b"\x81\0" * 24 * 8
"""24 times 8 runs of 128 zeros: more than 48 x 64 pixels."""


def _syntaxes() -> Iterator[tuple[str, Case]]:
    for name, film in GOOD.items():
        yield f"a film, {name}", Case(film, OK)
        yield f"a film, {name}, cut", Case(film[: len(film) * 2 // 3], OK, "broken_film")
    for syntax, name in ((IMPLICIT, "implicit"), (BIG, "big endian"), (DEFLATED, "deflated")):
        yield f"plain, {name}", Case(dicom(syntax), OK)
        yield f"explicit, called {name}", Case(dicom(named=syntax), *REFUSED, OK)
        yield f"{name}, called explicit", Case(dicom(syntax, named=EXPLICIT), *REFUSED, OK)
    yield "plain", Case(dicom(), OK)
    yield "without file meta information", Case(dataset(), OK)
    yield "without file meta information, implicit", Case(dataset(IMPLICIT), OK)
    yield "without a preamble", Case(dicom()[132:], OK)
    for syntax in uid.AllTransferSyntaxes:
        yield f"raw pixels, called {syntax.keyword}", Case(dicom(named=str(syntax)), ANY)
        if syntax.is_encapsulated:
            stream = dicom(named=str(syntax), pixels=fragments(coded()))
            yield f"a JPEG, called {syntax.keyword}", Case(stream, *REFUSED, OK)
            empty = dicom(named=str(syntax), pixels=fragments())
            yield f"no fragment, called {syntax.keyword}", Case(empty, "broken_film", "unsupported_format")
    for name, unknown in {"unknown": "1.2.3.4.5", "planted": PLANTED_UID, "no UID": "PLANTED", "empty": ""}.items():
        yield f"transfer syntax {name}", Case(dicom(named=unknown), "unsupported_format" if unknown else ANY)
    yield "JPEG", Case(dicom(named=JPEG, pixels=fragments(coded())), OK)
    yield "JPEG 2000", Case(dicom(named=JPEG_2000, pixels=fragments(coded(kind="JPEG2000"))), *REFUSED, OK)


def _headers() -> Iterator[tuple[str, Case]]:
    for name, magic in {"MZ": b"MZ", "ELF": b"\x7fELF", "a script": b"#!/bin/sh\n"}.items():
        yield f"preamble of {name}", Case(dicom(preamble=magic.ljust(128, b"\0")), "unsupported_format")
    for name, magic in {"TIFF": b"II*\0\x08\0\0\0", "PLANTED": b"PLANTED", "PDF": b"%PDF-1.7"}.items():
        yield f"preamble of {name}", Case(dicom(preamble=magic.ljust(128, b"\0")), OK)
    for kind in ("CT", "MR", "US", "MG", "PLANTED ", "../.."):
        yield f"modality {kind}", Case(dicom(Modality=text(kind)), "wrong_modality")
    for kind in ("CR", "DX", "DR", "RF", "SC", "OT", "", " "):
        yield f"modality {kind or 'empty'}", Case(dicom(Modality=text(kind)), OK)
    yield "no modality", Case(dicom(Modality=None), OK)
    for name in ("Rows", "Columns", "Samples", "Photometric", "Allocated", "Stored", "High", "Signed"):
        yield f"no {name}", Case(dicom(**{name: None}), *REFUSED, OK)
        yield f"{name} empty", Case(dicom(**{name: b""}), *REFUSED, OK)
        yield f"{name} of three values", Case(dicom(**{name: us(1, 2, 3)}), *REFUSED, OK)
    yield "no pixels", Case(dicom(Pixels=None), "no_pixels")
    yield "empty pixels", Case(dicom(Pixels=b""), "broken_film", "no_pixels")
    for rows, columns in ((0, 64), (48, 0), (1, 1), (65535, 1), (4800, 6400), (49, 64), (47, 64), (7999, 8000)):
        yield f"{rows} x {columns} over 48 x 64", Case(dicom(Rows=us(rows), Columns=us(columns)), *REFUSED, OK)
    for rows, columns in ((65535, 65535), (32_000, 32_000), (8001, 8000)):
        giant = {"Rows": us(rows), "Columns": us(columns)}
        yield f"{rows} x {columns}", bomb(dicom(**giant), "film_too_large")
        for name, stream in {"RLE": rle(RUN), "JPEG": coded(), "JPEG 2000": coded(kind="JPEG2000")}.items():
            syntax = {"RLE": RLE, "JPEG": JPEG, "JPEG 2000": JPEG_2000}[name]
            yield (
                f"{rows} x {columns}, {name}",
                bomb(dicom(named=syntax, pixels=fragments(stream), **giant), "film_too_large"),
            )


def _numbers() -> Iterator[tuple[str, Case]]:
    for count in ("0", "-1", "2", "17", "1e3", "PLANTED", "1\\2", "000000000001", "99999999999999999999"):
        yield f"{count} frames", Case(dicom(Frames=text(count)), *REFUSED, "several_frames", OK)
    yield "10^6 frames", bomb(dicom(Frames=b"1000000 "), "film_too_large")
    yield (
        "10^6 frames of a pixel",
        bomb(dicom(Frames=b"1000000 ", Rows=us(1), Columns=us(1)), "several_frames", "broken_film"),
    )
    for name in ("Allocated", "Stored", "High", "Signed", "Samples", "Planar"):
        for value in (0, 1, 2, 3, 7, 9, 12, 16, 32, 64, 255, 65535):
            yield f"{name} is {value}", Case(dicom(**{name: us(value)}), *REFUSED, OK)
    for kind in (
        "MONOCHROME1",
        "RGB",
        "YBR_FULL",
        "YBR_FULL_422",
        "YBR_RCT",
        "PALETTE COLOR",
        "ARGB",
        "CMYK",
        "PLANTED",
        "",
    ):
        for samples in (1, 3):
            lie = dicom(Photometric=text(kind), Samples=us(samples), Planar=us(0), Pixels=grey().tobytes() * samples)
            yield f"{kind or 'no colours'} of {samples} sample(s)", Case(lie, *REFUSED, OK)
    wide = {"Allocated": us(16), "Stored": us(16), "High": us(15), "Pixels": grey().tobytes() * 2}
    yield "16 bits", Case(dicom(**wide), OK)
    yield "two kinds of pixels", Case(dicom(raw=element(0x7FE00008, "OF", bytes(48 * 64 * 4))), ANY)
    floats = {"Allocated": us(32), "Stored": us(32), "High": us(31), "Pixels": None}
    for name, number in {"NaN": b"\0\0\xc0\x7f", "infinity": b"\0\0\x80\x7f", "0": bytes(4)}.items():
        yield f"floats of {name}", Case(dicom(raw=element(0x7FE00008, "OF", number * 3072), **floats), *REFUSED, OK)


def _views() -> Iterator[tuple[str, Case]]:
    for name, values in {
        "Width": ("0", "0.5", "1", "-1", "NaN", "inf", "1e999", "", "PLANTED", "256\\1\\2", "9" * 64),
        "Centre": ("NaN", "inf", "-1e300", "", "PLANTED", "128\\1\\2"),
        "Slope": ("0", "NaN", "inf", "-1", "1e300", "1e-300", "", "PLANTED", "1\\2"),
        "Intercept": ("NaN", "-inf", "1e300", "PLANTED"),
        "Function": ("SIGMOID", "LINEAR_EXACT", "PLANTED"),
        "Presentation": ("INVERSE", "IDENTITY", "PLANTED"),
        "Spacing": ("0", "0\\0", "NaN\\NaN", "-1\\1", "1e9\\1e9", "PLANTED", "1\\2\\3"),
        "Padding": ("\0\0", "\x7f\x7f", ""),
    }.items():
        for value in values:
            yield f"{name} is {ascii(value)[:20]}", Case(dicom(**{name: text(value)}), OK)
    for name, body in {
        "of 256 entries": table(256, 0, 8, bytes(512)),
        "of 0 entries and no data": table(0, 0, 16, b""),
        "of 65,535 entries and two bytes": table(65535, 0, 16, b"\0\0"),
        "of 0 bits": table(256, 0, 0, bytes(512)),
        "of 65,535 bits": table(256, 0, 65535, bytes(512)),
        "that starts at 65,535": table(256, 65535, 8, bytes(512)),
        "without data": element(0x00283002, "US", us(256, 0, 8)),
        "without a descriptor": element(0x00283006, "OW", bytes(512)),
        "with a descriptor of two numbers": element(0x00283002, "US", us(256, 0))
        + element(0x00283006, "OW", bytes(512)),
        "that is empty": b"",
    }.items():
        for where in ("ModalityLUTs", "VOILUTs"):
            yield f"{where} with a table {name}", Case(dicom(**{where: item(body)}), *REFUSED, OK)
    for name, body in {"no item": b"", "text": b"PLANTED ", "a cut item": item(bytes(8))[:10]}.items():
        for where in ("ModalityLUTs", "VOILUTs", "SharedGroups", "FrameGroups"):
            yield f"{where} with {name}", Case(dicom(**{where: body}), *REFUSED, OK)
    painted: dict[str, bytes | None] = {"Photometric": b"PALETTE COLOR "}
    for colour in ("Red", "Green", "Blue"):
        painted |= {f"{colour}Descriptor": us(256, 0, 16), colour: bytes(512)}
    yield "palette", Case(dicom(**painted), OK)
    for name, lie in {
        "without red": {"Red": None},
        "without descriptors": {"RedDescriptor": None, "GreenDescriptor": None, "BlueDescriptor": None},
        "of 0 entries": {"RedDescriptor": us(0, 0, 16)},
        "of 65,535 entries": {"BlueDescriptor": us(65535, 0, 16)},
        "of no bits": {"GreenDescriptor": us(256, 0, 0)},
        "of two numbers": {"RedDescriptor": us(256, 0)},
        "without data": {"Red": b""},
        "in segments of nonsense": {"SegmentedRed": b"PLANTED "},
        "in segments that bomb": {"SegmentedRed": us(0, 1, 5, 1, 65535, 9) * 99},
    }.items():
        yield f"palette {name}", Case(dicom(**(painted | lie)), *REFUSED, OK)


def _structures() -> Iterator[tuple[str, Case]]:
    for depth in (10, 200, 5000):
        for undefined in (True, False):
            how = "undefined" if undefined else "stated"
            film = dicom(raw=nested(depth, undefined=undefined))
            # pydicom leaves items of a stated length alone until somebody asks for them.
            yield f"sequences {depth} deep, lengths {how}", Case(film, "broken_film", OK)
    open_ended = element(0x00400275, "SQ", length=UNDEFINED)
    for name, raw in {
        "a sequence without an end": open_ended + item(length=UNDEFINED),
        "a sequence of 20,000 empty items": open_ended + item() * 20_000 + SEQUENCE_END,
        "an item longer than the file": open_ended + item(length=0x7FFFFFFF),
        "an end without a sequence": SEQUENCE_END + ITEM_END,
        "an item without a sequence": item(b"PLANTED "),
        "an unknown VR": element(0x00091001, "ZZ", b"PLANTED "),
        "a VR of zeros": element(0x00091001, "\0\0", b"PLANTED "),
        "a VR that is none": element(0x00091001, "\xff\xff", b"PLANTED "),
        "an odd length": element(0x00091001, "LO", b"PLANTED"),
        "a number of 3 bytes": element(0x00280014, "US", b"abc"),
        "a number as text": element(0x00281055, "DS", b"PLANTED "),
        "an undefined length of text": element(0x00091001, "UT", b"PLANTED ", length=UNDEFINED),
        "a length beyond the file": element(0x00091001, "UT", b"PLANTED ", length=0x7FFFFFFF),
        "a length of 2^32 - 2": element(0x00091001, "OB", b"PLANTED ", length=0xFFFFFFFE),
        "private elements": b"".join(element(0x00090010 + n, "LO", b"PLANTED ") for n in range(200)),
        "30,000 private elements": b"".join(element(0x00110000 + n, "LO", b"PLANTED ") for n in range(30_000)),
        "a private element of 2 MB": element(0x00091001, "OB", b"PLANTED " * 250_000),
        "the same element 1,000 times": element(0x00280010, "US", us(48)) * 1000,
        "a group of 0": element(0x00000000, "UL", bytes(4)),
        "meta information within": element(0x00020010, "UI", text(JPEG)),
        "tags in no order": element(0x00080005, "CS", b"PLANTED "),
        "a UN sequence": element(0x00091002, "UN", item(b"PLANTED "), length=UNDEFINED),
    }.items():
        yield name, Case(dicom(raw=raw), *REFUSED, OK)
    for charset in (
        "PLANTED",
        "ISO 2022 IR 87\\PLANTED",
        "utf_7",
        "idna",
        "zlib_codec",
        "../../x",
        "\\" * 99,
        "unicode_escape",
    ):
        for kind, name in (("letters", b"PLANTED^Jane"), ("no letters", b"\xff\xfe\x1b$BPLANTED")):
            film = dicom(CharacterSet=text(charset), PatientName=name + bytes(len(name) % 2))
            yield f"character set {charset[:20]} over {kind}", Case(film, OK)
    whole = dicom()
    for name, end in {
        "after the magic": 132,
        "in the meta information": 150,
        "in a tag": whole.index(b"PLANTED^") - 7,
        "in a name": whole.index(b"PLANTED^") + 3,
        "before the pixels": len(whole) - 3072 - 12,
        "in the length of the pixels": len(whole) - 3072 - 2,
        "after the length of the pixels": len(whole) - 3072,
        "in the first row": len(whole) - 3072 + 40,
    }.items():
        yield f"cut {name}", Case(whole[:end], "broken_film", "no_pixels", "unsupported_format")
    yield "cut in the last row", Case(whole[:-9], OK, "broken_film")
    yield "nothing but a magic", Case(bytes(128) + b"DICM", "no_pixels", "broken_film", "unsupported_format")
    yield "a magic and a megabyte of zeros", Case(bytes(128) + b"DICM" + bytes(1 << 20), *REFUSED)
    yield "a magic and a megabyte of 0xFF", Case(bytes(128) + b"DICM" + b"\xff" * (1 << 20), *REFUSED)
    yield "meta information of a length that lies", Case(whole.replace(meta()[8:12], b"\xff" * 4, 1), *REFUSED, OK)
    for length in (0, 1, 3071, 3073, 0x7FFFFFFF, UNDEFINED):
        lie = element(PIXELS, "OW", grey().tobytes(), length=length)
        yield f"pixels of {length} bytes", Case(dicom(pixels=lie), *REFUSED, OK)
    for name, sop_class, raw in (
        (
            "a report",
            "1.2.840.10008.5.1.4.1.1.88.22",
            element(0x0040A730, "SQ", item(element(0x0040A160, "UT", b"PLANTED "))),
        ),
        ("a document", "1.2.840.10008.5.1.4.1.1.104.1", element(0x00420011, "OB", b"%PDF-1.7 PLANTED")),
        ("a presentation state", "1.2.840.10008.5.1.4.1.1.11.1", element(0x00700001, "SQ", item())),
        ("a planted kind", PLANTED_UID, b""),
    ):
        yield f"{name}, no image", Case(dicom(raw=raw, Pixels=None, Rows=None, SOPClass=text(sop_class)), "no_pixels")


def _codestreams() -> Iterator[tuple[str, Case]]:
    inflating = element(PIXELS, "OW", length=1 << 30)
    yield "deflated, a gigabyte", bomb(deflated(dataset(Pixels=None), inflating, zeros=64), "film_too_large")
    text_of_it = element(0x00104000, "UT", length=1 << 30)
    yield "deflated, a gigabyte of comments", bomb(deflated(text_of_it, zeros=64), "film_too_large")
    elements = element(0x00091001, "LO", b"PLANTED ") * 50_000
    yield "deflated, 50,000 elements", Case(deflated(elements, dataset()), ANY)
    yield "deflated, cut", Case(dicom(DEFLATED)[:-200], *REFUSED, OK)
    yield "deflated, nonsense", Case(bytes(128) + b"DICM" + meta(DEFLATED) + b"PLANTED" * 99, "broken_film")
    yield "deflated as zlib", Case(bytes(128) + b"DICM" + meta(DEFLATED) + zlib.compress(dataset()), "broken_film")
    yield "RLE", Case(dicom(named=RLE, pixels=fragments(rle(b"\x81\0" * 24))), OK)
    huge = rle(b"\x81\0" * (4 << 20))
    yield "RLE, 512 MB", Case(dicom(named=RLE, pixels=fragments(huge)), ANY)
    giant = {"Rows": us(6000), "Columns": us(5000)}
    yield "RLE at the limit", Case(dicom(named=RLE, pixels=fragments(rle(b"\x81\0" * 234_375)), **giant), ANY)
    for name, frame in {
        "no segment": rle(),
        "16 segments announced": rle(RUN, count=16),
        "2^32 - 1 segments announced": rle(RUN, count=UNDEFINED),
        "segments beyond the end": rle(RUN, offsets=(UNDEFINED,)),
        "segments in the header": rle(RUN, offsets=(0,)),
        "segments backwards": rle(RUN, RUN, offsets=(600, 64)),
        "too few pixels": rle(b"\x81\0"),
        "a run without a byte": rle(b"\x81"),
        "a literal cut short": rle(b"\x7fabc"),
        "nothing but no-ops": rle(b"\x80" * 3072),
        "a header that is cut": bytes(63),
    }.items():
        yield f"RLE: {name}", Case(dicom(named=RLE, pixels=fragments(frame)), *REFUSED, OK)
    jpeg, jp2 = coded(), coded(kind="JPEG2000")
    stream = jp2[jp2.index(b"\xff\x4f\xff\x51") :]
    jpeg_ls = b"\xff\xd8\xff\xf7\0\x0b\x08\0\x30\0\x40\1\1\x11\0\xff\xda\0\x08\1\1\0\0\0\0" + bytes(500) + b"\xff\xd9"
    for syntax, name, good in ((JPEG, "JPEG", jpeg), (JPEG_2000, "JPEG 2000", stream), (JPEG_LS, "JPEG-LS", jpeg_ls)):
        for what, pixels in {
            "an empty fragment": fragments(b""),
            "three empty fragments": fragments(b"", b"", b""),
            "50,000 empty fragments": fragments(*[b""] * 50_000),
            "two fragments of a frame": fragments(good[:100], good[100:]),
            "a fragment a byte": fragments(*(good[at : at + 2] for at in range(0, len(good), 2))),
            "no delimiter": fragments(good, end=b""),
            "a fragment cut short": fragments(good)[:-200],
            "a table that points beyond": fragments(good, table=struct.pack("<I", 0xFFFFFFF0)),
            "a table of 3 bytes": fragments(good, table=b"abc"),
            "a table of 10,000 frames": fragments(good, table=bytes(40_000)),
            "a table that goes backwards": fragments(good, good, table=struct.pack("<2I", 900, 0)),
            "a PDF inside": fragments(b"%PDF-1.7 PLANTED"),
            "an end and a start": fragments(good[:2] + good[-2:]),
            "its first 30 bytes": fragments(good[:30]),
            "its first half": fragments(good[: len(good) // 2]),
            "zeros after 30 bytes": fragments(good[:30] + bytes(99_999)),
            "0xFF after 30 bytes": fragments(good[:30] + b"\xff" * 99_999),
        }.items():
            yield f"{name}: {what}", Case(dicom(named=syntax, pixels=pixels), *REFUSED, OK)
    for rows, columns in ((65500, 65500), (480, 640), (2000, 1500)):
        lie = framed(jpeg, rows=rows, columns=columns)
        yield f"JPEG that announces {rows} x {columns}", bomb(dicom(named=JPEG, pixels=fragments(lie)), "broken_film")
        both = dicom(named=JPEG, pixels=fragments(lie), Rows=us(rows), Columns=us(columns))
        yield f"JPEG of {rows} x {columns} of which little is there", Case(both, *REFUSED, OK)
    for at, size in enumerate(("right", "bottom", "left", "top", "tile width", "tile height", "tile left", "tile top")):
        for value in (0, 1, 0x7FFFFFFF, 0xFFFFFFFF):
            bad = bytearray(stream)
            struct.pack_into(">I", bad, 8 + 4 * at, value)
            yield (
                f"JPEG 2000, {size} {value:#x}",
                Case(dicom(named=JPEG_2000, pixels=fragments(bytes(bad))), *REFUSED, OK),
            )
    for components in (0, 2, 255, 16384):
        bad = bytearray(stream)
        struct.pack_into(">H", bad, 40, components)
        yield (
            f"JPEG 2000 of {components} components",
            Case(dicom(named=JPEG_2000, pixels=fragments(bytes(bad))), *REFUSED),
        )
    for scans in (20, 3000):
        film = {"pixels": fragments(many_scans(800, scans)), "Rows": us(800), "Columns": us(800)}
        for kind in ("50", "51", "55", "70"):
            lie = dicom(named=f"1.2.840.10008.1.2.4.{kind}", **film)
            yield f"JPEG (.{kind}) gone through {scans} times", Case(lie, *REFUSED, OK)
    giant_scans = dicom(
        named="1.2.840.10008.1.2.4.51", pixels=fragments(many_scans(5472, 300)), Rows=us(5472), Columns=us(5472)
    )
    yield "JPEG of 5,472 x 5,472 gone through 300 times", bomb(giant_scans, *REFUSED)
    boxes = b"\0\0\0\x0cjP  \r\n\x87\n" + b"\0\0\0\0PLAN" * 9
    yield "JP2 boxes of no length", Case(dicom(named=JPEG_2000, pixels=fragments(boxes)), "broken_film")


CASES = named(_syntaxes(), _headers(), _numbers(), _views(), _structures(), _codestreams())
