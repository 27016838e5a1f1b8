"""Files written whole or not at all, and what tells whether one has changed: its state, its hash, a stamp."""

import hashlib
import json
import os
import shutil
from pathlib import Path
from stat import S_ISREG


def file_state(path: Path) -> tuple[int, int] | None:
    """Give (size, modification time in ns) of a file, None where there is none."""
    try:
        state = path.stat()
    except OSError:  # also where it may not be looked at, or its name is longer than the file system has them
        return None
    return (state.st_size, state.st_mtime_ns) if S_ISREG(state.st_mode) else None


def stamp(*parts: object) -> str:
    """Name the state of everything a result depends on: the text of what goes in, and `code_id` of what works on it."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:24]


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file in one step: nobody ever sees half of it."""
    partial = path.with_name(path.name + ".partial")
    try:
        partial.write_bytes(data)
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(data)
    os.replace(partial, path)


def place(source: Path, target: Path, *, copy: bool) -> None:
    """Hard-link a film to where a stage wants it, or copy it where links cannot be had or are not wanted."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(target.name + ".partial")
    partial.unlink(missing_ok=True)
    try:
        if copy:
            raise OSError
        os.link(source, partial)
    except OSError:
        shutil.copy2(source, partial)
    os.replace(partial, target)
    partial.unlink(missing_ok=True)  # where target was this very link already, replacing does nothing


def write_json(path: Path, content: object) -> None:
    """Write JSON that a person can read, in one step."""
    write_bytes(path, (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode(errors="backslashreplace"))


def file_hash(path: Path) -> str:
    """Give the SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
