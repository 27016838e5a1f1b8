"""The one walk over a folder, and where a command may write: beside what it reads, never in it or around it."""

import os
import stat
from collections import deque
from dataclasses import dataclass
from pathlib import Path

from fracture.core.errors import BadValue, MissingData

NOT_FILMS = frozenset({".txt", ".csv", ".json", ".jsonl", ".xml", ".yaml", ".yml", ".md", ".cache"})
"""What plainly is no film by its name; of all else the content decides, for DICOM files often have no suffix."""


@dataclass(frozen=True)
class Unread:
    """Something below a folder that could not be listed or is no file, and why."""

    path: Path
    reason: str
    is_folder: bool = False


@dataclass(frozen=True)
class Tree:
    """What lies below a folder: every file once, in the order of their paths.

    ``again`` are links to a file that is among ``files`` under another name, with that name. ``unread`` is all that
    could not be looked at: folders that may not be listed, links to nothing, pipes and devices.
    """

    root: Path
    files: tuple[Path, ...]
    again: dict[Path, Path]
    unread: tuple[Unread, ...]

    @property
    def films(self) -> tuple[Path, ...]:
        """Give the files that may be films: all but those that are plainly something else."""
        return tuple(file for file in self.files if may_be_film(file))

    @property
    def names(self) -> tuple[Path, ...]:
        """Give the files by all their names: a label may be a link to one that other films share."""
        return tuple(sorted([*self.files, *self.again]))

    @property
    def places(self) -> tuple[Path, ...]:
        """Give the files, and what may be one and could not be looked at; whoever opens it hears why.

        Raises MissingData for a folder that could not be: what would be in it nobody knows.
        """
        if any(one.is_folder for one in self.unread):
            raise MissingData(f"expected a tree that can be read whole{self.why}")
        return tuple(sorted([*self.names, *(one.path for one in self.unread if one.path != self.root)]))

    @property
    def why(self) -> str:
        """Say, behind a refusal, what could not be looked at; "" where all of it was."""
        few = ", ".join(f"{one.path} ({one.reason})" for one in self.unread[:3])
        return f"; could not look at {few}{' and others' if len(self.unread) > 3 else ''}" if few else ""


def may_be_film(file: Path) -> bool:
    """Tell whether a file may be a film, by its name alone."""
    return file.suffix.lower() not in NOT_FILMS


def walk(root: Path, *, hidden: bool = False) -> Tree:
    """Find all files below a folder, through links too.

    What is reached without a link comes first: a link to it is a second name of it. A link to a folder that was seen is
    followed no further, nor is one that leads back to a folder around it. Hard links are names of their own right, as
    copies would be. Names that begin with a dot are leavings of systems and archives, and are passed over unless
    ``hidden``.
    """
    files: dict[object, Path] = {}
    more: list[Path] = []
    again: dict[Path, Path] = {}
    unread: list[Unread] = []
    folders: set[object] = set()
    plain, linked = deque([root]), deque[Path]()  # what is reached without a link, and through one
    links: set[Path] = set()
    while plain or linked:
        through_link = not plain
        place, is_folder = (plain or linked).popleft(), False
        try:
            found = place.stat()
            # Some network file systems number their files 0.
            known = (found.st_dev, found.st_ino) if found.st_ino else place.resolve()
            is_folder = stat.S_ISDIR(found.st_mode)
            if is_folder:
                if known in folders:
                    continue
                if place in links and _leads_back(place, root):
                    unread.append(Unread(place, "a link to a folder around this one, not followed", is_folder=True))
                    continue
                folders.add(known)
                inside = _listing(place, hidden)
                links |= {path for path, is_link in inside if is_link}
                plain.extend(path for path, is_link in inside if not (is_link or through_link))
                linked.extend(path for path, is_link in inside if is_link or through_link)
            elif not stat.S_ISREG(found.st_mode):
                unread.append(Unread(place, "neither a file nor a folder"))
            elif place == root:
                unread.append(Unread(place, "a file, no folder"))
            elif known not in files:
                files[known] = place
            elif through_link:
                again[place] = files[known]
            else:
                more.append(place)
        except (OSError, ValueError) as error:
            unread.append(Unread(place, getattr(error, "strerror", None) or str(error), is_folder))
    return Tree(
        root,
        tuple(sorted([*files.values(), *more])),
        dict(sorted(again.items())),
        tuple(sorted(unread, key=lambda one: one.path)),
    )


def _listing(folder: Path, hidden: bool) -> list[tuple[Path, bool]]:
    """List what lies in a folder, in order, and which of it are links."""
    with os.scandir(folder) as entries:
        inside = sorted((entry.name, entry.is_symlink()) for entry in entries)
    return [(folder / name, is_link) for name, is_link in inside if hidden or name[0] != "."]


def _leads_back(link: Path, root: Path) -> bool:
    """Tell whether a link leads to a folder around itself or around where the walk began."""
    target = link.resolve()
    return any(inside.resolve().is_relative_to(target) for inside in (link.parent, root))


def check_apart(out: Path, *inputs: Path | None) -> None:
    """Refuse an output that is, lies in, or holds what a command reads: a second run would read what the first wrote.

    Raises BadValue; links are looked through.
    """
    there = _real(out)
    for given in inputs:
        if given is None:
            continue
        here = _real(given)
        if there == here or (here.is_dir() and there.is_relative_to(here)) or here.is_relative_to(there):
            raise BadValue(f"expected an output beside what is read, got {out} in, around or instead of {given}")


def _real(path: Path) -> Path:
    """Give where a path leads, whether or not anything is there yet."""
    try:
        return path.resolve()
    except (OSError, RuntimeError) as error:
        raise BadValue(f"{path}: expected a path that leads somewhere, got {error}") from error
