"""Unpack an archive that a stranger made: nothing outside the folder, nothing without bounds, nothing half done.

Zip and tar (plain, gzip, bzip2, xz) are told apart by their bytes. Everything an archive says about itself is checked
before the first file is written, and what it turns out to hold is counted while it is written. Python's own filters and
limits are not enough here: they follow links, sizes and spellings that differ from one file system to the next.
"""

import bz2
import gzip
import hashlib
import io
import json
import logging
import lzma
import os
import shutil
import stat
import struct
import tarfile
import unicodedata
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any, Literal

from tqdm import tqdm

from fracture.core.errors import BadValue
from fracture.core.files import write_json

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Limits:
    """What an archive may hold at most. The largest set known here is 15 GB in 20,327 films, the fullest 40,561 films.

    ``ratio`` is unpacked bytes per packed byte, asked of every zip member above 1 MiB and of a compressed tar as a
    whole. Films are compressed already and come near 1, label files near 10.
    """

    files: int = 200_000
    total_bytes: int = 80 << 30
    ratio: int = 200
    depth: int = 16


LIMITS = Limits()

_CHUNK = 1 << 20
_RATIO_FROM = 1 << 20
_HEADER_MAX = 8 << 20  # tarfile takes a long name or a pax table into memory in one piece, whatever size it claims
_PART_BYTES, _PATH_BYTES = 255, 1024
_ENCRYPTED = 0x1 | 0x40 | 0x2000  # classic, strong, central directory masked
_MAGIC: dict[bytes, Literal["zip", "gz", "bz2", "xz"]] = {
    b"PK\x03\x04": "zip",
    b"PK\x05\x06": "zip",
    b"\x1f\x8b": "gz",
    b"BZh": "bz2",
    b"\xfd7zXZ\x00": "xz",
}
_BROKEN = (
    *(zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, struct.error),
    *(NotImplementedError, RuntimeError, ValueError, OverflowError, LookupError),  # from headers that make no sense
)


@dataclass(frozen=True)
class _Member:
    name: str
    size: int
    folder: bool
    handle: Any = field(repr=False)  # what the reading library calls it
    parts: tuple[str, ...] = ()


def kind(archive: Path) -> Literal["zip", "gz", "bz2", "xz", "tar"] | None:
    """Tell from the first bytes what sort of archive a file is; None if it is none."""
    with archive.open("rb") as file:
        head = file.read(512)
    if head[257:262] == b"ustar":
        return "tar"
    return next((name for magic, name in _MAGIC.items() if head.startswith(magic)), None)


def safe_parts(name: str, depth: int = LIMITS.depth) -> tuple[str, ...]:
    """Split a name out of an archive or a listing into the path it may have below a folder, on any file system.

    Raises BadValue for absolute paths, drive letters, ``..``, backslashes, control characters and what is no UTF-8.
    """
    parts = tuple(part for part in name.removesuffix("/").split("/") if part != ".")
    if any(unicodedata.category(char) in {"Cc", "Cs"} for char in name):
        raise BadValue(f"expected a name of printable UTF-8, got {_quoted(name)}")
    # A colon is a drive or, on NTFS, a hidden stream; Windows reads a backslash as a slash and ".. " as "..".
    if "\\" in name or ":" in name or any(not part.strip(". ") for part in parts):
        raise BadValue(f"expected a relative path without '..', backslash and colon, got {_quoted(name)}")
    if len(parts) > depth:
        raise BadValue(f"expected at most {depth} levels of folders, got {len(parts)} in {_quoted(name)}")
    if len(name.encode()) > _PATH_BYTES or any(len(part.encode()) > _PART_BYTES for part in parts):
        raise BadValue(
            f"expected names of at most {_PART_BYTES} bytes and paths of at most {_PATH_BYTES}, got {_quoted(name)}"
        )
    return parts


def unpack(archive: Path, out: Path, limits: Limits = LIMITS) -> list[Path]:
    """Unpack into ``out``, which is not there or empty, and give its files; nothing is done twice for one archive.

    The work is done in ``out.partial`` and moved when whole; ``out.unpacked.json`` says from what. What macOS leaves in
    archives (``__MACOSX``, ``._*``, ``.DS_Store``) is left out, listed there and logged. Raises BadValue, naming the
    member, for an archive that is broken, hostile or above the limits, and where the disk is too small.
    """
    state = out.with_name(out.name + ".unpacked.json")
    with archive.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    there = _unpacked_before(state, sha256, out)
    if there is not None:
        return there
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise BadValue(f"expected {out} to be empty or not there: it holds something else than this archive's files")
    with _reader(archive, limits) as reader:
        members, left_out = _layout(reader, limits)
        out.parent.mkdir(parents=True, exist_ok=True)
        need, free = sum(member.size for member in members), shutil.disk_usage(out.parent).free
        if need > free:
            raise BadValue(f"expected {need:,} free bytes to unpack {archive.name}, the disk of {out} has {free:,}")
        partial = out.with_name(out.name + ".partial")
        if partial.exists():
            shutil.rmtree(partial)  # what a killed run left
        partial.mkdir()
        try:
            with tqdm(total=need, desc=f"unpack {out.name}", unit="B", unit_scale=True) as bar:
                for member in members:
                    _write(reader, member, partial, bar)
        except BadValue:
            shutil.rmtree(partial)
            raise
    if left_out:
        logger.warning("left out of %s: %d macOS leftovers", archive.name, len(left_out))
    files = {"/".join(member.parts): member.size for member in members if not member.folder}
    # Before the move: a kill in between leaves a state without its files, which counts for nothing.
    write_json(state, {"sha256": sha256, "left_out": left_out, "files": files})
    if out.exists():
        out.rmdir()
    os.replace(partial, out)
    return [out / name for name in sorted(files)]


def _quoted(name: str) -> str:
    return repr(name if len(name) <= 200 else name[:200] + "...")


def _unpacked_before(state: Path, sha256: str, out: Path) -> list[Path] | None:
    """Give the files if this very archive was unpacked here and all of it is still there."""
    if not state.is_file():
        return None
    try:
        known = json.loads(state.read_text(encoding="utf-8"))
        files: dict[str, int] = known["files"]
        same = known["sha256"] == sha256
        there = all((out / name).is_file() and (out / name).stat().st_size == size for name, size in files.items())
    except (ValueError, KeyError, TypeError, AttributeError):
        return None  # not a state of ours
    return [out / name for name in sorted(files)] if same and there else None


@contextmanager
def _reading(what: str) -> Iterator[None]:
    """Turn whatever a library says about bad bytes into one refusal; let the disk's own errors through."""
    try:
        yield
    except (*_BROKEN, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise BadValue(f"{what}: expected a whole archive, got {type(error).__name__}: {error}") from error


def _layout(reader: "_Reader", limits: Limits) -> tuple[list[_Member], list[str]]:
    """Check all names and sizes against each other and the limits; give the members to write and the ones left out."""
    members: list[_Member] = []
    left_out: list[str] = []
    seen: dict[str, tuple[str, bool]] = {}
    total = 0
    for count, found in enumerate(reader.members(), 1):
        total += found.size
        if count > limits.files:
            raise BadValue(
                f"expected at most {limits.files:,} members, got more: {_quoted(found.name)} is one too many"
            )
        if found.size < 0 or total > limits.total_bytes:
            raise BadValue(
                f"expected at most {limits.total_bytes:,} bytes in all, got {total:,} with {_quoted(found.name)}"
            )
        parts = safe_parts(found.name, limits.depth)
        if not parts and found.folder:
            continue  # "./", the folder itself
        if not parts:
            raise BadValue(f"expected a file name, got {_quoted(found.name)}")
        if "__MACOSX" in parts or parts[-1].startswith("._") or parts[-1] == ".DS_Store":
            left_out.append(found.name)
            continue
        _place(seen, parts, found.folder, found.name)
        members.append(replace(found, parts=parts))
    if all(member.folder for member in members):
        raise BadValue("expected an archive with files in it, got one without")
    return members, left_out


def _place(seen: dict[str, tuple[str, bool]], parts: tuple[str, ...], folder: bool, name: str) -> None:
    """Note a path and the folders above it; no two may meet on a disk that folds case or composes accents."""
    for end in range(1, len(parts) + 1):
        path, is_folder = "/".join(parts[:end]), folder or end < len(parts)
        key = unicodedata.normalize("NFC", path).casefold()
        if key not in seen:
            seen[key] = (path, is_folder)
        elif not is_folder or seen[key] != (path, True):
            raise BadValue(
                f"expected names that differ by more than case, each a file or a folder and once,"
                f" got {_quoted(name)} beside {_quoted(seen[key][0])}"
            )


def _write(reader: "_Reader", member: _Member, folder: Path, bar: Any) -> None:
    path = folder.joinpath(*member.parts)
    if member.folder:
        path.mkdir(parents=True, exist_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    what, size = _quoted(member.name), 0
    with _reading(what):
        packed = reader.open(member)
    with packed, path.open("xb") as file:
        while True:
            with _reading(what):
                chunk = packed.read(_CHUNK)
            if not chunk:
                break
            size += len(chunk)
            if size > member.size:
                raise BadValue(f"{what}: expected the {member.size:,} bytes its header tells of, got more")
            file.write(chunk)
            bar.update(len(chunk))
    if size != member.size:
        raise BadValue(f"{what}: expected the {member.size:,} bytes its header tells of, got {size:,}")


class _Reader(ABC):
    """One way to list and read the members of an archive; refuses what is neither a plain file nor a folder."""

    @abstractmethod
    def members(self) -> Iterator[_Member]: ...

    @abstractmethod
    def open(self, member: _Member) -> IO[bytes]: ...


@contextmanager
def _reader(archive: Path, limits: Limits) -> Iterator[_Reader]:
    found = kind(archive)
    if found is None:
        raise BadValue(f"{archive.name}: expected a zip or tar archive, got something else")
    with archive.open("rb") as file:
        if found == "zip":
            with _reading(archive.name):
                zipped = zipfile.ZipFile(file)
            yield _Zip(zipped, archive, limits)
            return
        # Not tarfile's own opening: between it and the decompressor stands what counts.
        plain: Any = {"gz": gzip.open, "bz2": bz2.open, "xz": lzma.open}.get(found)
        stream = _Counted(plain(file) if plain else file, archive, limits)
        with _reading(archive.name):
            tar = tarfile.TarFile(fileobj=stream, encoding="utf-8", errors="surrogateescape")
        yield _Tar(tar, stream, archive)


class _Zip(_Reader):
    def __init__(self, zipped: zipfile.ZipFile, archive: Path, limits: Limits) -> None:
        self._zipped, self._archive, self._limits = zipped, archive, limits

    def members(self) -> Iterator[_Member]:
        """Check what only a zip can say; parts that overlap are told by their sum."""
        packed = sum(info.compress_size for info in self._zipped.infolist())
        if packed > self._archive.stat().st_size:
            raise BadValue(
                f"{self._archive.name}: expected members beside each other, got {packed:,} packed bytes of them"
                f" in a file of {self._archive.stat().st_size:,}"
            )
        for info in self._zipped.infolist():
            name = info.orig_filename  # before zipfile cut it at a NUL or turned its backslashes
            folder, mode = name.endswith("/"), stat.S_IFMT(info.external_attr >> 16)
            if info.flag_bits & _ENCRYPTED:
                raise BadValue(f"expected members without a password, got {_quoted(name)}")
            if mode not in {0, stat.S_IFREG, stat.S_IFDIR} or (mode == stat.S_IFDIR and not folder):
                raise BadValue(f"expected plain files and folders, got mode {mode:o} in {_quoted(name)}")
            if info.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
                # Python's bzip2 and lzma members are unpacked chunk by chunk with no bound on what one chunk becomes.
                raise BadValue(
                    f"expected members that are stored or deflated, got method {info.compress_type} in {_quoted(name)};"
                    " unpack it with another program"
                )
            if info.file_size > max(_RATIO_FROM, self._limits.ratio * info.compress_size):
                raise BadValue(
                    f"expected members to unpack to at most {self._limits.ratio} times their size,"
                    f" got {info.compress_size:,} bytes that become {info.file_size:,} in {_quoted(name)}"
                )
            if folder and info.file_size:
                raise BadValue(f"expected a folder without content, got {info.file_size:,} bytes in {_quoted(name)}")
            yield _Member(name, info.file_size, folder, info)

    def open(self, member: _Member) -> IO[bytes]:
        """Open it so that a stream longer than its header says is seen to be longer, not cut to fit."""
        member.handle.file_size = member.size + _CHUNK
        return self._zipped.open(member.handle)


class _Counted(io.BufferedIOBase):
    """The unpacked bytes of a tar, never further than the ratio allows and never too many at once."""

    def __init__(self, file: IO[bytes], archive: Path, limits: Limits) -> None:
        self._file, self._archive = file, archive
        self._most = max(_RATIO_FROM, limits.ratio * archive.stat().st_size)

    def _check(self, position: int) -> None:
        if position > self._most:
            raise BadValue(f"{self._archive.name}: expected at most {self._most:,} bytes in it, got {position:,}")

    def read(self, size: int | None = -1, /) -> bytes:
        """Read as much as a header may hold, no more."""
        if size is None or not 0 <= size <= _HEADER_MAX:
            raise BadValue(f"{self._archive.name}: expected headers of at most {_HEADER_MAX:,} bytes, got {size}")
        data = self._file.read(size)
        self._check(self._file.tell())
        return data

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Go to a position; refused before anything on the way there is unpacked."""
        self._check(offset)
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """Give the position in the unpacked bytes."""
        return self._file.tell()


class _Tar(_Reader):
    def __init__(self, tar: tarfile.TarFile, stream: _Counted, archive: Path) -> None:
        self._tar, self._stream, self._archive = tar, stream, archive

    def members(self) -> Iterator[_Member]:
        """Check what only a tar can say; tarfile ends a listing silently at a broken header, so look for the end."""
        while True:
            with _reading(self._archive.name):
                info = self._tar.next()
            if info is None:
                break
            if not (info.isdir() or info.type in {tarfile.REGTYPE, tarfile.AREGTYPE}) or info.issparse():
                raise BadValue(f"expected plain files and folders, got type {info.type!r} in {_quoted(info.name)}")
            yield _Member(info.name, info.size, info.isdir(), info)
        with _reading(self._archive.name):
            self._stream.seek(self._tar.offset)
            end = self._stream.read(tarfile.BLOCKSIZE)
        if not end or any(end):
            raise BadValue(f"{self._archive.name}: expected the archive's end mark after its last member, got none")

    def open(self, member: _Member) -> IO[bytes]:
        """Open a member; tarfile itself refuses one that is cut short."""
        found = self._tar.extractfile(member.handle)
        if found is None:
            raise BadValue(f"expected a plain file, got {_quoted(member.name)}")
        return found
