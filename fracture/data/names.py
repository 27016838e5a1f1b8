"""Which film of a set a name means, as annotation tools and other programs write names, and which names are safe.

A name may be a path of another machine, with other slashes, a URL with its escapes and query (Label Studio's
``/data/local-files/?d=..``), in another case or Unicode form, with blanks around it, with another suffix or none. It
means the film that shares the longest end of its path; where several films do, it means none of them for certain.
"""

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from unicodedata import category, normalize
from urllib.parse import parse_qsl, unquote, urlsplit

_SUFFIX = re.compile(r"\.(png|jpe?g|jpe|jfif|tiff?|bmp|gif|webp|avif|jp2|j2k|dcm|dicom|ima|npy)$", re.IGNORECASE)
_BLANKS = re.compile(r"\s*(/|$)\s*|\s+(?=\.[^./\s]+\s*$)|^\s+")
_MOST_BYTES = 230
"""A file name has at most 255. A suffix, and a mark while the file is being written, are added to it."""

_UNSAFE = frozenset('<>:"|?*\\')
_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


class Names:
    """The films of a set by every name they may have elsewhere.

    ``films`` gives the names of each film by kind, from the most to the least certain kind.
    """

    def __init__(self, films: Mapping[str, Sequence[Iterable[str]]]) -> None:
        self._kinds: list[tuple[defaultdict[str, list[str]], defaultdict[str, list[str]]]] = []
        for key, kinds in films.items():
            while len(self._kinds) < len(kinds):
                self._kinds.append((defaultdict(list), defaultdict(list)))
            for (exact, folded), names in zip(self._kinds, map(tuple, kinds), strict=False):
                for form in {normalize("NFC", name) for name in names}:
                    exact[form].append(key)
                for form in {fold(form) for name in names for form in (name, unquote(name))}:
                    folded[form].append(key)

    def find(self, name: str) -> tuple[str, ...]:
        """Give the films that a name may mean: none, one, or several that share it."""
        forms = [form for spelled in spellings(name) for end in ends(spelled) for form in (end, stem(end))]
        for exact, folded in self._kinds:
            for form in forms:
                if form and (found := exact.get(form) or folded.get(fold(form))):
                    return tuple(found)
        return ()


def spellings(name: str) -> Iterator[str]:
    """Give a name as it is, then without what makes a URL of it: query and escapes. ``/`` stands between folders."""
    seen = set()
    waiting = [name, *_parts_of_url(name)]
    for _ in range(3):  # escapes of escapes occur, deeper ones do not
        for spelled in waiting:
            plain = normalize("NFC", spelled).replace("\\", "/")
            if plain not in seen:
                seen.add(plain)
                yield plain
        waiting = [unquote(spelled) for spelled in waiting]


def ends(path: str) -> list[str]:
    """Give every end of a path, longest first: a/b.png, b.png."""
    parts = path.split("/")
    return ["/".join(parts[start:]) for start in range(len(parts))]


def stem(name: str) -> str:
    """Drop the suffix of an image file and no other: what follows the last dot of a DICOM UID is part of the name."""
    return _SUFFIX.sub("", name.rstrip())


def fold(name: str) -> str:
    """Give a name as file systems that do not tell case apart compare it, without blanks around its parts."""
    return normalize("NFC", _BLANKS.sub(r"\1", normalize("NFC", name)).casefold())


def _parts_of_url(name: str) -> list[str]:
    """Give what may be a file's path in a URL: the path without query and fragment, then values of the query."""
    try:
        parts = urlsplit(name.replace("\\", "/"))
        query = parse_qsl(parts.query, max_num_fields=100)
    except ValueError:
        return []
    # A version or a token in a query is no name of a film.
    values = [value for name, value in query if name == "d" or _SUFFIX.search(value)]
    return [parts.path, *values] if parts.query or parts.fragment else []


def safe_ids(ids: Mapping[str, bool]) -> dict[str, str]:
    """Give every image id one that any file system, table and JSON can hold, and no two of them one file.

    ``ids`` tells of each whether its film will be a file. If not, only control characters and what is no text are
    replaced. A safe id stays as it is. Any other keeps its readable characters and gets a hash of the whole.
    """
    sharing = Counter(_as_file(image_id) for image_id in ids)
    return {
        image_id: _renamed(image_id) if sharing[_as_file(image_id)] > 1 or _is_unsafe(image_id, written) else image_id
        for image_id, written in ids.items()
    }


def safe_suffix(suffix: str) -> str:
    """Give a file's suffix, or none where it is not plainly one."""
    return suffix if re.fullmatch(r"\.[A-Za-z0-9]{1,16}", suffix) else ""


def _as_file(image_id: str) -> str:
    """Give what an id becomes in a label folder on a file system that ignores case."""
    return normalize("NFC", image_id.replace("/", "__").casefold())


def _is_unsafe(image_id: str, written: bool) -> bool:
    _, *parts = image_id.split("/")
    if any(category(char) in {"Cc", "Cs", "Zl", "Zp"} for char in image_id):
        return True
    if not written:
        return len(image_id) > _MOST_BYTES
    return (
        len(os.fsencode(image_id.replace("/", "__"))) > _MOST_BYTES
        or not _UNSAFE.isdisjoint(image_id)
        or any(part.strip() in {"", ".", ".."} or part[-1] in ". " or _DEVICES.fullmatch(part) for part in parts)
    )


def _renamed(image_id: str) -> str:
    source, _, native = image_id.partition("/")
    readable = re.sub(r"[^\w.-]+", "_", native.rpartition("/")[2])[:24].strip("._")
    digest = sha256(image_id.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return f"{source}/{readable}-{digest}" if readable else f"{source}/{digest}"
