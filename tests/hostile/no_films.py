"""What people, and worse, upload instead of films."""

import gzip
import io
import tarfile
import zipfile
from collections.abc import Iterator

import numpy as np
from PIL import Image

from tests.hostile import dicom, jpeg, png, tiff
from tests.hostile.case import ANY, OK, Case, grey, named

SCRIPT = b"<script>alert('PLANTED')</script>"


def zipped(name: str, data: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, data)
    return out.getvalue()


def tarred(name: str, data: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        entry = tarfile.TarInfo(name)
        entry.size = len(data)
        archive.addfile(entry, io.BytesIO(data))
    return out.getvalue()


def picture(kind: str) -> bytes:
    out = io.BytesIO()
    Image.fromarray(grey()).save(out, kind)
    return out.getvalue()


def saved(values: np.ndarray, *, allow_pickle: bool = False) -> bytes:
    out = io.BytesIO()
    np.save(out, values, allow_pickle=allow_pickle)
    return out.getvalue()


def _cases() -> Iterator[tuple[str, Case]]:
    yield "nothing", Case(b"", "empty_file")
    for byte in (0, 10, 0x1F, 0x42, 0x89, 0xFF):
        yield f"one byte, {byte:#04x}", Case(bytes([byte]), "unsupported_format")
    for name, data in {
        "4 MB of zeros": bytes(4 << 20),
        "4 MB of 0xFF": b"\xff" * (4 << 20),
        "4 MB of noise": np.random.default_rng(11).bytes(4 << 20),
        "text": b"Dear colleague, I send you PLANTED, born 1.1.1970.\n" * 99,
        "text of UTF-16": "PLANTED\n".encode("utf-16") * 99,
        "line feeds": b"\n" * 9999,
        "JSON": b'{"patient": "PLANTED"}',
        "deep JSON": b"[" * 100_000,
        "HTML": b"<!DOCTYPE html><html><body>" + SCRIPT + b"</body></html>",
        "SVG": b'<svg xmlns="http://www.w3.org/2000/svg">' + SCRIPT + b"</svg>",
        "SVG of entities": b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "PLANTED">]><svg>&a;</svg>',
        "PHP": b"<?php system($_GET['PLANTED']); ?>",
        "a shell script": b"#!/bin/sh\necho PLANTED\n",
        "a Windows program": b"MZ\x90\0\3\0\0\0" + bytes(500),
        "a Linux program": b"\x7fELF\2\1\1\0" + bytes(500),
        "a Mac program": b"\xcf\xfa\xed\xfe" + bytes(500),
        "a Java class": b"\xca\xfe\xba\xbe" + bytes(500),
        "a pickle": b"\x80\4\x8c\5posix\x8c\6system\x93\x8c\x0cecho PLANTED\x85R.",
        "an array": saved(np.zeros(9)),
        "an array of objects": saved(np.array([{"name": "PLANTED"}], object), allow_pickle=True),
        "a zip": zipped("PLANTED.dcm", dicom.dicom()),
        "a zip that leaves its folder": zipped("../../PLANTED.dcm", b"x"),
        "a zip bomb": zipped("PLANTED", bytes(1 << 24)),
        "a gzip": gzip.compress(png.GOOD),
        "a gzip bomb": gzip.compress(bytes(1 << 24)),
        "a tar": tarred("PLANTED.dcm", dicom.dicom()),
        "a zstd frame": b"\x28\xb5\x2f\xfd" + bytes(99),
        "an xz stream": b"\xfd7zXZ\0" + bytes(99),
        "a RAR": b"Rar!\x1a\7\1\0" + bytes(99),
        "a MP4": b"\0\0\0\x18ftypmp42" + bytes(99),
        "a HEIC": b"\0\0\0\x18ftypheic" + bytes(99),
        "a JPEG XL": b"\xff\x0a" + bytes(99),
        "a BMP": picture("BMP"),
        "a GIF": picture("GIF"),
        "a WebP": picture("WEBP"),
        "an ICO": picture("ICO"),
        "a PPM": picture("PPM"),
        "a PSD": b"8BPS\0\1" + bytes(99),
        "an EPS": b"%!PS-Adobe-3.0 EPSF-3.0\n(PLANTED) show",
        "a FITS": b"SIMPLE  =                    T".ljust(2880),
        "a JPEG 2000 outside DICOM": picture("JPEG2000"),
        "a NIfTI": b"\x5c\1\0\0" + bytes(340) + b"n+1\0",
        "an ONNX": b"\x08\7\x12\7PLANTED" + bytes(99),
        "SQL": b"'; DROP TABLE films; --",
        "a format string": b"%s%s%n{0.__class__}" * 99,
        "a PNG behind a zip": zipped("x", b"x") + png.GOOD,
        "a PNG in base64": b"iVBORw0KGgoAAAANSUhEUgAA",
        "a data URL": b"data:image/png;base64,iVBORw0KGgo=",
        "a PNG whose line ends were changed": png.GOOD.replace(b"\r\n", b"\n"),
        "a PNG behind a byte order mark": b"\xef\xbb\xbf" + png.GOOD,
        "a PNG behind a line feed": b"\n" + png.GOOD,
        "a PNG backwards": png.GOOD[::-1],
        "half a JPEG's end": jpeg.GOOD[len(jpeg.GOOD) // 2 :],
        "an address": b"http://169.254.169.254/latest/meta-data/",
        "a path": b"/etc/passwd",
        "a DICOMDIR in words": b"DICOMDIR PLANTED",
    }.items():
        yield name, Case(data, "unsupported_format")
    yield "a PDF", Case(b"%PDF-1.7\n(PLANTED)", "no_pixels")
    for name, data in {
        "a zip": zipped("PLANTED", b"x"),
        "PHP": b"<?php system($_GET['PLANTED']); ?>",
        "HTML": SCRIPT,
        "a PDF": b"%PDF-1.7 PLANTED",
        "a DICOM": dicom.dicom(),
        "a megabyte of noise": np.random.default_rng(12).bytes(1 << 20),
    }.items():
        for kind, film in {"PNG": png.GOOD, "JPEG": jpeg.GOOD, "TIFF": tiff.GOOD, "DICOM": dicom.dicom()}.items():
            # Behind the pixels of a DICOM stands the next element, or what passes for one.
            yield (
                f"a {kind} with {name} behind it",
                Case(film + data, OK, *(("broken_film",) if kind == "DICOM" else ())),
            )
    for kind, film in {"PNG": png.GOOD, "JPEG": jpeg.GOOD, "TIFF": tiff.GOOD}.items():
        both = film[:128].ljust(128, b"\0") + b"DICM" + dicom.dicom()[132:]
        yield f"a DICOM whose preamble is a {kind}", Case(both, OK)
        yield f"a {kind} with DICM in its middle", Case(film[:128] + b"DICM" + film[132:], ANY)
    yield "a flood of empty DICOM elements", Case(b"\x08\0\0\0\0\0\0\0" * 50_000, "no_pixels", "unsupported_format")
    yield "a JPEG of a million pad bytes", Case(b"\xff\xd8" + b"\xff" * 1_000_000, "broken_film")


CASES = named(_cases())
