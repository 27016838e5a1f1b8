"""What a JPEG's markers give away before any of it is decoded, alone or inside a DICOM file."""

import re

from fracture.errors import TooCostly

_MAX_SCANS = 64
"""Encoders write about ten. Each goes through the whole film, and 40 bytes can make one of 64 million pixels."""

_MARKER = re.compile(rb"\xff[\xc0-\xcf\xd8-\xfe]")
_START_OF_IMAGE, _END_OF_IMAGE, _START_OF_SCAN = 0xD8, 0xD9, 0xDA


def check_scans(jpeg: bytes) -> None:
    """Raise TooCostly for a JPEG or JPEG-LS (T.81 B.2) that is to be gone through more often than any film needs."""
    scans = at = 0
    while marker := _MARKER.search(jpeg, at):
        kind, at = marker[0][1], marker.end()
        if kind == _END_OF_IMAGE:
            return
        if kind != _START_OF_IMAGE:
            at += int.from_bytes(jpeg[at : at + 2])
        scans += kind == _START_OF_SCAN
        if scans > _MAX_SCANS:
            raise TooCostly(f"expected a JPEG of at most {_MAX_SCANS} scans, got more")
