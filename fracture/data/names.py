"""Which film of a set a name means, as annotation tools and other programs write names: one rule for all formats.

A name may be a path of another machine, with other slashes, a URL with its escapes and query (Label Studio's
``/data/local-files/?d=..``), in another case or Unicode form, with blanks around it, with another suffix or none. It
means the film that has the longest end of its path; where several films have it, it means none of them for certain.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from unicodedata import normalize
from urllib.parse import parse_qsl, unquote, urlsplit

_SUFFIX = re.compile(r"\.(png|jpe?g|jpe|jfif|tiff?|bmp|gif|webp|avif|jp2|j2k|dcm|dicom|ima|npy)$", re.IGNORECASE)
_BLANKS = re.compile(r"\s*(/|$)\s*|\s+(?=\.[^./\s]+\s*$)|^\s+")


class Names:
    """The films of a set by every name they may have elsewhere.

    ``films`` gives the names of each film by kind, from the surest kind of name to the least sure.
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
    for _ in range(3):  # escapes of escapes occur, and end there
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
    """Drop the suffix of an image file and no other: what follows the last dot of a DICOM UID belongs to it."""
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
    # A version or a token is no name, though a film may be called so.
    values = [value for name, value in query if name == "d" or _SUFFIX.search(value)]
    return [parts.path, *values] if parts.query or parts.fragment else []
