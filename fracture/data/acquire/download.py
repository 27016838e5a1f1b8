"""Download a file: resumed where an earlier try or run was cut off, checked against its sums, and put on record."""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tqdm import tqdm

from fracture.core.errors import BadValue, MissingData
from fracture.core.files import write_json
from fracture.core.http import NO_HEADERS, Bounds, RequestFailed, Stream, opened, patiently, shown

RECORDS = "downloads.json"
CAP_BYTES = 80 << 30

_CHUNK = 1 << 18
_DIGITS = 18
"""The most digits of a size: more than any disk has bytes."""


@dataclass(frozen=True)
class Patience:
    """How long a server is waited for, in seconds.

    ``tries`` counts attempts since the last that brought something new, that one included. The wait between them
    starts at ``backoff_s``, doubles, and heeds Retry-After, never longer than ``longest_s``. ``polls`` times ``poll_s``
    is what an export may take, ``listing_s`` all tries to get a list together.
    """

    tries: int = 5
    backoff_s: float = 1.0
    longest_s: float = 120.0
    timeout_s: float = 60.0
    polls: int = 360
    poll_s: float = 5.0
    listing_s: float = 900.0

    def for_files(self) -> Bounds:
        """Bound the download of a file: it may take as long as something comes."""
        pauses_s = [self.backoff_s * 2**again for again in range(self.tries - 1)]
        return Bounds(self.timeout_s, redirects=10, pauses_s=pauses_s, longest_s=self.longest_s)

    def for_lists(self) -> Bounds:
        """Bound a question to an interface, which answers in JSON."""
        return replace(self.for_files(), whole_s=self.listing_s)


PATIENCE = Patience()


def download(
    url: str,
    target: Path,
    *,
    sha256: str | None = None,
    md5: str | None = None,
    size: int | None = None,
    headers: Mapping[str, str] = NO_HEADERS,
    cap_bytes: int = CAP_BYTES,
    patience: Patience = PATIENCE,
) -> Path:
    """Fetch a file over http(s), going on where an earlier try or run was cut off; it gets its name once it is right.

    Until then it is ``target.partial``, beside a small JSON that tells whether the remote file is still the same one;
    ``downloads.json`` in the folder records address, size, sums and date. ``headers`` may hold secrets: a redirect
    to another host does not get them. Raises MissingData where the file cannot be had, BadValue where it is not the
    one expected or is larger than ``cap_bytes`` or the disk.
    """
    where = shown(url)
    expected = {"sha256": sha256 and sha256.lower(), "md5": md5 and md5.lower(), "size": size}
    expected = {fact: value for fact, value in expected.items() if value is not None}
    if target.is_file():
        known = records(target.parent).get(target.name, {})
        if known.get("size") != target.stat().st_size or not expected.items() <= known.items():
            facts = _facts(target)
            if not expected.items() <= facts.items():
                raise BadValue(f"{target} is there already: expected {expected}, got {facts}; move it away")
            _record(target, where, facts)
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(target.name + ".partial")
    bounds = patience.for_files()
    fetch = _Fetch(url, partial, headers, size, cap_bytes, bounds)
    try:
        patiently(fetch, bounds, kept=fetch.kept)
    except RequestFailed as error:
        raise MissingData(str(error)) from None
    facts = _facts(partial)
    if not expected.items() <= facts.items():
        fetch.forget()
        raise BadValue(f"{where}: expected {expected}, got {facts}; it is thrown away")
    os.replace(partial, target)
    fetch.forget()
    _record(target, where, facts)
    return target


class _Fetch:
    """One attempt at a time to bring a partial file to its end."""

    def __init__(
        self, url: str, partial: Path, headers: Mapping[str, str], size: int | None, cap_bytes: int, bounds: Bounds
    ) -> None:
        self._url, self._partial, self._headers = url, partial, headers
        self._size, self._cap_bytes, self._bounds = size, cap_bytes, bounds
        self._where = shown(url)
        self._note = partial.with_name(partial.name + ".json")

    def kept(self) -> int:
        """Give the bytes there are so far."""
        return self._partial.stat().st_size if self._partial.is_file() else 0

    def forget(self) -> None:
        """Drop what is kept, so that the next attempt starts at the first byte."""
        self._partial.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)

    def __call__(self) -> None:
        """Ask for what is missing and write it down as it comes; RequestFailed if some is missing still."""
        validator = _read_json(self._note).get("validator")
        have = self.kept() if validator else 0
        ranges = {"Range": f"bytes={have}-", "If-Range": str(validator)} if have else {}
        with opened(self._url, self._bounds, headers={**self._headers, **ranges}, wanted=(200, 206, 416)) as answer:
            if answer.status == 416:
                if have and answer.headers.get("Content-Range") == f"bytes */{have}":
                    return  # all of it was there when an earlier run ended
                self.forget()
                raise RequestFailed(self._where, "has not what is missing", passing=True)
            total: int | None
            if answer.status == 206:
                total = _rest(answer.headers, have)
                if total is None or _validator(answer.headers) not in {None, validator}:
                    self.forget()
                    raise RequestFailed(self._where, "changed between two attempts", passing=True)
            else:
                have, total = 0, _length(answer.headers)
            self._check(total, have)
            self._write(answer, have, total if total is not None else self._size)

    def _check(self, total: int | None, have: int) -> None:
        if total is None:
            return
        if self._size is not None and total != self._size:
            raise BadValue(f"{self._where}: expected {self._size:,} bytes, the server announces {total:,}")
        if total > self._cap_bytes:
            raise BadValue(f"{self._where}: expected at most {self._cap_bytes:,} bytes, got {total:,} announced")
        free = shutil.disk_usage(self._partial.parent).free
        if total - have > free:
            raise BadValue(f"expected {total - have:,} free bytes for {self._partial.name}, the disk has {free:,}")

    def _write(self, answer: Stream, have: int, total: int | None) -> None:
        most = self._cap_bytes if total is None else total
        title = self._partial.name.removesuffix(".partial")
        broken = None
        with (
            self._partial.open("ab" if have else "wb") as file,
            tqdm(total=total, initial=have, desc=title, unit="B", unit_scale=True) as bar,
        ):
            if not have:  # only now: the note must never speak for bytes of another file
                write_json(self._note, {"validator": _validator(answer.headers)})
            try:
                for piece in answer.pieces():
                    have += len(piece)
                    if have > most:
                        self.forget()
                        raise BadValue(f"{self._where}: expected at most {most:,} bytes, got more")
                    file.write(piece)
                    bar.update(len(piece))
            except RequestFailed as error:
                broken = error
        if total is not None and have < total:
            raise RequestFailed(self._where, f"broke off after {have:,} of {total:,} bytes", passing=True)
        if broken is not None:
            raise broken


def _facts(path: Path) -> dict[str, Any]:
    sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            sha256.update(chunk)
            md5.update(chunk)
    return {"size": path.stat().st_size, "sha256": sha256.hexdigest(), "md5": md5.hexdigest()}


def _read_json(path: Path) -> dict[str, Any]:
    """Read a small table of ours; one that is missing or was spoilt says nothing."""
    try:
        table = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except ValueError:
        table = {}
    return table if isinstance(table, dict) else {}


def records(folder: Path) -> dict[str, Any]:
    """Give what is known of each file that was downloaded into a folder: address, size, sums and date."""
    return {name: known for name, known in _read_json(folder / RECORDS).items() if isinstance(known, dict)}


def _record(target: Path, where: str, facts: dict[str, Any]) -> None:
    entry = {"url": where, **facts, "date": datetime.now(UTC).isoformat(timespec="seconds")}
    write_json(target.parent / RECORDS, records(target.parent) | {target.name: entry})


def _length(headers: Mapping[str, str]) -> int | None:
    return _number(headers.get("Content-Length", ""))


def _rest(headers: Mapping[str, str], have: int) -> int | None:
    """Give the whole size out of a Content-Range that starts where wanted, None for any other."""
    unit, _, span = headers.get("Content-Range", "").partition(" ")
    where, _, total = span.partition("/")
    return _number(total) if unit == "bytes" and where.split("-")[0] == str(have) else None


def _number(text: str) -> int | None:
    """Read a size that a server says; Python refuses one of thousands of digits by an error of its own."""
    return int(text) if text.isdecimal() and len(text) <= _DIGITS else None


def _validator(headers: Mapping[str, str]) -> str | None:
    """Give what If-Range may hold: a strong ETag, else the date."""
    etag = headers.get("ETag")
    return etag if etag and not etag.startswith("W/") else headers.get("Last-Modified")
